"""Read through a tenant's items in SQL: page by page as they came, or along a line of time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from agentgraph.stores.tenant_items import ItemRow, TenantItems, join_path

__all__ = ["line_up", "walk"]

_PLACES: Final = "SELECT id FROM namespaces WHERE path >= ? AND path < ?"
_LIVING: Final = "(i.expires_at IS NULL OR i.expires_at > ?)"
_HAS_EVENT: Final = "i.time_start IS NOT NULL AND i.time_end IS NOT NULL AND i.time_start < i.time_end"


def walk(items: TenantItems, prefix: Sequence[str], *, now: int, after: int, limit: int) -> list[ItemRow]:
    """Return up to `limit` living items below `prefix` with numbers above `after`, in the order of their numbers."""
    with items.snapshot() as connection:
        places = json.dumps(_places(connection, prefix))
        numbers = connection.execute(
            f"SELECT i.id FROM items i WHERE i.id > ? AND i.namespace IN (SELECT value FROM json_each(?))"  # noqa: S608
            f" AND {_LIVING} ORDER BY i.id LIMIT ?",
            (after, places, now, limit),
        )
        found = items.items(connection, [number for (number,) in numbers])
    return [found[number] for number in sorted(found)]


def line_up(
    items: TenantItems,
    prefixes: Sequence[Sequence[str]],
    *,
    now: int,
    start: str | None,
    end: str | None,
    limit: int,
) -> list[ItemRow]:
    """Return up to `limit` living items below `prefixes` by the time they speak of, else by when they were recorded.

    The two clocks have an index each: both are asked, and merged.
    """
    first, last = start or "", end or "~"
    with items.snapshot() as connection:
        dated: list[tuple[str, int]] = []
        for place in sorted({place for prefix in prefixes for place in _places(connection, prefix)}):
            dated += connection.execute(
                f"SELECT i.time_start, i.id FROM items i WHERE i.namespace = ? AND i.time_start < ?"  # noqa: S608
                f" AND i.time_end > ? AND {_HAS_EVENT} AND {_LIVING} ORDER BY i.time_start LIMIT ?",
                (place, last, first, now, limit),
            )
            dated += connection.execute(
                f"SELECT i.recorded_at, i.id FROM items i WHERE i.namespace = ? AND i.recorded_at >= ?"  # noqa: S608
                f" AND i.recorded_at < ? AND NOT coalesce({_HAS_EVENT}, 0) AND {_LIVING}"
                " ORDER BY i.recorded_at LIMIT ?",
                (place, first, last, now, limit),
            )
        numbers = [number for _, number in sorted(dated)[:limit]]
        found = items.items(connection, numbers)
    return [found[number] for number in numbers]


def _places(connection: sqlite3.Connection, prefix: Sequence[str]) -> list[int]:
    path = join_path(prefix)
    return [number for (number,) in connection.execute(_PLACES, (path, path[:-1] + "\x20"))]
