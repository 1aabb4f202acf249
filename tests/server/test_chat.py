"""`/chat`: whole answers and streams of events, whose conversation it is, and what is refused."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from agentgraph.tools.promises import promising
from tests.server.conftest import Serve, Served
from tests.server.test_guard import make_key

pytestmark = pytest.mark.integration

at_once: list[int] = []
most: list[int] = [0]


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    at_once.append(1)
    most[0] = max(most[0], len(at_once))
    await asyncio.sleep(0.02)
    at_once.pop()
    return a + b


def calls(*args: dict[str, Any], name: str = "add", text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=[{"id": f"c{i}", "name": name, "args": each} for i, each in enumerate(args)])


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = []
    for frame in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        told = json.loads(fields["data"])
        assert told["event_type"] == fields["event"]
        events.append(told)
    return events


def said(served: Served, call: int = -1) -> list[str]:
    return [str(message.text) for message in served.model.calls[call]["messages"] if message.type != "system"]


def test_a_message_is_answered_with_what_was_done_for_it(serve: Serve) -> None:
    served = serve([calls({"a": 1, "b": 2}), "Three."], tools=[add], enable_memory=False)
    answer = served.http.post("/chat", json={"message": "1 + 2?"})
    told = answer.json()
    assert (told["response"], told["status"], told["finish_reason"]) == ("Three.", "completed", "stop")
    (ran,) = told["tool_runs"]
    assert {**ran, "duration_ms": 0} == {
        "id": "c0",
        "name": "add",
        "status": "success",
        "result": "3",
        "duration_ms": 0,
    }
    assert told["usage"]["total_tokens"] == told["usage"]["input_tokens"] + told["usage"]["output_tokens"]
    assert answer.headers["x-run-id"] == told["run_id"]


def test_a_stream_tells_words_and_tools_in_their_order(serve: Serve) -> None:
    script = [calls({"a": 1, "b": 2}, {"a": "x", "b": 2}, text="Let me see."), "It is three."]
    served = serve(script, tools=[add], enable_memory=False)
    events = events_of(served.http.post("/chat/stream", json={"message": "1 + 2?"}))
    kinds = [event["event_type"] for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "chat_chunk",
        "tool_call_start",
        "tool_call_error",
        "tool_call_complete",
        "chat_complete",
    ]
    assert "".join(event.get("content", "") for event in events) == "Let me see.\n\nIt is three."
    complete = next(event["tool_call"] for event in events if event["event_type"] == "tool_call_complete")
    assert (complete["name"], complete["arguments"], complete["result"]) == ("add", {"a": 1, "b": 2}, "3")
    failed = next(event["tool_call"] for event in events if event["event_type"] == "tool_call_error")
    assert "valid integer" in failed["error"]
    assert events[-1]["final_response"] == "It is three."


def test_a_clients_conversation_is_kept_until_it_is_reset(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, temporal_awareness=False)
    thread = served.http.post("/chat", json={"message": "I am Ana."}).json()["thread"]
    assert served.http.post("/chat", json={"message": "Who am I?"}).json()["thread"] == thread
    assert said(served) == ["I am Ana.", "You said: I am Ana.", "Who am I?"]
    served.http.post("/chat", json={"message": "And now?", "reset_history": True})
    assert said(served) == ["And now?"]
    served.http.post("/chat/stream", json={"message": "Still?"})
    assert said(served) == ["And now?", "You said: And now?", "Still?"]


def test_conversations_of_others_are_not_touched(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, temporal_awareness=False)
    ana, ben = make_key(served, scope="tenant", tenant="acme"), make_key(served, scope="tenant", tenant="acme")

    def say(text: str, headers: dict[str, str], **more: Any) -> list[str]:
        answer = served.http.post("/chat", json={"message": text, **more}, headers=headers)
        assert answer.status_code == 200, answer.text
        return said(served)

    say("The vault opens with 4711.", ana)
    assert say("Hi", ben) == ["Hi"]
    assert say("Hi", ana, client_id="phone-2") == ["Hi"]
    assert say("Hi", {**ana, "x-session-id": "s9"}) == ["Hi"]
    assert say("Hi", ana, thread="t1") == ["Hi"]
    assert say("Hi", ana, user="ana") == ["Hi"]
    assert len(say("Again", {**ana, "x-session-id": "s1"}, session_id="s9")) == 3  # the body wins
    assert len(say("Again", ana)) == 3


def test_whoever_acts_for_one_person_resets_only_what_that_person_began(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, temporal_awareness=False)
    ana, ben = (make_key(served, scope="user", tenant="acme", user=user) for user in ("ana", "ben"))
    body = {"message": "Hi", "thread": "t1"}
    assert served.http.post("/chat", json=body, headers=ana).status_code == 200
    assert served.http.post("/chat", json={**body, "reset_history": True}, headers=ben).status_code == 404
    assert "t1" in [info.thread for info in asyncio.run(served.app.threads.list(tenant="acme", user="ana"))]
    served.http.post("/chat", json={**body, "reset_history": True}, headers=ana)
    assert said(served) == ["Hi"]


def test_tools_run_one_by_one_where_that_is_asked(serve: Serve) -> None:
    served = serve(
        lambda messages, tools: (
            "Done." if messages[-1].type == "tool" else calls(*[{"a": 1, "b": n} for n in range(3)])
        ),
        tools=[add],
        enable_memory=False,
    )
    for parallel, expected in ((True, 3), (False, 1)):
        most[0] = 0
        served.http.post("/chat", json={"message": "Go", "parallel_tools": parallel, "reset_history": True})
        assert most[0] == expected


def test_what_fails_early_has_a_status_and_what_fails_late_an_event(serve: Serve) -> None:
    late = [calls({"a": 1, "b": 2}), ModelTimeoutError("secret")]
    served = serve([ModelTimeoutError("secret"), ModelTimeoutError("secret"), *late], tools=[add], model_retries=0)
    for path in ("/chat", "/chat/stream"):
        early = served.http.post(path, json={"message": "Hi"})
        assert (early.status_code, early.json()["code"]) == (504, "provider_timeout")
        assert early.headers["content-type"] == "application/problem+json"
    events = events_of(served.http.post("/chat/stream", json={"message": "Hi"}))
    assert [event["event_type"] for event in events] == ["tool_call_start", "tool_call_complete", "error"]
    assert (events[-1]["status"], events[-1]["code"]) == (504, "provider_timeout")
    assert events[-1]["request_id"].startswith("req-")
    assert "secret" not in repr(events)


def test_a_question_to_a_person_is_told_and_its_answer_taken(serve: Serve) -> None:
    @tool
    async def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    served = serve(
        [calls({"amount": 5}, name="pay"), "Paid."],
        tools=[promising(pay, needs_approval=True)],
        enable_memory=False,
    )
    events = events_of(served.http.post("/chat/stream", json={"message": "Pay 5"}))
    assert events[-1]["status"] == "requires_action"
    (waiting,) = events[-1]["interrupts"]
    assert [asked["arguments"] for asked in waiting["value"]["calls"]] == [{"amount": 5}]
    told = served.http.post("/chat", json={"resume": {"decision": "approve"}}).json()
    assert (told["response"], told["status"]) == ("Paid.", "completed")
    assert [ran["result"] for ran in told["tool_runs"]] == ["paid 5"]


def test_a_repeated_request_joins_the_run_it_began(serve: Serve) -> None:
    served = serve(["Once."])
    body = {"message": "Hi", "idempotency_key": "k1"}
    first, second = (served.http.post("/chat/stream", json=body) for _ in range(2))
    assert first.text == second.text
    assert served.http.post("/chat", json=body).json()["response"] == "Once."


BAD: list[tuple[dict[str, Any], int]] = [
    ({}, 400),
    ({"message": ""}, 422),
    ({"message": None}, 400),
    ({"message": 5}, 422),
    ({"message": "Hi", "resume": True}, 400),
    ({"message": "Hi", "nonsense": 1}, 422),
    ({"message": "Hi", "reset_history": "maybe"}, 422),
    ({"message": "Hi", "tenant": "../x"}, 400),
    ({"message": "Hi", "thread": "a/b"}, 400),
    ({"message": "Hi", "user": "a b"}, 400),
    ({"message": "Hi", "tenant": "acme:s1", "thread": "t1"}, 400),
    ({"message": "Hi", "timezone": "Mars"}, 400),
    ({"message": "Hi", "on_busy": "shout"}, 422),
    ({"message": "Hi", "model": "openai/nonsense"}, 404),
    ({"message": "Hi", "client_id": "x" * 201}, 422),
    ({"message": "Hi", "reset_history": True, "idempotency_key": "k"}, 400),
    ({"resume": True, "thread": "nothing-waits"}, 400),
]


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
def test_bad_requests_are_told_as_problems(serve: Serve, path: str) -> None:
    served = serve([])
    for body, status in BAD:
        answer = served.http.post(path, json=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b'{"message": "\\ud800"}'):
        answer = served.http.post(path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code in {400, 422}, (content[:20], answer.text)
    assert served.model.calls == []


def test_a_foreign_tenant_is_a_missing_one(serve: Serve) -> None:
    served = serve("echo")
    acme = make_key(served, scope="tenant", tenant="acme")
    make_key(served, scope="tenant", tenant="globex")
    told = [served.http.post("/chat", json={"message": "Hi", "tenant": t}, headers=acme) for t in ("globex", "nobody")]
    assert [answer.status_code for answer in told] == [404, 404]
    assert served.http.post("/chat", json={"message": "Hi"}).status_code == 401
