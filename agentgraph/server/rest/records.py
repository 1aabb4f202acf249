"""Users and chats in the records database. Each job runs in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from fastapi import HTTPException
from sqlalchemy import ColumnElement, Connection, Row, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from agentgraph.errors import InvalidInputError
from agentgraph.server.rest.acting import no_chat, no_user
from agentgraph.server.rest.etags import check_match, etag_of
from agentgraph.server.rest.registered import Chat, User
from agentgraph.stores.database.tables.creations import creations
from agentgraph.stores.database.tables.users import chats, users

__all__ = [
    "add_chat",
    "add_user",
    "begin_creation",
    "change_chat",
    "change_user",
    "chat_of",
    "chats_of",
    "end_creation",
    "mark_chat",
    "mark_user",
    "remove_chat",
    "remove_user",
    "user_of",
    "users_of",
]

_CREATION_TAKES: Final = timedelta(seconds=60)
_CREATION_IS_KNOWN: Final = timedelta(hours=24)


# Users


def add_user(
    connection: Connection, tenant: str, user_id: str, *, name: str, metadata: Mapping[str, Any], now: datetime
) -> User:
    """Register a user.

    Raises:
        HTTPException: 409, there is one of this id.
    """
    row = {"tenant": tenant, "user_id": user_id, "name": name, "metadata": dict(metadata)}
    _insert(connection, users, row, now=now, taken=f"there is a user {user_id!r} already")
    return user_of(connection, tenant, user_id)


def user_of(connection: Connection, tenant: str, user_id: str, *, also_leaving: bool = False) -> User:
    """Return a user.

    Raises:
        NotFoundError: There is none.
    """
    row = connection.execute(select(users).where(_is_user(tenant, user_id))).one_or_none()
    if row is None or (row.is_leaving and not also_leaving):
        raise no_user(user_id)
    return User(**_fields(row))


def users_of(connection: Connection, tenant: str, *, only: str | None, after: int, limit: int) -> list[User]:
    """Return a tenant's users in the order they were registered in; of those a caller is bound to, `only` that one."""
    found = select(users).where((users.c.tenant == tenant) & ~users.c.is_leaving & (users.c.number > after))
    if only is not None:
        found = found.where(users.c.user_id == only)
    return [User(**_fields(row)) for row in connection.execute(found.order_by(users.c.number).limit(limit))]


def change_user(
    connection: Connection,
    tenant: str,
    user_id: str,
    *,
    changes: Mapping[str, Any],
    if_match: str | None,
    now: datetime,
) -> User:
    """Change a user, if it is as the caller read it.

    Raises:
        NotFoundError: There is none.
        HTTPException: 412.
    """
    check_match(if_match, etag_of(user_of(connection, tenant, user_id).revision))
    _update(connection, users, _is_user(tenant, user_id), changes, now=now)
    return user_of(connection, tenant, user_id)


def mark_user(connection: Connection, tenant: str, user_id: str, *, if_match: str | None) -> list[str]:
    """Show a user and its chats to nobody any more, and return the chats' ids; one that is leaving already stays so.

    Raises:
        NotFoundError: There is none.
        HTTPException: 412.
    """
    user = user_of(connection, tenant, user_id, also_leaving=True)
    check_match(if_match, etag_of(user.revision))
    connection.execute(update(users).where(_is_user(tenant, user_id)).values(is_leaving=True))
    its = (chats.c.tenant == tenant) & (chats.c.user_id == user_id)
    connection.execute(update(chats).where(its).values(is_leaving=True))
    return list(connection.execute(select(chats.c.chat_id).where(its)).scalars())


def remove_user(connection: Connection, tenant: str, user_id: str) -> None:
    """Remove a user and its chats from the register."""
    connection.execute(delete(users).where(_is_user(tenant, user_id)))


# Chats


def add_chat(
    connection: Connection,
    tenant: str,
    user_id: str,
    chat_id: str,
    *,
    title: str,
    metadata: Mapping[str, Any],
    now: datetime,
) -> Chat:
    """Register a chat.

    Raises:
        NotFoundError: There is no such user.
        HTTPException: 409, there is a chat of this id.
    """
    user_of(connection, tenant, user_id)
    row = {"tenant": tenant, "user_id": user_id, "chat_id": chat_id, "title": title, "metadata": dict(metadata)}
    _insert(connection, chats, row, now=now, taken=f"there is a chat {chat_id!r} already")
    return chat_of(connection, tenant, chat_id, only=None)


def chat_of(connection: Connection, tenant: str, chat_id: str, *, only: str | None, also_leaving: bool = False) -> Chat:
    """Return a chat; for whoever is bound to a user, `only` that user's.

    Raises:
        NotFoundError: There is none.
    """
    row = connection.execute(select(chats).where(_is_chat(tenant, chat_id))).one_or_none()
    if row is None or only not in {None, row.user_id} or (row.is_leaving and not also_leaving):
        raise no_chat(chat_id)
    return Chat(**_fields(row))


def chats_of(connection: Connection, tenant: str, user_id: str, *, after: int, limit: int) -> list[Chat]:
    """Return a user's chats in the order they were begun in.

    Raises:
        NotFoundError: There is no such user.
    """
    user_of(connection, tenant, user_id)
    its = (chats.c.tenant == tenant) & (chats.c.user_id == user_id) & ~chats.c.is_leaving & (chats.c.number > after)
    return [
        Chat(**_fields(row))
        for row in connection.execute(select(chats).where(its).order_by(chats.c.number).limit(limit))
    ]


def change_chat(
    connection: Connection,
    tenant: str,
    chat_id: str,
    *,
    only: str | None,
    changes: Mapping[str, Any],
    if_match: str | None,
    now: datetime,
) -> Chat:
    """Change a chat, if it is as the caller read it.

    Raises:
        NotFoundError: There is none.
        HTTPException: 412.
    """
    check_match(if_match, etag_of(chat_of(connection, tenant, chat_id, only=only).revision))
    _update(connection, chats, _is_chat(tenant, chat_id), changes, now=now)
    return chat_of(connection, tenant, chat_id, only=only)


def mark_chat(connection: Connection, tenant: str, chat_id: str, *, only: str | None, if_match: str | None) -> None:
    """Show a chat to nobody any more.

    Raises:
        NotFoundError: There is none.
        HTTPException: 412.
    """
    chat = chat_of(connection, tenant, chat_id, only=only, also_leaving=True)
    check_match(if_match, etag_of(chat.revision))
    connection.execute(update(chats).where(_is_chat(tenant, chat_id)).values(is_leaving=True))


def remove_chat(connection: Connection, tenant: str, chat_id: str) -> None:
    """Remove a chat from the register."""
    connection.execute(delete(chats).where(_is_chat(tenant, chat_id)))


# What is made once


def begin_creation(connection: Connection, tenant: str, key: str, request: str, *, now: datetime) -> str | None:
    """Begin to make something under a key; return the id of what was made under it before, if something was.

    Raises:
        InvalidInputError: The key was used for another request.
        HTTPException: 409, it is being made just now.
    """
    connection.execute(delete(creations).where(creations.c.at < now - _CREATION_IS_KNOWN))
    here = (creations.c.tenant == tenant) & (creations.c.key == key)
    known = connection.execute(select(creations).where(here).with_for_update()).one_or_none()
    if known is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(creations).values(tenant=tenant, key=key, request=request, made=None, at=now))
        except IntegrityError:  # another process was quicker
            raise _under_way() from None
        return None
    if known.request != request:
        raise InvalidInputError(
            "this idempotency key was used for another request", param="idempotency-key", code="idempotency_key_reused"
        )
    if known.made is None:
        if _utc(known.at) > now - _CREATION_TAKES:
            raise _under_way()
        connection.execute(update(creations).where(here).values(at=now))  # whoever began it has died
        return None
    made: str = known.made
    return made


def end_creation(connection: Connection, tenant: str, key: str, made: str | None) -> None:
    """Note the id of what was made; or that nothing was."""
    here = (creations.c.tenant == tenant) & (creations.c.key == key)
    connection.execute(
        delete(creations).where(here) if made is None else update(creations).where(here).values(made=made)
    )


def _under_way() -> HTTPException:
    return HTTPException(409, "a request with this idempotency key is under way", {"Retry-After": "1"})


def _insert(connection: Connection, table: Table, row: Mapping[str, Any], *, now: datetime, taken: str) -> None:
    made = {"revision": uuid4().hex, "is_leaving": False, "created_at": now, "updated_at": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(table).values(**row, **made))
    except IntegrityError:
        raise HTTPException(409, taken) from None


def _update(
    connection: Connection, table: Table, where: ColumnElement[bool], changes: Mapping[str, Any], *, now: datetime
) -> None:
    connection.execute(update(table).where(where).values(**changes, revision=uuid4().hex, updated_at=now))


def _is_user(tenant: str, user_id: str) -> ColumnElement[bool]:
    return (users.c.tenant == tenant) & (users.c.user_id == user_id)


def _is_chat(tenant: str, chat_id: str) -> ColumnElement[bool]:
    return (chats.c.tenant == tenant) & (chats.c.chat_id == chat_id)


def _fields(row: Row[Any]) -> dict[str, Any]:
    fields = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name
    return {**fields, "created_at": _utc(row.created_at), "updated_at": _utc(row.updated_at)}


def _utc(moment: datetime) -> datetime:
    """Return an aware time: SQLite keeps no zone, and what is written is UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
