"""Where this process may connect when somebody else chose the address: the guard against request forgery (SSRF).

A URL is checked as text, its host is resolved once, every address it resolves to is checked, and the connection goes to
exactly one of those: nothing can change between check and use. `Host` and the TLS name stay the URL's own. Proxies of
the environment are ignored, since they would resolve the name a second time. Redirects are not followed unless a caller
asks for it, and then every hop is checked like the first.

Source: OWASP SSRF Prevention Cheat Sheet; IANA's special-purpose address registries (RFC 6890); RFC 6052 for NAT64.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpcore
import httpx
import idna

from agentgraph.errors import ConfigurationError, InvalidInputError

__all__ = ["Destination", "GuardedTransport", "OutboundPolicy", "Resolver"]

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host, on its way to a port, to the addresses it has; raises `OSError` where there are none."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST_URL: Final = 2_048
_LONGEST_HOST: Final = 253
_CONNECT_TIMEOUT_S: Final = 10.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?", re.IGNORECASE
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{0,5}))?", re.IGNORECASE)
# Parsers differ over what these mean, and what they differ over is how a check is passed by.
_AMBIGUOUS: Final = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_\-]{1,63}(?<!-)")
_LOCAL: Final = re.compile(r"(?:^|\.)localhost$")  # Source: RFC 6761
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
_FIRST_OPEN_PORT: Final = 1_024
# What browsers block above 1023. Source: WHATWG Fetch, "bad port".
_BAD_PORTS: Final = "1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080"
# Databases, caches and daemons that take HTTP's first lines for commands, or speak HTTP to administrators.
_DATA_PORTS: Final = "2375 2376 2379 3306 5432 6379 9200 9300 10250 11211 27017"
_FORBIDDEN_PORTS: Final = frozenset(map(int, f"{_BAD_PORTS} {_DATA_PORTS}".split()))
_FORBIDDEN_NETWORKS: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        # Tunnels carry a second address, which the network would unwrap behind our back: Teredo and 6to4.
        *("2001::/23", "2002::/16"),
        # Documentation, and whatever is not global unicast, 2000::/3.
        *("2001:db8::/32", "3fff::/20", "::/3", "4000::/2", "8000::/1"),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Machines of a cloud are told their secrets here. Some of these look public, so they are named.
_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in (
        *("169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23", "100.100.100.200"),
        *("168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL that passed as text.

    Attributes:
        url: Spelt as it will be used: host in ASCII and lower case, no fragment.
        scheme: In lower case.
        host: As TLS and `Host` name it; an IPv6 address without brackets.
        port: The scheme's own where the URL names none.
    """

    url: str
    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold a secret."""
        return self.url.partition("?")[0]


class OutboundPolicy:
    """Which destinations are open to a URL that a caller chose: public addresses, and what the deployment allows.

    Args:
        allow: Hosts, addresses and networks that are open although they are not public, each with `:port` or for every
            port: `mcp.internal`, `localhost:8931`, `10.1.0.0/16`, `[::1]:8931`. A host is open wherever it resolves to.
            Addresses that tell a cloud machine its secrets are open only where they are named themselves.
        resolve: Resolves names; by default as the system does.

    Raises:
        ConfigurationError: An entry of `allow` is none of these.
    """

    def __init__(self, allow: Iterable[str] = (), *, resolve: Resolver | None = None) -> None:
        self._allowed = tuple(map(_allowance, allow))
        self._resolve = resolve or _resolve_as_the_system_does

    def check(self, url: str, *, schemes: Collection[str] = ("http", "https")) -> Destination:
        """Check a URL as text; where its host is an address, check that too.

        Raises:
            InvalidInputError: It is malformed, ambiguous, of another scheme, or leads where nobody may be sent.
        """
        if len(url) > _LONGEST_URL:
            raise _refused(f"a URL is a text of at most {_LONGEST_URL:,} characters")
        if _AMBIGUOUS.search(url):
            raise _refused("the URL holds white space, a backslash or a control character")
        parts = _URL.fullmatch(url)
        scheme = parts["scheme"].lower() if parts else ""
        if parts is None or scheme not in schemes:
            raise _refused(f"the URL must begin with {' or '.join(f'{each}://' for each in schemes)}")
        if "@" in parts["authority"]:
            raise _refused("the URL holds a user or password; give a key as api_key")
        authority = _AUTHORITY.fullmatch(parts["authority"])
        if authority is None:
            raise _refused("the URL names no host, or an impossible one")
        host = _canonical_host(authority["host"])
        port = int(authority["port"] or _DEFAULT_PORTS[scheme])
        self._check_port(host, port)
        if (address := _address(host)) is not None:
            self._check_address(host, address, port)
        elif _LOCAL.search(host) and not self._is_named(host, None, port):
            raise _refused(f"{host!r} is this machine; outbound_allow opens it")
        return Destination(url=_spelt(scheme, host, port, parts["rest"]), scheme=scheme, host=host, port=port)

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Resolve a host once and return its addresses, each of which may be connected to.

        Raises:
            InvalidInputError: Any one of them is not open: a name with a private address among public ones is a trap.
            OSError: There is no such host.
        """
        host = _canonical_host(f"[{host}]" if ":" in host else host)
        self._check_port(host, port)
        found = [host] if _address(host) is not None else await self._resolve(host, port)
        resolved = [ipaddress.ip_address(each) for each in found]
        for address in resolved:
            self._check_address(host, address, port)
        if not resolved:
            raise OSError(f"the host {host!r} has no address")
        return tuple(map(str, resolved))

    def is_allowed(self, destination: Destination) -> bool:
        """Say whether the deployment itself named this destination."""
        return self._is_named(destination.host, _address(destination.host), destination.port)

    def http_client(self, **options: Any) -> httpx.AsyncClient:
        """Return an HTTP client that connects only where it may. The caller closes it.

        Args:
            options: As `httpx.AsyncClient` takes them, transports and proxies aside. Redirects are not followed by
                default; those that are, are checked like a first request.
        """
        return httpx.AsyncClient(transport=self.transport(), trust_env=False, **options)

    def transport(
        self, *, limits: httpx.Limits | None = None, verify: ssl.SSLContext | bool = True
    ) -> GuardedTransport:
        """Return the transport of such a client, for a client of one's own. Give that client `trust_env=False`."""
        return GuardedTransport(self, limits=limits, verify=verify)

    async def open_socket(self, destination: Destination, *, timeout_s: float = _CONNECT_TIMEOUT_S) -> socket.socket:
        """Return a connected, non-blocking TCP socket, for protocols other than HTTP. The caller closes it.

        Raises:
            InvalidInputError: The host resolves to where nobody may be sent.
            OSError: No address of it could be connected to, `TimeoutError` included.
        """
        async with asyncio.timeout(timeout_s):
            addresses = await self.addresses(destination.host, destination.port)
            failure: OSError = OSError("no address")
            for address in addresses:
                try:
                    return await _connected(address, destination.port)
                except OSError as error:
                    failure = error
            raise failure

    def _check_port(self, host: str, port: int) -> None:
        if not 0 < port < 2**16:
            raise _refused(f"{port} is no port")
        is_open = port in {80, 443} or (port >= _FIRST_OPEN_PORT and port not in _FORBIDDEN_PORTS)
        if not is_open and not self._is_named(host, _address(host), port):
            raise _refused(f"port {port} belongs to another service")

    def _check_address(self, host: str, address: Address, port: int) -> None:
        address = _embedded(address) or address
        if address in _METADATA:
            if not any(allowed.is_exactly(address, port) for allowed in self._allowed):
                raise _refused(f"{host!r} leads to a cloud's metadata")
        elif not _is_public(address) and not self._is_named(host, address, port):
            raise _refused(f"{host!r} leads to a private or local address; outbound_allow opens it")

    def _is_named(self, host: str, address: Address | None, port: int) -> bool:
        return any(allowed.covers(host, address, port) for allowed in self._allowed)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """An HTTP transport that asks a policy for every request and for every connection."""

    def __init__(
        self, policy: OutboundPolicy, *, limits: httpx.Limits | None = None, verify: ssl.SSLContext | bool = True
    ) -> None:
        # httpx has no public way to choose a network backend, though its connection pool has; see encode/httpx#2997.
        tls = httpx.create_ssl_context(verify=verify)
        super().__init__(verify=tls)
        limits = limits or httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30.0)
        self._policy = policy
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_GuardedBackend(policy),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose URL may be asked."""
        self._policy.check(str(request.url))
        return await super().handle_async_request(request)


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens the connections of a pool: the one place where a name becomes an address."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        connect = partial(
            self._network.connect_tcp, port=port, local_address=local_address, socket_options=socket_options
        )
        failure: Exception = httpcore.ConnectError(f"{host!r} has no address")
        try:
            async with asyncio.timeout(timeout):
                for address in await self._policy.addresses(host, port):
                    try:
                        return await connect(address)
                    except httpcore.ConnectError as error:
                        failure = error
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host!r} did not answer") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        raise _refused(f"{path!r} is no host")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Allowance:
    """One entry of the allow-list: a host or a network, with a port or for all."""

    target: str | Network
    port: int | None

    def covers(self, host: str, address: Address | None, port: int) -> bool:
        if self.port not in {None, port}:
            return False
        if isinstance(self.target, str):
            return self.target == host
        return address is not None and address.version == self.target.version and address in self.target

    def is_exactly(self, address: Address, port: int) -> bool:
        return self.target == ipaddress.ip_network(address) and self.port in {None, port}


def _allowance(entry: str) -> _Allowance:
    try:
        return _Allowance(ipaddress.ip_network(entry.strip("[]")), None)
    except ValueError:
        pass
    match = _AUTHORITY.fullmatch(entry.strip())
    try:
        if match is None:
            raise _refused("no host")
        host = _canonical_host(match["host"])
        port = int(match["port"]) if match["port"] else None
    except InvalidInputError as error:
        raise ConfigurationError(
            f"outbound_allow holds {entry!r}: write a host, an address or a network, with or without ':port'"
        ) from error
    address = _address(host)
    return _Allowance(host if address is None else ipaddress.ip_network(address), port)


def _canonical_host(host: str) -> str:
    """Return the one spelling of a host, or refuse it: numbers that only some parsers take for an address are none."""
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError as error:
            raise _refused(f"{host!r} is no IPv6 address") from error
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise _refused(f"{host!r} is no host name") from error
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise _refused(f"{host!r} is no host name")
    if _NUMBER.fullmatch(labels[-1]):
        # WHATWG URL: what ends in a number is an IPv4 address. Some parsers read octal, hex and short forms.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise _refused(f"{host!r} is no address; write four decimal numbers") from error
    return host


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for, mapped or by NAT64."""
    if address.version == 4:
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(address.packed[-4:]) if address in _NAT64 else None


def _is_public(address: Address) -> bool:
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or any(address.version == network.version and address in network for network in _FORBIDDEN_NETWORKS)
    )


def _spelt(scheme: str, host: str, port: int, rest: str) -> str:
    authority = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS[scheme]:
        authority += f":{port}"
    url = f"{scheme}://{authority}{rest if rest.startswith('/') else '/' + rest}"
    # The client parses the URL once more; what it makes of it must be what was checked.
    if httpx.URL(url).raw_host.decode() != host:
        raise _refused("the URL can be read in two ways")
    return url


async def _resolve_as_the_system_does(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _connected(address: str, port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _refused(reason: str) -> InvalidInputError:
    return InvalidInputError(f"this address is refused: {reason}", param="url", code="url_refused")
