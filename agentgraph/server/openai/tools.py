"""`/tools`: tools a tenant declares once, for all of its requests; see `AgentGraph.declared_tools`."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from agentgraph.errors import InvalidInputError, PermissionDeniedError
from agentgraph.server.auth import authorize, caller_of
from agentgraph.server.openai.api import OpenAIApi, json_response

__all__ = ["add_tool_routes"]

_TOOL: Final = {
    "type": "function",
    "function": {"name": "book", "description": "Book a seat.", "parameters": {"type": "object", "properties": {}}},
}
_DOCS: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {"type": "object"},
                    "description": "In any format that a request's `tools` may have; one of a name known already "
                    "takes its place.",
                },
                "example": [_TOOL],
            }
        },
    }
}


def add_tool_routes(router: APIRouter, api: OpenAIApi) -> None:
    """Add the routes."""

    @router.post("/{tenant:path}/tools", openapi_extra=_DOCS)
    async def declare_tools(request: Request, tenant: str) -> Response:
        """Declare tools for all requests of a tenant from now on."""
        return await declare(request, tenant)

    @router.post("/tools", openapi_extra=_DOCS)
    async def declare_tools_of_key(request: Request) -> Response:
        """Declare tools for all requests of the tenant that the key is of."""
        return await declare(request, None)

    @router.get("/{tenant:path}/tools")
    async def list_tools(request: Request, tenant: str) -> Response:
        """List what a tenant has declared."""
        return await listed(request, tenant)

    @router.get("/tools")
    async def list_tools_of_key(request: Request) -> Response:
        """List what the tenant that the key is of has declared."""
        return await listed(request, None)

    @router.delete("/{tenant:path}/tools/{name}")
    async def remove_tool(request: Request, tenant: str, name: str) -> Response:
        """Withdraw a tool."""
        return await removed(request, tenant, name)

    @router.delete("/tools/{name}")
    async def remove_tool_of_key(request: Request, name: str) -> Response:
        """Withdraw a tool of the tenant that the key is of."""
        return await removed(request, None, name)

    async def declare(request: Request, tenant: str | None) -> Response:
        whose = await _changeable(request, tenant)
        tools = await api.body(request, _read)
        count = await api.app.declared_tools.declare(tools, tenant=whose)
        return json_response({"status": "success", "count": count})

    async def listed(request: Request, tenant: str | None) -> Response:
        whose = (await authorize(request, tenant)).tenant
        tools = await api.app.declared_tools.list(tenant=whose)
        return json_response({"object": "list", "data": [dict(tool) for tool in tools]})

    async def removed(request: Request, tenant: str | None, name: str) -> Response:
        whose = await _changeable(request, tenant)
        await api.app.declared_tools.remove(name, tenant=whose)
        return json_response({"id": name, "object": "tool", "deleted": True})


async def _changeable(request: Request, tenant: str | None) -> str:
    """Return the tenant whose tools may be changed: it concerns all of its users.

    Raises:
        PermissionDeniedError: The caller is one of them.
    """
    scope = await authorize(request, tenant)
    if "tenant" not in caller_of(request).scopes or scope.user is not None:
        raise PermissionDeniedError("this takes a key with the scope 'tenant': it concerns all of its users")
    return scope.tenant


def _read(body: bytes) -> list[Any]:
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the body is not valid JSON: {error.msg}", code="invalid_json") from None
    if isinstance(read, dict) and set(read) == {"tools"}:
        read = read["tools"]
    if not isinstance(read, list):
        raise InvalidInputError("the body must be a JSON array of tools", param="tools")
    return read
