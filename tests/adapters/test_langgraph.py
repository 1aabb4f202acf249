"""Our nodes in graphs of other shapes: states, contexts and checkpointers of somebody else's."""

import operator
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, ToolRuntime, tools_condition
from langgraph.types import Command
from pydantic import BaseModel

from agentgraph.adapters.langgraph import ExecuteTools, FilterTools
from agentgraph.errors import ConfigurationError
from agentgraph.events import ToolFinished, ToolsOffered
from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.promises import promising

PAID: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


@tool
async def pay(amount: int) -> str:
    """Pay an amount of money."""
    PAID.append(amount)
    return f"paid {amount}"


@tool
async def whose(runtime: ToolRuntime[Any, Any], ticket: Annotated[str, InjectedState("ticket")]) -> str:
    """Say whose ticket it is."""
    return f"{runtime.context} has {ticket}"


def numbered(count: int) -> list[BaseTool]:
    return [pay.model_copy(update={"name": f"tool_{n}", "description": f"Handle subject {n}."}) for n in range(count)]


class Support(MessagesState):
    ticket: str
    steps: Annotated[list[str], operator.add]
    offered_tools: list[str]


def support(model: ScriptedChatModel, tools: list[BaseTool], checkpointer: Any = None, **options: Any) -> Any:
    chooser, executor = FilterTools(tools, threshold=3, top_k=2), ExecuteTools(tools, **options)

    async def answer(state: Support) -> dict[str, Any]:
        said = await model.bind_tools(chooser.offered(state)).ainvoke(state["messages"])
        return {"messages": [said], "steps": ["answer"]}

    graph: Any = StateGraph(Support, context_schema=str)
    graph.add_node("choose", chooser)
    graph.add_node("answer", answer)
    graph.add_node("tools", executor)
    graph.add_edge(START, "choose")
    graph.add_edge("choose", "answer")
    graph.add_conditional_edges("answer", tools_condition)
    graph.add_edge("tools", "answer")
    return graph.compile(checkpointer=checkpointer)


def call(name: str, call_id: str = "c1", **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


ASKS: dict[str, Any] = {"messages": [HumanMessage("Pay 5 for the ticket.")], "ticket": "T-1"}
THREAD: Any = {"configurable": {"thread_id": "1"}}


async def test_both_nodes_work_in_a_graph_of_another_shape() -> None:
    model = ScriptedChatModel(script=[call("pay", amount="5"), call("whose"), "Done."])
    result = await support(model, [pay, whose]).ainvoke(ASKS, context="ann")
    assert [m.text for m in result["messages"] if isinstance(m, ToolMessage)] == ["paid 5", "ann has T-1"]
    assert result["steps"] == ["answer"] * 3
    assert result["offered_tools"] == ["pay", "whose"]


async def test_only_what_the_turns_call_for_is_offered_and_it_only_grows() -> None:
    model = ScriptedChatModel(script=["One.", "Two."])
    graph = support(model, [*numbered(50), pay], InMemorySaver())
    await graph.ainvoke(ASKS, THREAD)
    first = [each["function"]["name"] for each in model.calls[0]["tools"]]
    assert "pay" in first
    assert len(first) <= 2
    await graph.ainvoke({"messages": [HumanMessage("And now subject 17.")]}, THREAD)
    second = [each["function"]["name"] for each in model.calls[1]["tools"]]
    assert second[: len(first)] == first
    assert "tool_17" in second


async def test_failures_are_answers_and_events_go_into_the_graphs_stream() -> None:
    model = ScriptedChatModel(script=[call("pay", amount="lots"), call("pey"), "Done."])
    graph = support(model, [pay])
    events = [event async for event in graph.astream(ASKS, stream_mode="custom")]
    assert [event.status for event in events if isinstance(event, ToolFinished)] == ["error", "error"]
    assert [event.offered for event in events if isinstance(event, ToolsOffered)] == [("pay",)]


async def test_leave_is_asked_for_through_the_graphs_own_interrupt() -> None:
    model = ScriptedChatModel(script=[call("pay", amount=5), "Done."])
    graph = support(model, [promising(pay, needs_approval=True)], InMemorySaver())
    asked = await graph.ainvoke(ASKS, THREAD)
    assert asked["__interrupt__"][0].value["calls"][0]["arguments"] == {"amount": 5}
    assert PAID == []
    result = await graph.ainvoke(Command(resume={"decision": "edit", "arguments": {"amount": 4}}), THREAD)
    assert result["messages"][-1].text == "Done."
    assert PAID == [4]


async def test_without_a_thread_nobody_can_be_asked() -> None:
    model = ScriptedChatModel(script=[call("pay", amount=5), "Done."])
    result = await support(model, [promising(pay, needs_approval=True)]).ainvoke(ASKS)
    assert result["messages"][-2].status == "error"
    assert PAID == []


@pytest.mark.parametrize(("allowlist", "paid"), [((), []), (("pay",), [5])])
async def test_strangers_text_brings_nothing_about(allowlist: tuple[str, ...], paid: list[int]) -> None:
    read = promising(whose.model_copy(update={"name": "read"}), untrusted=True)
    tools = [promising(pay, consequential=True), read]
    model = ScriptedChatModel(script=[call("read"), call("pay", amount=5), "Done."])
    graph = support(model, tools, InMemorySaver(), consequential_allowlist=allowlist)
    await graph.ainvoke(ASKS, THREAD, context="ann")
    assert paid == PAID


async def test_a_graph_may_say_itself_that_strangers_text_stands_in_its_state() -> None:
    model = ScriptedChatModel(script=[call("pay", amount=5), "Done."])
    graph = support(model, [promising(pay, consequential=True)], has_untrusted=lambda state: state["ticket"] == "T-1")
    result = await graph.ainvoke(ASKS)
    assert "strangers" in result["messages"][-2].text
    assert PAID == []


async def test_calls_of_somebody_elses_tools_are_passed_over() -> None:
    message = AIMessage("", tool_calls=[*call("pay", amount=5).tool_calls, *call("theirs", "c2").tool_calls], id="m")
    node = ExecuteTools([pay], client_tools=["theirs"])
    graph: Any = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").add_edge("tools", END)
    result = await graph.compile().ainvoke({"messages": [message]})
    assert [m.tool_call_id for m in result["messages"] if isinstance(m, ToolMessage)] == ["c1"]


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages]


@dataclass
class Record:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)


@pytest.mark.parametrize("schema", [Model, Record])
async def test_a_state_may_be_a_model_or_a_dataclass(schema: Any) -> None:
    graph: Any = StateGraph(schema).add_node("tools", ExecuteTools([pay])).add_edge(START, "tools")
    result = await graph.add_edge("tools", END).compile().ainvoke({"messages": [call("pay", amount=5)]})
    assert [m.text for m in result["messages"][1:]] == ["paid 5"]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_tool_that_blocks_for_ever_does_not_block_the_graph(gate: threading.Event) -> None:
    @tool
    def hang() -> None:
        """Hang."""
        gate.wait()

    model = ScriptedChatModel(script=[call("hang"), "Done."])
    result = await support(model, [hang], timeout_s=0.1).ainvoke(ASKS)
    assert "did not answer" in result["messages"][-2].text


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two tools"):
        ExecuteTools([pay, pay])


async def test_nothing_to_answer_is_no_error() -> None:
    graph: Any = StateGraph(MessagesState).add_node("tools", ExecuteTools([pay])).add_edge(START, "tools")
    result = await graph.add_edge("tools", END).compile().ainvoke({"messages": [HumanMessage("hi")]})
    assert len(result["messages"]) == 1
