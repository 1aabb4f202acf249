"""Where the graph goes next, as functions of state and context.

They await nothing and are async all the same: LangGraph would hand plain functions to a thread pool.
"""

from __future__ import annotations

from typing import Literal

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState

__all__ = ["after_model", "after_tools", "entry"]


async def entry(state: AgentState, runtime: Runtime[RunContext]) -> Literal["retrieve_memory", "filter_tools"]:  # noqa: ARG001
    """Go past memory where the run wants none: two steps that would do nothing cost half a millisecond."""
    return "retrieve_memory" if runtime.context.include_memories else "filter_tools"


async def after_model(
    state: AgentState, runtime: Runtime[RunContext]
) -> Literal["execute_tools", "write_memory", "__end__"]:
    """Run the server tools that were called; the caller runs its own, and a plain answer ends the turn."""
    server_calls, _ = _calls(state, runtime.context)
    return "execute_tools" if server_calls else _finish(runtime.context)


async def after_tools(
    state: AgentState, runtime: Runtime[RunContext]
) -> Literal["call_model", "write_memory", "__end__"]:
    """Let the model read the results, unless it waits for results only the caller can bring."""
    _, client_calls = _calls(state, runtime.context)
    return _finish(runtime.context) if client_calls else "call_model"


def _finish(context: RunContext) -> Literal["write_memory", "__end__"]:
    return "write_memory" if context.inline_writing else "__end__"


def _calls(state: AgentState, context: RunContext) -> tuple[list[str], list[str]]:
    """Return the names of the server tools and of the client tools that the newest answer calls."""
    client_tools = context.client_tool_names
    answer = next((message for message in reversed(state["messages"]) if isinstance(message, AIMessage)), None)
    called = [call["name"] for call in answer.tool_calls] if answer else []
    return [name for name in called if name not in client_tools], [name for name in called if name in client_tools]
