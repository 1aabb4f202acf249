"""Keep a session within its limits: so many messages word for word, so many bytes with all it remembers.

What is oldest goes first: archived messages, then checkpoints, then turns in the window, then memories. The newest turn
stays, however large it is.
"""

from __future__ import annotations

import json
from typing import Any, Final

from langgraph.store.base import BaseStore, PutOp

from agentgraph.graph.context import RunContext
from agentgraph.memory.kept import walk_memories
from agentgraph.memory.stored import Memory
from agentgraph.runs.runner import Runner
from agentgraph.scope import Scope, history_namespace
from agentgraph.stores.threads import archive, prune, sessions
from agentgraph.stores.threads.database import Saver
from agentgraph.stores.threads.sessions import Row
from agentgraph.threads.session_gate import SessionGate

__all__ = ["SessionLimits"]

_MEASURED_EVERY: Final = 8  # turns, while a session is less than half full


class SessionLimits:
    """Looks after what sessions keep.

    Args:
        runner: Carries runs; used on its loop.
        gate: Knows how much a session may keep.
        store: Where memories live; `None` with memory switched off.
    """

    def __init__(self, runner: Runner, gate: SessionGate, store: BaseStore | None) -> None:
        self._runner = runner
        self._database = runner.database
        self._max_bytes = gate.max_bytes
        self._max_messages = runner.settings.session_max_messages
        self._store = store

    async def size_bytes(self, scope: Scope) -> int:
        """Return how many bytes a session's thread and memories take just now."""
        thread_id = scope.required_thread_key
        size = await self._database.read(scope.tenant, lambda saver: sessions.bytes_of(saver.conn, thread_id))
        return size + sum(map(_size, await self._memories(scope)))

    async def trim(self, scope: Scope, context: RunContext) -> None:
        """Drop what is beyond the limits after a run."""
        thread_id = scope.required_thread_key
        row = self._row(scope)
        if row is None or row.state != "open":
            return
        remembered = await self._remembered(scope, row)
        if row.messages <= self._max_messages and row.bytes + remembered <= self._max_bytes:
            return
        size, live = await self._drop(thread_id, remembered)
        if live > self._max_messages or size > self._max_bytes:
            # A window beyond the limits by itself: no summary could be had of it, or its turns are very long.
            for tokens in (self._max_bytes // 8, 1):
                await self._runner.aftercare.shorten(
                    scope,
                    context,
                    strategy="drop_oldest",
                    live_window_tokens=min(tokens, self._runner.settings.live_window_tokens),
                    max_messages=self._max_messages,
                )
                size, live = await self._drop(thread_id, remembered)
                if size <= self._max_bytes:
                    break
        if size + remembered > self._max_bytes:
            await self._drop_memories(scope, room=self._max_bytes - size)

    async def _drop(self, thread_id: str, remembered: int) -> tuple[int, int]:
        """Drop archived messages and checkpoints; return the thread's bytes and its messages in the window."""
        async with self._runner.access.held(thread_id) as held:
            values = (await self._runner.threaded.aget_state({"configurable": {"thread_id": thread_id}})).values
            tail, live = values.get("archive_tail"), len(values.get("messages", ()))
            most = max(0, self._max_messages - live)

            def drop(saver: Saver) -> int:
                connection = saver.conn
                archive.keep_newest(connection, thread_id, tail, most=most)
                size = sessions.bytes_of(connection, thread_id)
                if (beyond := size + remembered - self._max_bytes) > 0:
                    room = max(0, archive.bytes_in(connection, thread_id) - beyond)
                    archive.keep_newest(connection, thread_id, tail, most=most, max_bytes=room)
                    size = sessions.bytes_of(connection, thread_id)
                if size + remembered > self._max_bytes and self._runner.access.files_itself:
                    prune.keep_latest(saver, thread_id)
                sessions.measured(connection, thread_id, live=live)
                return sessions.bytes_of(connection, thread_id)

            return await self._database.commit(thread_id, held.fence, drop), live

    # Memories

    async def _remembered(self, scope: Scope, row: Row) -> int:
        """Return how many bytes a session's memories take, measured now and then while it is far from full."""
        is_near = 2 * (row.bytes + row.memory_bytes) > self._max_bytes
        turns = self._database.glance(scope.tenant, lambda saver: sessions.turns_of(saver.conn, row.thread_id))
        if row.memory_bytes and not is_near and turns % _MEASURED_EVERY:
            return row.memory_bytes
        size = sum(map(_size, await self._memories(scope)))
        if size != row.memory_bytes:
            await self._note_memory(scope, size)
        return size

    async def _drop_memories(self, scope: Scope, *, room: int) -> None:
        memories = await self._memories(scope)
        size, gone = sum(map(_size, memories)), []
        for memory in memories:
            if size <= max(room, 0):
                break
            gone.append(memory)
            size -= _size(memory)
        if gone and self._store is not None:
            await self._store.abatch([PutOp(memory.namespace, memory.key, None) for memory in gone])
            await self._note_memory(scope, size)

    async def _note_memory(self, scope: Scope, size: int) -> None:
        thread_id = scope.required_thread_key
        await self._database.write(scope.tenant, lambda saver: sessions.measured_memory(saver.conn, thread_id, size))

    async def _memories(self, scope: Scope) -> list[Memory]:
        """Return what a session remembers, what was superseded first, then the oldest."""
        if self._store is None:
            return []
        leaf = scope.write_namespace
        found: list[Memory] = []
        for place in (history_namespace(leaf), leaf):
            memories = [memory async for memory in walk_memories(self._store, [place])]
            found += sorted(memories, key=lambda memory: str(memory.value.get("recorded_at", "")))
        return found

    def _row(self, scope: Scope) -> Row | None:
        thread_id = scope.required_thread_key
        return self._database.glance(scope.tenant, lambda saver: sessions.get(saver.conn, thread_id))


def _size(memory: Memory) -> int:
    value: dict[str, Any] = dict(memory.value)
    return len(json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace"))
