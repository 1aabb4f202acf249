"""Open an engine on SQLite or PostgreSQL, each made to wait where it has to and to keep what it has committed."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from agentgraph.errors import MissingExtraError
from agentgraph.stores.sqlite import BUSY_TIMEOUT_MS, Sync, store_error

__all__ = ["open_engine"]

_CONNECT_TIMEOUT_S: Final = 10
_CREATION_S: Final = 5.0
_CREATION_LOOK_S: Final = 0.005


def open_engine(address: URL, *, sync: Sync = "full") -> Engine:
    """Return an engine; nothing is connected yet.

    Connections whose transactions will write say so by the execution option `agentgraph_writing`.

    Raises:
        MissingExtraError: PostgreSQL's driver is not installed.
        StoreError: The file's directory cannot be made.
    """
    return _sqlite(address, sync) if address.get_backend_name() == "sqlite" else _postgres(address)


def _postgres(address: URL) -> Engine:
    try:
        return create_engine(
            address,
            pool_pre_ping=True,
            # Prepared statements belong to a session, and a pooler such as PgBouncer hands sessions around.
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, "prepare_threshold": None},
        )
    except ImportError as error:
        raise MissingExtraError("postgres", needed_for="database_url=postgresql://…") from error


def _sqlite(address: URL, sync: Sync) -> Engine:
    path = Path(address.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, path) from error
    engine = create_engine(address)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions late, and not at all for DDL
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _keep_journal_beside(connection)
        connection.execute(f"PRAGMA synchronous={sync.upper()}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that starts by reading cannot wait for another process's write lock later: ask first.
        is_writing = connection.get_execution_options().get("agentgraph_writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine


def _keep_journal_beside(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite's busy handler is not called where the kind of journal changes: look again by hand."""
    deadline = time.monotonic() + _CREATION_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_CREATION_LOOK_S)
