"""`/chat`: one message in, the agent's answer out, whole or as it comes; the conversation is kept.

Who names no thread talks on the conversation of its client: the key, the agent, the user, and the installation or
address it calls from. A program that speaks for many people names their threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any, Final, TypeAlias

import orjson
from fastapi import APIRouter, Body, Header, Path, Request
from pydantic import ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked
from agentgraph.run import OnBusy, OnDisconnect, RunRequest, RunResult
from agentgraph.scope import Scope
from agentgraph.server import turns
from agentgraph.server.auth import authorize, caller_of
from agentgraph.server.client import ClientFields, client_of
from agentgraph.server.departure import ClientLeftError, unless_left
from agentgraph.server.event_log import EventLogs, read_event_id
from agentgraph.server.sse import LogStream, told_again
from agentgraph.streaming.agent_events import chat_answer, dumps

__all__ = ["PROBLEMS", "ChatRequest", "Dress", "DressedFor", "add_chat_routes", "run_request"]

Dress: TypeAlias = Callable[[RunRequest], Awaitable[RunRequest]]
"""Gives a request what a named agent brings: instructions, model, tools."""

DressedFor: TypeAlias = Callable[[HTTPConnection], tuple[str, Dress]]
"""Names the agent of a request, and what it brings."""

_CLIENT_LEFT: Final = 499
_PROBLEM: Final[dict[str, Any]] = {"content": {"application/problem+json": {}}}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "A value that cannot be honoured.", **_PROBLEM},
    401: {"description": "No key, or none that is good.", **_PROBLEM},
    403: {"description": "The key may not do this.", **_PROBLEM},
    404: {"description": "No such tenant, agent, model or run; or none of the caller's.", **_PROBLEM},
    409: {"description": "The thread is busy, or the run was cancelled.", **_PROBLEM},
    413: {"description": "The body is too large.", **_PROBLEM},
    422: {"description": "The body is no such request.", **_PROBLEM},
    429: {"description": "Too much in too short a time, or a budget is used up.", **_PROBLEM},
    500: {"description": "The run failed.", **_PROBLEM},
    502: {"description": "The model provider failed.", **_PROBLEM},
    503: {"description": "The server cannot do this just now.", **_PROBLEM},
    504: {"description": "The model did not answer in time.", **_PROBLEM},
}
"""What any of the routes may answer besides."""


class ChatRequest(ClientFields):
    """What is said, and how it is to be answered."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"message": "What is 17 * 23?", "parallel_tools": True}]}
    )

    message: str | None = Field(default=None, min_length=1, description="What to say; none where `resume` is given.")
    reset_history: bool = Field(
        default=False, description="Forget the conversation for good first. Memories of it stay."
    )
    parallel_tools: bool = Field(default=True, description="Whether tools may run side by side.")
    tenant: str | None = Field(default=None, description="`tenant` or `tenant:session`; without it the key's.")
    thread: str | None = Field(default=None, description="Without it `session_id`, or the client's own.")
    user: str | None = Field(default=None, description="A person within the tenant; without it `user_id`.")
    timezone: str | None = Field(default=None, description="IANA zone of the speaker, 'Europe/Paris' say.")
    model: str | None = Field(default=None, description="`provider/model`; without it the agent's own.")
    include_memories: bool = Field(default=True, description="Whether memories are recalled and written.")
    on_busy: OnBusy | None = Field(default=None, description="What becomes of a run under way on the thread.")
    on_disconnect: OnDisconnect | None = Field(default=None, description="What becomes of it if the client leaves.")
    idempotency_key: str | None = Field(default=None, description="Your name for this request: sent again, it joins.")
    resume: Any = Field(default=None, description="The answer to what the thread waits for, or one for each by id.")


async def run_request(
    app: AgentGraph, request: HTTPConnection, asked: ChatRequest, *, agent: str = "default", dress: Dress | None = None
) -> RunRequest:
    """Return what is asked of the agent, in a scope the caller may act in; a history that is to go is gone.

    Raises:
        InvalidInputError: Nothing is said, or an id that is none.
        NotFoundError: The tenant, the user or the agent is not the caller's.
    """
    client = client_of(request, asked)
    if (asked.message is None) == (asked.resume is None):
        raise InvalidInputError("send a message, or the answer to an interrupt as 'resume'", param="message")
    if asked.reset_history and asked.idempotency_key is not None:
        raise InvalidInputError(
            "reset_history would forget the run that the key names; send it without", param="reset_history"
        )
    caller = caller_of(request)
    scope = await authorize(
        request, asked.tenant or caller.tenant or "default", user=asked.user or client.user_id, agent=agent
    )
    if scope.session is not None and asked.thread is not None:
        raise InvalidInputError("tenant names a session, and a run is on that or on a thread", param="thread")
    if scope.session is None:
        own = [caller.key_id, client.client_id, scope.user, agent]
        scope = scope.with_thread(asked.thread or client.session_id or f"chat-{_digest(own)}")
    told = RunRequest.of(
        asked.message or [],
        tenant=scope.tenant,
        thread=scope.thread or "session",  # either is replaced by the scope that was granted
        timezone=asked.timezone,
        model=asked.model,
        include_memories=asked.include_memories,
        on_busy=asked.on_busy,
        on_disconnect=asked.on_disconnect,
        idempotency_key=asked.idempotency_key or request.headers.get("idempotency-key"),
        resume=None if asked.resume is None else checked(asked.resume, param="resume"),
        max_parallel_tools=None if asked.parallel_tools else 1,
    )
    told = replace(told, scope=scope)
    if dress is not None:
        told = await dress(told)
    if asked.reset_history:
        await _reset(app, request, scope)
    return told


def add_chat_routes(
    router: APIRouter,
    app: AgentGraph,
    logs: EventLogs,
    *,
    prefix: str = "",
    dressed_for: DressedFor | None = None,
) -> None:
    """Add `/chat`, `/chat/stream` and what takes a stream up again.

    Args:
        router: To add them to.
        app: Answers.
        logs: Keep what runs tell.
        prefix: Put before the paths.
        dressed_for: Names the agent of a request and what it brings; `None` for the deployment's own.
    """

    async def read(request: Request, asked: ChatRequest) -> RunRequest:
        agent, dress = ("default", None) if dressed_for is None else dressed_for(request)
        return await run_request(app, request, asked, agent=agent, dress=dress)

    @router.post(f"{prefix}/chat", responses={**PROBLEMS, 200: _ANSWER}, response_class=Response)
    async def chat(request: Request, asked: ChatRequest) -> Response:
        """Say something and wait for the answer."""
        run = await read(request, asked)
        work = turns.run(request, run)
        if (run.on_disconnect or app.settings.on_disconnect) == "cancel":
            try:
                result = await unless_left(work, request.receive)
            except ClientLeftError:
                return Response(status_code=_CLIENT_LEFT)
        else:
            result = await work
        thread = run.scope.session or run.scope.thread
        return Response(
            dumps(_answer(result, thread)), media_type="application/json", headers={"x-run-id": result.run_id}
        )

    @router.post(f"{prefix}/chat/stream", responses={**PROBLEMS, **_STREAM}, response_class=Response)
    async def stream_chat(
        request: Request,
        asked: Annotated[ChatRequest | None, Body()] = None,
        last_event_id: Annotated[str | None, Header(description=_LAST_EVENT_ID)] = None,
    ) -> Response:
        """Say something and see the answer come; with `Last-Event-ID`, see the rest of one that broke off."""
        if last_event_id is not None:
            run_id, after = read_event_id(last_event_id)
            return told_again(request, await logs.find(request, run_id), after)
        if asked is None:
            raise InvalidInputError("send a body with a message", param="message")
        log = await logs.start(request, await read(request, asked))
        await log.first()  # what fails before there is something to tell is an error with a status
        return LogStream(request, log)

    @router.get(f"{prefix}/chat/stream/{{run_id}}", responses={**PROBLEMS, **_STREAM}, response_class=Response)
    async def follow_chat(
        request: Request,
        run_id: Annotated[str, Path(max_length=200)],
        last_event_id: Annotated[str | None, Header(description=_LAST_EVENT_ID)] = None,
    ) -> Response:
        """See what a run tells, from its beginning or from where a stream broke off; for any number of readers.

        A browser's `EventSource` may be pointed here: it takes broken streams up by itself.
        """
        named, after = (run_id, 0) if last_event_id is None else read_event_id(last_event_id)
        if named != run_id:
            raise InvalidInputError("Last-Event-ID is another run's", param="last-event-id")
        return told_again(request, await logs.find(request, run_id), after)


_LAST_EVENT_ID: Final = "The id of the last event that came: what comes after it is told."
_ANSWER: Final[dict[str, Any]] = {
    "description": "The answer.",
    "content": {
        "application/json": {
            "example": {
                "response": "17 * 23 is 391.",
                "tool_runs": [
                    {"id": "call_1", "name": "calculator", "status": "success", "result": "391", "duration_ms": 0.4}
                ],
                "run_id": "run-4f6c…",
                "thread": "chat-9b1d…",
                "status": "completed",
                "finish_reason": "stop",
                "usage": {"input_tokens": 61, "output_tokens": 9, "total_tokens": 70},
                "duration_ms": 812.5,
            }
        }
    },
}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events, each with an id to go on from.",
        "content": {
            "text/event-stream": {
                "example": 'id: run-4f6c…:1\nevent: chat_chunk\ndata: {"event_type":"chat_chunk","content":"17 "}\n\n'
            }
        },
    },
    204: {"description": "Everything has been told."},
}


def _answer(result: RunResult, thread: str | None) -> dict[str, Any]:
    runs = [
        {
            "id": ran.tool_call_id,
            "name": ran.name,
            "status": ran.status,
            "error" if ran.status == "error" else "result": ran.output,
            "duration_ms": round(ran.duration_ms, 3),
        }
        for ran in result.tool_runs
    ]
    return {"response": result.text, "tool_runs": runs, **chat_answer(result, thread=thread)}


async def _reset(app: AgentGraph, request: HTTPConnection, scope: Scope) -> None:
    """Delete a conversation of the caller's."""
    tenant = scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"
    await authorize(request, tenant, user=scope.user, thread=scope.thread)  # another user's is none of theirs
    await app.threads.delete(tenant=tenant, thread=scope.thread)


def _digest(parts: list[Any]) -> str:
    return hashlib.blake2b(orjson.dumps(parts), digest_size=12).hexdigest()
