"""Agents that tenants created while the server ran: a row each, of which `version` counts the changes."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, DateTime, Float, Integer, String, Table, Text

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["agents"]

agents: Final = Table(
    f"{PREFIX}agents",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("instructions", Text, nullable=False),
    Column("model", String(256), nullable=True),
    Column("tools", JSON(none_as_null=True), nullable=True),  # names; NULL for all of the tenant's
    Column("max_parallel_tools", Integer, nullable=False),
    Column("tool_call_timeout", Float, nullable=False),  # seconds
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
