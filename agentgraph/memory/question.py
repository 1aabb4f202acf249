"""What a question asks of memory besides its words: which times, whose words, and as of when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentgraph.temporal import Window, resolve

__all__ = ["Question", "understood"]

_WORD: Final = re.compile(r"[^\W_]+")
_YOU: Final = frozenset({"you", "your", "yours", "assistant", "we", "our"})
_TOLD: Final = re.compile(
    r"\b(?:t[eo]ll|told|recommend\w*|suggest\w*|sa(?:id|y)|mention\w*|provid\w*|g[ia]ve|list(?:ed)?|describ\w*|explain\w*"
    r"|advi[cs]e\w*|remind\w*|previous(?:ly)?|earlier|conversations?|chats?|discuss\w*|talk\w*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, understood.

    Attributes:
        text: Its words.
        windows: The times it speaks of, as its speaker means them.
        now: The moment it is asked at.
        zone: The speaker's time zone.
        as_of: What was recorded later does not count, what has been superseded since does; `None` reads the present.
        names: Its words, folded: a memory's speaker may be among them.
        asks_of_assistant: Whether it asks what the assistant said ("What did you recommend?").
    """

    text: str
    windows: tuple[Window, ...]
    now: datetime
    zone: str
    as_of: datetime | None
    names: frozenset[str]
    asks_of_assistant: bool


def understood(
    text: str, *, now: datetime, zone: str, as_of: datetime | None = None, temporal_awareness: bool = True
) -> Question:
    """Read `text`; without `temporal_awareness`, words of time are words like any other.

    Raises:
        InvalidInputError: There is no such zone.
    """
    names = frozenset(word.casefold() for word in _WORD.findall(text))
    return Question(
        text=text,
        windows=tuple(resolve(text, now=now, zone=zone)) if temporal_awareness else (),
        now=now,
        zone=zone,
        as_of=as_of,
        names=names,
        asks_of_assistant=not names.isdisjoint(_YOU) and _TOLD.search(text) is not None,
    )
