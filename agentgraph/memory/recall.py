"""Find the memories a question needs: by meaning, by words and by time, with a receipt for each.

`find` gathers widely and `place_in_time` decides; the graph's `retrieve_memory` and `filter_by_time` are these two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final, cast

from langgraph.store.base import BaseStore, SearchItem, SearchOp

from agentgraph.memory.record import Recalled, WindowSpan, recalled_from, time_key
from agentgraph.stores.hybrid import HybridSearch
from agentgraph.temporal import Window

__all__ = ["find", "place_in_time"]

_WIDEN: Final = 4  # candidates per memory wanted: enough for the time filter to choose from
_NEAREST_OUTSIDE: Final = 2
# People tell of a day on the day after: a memory with no time of its own counts as of the window if recorded this near.
_SLACK: Final = timedelta(days=1)


async def find(
    store: BaseStore, namespaces: Sequence[tuple[str, ...]], question: str, windows: Sequence[Window], *, top_k: int
) -> list[Recalled]:
    """Gather candidates for `question` from leaf `namespaces`, the most relevant first.

    Besides the nearest by meaning and words, it fetches by window, so that nothing in the time asked about is lost for
    not being among the nearest.
    """
    limit = top_k * _WIDEN
    conditions: list[Mapping[str, Any] | None] = [None]
    for window in windows:
        overlapping = {
            "time_start": {"$lt": time_key(window.end, open_side="end")},
            "time_end": {"$gt": time_key(window.start, open_side="start")},
        }
        recorded = {
            "recorded_at": {
                "$gte": time_key(_shift(window.start, -_SLACK), open_side="start"),
                "$lt": time_key(_shift(window.end, _SLACK), open_side="end"),
            }
        }
        conditions += [overlapping, recorded]
    # Side by side: each waits for the store's threads, not for the others.
    rankings = await asyncio.gather(*(_ranked(store, namespaces, question, each, limit) for each in conditions))
    best: dict[tuple[str, ...], Recalled] = {}
    for memory in chain.from_iterable(rankings):
        identity = (*memory["namespace"], memory["key"])
        if identity not in best or memory["score"] > best[identity]["score"]:
            best[identity] = memory
    return sorted(best.values(), key=lambda memory: -memory["score"])


def place_in_time(
    candidates: Sequence[Recalled], windows: Sequence[WindowSpan], *, now: datetime, top_k: int
) -> tuple[list[Recalled], list[Recalled]]:
    """Split candidates into what enters the prompt and what is left out, each with its place in time and a reason.

    A memory whose own time overlaps the time asked about is inside, whatever day it was told on. One without a time of
    its own counts by the day it was recorded, and ranks below. Where nothing dated is inside, the nearest dated
    memories are kept and marked as outside: an empty window is said to be empty, never quietly filled. Of those, a
    question about the past is given the past, one about the future the future.
    """
    if not windows:
        kept, rest = _distinct(candidates)
        for memory in kept[:top_k]:
            memory |= {"placed": "any", "why": f"relevance {memory['score']:.2f}"}
        rest += kept[top_k:]
        return kept[:top_k], [memory | {"why": memory["why"] or f"beyond the best {top_k}"} for memory in rest]

    spans = [(_moment(window["start"]), _moment(window["end"])) for window in windows]
    asked = " or ".join(window["text"] for window in windows)
    inside: list[Recalled] = []
    undated: list[Recalled] = []
    outside: list[tuple[timedelta, Recalled]] = []
    left_out: list[Recalled] = []
    distinct, duplicates = _distinct(candidates)
    for memory in distinct:
        event = memory["event"]
        if event is not None:
            distance = min(_distance((_moment(event["start"]), _moment(event["end"])), span) for span in spans)
            if distance == timedelta(0):
                inside.append(memory | {"placed": "inside", "why": f"is about {event['text']}, within {asked}"})
            else:
                outside.append((distance, memory | {"placed": "outside", "why": f"is about {event['text']}"}))
            continue
        said = datetime.fromisoformat(memory["recorded_at"])
        distance = min(_distance((said, said), span) for span in spans)
        if distance <= _SLACK:
            undated.append(memory | {"placed": "undated", "why": f"names no time and was said within {asked}"})
        else:
            left_out.append(memory | {"placed": "undated", "why": f"names no time and was not said within {asked}"})
    outside.sort(key=lambda pair: (pair[0], -pair[1]["score"]))
    same_side = [memory for _, memory in outside if _same_side(memory, spans, now)]
    nearest = [] if inside else same_side[:_NEAREST_OUTSIDE]
    kept = [*inside, *nearest, *undated][:top_k]
    kept_keys = {memory["key"] for memory in kept}
    rest = [*inside, *(memory for _, memory in outside), *undated]
    left_out = [*(memory for memory in rest if memory["key"] not in kept_keys), *left_out, *duplicates]
    return kept, left_out


async def _ranked(
    store: BaseStore,
    namespaces: Sequence[tuple[str, ...]],
    question: str,
    condition: Mapping[str, Any] | None,
    limit: int,
) -> list[Recalled]:
    if isinstance(store, HybridSearch):
        ranked = await store.arank(namespaces, question, filter=condition, limit=limit)
        return [
            recalled_from(hit.item.value, namespace=hit.item.namespace, key=hit.item.key)
            | {"score": hit.fused, "dense": hit.dense, "lexical": hit.lexical}
            for hit in ranked
        ]
    # Any other LangGraph store: one search a leaf, whatever ranking it has.
    operations = [
        SearchOp(namespace, query=question, filter=None if condition is None else dict(condition), limit=limit)
        for namespace in namespaces
    ]
    answers = cast("list[list[SearchItem]]", await store.abatch(operations))
    return [
        recalled_from(item.value, namespace=item.namespace, key=item.key) | {"score": item.score or 0.0}
        for items in answers
        for item in items
    ]


def _distinct(candidates: Sequence[Recalled]) -> tuple[list[Recalled], list[Recalled]]:
    """Separate memories that say the same words about the same time from their newest telling."""
    newest: dict[tuple[str, str | None], Recalled] = {}
    for memory in candidates:
        event = memory["event"]
        identity = (" ".join(memory["text"].casefold().split()), None if event is None else event["start"])
        known = newest.get(identity)
        if known is None or memory["recorded_at"] > known["recorded_at"]:
            newest[identity] = memory
    chosen = {id(memory) for memory in newest.values()}
    duplicates = [memory | {"why": "said again later"} for memory in candidates if id(memory) not in chosen]
    return [memory for memory in candidates if id(memory) in chosen], duplicates


_Span = tuple[datetime | None, datetime | None]
_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_TOUCHING: Final = timedelta(microseconds=1)


def _distance(span: _Span, other: _Span) -> timedelta:
    """Return how far apart two half-open spans lie: zero where they overlap, more than zero where they only touch."""
    start, end = span[0] or _EARLIEST, span[1] or _LATEST
    other_start, other_end = other[0] or _EARLIEST, other[1] or _LATEST
    if start < other_end and (end > other_start or start == end == other_start):
        return timedelta(0)
    gap = start - other_end if start >= other_end else other_start - end
    return max(gap, _TOUCHING)


def _same_side(memory: Recalled, spans: Sequence[_Span], now: datetime) -> bool:
    event = memory["event"]
    if event is None:
        return False
    start, end = _moment(event["start"]) or _EARLIEST, _moment(event["end"]) or _LATEST
    if all((span[1] or _LATEST) <= now for span in spans):
        return start <= now
    if all((span[0] or _EARLIEST) >= now for span in spans):
        return end > now
    return True


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _shift(when: datetime | None, by: timedelta) -> datetime | None:
    return None if when is None else when + by
