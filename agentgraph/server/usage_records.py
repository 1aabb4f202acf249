"""Usage, spending and reservations in the records database; each function is part of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from agentgraph.stores.database.tables.usage import reservations, spending, usage

if TYPE_CHECKING:
    from agentgraph.server.budgets import Room

__all__ = ["add_usage", "read_usage", "release", "reserve", "spend", "taken"]


def taken(connection: Connection, account: str, period: str, *, now: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what was spent in a period and what is reserved, each in tokens and millionths of a dollar.

    Until the transaction ends no other one is told, so no two find the same room.
    """
    spend(connection, account, period, tokens=0, microusd=0)  # locks the row, and makes it where there is none
    here = (spending.c.account == account) & (spending.c.period == period)
    spent = connection.execute(select(spending.c.tokens, spending.c.microusd).where(here)).one()
    total = func.coalesce(func.sum(reservations.c.tokens), 0), func.coalesce(func.sum(reservations.c.microusd), 0)
    held = (reservations.c.account == account) & (reservations.c.period == period)
    # Others' rows are left alone: nobody waits for whoever else is being told.
    connection.execute(delete(reservations).where(held & (reservations.c.until < now)))
    reserved = connection.execute(select(*total).where(held)).one()
    return (int(spent[0]), int(spent[1])), (int(reserved[0]), int(reserved[1]))


def reserve(
    connection: Connection, reservation_id: str, room: Room, *, tokens: int, microusd: int, until: float
) -> None:
    """Set aside."""
    connection.execute(
        insert(reservations).values(
            reservation_id=reservation_id,
            account=room.account,
            period=room.period,
            tokens=tokens,
            microusd=microusd,
            until=until,
        )
    )


def release(connection: Connection, reservation_id: str) -> None:
    """Give back what was set aside."""
    connection.execute(delete(reservations).where(reservations.c.reservation_id == reservation_id))


def spend(connection: Connection, account: str, period: str, *, tokens: int, microusd: int) -> None:
    """Add to what was spent."""
    where = {"account": account, "period": period}
    _add(connection, spending, where, {"tokens": tokens, "microusd": microusd})


def add_usage(connection: Connection, rows: Iterable[tuple[Mapping[str, str], Mapping[str, int]]]) -> None:
    """Add to what was used: each by its tenant, day, key, user and model."""
    for where, amounts in rows:
        _add(connection, usage, where, amounts)


def read_usage(connection: Connection, tenant: str, since: str, until: str) -> list[dict[str, Any]]:
    """Return a tenant's usage from one day to another, ISO, both included."""
    days = usage.c.day.between(since, until)
    rows = connection.execute(select(usage).where((usage.c.tenant == tenant) & days).order_by(usage.c.day))
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's public name


def _add(connection: Connection, table: Table, where: Mapping[str, str], amounts: Mapping[str, int]) -> None:
    """Add amounts to a row, or make it."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(table).values(**where, **amounts)
    summed = {name: table.c[name] + row.excluded[name] for name in amounts}
    connection.execute(row.on_conflict_do_update(index_elements=list(where), set_=summed))
