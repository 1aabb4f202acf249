"""Look into what is kept of a thread, and rewrite it: how a memory that was merely recalled there is removed.

Works on LangGraph's own tables through its saver, and looks into all of ours that hold words, inside the caller's
transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from langgraph.checkpoint.sqlite import SqliteSaver

from agentgraph.errors import InvalidInputError
from agentgraph.stores.threads import archive, heads

__all__ = ["Edit", "copy_thread", "edit_thread", "repeats", "threads_in", "threads_of"]

_TABLES: Final = {
    "checkpoints": "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
    "writes": "checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value",
}

_WORDS: Final = (  # of ours that hold any
    "SELECT message FROM archive WHERE thread_id = ?",
    "SELECT request FROM runs WHERE thread_id = ? AND request IS NOT NULL",
    "SELECT result FROM runs WHERE thread_id = ? AND result IS NOT NULL",
    "SELECT error FROM runs WHERE thread_id = ? AND error IS NOT NULL",
    "SELECT output FROM tool_calls WHERE thread_id = ?",
)

Edit = Callable[[str, Any], Any]
"""Given a channel and its value, returns the value to keep: the very same object where nothing is to change."""


def threads_in(saver: SqliteSaver) -> list[str]:
    """Return the id of every thread in the file, sorted; one whose first run failed has no checkpoint."""
    rows = saver.conn.execute(
        "SELECT thread_id FROM checkpoints UNION SELECT thread_id FROM threads WHERE deleted = 0 AND created_at <> ''"
        " UNION SELECT thread_id FROM runs UNION SELECT thread_id FROM archive ORDER BY 1"
    )
    return [thread for (thread,) in rows]


def threads_of(saver: SqliteSaver, user: str) -> list[str]:
    """Return the ids of the threads that a person's run began, sorted."""
    rows = saver.conn.execute(
        "SELECT thread_id FROM threads WHERE user_id = ? AND deleted = 0 ORDER BY thread_id", (user,)
    )
    return [thread for (thread,) in rows]


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
    """Say whether a thread holds one of `texts` word for word, after `edit`: as said, done, asked or summed up.

    Serialised strings are plain UTF-8, so the search is for bytes; what stands in JSON is spelt as there.
    """
    spelt = {spelling for text in texts for spelling in (text, json.dumps(text, ensure_ascii=False)[1:-1])}
    needles = [text.encode("utf-8", "replace") for text in spelt]
    kept = saver.conn.execute(" UNION ALL ".join(_WORDS), [thread_id] * len(_WORDS))
    if any(needle in _bytes(words) for (words,) in kept for needle in needles):
        return True
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


def _bytes(words: str | bytes) -> bytes:
    return words.encode("utf-8", "replace") if isinstance(words, str) else words
