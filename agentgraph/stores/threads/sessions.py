"""Sessions: threads that end. Each is open until it has not been used for its time, and is then ended once.

    open → ending → ended
            told: `on_session_end` has returned, and the session's thread is gone in the same transaction

A session that is being ended takes no more runs. Whoever claims it sees it to its end; a claim passes on only when the
claimant's process is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from agentgraph.stores.threads.sql import Connection
from agentgraph.stores.threads.steady_clock import Moment

__all__ = [
    "SCHEMA",
    "Due",
    "Row",
    "State",
    "bytes_of",
    "claim",
    "clear",
    "due",
    "end",
    "get",
    "has_open_runs",
    "listed",
    "measured",
    "measured_memory",
    "tell",
    "touch",
    "turns_of",
    "use",
]

State: TypeAlias = Literal["open", "ending", "ended"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    thread_id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    used_at TEXT NOT NULL,
    clock TEXT NOT NULL,
    used_s DOUBLE PRECISION NOT NULL,
    process TEXT,
    claimed_s DOUBLE PRECISION,
    told BIGINT NOT NULL DEFAULT 0,
    messages BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0,
    memory_bytes BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS sessions_by_use ON sessions (state, used_s);
"""
_COLUMNS: Final = (
    "thread_id, key, state, opened_at, used_at, clock, used_s, process, told, messages, bytes, memory_bytes"
)
_MOST_AT_ONCE: Final = 256
_LONGEST_CLAIM_S: Final = 3_600.0  # where it cannot be known whether a process is alive
_ENDED_KEPT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One session as it is noted.

    Attributes:
        thread_id: Its thread.
        key: Its own name: another session under the same id has another.
        state: How far it is.
        opened_at: ISO time.
        used_at: ISO time of its last use.
        used: The same, on the clock that tells when it is over.
        process: Who ends it.
        is_told: Whether `on_session_end` has been called for it, and has returned.
        messages: How many it keeps word for word, as of its last run.
        bytes: What its thread takes on disk, as of its last run.
        memory_bytes: What its memories take, as of when they were measured last.
    """

    thread_id: str
    key: str
    state: State
    opened_at: str
    used_at: str
    used: Moment
    process: str | None
    is_told: bool
    messages: int
    bytes: int
    memory_bytes: int

    def age_s(self, now: Moment) -> float:
        """Return how long it has not been used. What another clock timed counts as used just now."""
        return max(0.0, now.seconds - self.used.seconds) if self.used.clock == now.clock else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What there is to do for a tenant's sessions.

    Attributes:
        thread_ids: Sessions that may be over, or whose end somebody left unfinished.
        rest_s: For how long there will be nothing else to do.
    """

    thread_ids: Sequence[str]
    rest_s: float


def use(connection: Connection, thread_id: str, *, key: str, now: Moment, at: str, ttl_s: float) -> bool:
    """Begin a session, or note that it is used; `False`, and nothing noted, where it has to be ended first."""
    row = get(connection, thread_id)
    if row is not None and row.state != "ended":
        if row.state == "ending" or _is_over(connection, row, now, ttl_s):
            return False
        touch(connection, thread_id, now=now, at=at)
        return True
    connection.execute(
        "INSERT INTO sessions (thread_id, key, state, opened_at, used_at, clock, used_s)"
        " VALUES (?, ?, 'open', ?, ?, ?, ?)"
        " ON CONFLICT (thread_id) DO UPDATE SET key = excluded.key, state = 'open', opened_at = excluded.opened_at,"
        " used_at = excluded.used_at, clock = excluded.clock, used_s = excluded.used_s, process = NULL,"
        " claimed_s = NULL, told = 0, messages = 0, bytes = 0, memory_bytes = 0",
        (thread_id, key, at, at, now.clock, now.seconds),
    )
    return True


def touch(connection: Connection, thread_id: str, *, now: Moment, at: str) -> None:
    """Note that an open session is used."""
    connection.execute(
        "UPDATE sessions SET used_at = ?, clock = ?, used_s = ? WHERE thread_id = ? AND state = 'open'",
        (at, now.clock, now.seconds, thread_id),
    )


def get(connection: Connection, thread_id: str) -> Row | None:
    """Return one session."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM sessions WHERE thread_id = ?",  # noqa: S608
        (thread_id,),
    ).fetchone()
    return None if row is None else _row(row)


def listed(connection: Connection) -> list[Row]:
    """Return the sessions that are open or being ended, the last used first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM sessions WHERE state <> 'ended' ORDER BY used_s DESC, thread_id"  # noqa: S608
    )
    return [_row(row) for row in rows]


def has_open_runs(connection: Connection, thread_id: str) -> bool:
    """Say whether a run is under way on a session's thread, or waits for its turn."""
    found = connection.execute(
        "SELECT 1 FROM runs WHERE thread_id = ? AND status IN ('queued', 'running') LIMIT 1", (thread_id,)
    ).fetchone()
    return found is not None


# Ending


def due(connection: Connection, *, now: Moment, ttl_s: float, process: str, is_alive: Callable[[str], bool]) -> Due:
    """Return what there is to do for a tenant's sessions now, and when to look again; reads only."""
    over = connection.execute(
        "SELECT thread_id FROM sessions WHERE state = 'open' AND (used_s <= ? OR clock <> ?) ORDER BY used_s LIMIT ?",
        (now.seconds - ttl_s, now.clock, _MOST_AT_ONCE),
    ).fetchall()
    ending = connection.execute("SELECT thread_id, process FROM sessions WHERE state = 'ending'").fetchall()
    left = [thread_id for thread_id, claimant in ending if claimant == process or not is_alive(claimant)]
    (first,) = connection.execute(
        "SELECT MIN(used_s) FROM sessions WHERE state = 'open' AND clock = ?", (now.clock,)
    ).fetchone()
    # Whatever begins from now on lasts for its whole time.
    rest_s = ttl_s if first is None else min(ttl_s, max(0.0, first + ttl_s - now.seconds))
    return Due(thread_ids=[*(row[0] for row in over), *left], rest_s=0.0 if over or ending else rest_s)


def claim(
    connection: Connection,
    thread_id: str,
    *,
    process: str,
    is_alive: Callable[[str], bool],
    now: Moment,
    ttl_s: float | None,
) -> Row | None:
    """Take it on to end a session that is over, or whose claimant is dead; `None` where there is nothing to take on.

    Args:
        connection: Inside a transaction.
        thread_id: Which session.
        process: Who takes it on; a claim of its own it takes up again.
        is_alive: Tells whether another process is.
        now: The present moment.
        ttl_s: How long a session lasts unused; `None` ends one however young, even with a run under way.
    """
    row = get(connection, thread_id)
    if row is None or row.state == "ended":
        return None
    if row.state == "open":
        if row.used.clock != now.clock:
            touch(connection, thread_id, now=now, at=row.used_at)  # from now on it is timed by this one
        if ttl_s is not None and not _is_over(connection, row, now, ttl_s):
            return None
    elif row.process not in {None, process} and is_alive(str(row.process)):
        (since,) = connection.execute("SELECT claimed_s FROM sessions WHERE thread_id = ?", (thread_id,)).fetchone()
        if now.clock != row.used.clock or now.seconds - since < _LONGEST_CLAIM_S:
            return None
    connection.execute(
        "UPDATE sessions SET state = 'ending', process = ?, claimed_s = ? WHERE thread_id = ?",
        (process, now.seconds, thread_id),
    )
    return get(connection, thread_id)


def tell(connection: Connection, thread_id: str, key: str) -> None:
    """Note that the end of a session has been told; its thread goes in the same transaction."""
    connection.execute("UPDATE sessions SET told = 1 WHERE thread_id = ? AND key = ?", (thread_id, key))


def end(connection: Connection, thread_id: str, key: str, *, now: Moment) -> None:
    """Note that nothing of a session is left, and drop the notes on those that ended long ago."""
    connection.execute(
        "UPDATE sessions SET state = 'ended', process = NULL, clock = ?, used_s = ? WHERE thread_id = ? AND key = ?",
        (now.clock, now.seconds, thread_id, key),
    )
    connection.execute(
        "DELETE FROM sessions WHERE state = 'ended' AND (clock <> ? OR used_s < ?)",
        (now.clock, now.seconds - _ENDED_KEPT_S),
    )


def clear(connection: Connection, thread_id: str) -> None:
    """Note that a session's thread was deleted. It stays open: its memories go when its time is over."""
    connection.execute("UPDATE sessions SET messages = 0, bytes = 0 WHERE thread_id = ?", (thread_id,))


# Measuring


def bytes_of(connection: Connection, thread_id: str) -> int:
    """Return how many bytes a thread's checkpoints, writes and archive take."""
    (size,) = connection.execute(
        "SELECT (SELECT COALESCE(SUM(LENGTH(checkpoint) + LENGTH(metadata)), 0) FROM checkpoints WHERE thread_id = ?)"
        " + (SELECT COALESCE(SUM(LENGTH(value)), 0) FROM writes WHERE thread_id = ?)"
        " + (SELECT COALESCE(SUM(LENGTH(message)), 0) FROM archive WHERE thread_id = ?)",
        (thread_id, thread_id, thread_id),
    ).fetchone()
    return int(size)


def turns_of(connection: Connection, thread_id: str) -> int:
    """Return how many runs a thread has accepted."""
    row = connection.execute("SELECT positions FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
    return 0 if row is None else int(row[0])


def measured(connection: Connection, thread_id: str, *, live: int | None) -> None:
    """Note what a session keeps; `live` is the number of messages in its window, `None` where it is not known."""
    connection.execute(
        "UPDATE sessions SET bytes = ? WHERE thread_id = ?", (bytes_of(connection, thread_id), thread_id)
    )
    if live is not None:
        connection.execute(
            "UPDATE sessions SET messages = ? + (SELECT COUNT(*) FROM archive WHERE thread_id = ?) WHERE thread_id = ?",
            (live, thread_id, thread_id),
        )


def measured_memory(connection: Connection, thread_id: str, size: int) -> None:
    """Note how many bytes a session's memories take."""
    connection.execute("UPDATE sessions SET memory_bytes = ? WHERE thread_id = ?", (size, thread_id))


def _is_over(connection: Connection, row: Row, now: Moment, ttl_s: float) -> bool:
    return row.age_s(now) >= ttl_s and not has_open_runs(connection, row.thread_id)


def _row(row: Sequence[Any]) -> Row:
    thread_id, key, state, opened_at, used_at, clock, used_s, process, told, messages, size, memory_size = row
    return Row(
        thread_id=thread_id,
        key=key,
        state=state,
        opened_at=opened_at,
        used_at=used_at,
        used=Moment(clock, used_s),
        process=process,
        is_told=bool(told),
        messages=messages,
        bytes=size,
        memory_bytes=memory_size,
    )
