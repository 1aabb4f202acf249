"""Keep, in the background, what finished turns owe to memory, and what an earlier process left owing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from langgraph.store.base import BaseStore

from agentgraph.memory.record import Owed
from agentgraph.memory.write import write_episodes

__all__ = ["MemoryWorker", "Outbox"]

logger = logging.getLogger(__name__)
_GATHER_S: Final = 0.05  # turns that end within this time are written together: one batch to embed, one commit
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
    """One task that empties the outbox of whichever tenants it is told of.

    An item is struck off only after it was written, and writing it twice is harmless: a crash between the two loses
    nothing and doubles nothing. A tenant whose store fails is tried again, ever more slowly, without holding up others.
    """

    def __init__(self, store: BaseStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._waiting: dict[str, float] = {}  # tenant → the earliest moment to try, on the loop's clock
        self._pauses: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def notify(self, tenant: str) -> None:
        """Say that `tenant` may owe something."""
        self._waiting.setdefault(tenant, asyncio.get_running_loop().time() + _GATHER_S)
        self._idle.clear()
        self._wake.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="agentgraph-memory-worker")

    async def settled(self) -> None:
        """Wait until nothing that was notified is owed any more."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """Write what can be written now and stop; what fails stays owed for the next start."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        for tenant in list(self._waiting):
            await self._empty(tenant)

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = [tenant for tenant, earliest in self._waiting.items() if earliest <= clock()]
            for tenant in due:
                # Struck from the list first: a notification during the work asks for another round.
                del self._waiting[tenant]
                try:
                    await self._empty(tenant)
                    self._pauses.pop(tenant, None)
                except asyncio.CancelledError:
                    self._waiting.setdefault(tenant, 0.0)
                    raise
                except Exception:  # the outermost loop: one tenant's trouble must not end the worker
                    pause = self._pauses[tenant] = min(
                        _LONGEST_PAUSE_S, self._pauses.get(tenant, _FIRST_PAUSE_S / 2) * 2
                    )
                    logger.exception("memory of tenant %r was not written; next try in %.1f s", tenant, pause)
                    self._waiting[tenant] = clock() + pause
            if not self._waiting:
                self._idle.set()
            self._wake.clear()
            earliest = min(self._waiting.values(), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(earliest):
                    await self._wake.wait()

    async def _empty(self, tenant: str) -> None:
        while rows := await self._outbox.owed(tenant):
            await write_episodes(self._store, [cast("Owed", item) for _, item in rows])
            await self._outbox.settle(tenant, [number for number, _ in rows])
