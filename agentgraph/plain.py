"""Values that every store, serialiser and wire can hold alike, whoever wrote them.

PostgreSQL refuses NUL characters, UTF-8 lone surrogates, JSON not-a-number, msgpack integers beyond 64 bits and 255
levels of nesting, of which a checkpoint takes some for itself; a recursive encoder ends at about 1000. What passes here
passes all of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolCall

from agentgraph.errors import InvalidInputError

__all__ = ["DEEPEST", "ReadablePieces", "checked", "checked_message", "kept_message", "readable"]

DEEPEST: Final = 64
"""How many levels deep a value may be nested."""

_SMALLEST: Final = -(2**63)
_GREATEST: Final = 2**64 - 1
_Message = TypeVar("_Message", bound=BaseMessage)


def readable(text: str) -> str:
    """Return `text` with NUL and lone surrogates replaced by U+FFFD, and a character cut in two made whole."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ReadablePieces:
    """The pieces of one text, each `readable`; of a character cut in two between them the first half waits."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """Return what can be told by now."""
        text = self._half + piece
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return readable(text[: len(text) - len(self._half)])

    def rest(self) -> str:
        """Return what was waiting for its second half."""
        half, self._half = self._half, ""
        return readable(half)


def checked(value: object, *, param: str) -> Any:
    """Return a copy of `value` made of plain JSON types, its text readable.

    Raises:
        InvalidInputError: It holds what JSON cannot say, a number beyond 64 bits, or too many levels.
    """

    def refuse(reason: str) -> NoReturn:
        raise InvalidInputError(f"{param} cannot be kept: {reason}", param=param)

    return _plain(value, refuse)


def checked_message(message: _Message, *, param: str) -> _Message:
    """Return a caller's message as it can be kept: a call of arguments that cannot be becomes an invalid call.

    Raises:
        InvalidInputError: Another part of it cannot be kept.
    """

    def refuse(reason: str) -> NoReturn:
        raise InvalidInputError(f"{param} cannot be kept: one holds {reason}", param=param)

    return _kept(message, refuse)


def kept_message(message: _Message) -> _Message:
    """Return a model's message as it can be kept, like a caller's; what else cannot be gives way to a word on it."""
    return _kept(message, lambda reason: f"[{reason}]")


def _kept(message: _Message, unkeepable: Callable[[str], Any]) -> _Message:
    changes: dict[str, Any] = {}
    if isinstance(message, AIMessage):
        changes = _calls(message)
    for name, value in message:
        if name not in changes and (plain := _plain(value, unkeepable, takes_bytes=True)) != value:
            changes[name] = plain
    return message.model_copy(update=changes) if changes else message


def _calls(message: AIMessage) -> dict[str, Any]:
    """Return the calls, sorted into those whose arguments can be kept and those whose cannot."""
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = [_plain(call, str) for call in message.invalid_tool_calls]
    for call in message.tool_calls:
        told = {"name": readable(call["name"]), "id": readable(call["id"]) if call["id"] else call["id"]}
        try:
            calls.append({**call, **told, "args": checked(call["args"], param="the arguments")})  # type: ignore[typeddict-item]
        except InvalidInputError as error:
            broken.append({"type": "invalid_tool_call", "args": _as_text(call["args"]), "error": str(error), **told})  # type: ignore[typeddict-item]
    return {"tool_calls": calls, "invalid_tool_calls": broken}


def _as_text(arguments: Mapping[str, Any]) -> str:
    """Return the arguments as the text they came as, where they can be: as text every number can be kept."""
    try:
        return readable(json.dumps(arguments, ensure_ascii=False))
    except (ValueError, TypeError, RecursionError):
        return "{}"


def _plain(value: object, unkeepable: Callable[[str], Any], *, takes_bytes: bool = False, depth: int = 0) -> Any:
    """Copy `value` in JSON's types; `unkeepable` hears what cannot be copied, and raises or gives what replaces it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return readable(str.__str__(value))
    if isinstance(value, int):
        return int(value) if _SMALLEST <= value <= _GREATEST else unkeepable("an integer beyond 64 bits")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else unkeepable(f"{value!r}, which JSON has no number for")
    if isinstance(value, bytes) and takes_bytes:
        return value
    if not isinstance(value, Mapping | list | tuple):
        return unkeepable(f"a {type(value).__name__}, which is not JSON")
    if depth >= DEEPEST:
        return unkeepable(f"more than {DEEPEST} levels of nesting")
    if not isinstance(value, Mapping):
        return [_plain(part, unkeepable, takes_bytes=takes_bytes, depth=depth + 1) for part in value]
    plain: dict[str, Any] = {}
    for key, part in value.items():
        name = readable(str.__str__(key)) if isinstance(key, str) else unkeepable("a key that is no text")
        if name in plain:
            name = unkeepable("two keys that are one once readable")
        plain[name] = _plain(part, unkeepable, takes_bytes=takes_bytes, depth=depth + 1)
    return plain
