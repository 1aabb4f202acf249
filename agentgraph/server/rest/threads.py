"""`/threads`: every conversation of a tenant: its past, its checkpoints and branches, and what it waits for."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agentgraph.app import AgentGraph
from agentgraph.plain import checked
from agentgraph.run import RunRequest
from agentgraph.runs.threads import Branch, CheckpointInfo, ThreadInfo
from agentgraph.scope import MAX_ID_LENGTH, Scope
from agentgraph.server import turns
from agentgraph.server.rest.acting import Acting, ThreadId, UserFilter, check_thread_is_theirs, for_user
from agentgraph.server.rest.described import RUNS
from agentgraph.server.rest.etags import IfMatch, check_match, etag_of
from agentgraph.server.rest.message_views import AnswerView, InterruptView, MessageView, answer_view, message_view
from agentgraph.server.rest.once import IdempotencyKey, made_once
from agentgraph.server.rest.pages import (
    After,
    Limit,
    Page,
    name_after,
    page_after_name,
    page_of,
    page_within,
    position_after,
)
from agentgraph.server.rest.register import Register

__all__ = ["add_thread_routes"]

_Checkpoint: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9\-]+$")]
CheckpointId: TypeAlias = Annotated[
    _Checkpoint, Path(description="A checkpoint of the thread.", examples=["1f0c-4b2a"])
]


class ThreadView(BaseModel):
    """A thread."""

    id: str = Field(examples=["chat-4f9a"])
    is_session: bool = Field(examples=[False])
    user: str | None = Field(description="Who began it.", examples=["ann"])
    turns: int = Field(description="How many runs it has accepted.", examples=[2])
    created_at: str = Field(examples=["2026-03-14T09:00:00+00:00"])
    used_at: str = Field(examples=["2026-03-14T09:05:00+00:00"])


class CheckpointView(BaseModel):
    """A thread as it stood at one time."""

    id: str = Field(examples=["1f0c-4b2a"])
    parent_id: str | None = Field(examples=[None])
    created_at: str | None = Field(examples=["2026-03-14T09:00:00+00:00"])
    run_id: str | None = Field(examples=["run-4f6c"])
    is_head: bool = Field(description="Whether the thread stands there now.", examples=[True])
    next: list[str] = Field(description="What was still to run.", examples=[[]])
    interrupts: list[InterruptView] = Field(examples=[[]])
    messages: list[MessageView] = Field(description="The live window, oldest first.")
    summary: str = Field(description="What is older, in prose.", examples=[""])


class BranchView(BaseModel):
    """Where one line of a thread's conversation ends."""

    checkpoint_id: str = Field(examples=["1f0c-4b2a"])
    run_id: str = Field(examples=["run-4f6c"])
    ended_at: str | None = Field(examples=["2026-03-14T09:00:00+00:00"])
    is_current: bool = Field(examples=[True])


class Fork(BaseModel):
    """A thread to be begun with the conversation of another."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[A-Za-z0-9_.@+\-:]+$")] = (
        Field(description="The new thread's id.", examples=["chat-4f9a-b"])
    )
    checkpoint: _Checkpoint | None = Field(
        default=None, description="The conversation as it stood there.", examples=["1f0c-4b2a"]
    )


class Switch(BaseModel):
    """Where a thread is to stand."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: _Checkpoint = Field(examples=["1f0c-4b2a"])


class Answer(BaseModel):
    """The answer to what a thread waits for."""

    model_config = ConfigDict(extra="forbid")

    answer: Any = Field(description="A value, or one for each interrupt by its id.", examples=[{"decision": "approve"}])


def add_thread_routes(router: APIRouter, app: AgentGraph, register: Register) -> None:
    """Add the routes of threads."""
    _add_reading(router, app)
    _add_changing(router, app, register)


def _add_reading(router: APIRouter, app: AgentGraph) -> None:
    @router.get("/threads", tags=["Threads"])
    async def list_threads(
        scope: Acting, user: UserFilter = None, limit: Limit = 50, after: After = None
    ) -> Page[ThreadView]:
        """List threads and sessions, the last used first."""
        begins = position_after(after, of="threads")
        threads = await app.threads.list(
            tenant=scope.tenant, user=for_user(scope, user), limit=limit + 1, offset=begins
        )
        return page_of(threads, _view, of="threads", limit=limit, begins_at=begins)

    @router.get("/threads/{thread_id}", tags=["Threads"])
    async def read_thread(scope: Acting, thread_id: ThreadId, response: Response) -> ThreadView:
        """Read what is known of a thread."""
        found = await _existing(app, scope, thread_id)
        response.headers["ETag"] = await _tag(app, scope, thread_id)
        return _view(found)

    @router.get("/threads/{thread_id}/messages", tags=["Threads"])
    async def list_messages(
        scope: Acting, thread_id: ThreadId, limit: Limit = 50, after: After = None
    ) -> Page[MessageView]:
        """List the whole conversation, oldest first."""
        await _existing(app, scope, thread_id)
        begins = position_after(after, of="messages")
        history = await app.threads.history(tenant=scope.tenant, thread=thread_id)
        return page_within(history, message_view, of="messages", limit=limit, begins_at=begins)

    @router.get("/threads/{thread_id}/checkpoints", tags=["Threads"])
    async def list_checkpoints(
        scope: Acting, thread_id: ThreadId, limit: Limit = 50, after: After = None
    ) -> Page[CheckpointView]:
        """List checkpoints of all branches, the last written first."""
        await _existing(app, scope, thread_id)
        before = name_after(after, of="checkpoints")
        found = await app.threads.checkpoints(tenant=scope.tenant, thread=thread_id, limit=limit + 1, before=before)
        return page_after_name(
            found, _checkpoint, of="checkpoints", limit=limit, name=lambda checkpoint: checkpoint.checkpoint_id
        )

    @router.get("/threads/{thread_id}/checkpoints/{checkpoint_id}", tags=["Threads"])
    async def read_checkpoint(scope: Acting, thread_id: ThreadId, checkpoint_id: CheckpointId) -> CheckpointView:
        """Read the thread as it stood at a checkpoint."""
        await _existing(app, scope, thread_id)
        return _checkpoint(await app.threads.checkpoint(checkpoint_id, tenant=scope.tenant, thread=thread_id))

    @router.get("/threads/{thread_id}/branches", tags=["Threads"])
    async def list_branches(
        scope: Acting, thread_id: ThreadId, limit: Limit = 50, after: After = None
    ) -> Page[BranchView]:
        """List the ends of all lines the conversation took, the latest first."""
        await _existing(app, scope, thread_id)
        begins = position_after(after, of="branches")
        branches = await app.threads.branches(tenant=scope.tenant, thread=thread_id)
        return page_within(branches, _branch, of="branches", limit=limit, begins_at=begins)

    @router.get("/threads/{thread_id}/interrupts", tags=["Threads"])
    async def list_interrupts(
        scope: Acting, thread_id: ThreadId, limit: Limit = 50, after: After = None
    ) -> Page[InterruptView]:
        """List what the thread waits for answers to."""
        await _existing(app, scope, thread_id)
        begins = position_after(after, of="interrupts")
        found = await app.threads.checkpoint(tenant=scope.tenant, thread=thread_id)
        waiting = _interrupts(found)
        return page_within(waiting, lambda each: each, of="interrupts", limit=limit, begins_at=begins)


def _add_changing(router: APIRouter, app: AgentGraph, register: Register) -> None:
    @router.delete("/threads/{thread_id}", status_code=204, tags=["Threads"])
    async def delete_thread(scope: Acting, thread_id: ThreadId, if_match: IfMatch = None) -> None:
        """Delete a thread for good. What was learned from it stays: `/memories/forget` removes that as well."""
        await _existing(app, scope, thread_id)
        if if_match is not None:
            check_match(if_match, await _tag(app, scope, thread_id))
        await app.threads.delete(tenant=scope.tenant, thread=thread_id)

    @router.post("/threads/{thread_id}/fork", status_code=201, tags=["Threads"])
    async def fork_thread(
        scope: Acting, thread_id: ThreadId, body: Fork, response: Response, idempotency_key: IdempotencyKey = None
    ) -> ThreadView:
        """Begin another thread with the conversation of this one; each then goes its own way."""
        await _existing(app, scope, thread_id)
        await check_thread_is_theirs(app, scope, tenant=scope.tenant, thread=body.to)

        async def make() -> ThreadInfo:
            await app.threads.fork(tenant=scope.tenant, thread=thread_id, to=body.to, checkpoint=body.checkpoint)
            return await app.threads.get(tenant=scope.tenant, thread=body.to)

        made = await made_once(
            register,
            idempotency_key,
            scope=scope,
            request=(f"threads/{thread_id}/fork", body),
            make=make,
            name=lambda thread: thread.thread,
            find=lambda thread: app.threads.get(tenant=scope.tenant, thread=thread),
        )
        response.headers["Location"] = f"/api/v1/threads/{made.thread}"
        return _view(made)

    @router.post("/threads/{thread_id}/switch", tags=["Threads"])
    async def switch_thread(
        scope: Acting, thread_id: ThreadId, body: Switch, response: Response, if_match: IfMatch = None
    ) -> CheckpointView:
        """Let a thread stand where it once stood; the other line stays reachable."""
        await _existing(app, scope, thread_id)
        if if_match is not None:
            check_match(if_match, await _tag(app, scope, thread_id))
        await app.threads.switch(body.checkpoint, tenant=scope.tenant, thread=thread_id)
        response.headers["ETag"] = await _tag(app, scope, thread_id)
        return _checkpoint(await app.threads.checkpoint(tenant=scope.tenant, thread=thread_id))

    @router.post("/threads/{thread_id}/resume", tags=["Threads"], responses=RUNS)
    async def resume_thread(
        request: Request, scope: Acting, thread_id: ThreadId, body: Answer, idempotency_key: IdempotencyKey = None
    ) -> AnswerView:
        """Answer what a thread waits for, and wait for what comes of it."""
        found = await _existing(app, scope, thread_id)
        if body.answer is None:
            raise HTTPException(422, "the answer is null, which answers nothing")
        asked = RunRequest.of(
            [],
            tenant=scope.tenant,
            user=found.user,
            thread=thread_id,
            resume=checked(body.answer, param="answer"),
            idempotency_key=idempotency_key,
        )
        return answer_view(await turns.run(request, asked))


async def _existing(app: AgentGraph, scope: Scope, thread_id: str) -> ThreadInfo:
    """Return a thread that the caller may see.

    Raises:
        NotFoundError: There is none, or it is another's.
    """
    await check_thread_is_theirs(app, scope, tenant=scope.tenant, thread=thread_id)
    return await app.threads.get(tenant=scope.tenant, thread=thread_id)


async def _tag(app: AgentGraph, scope: Scope, thread_id: str) -> str:
    head = await app.threads.checkpoint(tenant=scope.tenant, thread=thread_id)
    return etag_of(head.checkpoint_id)


def _view(info: ThreadInfo) -> ThreadView:
    return ThreadView(
        id=info.thread,
        is_session=info.is_session,
        user=info.user,
        turns=info.turns,
        created_at=info.created_at,
        used_at=info.used_at,
    )


def _checkpoint(info: CheckpointInfo) -> CheckpointView:
    return CheckpointView(
        id=info.checkpoint_id,
        parent_id=info.parent_id,
        created_at=info.created_at,
        run_id=info.run_id,
        is_head=info.is_head,
        next=list(info.next),
        interrupts=_interrupts(info),
        messages=[message_view(message) for message in info.messages],
        summary=info.summary,
    )


def _interrupts(info: CheckpointInfo) -> list[InterruptView]:
    return [InterruptView(id=str(each["id"]), value=each["value"]) for each in info.interrupts]


def _branch(branch: Branch) -> BranchView:
    return BranchView(
        checkpoint_id=branch.checkpoint_id,
        run_id=branch.run_id,
        ended_at=branch.ended_at,
        is_current=branch.is_current,
    )
