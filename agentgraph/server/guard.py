"""What stands before every route of an application: it finds out who calls, and notes it with the request."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from agentgraph.app import AgentGraph
from agentgraph.errors import NotAuthenticatedError, PermissionDeniedError
from agentgraph.events import Usage
from agentgraph.run import RunRequest
from agentgraph.scope import Scope as RunScope
from agentgraph.server.admission import Admission, Settle
from agentgraph.server.api_key import Right
from agentgraph.server.auth import IN_SCOPE, LOCAL, Caller
from agentgraph.server.hooks import HookCalls
from agentgraph.server.keys import Keys
from agentgraph.server.proxies import address_of, is_forwarded
from agentgraph.server.shutdown import Shutdown

__all__ = ["Guard"]

_EVERYTHING: Final[frozenset[Right]] = frozenset({"admin", "tenant", "user"})
_ENTERED: Final = "agentgraph.entered"
_KEY_PROTOCOL: Final = "agentgraph-key."
_COUNTED: Final = "agentgraph.counted"
_TENANT_IN_PATH: Final = re.compile(r"/v1/([A-Za-z0-9_.@+\-]{1,128})(?::[^/]*)?/")
_SOON_S: Final = 1.0


class Guard:
    """The keys and limits of one application, asked once a request.

    Args:
        app: The agent whose settings and hooks say who may call.
    """

    def __init__(self, app: AgentGraph) -> None:
        self.app = app
        self.hooks = HookCalls(app.hooks, timeout_s=app.settings.hook_timeout_s)
        self.shutdown = Shutdown(delay_s=app.settings.shutdown_delay_s, grace_s=app.settings.shutdown_grace_s)
        self._keys: Keys | None = None
        self._admission: Admission | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, request: HTTPConnection) -> Guard:
        """Return the guard that admitted a request.

        Raises:
            NotAuthenticatedError: None did: the route stands outside the gate.
        """
        guard = request.scope.get(IN_SCOPE)
        if not isinstance(guard, cls):
            raise NotAuthenticatedError("nobody has looked at the key of this request", code="missing_api_key")
        return guard

    async def admit(self, request: HTTPConnection) -> Caller:
        """Find out who calls and set `request.state.caller`; asked again, the answer stands.

        Raises:
            NotAuthenticatedError: Keys are needed and the request brings none that is good.
            PermissionDeniedError: No keys are set and a page of another site, open in a browser of this machine, asks.
            StoreError: Whether there are keys cannot be told.
        """
        known, guard = getattr(request.state, "caller", None), request.scope.get(IN_SCOPE)
        # Mounted below another application, this one's keys are its own.
        if isinstance(known, Caller) and isinstance(guard, Guard) and guard.app is self.app:
            return known
        caller = await self._caller(request)
        admission = await self.admission()
        admission.take_key(caller)
        # Known so early, a tenant that asks for too much costs next to nothing. Whom a hook would refuse is not it.
        named = None if self.hooks.hooks.auth_hook is not None else _tenant_in(request.scope["path"])
        if (tenant := caller.tenant or named) is not None:
            admission.take_tenant(tenant)
            request.scope[_COUNTED] = tenant
        request.state.caller, request.scope[IN_SCOPE] = caller, self
        return caller

    async def keys(self) -> Keys:
        """Return the keys of the records database."""
        if self._keys is None:
            await self._open()
        assert self._keys is not None  # noqa: S101
        return self._keys

    async def admission(self) -> Admission:
        """Return what lets runs in."""
        if self._admission is None:
            await self._open()
        assert self._admission is not None  # noqa: S101
        return self._admission

    async def enter(self, request: HTTPConnection, tenant: str) -> str | None:
        """Let a request act for a tenant, once for each it names, and return the user that the hook names.

        Raises:
            RateLimitedError: Too many requests came for the tenant in the last minute.
            Exception: What `auth_hook` raised.
        """
        entered: dict[str, str | None] = request.scope.setdefault(_ENTERED, {})
        if tenant not in entered:
            user = await self.hooks.ask_leave(request, tenant)
            if request.scope.get(_COUNTED) != tenant:  # after the hook: nobody uses up what is another's
                (await self.admission()).take_tenant(tenant)
            entered[tenant] = user
        return entered[tenant]

    async def is_closed(self, scope: RunScope) -> bool:
        """Say whether the thread of a scope was begun by another user than the scope's."""
        tenant = scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"
        assert scope.user is not None  # noqa: S101  asked for users alone
        return await self.app.threads.is_closed_to(scope.user, tenant=tenant, thread=scope.thread)

    async def hold(self, held: AsyncExitStack, caller: Caller, asked: RunRequest, *, estimate: Usage) -> Settle:
        """Wait until a run may begin; see `Admission.hold`.

        Raises:
            ShuttingDownError: None may any more.
        """
        self.shutdown.refuse_if_begun()
        return await (await self.admission()).hold(held, caller, asked, estimate=estimate)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done that no request waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Wait for the runs under way, but no longer than the server may, and write down what is only remembered."""
        if self._tasks:
            _, unfinished = await asyncio.wait(set(self._tasks), timeout=self.shutdown.remaining_s)
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished, timeout=_SOON_S)
        await self.hooks.aclose()
        if self._admission is not None:
            await self._admission.aclose()
        if self._keys is not None:
            await self._keys.note_use()

    async def _open(self) -> None:
        async with self._opening:
            if self._admission is None:
                database, pepper = await self.app.records(), self.app.settings.key_pepper
                self._keys = Keys(database, pepper="" if pepper is None else pepper.get_secret_value())
                self._admission = Admission(self.app, database, self.hooks)

    async def _caller(self, request: HTTPConnection) -> Caller:
        settings, keys = self.app.settings, await self.keys()
        has_keys = await keys.any()
        if not settings.api_keys and not has_keys:
            if self.app.hooks.auth_hook is None and not settings.insecure:
                _refuse_strangers(request, origins=settings.cors_origins)
            return LOCAL
        offered = _offered(request.headers)
        found = await keys.find(offered) if has_keys else None
        if found is not None:
            return Caller.of(found)
        # Every key is compared, so that the time taken tells nothing.
        return _of_settings(offered, settings.api_keys)


def _tenant_in(path: str) -> str | None:
    match = _TENANT_IN_PATH.match(path)
    return None if match is None else match[1]


def _offered(headers: Headers) -> str:
    """Return the key a request brings, as `Authorization: Bearer …`, `x-api-key`, or a WebSocket's subprotocol."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if given.strip() and scheme.lower() == "bearer":
        return given.strip()
    if offered := headers.get("x-api-key", ""):
        return offered
    # A page that opens a WebSocket can set no header but this one.
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(_KEY_PROTOCOL):
            return protocol.strip().removeprefix(_KEY_PROTOCOL)
    if given:
        raise NotAuthenticatedError("send the key as 'Authorization: Bearer <key>'", code="invalid_api_key")
    raise NotAuthenticatedError("no API key: send 'Authorization: Bearer <key>'", code="missing_api_key")


def _of_settings(offered: str, keys: Sequence[SecretStr]) -> Caller:
    matches = [hmac.compare_digest(offered.encode(), key.get_secret_value().encode()) for key in keys]
    if not any(matches):
        raise NotAuthenticatedError("the API key is not one of this server's, or no longer", code="invalid_api_key")
    return Caller(key_id=f"setting-{matches.index(True)}", scopes=_EVERYTHING)


def _refuse_strangers(request: HTTPConnection, *, origins: Sequence[str]) -> None:
    """Serve this machine alone, and not the pages of other sites that are open in a browser of it."""
    is_allowed = request.headers.get("origin") in origins  # "*" is no page's origin: such a server needs keys
    if not is_allowed and request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        raise PermissionDeniedError("pages of other sites may not call a server that has no api keys")
    peer = address_of(request.client.host if request.client else "")
    is_elsewhere = peer is not None and not peer.is_loopback
    if is_elsewhere or is_forwarded(request.headers):  # a proxy on this machine serves others
        raise NotAuthenticatedError(
            "this server has no api keys, so it serves its own machine alone: make one with 'agentgraph keys create', "
            "set AGENTGRAPH_API_KEYS, or allow everybody with AGENTGRAPH_INSECURE=true (--insecure)",
            code="no_keys",
        )
    if peer is None:  # a socket of this machine's, or a test without a network
        return
    # A page can have its own name resolve to this machine; the browser then takes us for the page's own site.
    name = request.url.hostname or ""
    if address_of(name) is None and name != "localhost" and not name.endswith(".localhost"):
        raise PermissionDeniedError(f"a server that has no api keys is not called by the name {name!r}; use localhost")
