"""Runs as they are noted."""

import sqlite3
from contextlib import closing

from agentgraph.stores.threads import runs


def test_a_threads_open_runs_are_found_without_reading_those_that_ended() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(runs.SCHEMA)
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        runs.ahead_of(connection, "acme/thread/t", 7)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert "runs_waiting" in str(plan)
