"""Where a thread stands: the newest checkpoint of each namespace, named, not guessed from ids made of clocks.

A clock that is set back gives a new checkpoint an older id; "the largest id" would hide it for ever.
"""

from __future__ import annotations

from typing import Final

from agentgraph.stores.threads.sql import Connection

__all__ = ["SCHEMA", "copy", "delete", "head", "move"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS heads (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_ns)
);
"""


def head(connection: Connection, thread_id: str, namespace: str = "") -> str | None:
    """Return the id of the checkpoint a thread stands at."""
    row = connection.execute(
        "SELECT checkpoint_id FROM heads WHERE thread_id = ? AND checkpoint_ns = ?", (thread_id, namespace)
    ).fetchone()
    return None if row is None else str(row[0])


def move(connection: Connection, thread_id: str, checkpoint_id: str, namespace: str = "") -> None:
    """Let a thread stand at `checkpoint_id`."""
    connection.execute(
        "INSERT INTO heads (thread_id, checkpoint_ns, checkpoint_id) VALUES (?, ?, ?)"
        " ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE SET checkpoint_id = excluded.checkpoint_id",
        (thread_id, namespace, checkpoint_id),
    )


def delete(connection: Connection, thread_id: str) -> None:
    """Forget where a thread stood."""
    connection.execute("DELETE FROM heads WHERE thread_id = ?", (thread_id,))


def copy(connection: Connection, source: str, destination: str) -> None:
    """Let `destination` stand where `source` does."""
    connection.execute(
        "INSERT INTO heads (thread_id, checkpoint_ns, checkpoint_id)"
        " SELECT ?, checkpoint_ns, checkpoint_id FROM heads WHERE thread_id = ?",
        (destination, source),
    )
