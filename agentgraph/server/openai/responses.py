"""`/responses`: OpenAI's Responses API. A kept response is a turn on a thread, and the next goes on behind it."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from agentgraph.errors import InvalidInputError
from agentgraph.events import RunEvent, RunFailed, RunStarted
from agentgraph.plain import checked
from agentgraph.run import RunRequest
from agentgraph.server.errors import fault_of
from agentgraph.server.gate import request_id_of
from agentgraph.server.openai.api import OpenAIApi, json_response, tenant_of
from agentgraph.server.openai.event_stream import EventStream
from agentgraph.server.openai.extras import Extras
from agentgraph.server.openai.kept_responses import OWN_THREAD, KeptResponses
from agentgraph.server.openai.responses_request import KEPT, ResponsesRequest, read_responses_request
from agentgraph.server.schemas import responses_docs
from agentgraph.streaming.responses import ResponseTeller

__all__ = ["add_response_routes"]

Told = AsyncGenerator[tuple[int, RunEvent], None]
_MOST_REMEMBERED: Final = 4_096
_MOST_LISTED: Final = 100


def add_response_routes(router: APIRouter, api: OpenAIApi) -> None:
    """Add the routes."""
    kept, own_threads = KeptResponses(api.app), _OwnThreads(api.app.settings.retry_window_s)

    @router.post("/{tenant:path}/responses", openapi_extra=responses_docs())
    async def create_response(request: Request, tenant: str) -> Response:
        """Answer as `tenant`, or as `tenant:session`; kept, unless `store` is `false`."""
        return await create(request, tenant)

    @router.post("/responses", openapi_extra=responses_docs())
    async def create_response_of_key(request: Request) -> Response:
        """Answer as the tenant that the key is of."""
        return await create(request, None)

    @router.get("/{tenant:path}/responses/{response_id}")
    async def retrieve_response(request: Request, tenant: str, response_id: str) -> Response:
        """Return a response that was kept."""
        return await retrieve(request, tenant, response_id)

    @router.get("/responses/{response_id}")
    async def retrieve_response_of_key(request: Request, response_id: str) -> Response:
        """Return a response of the tenant that the key is of."""
        return await retrieve(request, None, response_id)

    @router.delete("/{tenant:path}/responses/{response_id}")
    async def delete_response(request: Request, tenant: str, response_id: str) -> Response:
        """Delete a response; what was said stays context for those that follow it."""
        return await delete(request, tenant, response_id)

    @router.delete("/responses/{response_id}")
    async def delete_response_of_key(request: Request, response_id: str) -> Response:
        """Delete a response of the tenant that the key is of."""
        return await delete(request, None, response_id)

    @router.post("/{tenant:path}/responses/{response_id}/cancel")
    async def cancel_response(request: Request, tenant: str, response_id: str) -> Response:
        """End a response that is under way."""
        return await cancel(request, tenant, response_id)

    @router.post("/responses/{response_id}/cancel")
    async def cancel_response_of_key(request: Request, response_id: str) -> Response:
        """End a response of the tenant that the key is of."""
        return await cancel(request, None, response_id)

    @router.get("/{tenant:path}/responses/{response_id}/input_items")
    async def list_input_items(
        request: Request,
        tenant: str,
        response_id: str,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> Response:
        """List what a response was asked with."""
        return await input_items(request, tenant, response_id, limit, order, after)

    @router.get("/responses/{response_id}/input_items")
    async def list_input_items_of_key(
        request: Request,
        response_id: str,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> Response:
        """List what a response of the key's tenant was asked with."""
        return await input_items(request, None, response_id, limit, order, after)

    async def create(request: Request, tenant: str | None) -> Response:
        asked = await api.body(request, read_responses_request)
        tenant = await tenant_of(request, tenant)
        asked.refuse_what_cannot_be_honoured()
        extras = asked.extras(request.headers)
        place = await placed(request, tenant, asked, extras)
        wanted = asked.run_request(
            options=place.extras.options(tenant), default_models=api.default_names, checkpoint=place.checkpoint
        )
        echo = asked.echo(wanted.model or api.app.default_model)
        if asked.is_kept:
            wanted = _with_echo(wanted, {**echo, "user_id": wanted.scope.user})
        if asked.background:
            wanted = replace(wanted, on_disconnect="continue")
        told = await api.events(request, wanted)
        teller = ResponseTeller(echo, created_at=int(time.time()), wants_receipts=extras.wants_receipts)
        if asked.stream:
            return await _streamed(told, teller, request_id_of(request.scope))
        await (_begin if asked.background else _finish)(told, teller)
        return json_response(teller.response, x_run_id=teller.run_id)

    async def placed(request: Request, tenant: str, asked: ResponsesRequest, extras: Extras) -> _Place:
        """Say on which thread a response is given, and behind what."""
        thread = asked.conversation_id or extras.thread
        if not asked.is_kept:
            if ":" in tenant or thread is not None:
                raise InvalidInputError("store: what is said on a thread is kept; leave 'store' out", param="store")
            return _Place(extras=extras)
        if asked.previous_response_id is not None:
            previous = await kept.find(request, tenant, asked.previous_response_id)
            if thread not in {None, previous.thread}:
                raise InvalidInputError("the previous response is of another thread", param="previous_response_id")
            extras = replace(extras, thread=previous.thread, user=extras.user or previous.user)
            # An answer to what a thread waits for is for where it stands.
            return _Place(extras=extras, checkpoint=None if asked.resume is not None else await kept.end_of(previous))
        if thread is None and ":" not in tenant:
            thread = own_threads.name(tenant, asked, extras)
        return _Place(extras=replace(extras, thread=thread))

    async def retrieve(request: Request, tenant: str | None, response_id: str) -> Response:
        if request.query_params.get("stream", "false") != "false":
            raise InvalidInputError("stream: a response is retrieved whole; leave 'stream' out", param="stream")
        found = await kept.find(request, await tenant_of(request, tenant), response_id)
        return json_response(await kept.retrieved(found))

    async def delete(request: Request, tenant: str | None, response_id: str) -> Response:
        await kept.delete(await kept.find(request, await tenant_of(request, tenant), response_id))
        return json_response({"id": response_id, "object": "response", "deleted": True})

    async def cancel(request: Request, tenant: str | None, response_id: str) -> Response:
        tenant = await tenant_of(request, tenant)
        found = await kept.find(request, tenant, response_id)
        if found.run.status not in {"queued", "running"}:
            raise InvalidInputError("Cannot cancel a response that has ended.", param="response_id")
        await api.app.runs.cancel(found.run.run_id, tenant=tenant)
        with suppress(Exception):  # how it ended is told by what is noted of it
            await api.app.runs.join(found.run.run_id, tenant=tenant)
        return json_response(await kept.retrieved(await kept.find(request, tenant, response_id)))

    async def input_items(
        request: Request, tenant: str | None, response_id: str, limit: int, order: str, after: str | None
    ) -> Response:
        if not 1 <= limit <= _MOST_LISTED:
            raise InvalidInputError(f"limit must be 1 to {_MOST_LISTED}", param="limit")
        items = await kept.input_items(await kept.find(request, await tenant_of(request, tenant), response_id))
        items = items if order == "asc" else items[::-1]
        ids = [item["id"] for item in items]
        if after is not None and after not in ids:
            raise InvalidInputError("after is no item of this response", param="after")
        start = 0 if after is None else ids.index(after) + 1
        page = items[start : start + limit]
        return json_response(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": start + limit < len(items),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a response is given: for whom and on which thread, and behind which checkpoint."""

    extras: Extras
    checkpoint: str | None = None


class _OwnThreads:
    """Names threads that begin with a response: a request that is sent again must find the one it began.

    With an idempotency key the name follows from it. Without one, what this process was asked of late is known.

    Args:
        window_s: How long a request can be known again.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._begun: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def name(self, tenant: str, asked: ResponsesRequest, extras: Extras) -> str:
        """Return the name of a request's thread."""
        if extras.idempotency_key is not None:
            return OWN_THREAD + _digest(tenant, extras.user, extras.idempotency_key)[:32]
        request = _digest(tenant, extras.user, asked.model_dump_json())
        begun = self._begun.get(request)
        if extras.is_retry and begun is not None and time.monotonic() - begun[0] <= self._window_s:
            return begun[1]
        thread = OWN_THREAD + uuid4().hex
        self._begun[request] = (time.monotonic(), thread)
        self._begun.move_to_end(request)
        while len(self._begun) > _MOST_REMEMBERED:
            self._begun.popitem(last=False)
        return thread


def _digest(*parts: str | None) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()


def _with_echo(wanted: RunRequest, echo: dict[str, Any]) -> RunRequest:
    """Return the request with what its response will repeat of it, kept where its words are."""
    if not wanted.messages:
        return wanted
    *others, last = wanted.messages
    marked = last.model_copy(
        update={"additional_kwargs": {**last.additional_kwargs, KEPT: checked(echo, param="the request")}}
    )
    return replace(wanted, messages=(*others, marked))


async def _streamed(told: Told, teller: ResponseTeller, request_id: str) -> Response:
    async def frames() -> AsyncGenerator[bytes, None]:
        async with aclosing(told):
            async for _, event in told:
                if isinstance(event, RunFailed):
                    raise event.error
                if frame := teller.encode(event):
                    yield frame

    def failed(error: Exception) -> bytes:
        fault = fault_of(error, request_id=request_id)
        return teller.failed(fault.code, fault.message)

    stream = await EventStream.begun(frames(), told=failed)
    stream.headers["x-run-id"] = teller.run_id
    return stream


async def _finish(told: Told, teller: ResponseTeller) -> None:
    async with aclosing(told):
        async for _, event in told:
            if isinstance(event, RunFailed):
                raise event.error
            teller.encode(event)


async def _begin(told: Told, teller: ResponseTeller) -> None:
    """Wait until the run is accepted; it goes on by itself."""
    async with aclosing(told):
        async for _, event in told:
            if isinstance(event, RunFailed):
                raise event.error
            teller.encode(event)
            if isinstance(event, RunStarted):
                return
