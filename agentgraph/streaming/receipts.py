"""What a run used and why, for callers who ask for it: memories, times, tools."""

from __future__ import annotations

from typing import Any

from agentgraph.run import RunResult

__all__ = ["receipts_of"]


def receipts_of(result: RunResult) -> dict[str, Any]:
    """Return a run's receipts.

    `memories` and `left_out` are receipts of what was recalled, `windows` the times the question spoke of, `tools` says
    of each server tool why it was shown or not, `tool_runs` which ran, how it ended and how many milliseconds it took.
    """
    return {
        "windows": [dict(window) for window in result.windows],
        "memories": [dict(memory) for memory in result.memories],
        "left_out": [dict(memory) for memory in result.left_out],
        "tools": [dict(receipt) for receipt in result.tool_receipts],
        "tool_runs": [
            {"name": run.name, "status": run.status, "duration_ms": run.duration_ms} for run in result.tool_runs
        ],
    }
