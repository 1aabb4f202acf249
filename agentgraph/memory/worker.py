"""Keep, in the background, what finished turns owe to memory, and what an earlier process left owing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from langgraph.store.base import BaseStore

from agentgraph.errors import AgentGraphError
from agentgraph.memory.record import Owed
from agentgraph.memory.write import write_episodes

__all__ = ["MemoryWorker", "Outbox"]

logger = logging.getLogger(__name__)
Namespace = tuple[str, ...]
_TENANTS_AT_ONCE: Final = 4
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0


class Outbox(Protocol):
    """Where work owed is filed, tenant by tenant, until it is settled."""

    async def owed(self, tenant: str, *, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """Return the oldest items with their numbers."""

    async def owe(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> None:
        """File items."""

    async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
        """Strike items off."""


class MemoryWorker:
    """Empties the outbox of whichever tenants it is told of, a task for each while there is something to write.

    What arrives during a round is written together in the next. An item is struck off only after it was written, and
    writing it twice is harmless: a crash between the two loses nothing and doubles nothing. A tenant whose store fails
    is tried again, ever more slowly, without holding up others.
    """

    def __init__(self, store: BaseStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._unwritten: Counter[Namespace] = Counter()
        self._progress = asyncio.Event()
        self._room = asyncio.Semaphore(_TENANTS_AT_ONCE)

    def notify(self, tenant: str, namespace: Namespace | None = None) -> None:
        """Say that `tenant` owes something, to `namespace` where that is known."""
        if namespace is not None:
            self._unwritten[namespace] += 1
        self._again.add(tenant)
        if tenant not in self._tasks:
            self._tasks[tenant] = asyncio.get_running_loop().create_task(self._write(tenant))

    async def caught_up(self, namespaces: Sequence[Namespace], *, timeout_s: float) -> bool:
        """Wait until what was said before is in `namespaces`, so that a question right after it finds it.

        Returns:
            Whether it is; `False` when the time is up, which holds up nothing.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(namespace in self._unwritten for namespace in namespaces):
                    await self._progress.wait()
                return True
        return False

    async def settled(self) -> None:
        """Wait until nothing that was notified is owed any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def aclose(self) -> None:
        """Write what can be written now and stop; what fails stays owed for the next start."""
        waiting = list(self._tasks)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for tenant in waiting:
            with suppress(AgentGraphError):
                await self._empty(tenant)

    async def _write(self, tenant: str) -> None:
        pause = _FIRST_PAUSE_S
        try:
            while tenant in self._again:
                self._again.discard(tenant)
                awaited = {namespace: n for namespace, n in self._unwritten.items() if namespace[0] == tenant}
                try:
                    async with self._room:
                        await self._empty(tenant)
                except Exception:  # the outermost loop: one tenant's trouble must not end the worker
                    logger.exception("memory of tenant %r was not written; next try in %.1f s", tenant, pause)
                    self._again.add(tenant)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_S)
                else:
                    pause = _FIRST_PAUSE_S
                    self._tell(awaited)
        finally:
            del self._tasks[tenant]

    async def _empty(self, tenant: str) -> None:
        while rows := await self._outbox.owed(tenant):
            await write_episodes(self._store, [cast("Owed", item) for _, item in rows])
            await self._outbox.settle(tenant, [number for number, _ in rows])

    def _tell(self, written: Mapping[Namespace, int]) -> None:
        for namespace, notified in written.items():
            self._unwritten[namespace] -= notified
            if self._unwritten[namespace] <= 0:
                del self._unwritten[namespace]
        self._progress.set()
        self._progress = asyncio.Event()
