"""Read a thread whole: what is in its live window and what has left it, in the order it was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage

from agentgraph.scope import tenant_of_thread_key
from agentgraph.stores.threads import archive
from agentgraph.stores.threads.archive import Archived
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
        if values.get("archive_tail") is None:
            return list(live)
        gone = await self._gone(thread_id, values)
        return whole_history(live, gone, values.get("archive_after"))

    async def archived(self, thread_id: str, values: Mapping[str, Any]) -> list[Archived]:
        """Return what has left the live window, oldest first, ready to be filed under another thread."""
        if values.get("archive_tail") is None:
            return []
        gone = await self._gone(thread_id, values)
        before = [values.get("archive_after"), *(str(message.id) for message in gone)]
        return [{"previous": previous, "message": message} for previous, message in zip(before, gone, strict=False)]

    async def _gone(self, thread_id: str, values: Mapping[str, Any]) -> list[BaseMessage]:
        serde, tail = self._database.serde, values["archive_tail"]
        live = {str(message.id) for message in values.get("messages", ())}
        return await self._database.read(
            tenant_of_thread_key(thread_id),
            lambda saver: archive.archived(saver.conn, thread_id, tail, serde, stop_at=live),
        )
