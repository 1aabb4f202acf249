"""What SQLAlchemy and the drivers raise, as errors of ours that hold no statement, no value and no password."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from agentgraph.errors import StoreError, StoreUnavailableError
from agentgraph.stores.sqlite import store_error

__all__ = ["database_fault"]


def database_fault(error: SQLAlchemyError, address: URL) -> StoreError:
    """Return what `error` says of the database at `address`."""
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError("the records database has no connection to spare; try again")
    if not isinstance(error, DBAPIError):
        return StoreError(f"the records database was misused: {type(error).__name__}")
    if isinstance(error.orig, sqlite3.Error):
        return store_error(error.orig, Path(address.database or ""))
    # What a server says of a statement may quote its values; of a connection it says who was refused, and why.
    said = type(error.orig).__name__ if error.statement else " ".join(str(error.orig).split())
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return StoreUnavailableError(f"the records database at {address.host!r} cannot be reached ({said})")
    return StoreError(f"the records database refused: {said}")
