"""A run as the events an agent's page shows: words, tools with their status, and one end.

`chat_chunk`, `tool_call_start`, `tool_call_complete`, `tool_call_error`, `chat_complete` and `error`, over server-sent
events and WebSockets alike. A tool that was begun is always told to have ended, also where the run ended before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from agentgraph.events import RunEvent, RunFailed, RunFinished, RunStarted, ToolFinished, ToolStarted, Usage
from agentgraph.run import RunResult
from agentgraph.streaming.answer_text import AnswerText

__all__ = ["AgentEvent", "AgentEvents", "EventType", "chat_answer", "dumps"]

EventType: TypeAlias = Literal[
    "chat_chunk", "tool_call_start", "tool_call_complete", "tool_call_error", "chat_complete", "error"
]


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One event.

    Attributes:
        kind: Its name.
        data: What it tells, as a JSON object: `chat_chunk` has `content`; the `tool_call_…` a `tool_call` with `id`,
            `name`, `arguments`, and at its end `duration_ms` and `result` or `error`; `chat_complete` has
            `final_response` and what else `chat_answer` returns.
    """

    kind: EventType
    data: bytes


class AgentEvents:
    """Turns the events of one run into agent events. How an error is told is the caller's: `RunFailed` yields none."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._thread: str | None = None
        self._running: dict[str, ToolStarted] = {}

    def encode(self, event: RunEvent) -> list[AgentEvent]:
        """Return what `event` adds; nothing where it is nothing to the client."""
        told: list[AgentEvent] = []
        if piece := self._text.piece(event):
            told.append(_event("chat_chunk", {"content": piece}))
        match event:
            case RunStarted():
                self._thread = event.thread
            case ToolStarted():
                self._running[event.tool_call_id] = event
                told.append(_event("tool_call_start", {"tool_call": _call(event)}))
            case ToolFinished():
                told.append(self._ended(event))
            case RunFinished():
                told += self._cut_off()
                answer = chat_answer(event, thread=self._thread)
                told.append(_event("chat_complete", {"final_response": event.text, **answer}))
            case RunFailed():
                told += self._cut_off()
            case _:
                pass
        return told

    def _ended(self, event: ToolFinished) -> AgentEvent:
        started = self._running.pop(event.tool_call_id, None)
        arguments = {} if started is None else started.arguments
        call = {
            "id": event.tool_call_id,
            "name": event.name,
            "arguments": arguments,
            "duration_ms": round(event.duration_ms, 3),
        }
        if event.status == "error":
            return _event("tool_call_error", {"tool_call": {**call, "error": event.output}})
        return _event("tool_call_complete", {"tool_call": {**call, "result": event.output}})

    def _cut_off(self) -> list[AgentEvent]:
        """Tell the end of tools that the run did not wait for, or that wait for a person."""
        running, self._running = self._running, {}
        return [
            _event("tool_call_error", {"tool_call": {**_call(call), "error": "the run ended before the tool did"}})
            for call in running.values()
        ]


def chat_answer(ending: RunFinished | RunResult, *, thread: str | None) -> dict[str, Any]:
    """Return what is told of a run's good end besides its text.

    `run_id`, `thread`, `status` (`completed`, `requires_action`, `cancelled`), `finish_reason`, `usage`, `duration_ms`;
    `tool_calls` that the caller is to run and `interrupts` that it is to answer, where there are any.
    """
    waits = bool(ending.tool_calls or ending.interrupts)
    told: dict[str, Any] = {
        "run_id": ending.run_id,
        "thread": thread,
        "status": "cancelled" if ending.is_cancelled else "requires_action" if waits else "completed",
        "finish_reason": ending.finish_reason,
        "usage": _usage(ending.usage),
        "duration_ms": round(ending.duration_ms, 3),
    }
    if ending.tool_calls:
        told["tool_calls"] = [
            {"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in ending.tool_calls
        ]
    if ending.interrupts:
        told["interrupts"] = [dict(interrupt) for interrupt in ending.interrupts]
    return told


def dumps(value: Mapping[str, Any]) -> bytes:
    """Return JSON, also of arguments with integers beyond 64 bits, which orjson refuses."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        return json.dumps(value, default=str).encode()


def _event(kind: EventType, data: Mapping[str, Any]) -> AgentEvent:
    return AgentEvent(kind, dumps(data))


def _call(event: ToolStarted) -> dict[str, Any]:
    return {"id": event.tool_call_id, "name": event.name, "arguments": event.arguments}


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
