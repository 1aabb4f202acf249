"""`/subtenants`: the people of a tenant, registered. What is theirs goes with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from agentgraph.errors import InvalidInputError
from agentgraph.server.rest.acting import Acting, ActingForAll, Id, UserId, for_user
from agentgraph.server.rest.etags import IfMatch, etag_of
from agentgraph.server.rest.fields import Metadata, Title
from agentgraph.server.rest.once import IdempotencyKey, made_once
from agentgraph.server.rest.pages import GREATEST_NUMBER, After, Limit, Page, page_of, position_after
from agentgraph.server.rest.register import Register
from agentgraph.server.rest.registered import User

__all__ = ["add_user_routes"]

_LIST = "users"


class NewUser(BaseModel):
    """A user to be registered."""

    model_config = ConfigDict(extra="forbid")

    id: Id | None = Field(
        default=None, description="What runs name as their user; one is made where none is given.", examples=["ann"]
    )
    name: Title = Field(default="", description="For people.", examples=["Ann Lee"])
    metadata: Metadata = {}


class UserChange(BaseModel):
    """A user as it is to be. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Title | None = Field(default=None, description="For people.", examples=["Ann Lee-Ray"])
    metadata: Metadata | None = None


class UserView(BaseModel):
    """A user."""

    id: str = Field(examples=["ann"])
    name: str = Field(examples=["Ann Lee"])
    metadata: dict[str, Any] = Field(examples=[{"plan": "pro"}])
    created_at: datetime
    updated_at: datetime


def add_user_routes(router: APIRouter, register: Register) -> None:
    """Add the routes of users."""

    @router.post("/subtenants", status_code=201, tags=["Users"])
    async def create_user(
        scope: ActingForAll, body: NewUser, response: Response, idempotency_key: IdempotencyKey = None
    ) -> UserView:
        """Register a user."""
        if body.id in {".", ".."}:
            raise InvalidInputError(f"user {body.id!r} is not allowed", param="id")
        user = await made_once(
            register,
            idempotency_key,
            scope=scope,
            request=("subtenants", body),
            make=lambda: register.add_user(scope.tenant, body.id, name=body.name, metadata=body.metadata),
            name=lambda user: user.user_id,
            find=lambda user_id: register.user(scope.tenant, user_id),
        )
        response.headers["Location"] = f"/api/v1/subtenants/{user.user_id}"
        return _told(user, response)

    @router.get("/subtenants", tags=["Users"])
    async def list_users(scope: Acting, limit: Limit = 50, after: After = None) -> Page[UserView]:
        """List users in the order they were registered in."""
        begins = position_after(after, of=_LIST, farthest=GREATEST_NUMBER)
        users = await register.users(scope.tenant, only=scope.user, after=begins, limit=limit + 1)
        return page_of(users, _view, of=_LIST, limit=limit, begins_at=lambda user: user.number)

    @router.get("/subtenants/{user_id}", tags=["Users"])
    async def read_user(scope: Acting, user_id: UserId, response: Response) -> UserView:
        """Read a user."""
        for_user(scope, user_id)
        return _told(await register.user(scope.tenant, user_id), response)

    @router.put("/subtenants/{user_id}", tags=["Users"])
    async def update_user(
        scope: Acting, user_id: UserId, body: UserChange, response: Response, if_match: IfMatch = None
    ) -> UserView:
        """Change a user's name or metadata."""
        for_user(scope, user_id)
        changes = body.model_dump(exclude_none=True)
        return _told(await register.change_user(scope.tenant, user_id, changes=changes, if_match=if_match), response)

    @router.delete("/subtenants/{user_id}", status_code=204, tags=["Users"])
    async def delete_user(scope: ActingForAll, user_id: UserId, if_match: IfMatch = None) -> None:
        """Delete a user with their chats, threads and memories, for good."""
        for_user(scope, user_id)
        await register.delete_user(scope.tenant, user_id, if_match=if_match)


def _told(user: User, response: Response) -> UserView:
    response.headers["ETag"] = etag_of(user.revision)
    return _view(user)


def _view(user: User) -> UserView:
    return UserView(
        id=user.user_id,
        name=user.name,
        metadata=dict(user.metadata),
        created_at=user.created_at,
        updated_at=user.updated_at,
    )
