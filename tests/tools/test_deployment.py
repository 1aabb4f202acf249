"""What settings offer: built-in tools by name, and the registry's."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentgraph import get_registry, tool
from agentgraph.errors import ConfigurationError


@pytest.fixture
def registered() -> Iterator[None]:
    @tool(register=True)
    def add_up(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    yield
    get_registry().remove("add_up")


def names(app: Any) -> list[str]:
    return [each.name for each in app.tools]


async def test_nothing_is_offered_that_nobody_asked_for(open_app: Callable[..., Any], registered: None) -> None:
    app, _ = await open_app([])
    assert names(app) == []


async def test_registered_tools_are_offered_where_asked_for(open_app: Callable[..., Any], registered: None) -> None:
    app, model = await open_app(["5"], use_registry_tools=True)
    await app.run("2 + 3?")
    assert names(app) == ["add_up"]
    assert [each["function"]["name"] for each in model.calls[0]["tools"]] == ["add_up"]


async def test_an_empty_registry_is_told(open_app: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"@tool\(register=True\)"):
        await open_app([], use_registry_tools=True)


async def test_built_in_tools_are_offered_by_name(open_app: Callable[..., Any]) -> None:
    app, _ = await open_app([], builtin_tools=("get_weather", "calculate"))
    assert names(app) == ["get_weather", "calculate"]
    with pytest.raises(ConfigurationError, match="get_weather"):
        await open_app([], builtin_tools=("weather",))


async def test_a_tool_of_ones_own_does_not_hide_behind_another(open_app: Callable[..., Any], registered: None) -> None:
    @tool("calculate")
    def other(a: int) -> int:
        """Calculate otherwise."""
        return a

    with pytest.raises(ConfigurationError, match="'calculate'"):
        await open_app([], tools=[other], builtin_tools=("calculate",))


async def test_the_addresses_are_the_settings(open_app: Callable[..., Any]) -> None:
    app, _ = await open_app(
        [], builtin_tools=("search_web",), search_engine="searxng", search_base_url="http://127.0.0.1:9"
    )
    (search,) = app.tools
    assert search.description.startswith("Search the web")
    assert "cannot be reached" in await search.ainvoke({"query": "x"})
