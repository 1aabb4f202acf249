"""`/subtenants/{id}/memories/{key}`: what a program writes down for a user by name. Needs no vectors.

The agent reads these notes like all memories; what it learned by itself is below `/memories`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agentgraph.app import AgentGraph
from agentgraph.errors import NotFoundError
from agentgraph.memory.stored import Memory
from agentgraph.scope import Scope
from agentgraph.server.rest.acting import Acting, UserId, for_user
from agentgraph.server.rest.etags import IfMatch, OneAtATime, check_match, etag_of
from agentgraph.server.rest.fields import Words
from agentgraph.server.rest.once import IdempotencyKey, made_once
from agentgraph.server.rest.pages import After, Limit, Page, page_of, position_after
from agentgraph.server.rest.register import Register

__all__ = ["add_note_routes"]

_LIST = "notes"
_Key: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.@+\-:]+$")]
NoteKey: TypeAlias = Annotated[_Key, Path(description="The memory's name.", examples=["diet"])]


class NewNote(BaseModel):
    """A memory to be written down."""

    model_config = ConfigDict(extra="forbid")

    key: _Key = Field(description="Its name.", examples=["diet"])
    value: Words = Field(description="What it says.", examples=["Ann is a vegetarian."])
    ttl_minutes: float | None = Field(
        default=None, gt=0, lt=10**9, description="How long it lives; for ever without.", examples=[None]
    )


class NoteChange(BaseModel):
    """What a memory is to say."""

    model_config = ConfigDict(extra="forbid")

    value: Words = Field(examples=["Ann eats fish again."])
    ttl_minutes: float | None = Field(default=None, gt=0, lt=10**9, examples=[None])


class NoteView(BaseModel):
    """A memory under its name."""

    key: str = Field(examples=["diet"])
    value: str = Field(examples=["Ann is a vegetarian."])
    recorded_at: datetime | None
    expires_at: datetime | None = Field(examples=[None])


def add_note_routes(router: APIRouter, app: AgentGraph, register: Register) -> None:
    """Add the routes of a user's memories by key."""
    turn = OneAtATime()

    async def user_of(scope: Scope, user_id: str) -> None:
        for_user(scope, user_id)
        await register.user(scope.tenant, user_id)

    async def find(scope: Scope, user_id: str, key: str) -> Memory:
        note = await app.memories.get(key, tenant=scope.tenant, user=user_id)
        if note.kind != "note":
            raise NotFoundError(f"{scope.tenant}/{user_id} has no memory {key!r}", code="memory_not_found")
        return note

    async def add(scope: Scope, user_id: str, body: NewNote) -> Memory:
        async with turn.on(scope.tenant, user_id, body.key):
            try:
                await find(scope, user_id, body.key)
            except NotFoundError:
                return await app.memories.put(
                    body.key, body.value, tenant=scope.tenant, user=user_id, ttl_minutes=body.ttl_minutes
                )
            raise HTTPException(409, f"there is a memory {body.key!r} already: change it with PUT")

    @router.post("/subtenants/{user_id}/memories", status_code=201, tags=["Memories by key"])
    async def create_memory(
        scope: Acting, user_id: UserId, body: NewNote, response: Response, idempotency_key: IdempotencyKey = None
    ) -> NoteView:
        """Write a memory of a user's down."""
        await user_of(scope, user_id)
        note = await made_once(
            register,
            idempotency_key,
            scope=scope,
            request=(f"subtenants/{user_id}/memories", body),
            make=lambda: add(scope, user_id, body),
            name=lambda note: note.key,
            find=lambda key: find(scope, user_id, key),
        )
        response.headers["Location"] = f"/api/v1/subtenants/{user_id}/memories/{note.key}"
        return _told(note, response)

    @router.get("/subtenants/{user_id}/memories", tags=["Memories by key"])
    async def list_memories(scope: Acting, user_id: UserId, limit: Limit = 50, after: After = None) -> Page[NoteView]:
        """List a user's memories by key, the last written first."""
        await user_of(scope, user_id)
        begins = position_after(after, of=_LIST)
        notes = await app.memories.list(tenant=scope.tenant, user=user_id, kind="note", limit=limit + 1, offset=begins)
        return page_of(notes, _view, of=_LIST, limit=limit, begins_at=begins)

    @router.get("/subtenants/{user_id}/memories/{key}", tags=["Memories by key"])
    async def read_memory(scope: Acting, user_id: UserId, key: NoteKey, response: Response) -> NoteView:
        """Read a memory."""
        await user_of(scope, user_id)
        return _told(await find(scope, user_id, key), response)

    @router.put("/subtenants/{user_id}/memories/{key}", tags=["Memories by key"])
    async def update_memory(
        scope: Acting, user_id: UserId, key: NoteKey, body: NoteChange, response: Response, if_match: IfMatch = None
    ) -> NoteView:
        """Change what a memory says."""
        await user_of(scope, user_id)
        async with turn.on(scope.tenant, user_id, key):
            check_match(if_match, _tag(await find(scope, user_id, key)))
            note = await app.memories.put(
                key, body.value, tenant=scope.tenant, user=user_id, ttl_minutes=body.ttl_minutes
            )
        return _told(note, response)

    @router.delete("/subtenants/{user_id}/memories/{key}", status_code=204, tags=["Memories by key"])
    async def delete_memory(scope: Acting, user_id: UserId, key: NoteKey, if_match: IfMatch = None) -> None:
        """Forget a memory for good, copies of it included; whoever writes it down anew means it."""
        await user_of(scope, user_id)
        async with turn.on(scope.tenant, user_id, key):
            check_match(if_match, _tag(await find(scope, user_id, key)))
            await app.forget(tenant=scope.tenant, user=user_id, memory=key)


def _tag(note: Memory) -> str:
    return etag_of(note.key, note.text, note.updated_at.isoformat(), note.expires_at)


def _told(note: Memory, response: Response) -> NoteView:
    response.headers["ETag"] = _tag(note)
    return _view(note)


def _view(note: Memory) -> NoteView:
    return NoteView(key=note.key, value=note.text, recorded_at=note.recorded_at, expires_at=note.expires_at)
