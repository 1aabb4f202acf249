"""Tools by name: looked up, run from a model's JSON, and never two of one name."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from langchain_core.tools import BaseTool, ToolException

from agentgraph import ToolRegistry, get_registry, tool
from agentgraph.errors import ConfigurationError


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool
async def fail(how: str) -> str:
    """Fail.

    Args:
        how: In what way.
    """
    if how == "told":
        raise ToolException("the shop is closed")
    if how == "hang":
        await asyncio.sleep(60)
    raise RuntimeError("password=hunter2")


@pytest.fixture
def clean() -> Iterator[ToolRegistry]:
    registry = get_registry()
    yield registry
    for name in registry.names:
        registry.remove(name)


async def test_a_tool_is_run_from_its_name_and_json() -> None:
    registry = ToolRegistry([add, fail])
    outcome = await registry.execute("add", '{"a": 2, "b": 3}')
    assert (outcome.content, outcome.is_error) == ("5", False)
    assert (await registry.execute("add", {"a": 2})).content == "3"


def test_synchronous_code_runs_tools_too() -> None:
    assert ToolRegistry([add]).execute_sync("add", '{"a": 2}').content == "3"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("ad", "{}", "There is no tool 'ad'. Nearest: add"),
        ("add", "{", "no JSON object"),
        ("add", "[1]", "no JSON object: they are a list"),
        ("add", "[" * 100_000, "no JSON object"),
        ("add", "{}", "a"),
        ("add", '{"a": "two"}', "a"),
        ("add", '{"a": 1, "c": 2}', "c"),
        ("fail", '{"how": "told"}', "the shop is closed"),
    ],
)
async def test_what_a_model_got_wrong_is_told_and_not_raised(name: str, arguments: str, said: str) -> None:
    outcome = await ToolRegistry([add, fail]).execute(name, arguments)
    assert outcome.is_error
    assert said in outcome.content


async def test_nothing_to_choose_from_is_said() -> None:
    assert "none at all" in (await ToolRegistry().execute("add")).content


async def test_a_call_ends_in_time() -> None:
    began = time.perf_counter()
    outcome = await ToolRegistry([fail], timeout_s=0.2).execute("fail", '{"how": "hang"}')
    assert outcome.is_error
    assert "within 0.2 seconds" in outcome.content
    assert time.perf_counter() - began < 10


async def test_a_tools_own_failure_is_told() -> None:
    assert (await ToolRegistry([fail]).execute("fail", '{"how": "loud"}')).is_error


def test_two_tools_of_one_name_are_refused() -> None:
    def other() -> BaseTool:
        @tool("add")
        def another(a: int) -> int:
            """Add otherwise."""
            return a

        return another

    with pytest.raises(ConfigurationError, match="two tools are called 'add'"):
        ToolRegistry([add, other()])
    with pytest.raises(ConfigurationError, match="two tools are called 'add'"):
        ToolRegistry([other(), other()])
    assert len(ToolRegistry([add, add])) == 1


def test_a_function_is_no_tool_yet() -> None:
    with pytest.raises(ConfigurationError, match="with @tool"):
        ToolRegistry([len])  # type: ignore[list-item]


def test_a_registry_is_read_like_a_collection() -> None:
    registry = ToolRegistry([add, fail])
    assert registry.names == ("add", "fail")
    assert "add" in registry
    assert list(registry) == [add, fail]
    assert registry.get("nothing") is None
    assert registry.schemas[0]["function"]["name"] == "add"


def test_nothing_is_registered_that_does_not_ask_for_it(clean: ToolRegistry) -> None:
    @tool
    def quiet(a: int) -> int:
        """Say nothing."""
        return a

    assert "quiet" not in get_registry()

    @tool(register=True)
    def loud(a: int) -> int:
        """Say it."""
        return a

    assert get_registry().get("loud") is loud


def test_a_tool_defined_again_replaces_itself_and_no_other(clean: ToolRegistry) -> None:
    cell = "@tool(register=True)\ndef again(a: int) -> int:\n    'Do it.'\n    return a\n"
    notebook = {"tool": tool, "__name__": "__main__"}
    exec(cell, notebook)
    exec(cell, notebook)
    assert clean.get("again") is notebook["again"]
    with pytest.raises(ConfigurationError, match="two tools are called 'again'"):
        exec(cell, {"tool": tool, "__name__": "elsewhere"})
