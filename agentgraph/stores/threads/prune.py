"""Take checkpoints away from a thread and leave what remains readable: turns too old to travel back to, whole runs.

Works on LangGraph's own tables through its saver, inside the caller's transaction. What was said stays: it is in the
live window of the checkpoints that remain, and in the archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.checkpoint.sqlite import SqliteSaver

from agentgraph.stores.threads import heads
from agentgraph.stores.threads.snapshot import stand_alone

__all__ = ["drop_runs", "keep_latest", "prune_old", "threads_of_runs"]

Place: TypeAlias = tuple[str, str]  # namespace, checkpoint
_AT_ONCE: Final = 500  # parameters of a statement


class _Row(NamedTuple):
    written: int  # in which order
    parent: Place | None


def prune_old(saver: SqliteSaver, thread_id: str, keep_turns: int) -> int:
    """Drop what is older than a thread's last turns, and the steps within them; return how many checkpoints went.

    What stays: the ends of the newest `keep_turns` turns by which the thread came to where it stands; the ends of its
    last `keep_turns` runs, on whatever branch; other branches begun since; and all that was written after the last run.

    Args:
        saver: Inside the caller's transaction.
        thread_id: Which thread.
        keep_turns: How many turns; 0 keeps all.
    """
    rows = _rows(saver, thread_id)
    ends = [
        ("", str(checkpoint_id))
        for (checkpoint_id,) in saver.conn.execute(
            "SELECT checkpoint_id FROM runs WHERE thread_id = ? AND checkpoint_id IS NOT NULL ORDER BY position DESC",
            (thread_id,),
        )
    ]
    recent = {end for end in ends[:keep_turns] if end in rows}
    turn_ends = set(ends)
    heads_now = {_head(saver, thread_id, rows, namespace) for namespace, _ in rows}
    if not keep_turns or not recent:
        return 0
    turns = islice(
        (place for place in _lineage(rows, _head(saver, thread_id, rows, "")) if place in turn_ends), keep_turns
    )
    branched = {row.parent for row in rows.values()}
    since, latest = (choose(rows[place].written for place in recent) for choose in (min, max))
    tips = {place for place, row in rows.items() if row.written > since and place not in branched}
    kept = recent | heads_now | set(turns) | tips
    return _drop(
        saver, thread_id, rows, {place for place, row in rows.items() if place not in kept and row.written < latest}
    )


def keep_latest(saver: SqliteSaver, thread_id: str) -> int:
    """Drop all but the checkpoint a thread stands at, in each namespace, and return how many went."""
    rows = _rows(saver, thread_id)
    kept = {_head(saver, thread_id, rows, namespace) for namespace, _ in rows}
    return _drop(saver, thread_id, rows, rows.keys() - kept)


def drop_runs(saver: SqliteSaver, thread_id: str, run_ids: Collection[str]) -> int:
    """Drop what runs wrote on a thread and return how many checkpoints went; it stands where it stood before them."""
    found = {
        (namespace, checkpoint) for thread, namespace, checkpoint in _of_runs(saver, run_ids) if thread == thread_id
    }
    return _drop(saver, thread_id, _rows(saver, thread_id), found)


def threads_of_runs(saver: SqliteSaver, run_ids: Collection[str]) -> list[str]:
    """Return the threads on which runs wrote anything."""
    return sorted({thread for thread, _, _ in _of_runs(saver, run_ids)})


def _rows(saver: SqliteSaver, thread_id: str) -> dict[Place, _Row]:
    found = saver.conn.execute(
        "SELECT rowid, checkpoint_ns, checkpoint_id, parent_checkpoint_id FROM checkpoints WHERE thread_id = ?"
        " ORDER BY rowid",
        (thread_id,),
    )
    return {
        (ns, checkpoint): _Row(written, (ns, parent) if parent else None) for written, ns, checkpoint, parent in found
    }


def _lineage(rows: Mapping[Place, _Row], place: Place | None) -> Iterator[Place]:
    """Yield a checkpoint and those it came from, the newest first."""
    seen: set[Place] = set()
    while place is not None and place in rows and place not in seen:
        yield place
        seen.add(place)
        place = rows[place].parent


def _head(saver: SqliteSaver, thread_id: str, rows: Mapping[Place, _Row], namespace: str) -> Place | None:
    checkpoint_id = heads.head(saver.conn, thread_id, namespace)
    if checkpoint_id is not None and (namespace, checkpoint_id) in rows:
        return namespace, checkpoint_id
    # A file from before there were heads has none: there the largest id stands for it.
    return max((place for place in rows if place[0] == namespace), default=None)


def _of_runs(saver: SqliteSaver, run_ids: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield thread, namespace and id of every checkpoint that runs wrote."""
    wanted = list(run_ids)
    for at in range(0, len(wanted), _AT_ONCE):
        some = wanted[at : at + _AT_ONCE]
        yield from saver.conn.execute(
            "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints"  # noqa: S608  only marks are put in
            f" WHERE json_extract(CAST(metadata AS TEXT), '$.run_id') IN ({', '.join('?' * len(some))})",
            some,
        ).fetchall()


def _drop(saver: SqliteSaver, thread_id: str, rows: Mapping[Place, _Row], gone: AbstractSet[Place]) -> int:
    """Delete checkpoints with what was written on them; those that stay are made to need none of them."""
    connection = saver.conn
    children: dict[Place, list[Place]] = {}
    for place, row in rows.items():
        if row.parent is not None:
            children.setdefault(row.parent, []).append(place)
        if place in gone or row.parent is None or (row.parent in rows and row.parent not in gone):
            continue
        before = next((older for older in _lineage(rows, row.parent) if older not in gone), None)
        stand_alone(saver, _config(thread_id, place), parent=before[1] if before else None)
    # What is written on a checkpoint belongs to those that came of it; if all are gone, it would count as pending.
    spent = {parent for parent, born in children.items() if parent in rows and gone >= set(born)}
    for namespace in {namespace for namespace, _ in gone}:
        head = _head(saver, thread_id, rows, namespace)
        if head in gone:
            stays = next((place for place in _lineage(rows, head) if place not in gone), None)
            left = [place for place in rows if place[0] == namespace and place not in gone]
            _stand_at(saver, thread_id, namespace, stays or (left[-1] if left else None))
    connection.executemany(
        "DELETE FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? AND channel <> ?",
        [(thread_id, *place, INTERRUPT if place in spent - gone else "") for place in gone | spent],
    )
    connection.executemany(
        "DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
        [(thread_id, *place) for place in gone],
    )
    for column in ("checkpoint_id", "parent_checkpoint_id"):
        connection.executemany(
            f"UPDATE runs SET {column} = NULL WHERE thread_id = ? AND {column} = ?",  # noqa: S608  ours
            [(thread_id, checkpoint) for namespace, checkpoint in gone if not namespace],
        )
    return len(gone)


def _stand_at(saver: SqliteSaver, thread_id: str, namespace: str, place: Place | None) -> None:
    if place is not None:
        heads.move(saver.conn, thread_id, place[1], namespace)
        return
    saver.conn.execute("DELETE FROM heads WHERE thread_id = ? AND checkpoint_ns = ?", (thread_id, namespace))


def _config(thread_id: str, place: Place) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": place[0], "checkpoint_id": place[1]}}
