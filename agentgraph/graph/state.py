"""What a run produces and a checkpoint keeps: the only thing that flows between nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from langchain_core.messages import BaseMessage, RemoveMessage
from langgraph.channels import DeltaChannel

from agentgraph.memory.record import Owed, Recalled, WindowSpan

__all__ = ["AgentState", "fold_messages"]


def fold_messages(messages: list[BaseMessage], writes: Sequence[Sequence[BaseMessage]]) -> list[BaseMessage]:
    """Fold batches of messages into the history: append, replace by id, or remove by id (`RemoveMessage`).

    Every message must already carry an id. This runs again whenever a checkpoint is read, so it may mint nothing and
    must give the same list however the writes are batched: `DeltaChannel`'s contract.
    """
    folded = {message.id: message for message in messages}
    for batch in writes:
        for message in batch:
            if isinstance(message, RemoveMessage):
                folded.pop(message.id, None)
            else:
                folded[message.id] = message
    return list(folded.values())


class AgentState(TypedDict, total=False):
    """The state of a thread. A node returns only the keys it changes.

    Attributes:
        messages: The live window of the conversation, oldest first. A delta channel: a checkpoint stores what changed.
        summary: What left the live window, in prose; empty while nothing did.
        windows: The times the newest question speaks of.
        candidates: What `retrieve_memory` found, for `filter_by_time`, which empties it.
        recalled: The memories that enter this turn's prompt.
        offered_tools: Names of the server tools this thread's model is shown; it only grows, so prompt caches hold.
        turns: Model calls made in this run.
        owed: What `write_memory` has still to keep of this turn. A saver that has an outbox files it there
            in the checkpoint's own transaction.
    """

    messages: Annotated[list[BaseMessage], DeltaChannel(fold_messages, snapshot_frequency=10)]
    summary: str
    windows: list[WindowSpan]
    candidates: list[Recalled]
    recalled: list[Recalled]
    offered_tools: list[str]
    turns: int
    owed: list[Owed]
