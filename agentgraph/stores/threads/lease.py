"""Who may write to a thread: one holder at a time, told from earlier ones by a number that only grows.

A lease alone loses turns: a holder that stands still past its lease (a paused machine, a long collection) comes back
and writes over its successor's. So every write carries the fence its holder was given, and is checked against the
thread's in the write's own transaction.

Times are on a clock that all processes of the database share and that nobody sets: the machine's uptime for SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from agentgraph.errors import LeaseLostError, ThreadBusyError
from agentgraph.stores.threads.sql import Connection

__all__ = [
    "SCHEMA",
    "Lease",
    "acquire",
    "begin",
    "begun_by",
    "bury",
    "check",
    "is_free",
    "lift",
    "listed",
    "release",
    "renew",
    "user_of",
]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS threads (
    thread_id TEXT PRIMARY KEY,
    fence BIGINT NOT NULL DEFAULT 0,
    holder TEXT,
    expires_at DOUBLE PRECISION NOT NULL DEFAULT 0,
    deleted BIGINT NOT NULL DEFAULT 0,
    positions BIGINT NOT NULL DEFAULT 0,
    user_id TEXT,
    created_at TEXT NOT NULL DEFAULT '',
    used_at TEXT NOT NULL DEFAULT ''
);
"""


class Lease(NamedTuple):
    """A thread held: every write names its fence."""

    thread_id: str
    fence: int


def acquire(
    connection: Connection,
    thread_id: str,
    *,
    holder: str,
    now: float,
    ttl_s: float,
    is_alive: Callable[[str], bool],
) -> Lease | None:
    """Take a thread that nobody holds, or whose holder is dead or late; return `None` where somebody has it."""
    if not is_free(connection, thread_id, now=now, ttl_s=ttl_s, is_alive=is_alive):
        return None
    row = connection.execute(
        "INSERT INTO threads (thread_id, fence, holder, expires_at) VALUES (?, 1, ?, ?)"
        " ON CONFLICT (thread_id) DO UPDATE SET fence = threads.fence + 1, holder = excluded.holder,"
        " expires_at = excluded.expires_at RETURNING fence",
        (thread_id, holder, now + ttl_s),
    ).fetchone()
    return Lease(thread_id, int(row[0]))


def is_free(
    connection: Connection, thread_id: str, *, now: float, ttl_s: float, is_alive: Callable[[str], bool]
) -> bool:
    """Say whether nobody alive holds a thread."""
    row = connection.execute("SELECT holder, expires_at FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
    if row is None or row[0] is None:
        return True
    # An end further off than any lease lasts was written before the machine was started anew.
    is_current = now < row[1] <= now + 2 * ttl_s
    return not is_current or not is_alive(row[0])


def renew(connection: Connection, leases: Iterable[Lease], *, now: float, ttl_s: float) -> None:
    """Prolong leases; a thread that was taken from its holder has another fence by now."""
    connection.executemany(
        "UPDATE threads SET expires_at = ? WHERE thread_id = ? AND fence = ? AND holder IS NOT NULL",
        [(now + ttl_s, held.thread_id, held.fence) for held in leases],
    )


def release(connection: Connection, lease: Lease) -> None:
    """Let go of a thread, if it is still held."""
    connection.execute(
        "UPDATE threads SET holder = NULL WHERE thread_id = ? AND fence = ?", (lease.thread_id, lease.fence)
    )


def check(
    connection: Connection,
    thread_id: str,
    fence: int | None,
    *,
    now: float,
    ttl_s: float,
    is_alive: Callable[[str], bool],
) -> None:
    """Refuse a write that comes too late, or past a holder.

    Args:
        connection: Inside the transaction of the write.
        thread_id: Where it goes.
        fence: The writer's; `None` for somebody who holds no lease, as a graph that is invoked directly.
        now: On the leases' clock.
        ttl_s: How long a lease lasts.
        is_alive: Tells whether a holder is.

    Raises:
        LeaseLostError: Somebody else has the thread by now, or it was deleted.
        ThreadBusyError: The writer holds no lease and somebody does.
    """
    row = connection.execute("SELECT fence, deleted FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
    if fence is not None:
        if row is None or row[0] != fence or row[1]:
            raise LeaseLostError(f"the thread {thread_id!r} is in other hands by now, or was deleted: nothing written")
        return
    if row is None:
        return
    if row[1]:
        raise LeaseLostError(
            f"the thread {thread_id!r} was deleted: begin it anew with AgentGraph.run, or take another id",
            code="thread_deleted",
        )
    if not is_free(connection, thread_id, now=now, ttl_s=ttl_s, is_alive=is_alive):
        raise ThreadBusyError(f"a run is under way on the thread {thread_id!r}")


def bury(connection: Connection, thread_id: str) -> None:
    """Mark a thread as deleted, so that a run still under way writes nothing more to it."""
    connection.execute(
        "INSERT INTO threads (thread_id, fence, deleted) VALUES (?, 1, 1) ON CONFLICT (thread_id) DO UPDATE"
        " SET fence = threads.fence + 1, holder = NULL, deleted = 1, user_id = NULL, created_at = '', used_at = ''",
        (thread_id,),
    )


def lift(connection: Connection, thread_id: str) -> None:
    """Let a deleted thread's id be used for a new one. Its fence goes on growing: writers of the old one stay out."""
    connection.execute("UPDATE threads SET deleted = 0 WHERE thread_id = ? AND deleted = 1", (thread_id,))


def begin(connection: Connection, thread_id: str, *, user: str | None, at: str) -> None:
    """Note that a thread exists which no run has begun; one that a run began by now stays as it is."""
    connection.execute(
        "UPDATE threads SET created_at = ?, used_at = ?, user_id = ?, deleted = 0"
        " WHERE thread_id = ? AND created_at = ''",
        (at, at, user, thread_id),
    )


def user_of(connection: Connection, thread_id: str) -> str | None:
    """Return whose a thread is: who began it."""
    row = connection.execute("SELECT user_id FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
    return None if row is None else row[0]


def begun_by(connection: Connection, thread_id: str) -> tuple[str | None] | None:
    """Return who began a thread, in a tuple of one; `None` where there is no such thread."""
    found: tuple[str | None] | None = connection.execute(
        "SELECT user_id FROM threads WHERE thread_id = ? AND deleted = 0 AND created_at <> ''", (thread_id,)
    ).fetchone()
    return None if found is None else (found[0],)


def listed(
    connection: Connection, *, user: str | None, limit: int, offset: int, thread_id: str | None = None
) -> list[tuple[Any, ...]]:
    """Return `(thread_id, user, runs accepted, created_at, used_at)` of threads, the last used first; or of one."""
    return connection.execute(
        "SELECT thread_id, user_id, positions, created_at, used_at FROM threads"
        " WHERE deleted = 0 AND created_at <> '' AND (CAST(? AS TEXT) IS NULL OR user_id = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR thread_id = ?)"
        " ORDER BY used_at DESC, thread_id LIMIT ? OFFSET ?",
        (user, user, thread_id, thread_id, limit, offset),
    ).fetchall()
