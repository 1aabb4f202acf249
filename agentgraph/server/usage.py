"""What was used, by tenant, day, key, user and model: summed up in memory and written down every few seconds.

Where no records database has been made yet, for lack of anything to keep, one is made only once there is much to write:
a server tried out for an hour tells its usage all the same, as long as it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agentgraph.errors import StoreError
from agentgraph.stores.database.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["UsageBook", "UsageRow", "UsedBy"]

logger = logging.getLogger(__name__)
_WRITTEN_EVERY_S: Final = 2.0
_MOST_REMEMBERED: Final = 1_000  # rows without a database


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedBy:
    """Who used it. `key_id` and `user` are empty where there was none."""

    tenant: str
    day: str
    key_id: str
    user: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """How much was used. `cost_microusd` is 0 for models without a price in the settings."""

    runs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0

    def __add__(self, other: UsageRow) -> UsageRow:
        return UsageRow(
            runs=self.runs + other.runs,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_microusd=self.cost_microusd + other.cost_microusd,
        )

    @property
    def amounts(self) -> dict[str, int]:
        """The row's columns."""
        return {
            "runs": self.runs,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_microusd": self.cost_microusd,
        }


class UsageBook:
    """The usage of one application. Belongs to one event loop.

    Args:
        database: Where it is kept.
        clock: Tells the present moment.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._database = database
        self._clock = clock
        self._unwritten: dict[UsedBy, UsageRow] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, *, tenant: str, key_id: str | None, user: str | None, model: str, used: UsageRow) -> None:
        """Add what a run used."""
        day = f"{self._clock().astimezone(UTC):%Y-%m-%d}"
        whose = UsedBy(tenant=tenant, day=day, key_id=key_id or "", user=user or "", model=model[:200])
        self._unwritten[whose] = self._unwritten.get(whose, UsageRow()) + used
        if self._is_kept and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._write_soon())

    async def of(self, tenant: str, *, since: str, until: str) -> dict[UsedBy, UsageRow]:
        """Return a tenant's usage.

        Args:
            tenant: Whose.
            since: The first day, ISO, by UTC.
            until: The last.
        """

        def read(connection: Connection) -> dict[UsedBy, UsageRow]:
            from agentgraph.server import usage_records

            rows = usage_records.read_usage(connection, tenant, since, until)
            return {
                UsedBy(**{name: row[name] for name in UsedBy.__slots__}): UsageRow(
                    **{name: row[name] for name in UsageRow.__slots__}
                )
                for row in rows
            }

        await self.write()
        found = await self._database.read(read) if self._database.exists else {}
        for whose, used in self._unwritten.items():
            if whose.tenant == tenant and since <= whose.day <= until:
                found[whose] = found.get(whose, UsageRow()) + used
        return found

    async def write(self) -> None:
        """Write down what is only remembered."""
        if not self._unwritten or not self._is_kept:
            return
        taken, self._unwritten = self._unwritten, {}
        # In one order always, so that two processes that lock the same rows never wait for one another.
        rows = [
            ({name: getattr(whose, name) for name in UsedBy.__slots__}, used.amounts)
            for whose, used in sorted(taken.items(), key=lambda row: _place(row[0]))
        ]

        def write(connection: Connection) -> None:
            from agentgraph.server import usage_records

            usage_records.add_usage(connection, rows)

        try:
            await self._database.write(write)
        except StoreError as error:
            logger.warning("usage could not be written down: %s", error.message)
            for whose, used in taken.items():
                self._unwritten[whose] = self._unwritten.get(whose, UsageRow()) + used

    @property
    def _is_kept(self) -> bool:
        return self._database.exists or len(self._unwritten) > _MOST_REMEMBERED

    async def aclose(self) -> None:
        """Write down the rest."""
        if self._writing is not None:
            self._writing.cancel()
        await self.write()

    async def _write_soon(self) -> None:
        while self._unwritten:  # again where some was noted meanwhile, or could not be written
            await asyncio.sleep(_WRITTEN_EVERY_S)
            await asyncio.shield(asyncio.ensure_future(self.write()))


def _place(whose: UsedBy) -> tuple[str, ...]:
    return tuple(getattr(whose, name) for name in UsedBy.__slots__)
