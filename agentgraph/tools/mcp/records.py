"""MCP servers in the records database. Each job runs in one transaction, and a writer's begins by `advance`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias, cast

from pydantic import SecretStr
from sqlalchemy import Connection, delete, insert, select

from agentgraph.errors import InvalidInputError
from agentgraph.stores.database.tables.functions import EVERYONE
from agentgraph.stores.database.tables.generations import advance, generation
from agentgraph.stores.database.tables.mcp_servers import mcp_accepted, mcp_servers
from agentgraph.tools.mcp.definition import Protocol, ServerDefinition

__all__ = ["Accepted", "Records", "add", "read", "remove", "set_accepted"]

SUBJECT: Final = "mcp"
_MOST_OF_ONE: Final = 50

Key: TypeAlias = tuple[str | None, str]
Accepted: TypeAlias = Mapping[str, str]
"""A server's own names of its tools, and the fingerprint each was accepted with."""


class Records:
    """What the database holds.

    Attributes:
        generation: Changes whenever the rest does.
        servers: The servers registered at run time.
        accepted: What was accepted of which server: where it was, and its tools.
    """

    def __init__(
        self,
        generation: int,
        servers: Mapping[Key, ServerDefinition],
        accepted: Mapping[Key, tuple[str, Accepted]],
    ) -> None:
        self.generation = generation
        self.servers = servers
        self.accepted = accepted


def read(connection: Connection, *, known: int | None = None) -> Records | None:
    """Return everything; `None` where it still is as it was when its generation was `known`."""
    number = generation(connection, SUBJECT)
    if number == known:
        return None
    servers: dict[Key, ServerDefinition] = {}
    for row in connection.execute(select(mcp_servers)):
        key = (None if row.tenant == EVERYONE else row.tenant, row.name)
        servers[key] = ServerDefinition(
            name=row.name,
            tenant=key[0],
            protocol=cast("Protocol", row.protocol),
            url=row.url,
            api_key=None if row.api_key is None else SecretStr(row.api_key),
            timeout_s=row.options.get("timeout_s"),
            accept_new=bool(row.options.get("accept_new")),
            needs_approval=frozenset(row.options.get("needs_approval", ())),
            consequential=frozenset(row.options.get("consequential", ())),
        )
    accepted = {
        (None if row.tenant == EVERYONE else row.tenant, row.name): (row.place, row.tools)
        for row in connection.execute(select(mcp_accepted))
    }
    return Records(number, servers, accepted)


def add(connection: Connection, definition: ServerDefinition, *, accepted: Accepted, now: datetime) -> None:
    """Register a server, with its tools as accepted.

    Raises:
        InvalidInputError: The name is taken by one whose tools the same runs would be offered, or there are too many.
    """
    advance(connection, SUBJECT)
    tenant = definition.tenant or EVERYONE
    named = connection.execute(select(mcp_servers.c.tenant).where(mcp_servers.c.name == definition.name)).scalars()
    if any(EVERYONE in {owner, tenant} or owner == tenant for owner in named):
        raise InvalidInputError(
            f"there is an MCP server {definition.name!r} already: disconnect it, or choose another name",
            param="name",
            code="mcp_server_exists",
        )
    mine = select(mcp_servers.c.name).where(mcp_servers.c.tenant == tenant)
    if len(connection.execute(mine).all()) >= _MOST_OF_ONE:
        raise InvalidInputError(f"there are {_MOST_OF_ONE} MCP servers already; disconnect some", param="name")
    connection.execute(
        insert(mcp_servers).values(
            tenant=tenant,
            name=definition.name,
            protocol=definition.protocol,
            url=definition.url,
            api_key=None if definition.api_key is None else definition.api_key.get_secret_value(),
            options={
                "timeout_s": definition.timeout_s,
                "accept_new": definition.accept_new,
                "needs_approval": sorted(definition.needs_approval),
                "consequential": sorted(definition.consequential),
            },
            registered_at=now.astimezone(UTC),
        )
    )
    _keep_accepted(connection, definition, accepted)


def remove(connection: Connection, definition: ServerDefinition) -> None:
    """Forget a server and what was accepted of it."""
    advance(connection, SUBJECT)
    for table in (mcp_servers, mcp_accepted):
        mine = (table.c.tenant == (definition.tenant or EVERYONE)) & (table.c.name == definition.name)
        connection.execute(delete(table).where(mine))


def set_accepted(connection: Connection, definition: ServerDefinition, accepted: Accepted) -> None:
    """Keep what was accepted of a server, in place of what was before."""
    advance(connection, SUBJECT)
    _keep_accepted(connection, definition, accepted)


def _keep_accepted(connection: Connection, definition: ServerDefinition, accepted: Accepted) -> None:
    tenant = definition.tenant or EVERYONE
    mine = (mcp_accepted.c.tenant == tenant) & (mcp_accepted.c.name == definition.name)
    connection.execute(delete(mcp_accepted).where(mine))
    row = {"tenant": tenant, "name": definition.name, "place": definition.place_digest, "tools": dict(accepted)}
    connection.execute(insert(mcp_accepted).values(row))
