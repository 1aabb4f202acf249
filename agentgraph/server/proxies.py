"""Whose request it is behind proxies: what they say of the client's address is believed where they are trusted.

`X-Forwarded-For` first, then `Forwarded`, then `X-Real-IP`, then the socket. Chains are read from their end, which the
nearest proxy wrote: what a client puts at their beginning is worth nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agentgraph.errors import ConfigurationError

__all__ = ["Proxies", "address_of", "is_forwarded"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_SAID_BY_PROXIES: Final = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
# RFC 7239: for=192.0.2.60, for="[2001:db8::1]:4711", in any letter case, among other pairs.
_FOR: Final = re.compile(r"(?:^|;)\s*for\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;\s]*)", re.IGNORECASE)
_PORT: Final = re.compile(r":\d{1,5}$")


class Proxies:
    """ASGI middleware: puts the client's address where servers put the socket's.

    Args:
        app: What comes after.
        trusted: Addresses and networks of proxies.

    Raises:
        ConfigurationError: One of them is none.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = [_network(each) for each in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request through."""
        if scope["type"] in {"http", "websocket"} and scope.get("client"):
            client = self.client_of(scope["client"][0], Headers(scope=scope))
            if client is not None:
                scope["client"] = (str(client), 0)
        await self._app(scope, receive, send)

    def client_of(self, peer: str, headers: Headers) -> Address | None:
        """Return the client's address; `None` where it is the peer's, or nothing that is said can be believed."""
        if (nearest := address_of(peer)) is None or not self._trusts(nearest):
            return None
        if chain := _listed(headers.getlist("x-forwarded-for")):
            return self._last_stranger(chain)
        if elements := _listed(headers.getlist("forwarded")):
            return self._last_stranger([match[1] if (match := _FOR.search(each)) else "" for each in elements])
        return address_of(headers.get("x-real-ip", ""))

    def _last_stranger(self, chain: Sequence[str]) -> Address | None:
        """Return the last address of a chain that is no trusted proxy's, else its first."""
        found: Address | None = None
        for each in reversed(chain):
            if (address := address_of(each)) is None:
                return found
            found = address
            if not self._trusts(address):
                break
        return found

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted if network.version == address.version)


def is_forwarded(headers: Headers) -> bool:
    """Say whether a request came through a proxy that says so."""
    return any(name in headers for name in _SAID_BY_PROXIES)


def address_of(text: str) -> Address | None:
    """Read an address as proxies write it: quoted or not, with a port or not, IPv6 in brackets or not."""
    text = text.strip().strip('"').strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = _PORT.sub("", text)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _listed(values: Iterable[str]) -> list[str]:
    """Return the elements of a header that may come several times; commas within quotes are none."""
    return [each for value in values for each in re.findall(r"(?:\"(?:[^\"\\]|\\.)*\"|[^,])+", value) if each.strip()]


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise ConfigurationError(
            f"trusted_proxies has {text!r}, which is neither an address nor a network", code="trusted_proxies"
        ) from error
