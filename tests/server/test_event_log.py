"""What is kept of runs that have ended is bounded in size and in time, and costs the next run nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4
from weakref import ref

import pytest

from agentgraph.events import RunFinished, RunStarted, TextDelta, Usage
from agentgraph.run import RunRequest
from agentgraph.server import turns
from agentgraph.server.event_log import EventLog, EventLogs

ASKED = RunRequest.of("Hi.", tenant="acme")
TEXT = "x" * 5_000


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream(_: Any, __: Any) -> AsyncIterator[Any]:
        run_id = f"run-{uuid4().hex}"
        yield RunStarted(run_id=run_id, tenant="acme", thread=None, model="m")
        yield TextDelta(text=TEXT)
        ending: Any = {"message_id": "m", "text": "", "tool_calls": (), "finish_reason": "stop"}
        yield RunFinished(run_id=run_id, usage=Usage(), duration_ms=1.0, **ending)

    monkeypatch.setattr(turns, "stream", stream)


def kept(**bounds: Any) -> EventLogs:
    settings = SimpleNamespace(on_disconnect="continue")
    guard: Any = SimpleNamespace(spawn=asyncio.create_task, app=SimpleNamespace(settings=settings))
    return EventLogs(guard, **bounds)


async def ended(logs: EventLogs) -> EventLog:
    log = await logs.start(SimpleNamespace(), ASKED)  # type: ignore[arg-type]
    assert [number async for number, _ in log.read()] == [1, 2]
    await asyncio.sleep(0)
    return log


async def held(found: list[ref[EventLog]]) -> int:
    await asyncio.sleep(0)
    gc.collect()
    return sum(each() is not None for each in found)


async def test_a_log_that_had_to_make_room_is_let_go() -> None:
    logs = kept(most_bytes=30_000)
    found = [ref(await ended(logs)) for _ in range(20)]
    assert 2 <= await held(found) <= 5
    assert found[-1]() is not None


async def test_a_log_goes_when_its_time_is_over() -> None:
    logs = kept(kept_s=0.05)
    found = [ref(await ended(logs)) for _ in range(3)]
    await asyncio.sleep(0.2)
    assert await held(found) == 0


async def test_logs_of_nothing_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.TEXT", "x")
    logs = kept(most_bytes=30_000)
    found = [ref(await ended(logs)) for _ in range(50)]
    assert await held(found) < 15
