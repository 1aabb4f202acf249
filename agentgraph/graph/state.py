"""What a run produces and a checkpoint keeps: the only thing that flows between nodes."""

from __future__ import annotations

from typing import Annotated, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.channels import DeltaChannel, EphemeralValue

from agentgraph.memory.record import Owed, Recalled, WindowSpan
from agentgraph.stores.threads.archive import Archived
from agentgraph.stores.threads.snapshot import fold_messages

__all__ = ["AgentState", "Archived", "Summary", "fold_messages"]


class Summary(TypedDict):
    """A stretch of the conversation in prose.

    Attributes:
        text: What was said.
        messages: How many messages it stands for.
        first_id: The first of them.
        last_id: The last of them.
    """

    text: str
    messages: int
    first_id: str
    last_id: str


class AgentState(TypedDict, total=False):
    """The state of a thread. A node returns only the keys it changes.

    Attributes:
        messages: The live window of the conversation, oldest first. A delta channel: a checkpoint stores what changed.
        summary: All that is older than `summaries`, in prose; empty while nothing is.
        summaries: What left the live window of late, in prose, a stretch each, oldest first.
        archived: The messages that leave the live window in this very step. A saver that has an archive files them
            there in the checkpoint's own transaction, and keeps them out of the checkpoint.
        archive_tail: The newest message this branch of the thread has archived; `None` while there is none.
        archive_after: The live message that stands before the archive; `None` where the archive is the beginning.
        windows: The times the newest question speaks of.
        candidates: What `retrieve_memory` found, for `filter_by_time`, which empties it.
        recalled: The memories that enter this turn's prompt.
        offered_tools: Names of the server tools this thread's model is shown; it only grows, so prompt caches hold.
        untrusted: Ids of the messages with which text of strangers entered the thread, for as long as it stands in the
            window or in a summary (`tools.taint`).
        turns: Model calls made in this run.
        owed: What `write_memory` has still to keep of this turn. A saver that has an outbox files it there
            in the checkpoint's own transaction.
    """

    messages: Annotated[list[BaseMessage], DeltaChannel(fold_messages, snapshot_frequency=20)]
    summary: str
    summaries: list[Summary]
    archived: Annotated[list[Archived], EphemeralValue]
    archive_tail: str | None
    archive_after: str | None
    windows: list[WindowSpan]
    candidates: list[Recalled]
    recalled: list[Recalled]
    offered_tools: list[str]
    untrusted: list[str]
    turns: int
    owed: list[Owed]
