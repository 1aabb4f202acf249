"""The schema of a records database, looked at and changed from outside; blocking, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from agentgraph.stores.database.address import database_address
from agentgraph.stores.database.engine import open_engine
from agentgraph.stores.database.faults import database_fault
from agentgraph.stores.database.migrate import VERSIONS, change_version, downgrade_target, version_of

__all__ = ["Schema"]


class Schema:
    """The schema of the database at a URL, or of the file under a storage directory.

    Every method raises `StoreError` where the database refuses, `StoreUnavailableError` where it cannot be reached.

    Raises:
        ConfigurationError: It is no URL of a database we know, or its driver is not installed.
    """

    newest = VERSIONS[-1]

    def __init__(self, url: str | None, storage_dir: Path) -> None:
        self._address = database_address(url, storage_dir)

    @property
    def name(self) -> str:
        """The database's URL, its password hidden."""
        plain = self._address.set(drivername=self._address.get_backend_name())
        return plain.render_as_string(hide_password=True)

    def version(self) -> str | None:
        """Return the version, `None` where there are no tables; makes nothing."""
        is_file = self._address.get_backend_name() == "sqlite"
        if is_file and not Path(self._address.database or "").exists():
            return None
        with self._opened() as engine, engine.connect() as connection:
            return version_of(connection)

    def below(self, asked: str) -> str | None:
        """Read what a downgrade was asked for; see `downgrade_target`.

        Raises:
            InvalidInputError: There is no such version below the present one.
        """
        return downgrade_target(asked, self.version())

    def upgrade(self) -> tuple[str | None, str | None]:
        """Bring it to the newest version and return the versions before and after."""
        with self._opened() as engine:
            return change_version(engine, self.newest, is_upgrade=True)

    def downgrade(self, target: str | None) -> tuple[str | None, str | None]:
        """Bring it down to a version, `None` for no tables, and return the versions before and after."""
        with self._opened() as engine:
            return change_version(engine, target, is_upgrade=False)

    @contextmanager
    def _opened(self) -> Iterator[Engine]:
        engine = open_engine(self._address)
        try:
            yield engine
        except SQLAlchemyError as error:
            raise database_fault(error, self._address) from error
        finally:
            engine.dispose()
