"""Threads for what blocks: bounded, shared fairly, and left behind rather than waited for."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agentgraph.errors import ToolError
from agentgraph.tools.worker_threads import WorkerThreads

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Hold threads; what a test left hanging ends with it."""
    event = threading.Event()
    yield event
    event.set()


async def given_up(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_is_done_in_the_callers_context() -> None:
    WHO.set("ann")
    assert await WorkerThreads().run(WHO.get, owner="a") == "ann"


@pytest.mark.parametrize(
    ("error", "told"),
    [(ValueError("no"), ValueError), (KeyboardInterrupt(), ToolError), (SystemExit(3), ToolError)],
)
async def test_what_it_raises_is_raised_unless_it_would_end_the_process(
    error: BaseException, told: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(told):
        await WorkerThreads().run(fail, owner="a")


async def test_an_end_of_iteration_is_an_error_like_any() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        async with asyncio.timeout(5):
            await WorkerThreads().run(lambda: next(iter(())), owner="a")


async def test_what_hangs_takes_nobodys_place_once_it_was_given_up(gate: threading.Event) -> None:
    threads = WorkerThreads(most=1, most_each=1)
    hanging = asyncio.create_task(threads.run(gate.wait, owner="a"))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(threads.run(lambda: "done", owner="b"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await given_up(hanging)
    async with asyncio.timeout(5):
        assert await waiting == "done"


async def test_one_owner_takes_no_more_than_its_share(gate: threading.Event) -> None:
    threads = WorkerThreads(most=4, most_each=2)
    hanging = [asyncio.create_task(threads.run(gate.wait, owner="a")) for _ in range(9)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert await threads.run(lambda: "done", owner="b") == "done"
    gate.set()
    assert await asyncio.gather(*hanging) == [True] * 9


async def test_work_given_up_before_it_began_never_begins(gate: threading.Event) -> None:
    threads, done = WorkerThreads(most=1), []
    hanging = asyncio.create_task(threads.run(gate.wait, owner="a"))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(threads.run(lambda: done.append(1), owner="b"))
    await asyncio.sleep(0.01)
    await given_up(waiting)
    gate.set()
    assert await hanging
    assert await threads.run(lambda: "done", owner="b") == "done"
    assert done == []


async def test_an_owner_that_leaves_too_much_behind_is_refused_until_it_ends(gate: threading.Event) -> None:
    threads = WorkerThreads(most_each=2)
    for _ in range(2):
        hanging = asyncio.create_task(threads.run(gate.wait, owner="a"))
        await asyncio.sleep(0.01)
        await given_up(hanging)
    with pytest.raises(ToolError, match="2 earlier calls still hang"):
        await threads.run(lambda: "done", owner="a")
    assert await threads.run(lambda: "done", owner="b") == "done"
    gate.set()
    async with asyncio.timeout(5):
        while True:
            with suppress(ToolError):
                assert await threads.run(lambda: "done", owner="a") == "done"
                return
            await asyncio.sleep(0.01)


async def test_no_process_waits_for_them_at_its_end() -> None:
    assert await WorkerThreads().run(lambda: threading.current_thread().daemon, owner="a")


async def test_a_system_without_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = WorkerThreads()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(ToolError, match="can't start new thread"):
            await threads.run(lambda: "done", owner="a")
    assert await threads.run(lambda: "done", owner="a") == "done"
