"""agentgraph as an MCP server: `chat`, `search_memory` and `save_memory`, for one tenant a connection.

Over streamable HTTP it stands at `/mcp/{tenant}` behind the same keys as everything else, and keeps no sessions, so any
of several processes may answer; `agentgraph mcp` speaks it over standard streams. Whose data a call is about comes from
the address and the key, never from an argument.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import orjson
from langchain_core.exceptions import ModelError
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError, InvalidInputError
from agentgraph.run import RunRequest
from agentgraph.scope import Scope
from agentgraph.server import turns
from agentgraph.server.auth import authorize

__all__ = ["McpEndpoint", "mcp_server", "serve_stdio"]

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE: Final = 100_000
_LONGEST_QUERY: Final = 1_000
_LONGEST_MEMORY: Final = 10_000
_INSTRUCTIONS: Final = "An agent with a memory of its own. Threads keep a conversation; memories outlive it."


def _text(description: str, longest: int) -> dict[str, Any]:
    return {"type": "string", "description": description, "minLength": 1, "maxLength": longest}


def _schema(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [required], "additionalProperties": False}


_TOOLS: Final = (
    types.Tool(
        name="chat",
        description="Talk with the agent. With a thread the conversation goes on where it stood.",
        inputSchema=_schema(
            "message",
            message=_text("What to say.", _LONGEST_MESSAGE),
            thread=_text("The conversation's id, of your choice; without one nothing of it is kept but memory.", 128),
        ),
    ),
    types.Tool(
        name="search_memory",
        description="Find what is remembered, also by time: 'What happened last week?'",
        inputSchema=_schema("query", query=_text("A question, or anything a user might say.", _LONGEST_QUERY)),
        annotations=types.ToolAnnotations(readOnlyHint=True),
    ),
    types.Tool(
        name="save_memory",
        description="Remember something for later conversations. The same words are kept once.",
        inputSchema=_schema("text", text=_text("One short sentence, such as 'I moved to Rome.'", _LONGEST_MEMORY)),
        annotations=types.ToolAnnotations(idempotentHint=True, destructiveHint=False),
    ),
)


def mcp_server(app: AgentGraph, scope_of: Callable[[Request | None], Awaitable[Scope]]) -> Server[Any, Any]:
    """Return the server's tools, over whichever transport.

    Args:
        app: Answers.
        scope_of: Says whom a call is for; given the HTTP request, where there is one.
    """
    server: Server[Any, Any] = Server("agentgraph", version=_version(), instructions=_INSTRUCTIONS)
    does = {"search_memory": _search, "save_memory": _save}

    @server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]
    async def list_tools() -> list[types.Tool]:
        return list(_TOOLS)

    @server.call_tool()  # type: ignore[untyped-decorator]
    async def call_tool(name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        try:
            if name not in {"chat", *does}:
                raise InvalidInputError(f"there is no tool {name!r}; there are chat, {', '.join(does)}")
            request = server.request_context.request
            scope = await scope_of(request)
            if name == "chat":
                return _told(await _chat(app, scope, arguments, request))
            return _told(await does[name](app, scope, arguments))
        except AgentGraphError as error:
            return _told(error.message, is_error=True)
        except ModelError as error:
            logger.warning("the model failed an MCP call: %s", type(error).__name__)
            return _told(f"the model failed ({type(error).__name__}); try again", is_error=True)
        except Exception:
            logger.exception("an MCP call failed")
            return _told("the call failed on the server, whose log says why", is_error=True)

    return server


async def serve_stdio(app: AgentGraph, scope: Scope) -> None:
    """Serve one scope over standard input and output, until the input ends."""

    async def always(_: Request | None) -> Scope:
        return scope

    server = mcp_server(app, always)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


class McpEndpoint:
    """The ASGI application at `/mcp/{tenant}`."""

    def __init__(self, app: AgentGraph) -> None:
        self._server = mcp_server(app, _scope_of)
        self._limit_bytes = int(app.settings.max_body_mb * 1_000_000)
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None, None]:
        """Answer requests while the context is open."""
        # A manager runs once; an application may be started again.
        manager = StreamableHTTPSessionManager(self._server, stateless=True, max_request_body_size=self._limit_bytes)
        async with manager.run():
            self._manager = manager
            try:
                yield
            finally:
                self._manager = None

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer a request, once its tenant is known to be the caller's."""
        await _scope_of(Request(scope))
        if self._manager is None:
            raise InvalidInputError("the server is starting or stopping; try again")
        await self._manager.handle_request(scope, receive, send)


async def _scope_of(request: Request | None) -> Scope:
    assert request is not None  # noqa: S101  over HTTP there is one
    return await authorize(request, request.path_params["tenant"], user=request.headers.get("x-user-id"))


async def _chat(app: AgentGraph, scope: Scope, arguments: Mapping[str, Any], request: Request | None) -> str:
    asked = RunRequest.of(
        arguments["message"], tenant=_spelt(scope), user=scope.user, thread=arguments.get("thread"), stream=False
    )
    result = await (app.run(asked) if request is None else turns.run(request, asked))
    if result.interrupts:
        return "The agent waits for a person to allow what it is about to do; nothing was done yet."
    return result.text


async def _search(app: AgentGraph, scope: Scope, arguments: Mapping[str, Any]) -> str:
    found = await app.memories.search(arguments["query"], tenant=scope.tenant, user=scope.user, session=scope.session)
    lines = [
        {
            "text": memory["text"],
            "speaker": memory["speaker"],
            "said_at": memory["recorded_at"],
            "about": None if memory["event"] is None else memory["event"]["text"],
        }
        for memory in found.kept
    ]
    return "\n".join(orjson.dumps(line).decode() for line in lines) or "Nothing was found."


async def _save(app: AgentGraph, scope: Scope, arguments: Mapping[str, Any]) -> str:
    text = " ".join(arguments["text"].split())
    saved = await app.memories.add(text, tenant=scope.tenant, user=scope.user, session=scope.session, kind="fact")
    return f"Saved under the key {saved.key}."


def _spelt(scope: Scope) -> str:
    return scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"


def _told(text: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], isError=is_error)


def _version() -> str:
    try:
        return version("agentgraph")
    except PackageNotFoundError:
        return "unknown"
