"""What was used, by tenant, key, model and day; what is left of budgets, and what runs under way may yet take of it.

Money is kept in millionths of a dollar: sums of whole numbers come out the same in every order.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["NOBODY", "reservations", "spending", "usage"]

NOBODY: Final = ""
"""The `key_id` or `user` of what none asked for; NULLs would not be unique."""

usage: Final = Table(
    f"{PREFIX}usage",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("day", String(10), primary_key=True),  # ISO, UTC
    Column("key_id", String(16), primary_key=True),
    Column("user", String(128), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("runs", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_microusd", BigInteger, nullable=False),
)

spending: Final = Table(
    f"{PREFIX}spending",
    metadata,
    Column("account", String(160), primary_key=True),  # `tenant:acme` or `key:abc`
    Column("period", String(10), primary_key=True),  # `2026-11-21`, `2026-11` or `ever`
    Column("tokens", BigInteger, nullable=False),
    Column("microusd", BigInteger, nullable=False),
)

reservations: Final = Table(
    f"{PREFIX}reservations",
    metadata,
    Column("reservation_id", String(32), primary_key=True),
    Column("account", String(160), primary_key=True),
    Column("period", String(10), nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("microusd", BigInteger, nullable=False),
    Column("until", Float, nullable=False),  # seconds since 1970: a process that died gives back what it held
    Index(None, "account", "period"),
)
