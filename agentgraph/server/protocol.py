"""HTTP as uvicorn speaks it, with an end to patience: for headers that never stop, and clients that do not read.

Bodies are the gate's business (`limits.py`): by then there is a request to refuse.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["MAX_HEADER_BYTES", "PatientProtocol"]

MAX_HEADER_BYTES: Final = 256 * 1024  # what is less, and still too much, the gate refuses in more words
HEADERS_WITHIN_S: Final = 20.0
STALLED_FOR_S: Final = 60.0
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
)
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._is_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop(self._head_timer)
        self._stop(self._stall_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a request's headers are whole."""
        if self._is_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._await_head()
        super().data_received(data)
        if self._is_head and self._head_bytes > MAX_HEADER_BYTES:
            self._end(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """See the headers end."""
        self._is_head = False
        self._stop(self._head_timer)
        self._head_timer = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See the request end: what comes next is another's headers."""
        self._is_head, self._head_bytes = True, 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Give a client that does not read a while."""
        super().pause_writing()
        self._stop(self._stall_timer)
        self._stall_timer = self.loop.call_later(STALLED_FOR_S, self._cut_off)

    def resume_writing(self) -> None:
        """See it read."""
        self._stop(self._stall_timer)
        super().resume_writing()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEADERS_WITHIN_S, self._lose_patience)

    def _lose_patience(self) -> None:
        if self._is_answering:  # some clients end a body with a line break: no reason to cut its answer off
            self._await_head()
        else:
            self._end(_TOO_SLOW)

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _end(self, answer: bytes) -> None:
        if not self.transport.is_closing() and self._is_head:
            # One that sent nothing is a connection a browser made in advance: it expects no answer.
            if self._head_bytes and not self._is_answering:
                self.transport.write(answer)
            self.transport.close()

    def _cut_off(self) -> None:
        self.pipeline.clear()  # nor is what it asked for besides answered any more
        # Closing would wait for what the client does not read.
        cast("asyncio.WriteTransport", self.transport).abort()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
