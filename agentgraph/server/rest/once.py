"""`Idempotency-Key` on requests that make something: sent again, they answer with what was made the first time.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias, TypeVar

from fastapi import Header
from pydantic import BaseModel

from agentgraph.errors import InvalidInputError
from agentgraph.scope import Scope
from agentgraph.server.rest.register import Register

__all__ = ["IdempotencyKey", "made_once"]

T = TypeVar("T")

IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Your name for this request: sent again within a day, it makes nothing twice.",
        examples=["9f2c6e1e"],
    ),
]


async def made_once(
    register: Register,
    key: str | None,
    *,
    scope: Scope,
    request: tuple[str, BaseModel],
    make: Callable[[], Awaitable[T]],
    name: Callable[[T], str],
    find: Callable[[str], Awaitable[T]],
) -> T:
    """Make something, or return what the same request has made before.

    Args:
        register: Knows what was made under which key.
        key: The client's name for the request; without one it is made whatever was before.
        scope: Whose key it is.
        request: What is asked for: the place and the body.
        make: Makes it.
        name: Returns the id of what was made.
        find: Returns what has an id.

    Raises:
        InvalidInputError: The key is none, or was used for another request.
        HTTPException: 409, the first request is under way still.
        NotFoundError: What was made is gone.
    """
    if key is None:
        return await make()
    if not key.isprintable():
        raise InvalidInputError("the idempotency key must be printable", param="idempotency-key")
    place, body = request
    # A key is its sender's: of two users of a tenant neither learns which keys the other has used.
    named, asked = _digest(scope.user, key), _digest(place, body.model_dump_json())
    known = await register.begin_creation(scope.tenant, named, asked)
    if known is not None:
        return await find(known)
    try:
        made = await make()
    except BaseException:
        await asyncio.shield(register.end_creation(scope.tenant, named, None))
        raise
    await register.end_creation(scope.tenant, named, name(made))
    return made


def _digest(*parts: str | None) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
