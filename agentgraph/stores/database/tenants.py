"""Everything the records hold of one tenant, in whichever tables, so that forgetting it leaves none out."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, update

from agentgraph.stores.database import tables
from agentgraph.stores.database.metadata import PREFIX, metadata

__all__ = ["count_tenant", "remove_tenant"]


def count_tenant(connection: Connection, tenant: str) -> dict[str, int]:
    """Return how many rows are a tenant's, by table, where there are any."""
    counts = {
        table.name.removeprefix(PREFIX): connection.execute(
            select(func.count()).select_from(table).where(is_its)
        ).scalar_one()
        for table, is_its in _rows_of(tenant)
    }
    return {name: count for name, count in counts.items() if count}


def remove_tenant(connection: Connection, tenant: str) -> dict[str, int]:
    """Remove every row of a tenant and return how many went, by table; every process reads its records anew."""
    removed = count_tenant(connection, tenant)
    if removed:
        for table, is_its in _rows_of(tenant):
            connection.execute(delete(table).where(is_its))
        connection.execute(update(tables.generations).values(number=tables.generations.c.number + 1))
    return removed


def _rows_of(tenant: str) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return which rows of which tables are a tenant's, those that refer to others first."""
    found: list[tuple[Table, ColumnElement[bool]]] = []
    for table in reversed(metadata.sorted_tables):
        if "tenant" in table.c:
            found.append((table, table.c.tenant == tenant))
        elif "account" in table.c:
            found.append((table, table.c.account == f"tenant:{tenant}"))
    # Versions have no tenant of their own: they are their function's.
    versions, functions = tables.function_versions, tables.functions
    its = select(functions.c.function_id).where(functions.c.tenant == tenant)
    return [(versions, versions.c.function_id.in_(its)), *found]
