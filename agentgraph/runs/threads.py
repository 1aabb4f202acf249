"""`app.threads`: every thread from its first message on, its checkpoints, and the branches that lead from them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from agentgraph._sync import on_its_loop
from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.graph.state import AgentState
from agentgraph.runs.runner import Runner
from agentgraph.scope import Scope
from agentgraph.stores.threads import heads, lease
from agentgraph.threads.reading import ThreadHistory

__all__ = ["Branch", "CheckpointInfo", "ThreadInfo", "Threads"]

_MOST_LISTED: Final = 10_000
Infos = list["ThreadInfo"]  # within the class, `list` is a method


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadInfo:
    """A thread.

    Attributes:
        thread: Its id; a session's where `is_session`.
        is_session: Whether it is a session's.
        user: Who began it, where that is known.
        turns: How many runs it has accepted.
        created_at: ISO time of the first.
        used_at: ISO time of the last.
    """

    thread: str
    is_session: bool
    user: str | None
    turns: int
    created_at: str
    used_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo:
    """A thread as it stood at one time.

    Attributes:
        checkpoint_id: Name it in `AgentGraph.run(checkpoint=…)` to go on from there.
        parent_id: The one it follows.
        created_at: ISO time.
        run_id: The run that wrote it, where it was one.
        is_head: Whether the thread stands there now.
        next: The nodes that were still to run; empty where a turn had ended.
        interrupts: What it waited for, `{"id", "value"}`.
        messages: The live window, oldest first.
        summary: What is older, in prose.
    """

    checkpoint_id: str
    parent_id: str | None
    created_at: str | None
    run_id: str | None
    is_head: bool
    next: tuple[str, ...]
    interrupts: tuple[Mapping[str, Any], ...]
    messages: tuple[BaseMessage, ...]
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Where one line of a thread's conversation ends.

    Attributes:
        checkpoint_id: Its end; `Threads.switch` goes back to it.
        run_id: The run that led there.
        ended_at: ISO time.
        is_current: Whether the thread stands on it.
    """

    checkpoint_id: str
    run_id: str
    ended_at: str | None
    is_current: bool


class Threads:
    """The threads of an application, every tenant's; see `AgentGraph.threads`.

    Every call names a tenant and a thread, or a session as `tenant:session`.

    Raises:
        InvalidInputError: An id that is none.
        NotFoundError: No such thread or checkpoint.
    """

    def __init__(self, ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]], runner: Callable[[], Runner]) -> None:
        self._ready = ready
        self._runner = runner

    # Reading

    @on_its_loop
    async def list(self, *, tenant: str, user: str | None = None, limit: int = 100, offset: int = 0) -> Infos:
        """Return a tenant's threads and sessions, the last used first.

        Args:
            tenant: Whose.
            user: Only those this person began.
            limit: At most so many, up to 10,000.
            offset: So many are skipped.
        """
        if not (0 <= limit <= _MOST_LISTED and offset >= 0):
            raise InvalidInputError(f"limit {limit} is 0 to {_MOST_LISTED}, offset {offset} 0 or more", param="limit")
        database = self._runner().database
        name = Scope.parse(tenant, user=user).tenant
        if not database.has(name):
            return []
        rows = await database.read(name, lambda saver: lease.listed(saver.conn, user=user, limit=limit, offset=offset))
        return [_thread_info(*row) for row in rows]

    @on_its_loop
    async def get(self, *, tenant: str, thread: str | None = None) -> ThreadInfo:
        """Return one thread, or one session's."""
        key, database = _key(tenant, thread), self._runner().database
        rows: list[tuple[Any, ...]] = []
        if database.has(_tenant(key)):
            rows = await database.read(
                _tenant(key), lambda saver: lease.listed(saver.conn, user=None, limit=1, offset=0, thread_id=key)
            )
        if not rows:
            raise NotFoundError("there is no such thread")
        return _thread_info(*rows[0])

    @on_its_loop
    async def is_closed_to(self, user: str, *, tenant: str, thread: str | None = None) -> bool:
        """Say whether a thread was begun by another than this person, or by nobody who was named.

        One that does not exist yet is open to everybody: whoever begins it owns it.
        """
        key, database = _key(tenant, thread), self._runner().database
        if not database.has(_tenant(key)):
            return False
        began = await database.read(_tenant(key), lambda saver: lease.begun_by(saver.conn, key))
        return began is not None and began != (user,)

    @on_its_loop
    async def history(
        self, *, tenant: str, thread: str | None = None, checkpoint: str | None = None
    ) -> Sequence[BaseMessage]:
        """Return the whole conversation, oldest first, also what has left the live window; empty for no such thread.

        Args:
            tenant: Whose.
            thread: Which thread.
            checkpoint: As it stood there.
        """
        key = _key(tenant, thread)
        state = await self._state(key, checkpoint)
        messages = await ThreadHistory(self._runner().database).whole(key, state.values)
        return [message.model_copy() for message in messages]  # what is stored is nobody's to change

    @on_its_loop
    async def checkpoints(
        self, *, tenant: str, thread: str | None = None, limit: int = 50, before: str | None = None
    ) -> Sequence[CheckpointInfo]:
        """Return a thread's checkpoints of all branches, the last written first.

        Args:
            tenant: Whose.
            thread: Which thread.
            limit: At most so many.
            before: Only those written before this one: the next page.
        """
        key, graph = _key(tenant, thread), self._runner().threaded
        head = await self._head(key)
        earlier = None if before is None else _config(key, before)
        states = graph.aget_state_history(_config(key), limit=limit, before=earlier)
        return [_info(state, head) async for state in states]

    @on_its_loop
    async def checkpoint(
        self, checkpoint: str | None = None, *, tenant: str, thread: str | None = None
    ) -> CheckpointInfo:
        """Return one checkpoint; by default the one the thread stands at."""
        key = _key(tenant, thread)
        return _info(await self._existing(key, checkpoint), await self._head(key))

    @on_its_loop
    async def branches(self, *, tenant: str, thread: str | None = None) -> Sequence[Branch]:
        """Return the ends of all lines a thread's conversation took, the latest first: an edit begins a new one."""
        key = _key(tenant, thread)
        noted = self._runner().journal.of_thread(key, limit=_MOST_LISTED)
        rows = [row for row in noted if row.checkpoint_id not in {None, row.parent_checkpoint_id}]  # who wrote anything
        here = await self._end_before_head(key, {row.checkpoint_id for row in rows})
        passed = {row.parent_checkpoint_id for row in rows}
        return [
            Branch(
                checkpoint_id=str(row.checkpoint_id),
                run_id=row.run_id,
                ended_at=row.ended_at,
                is_current=row.checkpoint_id == here,
            )
            for row in rows
            if row.checkpoint_id not in passed
        ]

    # Changing

    @on_its_loop
    async def switch(self, checkpoint: str, *, tenant: str, thread: str | None = None) -> None:
        """Let a thread stand where it once stood; the next run goes on from there, and the other line stays reachable.

        Raises:
            ThreadBusyError: A run does not leave the thread in time.
        """
        key = _key(tenant, thread)
        await self._existing(key, checkpoint)
        await self._runner().access.update(key, {"turns": 0}, checkpoint=checkpoint)

    @on_its_loop
    async def fork(self, *, tenant: str, thread: str | None = None, to: str, checkpoint: str | None = None) -> None:
        """Begin another thread with the conversation of this one; each then goes its own way.

        Args:
            tenant: Whose.
            thread: Which thread.
            to: The new thread's id.
            checkpoint: Take the conversation as it stood there; by default as it stands.

        Raises:
            InvalidInputError: There is a thread `to` already.
        """
        source, destination = _key(tenant, thread), _key(tenant.partition(":")[0], to)
        database = self._runner().database
        state = await self._existing(source, checkpoint)

        def is_new(there: Mapping[str, Any]) -> bool:
            """Refuse one that has begun, also while this waited for its first run: it is somebody's own."""
            begun = database.glance(_tenant(destination), lambda saver: lease.begun_by(saver.conn, destination))
            if there or begun is not None:
                raise InvalidInputError(f"there is a thread {to!r} already", param="to")
            return True

        is_new((await self._state(destination, None)).values)
        await database.write(_tenant(destination), lambda saver: lease.lift(saver.conn, destination))
        values = state.values
        live: Sequence[BaseMessage] = values.get("messages", [])
        kept = await ThreadHistory(database).archived(source, values)
        copied: dict[str, Any] = {
            name: values[name]
            for name in ("summary", "summaries", "archive_tail", "archive_after", "offered_tools")
            if name in values
        }
        await self._runner().access.update(
            destination,
            cast("AgentState", {**copied, "messages": [*live], "archived": kept, "turns": 0}),
            provided=is_new,
        )
        now = datetime.now(UTC).isoformat()
        await database.write(
            _tenant(destination),
            lambda saver: lease.begin(saver.conn, destination, user=lease.user_of(saver.conn, source), at=now),
        )

    @on_its_loop
    async def delete(self, *, tenant: str, thread: str | None = None) -> None:
        """Delete a thread for good, with its checkpoints, runs and archive. A run under way on it ends with nothing.

        What was learned from it stays in memory; `AgentGraph.forget(thread=…)` removes that as well.
        """
        key = _key(tenant, thread)
        runner = self._runner()
        for row in runner.journal.of_thread(key, limit=_MOST_LISTED):
            if row.is_open and (handle := runner.handle_of(row.run_id)) is not None:
                handle.ask_to_stop("rollback")
        checkpointer: Any = runner.threaded.checkpointer
        if runner.database.has(_tenant(key)):  # deleting begins no tenant
            await runner.outbox.adelete_thread(key)  # the tombstone first: nothing is written after it
        if checkpointer is not runner.outbox:
            await checkpointer.adelete_thread(key)

    async def _existing(self, key: str, checkpoint: str | None) -> StateSnapshot:
        state = await self._state(key, checkpoint)
        if state.created_at is None:
            what = "no such thread" if checkpoint is None else f"no checkpoint {checkpoint!r} on this thread"
            raise NotFoundError(f"there is {what}")
        return state

    async def _state(self, key: str, checkpoint: str | None) -> StateSnapshot:
        return await self._runner().threaded.aget_state(_config(key, checkpoint))

    async def _end_before_head(self, key: str, ends: AbstractSet[str | None]) -> str | None:
        """Return the end of the run behind which a thread stands: going back or shortening write after it."""
        checkpointer: Any = self._runner().threaded.checkpointer
        at = await self._head(key)
        while at is not None and at not in ends:
            config = _config(key, at)
            config["configurable"]["checkpoint_ns"] = ""
            found = await checkpointer.aget_tuple(config)
            parent = found.parent_config if found is not None else None
            at = None if parent is None else parent["configurable"]["checkpoint_id"]
        return at

    async def _head(self, key: str) -> str | None:
        runner = self._runner()
        if not runner.database.has(_tenant(key)):
            return None
        if runner.access.files_itself:
            return runner.database.glance(_tenant(key), lambda saver: heads.head(saver.conn, key))
        state = await self._state(key, None)
        head: str | None = (state.config or {}).get("configurable", {}).get("checkpoint_id")
        return head


def _thread_info(key: str, user: str | None, turns: int, created_at: str, used_at: str) -> ThreadInfo:
    return ThreadInfo(
        thread=key.rpartition("/")[2],
        is_session=key.split("/", 2)[1] == "session",
        user=user,
        turns=turns,
        created_at=created_at,
        used_at=used_at,
    )


def _key(tenant: str, thread: str | None) -> str:
    return Scope.parse(tenant, thread=thread).required_thread_key


def _tenant(key: str) -> str:
    return key.partition("/")[0]


def _config(key: str, checkpoint: str | None = None) -> RunnableConfig:
    place = {"thread_id": key} if checkpoint is None else {"thread_id": key, "checkpoint_id": checkpoint}
    return {"configurable": place}


def _info(state: StateSnapshot, head: str | None) -> CheckpointInfo:
    checkpoint_id = str((state.config or {})["configurable"].get("checkpoint_id", ""))
    parent = (state.parent_config or {}).get("configurable", {}).get("checkpoint_id")
    return CheckpointInfo(
        checkpoint_id=checkpoint_id,
        parent_id=parent,
        created_at=state.created_at,
        run_id=(state.metadata or {}).get("run_id"),
        is_head=checkpoint_id == head,
        next=state.next,
        interrupts=tuple({"id": interrupt.id, "value": interrupt.value} for interrupt in state.interrupts),
        messages=tuple(message.model_copy() for message in state.values.get("messages", ())),
        summary=state.values.get("summary", ""),
    )
