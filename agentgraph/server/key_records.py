"""API keys in the records database. Each job runs in one transaction, and a writer's begins by `advance`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast

from sqlalchemy import Connection, Row, insert, select, update

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.server.api_key import ApiKey, Right
from agentgraph.settings import Limits
from agentgraph.stores.database.tables.api_keys import api_keys
from agentgraph.stores.database.tables.generations import advance

__all__ = ["SUBJECT", "add", "read", "revoke", "rotate", "touch"]

SUBJECT: Final = "api_keys"


def read(connection: Connection) -> dict[str, ApiKey]:
    """Return every key there ever was, by its id."""
    rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id))
    return {row.key_id: _key(row) for row in rows}


def add(connection: Connection, key: ApiKey) -> None:
    """Keep a new key."""
    advance(connection, SUBJECT)
    _insert(connection, key)


def revoke(connection: Connection, key_id: str, *, now: datetime) -> ApiKey:
    """End a key; one that was revoked stays as it is.

    Raises:
        NotFoundError: There is no such key.
    """
    advance(connection, SUBJECT)
    key = _one(connection, key_id)
    if key.revoked_at is None:
        connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_at=now))
    return _one(connection, key_id)


def rotate(connection: Connection, key_id: str, successor: ApiKey, *, ends_at: datetime, now: datetime) -> ApiKey:
    """Keep a key that may what another may, and let the other end soon; return the new one.

    Raises:
        NotFoundError: There is no such key.
        InvalidInputError: It is good no longer.
    """
    advance(connection, SUBJECT)
    key = _one(connection, key_id)
    if not key.is_good(now):
        raise InvalidInputError(f"the key {key_id!r} is revoked or expired; create another", param="key_id")
    heir = key.succeeded_by(successor)
    _insert(connection, heir)
    if key.expires_at is None or key.expires_at > ends_at:
        connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(expires_at=ends_at))
    return heir


def touch(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Note when keys were last used. No `advance`: nobody decides by it."""
    for key_id, at in used.items():
        connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(last_used_at=at))


def _insert(connection: Connection, key: ApiKey) -> None:
    connection.execute(
        insert(api_keys).values(
            key_id=key.key_id,
            digest=key.digest,
            name=key.name,
            scope=key.scope,
            tenant=key.tenant,
            user=key.user,
            limits=key.limits.model_dump(mode="json", exclude_none=True),
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


def _one(connection: Connection, key_id: str) -> ApiKey:
    row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
    if row is None:
        raise NotFoundError(f"there is no key {key_id!r}", code="key_not_found")
    return _key(row)


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        digest=row.digest,
        name=row.name,
        scope=cast("Right", row.scope),
        tenant=row.tenant,
        user=row.user,
        limits=Limits.model_validate(row.limits),
        created_at=_utc(row.created_at) or datetime.min.replace(tzinfo=UTC),
        expires_at=_utc(row.expires_at),
        revoked_at=_utc(row.revoked_at),
        last_used_at=_utc(row.last_used_at),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """Return an aware time: SQLite keeps no zone, and what is written is UTC."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
