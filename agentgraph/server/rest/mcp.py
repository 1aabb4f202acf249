"""`/mcp`: MCP servers that agents take tools from. Administrators connect and disconnect them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError, ToolError, ToolTimeoutError
from agentgraph.server.rest.acting import ActingForAll
from agentgraph.server.rest.fields import Words
from agentgraph.server.rest.functions import Call, Owner
from agentgraph.server.rest.pages import After, Limit, Page, page_within, position_after
from agentgraph.tools.mcp.definition import McpServer, McpTool

__all__ = ["add_mcp_routes"]

ServerName: TypeAlias = Annotated[str, Path(min_length=1, max_length=32, description="A server.", examples=["maps"])]
ToolName: TypeAlias = Annotated[
    str, Path(min_length=1, max_length=256, description="A tool, as `server__tool`.", examples=["maps__route"])
]


class NewServer(BaseModel):
    """A server to connect to."""

    model_config = ConfigDict(extra="forbid")

    name: Words = Field(description="Its tools will be called `name__tool`.", examples=["maps"])
    url: Words = Field(examples=["wss://maps.example.com/mcp"])
    protocol: Literal["http", "sse", "websocket"] = Field(default="http", examples=["websocket"])
    api_key: SecretStr | None = Field(
        default=None, description="Sent as a bearer token; shown nowhere.", examples=[None]
    )


class ServerView(BaseModel):
    """A server; its key is told nobody."""

    name: str = Field(examples=["maps"])
    tenant: str | None = Field(description="Whose; `null` for every tenant's.", examples=[None])
    protocol: str = Field(examples=["websocket"])
    url: str = Field(description="Without its query.", examples=["wss://maps.example.com/mcp"])
    state: str = Field(description="`connecting`, `connected` or `lost`.", examples=["connected"])
    fault: str | None = Field(examples=[None])
    tools: int = Field(description="How many of its tools are offered.", examples=[3])
    withheld: int = Field(description="How many are not.", examples=[0])
    has_api_key: bool = Field(examples=[True])


class ToolView(BaseModel):
    """A tool as its server lists it."""

    name: str = Field(examples=["maps__route"])
    server: str = Field(examples=["maps"])
    description: str = Field(examples=["Find a route."])
    parameters: dict[str, Any] = Field(examples=[{"type": "object", "properties": {"to": {"type": "string"}}}])
    state: str = Field(description="`offered`, or why not: `new`, `changed`, `refused`.", examples=["offered"])
    reason: str | None = Field(examples=[None])


class ToolOutcome(BaseModel):
    """What a tool returned: a stranger's words."""

    text: str = Field(examples=["Take the train."])
    structured: dict[str, Any] | None = Field(examples=[None])
    is_error: bool = Field(description="Whether the tool says that it failed.", examples=[False])


def add_mcp_routes(router: APIRouter, app: AgentGraph) -> None:
    """Add the routes of MCP servers."""

    @router.post("/mcp/servers", status_code=201, tags=["MCP"])
    async def connect_server(owner: Owner, body: NewServer, response: Response) -> ServerView:
        """Connect to a server, and accept its tools as they are now."""
        try:
            server = await app.mcp.connect(
                body.name, url=body.url, protocol=body.protocol, api_key=body.api_key, tenant=owner
            )
        except ToolError as error:
            raise InvalidInputError(error.message, param="url", code=error.code) from error
        response.headers["Location"] = "/api/v1/mcp/servers"
        return _view(server)

    @router.get("/mcp/servers", tags=["MCP"])
    async def list_servers(scope: ActingForAll, limit: Limit = 50, after: After = None) -> Page[ServerView]:
        """List the servers a tenant has tools of, its own and the deployment's, and how they are."""
        begins = position_after(after, of="servers")
        servers = await app.mcp.list(tenant=scope.tenant)
        return page_within(servers, _view, of="servers", limit=limit, begins_at=begins)

    @router.delete("/mcp/servers/{name}", status_code=204, tags=["MCP"])
    async def disconnect_server(owner: Owner, name: ServerName) -> None:
        """Disconnect a server for good; its tools are gone for runs that begin after."""
        await app.mcp.disconnect(name, tenant=owner)

    @router.get("/mcp/tools", tags=["MCP"])
    async def list_tools(scope: ActingForAll, limit: Limit = 50, after: After = None) -> Page[ToolView]:
        """List the tools that servers have, the withheld ones too."""
        begins = position_after(after, of="tools")
        tools = await app.mcp.tools(tenant=scope.tenant)
        return page_within(tools, _tool, of="tools", limit=limit, begins_at=begins)

    @router.post(
        "/mcp/tools/{name}/execute",
        tags=["MCP"],
        responses={
            502: {"description": "The server is not there, or refused the call."},
            504: {"description": "The tool did not answer in time."},
        },
    )
    async def execute_tool(scope: ActingForAll, name: ToolName, body: Call) -> ToolOutcome:
        """Call a tool."""
        try:
            outcome = await app.mcp.call(name, body.arguments, tenant=scope.tenant)
        except ToolTimeoutError as error:
            raise HTTPException(504, error.message) from error
        except ToolError as error:
            raise HTTPException(502, error.message) from error
        structured = None if outcome.structured is None else dict(outcome.structured)
        return ToolOutcome(text=outcome.text, structured=structured, is_error=outcome.is_error)


def _view(server: McpServer) -> ServerView:
    return ServerView(
        name=server.name,
        tenant=server.tenant,
        protocol=server.protocol,
        url=server.place,
        state=server.state,
        fault=server.fault,
        tools=server.tools,
        withheld=server.withheld,
        has_api_key=server.has_api_key,
    )


def _tool(tool: McpTool) -> ToolView:
    return ToolView(
        name=tool.name,
        server=tool.server,
        description=tool.description,
        parameters=dict(tool.parameters),
        state=tool.state,
        reason=tool.reason,
    )
