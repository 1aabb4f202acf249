"""The client's address behind proxies: as trusted ones tell it, and never as a client does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from agentgraph.errors import ConfigurationError
from agentgraph.server.proxies import Proxies, address_of


async def nothing(*_: object) -> None:
    return


PROXIES = Proxies(nothing, trusted=["10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1"])


def seen(peer: str, *headers: tuple[str, str]) -> str:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return str(PROXIES.client_of(peer, Headers(raw=raw)) or peer)


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([], "10.0.0.1"),
        ([("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
        ([("x-forwarded-for", "192.0.2.7, 10.0.0.2")], "192.0.2.7"),
        ([("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2")], "192.0.2.7"),  # what the client put there itself
        ([("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
        ([("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        ([("x-forwarded-for", "192.0.2.7:4711")], "192.0.2.7"),
        ([("x-forwarded-for", "[2001:db8::7]:4711")], "2001:db8::7"),
        ([("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
        ([("x-forwarded-for", "::ffff:192.0.2.7")], "192.0.2.7"),
        ([("x-forwarded-for", "192.0.2.7, unknown")], "10.0.0.1"),
        ([("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.2")], "10.0.0.2"),
        ([("x-forwarded-for", " , ,")], "10.0.0.1"),
        ([("forwarded", "for=192.0.2.7")], "192.0.2.7"),
        ([("forwarded", 'For="[2001:db8::7]:4711";proto=https;by=10.0.0.2')], "2001:db8::7"),
        ([("forwarded", 'proto=https; for="192.0.2.7:80", for=10.0.0.2')], "192.0.2.7"),
        ([("forwarded", 'for="_a,b", for=192.0.2.7')], "192.0.2.7"),
        ([("forwarded", "for=unknown")], "10.0.0.1"),
        ([("forwarded", "by=192.0.2.7")], "10.0.0.1"),
        ([("x-real-ip", "192.0.2.7")], "192.0.2.7"),
        ([("x-real-ip", "nonsense")], "10.0.0.1"),
        ([("x-real-ip", "1.1.1.1"), ("forwarded", "for=2.2.2.2"), ("x-forwarded-for", "3.3.3.3")], "3.3.3.3"),
        ([("x-real-ip", "1.1.1.1"), ("forwarded", "for=2.2.2.2")], "2.2.2.2"),
    ],
)
def test_what_trusted_proxies_say_is_read(headers: list[tuple[str, str]], client: str) -> None:
    assert seen("10.0.0.1", *headers) == client


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1", "testclient", "11.0.0.1"])
def test_what_others_say_is_not(peer: str) -> None:
    for name in ("x-forwarded-for", "x-real-ip"):
        assert seen(peer, (name, "1.2.3.4")) == peer
    assert seen(peer, ("forwarded", "for=1.2.3.4")) == peer


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=60))
def test_nothing_a_header_may_hold_breaks_it(text: str) -> None:
    for name in ("x-forwarded-for", "forwarded", "x-real-ip"):
        client = seen("10.0.0.1", (name, text))
        assert address_of(client) is not None


def test_what_is_no_network_is_told() -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies has 'nginx'"):
        Proxies(nothing, trusted=["nginx"])
