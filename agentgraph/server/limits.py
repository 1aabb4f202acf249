"""Refuse request bodies that are too large while they arrive, before anything is parsed."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimit", "body_too_large"]

_STATUS: Final = 413


def body_too_large(limit_bytes: int) -> HTTPException:
    """Return the refusal. It is an `HTTPException` because frameworks let those pass where they read a body."""
    return HTTPException(_STATUS, f"the request body is larger than {limit_bytes / 1e6:g} MB")


class BodyLimit:
    """ASGI middleware: counts a body as it is read, whether or not its length was announced.

    Must stand inside whatever turns an `HTTPException` into a response.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit_bytes:
            raise body_too_large(self._limit_bytes)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._limit_bytes:
                    raise body_too_large(self._limit_bytes)
            return message

        await self._app(scope, counted, send)
