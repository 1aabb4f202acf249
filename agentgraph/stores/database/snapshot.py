"""A subject's records in memory, read again when any process has changed them.

Looking whether they have changed costs microseconds on SQLite. On PostgreSQL it is one small query, made at most once
a second: what another process changed is seen within that second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from agentgraph.errors import StoreError
from agentgraph.stores.database.database import Database, Job

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Snapshot"]

T = TypeVar("T")
logger = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 2.0


class Snapshot(Generic[T]):
    """What `load` made of a subject's records, as new as can be had for nothing. Belongs to one event loop.

    Args:
        database: Where the records are.
        subject: Whose writers `advance`.
        load: Reads them all.
        look_s: Seconds between looks where a look is a query.
        patience_s: How long to wait for a look where something was read before.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        subject: str,
        load: Job[T],
        *,
        look_s: float = _LOOK_S,
        patience_s: float = _PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._subject = subject
        self._load = load
        self._look_s = look_s
        self._patience_s = patience_s
        self._clock = clock
        self._held: tuple[int, T] | None = None
        self._mark: int | None = None
        self._look_again_at = 0.0
        self._looking = asyncio.Lock()

    async def get(self) -> T:
        """Return the records. A database that fails is logged, and what was read before is still good.

        Raises:
            StoreError: It fails and nothing was read before.
        """
        if self._held is not None and self._is_new():
            return self._held[1]
        async with self._looking:
            if self._held is None or not self._is_new():
                await self._look()
            assert self._held is not None  # noqa: S101
            return self._held[1]

    def stale(self) -> None:
        """Look again at the next `get`, whatever the clock says: this process has changed the records."""
        self._mark, self._look_again_at = None, 0.0

    def _is_new(self) -> bool:
        if self._mark is not None and self._database.mark() == self._mark:
            return True
        return self._mark is None and self._clock() < self._look_again_at

    async def _look(self) -> None:
        held = self._held

        def look(connection: Connection) -> tuple[int, T]:
            from agentgraph.stores.database.tables.generations import generation

            number = generation(connection, self._subject)
            return held if held is not None and held[0] == number else (number, self._load(connection))

        if held is None:
            await self._database.open()
        mark = self._database.mark()  # before reading: what is committed meanwhile is looked for again
        try:
            # Whoever has old ones does not wait for a database that hangs as long as a job may.
            async with asyncio.timeout(None if held is None else self._patience_s):
                self._held = await self._database.read(look)
        except (StoreError, TimeoutError) as error:
            if held is None:
                raise
            why = error.message if isinstance(error, StoreError) else "the database does not answer"
            logger.warning("records of %s may be old: %s", self._subject, why)
            mark = None
        self._mark = mark
        self._look_again_at = self._clock() + self._look_s
