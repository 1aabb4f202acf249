"""The one database of what belongs to the deployment and not to one tenant's files: functions, servers, keys, usage."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from agentgraph.errors import StoreError, StoreUnavailableError
from agentgraph.stores.database.engine import WRITING, open_engine
from agentgraph.stores.database.migrate import ensure_newest
from agentgraph.stores.sqlite import Sync, store_error

__all__ = ["Database", "Job"]

T = TypeVar("T")
Job = Callable[[Connection], T]
"""Work in the database: the connection is inside a transaction."""

_THREADS: Final = 4
_TIMEOUT_S: Final = 30.0


class Database:
    """Runs jobs, each in a transaction of its own. Opened, and brought up to date, by the first of them.

    Jobs run on threads of this database alone, so that a PostgreSQL that hangs holds up nobody else.

    Args:
        address: As `database_address` reads it.
        sync: For SQLite: `full` survives a power cut.
        timeout_s: How long a caller waits for a job.
    """

    def __init__(self, address: URL, *, sync: Sync = "full", timeout_s: float = _TIMEOUT_S) -> None:
        self._address = address
        self._sync = sync
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="agentgraph-records")
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._engine: Engine | None = None
        self._looking: sqlite3.Connection | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Open the database now, and not with the first job.

        Raises:
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
        try:
            engine = self._opened()
            # SQLite lets whoever waits for its lock sleep between looks: within the process they queue.
            turn = self._writing if is_writing and engine.dialect.name == "sqlite" else nullcontext()
            with turn, engine.connect().execution_options(**{WRITING: is_writing}) as connection, connection.begin():
                return job(connection)
        except SQLAlchemyError as error:
            raise self._translated(error) from error

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
        def run() -> T:
            return self.run(job, is_writing=is_writing)

        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, run)
        except RuntimeError as error:
            raise _closed() from error
        try:
            # Shielded: a thread cannot be stopped, and a caller that leaves must not lose the job's outcome for others.
            return await asyncio.wait_for(asyncio.shield(running), self._timeout_s)
        except TimeoutError as error:
            running.add_done_callback(_forgotten)
            raise StoreUnavailableError(
                f"the records database did not answer within {self._timeout_s:g} s; try again"
            ) from error

    def _opened(self) -> Engine:
        with self._guard:
            if self._is_closed:
                raise _closed()
            if self._engine is None:
                engine = open_engine(self._address, sync=self._sync)
                try:
                    ensure_newest(engine)
                    self._looking = _second_look(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _translated(self, error: SQLAlchemyError) -> StoreError:
        if not isinstance(error, DBAPIError):
            if isinstance(error, PoolTimeoutError):
                return StoreUnavailableError("the records database has no connection to spare; try again")
            return StoreError(f"the records database was misused: {type(error).__name__}")
        if isinstance(error.orig, sqlite3.Error):
            return store_error(error.orig, Path(self._address.database or ""))
        # SQLAlchemy's own text quotes the statement with its values: what the server says of itself is enough.
        said = type(error.orig).__name__
        if isinstance(error, OperationalError) or error.connection_invalidated:
            return StoreUnavailableError(f"the records database at {self._address.host} cannot be reached ({said})")
        return StoreError(f"the records database refused: {said}")


def _second_look(engine: Engine) -> sqlite3.Connection | None:
    """Open a connection for `PRAGMA data_version`, which tells of every commit but its own connection's."""
    if engine.dialect.name != "sqlite":
        return None
    path = Path(engine.url.database or "")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)


def _closed() -> StoreError:
    return StoreError("the records database is closed", code="store_closed")


def _forgotten(job: asyncio.Future[T]) -> None:
    if not job.cancelled():
        job.exception()  # retrieved, so that nobody is told of an error nobody waits for
