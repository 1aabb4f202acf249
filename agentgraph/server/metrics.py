"""Figures for Prometheus: requests, runs, tokens, tools, waits.

Labels come from closed sets, or from sets that are cut off: a caller that names a new model with every request fills no
memory. Tenants are a label only where `metrics_tenants` says so. Each process has figures of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgraph.events import (
    AnswerCompleted,
    NodeFinished,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolFinished,
)
from agentgraph.run import RunRequest
from agentgraph.runs.observer import Hear
from agentgraph.server.auth import require_admin
from agentgraph.server.route import route_of

__all__ = ["Metrics", "RequestMetrics", "metrics_router"]

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "WEBSOCKET"})
_MOST_NAMES: Final = 100
_MOST_TENANTS: Final = 1_000
_OTHER: Final = "other"


class _Names:
    """The first so many names, and one for all that come later."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        if name not in self._known:
            if len(self._known) >= self._most:
                return _OTHER
            self._known.add(name)
        return name


class Metrics:
    """The figures of one application, and the observer that keeps them.

    Args:
        with_tenants: Whether runs and tokens are told apart by tenant, up to a thousand of them.
    """

    def __init__(self, *, with_tenants: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.model, self.tool, self._tenant = _Names(_MOST_NAMES), _Names(_MOST_NAMES), _Names(_MOST_TENANTS)
        self._with_tenants = with_tenants
        whose = ["tenant"] if with_tenants else []

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(f"agentgraph_{name}", told, labels, registry=self.registry)

        def seconds(name: str, told: str, *labels: str) -> Histogram:
            return Histogram(f"agentgraph_{name}_seconds", told, labels, registry=self.registry, buckets=_SECONDS)

        self.requests = counter("requests", "HTTP requests.", "method", "route", "status")
        self.request_seconds = seconds("request", "From a request to the end of its answer.", "route")
        self.under_way = Gauge("agentgraph_runs_under_way", "Runs that have not ended.", registry=self.registry)
        self.runs = counter("runs", "Runs that have ended, and how.", "model", "outcome", *whose)
        self.run_seconds = seconds("run", "From a run's acceptance to its end.", "outcome")
        self.queue_seconds = seconds("queue", "From a run's acceptance to its first node.")
        self.first_text_seconds = seconds("first_text", "From a run's acceptance to the first of its answer.")
        self.node_seconds = seconds("node", "Nodes of the graph; call_model is the model's time.", "node")
        self.tokens = counter("tokens", "Tokens as vendors counted them.", "model", "direction", *whose)
        self.tools = counter("tool_calls", "Tools that ran, and how they ended.", "tool", "status")
        self.tool_seconds = seconds("tool", "How long tools took.", "tool")
        self.leases_lost = counter("leases_lost", "Runs that another process took over.")

    def begun(self, request: RunRequest, run_id: str) -> Hear:  # noqa: ARG002  an observer's face
        """Return what counts a run."""
        whose = (self._tenant(request.scope.tenant),) if self._with_tenants else ()
        return _RunFigures(self, whose).hear

    def lease_lost(self, run_id: str) -> None:  # noqa: ARG002
        """Count it."""
        self.leases_lost.inc()

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)

    @contextmanager
    def served_on(self, host: str, port: int | None) -> Iterator[None]:
        """Serve the figures without a key on a port of their own, if there is to be one."""
        if port is None:
            yield
            return
        server, thread = start_http_server(port, addr=host, registry=self.registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _RunFigures:
    """Counts one run."""

    def __init__(self, metrics: Metrics, whose: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._whose = whose
        self._model = _OTHER
        self._began = time.perf_counter()
        self._has_queued = self._has_spoken = self._has_ended = False
        metrics.under_way.inc()

    def hear(self, event: RunEvent) -> None:
        metrics, passed = self._metrics, time.perf_counter() - self._began
        match event:
            case RunStarted():
                self._model = metrics.model(event.model)
            case NodeFinished():
                took = event.duration_ms / 1000
                metrics.node_seconds.labels(event.node).observe(took)
                if not self._has_queued:
                    self._has_queued = True
                    metrics.queue_seconds.observe(max(0.0, passed - took))
            case TextDelta() if not self._has_spoken:
                self._has_spoken = True
                metrics.first_text_seconds.observe(passed)
            case AnswerCompleted():
                metrics.tokens.labels(self._model, "input", *self._whose).inc(event.usage.input_tokens)
                metrics.tokens.labels(self._model, "output", *self._whose).inc(event.usage.output_tokens)
            case ToolFinished():
                name = metrics.tool(event.name)
                metrics.tools.labels(name, event.status).inc()
                metrics.tool_seconds.labels(name).observe(event.duration_ms / 1000)
            case RunFinished() | RunFailed() if not self._has_ended:
                self._has_ended = True
                outcome = _outcome(event)
                metrics.under_way.dec()
                metrics.runs.labels(self._model, outcome, *self._whose).inc()
                metrics.run_seconds.labels(outcome).observe(passed)
            case _:
                pass


class RequestMetrics:
    """ASGI middleware: counts requests by the template of their route."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request, or the WebSocket, through."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        status = "none"

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            elif message["type"] == "websocket.accept":
                status = "101"
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            route = route_of(scope) or "none"
            given = scope.get("method", "WEBSOCKET")
            method = given if given in _METHODS else _OTHER
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - began)


def metrics_router(metrics: Metrics) -> APIRouter:
    """Return the route `/metrics`, for an administrator's key."""
    router = APIRouter(tags=["Server"])

    @router.get("/metrics", responses={403: {"description": "This takes an administrator's key."}})
    async def show_metrics(request: Request) -> Response:
        """Show the figures of this process to Prometheus."""
        require_admin(request)
        text = await asyncio.to_thread(metrics.text)  # of a thousand tenants it takes half a second
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _outcome(event: RunFinished | RunFailed) -> str:
    if isinstance(event, RunFailed):
        return "failed"
    if event.is_cancelled:
        return "cancelled"
    return "requires_action" if event.tool_calls or event.interrupts else "finished"
