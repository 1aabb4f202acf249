"""Numbers, ordinals and years in words and digits: the first stage, which dates and durations build on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentgraph.temporal.grammar import Made, Rule
from agentgraph.temporal.periods import Clock, full_year
from agentgraph.temporal.tokens import Token

__all__ = ["NUMBER_RULES"]


def _is_word(token: Token) -> bool:
    return not token.text[:1].isdigit()


def _tens_and_ones(tokens: Sequence[Token], _: Clock) -> Made:
    first, last = tokens[0], tokens[-1]
    fits = first.value in range(20, 100, 10) and isinstance(last.value, int) and 1 <= last.value <= 9
    if fits and _is_word(first) and _is_word(last):
        return last.kind, first.value + last.value
    return None


def _hundreds(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "two thousand (and) five", "nineteen hundred ninety three", "one thousand seven hundred eighty nine"."""
    total, current = 0, 0
    for token in tokens:
        if token.kind in {"and", "dash"}:
            continue
        if token.kind == "hundred":
            if token.value == 1000:
                total, current = total + max(current, 1) * 1000, 0
            else:
                current = max(current, 1) * 100
        elif not isinstance(token.value, int):
            return None
        else:
            current += token.value
    total += current
    if 1000 <= total <= 2999:
        return "year", total
    return "number", total


def _spoken_year(tokens: Sequence[Token], _: Clock) -> Made:
    century, rest = tokens[0], tokens[-1]
    fits = century.value in range(15, 22) and rest.value in range(10, 100)
    if fits and _is_word(century) and _is_word(rest):
        return "year", century.value * 100 + rest.value
    return None


def _spoken_decade(tokens: Sequence[Token], _: Clock) -> Made:
    if tokens[0].value in range(15, 22) and _is_word(tokens[0]):
        return "decade", f"{tokens[0].value}{tokens[1].value % 100:02}s"
    return None


def _short_year(tokens: Sequence[Token], clock: Clock) -> Made:
    return "year", full_year(int(tokens[0].value[1:]), clock)


NUMBER_RULES: Final = (
    Rule.of("number dash? number", _tens_and_ones),
    Rule.of("number dash? ordinal", _tens_and_ones),
    Rule.of("number hundred (and? number hundred)? (and? number)?", _hundreds),
    Rule.of("number number", _spoken_year),
    Rule.of("number decade_name", _spoken_decade),
    Rule.of("short_year", _short_year),
)
