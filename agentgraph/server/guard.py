"""What stands before every route of an application: it finds out who calls, and notes it with the request."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from agentgraph.app import AgentGraph
from agentgraph.errors import NotAuthenticatedError, PermissionDeniedError
from agentgraph.server.api_key import Right
from agentgraph.server.auth import LOCAL, Caller
from agentgraph.server.keys import Keys

__all__ = ["Guard"]

_EVERYTHING: Final[frozenset[Right]] = frozenset({"admin", "tenant", "user"})
_IN_SCOPE: Final = "agentgraph.guard"


class Guard:
    """The keys and limits of one application, asked once a request.

    Args:
        app: The agent whose settings and hooks say who may call.
    """

    def __init__(self, app: AgentGraph) -> None:
        self.app = app
        self._keys: Keys | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, request: HTTPConnection) -> Guard:
        """Return the guard that admitted a request.

        Raises:
            NotAuthenticatedError: None did: the route stands outside the gate.
        """
        guard = request.scope.get(_IN_SCOPE)
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
        if isinstance(known := getattr(request.state, "caller", None), Caller) and _IN_SCOPE in request.scope:
            return known
        caller = await self._caller(request)
        request.state.caller, request.scope[_IN_SCOPE] = caller, self
        return caller

    async def keys(self) -> Keys:
        """Return the keys of the records database."""
        async with self._opening:
            if self._keys is None:
                pepper = self.app.settings.key_pepper
                self._keys = Keys(await self.app.records(), pepper="" if pepper is None else pepper.get_secret_value())
        return self._keys

    async def aclose(self) -> None:
        """Write down what is only remembered."""
        if self._keys is not None:
            await self._keys.note_use()

    async def _caller(self, request: HTTPConnection) -> Caller:
        settings, keys = self.app.settings, self._keys or await self.keys()
        has_keys = await keys.any()
        if not settings.api_keys and not has_keys:
            if self.app.hooks.auth_hook is None and not settings.insecure:
                _refuse_strangers(request)
            return LOCAL
        offered = _offered(request.headers)
        found = await keys.find(offered) if has_keys else None
        if found is not None:
            return Caller.of(found)
        # Every key is compared, so that the time taken tells nothing.
        return _of_settings(offered, settings.api_keys)


def _offered(headers: Headers) -> str:
    """Return the key a request brings, as `Authorization: Bearer …` or as `x-api-key`."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if given.strip() and scheme.lower() == "bearer":
        return given.strip()
    if offered := headers.get("x-api-key", ""):
        return offered
    if given:
        raise NotAuthenticatedError("send the key as 'Authorization: Bearer <key>'", code="invalid_api_key")
    raise NotAuthenticatedError("no API key: send 'Authorization: Bearer <key>'", code="missing_api_key")


def _of_settings(offered: str, keys: Sequence[SecretStr]) -> Caller:
    matches = [hmac.compare_digest(offered.encode(), key.get_secret_value().encode()) for key in keys]
    if not any(matches):
        raise NotAuthenticatedError("the API key is not one of this server's, or no longer", code="invalid_api_key")
    return Caller(key_id=f"setting-{matches.index(True)}", scopes=_EVERYTHING)


def _refuse_strangers(request: HTTPConnection) -> None:
    """Serve this machine alone, and not the pages of other sites that are open in a browser of it."""
    if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        raise PermissionDeniedError("pages of other sites may not call a server that has no api keys")
    peer = _address(request.client.host if request.client else "")
    if peer is None:  # a socket of this machine's, or a test without a network
        return
    if not peer.is_loopback:
        raise NotAuthenticatedError(
            "this server has no api keys, so it serves its own machine alone: make one with 'agentgraph keys create', "
            "set AGENTGRAPH_API_KEYS, or allow everybody with AGENTGRAPH_INSECURE=true (--insecure)",
            code="no_keys",
        )
    # A page can have its own name resolve to this machine; the browser then takes us for the page's own site.
    name = request.url.hostname or ""
    if _address(name) is None and name != "localhost" and not name.endswith(".localhost"):
        raise PermissionDeniedError(f"a server that has no api keys is not called by the name {name!r}; use localhost")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
