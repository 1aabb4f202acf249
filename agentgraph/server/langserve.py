"""LangServe's routes: `/agent` answers with messages, `/agent/chat` with text, each with its playground.

Agents that are created at run time have the same below their own paths.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from langserve import APIHandler, add_routes
from sse_starlette import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError
from agentgraph.run import OnDisconnect
from agentgraph.scope import Scope
from agentgraph.server.agent_runnable import (
    CARRIED_BY,
    CONFIGURABLE,
    AgentRunnable,
    ChatAnswerRunnable,
    Dressing,
    request_of,
)
from agentgraph.server.auth import authorize, caller_of
from agentgraph.server.chat import PROBLEMS
from agentgraph.server.departure import ClientLeftError, unless_left
from agentgraph.server.errors import fault_of
from agentgraph.server.gate import error_response, request_id_of

__all__ = ["add_agent_langserve", "langserve_router"]

_MOST_HANDLERS: Final = 256
_LINE_BREAKS: Final = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"})


def langserve_router(app: AgentGraph) -> APIRouter:
    """Return the routes below `/agent`. Include them without a prefix: the playgrounds must know their own address."""
    router = APIRouter(route_class=_route(app.settings.on_disconnect))
    options: dict[str, Any] = {"per_req_config_modifier": _checks(app), "disabled_endpoints": ["token_feedback"]}
    # The chat playground cannot show a message, only text.
    add_routes(router, ChatAnswerRunnable(app), path="/agent/chat", playground_type="chat", **options)
    add_routes(router, AgentRunnable(app), path="/agent", **options)
    for route in router.routes:
        if isinstance(route, APIRoute) and "{config_hash}" in route.path:
            route.include_in_schema = False  # what the playgrounds' shared links call; the same again to people
    # What LangServe would do at the start is print a banner.
    router.on_startup.clear()
    return router


def add_agent_langserve(router: APIRouter, app: AgentGraph, path: str, dressing: Dressing) -> None:
    """Add LangServe's routes for agents that come and go.

    Args:
        router: To add them to.
        app: Answers.
        path: Of an agent, with `{agent_name}` within it.
        dressing: Gives a request what the agent of its path brings.
    """
    runnable, checks = AgentRunnable(app, dressing=dressing), _checks(app, dressing)

    @lru_cache(maxsize=_MOST_HANDLERS)
    def handler(name: str) -> APIHandler:
        # One for each name: the playground must know its own address.
        return APIHandler(runnable, path=path.replace("{agent_name}", name), per_req_config_modifier=checks)

    def add(method: str, below: str, endpoint: Callable[..., Coroutine[Any, Any, Any]], **options: Any) -> None:
        router.add_api_route(
            f"{path}/{below}",
            endpoint,
            methods=[method],
            response_class=Response,
            route_class_override=_route(app.settings.on_disconnect),
            **options,
        )

    def add_call(name: str, description: str, **example: Any) -> None:
        async def call(request: Request, agent_name: str) -> Any:
            Scope(tenant="default", agent=agent_name)
            served = handler(agent_name)
            # The one that LangServe calls otherwise than its route.
            return await (served.astream_events if name == "stream_events" else getattr(served, name))(request)

        call.__name__, call.__doc__ = f"{name}_agent", description
        body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}, "example": example}}}
        add("POST", name, call, openapi_extra={"requestBody": body}, responses=PROBLEMS)

    def add_schema(name: str, description: str) -> None:
        async def schema(request: Request, agent_name: str) -> Any:
            Scope(tenant="default", agent=agent_name)
            told = await getattr(handler(agent_name), name)(request)
            return Response(json.dumps(told), media_type="application/json")

        schema.__name__, schema.__doc__ = f"agent_{name}", description
        add("GET", name, schema, responses=PROBLEMS)

    config = {"configurable": {"thread": "t1"}}
    add_call("invoke", "Run the agent once.", input={"messages": [["human", "Hello"]]}, config=config)
    add_call("batch", "Run it for each of several inputs.", inputs=[{"messages": [["human", "Hello"]]}])
    add_call("stream", "Run it and stream its answer.", input={"messages": [["human", "Hello"]]}, config=config)
    add_call("stream_events", "Run it and stream LangChain's events.", input={"messages": [["human", "Hello"]]})
    add_schema("input_schema", "Describe the input.")
    add_schema("output_schema", "Describe the output.")
    add_schema("config_schema", "Describe the config.")

    async def playground(request: Request, agent_name: str, file_path: str) -> Any:
        """Try the agent in a browser."""
        Scope(tenant="default", agent=agent_name)
        return await handler(agent_name).playground(file_path, request)

    add("GET", "playground/{file_path:path}", playground, include_in_schema=False)


def _checks(
    app: AgentGraph, dressing: Dressing | None = None
) -> Callable[[dict[str, Any], Request], Awaitable[dict[str, Any]]]:
    """Return what LangServe calls with each request's config before it runs anything."""

    async def checked(config: dict[str, Any], request: Request) -> dict[str, Any]:
        """Refuse what would fail within the run, while there still is a status to say so."""
        await _refuse_what_would_be_dropped(request)
        configurable = dict(config.get("configurable") or {})
        asked = request_of("?", configurable)
        tenant = configurable.get("tenant") or caller_of(request).tenant or asked.scope.tenant
        scope = await authorize(request, tenant, user=asked.scope.user, thread=asked.scope.thread)
        if dressing is not None:
            asked = await dressing(request, replace(asked, scope=scope))
        if asked.model is not None:
            await app.open_model(asked.model)
        return {
            **config,
            "configurable": {**configurable, "tenant": tenant, "user": scope.user or "", CARRIED_BY: request},
        }

    return checked


def _route(on_disconnect: OnDisconnect) -> type[APIRoute]:
    """Return the class of routes that know what becomes of a run whose client leaves, where it does not say."""

    class Route(APIRoute):
        """Mends what LangServe makes of bad input and of failures: the first was a 500, the second lost its reason."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def mended(request: Request) -> Response:
                try:
                    ends_with_client = False
                    if request.method == "POST":
                        body = _read_json(await request.body())
                        ends_with_client = (_on_disconnect(body) or on_disconnect) == "cancel"
                    if ends_with_client:  # streams look after it themselves, once they are sent
                        response = await unless_left(handle(request), request.receive)
                    else:
                        response = await handle(request)
                except ClientLeftError:
                    return Response(status_code=499)
                except Exception as error:  # noqa: BLE001  the outermost place of a request
                    return error_response(request.scope, error)
                if isinstance(response, EventSourceResponse):
                    return _ClosedAfterwards(response, request_id_of(request.scope))
                return response

            return mended

    return Route


class _ClosedAfterwards(Response):
    """A stream whose events are closed once it is sent or its client is gone; else they are when memory is tidied up.

    A run that is to end with its client learns from this that there is none.
    """

    def __init__(self, stream: EventSourceResponse, request_id: str) -> None:
        super().__init__(status_code=stream.status_code)
        self.raw_headers = stream.raw_headers
        self._stream = stream
        self._told: Any = stream.body_iterator
        # Else it is cut off as soon as the process is signalled, or for ever after any server in it was; ours ends
        # streams when their runs have ended, or time is up.
        stream._listen_for_exit_signal = asyncio.Event().wait  # type: ignore[assignment]  # noqa: SLF001
        stream.body_iterator = self._events = _with_reasons(self._told, request_id)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await self._stream(scope, receive, send)
        finally:
            await self._events.aclose()
            await self._told.aclose()


async def _with_reasons(events: Any, request_id: str) -> AsyncGenerator[Any, None]:
    """Replace the "500" that LangServe tells of any failure by what failed; it raises right after telling.

    What Unicode takes for the end of a line is escaped: LangServe's own client does so, too, which the format does not.
    """
    async for event in events:
        if not isinstance(event, dict):
            yield event
            continue
        if event.get("event") != "error":
            data = event.get("data")
            yield {**event, "data": data.translate(_LINE_BREAKS)} if isinstance(data, str) else event
            continue
        try:
            await anext(events)
        except Exception as error:  # noqa: BLE001  told to the client, and logged where it is our fault
            fault = fault_of(error, request_id=request_id)
            told = {"status_code": fault.status, "message": fault.message, "code": fault.code}
            yield {"event": "error", "data": json.dumps(told)}
        return


def _read_json(body: bytes) -> Any:
    try:
        # The same reader that LangServe uses, which catches only some of what it raises.
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("the body is not valid JSON", code="invalid_json") from error


def _configurables(body: Any) -> list[dict[str, Any]]:
    """Return the `configurable` of a call, or of each of a batch."""
    given = body.get("config") if isinstance(body, dict) else None
    configs = given if isinstance(given, list) else [given]
    each = [config.get("configurable") for config in configs if isinstance(config, dict)]
    return [configurable for configurable in each if isinstance(configurable, dict)]


def _on_disconnect(body: Any) -> Any:
    """Return what a call asks for in case its client leaves; of a batch, which leaves as one, what the first asks."""
    return next((chosen for each in _configurables(body) if (chosen := each.get("on_disconnect"))), None)


async def _refuse_what_would_be_dropped(request: Request) -> None:
    """Refuse unknown keys of `configurable`, which LangServe drops: a mistyped thread would become a one-off run."""
    body = await request.json()
    if isinstance(body, dict) and isinstance(body.get("inputs"), str):
        raise InvalidInputError("inputs must be a list; LangServe would take a string's letters", param="inputs")
    for configurable in _configurables(body):
        # LangChain's own clients add keys of theirs, which begin with underscores or name a checkpoint.
        unknown = [key for key in configurable if key not in CONFIGURABLE and not key.startswith(("__", "checkpoint"))]
        if unknown:
            raise InvalidInputError(
                f"config.configurable has the unknown key {unknown[0]!r}; known are {', '.join(CONFIGURABLE)}",
                param="config.configurable",
            )
