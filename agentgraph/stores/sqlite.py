"""One SQLite file with one writer, group commit and no thread of its own.

Everything embedded goes through `SqliteFile`, so journal mode, durability and locking are decided in one place.
What the tables are is left to the caller (`faiss.py`, `checkpoints.py`).
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from agentgraph.errors import StoreError, StoreUnavailableError

__all__ = ["BUSY_TIMEOUT_MS", "SqliteFile", "Sync", "empty_journal", "file_identity", "store_error"]

T = TypeVar("T")
Sync = Literal["full", "normal"]

BUSY_TIMEOUT_MS: Final = 10_000
_MOST_PER_COMMIT: Final = 256
_OS_CODES: Final = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
}


class SqliteFile:
    """A SQLite database whose writes are queued, run in order, and committed in groups.

    Writers that arrive while a commit is under way share the next one, so 64 concurrent turns cost a few `fsync`s and
    not 64. Each function runs in a savepoint: one that raises undoes only itself. An awaited `write` has been
    committed (with `sync="full"`: has reached the disk) when it returns.

    A write that fails is told so and leaves nothing; the same object works again once the fault is gone. It keeps its
    connection: after a failed `fsync` another would recover from the journal what the disk may not hold, and build on
    it.

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
        page_size: int | None = None,
        prepare: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Open (and create, with its directory) the file at `path`.

        Args:
            path: The database file.
            schema: SQL that is safe to run at every opening (`CREATE ... IF NOT EXISTS`).
            pool: Where the work runs; owned by the caller.
            sync: `full` survives a power cut; `normal` may lose the last commits then, never corrupt the file.
            page_size: Bytes in a page of a new file; SQLite's own choice by default.
            prepare: Further set-up on the writing connection.

        Raises:
            StoreError: The file cannot be opened or is no database.
            StoreUnavailableError: The disk is full, or somebody holds the file.
        """
        self.path = path
        self._pool = pool
        self._jobs: deque[_Job] = deque()
        self._guard = threading.Lock()
        self._idle = threading.Condition(self._guard)
        self._draining = False
        self._closed = False
        with ExitStack() as undo:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
                undo.callback(connection.close)
                connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
                if page_size is not None:
                    connection.execute(f"PRAGMA page_size={page_size}")
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={sync.upper()}")
                connection.execute("PRAGMA foreign_keys=ON")
                connection.executescript(schema)
                if prepare is not None:
                    prepare(connection)
            except (sqlite3.Error, OSError) as error:
                raise store_error(error, path) from error
            undo.pop_all()
        self._connection = connection
        self._identity = file_identity(path)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job(connection)` in a transaction and return its result once it is committed.

        Raises:
            StoreError: SQLite refused; nothing of `job` was kept.
            StoreUnavailableError: So it did, and may not the next time: the disk is full, the file locked or replaced.
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
            try:
                if not self._draining:
                    self._pool.submit(self._drain)
            except RuntimeError as error:
                raise StoreError(
                    f"the threads of the database {self.path.name!r} have ended", code="store_closed"
                ) from error
            self._draining = True
        return future

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or running, so that `close` returns at once."""
        with self._guard:
            return not self._draining

    @property
    def is_replaced(self) -> bool:
        """Whether the file was deleted, or is another by now, behind our back: what is written is lost."""
        return file_identity(self.path) != self._identity

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
            # Nobody can cancel from here on: the future of a job that is committed has to say so.
            self._commit([job for job in group if job.future.set_running_or_notify_cancel()])

    def _commit(self, group: Sequence[_Job]) -> None:
        """Run a group in one transaction; nobody is told of success before the commit."""
        try:
            outcomes = self._outcomes(group)
            if self.is_replaced and any(job.writes for job in group):
                raise StoreUnavailableError(f"the database {self.path.name!r} was deleted or replaced; try again")
        except BaseException as error:  # noqa: BLE001  whatever it was, somebody waits for each of the futures
            self._undo(error)
            outcomes = [_Outcome(job.future, None, store_error(error, self.path)) for job in group]
        for future, result, failure in outcomes:
            if failure is None:
                future.set_result(result)
            elif isinstance(failure, sqlite3.Error | StopIteration):  # the latter cannot pass through an awaited future
                future.set_exception(store_error(failure, self.path))
            else:
                future.set_exception(failure)

    def _outcomes(self, group: Sequence[_Job]) -> list[_Outcome]:
        connection = self._connection
        outcomes: list[_Outcome] = []
        # A transaction that starts by reading cannot wait for another process's write lock later: ask first.
        connection.execute("BEGIN IMMEDIATE" if any(job.writes for job in group) else "BEGIN")
        for function, future, _ in group:
            connection.execute("SAVEPOINT job")
            try:
                outcomes.append(_Outcome(future, function(connection), None))
            except BaseException as error:
                if not connection.in_transaction:  # SQLite itself has undone all the group did, as on a full disk
                    raise
                connection.execute("ROLLBACK TO job")
                outcomes.append(_Outcome(future, None, error))
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
        return outcomes

    def _undo(self, error: BaseException) -> None:
        connection = self._connection
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if _code(error) != sqlite3.SQLITE_IOERR:
            return
        # What could not be synced lies complete in the journal until the next commit overwrites it: after a crash it
        # would count as committed, though its writers were told otherwise.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout=0")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with suppress(sqlite3.Error):
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


class _Job(NamedTuple):
    function: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    writes: bool


class _Outcome(NamedTuple):
    future: Future[Any]
    result: Any
    failure: BaseException | None


def file_identity(path: Path) -> tuple[int, int] | None:
    """Say which file is at `path`, `None` if there is none. No other has the same while this one is held open."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def store_error(error: BaseException, path: Path) -> StoreError:
    """Return what SQLite or the disk said about the database at `path` as an error of ours, `error` its cause."""
    name = f"the database {path.name!r}"
    translated: StoreError
    match _code(error):
        case sqlite3.SQLITE_FULL:
            translated = StoreUnavailableError(f"{name} cannot grow, the disk is full: free some space ({error})")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            translated = StoreUnavailableError(f"{name} is in use by another process: try again ({error})")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            translated = StoreError(f"{name} is read-only: let this user write to it and its directory ({error})")
        case sqlite3.SQLITE_CANTOPEN:
            translated = StoreError(f"{name} cannot be opened: look at its directory and who may write there ({error})")
        case sqlite3.SQLITE_IOERR:
            translated = StoreError(f"{name} cannot be read or written: look at the disk's health and quota ({error})")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            translated = StoreError(f"{name} is damaged: put a backup in its place ({error})", code="store_damaged")
        case _ if isinstance(error, StoreError):
            translated = type(error)(error.message, code=error.code)
        case _:
            said = error if isinstance(error, sqlite3.Error | OSError) else type(error).__name__
            translated = StoreError(f"{name} refused: {said}")
    translated.__cause__ = error
    return translated


def _code(error: BaseException) -> int:
    """Return SQLite's primary code for `error`, 0 where it has none."""
    if isinstance(error, OSError):
        return _OS_CODES.get(error.errno or 0, 0)
    code = getattr(error, "sqlite_errorcode", 0)
    # Extending the memory that processes share is what fails first on a full disk.
    return sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR_SHMSIZE else code & 0xFF


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
        raise store_error(error, path) from error
    if is_busy:
        raise StoreUnavailableError(f"the database {path.name!r} is being read; its journal stays for now")
