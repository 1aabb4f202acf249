"""Arithmetic for models: `calculator`, exact where numbers can be, and bounded whatever it is asked.

A walk over Python's own syntax tree, which runs nothing but what is named here. The kept libraries (simpleeval,
asteval, numexpr) reckon in binary floats, where 0.1 + 0.2 is not 0.3, and bound some of what can grow, but not all.

Numbers are fractions, so what is rational stays exact; roots stay exact where the root is rational. What cannot be
(`sqrt(2)`, `sin(1)`) is a float, shown to the 15 digits that hold.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final, TypeAlias

from langchain_core.tools import BaseTool, ToolException

from agentgraph.tools.decorator import tool

__all__ = ["calculate", "calculator_tools"]

Number: TypeAlias = Fraction | float

_LONGEST: Final = 1_000
_DEEPEST: Final = 100
_MOST_DIGITS: Final = 4_000
_MOST_BITS: Final = int(_MOST_DIGITS * math.log2(10))
_MOST_DECIMALS: Final = 50
_LARGEST_FACTORIAL: Final = 1_400
_SPELT: Final = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "**", "π": "pi", "\n": " "})
_CONSTANTS: Final[Mapping[str, Number]] = {"pi": math.pi, "e": math.e, "tau": math.tau}


def calculator_tools() -> list[BaseTool]:
    """Return the calculator under its two names, `calculator` and `calculate`; offer one of them."""

    async def calculator(expression: str) -> str:
        """Calculate an arithmetic expression exactly.

        Args:
            expression: Numbers with + - * / // % ** and parentheses, constants pi and e, and functions such as sqrt,
                round, min, max, log, exp, sin, factorial: '(19.99 * 3) / 2', 'sqrt(2) * sin(pi / 4)'.
        """
        return calculate(expression)

    return [tool(calculator, name=name, idempotent=True) for name in ("calculator", "calculate")]


def calculate(expression: str) -> str:
    """Return the value of an arithmetic expression.

    Raises:
        ToolException: It is no arithmetic, has no real value, or would be too large; said for a model.
    """
    if len(expression) > _LONGEST:
        raise ToolException(f"the expression has {len(expression)} characters; at most {_LONGEST} can be calculated")
    source = expression.translate(_SPELT).strip()
    try:
        return _shown(_Calculation(source).value())
    except ZeroDivisionError:
        raise ToolException("division by zero") from None
    except OverflowError:
        raise ToolException("the result is too large") from None
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ToolException(f"cannot calculate {expression[:200]!r}: {reason}") from None


class _Calculation:
    """One expression, and its text: a number is read as it was written, not as the float nearest to it."""

    def __init__(self, source: str) -> None:
        self._bytes = source.encode()  # the tree tells places in bytes
        self._tree = ast.parse(source, mode="eval").body

    def value(self) -> Number:
        return self._of(self._tree, 0)

    def _of(self, node: ast.expr, depth: int) -> Number:
        if depth > _DEEPEST:
            raise ToolException(f"the expression is nested more than {_DEEPEST} deep")
        match node:
            case ast.Constant():
                return self._literal(node)
            case ast.Name(id=name) if name.lower() in _CONSTANTS:
                return _CONSTANTS[name.lower()]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                value = self._of(operand, depth + 1)
                return -value if isinstance(sign, ast.USub) else value
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return _power(self._of(left, depth + 1), self._of(right, depth + 1))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _bounded(_BINARY[type(op)](self._of(left, depth + 1), self._of(right, depth + 1)))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name.lower() in _FUNCTIONS:
                return _called(name.lower(), [self._of(argument, depth + 1) for argument in arguments])
            case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
                raise ToolException(f"{name!r} is not known; there are {', '.join([*_CONSTANTS, *_FUNCTIONS])}")
            case ast.Tuple():
                raise ToolException("a comma separates arguments only; write 1000 for 1,000")
        raise ToolException(f"{type(node).__name__} is not arithmetic; use numbers, + - * / // % ** and functions")

    def _literal(self, node: ast.Constant) -> Number:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ToolException("only real numbers can be calculated with")
        if isinstance(node.value, int):
            return _bounded(Fraction(node.value))
        written = Decimal(self._bytes[node.col_offset : node.end_col_offset].decode().replace("_", ""))
        if abs(written.adjusted()) > _MOST_DIGITS:  # before the fraction is made: 1e999999999 has that many digits
            raise ToolException("a number is too large or too small")
        return _bounded(Fraction(written))


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if (exact := _exact_power(base, exponent)) is not None:
            return exact
        if base < 0:
            raise ToolException("the result is not a real number")
    result = float(base) ** float(exponent)
    if isinstance(result, complex):
        raise ToolException("the result is not a real number")
    return _bounded(result)


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """Return the power where it is rational, and `None` where it is not."""
    if exponent.denominator != 1:
        root = _exact_root(base, exponent.denominator)
        return None if root is None else _exact_power(root, Fraction(exponent.numerator))
    if base == 0 and exponent < 0:
        raise ZeroDivisionError
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) in {0, 1}:  # however large the exponent
        return base ** (exponent.numerator % 2 + 2) if exponent else Fraction(1)
    if (size - 1) * abs(exponent.numerator) > _MOST_BITS:
        raise ToolException("the power is too large to calculate")
    return _bounded_exact(base**exponent.numerator)


def _exact_root(number: Fraction, degree: int) -> Fraction | None:
    if number < 0 or degree > _MOST_BITS:
        return None
    above, below = _whole_root(number.numerator, degree), _whole_root(number.denominator, degree)
    return None if above is None or below is None else Fraction(above, below)


def _whole_root(number: int, degree: int) -> int | None:
    """Return the whole number whose power `number` is, by bisection."""
    if degree == 2:
        root = math.isqrt(number)
        return root if root * root == number else None
    low, high = 0, 1 << (number.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < number:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == number else None


def _called(name: str, values: list[Number]) -> Number:
    least, most, function = _FUNCTIONS[name]
    if not least <= len(values) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise ToolException(f"{name} takes {wanted} numbers, not {len(values)}")
    try:
        return _bounded(function(*values))
    except ValueError:
        raise ToolException(f"{name} has no real value there") from None


def _sqrt(value: Number) -> Number:
    return _power(value, Fraction(1, 2))


def _cbrt(value: Number) -> Number:
    return -_power(-value, Fraction(1, 3)) if value < 0 else _power(value, Fraction(1, 3))


def _round(value: Number, digits: Number = Fraction(0)) -> Number:
    places = _whole("round", digits)
    if abs(places) > _MOST_DECIMALS:
        raise ToolException(f"round takes at most {_MOST_DECIMALS} digits")
    return round(Fraction(value), places)


def _factorial(value: Number) -> Number:
    if (whole := _whole("factorial", value)) > _LARGEST_FACTORIAL:
        raise ToolException(f"the factorial is too large to calculate; at most {_LARGEST_FACTORIAL} can be")
    return Fraction(math.factorial(whole))


def _chosen(name: str, choose: Callable[[int, int], int]) -> Callable[[Number, Number], Number]:
    def count(of: Number, chosen: Number) -> Number:
        n, k = _whole(name, of), _whole(name, chosen)
        if min(k, abs(n - k) if name == "comb" else k) * max(n, 1).bit_length() > 2 * _MOST_BITS:
            raise ToolException(f"{name} is too large to calculate")
        return Fraction(choose(n, k))

    return count


def _wholes(name: str, function: Callable[..., int]) -> Callable[..., Number]:
    return lambda *values: Fraction(function(*(_whole(name, value) for value in values)))


def _whole(name: str, value: Number) -> int:
    if value != int(value):
        raise ToolException(f"{name} takes whole numbers")
    return int(value)


def _log(value: Number, base: Number | None = None) -> Number:
    return _ln(value) if base is None else _ln(value) / _ln(base)


def _ln(value: Number) -> float:
    # A fraction may be larger than any float, and its logarithm is not.
    return math.log(value.numerator) - math.log(value.denominator) if isinstance(value, Fraction) else math.log(value)


def _exact_log(base: int, function: Callable[[int], float]) -> Callable[[Number], Number]:
    def log(value: Number) -> Number:
        if isinstance(value, Fraction) and value.denominator == 1 and value > 0:
            told = function(value.numerator)
            return Fraction(round(told)) if base ** round(told) == value else told
        return _ln(value) / math.log(base)

    return log


def _angle(function: Callable[[float], float]) -> Callable[[Number], Number]:
    def of(value: Number) -> Number:
        angle = float(value)
        told = function(angle)
        # Less than the angle's own last digit is noise: sin(pi) is 0.
        return Fraction(0) if abs(told) < abs(angle) * 2**-52 and abs(angle) >= 1 else told

    return of


_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
# How many numbers each takes at the least and at the most, and what it does with them.
_FUNCTIONS: Final[Mapping[str, tuple[int, int, Callable[..., Any]]]] = {
    "abs": (1, 1, abs),
    "sqrt": (1, 1, _sqrt),
    "cbrt": (1, 1, _cbrt),
    "pow": (2, 2, _power),
    "round": (1, 2, _round),
    "floor": (1, 1, lambda value: Fraction(math.floor(value))),
    "ceil": (1, 1, lambda value: Fraction(math.ceil(value))),
    "min": (1, 100, lambda *values: min(values)),
    "max": (1, 100, lambda *values: max(values)),
    "sum": (1, 100, lambda *values: sum(values, Fraction(0))),
    "factorial": (1, 1, _factorial),
    "comb": (2, 2, _chosen("comb", math.comb)),
    "perm": (2, 2, _chosen("perm", math.perm)),
    "gcd": (1, 100, _wholes("gcd", math.gcd)),
    "lcm": (1, 100, _wholes("lcm", math.lcm)),
    "exp": (1, 1, math.exp),
    "ln": (1, 1, _ln),
    "log": (1, 2, _log),
    "log2": (1, 1, _exact_log(2, math.log2)),
    "log10": (1, 1, _exact_log(10, math.log10)),
    "sin": (1, 1, _angle(math.sin)),
    "cos": (1, 1, _angle(math.cos)),
    "tan": (1, 1, _angle(math.tan)),
    "asin": (1, 1, math.asin),
    "acos": (1, 1, math.acos),
    "atan": (1, 1, math.atan),
    "atan2": (2, 2, math.atan2),
    "sinh": (1, 1, math.sinh),
    "cosh": (1, 1, math.cosh),
    "tanh": (1, 1, math.tanh),
    "hypot": (1, 100, math.hypot),
    "degrees": (1, 1, math.degrees),
    "radians": (1, 1, math.radians),
}


def _bounded(number: Any) -> Number:
    if isinstance(number, Fraction | int):
        return _bounded_exact(Fraction(number))
    value = float(number)
    if not math.isfinite(value):
        raise ToolException("the result is too large")
    return value


def _bounded_exact(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > _MOST_BITS:
        raise ToolException("the result is too large")
    return number


def _shown(number: Number) -> str:
    """Write a number down: all digits of one that has an end, 15 of one that has not."""
    if isinstance(number, float):
        return f"{number:.15g}"
    if number.denominator == 1:
        return str(number.numerator)
    decimals = _decimals(number.denominator)
    if decimals is None or decimals > _MOST_DECIMALS:
        return _rounded(number)
    digits = str(abs(number.numerator) * 10**decimals // number.denominator).rjust(decimals + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def _decimals(denominator: int) -> int | None:
    """Return how many decimals a fraction of this denominator has; `None` where they have no end."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def _rounded(number: Fraction) -> str:
    try:
        return f"{Decimal(number.numerator) / Decimal(number.denominator):.15g}"
    except InvalidOperation:
        raise ToolException("the result is too large or too small") from None
