"""One server's connection: opened, watched, and opened again after a while whenever it breaks.

Everything a server can do wrong ends here as a sentence: hang, flood, die, redirect, answer with what is no MCP. Each
wait is bounded, and whatever breaks, breaks this connection alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeVar

import anyio
import httpx
from mcp import ClientSession, McpError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import (
    METHOD_NOT_FOUND,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ClientRequest,
    EmptyResult,
    ErrorData,
    Implementation,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    PingRequest,
    Tool,
)
from pydantic import BaseModel, ValidationError
from websockets.exceptions import InvalidHandshake, InvalidStatus

from agentgraph.errors import AgentGraphError, ToolError, ToolTimeoutError
from agentgraph.outbound import OutboundPolicy
from agentgraph.tools.failure import leaves_of
from agentgraph.tools.mcp.definition import ServerDefinition
from agentgraph.tools.mcp.limits import Meter, MeteredTransport
from agentgraph.tools.mcp.listing import visible
from agentgraph.tools.mcp.stdio import stdio_streams
from agentgraph.tools.mcp.streams import Incoming, Outgoing, StreamPair, carried
from agentgraph.tools.mcp.websocket import websocket_streams

__all__ = ["Connection", "ConnectionLimits"]

logger = logging.getLogger(__name__)
# The SDK logs what it cannot read in full, and a server's words are not for logs.
for _name in ("mcp.client.streamable_http", "mcp.client.sse"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)
_MOST_TOOLS: Final = 1_000
_MOST_PAGES: Final = 100
_AT_ONCE: Final = 16  # calls
_PING_EVERY_S: Final = 30.0
_SILENT_S: Final = 300.0  # an event stream; pings find out what is dead before that
_RELIST_EVERY_S: Final = 1.0
_SHORTEST_PAUSE_S: Final = 0.2  # whoever wants to call cannot make it shorter
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_STEADY_S: Final = 30.0  # lived so long, a connection begins anew with short pauses
_WAIT_FOR_IT_S: Final = 2.0
_ENDING_S: Final = 6.0
_CLIENT: Final = Implementation(name="agentgraph", version="1")
_WHY_S: Final = 0.5  # until it is known why a connection closed
_LONGEST_SAID: Final = 300
_CLOSED: Final = "Connection closed"  # the SDK's word for it
# What a server may ask or tell; the rest is dropped unread.
_ASKED: Final = "ping"
_TOLD: Final = "notifications/tools/list_changed"


class ConnectionLimits:
    """What every connection of a deployment is held to.

    Attributes:
        connect_timeout_s: Seconds to connect and to list the tools.
        call_timeout_s: Seconds a call may take, where its server has no time of its own.
        max_message_bytes: The largest message.
    """

    def __init__(self, *, connect_timeout_s: float, call_timeout_s: float, max_message_bytes: int) -> None:
        self.connect_timeout_s = connect_timeout_s
        self.call_timeout_s = call_timeout_s
        self.max_message_bytes = max_message_bytes


class Connection:
    """Keeps one server connected. Everything of it is of one event loop.

    Args:
        definition: The server.
        policy: Where it may be.
        limits: What it is held to.
        on_listed: Given the server's tools whenever they were listed.
    """

    def __init__(
        self,
        definition: ServerDefinition,
        *,
        policy: OutboundPolicy,
        limits: ConnectionLimits,
        on_listed: Callable[[Sequence[Tool]], None],
    ) -> None:
        self.definition = definition
        self.fault: str | None = None
        self._policy = policy
        self._limits = limits
        self._on_listed = on_listed
        self._session: ClientSession | None = None
        self._lost: asyncio.Future[None] | None = None
        self._attempted = asyncio.Event()
        self._connected = asyncio.Event()
        self._hurry = asyncio.Event()
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> Literal["connecting", "connected", "lost"]:
        """Whether it can be called just now."""
        if self._session is not None:
            return "connected"
        return "lost" if self._attempted.is_set() else "connecting"

    def start(self) -> None:
        """Begin to connect, in the background and for as long as it takes."""
        self._task = asyncio.create_task(self._keep(), name=f"mcp-{self.definition.name}")

    async def attempted(self) -> None:
        """Wait until the first attempt has ended.

        Raises:
            ToolError: It failed; the message says why. The next one comes by itself.
        """
        await self._attempted.wait()
        if self._session is None:
            raise self._unavailable()

    async def close(self) -> None:
        """End the connection, in bounded time whatever the server does."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_ENDING_S)

    async def call(self, tool: str, arguments: dict[str, Any], *, timeout_s: float | None = None) -> CallToolResult:
        """Call a tool by the server's own name for it.

        Raises:
            ToolTimeoutError: There was no answer in time.
            ToolError: The server is not there, went away, refused the call or answered with what is no answer.
        """
        seconds = timeout_s or self.definition.timeout_s or self._limits.call_timeout_s
        try:
            async with asyncio.timeout(seconds), self._slots:
                await self._is_there()
                # Not the session's own `call_tool`: it matches results against the server's regular expressions,
                # which may take for ever and can be interrupted by nothing.
                return await self._ask(
                    CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments)), CallToolResult
                )
        except TimeoutError as error:
            raise ToolTimeoutError(
                f"the MCP server {self.definition.name!r} did not answer within {seconds:g} seconds"
            ) from error

    async def _is_there(self) -> None:
        """Wait a moment for a connection that broke: most come back at once."""
        if self._session is None:
            self._hurry.set()
            try:
                await asyncio.wait_for(self._connected.wait(), _WAIT_FOR_IT_S)
            except TimeoutError:
                raise self._unavailable() from None

    async def _ask(self, request: Any, kind: type[R]) -> R:
        """Send a request, and return its answer or why there will be none."""
        session, lost = self._session, self._lost
        if session is None or lost is None:
            raise self._unavailable()
        asking = asyncio.create_task(session.send_request(ClientRequest(request), kind))
        try:
            await _first_of(asking, lost)
            if not asking.done():
                raise self._gone()
            return asking.result()
        except McpError as error:
            if error.error.message == _CLOSED:
                await asyncio.wait({lost}, timeout=_WHY_S)
                raise self._gone() from error
            said = " ".join(visible(error.error.message[:_LONGEST_SAID]).split())
            raise ToolError(
                f"the MCP server {self.definition.name!r} refused the call: {said}", code="mcp_refused"
            ) from error
        except (ValidationError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            if not isinstance(error, ValidationError):
                raise self._gone() from error
            raise ToolError(
                f"the MCP server {self.definition.name!r} answered with what is no answer", code="mcp_bad_answer"
            ) from error
        finally:
            asking.cancel()

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001  the outermost loop: whatever a stranger's server does ends here
                self.fault = _in_words(error)
                logger.warning("the MCP server %r is not connected: %s", self.definition.name, self.fault)
            finally:
                self._session = None
                self._connected.clear()
                self._attempted.set()
            if time.monotonic() - began > _STEADY_S:
                pause = _FIRST_PAUSE_S
            await asyncio.sleep(_SHORTEST_PAUSE_S)
            await self._rest(pause * random.uniform(0.5, 1.5))  # noqa: S311  not all clients of a server at once
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _rest(self, seconds: float) -> None:
        self._hurry.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _live(self) -> None:
        """Connect, list the tools, and stay until the connection breaks.

        Raises:
            Exception: It broke, by this.
        """
        lost = self._lost = asyncio.get_running_loop().create_future()
        lost.add_done_callback(lambda done: done.cancelled() or done.exception())

        def break_off(error: Exception) -> None:
            if not lost.done():
                lost.set_exception(error)

        try:
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(self._limits.connect_timeout_s):
                        session = await self._opened(stack, break_off)
                        tools = await _unless(lost, self._listed(session))
                except TimeoutError as error:
                    raise ToolTimeoutError(
                        f"it did not connect and list its tools within {self._limits.connect_timeout_s:g} seconds"
                    ) from error
                self._on_listed(tools)
                self._session, self.fault = session, None
                self._connected.set()
                self._attempted.set()
                await self._watch(session, lost)
        except Exception as error:  # noqa: BLE001  raised again, as what broke first
            break_off(ToolError(_in_words(error), code="mcp_gone"))
            await lost
        finally:
            self._session = None
            break_off(ToolError("it was disconnected", code="mcp_gone"))

    async def _watch(self, session: ClientSession, lost: asyncio.Future[None]) -> None:
        """Stay: look whether the server lives, and list its tools anew where it says that they changed."""
        while True:
            news = asyncio.create_task(self._news.wait())
            try:
                await _first_of(lost, news, timeout_s=_PING_EVERY_S)
            finally:
                news.cancel()
            if lost.done():
                await lost
            async with asyncio.timeout(self._limits.connect_timeout_s):
                if self._news.is_set():
                    self._news.clear()
                    self._on_listed(await _unless(lost, self._listed(session)))
                else:
                    await _unless(lost, session.send_request(ClientRequest(PingRequest()), EmptyResult))
            await asyncio.sleep(_RELIST_EVERY_S if self._news.is_set() else 0)

    async def _listed(self, session: ClientSession) -> list[Tool]:
        tools: list[Tool] = []
        turned: set[str] = set()
        cursor: str | None = None
        while True:
            request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor) if cursor is not None else None)
            page = await session.send_request(ClientRequest(request), ListToolsResult)
            tools += page.tools
            if len(tools) > _MOST_TOOLS:
                raise ToolError(f"it lists more than {_MOST_TOOLS:,} tools", code="mcp_too_many_tools")
            if not (cursor := page.nextCursor):
                return tools
            if cursor in turned or len(turned) >= _MOST_PAGES:
                raise ToolError("its list of tools has no end", code="mcp_too_many_tools")
            turned.add(cursor)

    async def _opened(self, stack: AsyncExitStack, break_off: Callable[[Exception], None]) -> ClientSession:
        meter = Meter(self._limits.max_message_bytes, break_off)
        streams = await stack.enter_async_context(self._transport(meter))
        filtered = await stack.enter_async_context(self._filtered(streams, meter, break_off))
        session = await stack.enter_async_context(ClientSession(*filtered, client_info=_CLIENT))
        assert self._lost is not None  # noqa: S101
        await _unless(self._lost, session.initialize())
        return session

    @asynccontextmanager
    async def _transport(self, meter: Meter) -> AsyncGenerator[StreamPair, None]:
        definition = self.definition
        if definition.protocol == "stdio":
            async with stdio_streams(definition, meter=meter) as streams:
                yield streams
            return
        assert definition.url is not None  # noqa: S101
        if definition.protocol == "websocket":
            async with websocket_streams(
                definition.url, api_key=definition.api_key, policy=self._policy, meter=meter
            ) as streams:
                yield streams
            return
        url = self._policy.check(definition.url).url
        if definition.protocol == "sse":

            def client(  # what it would be given, it has already
                headers: dict[str, str] | None = None,  # noqa: ARG001
                timeout: httpx.Timeout | None = None,  # noqa: ARG001
                auth: httpx.Auth | None = None,  # noqa: ARG001
            ) -> httpx.AsyncClient:
                return self._http_client(meter)

            async with sse_client(url, httpx_client_factory=client) as streams:
                yield streams
        else:
            async with (
                self._http_client(meter) as http,
                streamable_http_client(url, http_client=http) as (incoming, outgoing, _),
            ):
                yield incoming, outgoing

    def _http_client(self, meter: Meter) -> httpx.AsyncClient:
        limits, key = self._limits, self.definition.api_key
        headers = {"Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        answer_timeout_s = 1 + max(limits.connect_timeout_s, self.definition.timeout_s or limits.call_timeout_s)
        return httpx.AsyncClient(
            transport=MeteredTransport(self._policy.transport(), meter, answer_timeout_s=answer_timeout_s),
            headers=headers,
            timeout=httpx.Timeout(limits.connect_timeout_s, read=_SILENT_S),
            trust_env=False,
        )

    @asynccontextmanager
    async def _filtered(
        self, streams: StreamPair, meter: Meter, break_off: Callable[[Exception], None]
    ) -> AsyncGenerator[StreamPair, None]:
        """Stand between transport and session: hand on answers, and notice when there will be none."""
        arriving, leaving = streams

        async def receive(incoming: Incoming) -> None:
            async for message in arriving:
                if isinstance(message, Exception):
                    break_off(ToolError(_in_words(message), code="mcp_gone"))
                    return
                match message.message.root:
                    case JSONRPCNotification(method=method):
                        meter.count(messages=1)
                        if method == _TOLD:
                            self._news.set()
                    case JSONRPCRequest(method=method, id=request_id) if method != _ASKED:
                        meter.count(messages=1)
                        refusal = ErrorData(code=METHOD_NOT_FOUND, message="this client offers nothing")
                        answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=refusal)
                        await leaving.send(SessionMessage(JSONRPCMessage(answer)))
                    case _:
                        await incoming.send(message)
            break_off(ToolError("it closed the connection", code="mcp_gone"))

        async def send(outgoing: Outgoing) -> None:
            async for message in outgoing:
                await leaving.send(message)

        async with arriving, leaving, carried(receive, send) as filtered:
            yield filtered

    def _gone(self) -> ToolError:
        reason = self._lost.exception() if self._lost is not None and self._lost.done() else None
        why = "it closed the connection" if reason is None else _in_words(reason)
        code = reason.code if isinstance(reason, AgentGraphError) else "mcp_gone"
        return ToolError(
            f"the MCP server {self.definition.name!r} went away: {why}", code=code, is_retryable=code == "mcp_gone"
        )

    def _unavailable(self) -> ToolError:
        why = f": {self.fault}" if self.fault else ""
        return ToolError(
            f"the MCP server {self.definition.name!r} cannot be reached{why}", code="mcp_unavailable", is_retryable=True
        )


async def _unless(lost: asyncio.Future[None], work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, unless the connection breaks first.

    Raises:
        Exception: It broke, by this.
    """
    task = asyncio.create_task(work)
    try:
        await _first_of(task, lost)
        if lost.done():
            await lost
        return task.result()
    finally:
        task.cancel()


async def _first_of(*futures: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


def _in_words(error: BaseException) -> str:
    """Say what a server did, in words of ours: its own may hold anything."""
    match _first(error):
        case AgentGraphError(message=message):
            return message
        case httpx.HTTPStatusError(response=response):
            return _status_in_words(response.status_code)
        case InvalidStatus(response=handshake):
            return _status_in_words(handshake.status_code)
        case ValidationError():
            return "it sent what is no MCP message"
        case InvalidHandshake() | ValueError():
            return "it does not speak the protocol it is registered with"
        case McpError(error=said):
            return "it closed the connection" if said.message == _CLOSED else "it refused to begin"
        case httpx.TimeoutException() | TimeoutError():
            return "it did not answer in time"
        case FileNotFoundError() | PermissionError():
            return "its program cannot be started"
        case httpx.TransportError() | OSError() as fault:
            return f"the connection failed ({type(fault).__name__})"
        case other:
            return f"the connection failed ({type(other).__name__})"


def _status_in_words(status: int) -> str:
    if 300 <= status < 400:
        return f"it redirects elsewhere, and that is not followed (HTTP {status})"
    if status in {401, 403}:
        return f"it wants another key (HTTP {status})"
    return f"it answered with HTTP {status}"


def _first(error: BaseException) -> BaseException:
    """Return what went wrong within a group of errors; what we found out ourselves says most."""
    leaves = list(leaves_of(error))
    return next((leaf for leaf in leaves if isinstance(leaf, AgentGraphError)), leaves[0])
