"""The span of each request, around its runs' (`agentgraph.telemetry`); there only where telemetry is on."""

from __future__ import annotations

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgraph.server.gate import request_id_of
from agentgraph.server.route import route_of
from agentgraph.telemetry import Traces, error_type

__all__ = ["RequestSpans"]


class RequestSpans:
    """ASGI middleware: continues the trace of a client that sent `traceparent`.

    A path has ids of tenants and threads in it, so the route's template is told instead.
    """

    def __init__(self, app: ASGIApp, *, traces: Traces) -> None:
        self._app = app
        self._tracer = traces.tracer
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request, or the WebSocket, through."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "WEBSOCKET")
        given = self._propagator.extract(dict(Headers(scope=scope)))
        span = self._tracer.start_span(
            method,
            context=given,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "agentgraph.request.id": request_id_of(scope)},
        )

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(span, message["status"])
            await send(message)

        token = context.attach(trace.set_span_in_context(span, given))
        try:
            await self._app(scope, receive, noted)
        except BaseException as error:
            span.set_attribute("error.type", error_type(error))
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            context.detach(token)
            if (route := route_of(scope)) is not None:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
            span.end()


def _note(span: trace.Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
