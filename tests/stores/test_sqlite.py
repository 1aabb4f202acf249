"""One writer, group commit, and a job that fails undoes only itself."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentgraph.errors import StoreError
from agentgraph.stores.sqlite import SqliteFile

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
