"""LangGraph's filters: what they mean, once in Python and once in SQL.

A filter maps fields of the value to a plain value (equal), to operators (`$eq $ne $gt $gte $lt $lte`), or to a nested
mapping. Numbers compare as numbers and strings as strings, by code point; values of different types are unequal and in
no order. (`InMemoryStore` turns both sides into floats, which agrees on numbers and on zero-padded digits and fails on
all else.) A missing field equals `None`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from agentgraph.errors import InvalidInputError
from agentgraph.stores.values import TIME_FIELDS, decode_value, normalised

__all__ = ["checked_filter", "filter_sql", "matches", "matches_json"]

_OPERATORS: Final[dict[str, str]] = {"$eq": "=", "$ne": "<>", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}
_LARGEST_EXACT: Final = 2**53


def checked_filter(condition: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a normalised copy of `condition`, empty for `None`.

    Raises:
        InvalidInputError: It is no mapping, names an unknown operator, or holds what JSON cannot.
    """
    if condition is None:
        return {}
    if not isinstance(condition, Mapping):
        raise InvalidInputError(f"a filter is a mapping, not {type(condition).__name__}", param="filter")
    plain: dict[str, Any] = normalised(condition)
    for expected in plain.values():
        _check_operators(expected)
    return plain


def matches(value: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Say whether an item's `value` fulfils a checked filter."""
    return all(_holds(value.get(field), expected) for field, expected in condition.items())


def matches_json(value: str, condition: str) -> bool:
    """Do what `matches` does on JSON texts; registered in SQLite for the filters SQL cannot say."""
    return matches(decode_value(value), json.loads(condition))


def filter_sql(condition: Mapping[str, Any], *, table: str = "i") -> tuple[str, list[Any]]:
    """Return a checked filter as a SQL expression over `items` and its parameters; `"1"` if it filters nothing.

    Time fields become ranges over their indexed columns.
    """
    parts: list[str] = []
    parameters: list[Any] = []
    rest: dict[str, Any] = {}
    for field, expected in condition.items():
        comparisons = expected if _is_operators(expected) else {"$eq": expected}
        said = [_comparison_sql(table, field, name, operand) for name, operand in comparisons.items()]
        if '"' in field or "\\" in field or None in said:
            rest[field] = expected
            continue
        for comparison in said:
            assert comparison is not None  # noqa: S101  checked above
            parts.append(comparison[0])
            parameters.extend(comparison[1])
    if rest:
        parts.append(f"matches_json({table}.value, ?)")
        parameters.append(json.dumps(rest))
    return " AND ".join(parts) or "1", parameters


def _check_operators(expected: object) -> None:
    if not isinstance(expected, Mapping):
        return
    if _is_operators(expected):
        unknown = [name for name in expected if name not in _OPERATORS]
        if unknown:
            known = " ".join(_OPERATORS)
            raise InvalidInputError(f"a filter cannot use {unknown[0]!r}: the operators are {known}", param="filter")
        return
    for part in expected.values():
        _check_operators(part)


def _is_operators(expected: object) -> bool:
    return isinstance(expected, Mapping) and any(name.startswith("$") for name in expected)


def _holds(actual: object, expected: object) -> bool:
    if isinstance(expected, Mapping):
        if _is_operators(expected):
            return all(_compares(actual, name, operand) for name, operand in expected.items())
        return isinstance(actual, Mapping) and all(_holds(actual.get(key), part) for key, part in expected.items())
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(_holds(one, other) for one, other in zip(actual, expected, strict=True))
        )
    return _equal(actual, expected)


def _compares(actual: object, operator: str, operand: object) -> bool:
    if operator == "$eq":
        return _equal(actual, operand)
    if operator == "$ne":
        return not _equal(actual, operand)
    if _kind(actual) != _kind(operand) or _kind(actual) not in {"number", "text"}:
        return False
    return _ORDER[operator](actual, operand)


def _equal(actual: object, operand: object) -> bool:
    if isinstance(actual, Mapping) and isinstance(operand, Mapping):
        return actual.keys() == operand.keys() and all(_equal(actual[key], operand[key]) for key in actual)
    if isinstance(actual, list) and isinstance(operand, list):
        return len(actual) == len(operand) and all(_equal(a, b) for a, b in zip(actual, operand, strict=True))
    return _kind(actual) == _kind(operand) and actual == operand


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "nested"


def _comparison_sql(table: str, field: str, operator: str, operand: Any) -> tuple[str, list[Any]] | None:
    """Return one comparison as SQL and parameters, or `None` if only Python can say it."""
    sign = _OPERATORS[operator]
    if field in TIME_FIELDS and isinstance(operand, str):
        column = f"{table}.{field}"
        return (f"{column} IS NOT ?" if operator == "$ne" else f"{column} {sign} ?"), [operand]
    path = f'$."{field}"'
    kind = _kind(operand)
    if kind == "text":
        equal = f"(json_type({table}.value, ?) = 'text' AND json_extract({table}.value, ?) {{}} ?)"
    elif kind == "number" and abs(operand) <= _LARGEST_EXACT:
        equal = f"(json_type({table}.value, ?) IN ('integer', 'real') AND json_extract({table}.value, ?) {{}} ?)"
    elif kind in {"null", "bool"}:
        if operator not in {"$eq", "$ne"}:
            return "0", []
        expected = "null" if operand is None else "true" if operand else "false"
        return f"coalesce(json_type({table}.value, ?), 'null') {sign} '{expected}'", [path]
    else:
        return None
    if operator == "$ne":
        return f"NOT coalesce({equal.format('=')}, 0)", [path, path, operand]
    return equal.format(sign), [path, path, operand]
