"""The agent as a graph for `langgraph dev` and LangGraph Platform, which keep the threads themselves."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agentgraph.app import AgentGraph
from agentgraph.chat_model import ChatAgentGraph

__all__ = ["AgentContext", "agent_graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """Who a platform's run is for; give it as the run's `context`.

    Attributes:
        tenant: `tenant` or `tenant:session`.
        user: A person within the tenant.
        timezone: IANA zone of the speaker.
        model: `provider/model`; the deployment's default where not given.
    """

    tenant: str = "default"
    user: str | None = None
    timezone: str | None = None
    model: str | None = None


PlatformGraph = CompiledStateGraph[MessagesState, AgentContext, MessagesState, MessagesState]


def agent_graph(app: AgentGraph | None = None) -> PlatformGraph:
    """Return a graph of one node, the agent, without a checkpointer.

    The platform's thread is the run's history, so each turn is a one-off run of ours: memory applies, and the
    conversation is kept once, by the platform.

    Args:
        app: The agent; by default the process's own, made from the environment.
    """

    async def agent(state: MessagesState, runtime: Runtime[AgentContext]) -> MessagesState:
        # Typed as always there, and `None` where a run gave no context.
        context: AgentContext | None = runtime.context
        context = AgentContext() if context is None else context
        model = ChatAgentGraph(
            tenant=context.tenant, user=context.user, timezone=context.timezone, model=context.model, app=app
        )
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState, context_schema=AgentContext)
    graph.add_node("agent", agent)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    return graph.compile(name="agentgraph")
