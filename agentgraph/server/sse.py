"""A run's log as server-sent events, from wherever the client's connection broke off.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentgraph.errors import NotFoundError
from agentgraph.server.departure import ClientLeftError, until_left
from agentgraph.server.errors import fault_of
from agentgraph.server.event_log import EventLog, event_id, fault_told
from agentgraph.server.gate import request_id_of
from agentgraph.streaming.agent_events import AgentEvent

__all__ = ["LogStream", "told_again"]

HEARTBEAT_S: Final = 15.0
_HEARTBEAT: Final = b": still here\n\n"
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def told_again(request: Request, log: EventLog, after: int) -> Response:
    """Return what of a log comes after an event. Where that is nothing, browsers are told not to ask again."""
    if log.is_over and after >= log.last:
        return Response(status_code=204)
    return LogStream(request, log, after=after)


class LogStream(Response):
    """A log as it is written, with a sign of life where nothing is.

    Args:
        request: Whose.
        log: Of the run.
        after: The last event that the client has.
        heartbeat_s: How long nothing may be said: proxies close connections that are silent.
    """

    media_type = "text/event-stream"

    def __init__(self, request: Request, log: EventLog, *, after: int = 0, heartbeat_s: float = HEARTBEAT_S) -> None:
        told = {"x-run-id": log.run_id} if log.thread is None else {"x-run-id": log.run_id, "x-thread-id": log.thread}
        super().__init__(headers={**_HEADERS, **told})
        del self.headers["content-length"]
        self._request = request
        self._log = log
        self._events = log.read(after, idle_s=heartbeat_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the events, for as long as the client is there."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._frames()) as frames:
                async for frame in frames:
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
        except ClientLeftError:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(until_left(self._events, self._request.receive)) as events:
                async for number, event in events:
                    yield _HEARTBEAT if event is None else _frame(event, event_id(self._log.run_id, number))
        except NotFoundError as error:  # too slow: what comes next has been dropped
            told = fault_told(fault_of(error, request_id=request_id_of(self._request.scope)), self._request)
            yield _frame(told, None)


def _frame(event: AgentEvent, name: str | None) -> bytes:
    kind = event.kind.encode()
    line = b"" if name is None else b"id: " + name.encode() + b"\n"
    return line + b"event: " + kind + b'\ndata: {"event_type":"' + kind + b'",' + event.data[1:] + b"\n\n"
