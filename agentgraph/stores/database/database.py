"""The one database of what belongs to the deployment and not to one tenant's files: functions, servers, keys, usage.

SQLAlchemy is imported by the first job, on its thread: it takes a third of a second, and not every agent keeps records.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from agentgraph.errors import StoreError, StoreUnavailableError
from agentgraph.scope import system_directory
from agentgraph.stores.sqlite import Sync

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["RECORDS_FILE", "Database", "Job"]

T = TypeVar("T")
Job = Callable[["Connection"], T]
"""Work in the database: the connection is inside a transaction."""

RECORDS_FILE: Final = "records.db"
"""The file's name, where no `database_url` names another place."""

_THREADS: Final = 4
_TIMEOUT_S: Final = 30.0


class Database:
    """Runs jobs, each in a transaction of its own. Opened, and brought up to date, by the first of them.

    Jobs run on threads of this database alone, so that a PostgreSQL that hangs holds up nobody else.

    Args:
        url: As the setting `database_url` has it.
        storage_dir: Where the file is, without a URL.
        sync: For SQLite: `full` survives a power cut.
        timeout_s: How long a caller waits for a job.
    """

    def __init__(
        self, url: str | None, storage_dir: Path, *, sync: Sync = "full", timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._url = url
        self._storage_dir = storage_dir
        self._sync = sync
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="agentgraph-records")
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._engine: Engine | None = None
        self._looking: sqlite3.Connection | None = None
        self._is_closed = False

    @property
    def exists(self) -> bool:
        """Whether there is one already, as far as a look at the disk can tell; opening makes one."""
        return self._url is not None or (system_directory(self._storage_dir) / RECORDS_FILE).exists()

    async def open(self) -> None:
        """Open the database now, and not with the first job.

        Raises:
            ConfigurationError: `database_url` is none of a database we know, or its driver is not installed.
            StoreError: It cannot be opened, or a newer agentgraph has been here.
            StoreUnavailableError: It cannot be reached.
        """
        await self._on_a_thread(lambda _: None, is_writing=False)

    async def write(self, job: Job[T]) -> T:
        """Run a job in a transaction and return once it is committed.

        Raises:
            StoreError: The database refused; nothing of the job is kept.
            StoreUnavailableError: It cannot be reached, or did not answer in time: then nobody knows.
        """
        return await self._on_a_thread(job, is_writing=True)

    async def read(self, job: Job[T]) -> T:
        """Run a job that only reads.

        Raises:
            StoreError: The database refused.
            StoreUnavailableError: It cannot be reached, or did not answer in time.
        """
        return await self._on_a_thread(job, is_writing=False)

    def run(self, job: Job[T], *, is_writing: bool) -> T:
        """Do what `write` or `read` does, blocking the calling thread. Never call it on an event loop."""
        engine = self._opened()
        # SQLite lets whoever waits for its lock sleep between looks: within the process they queue.
        turn = self._writing if is_writing and engine.dialect.name == "sqlite" else nullcontext()
        with (
            _faults_of(engine),
            turn,
            engine.connect().execution_options(agentgraph_writing=is_writing) as connection,
            connection.begin(),
        ):
            return job(connection)

    async def of_tenant(self, tenant: str, *, is_dry_run: bool) -> dict[str, int]:
        """Remove every record of a tenant, or only count them; return how many there were, by table.

        Raises:
            StoreError: The database refused; nothing is removed.
            StoreUnavailableError: It cannot be reached.
        """
        if not self.exists:
            return {}

        def job(connection: Connection) -> dict[str, int]:
            from agentgraph.stores.database.tenants import count_tenant, remove_tenant

            return count_tenant(connection, tenant) if is_dry_run else remove_tenant(connection, tenant)

        if is_dry_run:
            return await self.read(job)
        removed = await self.write(job)
        await self.scrub()
        return removed

    async def scrub(self) -> None:
        """Have what was deleted leave SQLite's log as well, which keeps pages as they were until it begins anew.

        Raises:
            StoreUnavailableError: It cannot be reached, or did not answer in time.
        """

        def truncate() -> None:
            engine = self._opened()
            if engine.dialect.name == "sqlite":  # within a transaction it would wait for itself
                with _faults_of(engine), self._writing, closing(engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

        await self._in_time(truncate)

    def mark(self) -> int | None:
        """Return a number that changes whenever any connection commits to the database; takes microseconds.

        `None` where that is not to be had for so little: on PostgreSQL, and before the first job.
        """
        if self._looking is None:
            return None
        with suppress(sqlite3.Error):
            found: int = self._looking.execute("PRAGMA data_version").fetchone()[0]
            return found
        return None

    def close(self) -> None:
        """Finish the jobs under way and close every connection."""
        self._pool.shutdown()
        with self._guard:
            self._is_closed = True
            engine, self._engine = self._engine, None
            looking, self._looking = self._looking, None
        if looking is not None:
            looking.close()
        if engine is not None:
            engine.dispose()

    async def _on_a_thread(self, job: Job[T], *, is_writing: bool) -> T:
        return await self._in_time(lambda: self.run(job, is_writing=is_writing))

    async def _in_time(self, run: Callable[[], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, run)
        except RuntimeError as error:
            raise _closed() from error
        try:
            # Shielded: a thread cannot be stopped, and a caller that leaves must not lose the job's outcome for others.
            return await asyncio.wait_for(asyncio.shield(running), self._timeout_s)
        except TimeoutError as error:
            running.cancel()  # what has not begun never does: behind a server that hung the living come first
            raise StoreUnavailableError(
                f"the records database did not answer within {self._timeout_s:g} s; try again"
            ) from error

    def _opened(self) -> Engine:
        with self._guard:
            if self._is_closed:
                raise _closed()
            if self._engine is None:
                self._engine = self._open_engine()
            return self._engine

    def _open_engine(self) -> Engine:
        from agentgraph.stores.database.address import database_address
        from agentgraph.stores.database.engine import open_engine
        from agentgraph.stores.database.migrate import ensure_newest

        engine = open_engine(database_address(self._url, self._storage_dir), sync=self._sync)
        try:
            with _faults_of(engine):
                ensure_newest(engine)
                self._looking = _second_look(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine


@contextmanager
def _faults_of(engine: Engine) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    from agentgraph.stores.database.faults import database_fault

    try:
        yield
    except SQLAlchemyError as error:
        raise database_fault(error, engine.url) from error


def _second_look(engine: Engine) -> sqlite3.Connection | None:
    """Open a connection for `PRAGMA data_version`, which tells of every commit but its own connection's."""
    if engine.dialect.name != "sqlite":
        return None
    path = Path(engine.url.database or "")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)


def _closed() -> StoreError:
    return StoreError("the records database is closed", code="store_closed")
