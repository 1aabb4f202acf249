"""Each node works alone: state and runtime in, the keys it changes out."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore

from agentgraph.events import MemoriesRecalled, ToolFinished, ToolsOffered
from agentgraph.graph.context import RunContext
from agentgraph.graph.nodes.call_model import call_model
from agentgraph.graph.nodes.execute_tools import execute_tools
from agentgraph.graph.nodes.filter_by_time import filter_by_time
from agentgraph.graph.nodes.filter_tools import filter_tools
from agentgraph.graph.nodes.retrieve_memory import retrieve_memory
from agentgraph.graph.nodes.summarize import summarize
from agentgraph.graph.nodes.write_memory import write_memory
from agentgraph.graph.state import AgentState, fold_messages
from agentgraph.scope import Scope
from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.toolset import ToolSet

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def runtime(script: Any = (), *, store: Any = None, **options: Any) -> tuple[Runtime[RunContext], list[Any]]:
    events: list[Any] = []
    values: dict[str, Any] = {
        "scope": Scope(tenant="acme"),
        "now": NOW,
        "zone": "UTC",
        "model": ScriptedChatModel(script=list(script)),
        "run_id": "r1",
        "stream": False,
        "tools": ToolSet(TOOLS),
    }
    return Runtime(context=RunContext(**(values | options)), store=store, stream_writer=events.append), events


def asks(text: str) -> AgentState:
    return {"messages": [HumanMessage(text, id="m1")]}


async def kept(store: InMemoryStore, *texts: str) -> None:
    for text in texts:
        owed = (await retrieve_memory(asks(text), runtime(store=store)[0]))["owed"]
        await write_memory({"owed": owed}, runtime(store=store)[0])


async def test_what_was_said_is_owed_written_and_found_with_its_own_time() -> None:
    store = InMemoryStore()
    await kept(store, "I bought a car last week. It is red! Do you like it?")
    (episode,) = store.search(("acme", "memory"))
    assert episode.value["text"] == "I bought a car last week. It is red!"
    assert episode.value["mention"] == "last week"
    update = await retrieve_memory(asks("What happened last week?"), runtime(store=store)[0])
    assert [window["text"] for window in update["windows"]]
    assert [memory["text"] for memory in update["candidates"]] == [episode.value["text"]]


async def test_no_memory_is_read_or_owed_where_the_run_wants_none() -> None:
    run, _ = runtime(store=InMemoryStore(), include_memories=False)
    assert await retrieve_memory(asks("I like tea."), run) == {
        "windows": [],
        "candidates": [],
        "recalled": [],
        "owed": [],
    }


async def test_writing_memory_twice_keeps_one() -> None:
    store = InMemoryStore()
    await kept(store, "I like tea a lot.", "I like tea a lot.")
    assert len(store.search(("acme", "memory"))) == 1


async def test_filter_by_time_tells_what_it_kept_and_left_out() -> None:
    store = InMemoryStore()
    await kept(store, "I bought a car last week.", "I plan to visit Japan next month.")
    run, events = runtime(store=store)
    update = await filter_by_time(await retrieve_memory(asks("What happened last week?"), run), run)
    assert [m["text"] for m in update["recalled"]] == ["I bought a car last week."]
    assert update["candidates"] == []
    (event,) = events
    assert isinstance(event, MemoriesRecalled)
    assert [m["text"] for m in event.left_out] == ["I plan to visit Japan next month."]
    assert all(m["why"] for m in (*event.memories, *event.left_out))


@tool
def get_time(timezone: str) -> str:
    """Get the local time in a city."""
    return f"noon in {timezone}"


@tool
def explode(reason: str) -> str:
    """Explode."""
    raise RuntimeError(reason)


@tool
def refuse() -> str:
    """Refuse."""
    raise ToolException("not today")


@tool
async def sleep_long() -> str:
    """Sleep."""
    await asyncio.sleep(30)
    return "awake"


@tool
def talk(words: int) -> str:
    """Talk."""
    return "word " * words


TOOLS: Sequence[BaseTool] = (get_time, explode, refuse, sleep_long, talk)


async def test_a_handful_of_tools_is_not_filtered() -> None:
    run, _ = runtime()
    update = await filter_tools(asks("hello"), run)
    assert update["offered_tools"] == [t.name for t in TOOLS]


async def test_of_many_tools_the_fitting_are_offered_and_stay_offered() -> None:
    run, events = runtime()
    update = await filter_tools(asks("What time is it in Oslo, local time?"), run, threshold=2, top_k=1)
    assert update["offered_tools"] == ["get_time"]
    state: AgentState = {**asks("please talk"), "offered_tools": ["get_time"]}
    update = await filter_tools(state, run, threshold=2, top_k=1)
    assert update["offered_tools"] == ["get_time", "talk"]
    assert isinstance(events[-1], ToolsOffered)
    assert set(events[-1].left_out) == {"explode", "refuse", "sleep_long"}


async def test_the_model_is_called_with_the_offered_tools_and_the_callers_parameters() -> None:
    model = ScriptedChatModel(script=["ok"])
    run, _ = runtime(model=model, model_parameters={"temperature": 0.5})
    state: AgentState = {**asks("hi"), "offered_tools": ["get_time", "gone"]}
    update = await call_model(state, run)
    assert [t["function"]["name"] for t in model.calls[0]["tools"]] == ["get_time"]
    assert model.calls[0]["parameters"] == {"temperature": 0.5}
    assert update["turns"] == 1
    assert update["messages"][0].id


async def test_the_last_turn_of_a_run_has_no_tools() -> None:
    model = ScriptedChatModel(script=["ok"])
    run, _ = runtime(model=model, max_turns=3)
    await call_model({**asks("hi"), "offered_tools": ["get_time"], "turns": 2}, run)
    assert model.calls[0]["tools"] == []


def calls(*wanted: tuple[str, dict[str, Any]]) -> AgentState:
    each = [{"name": name, "args": args, "id": f"c{i}"} for i, (name, args) in enumerate(wanted)]
    return {"messages": [HumanMessage("go", id="m1"), AIMessage("", tool_calls=each, id="m2")]}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("explode", {"reason": "boom"}, "boom"),
        ("refuse", {}, "not today"),
        ("get_time", {}, "timezone"),
        ("get_tiem", {"timezone": "x"}, "get_time"),
        ("sleep_long", {}, "0.2 seconds"),
    ],
)
async def test_whatever_goes_wrong_is_told_to_the_model(name: str, arguments: dict[str, Any], says: str) -> None:
    run, events = runtime()
    update = await execute_tools(calls((name, arguments)), run, runner=ToolRunner(timeout_s=0.2))
    (answer,) = update["messages"]
    assert isinstance(answer, ToolMessage)
    assert (answer.status, answer.tool_call_id) == ("error", "c0")
    assert says in answer.text
    assert isinstance(events[-1], ToolFinished)
    assert events[-1].status == "error"


async def test_tools_run_side_by_side_and_answer_in_the_order_they_were_called() -> None:
    running, most = 0, 0

    @tool
    async def wait(n: int) -> int:
        """Wait."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05 / (n + 1))
        running -= 1
        return n

    run, _ = runtime(tools=ToolSet([wait]))
    state = calls(*(("wait", {"n": n}) for n in range(6)))
    update = await execute_tools(state, run, runner=ToolRunner(), max_parallel=3)
    assert [m.text for m in update["messages"]] == ["0", "1", "2", "3", "4", "5"]
    assert most == 3


async def test_long_output_is_cut_with_a_note() -> None:
    run, _ = runtime()
    runner = ToolRunner(max_output_chars=100)
    update = await execute_tools(calls(("talk", {"words": 1000})), run, runner=runner)
    text = update["messages"][0].text
    assert text.startswith("word word")
    assert "[cut: 4900 more characters" in text


async def test_a_short_history_is_not_summarised() -> None:
    run, _ = runtime()
    assert await summarize(asks("hi"), run) == {}


async def test_whole_turns_leave_for_the_summary() -> None:
    run, _ = runtime(["They spoke."])
    messages: list[Any] = []
    for n in range(10):
        messages += [HumanMessage("x " * 100, id=f"h{n}"), AIMessage("y " * 100, id=f"a{n}")]
    update = await summarize({"messages": messages}, run, live_window_tokens=500)
    assert [summary["text"] for summary in update["summaries"]] == ["They spoke."]
    gone = [m.id for m in update["messages"] if isinstance(m, RemoveMessage)]
    assert gone == [m.id for m in messages[: len(gone)]]
    assert isinstance(messages[len(gone)], HumanMessage)


def test_folding_messages_does_not_depend_on_how_writes_are_batched() -> None:
    one, two = HumanMessage("one", id="1"), AIMessage("two", id="2")
    edited, removal = HumanMessage("edited", id="1"), RemoveMessage(id="2")
    batches = [[one], [two], [edited], [removal], [two]]
    at_once = fold_messages([], batches)
    stepwise: list[Any] = []
    for batch in batches:
        stepwise = fold_messages(stepwise, [batch])
    assert at_once == stepwise == [edited, two]
