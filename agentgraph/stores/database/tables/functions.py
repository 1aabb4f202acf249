"""Functions registered over the API: one row a name, one row for each version of its code.

A deleted function leaves its row without versions, so that no version number is ever given twice.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["EVERYONE", "function_versions", "functions"]

EVERYONE: Final = ""
"""The `tenant` of what every tenant has; no tenant's name is empty, and NULLs would not be unique."""

functions: Final = Table(
    f"{PREFIX}functions",
    metadata,
    Column("function_id", Integer, primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("name", String(64), nullable=False),
    Column("latest", Integer, nullable=False),  # the version in force, or the last there was
    Column("is_enabled", Boolean, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    UniqueConstraint("tenant", "name"),
)

function_versions: Final = Table(
    f"{PREFIX}function_versions",
    metadata,
    Column("function_id", Integer, ForeignKey(functions.c.function_id, ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("description", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("code", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
)
