"""What is under way in this process: work somebody may have to wait for before closing, forgetting or deleting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["UnderWay"]

_SOON_S: Final = 1.0


class UnderWay:
    """Tasks of the application, and runs by tenant."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runs: dict[str, set[asyncio.Event]] = {}

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start work that `finished` waits for."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finished(self, *, timeout_s: float | None = None) -> int:
        """Wait until nothing spawned is under way; return how much still is when the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self._tasks:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            await asyncio.wait(set(self._tasks), timeout=left)
            if left == 0.0:
                break
        return len(self._tasks)

    async def cancelled(self) -> None:
        """Cancel what is under way, and wait for it a moment: what blocks its thread is left behind."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_SOON_S)
        self._tasks.clear()

    @contextmanager
    def counted(self, tenant: str) -> Iterator[None]:
        """Be one of the runs that `finished_of` waits for."""
        ended = asyncio.Event()
        under_way = self._runs.setdefault(tenant, set())
        under_way.add(ended)
        try:
            yield
        finally:
            ended.set()
            under_way.discard(ended)
            if not under_way:
                self._runs.pop(tenant, None)

    async def finished_of(self, tenant: str, *, timeout_s: float) -> int:
        """Wait until the runs of `tenant` that are under way now have ended; return how many have not, in time."""
        waiting = [asyncio.ensure_future(ended.wait()) for ended in self._runs.get(tenant, ())]
        if not waiting:
            return 0
        _, unfinished = await asyncio.wait(waiting, timeout=timeout_s)
        for task in unfinished:
            task.cancel()
        return len(unfinished)
