"""Deserialise a thread's messages once: each turn reads again nearly all that the turn before it read."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

__all__ = ["RememberingSerializer"]

_MOST_BYTES: Final = 16_000_000


class RememberingSerializer(JsonPlusSerializer):
    """LangGraph's strict serialiser, which remembers what it has read, by the bytes.

    Lists are handed out anew, so that nobody's appending is seen by the next reader; the messages in them are shared.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._known: OrderedDict[bytes, Any] = OrderedDict()  # the least recently used first

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return what `data` says."""
        blob = data[1]
        if (known := self._known.get(blob)) is not None:
            self._known.move_to_end(blob)
            return _anew(known)
        value = super().loads_typed(data)
        if value is not None and len(blob) < self._most_bytes:
            self._known[blob] = value
            self._bytes += len(blob)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._known.popitem(last=False)[0])
        return _anew(value)

    def forget(self) -> None:
        """Drop everything: something in it may have been forgotten."""
        self._known.clear()
        self._bytes = 0


def _anew(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    if isinstance(value, _DeltaSnapshot):
        return _DeltaSnapshot(_anew(value.value))
    if isinstance(value, dict) and "channel_values" in value:
        return {**value, "channel_values": {name: _anew(part) for name, part in value["channel_values"].items()}}
    return value
