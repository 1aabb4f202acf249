"""The keys of a deployment: made, known again, ended and replaced.

They are looked up in memory. What another process changes, a revocation say, is seen by the next request where the
records are a SQLite file, and within a second where they are in PostgreSQL (`Snapshot`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from agentgraph.errors import StoreError
from agentgraph.server.api_key import ApiKey, Right, Secret
from agentgraph.settings import Limits
from agentgraph.stores.database.database import Database
from agentgraph.stores.database.snapshot import Snapshot

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Keys"]

logger = logging.getLogger(__name__)
_NOTED_EVERY_S: Final = 60.0
_NOBODYS: Final = Secret(key_id="0" * 12, value="none")  # compared where there is no such key: it takes as long


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Keys:
    """The keys in a records database. Belongs to one event loop.

    Args:
        database: Where they are.
        pepper: Goes into every digest; see `Secret.digest`.
        clock: Tells the present moment.
    """

    def __init__(self, database: Database, *, pepper: str = "", clock: Callable[[], datetime] = _utc_now) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._snapshot = Snapshot(database, "api_keys", _read)
        self._were_any = False
        self._used: dict[str, datetime] = {}
        self._noted_at = clock()
        self._noting: asyncio.Task[None] | None = None

    async def create(
        self,
        *,
        scope: Right,
        name: str = "",
        tenant: str | None = None,
        user: str | None = None,
        limits: Limits | None = None,
        expires_in: timedelta | None = None,
    ) -> tuple[str, ApiKey]:
        """Make a key and return it as a client sends it, which is nowhere afterwards, and as it is kept.

        Raises:
            InvalidInputError: Scope, tenant and user do not fit, or are none.
            StoreError: The database fails.
        """
        secret, now = Secret.new(), self._clock()
        key = ApiKey(
            key_id=secret.key_id,
            digest=secret.digest(self._pepper),
            name=name,
            scope=scope,
            tenant=tenant,
            user=user,
            limits=limits or Limits(),
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
        )

        def add(connection: Connection) -> None:
            from agentgraph.server import key_records

            key_records.add(connection, key)

        await self._database.write(add)
        self._snapshot.stale()
        return str(secret), key

    async def list(self, *, tenant: str | None = None) -> list[ApiKey]:
        """Return the keys, those that are good no longer included, the oldest first."""
        keys = await self._database.read(_read) if self._database.exists else {}
        return [key for key in keys.values() if tenant is None or key.tenant == tenant]

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key.

        Raises:
            NotFoundError: There is no such key.
        """

        def revoke(connection: Connection) -> ApiKey:
            from agentgraph.server import key_records

            return key_records.revoke(connection, key_id, now=self._clock())

        revoked = await self._database.write(revoke)
        self._snapshot.stale()
        return revoked

    async def rotate(self, key_id: str, *, overlap: timedelta = timedelta(hours=24)) -> tuple[str, ApiKey]:
        """Replace a key by one that may the same; both are good for as long as `overlap`.

        Raises:
            NotFoundError: There is no such key.
            InvalidInputError: It is good no longer.
        """
        secret, now = Secret.new(), self._clock()
        digest = secret.digest(self._pepper)
        blank = ApiKey(
            key_id=secret.key_id,
            digest=digest,
            name="",
            scope="admin",
            tenant=None,
            user=None,
            limits=Limits(),
            created_at=now,
        )

        def rotate(connection: Connection) -> ApiKey:
            from agentgraph.server import key_records

            return key_records.rotate(connection, key_id, blank, ends_at=now + overlap, now=now)

        heir = await self._database.write(rotate)
        self._snapshot.stale()
        return str(secret), heir

    async def any(self) -> bool:
        """Say whether there are keys, or ever were. Makes no database where there is none yet."""
        # Keys that went, with their tenant or with the file, open nothing.
        self._were_any = self._were_any or (self._database.exists and bool(await self._snapshot.get()))
        return self._were_any

    async def find(self, offered: str) -> ApiKey | None:
        """Return the good key a client sent, if it is one; asks the database only where its keys have changed."""
        keys, secret = await self._snapshot.get(), Secret.read(offered)
        key = None if secret is None else keys.get(secret.key_id)
        if secret is None or key is None:
            _NOBODYS.digest(self._pepper)
            return None
        now = self._clock()
        if not key.is_proved_by(secret, self._pepper) or not key.is_good(now):
            return None
        self._used[key.key_id] = now
        if (now - self._noted_at).total_seconds() > _NOTED_EVERY_S and (self._noting is None or self._noting.done()):
            self._noting = asyncio.get_running_loop().create_task(self.note_use())
        return key

    async def note_use(self) -> None:
        """Write down when keys were last used."""
        self._noted_at, used = self._clock(), dict(self._used)
        self._used.clear()
        if not used:
            return
        try:
            await self._database.write(partial(_touch, used=used))
        except StoreError as error:
            logger.warning("the last use of %d keys could not be noted: %s", len(used), error.message)


def _read(connection: Connection) -> dict[str, ApiKey]:
    from agentgraph.server import key_records

    return key_records.read(connection)


def _touch(connection: Connection, *, used: dict[str, datetime]) -> None:
    from agentgraph.server import key_records

    key_records.touch(connection, used)
