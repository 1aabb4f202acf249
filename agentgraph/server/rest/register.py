"""The register of users and chats: what is known of them, and their way out with everything that is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

from agentgraph.app import AgentGraph
from agentgraph.errors import NotFoundError
from agentgraph.server.rest.registered import Chat, User

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Register"]

_THREADS_AT_ONCE: Final = 200


class Register:
    """The users and chats of an application's tenants.

    Args:
        app: Whose.
    """

    def __init__(self, app: AgentGraph) -> None:
        self._app = app

    # Users

    async def add_user(self, tenant: str, user_id: str | None, *, name: str, metadata: Mapping[str, Any]) -> User:
        """Register a user, under an id of ours where none is given; see `records.add_user`."""
        user_id = user_id or f"user-{uuid4().hex}"
        added: User = await self._write("add_user", tenant, user_id, name=name, metadata=metadata, now=_now())
        return added

    async def user(self, tenant: str, user_id: str) -> User:
        """Return a user; see `records.user_of`."""
        found: User = await self._read("user_of", tenant, user_id)
        return found

    async def users(self, tenant: str, *, only: str | None, after: int, limit: int) -> list[User]:
        """Return users in the order they were registered in; see `records.users_of`."""
        found: list[User] = await self._read("users_of", tenant, only=only, after=after, limit=limit)
        return found

    async def change_user(self, tenant: str, user_id: str, *, changes: Mapping[str, Any], if_match: str | None) -> User:
        """Change a user; see `records.change_user`."""
        changed: User = await self._write(
            "change_user", tenant, user_id, changes=changes, if_match=if_match, now=_now()
        )
        return changed

    async def delete_user(self, tenant: str, user_id: str, *, if_match: str | None) -> None:
        """Delete a user with their chats, threads and memories, for good. Cut short, it can be asked for again.

        Raises:
            NotFoundError: There is no such user.
            StoreUnavailableError: A run does not end in time; ask again.
        """
        chats: list[str] = await self._write("mark_user", tenant, user_id, if_match=if_match)
        for chat in chats:
            await self._delete_thread(tenant, chat)
        while threads := await self._app.threads.list(tenant=tenant, user=user_id, limit=_THREADS_AT_ONCE):
            for info in threads:
                if info.is_session:
                    await self._end_session(tenant, info.thread)
                await self._delete_thread(f"{tenant}:{info.thread}" if info.is_session else tenant, info.thread)
        if self._app.settings.enable_memory:
            await self._app.forget(tenant=tenant, user=user_id)
        await self._write("remove_user", tenant, user_id)
        await (await self._app.records()).scrub()

    # Chats

    async def add_chat(self, tenant: str, user_id: str, *, title: str, metadata: Mapping[str, Any]) -> Chat:
        """Register a chat of a user, under an id of ours; see `records.add_chat`."""
        chat_id = f"chat-{uuid4().hex}"
        added: Chat = await self._write(
            "add_chat", tenant, user_id, chat_id, title=title, metadata=metadata, now=_now()
        )
        return added

    async def chat(self, tenant: str, chat_id: str, *, only: str | None) -> Chat:
        """Return a chat; see `records.chat_of`."""
        found: Chat = await self._read("chat_of", tenant, chat_id, only=only)
        return found

    async def chats(self, tenant: str, user_id: str, *, after: int, limit: int) -> list[Chat]:
        """Return a user's chats in the order they were begun in; see `records.chats_of`."""
        found: list[Chat] = await self._read("chats_of", tenant, user_id, after=after, limit=limit)
        return found

    async def change_chat(
        self, tenant: str, chat_id: str, *, only: str | None, changes: Mapping[str, Any], if_match: str | None
    ) -> Chat:
        """Change a chat; see `records.change_chat`."""
        changed: Chat = await self._write(
            "change_chat", tenant, chat_id, only=only, changes=changes, if_match=if_match, now=_now()
        )
        return changed

    async def delete_chat(self, tenant: str, chat_id: str, *, only: str | None, if_match: str | None) -> None:
        """Delete a chat with its thread and what was learned in it, for good. Cut short, it can be asked for again.

        Raises:
            NotFoundError: There is no such chat.
            StoreUnavailableError: A run does not end in time; ask again.
        """
        await self._write("mark_chat", tenant, chat_id, only=only, if_match=if_match)
        if self._app.settings.enable_memory:
            await self._app.forget(tenant=tenant, thread=chat_id)
        await self._delete_thread(tenant, chat_id)
        await self._write("remove_chat", tenant, chat_id)
        await (await self._app.records()).scrub()

    # What is made once

    async def begin_creation(self, tenant: str, key: str, request: str) -> str | None:
        """Begin to make something under a key; see `records.begin_creation`."""
        made: str | None = await self._write("begin_creation", tenant, key, request, now=_now())
        return made

    async def end_creation(self, tenant: str, key: str, made: str | None) -> None:
        """Note the id of what was made; or that nothing was."""
        await self._write("end_creation", tenant, key, made)

    # Below here: the database

    async def _delete_thread(self, tenant: str, thread: str) -> None:
        with suppress(NotFoundError):
            await self._app.threads.delete(tenant=tenant, thread=None if ":" in tenant else thread)

    async def _end_session(self, tenant: str, session: str) -> None:
        with suppress(NotFoundError):
            await self._app.sessions.end(tenant, session)

    async def _write(self, job: str, /, *args: Any, **options: Any) -> Any:
        return await (await self._app.records()).write(await self._job(job, *args, **options))

    async def _read(self, job: str, /, *args: Any, **options: Any) -> Any:
        return await (await self._app.records()).read(await self._job(job, *args, **options))

    async def _job(self, name: str, /, *args: Any, **options: Any) -> Callable[[Connection], Any]:
        """Return a job of `records.py`, which is imported on a thread: SQLAlchemy takes a third of a second."""
        records = await asyncio.to_thread(import_module, "agentgraph.server.rest.records")
        job = cast("Callable[..., Any]", getattr(records, name))
        return lambda connection: job(connection, *args, **options)


def _now() -> datetime:
    return datetime.now(UTC)
