"""Built-in tools by name, and the time anywhere."""

from datetime import UTC, datetime

import pytest
from langchain_core.tools import BaseTool

from agentgraph.errors import ConfigurationError
from agentgraph.tools.builtin import OFFLINE, builtin_tools
from agentgraph.tools.promises import promises_of

EVERY = ("get_current_time", "get_time", "calculator", "calculate", "get_weather", "search_web", "get_stock_price")


def present() -> datetime:
    return datetime(2026, 3, 9, 12, tzinfo=UTC)


def named(name: str) -> BaseTool:
    (tool,) = builtin_tools(present, [name])
    return tool


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Tokyo", "tokyo", "Tokyo, Japan", "asia/tokyo"])
def test_the_time_in_a_city(zone: str) -> None:
    assert named("get_time").invoke({"timezone": zone}) == "Monday 2026-03-09 21:00 in Asia/Tokyo"


@pytest.mark.parametrize("zone", ["Tokio", "../etc/passwd", "", "Atlantis", "x" * 10_000, "\0"])
def test_an_unknown_zone_is_told_to_the_model(zone: str) -> None:
    assert "unknown time zone" in named("get_time").invoke({"timezone": zone})


def test_the_current_time_is_the_clocks() -> None:
    assert named("get_current_time").invoke({}) == "Monday 2026-03-09 12:00 UTC"


@pytest.mark.parametrize("name", ["calculator", "calculate"])
def test_the_calculator_has_two_names(name: str) -> None:
    assert named(name).invoke({"expression": "0.1 + 0.2"}) == "0.3"
    assert "too large" in named(name).invoke({"expression": "9**9**9"})


def test_schemas_say_what_arguments_mean() -> None:
    assert "IANA" in named("get_time").args["timezone"]["description"]
    assert all(
        argument["description"] for name in EVERY for argument in named(name).args.values() if name != "search_web"
    )


def test_without_names_only_those_that_ask_nobody_are_offered() -> None:
    assert tuple(tool.name for tool in builtin_tools(present)) == OFFLINE


def test_the_order_is_the_names() -> None:
    assert [tool.name for tool in builtin_tools(present, EVERY[::-1])] == list(EVERY[::-1])


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="get_weather"):
        builtin_tools(present, ["get_wether"])
    with pytest.raises(ConfigurationError, match="twice"):
        builtin_tools(present, ["get_time", "get_time"])


def test_what_they_promise() -> None:
    promises = {name: promises_of(named(name)) for name in EVERY}
    assert all(promise.idempotent for promise in promises.values())
    assert {name for name, promise in promises.items() if promise.untrusted} == set(EVERY[4:])
