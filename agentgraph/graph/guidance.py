"""Tell a small model, right before the user's words, how to use what memory recalled.

Small models follow what stands nearest and go on as an answer began: so the guidance comes last and begins the answer
for them. "told me that you" turns a note's "I" into "you". Large models need none of it, and write better without: a
vendor's row in the catalogue says `needs_guidance`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agentgraph.memory.record import Recalled

__all__ = ["SMALL_MODEL_PROMPT", "guidance"]

SMALL_MODEL_PROMPT: Final = (
    "If the user only tells you something, say it back in one sentence: 'my' becomes 'your', 'I' becomes 'you'."
)
_ASKS: Final = re.compile(r"[?？؟]")
_ABOUT_OTHER_TIMES: Final = (
    'If the user asks about their own life or plans, answer in two sentences. First: "I know of nothing for {asked}." '
    'Second, from the nearest note and with its date: "The nearest is that your ..." or "The nearest is that you ..."'
)
_ABOUT_NOTHING: Final = 'If the user asks about their own life or plans, answer: "I know of nothing for {asked}."'
_ABOUT_THAT_TIME: Final = (
    "If the user asks about their own life or plans, answer from the notes about {asked}, every one that fits: "
    '"You told me that your ..." or "You told me that you ..."'
)
_ABOUT_UNKNOWN: Final = "If the question is about the user and the notes do not answer it, say that you do not know."
_ABOUT_NO_TIME: Final = (
    'If the notes answer the question, answer from them: "You told me that your ..." or "You told me that you ..." '
    + _ABOUT_UNKNOWN
)
_ABOUT_TOOLS: Final = "Call a tool where one can find the answer."
# A memory that matches less well than this happens to be the nearest; it is no answer.
_RELEVANT: Final = 0.25


def guidance(recalled: Sequence[Recalled], asked: str, message: str, *, has_tools: bool) -> str:
    """Return what to say between the context and the user's words.

    Args:
        recalled: The memories in the context.
        asked: The time the message speaks of, in words; empty where it speaks of none.
        message: The user's words.
        has_tools: Whether the model is shown tools.
    """
    if _ASKS.search(message) is None:
        return "The user says:"
    placed = {memory["placed"] for memory in recalled}
    if "inside" in placed:
        how = _ABOUT_THAT_TIME
    elif "outside" in placed:
        how = _ABOUT_OTHER_TIMES
    elif asked and not recalled:
        how = _ABOUT_NOTHING
    elif any(memory["score"] >= _RELEVANT for memory in recalled):
        how = _ABOUT_NO_TIME
    else:
        how = f"{_ABOUT_TOOLS} {_ABOUT_UNKNOWN}" if has_tools else _ABOUT_UNKNOWN
    return f"{how.replace('{asked}', asked)} The user asks:"
