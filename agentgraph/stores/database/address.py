"""Where the records are: a file of our own, or what `database_url` names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from agentgraph.errors import ConfigurationError
from agentgraph.scope import system_directory
from agentgraph.stores.database.database import RECORDS_FILE

__all__ = ["database_address"]

_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",  # as many hosts spell it
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def database_address(url: str | None, storage_dir: Path) -> URL:
    """Read `database_url`; without one the records are a SQLite file under `storage_dir`, in no tenant's directory.

    Raises:
        ConfigurationError: It is no URL, of a database we do not know, or of one that would be gone at the end.
    """
    if url is None:
        return URL.create(_DRIVERS["sqlite"], database=str(system_directory(storage_dir) / RECORDS_FILE))
    try:
        given = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(_wrong("is no URL"), code="database_url") from error
    driver = _DRIVERS.get(given.drivername)
    if driver is None:
        raise ConfigurationError(_wrong(f"begins with {given.drivername!r}"), code="database_url")
    if driver.startswith("sqlite") and given.database in {None, "", ":memory:"}:
        raise ConfigurationError(_wrong("names no file"), code="database_url")
    return given.set(drivername=driver)


def _wrong(how: str) -> str:  # the URL itself may hold a password
    return f"database_url {how}; write postgresql://user:password@host/database or sqlite:////path/to/file.db"
