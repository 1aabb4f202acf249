"""`app.sessions`: which sessions are open, what they keep, and a way to end one before its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentgraph._sync import on_its_loop
from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.memory.kept import scope_of
from agentgraph.runs.session_keeper import SessionKeeper
from agentgraph.scope import Scope
from agentgraph.stores.threads import sessions
from agentgraph.stores.threads.database import Saver
from agentgraph.stores.threads.sessions import Row
from agentgraph.stores.threads.steady_clock import Moment

__all__ = ["SessionInfo", "Sessions"]

Infos = list["SessionInfo"]  # within the class, `list` is a method


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session.

    Attributes:
        tenant: Whose.
        session: Its id.
        opened_at: ISO time of its first run.
        used_at: ISO time of its last use: a run that was accepted, or that ended.
        expires_in_s: Seconds until it ends unless it is used; 0 where its end is due or under way.
        messages: How many it keeps word for word, as of its last run.
        size_bytes: What it keeps on disk, memories included; as of its last run where several are listed.
        is_ending: Whether it is being ended.
    """

    tenant: str
    session: str
    opened_at: str
    used_at: str
    expires_in_s: float
    messages: int
    size_bytes: int
    is_ending: bool


class Sessions:
    """The sessions of an application, every tenant's; see `AgentGraph.sessions`.

    Raises:
        InvalidInputError: An id that is none.
        NotFoundError: No such session is open.
    """

    def __init__(
        self, ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]], keeper: Callable[[], SessionKeeper]
    ) -> None:
        self._ready = ready
        self._keeper = keeper

    @on_its_loop
    async def list(self, tenant: str) -> Infos:
        """Return a tenant's sessions that have not ended, the last used first."""
        keeper, name = self._keeper(), Scope(tenant=tenant).tenant
        if not keeper.runner.database.has(name):
            return []

        def look(saver: Saver) -> tuple[Moment, list[Row]]:
            return keeper.gate.times.now(saver.conn), sessions.listed(saver.conn)

        now, rows = await keeper.runner.database.read(name, look)
        return [_info(row, now, keeper.gate.ttl_s, row.bytes + row.memory_bytes) for row in rows]

    @on_its_loop
    async def get(self, tenant: str, session: str | None = None) -> SessionInfo:
        """Return one session, named by both ids or as `tenant:session`."""
        keeper, scope = self._keeper(), _scope(tenant, session)
        thread_id = scope.required_thread_key
        if not keeper.runner.database.has(scope.tenant):
            raise _unknown(scope)

        def look(saver: Saver) -> tuple[Moment, Row | None]:
            return keeper.gate.times.now(saver.conn), sessions.get(saver.conn, thread_id)

        now, row = await keeper.runner.database.read(scope.tenant, look)
        if row is None or row.state == "ended":
            raise _unknown(scope)
        return _info(row, now, keeper.gate.ttl_s, await keeper.size_bytes(scope))

    @on_its_loop
    async def end(self, tenant: str, session: str | None = None) -> None:
        """End a session now: the runs on it are cancelled, `on_session_end` is called, and all of it is deleted.

        Raises:
            ThreadBusyError: A run does not leave it, or another process is just ending it and takes long.
        """
        keeper, scope = self._keeper(), _scope(tenant, session)
        thread_id = scope.required_thread_key
        if not await keeper.end(thread_id):
            row = keeper.row(thread_id)
            if row is None or row.state == "ended":
                raise _unknown(scope)
            await keeper.over(thread_id)


def _scope(tenant: str, session: str | None) -> Scope:
    scope = scope_of(tenant, None, session)
    if scope.session is None:
        raise InvalidInputError("name a session, as tenant:session or by its own id", param="session")
    return scope


def _unknown(scope: Scope) -> NotFoundError:
    return NotFoundError(f"no session {scope.session!r} of {scope.tenant!r} is open")


def _info(row: Row, now: Moment, ttl_s: float, size_bytes: int) -> SessionInfo:
    tenant, _, session = row.thread_id.split("/", 2)
    return SessionInfo(
        tenant=tenant,
        session=session,
        opened_at=row.opened_at,
        used_at=row.used_at,
        expires_in_s=max(0.0, ttl_s - row.age_s(now)) if row.state == "open" else 0.0,
        messages=row.messages,
        size_bytes=size_bytes,
        is_ending=row.state == "ending",
    )
