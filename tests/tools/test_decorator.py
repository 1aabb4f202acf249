"""`@tool`: schemas right for every hint, values as hinted at, and what is wrong told when the tool is defined."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime
from pydantic import BaseModel, Field

from agentgraph import sync_tool, tool
from agentgraph.errors import ConfigurationError
from agentgraph.tools.promises import promises_of


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    """Where."""

    city: str = Field(description="The city.")
    zip_code: str | None = None


@dataclass
class Person:
    name: str
    age: int = 30


class Stop(TypedDict):
    place: str
    nights: NotRequired[int]


class Node(BaseModel):
    label: str
    children: list[Node] = []


def parameters(made: BaseTool) -> dict[str, Any]:
    return dict(convert_to_openai_tool(made)["function"]["parameters"])


def schema_of(hint: Any, default: Any = ...) -> dict[str, Any]:
    def use(value: Any) -> str:
        """Use it."""
        return repr(value)

    use.__annotations__["value"] = hint
    if default is not ...:
        use.__defaults__ = (default,)
    return dict(parameters(tool(use))["properties"]["value"])


NULL = {"type": "null"}
STOP = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "nights": {"type": "integer"}},
    "required": ["place"],
}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (date, {"type": "string", "format": "date"}),
        (int | None, {"anyOf": [{"type": "integer"}, NULL]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, NULL]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (Color, {"type": "string", "enum": ["red", "blue"]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Stop, STOP),
        (list[Stop], {"type": "array", "items": STOP}),
        (Stop | None, {"anyOf": [STOP, NULL]}),
        (Annotated[int, "How many."], {"type": "integer", "description": "How many."}),
        (Annotated[int, Field(ge=1, le=9)], {"type": "integer", "minimum": 1, "maximum": 9}),
    ],
    ids=str,
)  # fmt: skip
def test_hints_become_the_schema(hint: Any, schema: dict[str, Any]) -> None:
    told = without_titles(schema_of(hint))
    assert {key: value for key, value in told.items() if key != "description" or "description" in schema} == schema


def without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: without_titles(value) for key, value in schema.items() if key != "title"}
    if "properties" in kept or kept.get("type") == "object":
        kept.pop("description", None)
    return kept


def test_models_dataclasses_and_trees_are_told_in_full() -> None:
    assert schema_of(Place)["properties"]["city"] == {"description": "The city.", "type": "string"}
    assert schema_of(Person)["properties"]["age"] == {"default": 30, "type": "integer"}
    assert schema_of(list[Place])["items"]["required"] == ["city"]
    assert schema_of(Node)["properties"]["children"]["type"] == "array"


def test_defaults_are_told_and_make_an_argument_optional() -> None:
    @tool
    def book(city: str, nights: int = 2, *, smoking: bool = False, note: str = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        """Book a room."""
        return f"{city} {nights} {smoking} {note}"

    told = parameters(book)
    assert told["required"] == ["city"]
    assert told["properties"]["nights"]["default"] == 2
    assert told["properties"]["smoking"] == {"default": False, "type": "boolean"}
    assert NULL in told["properties"]["note"]["anyOf"]
    assert book.invoke({"city": "Rome", "note": None}) == "Rome 2 False None"
    assert book.invoke({"city": "Rome", "smoking": True}) == "Rome 2 True None"


def test_values_arrive_as_hinted_at() -> None:
    seen: list[Any] = []

    @tool
    def take(
        place: Place, person: Person, stop: Stop, color: Color, tags: set[str], pair: tuple[int, str], price: Decimal
    ) -> str:
        """Take it all."""
        seen.extend([place, person, stop, color, tags, pair, price])
        return "taken"

    arguments = {
        "place": {"city": "Rome"},
        "person": {"name": "Ana"},
        "stop": {"place": "Bari"},
        "color": "blue",
        "tags": ["a", "b", "a"],
        "pair": [1, "x"],
        "price": "0.10",
    }
    assert take.invoke(arguments) == "taken"
    assert seen == [
        Place(city="Rome"), Person("Ana"), {"place": "Bari"}, Color.BLUE, {"a", "b"}, (1, "x"), Decimal("0.10"),
    ]  # fmt: skip


def test_classes_of_the_function_around_are_found() -> None:
    class Local(BaseModel):
        n: int

    @tool
    def first(value: Local) -> int:
        """One."""
        return value.n

    @tool(description="Two.")
    def second(value: list[Local]) -> int:
        return value[0].n

    assert first.invoke({"value": {"n": 3}}) == 3
    assert second.invoke({"value": [{"n": 4}]}) == 4


@pytest.mark.parametrize(
    "docstring",
    [
        "Add two numbers.\n\nArgs:\n    a: The first\n        of them.\n    b (int): The second.\n\nReturns:\n    It.",
        "Add two numbers.\n\nParameters\n----------\na : int\n    The first of them.\nb : int\n    The second.\n",
        "Add two numbers.\n\n:param a: The first of them.\n:param b: The second.\n:returns: The sum.",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_docstrings_describe_the_tool_and_its_arguments(docstring: str) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    add.__doc__ = docstring
    made = tool(add)
    assert made.description == "Add two numbers."
    told = parameters(made)["properties"]
    assert (told["a"]["description"], told["b"]["description"]) == ("The first of them.", "The second.")


def test_what_is_said_nearest_to_an_argument_wins() -> None:
    @tool
    def say(
        a: Annotated[str, Field(description="hint")], b: str = Field("x", description="default"), c: str = ""
    ) -> str:
        """Say it. More of it.

        And more.

        Args:
            a: docstring
            b: docstring
            c: docstring
        """
        return a + b + c

    told = parameters(say)["properties"]
    assert [told[name]["description"] for name in "abc"] == ["hint", "default", "docstring"]
    assert say.description == "Say it. More of it.\n\nAnd more."
    assert say.invoke({"a": "1"}) == "1x"


@tool
async def double(n: int) -> int:
    """Double it."""
    return 2 * n


async def test_async_functions_are_awaited_and_sync_ones_run_in_a_thread() -> None:
    @sync_tool
    def where() -> str:
        """Say which thread it runs in."""
        return threading.current_thread().name

    assert await double.ainvoke({"n": 4}) == 8
    assert await where.ainvoke({}) != threading.current_thread().name


def test_an_async_tool_can_be_invoked_from_synchronous_code() -> None:
    assert double.invoke({"n": 4}) == 8


async def test_a_tool_can_be_called_as_the_function_it_was() -> None:
    @tool("plus")
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    assert add.name == "plus"
    assert add(2, b=3) == 5
    assert await double(5) == 10


def test_arguments_the_function_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="nn"):
        double.invoke({"n": 1, "nn": 2})


def test_promises_are_made_at_once() -> None:
    @tool(idempotent=True, needs_approval=True, pinned=True, consequential=True, untrusted=True, on_unknown="ask")
    def pay(amount: int) -> str:
        """Pay."""
        return str(amount)

    promises = promises_of(pay)
    assert promises.idempotent
    assert promises.needs_approval
    assert promises.pinned
    assert promises.consequential
    assert promises.untrusted
    assert promises.on_unknown == "ask"
    assert promises_of(double) == promises_of(tool(description="x")(lambda_free))


def lambda_free() -> str:
    return ""


def test_arguments_may_be_called_anything_pydantic_has_a_method_of() -> None:
    @tool
    def write(copy: str, schema: int, json: bool = True) -> str:
        """Write."""
        return f"{copy} {schema} {json}"

    assert list(write.args) == ["copy", "schema", "json"]
    assert write.invoke({"copy": "a", "schema": 1}) == "a 1 True"


def test_what_the_run_fills_in_is_not_shown() -> None:
    @tool
    def ask(question: str, runtime: ToolRuntime) -> str:
        """Ask.

        Args:
            question: What.
            runtime: The run.
        """
        return f"{question} {runtime}"

    @tool
    def tell(question: str, user: Annotated[str, InjectedToolArg], config: RunnableConfig) -> str:
        """Tell."""
        return f"{question} {user} {config['run_name']}"

    assert list(ask.args) == list(tell.args) == ["question"]
    assert tell.invoke({"question": "?", "user": "ana"}, {"run_name": "r"}) == "? ana r"


async def test_langgraphs_own_node_runs_them() -> None:
    node = ToolNode([double])
    graph = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").add_edge("tools", END).compile()
    call = AIMessage("", tool_calls=[{"id": "c", "name": "double", "args": {"n": 2}}])
    result = await graph.ainvoke({"messages": [call]})
    assert result["messages"][-1].content == "4"


def undescribed(a: int) -> int:
    return a


def untyped(a) -> str:  # type: ignore[no-untyped-def]
    """Do."""
    return str(a)


def many(*names: str) -> str:
    """Do."""
    return str(names)


def free(**options: str) -> str:
    """Do."""
    return str(options)


def positional(a: int, /) -> str:
    """Do."""
    return str(a)


def callback(done: Callable[[int], None]) -> str:
    """Do."""
    return str(done)


class Opaque:
    pass


def custom(thing: Opaque) -> str:
    """Do."""
    return str(thing)


def unknown(thing: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Do."""
    return str(thing)


def misdescribed(city: str) -> str:
    """Do.

    Args:
        citty: Where.
    """
    return city


def reserved(callbacks: str) -> str:
    """Do."""
    return callbacks


def configured(config: dict[str, str]) -> str:
    """Do."""
    return str(config)


def private(_secret: str) -> str:
    """Do."""
    return _secret


def yields(n: int) -> Any:
    """Do."""
    yield n


class Thing:
    def method(self, n: int) -> int:
        """Do."""
        return n


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (undescribed, "the tool 'undescribed' has no description"),
        (untyped, "the tool 'untyped': parameter 'a': it has no type hint"),
        (many, "parameter 'names': a model cannot fill in '*names'; take a list"),
        (free, "parameter 'options': a model cannot fill in '**options'"),
        (positional, "parameter 'a': tools are called by name"),
        (callback, "parameter 'done': JSON cannot hold its type"),
        (custom, "parameter 'thing': JSON cannot hold its type"),
        (unknown, "parameter 'thing': its hint 'Nowhere' names 'Nowhere', which is not known there"),
        (misdescribed, "its docstring describes 'citty', which is no parameter; did you mean 'city'?"),
        (reserved, "parameter 'callbacks': LangChain or Pydantic keeps names like this"),
        (configured, "parameter 'config': LangChain keeps 'config'"),
        (private, "parameter '_secret': LangChain or Pydantic keeps names like this"),
        (yields, "the tool 'yields' yields"),
        (Thing.method, "parameter 'self': a method is no tool yet"),
        (lambda n: n, "is no name of a tool"),
        (Thing, "takes a function or a bound method, not type"),
        (print, "takes a function or a bound method, not builtin"),
    ],
)
def test_what_is_wrong_is_told_when_the_tool_is_defined(function: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        tool(function)
    assert said in refused.value.message


def test_a_bound_method_is_a_tool() -> None:
    assert tool(Thing().method).invoke({"n": 3}) == 3


def test_a_name_no_vendor_takes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1 to 64 letters"):
        tool("get weather")(undescribed)


def test_a_sync_tool_is_not_async() -> None:
    async def wait(n: int) -> int:
        """Wait."""
        return n

    with pytest.raises(ConfigurationError, match="use @tool, not @sync_tool"):
        sync_tool(wait)
