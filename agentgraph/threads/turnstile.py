"""Let one run at a time onto a thread, within this process; between processes its lease does (`thread_access.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

__all__ = ["Turnstile"]


class Turnstile:
    """A lock per thread that exists only while somebody holds or awaits it; waiters enter in order of arrival."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def enter(self, thread_key: str | None) -> AsyncIterator[None]:
        """Hold the thread while the block runs; a one-off run (`None`) holds nothing."""
        if thread_key is None:
            yield
            return
        lock = self._locks.get(thread_key)
        if lock is None:
            lock = self._locks[thread_key] = asyncio.Lock()
        async with lock:
            yield
