"""Records in memory: as new as the database, and still there when it is gone."""

import asyncio
import threading
from pathlib import Path

import pytest

from agentgraph.errors import StoreError
from agentgraph.stores.database.database import Database
from agentgraph.stores.database.snapshot import Snapshot
from agentgraph.stores.database.tables.generations import advance, generation


class Counting:
    """Loads the generation, and counts how often."""

    def __init__(self) -> None:
        self.loads = 0

    def __call__(self, connection) -> int:
        self.loads += 1
        return generation(connection, "functions")


async def test_others_changes_are_seen_and_nothing_is_read_without_them(url: str, tmp_path: Path) -> None:
    ours, theirs, load, now = Database(url, tmp_path), Database(url, tmp_path), Counting(), [0.0]
    snapshot = Snapshot(ours, "functions", load, look_s=1.0, clock=lambda: now[0])
    first = await snapshot.get()
    for _ in range(5):
        now[0] += 2.0
        assert await snapshot.get() == first
    assert load.loads == 1
    await theirs.write(lambda connection: advance(connection, "functions"))
    now[0] += 2.0
    assert await snapshot.get() == first + 1
    assert load.loads == 2
    ours.close()
    theirs.close()


async def test_in_a_file_others_changes_are_seen_at_once(tmp_path: Path) -> None:
    ours, theirs = Database(None, tmp_path), Database(None, tmp_path)
    snapshot = Snapshot(ours, "functions", Counting(), clock=lambda: 0.0)
    first = await snapshot.get()
    for more in range(1, 4):
        await theirs.write(lambda connection: advance(connection, "functions"))
        assert await snapshot.get() == first + more
    ours.close()
    theirs.close()


async def test_ones_own_changes_are_seen_at_once(database: Database) -> None:
    snapshot = Snapshot(database, "functions", Counting(), clock=lambda: 0.0)
    first = await snapshot.get()
    await database.write(lambda connection: advance(connection, "functions"))
    snapshot.stale()
    assert await snapshot.get() == first + 1


async def test_a_database_that_fails_does_not_take_what_is_known(url: str, tmp_path: Path, caplog) -> None:
    database, now = Database(url, tmp_path), [0.0]
    snapshot = Snapshot(database, "functions", Counting(), clock=lambda: now[0])
    first = await snapshot.get()
    database.close()
    now[0] += 2.0
    assert await snapshot.get() == first
    assert "records of functions may be old" in caplog.text
    with pytest.raises(StoreError):
        await Snapshot(database, "functions", Counting()).get()


async def test_a_database_that_hangs_holds_nobody_up_who_knows_something(tmp_path: Path, caplog) -> None:
    ours, theirs, freed, now = Database(None, tmp_path), Database(None, tmp_path), threading.Event(), [0.0]
    snapshot = Snapshot(ours, "functions", Counting(), patience_s=0.1, clock=lambda: now[0])
    first = await snapshot.get()
    hanging = [asyncio.ensure_future(ours.read(lambda _: freed.wait(30))) for _ in range(4)]
    await theirs.write(lambda connection: advance(connection, "functions"))
    try:
        assert await asyncio.wait_for(snapshot.get(), 10) == first
        assert "records of functions may be old" in caplog.text
    finally:
        freed.set()
        await asyncio.gather(*hanging)
    now[0] += 2.0
    assert await snapshot.get() == first + 1
    ours.close()
    theirs.close()
