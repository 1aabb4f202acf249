"""`/memories`: everything a tenant's agent remembers: seen, searched, added to, corrected, moved and forgotten."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError, PermissionDeniedError
from agentgraph.memory.forget_receipt import ForgetReceipt
from agentgraph.memory.record import Kind
from agentgraph.memory.stored import Memory
from agentgraph.memory.timeline import TimelineEntry
from agentgraph.memory.transfer import ImportReport
from agentgraph.scope import Scope
from agentgraph.server.rest.acting import Acting, ActingForAll, Id, UserFilter, check_thread_is_theirs, for_user
from agentgraph.server.rest.described import LINES
from agentgraph.server.rest.etags import IfMatch, OneAtATime, check_match, etag_of
from agentgraph.server.rest.fields import Words
from agentgraph.server.rest.pages import After, Limit, Page, page_of, page_within, position_after

__all__ = ["add_memory_routes"]

_LIST = "memories"
_TIMELINE = "timeline"
_Session: TypeAlias = Annotated[Id | None, Query(description="Only this session's.", examples=["support-7"])]
MemoryKey: TypeAlias = Annotated[
    str, Path(min_length=1, max_length=512, pattern=r"^[^/\x00-\x1f\x7f]+$", description="A memory.", examples=["9d0e"])
]
_Moment: TypeAlias = Annotated[AwareDatetime, Field(examples=["2026-03-14T09:00:00Z"])]
_Zone: TypeAlias = Annotated[Words | None, Field(description="IANA zone.", examples=["Europe/Paris"])]


class Owner(BaseModel):
    """Whose a memory is: the tenant's; or a user's, or a session's."""

    user: Id | None = Field(default=None, description="The person's own.", examples=["ann"])
    session: Id | None = Field(default=None, description="The session's own.", examples=[None])


class NewMemory(Owner):
    """Something to remember, as if it had been said."""

    model_config = ConfigDict(extra="forbid")

    text: Words = Field(examples=["I fly to Kyoto on April 3rd."])
    kind: Literal["episode", "fact"] = Field(default="episode", description="What was said, or what is so.")
    said_at: _Moment | None = Field(default=None, description="When it was said; by default now.")
    timezone: _Zone = None
    ttl_minutes: float | None = Field(default=None, gt=0, lt=10**9, description="How long it lives.", examples=[None])


class Correction(BaseModel):
    """What a memory says from now on."""

    model_config = ConfigDict(extra="forbid")

    text: Words = Field(examples=["I fly to Kyoto on April 5th."])
    said_at: _Moment | None = Field(default=None, description="When that was said; by default now.")
    timezone: _Zone = None


class Question(Owner):
    """What a run might ask of memory."""

    model_config = ConfigDict(extra="forbid")

    query: Words = Field(examples=["What have I planned for April?"])
    now: _Moment | None = Field(default=None, description='The moment that "last week" is said at.')
    timezone: _Zone = None
    top_k: int | None = Field(default=None, ge=1, le=100, description="How many to keep.", examples=[5])
    as_of: _Moment | None = Field(default=None, description="Read what was known at that moment.")


class ToForget(BaseModel):
    """What is to be forgotten: the narrowest thing named; everything of the tenant where nothing is."""

    model_config = ConfigDict(extra="forbid")

    user: Id | None = Field(default=None, description="The person's memories and notes.", examples=["ann"])
    session: Id | None = Field(
        default=None, description="The session's memories and its conversation.", examples=[None]
    )
    thread: Words | None = Field(
        default=None, description="The conversation and what was learned in it.", examples=[None]
    )
    memory: Words | None = Field(default=None, description="The memory of this key.", examples=["9d0e"])
    source: Words | None = Field(
        default=None, description="What came from the message, thread or import of this name.", examples=[None]
    )
    include_threads: bool = Field(default=False, description="Delete the conversations it was said in, too.")
    dry_run: bool = Field(default=False, description="Change nothing and say what would go: the plan.", examples=[True])


class MemoryView(BaseModel):
    """A memory, on both clocks: when it was said, and the time it speaks of."""

    key: str = Field(examples=["9d0e"])
    user: str | None = Field(examples=["ann"])
    session: str | None = Field(examples=[None])
    kind: str = Field(examples=["episode"])
    text: str = Field(examples=["I fly to Kyoto on April 3rd."])
    speaker: str = Field(examples=["user"])
    recorded_at: datetime | None
    event: dict[str, Any] | None = Field(
        description="The time it speaks of.",
        examples=[{"start": "2026-04-03T00:00:00+02:00", "end": "2026-04-04T00:00:00+02:00", "mention": "April 3rd"}],
    )
    timezone: str = Field(examples=["Europe/Paris"])
    source: dict[str, str | None] = Field(examples=[{"thread": "chat-4f9a"}])
    valid_until: datetime | None = Field(description="When it was superseded.", examples=[None])
    superseded_by: str | None = Field(examples=[None])
    expires_at: datetime | None = Field(examples=[None])

    @classmethod
    def of(cls, memory: Memory) -> MemoryView:
        """Return what is told of a memory."""
        return cls(
            key=memory.key,
            user=memory.user,
            session=memory.session,
            kind=memory.kind,
            text=memory.text,
            speaker=memory.speaker,
            recorded_at=memory.recorded_at,
            event=None if memory.event is None else dict(memory.event),
            timezone=memory.zone,
            source=dict(memory.source),
            valid_until=memory.valid_until,
            superseded_by=memory.superseded_by,
            expires_at=memory.expires_at,
        )


class RecallView(BaseModel):
    """What came of a question to memory."""

    windows: list[dict[str, Any]] = Field(
        description="The times it was understood to speak of.",
        examples=[[{"start": "2026-04-01T00:00:00+02:00", "end": "2026-05-01T00:00:00+02:00", "mention": "April"}]],
    )
    kept: list[dict[str, Any]] = Field(
        description="What answers it, the best first, each with its receipt.",
        examples=[
            [{"key": "9d0e", "text": "I fly to Kyoto on April 3rd.", "score": 0.81, "why": "in the time asked of"}]
        ],
    )
    left_out: list[dict[str, Any]] = Field(description="The other candidates, each with the reason.", examples=[[]])


class EntryView(BaseModel):
    """A memory's place in time."""

    at: datetime = Field(
        description="Where what it speaks of begins; where that has no beginning ('until 20 April'), when it is over."
    )
    clock: Literal["event", "recorded"] = Field(description="What gave the place.", examples=["event"])
    memory: MemoryView


class RemovedView(BaseModel):
    """Things of one kind that went."""

    place: str = Field(examples=["memory/user/ann"])
    kind: str = Field(examples=["episode"])
    count: int = Field(examples=[1])
    ids: list[str] = Field(examples=[["9d0e"]])


class ReceiptView(BaseModel):
    """What was forgotten, or would be."""

    target: dict[str, str] = Field(examples=[{"tenant": "acme", "user": "ann"}])
    is_dry_run: bool = Field(examples=[True])
    at: str = Field(examples=["2026-03-14T09:00:00+00:00"])
    count: int = Field(examples=[1])
    removed: list[RemovedView]
    tombstones: int = Field(description="How many digests keep it from being learned again.", examples=[1])
    kept_threads: list[str] = Field(description="Conversations that hold it still.", examples=[["chat-4f9a"]])
    unfinished_runs: int = Field(examples=[0])
    remarks: list[str] = Field(examples=[[]])

    @classmethod
    def of(cls, receipt: ForgetReceipt) -> ReceiptView:
        """Return what is told of a receipt."""
        return cls.model_validate({**receipt.as_record(), "count": receipt.count})


class FaultView(BaseModel):
    """A line that could not be read."""

    line: int = Field(examples=[3])
    message: str = Field(examples=["text is missing"])


class ImportView(BaseModel):
    """What became of the lines."""

    rows: int = Field(examples=[3])
    added: int = Field(examples=[2])
    replaced: int = Field(examples=[0])
    unchanged: int = Field(examples=[0])
    forgotten: int = Field(description="Left out because what they say was forgotten.", examples=[0])
    failed: int = Field(examples=[1])
    faults: list[FaultView]

    @classmethod
    def of(cls, report: ImportReport) -> ImportView:
        """Return what is told of a report."""
        counts = {name: getattr(report, name) for name in cls.model_fields if name != "faults"}
        return cls(**counts, faults=[FaultView(line=each.line, message=each.message) for each in report.faults])


def add_memory_routes(router: APIRouter, app: AgentGraph) -> None:
    """Add the routes of a tenant's memories."""
    _add_reading(router, app)
    _add_writing(router, app)
    _add_moving(router, app)


def _add_reading(router: APIRouter, app: AgentGraph) -> None:
    @router.get("/memories", tags=["Memories"])
    async def list_memories(
        scope: Acting,
        user: UserFilter = None,
        session: _Session = None,
        kind: Annotated[Kind | None, Query(description="Only of this kind.")] = None,
        include_superseded: Annotated[bool, Query(description="Also what was corrected since.")] = False,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[MemoryView]:
        """List memories, the last written first: a tenant's, or a user's or a session's alone."""
        begins = position_after(after, of=_LIST)
        memories = await app.memories.list(
            **_place(scope, user, session),
            kind=kind,
            include_superseded=include_superseded,
            limit=limit + 1,
            offset=begins,
        )
        return page_of(memories, MemoryView.of, of=_LIST, limit=limit, begins_at=begins)

    @router.post("/memories/search", tags=["Memories"])
    async def search_memories(scope: Acting, body: Question) -> RecallView:
        """Recall what a run would, with a receipt for everything found and left out."""
        found = await app.memories.search(
            body.query,
            **_place(scope, body.user, body.session),
            now=body.now,
            timezone=body.timezone,
            top_k=body.top_k,
            as_of=body.as_of,
        )
        return RecallView.model_validate({"windows": found.windows, "kept": found.kept, "left_out": found.left_out})

    @router.get("/memories/timeline", tags=["Memories"])
    async def show_timeline(
        scope: Acting,
        user: UserFilter = None,
        session: _Session = None,
        start: Annotated[AwareDatetime | None, Query(description="Only what is not over by then.")] = None,
        end: Annotated[AwareDatetime | None, Query(description="Only what began before.")] = None,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[EntryView]:
        """List memories in the order of what they speak of, the earliest first."""
        begins = position_after(after, of=_TIMELINE)
        entries = await app.memories.timeline(
            **_place(scope, user, session), start=start, end=end, limit=begins + limit + 1
        )
        return page_of(entries[begins:], _entry, of=_TIMELINE, limit=limit, begins_at=begins)

    @router.get("/memories/export", tags=["Memories"], responses=LINES, response_class=Response)
    async def export_memories(scope: Acting, user: UserFilter = None, session: _Session = None) -> Response:
        """Tell every memory, a JSON object a line; `/memories/import` reads them back, in any tenant."""
        place = _place(scope, user, session)
        await app.memories.list(**place, limit=0)  # what is wrong is an error with a status, not a broken stream
        return StreamingResponse(_lines(app, place), media_type="application/x-ndjson")

    @router.get("/memories/{key}", tags=["Memories"])
    async def read_memory(
        scope: Acting, key: MemoryKey, response: Response, user: UserFilter = None, session: _Session = None
    ) -> MemoryView:
        """Read one memory of exactly this tenant, user or session."""
        return _told(await app.memories.get(key, **_place(scope, user, session)), response)

    @router.get("/memories/{key}/history", tags=["Memories"])
    async def read_memory_history(
        scope: Acting,
        key: MemoryKey,
        user: UserFilter = None,
        session: _Session = None,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[MemoryView]:
        """List what a memory superseded, the latest first."""
        begins = position_after(after, of="history")
        versions = await app.memories.history(key, **_place(scope, user, session))
        return page_within(versions, MemoryView.of, of="history", limit=limit, begins_at=begins)


def _add_writing(router: APIRouter, app: AgentGraph) -> None:
    turn = OneAtATime()

    @router.post("/memories", status_code=201, tags=["Memories"])
    async def add_memory(scope: Acting, body: NewMemory, response: Response) -> MemoryView:
        """Add a memory as if it had been said; adding the same again changes nothing."""
        memory = await app.memories.add(
            body.text,
            **_place(scope, body.user, body.session),
            kind=body.kind,
            said_at=body.said_at,
            timezone=body.timezone,
            ttl_minutes=body.ttl_minutes,
        )
        return _told(memory, response)

    @router.post("/memories/forget", tags=["Memories"])
    async def forget(scope: Acting, body: ToForget) -> ReceiptView:
        """Forget for good, or with `dry_run` say what would be forgotten."""
        place = _place(scope, body.user, body.session)
        if body.thread is not None:
            await check_thread_is_theirs(app, scope, tenant=scope.tenant, thread=body.thread)
        if scope.user is not None and body.include_threads:
            raise PermissionDeniedError("include_threads may delete other people's conversations: it takes another key")
        receipt = await app.forget(
            **place,
            thread=body.thread,
            memory=body.memory,
            source=body.source,
            include_threads=body.include_threads,
            dry_run=body.dry_run,
        )
        told = ReceiptView.of(receipt)
        if scope.user is not None:
            told.kept_threads = [
                thread
                for thread in told.kept_threads
                if not await app.threads.is_closed_to(scope.user, tenant=scope.tenant, thread=thread)
            ]
        return told

    @router.put("/memories/{key}", tags=["Memories"])
    async def correct_memory(
        scope: Acting,
        key: MemoryKey,
        body: Correction,
        response: Response,
        user: UserFilter = None,
        session: _Session = None,
        if_match: IfMatch = None,
    ) -> MemoryView:
        """Correct a memory: what it said before is kept as superseded."""
        place = _place(scope, user, session)
        async with turn.on(key, *place.values()):
            check_match(if_match, _tag(await app.memories.get(key, **place)))
            memory = await app.memories.update(key, body.text, **place, said_at=body.said_at, timezone=body.timezone)
        return _told(memory, response)

    @router.delete("/memories/{key}", status_code=204, tags=["Memories"])
    async def delete_memory(
        scope: Acting, key: MemoryKey, user: UserFilter = None, session: _Session = None, if_match: IfMatch = None
    ) -> None:
        """Delete a memory with what it superseded. It may be learned again: `/memories/forget` is for good."""
        place = _place(scope, user, session)
        async with turn.on(key, *place.values()):
            check_match(if_match, _tag(await app.memories.get(key, **place)))
            await app.memories.delete(key, **place)


def _add_moving(router: APIRouter, app: AgentGraph) -> None:
    lines = {"application/x-ndjson": {"schema": {"type": "string"}, "example": '{"text":"I fly to Kyoto in April."}\n'}}

    @router.post(
        "/memories/import", tags=["Memories"], openapi_extra={"requestBody": {"required": True, "content": lines}}
    )
    async def import_memories(
        request: Request,
        scope: ActingForAll,
        user: UserFilter = None,
        session: _Session = None,
        name: Annotated[
            str | None, Query(max_length=200, description="Noted as their source.", examples=["crm"])
        ] = None,
        strict: Annotated[bool, Query(description="Stop at the first line that cannot be read.")] = False,
    ) -> ImportView:
        """Add a memory for every line of JSON; the same lines again add nothing."""
        rows: Iterable[bytes] = (await request.body()).splitlines()
        report = await app.memories.import_rows(
            rows, **_place(scope, user, session), name=name or None, is_strict=strict
        )
        return ImportView.of(report)


def _place(scope: Scope, user: str | None, session: str | None) -> dict[str, Any]:
    """Return whose memories are meant, as `app.memories` takes it; whoever is bound to a user sees theirs alone."""
    whose = for_user(scope, user)
    if scope.user is not None and session is not None:
        raise InvalidInputError("this key is a user's: name no session", param="session")
    return {"tenant": scope.tenant, "user": whose, "session": session}


def _tag(memory: Memory) -> str:
    return etag_of(memory.key, memory.text, memory.updated_at.isoformat(), memory.expires_at)


def _told(memory: Memory, response: Response) -> MemoryView:
    response.headers["ETag"] = _tag(memory)
    return MemoryView.of(memory)


def _entry(entry: TimelineEntry) -> EntryView:
    return EntryView(at=entry.at, clock=entry.clock, memory=MemoryView.of(entry.memory))


async def _lines(app: AgentGraph, place: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    async with aclosing(app.memories.export(**place)) as records:
        async for record in records:
            yield orjson.dumps(record) + b"\n"
