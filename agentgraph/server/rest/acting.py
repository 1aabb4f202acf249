"""Whom a request below `/api/v1` is for, and what the person a key is bound to may see of the tenant's.

The tenant is the key's. A key of all tenants, and a server without keys, take it from the header `X-Tenant-Id`;
without it, it is `default`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from fastapi import Depends, Header, Path, Query, Request
from pydantic import StringConstraints

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError, NotFoundError, PermissionDeniedError
from agentgraph.scope import MAX_ID_LENGTH, Scope
from agentgraph.server.auth import authorize, caller_of

__all__ = [
    "Acting",
    "ActingForAll",
    "ChatId",
    "Id",
    "SessionId",
    "ThreadId",
    "UserFilter",
    "UserId",
    "check_thread_is_theirs",
    "for_user",
    "no_chat",
    "no_user",
]

DEFAULT_TENANT: Final = "default"

# The letters `Scope` takes: a path that holds others is refused before anything is looked up.
Id: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[A-Za-z0-9_.@+\-]+$")
]
_Thread: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[A-Za-z0-9_.@+\-:]+$")
]
UserId: TypeAlias = Annotated[Id, Path(description="A user of the tenant.", examples=["ann"])]
ChatId: TypeAlias = Annotated[Id, Path(description="A chat: the id of its thread.", examples=["chat-4f9a"])]
ThreadId: TypeAlias = Annotated[_Thread, Path(description="A thread of the tenant.", examples=["chat-4f9a"])]
SessionId: TypeAlias = Annotated[Id, Path(description="A session of the tenant.", examples=["support-7"])]
UserFilter: TypeAlias = Annotated[Id | None, Query(description="Only this person's.", examples=["ann"])]
_TenantHeader: TypeAlias = Annotated[
    Id | None,
    Header(description="The tenant, where the key is not of one; `default` without it.", examples=["acme"]),
]


async def acting(request: Request, x_tenant_id: _TenantHeader = None) -> Scope:
    """Return the tenant, and the user the key is bound to, if it is."""
    return await authorize(request, x_tenant_id or caller_of(request).tenant or DEFAULT_TENANT)


async def acting_for_all(request: Request, x_tenant_id: _TenantHeader = None) -> Scope:
    """Return the tenant for a caller who may do everything in it.

    Raises:
        PermissionDeniedError: The key is bound to one of the tenant's users.
    """
    scope = await acting(request, x_tenant_id)
    if "tenant" not in caller_of(request).scopes or scope.user is not None:
        raise PermissionDeniedError("this takes a key of the whole tenant")
    return scope


Acting: TypeAlias = Annotated[Scope, Depends(acting)]
"""The tenant of the request; `user` is set where the caller may act for that user alone."""

ActingForAll: TypeAlias = Annotated[Scope, Depends(acting_for_all)]
"""The tenant of the request, whose caller may act for all of its users."""


def for_user(scope: Scope, user: str | None) -> str | None:
    """Return whom a request is about: the user it names, else the one the caller is bound to.

    Raises:
        NotFoundError: The caller may not act for the user it names; the same for one there is none of.
    """
    if user is None:
        return scope.user
    _refuse_dots(user)
    if scope.user not in {None, user}:
        raise no_user(user)
    return user


async def check_thread_is_theirs(app: AgentGraph, scope: Scope, **place: Any) -> None:
    """Let those who are bound to a user see the threads that this user began, and no other.

    Args:
        app: Has the threads.
        scope: The caller's.
        place: `tenant` and `thread`, as `app.threads` takes them.

    Raises:
        NotFoundError: It is another's; the same for a thread there is none of.
    """
    if scope.user is not None and await app.threads.is_closed_to(scope.user, **place):
        raise NotFoundError("there is no such thread")


def no_user(user: str) -> NotFoundError:
    """Return the error of a user there is none of, in the words of `authorize`."""
    return NotFoundError(f"there is no user {user!r}", code="user_not_found")


def no_chat(chat: str) -> NotFoundError:
    """Return the error of a chat there is none of."""
    return NotFoundError(f"there is no chat {chat!r}", code="chat_not_found")


def _refuse_dots(user: str) -> None:
    if user in {".", ".."}:
        raise InvalidInputError(f"user {user!r} is not allowed", param="user")
