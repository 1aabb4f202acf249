"""One writer, group commit, and a job that fails undoes only itself."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from agentgraph.errors import StoreError, StoreUnavailableError
from agentgraph.stores.sqlite import BUSY_TIMEOUT_MS, SqliteFile

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def insert(number: int):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (number,)).rowcount


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


async def test_an_awaited_write_is_on_disk(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "a" / "x.db", schema=SCHEMA, pool=pool)
    await file.write(insert(1))
    with sqlite3.connect(tmp_path / "a" / "x.db") as other:
        assert numbers(other) == [1]
    other.close()
    file.close()


async def test_concurrent_writes_share_commits_and_all_arrive(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    commits: list[str] = []
    await file.write(lambda c: c.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None))
    await asyncio.gather(*(file.write(insert(n)) for n in range(200)))
    assert await file.read(numbers) == list(range(200))
    assert len(commits) < 100
    await file.write(lambda c: c.set_trace_callback(None))
    file.close()


async def test_a_job_that_fails_undoes_only_itself(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (50)")
        raise ValueError("no")

    results = await asyncio.gather(
        file.write(insert(1)), file.write(half), file.write(insert(1)), file.write(insert(2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [int, ValueError, StoreError, int]
    assert await file.read(numbers) == [1, 2]
    file.close()


async def test_a_cancelled_caller_leaves_no_torn_write(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    task = asyncio.create_task(file.write(insert(7)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await file.read(numbers) == [7]
    file.close()


async def test_two_processes_may_write_one_file(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    one = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    two = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    await asyncio.gather(*((one if n % 2 else two).write(insert(n)) for n in range(100)))
    assert await one.read(numbers) == list(range(100))
    one.close()
    two.close()


async def test_closing_finishes_what_is_queued_and_refuses_more(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    futures = [file.submit(insert(n)) for n in range(50)]
    await asyncio.to_thread(file.close)
    assert all(future.done() for future in futures)
    with pytest.raises(StoreError, match="closed"):
        file.submit(insert(99))


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"x\.db"):
        SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)


def test_a_file_that_cannot_be_opened_is_not_held(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    opened: list[sqlite3.Connection] = []

    def refuse(connection: sqlite3.Connection) -> None:
        opened.append(connection)
        raise sqlite3.OperationalError("no")

    with pytest.raises(StoreError, match="refused: no"):
        SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool, prepare=refuse)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
    gc.collect()


async def held(file: SqliteFile, *jobs: object) -> list[object]:
    """Run `jobs` as one group: they are queued while another runs."""
    running, queued = threading.Event(), threading.Event()
    first = file.submit(lambda _: (running.set(), queued.wait(10)), writes=False)
    assert running.wait(10)
    futures = [asyncio.wrap_future(file.submit(job)) for job in jobs]
    queued.set()
    results = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 30)
    assert first.result()
    return results


def roll_back(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)")


def roll_back_unnoticed(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        roll_back(connection)


def roll_back_and_say_otherwise(connection: sqlite3.Connection) -> None:
    roll_back_unnoticed(connection)
    raise ValueError("no")


@pytest.mark.parametrize("job", [roll_back, roll_back_unnoticed, roll_back_and_say_otherwise])
async def test_no_job_is_acknowledged_when_sqlite_undoes_the_whole_group(
    tmp_path: Path, pool: ThreadPoolExecutor, job: object
) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    await file.write(insert(1))
    results = await held(file, insert(2), job, insert(3))
    assert [type(result) for result in results] == [StoreError] * 3
    assert len({id(result) for result in results}) == 3
    if job is roll_back:
        assert "UNIQUE constraint failed" in str(results[0])
    assert await file.read(numbers) == [1]
    assert await file.write(insert(4)) == 1
    file.close()


def test_a_failing_disk_leaves_the_patience_for_locks_as_it_was(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    file.run(insert(1))

    def fail(connection: sqlite3.Connection) -> None:
        roll_back_unnoticed(connection)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with pytest.raises(StoreError, match="health"):
        file.run(fail)
    assert file.run(lambda c: c.execute("PRAGMA busy_timeout").fetchall()) == [(BUSY_TIMEOUT_MS,)]
    file.close()


async def test_a_commit_that_is_refused_leaves_no_transaction_open(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    schema = f"{SCHEMA}; CREATE TABLE r (n REFERENCES t DEFERRABLE INITIALLY DEFERRED)"
    file = SqliteFile(tmp_path / "x.db", schema=schema, pool=pool)
    results = await held(file, insert(1), lambda c: c.execute("INSERT INTO r VALUES (99)").rowcount)
    assert [type(result) for result in results] == [StoreError] * 2
    assert await file.write(insert(2)) == 1
    assert await file.read(numbers) == [2]
    file.close()


async def test_a_full_file_refuses_until_there_is_room(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema="CREATE TABLE IF NOT EXISTS t (n)", pool=pool)
    await file.write(insert(1))
    await file.write(lambda c: c.execute("PRAGMA max_page_count=4").fetchall())
    large = "x" * 100_000
    results = await held(file, insert(2), insert(large), insert(3))
    assert [type(result) for result in results] == [StoreUnavailableError] * 3  # SQLite undoes all of it
    assert all("the disk is full" in str(result) for result in results)
    await file.write(lambda c: c.execute("PRAGMA max_page_count=1000").fetchall())
    assert await file.write(insert(large)) == 1
    assert await file.read(numbers) == [1, large]
    file.close()


async def test_a_lock_held_too_long_is_said_and_the_write_may_be_repeated(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    await file.write(lambda c: c.execute("PRAGMA busy_timeout=20").fetchall())
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match=r"x\.db.* in use by another process"):
            await file.write(insert(1))
        assert await file.read(numbers) == []
        other.execute("ROLLBACK")
    assert await file.write(insert(1)) == 1
    file.close()


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_a_job_raises_reaches_its_caller_alone(
    tmp_path: Path, pool: ThreadPoolExecutor, error: type[BaseException]
) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (50)")
        raise error

    with pytest.raises(error):
        file.run(fail)
    assert file.run(insert(1)) == 1
    assert file.run(numbers) == [1]
    file.close()


async def test_a_job_that_runs_out_of_something_to_iterate_leaves_nobody_waiting(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    with pytest.raises(StoreError, match="StopIteration"):
        await asyncio.wait_for(file.write(lambda _: next(iter(()))), 10)
    file.close()


async def test_a_future_cancelled_before_its_turn_is_passed_over(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    running, queued = threading.Event(), threading.Event()
    file.submit(lambda _: (running.set(), queued.wait(10)))
    assert running.wait(10)
    cancelled, kept = file.submit(insert(1)), file.submit(insert(2))
    assert cancelled.cancel()
    queued.set()
    assert await asyncio.wait_for(asyncio.wrap_future(kept), 10) == 1
    assert await file.read(numbers) == [2]
    file.close()


def test_a_job_that_is_running_cannot_be_cancelled(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    running, go = threading.Event(), threading.Event()
    future = file.submit(lambda connection: (running.set(), go.wait(10), insert(1)(connection)))
    assert running.wait(10)
    assert not future.cancel()
    go.set()
    future.result(10)
    file.close()


def test_threads_that_have_ended_are_said_and_closing_does_not_wait_for_them(tmp_path: Path) -> None:
    pool = ThreadPoolExecutor(1)
    file = SqliteFile(tmp_path / "x.db", schema=SCHEMA, pool=pool)
    pool.shutdown()
    for _ in range(2):
        with pytest.raises(StoreError, match="have ended"):
            file.submit(insert(1))
    assert file.is_idle
    file.close()


@pytest.mark.parametrize("another", [True, False])
def test_a_write_to_a_file_that_is_gone_is_not_acknowledged(
    tmp_path: Path, pool: ThreadPoolExecutor, another: bool
) -> None:
    path = tmp_path / "x.db"
    file = SqliteFile(path, schema=SCHEMA, pool=pool)
    assert file.run(insert(1)) == 1
    assert not file.is_replaced
    path.unlink()
    if another:
        path.touch()
    assert file.is_replaced
    with pytest.raises(StoreUnavailableError, match="deleted or replaced"):
        file.run(insert(2))
    assert file.submit(numbers, writes=False).result(10) == [1, 2]  # whoever still reads may finish
    file.close()
