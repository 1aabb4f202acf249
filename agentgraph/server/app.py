"""The FastAPI application: its routes, and the life of the agent behind them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError, InvalidInputError
from agentgraph.scope import Scope
from agentgraph.server.agents import agents_router
from agentgraph.server.ai_proxy import ai_proxy_router
from agentgraph.server.gate import Gate, error_response
from agentgraph.server.guard import Guard
from agentgraph.server.health import Readiness, health_router, package_version
from agentgraph.server.langserve import langserve_router
from agentgraph.server.logs import AccessLog, RunIds
from agentgraph.server.metrics import Metrics, RequestMetrics, metrics_router
from agentgraph.server.openai import openai_router
from agentgraph.server.openapi import describe
from agentgraph.server.page import page_file, page_router, wants_page
from agentgraph.server.proxies import Proxies
from agentgraph.server.rest import rest_router
from agentgraph.settings import Settings

if TYPE_CHECKING:
    from agentgraph.server.mcp import McpEndpoint

__all__ = ["PLACES", "create_app"]

logger = logging.getLogger(__name__)

PLACES = {
    "Page": "/",
    "OpenAI": "/v1/{tenant}/chat/completions",
    "Models": "/v1/{tenant}/models",
    "MCP": "/mcp/{tenant}",
    "Chat": "/chat",
    "WebSocket": "/ws",
    "Agents": "/agents",
    "ai-proxy-core": "/api/chat/completions",
    "REST": "/api/v1/subtenants",
    "LangServe": "/agent/invoke",
    "Playground": "/agent/playground/",
    "Chat playground": "/agent/chat/playground/",
    "Health": "/health",
    "Documentation": "/docs",
}
"""Where things are, for whoever looks."""


def create_app(app: AgentGraph | None = None, settings: Settings | None = None, *, warm_up: bool = False) -> FastAPI:
    """Return the ASGI application.

    Args:
        app: The agent to serve. One that is open already stays so when the server ends; one that is not is opened on
            the server's loop and closed with it.
        settings: To build the agent from, where none is given.
        warm_up: Whether the default model is opened at the start instead of at the first request; `/health` says
            503 until it is.
    """
    agent = app or AgentGraph(settings)
    guard = Guard(agent)
    readiness = Readiness(guard.shutdown)
    metrics = _metrics(agent)
    endpoint = _mcp_endpoint(agent)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        guard.shutdown.revoke()
        async with AsyncExitStack() as resources:
            if not agent.is_open:
                try:
                    await agent.__aenter__()  # closed below, within bounds
                except OSError as error:
                    # `/health` says so until the storage can be written; the first request after that opens the agent.
                    logger.error("the storage cannot be opened: %s", error)  # noqa: TRY400
                resources.push_async_callback(_close, agent, guard)
                server.state.let_go = agent.let_go
            resources.push_async_callback(guard.aclose)
            warming = asyncio.create_task(_warm_up(agent, readiness)) if warm_up else None
            if endpoint is not None:
                await resources.enter_async_context(endpoint.open())
            if metrics is not None:
                resources.enter_context(metrics.served_on(agent.settings.host, agent.settings.metrics_port))
            readiness.is_open = True
            try:
                yield
            finally:
                guard.shutdown.begin()
                readiness.is_open = False
                if warming is not None:
                    warming.cancel()
                    with suppress(asyncio.CancelledError):
                        await warming

    server = FastAPIOffline(
        title="agentgraph",
        version=package_version(),
        description="Any chat model as a multi-tenant agent with memory.",
        lifespan=lifespan,
    )
    server.state.shutdown, server.state.let_go = guard.shutdown, _leave_alone
    # The last one added is the outermost.
    server.add_middleware(Gate, guard=guard, limit_bytes=int(agent.settings.max_body_mb * 1_000_000))
    if agent.settings.cors_origins:
        server.add_middleware(CORSMiddleware, **_cors(agent.settings.cors_origins))
    if agent.settings.trusted_proxies:
        server.add_middleware(Proxies, trusted=agent.settings.trusted_proxies)
    _watch(server, agent, metrics)
    server.add_exception_handler(HTTPException, _told)
    server.add_exception_handler(RequestValidationError, _told)
    server.include_router(openai_router(agent), prefix="/v1")
    server.include_router(langserve_router(agent))
    server.include_router(agents_router(agent, guard))
    server.include_router(ai_proxy_router(agent))
    server.include_router(rest_router(agent, guard))
    server.include_router(health_router(agent, readiness))
    server.include_router(page_router(agent))
    if endpoint is not None:
        server.router.routes.append(Route("/mcp/{tenant}", endpoint=endpoint))

    @server.get("/", tags=["Server"])
    async def index(request: Request) -> Response:
        """Show the page to a browser, and say where things are to anybody else."""
        if wants_page(request):
            return page_file(request)
        told = {"name": "agentgraph", "version": package_version(), "places": PLACES}
        return Response(orjson.dumps(told), media_type="application/json", headers={"Vary": "Accept"})

    describe(server)
    return server


def _metrics(agent: AgentGraph) -> Metrics | None:
    settings = agent.settings
    if not settings.enable_metrics and settings.metrics_port is None:
        return None
    metrics = Metrics(with_tenants=settings.metrics_tenants)
    agent.observe(metrics)
    return metrics


def _watch(server: FastAPI, agent: AgentGraph, metrics: Metrics | None) -> None:
    """Have requests counted, logged and traced, each only where that is wanted."""
    if metrics is not None:
        server.add_middleware(RequestMetrics, metrics=metrics)
        server.include_router(metrics_router(metrics))
    if agent.settings.log_format == "json" or agent.settings.debug:
        agent.observe(RunIds())
        server.add_middleware(AccessLog)
    if agent.traces is not None:
        from agentgraph.server.telemetry import RequestSpans

        server.add_middleware(RequestSpans, traces=agent.traces)


async def _leave_alone() -> None:
    """Leave the runs of an agent alone that was open before, and stays so."""


async def _close(agent: AgentGraph, guard: Guard) -> None:
    await agent.let_go(timeout_s=guard.shutdown.remaining_s)
    await agent.aclose()


def _cors(origins: Sequence[str]) -> dict[str, Any]:
    """Return what pages of these origins may do. Cookies are none of it: keys are sent in headers."""
    return {
        "allow_origins": list(origins),
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": ["*"],
        "allow_credentials": False,
        "expose_headers": ["x-request-id", "x-run-id", "retry-after", "x-should-retry", "etag"],
        "max_age": 600,
    }


def _mcp_endpoint(agent: AgentGraph) -> McpEndpoint | None:
    """Return what answers at `/mcp`; the `mcp` extra may not be installed."""
    try:
        from agentgraph.server.mcp import McpEndpoint
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        return None
    return McpEndpoint(agent)


async def _told(request: Request, error: Exception) -> Response:
    path = request.scope["path"]
    if isinstance(error, HTTPException) and error.status_code == 404 and path.startswith("/v1/"):
        error = _nothing_here(path)
    return error_response(request.scope, error)


def _nothing_here(path: str) -> Exception:
    """Tell an id with line breaks, which no route matches, from a path there is none of."""
    if match := re.fullmatch(r"/v1/(.*)/(?:chat/completions|models)", path, re.DOTALL):
        try:
            Scope.parse(match[1])
        except InvalidInputError as error:
            return error
    return HTTPException(404, f"there is no {path!r} here; /docs lists what there is")


async def _warm_up(agent: AgentGraph, readiness: Readiness) -> None:
    try:
        readiness.warming = agent.default_model
        await agent.open_model()
    except AgentGraphError as error:
        logger.error("the model could not be made ready: %s", error.message)  # noqa: TRY400
        readiness.failure = error.message
    except Exception as error:
        logger.exception("the model could not be made ready")
        readiness.failure = f"the model could not be made ready ({type(error).__name__}); the server's log says why"
    finally:
        readiness.warming = None
