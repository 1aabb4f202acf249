"""`app.mcp`: connect to MCP servers, see and accept their tools, call them, disconnect.

A server's tools are offered as they were when it was connected to. What it adds or changes later is withheld until it
is accepted: a server that was harmless when somebody looked can change its mind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.tools import BaseTool
from pydantic import SecretStr

from agentgraph._sync import on_its_loop
from agentgraph.errors import (
    AgentGraphError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
)
from agentgraph.outbound import OutboundPolicy
from agentgraph.scope import Scope
from agentgraph.settings import McpServerSettings, Settings
from agentgraph.stores.database.database import Database
from agentgraph.tools.mcp.definition import (
    McpResult,
    McpServer,
    McpTool,
    ServerDefinition,
    checked_name,
)
from agentgraph.tools.mcp.tool import tool_of

if TYPE_CHECKING:
    from mcp.types import Tool

    from agentgraph.tools.mcp.connection import Connection
    from agentgraph.tools.mcp.records import Accepted, Records

__all__ = ["McpServers"]

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 5.0  # whether another process has changed the records
_LONGEST_KEY: Final = 8_192
_MOST_TENANTS: Final = 1_024  # whose tools are kept ready, as in the toolbox
_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "http": ("http", "https"),
    "sse": ("http", "https"),
    "websocket": ("ws", "wss"),
}
Servers = list[McpServer]  # within the class, `list` is a method
Key = tuple[str | None, str]


class McpServers:
    """The MCP servers of an application; see `AgentGraph.mcp`. A source of tools for every run.

    Every call may name a tenant: it then sees the deployment's servers and its own. Without, only the deployment's.

    Raises:
        InvalidInputError: A name, URL or tenant that is none, or that may not be.
        NotFoundError: There is no such server or tool there.
        MissingExtraError: The `mcp` extra is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]],
        clock: Callable[[], datetime],
    ) -> None:
        """Set nothing going yet: `open` does.

        Args:
            settings: What every server is held to, and those of the deployment.
            ready: Opens the application, and returns its loop.
            clock: Tells the present moment.
        """
        self._ready = ready
        self._settings = settings
        self._clock = clock
        self._policy = OutboundPolicy(settings.outbound_allow)
        self._configured = {
            definition.key: definition
            for name, each in settings.mcp_servers.items()
            for definition in [_configured(name, each)]
        }
        self._records: Database
        self._has_records = False
        self._known: Records | None = None
        self._servers: dict[Key, _Server] = {}
        self._offered: dict[str, tuple[BaseTool, ...]] = {}
        self._changing = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()

    def open(self, records: Database, *, has_records: bool) -> None:
        """Begin to connect what is configured and what was registered; waits for nothing.

        Args:
            records: Where registrations are kept. Closed by the caller.
            has_records: Whether there is a database yet: where not, none is made until it is needed.
        """
        self._records = records
        self._has_records = has_records or bool(self._configured)
        self._spawn(self._stay_current())

    async def aclose(self) -> None:
        """End every connection, in bounded time whatever the servers do."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(server.connection.close() for server in self._servers.values()))
        self._servers.clear()
        self._offered.clear()

    # Servers

    @on_its_loop
    async def connect(
        self,
        name: str,
        *,
        url: str,
        protocol: Literal["http", "sse", "websocket"] = "http",
        api_key: str | SecretStr | None = None,
        tenant: str | None = None,
        timeout_s: float | None = None,
        accept_new: bool = False,
        needs_approval: Sequence[str] = (),
        consequential: Sequence[str] = (),
    ) -> McpServer:
        """Connect to a server, and accept its tools as they are now. It is connected to again at every start.

        Args:
            name: Its tools will be called `name__tool`.
            url: Where it is: a public address, or one that `outbound_allow` names.
            protocol: Streamable HTTP, the older HTTP with SSE, or WebSocket.
            api_key: Sent as a bearer token; shown, logged and returned nowhere. Not sent in the clear, except to a
                place that `outbound_allow` names.
            tenant: Whose tools they are; every tenant's where not given.
            timeout_s: Seconds a call may take; by default `tool_call_timeout`.
            accept_new: Offer tools that it adds later without their being accepted. Changed ones are withheld always.
            needs_approval: Its own names of tools that a person must allow each call of.
            consequential: Its own names of tools that need leave once strangers' text has entered a run.

        Raises:
            ToolError: It could not be connected to, and is not kept; the message says why.
        """
        if protocol not in _SCHEMES:
            raise InvalidInputError(
                f"protocol {protocol!r} is not one of {', '.join(_SCHEMES)}; a program is started from the setting "
                "mcp_servers alone",
                param="protocol",
            )
        destination = self._policy.check(url, schemes=_SCHEMES[protocol])
        secret = _checked_key(api_key)
        if secret is not None and destination.scheme in {"http", "ws"} and not self._policy.is_allowed(destination):
            raise InvalidInputError(
                f"an api_key would be sent to {destination.shown!r} in the clear: use https or wss", param="url"
            )
        definition = ServerDefinition(
            name=checked_name(name),
            tenant=None if tenant is None else Scope(tenant=tenant).tenant,
            protocol=protocol,
            url=destination.url,
            api_key=secret,
            timeout_s=_checked_time(timeout_s),
            accept_new=bool(accept_new),
            needs_approval=_checked_names(needs_approval, "needs_approval"),
            consequential=_checked_names(consequential, "consequential"),
        )
        records = await self._opened_records()
        async with self._changing:
            await self._look()
        self._refuse_taken(definition)
        server = await self._new(definition, accepted=None)
        try:
            await server.connection.attempted()  # without the lock: others do not wait for this server
            adding = partial(records.add, definition=definition, accepted=server.accepted or {}, now=self._clock())
            async with self._changing:
                await self._records.write(adding)
                self._servers[definition.key] = server
        except BaseException:
            await server.connection.close()
            raise
        self._offered.clear()
        return server.shown()

    @on_its_loop
    async def list(self, *, tenant: str | None = None) -> Servers:
        """Return the servers there are, by name, and how they are."""
        return [server.shown() for server in self._of(tenant)]

    @on_its_loop
    async def settled(self, *, tenant: str | None = None) -> Servers:
        """Return the servers once each has been connected to, or has failed once: nothing else ever waits for them."""
        async with self._changing:
            await self._look()
        await asyncio.gather(*(server.connection.attempted() for server in self._of(tenant)), return_exceptions=True)
        return [server.shown() for server in self._of(tenant)]

    @on_its_loop
    async def disconnect(self, name: str, *, tenant: str | None = None) -> None:
        """Disconnect a server for good; its tools are gone for runs that begin after.

        Args:
            name: The server's.
            tenant: Whose it is; the deployment's where not given.
        """
        records = await self._opened_records()
        async with self._changing:
            await self._look()
            server = self._server(name, tenant, exactly=True)
            if server.definition.is_configured:
                raise PermissionDeniedError(
                    f"the MCP server {name!r} is of the settings: take it out of mcp_servers", code="mcp_configured"
                )
            await self._records.write(partial(records.remove, definition=server.definition))
            del self._servers[server.definition.key]
            self._offered.clear()
        await server.connection.close()

    # Tools

    @on_its_loop
    async def tools(self, *, tenant: str | None = None, server: str | None = None) -> tuple[McpTool, ...]:
        """Return the tools that servers list, the withheld and the refused ones too; `state` says which is which.

        Args:
            tenant: Whose.
            server: Only this server's.
        """
        servers = self._of(tenant) if server is None else [self._server(server, tenant)]
        return tuple(tool for each in servers for tool in each.tools)

    @on_its_loop
    async def accept(
        self, name: str, tool: str | None = None, *, tenant: str | None = None, fingerprint: str | None = None
    ) -> tuple[McpTool, ...]:
        """Accept tools of a server as they are now, and return them: they are offered from here on.

        Args:
            name: The server's.
            tool: The one tool, as `tools` names it; all that are new or changed where not given.
            tenant: Whose server it is; the deployment's where not given.
            fingerprint: Accept it only if it still is what `tools` showed.

        Raises:
            InvalidInputError: The tool is refused, or has changed since it was looked at.
        """
        records = await self._opened_records()
        async with self._changing:
            server = self._server(name, tenant, exactly=True)
            waiting = [each for each in server.tools if each.state in {"new", "changed"}]
            if tool is not None:
                waiting = [server.tool(tool)]
            for each in waiting:
                if each.state == "refused":
                    raise InvalidInputError(f"the tool {each.name!r} cannot be accepted: {each.reason}", param="tool")
                if fingerprint is not None and each.fingerprint != fingerprint:
                    raise InvalidInputError(
                        f"the tool {each.name!r} has changed since: look again", param="fingerprint", code="mcp_changed"
                    )
            accepted = {**(server.accepted or {}), **{each.remote_name: each.fingerprint for each in waiting}}
            await self._records.write(partial(records.set_accepted, definition=server.definition, accepted=accepted))
            server.accept(accepted)
            self._offered.clear()
        return tuple(server.tool(each.name) for each in waiting)

    @on_its_loop
    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        tenant: str | None = None,
        timeout_s: float | None = None,
    ) -> McpResult:
        """Call a tool and return what it says, even that it failed: a stranger's words, to be treated as such.

        Args:
            name: As `tools` names it: `server__tool`.
            arguments: What to call it with; the server checks them.
            tenant: Who calls.
            timeout_s: Seconds it may take.

        Raises:
            PermissionDeniedError: The tool is new or has changed, and was not accepted; or it is refused.
            ToolTimeoutError: There was no answer in time.
            ToolError: The server is not there, went away, or refused the call.
        """
        server = self._server_of_tool(name, tenant)
        tool = server.tool(name)
        if tool.state != "offered":
            why = tool.reason if tool.state == "refused" else f"it is {tool.state} since its server was accepted"
            raise PermissionDeniedError(f"the tool {name!r} is withheld: {why}", code="mcp_withheld")
        from agentgraph.tools.mcp.results import result_of

        answer = await server.connection.call(
            tool.remote_name, dict(arguments or {}), timeout_s=_checked_time(timeout_s)
        )
        return result_of(answer, longest=self._settings.max_tool_output_chars)

    async def tools_of(self, tenant: str) -> tuple[BaseTool, ...]:
        """Return the tools a tenant's runs are offered; the same tuple while nothing has changed."""
        offered = self._offered.get(tenant)
        if offered is None:
            calling = partial(self.call, tenant=tenant)
            offered = self._offered[tenant] = tuple(
                tool_of(tool, server.definition, calling)
                for server in self._of(tenant)
                for tool in server.tools
                if tool.state == "offered"
            )
            while len(self._offered) > _MOST_TENANTS:
                self._offered.pop(next(iter(self._offered)))
        return offered

    # Below here everything runs on the application's loop.

    async def _stay_current(self) -> None:
        while True:
            try:
                async with self._changing:
                    await self._look()
            except AgentGraphError as error:
                logger.warning("the MCP servers' records cannot be read: %s", error.message)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self) -> None:
        """Connect, and end, what the settings and the records say."""
        if self._has_records:
            records = await self._opened_records()
            generation = None if self._known is None else self._known.generation
            found = await self._records.read(partial(records.read, known=generation))
            if found is not None:
                await self._follow(found)

    async def _follow(self, found: Records) -> None:
        self._known = found
        wanted = {**found.servers, **self._configured}
        for key in [key for key, server in self._servers.items() if wanted.get(key) != server.definition]:
            self._spawn(self._servers.pop(key).connection.close())
        for key, definition in wanted.items():
            place, accepted = found.accepted.get(key, (None, None))
            if place is not None and place != definition.place_digest:
                accepted = {}  # it stands elsewhere: nothing of it was accepted
            if key not in self._servers:
                self._servers[key] = await self._new(definition, accepted=accepted)
            elif accepted is not None:
                self._servers[key].accept(accepted)
        self._offered.clear()

    async def _opened_records(self) -> ModuleType:
        """Return the module of the records' jobs; it and the database are opened on threads, for that takes a while."""
        await self._records.open()
        self._has_records = True
        return await asyncio.to_thread(import_module, "agentgraph.tools.mcp.records")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _new(self, definition: ServerDefinition, *, accepted: Accepted | None) -> _Server:
        try:
            await asyncio.to_thread(import_module, "agentgraph.tools.mcp.connection")
        except ImportError as error:
            if (error.name or "").startswith("agentgraph"):
                raise
            raise MissingExtraError("mcp", needed_for="an MCP server") from error
        from agentgraph.tools.mcp.connection import Connection, ConnectionLimits

        settings = self._settings
        policy = self._policy
        if definition.is_configured and definition.url is not None:  # the deployment's own word
            policy = OutboundPolicy([*settings.outbound_allow, _place_of(definition.url)])
        server = _Server(definition, accepted, self._on_listed)
        server.connection = Connection(
            definition,
            policy=policy,
            limits=ConnectionLimits(
                connect_timeout_s=settings.mcp_connect_timeout,
                call_timeout_s=settings.tool_call_timeout,
                max_message_bytes=int(settings.mcp_max_message_mb * 1_000_000),
            ),
            on_listed=server.listed,
        )
        server.connection.start()
        return server

    def _on_listed(self, server: _Server, *, is_first: bool) -> None:
        if (owner := server.definition.tenant) is None:
            self._offered.clear()
        else:
            self._offered.pop(owner, None)
        if is_first and server.definition.is_configured:
            # What the deployment named in its settings is accepted as it is first seen.
            self._spawn(self._keep_accepted(server))

    async def _keep_accepted(self, server: _Server) -> None:
        records = await self._opened_records()
        job = partial(records.set_accepted, definition=server.definition, accepted=server.accepted or {})
        try:
            await self._records.write(job)
        except AgentGraphError as error:
            logger.warning("what is accepted of %r could not be kept: %s", server.definition.name, error.message)

    def _of(self, tenant: str | None) -> Sequence[_Server]:
        own = None if tenant is None else Scope(tenant=tenant).tenant
        # Where the settings name one that a tenant registered, theirs is the deployment's.
        named: dict[str, _Server] = {}
        for owner in (own, None):
            named |= {name: server for (whose, name), server in self._servers.items() if whose == owner}
        return [named[name] for name in sorted(named)]

    def _server(self, name: str, tenant: str | None, *, exactly: bool = False) -> _Server:
        owner = None if tenant is None else Scope(tenant=tenant).tenant
        for key in [(owner, name)] if exactly else [(owner, name), (None, name)]:
            if key in self._servers:
                return self._servers[key]
        whose = "the deployment" if owner is None else f"the tenant {owner!r}"
        raise NotFoundError(f"{whose} has no MCP server {name!r}", code="mcp_server_not_found")

    def _server_of_tool(self, name: str, tenant: str | None) -> _Server:
        for server in self._of(tenant):
            if any(tool.name == name for tool in server.tools):
                return server
        raise NotFoundError(f"no MCP server has a tool {name!r}; `tools` lists them", code="mcp_tool_not_found")

    def _refuse_taken(self, definition: ServerDefinition) -> None:
        for owner, name in self._servers:
            if name == definition.name and (owner == definition.tenant or None in {owner, definition.tenant}):
                raise InvalidInputError(
                    f"there is an MCP server {name!r} already: disconnect it, or choose another name",
                    param="name",
                    code="mcp_server_exists",
                )


class _Server:
    """A server that is wanted: its connection, what it lists, and what of that was accepted."""

    connection: Connection

    def __init__(
        self,
        definition: ServerDefinition,
        accepted: Accepted | None,
        on_listed: Callable[..., None],
    ) -> None:
        self.definition = definition
        self.accepted = accepted
        self.tools: tuple[McpTool, ...] = ()
        self._on_listed = on_listed

    def listed(self, tools: Sequence[Tool]) -> None:
        """Take what the server lists; the first list ever is accepted."""
        from agentgraph.tools.mcp.listing import listed_tools

        before, found = self.tools, listed_tools(self.definition.name, tools)
        is_first = self.accepted is None
        if self.accepted is None:
            self.accepted = {tool.remote_name: tool.fingerprint for tool in found if tool.state != "refused"}
        self.tools = found
        self.accept(self.accepted)
        if is_first or self.tools != before:  # one that merely came back changes nothing for anybody
            self._on_listed(self, is_first=is_first)

    def accept(self, accepted: Accepted) -> None:
        """Offer what is as it was accepted, and withhold the rest."""
        self.accepted = accepted
        self.tools = tuple(self._judged(tool) for tool in self.tools)

    def tool(self, name: str) -> McpTool:
        """Return a tool by its full name."""
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise NotFoundError(f"the MCP server {self.definition.name!r} has no tool {name!r}", code="mcp_tool_not_found")

    def shown(self) -> McpServer:
        definition, offered = self.definition, sum(tool.state == "offered" for tool in self.tools)
        return McpServer(
            name=definition.name,
            tenant=definition.tenant,
            protocol=definition.protocol,
            place=definition.place,
            state=self.connection.state,
            fault=self.connection.fault,
            tools=offered,
            withheld=len(self.tools) - offered,
            has_api_key=definition.api_key is not None,
            is_configured=definition.is_configured,
        )

    def _judged(self, tool: McpTool) -> McpTool:
        if tool.state == "refused":
            return tool
        known = (self.accepted or {}).get(tool.remote_name)
        if known == tool.fingerprint or (known is None and self.definition.accept_new):
            return replace(tool, state="offered")
        return replace(tool, state="new" if known is None else "changed")


def _configured(name: str, settings: McpServerSettings) -> ServerDefinition:
    command = () if settings.command is None else (settings.command, *settings.args)
    return ServerDefinition(
        name=checked_name(name),
        tenant=None if settings.tenant is None else Scope(tenant=settings.tenant).tenant,
        protocol="stdio" if command else settings.protocol,
        url=settings.url,
        command=command,
        env=settings.env,
        cwd=settings.cwd,
        api_key=settings.api_key,
        timeout_s=settings.timeout_s,
        accept_new=settings.accept_new,
        needs_approval=frozenset(settings.needs_approval),
        consequential=frozenset(settings.consequential),
        is_configured=True,
    )


def _place_of(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port or (443 if parts.scheme in {"https", "wss"} else 80)
    return f"{host}:{port}"


def _checked_key(api_key: str | SecretStr | None) -> SecretStr | None:
    if api_key is None:
        return None
    value = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    if not 0 < len(value) <= _LONGEST_KEY or not value.isascii() or not value.isprintable():
        raise InvalidInputError("the api_key is empty, too long, or holds what no header may", param="api_key")
    return SecretStr(value)


def _checked_time(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= 3_600:
        raise InvalidInputError(f"timeout_s {seconds!r} is no time from 0 to 3600 seconds", param="timeout_s")
    return seconds


def _checked_names(names: Sequence[str], param: str) -> frozenset[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError(f"{param} is a list of tools' names", param=param)
    return frozenset(names)
