"""The SQL that SQLite and PostgreSQL share, and the little in which they differ.

Statements take `?` for parameters, `ON CONFLICT` for upserts, and no `rowid` or `INSERT OR …`. Types are `TEXT`,
`BIGINT`, `DOUBLE PRECISION` and `BLOB`; truth is 0 or 1. A parameter of which PostgreSQL cannot tell the type is cast.
Keys that number themselves are spelt as SQLite spells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

__all__ = ["Connection", "Cursor", "postgres"]


class Cursor(Protocol):
    """What a statement returns."""

    @property
    def rowcount(self) -> int:
        """How many rows a statement changed."""

    def fetchone(self) -> Any:
        """Return the next row, or `None`."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A database connection inside a transaction that somebody else begins and ends; `sqlite3.Connection` is one."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each row of parameters."""


def postgres(sql: str) -> str:
    """Spell a statement of ours for PostgreSQL."""
    sql = sql.replace("%", "%%").replace("?", "%s").replace("BLOB", "BYTEA")
    return sql.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
