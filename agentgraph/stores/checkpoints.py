"""LangGraph's checkpointer on `ThreadDatabase`: fenced, read through a head, strict about what it loads.

The tables and the delta-channel queries are LangGraph's own (`SqliteSaver`). What is added stands in the transaction
of each checkpoint: the writer's fence is checked, the thread's head moves, and what the turn owes to memory and moves
into the archive is filed.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
)

from agentgraph.errors import InvalidInputError
from agentgraph.scope import tenant_of_thread_key
from agentgraph.stores.threads import archive, heads, lease, outbox, prune, runs
from agentgraph.stores.threads.database import Job, Saver, ThreadDatabase, delete_rows
from agentgraph.stores.threads.lease import Lease
from agentgraph.stores.threads.rows import Edit, copy_thread, edit_thread, repeats, threads_in, threads_of

__all__ = ["FENCE", "TenantCheckpoints", "fence_of"]

T = TypeVar("T")

FENCE: Final = "__agentgraph_fence"
"""A key of `configurable`: the fence of a run that holds the thread's lease.

Its writes are held back until `ThreadDatabase.commit` or `flush` writes them together. Whoever writes without one, a
graph that is invoked directly, commits each write at once, and only while nobody holds the thread.
"""

_PAST_ALL: Final = 2**62  # a position no run has
_STRATEGIES: Final = ("keep_latest", "delete")
_FILED: Final = ("owed", "archived")  # channels that go into tables of their own, and not into the checkpoint


class TenantCheckpoints(BaseCheckpointSaver[str]):
    """A checkpointer whose every thread id begins with its tenant, and whose tenants share no file.

    Besides checkpoints it keeps an outbox: each item of the state's `owed` channel, filed together with the checkpoint
    that carries it. Whoever does the work takes items with `owed` and strikes them off with `settle`, so work owed at
    a crash is still there at the next start.
    """

    def __init__(self, database: ThreadDatabase) -> None:
        super().__init__(serde=database.serde)
        self.database = database

    # Reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint a thread stands at, or the one that `config` names."""
        thread_id = _thread_id(config)
        await self.database.flush(thread_id, fence_of(config))
        if not self.database.has(tenant_of_thread_key(thread_id)):
            return None  # reading begins nothing
        return self.database.glance(tenant_of_thread_key(thread_id), lambda saver: _at(saver, config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield a thread's checkpoints, the last written first."""
        if not self.database.has(_tenant(config)):
            return
        # Read whole: a paused cursor would hold up every writer of the file.
        rows = await self.database.read(
            _tenant(config), lambda saver: _listed(saver, config, filter=filter, before=before, limit=limit)
        )
        for row in rows:
            yield row

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes from which delta channels are rebuilt."""
        return self.database.replay(_tenant(config), lambda saver: _deltas(saver, config, channels))

    # Writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Commit a checkpoint, and with it what it owes, what it archives, and where the thread stands."""
        values = checkpoint["channel_values"]
        filed = {channel: values[channel] for channel in _FILED if values.get(channel)}
        if filed:
            kept = {channel: value for channel, value in values.items() if channel not in _FILED}
            checkpoint = {**checkpoint, "channel_values": kept}
        thread_id, namespace = _thread_id(config), config["configurable"].get("checkpoint_ns", "")
        # LangGraph leaves the namespace out when a state is changed at a checkpoint by hand.
        config = {**config, "configurable": {**config["configurable"], "checkpoint_ns": namespace}}

        def put(saver: Saver) -> None:
            if filed:
                outbox.file(saver.conn, filed.get("owed", ()))
                archive.file_archived(saver.conn, thread_id, filed.get("archived", ()), saver.serde)
            saver.put(config, checkpoint, metadata, new_versions)
            heads.move(saver.conn, thread_id, checkpoint["id"], namespace)

        await self._commit(config, put)
        return _place(thread_id, namespace, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Commit what a task wrote; what it archives is filed with the checkpoint."""
        writes = [write for write in writes if write[0] != "archived"]
        await self._commit(config, lambda saver: saver.put_writes(config, writes, task_id, task_path))

    async def _commit(self, config: RunnableConfig, job: Job[Any]) -> None:
        thread_id = _thread_id(config)
        if (fence := fence_of(config)) is not None:
            self.database.hold(Lease(thread_id, fence), job)
            return

        def checked(saver: Saver) -> None:
            self.database.check(saver, thread_id, None)
            job(saver)

        await self.database.write(tenant_of_thread_key(thread_id), checked)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all that is kept of a thread. A run still under way on it can write nothing more."""
        await self.database.write(tenant_of_thread_key(thread_id), lambda saver: delete_rows(saver, thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Take from each thread all checkpoints but the one it stands at, or, with `delete`, everything.

        Raises:
            InvalidInputError: There is no such strategy.
            ThreadBusyError: A run is under way on one of them: nothing of its tenant was pruned.
        """
        if strategy not in _STRATEGIES:
            raise InvalidInputError(f"prune by {' or '.join(_STRATEGIES)}, not {strategy!r}", param="strategy")
        tenants: dict[str, list[str]] = {}
        for thread_id in thread_ids:
            tenants.setdefault(tenant_of_thread_key(thread_id), []).append(thread_id)

        def pruned(saver: Saver, threads: Sequence[str]) -> None:
            for thread_id in set(threads).intersection(threads_in(saver)):
                self.database.check(saver, thread_id, None)
                if strategy == "delete":
                    delete_rows(saver, thread_id)
                else:
                    prune.keep_latest(saver, thread_id)

        for tenant, threads in tenants.items():
            if self.database.has(tenant):
                await self.database.write(tenant, partial(pruned, threads=threads))

    async def prune_thread(self, thread_id: str, keep_turns: int, *, fence: int | None = None) -> int:
        """Drop the checkpoints of a thread's older turns and return how many went; see `threads/prune.py`.

        Raises:
            ThreadBusyError: A run is under way on it, and `fence` is not that of its lease.
        """
        return await self.database.commit(thread_id, fence, lambda saver: prune.prune_old(saver, thread_id, keep_turns))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Give a new thread of the same tenant all checkpoints of another, and its archive; runs are not copied.

        Raises:
            InvalidInputError: They belong to two tenants, or the target is in use.
            ThreadBusyError: A run is under way on one of them.
        """
        tenant = tenant_of_thread_key(source_thread_id)
        if tenant_of_thread_key(target_thread_id) != tenant:
            raise InvalidInputError("a thread is copied within its tenant only", param="target_thread_id")

        def copied(saver: Saver) -> None:
            lease.lift(saver.conn, target_thread_id)
            for thread_id in (source_thread_id, target_thread_id):
                self.database.check(saver, thread_id, None)
            copy_thread(saver, source_thread_id, target_thread_id)

        if self.database.has(tenant):
            await self.database.write(tenant, copied)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Take away what runs wrote, whosever they are; a thread then stands where it stood before them.

        Raises:
            ThreadBusyError: A run is under way on one of their threads: nothing of its tenant was deleted.
        """

        def deleted(saver: Saver) -> None:
            for thread_id in prune.threads_of_runs(saver, run_ids):
                self.database.check(saver, thread_id, None)
                prune.drop_runs(saver, thread_id, run_ids)

        for tenant in await asyncio.to_thread(self.database.tenants_on_disk) if run_ids else ():
            await self.database.write(tenant, deleted)

    # The outbox

    async def owe(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> None:
        """File work that no checkpoint carries: a one-off run's."""
        await self.database.write(tenant, lambda saver: outbox.file(saver.conn, items))

    async def owed(self, tenant: str, *, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """Return the oldest items still owed, with the numbers to settle them by."""
        return await self.database.read(tenant, lambda saver: outbox.waiting(saver.conn, limit=limit))

    async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
        """Strike items off."""
        await self.database.write(tenant, lambda saver: outbox.settle(saver.conn, numbers))

    async def drop_owed(
        self, tenant: str, is_gone: Callable[[Mapping[str, Any]], bool], *, is_dry_run: bool = False
    ) -> builtins.list[dict[str, Any]]:
        """Strike off, undone, what is owed and `is_gone`, and return it."""
        if not self.database.has(tenant):
            return []
        return await self.database.write(tenant, lambda saver: outbox.drop(saver.conn, is_gone, is_dry_run=is_dry_run))

    def tenants_in_debt(self) -> builtins.list[str]:
        """Return the tenants whose outbox is not empty. Blocking: it looks into every tenant's file."""
        return self.database.tenants_where("SELECT DISTINCT tenant FROM outbox")

    # Forgetting

    async def threads(self, tenant: str, *, user: str | None = None) -> builtins.list[str]:
        """Return the ids of all of a tenant's threads, or of those that one person's runs began."""
        if not self.database.has(tenant):
            return []
        return await self.database.read(
            tenant, lambda saver: threads_in(saver) if user is None else threads_of(saver, user)
        )

    async def open_runs(self, thread_id: str) -> builtins.list[str]:
        """Return the runs that are under way on a thread or wait for their turn."""
        tenant = tenant_of_thread_key(thread_id)
        if not self.database.has(tenant):
            return []
        rows = await self.database.read(tenant, lambda saver: runs.ahead_of(saver.conn, thread_id, _PAST_ALL))
        return [row.run_id for row in rows]

    async def edit_thread(self, thread_id: str, edit: Edit, *, is_dry_run: bool = False) -> int:
        """Rewrite what a thread's checkpoints hold and return how many rows were changed; see `threads/rows.py`."""
        return await self.database.write(
            tenant_of_thread_key(thread_id), lambda saver: edit_thread(saver, thread_id, edit, is_dry_run=is_dry_run)
        )

    async def repeats(self, thread_id: str, texts: Sequence[str], edit: Edit) -> bool:
        """Say whether a thread, after `edit`, holds one of `texts` word for word."""
        return await self.database.read(
            tenant_of_thread_key(thread_id), lambda saver: repeats(saver, thread_id, texts, edit)
        )

    async def scrub(self, tenant: str) -> None:
        """Leave nothing on disk of what was deleted or overwritten in `tenant`'s threads.

        Raises:
            StoreUnavailableError: Somebody reads an old state just now; try again.
        """
        await self.database.scrub(tenant)

    async def delete_tenant(self, tenant: str) -> None:
        """Close `tenant`'s file and remove the tenant's whole directory, with whatever else lies in it."""
        await self.database.delete_tenant(tenant)

    def tenants_on_disk(self) -> builtins.list[str]:
        """Return the tenants that have threads. Blocking: it looks into every tenant's file."""
        return self.database.tenants_on_disk()

    # The synchronous face, for `graph.get_state` and friends: never on an event loop

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do what `aget_tuple` does, blocking."""
        return self.database.file(_tenant(config)).run(lambda saver: _at(saver, config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Do what `alist` does, blocking."""
        yield from self.database.file(_tenant(config)).run(
            lambda saver: _listed(saver, config, filter=filter, before=before, limit=limit)
        )

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Do what `aget_delta_channel_history` does, blocking."""
        return self.database.file(_tenant(config)).run(lambda saver: _deltas(saver, config, channels))

    def get_next_version(self, current: str | None, channel: None) -> str:  # noqa: ARG002
        """Return a channel version that sorts after `current`, also after one that LangGraph's own saver gave.

        Its are longer by a random number, which tells apart values kept outside of their checkpoint: here none are.
        """
        number = 0 if current is None else int(str(current).partition(".")[0])
        return f"{number + 1:012d}"


def fence_of(config: RunnableConfig) -> int | None:
    """Return the fence a config carries."""
    fence: int | None = config["configurable"].get(FENCE)
    return fence


def _thread_id(config: RunnableConfig | None) -> str:
    thread_id = None if config is None else config.get("configurable", {}).get("thread_id")
    if thread_id is None:
        raise InvalidInputError("a checkpoint belongs to a thread: no thread_id was given", param="thread")
    return str(thread_id)


def _tenant(config: RunnableConfig | None) -> str:
    return tenant_of_thread_key(_thread_id(config))


def _place(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def _named(saver: Saver, config: RunnableConfig) -> RunnableConfig:
    """Name the checkpoint a thread stands at, where a config names none."""
    if get_checkpoint_id(config):
        return config
    thread_id, namespace = _thread_id(config), config["configurable"].get("checkpoint_ns", "")
    checkpoint_id = heads.head(saver.conn, thread_id, namespace)
    # A file from before there were heads has none: there the largest id stands for it.
    return config if checkpoint_id is None else _place(thread_id, namespace, checkpoint_id)


def _at(saver: Saver, config: RunnableConfig) -> CheckpointTuple | None:
    return saver.get_tuple(_named(saver, config))


def _deltas(saver: Saver, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, DeltaChannelHistory]:
    return saver.get_delta_channel_history(config=_named(saver, config), channels=channels)


def _listed(
    saver: Saver,
    config: RunnableConfig | None,
    *,
    filter: dict[str, Any] | None,  # noqa: A002
    before: RunnableConfig | None,
    limit: int | None,
) -> builtins.list[CheckpointTuple]:
    """List in the order of writing: ids are made of clocks, which can be set back."""
    thread_id = _thread_id(config)
    namespace = (config or {}).get("configurable", {}).get("checkpoint_ns")
    written = saver.conn.execute(
        "SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = ? ORDER BY rowid DESC", (thread_id,)
    ).fetchall()
    places = [place for place in written if namespace is None or place[0] == namespace]
    if before is not None and (end := get_checkpoint_id(before)) is not None:
        at = next((number for number, (_, checkpoint_id) in enumerate(places) if checkpoint_id == end), None)
        places = places[at + 1 :] if at is not None else places
    if filter is not None or (config is not None and get_checkpoint_id(config)):
        found = {row.checkpoint["id"] for row in saver.list(config, filter=filter)}
        places = [place for place in places if place[1] in found]
    rows = (saver.get_tuple(_place(thread_id, *place)) for place in places[:limit])
    return [row for row in rows if row is not None]
