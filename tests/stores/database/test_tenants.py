"""A tenant that is forgotten leaves nothing in any table, and takes nothing of another's along."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, Connection, DateTime, Float, Table, insert, select
from sqlalchemy.types import Integer, LargeBinary

from agentgraph.stores.database import tables
from agentgraph.stores.database.database import Database
from agentgraph.stores.database.metadata import metadata

OF_NOBODY = {tables.generations.name}


def value_for(column: Column[Any], tenant: str, number: int) -> Any:
    match column:
        case Column(name="tenant"):
            return tenant
        case Column(name="account"):
            return f"tenant:{tenant}"
        case Column(type=Boolean()):
            return False
        case Column(type=DateTime()):
            return datetime(2026, 3, 1, tzinfo=UTC)
        case Column(type=JSON()):
            return {}
        case Column(type=LargeBinary()):
            return str(number).encode()
        case Column(type=Integer() | Float()):
            return number
    return str(number)


def fill(connection: Connection, tenant: str, number: int) -> None:
    for table in metadata.sorted_tables:
        if table.name not in OF_NOBODY:
            connection.execute(
                insert(table).values({column.name: value_for(column, tenant, number) for column in table.columns})
            )


def everything(connection: Connection) -> dict[str, list[Any]]:
    return {
        table.name: list(connection.execute(select(table)))
        for table in metadata.sorted_tables
        if table.name not in OF_NOBODY
    }


def number_of_rows(found: dict[str, list[Any]]) -> int:
    return sum(map(len, found.values()))


async def test_a_forgotten_tenant_is_in_no_table(database: Database) -> None:
    await database.write(lambda connection: fill(connection, "globex", 2))
    others = await database.read(everything)
    await database.write(lambda connection: fill(connection, "acme", 1))
    generations = await database.read(lambda connection: list(connection.execute(select(tables.generations))))
    counted = await database.of_tenant("acme", is_dry_run=True)
    assert sum(counted.values()) == number_of_rows(others)
    assert await database.of_tenant("acme", is_dry_run=False) == counted
    assert await database.read(everything) == others
    assert await database.of_tenant("acme", is_dry_run=False) == {}
    after = await database.read(lambda connection: list(connection.execute(select(tables.generations))))
    assert dict(map(tuple, after)) == {subject: number + 1 for subject, number in generations}


@pytest.mark.parametrize("table", [t for t in metadata.sorted_tables if t.name not in OF_NOBODY], ids=lambda t: t.name)
def test_whose_a_tables_rows_are_is_known(table: Table) -> None:
    is_known = {"tenant", "account"} & set(table.c.keys()) or table is tables.function_versions
    assert is_known, f"say in stores/database/tenants.py whose the rows of {table.name} are"
