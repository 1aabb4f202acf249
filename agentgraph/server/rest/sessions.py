"""`/sessions`: short conversations that end by themselves: seen, and ended before their time."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agentgraph.app import AgentGraph
from agentgraph.errors import NotFoundError
from agentgraph.runs.sessions import SessionInfo
from agentgraph.scope import Scope
from agentgraph.server.rest.acting import Acting, ActingForAll, SessionId
from agentgraph.server.rest.pages import After, Limit, Page, page_within, position_after

__all__ = ["add_session_routes"]

_LIST = "sessions"


class SessionView(BaseModel):
    """A session."""

    id: str = Field(examples=["support-7"])
    opened_at: str = Field(examples=["2026-03-14T09:00:00+00:00"])
    used_at: str = Field(examples=["2026-03-14T09:05:00+00:00"])
    expires_in_s: float = Field(description="Seconds until it ends unless it is used.", examples=[86100.0])
    messages: int = Field(description="How many it keeps word for word.", examples=[4])
    size_bytes: int = Field(description="What it keeps on disk, memories included.", examples=[24576])
    is_ending: bool = Field(examples=[False])


def add_session_routes(router: APIRouter, app: AgentGraph) -> None:
    """Add the routes of sessions."""

    @router.get("/sessions", tags=["Sessions"])
    async def list_sessions(scope: ActingForAll, limit: Limit = 50, after: After = None) -> Page[SessionView]:
        """List the sessions that have not ended, the last used first."""
        begins = position_after(after, of=_LIST)
        sessions = await app.sessions.list(scope.tenant)
        return page_within(sessions, _view, of=_LIST, limit=limit, begins_at=begins)

    @router.get("/sessions/{session_id}", tags=["Sessions"])
    async def read_session(scope: Acting, session_id: SessionId) -> SessionView:
        """Read what is known of a session."""
        await _check_is_theirs(app, scope, session_id)
        return _view(await app.sessions.get(scope.tenant, session_id))

    @router.delete("/sessions/{session_id}", status_code=204, tags=["Sessions"])
    async def end_session(scope: Acting, session_id: SessionId) -> None:
        """End a session now: its runs are cancelled, and all of it is deleted."""
        await _check_is_theirs(app, scope, session_id)
        await app.sessions.end(scope.tenant, session_id)


async def _check_is_theirs(app: AgentGraph, scope: Scope, session_id: str) -> None:
    place = f"{scope.tenant}:{session_id}"
    if scope.user is not None and await app.threads.is_closed_to(scope.user, tenant=place):
        raise NotFoundError(f"no session {session_id!r} of {scope.tenant!r} is open")


def _view(info: SessionInfo) -> SessionView:
    return SessionView(
        id=info.session,
        opened_at=info.opened_at,
        used_at=info.used_at,
        expires_in_s=info.expires_in_s,
        messages=info.messages,
        size_bytes=info.size_bytes,
        is_ending=info.is_ending,
    )
