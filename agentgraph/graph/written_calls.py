"""Put together the tool calls a model writes piece by piece, however its vendor tells the pieces of one from another's.

OpenAI gives each call an index, and id and name with its first piece only. Others repeat id and name with every piece,
give all calls the index 0, or none, or write whole calls at once. LangChain adds pieces up by their index alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessageChunk, ToolCallChunk

from agentgraph.plain import readable

__all__ = ["PlacedPiece", "WrittenCalls"]


@dataclass(frozen=True, slots=True)
class PlacedPiece:
    """A piece of a call, known by the call's place.

    Attributes:
        index: Which call of the message it belongs to: they are counted from 0 in the order they begin in.
        call_id: The call's id, where this piece brought it.
        name: The tool's name, or the next part of it, where this piece brought it.
        arguments: The next part of the arguments.
        whole_name: The name as far as it is known.
    """

    index: int
    call_id: str | None
    name: str | None
    arguments: str
    whole_name: str


@dataclass(slots=True)
class _Call:
    vendors_index: Any = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class WrittenCalls:
    """The calls of one message, as far as they are written."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, piece: ToolCallChunk) -> PlacedPiece:
        """Take the next piece, and return where it belongs and what of it is new."""
        index = self._place(piece)
        call = self._calls[index]
        call_id = "" if call.call_id else piece["id"] or ""
        name = _new_of_name(call, piece["name"] or "")
        arguments = readable(piece["args"] or "")
        call.call_id += call_id
        call.name += name
        call.arguments += arguments
        return PlacedPiece(index, call_id or None, name or None, arguments, call.name)

    def message(self) -> AIMessageChunk:
        """Return a message of these calls alone: what could be read, and what could not."""
        chunks: list[Any] = [
            {
                "type": "tool_call_chunk",
                "index": index,
                "id": call.call_id or None,
                "name": call.name or None,
                "args": call.arguments,
            }
            for index, call in enumerate(self._calls)
        ]
        return AIMessageChunk(content="", tool_call_chunks=chunks)

    def _place(self, piece: ToolCallChunk) -> int:
        index, call_id = piece["index"], piece["id"] or ""
        place = _last(self._calls, lambda call: bool(call_id) and call.call_id == call_id)
        if place is not None:
            return place
        place = (
            _last(self._calls, lambda call: call.vendors_index == index) if index is not None else len(self._calls) - 1
        )
        if place is None or place < 0 or _begins_another(self._calls[place], piece):
            self._calls.append(_Call(vendors_index=index))
            return len(self._calls) - 1
        return place


def _begins_another(call: _Call, piece: ToolCallChunk) -> bool:
    """Say whether a piece that by its index would go on with `call` is the first of another."""
    if piece["id"] and call.call_id:
        return True  # and another than that of any call before
    if not piece["name"] or not call.name:
        return False
    # Without an index a name is a beginning; with one it may be a repetition, unless there is nothing left to write.
    return piece["index"] is None or (bool(piece["args"]) and _is_whole(call.arguments))


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True


def _new_of_name(call: _Call, name: str) -> str:
    """Return what `name` adds: nothing where it is repeated, or comes when arguments are being written."""
    return "" if call.name and (name == call.name or call.arguments) else name


def _last(calls: Sequence[_Call], fits: Callable[[_Call], bool]) -> int | None:
    return next((i for i in range(len(calls) - 1, -1, -1) if fits(calls[i])), None)
