"""Users that a tenant registered, and the titles of their chats; what was said and remembered is in the tenant's files.

A row that `is_leaving` is being deleted: it is shown to nobody, and goes when all that belongs to it has gone, so that
a deletion that was cut short can be asked for again.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["chats", "users"]

users: Final = Table(
    f"{PREFIX}users",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of lists
    Column("tenant", String(128), nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("name", String(200), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("revision", String(32), nullable=False),  # another with each change
    Column("is_leaving", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("tenant", "user_id"),
)

chats: Final = Table(
    f"{PREFIX}chats",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("chat_id", String(128), nullable=False),  # the thread's id as well
    Column("user_id", String(128), nullable=False),
    Column("title", String(200), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("revision", String(32), nullable=False),
    Column("is_leaving", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("tenant", "chat_id"),
    ForeignKeyConstraint(["tenant", "user_id"], [users.c.tenant, users.c.user_id], ondelete="CASCADE"),
    Index(None, "tenant", "user_id"),
)
