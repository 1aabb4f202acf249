"""Budgets of tokens and money: a run reserves what it may use before it begins, and pays what it used at its end.

So that many at once cannot all find the last of a budget still there. Reservations and payments are in the records
database, so they hold across processes; what a process reserved that died is free again after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import uuid4

from agentgraph.errors import BudgetExceededError, ConfigurationError, StoreError
from agentgraph.events import Usage
from agentgraph.server.rates import Account
from agentgraph.settings import Limits, ModelPrice
from agentgraph.stores.database.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Budgets", "Room", "price_microusd"]

_TIGHT_RETRY_S: Final = 1.0
_REMEMBERED_S: Final = 2.0

_Place: TypeAlias = tuple[str, str, int | None, int | None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What an account may still use in a period.

    Attributes:
        account: `key:…` or `tenant:…`.
        period: `2026-11-21`, `2026-11` or `ever`.
        tokens: The budget; `None` for none set.
        microusd: The same in millionths of a dollar.
        resets_in_s: Seconds until the next period; `None` where there is none.
    """

    account: str
    period: str
    tokens: int | None
    microusd: int | None
    resets_in_s: float | None


class Budgets:
    """The budgets in a records database. Belongs to one event loop.

    Args:
        prices: By model.
        lasts_s: After how long a reservation is void; no run takes longer.
        clock: Tells the present moment.
    """

    def __init__(
        self, prices: Mapping[str, ModelPrice], *, lasts_s: float, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._prices = prices
        self._lasts_s = lasts_s
        self._clock = clock
        self._used_up: dict[_Place, tuple[float, BudgetExceededError]] = {}

    def rooms(self, accounts: Sequence[Account]) -> list[Room]:
        """Return the budgets that a run of these accounts takes from."""
        now = self._clock()
        # In one order always, so that two processes that lock the same rows never wait for one another.
        return sorted(
            (room(name, limits, now) for name, limits in accounts if _has_budget(limits)), key=lambda each: each.account
        )

    async def reserve(self, database: Database, rooms: Sequence[Room], *, tokens: int, microusd: int) -> str:
        """Set aside what a run may use, and return the reservation's id.

        Raises:
            BudgetExceededError: A budget is used up, or what is left may be needed by runs under way.
            StoreError: The database fails.
        """
        reservation_id, now = uuid4().hex, self._clock().timestamp()
        for each in rooms:  # a flood of refusals does not reach the database
            until, refusal = self._used_up.get(_place(each), (0.0, None))
            if refusal is not None and now < until:
                raise refusal.with_traceback(None)

        def reserve(connection: Connection) -> tuple[_Place, BudgetExceededError] | None:
            from agentgraph.server import usage_records

            for each in rooms:
                spent, reserved = usage_records.taken(connection, each.account, each.period, now=now)
                refusal = _refusal(each, spent, reserved, (tokens, microusd))
                if refusal is not None:
                    return _place(each), refusal
            for each in rooms:
                usage_records.reserve(
                    connection, reservation_id, each, tokens=tokens, microusd=microusd, until=now + self._lasts_s
                )
            return None

        reserving = asyncio.ensure_future(database.write(reserve))
        try:
            refused = await asyncio.shield(reserving)
        except asyncio.CancelledError:  # the database does it all the same, and nobody would give it back
            with suppress(StoreError):
                if await reserving is None:
                    await database.write(partial(_release, reservation_id=reservation_id))
            raise
        if refused is not None:
            place, refusal = refused
            if not refusal.is_retryable:
                self._used_up = {key: row for key, row in self._used_up.items() if now < row[0]}
                self._used_up[place] = (now + _REMEMBERED_S, refusal)
            raise refusal
        return reservation_id

    async def settle(
        self, database: Database, reservation_id: str, rooms: Sequence[Room], *, tokens: int, microusd: int
    ) -> None:
        """Pay what a run used, and give back what it had reserved."""

        def settle(connection: Connection) -> None:
            from agentgraph.server import usage_records

            usage_records.release(connection, reservation_id)
            for each in rooms:
                usage_records.spend(connection, each.account, each.period, tokens=tokens, microusd=microusd)

        await database.write(settle)

    def cost_microusd(self, model: str, usage: Usage) -> int | None:
        """Return what a run cost, in millionths of a dollar; `None` for a model whose price nobody told."""
        price = self._prices.get(model)
        return None if price is None else price_microusd(price, usage)

    def needed_cost(self, model: str, usage: Usage, rooms: Sequence[Room]) -> int:
        """Return the cost where a budget is in money.

        Raises:
            ConfigurationError: It is, and the model has no price.
        """
        cost = self.cost_microusd(model, usage)
        if cost is None and any(each.microusd is not None for each in rooms):
            raise ConfigurationError(
                f"there is a budget in dollars and no price of {model!r}: set AGENTGRAPH_MODEL_PRICES", code="no_price"
            )
        return cost or 0


def price_microusd(price: ModelPrice, usage: Usage) -> int:
    """Return a cost in millionths of a dollar: dollars a million tokens, times tokens."""
    return round(price.input * usage.input_tokens + price.output * usage.output_tokens)


def room(name: str, limits: Limits, now: datetime) -> Room:
    """Return an account's budget for the period `now` is in."""
    period, resets_at = _period(limits, now)
    return Room(
        account=name,
        period=period,
        tokens=limits.budget_tokens,
        microusd=None if limits.budget_usd is None else round(limits.budget_usd * 1_000_000),
        resets_in_s=None if resets_at is None else (resets_at - now).total_seconds(),
    )


def _release(connection: Connection, *, reservation_id: str) -> None:
    from agentgraph.server import usage_records

    usage_records.release(connection, reservation_id)


def _place(room: Room) -> _Place:
    return room.account, room.period, room.tokens, room.microusd


def _has_budget(limits: Limits) -> bool:
    return limits.budget_tokens is not None or limits.budget_usd is not None


def _period(limits: Limits, now: datetime) -> tuple[str, datetime | None]:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match limits.budget_period:
        case "day":
            return f"{midnight:%Y-%m-%d}", midnight + timedelta(days=1)
        case "month":
            return f"{midnight:%Y-%m}", (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        case "ever":
            return "ever", None


def _refusal(
    room: Room, spent: tuple[int, int], reserved: tuple[int, int], wanted: tuple[int, int]
) -> BudgetExceededError | None:
    for limit, used, held, more in zip((room.tokens, room.microusd), spent, reserved, wanted, strict=True):
        if limit is None:
            continue
        if used >= limit:
            return BudgetExceededError(
                "You exceeded your current quota, please check your plan and billing details. "
                f"({room.account}, {room.period})",
                code="insufficient_quota",
                retry_after_s=room.resets_in_s,
            )
        # How much a run will use is a guess: alone it may have whatever is left, beside others it must fit.
        if held and used + held + more > limit:
            return BudgetExceededError(
                "You exceeded your current quota for now: runs under way may need the rest of it. "
                f"({room.account}, {room.period})",
                code="insufficient_quota",
                is_retryable=True,
                retry_after_s=_TIGHT_RETRY_S,
            )
    return None
