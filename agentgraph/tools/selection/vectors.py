"""Vectors of tools on disk, so that a restart embeds nothing anew: one SQLite file, shared by processes.

A cache: whatever happens to it costs time, never an answer. A damaged file is thrown away and begun again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["VectorCache", "text_key"]

_log: Final = logging.getLogger(__name__)
_FILE: Final = "tool_vectors.sqlite"
_BUSY_MS: Final = 5_000
_AT_ONCE: Final = 500  # keys of one statement; SQLite takes 32,766 at most
_DAY_S: Final = 86_400
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS vectors (
        model TEXT NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (model, text)
    ) WITHOUT ROWID
"""
Result = TypeVar("Result")


class VectorCache:
    """Vectors by embedding model and text. Its methods block: call them in a thread. Threads may share one object.

    No text is stored, only its hash.
    """

    def __init__(self, directory: Path, *, max_vectors: int = 200_000) -> None:
        """Keep the vectors in `directory`, which is made when the first is kept.

        Args:
            directory: Where the file `tool_vectors.sqlite` is; several processes may name the same.
            max_vectors: The longest unused go first beyond it; 200,000 of 384 numbers take 190 MB.
        """
        self._path = directory / _FILE
        self._max_vectors = max_vectors
        self._has_complained = False

    def read(self, model_id: str, texts: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the vectors that are kept of these texts, by `text_key`."""
        if not self._path.exists():
            return {}
        return self._attempt(lambda database: _read(database, model_id, texts)) or {}

    def write(self, model_id: str, vectors: Mapping[bytes, bytes]) -> None:
        """Keep `vectors`, by `text_key`."""
        if vectors:
            self._attempt(lambda database: _write(database, model_id, vectors, self._max_vectors))

    def _attempt(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        try:
            try:
                with self._opened() as database:
                    return work(database)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                _log.warning("%s is damaged (%s): it is begun anew", self._path, error)
                self._throw_away()
                with self._opened() as database:
                    return work(database)
        except (sqlite3.Error, OSError) as error:
            if not self._has_complained:
                self._has_complained = True
                _log.warning("vectors of tools are not kept in %s: %s", self._path, error)
            return None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_BUSY_MS / 1000)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_SCHEMA)
            with database:
                yield database
        finally:
            database.close()

    def _throw_away(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def text_key(text: str) -> bytes:
    """Return the key of a text: 16 bytes of its hash."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _read(database: sqlite3.Connection, model_id: str, texts: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    now = int(time.time())
    for start in range(0, len(texts), _AT_ONCE):
        keys = texts[start : start + _AT_ONCE]
        among = f"model = ? AND text IN ({','.join('?' * len(keys))})"
        found |= dict(database.execute(f"SELECT text, vector FROM vectors WHERE {among}", (model_id, *keys)))  # noqa: S608  placeholders only
        # Once a day is enough to tell the used from the unused, and mostly spares the write.
        stale = f"UPDATE vectors SET used = ? WHERE {among} AND used < ?"  # noqa: S608
        if found:
            database.execute(stale, (now, model_id, *keys, now - _DAY_S))
    return found


def _write(database: sqlite3.Connection, model_id: str, vectors: Mapping[bytes, bytes], most: int) -> None:
    now = int(time.time())
    rows = [(model_id, key, vector, now) for key, vector in vectors.items()]
    database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
    (count,) = database.execute("SELECT count(*) FROM vectors").fetchone()
    if count > most:
        oldest = "SELECT model, text FROM vectors ORDER BY used, text LIMIT ?"
        database.execute(f"DELETE FROM vectors WHERE (model, text) IN ({oldest})", (count - most,))  # noqa: S608
