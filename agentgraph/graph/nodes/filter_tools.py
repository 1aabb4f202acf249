"""Choose which of many tools the model is shown this turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from agentgraph.events import ToolsOffered
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState

__all__ = ["filter_tools"]

_RECENT: Final = 2  # user messages that say what the conversation is about
_FLOOR: Final = 0.35  # below this a tool has a stray word in common, not a purpose


async def filter_tools(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    threshold: int = 8,
    top_k: int = 5,
    memory_tools: Sequence[str] = (),
) -> AgentState:
    """Offer all of a handful of tools, else those the recent turns call for.

    Tools for memory are offered in any case, and to a run without memory in none.

    What a thread has once been offered stays offered: the list only grows, in the order it grew, so that vendors'
    prompt caches hold.
    """
    tools = runtime.context.tools
    if not len(tools):
        return {}
    hidden = () if runtime.context.include_memories else memory_tools
    if len(tools) - len(memory_tools) <= threshold:
        offered = [name for name in tools.names if name not in hidden]
    else:
        before = [name for name in state.get("offered_tools", []) if name in tools]
        offered = [name for name in dict.fromkeys([*before, *memory_tools]) if name not in hidden]
        found = await tools.rank(_recent_turns(state), limit=top_k + len(memory_tools))
        ranked = [tool.name for tool in found if tool.score >= _FLOOR and tool.name not in memory_tools]
        offered += [name for name in ranked[:top_k] if name not in offered]
    tell(
        runtime,
        ToolsOffered(offered=tuple(offered), left_out=tuple(name for name in tools.names if name not in offered)),
    )
    return {"offered_tools": offered}


def _recent_turns(state: AgentState) -> list[str]:
    said = [str(message.text) for message in state.get("messages", []) if isinstance(message, HumanMessage)]
    return said[-_RECENT:]
