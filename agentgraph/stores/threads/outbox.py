"""Work owed to memory: filed with the turn that owes it, struck off when it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from agentgraph.stores.threads.sql import Connection

__all__ = ["SCHEMA", "drop", "file", "settle", "waiting"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    origin TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL
);
"""


def file(connection: Connection, items: Iterable[Mapping[str, Any]]) -> None:
    """File items; one that was filed before is left as it is."""
    connection.executemany(
        "INSERT INTO outbox (tenant, origin, payload) VALUES (?, ?, ?) ON CONFLICT (origin) DO NOTHING",
        [
            (item["namespace"][0], f"{item['run_id']}/{item['message_id']}", json.dumps(item, ensure_ascii=False))
            for item in items
        ],
    )


def waiting(connection: Connection, *, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the oldest items with the numbers to settle them by."""
    rows = connection.execute("SELECT id, payload FROM outbox ORDER BY id LIMIT ?", (limit,))
    return [(number, json.loads(payload)) for number, payload in rows]


def settle(connection: Connection, numbers: Sequence[int]) -> None:
    """Strike items off."""
    connection.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in numbers])


def drop(
    connection: Connection, is_gone: Callable[[Mapping[str, Any]], bool], *, is_dry_run: bool
) -> list[dict[str, Any]]:
    """Strike off, undone, what `is_gone`, and return it."""
    rows = [(number, json.loads(payload)) for number, payload in connection.execute("SELECT id, payload FROM outbox")]
    gone = [(number, item) for number, item in rows if is_gone(item)]
    if not is_dry_run:
        settle(connection, [number for number, _ in gone])
    return [item for _, item in gone]
