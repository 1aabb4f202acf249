"""One tenant's file: items, their vectors and words in SQLite.

SQLite is the truth. The shards to search (`tenant_shards.py`) catch up from it before every search: by the number of
the last entry seen and a log of removed ones, so a crash between a commit and a search loses nothing and other
processes' writes are seen.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from agentgraph.errors import StoreError
from agentgraph.stores.filters import filter_sql, matches_json
from agentgraph.stores.lexical import Terms
from agentgraph.stores.ranking import Hit, Selection, rank
from agentgraph.stores.sequences import NO_SEQUENCE
from agentgraph.stores.sqlite import BUSY_TIMEOUT_MS, SqliteFile, Sync, empty_journal, file_identity, store_error
from agentgraph.stores.tenant_shards import TenantShards
from agentgraph.stores.values import decode_value, sequence_of
from agentgraph.stores.vectors import Vector, is_sound

__all__ = ["ItemRow", "NewEntry", "NewItem", "StoreStats", "TenantItems", "Where", "search"]

T = TypeVar("T")

_SEPARATOR: Final = "\x1f"  # no label holds a control character
_AFTER_SEPARATOR: Final = "\x20"
_REMOVALS_KEPT: Final = 100_000
_FEW: Final = 500
_SWEPT_PER_WRITE: Final = 256

_SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS namespaces (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    time_start TEXT, time_end TEXT, recorded_at TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    ttl REAL, expires_at INTEGER,
    paths TEXT,
    sequence INTEGER NOT NULL DEFAULT -1,
    UNIQUE (namespace, key)
);
CREATE INDEX IF NOT EXISTS items_updated ON items (namespace, updated_at);
CREATE INDEX IF NOT EXISTS items_start ON items (namespace, time_start, time_end) WHERE time_start IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_end ON items (namespace, time_end, time_start) WHERE time_end IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_recorded ON items (namespace, recorded_at) WHERE recorded_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    namespace INTEGER NOT NULL,
    model INTEGER REFERENCES models (id),
    vector BLOB,
    terms BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_item ON entries (item);
CREATE INDEX IF NOT EXISTS entries_namespace ON entries (namespace);
CREATE INDEX IF NOT EXISTS entries_model ON entries (model);
CREATE TABLE IF NOT EXISTS removals (seq INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL);
CREATE TRIGGER IF NOT EXISTS entries_removed AFTER DELETE ON entries
    BEGIN INSERT INTO removals (entry) VALUES (old.id); END;
"""

_PUT: Final = """
INSERT INTO items (namespace, key, value, time_start, time_end, recorded_at, created_at, updated_at, ttl, expires_at,
                   paths, sequence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, time_start = excluded.time_start, time_end = excluded.time_end,
    recorded_at = excluded.recorded_at,
    created_at = CASE WHEN items.expires_at <= excluded.updated_at THEN excluded.created_at ELSE items.created_at END,
    updated_at = excluded.updated_at, ttl = excluded.ttl,
    expires_at = excluded.expires_at, paths = excluded.paths, sequence = excluded.sequence
RETURNING id
"""
_ITEM_COLUMNS: Final = "n.path, i.key, i.value, i.created_at, i.updated_at, i.id, i.ttl"
_IS_INDEXED: Final = "(e.model IS ? AND is_sound(e.vector, ?) AND typeof(e.terms) = 'blob' AND length(e.terms) % 5 = 0)"
_ITEMS: Final = f"SELECT {_ITEM_COLUMNS} FROM items i JOIN namespaces n ON n.id = i.namespace"  # noqa: S608


class NewEntry(NamedTuple):
    """One text to index: its vector under the store's model (`None`: none) and its terms."""

    vector: bytes | None
    terms: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """An item to write; `value` is JSON text, `None` deletes."""

    namespace: tuple[str, ...]
    key: str
    value: str | None
    times: tuple[str | None, ...] = (None, None, None)
    ttl: float | None = None
    paths: str | None = None
    sequence: int = NO_SEQUENCE
    entries: Sequence[NewEntry] = ()


class ItemRow(NamedTuple):
    """An item as read; `ttl` in minutes."""

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: int  # microseconds since 1970
    updated_at: int
    item_id: int
    ttl: float | None


class Where(NamedTuple):
    """Which namespaces a search covers: one with all below it, or exactly the ones listed."""

    namespaces: Sequence[tuple[str, ...]]
    is_prefix: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What a tenant's memory holds.

    Attributes:
        items: Living items.
        namespaces: Namespaces with at least one.
        entries: Indexed texts.
        vectors: Entries with a vector of the store's own embedding model.
        stale_vectors: Entries without one: written by another model, by none, or damaged on disk since. `reembed`
            brings this to 0.
        expiring: Items with a time to live.
        size_bytes: The file on disk, with its journal.
    """

    items: int
    namespaces: int
    entries: int
    vectors: int
    stale_vectors: int
    expiring: int
    size_bytes: int


class TenantItems:
    """The items of one tenant. Methods block; they are called on a pool's threads, one reader at a time."""

    def __init__(
        self,
        path: Path,
        *,
        tenant: str,
        embedding_id: str | None,
        pool: ThreadPoolExecutor,
        sync: Sync,
        clock: Callable[[], float],
    ) -> None:
        """Open, and create if need be, the file at `path`.

        Raises:
            StoreError: It cannot be opened or is no database.
        """
        self._path = path
        self._clock = clock
        self._embedding_id = embedding_id
        self._open_file: Callable[[], SqliteFile] = lambda: SqliteFile(
            path, schema=_SCHEMA, pool=pool, sync=sync, prepare=lambda connection: _prepare(connection, tenant)
        )
        self._file: SqliteFile | None = None
        self._lock = threading.Lock()
        self._file_lock = threading.Lock()
        if not path.exists():
            self._file = self._open_file()
        try:
            self._identity = file_identity(path)
            self._reader = self._open_reader()
        except (sqlite3.Error, OSError) as error:
            if self._file is not None:
                self._file.close()
            raise store_error(error, path) from error
        self.last_read: Future[None] | None = None  # the store's, to let one wait for another off the threads
        self.had_vectors = False  # when `has_vectors` was asked last
        self._shards = TenantShards(embedding_id=embedding_id)

    @property
    def file(self) -> SqliteFile | None:
        """Where writes go, once somebody has written; `writer` opens it."""
        return self._file

    @property
    def is_idle(self) -> bool:
        """Whether no write is queued or running, so that `close` returns at once."""
        return self._file is None or self._file.is_idle

    @property
    def is_replaced(self) -> bool:
        """Whether the file was deleted, or is another by now, behind our back."""
        return file_identity(self._path) != self._identity

    def writer(self) -> SqliteFile:
        """Return where writes go, opening it for the first: a tenant that is only read needs one connection."""
        with self._file_lock:
            if self._file is None:
                self._file = self._open_file()
            return self._file

    def close(self) -> None:
        """Finish queued writes and close the file."""
        with self._file_lock:
            if self._file is not None:
                self._file.close()
        with self._lock:
            self._reader.close()
            self._shards.clear()

    def _open_reader(self) -> sqlite3.Connection:
        reader = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            reader.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            ((version,),) = reader.execute("PRAGMA user_version")
            if version > _SCHEMA_VERSION:
                raise StoreError(
                    f"the database {self._path.name!r} was written by a newer agentgraph: upgrade to read it"
                )
            if version < _SCHEMA_VERSION:  # another process is creating it, or died while it was
                self.writer()
            reader.execute("PRAGMA query_only=ON")
            _add_functions(reader)
        except BaseException:
            reader.close()
            raise
        return reader

    # Writing: these run in `file.write`, on the writing connection.

    def write(self, connection: sqlite3.Connection, new: Iterable[NewItem]) -> None:
        """Put and delete items."""
        now = self._now()
        known: dict[tuple[str, ...], int] = {}
        model = self._model_number(connection)
        for item in new:
            if item.value is None:
                connection.execute(
                    "DELETE FROM items WHERE key = ? AND namespace = (SELECT id FROM namespaces WHERE path = ?)",
                    (item.key, join_path(item.namespace)),
                )
                continue
            namespace = known.get(item.namespace)
            if namespace is None:
                namespace = known[item.namespace] = _namespace_number(connection, item.namespace)
            expires_at = None if item.ttl is None else now + round(item.ttl * 60_000_000)
            row = (
                namespace,
                item.key,
                item.value,
                *item.times,
                now,
                now,
                item.ttl,
                expires_at,
                item.paths,
                item.sequence,
            )
            ((item_id,),) = connection.execute(_PUT, row).fetchall()
            self._replace_entries(connection, item_id, namespace, model, item.entries)
        self._tidy(connection, now)

    def refresh(self, connection: sqlite3.Connection, item_ids: Sequence[int]) -> None:
        """Let the time to live of `item_ids` begin anew."""
        now = self._now()
        connection.executemany(
            "UPDATE items SET expires_at = ? + CAST(ttl * 60000000 AS INTEGER) WHERE id = ? AND ttl IS NOT NULL",
            [(now, item_id) for item_id in item_ids],
        )

    def sweep(self, connection: sqlite3.Connection) -> int:
        """Delete what has expired and return how many items that were."""
        return connection.execute("DELETE FROM items WHERE expires_at <= ?", (self._now(),)).rowcount

    def replace_entries(
        self, connection: sqlite3.Connection, changed: Iterable[tuple[ItemRow, Sequence[NewEntry]]]
    ) -> None:
        """Index items anew, unless somebody has written them since they were read."""
        model = self._model_number(connection)
        for item, entries in changed:
            found = connection.execute(
                "SELECT namespace FROM items WHERE id = ? AND updated_at = ?",
                (item.item_id, item.updated_at),
            ).fetchone()
            if found is not None:
                self._replace_entries(connection, item.item_id, found[0], model, entries)

    def _replace_entries(
        self,
        connection: sqlite3.Connection,
        item_id: int,
        namespace: int,
        model: int | None,
        entries: Sequence[NewEntry],
    ) -> None:
        connection.execute("DELETE FROM entries WHERE item = ?", (item_id,))
        connection.executemany(
            "INSERT INTO entries (item, namespace, model, vector, terms) VALUES (?, ?, ?, ?, ?)",
            [
                (item_id, namespace, None if entry.vector is None else model, entry.vector, entry.terms)
                for entry in entries
            ],
        )

    def _model_number(self, connection: sqlite3.Connection) -> int | None:
        if self._embedding_id is None:
            return None
        connection.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", (self._embedding_id,))
        ((number,),) = connection.execute("SELECT id FROM models WHERE name = ?", (self._embedding_id,))
        return int(number)

    def _tidy(self, connection: sqlite3.Connection, now: int) -> None:
        connection.execute(
            "DELETE FROM items WHERE id IN (SELECT id FROM items WHERE expires_at <= ? LIMIT ?)",
            (now, _SWEPT_PER_WRITE),
        )
        connection.execute("DELETE FROM removals WHERE seq <= (SELECT max(seq) FROM removals) - ?", (_REMOVALS_KEPT,))

    # Reading: each in one snapshot of the file.

    def get(self, wanted: Sequence[tuple[tuple[str, ...], str]]) -> list[ItemRow | None]:
        """Return the item at each namespace and key, `None` where there is none."""
        with self.snapshot() as connection:
            now = self._now()
            statement = f"{_ITEMS} WHERE n.path = ? AND i.key = ? AND (i.expires_at IS NULL OR i.expires_at > ?)"
            rows = (connection.execute(statement, (join_path(path), key, now)).fetchone() for path, key in wanted)
            return [None if row is None else _item(row) for row in rows]

    def newest(self, where: Where, condition: Mapping[str, Any], *, limit: int, offset: int) -> list[ItemRow]:
        """Return items that fulfil a checked filter, the most recently updated first."""
        with self.snapshot() as connection:
            numbers = _namespace_numbers(connection, where)
            expression, parameters = filter_sql(condition)
            rows = connection.execute(
                f"{_ITEMS} WHERE i.namespace IN (SELECT value FROM json_each(?))"  # noqa: S608  spelt by filters.py
                f" AND (i.expires_at IS NULL OR i.expires_at > ?) AND {expression}"
                " ORDER BY i.updated_at DESC, i.id DESC LIMIT ? OFFSET ?",
                (json.dumps(numbers), self._now(), *parameters, limit, offset),
            )
            return [_item(row) for row in rows]

    def has_vectors(self) -> bool:
        """Say whether any entry has a vector of the store's model."""
        with self.snapshot() as connection:
            found = connection.execute("SELECT 1 FROM entries WHERE model = ? LIMIT 1", (self._shards.model,))
            self.had_vectors = found.fetchone() is not None
            return self.had_vectors

    def empty_journal(self) -> None:
        """Move the journal's pages into the file and cut it to nothing."""
        empty_journal(self._path)

    def namespaces(self) -> list[tuple[str, ...]]:
        """Return every namespace that holds a living item, sorted."""
        with self.snapshot() as connection:
            rows = connection.execute(
                "SELECT path FROM namespaces n WHERE EXISTS (SELECT 1 FROM items i WHERE i.namespace = n.id"
                " AND (i.expires_at IS NULL OR i.expires_at > ?))",
                (self._now(),),
            )
            return sorted(split_path(path) for (path,) in rows)

    def stale(self, *, after: int, limit: int) -> list[tuple[ItemRow, str | None]]:
        """Return items, by number, that have entries without a sound vector of our model, and their index paths."""
        with self.snapshot() as connection:
            rows = connection.execute(
                f"SELECT {_ITEM_COLUMNS}, i.paths FROM items i JOIN namespaces n ON n.id = i.namespace"  # noqa: S608
                f" WHERE i.id > ? AND EXISTS (SELECT 1 FROM entries e WHERE e.item = i.id AND NOT {_IS_INDEXED})"
                " ORDER BY i.id LIMIT ?",
                (after, self._shards.model, self._shards.size_bytes, limit),
            )
            return [(_item(row[:-1]), row[-1]) for row in rows]

    def stats(self) -> StoreStats:
        """Count what is there."""
        with self.snapshot() as connection:
            living = "(expires_at IS NULL OR expires_at > ?)"
            now = self._now()

            def one(sql: str, *parameters: float | str | None) -> int:
                return int(connection.execute(sql, parameters).fetchone()[0])

            entries = one("SELECT count(*) FROM entries")
            model, size_bytes = self._shards.model, self._shards.size_bytes
            vectors = one(f"SELECT count(*) FROM entries e WHERE {_IS_INDEXED}", model, size_bytes)  # noqa: S608
            return StoreStats(
                items=one(f"SELECT count(*) FROM items WHERE {living}", now),  # noqa: S608
                namespaces=one(f"SELECT count(DISTINCT namespace) FROM items WHERE {living}", now),  # noqa: S608
                entries=entries,
                vectors=vectors,
                stale_vectors=entries - vectors,
                expiring=one(f"SELECT count(*) FROM items WHERE ttl IS NOT NULL AND {living}", now),  # noqa: S608
                size_bytes=sum(file.stat().st_size for file in self._files() if file.exists()),
            )

    def select(
        self, connection: sqlite3.Connection, where: Where, condition: Mapping[str, Any], *, home: int
    ) -> list[Selection]:
        """Return the rows a search covers, within a snapshot."""
        namespaces = _namespace_numbers(connection, where)
        return self._shards.select(connection, namespaces, condition, now=self._now(), home=home)

    def items(self, connection: sqlite3.Connection, item_ids: Sequence[int]) -> dict[int, ItemRow]:
        """Return items by number, within a snapshot."""
        parameters: tuple[int | str, ...]
        if len(item_ids) <= _FEW:
            marks, parameters = ",".join("?" * len(item_ids)), tuple(item_ids)
        else:  # SQLite bounds the number of parameters
            marks, parameters = "SELECT value FROM json_each(?)", (json.dumps(item_ids),)
        rows = connection.execute(f"{_ITEMS} WHERE i.id IN ({marks})", parameters)
        return {row[5]: _item(row) for row in rows}

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Hold one reader at a time on one state of the file, with the loaded shards brought up to it."""
        with self._lock:
            try:
                self._reader.execute("BEGIN")
                try:
                    self._shards.catch_up(self._reader)
                    yield self._reader
                finally:
                    with suppress(sqlite3.Error):
                        self._reader.execute("COMMIT")
            except sqlite3.Error as error:
                raise store_error(error, self._path) from error

    def _files(self) -> list[Path]:
        return [self._path, *(self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm"))]

    def _now(self) -> int:
        return round(self._clock() * 1_000_000)


def search(
    tenants: Sequence[tuple[TenantItems, Where]],
    searches: Sequence[tuple[Mapping[str, Any], int]],
    *,
    terms: Terms,
    vector: Vector | None,
    offset: int = 0,
) -> list[list[tuple[ItemRow, Hit]]]:
    """Return, for each checked filter and limit, the items of all `tenants` that fulfil it, the most relevant first.

    A hit's `home` is the position of its tenant. All is read from one state of the files, and an item found by several
    searches is read once. To keep two callers from waiting for each other, tenants are listed in one order everywhere.
    """
    with ExitStack() as stack:
        snapshots = [stack.enter_context(items.snapshot()) for items, _ in tenants]
        rankings: list[list[Hit]] = []
        for condition, limit in searches:
            selections: list[Selection] = []
            for home, (items, where) in enumerate(tenants):
                selections += items.select(snapshots[home], where, condition, home=home)
            rankings.append(rank(selections, terms=terms, vector=vector, limit=limit + offset)[offset:])
        wanted = {(hit.home, hit.item_id): None for hits in rankings for hit in hits}
        found = {
            (home, item_id): row
            for home, (items, _) in enumerate(tenants)
            for item_id, row in items.items(snapshots[home], [item for at, item in wanted if at == home]).items()
        }
        return [[(found[hit.home, hit.item_id], hit) for hit in hits] for hits in rankings]


def join_path(namespace: Sequence[str]) -> str:
    """Spell a namespace as it is stored: every label closed by a separator, so a prefix is a range of text."""
    return "".join(label + _SEPARATOR for label in namespace)


@lru_cache(maxsize=1_024)
def split_path(path: str) -> tuple[str, ...]:
    """Read a stored namespace back."""
    return tuple(path.split(_SEPARATOR)[:-1])


def _prepare(connection: sqlite3.Connection, tenant: str) -> None:
    connection.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten, not only unlinked
    _add_functions(connection)
    _upgrade(connection)
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('tenant', ?)", (tenant,))
    connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of an earlier version up to this one."""
    has_sequence = "SELECT 1 FROM pragma_table_info('items') WHERE name = 'sequence'"
    if connection.execute(has_sequence).fetchone():
        return
    connection.create_function("sequence_of", 1, lambda value: sequence_of(decode_value(value)), deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute(has_sequence).fetchone():  # another process may have been quicker
        connection.execute(f"ALTER TABLE items ADD COLUMN sequence INTEGER NOT NULL DEFAULT {NO_SEQUENCE}")
        connection.execute("UPDATE items SET sequence = sequence_of(value)")
    connection.execute("COMMIT")


def _add_functions(connection: sqlite3.Connection) -> None:
    connection.create_function("matches_json", 2, matches_json, deterministic=True)
    connection.create_function("is_sound", 2, is_sound, deterministic=True)


def _namespace_number(connection: sqlite3.Connection, namespace: Sequence[str]) -> int:
    path = join_path(namespace)
    connection.execute("INSERT OR IGNORE INTO namespaces (path) VALUES (?)", (path,))
    ((number,),) = connection.execute("SELECT id FROM namespaces WHERE path = ?", (path,))
    return int(number)


def _namespace_numbers(connection: sqlite3.Connection, where: Where) -> list[int]:
    if where.is_prefix:
        (prefix,) = where.namespaces
        path = join_path(prefix)
        rows = connection.execute(
            "SELECT id FROM namespaces WHERE path >= ? AND path < ?", (path, path[:-1] + _AFTER_SEPARATOR)
        ).fetchall()
    else:
        rows = [
            row
            for namespace in dict.fromkeys(where.namespaces)
            for row in connection.execute("SELECT id FROM namespaces WHERE path = ?", (join_path(namespace),))
        ]
    return [number for (number,) in rows]


def _item(row: Sequence[Any]) -> ItemRow:
    path, key, value, created_at, updated_at, item_id, ttl = row
    return ItemRow(split_path(path), key, decode_value(value), created_at, updated_at, item_id, ttl)
