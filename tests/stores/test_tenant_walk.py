"""Going through a tenant's items, page by page and along time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langgraph.store.base import GetOp, PutOp

from agentgraph.stores.faiss import FaissStore
from agentgraph.stores.walk import WalkableStore
from agentgraph.testing import HashEmbeddings

ANN = ("acme", "memory", "user", "ann")
BOB = ("acme", "memory", "user", "bob")
NEVER = {"time_start": "9" * 15, "time_end": "0" * 15}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[FaissStore]:
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), clock=clock) as opened:
        yield opened


def key(number: int) -> str:
    return f"{number:015d}"


async def walked(store: FaissStore, prefix: tuple[str, ...], limit: int) -> list[str]:
    keys, after = [], 0
    while after is not None:
        items, after = await store.awalk(prefix, after=after, limit=limit)
        keys += [item.key for item in items]
    return keys


async def test_a_walk_visits_every_item_once_in_the_order_written(store: FaissStore) -> None:
    await store.abatch([PutOp(ANN if n % 2 else BOB, f"k{n}", {"text": f"number {n}"}) for n in range(11)])
    await store.abatch([PutOp(("acme", "memories", "x"), "other", {"text": "no memory"})])

    assert await walked(store, ("acme", "memory"), 4) == [f"k{n}" for n in range(11)]
    assert await walked(store, ANN, 100) == [f"k{n}" for n in range(1, 11, 2)]
    assert await walked(store, ("globex", "memory"), 4) == []
    assert isinstance(store, WalkableStore)


async def test_a_walk_passes_over_what_expired(store: FaissStore, clock: Clock) -> None:
    await store.abatch([PutOp(ANN, "brief", {"text": "soon gone"}, ttl=1), PutOp(ANN, "lasting", {"text": "stays"})])
    clock.now += 61

    assert await walked(store, ANN, 10) == ["lasting"]


async def test_a_line_of_time_goes_by_the_event_and_else_by_the_recording(store: FaissStore) -> None:
    values = {
        "told": {"text": "a", "recorded_at": key(20), **NEVER},
        "early": {"text": "b", "recorded_at": key(90), "time_start": key(10), "time_end": key(12)},
        "late": {"text": "c", "recorded_at": key(5), "time_start": key(30), "time_end": key(31)},
    }
    await store.abatch([PutOp(ANN, name, value) for name, value in values.items()])

    async def line(start: int | None, end: int | None, limit: int = 10) -> list[str]:
        bounds = [None if bound is None else key(bound) for bound in (start, end)]
        return [item.key for item in await store.aline_up([ANN], start=bounds[0], end=bounds[1], limit=limit)]

    assert await line(None, None) == ["early", "told", "late"]
    assert await line(None, None, limit=2) == ["early", "told"]
    assert await line(11, 21) == ["early", "told"]
    assert await line(12, None) == ["told", "late"]


async def test_a_value_with_an_end_of_its_own_is_not_kept_alive_by_reading(store: FaissStore, clock: Clock) -> None:
    await store.abatch([PutOp(ANN, "k", {"text": "a", "expires_at": key(1)}, ttl=2), PutOp(ANN, "l", {"t": 1}, ttl=2)])
    for _ in range(2):
        clock.now += 61
        found = await store.abatch([GetOp(ANN, "k"), GetOp(ANN, "l")])

    assert [item is None for item in found] == [True, False]
