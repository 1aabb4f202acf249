"""A run under way, apart from whoever asked for it: what it has told so far, who listens, and a way to end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from agentgraph.events import RunEvent, RunFailed, RunFinished, RunStarted, TextDelta, ToolCallDelta
from agentgraph.run import RunResult
from agentgraph.runs.observer import Hear
from agentgraph.stores.threads.runs import Stop

__all__ = ["RunHandle"]

logger = logging.getLogger(__name__)
_PATIENCE_S: Final = 0.5  # for a tool or a model that does not stop when told to; then the run ends without it


class RunHandle:
    """What a run says, to everybody who listens, from its beginning however late they came."""

    def __init__(self, run_id: str, tenant: str) -> None:
        self.run_id = run_id
        self.tenant = tenant
        self.stop: Stop | None = None
        self.events: list[RunEvent] = []
        self.listeners = 0
        self.observers: tuple[Hear, ...] = ()
        self._waiting: list[asyncio.Future[None]] = []
        self._work: asyncio.Task[Any] | None = None
        self._over: asyncio.Future[None] | None = None

    @property
    def ending(self) -> RunFinished | RunFailed | None:
        """The last event, once there is one."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, RunFinished | RunFailed) else None

    def tell(self, event: RunEvent) -> None:
        """Add an event. After the end nothing is said: not by work that would not stop, nor by a second teller."""
        if self.ending is not None:
            return
        if isinstance(event, RunStarted) and any(isinstance(told, RunStarted) for told in self.events):
            return  # a run that is carried on began long ago
        self.events.append(event)
        for hear in self.observers:
            try:
                hear(event)
            except Exception:  # a run does not fail because it is watched
                logger.exception("an observer of run %s failed", self.run_id)
        # Most events are told faster than they are read: nobody waits, and nothing need be done.
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def follow(self) -> AsyncGenerator[RunEvent, None]:
        """Yield all events, those told before first."""
        told = 0
        with self._listening():
            while True:
                while told < len(self.events):
                    event = self.events[told]
                    told += 1
                    yield event
                    if isinstance(event, RunFinished | RunFailed):
                        return
                await self._next()

    async def result(self) -> RunResult:
        """Wait for the end.

        Raises:
            Exception: What the run failed with.
        """
        with self._listening():
            while (ending := self.ending) is None:
                await self._next()
        if isinstance(ending, RunFailed):
            raise ending.error
        return RunResult.from_events(self.events)

    def _next(self) -> asyncio.Future[None]:
        """Return what is done once another event is told."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return waiting

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1

    def condensed(self) -> RunHandle:
        """Return a handle on an ended run that keeps its answer in one piece, and no more."""
        kept = RunHandle(self.run_id, self.tenant)
        text = "".join(event.text for event in self.events if isinstance(event, TextDelta))
        for event in self.events:
            match event:
                case TextDelta() if text:
                    kept.tell(TextDelta(text=text))
                    text = ""
                case RunStarted() | ToolCallDelta() | RunFinished() | RunFailed():
                    kept.tell(event)
                case _:
                    pass
        return kept

    def ask_to_stop(self, how: Stop) -> None:
        """End the run before its time. What was asked first stands."""
        if self.stop is not None or self.ending is not None:
            return
        self.stop = how
        if self._work is not None:
            self._interrupt()

    async def stoppable(self, work: asyncio.Task[Any]) -> bool:
        """Wait for `work`, which `ask_to_stop` cancels; say whether it came to its own end."""
        self._work, self._over = work, asyncio.get_running_loop().create_future()
        work.add_done_callback(lambda _: self._settle())
        if self.stop is not None:
            self._interrupt()
        try:
            await self._over
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            self._work = None
        return work.done() and not work.cancelled()

    def _interrupt(self) -> None:
        assert self._work is not None  # noqa: S101  asked by those who looked
        self._work.cancel()
        asyncio.get_running_loop().call_later(_PATIENCE_S, self._settle)

    def _settle(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
