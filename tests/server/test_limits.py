"""Too large, too slow: refused while it arrives, at little cost."""

import asyncio
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from agentgraph.server import protocol
from agentgraph.server.gate import Gate
from agentgraph.server.limits import BodyLimit
from tests.server.conftest import Serve, eventually, running
from tests.server.test_guard import make_key

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """A server in a process of its own, so that its memory can be weighed; its patience is short."""
    script = (
        "from agentgraph import Settings; from agentgraph.server import protocol; "
        "protocol.HEADERS_WITHIN_S = 1.0; protocol.STALLED_FOR_S = 1.0; "
        "from agentgraph.server.run import serve; "
        "settings = Settings.load(port=0, default_model='scripted/echo', enable_memory=False, "
        f"storage_dir={str(tmp_path_factory.mktemp('tenants'))!r}); "
        "serve(settings, on_ready=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().decode().strip(), psutil.Process(child.pid)
        finally:
            child.kill()


def connected(url: str) -> socket.socket:
    host, port = re.fullmatch(r"http://(.*):(\d+)", url).groups()  # type: ignore[union-attr]
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize("announced", [True, False])
def test_100_mb_are_refused_and_weigh_nothing(process: tuple[str, psutil.Process], announced: bool) -> None:
    url, server = process
    httpx.get(f"{url}/health")
    before = server.memory_info().rss
    piece, count = b"x" * 100_000, 1_000
    head = b"POST /v1/acme/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: 100000000\r\n\r\n" if announced else b"transfer-encoding: chunked\r\n\r\n"
    most = 0
    with connected(url) as connection:
        connection.sendall(head)
        for number in range(count):
            try:
                connection.sendall(piece if announced else b"%x\r\n%s\r\n" % (len(piece), piece))
            except OSError:
                break
            if number % 50 == 0:
                most = max(most, server.memory_info().rss - before)
        answer = connection.recv(65_536)
    print(f"100 MB {'announced' if announced else 'chunked'}: at most {most / 1e6:.1f} MB more memory")
    assert answer.startswith(b"HTTP/1.1 413 ")
    # A chunked body is held up to the limit, 25 MB, before it is known to be too large.
    assert most < (10e6 if announced else 75e6)


def test_headers_that_never_stop_are_cut_off(process: tuple[str, psutil.Process]) -> None:
    url, server = process
    before = server.memory_info().rss
    with connected(url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-long: ")
        sent = 0
        try:
            while sent < 50_000_000:
                connection.sendall(b"a" * 65_536)
                sent += 65_536
            answer = connection.recv(65_536)
        except OSError:
            answer = b""
    assert sent < 20_000_000
    assert server.memory_info().rss - before < 10e6
    assert not answer or answer.startswith(b"HTTP/1.1 431 ")


def test_many_headers_are_refused(process: tuple[str, psutil.Process]) -> None:
    answer = httpx.get(f"{process[0]}/health", headers={f"x-{n}": "a" * 1_000 for n in range(70)})
    assert answer.status_code == 431
    assert httpx.get(f"{process[0]}/health?{'a' * 9_000}").status_code == 414


def test_headers_that_trickle_are_given_up(process: tuple[str, psutil.Process]) -> None:
    with connected(process[0]) as connection:
        began = time.monotonic()
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        assert 0.5 < time.monotonic() - began < 5
    with connected(process[0]) as connection:
        assert connection.recv(100) == b"", "a connection without a request is closed, too"


def test_a_client_that_does_not_read_is_cut_off(process: tuple[str, psutil.Process]) -> None:
    url, server = process
    with connected(url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        port = connection.getsockname()[1]

        def is_held() -> bool:
            return any(held.raddr and held.raddr.port == port for held in server.net_connections())

        eventually(is_held)
        try:
            for _ in range(400):
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
        except OSError:
            pass
        eventually(lambda: not is_held())


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


class Open:
    """A guard that lets everybody in."""

    async def admit(self, request: Any) -> None:
        return


def test_a_body_that_stops_coming_is_given_up() -> None:
    gate = Gate(_echo, guard=Open(), limit_bytes=1_000)  # type: ignore[arg-type]
    gate._app = BodyLimit(_echo, limit_bytes=1_000, silent_for_s=0.3)
    with running(gate) as url, connected(url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("length", ["1" * 400, "1" * 19])
def test_a_length_beyond_numbers_is_refused(length: str) -> None:
    gate = Gate(_echo, guard=Open(), limit_bytes=1_000)  # type: ignore[arg-type]
    scope = {
        "type": "http", "path": "/", "raw_path": b"/", "query_string": b"",
        "headers": [(b"content-length", length.encode())], "method": "POST",
    }  # fmt: skip
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    asyncio.run(gate(scope, receive, send))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("path", ["/v1/acme/chat/completions", "/agent/invoke", "/agent/stream"])
def test_json_nested_too_deep_is_a_bad_request(serve: Serve, path: str) -> None:
    served = serve([])
    for body in (b"[" * 100_000, b'{"messages":' * 5_000 + b"1" + b"}" * 5_000):
        assert 400 <= served.http.post(path, content=body).status_code < 500


def test_a_websocket_needs_a_key(serve: Serve) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    served = serve([], api_keys=["right"])
    key = make_key(served, scope="tenant", tenant="acme")
    address = served.url.replace("http", "ws") + "/no-such-socket"
    with pytest.raises(InvalidStatus) as refused, connect(address):
        pass
    assert refused.value.response.status_code in {401, 403}
    with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=key):
        pass
    assert refused.value.response.status_code != 401


def test_other_sites_pages_may_call_only_where_set(serve: Serve) -> None:
    page = {"origin": "https://app.example", "access-control-request-method": "POST"}
    closed = serve([])
    assert "access-control-allow-origin" not in closed.http.options("/v1/acme/models", headers=page).headers
    opened = serve(api_keys=["right"], cors_origins=["https://app.example"])
    answer = opened.http.options("/v1/acme/models", headers=page)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers
    refused = opened.http.options("/v1/acme/models", headers=page | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers
    asked = opened.http.get("/v1/acme/models", headers={"origin": "https://app.example"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (401, "https://app.example")


def test_the_protocols_bounds_are_what_the_documents_say() -> None:
    assert (protocol.MAX_HEADER_BYTES, protocol.HEADERS_WITHIN_S, protocol.STALLED_FOR_S) == (262_144, 20.0, 60.0)


def test_a_connection_that_is_kept_serves_any_number_of_requests(process: tuple[str, psutil.Process]) -> None:
    opened = 0

    def count(name: str, _: Any) -> None:
        nonlocal opened
        opened += name == "connection.connect_tcp.started"

    with httpx.Client(base_url=process[0], headers={"x-padding": "a" * 4_000}) as client:
        answers = [client.get("/health/live", extensions={"trace": count}).status_code for _ in range(150)]
    assert (set(answers), opened) == ({200}, 1), "600 KB of headers, but of many requests"


def test_a_line_break_after_a_body_does_not_cut_the_answer_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADERS_WITHIN_S", 0.2)
    begun = threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        begun.set()
        await asyncio.sleep(0.6)
        await PlainTextResponse("all of it")(scope, receive, send)

    with running(slow, http=protocol.PatientProtocol, lifespan="off") as url, connected(url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi")
        assert begun.wait(10)
        connection.sendall(b"\r\n")
        assert b"all of it" in connection.recv(65_536)
