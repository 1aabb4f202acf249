"""Run the server tools the model called; how is `tools.answers`' to say."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState
from agentgraph.graph.untrusted import untrusted_of
from agentgraph.tools.answers import MessageCalls
from agentgraph.tools.execution import ToolRunner

__all__ = ["execute_tools"]

_MEDIA: Final = {"image_tool_message": "image", "pdf_tool_message": "file"}


async def execute_tools(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    runner: ToolRunner,
    max_parallel: int = 8,
    consequential_allowlist: Collection[str] = (),
) -> AgentState:
    """Answer every call of the newest message that is not the caller's to run.

    Raises:
        InvalidInputError: A person's answer does not fit what was asked; nothing was run.
        StoreError: A claim or a result could not be kept.
    """
    message, context = state["messages"][-1], runtime.context
    if not isinstance(message, AIMessage):
        return {}
    calls = MessageCalls(
        message=message,
        tools=context.tools,
        runner=runner,
        runtime=partial(_handed, state, runtime),
        tell=partial(tell, runtime),
        client_tools=context.client_tool_names,
        thread_key=context.scope.thread_key,
        ledger=context.ledger,
        max_parallel=max_parallel,
        has_untrusted=bool(untrusted_of(state, context)),
        allowlist=consequential_allowlist,
        media=_media_of(context.model),
    )
    return {"messages": [*await calls.answered()]}


def _handed(state: AgentState, runtime: Runtime[RunContext], call_id: str) -> ToolRuntime[RunContext, AgentState]:
    return ToolRuntime(
        state=state,
        context=runtime.context,
        config={},
        stream_writer=runtime.stream_writer,
        tool_call_id=call_id,
        store=runtime.store,
    )


def _media_of(model: BaseChatModel) -> AbstractSet[str]:
    """Return what `model` reads in a tool's result besides text."""
    profile = model.profile or {}
    return frozenset(kind for name, kind in _MEDIA.items() if profile.get(name))
