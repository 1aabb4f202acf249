"""What makes a memory more relevant than its words and meaning do: who said it, and when.

Each boost is added to the store's score, in its scale of 0 to 1. They were fitted together with the weights of
`stores/ranking.py`, on the same data, and rounded; `docs/memory.md` says what each brings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from agentgraph.memory.question import Question
from agentgraph.memory.record import Recalled

__all__ = ["SLACK", "Span", "boosted", "distance", "moment_of", "spans_of"]

Span = tuple[datetime | None, datetime | None]
SLACK: Final = timedelta(days=1)
"""People tell of a day on the day after: what was recorded this near a window counts as told within it."""

_NAMED: Final = 0.11  # the question names who said it
_TOLD_THEN: Final = 0.12  # said within the time asked about, give or take `SLACK`
_ABOUT_THEN: Final = 0.065  # speaks of the time asked about
_ASSISTANT: Final = -0.085  # the user's own words tell more of the user …
_ASSISTANT_ASKED: Final = -0.03  # … unless the question asks for the assistant's
_ROLES: Final = frozenset({"user", "assistant"})
_WORD: Final = re.compile(r"[^\W_]+")

_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_TOUCHING: Final = timedelta(microseconds=1)


def boosted(memory: Recalled, question: Question) -> Recalled:
    """Return `memory` with its boosts, each by its name, and its score with them."""
    boosts: dict[str, float] = {}
    speaker = memory["speaker"]
    if speaker == "assistant":
        boosts["assistant"] = _ASSISTANT_ASKED if question.asks_of_assistant else _ASSISTANT
    elif speaker not in _ROLES and not question.names.isdisjoint(map(str.casefold, _WORD.findall(speaker))):
        boosts["named"] = _NAMED
    if question.windows:
        spans: list[Span] = [(window.start, window.end) for window in question.windows]
        said = moment_of(memory["recorded_at"] or None)
        if said is not None and min(distance((said, said), span) for span in spans) <= SLACK:
            boosts["told_then"] = _TOLD_THEN
        if any(distance(event, span) == timedelta(0) for event in spans_of(memory) for span in spans):
            boosts["about_then"] = _ABOUT_THEN
    score = min(1.0, max(0.0, memory["score"] + sum(boosts.values())))
    return memory | {"boosts": boosts, "score": score}


def spans_of(memory: Recalled) -> list[Span]:
    """Return the times `memory` speaks of, the main one first."""
    event = memory["event"]
    named = [] if event is None else [(event["start"], event["end"]), *memory["other_times"]]
    return [(moment_of(start), moment_of(end)) for start, end in named]


def distance(span: Sequence[datetime | None], other: Sequence[datetime | None]) -> timedelta:
    """Return how far apart two half-open spans lie: zero where they overlap, more than zero where they only touch."""
    start, end = span[0] or _EARLIEST, span[1] or _LATEST
    other_start, other_end = other[0] or _EARLIEST, other[1] or _LATEST
    if start < other_end and (end > other_start or start == end == other_start):
        return timedelta(0)
    gap = start - other_end if start >= other_end else other_start - end
    return max(gap, _TOUCHING)


@lru_cache(maxsize=8_192)  # a receipt's moments are read several times, and by the next question again
def moment_of(text: str | None) -> datetime | None:
    """Read an ISO moment; `None` stays `None`."""
    return None if text is None else datetime.fromisoformat(text)
