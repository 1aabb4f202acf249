"""How often each subject's records have changed, so that other processes see it at a glance.

A writer's transaction begins with `advance`: the row it changes also lets one writer of a subject in at a time.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Connection, String, Table, select, update

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["advance", "generation", "generations"]

generations: Final = Table(
    f"{PREFIX}generations",
    metadata,
    Column("subject", String(64), primary_key=True),  # a subject's migration inserts its row
    Column("number", BigInteger, nullable=False),
)


def advance(connection: Connection, subject: str) -> None:
    """Say that the subject's records change in this transaction, and wait for whoever changes them just now."""
    changed = update(generations).where(generations.c.subject == subject).values(number=generations.c.number + 1)
    connection.execute(changed)


def generation(connection: Connection, subject: str) -> int:
    """Return how often the subject's records have changed."""
    number: int = connection.execute(select(generations.c.number).where(generations.c.subject == subject)).scalar_one()
    return number
