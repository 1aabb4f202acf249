"""What clients made under a name of their own for the request, so that a request sent again makes nothing twice.

Nothing that was sent is kept, only a digest of it and the id of what was made.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, String, Table

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["creations"]

creations: Final = Table(
    f"{PREFIX}creations",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("key", String(64), nullable=False),  # digest of the client's name for the request, and of who sent it
    Column("request", String(64), nullable=False),  # digest
    Column("made", String(1024), nullable=True),  # its id; NULL while it is being made
    Column("at", DateTime(timezone=True), nullable=False, index=True),
    PrimaryKeyConstraint("tenant", "key"),
)
