"""What a run says aloud, as one text: the same in every format that streams it."""

from __future__ import annotations

from typing import Final

from agentgraph.events import AnswerCompleted, RunEvent, RunFinished, TextDelta

__all__ = ["AnswerText"]

_BETWEEN_ANSWERS: Final = "\n\n"


class AnswerText:
    """Turns the events of one run into pieces of text.

    A run that calls tools may say something before it does, and then answer: an empty line keeps the two apart.
    """

    def __init__(self) -> None:
        self._has_said = False
        self._is_between = False

    def piece(self, event: RunEvent) -> str:
        """Return what `event` adds to the text; `""` where it is nothing."""
        match event:
            case TextDelta():
                apart = _BETWEEN_ANSWERS if self._is_between else ""
                self._has_said, self._is_between = True, False
                return apart + event.text
            case AnswerCompleted():
                self._is_between = self._has_said
                return ""
            case RunFinished() if not self._has_said:  # a model that does not stream tells its answer only now
                return event.text
            case _:
                return ""
