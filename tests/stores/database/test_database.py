"""One database for the deployment: opened by the first job, refused when newer, heard of when others write."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from agentgraph.errors import ConfigurationError, StoreError, StoreUnavailableError
from agentgraph.stores.database.database import Database
from agentgraph.stores.database.tables import functions
from agentgraph.stores.database.tables.generations import advance, generation


def row(name: str) -> dict:
    return {"tenant": "", "name": name, "latest": 1, "is_enabled": True, "is_deleted": False}


async def names(database: Database) -> list[str]:
    return await database.read(lambda connection: list(connection.execute(select(functions.c.name)).scalars()))


async def test_what_is_written_is_there_for_whoever_opens_next(database: Database, url: str, tmp_path: Path) -> None:
    await database.write(lambda connection: connection.execute(insert(functions), row("add")))
    other = Database(url, tmp_path)
    assert await names(other) == ["add"]
    other.close()


async def test_a_job_that_fails_leaves_nothing(database: Database) -> None:
    def job(connection):
        connection.execute(insert(functions), row("add"))
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await database.write(job)
    assert await names(database) == []


async def test_what_the_database_refuses_is_told_without_values(database: Database) -> None:
    await database.write(lambda connection: connection.execute(insert(functions), row("secret")))
    with pytest.raises(StoreError) as refused:
        await database.write(lambda connection: connection.execute(insert(functions), row("secret")))
    assert "secret" not in refused.value.message


async def test_writers_of_a_subject_take_turns(database: Database) -> None:
    def job(connection):
        advance(connection, "functions")
        before = generation(connection, "functions")
        time.sleep(0.01)
        return before

    seen = await asyncio.gather(*(database.write(job) for _ in range(12)))
    assert sorted(seen) == list(range(1, 13))


async def test_a_mark_moves_with_every_commit_of_anyone(tmp_path: Path) -> None:
    ours, theirs = Database(None, tmp_path), Database(None, tmp_path)
    assert ours.mark() is None
    await ours.open()
    await theirs.open()
    before = ours.mark()
    assert before is not None
    assert ours.mark() == before
    await theirs.write(lambda connection: advance(connection, "functions"))
    after = ours.mark()
    assert after != before
    await ours.write(lambda connection: advance(connection, "functions"))
    assert ours.mark() != after
    ours.close()
    theirs.close()
    assert ours.mark() is None


async def test_the_file_survives_a_power_cut_and_waits_for_others(tmp_path: Path) -> None:
    database = Database(None, tmp_path)

    def pragmas(connection):
        return [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "secure_delete")
        ]

    assert await database.read(pragmas) == ["wal", 2, 10_000, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == [".system"]
    database.close()


async def test_a_database_that_hangs_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    database = Database(None, tmp_path, timeout_s=0.05)
    await asyncio.to_thread(database.run, lambda _: None, is_writing=False)
    with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.05 s"):
        await database.read(lambda _: time.sleep(0.3))
    database.close()


async def test_a_caller_that_leaves_does_not_undo_the_job(database: Database) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def job(connection):
        begun.set()
        go_on.wait(5)
        connection.execute(insert(functions), row("add"))
        done.set()

    task = asyncio.create_task(database.write(job))
    assert await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(done.wait, 5)
    await database.write(lambda connection: advance(connection, "functions"))  # in its turn, after the commit
    assert await names(database) == ["add"]


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = Database(None, tmp_path)
    database.close()
    with pytest.raises(StoreError) as refused:
        await database.open()
    assert refused.value.code == "store_closed"


async def test_a_file_that_is_no_database_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_bytes(b"not a database, whatever it is called" * 200)
    database = Database(f"sqlite:///{tmp_path}/file.db", tmp_path)
    with pytest.raises(StoreError) as refused:
        await database.open()
    assert refused.value.code == "store_damaged"
    database.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "is no URL"),
        ("postgresql://user:hunter2@host:no-port/x", "is no URL"),
        ("mysql://user:hunter2@host/x", "begins with 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
async def test_a_url_of_nothing_we_know_is_refused_without_its_password(url: str, said: str, tmp_path: Path) -> None:
    database = Database(url, tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        await database.open()
    assert said in refused.value.message
    assert "hunter2" not in refused.value.message
    database.close()


async def test_a_server_that_is_not_there_can_be_tried_again(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL is installed")
    database = Database("postgres://user:hunter2@127.0.0.1:1/x", tmp_path)
    with pytest.raises(StoreUnavailableError) as refused:
        await database.open()
    assert "'127.0.0.1' cannot be reached" in refused.value.message
    assert "hunter2" not in refused.value.message
    database.close()


def test_an_application_without_records_pays_for_none(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from agentgraph import AgentGraph
from agentgraph.testing import ScriptedChatModel
async def main():
    async with AgentGraph(chat_model=ScriptedChatModel(script=["Hello."]), storage_dir={str(tmp_path)!r}) as app:
        await app.run("Hello?", tenant="acme")
asyncio.run(main())
print([name for name in ("sqlalchemy", "alembic") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / ".system").exists()


async def test_a_job_that_waited_too_long_to_begin_never_does(tmp_path: Path) -> None:
    database, freed, ran = Database(None, tmp_path), threading.Event(), threading.Event()
    await database.open()
    database._timeout_s = 0.2
    hanging = [asyncio.ensure_future(database.read(lambda _: freed.wait(30))) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError):
        await database.read(lambda _: ran.set())
    await asyncio.gather(*hanging, return_exceptions=True)
    freed.set()
    await asyncio.to_thread(database.close)
    assert not ran.is_set()
