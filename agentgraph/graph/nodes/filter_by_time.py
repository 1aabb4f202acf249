"""Keep the memories that belong to the time the question asks about."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agentgraph.events import MemoriesRecalled
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState
from agentgraph.memory.choose import place_in_time, with_notes

__all__ = ["filter_by_time"]


async def filter_by_time(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    top_k: int = 6,
    working_max: int = 12,
    max_tokens: int | None = None,
) -> AgentState:
    """Choose what enters the prompt and say why, for what is kept and for what is not."""
    windows = state.get("windows", [])
    candidates = state.get("candidates", [])
    if not candidates and not windows:
        return {"recalled": [], "candidates": []}
    notes = [memory for memory in candidates if memory["placed"] == "pinned"]
    found = [memory for memory in candidates if memory["placed"] != "pinned"]
    kept, left_out = place_in_time(
        found, windows, now=runtime.context.now, top_k=min(top_k, working_max), max_tokens=max_tokens
    )
    kept = with_notes(kept, notes, most=working_max)
    tell(runtime, MemoriesRecalled(windows=tuple(windows), memories=tuple(kept), left_out=tuple(left_out)))
    return {"recalled": kept, "candidates": []}
