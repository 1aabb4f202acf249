"""Messages of chats, and the model alone."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from agentgraph.tools.promises import promising
from tests.server.conftest import Serve, Served
from tests.server.rest.conftest import client, started

pytestmark = pytest.mark.integration

TOOL = {"name": "find_flights", "description": "Find flights.", "parameters": {"type": "object", "properties": {}}}


def begun(served: Served) -> tuple[httpx.Client, str]:
    """Return a client and the path of a new chat's messages."""
    api = client(served)
    api.post("/subtenants", json={"id": "ann"})
    return api, f"/chats/{api.post('/subtenants/ann/chats', json={}).json()['id']}/messages"


def chunks(stream: str) -> str:
    """Return the words of a stream."""
    import json

    told = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    assert told[-1]["event_type"] == "chat_complete"
    return "".join(each.get("content", "") for each in told)


def test_a_chat_goes_on_whole_or_streamed_and_is_read_a_page_at_a_time(serve: Serve) -> None:
    api, messages = begun(started(serve, ["First.", "Second, in many words."]))
    answer = api.post(messages, json={"content": "One?"}).json()
    assert (answer["message"]["content"], answer["status"]) == ("First.", "completed")
    assert answer["usage"]["total_tokens"] > 0
    streamed = api.post(f"{messages}/stream", json={"content": "Two?"})
    assert chunks(streamed.text) == "Second, in many words."
    page = api.get(messages, params={"limit": 3}).json()
    assert [(each["role"], each["content"]) for each in page["data"]] == [
        ("user", "One?"),
        ("assistant", "First."),
        ("user", "Two?"),
    ]
    rest = api.get(messages, params={"limit": 3, "after": page["next"]}).json()
    assert [each["content"] for each in rest["data"]] == ["Second, in many words."]


@pytest.mark.parametrize("field", ["tools", "functions"])
def test_tools_of_the_client_are_called_and_answered(serve: Serve, field: str) -> None:
    call = AIMessage("", tool_calls=[{"id": "c1", "name": "find_flights", "args": {"to": "Kyoto"}}])
    api, messages = begun(started(serve, [call, "Two flights."]))
    body = {"content": "Flights?", field: [TOOL]}
    answer = api.post(messages, json=body).json()
    assert answer["status"] == "requires_action"
    assert answer["message"]["tool_calls"] == [{"id": "c1", "name": "find_flights", "arguments": {"to": "Kyoto"}}]
    results = {"tool_results": [{"tool_call_id": "c1", "content": "9:10, 14:40"}], field: [TOOL]}
    assert api.post(messages, json=results).json()["message"]["content"] == "Two flights."
    assert [each["role"] for each in api.get(messages).json()["data"]] == ["user", "assistant", "tool", "assistant"]


def test_without_memories_nothing_is_recalled_and_nothing_learned(serve: Serve) -> None:
    served = started(serve)
    api, messages = begun(served)
    api.post("/subtenants/ann/memories", json={"key": "diet", "value": "Ann is a vegetarian."})
    with_them = api.post(messages, json={"content": "What do I eat?"}).json()
    assert "vegetarian" in with_them["message"]["content"]
    assert [receipt["key"] for receipt in with_them["memories"]] == ["diet"]
    without = api.post(messages, json={"content": "What do I eat, really?", "include_memories": False}).json()
    assert "vegetarian" not in without["message"]["content"]
    asyncio.run(served.app.settled())
    texts = [each["text"] for each in api.get("/memories", params={"user": "ann"}).json()["data"]]
    assert "What do I eat, really?" not in texts


@pytest.mark.parametrize("wrong", [{}, {"content": "a", "resume": 1}, {"content": ""}, {"content": "a", "more": 1}])
def test_a_message_says_exactly_one_thing(serve: Serve, wrong: dict[str, object]) -> None:
    api, messages = begun(started(serve))
    assert api.post(messages, json=wrong).status_code == 422
    assert api.get(messages).json()["data"] == []


def test_a_message_sent_again_is_said_once(serve: Serve) -> None:
    api, messages = begun(started(serve, ["Once."]))
    key = {"idempotency-key": "k1"}
    first = api.post(messages, json={"content": "Hello"}, headers=key).json()
    assert api.post(messages, json={"content": "Hello"}, headers=key).json()["run_id"] == first["run_id"]
    assert len(api.get(messages).json()["data"]) == 2


def test_a_stream_that_cannot_begin_is_an_error_with_a_status(serve: Serve) -> None:
    api, messages = begun(started(serve))
    refused = api.post(f"{messages}/stream", json={"content": "Hello", "model": "nobody/knows"})
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"


@tool
def pay(amount: int) -> str:
    """Pay, which a person has to allow."""
    return f"paid {amount}"


def test_what_a_thread_waits_for_is_told_and_answered(serve: Serve) -> None:
    call = AIMessage("", tool_calls=[{"id": "c1", "name": "pay", "args": {"amount": 5}}])
    served = started(serve, [call, "Paid."], tools=[promising(pay, needs_approval=True)])
    api, messages = begun(served)
    thread = messages.replace("/chats/", "/threads/").removesuffix("/messages")
    assert api.post(messages, json={"content": "Pay 5."}).json()["status"] == "requires_action"
    (waiting,) = api.get(f"{thread}/interrupts").json()["data"]
    assert [each["arguments"] for each in waiting["value"]["calls"]] == [{"amount": 5}]
    assert api.post(f"{thread}/resume", json={"answer": "perhaps"}).status_code == 400
    answer = api.post(f"{thread}/resume", json={"answer": {"decision": "approve"}}).json()
    assert answer["message"]["content"] == "Paid."
    assert api.get(f"{thread}/interrupts").json()["data"] == []


def test_the_model_alone_has_no_memory_no_thread_and_no_tools(serve: Serve) -> None:
    served = started(serve, tools=[pay])
    api, _ = begun(served)
    api.post("/memories", json={"text": "The office is in Lyon."})
    answer = api.post("/llm/complete", json={"prompt": "Where is the office?", "system": "Be brief."}).json()
    assert "Lyon" not in answer["text"]
    assert answer["usage"]["total_tokens"] > 0
    assert "Where is the office?" in chunks(api.post("/llm/stream", json={"prompt": "Where is the office?"}).text)
    asyncio.run(served.app.settled())
    assert api.get("/threads").json()["data"] == []
    assert [each["text"] for each in api.get("/memories").json()["data"]] == ["The office is in Lyon."]
    assert not served.model.calls[-1]["tools"]
    assert api.post("/llm/complete", json={"prompt": "a", "messages": []}).status_code == 422
