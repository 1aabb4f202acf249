"""Memories along time: each where what it speaks of began, or else where it was recorded."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from langgraph.store.base import BaseStore

from agentgraph.memory.kept import walk_memories
from agentgraph.memory.record import time_key
from agentgraph.memory.stored import Memory, Namespace, memory_from
from agentgraph.stores.walk import WalkableStore

__all__ = ["TimelineEntry", "line_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """A memory's place in time.

    Attributes:
        memory: Which.
        at: Where what it speaks of begins; where that has no beginning ("until 20 April"), the moment it is over.
        clock: What gave the place: what the memory speaks of, or when it was recorded.
    """

    memory: Memory
    at: datetime
    clock: Literal["event", "recorded"]


async def line_up(
    store: BaseStore,
    places: Sequence[Namespace],
    *,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    now: datetime,
) -> list[TimelineEntry]:
    """Return up to `limit` memories below `places` that overlap `[start, end)`, the earliest first.

    Args:
        store: Any; one that is no `WalkableStore` is read through.
        places: Prefixes, all of one tenant.
        start: `None` for no bound.
        end: `None` for no bound.
        limit: How many.
        now: What has expired by then is left out.
    """
    first = None if start is None else time_key(start)
    last = None if end is None else time_key(end)
    if isinstance(store, WalkableStore):
        items = await store.aline_up(places, start=first, end=last, limit=limit)
        memories = [memory_from(item) for item in items]
    else:
        within = [memory async for memory in walk_memories(store, places) if _overlaps(memory, first, last)]
        memories = heapq.nsmallest(limit, within, key=_began)
    entries = [
        TimelineEntry(memory=memory, at=at, clock="recorded" if memory.event is None else "event")
        for memory in memories
        if (at := _when(memory)) is not None and not memory.has_ended(now)
    ]
    # Stores line up by where things began; what has no beginning stands at its end.
    return sorted(entries, key=lambda entry: entry.at)


def _when(memory: Memory) -> datetime | None:
    if memory.event is None:
        return memory.recorded_at
    began = memory.event["start"] or memory.event["end"]  # what is open at its beginning stands at its end
    return memory.recorded_at if began is None else datetime.fromisoformat(began)


def _began(memory: Memory) -> str:
    return str(memory.value["recorded_at" if memory.event is None else "time_start"])


def _overlaps(memory: Memory, first: str | None, last: str | None) -> bool:
    ends = str(memory.value["recorded_at" if memory.event is None else "time_end"])
    is_over = first is not None and (ends < first if memory.event is None else ends <= first)
    return not is_over and (last is None or _began(memory) < last)
