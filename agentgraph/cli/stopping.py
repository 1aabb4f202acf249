"""Let Ctrl-C end the run that is under way instead of the program."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from agentgraph._sync import portal_loop
from agentgraph.app import AgentGraph
from agentgraph.events import RunEvent, RunStarted

__all__ = ["RunStop"]


class RunStop:
    """Ends one run when it is asked to; the run then tells its own end, as every run does.

    Attributes:
        was_asked: Whether somebody pressed Ctrl-C.
    """

    def __init__(self, agent: AgentGraph, tenant: str) -> None:
        self._agent = agent
        self._tenant = tenant
        self._run_id: str | None = None
        self.was_asked = False

    def on(self, event: RunEvent) -> None:
        """Learn from a run's first event which run it is."""
        if isinstance(event, RunStarted):
            self._run_id = event.run_id
            if self.was_asked:
                self._cancel()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C for the run; a second one, before it has ended, raises `KeyboardInterrupt` as ever."""

        def pressed(_: int, frame: FrameType | None) -> None:
            if self.was_asked:
                signal.default_int_handler(signal.SIGINT, frame)
            self.was_asked = True
            self._cancel()

        before = signal.signal(signal.SIGINT, pressed)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _cancel(self) -> None:
        if self._run_id is not None:  # a run that was not accepted yet is ended when it is
            asyncio.run_coroutine_threadsafe(self._agent.cancel(self._run_id, tenant=self._tenant), portal_loop())
