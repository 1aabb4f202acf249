"""Declared tools in the records database. Each job runs in one transaction, and a writer's begins by `advance`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.stores.database.tables.generations import advance
from agentgraph.stores.database.tables.tool_schemas import tool_schemas

__all__ = ["Declared", "declare", "declared", "withdraw"]

_SUBJECT: Final = "tool_schemas"
_MOST_OF_ONE: Final = 1_000
Declared: TypeAlias = Mapping[str, tuple[Mapping[str, Any], ...]]
"""By tenant, in the order they were declared in."""


def declared(connection: Connection) -> Declared:
    """Return what every tenant has declared."""
    found: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for row in connection.execute(select(tool_schemas).order_by(tool_schemas.c.schema_id)):
        found[row.tenant] = (*found.get(row.tenant, ()), row.schema)
    return found


def declare(connection: Connection, tenant: str, schemas: Sequence[Mapping[str, Any]]) -> None:
    """Keep schemas, each in place of one of the same name.

    Raises:
        InvalidInputError: The tenant would have too many.
    """
    advance(connection, _SUBJECT)
    for schema in schemas:
        name = schema["function"]["name"]
        mine = and_(tool_schemas.c.tenant == tenant, tool_schemas.c.name == name)
        if not connection.execute(update(tool_schemas).where(mine).values(schema=schema)).rowcount:
            connection.execute(insert(tool_schemas).values(tenant=tenant, name=name, schema=schema))
    count = connection.execute(select(func.count()).where(tool_schemas.c.tenant == tenant)).scalar_one()
    if count > _MOST_OF_ONE:
        raise InvalidInputError(f"a tenant can declare {_MOST_OF_ONE} tools; remove some", param="tools")


def withdraw(connection: Connection, tenant: str, name: str) -> None:
    """Remove a schema.

    Raises:
        NotFoundError: There is none of that name.
    """
    advance(connection, _SUBJECT)
    mine = and_(tool_schemas.c.tenant == tenant, tool_schemas.c.name == name)
    if not connection.execute(delete(tool_schemas).where(mine)).rowcount:
        raise NotFoundError(f"the tenant {tenant!r} has declared no tool {name!r}", code="tool_not_found")
