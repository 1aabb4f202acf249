"""`/runs`: what became of runs on threads, and a way to end them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from agentgraph.app import AgentGraph
from agentgraph.errors import NotFoundError
from agentgraph.runs.runs import RunInfo
from agentgraph.scope import Scope
from agentgraph.server.rest.acting import Acting, ThreadId, check_thread_is_theirs
from agentgraph.server.rest.pages import After, Limit, Page, page_of, position_after

__all__ = ["add_run_routes"]

_LIST = "runs"
RunId: TypeAlias = Annotated[
    str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_\-]+$", description="A run.", examples=["run-4f6c"])
]


class RunView(BaseModel):
    """A run on a thread."""

    id: str = Field(examples=["run-4f6c"])
    thread: str = Field(description="Its thread, or its session.", examples=["chat-4f9a"])
    position: int = Field(description="Its place among the thread's runs, from 1.", examples=[1])
    status: str = Field(
        description="`queued`, `running`, `waiting`, `finished`, `failed`, `cancelled` or `undone`.",
        examples=["finished"],
    )
    attempts: int = Field(examples=[1])
    checkpoint_id: str | None = Field(description="Where the thread stood when it ended.", examples=["1f0c-4b2a"])
    parent_checkpoint_id: str | None = Field(examples=[None])
    error: dict[str, Any] | None = Field(description="Why it failed.", examples=[None])
    accepted_at: str = Field(examples=["2026-03-14T09:00:00+00:00"])
    ended_at: str | None = Field(examples=["2026-03-14T09:00:01+00:00"])


def add_run_routes(router: APIRouter, app: AgentGraph) -> None:
    """Add the routes of runs."""

    @router.get("/threads/{thread_id}/runs", tags=["Runs"])
    async def list_runs(scope: Acting, thread_id: ThreadId, limit: Limit = 50, after: After = None) -> Page[RunView]:
        """List a thread's runs, the newest first."""
        await check_thread_is_theirs(app, scope, tenant=scope.tenant, thread=thread_id)
        await app.threads.get(tenant=scope.tenant, thread=thread_id)
        begins = position_after(after, of=_LIST)
        runs = await app.runs.list(tenant=scope.tenant, thread=thread_id, limit=begins + limit + 1)
        return page_of(runs[begins:], _view, of=_LIST, limit=limit, begins_at=begins)

    @router.get("/runs/{run_id}", tags=["Runs"])
    async def read_run(scope: Acting, run_id: RunId) -> RunView:
        """Read what became of a run; one-off runs leave no note."""
        return _view(await _existing(app, scope, run_id))

    @router.post("/runs/{run_id}/cancel", status_code=202, tags=["Runs"])
    async def cancel_run(scope: Acting, run_id: RunId) -> RunView:
        """End a run: what it has said stays, marked, and the thread can be used at once."""
        await _existing(app, scope, run_id)
        await app.runs.cancel(run_id, tenant=scope.tenant)
        return _view(await app.runs.get(run_id, tenant=scope.tenant))


async def _existing(app: AgentGraph, scope: Scope, run_id: str) -> RunInfo:
    run = await app.runs.get(run_id, tenant=scope.tenant)
    if scope.user is not None:
        # A note does not say whether it speaks of a thread or of a session: those of the name must all be theirs.
        for place in ({"tenant": scope.tenant, "thread": run.thread}, {"tenant": f"{scope.tenant}:{run.thread}"}):
            if ":" in run.thread and "thread" not in place:
                continue
            if await app.threads.is_closed_to(scope.user, **place):
                raise NotFoundError(f"there is no run {run_id!r}")
    return run


def _view(run: RunInfo) -> RunView:
    return RunView(
        id=run.run_id,
        thread=run.thread,
        position=run.position,
        status=run.status,
        attempts=run.attempts,
        checkpoint_id=run.checkpoint_id,
        parent_checkpoint_id=run.parent_checkpoint_id,
        error=None if run.error is None else dict(run.error),
        accepted_at=run.accepted_at,
        ended_at=run.ended_at,
    )
