"""MCP servers registered at run time, and which of whose tools were accepted as they are."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, DateTime, PrimaryKeyConstraint, String, Table, Text

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["mcp_accepted", "mcp_servers"]

mcp_servers: Final = Table(
    f"{PREFIX}mcp_servers",
    metadata,
    Column("tenant", String(128), nullable=False),  # empty for every tenant's, as in `functions`
    Column("name", String(64), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("api_key", Text, nullable=True),
    Column("options", JSON, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)

mcp_accepted: Final = Table(
    f"{PREFIX}mcp_accepted",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("name", String(64), nullable=False),  # the server's; those of the settings have rows here too
    Column("place", String(64), nullable=False),  # digest of where the server is
    Column("tools", JSON, nullable=False),  # its name for each tool: the fingerprint that was accepted
    PrimaryKeyConstraint("tenant", "name"),
)
