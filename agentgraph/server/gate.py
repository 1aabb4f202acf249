"""What every request passes first: it gets an id, shows its key, and finds its errors told in the right shape."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgraph.errors import RateLimitedError
from agentgraph.server.auth import is_public
from agentgraph.server.errors import fault_of, openai_error, problem
from agentgraph.server.guard import Guard
from agentgraph.server.limits import BodyLimit, refuse_large_headers

__all__ = ["Gate", "error_response", "request_id_of"]

logger = logging.getLogger(__name__)
_KEY: Final = "agentgraph.request_id"
_POLICY_VIOLATION: Final = 1008
_REFUSED_AT_ONCE: Final = 20  # a second
_REFUSED_LATER_S: Final = 0.5
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9_.\-]{1,128}")


def request_id_of(scope: Scope) -> str:
    """Return the request's id: the client's `x-request-id` where it is a sane one, else a new one."""
    request_id: str | None = scope.get(_KEY)
    if request_id is None:
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = scope[_KEY] = given if _ACCEPTED.fullmatch(given) else f"req-{uuid4().hex}"
    return request_id


def error_response(scope: Scope, error: Exception) -> Response:
    """Tell `error` in the shape of the place it happened at."""
    request_id = request_id_of(scope)
    fault = fault_of(error, request_id=request_id)
    is_openai = scope["path"].startswith("/v1/")
    return (openai_error if is_openai else problem)(fault, request_id=request_id)


class Gate:
    """ASGI middleware, the outermost of ours; nothing passes it as an exception."""

    def __init__(self, app: ASGIApp, *, guard: Guard, limit_bytes: int) -> None:
        self._app = BodyLimit(app, limit_bytes=limit_bytes)
        self._guard = guard
        self._refused = (0, 0)  # in which second, how many

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request through."""
        if scope["type"] == "websocket":
            await self._greet(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        started = False

        async def signed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(raw=message["headers"])["x-request-id"] = request_id
            await send(message)

        try:
            refuse_large_headers(scope)
            if not is_public(scope["path"]):
                await self._guard.admit(HTTPConnection(scope))
            await self._app(scope, receive, signed)
        except Exception as error:
            if isinstance(error, RateLimitedError):
                await self._slow_down()
            if started:
                logger.error("request %s broke off within its answer", request_id, exc_info=error)  # noqa: TRY400
                raise
            await error_response(scope, error)(scope, receive, signed)

    async def _slow_down(self) -> None:
        """Let whoever is refused time and again wait for it: else refusing costs what the others need."""
        second = int(time.monotonic())
        self._refused = (second, self._refused[1] + 1 if self._refused[0] == second else 1)
        if self._refused[1] > _REFUSED_AT_ONCE:
            await asyncio.sleep(_REFUSED_LATER_S)

    async def _greet(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a WebSocket through, or refuse it before it is one; a browser is told no more than that it failed."""
        try:
            refuse_large_headers(scope)
            await self._guard.admit(HTTPConnection(scope))
        except Exception as error:  # noqa: BLE001  told to the client, and logged where it is our fault
            response = error_response(scope, error)
            if "websocket.http.response" in scope.get("extensions", {}):
                start = {"status": response.status_code, "headers": response.raw_headers}
                await send({"type": "websocket.http.response.start", **start})
                await send({"type": "websocket.http.response.body", "body": response.body})
            else:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await self._app(scope, receive, send)
