"""Functions in the database, on SQLite and on PostgreSQL: one name from many processes at once, in one order."""

import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.stores.database.database import Database
from agentgraph.tools.functions import records
from agentgraph.tools.functions.definition import FunctionDefinition
from tests.stores.database.conftest import database, server, url  # noqa: F401  fixtures

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
# Forked once everything is imported, so that they start together.
EIGHT_TIMES_FIVE = """
import asyncio, os, sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from agentgraph.stores.database.database import Database
from agentgraph.tools.functions import records
from agentgraph.tools.functions.definition import FunctionDefinition

async def register(me, url, storage):
    database = Database(url, Path(storage))
    for number in range(5):
        definition = FunctionDefinition.of("add", f"{me}:{number}", [], f"def add(): return '{me}:{number}'")
        job = partial(records.add, tenant="", definition=definition, now=datetime.now(UTC))
        version = (await database.write(job)).version
        os.write(1, f"{me} {number} {version}\\n".encode())
    database.close()

children = []
for me in range(8):
    child = os.fork()
    if not child:
        asyncio.run(register(me, *sys.argv[1:]))
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""


def definition(name: str = "add", code: str = "def add(a, b=1): ...", description: str = "Add.") -> FunctionDefinition:
    parameters = [
        {"name": "a", "type": "array", "items": {"type": "string", "enum": ["x", "é"]}},
        {"name": "b", "type": "object", "properties": {"c": {"type": "number"}}, "required": False},
    ]
    return FunctionDefinition.of(name, description, parameters, code)


async def add(database: Database, what: FunctionDefinition, tenant: str = "") -> int:  # noqa: F811
    return (await database.write(partial(records.add, tenant=tenant, definition=what, now=NOW))).version


async def test_what_is_kept_is_what_was_given(database: Database) -> None:  # noqa: F811
    await add(database, definition(description="Füge zusammen 🧮."), tenant="acme")
    ((owner, owned),) = (await database.read(records.catalogue)).items()
    (kept,) = owned.values()
    assert (owner, kept.tenant, kept.version, kept.is_enabled, kept.is_latest) == ("acme", "acme", 1, True, True)
    assert kept.registered_at == NOW
    assert kept.definition == definition(description="Füge zusammen 🧮.")


async def test_versions_deletion_and_clashes(database: Database) -> None:  # noqa: F811
    assert [await add(database, definition(description=each)) for each in ("One.", "Two.", "Two.", "One.")] == [
        1,
        2,
        2,
        3,
    ]
    with pytest.raises(InvalidInputError, match="the deployment has a function 'add'"):
        await add(database, definition(), tenant="acme")
    await database.write(partial(records.remove, tenant="", name="add"))
    with pytest.raises(NotFoundError):
        await database.write(partial(records.remove, tenant="", name="add"))
    assert await add(database, definition(), tenant="acme") == 1
    assert await add(database, definition(), tenant="globex") == 1
    with pytest.raises(InvalidInputError, match="the tenant 'acme' has a function 'add'"):
        await add(database, definition())
    assert set(await database.read(records.catalogue)) == {"acme", "globex"}


async def test_an_owner_has_so_many_functions_and_no_more(database: Database, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(records, "_MOST_OF_ONE", 2)
    await add(database, definition("one"), tenant="acme")
    await add(database, definition("two"), tenant="acme")
    with pytest.raises(InvalidInputError, match="has 2 functions already"):
        await add(database, definition("three"), tenant="acme")
    await add(database, definition("one", description="Again."), tenant="acme")
    await add(database, definition("three"), tenant="globex")
    await database.write(partial(records.remove, tenant="acme", name="one"))
    await add(database, definition("three"), tenant="acme")


def test_concurrent_registrations_are_all_kept_in_one_order(url: str, tmp_path: Path) -> None:  # noqa: F811
    command = [sys.executable, "-c", EIGHT_TIMES_FIVE, url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    given = sorted(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert sorted(version for _, _, version in given) == list(range(1, 41))
    for me in range(8):
        mine = [version for process, _, version in given if process == me]
        assert mine == sorted(mine)
