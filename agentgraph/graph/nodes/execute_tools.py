"""Run the server tools the model called; how is `tools.answers`' to say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime

from agentgraph.events import ToolsOffered
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState
from agentgraph.graph.untrusted import untrusted_of
from agentgraph.tools.answers import MessageCalls
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.find_tools import found_in

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
        runner=runner if context.tool_timeout_s is None else runner.within(context.tool_timeout_s),
        runtime=partial(_handed, state, runtime),
        tell=partial(tell, runtime),
        client_tools=context.client_tool_names,
        thread_key=context.scope.thread_key,
        ledger=context.ledger,
        max_parallel=context.max_parallel_tools or max_parallel,
        has_untrusted=bool(untrusted_of(state, context)),
        allowlist=consequential_allowlist,
        media=_media_of(context.model),
    )
    answers = await calls.answered()
    asked_for = _asked_for(state, context, message, answers)
    if not asked_for:
        return {"messages": [*answers]}
    offered = [*state.get("offered_tools", []), *asked_for]
    shown = tuple(name for name in offered if name in context.tools and name not in context.hidden_tools)
    receipts = tuple({"name": name, "offered": True, "reason": "asked_for", "score": None} for name in asked_for)
    tell(runtime, ToolsOffered(offered=shown, left_out=(), receipts=receipts))
    return {"messages": [*answers], "offered_tools": offered}


def _asked_for(state: AgentState, context: RunContext, message: AIMessage, answers: Sequence[BaseMessage]) -> list[str]:
    """Return the tools to offer from now on: what `find_tools` found, and what the model called without being shown it.

    Such a call is run: whether a tool may be called depends on whose run it is, not on what the model was shown.
    """
    if "offered_tools" not in state:  # a graph that filters nothing
        return []
    called = (call["name"] for call in message.tool_calls if call["name"] in context.tools)
    known = {*state["offered_tools"], *context.hidden_tools}
    return [name for name in dict.fromkeys([*called, *found_in(answers, context.tools)]) if name not in known]


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
