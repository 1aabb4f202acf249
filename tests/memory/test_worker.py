"""What is owed is written once, in rounds, and one tenant's trouble is its own."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from agentgraph.errors import StoreUnavailableError
from agentgraph.memory import worker as worker_module
from agentgraph.memory.worker import MemoryWorker

SHARED = ("acme", "memory", "shared")


class Outbox:
    def __init__(self) -> None:
        self.items: dict[str, dict[int, dict[str, Any]]] = {}

    async def owed(self, tenant: str, *, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        await asyncio.sleep(0)
        return list(self.items.get(tenant, {}).items())[:limit]

    async def owe(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> None:
        for item in items:
            each = self.items.setdefault(tenant, {})
            each[len(each) + 1] = dict(item)

    async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            del self.items[tenant][number]

    def add(self, tenant: str, *texts: str) -> None:
        rows = self.items.setdefault(tenant, {})
        for text in texts:
            rows[len(rows) + 1] = {
                "namespace": [tenant, "memory", "shared"],
                "message_id": text,
                "thread": None,
                "run_id": "r",
                "text": text,
                "speaker": "user",
                "said_at": "2026-03-02T12:00:00+00:00",
                "zone": "UTC",
            }


class Failing(InMemoryStore):
    def __init__(self, tenant: str, times: int) -> None:
        super().__init__()
        self.tenant, self.times, self.writes = tenant, times, 0

    async def abatch(self, ops: Any) -> Any:
        ops = list(ops)
        self.writes += any(isinstance(op, PutOp) for op in ops)
        if ops and ops[0].namespace[0] == self.tenant and self.times > 0:
            self.times -= 1
            raise StoreUnavailableError("the disk is away")
        return await super().abatch(ops)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE_S", 0.01)


async def test_what_waits_is_written_together() -> None:
    store, outbox = Failing("", 0), Outbox()
    outbox.add("acme", "I like tea a lot.", "I like jam a lot.", "I like rye a lot.")
    worker = MemoryWorker(store, outbox)
    worker.notify("acme")
    await worker.settled()
    assert len(store.search(SHARED)) == 3
    assert store.writes == 1
    assert outbox.items["acme"] == {}


async def test_a_failing_store_is_tried_again_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    store, outbox = Failing("acme", 3), Outbox()
    outbox.add("acme", "I like tea a lot.")
    outbox.add("globex", "I like jam a lot.")
    worker = MemoryWorker(store, outbox)
    worker.notify("acme")
    worker.notify("globex")
    await worker.settled()
    assert len(store.search(SHARED)) == len(store.search(("globex", "memory", "shared"))) == 1


async def test_a_question_right_after_a_statement_waits_for_it() -> None:
    store, outbox = Failing("", 0), Outbox()
    outbox.add("acme", "I like tea a lot.")
    worker = MemoryWorker(store, outbox)
    space = ("acme", "memory", "shared")
    worker.notify("acme", space)
    assert await worker.caught_up([("acme", "memory", "user", "bob")], timeout_s=5)
    assert store.search(SHARED) == []
    assert await worker.caught_up([space], timeout_s=5)
    assert len(store.search(SHARED)) == 1


async def test_waiting_ends_when_the_time_is_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    store, outbox = Failing("acme", 10**6), Outbox()
    outbox.add("acme", "I like tea a lot.")
    worker = MemoryWorker(store, outbox)
    worker.notify("acme", ("acme", "memory", "shared"))
    assert not await worker.caught_up([("acme", "memory", "shared")], timeout_s=0.05)
    await worker.aclose()
    assert outbox.items["acme"]


async def test_closing_writes_what_is_still_owed() -> None:
    store, outbox = Failing("", 0), Outbox()
    outbox.add("acme", "I like tea a lot.")
    worker = MemoryWorker(store, outbox)
    worker.notify("acme")
    await worker.aclose()
    assert len(store.search(SHARED)) == 1
