"""What is owed is written once, in rounds; one tenant's trouble is its own, and the memory model's is nobody's."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.exceptions import ModelAuthenticationError, ModelConnectionError, ModelRateLimitError
from langchain_core.messages import AIMessage
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from agentgraph.errors import StoreUnavailableError
from agentgraph.memory import worker as worker_module
from agentgraph.memory.worker import MemoryWorker
from agentgraph.testing import ScriptedChatModel

SHARED = ("acme", "memory", "shared")


class Outbox:
    def __init__(self) -> None:
        self.items: dict[str, dict[int, dict[str, Any]]] = {}
        self.count = 0

    async def owed(self, tenant: str, *, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        await asyncio.sleep(0)
        return list(self.items.get(tenant, {}).items())[:limit]

    async def owe(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> None:
        for item in items:
            self.count += 1
            self.items.setdefault(tenant, {})[self.count] = dict(item)

    async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            del self.items[tenant][number]

    def add(self, tenant: str, *texts: str) -> None:
        rows = self.items.setdefault(tenant, {})
        for text in texts:
            self.count += 1
            rows[self.count] = {
                "namespace": [tenant, "memory", "shared"],
                "message_id": f"m{self.count}",
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
    monkeypatch.setattr(worker_module, "_FIRST_MODEL_PAUSE_S", 0.01)
    monkeypatch.setattr(worker_module, "_LONGEST_MODEL_PAUSE_S", 0.02)


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


def facts(store: InMemoryStore, tenant: str = "acme") -> list[str]:
    found = store.search((tenant, "memory"), filter={"kind": "fact"}, limit=100)
    return sorted(item.value["text"] for item in found)


def ledger(store: InMemoryStore) -> list[tuple[str, int, str | None]]:
    rows = store.search(("acme", "memory_ledger"), limit=100)
    return [(row.value["facts"], row.value["failures"], row.value["error"]) for row in rows]


def worker_with(store: InMemoryStore, outbox: Outbox, *script: Any, **options: Any) -> tuple[MemoryWorker, Any]:
    model = ScriptedChatModel(script=script[0] if callable(script[0]) else list(script))

    async def open_model() -> ScriptedChatModel:
        return model

    return MemoryWorker(store, outbox, open_model=open_model, **options), model


async def test_facts_follow_the_episodes_and_then_nothing_is_owed(answer, change) -> None:
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", "I like tea a lot.", "How are you?", "I like jam a lot.")
    worker, model = worker_with(store, outbox, answer(change("I like tea.")), answer(change("I like jam.")))
    worker.notify("acme")
    await worker.settled()
    assert facts(store) == ["I like jam.", "I like tea."]
    assert outbox.items["acme"] == {}
    assert model.unused == 0


async def test_a_question_does_not_wait_for_the_model() -> None:
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", "I like tea a lot.")

    async def never() -> ScriptedChatModel:
        await asyncio.sleep(60)
        raise AssertionError

    worker = MemoryWorker(store, outbox, open_model=never)
    worker.notify("acme", SHARED)
    assert await worker.caught_up([SHARED], timeout_s=5)
    outbox.add("acme", "I like jam a lot.")
    worker.notify("acme", SHARED)
    assert await worker.caught_up([SHARED], timeout_s=5)
    assert len(store.search(SHARED)) == 2


async def test_more_than_a_round_may_wait_for_the_model(monkeypatch: pytest.MonkeyPatch, answer) -> None:
    monkeypatch.setattr(worker_module, "_MESSAGES_A_ROUND", 2)
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", *(f"I like tea of sort {n}." for n in range(9)))
    worker, model = worker_with(store, outbox, *([answer()] * 9))
    worker.notify("acme")
    await worker.settled()
    assert len(store.search(SHARED, limit=100)) == 9
    assert model.unused == 0
    assert outbox.items["acme"] == {}


async def test_a_model_that_is_away_for_a_while_is_asked_again(answer, change, caplog) -> None:
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", "I like tea a lot.")
    busy = ModelRateLimitError("too many requests")
    worker, _ = worker_with(store, outbox, busy, busy, busy, busy, answer(change("I like tea.")))
    worker.notify("acme")
    await worker.settled()
    assert facts(store) == ["I like tea."]
    assert ledger(store) == [("learned", 4, "ModelRateLimitError")]
    assert "ModelRateLimitError" in caplog.text
    assert "tea" not in caplog.text


@pytest.mark.parametrize(
    ("fault", "calls"),
    [(AIMessage("no idea"), 3), (ModelAuthenticationError("bad key"), 3), (ModelRateLimitError("busy"), 6)],
)
async def test_a_model_that_goes_on_failing_is_given_up_and_the_ledger_says_so(fault, calls, answer, caplog) -> None:
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", "I like tea a lot.", "I like jam a lot.")
    worker, model = worker_with(store, outbox, *([fault] * calls), answer())
    worker.notify("acme")
    await worker.settled()
    assert model.unused == 0  # the next message had its turn
    assert len(store.search(SHARED)) == 2
    assert outbox.items["acme"] == {}
    name = "InvalidAnswerError" if isinstance(fault, AIMessage) else type(fault).__name__
    assert sorted(ledger(store), key=str) == [("given up", calls, name), ("learned", 0, None)]


async def test_a_model_that_hangs_is_left_after_a_time(answer, caplog) -> None:
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", "I like tea a lot.")
    model = ScriptedChatModel(script=[answer()])
    hangs = [True]

    async def open_model() -> ScriptedChatModel:
        if hangs.pop() if hangs else False:
            await asyncio.sleep(60)
        return model

    worker = MemoryWorker(store, outbox, open_model=open_model, model_timeout_s=0.05)
    worker.notify("acme")
    await worker.settled()
    assert ledger(store) == [("learned", 1, "TimeoutError")]


async def test_a_model_that_fails_one_tenant_holds_up_no_other(answer, change, caplog, monkeypatch) -> None:
    monkeypatch.setattr(worker_module, "_FIRST_MODEL_PAUSE_S", 60)
    monkeypatch.setattr(worker_module, "_LONGEST_MODEL_PAUSE_S", 60)
    store, outbox = InMemoryStore(), Outbox()
    tenants = ["acme", *(f"tenant-{n}" for n in range(9))]

    def script(messages: Any, tools: Any) -> Any:
        if "acme" in messages[-1].text:
            raise ModelConnectionError("away")
        return answer(change("I like tea."))

    worker, _ = worker_with(store, outbox, script)
    for tenant in tenants:
        outbox.add(tenant, f"I like tea, says {tenant}.")
        worker.notify(tenant)
    async with asyncio.timeout(5):
        while any(outbox.items[tenant] for tenant in tenants[1:]):  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)
    assert all(facts(store, tenant) for tenant in tenants[1:])
    await worker.aclose()
    assert len(outbox.items["acme"]) == 1
    assert len(store.search(SHARED)) == 1


async def test_a_crash_between_writing_and_settling_changes_nothing(answer, change) -> None:
    class Crashing(Outbox):
        async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
            if numbers:
                raise asyncio.CancelledError

    store, outbox = InMemoryStore(), Crashing()
    outbox.add("acme", "I like tea a lot.")
    worker, model = worker_with(store, outbox, answer(change("I like tea.")))
    worker.notify("acme")
    await worker.settled()
    before = store.search(("acme",), limit=100)
    assert (model.unused, len(before), len(outbox.items["acme"])) == (0, 3, 1)

    again = Outbox()
    again.items = outbox.items
    worker, model = worker_with(store, again, answer())
    worker.notify("acme")
    await worker.settled()
    assert (model.unused, again.items["acme"]) == (1, {})
    assert [item.dict() for item in store.search(("acme",), limit=100)] == [item.dict() for item in before]


async def test_closing_lets_the_model_finish_and_leaves_what_takes_too_long(answer, change, monkeypatch) -> None:
    store, outbox = InMemoryStore(), Outbox()
    outbox.add("acme", "I like tea a lot.")
    worker, _ = worker_with(store, outbox, answer(change("I like tea.")))
    worker.notify("acme")
    await worker.aclose()
    assert facts(store) == ["I like tea."]

    async def never() -> ScriptedChatModel:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(worker_module, "_CLOSING_TIMEOUT_S", 0.05)
    outbox.add("acme", "I like jam a lot.")
    worker = MemoryWorker(store, outbox, open_model=never)
    worker.notify("acme")
    await worker.aclose()
    assert len(store.search(SHARED, filter={"kind": "episode"})) == 2
    assert len(outbox.items["acme"]) == 1


async def test_the_stores_trouble_is_not_the_models(answer, change, caplog) -> None:
    caplog.set_level(logging.CRITICAL)

    class Away(InMemoryStore):
        times = 5

        async def abatch(self, ops: Any) -> Any:
            ops = list(ops)
            if self.times and any(isinstance(op, PutOp) and (op.value or {}).get("kind") == "fact" for op in ops):
                self.times -= 1
                raise StoreUnavailableError("the disk is away")
            return await super().abatch(ops)

    store, outbox = Away(), Outbox()
    outbox.add("acme", "I like tea a lot.")
    worker, _ = worker_with(store, outbox, *([answer(change("I like tea."))] * 6))
    worker.notify("acme")
    await worker.settled()
    assert ledger(store) == [("learned", 0, None)]
    assert facts(store) == ["I like tea."]
