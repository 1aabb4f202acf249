"""Know where a thread's archive stands in its conversation: what is live lies after it, or on both its sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage

from agentgraph.stores.threads.archive import Archived

__all__ = ["Departure", "archive_gap", "departure", "whole_history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What a thread's state and archive gain when messages leave its live window.

    Attributes:
        archived: The messages, each with the one that stood before it.
        tail: The archive's newest message.
        after: The live message that stands before the archive's oldest; `None` where the archive is the beginning.
    """

    archived: list[Archived]
    tail: str | None
    after: str | None


def archive_gap(live: Sequence[BaseMessage], tail: str | None, after: str | None) -> int | None:
    """Return the index in `live` before which the archive stands; `None` where nothing is archived."""
    return None if tail is None else _place(live, after)


def departure(live: Sequence[BaseMessage], leaving: range, *, tail: str | None, after: str | None) -> Departure:
    """Return what the archive gains when `leaving` leaves `live`, a stretch that adjoins the archive, if there is one.

    Args:
        live: The live window, oldest first.
        leaving: Indices of `live`, not empty.
        tail: The archive's newest message before.
        after: The live message that stood before the archive's oldest before.
    """
    gap = archive_gap(live, tail, after)

    def previous(i: int) -> str | None:
        return tail if i == gap else live[i - 1].id if i else None

    begins = leaving.start if gap is None else min(gap, leaving.start)
    is_newest = gap is None or leaving.stop > gap
    return Departure(
        archived=[{"previous": previous(i), "message": live[i]} for i in leaving],
        tail=live[leaving.stop - 1].id if is_newest else tail,
        after=live[begins - 1].id if begins else None,
    )


def whole_history(
    live: Sequence[BaseMessage], archived: Sequence[BaseMessage], first_previous: str | None
) -> list[BaseMessage]:
    """Return a conversation in its order: the head that was kept, the archive, the rest.

    Args:
        live: The live window, oldest first.
        archived: What left it, oldest first.
        first_previous: What stands before the oldest archived message: `archive_after` of the state.
    """
    place = _place(live, first_previous)
    return [*live[:place], *archived, *live[place:]]


def _place(live: Sequence[BaseMessage], after: str | None) -> int:
    """Return the index past `after`; 0 where it is not live."""
    if after is None:
        return 0
    return next((i + 1 for i, message in enumerate(live) if message.id == after), 0)
