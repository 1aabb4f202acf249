"""The schema: migrations make what the tables say, once, and a database from the future is left alone."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from agentgraph.errors import InvalidInputError, StoreError
from agentgraph.stores.database import migrate, tables  # noqa: F401  makes the metadata whole
from agentgraph.stores.database.address import database_address
from agentgraph.stores.database.database import Database
from agentgraph.stores.database.engine import open_engine
from agentgraph.stores.database.metadata import PREFIX, VERSION_TABLE, metadata
from agentgraph.stores.database.migrate import (
    VERSIONS,
    change_version,
    downgrade_target,
    ensure_newest,
    version_of,
)


@pytest.fixture
def engine(url: str, tmp_path: Path):
    opened = open_engine(database_address(url, tmp_path))
    yield opened
    opened.dispose()


def our_tables(engine: Engine) -> set[str]:
    return {name for name in inspect(engine).get_table_names() if name.startswith(PREFIX)}


def test_migrations_make_what_the_tables_say(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (number INTEGER)"))
    ensure_newest(engine)
    options = {
        "version_table": VERSION_TABLE,
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _: kind != "table" or name.startswith(PREFIX),
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_every_table_is_named_as_ours() -> None:
    assert [name for name in metadata.tables if not name.startswith(PREFIX)] == []


def test_versions_are_one_line_without_gaps() -> None:
    assert list(VERSIONS) == [f"{number:04}" for number in range(1, len(VERSIONS) + 1)]


def test_every_version_can_be_left_again_and_come_back_to(engine: Engine) -> None:
    assert change_version(engine, VERSIONS[-1], is_upgrade=True) == (None, VERSIONS[-1])
    whole = our_tables(engine)
    for before, after in zip(reversed(VERSIONS), [*reversed(VERSIONS[:-1]), None], strict=True):
        assert change_version(engine, after, is_upgrade=False) == (before, after)
    assert our_tables(engine) == {VERSION_TABLE}
    assert change_version(engine, VERSIONS[-1], is_upgrade=True) == (None, VERSIONS[-1])
    assert our_tables(engine) == whole


def test_a_migration_that_fails_leaves_the_version_before(engine: Engine, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("half-way")

    monkeypatch.setattr("alembic.op.bulk_insert", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        ensure_newest(engine)
    assert our_tables(engine) == set()
    monkeypatch.undo()
    ensure_newest(engine)
    assert our_tables(engine) >= {f"{PREFIX}functions"}


async def test_a_database_from_the_future_is_refused_and_left_alone(database: Database, url: str, tmp_path) -> None:
    await database.write(lambda connection: connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num='9000'")))
    late = Database(url, tmp_path)
    with pytest.raises(StoreError, match="is of version 9000, and this agentgraph knows them up to") as refused:
        await late.open()
    assert refused.value.code == "database_newer"
    late.close()
    assert await database.read(version_of) == "9000"


def test_processes_that_start_together_migrate_once(url: str, tmp_path: Path) -> None:
    code = f"""
import asyncio, os, sys
from pathlib import Path
from sqlalchemy import text
from agentgraph.stores.database import address, engine, migrate
from agentgraph.stores.database.database import Database

def count(connection):
    return connection.execute(text("SELECT count(*) FROM {PREFIX}generations")).scalar()

children = []
for _ in range(6):
    child = os.fork()
    if not child:
        database = Database({url!r}, Path({str(tmp_path)!r}))
        asyncio.run(database.open())
        os.write(1, f"{{database.run(count, is_writing=False)}}\\n".encode())
        database.close()
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    counts = done.stdout.split()
    assert len(counts) == 6
    assert len(set(counts)) == 1


def test_whoever_comes_second_waits_and_finds_the_work_done(url: str, tmp_path: Path, monkeypatch) -> None:
    migrated = []

    def slowly(*given, **options) -> None:
        migrated.append(given)
        time.sleep(0.2)
        alembic(*given, **options)

    alembic = migrate._alembic
    monkeypatch.setattr(migrate, "_alembic", slowly)
    engines = [open_engine(database_address(url, tmp_path)) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(ensure_newest, engines))
    for engine in engines:
        engine.dispose()
    assert len(migrated) == 1


def test_two_databases_of_one_process_do_not_mix_their_migrations(tmp_path: Path) -> None:
    engines = [open_engine(database_address(None, tmp_path / str(number))) for number in range(6)]
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(ensure_newest, engines))
    for engine in engines:
        with engine.connect() as connection:
            assert version_of(connection) == VERSIONS[-1]
        engine.dispose()


@pytest.mark.parametrize(("asked", "found"), [("base", None), ("-1", None), ("0001", "0001")])
def test_where_a_downgrade_leads(asked: str, found: str | None) -> None:
    assert downgrade_target(asked, "0001" if found is None else "0002") == found


@pytest.mark.parametrize("asked", ["0009", "-2", "-0", "--1", "nonsense", ""])
def test_a_downgrade_to_nowhere_is_refused(asked: str) -> None:
    with pytest.raises(InvalidInputError, match="give one of base"):
        downgrade_target(asked, "0001")
