"""Know of a run whether strangers have a say in it: what the prompt holds, and what it held when it was told."""

from __future__ import annotations

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState
from agentgraph.tools.taint import untrusted_in

__all__ = ["untrusted_of"]


def untrusted_of(state: AgentState, context: RunContext) -> list[str]:
    """Return the ids of the messages with which untrusted text came to stand in the prompt; empty while none did."""
    return untrusted_in(
        state.get("messages", []),
        known=state.get("untrusted", []),
        # A run without memory skips the nodes that would replace what an earlier turn recalled.
        recalled=state.get("recalled", []) if context.include_memories else [],
        scope=context.scope,
        is_summarised=bool(state.get("summary") or state.get("summaries")),
    )
