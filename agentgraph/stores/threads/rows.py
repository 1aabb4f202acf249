"""Look into what a thread's checkpoints hold, and rewrite it: how a memory that was merely recalled there is removed.

Works on LangGraph's own tables through its saver, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from langgraph.checkpoint.sqlite import SqliteSaver

from agentgraph.errors import InvalidInputError
from agentgraph.stores.threads import archive, heads

__all__ = ["Edit", "copy_thread", "edit_thread", "repeats", "threads_in"]

_TABLES: Final = {
    "checkpoints": "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
    "writes": "checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value",
}

Edit = Callable[[str, Any], Any]
"""Given a channel and its value, returns the value to keep: the very same object where nothing is to change."""


def threads_in(saver: SqliteSaver) -> list[str]:
    """Return the id of every thread in the file, sorted."""
    return [thread for (thread,) in saver.conn.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id")]


def copy_thread(saver: SqliteSaver, source: str, target: str) -> None:
    """Give the thread `target` every checkpoint of `source`, its archive and its person.

    Raises:
        InvalidInputError: The target has checkpoints.
    """
    connection = saver.conn
    if connection.execute("SELECT 1 FROM checkpoints WHERE thread_id = ? LIMIT 1", (target,)).fetchone():
        raise InvalidInputError(f"the thread {target!r} is in use: copy to a new one", param="target_thread_id")
    for table, columns in _TABLES.items():
        connection.execute(
            f"INSERT INTO {table} (thread_id, {columns})"  # noqa: S608  ours
            f" SELECT ?, {columns} FROM {table} WHERE thread_id = ? ORDER BY rowid",
            (target, source),
        )
    heads.copy(connection, source, target)
    archive.copy_archive(connection, source, target)
    connection.execute(
        "INSERT INTO threads (thread_id, user_id, created_at, used_at)"
        " SELECT CAST(? AS TEXT), user_id, created_at, used_at FROM threads WHERE thread_id = ?"
        " ON CONFLICT (thread_id) DO UPDATE SET user_id = excluded.user_id, created_at = excluded.created_at,"
        " used_at = excluded.used_at",
        (target, source),
    )


def edit_thread(saver: SqliteSaver, thread_id: str, edit: Edit, *, is_dry_run: bool = False) -> int:
    """Let `edit` change every channel value of a thread, pending writes too, and return how many rows it changed."""
    changed = 0
    rows = saver.conn.execute(
        "SELECT rowid, type, checkpoint FROM checkpoints WHERE thread_id = ?", (thread_id,)
    ).fetchall()
    for row, kind, blob in rows:
        checkpoint = saver.serde.loads_typed((kind, blob))
        values = checkpoint["channel_values"]
        edited = {channel: edit(channel, value) for channel, value in values.items()}
        if any(edited[channel] is not value for channel, value in values.items()):
            changed += 1
            if not is_dry_run:
                written = saver.serde.dumps_typed({**checkpoint, "channel_values": edited})
                saver.conn.execute("UPDATE checkpoints SET type = ?, checkpoint = ? WHERE rowid = ?", (*written, row))
    writes = saver.conn.execute(
        "SELECT rowid, channel, type, value FROM writes WHERE thread_id = ?", (thread_id,)
    ).fetchall()
    for row, channel, kind, blob in writes:
        value = saver.serde.loads_typed((kind, blob))
        kept = edit(channel, value)
        if kept is not value:
            changed += 1
            if not is_dry_run:
                written = saver.serde.dumps_typed(kept)
                saver.conn.execute("UPDATE writes SET type = ?, value = ? WHERE rowid = ?", (*written, row))
    return changed


def repeats(saver: SqliteSaver, thread_id: str, texts: Sequence[str], edit: Edit) -> bool:
    """Say whether a thread holds one of `texts` word for word, after `edit`: in its messages or its summary.

    Serialised strings are plain UTF-8, so the search is for bytes.
    """
    needles = [text.encode("utf-8", "replace") for text in texts]
    blobs = saver.conn.execute(
        "SELECT 'checkpoint', type, checkpoint FROM checkpoints WHERE thread_id = ?"
        " UNION ALL SELECT channel, type, value FROM writes WHERE thread_id = ?",
        (thread_id, thread_id),
    )
    for channel, kind, blob in blobs:
        if not any(needle in blob for needle in needles):
            continue
        value = saver.serde.loads_typed((kind, blob))
        if channel == "checkpoint":
            value = {name: edit(name, part) for name, part in value["channel_values"].items()}
        else:
            value = edit(channel, value)
        if any(needle in saver.serde.dumps_typed(value)[1] for needle in needles):
            return True
    return False
