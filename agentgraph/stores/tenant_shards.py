"""The shards of one tenant: which are loaded, how they catch up with the file, and which of their rows a search covers.

They are read and changed within a snapshot of the file, by one thread at a time; `tenant_items.py` sees to both.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agentgraph.stores.filters import filter_sql
from agentgraph.stores.ranking import Selection
from agentgraph.stores.shard import Entry, Shard, time_conditions
from agentgraph.stores.values import TIME_FIELDS

__all__ = ["TenantShards"]

# A time key as a number, as `values.time_key_of` reads it.
_TIME_KEY: Final = (
    "CASE WHEN i.{0} IS NULL THEN -1 WHEN length(i.{0}) = 15 AND i.{0} NOT GLOB '*[^0-9]*'"
    " THEN CAST(i.{0} AS INTEGER) ELSE -2 END"
)
# What has another shape than `pack` and `count_terms` make was damaged on disk: the item is found by what is left.
_ENTRIES: Final = f"""
SELECT e.id, e.item, {", ".join(map(_TIME_KEY.format, TIME_FIELDS))}, i.sequence,
       CASE WHEN e.model = ? AND typeof(e.vector) = 'blob' AND length(e.vector) = ? THEN e.vector END,
       CASE WHEN typeof(e.terms) = 'blob' AND length(e.terms) % 5 = 0 THEN e.terms ELSE x'' END, e.namespace
FROM entries e JOIN items i ON i.id = e.item
"""  # noqa: S608
# The newest tell which size our model's vectors have; the few that are damaged are outvoted.
_SIZE: Final = """
SELECT length(vector) AS size FROM (
    SELECT vector FROM entries WHERE model = ? AND typeof(vector) = 'blob' ORDER BY id DESC LIMIT 100
) WHERE size > 0 AND size % 2 = 0 GROUP BY size ORDER BY count(*) DESC, size DESC LIMIT 1
"""


class TenantShards:
    """What of a tenant is in memory."""

    def __init__(self, *, embedding_id: str | None) -> None:
        self.model = -1  # the number of our model in the file; one no row has, until a vector of it is written
        self.size_bytes: int | None = None  # of a stored vector of our model; `None` while there is none
        self._embedding_id = embedding_id
        self._shards: dict[int, Shard] = {}
        self._data_version = -1
        self._last_entry = 0
        self._last_removal = 0

    def clear(self) -> None:
        """Forget what is loaded."""
        self._shards.clear()
        self._data_version = -1

    def catch_up(self, connection: sqlite3.Connection) -> None:
        """Bring what is loaded up to the snapshot that `connection` is on."""
        # The version changes with every other connection's commit, our own writer's included. It is read after the
        # snapshot was taken, which the first SELECT does.
        connection.execute("SELECT 1 FROM meta LIMIT 1").fetchone()
        ((version,),) = connection.execute("PRAGMA data_version")
        if version == self._data_version:
            return
        self._data_version = -1  # until this has gone well to its end
        found = connection.execute("SELECT id FROM models WHERE name = ?", (self._embedding_id,)).fetchone()
        model = -1 if found is None else int(found[0])
        sizes = connection.execute(_SIZE, (model,)).fetchone()
        size_bytes = None if sizes is None else int(sizes[0])
        ((oldest, newest),) = connection.execute("SELECT min(seq), max(seq) FROM removals")
        is_other = (model, size_bytes) != (self.model, self.size_bytes)
        if is_other or (oldest is not None and oldest > self._last_removal + 1):
            self._shards.clear()  # they were loaded without our vectors, or removals were forgotten
        elif self._shards:
            try:
                self._add_and_remove(connection)
            except BaseException:
                self._shards.clear()
                raise
        self.model, self.size_bytes = model, size_bytes
        self._last_removal = newest or 0
        ((last,),) = connection.execute("SELECT coalesce(max(id), 0) FROM entries")
        self._last_entry = max(self._last_entry, last)
        self._data_version = version

    def select(
        self,
        connection: sqlite3.Connection,
        namespaces: Sequence[int],
        condition: Mapping[str, Any],
        *,
        now: int,
        home: int,
    ) -> list[Selection]:
        """Return the rows of `namespaces`, not expired, that fulfil a checked filter."""
        expired = _ids(connection.execute("SELECT id FROM items WHERE expires_at <= ?", (now,)))
        selections: list[Selection] = []
        for namespace in namespaces:
            shard = self._shard(connection, namespace)
            conditions, rest = ([], condition) if shard.has_odd_times else time_conditions(condition)
            rows = shard.select(conditions, without_items=expired)
            if rest and rows.size:
                rows = rows[self._matching(connection, namespace, shard, rest)[rows]]
            selections.append(Selection(shard, rows, home))
        return selections

    def _shard(self, connection: sqlite3.Connection, namespace: int) -> Shard:
        shard = self._shards.get(namespace)
        if shard is None or shard.is_worn:
            rows = connection.execute(f"{_ENTRIES} WHERE e.namespace = ?", (self.model, self.size_bytes, namespace))
            shard = self._shards[namespace] = Shard([row[:8] for row in rows])
        return shard

    def _matching(
        self, connection: sqlite3.Connection, namespace: int, shard: Shard, condition: Mapping[str, Any]
    ) -> npt.NDArray[np.bool_]:
        expression, parameters = filter_sql(condition)

        def ask(item_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            statement = f"SELECT i.id FROM items i WHERE i.namespace = ? AND {expression}"  # noqa: S608
            if len(item_ids) > shard.live // 4:
                return _ids(connection.execute(statement, (namespace, *parameters)))
            few = f"{statement} AND i.id IN (SELECT value FROM json_each(?))"  # noqa: S608
            return _ids(connection.execute(few, (namespace, *parameters, json.dumps(item_ids.tolist()))))

        return shard.matching(json.dumps(condition, sort_keys=True), ask)

    def _add_and_remove(self, connection: sqlite3.Connection) -> None:
        added: dict[int, list[Entry]] = {}
        for row in connection.execute(f"{_ENTRIES} WHERE e.id > ?", (self.model, self.size_bytes, self._last_entry)):
            if row[8] in self._shards:
                added.setdefault(row[8], []).append(row[:8])
        for namespace, entries in added.items():
            self._shards[namespace].add(entries)
        removed = _ids(connection.execute("SELECT entry FROM removals WHERE seq > ?", (self._last_removal,)))
        if len(removed):
            for shard in self._shards.values():
                shard.remove(removed)


def _ids(rows: Iterable[tuple[int]]) -> npt.NDArray[np.int64]:
    return np.fromiter((number for (number,) in rows), dtype=np.int64)
