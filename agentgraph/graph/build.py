"""The graph, readable as a table of contents.

START → retrieve_memory → filter_by_time → filter_tools → call_model ⇄ execute_tools → write_memory → summarize → END
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import TimeoutPolicy

from agentgraph.events import NodeFinished
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.nodes.call_model import call_model
from agentgraph.graph.nodes.execute_tools import execute_tools
from agentgraph.graph.nodes.filter_by_time import filter_by_time
from agentgraph.graph.nodes.filter_tools import filter_tools
from agentgraph.graph.nodes.retrieve_memory import retrieve_memory
from agentgraph.graph.nodes.summarize import summarize
from agentgraph.graph.nodes.write_memory import write_memory
from agentgraph.graph.patience import patient_retries
from agentgraph.graph.routes import after_model, after_tools, entry
from agentgraph.graph.state import AgentState
from agentgraph.settings import Settings
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.model_filter import ModelFilter

__all__ = ["Graph", "build_graph"]

Graph = CompiledStateGraph[AgentState, RunContext, AgentState, AgentState]
"""The agent, compiled."""

Node = Callable[..., Awaitable[AgentState]]


def build_graph(
    settings: Settings,
    *,
    model_filter: ModelFilter | None = None,
) -> StateGraph[AgentState, RunContext, AgentState, AgentState]:
    """Return the agent's graph, ready to be compiled with a checkpointer and a store of your choice.

    Args:
        settings: How much to recall, how many tools to offer, how long to wait.
        model_filter: Chooses among the tools that rank best.
    """
    temporal = settings.temporal_awareness
    recalled = {"top_k": settings.mem_top_k, "working_max": settings.mem_working_max}
    graph: StateGraph[AgentState, RunContext, AgentState, AgentState] = StateGraph(
        AgentState, context_schema=RunContext
    )

    def add(node: Node, **dependencies: Any) -> None:
        graph.add_node(node.__name__, _timed(partial(node, **dependencies), node.__name__))

    add(
        retrieve_memory,
        **recalled,
        include_global=settings.enable_global_memory,
        temporal_awareness=temporal,
    )
    add(filter_by_time, **recalled, max_tokens=settings.mem_max_tokens)
    add(
        filter_tools,
        threshold=settings.tool_filter_threshold,
        top_k=settings.tool_top_k,
        model_filter=model_filter,
    )
    graph.add_node(
        "call_model",
        _timed(
            partial(
                call_model,
                temporal_awareness=temporal,
                live_window_tokens=settings.live_window_tokens,
                dynamic_temperature=settings.dynamic_temperature,
            ),
            "call_model",
        ),
        retry_policy=patient_retries(settings.model_retries),
        timeout=TimeoutPolicy(run_timeout=settings.model_timeout_s),
    )
    add(
        execute_tools,
        runner=ToolRunner(timeout_s=settings.tool_call_timeout, max_output_chars=settings.max_tool_output_chars),
        max_parallel=settings.max_parallel_tools,
        consequential_allowlist=settings.consequential_allowlist,
    )
    add(write_memory)
    add(
        summarize,
        strategy=settings.truncation_strategy,
        live_window_tokens=settings.live_window_tokens,
        timeout_s=settings.model_timeout_s,
    )

    graph.add_conditional_edges(START, entry, ["retrieve_memory", "filter_tools", "call_model"])
    graph.add_edge("retrieve_memory", "filter_by_time")
    graph.add_edge("filter_by_time", "filter_tools")
    graph.add_edge("filter_tools", "call_model")
    graph.add_conditional_edges("call_model", after_model, ["execute_tools", "write_memory", END])
    graph.add_conditional_edges("execute_tools", after_tools, ["call_model", "write_memory", END])
    graph.add_edge("write_memory", "summarize")
    graph.add_edge("summarize", END)
    return graph


def _timed(node: Node, name: str) -> Node:
    """Tell the event stream how long the node took."""

    async def timed(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
        started = time.perf_counter()
        try:
            return await node(state, runtime)
        finally:
            tell(runtime, NodeFinished(node=name, duration_ms=(time.perf_counter() - started) * 1000))

    timed.__name__ = name
    return timed
