"""What is under way in this process: work somebody may have to wait for before closing, forgetting or deleting."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["UnderWay"]


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

    async def finished(self) -> None:
        """Wait until nothing spawned is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

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
