"""`POST /chat/completions`: a turn of a conversation, whole or in pieces."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from agentgraph.events import RunEvent, RunFailed, RunFinished, RunStarted, Usage
from agentgraph.run import RunResult
from agentgraph.server.errors import fault_of, openai_error_body
from agentgraph.server.gate import request_id_of
from agentgraph.server.openai.api import OpenAIApi, json_response, tenant_of
from agentgraph.server.openai.event_stream import EventStream
from agentgraph.server.openai.request import ChatCompletionRequest, read_chat_completion_request
from agentgraph.server.schemas import chat_completion_docs
from agentgraph.streaming.openai import ChatChunks, chat_completion

__all__ = ["add_chat_routes", "completed"]

Told = AsyncGenerator[tuple[int, RunEvent], None]


def add_chat_routes(router: APIRouter, api: OpenAIApi) -> None:
    """Add the routes."""

    @router.post("/{tenant:path}/chat/completions", openapi_extra=chat_completion_docs())
    async def create_chat_completion(request: Request, tenant: str) -> Response:
        """Answer a conversation as `tenant`, or as `tenant:session`.

        With a thread or a session the conversation is kept: send only what is new, or everything. Without one the run
        is one-off: its messages are its whole history.
        """
        return await complete(request, tenant)

    @router.post("/chat/completions", openapi_extra=chat_completion_docs())
    async def create_chat_completion_of_key(request: Request) -> Response:
        """Answer a conversation as the tenant that the key is of."""
        return await complete(request, None)

    async def complete(request: Request, tenant: str | None) -> Response:
        return await completed(api, request, await api.body(request, read_chat_completion_request), tenant=tenant)


async def completed(
    api: OpenAIApi, request: Request, asked: ChatCompletionRequest, *, tenant: str | None, user: str | None = None
) -> Response:
    """Answer a request that has been read, in pieces where it asks for a stream.

    Args:
        api: Carries the runs.
        request: Its headers and whose it is.
        asked: What it asks.
        tenant: As the URL has it; `None` for the key's own.
        user: A person it is for, whoever its headers name.
    """
    wanted = asked.run_request(
        tenant=await tenant_of(request, tenant), headers=request.headers, default_models=api.default_names
    )
    if user is not None:
        wanted = replace(wanted, scope=replace(wanted.scope, user=user))
    answer = _Answer(asked, wanted.model or api.app.default_model, asked.extras(request.headers).wants_receipts)
    told = await api.events(request, wanted, count=asked.choices)
    if not asked.stream:
        results = await _results(told, asked.choices)
        return json_response(answer.whole(results), x_run_id=results[0].run_id)
    request_id = request_id_of(request.scope)
    stream = await EventStream.begun(answer.frames(told), told=lambda error: _error_frame(error, request_id))
    stream.headers["x-run-id"] = answer.run_id
    return stream


class _Answer:
    """One answer to one request.

    Attributes:
        run_id: Of the first run that began.
    """

    def __init__(self, asked: ChatCompletionRequest, model: str, wants_receipts: bool) -> None:
        self.run_id = ""
        self._asked = asked
        self._options: dict[str, Any] = {
            "model": model,
            "created": int(time.time()),
            "uses_functions": asked.uses_functions,
            "wants_receipts": wants_receipts,
        }

    def whole(self, results: list[RunResult]) -> dict[str, Any]:
        """Return the answer in one piece."""
        return chat_completion(results, **self._options)

    async def frames(self, told: Told) -> AsyncGenerator[bytes, None]:
        """Yield the answer in pieces; raise what a run failed with."""
        chunks: dict[int, ChatChunks] = {}
        usage, open_count = Usage(), self._asked.choices
        async with aclosing(told):
            async for i, event in told:
                if isinstance(event, RunFailed):
                    raise event.error
                if isinstance(event, RunStarted):
                    self.run_id = self.run_id or event.run_id
                    chunks[i] = self._chunks(i)
                    continue
                frame = chunks[i].encode(event)
                if isinstance(event, RunFinished):
                    usage += event.usage
                    open_count -= 1
                    if not open_count and self._asked.choices > 1:
                        frame += chunks[i].closing(usage)
                if frame:
                    yield frame

    def _chunks(self, index: int) -> ChatChunks:
        asked = self._asked
        return ChatChunks(
            self.run_id,
            include_usage=asked.include_usage,
            index=index,
            is_alone=asked.choices == 1,
            **self._options,
        )


async def _results(told: Told, count: int) -> list[RunResult]:
    events: list[list[RunEvent]] = [[] for _ in range(count)]
    async with aclosing(told):
        async for i, event in told:
            if isinstance(event, RunFailed):
                raise event.error
            events[i].append(event)
    return [RunResult.from_events(each) for each in events]


def _error_frame(error: Exception, request_id: str) -> bytes:
    # As OpenAI does: the error, and no end that could be taken for a good one.
    return b"data: " + orjson.dumps(openai_error_body(fault_of(error, request_id=request_id))) + b"\n\n"
