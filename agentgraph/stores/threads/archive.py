"""The archive of a thread: messages that have left its live window, each knowing which message stood before it.

A row names its predecessor and not its place, so the branches of a thread share what they have in common: reading
walks back from the newest archived message of one branch and meets no message of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice, takewhile
from typing import Any, Final, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.base import SerializerProtocol

from agentgraph.stores.threads.sql import Connection

__all__ = [
    "SCHEMA",
    "Archived",
    "archived",
    "bytes_in",
    "copy_archive",
    "delete_archive",
    "file_archived",
    "keep_newest",
]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS archive (
    thread_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    previous TEXT,
    type TEXT NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (thread_id, message_id)
);
"""
# Ids first and messages at the end: the walk itself then carries no message.
_WALK: Final = """
WITH RECURSIVE walk (message_id, previous, depth) AS (
    SELECT message_id, previous, 1 FROM archive WHERE thread_id = ? AND message_id = ?
    UNION ALL
    SELECT older.message_id, older.previous, walk.depth + 1
    FROM walk JOIN archive older ON older.thread_id = ? AND older.message_id = walk.previous
    WHERE walk.depth < ?
)
SELECT archive.message_id, archive.previous, archive.type, archive.message
FROM walk JOIN archive ON archive.thread_id = ? AND archive.message_id = walk.message_id
ORDER BY walk.depth
"""
_SIZES: Final = """
WITH RECURSIVE walk (message_id, previous, size, depth) AS (
    SELECT message_id, previous, LENGTH(message), 1 FROM archive WHERE thread_id = ? AND message_id = ?
    UNION ALL
    SELECT older.message_id, older.previous, LENGTH(older.message), walk.depth + 1
    FROM walk JOIN archive older ON older.thread_id = ? AND older.message_id = walk.previous
)
SELECT message_id, size FROM walk ORDER BY depth
"""
_STRIDE: Final = 500  # rows a statement fetches: a page costs a page, and the whole of a long thread no huge result


class Archived(TypedDict):
    """A message that leaves the live window.

    Attributes:
        previous: The id of the message that stood before it in the conversation; `None` for the first.
        message: The message, with its id.
    """

    previous: str | None
    message: BaseMessage


def file_archived(connection: Connection, thread_id: str, rows: Iterable[Archived], serde: SerializerProtocol) -> None:
    """Keep messages. What is filed already stays as it is: a repeated commit files nothing twice."""
    connection.executemany(
        "INSERT INTO archive (thread_id, message_id, previous, type, message) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (thread_id, message_id) DO NOTHING",
        [(thread_id, str(row["message"].id), row["previous"], *serde.dumps_typed(row["message"])) for row in rows],
    )


def archived(
    connection: Connection,
    thread_id: str,
    tail: str | None,
    serde: SerializerProtocol,
    *,
    stop_at: AbstractSet[str] = frozenset(),
    limit: int | None = None,
    before: str | None = None,
) -> list[BaseMessage]:
    """Return what one branch of a thread has archived, oldest first.

    Args:
        connection: Where the archive is.
        thread_id: The thread.
        tail: The branch's newest archived message (`archive_tail` in its state); `None` where it archived nothing.
        serde: Read with what wrote.
        stop_at: Ids of the branch's live messages; another branch may have archived them.
        limit: Return no more than this many, the newest.
        before: Return only what stands before this archived message: the first one of the page after it.
    """
    rows = _walk_back(connection, thread_id, tail, limit)
    if before is not None:
        row = connection.execute(
            "SELECT previous FROM archive WHERE thread_id = ? AND message_id = ?", (thread_id, before)
        ).fetchone()
        rows = _walk_back(connection, thread_id, row and row[0], limit)
    page = list(islice(takewhile(lambda row: row[0] not in stop_at, rows), limit))
    return [serde.loads_typed((kind, bytes(message))) for _, _, kind, message in reversed(page)]


def delete_archive(connection: Connection, thread_id: str) -> int:
    """Delete a thread's archive and return how many messages it held."""
    return connection.execute("DELETE FROM archive WHERE thread_id = ?", (thread_id,)).rowcount


def keep_newest(
    connection: Connection, thread_id: str, tail: str | None, *, most: int, max_bytes: int | None = None
) -> int:
    """Drop all but the newest messages one branch has archived, other branches' too, and return how many went.

    Args:
        connection: Inside a transaction.
        thread_id: The thread.
        tail: The branch's newest archived message.
        most: How many stay.
        max_bytes: How many bytes stay; `None` for any number.
    """
    kept: set[str] = set()
    room = max_bytes
    for message_id, size in connection.execute(_SIZES, (thread_id, tail, thread_id)).fetchall()[:most]:
        if room is not None:
            room -= size
            if room < 0:
                break
        kept.add(message_id)
    rows = connection.execute("SELECT message_id FROM archive WHERE thread_id = ?", (thread_id,)).fetchall()
    gone = [(thread_id, message_id) for (message_id,) in rows if message_id not in kept]
    connection.executemany("DELETE FROM archive WHERE thread_id = ? AND message_id = ?", gone)
    return len(gone)


def bytes_in(connection: Connection, thread_id: str) -> int:
    """Return how many bytes a thread's archived messages take."""
    (size,) = connection.execute(
        "SELECT COALESCE(SUM(LENGTH(message)), 0) FROM archive WHERE thread_id = ?", (thread_id,)
    ).fetchone()
    return int(size)


def copy_archive(connection: Connection, source: str, destination: str) -> None:
    """Give the thread `destination` all that `source` has archived."""
    connection.execute(
        "INSERT INTO archive (thread_id, message_id, previous, type, message)"
        " SELECT CAST(? AS TEXT), message_id, previous, type, message FROM archive WHERE thread_id = ?"
        " ON CONFLICT (thread_id, message_id) DO NOTHING",
        (destination, source),
    )


def _walk_back(
    connection: Connection, thread_id: str, tail: str | None, limit: int | None
) -> Iterator[tuple[str, str | None, str, Any]]:
    """Yield rows from `tail` towards the beginning, a stride at a time."""
    stride = _STRIDE if limit is None else min(limit, _STRIDE)
    while tail is not None:
        rows = connection.execute(_WALK, (thread_id, tail, thread_id, stride, thread_id)).fetchall()
        yield from rows
        tail = rows[-1][1] if len(rows) == stride else None
