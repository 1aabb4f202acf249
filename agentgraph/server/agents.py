"""`/agents`: named agents that a tenant creates while the server runs, each with chat, WebSocket and LangServe routes.

An agent is instructions, a model, and which tools it may call and how; its conversations and memories are the tenant's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError, PermissionDeniedError
from agentgraph.plain import readable
from agentgraph.run import RunRequest
from agentgraph.scope import Scope
from agentgraph.server import agent_records
from agentgraph.server.agent_records import Agent
from agentgraph.server.auth import authorize, caller_of
from agentgraph.server.chat import PROBLEMS, Dress, add_chat_routes
from agentgraph.server.event_log import EventLogs
from agentgraph.server.guard import Guard
from agentgraph.server.langserve import add_agent_langserve
from agentgraph.server.websocket import add_websocket

__all__ = ["AgentSpec", "agents_router"]

MOST_AGENTS: Final = 1_000
_MOST_TOOLS: Final = 1_000
_RESERVED: Final = frozenset({"default"})
_PLACE: Final = "/agents/{agent_name}"
_NO_NUL: Final = r"^[^\x00]*$"  # which PostgreSQL cannot be asked for
_Name = Annotated[str, Path(max_length=128, pattern=_NO_NUL, description="The agent's name.")]
_Tenant = Annotated[str | None, Query(description="Whose; without it the key's.")]
_IfMatch = Annotated[str | None, Header(description="Only if the agent still has this `ETag`.")]


class AgentSpec(BaseModel):
    """What an agent is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "researcher",
                    "instructions": "Look things up before you answer.",
                    "tools": ["search_web"],
                    "max_parallel_tools": 3,
                    "tool_call_timeout": 30.0,
                }
            ]
        },
    )

    name: str | None = Field(default=None, max_length=128, description="As in the path, where that has one.")
    instructions: str = Field(default="", max_length=100_000, description="What it is told before every conversation.")
    model: str | None = Field(
        default=None, max_length=256, description="`provider/model`; without it the deployment's."
    )
    tools: list[str] | None = Field(
        default=None, max_length=_MOST_TOOLS, description="Names of the tools it may call; without it all there are."
    )
    max_parallel_tools: int = Field(default=3, ge=1, le=64, description="How many tools may run at once.")
    tool_call_timeout: float = Field(default=30.0, gt=0, le=3600, description="Seconds that one tool may take.")


def agents_router(app: AgentGraph, guard: Guard) -> APIRouter:
    """Return `/chat`, `/ws`, `/agents` and all that stands below them. Include it without a prefix."""
    router = APIRouter(tags=["Agents"])
    logs = EventLogs(guard)
    add_chat_routes(router, app, logs)
    add_websocket(router, app, guard, logs)
    _add_agents(router, app)
    add_chat_routes(router, app, logs, prefix=_PLACE, dressed_for=lambda request: _dressed_for(app, request))
    add_websocket(router, app, guard, logs, path=f"{_PLACE}/ws", dressed_for=lambda socket: _dressed_for(app, socket))

    async def dressing(request: HTTPConnection, asked: RunRequest) -> RunRequest:
        return await _dressed_for(app, request)[1](asked)

    add_agent_langserve(router, app, _PLACE, dressing)
    return router


def _add_agents(router: APIRouter, app: AgentGraph) -> None:
    @router.get("/agents", responses={**PROBLEMS, 200: _LIST}, response_class=Response)
    async def list_agents(
        request: Request,
        tenant: _Tenant = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        after: Annotated[str, Query(max_length=128, pattern=_NO_NUL, description="`next` of the page before.")] = "",
    ) -> Response:
        """List the tenant's agents, by name."""
        whose = (await _scope(request, tenant)).tenant
        database = await app.records()
        found = await database.read(lambda db: agent_records.page(db, whose, after=after, limit=limit + 1))
        has_more = len(found) > limit
        told = [_told(agent) for agent in found[:limit]]
        return _json({"data": told, "has_more": has_more, "next": told[-1]["name"] if has_more else None})

    @router.post("/agents", status_code=201, responses={**PROBLEMS, 201: _ONE}, response_class=Response)
    async def create_agent(request: Request, asked: AgentSpec, tenant: _Tenant = None) -> Response:
        """Create an agent."""
        if asked.name is None:
            raise InvalidInputError("an agent needs a name", param="name")
        return await create(request, asked.name, asked, tenant)

    @router.post(_PLACE, status_code=201, responses={**PROBLEMS, 201: _ONE}, response_class=Response)
    async def create_named_agent(
        request: Request, agent_name: _Name, asked: AgentSpec, tenant: _Tenant = None
    ) -> Response:
        """Create an agent of this name."""
        return await create(request, agent_name, asked, tenant)

    async def create(request: Request, name: str, asked: AgentSpec, tenant: str | None) -> Response:
        agent = await _checked(app, request, name, asked, tenant)
        database = await app.records()
        await database.write(lambda db: agent_records.add(db, agent, most=MOST_AGENTS))
        return _json(_told(agent), status=201, headers={"ETag": _etag(agent), "Location": f"/agents/{agent.name}"})

    @router.get(_PLACE, responses={**PROBLEMS, 200: _ONE}, response_class=Response)
    async def read_agent(request: Request, agent_name: _Name, tenant: _Tenant = None) -> Response:
        """Describe an agent."""
        whose = (await _scope(request, tenant)).tenant
        database = await app.records()
        agent = await database.read(lambda db: agent_records.find(db, whose, agent_name))
        return _json(_told(agent), headers={"ETag": _etag(agent)})

    @router.put(_PLACE, responses={**PROBLEMS, 200: _ONE, 412: _STALE}, response_class=Response)
    async def change_agent(
        request: Request,
        agent_name: _Name,
        asked: AgentSpec,
        tenant: _Tenant = None,
        if_match: _IfMatch = None,
    ) -> Response:
        """Put another agent in the place of this one; runs under way end as they began."""
        agent = await _checked(app, request, agent_name, asked, tenant)
        database, may = await app.records(), _unless_stale(if_match)
        changed = await database.write(lambda db: agent_records.change(db, agent, may=may))
        return _json(_told(changed), headers={"ETag": _etag(changed)})

    @router.delete(_PLACE, status_code=204, responses={**PROBLEMS, 412: _STALE}, response_class=Response)
    async def delete_agent(
        request: Request, agent_name: _Name, tenant: _Tenant = None, if_match: _IfMatch = None
    ) -> Response:
        """Delete an agent. Its conversations and memories stay the tenant's."""
        whose, may = (await _owner(request, tenant)).tenant, _unless_stale(if_match)
        database = await app.records()
        await database.write(lambda db: agent_records.remove(db, whose, agent_name, may=may))
        return Response(status_code=204)


def _dressed_for(app: AgentGraph, request: HTTPConnection) -> tuple[str, Dress]:
    """Return the name of the agent that a path names, and what it brings."""
    name = str(request.path_params["agent_name"])

    async def dress(asked: RunRequest) -> RunRequest:
        database = await app.records()
        agent = await database.read(lambda db: agent_records.find(db, asked.scope.tenant, name))
        return agent.dressed(asked)

    return name, dress


async def _checked(app: AgentGraph, request: Request, name: str, asked: AgentSpec, tenant: str | None) -> Agent:
    """Return the agent that is described, if it could work."""
    scope = await _owner(request, tenant, agent=name)
    if name in _RESERVED:
        raise InvalidInputError(f"{name!r} is the deployment's own agent; choose another name", param="name")
    if asked.name not in {None, name}:
        raise InvalidInputError(f"the path names {name!r} and the body another agent", param="name")
    if asked.model is not None:
        await app.open_model(asked.model)
    known = {tool.name for tool in await app.tools_of(scope.tenant)}
    if unknown := [tool for tool in asked.tools or () if tool not in known]:
        raise InvalidInputError(f"there is no tool {unknown[0]!r}", param="tools", code="tool_not_found")
    now = datetime.now(UTC)
    return Agent(
        tenant=scope.tenant,
        name=name,
        instructions=readable(asked.instructions),
        model=asked.model,
        tools=None if asked.tools is None else tuple(dict.fromkeys(asked.tools)),
        max_parallel_tools=asked.max_parallel_tools,
        tool_call_timeout=asked.tool_call_timeout,
        created_at=now,
        updated_at=now,
    )


async def _scope(request: Request, tenant: str | None, *, agent: str = "default") -> Scope:
    scope = await authorize(request, tenant or caller_of(request).tenant or "default", agent=agent)
    if scope.session is not None:
        raise InvalidInputError("agents belong to a tenant, not to a session", param="tenant")
    return scope


async def _owner(request: Request, tenant: str | None, *, agent: str = "default") -> Scope:
    """Return the tenant whose agents a caller may change: not one who acts for a single person."""
    scope = await _scope(request, tenant, agent=agent)
    if "tenant" not in caller_of(request).scopes or scope.user is not None:
        raise PermissionDeniedError("this takes a key with the scope 'tenant'")
    return scope


def _told(agent: Agent) -> dict[str, Any]:
    return {
        "name": agent.name,
        "instructions": agent.instructions,
        "model": agent.model,
        "tools": agent.tools,
        "max_parallel_tools": agent.max_parallel_tools,
        "tool_call_timeout": agent.tool_call_timeout,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


def _etag(agent: Agent) -> str:
    # With the time, so that an agent created anew is not taken for the one before it.
    return json.dumps(f"{agent.version}-{agent.updated_at.timestamp():.6f}")


def _unless_stale(if_match: str | None) -> Callable[[Agent], None]:
    def check(agent: Agent) -> None:
        if if_match is not None and if_match.strip() != "*" and _etag(agent) not in if_match:
            raise HTTPException(412, "the agent has changed since you read it; read it again")

    return check


def _json(told: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(told), status_code=status, media_type="application/json", headers=headers)


_EXAMPLE: Final[dict[str, Any]] = {
    "name": "researcher",
    "instructions": "Look things up before you answer.",
    "model": None,
    "tools": ["search_web"],
    "max_parallel_tools": 3,
    "tool_call_timeout": 30.0,
    "created_at": "2026-11-21T12:00:00+00:00",
    "updated_at": "2026-11-21T12:00:00+00:00",
}
_ONE: Final[dict[str, Any]] = {
    "description": "The agent.",
    "content": {"application/json": {"example": _EXAMPLE}},
}
_LIST: Final[dict[str, Any]] = {
    "description": "The agents.",
    "content": {"application/json": {"example": {"data": [_EXAMPLE], "has_more": False, "next": None}}},
}
_STALE: Final[dict[str, Any]] = {
    "description": "The agent has changed since it was read.",
    "content": {"application/problem+json": {}},
}
