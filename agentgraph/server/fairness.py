"""Share the processor between tenants: where several ask and it does not suffice, none holds more of it than others.

One tenant alone may have any number of runs under way. Once another is there, too, each has as many as let the event
loop keep time: their number shrinks while it is late, and grows again while it is not. What is over that waits in
its tenant's own queue, in order, so a flood delays the one who sends it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["FairShare"]

_REMEMBERED_S: Final = 5.0  # a tenant that asks now and then is there all the time
_TICK_S: Final = 0.02
_LATE_S: Final = 0.004  # a request goes around the loop some twenty times
_SMOOTHING: Final = 0.3
_MOST: Final = 64
_FIRST: Final = 4


class FairShare:
    """How many runs each tenant has under way, and who waits. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._seen: dict[str, float] = {}
        self._share = float(_FIRST)
        self._ticking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for the tenant's turn, and hold a place until the end."""
        self._seen[tenant] = time.monotonic()
        if len(self._seen) > 1 and (self._ticking is None or self._ticking.done()):
            self._ticking = asyncio.get_running_loop().create_task(self._keep_time())
        if self._waiting.get(tenant) or not self._has_room(tenant):
            await self._wait(tenant)
        else:
            self._under_way[tenant] = self._under_way.get(tenant, 0) + 1
        try:
            yield
        finally:
            left = self._under_way.pop(tenant) - 1
            if left:
                self._under_way[tenant] = left
            self._let_in(tenant)

    @property
    def is_contended(self) -> bool:
        """Whether more than one tenant was there of late."""
        if len(self._seen) > 1:
            oldest = time.monotonic() - _REMEMBERED_S
            self._seen = {tenant: at for tenant, at in self._seen.items() if at > oldest or tenant in self._under_way}
        return len(self._seen) > 1

    def aclose(self) -> None:
        """Stop keeping time."""
        if self._ticking is not None:
            self._ticking.cancel()

    def _has_room(self, tenant: str) -> bool:
        count = self._under_way.get(tenant, 0)
        return count == 0 or count < int(self._share) or not self.is_contended

    async def _wait(self, tenant: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # let in, and gone at once
                self._under_way[tenant] -= 1
                if not self._under_way[tenant]:
                    del self._under_way[tenant]
                self._let_in(tenant)
            raise

    def _let_in(self, tenant: str) -> None:
        waiting = self._waiting.get(tenant)
        while waiting and self._has_room(tenant):
            place = waiting.popleft()
            if not place.done():
                self._under_way[tenant] = self._under_way.get(tenant, 0) + 1
                place.set_result(None)
        if not waiting:
            self._waiting.pop(tenant, None)

    async def _keep_time(self) -> None:
        """Look how late the event loop is, for as long as tenants share it."""
        self._share = float(_FIRST)
        late_s = 0.0
        while self.is_contended:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            late_s += _SMOOTHING * (time.monotonic() - before - _TICK_S - late_s)
            self._share = max(1.0, self._share * 0.75) if late_s > _LATE_S else min(float(_MOST), self._share + 0.5)
            for tenant in list(self._waiting):
                self._let_in(tenant)
        for tenant in list(self._waiting):
            self._let_in(tenant)
