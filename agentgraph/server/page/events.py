"""A run as the page follows it: every event there is, one server-sent event each."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, Final

import orjson

from agentgraph.events import RunEvent, RunFailed
from agentgraph.server.errors import Fault, fault_of

__all__ = ["event_frame"]

# The vendor's own word on an answer is for programs, and may hold anything.
_UNTOLD: Final = {"response_metadata"}


def event_frame(event: RunEvent, *, request_id: str) -> bytes:
    """Return `event` as one frame: its class's name, and its fields as JSON; a failure as the error HTTP would tell."""
    if isinstance(event, RunFailed):
        fault = fault_of(event.error, request_id=request_id)
        told: dict[str, Any] = {"run_id": event.run_id, "request_id": request_id, **_told(fault)}
    else:
        told = {field.name: getattr(event, field.name) for field in fields(event) if field.name not in _UNTOLD}
    data = orjson.dumps(told, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return b"event: %s\ndata: %s\n\n" % (_name(event).encode(), data)


def _told(fault: Fault) -> dict[str, Any]:
    return {
        "status": fault.status,
        "code": fault.code,
        "detail": fault.message,
        "retry": fault.retry,
        "retry_after": fault.retry_after,
    }


def _name(event: RunEvent) -> str:
    """Spell `ToolStarted` as `tool_started`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()


def _plain(value: Any) -> Any:
    """Return what JSON has no word for: a question a node of somebody's own asks may be anything."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)
