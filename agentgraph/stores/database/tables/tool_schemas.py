"""Tools that a tenant has declared once for all of its requests: one row a tool."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, Integer, String, Table, UniqueConstraint

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["tool_schemas"]

tool_schemas: Final = Table(
    f"{PREFIX}tool_schemas",
    metadata,
    Column("schema_id", Integer, primary_key=True),  # in the order they were declared in
    Column("tenant", String(128), nullable=False),
    Column("name", String(64), nullable=False),
    Column("schema", JSON, nullable=False),
    UniqueConstraint("tenant", "name"),
)
