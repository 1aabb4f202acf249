"""The guard: no spelling, no name server and no redirect leads to a canary on loopback unless it is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.outbound import OutboundPolicy

ALL_SCHEMES = ("http", "https", "ws", "wss")


class Canary:
    """A server on loopback that counts who comes."""

    def __init__(self) -> None:
        self.port = 0
        self.visits = 0
        self.heads: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Canary]:
        server = await asyncio.start_server(self._visited, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with Canary().listening() as listening:
        yield listening


LOOPBACKS = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.257",
    "0x7f.0.0.1",
    "0x7F000001",
    "0177.1",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "localhost",
    "localhost.",
    "LocalHost",
    "a.localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "\uff11\uff12\uff17.0.0.1",
    "%31%32%37.0.0.1",
    "user@127.0.0.1",
    "user:password@127.0.0.1",
    "example.com@127.0.0.1",
]


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_no_spelling_of_loopback_is_connected_to(host: str, canary: Canary) -> None:
    policy = OutboundPolicy()
    for scheme in ALL_SCHEMES:
        with pytest.raises(InvalidInputError) as refused:
            policy.check(f"{scheme}://{host}:{canary.port}/mcp", schemes=ALL_SCHEMES)
        assert refused.value.code == "url_refused"
    async with policy.http_client() as client:
        # httpx refuses some spellings before it asks anybody.
        with pytest.raises((InvalidInputError, httpx.InvalidURL, httpx.ConnectError)):
            await client.get(f"http://{host}:{canary.port}/mcp")
    assert canary.visits == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http:///x",
        "http://[",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://a..b/",
        "http://-a/",
        "http:127.0.0.1/",
        "http:/127.0.0.1/",
        "//example.com/",
        "example.com",
        "file:///etc/passwd",
        "gopher://example.com/_PING",
        "ftp://example.com/",
        "data:text/plain,x",
        "javascript:1",
        "unix:///var/run/docker.sock",
        "jar:http://example.com!/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:80:80/",
        "http://example.com:8 0/",
        "http://example.com:80\t/",
        "\nhttp://example.com/",
        "http://example.com\r\nHost: x/",
        "http://example.com\\@127.0.0.1/",
        "http://exa\u0000mple.com/",
        "http://1.2.3/",
        "http://1.2.3.0x4/",
        "http://" + "a" * 64 + ".com/",
        "http://example.com/" + "a" * 2_048,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        OutboundPolicy().check(url, schemes=ALL_SCHEMES)


@pytest.mark.parametrize("port", [22, 25, 6379, 11211, 5432, 2375, 6000])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(InvalidInputError, match="another service"):
        OutboundPolicy().check(f"https://example.com:{port}/")
    assert OutboundPolicy([f"example.com:{port}"]).check(f"https://example.com:{port}/").port == port


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("HTTPS://Example.COM", "https://example.com/"),
        ("https://example.com.:443/a?b=c#d", "https://example.com/a?b=c"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("http://8.8.8.8:8080/mcp", "http://8.8.8.8:8080/mcp"),
        ("wss://[2606:4700::1111]/mcp", "wss://[2606:4700::1111]/mcp"),
        ("https://my_service.example?x", "https://my_service.example/?x"),
    ],
)
def test_public_urls_pass_in_one_spelling(given: str, url: str) -> None:
    assert OutboundPolicy().check(given, schemes=ALL_SCHEMES).url == url


CLOSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1"),
    *("100::1", "2001::1", "2001:db8::1", "2002:a00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1"),
    *("fec0::1", "ff02::1", "ff0e::1"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"),
    "::ffff:169.254.169.254",
]  # fmt: skip
OPEN = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


def resolving(*answers: list[str]) -> OutboundPolicy:
    """Return a policy whose name server gives these answers, one after the other, the last for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return OutboundPolicy(resolve=resolve)


@pytest.mark.parametrize("address", CLOSED)
async def test_names_that_resolve_to_closed_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidInputError):
        await resolving([address]).addresses("example.com", 443)


@pytest.mark.parametrize("address", OPEN)
async def test_names_that_resolve_to_public_addresses_pass(address: str) -> None:
    assert len(await resolving([address]).addresses("example.com", 443)) == 1


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(InvalidInputError, match="private"):
        await resolving(["8.8.8.8", "10.0.0.1"]).addresses("example.com", 443)


async def test_a_name_that_changes_its_mind_reaches_nothing(canary: Canary) -> None:
    """DNS rebinding: public when it is checked, loopback when it is connected to."""
    policy = resolving(["8.8.8.8"], ["127.0.0.1"])
    assert await policy.addresses("rebind.example", canary.port) == ("8.8.8.8",)
    async with policy.http_client() as client:
        with pytest.raises(InvalidInputError, match="private"):
            await client.get(f"http://rebind.example:{canary.port}/")
    with pytest.raises(InvalidInputError):
        await policy.open_socket(policy.check(f"ws://rebind.example:{canary.port}/", schemes=("ws",)))
    assert canary.visits == 0


async def test_a_connection_resolves_its_name_once_and_goes_where_that_was(canary: Canary) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    policy = OutboundPolicy(["mcp.internal"], resolve=resolve)
    async with policy.http_client() as client:
        answer = await client.get(f"http://mcp.internal:{canary.port}/x")
    assert answer.text == "ok"
    assert asked == ["mcp.internal"]
    assert f"host: mcp.internal:{canary.port}".encode() in canary.heads[0].lower()


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}"])
async def test_what_the_deployment_allows_is_open(entry: str, canary: Canary) -> None:
    policy = OutboundPolicy([entry.format(port=canary.port)])
    async with policy.http_client() as client:
        assert (await client.get(f"http://127.0.0.1:{canary.port}/")).text == "ok"
    connection = await policy.open_socket(policy.check(f"ws://127.0.0.1:{canary.port}/", schemes=("ws",)))
    connection.close()


async def test_an_allowed_port_opens_no_other(canary: Canary) -> None:
    policy = OutboundPolicy([f"127.0.0.1:{canary.port + 1}"])
    with pytest.raises(InvalidInputError):
        policy.check(f"http://127.0.0.1:{canary.port}/")


async def test_a_request_with_a_password_in_its_url_is_not_sent(canary: Canary) -> None:
    async with OutboundPolicy(["127.0.0.1"]).http_client() as client:
        with pytest.raises(InvalidInputError, match="user or password"):
            await client.get(f"http://user:password@127.0.0.1:{canary.port}/")
    assert canary.visits == 0


async def test_a_network_that_is_allowed_does_not_open_the_metadata_within() -> None:
    policy = OutboundPolicy(["169.254.0.0/16", "0.0.0.0/0"])
    with pytest.raises(InvalidInputError, match="metadata"):
        await policy.addresses("169.254.169.254", 80)
    assert await OutboundPolicy(["169.254.169.254"]).addresses("169.254.169.254", 80) == ("169.254.169.254",)


@pytest.mark.parametrize("entry", ["", "http://a/", "a b", "user@a", "10.0.0.0/99", "1.2.3"])
def test_an_allow_list_that_means_nothing_is_an_error(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="outbound_allow"):
        OutboundPolicy([entry])


async def test_redirects_to_closed_places_are_not_followed(canary: Canary) -> None:
    async with Canary().listening() as hub:
        hub.answer = (
            f"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:{canary.port}/\r\ncontent-length: 0\r\n\r\n"
        ).encode()
        policy = OutboundPolicy([f"127.0.0.1:{hub.port}"])
        async with policy.http_client() as client:
            assert (await client.get(f"http://127.0.0.1:{hub.port}/")).status_code == 307
            with pytest.raises(InvalidInputError):
                await client.get(f"http://127.0.0.1:{hub.port}/", follow_redirects=True)
        assert hub.visits == 2
    assert canary.visits == 0


async def test_proxies_of_the_environment_are_ignored(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Canary().listening() as target:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
        async with OutboundPolicy([f"127.0.0.1:{target.port}"]).http_client() as client:
            assert (await client.get(f"http://127.0.0.1:{target.port}/")).text == "ok"
        assert target.visits == 1
    assert canary.visits == 0


async def test_a_name_server_that_hangs_is_not_waited_for() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    policy = OutboundPolicy(resolve=resolve)
    async with policy.http_client(timeout=httpx.Timeout(5.0, connect=0.05)) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("https://slow.example/")
    with pytest.raises(TimeoutError):
        await policy.open_socket(policy.check("https://slow.example/"), timeout_s=0.05)


async def test_a_name_nobody_knows_is_a_connection_error() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    async with OutboundPolicy(resolve=resolve).http_client() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://nobody.example/")


async def test_the_next_address_is_tried_where_one_does_not_answer(canary: Canary) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.77", "127.0.0.1"]  # nobody listens on the first

    policy = OutboundPolicy(["twice.internal"], resolve=resolve)
    async with policy.http_client() as client:
        assert (await client.get(f"http://twice.internal:{canary.port}/")).text == "ok"
    connection = await policy.open_socket(policy.check(f"ws://twice.internal:{canary.port}/", schemes=("ws",)))
    connection.close()


def test_a_destination_is_shown_without_its_query() -> None:
    assert OutboundPolicy().check("https://example.com/mcp?key=secret").shown == "https://example.com/mcp"
