"""Tools every agent can have: the time anywhere, and exact arithmetic. Both answer offline."""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from agentgraph.tools.promises import promising

__all__ = ["builtin_tools", "calculate"]

_LARGEST_POWER: Final = 1_000
_LONGEST_EXPRESSION: Final = 500
_MOST_DIGITS: Final = 4_000
_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def builtin_tools(clock: Callable[[], datetime]) -> list[BaseTool]:
    """Return `get_current_time`, `get_time` and `calculator`.

    Args:
        clock: Tells the present moment, aware; a demo or a test moves it.
    """

    def get_current_time() -> str:
        """Get the current date and time in UTC."""
        return f"{clock().astimezone(UTC):%A %Y-%m-%d %H:%M} UTC"

    def get_time(timezone: str) -> str:
        """Get the current local time in a city or time zone anywhere in the world.

        Args:
            timezone: An IANA time zone such as 'Asia/Tokyo' or 'Europe/Paris', or the name of a large city.
        """
        zone = _zone(timezone)
        return f"{clock().astimezone(zone):%A %Y-%m-%d %H:%M} in {zone.key}"

    def calculator(expression: str) -> str:
        """Calculate an arithmetic expression exactly.

        Args:
            expression: Numbers with + - * / // % ** and parentheses, such as '(19.99 * 3) / 2'.
        """
        return calculate(expression)

    return [
        promising(StructuredTool.from_function(function, parse_docstring=True, handle_tool_error=True), idempotent=True)
        for function in (get_current_time, get_time, calculator)
    ]


def calculate(expression: str) -> str:
    """Evaluate arithmetic without `eval`, bounded in size.

    Raises:
        ToolException: The expression is no arithmetic, or its result would be too large.
    """
    if len(expression) > _LONGEST_EXPRESSION:
        raise ToolException(f"the expression is longer than {_LONGEST_EXPRESSION} characters")
    try:
        result = _value(ast.parse(expression.strip(), mode="eval").body)
        return str(result)
    except ToolException:
        raise
    except ZeroDivisionError:
        raise ToolException("division by zero") from None
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ToolException(f"cannot calculate {expression!r}: {error}") from error


def _value(node: ast.expr) -> int | float:
    match node:
        case ast.Constant(value=bool() | complex()):
            raise ToolException("only numbers can be calculated with")
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left), _value(right)))
    raise ToolException(f"{type(node).__name__} is not arithmetic; use numbers, + - * / // % ** and parentheses")


def _power(base: float, exponent: float) -> int | float:
    if abs(exponent) > _LARGEST_POWER or (
        isinstance(base, int) and base.bit_length() * abs(exponent) > _MOST_DIGITS * 4
    ):
        raise ToolException("the power is too large to calculate")
    result = base**exponent
    if isinstance(result, complex):
        raise ToolException("the result is not a real number")
    return _bounded(result)


def _bounded(number: float) -> int | float:
    if isinstance(number, int) and number.bit_length() > _MOST_DIGITS * 3:
        raise ToolException("the result is too large")
    return number


def _zone(name: str) -> ZoneInfo:
    wanted = name.strip().replace(" ", "_")
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    # Models say "Tokyo" where IANA says "Asia/Tokyo".
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(available_timezones()) if "/" in zone}
    city = wanted.rpartition("/")[2].partition(",")[0].lower()
    if city in cities:
        return ZoneInfo(cities[city])
    near = difflib.get_close_matches(city, cities, n=3)
    hint = f" Did you mean {', '.join(cities[each] for each in near)}?" if near else " Use a name such as 'Asia/Tokyo'."
    raise ToolException(f"unknown time zone {name!r}.{hint}")
