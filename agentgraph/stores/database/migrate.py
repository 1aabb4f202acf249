"""Bring the schema up, or down, to a version: once, whichever of several processes comes first.

Versions are the numbers of the files in `migrations/versions`. Alembic is imported only where there is work for it: a
database that is up to date is known by one query.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from agentgraph.errors import InvalidInputError, StoreError
from agentgraph.stores.database.metadata import VERSION_TABLE

__all__ = ["VERSIONS", "change_version", "downgrade_target", "ensure_newest", "version_of"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSIONS: Final = tuple(sorted(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v[0-9]*.py")))
"""All versions there are, the oldest first."""

_one_at_a_time: Final = threading.Lock()  # Alembic keeps the migration under way in its modules

_LOCK: Final = 0x61_67_67_72  # "aggr", among the advisory locks of whatever else uses the database


def version_of(connection: Connection) -> str | None:
    """Return the schema's version; `None` for a database without our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def ensure_newest(engine: Engine) -> None:
    """Bring the schema up to the newest version, if it is not.

    Raises:
        StoreError: A newer agentgraph has been here.
    """
    with engine.connect() as connection:
        version = version_of(connection)
    if version != VERSIONS[-1]:
        change_version(engine, VERSIONS[-1], is_upgrade=True)


def change_version(engine: Engine, target: str | None, *, is_upgrade: bool) -> tuple[str | None, str | None]:
    """Bring the schema to a version in one transaction, and return the version before and after.

    Args:
        engine: The database.
        target: A version; `None` removes our tables.
        is_upgrade: Only ever go up, else only ever down: a process that comes late finds the work done.

    Raises:
        StoreError: A newer agentgraph has been here; nothing was changed.
    """
    with engine.connect().execution_options(agentgraph_writing=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":  # SQLite's transaction is the lock already
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = version_of(connection)
        _check_known(before)
        if is_upgrade and (before or "") < (target or ""):
            _alembic(connection, target, is_upgrade=True)
        elif not is_upgrade and (before or "") > (target or ""):
            _alembic(connection, target, is_upgrade=False)
        return before, version_of(connection)


def downgrade_target(asked: str, version: str | None) -> str | None:
    """Read what a downgrade was asked for: a version, `base` for none, or steps such as `-1`.

    Raises:
        InvalidInputError: There is no such version below the present one.
    """
    if asked == "base":
        return None
    below = [each for each in VERSIONS if version is not None and each < version]
    if asked.startswith("-") and asked[1:].isdecimal() and 1 <= int(asked[1:]) <= len(below) + 1:
        return ([None, *below])[-int(asked[1:])]
    if asked in below:
        return asked
    known = ", ".join(["base", *below])
    raise InvalidInputError(f"cannot downgrade to {asked!r}: give one of {known}, or steps such as -1", param="version")


def _check_known(version: str | None) -> None:
    if version is not None and version not in VERSIONS:
        raise StoreError(
            f"the records database is of version {version}, and this agentgraph knows them up to {VERSIONS[-1]}: "
            "install the newer agentgraph that was here, or downgrade the database with it (agentgraph db downgrade)",
            code="database_newer",
        )


def _alembic(connection: Connection, target: str | None, *, is_upgrade: bool) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _one_at_a_time:
        if is_upgrade:
            command.upgrade(config, target or "base")
        else:
            command.downgrade(config, target or "base")
