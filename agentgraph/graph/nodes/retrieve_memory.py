"""Find what the newest message may need from memory, and which time it speaks of."""

from __future__ import annotations

import asyncio
from typing import Final

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState
from agentgraph.memory.question import understood
from agentgraph.memory.recall import find, pinned_notes
from agentgraph.memory.record import Owed, span_of

__all__ = ["owed_by", "retrieve_memory"]

_LONGEST_QUESTION: Final = 4_000


async def retrieve_memory(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    top_k: int = 6,
    working_max: int = 12,
    include_global: bool = False,
    temporal_awareness: bool = True,
) -> AgentState:
    """Gather candidates by meaning, words and time for `filter_by_time`, and note what this turn owes to memory."""
    context = runtime.context
    message, question = newest_question(state)
    owed = owed_by(message, context)
    if not (context.include_memories and question and runtime.store is not None):
        return {"windows": [], "candidates": [], "recalled": [], "owed": owed}
    asked = understood(
        question, now=context.now, zone=context.zone, as_of=context.as_of, temporal_awareness=temporal_awareness
    )
    memories = context.scope.read_namespaces(include_global=include_global)
    notes = context.scope.read_notes_namespaces(include_global=include_global)
    candidates, pinned = await asyncio.gather(
        find(runtime.store, [*memories, *notes], asked, top_k=top_k),
        pinned_notes(runtime.store, notes, limit=working_max),
    )
    windows = [span_of(window, context.zone) for window in asked.windows]
    return {"windows": windows, "candidates": [*candidates, *pinned], "owed": owed}


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
