"""What all tables share: their names begin alike, and what constrains them is named by a rule."""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData

__all__ = ["PREFIX", "VERSION_TABLE", "metadata"]

PREFIX: Final = "agentgraph_"
"""Every table's name begins so: the PostgreSQL database may hold other programs' tables, LangGraph's among them."""

VERSION_TABLE: Final = f"{PREFIX}schema_version"

# A migration can only drop a constraint that has a name.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
