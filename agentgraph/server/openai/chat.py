"""OpenAI's routes: chat completions and models, each below a tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError, NotFoundError
from agentgraph.events import RunEvent, RunFailed, RunStarted, ToolStarted
from agentgraph.models.catalogue import parse_model
from agentgraph.run import RunResult
from agentgraph.server import turns
from agentgraph.server.auth import authorize
from agentgraph.server.departure import ClientLeftError, until_left
from agentgraph.server.errors import fault_of, openai_error, openai_error_body
from agentgraph.server.gate import request_id_of
from agentgraph.server.guard import Guard
from agentgraph.server.limits import body_too_large
from agentgraph.server.openai.models import usable_models
from agentgraph.server.openai.request import ChatCompletionRequest, read_chat_completion_request
from agentgraph.server.schemas import chat_completion_docs
from agentgraph.streaming.openai import ChatChunks, chat_completion

__all__ = ["openai_router"]

_ACTED: Final = "agentgraph.has_acted"
_DEFAULT_NAMES: Final = ("agentgraph", "default")
_STREAM_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_CLIENT_LEFT: Final = 499  # as nginx logs it; nobody is there to read it


def openai_router(app: AgentGraph) -> APIRouter:
    """Return the routes, ready for `include_router(..., prefix="/v1")` in any FastAPI application.

    They bring their own limits, keys and errors along, so that they behave alike wherever they are included.
    """
    settings, guard = app.settings, Guard(app)
    limit_bytes = int(settings.max_body_mb * 1_000_000)
    started = int(time.time())

    class Route(APIRoute):
        """Tells errors as OpenAI does."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                request_id = request_id_of(request.scope)
                try:
                    await guard.admit(request)
                    response = await handle(request)
                except ClientLeftError:
                    return Response(status_code=_CLIENT_LEFT)
                except Exception as error:  # noqa: BLE001  the outermost place of a request
                    fault = fault_of(error, request_id=request_id)
                    if request.scope.get(_ACTED):
                        # A one-off run leaves nothing to carry on from: repeated, it would act a second time.
                        fault = replace(fault, retry=False)
                    return openai_error(fault, request_id=request_id)
                response.headers["x-request-id"] = request_id
                return response

            return guarded

    router = APIRouter(route_class=Route, tags=["OpenAI"])

    @router.post("/{tenant:path}/chat/completions", openapi_extra=chat_completion_docs())
    async def create_chat_completion(request: Request, tenant: str) -> Response:
        """Answer a conversation as `tenant`, or as `tenant:session`.

        With a thread or a session the conversation is kept: send only what is new, or everything. Without one the run
        is one-off: its messages are its whole history.
        """
        asked = read_chat_completion_request(await _body(request, limit_bytes))
        default_model = app.default_model
        run_request = asked.run_request(
            tenant=tenant, headers=request.headers, default_models=frozenset((*_DEFAULT_NAMES, default_model))
        )
        model = run_request.model or default_model
        events = turns.stream(request, run_request)
        if (run_request.on_disconnect or settings.on_disconnect) == "cancel":
            events = until_left(events, request.receive)
        if run_request.scope.thread_key is None:
            events = _noting_acts(events, request.scope)
        if asked.stream:
            return await _streamed(events, model, request_id_of(request.scope), asked)
        result = await _result(events)
        return Response(
            orjson.dumps(_completion(result, model, asked), default=str),
            media_type="application/json",
            headers={"x-run-id": result.run_id},
        )

    @router.get("/{tenant:path}/models")
    async def list_models(request: Request, tenant: str) -> Response:
        """List the models this deployment can use, its default first."""
        await authorize(request, tenant)
        models = await asyncio.to_thread(usable_models, app)
        listed = [_model(name, started) for name in models]
        return Response(orjson.dumps({"object": "list", "data": listed}), media_type="application/json")

    @router.get("/{tenant:path}/models/{model:path}")
    async def retrieve_model(request: Request, tenant: str, model: str) -> Response:
        """Describe one model."""
        await authorize(request, tenant)
        if model in {*_DEFAULT_NAMES, name := app.default_model}:
            return Response(orjson.dumps(_model(name, started)), media_type="application/json")
        name = str(await asyncio.to_thread(parse_model, model, settings))
        if name not in await asyncio.to_thread(usable_models, app) and not settings.openai_base_url:
            raise NotFoundError(f"the model {name!r} cannot be used on this server", code="model_not_found")
        return Response(orjson.dumps(_model(name, started)), media_type="application/json")

    return router


class EventStream(Response):
    """A response of server-sent events that are bytes already.

    Starlette's own watches for the client to leave and then cuts the run's events off; here the run goes on anyhow.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(headers={**_STREAM_HEADERS, **headers})
        del self.headers["content-length"]
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the frames as they come."""
        async with aclosing(self._frames) as frames:
            with suppress(ClientLeftError):
                await self._send_all(frames, send)

    async def _send_all(self, frames: AsyncIterator[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for frame in frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _noting_acts(events: AsyncGenerator[RunEvent, None], scope: Scope) -> AsyncGenerator[RunEvent, None]:
    """Pass a run's events on, and note with the request that a tool of the server's began."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ToolStarted):
                scope[_ACTED] = True
            yield event


async def _result(events: AsyncGenerator[RunEvent, None]) -> RunResult:
    told: list[RunEvent] = []
    async with aclosing(events):
        async for event in events:
            if isinstance(event, RunFailed):
                raise event.error
            told.append(event)
    return RunResult.from_events(told)


def _completion(result: RunResult, model: str, asked: ChatCompletionRequest) -> dict[str, Any]:
    return chat_completion(result, model=model, created=int(time.time()), uses_functions=asked.uses_functions)


async def _streamed(
    events: AsyncGenerator[RunEvent, None], model: str, request_id: str, asked: ChatCompletionRequest
) -> Response:
    """Answer once there is something to say, so that what fails before is an error with a status."""
    try:
        run_id = await _run_id(events)
        chunks = ChatChunks(
            run_id,
            model=model,
            created=int(time.time()),
            include_usage=asked.include_usage,
            uses_functions=asked.uses_functions,
        )
        first = await _first_frame(events, chunks)
    except BaseException:
        await events.aclose()
        raise
    return EventStream(_frames(first, events, chunks, request_id), {"x-run-id": run_id})


async def _run_id(events: AsyncIterator[RunEvent]) -> str:
    async for event in events:
        if isinstance(event, RunFailed):
            raise event.error
        if isinstance(event, RunStarted):
            return event.run_id
    raise AgentGraphError("the run ended before it began", code="no_answer")


async def _first_frame(events: AsyncIterator[RunEvent], chunks: ChatChunks) -> bytes:
    async for event in events:
        if isinstance(event, RunFailed):
            raise event.error
        if frame := chunks.encode(event):
            return frame
    raise AgentGraphError("the run ended without an answer", code="no_answer")


async def _frames(
    first: bytes, events: AsyncGenerator[RunEvent, None], chunks: ChatChunks, request_id: str
) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield first
        async for event in events:
            if isinstance(event, RunFailed):
                # As OpenAI does: the error, and no end that could be taken for a good one.
                fault = fault_of(event.error, request_id=request_id)
                yield b"data: " + orjson.dumps(openai_error_body(fault)) + b"\n\n"
            elif frame := chunks.encode(event):
                yield frame


async def _body(request: Request, limit_bytes: int) -> bytes:
    """Read the body, but no more than allowed: the application this is included in may have no limit."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise body_too_large(limit_bytes)
        parts.append(part)
    return b"".join(parts)


def _model(name: str, created: int) -> dict[str, Any]:
    owner, slash, _ = name.partition("/")
    return {"id": name, "object": "model", "created": created, "owned_by": owner if slash else "agentgraph"}
