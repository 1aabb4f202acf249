"""Which calls of tools were begun, and how they ended: claimed before the effect, settled after it.

A call is known by its place in the model's message: ids may be missing or doubled. Rows matter until their results are
in a checkpoint, which they are once a later message claims; so those of one message are all a thread keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from agentgraph.stores.threads.sql import Connection

__all__ = [
    "SCHEMA",
    "Call",
    "Claim",
    "OpenCall",
    "claim",
    "claim_again",
    "claims_of",
    "delete_tool_calls",
    "open_calls",
    "settle",
]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tool_calls (
    thread_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    call_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments_digest TEXT NOT NULL,
    status TEXT NOT NULL,
    output TEXT NOT NULL DEFAULT '',
    output_status TEXT NOT NULL DEFAULT '',
    asked BIGINT NOT NULL DEFAULT 0,
    claimed_at TEXT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (thread_id, message_id, position)
);
"""


class Call(NamedTuple):
    """A call about to be made."""

    position: int
    call_id: str
    tool: str
    arguments_digest: str


class Claim(NamedTuple):
    """What is known of a call.

    `claimed` is begun and not known to have ended; `done` has its output; `unknown` was told to be so. `asked` counts
    how often a person's word on it was acted upon.
    """

    is_new: bool
    status: Literal["claimed", "done", "unknown"]
    arguments_digest: str
    output: str
    output_status: Literal["success", "error"]
    asked: int
    claimed_at: str


class OpenCall(NamedTuple):
    """A call that was begun and is not known to have ended."""

    message_id: str
    position: int
    call_id: str
    tool: str
    claimed_at: str
    run_id: str


def claims_of(connection: Connection, thread_id: str, message_id: str) -> dict[int, Claim]:
    """Return what is known of a message's calls, by position."""
    rows = connection.execute(
        "SELECT position, status, arguments_digest, output, output_status, asked, claimed_at FROM tool_calls"
        " WHERE thread_id = ? AND message_id = ?",
        (thread_id, message_id),
    )
    return {int(position): Claim(False, *known) for position, *known in rows}


def claim(
    connection: Connection, thread_id: str, message_id: str, calls: Sequence[Call], *, run_id: str, claimed_at: str
) -> dict[int, Claim]:
    """Claim the calls nobody has yet, and return what is known of each, by position."""
    known = claims_of(connection, thread_id, message_id)
    new = [call for call in calls if call.position not in known]
    if new:
        connection.execute("DELETE FROM tool_calls WHERE thread_id = ? AND message_id <> ?", (thread_id, message_id))
        connection.executemany(
            "INSERT INTO tool_calls (thread_id, message_id, position, call_id, tool, arguments_digest, status,"
            " claimed_at, run_id) VALUES (?, ?, ?, ?, ?, ?, 'claimed', ?, ?)",
            [(thread_id, message_id, *call, claimed_at, run_id) for call in new],
        )
    fresh = {call.position: Claim(True, "claimed", call.arguments_digest, "", "error", 0, claimed_at) for call in new}
    return {call.position: known.get(call.position) or fresh[call.position] for call in calls}


def claim_again(
    connection: Connection, thread_id: str, message_id: str, call: Call, *, asked: int, run_id: str, claimed_at: str
) -> None:
    """Begin a call anew that is now known not to have happened."""
    connection.execute(
        "UPDATE tool_calls SET arguments_digest = ?, asked = ?, claimed_at = ?, run_id = ?"
        " WHERE thread_id = ? AND message_id = ? AND position = ?",
        (call.arguments_digest, asked, claimed_at, run_id, thread_id, message_id, call.position),
    )


def settle(
    connection: Connection,
    thread_id: str,
    message_id: str,
    position: int,
    *,
    output: str,
    output_status: Literal["success", "error"],
    status: Literal["done", "unknown"] = "done",
) -> None:
    """Keep how a call ended, or that nobody knows."""
    connection.execute(
        "UPDATE tool_calls SET status = ?, output = ?, output_status = ?"
        " WHERE thread_id = ? AND message_id = ? AND position = ?",
        (status, output, output_status, thread_id, message_id, position),
    )


def open_calls(connection: Connection, thread_id: str) -> list[OpenCall]:
    """Return the calls of a thread that were begun and are not known to have ended."""
    rows = connection.execute(
        "SELECT message_id, position, call_id, tool, claimed_at, run_id FROM tool_calls"
        " WHERE thread_id = ? AND status = 'claimed' ORDER BY message_id, position",
        (thread_id,),
    )
    return [OpenCall(*row) for row in rows]


def delete_tool_calls(connection: Connection, thread_id: str) -> None:
    """Forget the calls of a thread."""
    connection.execute("DELETE FROM tool_calls WHERE thread_id = ?", (thread_id,))
