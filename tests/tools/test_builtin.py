"""The time anywhere and exact arithmetic, bounded."""

from datetime import UTC, datetime

import pytest
from langchain_core.tools import BaseTool, ToolException

from agentgraph.tools.builtin import builtin_tools, calculate


def named(name: str) -> BaseTool:
    return next(t for t in builtin_tools(lambda: datetime(2026, 3, 9, 12, tzinfo=UTC)) if t.name == name)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2+3*4", "14"),
        ("(19.99 * 3) / 2", "29.985"),
        ("2**10", "1024"),
        ("-7 // 2", "-4"),
        ("7 % 4", "3"),
        ("1e3", "1000.0"),
    ],
)
def test_arithmetic_is_right(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9", "9**99999999", "(10**900)**900", "1/0", "__import__('os')", "a+1", "().__class__", "'x'*9", "True+1",
        "1 if 1 else 2", "lambda: 1", "[1]", "", "1 +", "(" * 200, "1j", "(-8)**0.5",
        "10**1000*10**1000*10**1000*10**1000", "9" * 501,
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_or_too_large_is_an_error(expression: str) -> None:
    with pytest.raises(ToolException):
        calculate(expression)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Tokyo", "tokyo", "Tokyo, Japan", "asia/tokyo"])
def test_the_time_in_a_city(zone: str) -> None:
    assert named("get_time").invoke({"timezone": zone}) == "Monday 2026-03-09 21:00 in Asia/Tokyo"


@pytest.mark.parametrize("zone", ["Tokio", "../etc/passwd", "", "Atlantis"])
def test_an_unknown_zone_is_told_to_the_model(zone: str) -> None:
    assert "unknown time zone" in named("get_time").invoke({"timezone": zone})


def test_the_current_time_is_the_clocks() -> None:
    assert named("get_current_time").invoke({}) == "Monday 2026-03-09 12:00 UTC"


def test_schemas_say_what_arguments_mean() -> None:
    assert "IANA" in named("get_time").args["timezone"]["description"]
