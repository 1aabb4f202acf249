"""A response of server-sent events that are bytes already, begun once there is something to say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentgraph.errors import AgentGraphError
from agentgraph.server.departure import ClientLeftError

__all__ = ["EventStream"]

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(Response):
    """Server-sent events.

    Starlette's own watches for the client to leave and then cuts the run's events off; here the run goes on anyhow.
    """

    media_type = "text/event-stream"

    def __init__(self, first: bytes, frames: AsyncGenerator[bytes, None], told: Callable[[Exception], bytes]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._first = first
        self._frames = frames
        self._told = told

    @classmethod
    async def begun(cls, frames: AsyncGenerator[bytes, None], *, told: Callable[[Exception], bytes]) -> EventStream:
        """Return the response once its first frame is there: what fails before is an error with a status.

        Args:
            frames: Raises what the run fails with.
            told: Makes a frame of what goes wrong later.

        Raises:
            Exception: What failed.
        """
        try:
            first = await anext(frames)
        except StopAsyncIteration:
            raise AgentGraphError("the run ended without an answer", code="no_answer") from None
        return cls(first, frames, told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the frames as they come."""
        async with aclosing(self._frames):
            with suppress(ClientLeftError):
                await self._send_all(send)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for frame in self._all():
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _all(self) -> AsyncIterator[bytes]:
        yield self._first
        try:
            async for frame in self._frames:
                yield frame
        except ClientLeftError:
            raise
        except Exception as error:  # noqa: BLE001  the status is sent: the error can only be told within the stream
            yield self._told(error)
