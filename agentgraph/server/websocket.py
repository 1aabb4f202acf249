"""`/ws`: many messages over one connection, each answered by the events of its run, told apart by the id it came with.

In: `{"type": "chat", "id", "data": {…as POST /chat}}`, `{"type": "cancel", "id"}`, `{"type": "resume", "id", "data":
{"last_event_id"}}`, `{"type": "config", "app", "client_id", …}` and `{"type": "ping"}`. Out: `{"type", "event_type",
"id", "event_id", "run_id", "data"}`, where `type` is `tool_call` for all three events of a tool; `config_success`,
`pong`, `cancelled`, `heartbeat`. Whatever cannot be read is answered by an `error`, and the connection stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError, InvalidInputError, NotFoundError, PermissionDeniedError, RateLimitedError
from agentgraph.server.chat import ChatRequest, Dress, DressedFor, run_request
from agentgraph.server.client import ClientFields, client_of
from agentgraph.server.errors import fault_of
from agentgraph.server.event_log import EventLog, EventLogs, event_id, fault_told, read_event_id
from agentgraph.server.gate import error_response, request_id_of
from agentgraph.server.guard import Guard
from agentgraph.server.sse import HEARTBEAT_S

__all__ = ["WebSocketChat", "add_websocket"]

MOST_IN_FLIGHT: Final = 16
PATIENCE_S: Final = 30.0
_TOO_LARGE: Final = 1009
_TRY_AGAIN: Final = 1013
_GONE: Final = 1006
_SUBPROTOCOL: Final = "agentgraph"
_KINDS: Final = {"tool_call_start": "tool_call", "tool_call_complete": "tool_call", "tool_call_error": "tool_call"}


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Chat(_Wire):
    type: Literal["chat"]
    id: str | None = Field(default=None, min_length=1, max_length=200)
    data: ChatRequest


class _Cancel(_Wire):
    type: Literal["cancel"]
    id: str = Field(min_length=1, max_length=200)


class _Place(_Wire):
    last_event_id: str


class _Resume(_Wire):
    type: Literal["resume"]
    id: str | None = Field(default=None, min_length=1, max_length=200)
    data: _Place


class _Config(ClientFields):
    model_config = ConfigDict(extra="ignore")  # what else a client configures is its own business

    type: Literal["config"]


class _Ping(_Wire):
    type: Literal["ping"]
    id: str | None = Field(default=None, max_length=200)


_FRAME: Final[TypeAdapter[_Chat | _Cancel | _Resume | _Config | _Ping]] = TypeAdapter(
    Annotated[_Chat | _Cancel | _Resume | _Config | _Ping, Field(discriminator="type")]
)


@dataclass(slots=True)
class _Message:
    """A message that is being answered."""

    name: str
    task: asyncio.Task[None] | None = None
    log: EventLog | None = None
    is_cancelled: bool = False


def add_websocket(
    router: APIRouter,
    app: AgentGraph,
    guard: Guard,
    logs: EventLogs,
    *,
    path: str = "/ws",
    dressed_for: DressedFor | None = None,
) -> None:
    """Add the WebSocket at `path`; `dressed_for` names its agent and what that brings."""

    @router.websocket(path)
    async def chat(websocket: WebSocket) -> None:
        """Carry a conversation, or several."""
        agent, dress = ("default", None) if dressed_for is None else dressed_for(websocket)
        await WebSocketChat(websocket, app, guard, logs, agent=agent, dress=dress).serve()


class WebSocketChat:
    """One connection."""

    def __init__(
        self,
        websocket: WebSocket,
        app: AgentGraph,
        guard: Guard,
        logs: EventLogs,
        *,
        agent: str = "default",
        dress: Dress | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._websocket = websocket
        self._app = app
        self._guard = guard
        self._logs = logs
        self._agent = agent
        self._dress = dress
        self._heartbeat_s = heartbeat_s
        self._patience_s = patience_s
        self._longest = int(app.settings.max_body_mb * 1_000_000)
        self._told = ClientFields()
        self._messages: dict[str, _Message] = {}
        self._count = 0
        self._sending = asyncio.Lock()
        self._has_sent = asyncio.Event()
        self._beginning = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Let the client in, and answer it until it leaves; its runs go on unless they were to end with it."""
        try:
            await self._admit(self._websocket)
        except AgentGraphError as error:
            await self._websocket.send_denial_response(error_response(self._websocket.scope, error))
            return
        offered = self._websocket.scope.get("subprotocols", [])
        await self._websocket.accept(subprotocol=_SUBPROTOCOL if _SUBPROTOCOL in offered else None)
        self._spawn(self._beat())
        try:
            await self._listen()
        except WebSocketDisconnect:
            pass
        finally:
            for task in set(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(set(self._tasks))

    async def _listen(self) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text")
            size = len(text if text is not None else received.get("bytes") or b"")
            if size > self._longest:
                await self._websocket.close(_TOO_LARGE, "the frame is too large")
                return
            await self._take(text)

    async def _take(self, text: str | None) -> None:
        name = None
        try:
            frame, name = _read(text)
            match frame:
                case _Chat():
                    self._begin(frame.id, self._chat, frame.data)
                case _Resume():
                    self._begin(frame.id, self._resume, frame.data)
                case _Cancel():
                    await self._cancel(frame.id)
                case _Config():
                    await self._configure(frame)
                case _Ping():
                    await self._send({"type": "pong", "id": frame.id})
        except WebSocketDisconnect:
            raise
        except Exception as error:  # noqa: BLE001  told to the client, and the connection stays
            await self._fail(name, error)

    # What a client may ask

    def _begin(self, name: str | None, answer: Any, data: BaseModel) -> None:
        self._count += 1
        name = name or f"message-{self._count}"
        if name in self._messages:
            raise InvalidInputError(f"the message {name!r} is being answered; give each an id of its own", param="id")
        if len(self._messages) >= MOST_IN_FLIGHT:
            raise RateLimitedError(
                f"{MOST_IN_FLIGHT} messages are being answered on this connection; wait for one of them",
                what="messages",
                retry_after_s=1,
            )
        message = self._messages[name] = _Message(name)
        message.task = self._spawn(self._answered(message, answer, data))

    async def _answered(self, message: _Message, answer: Any, data: BaseModel) -> None:
        try:
            await answer(message, data)
        except WebSocketDisconnect:
            raise
        except Exception as error:  # noqa: BLE001  told to the client, and the connection stays
            await self._fail(message.name, error)
        finally:
            self._messages.pop(message.name, None)

    async def _chat(self, message: _Message, asked: ChatRequest) -> None:
        request = self._request()
        # Locks are fair, so that runs are accepted in the order their messages came in.
        async with self._beginning:
            await self._admit(request)
            if message.is_cancelled:
                return
            asked = asked.model_copy(update={k: v for k, v in self._told if k not in asked.model_fields_set})
            run = await run_request(self._app, request, asked, agent=self._agent, dress=self._dress)
            message.log = await self._logs.start(request, run)
        await self._stop_where_cancelled(message)
        await self._tell(message, message.log, 0)

    async def _resume(self, message: _Message, place: _Place) -> None:
        request = self._request()
        await self._admit(request)
        run_id, after = read_event_id(place.last_event_id)
        message.log = await self._logs.find(request, run_id)
        await self._tell(message, message.log, after)

    async def _cancel(self, name: str) -> None:
        message = self._messages.get(name)
        if message is None:
            raise NotFoundError(f"no message {name!r} is being answered", code="message_not_found")
        message.is_cancelled = True
        await self._stop_where_cancelled(message)
        await self._send({"type": "cancelled", "id": name})

    async def _configure(self, told: _Config) -> None:
        self._told = ClientFields(**told.model_dump(exclude={"type"}, exclude_none=True))
        client = client_of(self._websocket, self._told)
        acknowledged = {"type": "config_success", "message": "Configuration acknowledged"}
        await self._send({**acknowledged, "client_id": client.client_id, "ip": client.ip})

    # What it is told

    async def _tell(self, message: _Message, log: EventLog, after: int) -> None:
        async with aclosing(log.read(after)) as events:
            async for number, event in events:
                assert event is not None  # noqa: S101  only where a wait was bounded
                head = {
                    "type": _KINDS.get(event.kind, event.kind),
                    "event_type": event.kind,
                    "id": message.name,
                    "event_id": event_id(log.run_id, number),
                    "run_id": log.run_id,
                }
                await self._send_text(orjson.dumps(head)[:-1] + b',"data":' + event.data + b"}")

    async def _fail(self, name: str | None, error: Exception) -> None:
        told = fault_told(fault_of(error, request_id=request_id_of(self._websocket.scope)), self._websocket)
        head = {"type": "error", "event_type": "error", "id": name}
        await self._send_text(orjson.dumps(head)[:-1] + b',"data":' + told.data + b"}")

    async def _beat(self) -> None:
        while True:
            self._has_sent.clear()
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self._has_sent.wait()
            except TimeoutError:
                await self._send({"type": "heartbeat"})

    async def _send(self, told: dict[str, Any]) -> None:
        await self._send_text(orjson.dumps(told))

    async def _send_text(self, text: bytes) -> None:
        """Send a frame once the client has read enough of those before; not to one that does not read at all."""
        try:
            async with asyncio.timeout(self._patience_s), self._sending:
                await self._websocket.send({"type": "websocket.send", "text": text.decode()})
                self._has_sent.set()
        except TimeoutError:
            with suppress(Exception):
                await asyncio.wait_for(self._websocket.close(_TRY_AGAIN, "you do not read"), 1)
            raise WebSocketDisconnect(_TRY_AGAIN) from None
        except RuntimeError as error:  # Starlette's, after a close
            raise WebSocketDisconnect(_GONE) from error

    # The connection

    async def _stop_where_cancelled(self, message: _Message) -> None:
        if message.is_cancelled and (log := message.log) is not None:
            with suppress(NotFoundError):  # it ended this moment
                await self._app.cancel(log.run_id, tenant=log.tenant)

    def _request(self) -> HTTPConnection:
        """Return what stands for one message: its own request to keys, limits and hooks, not the connection's."""
        scope = {name: value for name, value in self._websocket.scope.items() if not name.startswith("agentgraph.")}
        return HTTPConnection({**scope, "state": {}})

    async def _admit(self, request: HTTPConnection) -> None:
        caller = await self._guard.admit(request)
        if caller.key_id is None:
            _refuse_foreign_pages(request, self._app.settings.cors_origins)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def bounded() -> None:
            with suppress(WebSocketDisconnect):  # nobody is there any more
                await work

        task = asyncio.get_running_loop().create_task(bounded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _read(text: str | None) -> tuple[_Chat | _Cancel | _Resume | _Config | _Ping, str | None]:
    """Read a frame; the error, where it is none, says why and never quotes it."""
    if text is None:
        raise InvalidInputError("frames are JSON as text, not binary", code="invalid_frame")
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInputError("the frame is not valid JSON", code="invalid_json") from None
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise InvalidInputError("a frame is an object with a 'type'", param="type", code="invalid_frame")
    name = given.get("id")
    return _FRAME.validate_python(given), name if isinstance(name, str) else None


def _refuse_foreign_pages(request: HTTPConnection, allowed: tuple[str, ...]) -> None:
    """Where no key is asked for, refuse pages of other sites: browsers let any page open a WebSocket to anywhere.

    Raises:
        PermissionDeniedError: The page is another site's.
    """
    origin = request.headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return
    if urlsplit(origin).netloc != request.headers.get("host"):
        raise PermissionDeniedError("pages of other sites may not call a server that has no api keys")
