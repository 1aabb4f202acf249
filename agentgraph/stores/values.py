"""What a store keeps of an item: its value as JSON text, its times, and the texts it is found by.

Values are normalised so that every backend agrees: NUL characters and lone surrogates, which PostgreSQL refuses,
become U+FFFD in values and queries. In keys and namespaces they are refused instead: two keys must not become one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from langgraph.store.base import get_text_at_path

from agentgraph.errors import InvalidInputError
from agentgraph.plain import readable
from agentgraph.stores.sequences import NO_SEQUENCE

__all__ = [
    "SEQUENCE_PATH",
    "TIME_FIELDS",
    "check_label",
    "decode_value",
    "encode_value",
    "normalised",
    "readable",
    "sequence_of",
    "texts_of",
    "time_key_of",
]

TIME_FIELDS: Final = ("time_start", "time_end", "recorded_at")
"""Fields of a value that are kept in columns of their own, so that a condition on time is a range."""

SEQUENCE_PATH: Final = ("source", "thread")
"""Where a value names the conversation it comes from: items of one are neighbours, in the order they were recorded."""

_DEEPEST: Final = 100
_CONTROL: Final = re.compile("[\x00-\x1f\ud800-\udfff]")
_TIME_KEY: Final = re.compile("[0-9]{15}")
_LONGEST_LABEL: Final = 1_024


def normalised(value: object, *, depth: int = 0) -> Any:
    """Return a copy of `value` made of plain JSON types.

    Raises:
        InvalidInputError: It holds something JSON cannot say (NaN and infinity too), or is nested too deep.
    """
    if depth > _DEEPEST:
        raise InvalidInputError(f"a stored value may be nested {_DEEPEST} levels deep, not more", param="value")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return readable(str.__str__(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{value!r} cannot be stored: JSON has no such number", param="value")
        return float(value)
    if isinstance(value, Mapping):
        plain: dict[str, Any] = {}
        for key, part in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(f"keys of a stored value are strings, not {type(key).__name__}", param="value")
            plain[readable(key)] = normalised(part, depth=depth + 1)
        return plain
    if isinstance(value, (list, tuple)):
        return [normalised(part, depth=depth + 1) for part in value]
    raise InvalidInputError(f"a {type(value).__name__} cannot be stored: it is not JSON", param="value")


def encode_value(value: Mapping[str, Any]) -> str:
    """Return a normalised value as JSON text; integers of any size survive."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except ValueError as error:  # beyond Python's limit on digits
            raise InvalidInputError(f"the value cannot be stored: {error}", param="value") from error


def decode_value(text: str) -> dict[str, Any]:
    """Read a value back; orjson turns integers beyond 64 bits into floats, so text that may hold one goes slowly."""
    value: dict[str, Any] = orjson.loads(text) if _LONG_NUMBER.search(text) is None else json.loads(text)
    return value


# 19 digits that no quote, digit or point precedes: an integer that may not fit.
_LONG_NUMBER: Final = re.compile(r"[:,\[]-?[0-9]{19}")


def check_label(label: object, *, param: str) -> str:
    """Return a key or one label of a namespace as it is, or refuse it.

    Raises:
        InvalidInputError: Not a string, empty, too long, or with control characters or lone surrogates.
    """
    if not isinstance(label, str):
        raise InvalidInputError(f"{param} must be a string, not {type(label).__name__}", param=param)
    if not label or len(label) > _LONGEST_LABEL:
        raise InvalidInputError(f"{param} must be 1 to {_LONGEST_LABEL} characters long, not {len(label)}", param=param)
    if _CONTROL.search(label) is not None:
        raise InvalidInputError(f"{param} {label!r} holds a control character or half a character", param=param)
    return label


def time_key_of(field: object) -> int:
    """Read a 15-digit time key as a number; -1 if there is none, -2 if it is a string spelt otherwise."""
    if not isinstance(field, str):
        return -1
    return int(field) if _TIME_KEY.fullmatch(field) is not None else -2


def sequence_of(value: Mapping[str, Any]) -> int:
    """Return the id of the conversation `value` comes from, -1 for none: 63 bits of a digest of its name."""
    part: object = value
    for name in SEQUENCE_PATH:
        part = part.get(name) if isinstance(part, Mapping) else None
    if not isinstance(part, str) or not part:
        return NO_SEQUENCE
    return int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "big") >> 1


def texts_of(value: Mapping[str, Any], paths: Sequence[str]) -> list[str]:
    """Return the distinct texts of `value` at LangGraph's index `paths`; `$` is the whole value but its times."""
    texts: dict[str, None] = {}
    for path in paths:
        found = (
            ["\n".join(_in_words({name: part for name, part in value.items() if name not in TIME_FIELDS}))]
            if path in {"$", ""}
            else get_text_at_path(value, path)
        )
        texts.update((text, None) for text in found if text.strip())
    return list(texts)


def _in_words(value: object, name: str = "") -> Iterator[str]:
    """Yield `name: text` lines: what an embedder was trained on, unlike braces and quotes."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _in_words(part, f"{name} {key}" if name else key)
    elif isinstance(value, list):
        for part in value:
            yield from _in_words(part, name)
    elif value is not None:
        yield f"{name}: {value}"
