"""Carry one turn through: show its events as they come, and fold them into what is left when it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgraph.events import RunEvent, RunFailed, ToolFinished, ToolsOffered, ToolStarted
from agentgraph.run import RunResult

__all__ = ["Turn", "play"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A finished run with what `RunResult` does not hold: the tools not offered, and what each was called with."""

    result: RunResult
    tools_left_out: tuple[str, ...]
    tools_called: tuple[Mapping[str, Any], ...]

    def as_record(self) -> dict[str, Any]:
        """Return the turn as a JSON object: the answer, its receipts, tools, tokens and milliseconds."""
        result = self.result
        return {
            "answer": result.text,
            "windows": [dict(window) for window in result.windows],
            "memories": [dict(memory) for memory in result.memories],
            "left_out": [dict(memory) for memory in result.left_out],
            "tools_offered": list(result.tools_offered),
            "tools_called": [dict(call) for call in self.tools_called],
            "usage": {
                "input_tokens": result.usage.input_tokens,
                "output_tokens": result.usage.output_tokens,
                "total_tokens": result.usage.total_tokens,
            },
            "node_ms": {node: round(ms, 3) for node, ms in result.node_ms.items()},
            "duration_ms": round(result.duration_ms, 3),
        }


def play(events: Iterable[RunEvent], show: Callable[[RunEvent], object]) -> Turn:
    """Show every event and return the finished turn.

    Raises:
        Exception: What the run failed with, as `AgentGraph.run` would raise it.
    """
    seen: list[RunEvent] = []
    for event in events:
        seen.append(event)
        show(event)
        if isinstance(event, RunFailed):
            raise event.error
    arguments = {event.tool_call_id: dict(event.arguments) for event in seen if isinstance(event, ToolStarted)}
    return Turn(
        result=RunResult.from_events(seen),
        tools_left_out=tuple(name for event in seen if isinstance(event, ToolsOffered) for name in event.left_out),
        tools_called=tuple(
            {
                "name": event.name,
                "arguments": arguments.get(event.tool_call_id, {}),
                "output": event.output,
                "status": event.status,
                "ms": round(event.duration_ms, 3),
            }
            for event in seen
            if isinstance(event, ToolFinished)
        ),
    )
