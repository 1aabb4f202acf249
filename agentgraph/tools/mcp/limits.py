"""What an MCP server may cost: how large its messages may be and how many of them may come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx

from agentgraph.errors import ToolError

__all__ = ["Meter", "MeteredTransport"]

_BURST_MESSAGES: Final = 2_000.0
_MESSAGES_PER_S: Final = 100.0
_BURST_OF_LARGEST: Final = 4  # messages of the largest size
_LINES_OF_AN_EVENT: Final = 3
_ENDS_OF_EVENTS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST_END: Final = 3  # bytes of an event's end that may stand in the chunk before
_GOODBYE_S: Final = 2.0


class Meter:
    """Counts what one connection brings in, and ends the connection that brings too much.

    Args:
        max_message_bytes: The largest message; as many bytes a second may come for long, four times as many at once.
        on_fault: Told once, before the error is raised: whatever stands between may swallow it.
        clock: Seconds, ever growing.
    """

    def __init__(
        self,
        max_message_bytes: int,
        on_fault: Callable[[ToolError], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self._on_fault = on_fault
        self._clock = clock
        self._messages = _BURST_MESSAGES
        self._bytes = self._most_bytes = float(_BURST_OF_LARGEST * max_message_bytes)
        self._counted_at = clock()

    def count(self, *, messages: float = 0.0, size: int = 0) -> None:
        """Count messages and their bytes.

        Raises:
            ToolError: Too many, or too much.
        """
        now = self._clock()
        passed, self._counted_at = now - self._counted_at, now
        self._messages = min(_BURST_MESSAGES, self._messages + passed * _MESSAGES_PER_S) - messages
        self._bytes = min(self._most_bytes, self._bytes + passed * self.max_message_bytes) - size
        if self._messages < 0 or self._bytes < 0:
            raise self.fault("it floods the connection with messages", code="mcp_flood")

    def check_size(self, size: int) -> None:
        """Check one message's size, as far as it has come.

        Raises:
            ToolError: It is too large.
        """
        if size > self.max_message_bytes:
            raise self.too_large()

    def too_large(self) -> ToolError:
        """Return, and tell, that a message is too large."""
        largest = f"{self.max_message_bytes / 1e6:g} MB"
        return self.fault(f"it sent a message larger than {largest}", code="mcp_message_too_large")

    def fault(self, what: str, *, code: str) -> ToolError:
        """Return, and tell, what the server did."""
        error = ToolError(what, code=code)
        self._on_fault(error)
        return error


class MeteredTransport(httpx.AsyncBaseTransport):
    """An HTTP transport whose answers are counted while they arrive.

    Only an event stream that was asked for by GET may be silent for long: any other answer comes within a call's time.

    Args:
        inner: Sends the requests. Closed with this.
        meter: Counts.
        answer_timeout_s: How long an answer may be silent.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, meter: Meter, *, answer_timeout_s: float) -> None:
        self._inner = inner
        self._meter = meter
        self._answer_timeout_s = answer_timeout_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        self._meter.count(messages=1)
        timeout = dict(request.extensions.get("timeout", {}))
        if request.method != "GET":
            timeout["read"] = _GOODBYE_S if request.method == "DELETE" else self._answer_timeout_s
        request.extensions = {**request.extensions, "timeout": timeout}
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            # Nobody asked for it, and a few packed bytes may be gigabytes.
            await response.aclose()
            raise self._meter.fault("it packs its answers, which it was asked not to", code="mcp_packed")
        return httpx.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_Metered(response, self._meter),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


class _Metered(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, meter: Meter) -> None:
        self._response = response
        self._meter = meter
        self._are_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, before = 0, b""
        async for chunk in self._response.stream:  # type: ignore[union-attr]  # an async client's streams are async
            lines = max(chunk.count(b"\n"), chunk.count(b"\r")) if self._are_events else 0
            self._meter.count(messages=lines / _LINES_OF_AN_EVENT, size=len(chunk))
            size += len(chunk)
            if self._are_events:
                window = before + chunk
                ends = max(window.rfind(end) for end in _ENDS_OF_EVENTS)
                size = size if ends < 0 else len(window) - ends
                before = window[-_LONGEST_END:]
            self._meter.check_size(size)
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()
