"""The notes on sessions, and the clock they are timed by."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from agentgraph.stores.threads import lease, runs, sessions, steady_clock
from agentgraph.stores.threads.steady_clock import GivenClock, Moment, SteadyClock
from agentgraph.testing import FrozenClock

TTL_S = 100.0
THREAD = "acme/session/one"
CHECKPOINTS = """
CREATE TABLE checkpoints (thread_id TEXT, checkpoint BLOB, metadata BLOB);
CREATE TABLE writes (thread_id TEXT, value BLOB);
CREATE TABLE archive (thread_id TEXT, message BLOB);
"""


class Machine:
    """A machine whose clocks are moved by hand."""

    def __init__(self) -> None:
        self.wall, self.up, self.boot = 1_000_000.0, 50.0, "boot-1"

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.up += seconds

    def reboots(self, *, down_s: float, wall_step_s: float = 0.0, boot: str = "boot-2") -> None:
        self.wall += down_s + wall_step_s
        self.up, self.boot = 0.0, boot

    def clock(self) -> SteadyClock:
        """Return the clock of a process that begins now."""
        return SteadyClock(wall=lambda: self.wall, uptime=lambda: self.up, boot=lambda: self.boot)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        for schema in (lease.SCHEMA, runs.SCHEMA, steady_clock.SCHEMA, sessions.SCHEMA, CHECKPOINTS):
            opened.executescript(schema)
        yield opened


def use(connection: sqlite3.Connection, now: Moment, *, thread_id: str = THREAD, key: str = "key-1") -> bool:
    return sessions.use(connection, thread_id, key=key, now=now, at="2026-03-02T12:00:00+00:00", ttl_s=TTL_S)


def claim(connection: sqlite3.Connection, now: Moment, process: str = "p1", **options: Any) -> sessions.Row | None:
    options = {"is_alive": lambda process: True, "ttl_s": TTL_S} | options
    return sessions.claim(connection, THREAD, process=process, now=now, **options)


def due(connection: sqlite3.Connection, now: Moment, process: str = "p1", *, alive: bool = True) -> sessions.Due:
    return sessions.due(connection, now=now, ttl_s=TTL_S, process=process, is_alive=lambda process: alive)


def add_run(connection: sqlite3.Connection) -> None:
    runs.add(
        connection,
        run_id="run-1",
        thread_id=THREAD,
        process="p1",
        alive_until=0.0,
        digest="",
        idempotency_key=None,
        request=b"",
        user=None,
        accepted_at="",
    )


# The clock


@pytest.mark.parametrize("step_s", [-3_600.0, 86_400.0])
def test_setting_the_wall_clock_changes_nothing(
    connection: sqlite3.Connection, machine: Machine, step_s: float
) -> None:
    first = machine.clock()
    first.keep(connection)
    machine.passes(10)
    machine.wall += step_s
    assert first.now(connection).seconds == pytest.approx(10)
    first.keep(connection)
    machine.wall += step_s
    machine.passes(5)
    assert machine.clock().now(connection).seconds == pytest.approx(15)  # another process of the same boot


def test_time_between_two_boots_counts_by_the_wall_clock(connection: sqlite3.Connection, machine: Machine) -> None:
    machine.clock().keep(connection)
    machine.passes(10)
    machine.reboots(down_s=30)
    machine.passes(5)
    clock = machine.clock()
    assert clock.keep(connection).seconds == pytest.approx(45)
    machine.passes(1)
    assert clock.now(connection).seconds == pytest.approx(46)


def test_a_clock_set_back_while_the_machine_was_off_takes_no_time_away(
    connection: sqlite3.Connection, machine: Machine
) -> None:
    machine.passes(60)
    machine.clock().keep(connection)
    machine.reboots(down_s=30, wall_step_s=-3_600)
    assert machine.clock().now(connection).seconds == 0


def test_boots_without_names_are_told_apart_by_their_uptime(connection: sqlite3.Connection, machine: Machine) -> None:
    machine.boot = ""
    machine.clock().keep(connection)
    machine.reboots(down_s=30, boot="")
    machine.passes(5)
    assert machine.clock().now(connection).seconds == pytest.approx(35)


def test_reading_the_clock_writes_nothing(connection: sqlite3.Connection, machine: Machine) -> None:
    clock = machine.clock()
    clock.now(connection)
    assert connection.execute("SELECT COUNT(*) FROM steady_clock").fetchone() == (0,)


def test_a_given_clock_is_the_time(connection: sqlite3.Connection) -> None:
    frozen = FrozenClock(datetime(2026, 3, 2, tzinfo=UTC))
    assert GivenClock(frozen).keep(connection) == Moment("given", frozen().timestamp())


# Use


def test_use_refreshes_and_never_revives(connection: sqlite3.Connection) -> None:
    assert use(connection, Moment("steady", 0))
    assert use(connection, Moment("steady", 99), key="key-2")
    assert use(connection, Moment("steady", 198), key="key-3")
    row = sessions.get(connection, THREAD)
    assert row is not None
    assert row.key == "key-1"
    assert not use(connection, Moment("steady", 298))
    row = sessions.get(connection, THREAD)
    assert row is not None
    assert row.used.seconds == 198


def test_a_session_that_is_being_ended_takes_nobody_in(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    assert claim(connection, Moment("steady", 1), ttl_s=None) is not None
    assert not use(connection, Moment("steady", 2))
    sessions.end(connection, THREAD, "key-1", now=Moment("steady", 3))
    assert use(connection, Moment("steady", 4), key="key-2")
    row = sessions.get(connection, THREAD)
    assert row is not None
    assert (row.key, row.state, row.is_told, row.process) == ("key-2", "open", False, None)


def test_a_moment_of_another_clock_ends_nothing(connection: sqlite3.Connection) -> None:
    use(connection, Moment("given", 0))
    now = Moment("steady", 5_000)
    assert due(connection, now).thread_ids == [THREAD]
    assert claim(connection, now) is None
    assert claim(connection, Moment("steady", 5_099)) is None  # timed by this clock from then on
    assert claim(connection, Moment("steady", 5_100)) is not None


# Ending


def test_one_process_claims_a_session_and_a_dead_ones_claim_passes_on(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    over = Moment("steady", TTL_S)
    assert claim(connection, Moment("steady", 99.9)) is None
    assert claim(connection, over, "p1") is not None
    assert claim(connection, over, "p2") is None
    assert claim(connection, over, "p1") is not None  # its own it takes up again
    row = claim(connection, over, "p2", is_alive=lambda process: False)
    assert row is not None
    assert (row.key, row.process) == ("key-1", "p2")
    sessions.end(connection, THREAD, "key-1", now=over)
    assert claim(connection, over, ttl_s=None) is None


def test_a_claim_nobody_can_vouch_for_passes_on_after_an_hour(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    claim(connection, Moment("steady", 200), "p1")
    assert claim(connection, Moment("steady", 200 + 3_599), "p2") is None
    assert claim(connection, Moment("steady", 200 + 3_600), "p2") is not None


def test_a_run_under_way_keeps_a_session_from_being_claimed(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    add_run(connection)
    over = Moment("steady", 2 * TTL_S)
    assert claim(connection, over) is None
    assert use(connection, over)
    assert claim(connection, Moment("steady", 5 * TTL_S), ttl_s=None) is not None


def test_an_end_told_of_one_session_is_not_another_ones(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    sessions.tell(connection, THREAD, "key-0")
    sessions.end(connection, THREAD, "key-0", now=Moment("steady", 1))
    row = sessions.get(connection, THREAD)
    assert row is not None
    assert (row.state, row.is_told) == ("open", False)


def test_what_is_due_and_how_long_there_is_nothing_to_do(connection: sqlite3.Connection) -> None:
    assert due(connection, Moment("steady", 0)).rest_s == TTL_S
    use(connection, Moment("steady", 10))
    use(connection, Moment("steady", 40), thread_id="acme/session/two")
    assert due(connection, Moment("steady", 50)) == sessions.Due(thread_ids=[], rest_s=60)
    found = due(connection, Moment("steady", 110))
    assert (found.thread_ids, found.rest_s) == ([THREAD], 0)
    claim(connection, Moment("steady", 110), "p1")
    assert due(connection, Moment("steady", 111), "p2") == sessions.Due(thread_ids=[], rest_s=0)
    assert due(connection, Moment("steady", 111), "p2", alive=False).thread_ids == [THREAD]
    sessions.end(connection, THREAD, "key-1", now=Moment("steady", 112))
    assert due(connection, Moment("steady", 112)) == sessions.Due(thread_ids=[], rest_s=28)
    assert due(connection, Moment("steady", -50)).rest_s == TTL_S  # what begins now may end before what is there


def test_notes_on_ended_sessions_do_not_pile_up(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    claim(connection, Moment("steady", 1), ttl_s=None)
    sessions.end(connection, THREAD, "key-1", now=Moment("steady", 1))
    use(connection, Moment("steady", 2), thread_id="acme/session/two")
    sessions.end(connection, "acme/session/two", "key-1", now=Moment("steady", 90_000))
    assert sessions.get(connection, THREAD) is None
    assert sessions.listed(connection) == []


# Measuring


def test_a_session_is_measured_by_its_rows(connection: sqlite3.Connection) -> None:
    use(connection, Moment("steady", 0))
    connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (THREAD, b"12345", b"123"))
    connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", ("acme/session/two", b"12345", b"123"))
    connection.execute("INSERT INTO writes VALUES (?, ?)", (THREAD, b"12"))
    connection.executemany("INSERT INTO archive VALUES (?, ?)", [(THREAD, b"1"), (THREAD, b"1234")])
    sessions.measured(connection, THREAD, live=4)
    sessions.measured_memory(connection, THREAD, 7)
    row = sessions.get(connection, THREAD)
    assert row is not None
    assert (row.messages, row.bytes, row.memory_bytes) == (6, 15, 7)
    sessions.measured(connection, THREAD, live=None)
    row = sessions.get(connection, THREAD)
    assert row is not None
    assert row.messages == 6
