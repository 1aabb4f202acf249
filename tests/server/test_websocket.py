"""`/ws`: many messages over one connection, in order, with an answer to whatever cannot be read."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agentgraph.server import websocket as served_by
from tests.server.conftest import Serve, Served
from tests.server.test_chat import add, calls
from tests.server.test_guard import make_key
from tests.server.test_joining import Slow
from tests.server.test_sse import Paced

pytestmark = pytest.mark.integration

_BOUND_S = 15


@contextmanager
def opened(served: Served, path: str = "/ws", **options: Any) -> Any:
    with connect(served.url.replace("http", "ws", 1) + path, open_timeout=_BOUND_S, **options) as socket:
        yield socket


def send(socket: ClientConnection, kind: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def say(socket: ClientConnection, message: str, name: str | None = None, **data: Any) -> None:
    send(socket, "chat", **({"id": name} if name else {}), data={"message": message, **data})


def until(socket: ClientConnection, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    told = []
    while not told or not is_last(told[-1]):
        told.append(json.loads(socket.recv(timeout=_BOUND_S)))
    return told


def ended(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda frame: frame.get("id") == name and frame["type"] in {"chat_complete", "error"}


def text_of(frames: list[dict[str, Any]], name: str) -> str:
    return "".join(f["data"]["content"] for f in frames if f["type"] == "chat_chunk" and f["id"] == name)


def test_a_message_is_answered_by_the_events_of_its_run(serve: Serve) -> None:
    served = serve([calls({"a": 1, "b": 2}), "It is three."], tools=[add], enable_memory=False)
    with opened(served) as socket:
        say(socket, "1 + 2?", "m1", reset_history=True, parallel_tools=True)
        told = until(socket, ended("m1"))
    assert [frame["type"] for frame in told][:2] == ["tool_call", "tool_call"]
    kinds = list(dict.fromkeys(frame["event_type"] for frame in told))
    assert kinds == ["tool_call_start", "tool_call_complete", "chat_chunk", "chat_complete"]
    assert text_of(told, "m1") == "It is three." == told[-1]["data"]["final_response"]
    assert {frame["run_id"] for frame in told} == {told[-1]["data"]["run_id"]}
    assert [frame["event_id"].rpartition(":")[2] for frame in told] == [str(n + 1) for n in range(len(told))]


def test_several_messages_are_answered_in_their_order(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, temporal_awareness=False)
    with opened(served) as socket:
        for n in range(10):
            say(socket, f"number {n}", f"m{n}")
        told = until(socket, ended("m9"))
    assert [frame["id"] for frame in told if frame["type"] == "chat_complete"] == [f"m{n}" for n in range(10)]
    for n in range(10):
        assert text_of(told, f"m{n}") == f"You said: number {n}"
    thread = told[-1]["data"]["thread"]
    history = asyncio.run(served.app.history(tenant="default", thread=thread))
    assert [m.text for m in history if m.type == "human"] == [f"number {n}" for n in range(10)]


def test_a_message_without_an_id_is_given_one(serve: Serve) -> None:
    with opened(serve("echo", enable_memory=False)) as socket:
        say(socket, "Hi")
        assert {frame["id"] for frame in until(socket, ended("message-1"))} == {"message-1"}


def test_a_message_is_cancelled_under_way_and_while_it_waits(serve: Serve) -> None:
    model = Slow()
    served = serve(model, enable_memory=False)
    with opened(served) as socket:
        say(socket, "Go", "m1", thread="t1")
        assert model._reached.wait(_BOUND_S)
        say(socket, "Then", "m2", thread="t1")
        send(socket, "cancel", id="m1")
        model._go_on.set()
        told = until(socket, ended("m2"))
        assert {"type": "cancelled", "id": "m1"} in told
        (ending,) = [frame for frame in told if ended("m1")(frame)]
        assert ending["data"]["status"] == "cancelled"
        send(socket, "cancel", id="m1")
        (late,) = until(socket, lambda frame: frame["type"] == "error")
        assert (late["id"], late["data"]["code"]) == ("m1", "message_not_found")


BAD: list[tuple[str | bytes, str]] = [
    ("", "invalid_json"),
    ("{", "invalid_json"),
    ("[" * 50_000, "invalid_json"),
    (b"\x00\x01", "invalid_frame"),
    ("[]", "invalid_frame"),
    ("{}", "invalid_frame"),
    ('{"type": 5}', "invalid_frame"),
    ('{"type": "shout"}', "invalid_input"),
    ('{"type": "chat"}', "invalid_input"),
    ('{"type": "chat", "data": {}}', "invalid_input"),
    ('{"type": "chat", "data": {"message": ""}}', "invalid_input"),
    ('{"type": "chat", "data": {"message": "Hi", "nonsense": 1}}', "invalid_input"),
    ('{"type": "chat", "data": {"message": "Hi", "thread": "a/b"}}', "invalid_input"),
    ('{"type": "chat", "data": {"message": "Hi", "model": "openai/nonsense"}}', "model_not_found"),
    ('{"type": "chat", "id": "", "data": {"message": "Hi"}}', "invalid_input"),
    ('{"type": "chat", "id": 5, "data": {"message": "Hi"}}', "invalid_input"),
    ('{"type": "cancel"}', "invalid_input"),
    ('{"type": "resume", "data": {"last_event_id": "x"}}', "invalid_input"),
    ('{"type": "resume", "data": {"last_event_id": "run-x:1"}}', "events_expired"),
]


def test_what_cannot_be_read_is_answered_and_the_connection_stays(serve: Serve) -> None:
    served = serve("echo", enable_memory=False)
    with opened(served) as socket:
        for frame, code in BAD:
            socket.send(frame)
            told = json.loads(socket.recv(timeout=_BOUND_S))
            assert (told["type"], told["data"]["code"]) == ("error", code), frame
        assert served.model.calls == []
        say(socket, "Hi", "m1")
        assert until(socket, ended("m1"))[-1]["type"] == "chat_complete"


def test_an_id_is_one_messages_alone_and_only_so_many_are_answered_at_once(serve: Serve) -> None:
    model = Slow()
    served = serve(model, enable_memory=False)
    with opened(served) as socket:
        for n in range(served_by.MOST_IN_FLIGHT):
            say(socket, "Go", f"m{n}", thread=f"t{n}")
        say(socket, "Go", "m1", thread="t1")
        first = until(socket, lambda frame: frame["type"] == "error")[-1]
        assert (first["id"], first["data"]["status"]) == ("m1", 400)
        say(socket, "Go", "one-more", thread="t99")
        second = until(socket, lambda frame: frame["type"] == "error")[-1]
        assert (second["id"], second["data"]["status"]) == ("one-more", 429)
        model._go_on.set()
        until(socket, ended("m0"))


def test_a_frame_that_is_too_large_ends_the_connection(serve: Serve) -> None:
    served = serve([], max_body_mb=0.01)
    with opened(served) as socket:
        say(socket, "x" * 20_000)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=_BOUND_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_a_silent_connection_shows_that_it_lives(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(served_by.WebSocketChat.__init__.__kwdefaults__, "heartbeat_s", 0.05)
    with opened(serve([])) as socket:
        assert [json.loads(socket.recv(timeout=_BOUND_S)) for _ in range(2)] == [{"type": "heartbeat"}] * 2
        send(socket, "ping", id="p1")
        assert until(socket, lambda frame: frame["type"] == "pong")[-1] == {"type": "pong", "id": "p1"}


def test_a_client_that_does_not_read_is_left_and_holds_nothing_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(served_by.WebSocketChat.__init__.__kwdefaults__, "patience_s", 0.3)
    served = serve(Paced(script=[], text="x" * 12_000_000, piece=60_000, pause_s=0), enable_memory=False)
    with opened(served, max_queue=1, close_timeout=0.1) as socket:
        say(socket, "Go", "m1", tenant="acme", thread="t1")
        result = None
        for _ in range(_BOUND_S * 10):
            runs = asyncio.run(served.app.runs.list(tenant="acme", thread="t1"))
            if runs and runs[0].status == "finished":
                result = asyncio.run(served.app.runs.join(runs[0].run_id, tenant="acme"))
                break
            threading.Event().wait(0.1)
        assert result is not None
        assert len(result.text) == 12_000_000
        assert served.http.get("/health").status_code == 200
        threading.Event().wait(1)
        with pytest.raises(ConnectionClosed):
            until(socket, lambda _: False)


def test_runs_go_on_without_their_client_and_are_taken_up_again(serve: Serve) -> None:
    model = Slow()
    served = serve(model, enable_memory=False)
    with opened(served) as socket:
        say(socket, "Go", "m1")
        first = json.loads(socket.recv(timeout=_BOUND_S))
        assert first["data"] == {"content": "First "}
        assert model._reached.wait(_BOUND_S)
    model._go_on.set()
    with opened(served) as socket:
        send(socket, "resume", id="m2", data={"last_event_id": first["event_id"]})
        told = until(socket, ended("m2"))
    assert text_of(told, "m2") == "second."
    assert told[-1]["data"]["final_response"] == "First second."
    assert not model._cancelled.is_set()


def test_a_run_that_is_to_end_with_its_client_does(serve: Serve) -> None:
    model = Slow()
    served = serve(model, enable_memory=False)
    with opened(served) as socket:
        say(socket, "Go", "m1", on_disconnect="cancel")
        assert model._reached.wait(_BOUND_S)
    assert model._cancelled.wait(_BOUND_S)


def test_a_client_says_who_it_is(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, temporal_awareness=False)
    with opened(served) as socket:
        send(socket, "config", app="notes", device="cli", model="theirs")
        acknowledged = json.loads(socket.recv(timeout=_BOUND_S))
        assert acknowledged == {
            "type": "config_success",
            "message": "Configuration acknowledged",
            "client_id": "127.0.0.1",
            "ip": "127.0.0.1",
        }
        send(socket, "config", client_id="phone-1", session_id="s1")
        assert json.loads(socket.recv(timeout=_BOUND_S))["client_id"] == "phone-1"
        say(socket, "Hi", "m1")
        assert until(socket, ended("m1"))[-1]["data"]["thread"] == "s1"


def test_keys_are_asked_for_in_headers_or_subprotocols(serve: Serve) -> None:
    served = serve("echo", enable_memory=False)
    key = make_key(served, scope="tenant", tenant="acme")
    secret = key["authorization"].partition(" ")[2]
    with pytest.raises(InvalidStatus) as caught, opened(served):
        pass
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body or b"")["code"] == "missing_api_key"
    for options in (
        {"additional_headers": key},
        {"subprotocols": ["agentgraph", f"agentgraph-key.{secret}"]},
    ):
        with opened(served, **options) as socket:
            assert socket.subprotocol in {None, "agentgraph"}
            say(socket, "Hi", "m1")
            assert until(socket, ended("m1"))[-1]["type"] == "chat_complete"
            say(socket, "Hi", "m2", tenant="globex")
            (refused,) = until(socket, ended("m2"))
            assert refused["data"]["status"] == 404


def test_a_key_that_was_revoked_ends_an_open_connections_messages(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, api_keys=["root"])
    with opened(served, additional_headers={"authorization": "Bearer root"}) as socket:
        say(socket, "Hi", "m1")
        assert until(socket, ended("m1"))[-1]["type"] == "chat_complete"
        served.app.settings = served.app.settings.model_copy(update={"api_keys": ()})
        make_key(served, scope="tenant", tenant="acme")
        say(socket, "Hi", "m2")
        assert until(socket, ended("m2"))[-1]["data"]["status"] == 401


def test_pages_of_other_sites_may_not_open_one_where_no_key_is_asked_for(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, cors_origins=["https://friend.example"])
    with pytest.raises(InvalidStatus) as caught, opened(served, origin="https://evil.example"):
        pass
    assert caught.value.response.status_code == 403
    for origin in (served.url, "https://friend.example"):
        with opened(served, origin=origin) as socket:
            send(socket, "ping")
            socket.recv(timeout=_BOUND_S)
