"""Keep what the user said, within the run, where no background worker does so.

Episodes only: extracting facts takes a model call, which the answer would wait for. The worker has them extracted.
"""

from __future__ import annotations

from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState
from agentgraph.memory.write import write_episodes

__all__ = ["write_memory"]


async def write_memory(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Write the episodes owed and owe nothing. Running it again writes nothing twice."""
    if runtime.store is not None and (owed := state.get("owed")):
        await write_episodes(runtime.store, owed)
    return {"owed": []}
