"""Every run that was accepted: noted before it begins, in the order its thread takes them, until how it ended is known.

    queued → running → finished | failed | cancelled | undone
                ↕
             waiting     for a person's answer

What is final stays; everything else is found again at the next start and brought to an end.
"""

# ruff: noqa: S608  the statements differ in their conditions only; what is put together is ours

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from agentgraph.stores.threads.sql import Connection

__all__ = [
    "SCHEMA",
    "Row",
    "Status",
    "Stop",
    "add",
    "ahead_of",
    "before",
    "by_digest",
    "by_key",
    "delete",
    "delete_one",
    "end",
    "ended_with",
    "forget_results",
    "get",
    "keep_alive",
    "newest",
    "of_thread",
    "orphans",
    "reopen",
    "request_of",
    "resumed",
    "start",
    "stop",
    "stops_for",
]

Status: TypeAlias = Literal["queued", "running", "waiting", "finished", "failed", "cancelled", "undone"]
Stop: TypeAlias = Literal["cancel", "interrupt", "rollback"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    status TEXT NOT NULL,
    process TEXT NOT NULL,
    alive_until DOUBLE PRECISION NOT NULL,
    digest TEXT NOT NULL,
    idempotency_key TEXT,
    request BLOB,
    attempts BIGINT NOT NULL DEFAULT 0,
    stop TEXT,
    parent_checkpoint_id TEXT,
    checkpoint_id TEXT,
    last_message_id TEXT,
    result TEXT,
    error TEXT,
    accepted_at TEXT NOT NULL,
    ended_at TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS runs_in_order ON runs (thread_id, position);
CREATE UNIQUE INDEX IF NOT EXISTS runs_by_key ON runs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_open ON runs (process) WHERE status IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS runs_waiting ON runs (thread_id, position) WHERE status IN ('queued', 'running');
"""

_COLUMNS: Final = (
    "run_id, thread_id, position, status, process, alive_until, digest, attempts, stop, parent_checkpoint_id,"
    " checkpoint_id, last_message_id, result, error, accepted_at, ended_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run as it is noted.

    Attributes:
        run_id: Unique.
        thread_id: Its thread.
        position: Its place among the thread's runs, from 1.
        status: How far it is.
        process: Who carries it.
        alive_until: When, on the leases' clock, its process has to have said that it still does.
        digest: Of what was asked, to know a repetition by.
        attempts: How often it was begun.
        stop: What somebody asked for who wants it ended.
        parent_checkpoint_id: Where the thread stood before it.
        checkpoint_id: Where the thread stood when it ended.
        last_message_id: The last message there.
        result: What came of it; forgotten after a while, since the thread holds it too.
        error: Why it failed: `{"type", "code", "message"}`.
        accepted_at: ISO time.
        ended_at: ISO time.
    """

    run_id: str
    thread_id: str
    position: int
    status: Status
    process: str
    alive_until: float
    digest: str
    attempts: int
    stop: Stop | None
    parent_checkpoint_id: str | None
    checkpoint_id: str | None
    last_message_id: str | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    accepted_at: str
    ended_at: str | None

    @property
    def is_open(self) -> bool:
        """Whether it has still to be carried on."""
        return self.status in {"queued", "running"}

    def is_abandoned(self, *, now: float, ttl_s: float, is_alive: Callable[[str], bool]) -> bool:
        """Say whether whoever carries it is dead, or has not been heard of for too long."""
        is_current = now < self.alive_until <= now + 2 * ttl_s
        return self.is_open and (not is_current or not is_alive(self.process))


def add(
    connection: Connection,
    *,
    run_id: str,
    thread_id: str,
    process: str,
    alive_until: float,
    digest: str,
    idempotency_key: str | None,
    request: bytes,
    user: str | None,
    accepted_at: str,
) -> int:
    """Note a new run at the end of its thread's queue and return its position."""
    row = connection.execute(
        "INSERT INTO threads (thread_id, positions, user_id, created_at, used_at) VALUES (?, 1, ?, ?, ?)"
        " ON CONFLICT (thread_id) DO UPDATE SET positions = threads.positions + 1, deleted = 0,"
        " user_id = COALESCE(threads.user_id, excluded.user_id), used_at = excluded.used_at,"
        " created_at = CASE threads.created_at WHEN '' THEN excluded.created_at ELSE threads.created_at END"
        " RETURNING positions",
        (thread_id, user, accepted_at, accepted_at),
    ).fetchone()
    position = int(row[0])
    connection.execute(
        "INSERT INTO runs (run_id, thread_id, position, status, process, alive_until, digest, idempotency_key, request,"
        " accepted_at) VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
        (run_id, thread_id, position, process, alive_until, digest, idempotency_key, request, accepted_at),
    )
    return position


def get(connection: Connection, run_id: str) -> Row | None:
    """Return one run."""
    return _first(connection.execute(f"SELECT {_COLUMNS} FROM runs WHERE run_id = ?", (run_id,)))


def by_key(connection: Connection, idempotency_key: str) -> Row | None:
    """Return the run that was asked for with a key."""
    return _first(connection.execute(f"SELECT {_COLUMNS} FROM runs WHERE idempotency_key = ?", (idempotency_key,)))


def by_digest(connection: Connection, thread_id: str, digest: str, *, among: int = 64) -> Row | None:
    """Return the newest of a thread's last runs that was asked the same."""
    newest_runs = _all(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE thread_id = ? ORDER BY position DESC LIMIT ?", (thread_id, among)
        )
    )
    return next((row for row in newest_runs if row.digest == digest), None)


def request_of(connection: Connection, run_id: str) -> bytes | None:
    """Return what was asked; `None` once the run is final."""
    row = connection.execute("SELECT request FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def ahead_of(connection: Connection, thread_id: str, position: int) -> list[Row]:
    """Return the open runs a thread takes before `position`, in order."""
    return _all(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE thread_id = ? AND position < ? AND status IN ('queued', 'running')"
            " ORDER BY position",
            (thread_id, position),
        )
    )


def before(connection: Connection, thread_id: str, position: int) -> Row | None:
    """Return the run that was accepted just before `position`."""
    return _first(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE thread_id = ? AND position < ? ORDER BY position DESC LIMIT 1",
            (thread_id, position),
        )
    )


def newest(connection: Connection, thread_id: str) -> Row | None:
    """Return the run a thread accepted last."""
    return _first(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE thread_id = ? ORDER BY position DESC LIMIT 1", (thread_id,)
        )
    )


def of_thread(connection: Connection, thread_id: str, *, limit: int) -> list[Row]:
    """Return a thread's runs, the newest first."""
    return _all(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE thread_id = ? ORDER BY position DESC LIMIT ?", (thread_id, limit)
        )
    )


def orphans(connection: Connection, *, now: float, ttl_s: float, is_alive: Callable[[str], bool]) -> list[Row]:
    """Return the open runs nobody carries any more, in the order their threads take them."""
    rows = _all(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE status IN ('queued', 'running') ORDER BY thread_id, position"
        )
    )
    return [row for row in rows if row.is_abandoned(now=now, ttl_s=ttl_s, is_alive=is_alive)]


def start(connection: Connection, run_id: str, *, process: str, alive_until: float, parent: str | None) -> None:
    """Note that `process` carries a run. Where the thread stood before it is kept from its first start."""
    connection.execute(
        "UPDATE runs SET status = 'running', process = ?, alive_until = ?, attempts = attempts + 1,"
        " parent_checkpoint_id = COALESCE(parent_checkpoint_id, ?) WHERE run_id = ?",
        (process, alive_until, parent, run_id),
    )


def reopen(connection: Connection, run_id: str, *, process: str, alive_until: float, request: bytes) -> None:
    """Queue a run anew that failed: its caller tries again."""
    connection.execute(
        "UPDATE runs SET status = 'queued', process = ?, alive_until = ?, request = ?, stop = NULL, error = NULL,"
        " ended_at = NULL WHERE run_id = ?",
        (process, alive_until, request, run_id),
    )


def end(
    connection: Connection,
    run_id: str,
    status: Status,
    *,
    ended_at: str,
    parent_checkpoint_id: str | None,
    checkpoint_id: str | None,
    last_message_id: str | None,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Note how a run ended, and drop what was asked: the thread holds it, and a retry brings it along."""
    connection.execute(
        "UPDATE runs SET status = ?, ended_at = ?, parent_checkpoint_id = ?, checkpoint_id = ?, last_message_id = ?,"
        " result = ?, error = ?,"
        " request = NULL"
        " WHERE run_id = ?",
        (
            status,
            ended_at,
            parent_checkpoint_id,
            checkpoint_id,
            last_message_id,
            None if result is None else json.dumps(result, ensure_ascii=False),
            None if error is None else json.dumps(error, ensure_ascii=False),
            run_id,
        ),
    )


def ended_with(connection: Connection, thread_id: str, message_id: str) -> Row | None:
    """Return the newest run after which a thread ended with a message, and so the place to branch off behind it."""
    return _first(
        connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE thread_id = ? AND last_message_id = ? AND checkpoint_id IS NOT NULL"
            " ORDER BY position DESC LIMIT 1",
            (thread_id, message_id),
        )
    )


def resumed(connection: Connection, thread_id: str) -> None:
    """Note that whatever a thread's runs waited for has come, or is waited for no more."""
    connection.execute("UPDATE runs SET status = 'finished' WHERE thread_id = ? AND status = 'waiting'", (thread_id,))


def stop(connection: Connection, how: Stop, run_ids: Iterable[str]) -> None:
    """Ask for runs to be ended; who carries them looks for it."""
    connection.executemany(
        "UPDATE runs SET stop = ? WHERE run_id = ? AND status IN ('queued', 'running')",
        [(how, run_id) for run_id in run_ids],
    )


def stops_for(connection: Connection, process: str) -> dict[str, Stop]:
    """Return what is asked of the runs `process` carries."""
    rows = connection.execute(
        "SELECT run_id, stop FROM runs WHERE process = ? AND status IN ('queued', 'running') AND stop IS NOT NULL",
        (process,),
    )
    return dict(rows)


def keep_alive(connection: Connection, process: str, run_ids: Iterable[str], *, alive_until: float) -> None:
    """Say that `process` still carries runs."""
    connection.executemany(
        "UPDATE runs SET alive_until = ? WHERE run_id = ? AND process = ? AND status IN ('queued', 'running')",
        [(alive_until, run_id, process) for run_id in run_ids],
    )


def forget_results(connection: Connection, thread_id: str, *, ended_before: str, keep: int) -> None:
    """Drop results nobody will ask for again, and all but the last `keep` rows of a thread."""
    connection.execute(
        "UPDATE runs SET result = NULL WHERE thread_id = ? AND result IS NOT NULL AND status <> 'waiting'"
        " AND ended_at < ?",
        (thread_id, ended_before),
    )
    connection.execute(
        "DELETE FROM runs WHERE thread_id = ? AND status NOT IN ('queued', 'running', 'waiting')"
        " AND position <= (SELECT MAX(position) FROM runs WHERE thread_id = ?) - ?",
        (thread_id, thread_id, keep),
    )


def delete_one(connection: Connection, run_id: str) -> None:
    """Drop one run that is final."""
    connection.execute(
        "DELETE FROM runs WHERE run_id = ? AND status NOT IN ('queued', 'running', 'waiting')", (run_id,)
    )


def delete(connection: Connection, thread_id: str) -> None:
    """Drop all runs of a thread."""
    connection.execute("DELETE FROM runs WHERE thread_id = ?", (thread_id,))


def _first(rows: Iterable[Sequence[Any]]) -> Row | None:
    return next((_row(row) for row in rows), None)


def _all(rows: Iterable[Sequence[Any]]) -> list[Row]:
    return [_row(row) for row in rows]


def _row(row: Sequence[Any]) -> Row:
    (run_id, thread_id, position, status, process, alive_until, digest, attempts, *rest) = row
    how, parent, checkpoint, last, result, error, accepted_at, ended_at = rest
    return Row(
        run_id=run_id,
        thread_id=thread_id,
        position=position,
        status=status,
        process=process,
        alive_until=alive_until,
        digest=digest,
        attempts=attempts,
        stop=how,
        parent_checkpoint_id=parent,
        checkpoint_id=checkpoint,
        last_message_id=last,
        result=None if result is None else json.loads(result),
        error=None if error is None else json.loads(error),
        accepted_at=accepted_at,
        ended_at=ended_at,
    )
