"""Keys of the HTTP API: what each may, and a digest of its secret; the secret itself is nowhere.

Rows are never deleted: a key that was revoked stays one that there was, and a server that ever had keys asks for one.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, DateTime, String, Table

from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["api_keys"]

api_keys: Final = Table(
    f"{PREFIX}api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False),  # hexadecimal
    Column("name", String(200), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("tenant", String(128), nullable=True),
    Column("user", String(128), nullable=True),
    Column("limits", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=True),
    Column("revoked_at", DateTime(timezone=True), nullable=True),
    Column("last_used_at", DateTime(timezone=True), nullable=True),
)
