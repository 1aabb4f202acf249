"""End sessions: whatever is over is told of once, then all of it goes; without traffic, and after a restart too.

Exactly once means: `on_session_end` is called once for each session, by whichever process claims its end first. Only a
process that dies between the call and the commit that notes its return leaves that in doubt. Then the call is made
again, by another process or at the next start, with the same `idempotency_key`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langgraph.store.base import BaseStore, PutOp

from agentgraph.errors import AgentGraphError, NotFoundError, ThreadBusyError
from agentgraph.graph.context import RunContext
from agentgraph.runs.runner import Runner
from agentgraph.runs.session_limits import SessionLimits
from agentgraph.scope import Scope, history_namespace, ledger_namespace, tenant_of_thread_key
from agentgraph.stores.threads import outbox, sessions
from agentgraph.stores.threads.database import Saver, delete_rows
from agentgraph.stores.threads.sessions import Due, Row
from agentgraph.threads.reading import ThreadHistory
from agentgraph.threads.session_gate import SessionGate

__all__ = ["OnSessionEnd", "SessionKeeper", "session_scope"]

OnSessionEnd: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[object] | object]
"""Called with a tenant and a session's data when it has ended; what it raises is logged."""

logger = logging.getLogger(__name__)
_LEAST_INTERVAL_S: Final = 0.2
_LONGEST_INTERVAL_S: Final = 30.0
_AT_ONCE: Final = 32
_LONGEST_WAIT_S: Final = 60.0
_FIRST_LOOK_S: Final = 0.01
_LAST_LOOK_S: Final = 0.25
_CLOSING_TIMEOUT_S: Final = 15.0
_PAGE: Final = 1_000


class SessionKeeper:
    """Looks for sessions that are over, and ends them.

    Args:
        runner: Carries runs; used on its loop.
        gate: Lets runs into sessions, and tells the time they have.
        store: Where memories live; `None` with memory switched off.
        on_end: Told of every session that ended, before what it kept goes.
    """

    def __init__(
        self, runner: Runner, gate: SessionGate, *, store: BaseStore | None, on_end: OnSessionEnd | None
    ) -> None:
        self.runner = runner
        self.gate = gate
        self._database = runner.database
        self._store = store
        self._on_end = on_end
        self._limits = SessionLimits(runner, gate, store)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._ending: dict[str, asyncio.Task[bool]] = {}
        self._told: set[str] = set()  # keys of sessions whose end was told and could not be noted yet
        self._rest: dict[Path, float] = {}  # when, on the gate's clock, there may be something to do in a file
        self._last_tick = float("-inf")

    @property
    def interval_s(self) -> float:
        """How long it takes at the most until a session that is over is seen to be."""
        return min(_LONGEST_INTERVAL_S, max(_LEAST_INTERVAL_S, self.gate.ttl_s / 10))

    async def watch(self) -> None:
        """End what is over, until cancelled."""
        while True:
            try:
                await self.sweep()
            except (AgentGraphError, OSError, sqlite3.Error) as error:
                logger.warning("sessions could not be looked after: %s", error)
            await asyncio.sleep(self.interval_s)

    async def aclose(self) -> None:
        """Wait a while for the ends under way; what takes longer is done again at the next start."""
        if self._ending:
            await asyncio.wait(self._ending.values(), timeout=_CLOSING_TIMEOUT_S)
        for task in self._ending.values():
            task.cancel()
        await asyncio.gather(*self._ending.values(), return_exceptions=True)

    async def sweep(self) -> None:
        """Begin to end every session of every tenant on disk that is over."""
        for thread_id in await asyncio.to_thread(self._due):
            self._begin(thread_id, ttl_s=self.gate.ttl_s)

    async def over(self, thread_id: str) -> None:
        """End a session that is over, or wait until whoever ends it is done.

        Raises:
            ThreadBusyError: That takes too long.
        """
        pause, deadline = _FIRST_LOOK_S, time.monotonic() + _LONGEST_WAIT_S
        busy = ThreadBusyError("the session that was is still being ended; try again later", code="session_ending")
        while True:
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await asyncio.shield(self._begin(thread_id, ttl_s=self.gate.ttl_s))
            except TimeoutError as error:
                raise busy from error
            row = self.row(thread_id)
            if row is None or row.state != "ending":
                return
            if time.monotonic() > deadline:
                raise busy
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK_S)

    async def end(self, thread_id: str) -> bool:
        """End a session now, and the runs on it; say whether there was one to end."""
        while (task := self._ending.get(thread_id)) is not None:
            if await asyncio.shield(task):
                return True
        return await asyncio.shield(self._begin(thread_id, ttl_s=None))

    async def trim(self, scope: Scope, context: RunContext) -> None:
        """Bring a session back within what it may keep."""
        await self._limits.trim(scope, context)

    async def size_bytes(self, scope: Scope) -> int:
        """Return how many bytes a session keeps just now, memories included."""
        return await self._limits.size_bytes(scope)

    # Finding

    def _due(self) -> list[str]:
        """Look into the files in which there may be something to do. Blocking."""
        tick = self.gate.times.tick()
        if tick < self._last_tick:  # a given clock was set back: what was planned by it is void
            self._rest.clear()
        self._last_tick = tick
        files = self._database.files()
        due: list[str] = []
        for path in files:
            if tick < self._rest.get(path, tick):
                continue
            found = self._database.peek(path, self._look)
            if found is not None:
                due += found.thread_ids
            self._rest[path] = tick + (self.gate.ttl_s if found is None else found.rest_s)
        for path in self._rest.keys() - set(files):
            del self._rest[path]
        return due

    def _look(self, connection: sqlite3.Connection) -> Due:
        process = self._database.process
        now = self.gate.times.now(connection)
        return sessions.due(connection, now=now, ttl_s=self.gate.ttl_s, process=process.id, is_alive=process.is_alive)

    def row(self, thread_id: str) -> Row | None:
        """Return a session as it is noted now."""
        tenant = tenant_of_thread_key(thread_id)
        if not self._database.has(tenant):
            return None
        return self._database.glance(tenant, lambda saver: sessions.get(saver.conn, thread_id))

    # Ending

    def _begin(self, thread_id: str, *, ttl_s: float | None) -> asyncio.Task[bool]:
        """Begin to end a session, unless that is under way in this process."""
        task = self._ending.get(thread_id)
        if task is None:
            task = self._ending[thread_id] = asyncio.get_running_loop().create_task(self._attempt(thread_id, ttl_s))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # logged already
        return task

    async def _attempt(self, thread_id: str, ttl_s: float | None) -> bool:
        try:
            async with self._room:
                return await self._end(thread_id, ttl_s)
        except Exception as error:
            logger.warning("a session of %r could not be ended yet: %s", tenant_of_thread_key(thread_id), error)
            raise
        finally:
            del self._ending[thread_id]

    async def _end(self, thread_id: str, ttl_s: float | None) -> bool:
        row = await self._claim(thread_id, ttl_s)
        if row is None:
            return False
        scope, tenant = session_scope(thread_id), tenant_of_thread_key(thread_id)
        await self._until_idle(thread_id)
        if not row.is_told:
            if row.key not in self._told:
                await self._tell(scope, row)
            if not self._database.has(tenant):  # forgotten meanwhile, with everything it had
                return False
            self._told.add(row.key)
            await self._database.write(tenant, lambda saver: _remove(saver, row, scope))
            self._told.discard(row.key)
        if not self.runner.access.files_itself:
            checkpointer: Any = self.runner.threaded.checkpointer
            await checkpointer.adelete_thread(thread_id)
        await self._forget(scope)

        def end(saver: Saver) -> None:
            sessions.end(saver.conn, thread_id, row.key, now=self.gate.times.keep(saver.conn))

        await self._database.write(tenant, end)
        return True

    async def _claim(self, thread_id: str, ttl_s: float | None) -> Row | None:
        process, tenant = self._database.process, tenant_of_thread_key(thread_id)
        if not self._database.has(tenant):
            return None

        def claim(saver: Saver) -> Row | None:
            now = self.gate.times.keep(saver.conn)
            return sessions.claim(
                saver.conn, thread_id, process=process.id, is_alive=process.is_alive, now=now, ttl_s=ttl_s
            )

        row = await self._database.write(tenant, claim)
        if row is None and ttl_s is not None and self._is_kept_by_runs(thread_id):
            await self.runner.recover(tenant)  # runs nobody carries any more must not keep it for ever
        return row

    def _is_kept_by_runs(self, thread_id: str) -> bool:
        return self._database.glance(
            tenant_of_thread_key(thread_id), lambda saver: sessions.has_open_runs(saver.conn, thread_id)
        )

    async def _until_idle(self, thread_id: str) -> None:
        """End the runs on a session that was ended by hand, whoever carries them.

        Raises:
            ThreadBusyError: They take too long.
        """
        pause, deadline = _FIRST_LOOK_S, time.monotonic() + _LONGEST_WAIT_S
        tenant = tenant_of_thread_key(thread_id)
        while self._is_kept_by_runs(thread_id):
            if time.monotonic() > deadline:
                raise ThreadBusyError("a run does not leave the session")
            for row in self.runner.journal.of_thread(thread_id, limit=_PAGE):
                if row.is_open and row.stop is None:
                    with suppress(NotFoundError):
                        await self.runner.cancel(tenant, row.run_id)
            if any(row.thread_id == thread_id for row in self.runner.journal.abandoned(tenant)):
                await self.runner.recover(tenant)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK_S)

    async def _tell(self, scope: Scope, row: Row) -> None:
        if self._on_end is None:
            return
        data = await self._data(scope, row)
        try:
            if inspect.iscoroutinefunction(self._on_end) or inspect.iscoroutinefunction(
                getattr(self._on_end, "__call__", None)  # noqa: B004  an object whose call is a coroutine
            ):
                told = self._on_end(scope.tenant, data)
            else:
                told = await asyncio.to_thread(self._on_end, scope.tenant, data)
            if inspect.isawaitable(told):
                await told
        except Exception:  # whatever a caller's function does: the session ends all the same
            logger.exception("on_session_end failed for a session of %r", scope.tenant)

    async def _data(self, scope: Scope, row: Row) -> dict[str, Any]:
        state = await self.runner.threaded.aget_state({"configurable": {"thread_id": row.thread_id}})
        messages = await ThreadHistory(self._database).whole(row.thread_id, state.values)
        return {
            "tenant_id": scope.tenant,
            "session_id": scope.session,
            "messages": [_as_openai(message) for message in messages],
            "summaries": _tiers(state.values),
            "created_at": row.opened_at,
            "last_accessed": row.used_at,
            "message_count": len(messages),
            "idempotency_key": row.key,
        }

    async def _forget(self, scope: Scope) -> None:
        """Remove what a session learned, and the notes on what it learned: in a later one it may be learned again."""
        leaf = scope.write_namespace
        if self.runner.worker is not None:
            await self.runner.worker.drop(leaf)
        if self._store is None:
            return
        for place in (leaf, history_namespace(leaf), ledger_namespace(leaf)):
            while items := await self._store.asearch(place, limit=_PAGE):
                await self._store.abatch([PutOp(item.namespace, item.key, None) for item in items])


def session_scope(thread_id: str) -> Scope:
    """Return the scope of a session's thread."""
    tenant, _, session = thread_id.split("/", 2)
    return Scope(tenant=tenant, session=session)


def _remove(saver: Saver, row: Row, scope: Scope) -> None:
    """Note that a session's end was told, and drop its thread and what it owes to memory, in one transaction."""
    leaf = list(scope.write_namespace)
    delete_rows(saver, row.thread_id)
    outbox.drop(saver.conn, lambda item: list(item["namespace"]) == leaf, is_dry_run=False)
    sessions.tell(saver.conn, row.thread_id, row.key)


def _as_openai(message: BaseMessage) -> dict[str, Any]:
    with suppress(ValueError, KeyError, TypeError, NotImplementedError):  # content of a form OpenAI does not know
        converted = convert_to_openai_messages(message)
        if isinstance(converted, dict):
            return converted
    return {"role": {"human": "user", "ai": "assistant"}.get(message.type, message.type), "content": message.content}


def _tiers(values: Mapping[str, Any]) -> dict[str, str]:
    """Return a thread's summaries: of the stretch that left the window last, of those before, of all that is older."""
    texts = [str(summary["text"]) for summary in values.get("summaries", ())]
    return {
        "recent": texts[-1] if texts else "",
        "middle": "\n\n".join(texts[:-1]),
        "whole": str(values.get("summary") or ""),
    }
