"""What a session lets in, and when it is over: asked as a run is accepted, noted in the transaction that accepts it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import uuid4

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.base import SerializerProtocol

from agentgraph.errors import AgentGraphError, InvalidInputError
from agentgraph.run import RunRequest
from agentgraph.stores.threads import sessions
from agentgraph.stores.threads.sql import Connection
from agentgraph.stores.threads.steady_clock import TenantClock

__all__ = ["SessionGate", "SessionOverError"]

_MEGABYTE: Final = 1_000_000


class SessionOverError(AgentGraphError):
    """The session has to be ended before another can begin under its id. Never leaves the runner, which sees to it."""

    code = "session_over"


class SessionGate:
    """Lets runs into sessions.

    Args:
        times: What sessions are timed by.
        clock: Tells the present moment, for people to read.
        ttl_s: How long a session lasts unused.
        max_mb: How much it may keep.
    """

    def __init__(
        self, times: TenantClock, *, clock: Callable[[], datetime], ttl_s: float, max_mb: float = 10.0
    ) -> None:
        self.times = times
        self.ttl_s = ttl_s
        self.max_bytes = round(max_mb * _MEGABYTE)
        self._clock = clock

    def admit(self, request: RunRequest, size_bytes: int, serde: SerializerProtocol) -> None:
        """Refuse what no session can keep, before anything is noted.

        Args:
            request: What is asked.
            size_bytes: How long it is as a whole, as it would be noted.
            serde: Writes its messages.

        Raises:
            InvalidInputError: It brings a file (`session_no_upload`) or a message that is too large for a session.
        """
        if request.scope.session is None:
            return
        if any(_has_file(message) for message in request.messages):
            raise InvalidInputError(
                "a session takes no files: send them to the tenant itself, and ask about them here",
                param="messages",
                code="session_no_upload",
            )
        if size_bytes <= self.max_bytes:
            return
        for message in request.messages:
            size = len(serde.dumps_typed(message)[1])
            if size > self.max_bytes:
                raise InvalidInputError(
                    f"a message of {size:,} bytes does not fit into a session, which keeps {self.max_bytes:,} at the"
                    " most; shorten it, or set AGENTGRAPH_SESSION_MEMORY_MAX_MB",
                    param="messages",
                    code="session_message_too_large",
                )

    def use(self, connection: Connection, request: RunRequest) -> None:
        """Begin the request's session, or note that it is used.

        Raises:
            SessionOverError: It is over, or being ended; nothing was noted.
        """
        if request.scope.session is None:
            return
        thread_id = request.scope.thread_key
        assert thread_id is not None  # noqa: S101
        key = f"session-{uuid4().hex}"
        now, at = self.times.keep(connection), self._clock().isoformat()
        if not sessions.use(connection, thread_id, key=key, now=now, at=at, ttl_s=self.ttl_s):
            raise SessionOverError(f"the session {request.scope.session!r} is over")

    def left(self, connection: Connection, thread_id: str, *, live: int | None) -> None:
        """Note that a run has ended: a session lasts from then on. Of other threads nothing is noted.

        Args:
            connection: Inside the transaction that notes how the run ended.
            thread_id: Its thread.
            live: How many messages its live window holds; `None` where that is not known.
        """
        if sessions.get(connection, thread_id) is None:
            return
        sessions.touch(connection, thread_id, now=self.times.keep(connection), at=self._clock().isoformat())
        sessions.measured(connection, thread_id, live=live)


def _has_file(message: BaseMessage) -> bool:
    content = message.content
    return isinstance(content, list) and any(isinstance(part, dict) and _is_file(part) for part in content)


def _is_file(part: dict[str, object]) -> bool:
    return part.get("type") == "file" or "file_data" in part
