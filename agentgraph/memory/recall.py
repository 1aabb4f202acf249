"""Find the memories a question needs: by meaning, by words, by who said them and by time, with a receipt for each.

`find` gathers widely and `place_in_time` chooses; the graph's `retrieve_memory` and `filter_by_time` are these two, and
`recall` is both for everybody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final, TypedDict, cast

from langgraph.store.base import BaseStore, Item, SearchItem, SearchOp

from agentgraph.memory.choose import place_in_time
from agentgraph.memory.question import Question, understood
from agentgraph.memory.record import Recalled, WindowSpan, recalled_from, span_of, time_key
from agentgraph.memory.relevance import SLACK, boosted, moment_of
from agentgraph.scope import history_namespace
from agentgraph.stores.hybrid import HybridSearch
from agentgraph.temporal import Window

__all__ = ["Recall", "find", "pinned_notes", "recall"]

# Of the best by words and meaning, this many are looked at again; more changed nothing (`docs/memory.md`).
_FEWEST: Final = 40
_PER_MEMORY: Final = 4
_FEWEST_IN_WINDOW: Final = 12
_MOST_WINDOWS: Final = 4

Namespace = tuple[str, ...]
_Search = tuple[Mapping[str, Any] | None, int]


class _Scores(TypedDict):
    score: float
    dense: float | None
    lexical: float | None
    context: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What came of a question to memory.

    Attributes:
        windows: The times it was understood to speak of.
        kept: The memories that answer it, the best first, each with its receipt.
        left_out: The other candidates, each with the reason.
    """

    windows: list[WindowSpan]
    kept: list[Recalled]
    left_out: list[Recalled]


async def recall(
    store: BaseStore,
    namespaces: Sequence[Namespace],
    question: str,
    *,
    now: datetime,
    zone: str,
    top_k: int,
    max_tokens: int | None = None,
    as_of: datetime | None = None,
    temporal_awareness: bool = True,
) -> Recall:
    """Answer `question` from leaf `namespaces` as a run would.

    Args:
        store: Where memories are; one that is a `HybridSearch` ranks best.
        namespaces: Leaves to read, from `Scope.read_namespaces`.
        question: Free text.
        now: The moment it is asked at, aware.
        zone: IANA name of the speaker's zone.
        top_k: How many memories are kept at the most.
        max_tokens: How long they may be together.
        as_of: Read memory as it was then.
        temporal_awareness: Whether words of time are understood.

    Raises:
        InvalidInputError: There is no such zone.
    """
    asked = understood(question, now=now, zone=zone, as_of=as_of, temporal_awareness=temporal_awareness)
    candidates = await find(store, namespaces, asked, top_k=top_k)
    windows = [span_of(window, zone) for window in asked.windows]
    kept, left_out = place_in_time(candidates, windows, now=now, top_k=top_k, max_tokens=max_tokens)
    return Recall(windows=windows, kept=kept, left_out=left_out)


async def find(store: BaseStore, namespaces: Sequence[Namespace], question: Question, *, top_k: int) -> list[Recalled]:
    """Gather candidates for `question` from leaf `namespaces`, the most relevant first.

    Besides the nearest by meaning and words, it fetches by window, so that nothing in the time asked about is lost for
    not being among the nearest.
    """
    depth, in_window = max(_FEWEST, top_k * _PER_MEMORY), max(_FEWEST_IN_WINDOW, top_k * 2)
    leaves = list(namespaces)
    searches: list[_Search] = [(None, depth)]
    if question.as_of is not None:
        leaves += map(history_namespace, namespaces)
        searches.append(({"recorded_at": {"$lte": time_key(question.as_of)}}, depth))
    searches += [
        (condition, in_window) for window in question.windows[:_MOST_WINDOWS] for condition in _conditions(window)
    ]
    found = await _found(store, leaves, question.text, searches)
    known = (memory for memory in found if _was_known(memory, question.as_of))
    return sorted((boosted(memory, question) for memory in known), key=lambda memory: -memory["score"])


async def pinned_notes(store: BaseStore, namespaces: Sequence[Namespace], *, limit: int) -> list[Recalled]:
    """Return the notes of leaf `namespaces` that are there whatever is asked: the latest written, the latest first."""
    operations = [SearchOp(namespace, limit=limit, refresh_ttl=False) for namespace in namespaces]
    answers = cast("list[list[SearchItem]]", await store.abatch(operations))
    items = sorted(chain.from_iterable(answers), key=lambda item: item.updated_at, reverse=True)
    return [
        recalled_from(item.value, namespace=item.namespace, key=item.key)
        | {"placed": "pinned", "why": "a note, kept at hand"}
        for item in items[:limit]
    ]


def _conditions(window: Window) -> Iterator[Mapping[str, Any]]:
    """Yield what fetches the memories that speak of `window`, and those recorded within it."""
    yield {
        "time_start": {"$lt": time_key(window.end, open_side="end")},
        "time_end": {"$gt": time_key(window.start, open_side="start")},
    }
    yield {
        "recorded_at": {
            "$gte": time_key(_shift(window.start, -SLACK), open_side="start"),
            "$lt": time_key(_shift(window.end, SLACK), open_side="end"),
        }
    }


async def _found(
    store: BaseStore, namespaces: Sequence[Namespace], question: str, searches: Sequence[_Search]
) -> list[Recalled]:
    """Return what the searches find, each memory once, with the scores of the search that ranks it best."""
    scored: Iterable[tuple[Item, _Scores]]
    if isinstance(store, HybridSearch):
        rankings = await store.arank_each(namespaces, question, searches)
        scored = (
            (hit.item, {"score": hit.fused, "dense": hit.dense, "lexical": hit.lexical, "context": hit.context})
            for hit in chain.from_iterable(rankings)
        )
    else:
        # Any other LangGraph store: one search a leaf, whatever ranking it has.
        operations = [
            SearchOp(namespace, query=question, filter=None if condition is None else dict(condition), limit=limit)
            for condition, limit in searches
            for namespace in namespaces
        ]
        answers = cast("list[list[SearchItem]]", await store.abatch(operations))
        unknown: _Scores = {"score": 0.0, "dense": None, "lexical": None, "context": 0.0}
        scored = ((item, {**unknown, "score": item.score or 0.0}) for item in chain.from_iterable(answers))
    best: dict[tuple[str, ...], tuple[Item, _Scores]] = {}
    for item, scores in scored:
        identity = (*item.namespace, item.key)
        if identity not in best or scores["score"] > best[identity][1]["score"]:
            best[identity] = item, scores
    return [
        cast("Recalled", {**recalled_from(item.value, namespace=item.namespace, key=item.key), **scores})
        for item, scores in best.values()
    ]


def _was_known(memory: Recalled, as_of: datetime | None) -> bool:
    """Say whether `memory` was known, and not yet superseded, at a moment of the past."""
    if as_of is None:
        return True
    first = moment_of(memory["first_recorded_at"] or memory["recorded_at"] or None)
    end = moment_of(memory["valid_until"])
    return (first is None or first <= as_of) and (end is None or end > as_of)


def _shift(when: datetime | None, by: timedelta) -> datetime | None:
    return None if when is None else when + by
