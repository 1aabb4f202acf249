"""Chat completions over aiohttp: what goes wrong is told as the SDK tells it, whatever a provider does."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from openai import APIConnectionError, APIError, APITimeoutError, AsyncOpenAI

from agentgraph.models.completions import Completions, event_data, open_session

pytestmark = pytest.mark.integration

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ASKED: dict[str, Any] = {"model": "m", "messages": []}
EVENTS = {"content-type": "text/event-stream"}


@asynccontextmanager
async def provider(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(url: str, timeout_s: float = 5) -> AsyncIterator[tuple[Completions, AsyncOpenAI]]:
    """Yield our completions, and the SDK's client."""
    sdk = AsyncOpenAI(api_key="k", base_url=url, max_retries=0, timeout=timeout_s)
    async with sdk as client, open_session() as session:
        yield Completions(client, session, timeout_s=timeout_s), client


async def failure_of(call: Awaitable[Any]) -> APIError:
    try:
        answer = await call
        async for _ in answer:
            pass
    except APIError as error:
        return error
    raise AssertionError("it did not fail")


def told(error: APIError) -> tuple[Any, ...]:
    response = getattr(error, "response", None)
    headers = {} if response is None else {k: v for k, v in response.headers.items() if k in {"retry-after", "x-a"}}
    return type(error), str(error), error.body, error.code, getattr(error, "status_code", None), headers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 429, 500, 503])
@pytest.mark.parametrize(
    "body", [{"error": {"message": "No.", "code": "c", "param": "p", "type": "t"}}, {"detail": "No."}, "No.", ""]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_told_as_the_sdk_tells_it(status: int, body: Any, stream: bool) -> None:
    content = (body if isinstance(body, str) else json.dumps(body)).encode()

    async def refuse(_: web.Request) -> web.Response:
        headers = {"retry-after": "7", "x-a": "b", "content-encoding": "gzip"}
        return web.Response(status=status, body=gzip.compress(content), headers=headers)

    async with provider(refuse) as url, opened(url) as (ours, sdk):
        found = await failure_of(ours.create(**ASKED, stream=stream))
        assert told(found) == told(await failure_of(sdk.chat.completions.create(**ASKED, stream=stream)))


async def test_a_refusal_may_have_headers_of_any_characters() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429, text="No.", headers={"x-why": "zu schnell für uns ✓", "retry-after": "7"})

    async with provider(refuse) as url, opened(url) as (ours, sdk):
        found = await failure_of(ours.create(**ASKED))
        assert told(found) == told(await failure_of(sdk.chat.completions.create(**ASKED)))


async def test_a_provider_that_is_not_there_is_a_connection_error() -> None:
    async with opened("http://127.0.0.1:1/v1") as (ours, _):
        assert type(await failure_of(ours.create(**ASKED))) is APIConnectionError


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_hangs_is_a_time_out(stream: bool) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    async with provider(hang) as url, opened(url, timeout_s=0.2) as (ours, _):
        assert isinstance(await failure_of(ours.create(**ASKED, stream=stream)), APITimeoutError)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_that_breaks_is_a_connection_error(stream: bool) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=EVENTS | {"content-length": "1000"})
        await response.prepare(request)
        await response.write(b'data: {"a": 1}\n\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with provider(break_off) as url, opened(url) as (ours, _):
        assert type(await failure_of(ours.create(**ASKED, stream=stream))) is APIConnectionError


@pytest.mark.parametrize("error", [{"message": "Overloaded.", "code": "busy"}, {"message": ""}, "Overloaded."])
async def test_an_error_amid_a_stream_is_told_as_the_sdk_tells_it(error: Any) -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        chunk = {"id": "x", "created": 1, "model": "m", "object": "chat.completion.chunk", "choices": []}
        await response.write(f"data: {json.dumps(chunk)}\n\ndata: {json.dumps({'error': error})}\n\n".encode())
        return response

    async with provider(fail) as url, opened(url) as (ours, sdk):
        found = await failure_of(ours.create(**ASKED, stream=True))
        assert told(found) == told(await failure_of(sdk.chat.completions.create(**ASKED, stream=True)))


async def test_what_is_no_json_is_said_to_be_none() -> None:
    async def mumble(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with provider(mumble) as url, opened(url) as (ours, _):
        with pytest.raises(ValueError, match="Expecting value"):
            await ours.create(**ASKED)


async def test_a_connection_is_used_again_after_whole_answers_and_closed_after_half_ones() -> None:
    peers: list[Any] = []

    async def stream(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        for number in range(1000):
            await response.write(f'data: {{"number": {number}}}\n\n'.encode())
            if number > 2:
                await asyncio.sleep(0.005)
            if number == 4:
                break
        await response.write(b"data: [DONE]\n\n")
        return response

    async with provider(stream) as url, opened(url) as (ours, _):
        for _ in range(2):
            async with await ours.create(**ASKED, stream=True) as pieces:
                assert [piece["number"] async for piece in pieces] == list(range(5))
        async with await ours.create(**ASKED, stream=True) as pieces:
            async for _ in pieces:
                break
        async with await ours.create(**ASKED, stream=True) as pieces:
            assert [piece["number"] async for piece in pieces] == list(range(5))
    assert peers[0] == peers[1] == peers[2]
    assert peers[3] != peers[2]


async def test_a_key_and_headers_go_along(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), dict(request.query)))
        return web.json_response({})

    async with provider(answer) as url, opened(url) as (ours, sdk):
        await ours.create(**ASKED, extra_headers={"x-a": "b"}, extra_query={"c": "d"})
        await sdk.chat.completions.create(**ASKED, extra_headers={"x-a": "b"}, extra_query={"c": "d"})
    (mine, query), (theirs, _) = heard
    assert query == {"c": "d"}
    assert mine["x-a"] == "b"
    for name in ("Authorization", "User-Agent", "Content-Type", "Accept"):
        assert mine[name] == theirs[name]


async def test_a_name_and_a_password_in_the_address_are_sent() -> None:
    heard: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.headers["Authorization"])
        return web.json_response({})

    async with provider(answer) as url, opened(url.replace("//", "//me:secret@")) as (ours, sdk):
        await ours.create(**ASKED)
        await sdk.chat.completions.create(**ASKED)
    assert heard == ["Basic bWU6c2VjcmV0"] * 2


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        known = [request.headers.get(name) for name in ("Authorization", "Proxy-Authorization")]
        return web.json_response({"asked": str(request.url), "known": known})

    # Whoever has a `.netrc` is asked for the key all the same.
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with provider(answer) as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1").replace("//", "//me:secret@"))
        monkeypatch.setenv("no_proxy", "left-out.test")
        async with opened("http://models.test/v1") as (ours, _):
            answered = await ours.create(**ASKED)
        async with opened("http://left-out.test/v1") as (ours, _):
            assert type(await failure_of(ours.create(**ASKED))) is APIConnectionError
    assert answered["asked"] == "http://models.test/v1/chat/completions"
    assert answered["known"] == ["Bearer k", "Basic bWU6c2VjcmV0"]


@example(events=[[""], ["a"]], end="\n", cuts=[])
@given(
    events=st.lists(st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc"])), min_size=1, max_size=3)),
    end=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(0, 400)),
)
def test_events_are_the_same_wherever_a_body_is_cut(events: list[list[str]], end: str, cuts: list[int]) -> None:
    body = b": hello" + end.encode() * 2
    for lines in events:
        fields = ["event: piece", *(f"data: {line}" for line in lines), "id: 7"]
        body += "".join(field + end for field in [*fields, ""]).encode()
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})

    async def read() -> list[bytes]:
        async def chunks() -> AsyncIterator[bytes]:
            for start, stop in pairwise(places):
                yield body[start:stop]

        return [data async for data in event_data(chunks())]

    # An event without data is none.
    assert asyncio.run(read()) == [whole.encode() for lines in events if (whole := "\n".join(lines))]
