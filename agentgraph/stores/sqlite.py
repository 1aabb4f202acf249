"""One SQLite file with one writer, group commit and no thread of its own.

Everything embedded goes through `SqliteFile`, so journal mode, durability and locking are decided in one place.
What the tables are is left to the caller (`faiss.py`, `checkpoints.py`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from agentgraph.errors import StoreError, StoreUnavailableError

__all__ = ["BUSY_TIMEOUT_MS", "SqliteFile", "Sync", "empty_journal"]

T = TypeVar("T")
Sync = Literal["full", "normal"]

BUSY_TIMEOUT_MS: Final = 10_000
_MOST_PER_COMMIT: Final = 256


class SqliteFile:
    """A SQLite database whose writes are queued, run in order, and committed in groups.

    Writers that arrive while a commit is under way share the next one, so 64 concurrent turns cost a few `fsync`s and
    not 64. Each function runs in a savepoint: one that raises undoes only itself. An awaited `write` has been
    committed (with `sync="full"`: has reached the disk) when it returns.

    Work runs on a pool shared by all files, at most one job per file at a time: a thousand open tenants need no
    thousand threads.
    """

    def __init__(
        self,
        path: Path,
        *,
        schema: str,
        pool: ThreadPoolExecutor,
        sync: Sync = "full",
        prepare: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Open (and create, with its directory) the file at `path`.

        Args:
            path: The database file.
            schema: SQL that is safe to run at every opening (`CREATE ... IF NOT EXISTS`).
            pool: Where the work runs; owned by the caller.
            sync: `full` survives a power cut; `normal` may lose the last commits then, never corrupt the file.
            prepare: Further set-up on the writing connection.

        Raises:
            StoreError: The file cannot be opened or is no database.
        """
        self.path = path
        self._pool = pool
        self._jobs: deque[_Job] = deque()
        self._guard = threading.Lock()
        self._idle = threading.Condition(self._guard)
        self._draining = False
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA synchronous={sync.upper()}")
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._connection.executescript(schema)
            if prepare is not None:
                prepare(self._connection)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot open the database {path.name!r}: {error}") from error

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job(connection)` in a transaction and return its result once it is committed.

        Raises:
            StoreError: SQLite refused; nothing of `job` was kept.
        """
        # Shielded: a cancelled caller must not tear a half-written group apart; the job itself still completes.
        return await asyncio.shield(asyncio.wrap_future(self.submit(job)))

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job(connection)`, which only reads. It sees every write queued before it.

        Reads share the writer's connection and queue: they take microseconds, and order is worth more.
        """
        return await asyncio.shield(asyncio.wrap_future(self.submit(job, writes=False)))

    def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do what `write` does, blocking the calling thread. Never call it on an event loop."""
        return self.submit(job).result()

    def submit(self, job: Callable[[sqlite3.Connection], T], *, writes: bool = True) -> Future[T]:
        """Queue `job` and return its future.

        Raises:
            StoreError: The file was closed.
        """
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                raise StoreError(f"the database {self.path.name!r} is closed", code="store_closed")
            self._jobs.append(_Job(job, future, writes))
            if self._draining:
                return future
            self._draining = True
        self._pool.submit(self._drain)
        return future

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or running, so that `close` returns at once."""
        with self._guard:
            return not self._draining

    def close(self) -> None:
        """Finish what is queued and close the file."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._draining)
        self._connection.close()

    def _drain(self) -> None:
        while True:
            with self._guard:
                group = [self._jobs.popleft() for _ in range(min(len(self._jobs), _MOST_PER_COMMIT))]
                if not group:
                    self._draining = False
                    self._idle.notify_all()
                    return
            self._commit(group)

    def _commit(self, group: list[_Job]) -> None:
        """Run a group in one transaction; nobody is told of success before the commit."""
        connection = self._connection
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            # A transaction that starts by reading cannot wait for another process's write lock later: ask first.
            connection.execute("BEGIN IMMEDIATE" if any(job.writes for job in group) else "BEGIN")
            for function, future, _ in group:
                connection.execute("SAVEPOINT job")
                try:
                    result = function(connection)
                except BaseException as error:  # noqa: BLE001  handed to the caller through its future
                    connection.execute("ROLLBACK TO job")
                    outcomes.append((future, None, error))
                else:
                    outcomes.append((future, result, None))
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for _, future, _ in group:
                future.set_exception(_translated(error, self.path))
            return
        for future, result, failure in outcomes:
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(_translated(failure, self.path) if isinstance(failure, sqlite3.Error) else failure)


class _Job(NamedTuple):
    function: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    writes: bool


def _translated(error: sqlite3.Error, path: Path) -> StoreError:
    busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
    translated = (StoreUnavailableError if busy else StoreError)(f"the database {path.name!r} refused: {error}")
    translated.__cause__ = error
    return translated


def empty_journal(path: Path) -> None:
    """Move the journal's pages into the database file and cut it to nothing: it holds earlier states of the pages.

    Raises:
        StoreError: SQLite refused.
        StoreUnavailableError: Somebody reads an earlier state just now.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            ((is_busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise StoreError(f"the database {path.name!r} refused: {error}") from error
    if is_busy:
        raise StoreUnavailableError(f"the database {path.name!r} is being read; its journal stays for now")
