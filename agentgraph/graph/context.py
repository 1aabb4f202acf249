"""Who a run is for and how it is to go: set once at the edge, read by nodes as `runtime.context`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.runtime import Runtime

from agentgraph.events import RunEvent
from agentgraph.scope import Scope
from agentgraph.tools.ledger import ToolLedger
from agentgraph.tools.toolset import ToolSet

__all__ = ["RunContext", "tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """One run's frozen surroundings.

    Attributes:
        scope: Tenant, user, session, thread and agent.
        now: The moment the request speaks from, aware.
        as_of: Read memory as it was then; `None` reads the present.
        zone: IANA name of the speaker's time zone; "yesterday" means theirs.
        model: The opened chat model of this run.
        model_parameters: Sampling parameters of the caller, in the vendor's spelling; nothing the caller did not set.
        system_prompt: Instructions for this run, the deployment's first; byte-identical from turn to turn.
        tools: The server tools the run may call, of which the model is shown what `filter_tools` chooses.
        hidden_tools: Names of server tools the model is not shown: those for memory, where the run has none.
        client_tools: OpenAI schemas of tools the caller declared and runs itself.
        tool_choice: As OpenAI spells it; `None` leaves it to the model.
        include_memories: Whether this run recalls and writes memories.
        stream: Whether the caller wants the answer piece by piece.
        max_turns: Model calls this run may make.
        max_parallel_tools: Server tools that run at once; `None` for as many as the graph was built with.
        tool_timeout_s: How long one may take; `None` for as long as the graph was built with.
        needs_guidance: Whether the model is so small that it must be told, next to each question, how to use its notes.
        listener: Hears the run's events at once; without one they go into LangGraph's `custom` stream.
        inline_writing: Whether memory is written within the run, as where no background worker does it
            (`langgraph dev`), or left to the worker, so that the answer need not wait.
        run_id: For logs, events and memory provenance.
        ledger: Keeps which tools were begun on the thread and how they ended; `None` for a one-off run, and where the
            thread is kept by somebody else (`langgraph dev`): tools then run without it.
    """

    scope: Scope
    now: datetime
    zone: str
    model: BaseChatModel
    run_id: str
    as_of: datetime | None = None
    model_parameters: Mapping[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None
    tools: ToolSet = field(default_factory=ToolSet)
    hidden_tools: frozenset[str] = frozenset()
    client_tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    include_memories: bool = True
    stream: bool = True
    max_turns: int = 10
    max_parallel_tools: int | None = None
    tool_timeout_s: float | None = None
    needs_guidance: bool = False
    listener: Callable[[RunEvent], object] | None = None
    inline_writing: bool = False
    ledger: ToolLedger | None = None

    @property
    def client_tool_names(self) -> frozenset[str]:
        """The names of the tools the caller runs."""
        return frozenset(tool["function"]["name"] for tool in self.client_tools)


def tell(runtime: Runtime[RunContext], event: RunEvent) -> None:
    """Hand an event of the run to whoever listens.

    LangGraph's own stream costs a quarter of a millisecond a run and more for each token; the application brings a
    listener instead, and `graph.astream(..., stream_mode="custom")` works for everybody else.
    """
    (runtime.context.listener or runtime.stream_writer)(event)
