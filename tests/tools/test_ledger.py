"""A claim says whether a call is to be run, was run, or may have been run; only the last is anybody's question."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from agentgraph.stores.threads.tool_calls import SCHEMA, Call, open_calls
from agentgraph.tools.approval import Outcome
from agentgraph.tools.ledger import ToolLedger, Wanted

THREAD = "acme/thread/t1"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Database:
    """One connection, and a note of what each transaction was guarded by."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.executescript(SCHEMA)
        self.guards: list[tuple[str, int | None]] = []

    async def guarded(self, thread_key: str, fence: int | None, job: Callable[[Any], Any]) -> Any:
        self.guards.append((thread_key, fence))
        with self.connection:
            return job(self.connection)


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.connection.close()


def ledger(database: Database, run_id: str = "r1") -> ToolLedger:
    return ToolLedger(database=database, thread_key=THREAD, run_id=run_id, fence=7, clock=lambda: NOW)


def wanted(position: int, on_unknown: Any = "tell", *, digest: str = "d") -> Wanted:
    return Wanted(call=Call(position, f"c{position}", "pay", digest), on_unknown=on_unknown)


async def test_all_calls_of_a_message_are_claimed_in_one_transaction(database: Database) -> None:
    claims = await ledger(database).claim("m1", [wanted(0), wanted(1), wanted(2, "ask")])
    assert [row.is_new for row in claims.known.values()] == [True, True, True]
    assert database.guards == [(THREAD, 7)]
    assert [call.claimed_at for call in open_calls(database.connection, THREAD)] == [NOW.isoformat()] * 3


async def test_a_result_is_found_again(database: Database) -> None:
    await ledger(database).claim("m1", [wanted(0)])
    await ledger(database).settle("m1", 0, output="paid", output_status="success")
    claims = await ledger(database, "r2").claim("m1", [wanted(0)])
    assert (claims.known[0].status, claims.known[0].output) == ("done", "paid")


async def test_a_call_that_was_cut_off_is_of_unknown_outcome(database: Database) -> None:
    await ledger(database).claim("m1", [wanted(0)])
    for _ in range(2):
        known = (await ledger(database, "r2").claim("m1", [wanted(0)])).known[0]
        assert (known.status, known.output_status) == ("unknown", "error")
        assert "must not be assumed that it was done, nor that it was not" in known.output


async def test_a_call_that_may_be_repeated_is_to_be_run(database: Database) -> None:
    await ledger(database).claim("m1", [wanted(0, "repeat")])
    assert (await ledger(database, "r2").claim("m1", [wanted(0, "repeat")])).known[0].status == "claimed"


async def test_with_other_arguments_it_would_be_no_repetition(database: Database) -> None:
    await ledger(database).claim("m1", [wanted(0, "repeat", digest="a")])
    assert (await ledger(database, "r2").claim("m1", [wanted(0, "repeat", digest="b")])).known[0].status == "unknown"


async def test_nothing_is_claimed_while_a_person_must_be_asked(database: Database) -> None:
    await ledger(database).claim("m1", [wanted(0, "ask")])
    claims = await ledger(database, "r2").claim("m1", [wanted(0, "ask"), wanted(1)])
    assert (claims.known, claims.to_ask, claims.asked) == ({}, (0,), 0)
    assert [call.position for call in open_calls(database.connection, THREAD)] == [0]


@pytest.mark.parametrize(
    ("outcome", "status", "output"),
    [
        (Outcome(outcome="done", output="Receipt 7"), "done", "Receipt 7"),
        (Outcome(outcome="done"), "done", "A person found out that this was done"),
        (Outcome(outcome="not_done"), "claimed", ""),
        (Outcome(outcome="unknown"), "unknown", "must not be assumed"),
    ],
)
async def test_what_a_person_found_out_is_acted_upon(
    database: Database, outcome: Outcome, status: str, output: str
) -> None:
    await ledger(database).claim("m1", [wanted(0, "ask")])
    claims = await ledger(database, "r2").claim("m1", [wanted(0, "ask")], outcomes={0: outcome})
    assert claims.known[0].status == status
    assert output in claims.known[0].output


async def test_a_call_cut_off_twice_is_asked_for_twice(database: Database) -> None:
    await ledger(database).claim("m1", [wanted(0, "ask")])
    await ledger(database, "r2").claim("m1", [wanted(0, "ask")], outcomes={0: Outcome(outcome="not_done")})
    claims = await ledger(database, "r3").claim("m1", [wanted(0, "ask")])
    assert (claims.to_ask, claims.asked) == ((0,), 1)
