"""Tools the caller runs: their calls go out, their results find their way back, and ours are not run again."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from agentgraph import AgentGraph
from agentgraph.errors import InvalidInputError
from agentgraph.events import RunFailed
from agentgraph.run import RunResult
from agentgraph.runs import hidden_steps
from agentgraph.testing import ScriptedChatModel

OpenApp = Callable[..., Any]
BOOK = {"type": "function", "function": {"name": "book", "description": "Book.", "parameters": {"type": "object"}}}
ADDED: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_added() -> None:
    ADDED.clear()


@tool
def add(a: int, b: int) -> int:
    """Add."""
    ADDED.append(a + b)
    return a + b


def calls(*made: tuple[str, str, dict[str, Any]]) -> AIMessage:
    return AIMessage("", tool_calls=[{"id": call_id, "name": name, "args": args} for call_id, name, args in made])


MIXED = calls(("c1", "book", {"seat": "a"}), ("s1", "add", {"a": 1, "b": 2}), ("c2", "book", {"seat": "b"}))


class Client:
    """A caller with a conversation, which keeps it itself where there is no thread."""

    def __init__(self, app: AgentGraph, thread: str | None, *, streams: bool, **options: Any) -> None:
        self.app, self.thread, self.streams = app, thread, streams
        self.options: dict[str, Any] = {"tenant": "acme", "tools": [BOOK], "thread": thread, **options}
        self.told: list[BaseMessage] = []

    async def send(self, *messages: BaseMessage) -> RunResult:
        sent = list(messages) if self.thread else [*self.told, *messages]
        if self.streams:
            events = [event async for event in self.app.stream(sent, **self.options)]
            if isinstance(events[-1], RunFailed):
                raise events[-1].error
            result = RunResult.from_events(events)
        else:
            result = await self.app.run(sent, **self.options)
        made = [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in result.tool_calls]
        self.told = [*self.told, *messages, AIMessage(result.text, tool_calls=made)]
        return result


@pytest.fixture(params=["run", "stream"])
def streams(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "stream")


@pytest.fixture(params=["t", None], ids=["thread", "one-off"])
def thread(request: pytest.FixtureRequest) -> str | None:
    found: str | None = request.param
    return found


def results(model: ScriptedChatModel) -> list[tuple[str, str]]:
    """Return what the model read of its calls, in order."""
    read: Sequence[BaseMessage] = model.calls[-1]["messages"]
    return [(m.tool_call_id, m.text) for m in read if isinstance(m, ToolMessage)]


async def test_results_come_back_in_any_order(open_app: OpenApp, thread: str | None, streams: bool) -> None:
    app, model = await open_app([MIXED, "Done."], tools=[add])
    client = Client(app, thread, streams=streams)
    asked = await client.send(HumanMessage("Book two seats."))
    assert [(c["id"], c["args"]) for c in asked.tool_calls] == [("c1", {"seat": "a"}), ("c2", {"seat": "b"})]
    assert (asked.status, asked.finish_reason) == ("requires_action", "tool_calls")
    done = await client.send(ToolMessage("B", tool_call_id="c2"), ToolMessage("A", tool_call_id="c1"))
    assert (done.text, done.status) == ("Done.", "completed")
    assert results(model) == [("c1", "A"), ("s1", "3"), ("c2", "B")]
    assert ADDED == [3]


async def test_a_part_of_the_results_is_no_error_and_the_rest_may_come_late(
    open_app: OpenApp, thread: str | None, streams: bool
) -> None:
    app, model = await open_app([MIXED, "One of two.", "Both."], tools=[add])
    client = Client(app, thread, streams=streams)
    await client.send(HumanMessage("Book two seats."))
    await client.send(ToolMessage("B", tool_call_id="c2"))
    first, ours, second = results(model)
    assert (ours, second) == (("s1", "3"), ("c2", "B"))
    assert "outcome is unknown" in first[1]
    late = await client.send(ToolMessage("A", tool_call_id="c1"))
    assert late.text == "Both."
    assert results(model) == [("c1", "A"), ("s1", "3"), ("c2", "B")]
    assert ADDED == [3]


async def test_what_ran_before_the_callers_calls_is_remembered_too(
    open_app: OpenApp, thread: str | None, streams: bool
) -> None:
    script = [
        calls(("s1", "add", {"a": 1, "b": 2})),
        calls(("c1", "book", {})),
        calls(("s2", "add", {"a": 3, "b": 4})),
        calls(("c1", "book", {})),
        "Done.",
    ]
    app, model = await open_app(script, tools=[add])
    client = Client(app, thread, streams=streams)
    await client.send(HumanMessage("Book."))
    await client.send(ToolMessage("A", tool_call_id="c1"))
    await client.send(ToolMessage("B", tool_call_id="c1"))
    assert [text for _, text in results(model)] == ["3", "A", "7", "B"]
    assert ADDED == [3, 7]


async def test_a_result_nobody_called_for_is_refused_and_changes_nothing(
    open_app: OpenApp, thread: str | None, streams: bool
) -> None:
    app, model = await open_app([calls(("c1", "book", {})), "Done."], tools=[add])
    with pytest.raises(InvalidInputError, match="'c9'") as refused:
        await Client(app, thread, streams=streams).send(ToolMessage("?", tool_call_id="c9"))
    assert refused.value.code == "unknown_tool_call"
    client = Client(app, thread, streams=streams)
    await client.send(HumanMessage("Book."))
    if thread is not None:
        with pytest.raises(InvalidInputError, match="'c9'"):
            await client.send(ToolMessage("?", tool_call_id="c9"))
    done = await client.send(ToolMessage("?", tool_call_id="c9"), ToolMessage("A", tool_call_id="c1"))
    assert done.text == "Done."
    assert results(model) == [("c1", "A")]


@pytest.mark.parametrize("other", [{"tenant": "globex"}, {"user": "bob"}])
async def test_hidden_steps_are_nobody_elses(open_app: OpenApp, other: dict[str, str]) -> None:
    app, model = await open_app([MIXED, "Done."], tools=[add])
    mine = Client(app, None, streams=False)
    await mine.send(HumanMessage("Book two seats."))
    theirs = Client(app, None, streams=False, **other)
    theirs.told = mine.told
    await theirs.send(ToolMessage("A", tool_call_id="c1"), ToolMessage("B", tool_call_id="c2"))
    assert results(model) == [("c1", "A"), ("c2", "B")]


@pytest.mark.parametrize(
    "changed",
    [
        [HumanMessage("Book three seats."), calls(("c1", "book", {"seat": "a"}), ("c2", "book", {"seat": "b"}))],
        [HumanMessage("Book two seats."), calls(("c1", "book", {"seat": "x"}), ("c2", "book", {"seat": "b"}))],
    ],
)
async def test_hidden_steps_belong_to_the_very_same_calls(open_app: OpenApp, changed: list[BaseMessage]) -> None:
    app, model = await open_app([MIXED, "Done."], tools=[add])
    client = Client(app, None, streams=False)
    await client.send(HumanMessage("Book two seats."))
    client.told = changed
    await client.send(ToolMessage("A", tool_call_id="c1"), ToolMessage("B", tool_call_id="c2"))
    assert results(model) == [("c1", "A"), ("c2", "B")]


@pytest.mark.parametrize(("name", "bound"), [("_MOST", 0), ("_LONGEST", 0)])
async def test_hidden_steps_are_bounded(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    monkeypatch.setattr(hidden_steps, name, bound)
    app, model = await open_app([MIXED, "Done."], tools=[add])
    client = Client(app, None, streams=False)
    await client.send(HumanMessage("Book two seats."))
    await client.send(ToolMessage("A", tool_call_id="c1"), ToolMessage("B", tool_call_id="c2"))
    assert results(model) == [("c1", "A"), ("c2", "B")]
    assert not app._runner.hidden._steps


async def test_hidden_steps_are_forgotten_after_a_while(open_app: OpenApp) -> None:
    app, model = await open_app([MIXED, "Done."], tools=[add])
    app._runner.hidden = hidden_steps.HiddenSteps(window_s=-1)
    client = Client(app, None, streams=False)
    await client.send(HumanMessage("Book two seats."))
    await client.send(ToolMessage("A", tool_call_id="c1"), ToolMessage("B", tool_call_id="c2"))
    assert results(model) == [("c1", "A"), ("c2", "B")]
