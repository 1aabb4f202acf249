"""The threads of every tenant: one SQLite file per tenant, in which all that concerns a thread changes together.

LangGraph's checkpoints, the lease, the runs, the tool calls, the archive and the outbox share a file, so a turn and
what follows from it are one transaction.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from agentgraph.errors import LeaseLostError, StoreUnavailableError
from agentgraph.scope import tenant_directory, tenant_of_thread_key
from agentgraph.stores.sqlite import SqliteFile, Sync, empty_journal, store_error
from agentgraph.stores.threads import archive, heads, lease, outbox, runs, sessions, steady_clock, tool_calls
from agentgraph.stores.threads.lease import Lease
from agentgraph.stores.threads.processes import Process, uptime
from agentgraph.stores.threads.remembered import RememberingSerializer

__all__ = ["Job", "Saver", "ThreadDatabase"]

T = TypeVar("T")

_FILE: Final = "threads.db"
_CREATION_S: Final = 2.0
_CREATION_LOOK_S: Final = 0.005
# A turn changes a few bytes in many places, and the journal takes a page for each: small pages halve what is written.
_PAGE_SIZE: Final = 1024
_SCHEMA: Final = "".join(
    module.SCHEMA for module in (outbox, lease, heads, runs, tool_calls, archive, steady_clock, sessions)
)


class Saver(SqliteSaver):
    """LangGraph's saver inside somebody else's transaction: it neither begins nor commits."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002
        """Give a cursor, and leave the transaction to whoever began it."""
        with closing(self.conn.cursor()) as cursor:
            yield cursor


Job = Callable[[Saver], T]
"""Work in a tenant's file: the saver's `conn` is the connection, inside a transaction."""


class ThreadDatabase:
    """Opens tenants' files and runs jobs in them.

    Writes of a run are held back in memory and committed together: at its end, and before each effect it has on the
    world (`hold`, `commit`, `flush`). So a turn costs one `fsync`, and a tool never runs before the call for it is
    on disk.

    Args:
        storage_dir: A directory for each tenant.
        pool: Where jobs run.
        sync: As `SqliteFile` takes it.
        hot_tenants: How many files stay open.
        lease_ttl_s: How long a lease lasts.
    """

    def __init__(
        self,
        storage_dir: Path,
        *,
        pool: ThreadPoolExecutor,
        sync: Sync = "full",
        hot_tenants: int = 64,
        lease_ttl_s: float = 15.0,
    ) -> None:
        # An allow-list of None is LangGraph's strict mode: only known data types are rebuilt, no code runs on load.
        self.serde = JsonPlusSerializer(allowed_msgpack_modules=None)
        self.process = Process(storage_dir)
        self.lease_ttl_s = lease_ttl_s
        self._storage_dir = storage_dir
        self._pool = pool
        self._sync = sync
        self._hot_tenants = hot_tenants
        self._remembering = RememberingSerializer()
        self._open: dict[str, _TenantFile] = {}  # in order of use, the coldest first
        self._held: dict[Lease, list[Job[Any]]] = {}

    def close(self) -> None:
        """Finish what is queued and close every file."""
        while self._open:
            self._open.popitem()[1].close()
        self.process.close()

    # One tenant's file

    async def write(self, tenant: str, job: Job[T]) -> T:
        """Run a job in a transaction and return once it is committed."""
        return await self.file(tenant).write(job)

    async def read(self, tenant: str, job: Job[T]) -> T:
        """Run a job that only reads; it sees every write queued before it."""
        return await self.file(tenant).read(job)

    def glance(self, tenant: str, job: Job[T]) -> T:
        """Read what is committed, at once and on the calling thread: a few rows, found by key.

        Raises:
            StoreError: The file cannot be read.
        """
        file = self._current(tenant)
        with _faults_of(file.path):
            return job(file.reading)

    def replay(self, tenant: str, job: Job[T]) -> T:
        """Do what `glance` does, for reading the messages a thread's state is rebuilt from."""
        file = self._current(tenant)
        with _faults_of(file.path):
            return job(file.replaying)

    def file(self, tenant: str) -> _TenantFile:
        """Return a tenant's open file, creating it if need be."""
        file = self._open.pop(tenant, None)
        if file is not None and file.is_replaced:  # another process deleted the tenant
            file.close()
            file = None
        if file is None:
            while len(self._open) >= self._hot_tenants:
                self._open.pop(next(iter(self._open))).close()
            file = _TenantFile(
                self._path(tenant),
                pool=self._pool,
                sync=self._sync,
                serde=self.serde,
                remembering=self._remembering,
            )
        self._open[tenant] = file
        return file

    def _current(self, tenant: str) -> _TenantFile:
        """Return a tenant's file without counting it as used. What another process has deleted is not read any more."""
        file = self._open.get(tenant)
        return self.file(tenant) if file is None or file.is_replaced else file

    # A run's writes

    def check(self, saver: Saver, thread_id: str, fence: int | None) -> None:
        """Refuse a write that comes too late; see `lease.check`."""
        lease.check(
            saver.conn,
            thread_id,
            fence,
            now=uptime(),
            ttl_s=self.lease_ttl_s,
            is_alive=self.process.is_alive,
        )

    def open_lease(self, held: Lease) -> None:
        """Hold back what is written under a lease until it is committed."""
        self._held[held] = []

    def close_lease(self, held: Lease) -> None:
        """Take no more writes under a lease, and drop what was not committed."""
        self._held.pop(held, None)

    def hold(self, held: Lease, job: Job[Any]) -> None:
        """Hold a write back until the next commit under its lease.

        Raises:
            LeaseLostError: The run it belongs to has ended: somebody did not stop when told to.
        """
        writes = self._held.get(held)
        if writes is None:
            raise LeaseLostError(f"the run on the thread {held.thread_id!r} has ended: nothing written")
        writes.append(job)

    def holds(self, held: Lease) -> bool:
        """Say whether writes under a lease are held back."""
        return bool(self._held.get(held))

    async def commit(self, thread_id: str, fence: int | None, job: Job[T]) -> T:
        """Commit what is held back of a thread, and a job with it, if the fence still stands.

        Raises:
            LeaseLostError: It does not: nothing was written, and what was held back is dropped.
        """
        held = self._held.get(Lease(thread_id, fence)) if fence is not None else None
        writes = [] if held is None else held[:]
        if held is not None:
            held.clear()

        def together(saver: Saver) -> T:
            self.check(saver, thread_id, fence)
            for write in writes:
                write(saver)
            return job(saver)

        return await self.write(tenant_of_thread_key(thread_id), together)

    async def guarded(self, thread_key: str, fence: int | None, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do what `commit` does, for a job that knows nothing of savers."""
        return await self.commit(thread_key, fence, lambda saver: job(saver.conn))

    async def flush(self, thread_id: str, fence: int | None) -> None:
        """Commit what is held back of a thread."""
        if fence is not None and self.holds(Lease(thread_id, fence)):
            await self.commit(thread_id, fence, lambda _: None)

    def discard(self, held: Lease) -> None:
        """Drop what is held back under a lease."""
        if held in self._held:
            self._held[held] = []

    # All tenants

    def has(self, tenant: str) -> bool:
        """Say whether a tenant has a file."""
        return self._path(tenant).exists()  # another process may have deleted it

    def tenants_on_disk(self) -> list[str]:
        """Return the tenants that have threads. Blocking: it looks into every tenant's file."""
        return self.tenants_where(
            "SELECT DISTINCT substr(thread_id, 1, instr(thread_id, '/') - 1) FROM checkpoints"
            " UNION SELECT DISTINCT substr(thread_id, 1, instr(thread_id, '/') - 1) FROM threads WHERE deleted = 0"
        )

    def tenants_where(self, query: str) -> list[str]:
        """Return the tenants a query selects, each from its own file. Blocking."""
        tenants: set[str] = set()
        for path in self.files():
            found = self.peek(path, lambda connection: connection.execute(query).fetchall())
            tenants.update(tenant for (tenant,) in found or ())
        return sorted(tenants)

    def files(self) -> list[Path]:
        """Return every tenant's file. Blocking."""
        return sorted(self._storage_dir.glob(f"*/{_FILE}"))

    def peek(self, path: Path, look: Callable[[sqlite3.Connection], T]) -> T | None:
        """Look into a tenant's file without opening it for use; `None` where it cannot be read. Blocking."""
        address = f"{path.resolve().as_uri()}?mode=ro"
        # A file that cannot be read says so when its tenant is next used.
        with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as connection:
            return look(connection)
        return None

    async def scrub(self, tenant: str) -> None:
        """Leave nothing on disk of what was deleted or overwritten.

        Raises:
            StoreUnavailableError: Somebody reads an old state just now; try again.
        """
        self._remembering.forget()
        if self.has(tenant):
            await asyncio.wrap_future(self._pool.submit(empty_journal, self._path(tenant)))

    async def delete_tenant(self, tenant: str) -> None:
        """Close a tenant's file and remove the tenant's whole directory, with whatever else lies in it."""
        file = self._open.pop(tenant, None)
        if file is not None:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(shutil.rmtree, self._path(tenant).parent, ignore_errors=True)

    def _path(self, tenant: str) -> Path:
        return tenant_directory(self._storage_dir, tenant) / _FILE


class _TenantFile:
    """One tenant's threads: the file, and LangGraph's saver bound to its connection.

    `reading` is a saver on a connection of its own, for use on the event loop. In WAL mode a reader waits for nobody,
    and reading a live window takes less time than handing the work to another thread and back. `replaying` is the same,
    and remembers what it has read.
    """

    def __init__(
        self, path: Path, *, pool: ThreadPoolExecutor, sync: Sync, serde: Any, remembering: RememberingSerializer
    ) -> None:
        def prepare(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten, not only unlinked
            self._saver = Saver(connection, serde=serde)
            self._saver.setup()

        self._database = _created(
            lambda: SqliteFile(path, schema=_SCHEMA, pool=pool, sync=sync, page_size=_PAGE_SIZE, prepare=prepare)
        )
        with ExitStack() as undo, _faults_of(path):
            undo.callback(self._database.close)
            self._reader = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            undo.pop_all()
        self.reading = Saver(self._reader, serde=serde)
        self.replaying = Saver(self._reader, serde=remembering)
        self.reading.is_setup = self.replaying.is_setup = True

    @property
    def path(self) -> Path:
        return self._database.path

    @property
    def is_replaced(self) -> bool:
        return self._database.is_replaced

    def close(self) -> None:
        self._database.close()
        self._reader.close()

    def submit(self, job: Job[T]) -> Future[T]:
        return self._database.submit(lambda _: job(self._saver))

    async def read(self, job: Job[T]) -> T:
        return await self._database.read(lambda _: job(self._saver))

    async def write(self, job: Job[T]) -> T:
        return await self._database.write(lambda _: job(self._saver))

    def run(self, job: Job[T]) -> T:
        return self._database.run(lambda _: job(self._saver))


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def _created(opened: Callable[[], SqliteFile]) -> SqliteFile:
    """Open a file that other processes may be creating just now.

    SQLite's busy handler is not called where the kind of journal changes, nor where a reader turns writer: it says at
    once that the file is locked.
    """
    deadline = time.monotonic() + _CREATION_S
    while True:
        try:
            return opened()
        except StoreUnavailableError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_CREATION_LOOK_S)


def delete_rows(saver: Saver, thread_id: str) -> None:
    """Delete all that is kept of a thread, and leave a tombstone."""
    lease.bury(saver.conn, thread_id)
    saver.delete_thread(thread_id)
    for drop in _drops:
        drop(saver.conn, thread_id)


_drops: Sequence[Callable[[sqlite3.Connection, str], object]] = (
    heads.delete,
    runs.delete,
    tool_calls.delete_tool_calls,
    archive.delete_archive,
    sessions.clear,
)
