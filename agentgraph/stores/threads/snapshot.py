"""Rebuild what a checkpoint leaves to its ancestors, and write it into the checkpoint: then they can go.

A delta channel stands in few checkpoints; from the others it is rebuilt by folding the writes since.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.checkpoint.sqlite import SqliteSaver

from agentgraph.errors import StoreError

__all__ = ["fold_messages", "stand_alone"]

_COUNTERS: Final = "counters_since_delta_snapshot"  # LangGraph's; it names the delta channels


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


def stand_alone(saver: SqliteSaver, config: RunnableConfig, *, parent: str | None) -> None:
    """Make a checkpoint readable without its ancestors, and let it name `parent` as the one before it.

    Raises:
        StoreError: Its graph has a delta channel that only the graph can rebuild.
    """
    configurable = config["configurable"]
    place = (configurable["thread_id"], configurable["checkpoint_ns"], configurable["checkpoint_id"])
    kind, blob, noted = saver.conn.execute(
        "SELECT type, checkpoint, metadata FROM checkpoints"
        " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
        place,
    ).fetchone()
    checkpoint = saver.serde.loads_typed((kind, blob))
    metadata: dict[str, Any] = json.loads(noted) if noted else {}
    values: dict[str, Any] = dict(checkpoint["channel_values"])
    written = checkpoint["channel_versions"]
    absent = [name for name in {*_FOLDS, *metadata.get(_COUNTERS, {})} if name in written and name not in values]
    if unknown := [name for name in absent if name not in _FOLDS]:
        raise StoreError(
            f"the channels {unknown} of the thread {place[0]!r} are folded by a graph of yours: nothing was pruned",
            code="unknown_delta_channel",
        )
    for name, history in saver.get_delta_channel_history(config=config, channels=absent).items():
        channel = DeltaChannel(_FOLDS[name], list).from_checkpoint(history.get("seed", _DeltaSnapshot([])))
        channel.replay_writes(history["writes"])
        values[name] = _DeltaSnapshot(channel.get())
    if absent:
        metadata.pop(_COUNTERS, None)
        kind, blob = saver.serde.dumps_typed({**checkpoint, "channel_values": values})
        noted = json.dumps(metadata, ensure_ascii=False).encode("utf-8", "ignore")
    saver.conn.execute(
        "UPDATE checkpoints SET type = ?, checkpoint = ?, metadata = ?, parent_checkpoint_id = ?"
        " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
        (kind, blob, noted, parent, *place),
    )


_FOLDS: Final = {"messages": fold_messages}
