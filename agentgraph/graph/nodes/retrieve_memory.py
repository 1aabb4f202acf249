"""Find what the newest message may need from memory, and which time it speaks of."""

from __future__ import annotations

from typing import Final

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState
from agentgraph.memory.recall import find
from agentgraph.memory.record import Owed, span_of
from agentgraph.temporal import resolve

__all__ = ["owed_by", "retrieve_memory"]

_LONGEST_QUESTION: Final = 4_000


async def retrieve_memory(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    top_k: int = 6,
    include_global: bool = False,
    temporal_awareness: bool = True,
) -> AgentState:
    """Gather candidates by meaning, words and time for `filter_by_time`, and note what this turn owes to memory."""
    context = runtime.context
    message, question = newest_question(state)
    owed = owed_by(message, context)
    if not (context.include_memories and question and runtime.store is not None):
        return {"windows": [], "candidates": [], "recalled": [], "owed": owed}
    windows = resolve(question, now=context.now, zone=context.zone) if temporal_awareness else []
    namespaces = context.scope.read_namespaces(include_global=include_global)
    candidates = await find(runtime.store, namespaces, question, windows, top_k=top_k)
    return {"windows": [span_of(window, context.zone) for window in windows], "candidates": candidates, "owed": owed}


def newest_question(state: AgentState) -> tuple[HumanMessage | None, str]:
    """Return the newest user message, and its text."""
    messages = state.get("messages", [])
    newest = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
    return newest, "" if newest is None else str(newest.text)[:_LONGEST_QUESTION].strip()


def owed_by(message: HumanMessage | None, context: RunContext) -> list[Owed]:
    """Return what memory has to keep of `message`: what the user said, never what was recalled or quoted to them."""
    text = "" if message is None else str(message.text).strip()
    if message is None or not text or not context.include_memories:
        return []
    return [
        {
            "namespace": list(context.scope.write_namespace),
            "message_id": str(message.id),
            "thread": context.scope.thread_key,
            "run_id": context.run_id,
            "text": text,
            "speaker": "user",
            "said_at": context.now.isoformat(),
            "zone": context.zone,
        }
    ]
