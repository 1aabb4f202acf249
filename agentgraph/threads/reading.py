"""Read a thread whole: what is in its live window and what has left it, in the order it was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage

from agentgraph.scope import tenant_of_thread_key
from agentgraph.stores.threads import archive
from agentgraph.stores.threads.database import ThreadDatabase
from agentgraph.threads.history import whole_history

__all__ = ["ThreadHistory"]


class ThreadHistory:
    """Puts archive and live window together."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def whole(self, thread_id: str, values: Mapping[str, Any]) -> list[BaseMessage]:
        """Return every message of the branch that `values`, a thread's state, stands on; oldest first."""
        live: list[BaseMessage] = values.get("messages", [])
        tail = values.get("archive_tail")
        if tail is None:
            return list(live)
        serde, ids = self._database.serde, {str(message.id) for message in live}
        archived = await self._database.read(
            tenant_of_thread_key(thread_id),
            lambda saver: archive.archived(saver.conn, thread_id, tail, serde, stop_at=ids),
        )
        return whole_history(live, archived, values.get("archive_after"))
