"""How a run's end is noted, and told again from the note to whoever asks later or from another process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from langchain_core import exceptions as model_errors

from agentgraph import errors
from agentgraph.errors import AgentGraphError, RunCancelledError, is_retryable
from agentgraph.events import RunEvent, RunFailed, RunFinished, RunStarted, TextDelta, ToolCallDelta, Usage
from agentgraph.stores.threads.runs import Row

__all__ = ["error_record", "events_of", "result_record"]


def result_record(ending: RunFinished) -> dict[str, Any]:
    """Return what a note keeps of a good end."""
    record: dict[str, Any] = {
        "message_id": ending.message_id,
        "text": ending.text,
        "finish_reason": ending.finish_reason,
        "usage": [ending.usage.input_tokens, ending.usage.output_tokens],
        "duration_ms": round(ending.duration_ms, 3),
    }
    if ending.tool_calls:
        record["tool_calls"] = [dict(call) for call in ending.tool_calls]
    if ending.interrupts:
        record["interrupts"] = [dict(interrupt) for interrupt in ending.interrupts]
    if ending.is_cancelled:
        record["is_cancelled"] = True
    return record


def error_record(error: Exception) -> dict[str, Any]:
    """Return what a note keeps of a failure. Only our own messages: a vendor's may quote what was said."""
    return {
        "type": type(error).__name__,
        "code": error.code if isinstance(error, AgentGraphError) else "model_failed",
        "message": error.message if isinstance(error, AgentGraphError) else f"the run failed: {type(error).__name__}",
        "is_retryable": is_retryable(error),
    }


def events_of(row: Row, *, model: str) -> list[RunEvent]:
    """Tell a run from its note: its beginning, its answer in one piece, and its end."""
    tenant, _, thread = row.thread_id.split("/", 2)
    started = RunStarted(run_id=row.run_id, tenant=tenant, thread=thread, model=model)
    if row.status == "failed":
        return [started, RunFailed(run_id=row.run_id, error=_failure(row.error or {}))]
    if row.result is None:
        lost = RunCancelledError(
            "the run was undone on account of a later one"
            if row.status == "undone"
            else "the run has ended; its answer stands in its thread",
            code="rolled_back" if row.status == "undone" else "result_expired",
        )
        return [started, RunFailed(run_id=row.run_id, error=lost)]
    result = row.result
    calls = tuple(result.get("tool_calls", ()))
    finished = RunFinished(
        run_id=row.run_id,
        message_id=result["message_id"],
        text=result["text"],
        tool_calls=calls,
        finish_reason=result["finish_reason"],
        usage=Usage(input_tokens=result["usage"][0], output_tokens=result["usage"][1]),
        duration_ms=result["duration_ms"],
        interrupts=tuple(result.get("interrupts", ())),
        is_cancelled=result.get("is_cancelled", False),
    )
    said: list[RunEvent] = [TextDelta(text=finished.text)] if finished.text else []
    said += [
        ToolCallDelta(
            index=index,
            tool_call_id=call["id"],
            name=call["name"],
            arguments=call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]),
            is_client_tool=True,
        )
        for index, call in enumerate(calls)
    ]
    return [started, *said, finished]


def _failure(record: Mapping[str, Any]) -> Exception:
    """Raise what was raised, as far as its kind and our own words go."""
    kind = getattr(errors, record.get("type", ""), None) or getattr(model_errors, record.get("type", ""), None)
    message = record.get("message", "the run failed")
    failure: Exception = AgentGraphError(message)
    if isinstance(kind, type) and issubclass(kind, AgentGraphError | model_errors.ModelError):
        with suppress(TypeError):
            failure = kind(message)
    if isinstance(failure, AgentGraphError):
        failure.code = record.get("code", failure.code)
    failure.is_retryable = record.get("is_retryable", False)  # type: ignore[attr-defined]
    return failure
