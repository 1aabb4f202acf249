"""The tenants' files that are open: a bounded number, opened when first used and closed when long unused.

Nothing here knows what is in a file; it knows who uses it, in which order, and on which threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from agentgraph.errors import StoreError
from agentgraph.scope import tenant_directory
from agentgraph.stores.tenant_items import TenantItems

__all__ = ["OpenTenants"]

T = TypeVar("T")

_FILE: Final = "memory.db"


class OpenTenants:
    """A table of open files, least recently used first. It may be used from several loops and threads."""

    def __init__(
        self,
        storage_dir: Path,
        *,
        hot: int,
        pool: ThreadPoolExecutor,
        make: Callable[[Path, str], TenantItems],
    ) -> None:
        """Open nothing yet.

        Args:
            storage_dir: Where the tenants' directories are.
            hot: How many files stay open while nobody uses them.
            pool: Where files are opened, read and closed.
            make: Opens the file of a tenant, creating it if need be.
        """
        self._storage_dir = storage_dir
        self._hot = hot
        self._pool = pool
        self._make = make
        self._guard = threading.Lock()
        self._tenants: OrderedDict[str, _Open] = OrderedDict()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tenants)

    async def close(self) -> None:
        """Finish what is queued and close every file, for good."""
        with self._guard:
            self._closed = True
            opened = list(self._tenants.values())
            self._tenants.clear()
        for tenant in opened:
            await asyncio.to_thread(tenant.close)

    async def close_one(self, tenant: str) -> None:
        """Close `tenant`'s file, if it is open."""
        with self._guard:
            opened = self._tenants.pop(tenant, None)
        if opened is not None:
            await asyncio.to_thread(opened.close)

    async def on_disk(self) -> list[str]:
        """Return every tenant that has a file."""
        return await self.in_pool(
            lambda: [
                name for path in sorted(self._storage_dir.glob(f"*/{_FILE}")) if (name := _tenant_in(path)) is not None
            ]
        )

    @asynccontextmanager
    async def using(self, tenant: str, *, create: bool = False) -> AsyncIterator[TenantItems | None]:
        """Keep a tenant's file open for a while; `None` if there is none and none is to be made."""
        opened = await self._claimed(tenant, create=create)
        try:
            yield opened.items
        finally:
            with self._guard:
                opened.users -= 1
                evicted = self._evicted()
            for other in evicted:
                self._pool.submit(other.close)

    def has_vectors(self, tenant: str) -> bool:
        """Say whether `tenant` is open and had vectors when it was looked at last."""
        with self._guard:
            opened = self._tenants.get(tenant)
        return opened is not None and opened.items is not None and opened.items.had_vectors

    async def read(self, tenants: Sequence[TenantItems], function: Callable[[], T]) -> T:
        """Run `function`, which reads `tenants`, when those who asked before have read.

        One reads a tenant at a time; whoever waits should not do so on a thread that others need.
        """
        mine: Future[None] = Future()
        with self._guard:  # for all at once, so that no two wait for each other
            before = [items.last_read for items in tenants if items.last_read is not None]
            for items in tenants:
                items.last_read = mine
        try:
            for other in before:
                if not other.done():
                    await asyncio.shield(asyncio.wrap_future(other))
            return await self.in_pool(function)
        finally:
            mine.set_result(None)

    async def write(self, items: TenantItems, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job(connection)` in a transaction of the tenant's file and return its result once it is committed."""
        file = items.file
        if file is None:
            file = await self.in_pool(items.writer)
        return await file.write(job)

    async def in_pool(self, function: Callable[[], T]) -> T:
        """Run `function` on a thread."""
        return await asyncio.wrap_future(self._pool.submit(function))

    async def _claimed(self, tenant: str, *, create: bool) -> _Open:
        while True:
            with self._guard:
                if self._closed:
                    raise StoreError("the store is closed", code="store_closed")
                opened = self._tenants.get(tenant)
                if opened is not None and opened.is_replaced:
                    del self._tenants[tenant]  # somebody deleted the tenant; whoever still reads finishes first
                    asyncio.get_running_loop().run_in_executor(None, opened.close)
                    opened = None
                if opened is None:
                    future = self._pool.submit(self._open, tenant, create)
                    opened = self._tenants[tenant] = _Open(future)
                self._tenants.move_to_end(tenant)
                opened.users += 1
            if opened.items is not None:
                return opened
            try:
                found = await asyncio.shield(asyncio.wrap_future(opened.future))
            except BaseException:
                self._forget(tenant, opened)
                raise
            if found is not None:
                return opened
            if not create:
                self._forget(tenant, opened, keep_claim=True)
                return opened
            self._forget(tenant, opened)  # a reader looked first and found nothing

    def _forget(self, tenant: str, opened: _Open, *, keep_claim: bool = False) -> None:
        with self._guard:
            opened.users -= 0 if keep_claim else 1
            if self._tenants.get(tenant) is opened and (opened.has_failed or opened.items is None):
                del self._tenants[tenant]

    def _open(self, tenant: str, create: bool) -> TenantItems | None:
        path = tenant_directory(self._storage_dir, tenant) / _FILE
        return self._make(path, tenant) if create or path.exists() else None

    def _evicted(self) -> list[_Open]:
        """Take the least recently used tenants beyond the limit out of the table; the guard is held."""
        surplus = len(self._tenants) - self._hot
        idle = [name for name, opened in self._tenants.items() if opened.is_idle] if surplus > 0 else []
        return [self._tenants.pop(name) for name in idle[: max(0, surplus)]]


class _Open:
    """A tenant's file in use, being opened, or found not to exist."""

    __slots__ = ("future", "users")

    def __init__(self, future: Future[TenantItems | None]) -> None:
        self.future = future
        self.users = 0

    @property
    def has_failed(self) -> bool:
        return self.future.done() and self.future.exception() is not None

    @property
    def items(self) -> TenantItems | None:
        return self.future.result() if self.future.done() and not self.has_failed else None

    @property
    def is_idle(self) -> bool:
        return self.users == 0 and self.future.done() and (self.items is None or self.items.is_idle)

    @property
    def is_replaced(self) -> bool:
        items = self.items
        return items is not None and items.is_replaced

    def close(self) -> None:
        try:
            items = self.future.result()
        except Exception:  # noqa: BLE001  it never opened, and whoever asked was told
            return
        if items is not None:
            items.close()


def _tenant_in(path: Path) -> str | None:
    """Read whose file it is: directories of some tenants are spelt otherwise."""
    try:
        connection = sqlite3.connect(path)
        try:
            found = connection.execute("SELECT value FROM meta WHERE name = 'tenant'").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return None
    return None if found is None else str(found[0])
