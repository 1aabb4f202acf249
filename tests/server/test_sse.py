"""Streams that break off and are taken up again: nothing is lost, doubled, or told to anybody else."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import Serve, Served
from tests.server.test_chat import add, calls
from tests.server.test_guard import make_key
from tests.server.test_joining import Slow

pytestmark = pytest.mark.integration

TEXT = "Grüße, 世界 🙂!\n\ndata: not a field\nid: 7\r\n" + " ".join(f"word{n}" for n in range(60)) + "\n\n  end "


class Paced(ScriptedChatModel):
    """Says its text letter group by letter group, with time between them for a connection to break."""

    pause_s: float = 0.001
    piece: int = 6
    text: str = TEXT

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        for at in range(0, len(self.text), self.piece):
            await asyncio.sleep(self.pause_s)
            yield ChatGenerationChunk(message=AIMessageChunk(content=self.text[at : at + self.piece]))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))


class Reader:
    """A client that keeps whole frames only, as browsers do."""

    def __init__(self, served: Served, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.served, self.body, self.headers = served, body, headers or {}
        self.frames: list[bytes] = []
        self.last_id: str | None = None

    def read(self, cut_after: int | None = None) -> None:
        """Read a stream, or so many bytes of it."""
        headers = dict(self.headers)
        if self.last_id is not None:
            headers["last-event-id"] = self.last_id
        got = b""
        with self.served.http.stream("POST", "/chat/stream", json=self.body, headers=headers) as answer:
            assert answer.status_code in {200, 204}
            for piece in answer.iter_raw(chunk_size=1):
                got += piece
                if cut_after is not None and len(got) >= cut_after:
                    break
        *whole, _ = got.split(b"\n\n")
        for frame in whole:
            if frame.startswith(b"id: "):
                self.frames.append(frame)
                self.last_id = frame.partition(b"\n")[0].removeprefix(b"id: ").decode()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(frame.partition(b"\ndata: ")[2]) for frame in self.frames]

    @property
    def text(self) -> str:
        return "".join(event.get("content", "") for event in self.events)


def test_fifty_cuts_lose_and_double_nothing(serve: Serve) -> None:
    served = serve(Paced(script=[]), enable_memory=False)
    for cut in range(50):
        body = {"message": "Go", "thread": f"t{cut}", "idempotency_key": f"k{cut}"}
        reader = Reader(served, body)
        reader.read(cut_after=1 + cut * 137)
        reader.read(cut_after=500 + cut * 41)
        reader.read()
        assert reader.text.encode() == TEXT.encode(), cut
        assert reader.events[-1]["final_response"] == TEXT
        numbers = [int(frame.partition(b"\n")[0].rpartition(b":")[2]) for frame in reader.frames]
        assert numbers == list(range(1, len(numbers) + 1)), cut
    assert len(asyncio.run(served.app.threads.list(tenant="default"))) == 50


def test_a_stream_that_was_told_whole_is_not_asked_for_again(serve: Serve) -> None:
    served = serve(["Hi."])
    reader = Reader(served, {"message": "Go"})
    reader.read()
    run_id = str(reader.last_id).partition(":")[0]
    for again in (
        served.http.post("/chat/stream", headers={"last-event-id": str(reader.last_id)}),
        served.http.get(f"/chat/stream/{run_id}", headers={"last-event-id": str(reader.last_id)}),
    ):
        assert (again.status_code, again.content) == (204, b"")


def test_any_number_of_readers_are_told_the_same(serve: Serve) -> None:
    model = Slow()
    served = serve(model)
    with served.http.stream("POST", "/chat/stream", json={"message": "Go"}) as first:
        url = f"/chat/stream/{first.headers['x-run-id']}"
        model._reached.wait(10)
        texts: list[str] = []
        others = [threading.Thread(target=lambda: texts.append(served.http.get(url).text)) for _ in range(3)]
        for other in others:
            other.start()
        model._go_on.set()
        told = first.read().decode()
        for other in others:
            other.join(10)
    assert texts == [told] * 3
    assert served.http.get(url).text == told


def test_a_reader_that_does_not_read_holds_nothing_up(serve: Serve) -> None:
    model = Paced(script=[], text="x" * 12_000_000, piece=60_000, pause_s=0)
    served = serve(model, enable_memory=False)
    with served.http.stream("POST", "/chat/stream", json={"message": "Go", "tenant": "acme", "thread": "t1"}) as answer:
        run_id = answer.headers["x-run-id"]
        result = asyncio.run(asyncio.wait_for(served.app.runs.join(run_id, tenant="acme"), 15))
        assert len(result.text) == 12_000_000
        assert served.http.get("/health").status_code == 200
        # It was told less than was said, and is told that, not an answer with a hole in it.
        told = answer.read()
    assert b"event: chat_complete" not in told
    assert b'"code":"events_expired"' in told
    late = served.http.get(f"/chat/stream/{run_id}")
    assert (late.status_code, b'"code":"events_expired"' in late.content) == (200, True)


def test_a_run_that_is_to_end_with_its_client_does(serve: Serve) -> None:
    model = Slow()
    served = serve(model)
    with served.http.stream("POST", "/chat/stream", json={"message": "Go", "on_disconnect": "cancel"}) as answer:
        next(answer.iter_raw())
        assert model._reached.wait(10)
    assert model._cancelled.wait(10)


def test_a_run_goes_on_without_its_client(serve: Serve) -> None:
    model = Slow()
    served = serve(model)
    with served.http.stream("POST", "/chat/stream", json={"message": "Go"}) as answer:
        run_id = answer.headers["x-run-id"]
        next(answer.iter_raw())
        assert model._reached.wait(10)
    model._go_on.set()
    events = served.http.get(f"/chat/stream/{run_id}").text
    assert '"final_response":"First second."' in events
    assert not model._cancelled.is_set()


def test_nobody_else_can_take_a_stream_up(serve: Serve) -> None:
    served = serve("echo")
    acme, globex = (make_key(served, scope="tenant", tenant=tenant) for tenant in ("acme", "globex"))
    ana, ben = (make_key(served, scope="user", tenant="acme", user=user) for user in ("ana", "ben"))
    run_id = served.http.post("/chat/stream", json={"message": "4711"}, headers=ana).headers["x-run-id"]

    def ask(headers: dict[str, str], run: str = run_id) -> list[httpx.Response]:
        return [
            served.http.get(f"/chat/stream/{run}", headers=headers),
            served.http.post("/chat/stream", headers={**headers, "last-event-id": f"{run}:0"}),
        ]

    missing = [{**answer.json(), "request_id": ""} for answer in ask(acme, "run-nothing")]
    for key in (globex, ben):
        told = ask(key)
        assert [answer.status_code for answer in told] == [404, 404]
        assert [{**answer.json(), "request_id": ""} for answer in told] == missing
    assert [answer.status_code for answer in ask(ana) + ask(acme)] == [200] * 4
    # What is nobody's in particular is not one person's either.
    shared = served.http.post("/chat/stream", json={"message": "4711"}, headers=acme).headers["x-run-id"]
    assert [answer.status_code for answer in ask(ana, shared)] == [404, 404]


@pytest.mark.parametrize("last_id", ["", "x", ":", "run-1:", "run-1:-1", "run-1:x", "run-1:²", ":5", "r" * 300 + ":1"])
def test_ids_that_are_none_are_refused(serve: Serve, last_id: str) -> None:
    answer = serve([]).http.post("/chat/stream", headers={"last-event-id": last_id.encode("latin-1", "replace")})
    assert answer.status_code == 400
    assert answer.json()["param"] in {"last-event-id", "message"}


def test_tools_are_told_once_however_often_a_stream_breaks(serve: Serve) -> None:
    served = serve([calls({"a": 1, "b": 2}), "Three."], tools=[add], enable_memory=False)
    reader = Reader(served, {"message": "1 + 2?"})
    for _ in range(8):
        reader.read(cut_after=260)
    reader.read()
    kinds = [event["event_type"] for event in reader.events]
    assert kinds.count("tool_call_start") == kinds.count("tool_call_complete") == kinds.count("chat_complete") == 1
    assert isinstance(served.model.script[0], AIMessage)
