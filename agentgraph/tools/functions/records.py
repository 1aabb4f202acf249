"""Functions in the records database. Each job runs in one transaction, and a writer's begins by `advance`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.stores.database.tables.functions import EVERYONE, function_versions, functions
from agentgraph.stores.database.tables.generations import advance
from agentgraph.tools.functions.definition import FunctionDefinition, Parameter, RegisteredFunction

__all__ = ["EVERYONE", "SUBJECT", "Catalogue", "add", "catalogue", "remove", "set_enabled", "versions"]

SUBJECT: Final = "functions"
_MOST_OF_ONE: Final = 500
_VERSIONS_KEPT: Final = 100

Catalogue: TypeAlias = Mapping[str, Mapping[str, RegisteredFunction]]
"""The versions in force, by tenant (`EVERYONE` for all) and name; disabled ones as well."""

_ROWS: Final = select(functions, function_versions).join_from(functions, function_versions)
_LATEST: Final = and_(functions.c.latest == function_versions.c.version, functions.c.is_deleted.is_(False))


def catalogue(connection: Connection) -> Catalogue:
    """Return every function in force."""
    found: dict[str, dict[str, RegisteredFunction]] = {}
    for row in connection.execute(_ROWS.where(_LATEST).order_by(functions.c.tenant, functions.c.name)):
        found.setdefault(row.tenant, {})[row.name] = _registered(row)
    return found


def versions(connection: Connection, tenant: str, name: str) -> list[RegisteredFunction]:
    """Return the versions of a function, the newest first; none of one that was deleted."""
    mine = and_(functions.c.tenant == tenant, functions.c.name == name)
    rows = connection.execute(_ROWS.where(mine).order_by(function_versions.c.version.desc()))
    return [_registered(row) for row in rows]


def add(connection: Connection, tenant: str, definition: FunctionDefinition, *, now: datetime) -> RegisteredFunction:
    """Register a function, and return the version in force: a new one, unless nothing has changed.

    Raises:
        InvalidInputError: Another owner has a function of that name which the same runs would be offered, or the
            owner has too many.
    """
    advance(connection, SUBJECT)
    _refuse_clash(connection, tenant, definition.name)
    before = versions(connection, tenant, definition.name)
    if before and before[0].definition == definition:
        return before[0]
    function_id, version = _place(connection, tenant, definition.name)
    connection.execute(
        insert(function_versions).values(
            function_id=function_id,
            version=version,
            description=definition.description,
            parameters=[each.model_dump(exclude_defaults=True) for each in definition.parameters],
            code=definition.code,
            registered_at=now.astimezone(UTC),
        )
    )
    too_old = function_versions.c.version <= version - _VERSIONS_KEPT
    connection.execute(delete(function_versions).where(function_versions.c.function_id == function_id, too_old))
    return versions(connection, tenant, definition.name)[0]


def remove(connection: Connection, tenant: str, name: str) -> None:
    """Delete a function with all its versions; its number of versions stays, so that none is given twice.

    Raises:
        NotFoundError: There is none.
    """
    advance(connection, SUBJECT)
    function_id = _present(connection, tenant, name)
    connection.execute(delete(function_versions).where(function_versions.c.function_id == function_id))
    connection.execute(update(functions).where(functions.c.function_id == function_id).values(is_deleted=True))


def set_enabled(connection: Connection, tenant: str, name: str, *, is_enabled: bool) -> RegisteredFunction:
    """Offer a function, or offer it no more.

    Raises:
        NotFoundError: There is none.
    """
    advance(connection, SUBJECT)
    function_id = _present(connection, tenant, name)
    connection.execute(update(functions).where(functions.c.function_id == function_id).values(is_enabled=is_enabled))
    return versions(connection, tenant, name)[0]


def _place(connection: Connection, tenant: str, name: str) -> tuple[int, int]:
    """Return the row of a function, made if need be, and the number of its next version."""
    mine = and_(functions.c.tenant == tenant, functions.c.name == name)
    row = connection.execute(select(functions).where(mine)).one_or_none()
    if row is None or row.is_deleted:
        owned = select(functions.c.function_id).where(functions.c.tenant == tenant, functions.c.is_deleted.is_(False))
        if len(connection.execute(owned.limit(_MOST_OF_ONE)).all()) >= _MOST_OF_ONE:
            raise InvalidInputError(f"{_owner(tenant)} has {_MOST_OF_ONE} functions already; delete some", param="name")
    if row is None:
        fresh = {"tenant": tenant, "name": name, "latest": 1, "is_enabled": True, "is_deleted": False}
        return connection.execute(insert(functions).values(fresh).returning(functions.c.function_id)).scalar_one(), 1
    changes: dict[str, Any] = {"latest": row.latest + 1, "is_deleted": False}
    if row.is_deleted:
        changes["is_enabled"] = True
    connection.execute(update(functions).where(functions.c.function_id == row.function_id).values(changes))
    return row.function_id, row.latest + 1


def _refuse_clash(connection: Connection, tenant: str, name: str) -> None:
    same = select(functions.c.tenant).where(functions.c.name == name, functions.c.is_deleted.is_(False))
    rivals = functions.c.tenant != EVERYONE if tenant == EVERYONE else functions.c.tenant == EVERYONE
    rival = connection.execute(same.where(rivals).order_by(functions.c.tenant).limit(1)).scalar()
    if rival is not None:
        raise InvalidInputError(
            f"{_owner(rival)} has a function {name!r} already; give this one another name",
            param="name",
            code="name_taken",
        )


def _present(connection: Connection, tenant: str, name: str) -> int:
    mine = and_(functions.c.tenant == tenant, functions.c.name == name, functions.c.is_deleted.is_(False))
    function_id = connection.execute(select(functions.c.function_id).where(mine)).scalar()
    if function_id is None:
        raise NotFoundError(f"{_owner(tenant)} has no function {name!r}")
    return int(function_id)


def _owner(tenant: str) -> str:
    return "the deployment" if tenant == EVERYONE else f"the tenant {tenant!r}"


def _registered(row: Row[Any]) -> RegisteredFunction:
    at: datetime = row.registered_at
    return RegisteredFunction(
        tenant=None if row.tenant == EVERYONE else row.tenant,
        version=row.version,
        definition=FunctionDefinition(
            name=row.name,
            description=row.description,
            parameters=tuple(Parameter(**each) for each in row.parameters),
            code=row.code,
        ),
        registered_at=at if at.tzinfo else at.replace(tzinfo=UTC),  # SQLite keeps no zone
        is_latest=row.version == row.latest,
        is_enabled=row.is_enabled,
    )
