"""The official client behind a network that loses requests and answers: each turn is said, and acts, exactly once."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

import httpx2
import openai
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

from agentgraph import AgentGraph, Settings
from agentgraph.runs.recent import RecentRuns
from agentgraph.server.app import create_app
from agentgraph.testing import ScriptedChatModel
from agentgraph.threads.journal import RunJournal
from tests.crash.seeds import scaled, seed
from tests.server.conftest import running

pytestmark = pytest.mark.integration

_TIMEOUT_S: Final = 1.0
_BOUND_S: Final = 20
_TRIES: Final = 4  # by the application, each of which the client makes three of


# The network


@dataclass(frozen=True)
class Fault:
    """What becomes of one request.

    Attributes:
        kind: Answer with `status`; say nothing until the client gives up; reset its connection; or reset it after
            `pieces` of the answer.
        when: Before the server got the request, while it works on it, or when it has answered.
    """

    kind: Literal["status", "silence", "reset", "cut"]
    when: Literal["before", "during", "after"]
    status: int = 500
    pieces: int = 1


def faults() -> list[Fault]:
    answers = [Fault("status", when, status=status) for status in (500, 409, 429) for when in ("before", "after")]
    silences = [Fault("silence", when) for when in ("before", "after")]
    resets = [Fault("reset", when) for when in ("before", "during", "after")]
    return [*answers, *silences, *resets, *(Fault("cut", "after", pieces=pieces) for pieces in (1, 2, 3))]


@dataclass
class Network:
    """A proxy on loopback that does to each request what `script` says next, and forwards when there is nothing."""

    upstream: tuple[str, int]
    script: list[Fault] = field(default_factory=list)
    met: list[Fault] = field(default_factory=list)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                request = await _request(reader)
                fault = self.script.pop(0) if self.script else None
                if fault is None:
                    async with aclosing(self._answer(request)) as answer:
                        async for piece in answer:
                            writer.write(piece)
                            await writer.drain()
                else:
                    self.met.append(fault)
                    await self._do(fault, request, reader, writer)
        finally:
            writer.close()

    async def _do(
        self, fault: Fault, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pieces: list[bytes] = []
        if fault.when == "during":
            _, upstream = await asyncio.open_connection(*self.upstream)
            upstream.write(request)
            await upstream.drain()
            await asyncio.sleep(0.03)
            _reset(upstream)
        elif fault.when == "after":
            async with aclosing(self._answer(request)) as answer:
                async for piece in answer:
                    pieces.append(piece)
                    if fault.kind == "cut" and len(pieces) == fault.pieces:
                        break
        match fault.kind:
            case "status":
                head = f"HTTP/1.1 {fault.status} Fault\r\ncontent-length: 2\r\nretry-after-ms: 10\r\nconnection: close"
                writer.write(f"{head}\r\n\r\n{{}}".encode())
                await writer.drain()
            case "silence":
                await reader.read()  # until the client has gone
            case "reset":
                _reset(writer)
            case "cut":
                writer.write(b"".join(pieces)[:-1])
                await writer.drain()
                _reset(writer)

    async def _answer(self, request: bytes) -> AsyncGenerator[bytes, None]:
        reader, writer = await asyncio.open_connection(*self.upstream)
        try:
            writer.write(request)
            while piece := await reader.read(65536):
                yield piece
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read one request; the server is to close after it, so that its answer's end is seen."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = [line for line in head.split("\r\n") if not line.lower().startswith("connection:")]
    length = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:"))
    body = await reader.readexactly(length)
    return "\r\n".join([*lines[:-2], "connection: close", "", ""]).encode("latin-1") + body


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def network(url: str) -> Iterator[tuple[Network, str]]:
    """Put a network in front of a server; return it with the address clients use."""
    host, _, port = url.removeprefix("http://").partition(":")
    carrier = Network((host, int(port)))
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def carry_all() -> None:
        server = await asyncio.start_server(carrier.carry, sock=listener)
        await over.wait()
        server.close()
        await asyncio.sleep(0.01)  # what was accepted last has a task by then
        carrying = asyncio.all_tasks() - {asyncio.current_task()}
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        await loop.shutdown_asyncgens()
        await asyncio.sleep(0.01)  # closed connections are gone by then

    thread = threading.Thread(target=loop.run_until_complete, args=(carry_all(),), daemon=True)
    thread.start()
    try:
        yield carrier, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_BOUND_S)
        loop.close()


# The server: it acts once a turn, and says so


@dataclass
class World:
    """A server behind a network, and what its tool did."""

    app: AgentGraph
    network: Network
    url: str
    done: list[str]


@pytest.fixture
def world(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    done: list[str] = []

    @tool
    async def book(seat: str) -> str:
        """Book a seat."""
        await asyncio.sleep(0.05)
        done.append(seat)
        return f"number {len(done)}"

    def answer(messages: Sequence[Any], _: Any) -> str | AIMessage:
        if isinstance(messages[-1], ToolMessage):
            call = next(m for m in reversed(messages) if isinstance(m, AIMessage)).tool_calls[0]
            return f"You have {call['args']['seat']} as booked, enjoy your flight."
        seat = str(messages[-1].text).split()[-1]
        return AIMessage("", tool_calls=[{"id": f"call-{uuid4().hex}", "name": "book", "args": {"seat": seat}}])

    settings = Settings.load(storage_dir=tmp_path / "tenants", storage_sync="normal", enable_memory=False)
    app = AgentGraph(settings, chat_model=ScriptedChatModel(script=answer), tools=[book])
    with running(create_app(app)) as url, network(url) as (carrier, address):
        yield World(app=app, network=carrier, url=f"{address}/v1/acme", done=done)


# The client: it asks until it has the whole answer


class _IncompleteError(Exception):
    """A stream that ended without saying that it is the end."""


_LOST: Final = (openai.APIConnectionError, openai.APIStatusError, httpx2.HTTPError, _IncompleteError)


def _headers(thread: str | None, key: str | None, attempt: int) -> dict[str, str]:
    headers = {"x-thread-id": thread} if thread else {}
    if key is not None:
        return {**headers, "idempotency-key": key}
    return {**headers, "x-stainless-retry-count": str(attempt)} if attempt else headers


def _text(chunks: Sequence[Any]) -> str:
    if not any(chunk.choices[0].finish_reason for chunk in chunks):
        raise _IncompleteError
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def say_sync(world: World, said: str, *, thread: str | None, key: str | None, stream: bool) -> str:
    messages: Any = [{"role": "user", "content": said}]
    with openai.OpenAI(base_url=world.url, api_key="none", timeout=_TIMEOUT_S, max_retries=2) as client:
        for attempt in range(_TRIES):
            options: Any = {"model": "default", "messages": messages, "extra_headers": _headers(thread, key, attempt)}
            with suppress(*_LOST):
                if stream:
                    return _text(list(client.chat.completions.create(stream=True, **options)))
                return str(client.chat.completions.create(**options).choices[0].message.content)
    raise AssertionError(f"no answer to {said!r}")


async def _say(world: World, said: str, *, thread: str | None, key: str | None, stream: bool) -> str:
    messages: Any = [{"role": "user", "content": said}]
    async with openai.AsyncOpenAI(base_url=world.url, api_key="none", timeout=_TIMEOUT_S, max_retries=2) as client:
        for attempt in range(_TRIES):
            options: Any = {"model": "default", "messages": messages, "extra_headers": _headers(thread, key, attempt)}
            with suppress(*_LOST):
                if stream:
                    return _text([c async for c in await client.chat.completions.create(stream=True, **options)])
                return str((await client.chat.completions.create(**options)).choices[0].message.content)
    raise AssertionError(f"no answer to {said!r}")


def say_async(world: World, said: str, **options: Any) -> str:
    return asyncio.run(_say(world, said, **options))


# The tests


def converse(
    world: World, scripts: Sequence[Sequence[Fault]], *, say: Any, named: bool, thread: bool, stream: bool
) -> None:
    """Say something under each script of faults, and see that it was heard and done once.

    A caller who names its requests may say the same again and mean it; one who does not says something else each time.
    """
    seats = [f"seat-{0 if named else turn}" for turn in range(len(scripts))]
    for turn, (seat, script) in enumerate(zip(seats, scripts, strict=True), 1):
        world.network.script[:] = script
        key = uuid4().hex if named else None
        answer = say(world, f"Book {seat}", thread="t1" if thread else None, key=key, stream=stream)
        assert answer == f"You have {seat} as booked, enjoy your flight.", script
        assert world.done == seats[:turn], script
    if thread:
        history = asyncio.run(world.app.history(tenant="acme", thread="t1"))
        assert [str(m.text) for m in history if m.type == "human"] == [f"Book {seat}" for seat in seats]
        assert [m.type for m in history] == ["human", "ai", "tool", "ai"] * len(seats)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("thread", [True, False], ids=["thread", "one-off"])
@pytest.mark.parametrize("named", [True, False], ids=["key", "count"])
@pytest.mark.parametrize("say", [say_sync, say_async], ids=["sync", "async"])
def test_each_turn_is_said_and_acts_once(world: World, say: Any, named: bool, thread: bool, stream: bool) -> None:
    chance = random.Random(f"{seed()} {say.__name__} {named} {thread} {stream}")
    scripts = [chance.choices(faults(), k=chance.randint(1, 3)) for _ in range(scaled(4))]
    converse(world, scripts, say=say, named=named, thread=thread, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("thread", [True, False], ids=["thread", "one-off"])
def test_no_single_fault_repeats_a_turn(world: World, thread: bool, stream: bool) -> None:
    converse(world, [[fault] for fault in faults()], say=say_sync, named=False, thread=thread, stream=stream)
    assert world.network.met == faults()


@pytest.mark.parametrize("thread", [True, False], ids=["thread", "one-off"])
def test_without_recognising_repetitions_turns_are_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, thread: bool
) -> None:
    monkeypatch.setattr(RunJournal, "_repeated", lambda *_: None)
    monkeypatch.setattr(RecentRuns, "repeated", lambda *_: None)
    with pytest.raises(AssertionError, match="status=500"):
        converse(world, [[Fault("status", "after")]], say=say_sync, named=False, thread=thread, stream=False)
    assert world.done == ["seat-0"] * 2
