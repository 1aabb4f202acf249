"""How a server ends: unready first, then no new runs, answers under way drained, and what is left handed on.

1. A signal comes: `/health/ready` says 503. After SIGTERM requests are still answered for `shutdown_delay_s`, so that
   whoever balances the load has seen it; an interrupt from the keyboard waits for nobody.
2. No connection and no run is accepted any more. Answers under way have `shutdown_grace_s` to end.
3. Runs that have not ended by then are let go: one on a thread is on disk, and another process that shares the
   storage, or the next start, carries it to its end; whoever repeats the request joins it. Streams end with an error
   that says so.
4. Everything is closed. A second signal, or a closing that takes too long, ends the process at once, which loses
   nothing either: whatever was acknowledged is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Final

import uvicorn

from agentgraph.errors import ShuttingDownError

__all__ = ["GracefulServer", "Shutdown"]

logger = logging.getLogger(__name__)
_CLOSING_S: Final = 5.0
_SOON_S: Final = 2.0  # for the streams that were told their end to say it


class Shutdown:
    """How far a server's end has come, for those who must know.

    Args:
        delay_s: How long requests are still answered once the end is announced.
        grace_s: How long answers under way have from then on.
    """

    def __init__(self, *, delay_s: float, grace_s: float) -> None:
        self.delay_s = delay_s
        self.grace_s = grace_s
        self.is_announced = False
        self._deadline: float | None = None

    def revoke(self) -> None:
        """Begin anew: an application may be started again."""
        self.is_announced, self._deadline = False, None

    def announce(self) -> None:
        """Let it be known that the server is about to end."""
        self.is_announced = True

    def begin(self) -> None:
        """Accept no more runs; the time for those under way begins to run."""
        self.announce()
        if self._deadline is None:
            self._deadline = time.monotonic() + self.grace_s

    @property
    def remaining_s(self) -> float:
        """How much time the runs under way still have."""
        return self.grace_s if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def refuse_if_begun(self) -> None:
        """Let no run begin any more.

        Raises:
            ShuttingDownError: The server is ending.
        """
        if self._deadline is not None:
            raise ShuttingDownError


class GracefulServer(uvicorn.Server):
    """uvicorn, ended as described above.

    Args:
        config: Its `timeout_graceful_shutdown` is set here.
        shutdown: Told how far the end has come.
        let_go: Leaves the runs that have not ended in time.
        ready: Called once requests are answered.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        shutdown: Shutdown,
        let_go: Callable[[], Awaitable[None]],
        ready: Callable[[], None],
    ) -> None:
        config.timeout_graceful_shutdown = round(shutdown.grace_s + _SOON_S + 1)
        super().__init__(config)
        self._shutdown = shutdown
        self._let_go = let_go
        self._ready = ready
        self._signal: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once requests are answered."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  as uvicorn calls it
        """Begin to end, or end at once where that was asked before."""
        if self._signal is not None:
            _end_now(128 + sig, "signalled again: ending at once")
        self._signal = sig
        self._shutdown.announce()
        self.should_exit = True
        # uvicorn would raise the signal again when all is done, which is for those who had no part in ending.

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Go through the steps above."""
        self._shutdown.announce()
        if self._signal == signal.SIGTERM:
            await asyncio.sleep(self._shutdown.delay_s)
        self._shutdown.begin()
        bound_s = self._shutdown.grace_s + _SOON_S + _CLOSING_S
        watchdog = threading.Timer(bound_s, _end_now, (1, "closing took too long: the next start does what is left"))
        watchdog.daemon = True
        watchdog.start()
        hurrying = asyncio.ensure_future(self._hurry())
        try:
            await super().shutdown(sockets)
        finally:
            hurrying.cancel()
            if self._signal != signal.SIGTERM:  # the process is to end, whatever a thread of a tool or a hook waits for
                watchdog.cancel()

    async def _hurry(self) -> None:
        while (answering := set(self.server_state.tasks)) and (left := self._shutdown.remaining_s) > 0:
            await asyncio.wait(answering, timeout=left)
        if self.server_state.tasks:
            logger.warning("%d answers did not end in time", len(self.server_state.tasks))
            await self._let_go()


def _end_now(code: int, why: str) -> None:
    sys.stderr.write(f"agentgraph: {why}\n")
    sys.stderr.flush()
    os._exit(code)
