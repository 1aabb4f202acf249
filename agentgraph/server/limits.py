"""Refuse what is too large or too slow while it arrives, before anything is parsed."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimit", "body_too_large", "refuse_large_headers"]

_STATUS: Final = 413
_MOST_HEADER_BYTES: Final = 64 * 1024
_MOST_PATH_BYTES: Final = 8 * 1024
_SILENT_FOR_S: Final = 30.0
_WITHIN_S: Final = 60.0
_BYTES_PER_S: Final = 16 * 1024  # slower than any line there is; a body may take `_WITHIN_S` and what it needs so


def body_too_large(limit_bytes: int) -> HTTPException:
    """Return the refusal. It is an `HTTPException` because frameworks let those pass where they read a body."""
    return HTTPException(_STATUS, f"the request body is larger than {limit_bytes / 1e6:g} MB")


def refuse_large_headers(scope: Scope) -> None:
    """Refuse headers and paths no client of ours sends.

    Raises:
        HTTPException: 431 or 414.
    """
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _MOST_HEADER_BYTES:
        raise HTTPException(431, f"the headers are larger than {_MOST_HEADER_BYTES // 1024} KB")
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > _MOST_PATH_BYTES:
        raise HTTPException(414, f"the path and its query are longer than {_MOST_PATH_BYTES // 1024} KB")


class BodyLimit:
    """ASGI middleware: counts a body as it is read, announced or not, and waits for none for ever.

    Must stand inside whatever turns an `HTTPException` into a response.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int, silent_for_s: float = _SILENT_FOR_S) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._silent_for_s = silent_for_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self._limit_bytes):
            raise body_too_large(self._limit_bytes)
        received = 0
        is_whole = False
        started = time.monotonic()

        async def counted() -> Message:
            nonlocal received, is_whole
            if is_whole:  # what comes now is the client's leaving, whenever that is
                return await receive()
            message = await self._soon(receive)
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)
                if received > self._limit_bytes:
                    raise body_too_large(self._limit_bytes)
                if not is_whole and time.monotonic() - started > _WITHIN_S + received / _BYTES_PER_S:
                    raise HTTPException(408, "the request body comes too slowly")
            return message

        await self._app(scope, counted, send)

    async def _soon(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self._silent_for_s):
                return await receive()
        except TimeoutError:
            raise HTTPException(408, f"nothing of the request body came for {self._silent_for_s:g} s") from None
