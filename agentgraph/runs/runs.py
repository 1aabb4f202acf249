"""`app.runs`: what became of a run, and a way to end it, from any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgraph._sync import on_its_loop
from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.run import RunResult
from agentgraph.runs.runner import Runner
from agentgraph.scope import Scope
from agentgraph.stores.threads.runs import Row, Status, delete_one

__all__ = ["RunInfo", "Runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run on a thread, as it is noted.

    Attributes:
        run_id: Unique.
        thread: Its thread, or its session.
        position: Its place among the thread's runs, from 1.
        status: `queued`, `running`, `waiting` (for a person), `finished`, `failed`, `cancelled` or `undone`.
        attempts: How often it was begun: more than once where a process died or a client tried again.
        checkpoint_id: Where the thread stood when it ended: branch off there with `AgentGraph.run(checkpoint=…)`.
        parent_checkpoint_id: Where the thread stood before.
        error: Why it failed: `{"type", "code", "message"}`.
        accepted_at: ISO time.
        ended_at: ISO time; `None` while it is under way.
    """

    run_id: str
    thread: str
    position: int
    status: Status
    attempts: int
    checkpoint_id: str | None
    parent_checkpoint_id: str | None
    error: Mapping[str, Any] | None
    accepted_at: str
    ended_at: str | None

    @classmethod
    def of(cls, row: Row) -> RunInfo:
        """Return what is to be seen of a note."""
        return cls(
            run_id=row.run_id,
            thread=row.thread_id.rpartition("/")[2],
            position=row.position,
            status=row.status,
            attempts=row.attempts,
            checkpoint_id=row.checkpoint_id,
            parent_checkpoint_id=row.parent_checkpoint_id,
            error=row.error,
            accepted_at=row.accepted_at,
            ended_at=row.ended_at,
        )


class Runs:
    """The runs of an application's threads; see `AgentGraph.runs`. One-off runs leave no note."""

    def __init__(self, ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]], runner: Callable[[], Runner]) -> None:
        self._ready = ready
        self._runner = runner

    @on_its_loop
    async def get(self, run_id: str, *, tenant: str) -> RunInfo:
        """Return a run.

        Raises:
            NotFoundError: The tenant has no such run.
        """
        return RunInfo.of(self._row(tenant, run_id))

    @on_its_loop
    async def list(self, *, tenant: str, thread: str | None = None, limit: int = 50) -> list[RunInfo]:
        """Return the runs of a thread, or of a session, the newest first."""
        key = Scope.parse(tenant, thread=thread).required_thread_key
        return [RunInfo.of(row) for row in self._runner().journal.of_thread(key, limit=limit)]

    @on_its_loop
    async def join(self, run_id: str, *, tenant: str) -> RunResult:
        """Wait for a run's end, in whichever process it is, and return what came of it.

        Raises:
            NotFoundError: The tenant has no such run.
            RunCancelledError: It was undone, or it ended so long ago that only its thread holds its answer.
            Exception: What it failed with.
        """
        return await self._runner().joined(self._row(tenant, run_id)).result()

    @on_its_loop
    async def cancel(self, run_id: str, *, tenant: str) -> None:
        """End a run: what it has said stays, marked, and the thread can be used at once.

        One that waits for a person waits no more: the calls it asked about are not made.

        Raises:
            NotFoundError: The tenant has no such run.
            ThreadBusyError: It waits, and another process does not let go of its thread.
        """
        Scope.parse(tenant)
        await self._runner().cancel(tenant.partition(":")[0], run_id)

    @on_its_loop
    async def delete(self, run_id: str, *, tenant: str) -> None:
        """Drop the note of a run that has ended; what was said stays in its thread.

        Raises:
            NotFoundError: The tenant has no such run.
            InvalidInputError: It has not ended.
        """
        row = self._row(tenant, run_id)
        if row.is_open or row.status == "waiting":
            raise InvalidInputError(f"the run {run_id!r} has not ended; cancel it first", param="run_id")
        await self._runner().database.write(Scope.parse(tenant).tenant, lambda saver: delete_one(saver.conn, run_id))

    def _row(self, tenant: str, run_id: str) -> Row:
        scope = Scope.parse(tenant)
        row = self._runner().journal.get(scope.tenant, run_id)
        if row is None:
            raise NotFoundError(f"there is no run {run_id!r}")
        return row
