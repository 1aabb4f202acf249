"""One call is run to an answer, whatever the tool does: nothing is raised, nothing is waited for past its time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, ToolException, tool
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import BaseModel

from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.output import Output
from agentgraph.tools.taint import MARK
from agentgraph.tools.worker_threads import WorkerThreads


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Hold threads; what a test left hanging ends with it."""
    event = threading.Event()
    yield event
    event.set()


def made(function: Any, **options: Any) -> BaseTool:
    function.__doc__ = function.__doc__ or "Do it."
    is_async = asyncio.iscoroutinefunction(function)
    given = {"coroutine": function} if is_async else {"func": function}
    return StructuredTool.from_function(**given, **options)


async def ran(function: Any, /, runner: ToolRunner | None = None, tool: Any = None, **arguments: Any) -> Output:
    async with asyncio.timeout(20):
        return await (runner or ToolRunner(timeout_s=0.2)).run(tool or made(function), arguments)


# Time


async def test_a_tool_that_blocks_for_ever_holds_nothing_up(gate: threading.Event) -> None:
    def hang() -> None:
        gate.wait()

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    output = await ran(hang)
    ticking.cancel()
    assert output == Output(content="The tool 'hang' did not answer within 0.2 seconds.", status="error")
    assert ticks > 3


async def test_hanging_calls_leave_the_loops_own_threads_to_others(gate: threading.Event) -> None:
    def hang() -> None:
        gate.wait()

    runner, hanging = ToolRunner(timeout_s=0.3), made(hang)
    calls = [asyncio.create_task(runner.run(hanging, {})) for _ in range(100)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(lambda: "free") == "free"
        assert (await ran(lambda: None, tool=made(quick), runner=runner)).content == "done"
    assert {output.status for output in await asyncio.gather(*calls)} == {"error"}
    assert "still hang" in str((await runner.run(hanging, {})).content)


def quick() -> str:
    """Be quick."""
    return "done"


async def test_a_tool_deaf_to_being_cancelled_is_left_behind() -> None:
    ended = asyncio.Event()

    async def deaf() -> str:
        while not ended.is_set():
            try:
                await asyncio.wait_for(ended.wait(), 10)
            except asyncio.CancelledError:
                continue
        raise ValueError("and nobody hears of it")

    started = time.perf_counter()
    assert "did not answer" in str((await ran(deaf)).content)
    assert time.perf_counter() - started < 5
    ended.set()
    await asyncio.sleep(0.01)


async def test_a_tool_that_is_cut_off_may_close_what_it_opened() -> None:
    closed = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    await ran(slow)
    assert closed == [True]


async def test_a_run_that_is_cancelled_cancels_its_tool() -> None:
    begun, heard = asyncio.Event(), []

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append(True)
            raise

    running = asyncio.create_task(ToolRunner().run(made(slow), {}))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert heard == [True]


async def test_a_timeout_of_the_tools_own_is_its_failure() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)

    assert (await ran(impatient)).content == "The tool 'impatient' failed: TimeoutError"


# What is told


class Silent:
    def __str__(self) -> str:
        raise ValueError("/root/secret")


class Endless:
    gate: threading.Event

    def __str__(self) -> str:
        self.gate.wait()
        return "never"


async def answers(result: Any, **options: Any) -> str:
    async def give() -> Any:
        return result

    output = await ran(give, **options)
    assert isinstance(output.content, str)
    return output.content


async def test_a_result_that_cannot_say_what_it_is_is_told_as_such() -> None:
    text = "The tool 'give' ran, but what it returned could not be put into words (ValueError): Silent"
    assert await answers(Silent()) == text
    assert (await answers([1, Silent()])).startswith("[1, <")


async def test_a_result_that_never_ends_saying_what_it_is_holds_nothing_up(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgraph.tools.execution._WORDS_S", 0.2)
    Endless.gate = gate
    assert "could not be put into words (ToolTimeoutError)" in await answers(Endless())
    assert "could not be put into words (ToolTimeoutError)" in await answers({"a": Endless()})

    def blocking() -> Any:
        return Endless()

    assert "could not be put into words" in str((await ran(blocking)).content)


async def test_a_huge_result_is_told_in_no_time() -> None:
    started = time.perf_counter()
    words = await answers({"rows": range(10**12), "more": [list(range(1000))] * 100_000})
    assert words.startswith('{"rows": "range(0, 1000000000000)", "more": [[0, 1,')
    assert words.endswith("[cut here: there is more; ask for less]")
    assert time.perf_counter() - started < 2


async def test_a_tools_own_message_keeps_its_status_and_its_mark() -> None:
    message = ToolMessage("no", tool_call_id="c", status="error", additional_kwargs={MARK: True})

    async def give() -> ToolMessage:
        return message

    assert await ran(give) == Output(content="no", status="error", is_untrusted=True)


async def test_of_a_graphs_command_the_answer_is_told() -> None:
    async def move() -> Any:
        return Command(goto="elsewhere", update={"messages": [ToolMessage("moved", tool_call_id="")]})

    assert (await ran(move)).content == "moved"


async def test_pictures_are_told_to_models_that_read_them() -> None:
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}

    async def draw() -> Any:
        return [image]

    assert (await ToolRunner().run(made(draw), {}, media={"image"})).content == [image]
    assert (await ToolRunner().run(made(draw), {})).content == "[image image/png, 1 kB, which cannot be shown here]"


# Failures


async def test_a_failure_is_told_without_the_machine() -> None:
    def fail() -> None:
        raise OSError("cannot read /srv/keys with token=hunter2")

    output = await ran(fail)
    assert output.status == "error"
    assert output.content == "The tool 'fail' failed: OSError: cannot read [path] with token=[hidden]"


async def test_a_failure_that_cannot_say_what_it_is_is_told_by_name() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError

    async def fail() -> None:
        raise MuteError

    assert (await ran(fail)).content == "The tool 'fail' failed: MuteError"


async def test_a_tool_cannot_end_the_process() -> None:
    async def leave() -> None:
        raise SystemExit(1)

    def leave_too() -> None:
        raise SystemExit(1)

    assert (await ran(leave)).content == "The tool 'leave' failed: it tried to end the process"
    assert "leave_too" in str((await ran(leave_too)).content)


async def test_a_tool_that_cancels_itself_has_failed() -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    assert (await ran(cancel)).content == "The tool 'cancel' failed: it was cancelled from within"


async def test_a_tool_that_interrupts_is_told_apart_from_one_that_failed() -> None:
    async def ask() -> Any:
        raise GraphInterrupt

    assert "cannot be asked" in str((await ran(ask)).content)


@pytest.mark.parametrize(("handles", "words"), [(True, "not today"), ("Try later.", "Try later.")])
async def test_a_tool_may_word_its_own_failures(handles: Any, words: str) -> None:
    async def refuse() -> None:
        raise ToolException("not today")

    output = await ran(None, tool=made(refuse, handle_tool_error=handles))
    assert output == Output(content=words, status="error")


# Arguments


class Order(BaseModel):
    item: str
    count: int = 1


async def order(orders: list[Order], by: float) -> str:
    """Order."""
    return f"{orders} {by}"


async def test_arguments_are_coerced_as_pydantic_does() -> None:
    output = await ran(order, orders=[{"item": "tea", "count": "2"}], by="1.5")
    assert output.content == "[Order(item='tea', count=2)] 1.5"


async def test_arguments_that_do_not_fit_are_told() -> None:
    output = await ran(order, orders=[{"count": "many"}])
    assert output.status == "error"
    assert "orders.0.item: Field required" in output.content
    assert "by: Field required" in output.content


async def test_a_tools_own_validation_is_not_the_models_fault() -> None:
    async def parse() -> None:
        Order.model_validate({})

    assert str((await ran(parse)).content).startswith("The tool 'parse' failed: ValidationError:")


async def test_an_argument_may_look_like_a_call() -> None:
    async def note(type: str, id: str, runtime: ToolRuntime[Any, Any]) -> str:  # noqa: A002
        return f"{type} {id} {runtime.context}"

    output = await ToolRunner().run(
        made(note), {"type": "tool_call", "args": {"runtime": 1}, "id": "x"}, runtime=lambda: RUN
    )
    assert output.content == "tool_call x the run"


# What the server fills in

RUN: ToolRuntime[Any, Any] = ToolRuntime(
    state={"messages": [], "name": "ann"},
    context="the run",
    config={},
    stream_writer=lambda _: None,
    tool_call_id="c1",
    store=InMemoryStore(),
)


async def filled(
    said: str,
    runtime: ToolRuntime[Any, Any],
    name: Annotated[str, InjectedState("name")],
    state: Annotated[dict[str, Any], InjectedState],
    store: Annotated[Any, InjectedStore()],
    call_id: Annotated[str, InjectedToolCallId],
    idempotency_key: str,
) -> str:
    """Say."""
    return f"{said} {runtime.context} {name} {sorted(state)} {type(store).__name__} {call_id} {idempotency_key}"


async def test_the_server_fills_in_what_no_model_sees() -> None:
    forged = dict.fromkeys(("runtime", "name", "state", "store", "call_id", "idempotency_key"), "forged")
    output = await ToolRunner().run(made(filled), {"said": "hi", **forged}, call_id="c1", key="k1", runtime=lambda: RUN)
    assert output == Output(content="hi the run ann ['messages', 'name'] InMemoryStore c1 k1")


async def test_what_nobody_fills_in_is_not_the_models_to_fill() -> None:
    async def act(user: Annotated[str, InjectedToolArg] = "nobody") -> str:
        return user

    assert (await ran(act, user="admin")).content == "nobody"


# Other kinds of tools


class Blocking(BaseTool):
    name: str = "blocking"
    description: str = "Block."
    gate: Any = None

    def _run(self, how: str) -> str:
        if self.gate is not None:
            self.gate.wait()
        return f"{how} in {threading.current_thread().name}"


async def test_a_class_with_only_a_blocking_body_gets_a_thread_of_ours(gate: threading.Event) -> None:
    runner = ToolRunner(timeout_s=0.2)
    assert (await runner.run(Blocking(), {"how": "x"})).content == "x in agentgraph-tool"
    assert "did not answer" in str((await runner.run(Blocking(gate=gate), {"how": "x"})).content)


async def test_a_tool_of_a_json_schema_is_called_as_it_is() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

    async def weather(**arguments: Any) -> str:
        return str(arguments)

    foreign = StructuredTool(name="weather", description="Tell.", args_schema=schema, coroutine=weather)
    assert (await ToolRunner().run(foreign, {"city": "Rome"})).content == "{'city': 'Rome'}"


async def test_what_is_known_of_tools_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgraph.tools.execution._MOST_REMEMBERED", 3)
    runner = ToolRunner(threads=WorkerThreads())
    tools = [made(quick, name=f"quick_{n}") for n in range(10)]
    for each in [*tools, *tools]:
        assert (await runner.run(each, {})).content == "done"
    assert len(runner._known) <= 3


@tool
async def counting() -> AsyncIterator[int]:
    """Count."""
    yield 1


async def test_a_stream_is_no_answer_and_no_hang() -> None:
    assert "async_generator" in str((await ran(None, tool=counting)).content)
