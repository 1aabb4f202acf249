"""Agents that tenants create, in the records database: what each is called, told, and may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.run import RunRequest
from agentgraph.stores.database.tables.agents import agents

__all__ = ["Agent", "add", "change", "find", "page", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A named agent of a tenant.

    Attributes:
        tenant: Whose.
        name: Unique among the tenant's.
        instructions: What it is told before every conversation, after the deployment's own.
        model: `provider/model`; `None` for the deployment's.
        tools: Names of the server's tools it may call; `None` for all of the tenant's.
        max_parallel_tools: How many of them run at once.
        tool_call_timeout: Seconds that one of them may take.
        created_at: Aware.
        updated_at: Aware.
        version: Counts its changes, from 1.
    """

    tenant: str
    name: str
    instructions: str
    model: str | None
    tools: tuple[str, ...] | None
    max_parallel_tools: int
    tool_call_timeout: float
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def dressed(self, asked: RunRequest) -> RunRequest:
        """Return a request as this agent takes it; what it says itself wins."""
        instructions = [text for text in (self.instructions, asked.system_prompt) if text]
        return replace(
            asked,
            scope=replace(asked.scope, agent=self.name),
            system_prompt="\n\n".join(instructions) or None,
            model=asked.model or self.model,
            server_tools=self.tools,
            max_parallel_tools=min(asked.max_parallel_tools or self.max_parallel_tools, self.max_parallel_tools),
            tool_timeout_s=self.tool_call_timeout,
        )


def page(connection: Connection, tenant: str, *, after: str, limit: int) -> list[Agent]:
    """Return a tenant's agents by name, those after one of them."""
    found = select(agents).where(agents.c.tenant == tenant, agents.c.name > after).order_by(agents.c.name).limit(limit)
    return [_agent(row) for row in connection.execute(found)]


def find(connection: Connection, tenant: str, name: str) -> Agent:
    """Return an agent.

    Raises:
        NotFoundError: The tenant has none of that name.
    """
    row = connection.execute(select(agents).where(agents.c.tenant == tenant, agents.c.name == name)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no agent {name!r}", code="agent_not_found")
    return _agent(row)


def add(connection: Connection, agent: Agent, *, most: int) -> None:
    """Keep a new agent.

    Raises:
        InvalidInputError: There is one of that name, or the tenant has enough of them.
    """
    names = connection.execute(select(agents.c.name).where(agents.c.tenant == agent.tenant)).scalars().all()
    if agent.name in names:
        raise InvalidInputError(f"there is an agent {agent.name!r} already", param="name", code="agent_exists")
    if len(names) >= most:
        raise InvalidInputError(f"a tenant may have {most} agents; delete one", code="too_many_agents")
    connection.execute(insert(agents).values(_row(agent)))


def change(connection: Connection, agent: Agent, *, may: Callable[[Agent], None]) -> Agent:
    """Put an agent in place of the one of its name, if `may` does not raise of that one, and return it.

    Raises:
        NotFoundError: There is none.
    """
    known = find(connection, agent.tenant, agent.name)
    may(known)
    changed = replace(agent, created_at=known.created_at, version=known.version + 1)
    here = (agents.c.tenant == agent.tenant, agents.c.name == agent.name)
    connection.execute(update(agents).where(*here).values(_row(changed)))
    return changed


def remove(connection: Connection, tenant: str, name: str, *, may: Callable[[Agent], None]) -> None:
    """Delete an agent, if `may` does not raise of it. Its conversations stay.

    Raises:
        NotFoundError: There is none.
    """
    may(find(connection, tenant, name))
    connection.execute(delete(agents).where(agents.c.tenant == tenant, agents.c.name == name))


def _row(agent: Agent) -> dict[str, Any]:
    return {**asdict(agent), "tools": None if agent.tools is None else [*agent.tools]}


def _agent(row: Row[Any]) -> Agent:
    return Agent(
        tenant=row.tenant,
        name=row.name,
        instructions=row.instructions,
        model=row.model,
        tools=None if row.tools is None else tuple(row.tools),
        max_parallel_tools=row.max_parallel_tools,
        tool_call_timeout=row.tool_call_timeout,
        created_at=_aware(row.created_at),
        updated_at=_aware(row.updated_at),
        version=row.version,
    )


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)  # SQLite forgets the zone
