"""`/subtenants/{id}/chats` and `/chats/{id}`: conversations with a title. A chat's id is its thread's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from agentgraph.server.rest.acting import Acting, ChatId, UserId, for_user
from agentgraph.server.rest.etags import IfMatch, etag_of
from agentgraph.server.rest.fields import Metadata, Title
from agentgraph.server.rest.once import IdempotencyKey, made_once
from agentgraph.server.rest.pages import GREATEST_NUMBER, After, Limit, Page, page_of, position_after
from agentgraph.server.rest.register import Register
from agentgraph.server.rest.registered import Chat

__all__ = ["add_chat_routes"]

_LIST = "chats"


class NewChat(BaseModel):
    """A chat to be begun."""

    model_config = ConfigDict(extra="forbid")

    title: Title = Field(default="", description="For people.", examples=["Travel plans"])
    metadata: Metadata = {}


class ChatChange(BaseModel):
    """A chat as it is to be. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = Field(default=None, description="For people.", examples=["Travel plans, spring"])
    metadata: Metadata | None = None


class ChatView(BaseModel):
    """A chat."""

    id: str = Field(description="The id of its thread, too.", examples=["chat-4f9a"])
    subtenant_id: str = Field(description="Whose it is.", examples=["ann"])
    title: str = Field(examples=["Travel plans"])
    metadata: dict[str, Any] = Field(examples=[{}])
    created_at: datetime
    updated_at: datetime


def add_chat_routes(router: APIRouter, register: Register) -> None:
    """Add the routes of chats."""

    @router.post("/subtenants/{user_id}/chats", status_code=201, tags=["Chats"])
    async def create_chat(
        scope: Acting, user_id: UserId, body: NewChat, response: Response, idempotency_key: IdempotencyKey = None
    ) -> ChatView:
        """Begin a chat of a user's."""
        for_user(scope, user_id)
        chat = await made_once(
            register,
            idempotency_key,
            scope=scope,
            request=(f"subtenants/{user_id}/chats", body),
            make=lambda: register.add_chat(scope.tenant, user_id, title=body.title, metadata=body.metadata),
            name=lambda chat: chat.chat_id,
            find=lambda chat_id: register.chat(scope.tenant, chat_id, only=scope.user),
        )
        response.headers["Location"] = f"/api/v1/chats/{chat.chat_id}"
        return _told(chat, response)

    @router.get("/subtenants/{user_id}/chats", tags=["Chats"])
    async def list_chats(scope: Acting, user_id: UserId, limit: Limit = 50, after: After = None) -> Page[ChatView]:
        """List a user's chats in the order they were begun in."""
        for_user(scope, user_id)
        begins = position_after(after, of=_LIST, farthest=GREATEST_NUMBER)
        chats = await register.chats(scope.tenant, user_id, after=begins, limit=limit + 1)
        return page_of(chats, _view, of=_LIST, limit=limit, begins_at=lambda chat: chat.number)

    @router.get("/chats/{chat_id}", tags=["Chats"])
    async def read_chat(scope: Acting, chat_id: ChatId, response: Response) -> ChatView:
        """Read a chat; `/chats/{id}/messages` is what was said in it."""
        return _told(await register.chat(scope.tenant, chat_id, only=scope.user), response)

    @router.put("/chats/{chat_id}", tags=["Chats"])
    async def update_chat(
        scope: Acting, chat_id: ChatId, body: ChatChange, response: Response, if_match: IfMatch = None
    ) -> ChatView:
        """Change a chat's title or metadata."""
        changes = body.model_dump(exclude_none=True)
        chat = await register.change_chat(scope.tenant, chat_id, only=scope.user, changes=changes, if_match=if_match)
        return _told(chat, response)

    @router.delete("/chats/{chat_id}", status_code=204, tags=["Chats"])
    async def delete_chat(scope: Acting, chat_id: ChatId, if_match: IfMatch = None) -> None:
        """Delete a chat with all that was said in it and learned from it, for good."""
        await register.delete_chat(scope.tenant, chat_id, only=scope.user, if_match=if_match)


def _told(chat: Chat, response: Response) -> ChatView:
    response.headers["ETag"] = etag_of(chat.revision)
    return _view(chat)


def _view(chat: Chat) -> ChatView:
    return ChatView(
        id=chat.chat_id,
        subtenant_id=chat.user_id,
        title=chat.title,
        metadata=dict(chat.metadata),
        created_at=chat.created_at,
        updated_at=chat.updated_at,
    )
