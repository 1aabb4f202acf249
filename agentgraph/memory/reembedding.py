"""Embed anew, behind the runs, what another embedding model embedded: each tenant once, after its first run.

Until that is done its memories are found by their words. What is interrupted goes on after the tenant's first run in
the next process; `agentgraph memory reembed` does the same while one watches.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, runtime_checkable

from langgraph.store.base import BaseStore

__all__ = ["Reembedding", "StoreOfOneModel"]

logger = logging.getLogger(__name__)
_TENANTS_AT_ONCE: Final = 1  # the local embedder has two threads, and runs need one


@runtime_checkable
class StoreOfOneModel(Protocol):
    """A store that knows which of its vectors are another model's."""

    @property
    def embeddings(self) -> Any:
        """What turns texts into vectors; `None` for nothing."""
        ...

    async def stats(self, tenant: str) -> Any:
        """Count what `tenant` has; `stale_vectors` are those to embed anew."""
        ...

    async def reembed(self, tenant: str, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Embed anew whatever has no vector of the store's model; return how many items that were."""
        ...


class Reembedding:
    """The tenants seen in this process, and those whose vectors are being made.

    Args:
        store: Where memories live; one that is no `StoreOfOneModel` is left alone.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store if isinstance(store, StoreOfOneModel) and store.embeddings is not None else None
        self._room = asyncio.Semaphore(_TENANTS_AT_ONCE)
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def look_after(self, tenants: Iterable[str]) -> None:
        """See to `tenants` in the background, if that was not done yet."""
        if self._store is None:
            return
        for tenant in set(tenants) - self._seen:
            self._seen.add(tenant)
            task = asyncio.create_task(self._see_to(tenant, self._store))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop. What was embedded stays, and the rest is left for the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _see_to(self, tenant: str, store: StoreOfOneModel) -> None:
        async with self._room:
            try:
                if not (stale := (await store.stats(tenant)).stale_vectors):
                    return
                logger.info("tenant %r has %d texts of another embedding model: they are embedded anew", tenant, stale)
                done = await store.reembed(tenant)
                logger.info("%d memories of tenant %r were embedded anew", done, tenant)
            except Exception as error:  # noqa: BLE001  the outermost place of a task: words still find everything
                # No text of the error's: an embedder's vendor may quote what it was to embed.
                logger.warning("memories of tenant %r were not embedded anew: %s", tenant, type(error).__name__)
