"""Where the graph goes next, as functions of state and context.

They await nothing and are async all the same: LangGraph would hand plain functions to a thread pool.
"""

from __future__ import annotations

from typing import Literal

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState
from agentgraph.tools.calls import server_calls

__all__ = ["after_model", "after_tools", "entry"]


async def entry(
    state: AgentState,  # noqa: ARG001
    runtime: Runtime[RunContext],
) -> Literal["retrieve_memory", "filter_tools", "call_model"]:
    """Go past steps that would do nothing in this run: each costs a quarter of a millisecond."""
    if runtime.context.include_memories:
        return "retrieve_memory"
    return "filter_tools" if len(runtime.context.tools) else "call_model"


async def after_model(
    state: AgentState, runtime: Runtime[RunContext]
) -> Literal["execute_tools", "write_memory", "__end__"]:
    """Answer the calls that are the server's; the caller runs its own tools, and a plain answer ends the turn."""
    answer, client_tools = _newest_answer(state), runtime.context.client_tool_names
    return "execute_tools" if answer and server_calls(answer, client_tools) else _finish(runtime.context)


async def after_tools(
    state: AgentState, runtime: Runtime[RunContext]
) -> Literal["call_model", "write_memory", "__end__"]:
    """Let the model read the results, unless it waits for results only the caller can bring."""
    answer, client_tools = _newest_answer(state), runtime.context.client_tool_names
    called = [call["name"] for call in (*answer.tool_calls, *answer.invalid_tool_calls)] if answer else []
    return "call_model" if client_tools.isdisjoint(called) else _finish(runtime.context)


def _finish(context: RunContext) -> Literal["write_memory", "__end__"]:
    return "write_memory" if context.inline_writing else "__end__"


def _newest_answer(state: AgentState) -> AIMessage | None:
    return next((message for message in reversed(state["messages"]) if isinstance(message, AIMessage)), None)
