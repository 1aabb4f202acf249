"""The page's routes: its files, what it has to know of the server, and a turn with all that happens in it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError, InvalidInputError, NotFoundError
from agentgraph.events import RunEvent, RunFailed
from agentgraph.run import RunRequest
from agentgraph.server import turns
from agentgraph.server.auth import authorize, caller_of
from agentgraph.server.gate import request_id_of
from agentgraph.server.health import package_version
from agentgraph.server.page.events import event_frame
from agentgraph.server.rest.message_views import InterruptView, MessageView, message_view

__all__ = ["PageTurn", "page_file", "page_router", "wants_page"]

_ASSETS: Final = files(__package__) / "assets"
# What the system thinks of these endings is not asked: where it is wrong, browsers refuse to run a module.
_KINDS: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# Nothing of anybody else's, nothing written into the document, and no text that becomes HTML.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_STREAM_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class PageTurn(BaseModel):
    """What is said, by whom, and where.

    Attributes:
        tenant: Whose agent; by default the key's.
        user: A person within the tenant.
        session: A session instead of a thread.
        thread: A conversation; with neither, nothing is kept of it.
        message: What is said; nothing where an answer to a question is given.
        timezone: IANA name of the speaker's zone.
        include_memories: Whether memory is read and written.
        resume: The answer to what the thread waits for.
        checkpoint: Where on the thread to go on from.
    """

    model_config = ConfigDict(extra="forbid")

    tenant: str | None = Field(None, examples=["acme"])
    user: str | None = None
    session: str | None = None
    thread: str | None = Field(None, examples=["support-7"])
    message: str | None = Field(None, examples=["What did I do last week?"])
    timezone: str | None = Field(None, examples=["Europe/Berlin"])
    include_memories: bool = True
    resume: Any = None
    checkpoint: str | None = None


class Conversation(BaseModel):
    """What was said, oldest first, and what is waited for."""

    messages: list[MessageView]
    interrupts: list[InterruptView]


def wants_page(request: Request) -> bool:
    """Say whether a browser asks, which takes HTML, or a program, which is told where things are."""
    return "text/html" in request.headers.get("accept", "")


def page_router(app: AgentGraph) -> APIRouter:
    """Return the routes below `/page`, and `/` for those that take HTML."""
    router = APIRouter(prefix="/page", tags=["Page"])

    @router.get("/assets/{name}", include_in_schema=False)
    async def asset(request: Request, name: str) -> Response:
        """Return one of the page's files."""
        return page_file(request, name)

    @router.get("/about")
    async def about(request: Request) -> dict[str, Any]:
        """Say who asks, and what the page draws: the agent's graph, its model, its zone."""
        caller = caller_of(request)
        await app.records()  # opens the application where nobody has
        graph = app.graph.get_graph()
        try:
            model: str | None = app.default_model
        except AgentGraphError:
            model = None
        return {
            "version": package_version(),
            "model": model,
            "memory": app.settings.enable_memory,
            "timezone": app.settings.timezone,
            "caller": {"tenant": caller.tenant, "user": caller.user, "scopes": sorted(caller.scopes)},
            "graph": {
                "nodes": list(graph.nodes),
                "edges": [[edge.source, edge.target, edge.conditional] for edge in graph.edges],
            },
        }

    @router.get("/conversation")
    async def conversation(
        request: Request,
        tenant: str | None = None,
        thread: str | None = None,
        session: str | None = None,
        checkpoint: str | None = None,
    ) -> Conversation:
        """Return what was said on a thread or in a session, and what it waits for; nothing where nobody has begun it.

        With a checkpoint it is told as it stood there.
        """
        scope = await authorize(request, _tenant(request, tenant, session), thread=thread)
        place: dict[str, Any] = {
            "tenant": scope.tenant if session is None else f"{scope.tenant}:{session}",
            "thread": thread,
        }
        try:
            await app.threads.get(**place)
        except NotFoundError:
            return Conversation(messages=[], interrupts=[])
        stood = await app.threads.checkpoint(checkpoint, **place)
        messages = await app.threads.history(**place, checkpoint=checkpoint)
        return Conversation(
            messages=[message_view(message) for message in messages],
            interrupts=[InterruptView(id=str(each["id"]), value=each["value"]) for each in stood.interrupts],
        )

    @router.post(
        "/turns",
        response_class=Response,
        responses={
            200: {"description": "Every event of the run, as it comes.", "content": {"text/event-stream": {}}},
        },
    )
    async def turn(
        request: Request, body: PageTurn, idempotency_key: Annotated[str | None, Header()] = None
    ) -> Response:
        """Carry a turn and tell all that happens in it: memories, tools, nodes and the text of the answer.

        Sent again with its `Idempotency-Key` it joins the run that the first request began, from its first word.
        """
        asked = _asked(request, body, idempotency_key)
        events = turns.stream(request, asked)
        # What fails before the run begins is an error with a status.
        try:
            first = await anext(events)
        except BaseException:
            await events.aclose()
            raise
        if isinstance(first, RunFailed):
            await events.aclose()
            raise first.error
        frames = _frames(first, events, request_id_of(request.scope))
        return StreamingResponse(frames, media_type="text/event-stream", headers=_STREAM_HEADERS)

    return router


def page_file(request: Request, name: str = "index.html") -> Response:
    """Return one of the page's files, or 304 where the browser has it already.

    Raises:
        HTTPException: There is none of this name.
    """
    file = _files().get(name)
    if file is None:
        raise HTTPException(404, f"the page has no file {name!r}")
    headers = {**_HEADERS, "ETag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, media_type=file.kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.content, media_type=file.kind, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    content: bytes
    packed: bytes
    kind: str
    etag: str


@cache
def _files() -> Mapping[str, _File]:
    """Read the page's files, once: a name that is none of theirs never comes near the file system."""
    found = {file.name: file.read_bytes() for file in _ASSETS.iterdir() if file.is_file()}
    return {
        name: _File(
            content=content,
            packed=gzip.compress(content, mtime=0),
            kind=_KINDS[name.rpartition(".")[2]],
            etag=f'W/"{hashlib.sha256(content).hexdigest()[:16]}"',
        )
        for name, content in found.items()
    }


def _asked(request: Request, body: PageTurn, idempotency_key: str | None) -> RunRequest:
    return RunRequest.of(
        body.message or [],
        tenant=_tenant(request, body.tenant, body.session),
        user=body.user,
        thread=body.thread,
        timezone=body.timezone,
        include_memories=body.include_memories,
        resume=body.resume,
        checkpoint=body.checkpoint,
        idempotency_key=idempotency_key,
    )


def _tenant(request: Request, tenant: str | None, session: str | None) -> str:
    """Return `tenant` or `tenant:session`, by default of the key's own tenant."""
    tenant = tenant or caller_of(request).tenant
    if not tenant:
        raise InvalidInputError("name a tenant: the key is of none", param="tenant")
    return tenant if session is None else f"{tenant}:{session}"


async def _frames(
    first: RunEvent, events: AsyncGenerator[RunEvent, None], request_id: str
) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield event_frame(first, request_id=request_id)
        async for event in events:
            yield event_frame(event, request_id=request_id)
