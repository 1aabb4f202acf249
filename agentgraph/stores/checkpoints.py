"""Threads on disk: LangGraph checkpoints in one SQLite file per tenant, and the outbox that commits with them.

The tables and the delta-channel queries are LangGraph's own (`SqliteSaver`); what is added is a file per tenant, group
commit, strict deserialisation, and memory owed being filed in the very transaction that ends the turn.
"""

from __future__ import annotations

import asyncio
import builtins
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from agentgraph.errors import InvalidInputError
from agentgraph.scope import tenant_directory, tenant_of_thread_key
from agentgraph.stores.sqlite import SqliteFile, Sync, empty_journal
from agentgraph.stores.thread_rows import Edit, edit_thread, repeats, threads_in

__all__ = ["COMMIT_LATER", "TenantCheckpoints"]

T = TypeVar("T")

COMMIT_LATER: Final = "__agentgraph_commit_later"
"""A key of `configurable`: writes are queued in order and `committed` waits for them, instead of one by one.

For runs that commit once, at their end: what LangGraph writes there in several steps then shares one `fsync`.
"""

_FILE: Final = "threads.db"
_OUTBOX: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    origin TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL
);
"""


class TenantCheckpoints(BaseCheckpointSaver[str]):
    """A checkpointer whose every thread id begins with its tenant, and whose tenants share no file.

    Besides checkpoints it keeps an outbox: each item of the state's `owed` channel, filed together with the checkpoint
    that carries it. Whoever does the work takes items with `owed` and strikes them off with `settle`, so work owed at
    a crash is still there at the next start.
    """

    def __init__(
        self, storage_dir: Path, *, pool: ThreadPoolExecutor, sync: Sync = "full", hot_tenants: int = 64
    ) -> None:
        # An allow-list of None is LangGraph's strict mode: only known data types are rebuilt, no code runs on load.
        super().__init__(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        self._storage_dir = storage_dir
        self._pool = pool
        self._sync = sync
        self._hot_tenants = hot_tenants
        self._open: dict[str, _TenantFile] = {}  # in order of use, the coldest first
        self._later: dict[str, list[Future[Any]]] = {}

    # Reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest checkpoint of a thread, or the one that `config` names."""
        return self._file(config).reading.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield a thread's checkpoints, the newest first."""
        # Read whole: a paused cursor would hold up every writer of the file.
        rows = await self._file(config).read(
            lambda saver: list(saver.list(config, filter=filter, before=before, limit=limit))
        )
        for row in rows:
            yield row

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes from which delta channels are rebuilt."""
        return self._file(config).reading.get_delta_channel_history(config=config, channels=channels)

    # Writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Commit a checkpoint together with the work it owes."""

        def put(saver: _InTransaction) -> None:
            for owed in checkpoint["channel_values"].get("owed") or ():
                saver.file_owed(owed)
            saver.put(config, checkpoint, metadata, new_versions)

        await self._commit(config, put)
        configurable = config["configurable"]
        here = {name: configurable[name] for name in ("thread_id", "checkpoint_ns")}
        return {"configurable": {**here, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Commit what a task wrote."""
        await self._commit(config, lambda saver: saver.put_writes(config, writes, task_id, task_path))

    async def committed(self, thread_id: str) -> None:
        """Wait for a thread's writes that were left to be committed later.

        Raises:
            StoreError: One of them failed: the turn is not kept.
        """
        for future in self._later.pop(thread_id, ()):
            await asyncio.wrap_future(future)

    async def _commit(self, config: RunnableConfig, job: Callable[[_InTransaction], Any]) -> None:
        file = self._file(config)
        if config["configurable"].get(COMMIT_LATER):
            self._later.setdefault(str(config["configurable"]["thread_id"]), []).append(file.submit(job))
        else:
            await file.write(job)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints and writes."""
        file = self._tenant_file(tenant_of_thread_key(thread_id))
        await file.write(lambda saver: saver.delete_thread(thread_id))

    # The outbox

    async def owe(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> None:
        """File work that no checkpoint carries: a one-off run's."""

        def put(saver: _InTransaction) -> None:
            for item in items:
                saver.file_owed(item)

        await self._tenant_file(tenant).write(put)

    async def owed(self, tenant: str, *, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """Return the oldest items still owed, with the numbers to settle them by."""

        def read(saver: _InTransaction) -> list[tuple[int, dict[str, Any]]]:
            rows = saver.conn.execute("SELECT id, payload FROM outbox ORDER BY id LIMIT ?", (limit,))
            return [(number, json.loads(payload)) for number, payload in rows]

        return await self._tenant_file(tenant).read(read)

    async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
        """Strike items off."""
        rows = [(number,) for number in numbers]
        await self._tenant_file(tenant).write(
            lambda saver: saver.conn.executemany("DELETE FROM outbox WHERE id = ?", rows)
        )

    async def drop_owed(
        self, tenant: str, is_gone: Callable[[Mapping[str, Any]], bool], *, is_dry_run: bool = False
    ) -> builtins.list[dict[str, Any]]:
        """Strike off, undone, what is owed and `is_gone`, and return it."""

        def drop(saver: _InTransaction) -> builtins.list[dict[str, Any]]:
            rows = [(number, json.loads(owed)) for number, owed in saver.conn.execute("SELECT id, payload FROM outbox")]
            gone = [(number, item) for number, item in rows if is_gone(item)]
            if not is_dry_run:
                saver.conn.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number, _ in gone])
            return [item for _, item in gone]

        return await self._tenant_file(tenant).write(drop) if self._has(tenant) else []

    def tenants_in_debt(self) -> list[str]:
        """Return the tenants whose outbox is not empty. Blocking: it looks into every tenant's file."""
        return self._on_disk("SELECT DISTINCT tenant FROM outbox")

    # Forgetting

    async def threads(self, tenant: str) -> builtins.list[str]:
        """Return the ids of all of a tenant's threads."""
        return await self._tenant_file(tenant).read(threads_in) if self._has(tenant) else []

    async def edit_thread(self, thread_id: str, edit: Edit, *, is_dry_run: bool = False) -> int:
        """Rewrite what a thread's checkpoints hold and return how many rows were changed; see `thread_rows.py`."""
        file = self._tenant_file(tenant_of_thread_key(thread_id))
        return await file.write(lambda saver: edit_thread(saver, thread_id, edit, is_dry_run=is_dry_run))

    async def repeats(self, thread_id: str, texts: Sequence[str], edit: Edit) -> bool:
        """Say whether a thread, after `edit`, holds one of `texts` word for word."""
        file = self._tenant_file(tenant_of_thread_key(thread_id))
        return await file.read(lambda saver: repeats(saver, thread_id, texts, edit))

    async def scrub(self, tenant: str) -> None:
        """Leave nothing on disk of what was deleted or overwritten in `tenant`'s threads.

        Raises:
            StoreUnavailableError: Somebody reads an old state just now; try again.
        """
        if self._has(tenant):
            await asyncio.wrap_future(self._pool.submit(empty_journal, self._path(tenant)))

    async def delete_tenant(self, tenant: str) -> None:
        """Close `tenant`'s file and remove the tenant's whole directory, with whatever else lies in it."""
        file = self._open.pop(tenant, None)
        if file is not None:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(shutil.rmtree, self._path(tenant).parent, ignore_errors=True)

    def tenants_on_disk(self) -> builtins.list[str]:
        """Return the tenants that have threads. Blocking: it looks into every tenant's file."""
        return self._on_disk("SELECT DISTINCT substr(thread_id, 1, instr(thread_id, '/') - 1) FROM checkpoints")

    def _on_disk(self, query: str) -> builtins.list[str]:
        tenants: set[str] = set()
        for path in sorted(self._storage_dir.glob(f"*/{_FILE}")):
            address = f"{path.resolve().as_uri()}?mode=ro"
            # A file that cannot be read says so when its tenant is next used.
            with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as connection:
                tenants.update(tenant for (tenant,) in connection.execute(query))
        return sorted(tenants)

    def _has(self, tenant: str) -> bool:
        return tenant in self._open or self._path(tenant).exists()

    def _path(self, tenant: str) -> Path:
        return tenant_directory(self._storage_dir, tenant) / _FILE

    def close(self) -> None:
        """Finish what is queued and close every file."""
        while self._open:
            self._open.popitem()[1].close()

    # The synchronous face, for `graph.get_state` and friends: never on an event loop

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do what `aget_tuple` does, blocking."""
        return self._file(config).run(lambda saver: saver.get_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Do what `alist` does, blocking."""
        yield from self._file(config).run(
            lambda saver: [*saver.list(config, filter=filter, before=before, limit=limit)]
        )

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Do what `aget_delta_channel_history` does, blocking."""
        return self._file(config).run(lambda saver: saver.get_delta_channel_history(config=config, channels=channels))

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Return a channel version that sorts after `current`."""
        return SqliteSaver.get_next_version(self, current, channel)  # type: ignore[arg-type]  # it uses no state

    def _file(self, config: RunnableConfig | None) -> _TenantFile:
        thread_id = None if config is None else config.get("configurable", {}).get("thread_id")
        if thread_id is None:
            raise InvalidInputError("a checkpoint belongs to a thread: no thread_id was given", param="thread")
        return self._tenant_file(tenant_of_thread_key(str(thread_id)))

    def _tenant_file(self, tenant: str) -> _TenantFile:
        file = self._open.pop(tenant, None)
        if file is None:
            while len(self._open) >= self._hot_tenants:
                self._open.pop(next(iter(self._open))).close()
            file = _TenantFile(self._path(tenant), pool=self._pool, sync=self._sync, serde=self.serde)
        self._open[tenant] = file
        return file


class _InTransaction(SqliteSaver):
    """LangGraph's saver inside somebody else's transaction: it neither begins nor commits."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002
        with closing(self.conn.cursor()) as cursor:
            yield cursor

    def file_owed(self, item: Mapping[str, Any]) -> None:
        origin = f"{item['run_id']}/{item['message_id']}"
        self.conn.execute(
            "INSERT OR IGNORE INTO outbox (tenant, origin, payload) VALUES (?, ?, ?)",
            (item["namespace"][0], origin, json.dumps(item, ensure_ascii=False)),
        )


class _TenantFile:
    """One tenant's threads: the file, and LangGraph's saver bound to its connection.

    `reading` is a saver on a connection of its own, for use on the event loop. In WAL mode a reader waits for nobody,
    and reading a live window takes less time than handing the work to another thread and back.
    """

    def __init__(self, path: Path, *, pool: ThreadPoolExecutor, sync: Sync, serde: Any) -> None:
        def prepare(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten, not only unlinked
            self._saver = _InTransaction(connection, serde=serde)
            self._saver.setup()

        self._database = SqliteFile(path, schema=_OUTBOX, pool=pool, sync=sync, prepare=prepare)
        self._reader = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self.reading = _InTransaction(self._reader, serde=serde)
        self.reading.is_setup = True

    def close(self) -> None:
        self._database.close()
        self._reader.close()

    def submit(self, job: Callable[[_InTransaction], T]) -> Future[T]:
        return self._database.submit(lambda _: job(self._saver))

    async def read(self, job: Callable[[_InTransaction], T]) -> T:
        return await self._database.read(lambda _: job(self._saver))

    async def write(self, job: Callable[[_InTransaction], T]) -> T:
        return await self._database.write(lambda _: job(self._saver))

    def run(self, job: Callable[[_InTransaction], T]) -> T:
        return self._database.run(lambda _: job(self._saver))
