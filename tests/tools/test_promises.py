"""Tools promise what may be done with them; the key they are handed is nobody's to see or write but the server's."""

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, tool

from agentgraph.errors import ConfigurationError
from agentgraph.tools.builtin import builtin_tools
from agentgraph.tools.calls import ServerCall, idempotency_key, server_calls
from agentgraph.tools.memory import memory_tools
from agentgraph.tools.promises import Promises, promises_of, promising
from agentgraph.tools.schema import tool_schema
from agentgraph.tools.toolset import ToolSet


@tool
def plain(amount: int) -> str:
    """Pay."""
    return f"{amount}"


@tool(parse_docstring=True)
def bare_key(amount: int, idempotency_key: str) -> str:
    """Pay once.

    Args:
        amount: How much.
        idempotency_key: The zebra that makes it once.
    """
    return f"{amount} {idempotency_key}"


@tool
def injected_key(amount: int, idempotency_key: Annotated[str, InjectedToolArg]) -> str:
    """Pay once."""
    return f"{amount} {idempotency_key}"


json_schema_key = StructuredTool(
    name="json_schema_key",
    description="Pay once.",
    args_schema={
        "type": "object",
        "properties": {"amount": {"type": "integer"}, "idempotency_key": {"type": "string"}},
        "required": ["amount", "idempotency_key"],
    },
    func=lambda **arguments: str(arguments),
)
KEYED: list[BaseTool] = [bare_key, injected_key, json_schema_key]


def test_a_tool_promises_nothing_by_itself() -> None:
    assert promises_of(plain) == Promises()


def test_promises_are_set_on_a_copy() -> None:
    promised = promising(plain, idempotent=True, needs_approval=True, on_unknown="ask")
    assert promises_of(promised) == Promises(idempotent=True, needs_approval=True, on_unknown="ask")
    assert promises_of(plain) == Promises()
    assert promised.invoke({"amount": 3}) == "3"


@pytest.mark.parametrize("promise", ["pinned", "consequential", "untrusted"])
def test_what_a_tool_is_offered_for_and_brings_in_is_promised_each_alone(promise: str) -> None:
    promised = promising(plain, **{promise: True})
    assert promises_of(promised) == Promises(**{promise: True})


def test_promises_that_are_not_mentioned_stay() -> None:
    foreign = plain.model_copy(update={"extras": {"untrusted": True}})
    assert promises_of(promising(promising(foreign, consequential=True), pinned=True)) == Promises(
        untrusted=True, consequential=True, pinned=True
    )
    assert promises_of(promising(foreign, untrusted=False)) == Promises()


def test_promises_are_read_from_extras_too() -> None:
    assert promises_of(plain.model_copy(update={"extras": {"needs_approval": True}})).needs_approval


@pytest.mark.parametrize(
    "wrong",
    [
        {"needs_approval": "false"},
        {"idempotent": 1},
        {"on_unknown": "retry"},
        {"pinned": 1},
        {"consequential": "no"},
        {"untrusted": None},
    ],
)
def test_a_promise_that_means_nothing_is_found_when_the_graph_is_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="plain"):
        ToolSet([plain.model_copy(update={"metadata": wrong})])


def test_our_own_tools_may_be_repeated() -> None:
    async def forget(*_: Any) -> None: ...

    ours = [*builtin_tools(lambda: datetime(2026, 3, 2, tzinfo=UTC)), *memory_tools(forget)]
    assert all(promises_of(each).idempotent for each in ours)


@pytest.mark.parametrize("keyed", KEYED, ids=lambda each: each.name)
def test_the_model_never_sees_the_key(keyed: BaseTool) -> None:
    assert promises_of(keyed).takes_key
    parameters = tool_schema(keyed)["function"]["parameters"]
    assert list(parameters["properties"]) == parameters["required"] == ["amount"]


def test_a_tools_own_schema_is_left_as_it_is() -> None:
    tool_schema(bare_key)
    assert "idempotency_key" in bare_key.args
    assert tool_schema(plain)["function"]["parameters"]["properties"].keys() == {"amount"}


async def test_the_key_ranks_no_tool() -> None:
    assert await ToolSet([bare_key]).rank(["zebra"], limit=5) == []


def test_the_key_is_one_calls_own_and_stable() -> None:
    message = AIMessage(
        "",
        tool_calls=[
            {"name": "pay", "args": {"a": 1, "b": [2]}, "id": "c"},
            {"name": "pay", "args": {"a": 1, "b": [2]}, "id": "c"},
        ],
    )
    first, second = server_calls(message, frozenset())

    def key(call: ServerCall, thread: str = "acme/thread/t1", message_id: str = "m1") -> str:
        return idempotency_key(thread, message_id, call)

    reordered = ServerCall(position=0, call_id="other", name="pay", arguments={"b": [2], "a": 1})
    forged = ServerCall(position=0, call_id="c", name="pay", arguments={"a": 1, "b": [2], "idempotency_key": "mine"})
    # Written out, since a run may be resumed by a later release.
    assert key(first) == key(reordered) == key(forged) == "6b72cf36c7004c0eabd94cba7c47ec21"
    others = [key(second), key(first, "acme/thread/t2"), key(first, message_id="m2")]
    others += [key(ServerCall(position=0, call_id="c", name="mail", arguments=first.arguments))]
    others += [key(ServerCall(position=0, call_id="c", name="pay", arguments={"a": 2, "b": [2]}))]
    assert len({key(first), *others}) == 6
