"""What runs have told of late, kept for whoever lost the connection: a stream is taken up where it broke off.

Every streamed run is followed once, into a log; clients read the log, each at its own pace, and a slow one holds
nothing up. Known to one process, for a while, within bounds: the answer itself is kept with its thread.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.requests import HTTPConnection

from agentgraph.errors import AgentGraphError, InvalidInputError, NotFoundError
from agentgraph.events import RunFailed, RunStarted
from agentgraph.run import RunRequest
from agentgraph.server import turns
from agentgraph.server.auth import authorize
from agentgraph.server.errors import Fault, fault_of
from agentgraph.server.gate import request_id_of
from agentgraph.server.guard import Guard
from agentgraph.streaming.agent_events import AgentEvent, AgentEvents, dumps

__all__ = ["EventLog", "EventLogs", "event_id", "fault_told", "read_event_id"]

KEPT_S: Final = 300.0
MOST_BYTES_A_RUN: Final = 4_000_000
MOST_BYTES: Final = 64_000_000
_OVERHEAD: Final = 120  # bytes that an event takes besides its text
_EMPTY: Final = 2_000  # bytes that a log takes besides its events
_LONGEST_ID: Final = 200


class EventLog:
    """The events of one run, numbered from 1.

    Attributes:
        run_id: Known once the run has begun.
        thread: The run's thread or session; `None` for a one-off run.
        following: Writes the log; ended with its last reader where the run is to end with its client.
    """

    def __init__(self, tenant: str, user: str | None, *, most_bytes: int = MOST_BYTES_A_RUN) -> None:
        self.following: asyncio.Task[None] | None = None
        self.run_id = ""
        self.thread: str | None = None
        self.tenant = tenant
        self.user = user
        self.size_bytes = _EMPTY
        self.is_over = False
        self.failure: Exception | None = None
        self.readers = 0
        self._most_bytes = most_bytes
        self._kept: deque[AgentEvent] = deque()
        self._dropped = 0
        self._news = asyncio.Event()

    @property
    def last(self) -> int:
        """The newest event's number."""
        return self._dropped + len(self._kept)

    def add(self, event: AgentEvent) -> None:
        """Append an event; the oldest go where there is no room."""
        self._kept.append(event)
        self.size_bytes += len(event.data) + _OVERHEAD
        while self.size_bytes > self._most_bytes and len(self._kept) > 1:
            self.size_bytes -= len(self._kept.popleft().data) + _OVERHEAD
            self._dropped += 1
        self._tell()

    def begin(self, event: RunStarted) -> None:
        """Note that the run was accepted."""
        self.run_id, self.thread = event.run_id, event.thread
        self._tell()

    def end(self, failure: Exception | None = None) -> None:
        """Say that no more comes."""
        if not self.is_over:
            self.is_over, self.failure = True, failure
            self._tell()

    async def begun(self) -> None:
        """Wait until the run is accepted.

        Raises:
            Exception: Why it was not.
        """
        while not self.run_id and not self.is_over:
            await self._news.wait()
        if not self.run_id:
            raise self.failure or AgentGraphError("the run ended before it began", code="no_answer")

    async def first(self) -> None:
        """Wait until there is something to tell.

        Raises:
            Exception: The run failed before there was.
        """
        while not self.last and not self.is_over:
            await self._news.wait()
        if self.failure is not None and self.last == 1:  # the one event is the failure
            raise self.failure

    async def read(
        self, after: int = 0, *, idle_s: float | None = None
    ) -> AsyncGenerator[tuple[int, AgentEvent | None]]:
        """Yield the events after the one numbered `after`, with their numbers, to the run's end.

        Args:
            after: The last one that the reader has.
            idle_s: Where nothing comes for so long, yield `None` in its place.

        Raises:
            NotFoundError: Some of them are no longer kept.
        """
        self.readers += 1
        try:
            while True:
                while after < self.last:
                    if after < self._dropped:
                        raise _expired()
                    after += 1
                    yield after, self._kept[after - self._dropped - 1]
                if self.is_over:
                    return
                news = self._news
                try:
                    async with asyncio.timeout(idle_s):
                        await news.wait()
                except TimeoutError:
                    yield after, None
        finally:
            self.readers -= 1
            if self.readers == 0:
                self.abandon()

    def abandon(self) -> None:
        """Note that nobody reads: a run that is to end with its client ends."""
        if self.following is not None and not self.is_over:
            self.following.cancel()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class EventLogs:
    """The logs of one application, by run.

    Args:
        guard: Carries the runs.
        kept_s: How long a run's log stays after its end.
        most_bytes: Of the logs of ended runs together; the longest ended go first.
    """

    def __init__(self, guard: Guard, *, kept_s: float = KEPT_S, most_bytes: int = MOST_BYTES) -> None:
        self._guard = guard
        self._kept_s = kept_s
        self._most_bytes = most_bytes
        self._logs: dict[str, EventLog] = {}
        self._ended: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()  # when each goes
        self._ended_bytes = 0

    async def start(self, request: HTTPConnection, asked: RunRequest) -> EventLog:
        """Begin a run and return its log; of a request that repeats another, the log there is.

        Raises:
            Exception: The run was not accepted.
        """
        log = EventLog(asked.scope.tenant, asked.scope.user)
        following = self._guard.spawn(self._follow(log, request, asked))
        if (asked.on_disconnect or self._guard.app.settings.on_disconnect) == "cancel":
            log.following = following
        try:
            await log.begun()
        except asyncio.CancelledError:
            log.abandon()
            raise
        return self._logs.get(log.run_id, log)

    async def find(self, request: HTTPConnection, run_id: str) -> EventLog:
        """Return the log of a run.

        Raises:
            NotFoundError: There is no such run, or none of the caller's, or its events are no longer kept.
        """
        log = self._logs.get(run_id)
        if log is None:
            raise _expired()
        try:
            scope = await authorize(request, log.tenant, user=log.user)
        except NotFoundError:
            raise _expired() from None
        if scope.user != log.user:
            raise _expired()
        return log

    async def _follow(self, log: EventLog, request: HTTPConnection, asked: RunRequest) -> None:
        encoder = AgentEvents()
        try:
            async with aclosing(turns.stream(request, asked)) as events:
                async for event in events:
                    if isinstance(event, RunStarted) and not self._begin(log, event):
                        return  # joined a run that is followed already
                    for told in encoder.encode(event):
                        log.add(told)
                    if isinstance(event, RunFailed):
                        raise event.error
        except Exception as error:  # noqa: BLE001  the outermost place of a run: told to its readers
            if log.run_id:
                log.add(fault_told(fault_of(error, request_id=request_id_of(request.scope)), request))
            log.end(error)
        finally:
            log.end()
            if log.run_id:
                self._retire(log)

    def _begin(self, log: EventLog, event: RunStarted) -> bool:
        log.begin(event)
        if event.run_id in self._logs:
            return False
        self._logs[event.run_id] = log
        return True

    def _retire(self, log: EventLog) -> None:
        if self._logs.get(log.run_id) is not log:
            return
        self._ended[log.run_id] = asyncio.get_running_loop().call_later(self._kept_s, self._drop, log.run_id)
        self._ended_bytes += log.size_bytes
        while self._ended_bytes > self._most_bytes:
            self._drop(next(iter(self._ended)))

    def _drop(self, run_id: str) -> None:
        self._ended.pop(run_id).cancel()
        self._ended_bytes -= self._logs.pop(run_id).size_bytes


def event_id(run_id: str, number: int) -> str:
    """Return an event's id, which a client sends back as `Last-Event-ID`."""
    return f"{run_id}:{number}"


def read_event_id(text: str) -> tuple[str, int]:
    """Return the run and the number that an event's id names.

    Raises:
        InvalidInputError: It is no such id.
    """
    run_id, colon, number = text.strip().rpartition(":")
    if not (colon and run_id and number.isdecimal() and number.isascii() and len(text) <= _LONGEST_ID):
        raise InvalidInputError(
            "Last-Event-ID is none of this server's: send an event's id as it came", param="last-event-id"
        )
    return run_id, int(number)


def fault_told(fault: Fault, request: HTTPConnection) -> AgentEvent:
    """Return the event that tells an error: `error`, `code`, `status`, `retry`, `request_id`."""
    told = {
        "error": fault.message,
        "code": fault.code,
        "status": fault.status,
        "param": fault.param,
        "retry": fault.retry,
        "request_id": request_id_of(request.scope),
    }
    return AgentEvent("error", dumps(told))


def _expired() -> NotFoundError:
    return NotFoundError(
        "there is no such run of yours, or its events are no longer kept: the answer stands in its thread",
        code="events_expired",
    )
