"""Do what is due for each of many keys, in the background, and try again, ever more slowly, what failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Rounds"]

logger = logging.getLogger(__name__)
K = TypeVar("K")


class Rounds(Generic[K]):
    """A task for each key while there is something to do for it: again if told meanwhile, more slowly if it fails.

    Args:
        job: Does what is due for a key; `False`, or an exception, means that it is to be tried again later.
        at_once: How many keys have their turn at a time.
        first_pause_s: Pause after a failure.
        longest_pause_s: Where pauses stop growing.
        slower: How many times as long each pause is as the one before.
    """

    def __init__(
        self,
        job: Callable[[K], Awaitable[bool]],
        *,
        at_once: int,
        first_pause_s: float,
        longest_pause_s: float,
        slower: float = 2,
    ) -> None:
        self._job = job
        self._room = asyncio.Semaphore(at_once)
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._slower = slower
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._again: set[K] = set()
        self._closing = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way or waits to be tried again."""
        return bool(self._tasks)

    def start(self, key: K) -> None:
        """See to `key`, now or once more after what is under way for it."""
        self._again.add(key)
        if key not in self._tasks:
            self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key))

    async def settled(self) -> None:
        """Wait until everything that was started went well."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def aclose(self, *, timeout_s: float) -> None:
        """Let what is under way go on for `timeout_s`; what waits after a failure waits no longer and is left."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, key: K) -> None:
        pause = self._first_pause_s
        try:
            while key in self._again:
                self._again.discard(key)
                if await self._went_well(key):
                    pause = self._first_pause_s
                    continue
                self._again.add(key)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause)
                    return
                pause = min(pause * self._slower, self._longest_pause_s)
        finally:
            del self._tasks[key]

    async def _went_well(self, key: K) -> bool:
        try:
            async with self._room:
                return await self._job(key)
        except Exception:  # the outermost loop: one key's trouble must not end the worker
            logger.exception("what is owed to memory of %r was not written; it is tried again", key)
            return False
