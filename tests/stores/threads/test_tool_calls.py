"""Calls of tools are claimed once, settled, found again, and do not pile up."""

import sqlite3
from collections.abc import Iterator

import pytest

from agentgraph.stores.threads.tool_calls import (
    SCHEMA,
    Call,
    OpenCall,
    claim,
    claim_again,
    claims_of,
    delete_tool_calls,
    open_calls,
    settle,
)

THREAD = "acme/thread/t1"
PAY, MAIL = Call(0, "c0", "pay", "d0"), Call(1, "c0", "mail", "d1")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def claimed(connection: sqlite3.Connection, *calls: Call, thread: str = THREAD, message: str = "m1") -> list[bool]:
    known = claim(connection, thread, message, calls, run_id="r1", claimed_at="2026-03-02T12:00:00+00:00")
    return [known[call.position].is_new for call in calls]


def test_a_call_is_claimed_once(connection: sqlite3.Connection) -> None:
    assert claimed(connection, PAY) == [True]
    assert claimed(connection, PAY, MAIL) == [False, True]


def test_calls_of_one_id_are_told_apart_by_their_place(connection: sqlite3.Connection) -> None:
    claimed(connection, PAY, MAIL)
    settle(connection, THREAD, "m1", 1, output="sent", output_status="success")
    known = claims_of(connection, THREAD, "m1")
    assert [(row.status, row.output) for row in known.values()] == [("claimed", ""), ("done", "sent")]


def test_what_was_begun_and_not_ended_is_open(connection: sqlite3.Connection) -> None:
    claimed(connection, PAY, MAIL)
    settle(connection, THREAD, "m1", 0, output="?", output_status="error", status="unknown")
    assert open_calls(connection, THREAD) == [OpenCall("m1", 1, "c0", "mail", "2026-03-02T12:00:00+00:00", "r1")]


def test_a_call_begun_anew_says_how_often_it_was_asked_for(connection: sqlite3.Connection) -> None:
    claimed(connection, PAY)
    again = PAY._replace(arguments_digest="d2")
    claim_again(connection, THREAD, "m1", again, asked=1, run_id="r2", claimed_at="2026-03-02T13:00:00+00:00")
    known = claims_of(connection, THREAD, "m1")[0]
    assert (known.status, known.arguments_digest, known.asked) == ("claimed", "d2", 1)
    assert open_calls(connection, THREAD)[0].run_id == "r2"


def test_a_long_thread_keeps_the_calls_of_one_message(connection: sqlite3.Connection) -> None:
    claimed(connection, PAY, thread="acme/thread/t2")
    for turn in range(50):
        claimed(connection, PAY, MAIL, message=f"m{turn}")
    assert connection.execute("SELECT COUNT(*) FROM tool_calls WHERE thread_id = ?", (THREAD,)).fetchone() == (2,)
    assert len(open_calls(connection, "acme/thread/t2")) == 1


def test_a_deleted_thread_has_no_calls(connection: sqlite3.Connection) -> None:
    claimed(connection, PAY)
    claimed(connection, PAY, thread="acme/thread/t2")
    delete_tool_calls(connection, THREAD)
    assert open_calls(connection, THREAD) == []
    assert len(open_calls(connection, "acme/thread/t2")) == 1
