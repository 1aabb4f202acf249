"""The Responses API, asked with the official client: kept, continued, streamed, retrieved, cancelled, deleted."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import Any

import httpx
import openai
import pytest
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import BaseModel

from agentgraph import Approval
from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.promises import promising
from tests.server.conftest import Serve, Served, eventually

pytestmark = pytest.mark.integration

BOOK = {
    "type": "function",
    "name": "book",
    "description": "Book a seat.",
    "parameters": {"type": "object", "properties": {"seat": {"type": "string"}}},
    "strict": False,
}
CALL = AIMessage("Let me see.", tool_calls=[{"id": "c1", "name": "book", "args": {"seat": "1A"}}])


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def post(served: Served, tenant: str = "acme", *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    body.setdefault("input", "Hello")
    return served.http.post(f"/v1/{tenant}/responses", json=body, headers=headers)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    told = []
    for frame in response.text.split("\n\n"):
        if frame:
            kind, data = frame.split("\n")
            told.append(json.loads(data.removeprefix("data: ")))
            assert kind == f"event: {told[-1]['type']}"
    return told


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [*parts]}]}


def said(served: Served, call: int = -1) -> list[str]:
    return [str(message.text).rpartition("\n\n")[2] for message in served.model.calls[call]["messages"]]


# Whole


def test_a_response_is_openais(serve: Serve) -> None:
    served = serve(["Hello Ana."])
    response = served.openai().responses.create(
        model="default", input="I am Ana.", instructions="Be brief.", metadata={"colour": "blue"}, temperature=0.5
    )
    assert response.id.startswith("resp_")
    assert (response.object, response.status, response.output_text) == ("response", "completed", "Hello Ana.")
    assert (response.instructions, response.metadata, response.temperature) == ("Be brief.", {"colour": "blue"}, 0.5)
    assert response.output[0].type == "message"
    assert response.usage is not None
    assert response.usage.output_tokens == 2
    assert served.model.calls[0]["messages"][0].text.endswith("Be brief.")


def test_a_kept_response_is_retrieved_as_it_was_answered(serve: Serve) -> None:
    served = serve(["Hello Ana."])
    client = served.openai()
    told = client.responses.create(model="default", input="I am Ana.", metadata={"colour": "blue"})
    again = client.responses.retrieve(told.id)
    assert again.to_dict() == told.to_dict()


def test_a_response_goes_on_behind_another(serve: Serve) -> None:
    served = serve(["Hello Ana.", "You are Ana.", "Another branch.", "Deeper."])
    client = served.openai()
    first = client.responses.create(model="default", input="I am Ana.")
    second = client.responses.create(model="default", input="Who am I?", previous_response_id=first.id)
    assert said(served)[-3:] == ["I am Ana.", "Hello Ana.", "Who am I?"]
    client.responses.create(model="default", input="And now?", previous_response_id=first.id)
    assert said(served)[-3:] == ["I am Ana.", "Hello Ana.", "And now?"]
    client.responses.create(model="default", input="Still?", previous_response_id=second.id)
    assert said(served)[-3:] == ["Who am I?", "You are Ana.", "Still?"]
    assert client.responses.retrieve(second.id).previous_response_id == first.id


def test_instructions_are_for_one_response(serve: Serve) -> None:
    served = serve(["One.", "Two."])
    client = served.openai()
    first = client.responses.create(model="default", input="Hi", instructions="Speak like a pirate.")
    client.responses.create(model="default", input="Hi", previous_response_id=first.id)
    assert not any("pirate" in str(message.text) for message in served.model.calls[1]["messages"])


def test_without_store_nothing_is_left(serve: Serve) -> None:
    served = serve(["Hi."])
    client = served.openai()
    response = client.responses.create(model="default", input="Hello", store=False)
    assert response.output_text == "Hi."
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    assert served.http.get(f"/v1/acme/responses/{response.id}").status_code == 404


def test_a_conversation_is_a_thread(serve: Serve) -> None:
    served = serve(["One.", "Two."])
    client = served.openai()
    client.responses.create(model="default", input="I am Ana.", conversation="talk")
    served.chat(messages=[{"role": "user", "content": "Who am I?"}], metadata={"thread_id": "talk"})
    assert said(served)[-3:] == ["I am Ana.", "One.", "Who am I?"]


def test_input_may_be_a_whole_conversation(serve: Serve) -> None:
    served = serve(["Done."])
    pixel = "data:image/png;base64,AAAA"
    document = base64.b64encode(b"The code word is heron.").decode()
    items: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Looking.", "annotations": [], "parsed": None}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "book",
            "arguments": '{"seat": "1A"}',
            "parsed_arguments": {"seat": "1A"},
        },
        {"type": "function_call", "call_id": "c2", "name": "book", "arguments": '{"seat": "2B"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "booked"},
        {"type": "function_call_output", "call_id": "c2", "output": "taken"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "And this?"},
                {"type": "input_image", "image_url": pixel, "detail": "low"},
                {"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;base64,{document}"},
            ],
        },
    ]
    response = served.openai().responses.create(model="default", input=items, tools=[BOOK], store=False)  # type: ignore[list-item]
    assert response.output_text == "Done."
    sent = served.model.calls[0]["messages"]
    assert [message.type for message in sent] == ["system", "human", "ai", "tool", "tool", "human"]
    assert [call["id"] for call in sent[2].tool_calls] == ["c1", "c2"]
    assert sent[2].text == "Looking."
    assert "heron" in sent[-1].text
    assert any(isinstance(block, dict) and block.get("type") == "image_url" for block in sent[-1].content)


def test_parameters_reach_the_model(serve: Serve) -> None:
    class Answer(BaseModel):
        word: str

    served = serve(['{"word": "heron"}'])
    parsed = served.openai().responses.parse(
        model="default",
        input="Hi",
        text_format=Answer,
        max_output_tokens=9,
        reasoning={"effort": "low"},
        top_p=0.5,
        service_tier="flex",
        user="u",
    )
    assert parsed.output_parsed == Answer(word="heron")
    parameters = served.model.calls[0]["parameters"]
    shape = parameters.pop("response_format")
    assert (shape["type"], shape["json_schema"]["name"]) == ("json_schema", "Answer")
    assert parameters == {
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "top_p": 0.5,
        "service_tier": "flex",
        "user": "u",
    }


# Tools


@pytest.mark.parametrize("stream", [False, True])
def test_calls_go_out_and_their_results_come_back(serve: Serve, stream: bool) -> None:
    served = serve([CALL, "Booked."])
    body = {"input": "Book 1A", "tools": [BOOK]}
    answer = post(served, stream=stream, **body)
    told = events(answer)[-1]["response"] if stream else answer.json()
    message, call = told["output"]
    assert message["content"][0]["text"] == "Let me see."
    assert (call["type"], call["call_id"], call["name"]) == ("function_call", "c1", "book")
    assert json.loads(call["arguments"]) == {"seat": "1A"}
    assert served.http.get(f"/v1/acme/responses/{told['id']}").json()["output"] == told["output"]
    result = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    after = post(served, input=[result], tools=[BOOK], previous_response_id=told["id"]).json()
    assert after["output"][0]["content"][0]["text"] == "Booked."
    assert [m.type for m in served.model.calls[1]["messages"]][-2:] == ["ai", "tool"]


def test_server_tools_never_show(serve: Serve) -> None:
    call = AIMessage("", tool_calls=[{"id": "s1", "name": "add", "args": {"a": 1, "b": 2}}])
    served = serve([call, "It is 3."], tools=[add])
    told = post(served, input="1 + 2?").json()
    assert [item["type"] for item in told["output"]] == ["message"]
    assert served.http.get(f"/v1/acme/responses/{told['id']}").json() == told


def test_what_waits_for_a_person_is_told_and_resumed(serve: Serve) -> None:
    call = AIMessage("", tool_calls=[{"id": "s1", "name": "add", "args": {"a": 1, "b": 2}}])
    served = serve([call, "It is 3."], tools=[promising(add, needs_approval=True)])
    told = post(served, input="1 + 2?").json()
    assert told["agentgraph"]["status"] == "requires_action"
    assert served.http.get(f"/v1/acme/responses/{told['id']}").json()["agentgraph"] == told["agentgraph"]
    answer = Approval(decision="approve").model_dump(exclude_none=True)
    body = {"resume": answer, "previous_response_id": told["id"]}
    after = served.http.post("/v1/acme/responses", json=body).json()
    assert after["output"][-1]["content"][0]["text"] == "It is 3."


# Streams


def test_a_stream_is_the_documented_sequence(serve: Serve) -> None:
    served = serve(["One two three."])
    told = events(post(served, stream=True))
    kinds = [event["type"] for event in told]
    deltas = kinds.count("response.output_text.delta")
    assert deltas > 2
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    text = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
    last = told[-1]["response"]
    assert text == last["output"][0]["content"][0]["text"] == "One two three."
    assert {event["item_id"] for event in told if "item_id" in event} == {last["output"][0]["id"]}
    assert served.http.get(f"/v1/acme/responses/{last['id']}").json()["output"] == last["output"]


def test_the_official_client_puts_streams_together(serve: Serve) -> None:
    served = serve([CALL])
    with served.openai().responses.stream(model="default", input="Book", tools=[BOOK]) as stream:  # type: ignore[list-item]
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert final.output_text == "Let me see."
    assert final.output[1].type == "function_call"


def test_what_fails_before_it_speaks_has_a_status_and_later_an_event(serve: Serve) -> None:
    class Breaks(ScriptedChatModel):
        async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            yield ChatGenerationChunk(message=AIMessageChunk("Half an"))
            raise ModelRateLimitError("sk-proj-secret")

    early = serve([ModelRateLimitError("no")], model_retries=0)
    response = post(early, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    late = serve(Breaks(script=[]), model_retries=0)
    told = events(post(late, stream=True))
    assert told[-1]["type"] == "response.failed"
    assert told[-1]["response"]["error"]["code"] == "rate_limit_exceeded"
    assert told[-1]["response"]["status"] == "failed"
    assert "sk-proj" not in json.dumps(told)


def test_an_answer_cut_short_is_incomplete(serve: Serve) -> None:
    served = serve([AIMessage("Half", response_metadata={"finish_reason": "length"})])
    told = post(served).json()
    assert (told["status"], told["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    again = served.http.get(f"/v1/acme/responses/{told['id']}").json()
    assert (again["status"], again["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


# In the background


def test_a_response_in_the_background_is_retrieved_and_cancelled(serve: Serve) -> None:
    go, asked = threading.Event(), threading.Event()

    class Slow(ScriptedChatModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            asked.set()
            await asyncio.to_thread(go.wait, 10)
            return await super()._agenerate(*args, **kwargs)

    served = serve(Slow(script=["Done."]))
    client = served.openai()
    slow = client.responses.create(model="default", input="Hello", background=True)
    assert slow.status in {"queued", "in_progress"}
    assert asked.wait(10)
    assert client.responses.retrieve(slow.id).status == "in_progress"
    cancelled = client.responses.cancel(slow.id)
    assert cancelled.status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="has ended"):
        client.responses.cancel(slow.id)
    go.set()
    done = client.responses.create(model="default", input="Hello", background=True)
    eventually(lambda: client.responses.retrieve(done.id).status == "completed")
    assert client.responses.retrieve(done.id).output_text == "Done."


# Lists and deletion


def test_input_items_are_listed_in_pages(serve: Serve) -> None:
    served = serve(["Hi.", "Ho."])
    client = served.openai()
    first = client.responses.create(model="default", input="Zero")
    items: list[Any] = [{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}]
    response = client.responses.create(model="default", input=items, previous_response_id=first.id)
    listed = [item.to_dict() for item in client.responses.input_items.list(response.id, order="asc", limit=1)]
    assert [item["content"][0]["text"] for item in listed] == ["One", "Two"]  # type: ignore[index]
    newest = client.responses.input_items.list(response.id, limit=1)
    assert newest.data[0].to_dict()["content"][0]["text"] == "Two"  # type: ignore[index]
    assert newest.has_more


def test_a_deleted_response_is_gone_and_its_thread_with_the_last(serve: Serve) -> None:
    served = serve(["One.", "Two."])
    client = served.openai()
    first = client.responses.create(model="default", input="Secret", extra_headers={"x-include-memories": "false"})
    second = client.responses.create(
        model="default", input="Again", previous_response_id=first.id, extra_headers={"x-include-memories": "false"}
    )
    client.responses.delete(first.id)
    for call in (
        lambda: client.responses.retrieve(first.id),
        lambda: client.responses.delete(first.id),
        lambda: client.responses.create(model="default", input="x", previous_response_id=first.id),
        lambda: list(client.responses.input_items.list(first.id)),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    assert client.responses.retrieve(second.id).output_text == "Two."
    client.responses.delete(second.id)
    assert [thread for thread in asyncio.run(served.app.threads.list(tenant="acme")) if thread.turns] == []


# Whose


def test_a_foreign_response_is_told_as_one_there_is_none_of(serve: Serve) -> None:
    served = serve(["Secret."])
    mine = post(served, headers={"x-user-id": "ana"}).json()["id"]
    none = "resp_" + "0" * 32

    def told(tenant: str, wanted: str) -> list[Any]:
        answers = [
            served.http.get(f"/v1/{tenant}/responses/{wanted}"),
            served.http.get(f"/v1/{tenant}/responses/{wanted}/input_items"),
            served.http.post(f"/v1/{tenant}/responses/{wanted}/cancel"),
            post(served, tenant, previous_response_id=wanted),
            served.http.delete(f"/v1/{tenant}/responses/{wanted}"),
        ]
        return [(answer.status_code, answer.text.replace(wanted, "…")) for answer in answers]

    missing = told("acme", none)
    assert {status for status, _ in missing} == {404}
    for tenant in ("other", "acme:session", "other:session"):
        assert told(tenant, mine) == missing
    for junk in ("resp_", "run-1", "resp_..", "x" * 300, "resp_" + mine):
        assert {status for status, _ in told("acme", junk)} == {404}
    assert served.http.get(f"/v1/acme/responses/{mine}").status_code == 200


def test_another_persons_response_is_told_as_one_there_is_none_of(serve: Serve) -> None:
    def bind(request: Any, tenant: str) -> None:
        request.state.user_id = request.headers["x-person"]

    served = serve(["Secret.", "Mine too."], auth_hook=bind)
    mine = post(served, headers={"x-person": "ana"}).json()["id"]
    path = f"/v1/acme/responses/{mine}"
    for method, url, body in (
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/cancel", None),
        ("GET", f"{path}/input_items", None),
        ("POST", "/v1/acme/responses", {"input": "x", "previous_response_id": mine}),
    ):
        answer = served.http.request(method, url, json=body, headers={"x-person": "bob"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")
    assert served.http.get(path, headers={"x-person": "ana"}).status_code == 200


def test_the_user_goes_along_with_the_conversation(serve: Serve) -> None:
    served = serve(["One.", "Two."])
    first = post(served, input="My dog is called Rex.", headers={"x-user-id": "ana"}).json()["id"]
    post(served, input="My cat is called Tom.", previous_response_id=first)
    asyncio.run(served.app.settled())
    kept = [memory.text for memory in asyncio.run(served.app.memories.list(tenant="acme", user="ana"))]
    assert sorted(kept) == ["My cat is called Tom.", "My dog is called Rex."]


# Again


def test_a_request_sent_again_joins_the_run_it_began(serve: Serve) -> None:
    served = serve(["Once.", "Twice."])
    first = post(served).json()["id"]
    assert post(served, headers={"x-stainless-retry-count": "1"}).json()["id"] == first
    assert post(served).json()["id"] != first
    served = serve(["Once."])
    keyed = [post(served, headers={"idempotency-key": "k"}).json()["id"] for _ in range(2)]
    assert keyed[0] == keyed[1]


def test_receipts_are_told_where_asked_for(serve: Serve) -> None:
    served = serve(["Rex.", "Rex.", "Rex."])
    post(served, input="My dog is called Rex.")
    asyncio.run(served.app.settled())
    told = post(served, input="What is my dog called?", headers={"x-receipts": "true"}).json()
    assert "Rex" in told["agentgraph"]["memories"][0]["text"]
    streamed = events(post(served, input="What is my dog called?", stream=True, headers={"x-receipts": "true"}))
    assert "Rex" in streamed[-1]["response"]["agentgraph"]["memories"][0]["text"]


# What is refused

REFUSED: dict[str, Any] = {
    "access_programs": {},
    "context_management": [],
    "image": {},
    "max_tool_calls": 3,
    "moderation": {"model": "m"},
    "prompt": {"id": "p"},
    "prompt_cache_options": {"ttl": "30m"},
    "prompt_cache_retention": "24h",
    "top_logprobs": 2,
}
HONOURED = {
    "background", "conversation", "include", "input", "instructions", "max_output_tokens", "metadata", "model",
    "parallel_tool_calls", "previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier",
    "store", "stream_options", "temperature", "text", "tool_choice", "tools", "top_p", "truncation", "user",
}  # fmt: skip
BAD: list[tuple[dict[str, Any], str]] = [
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
    (user({"type": "input_image", "image_url": "/etc/passwd"}), "input[0].content[0].image_url"),
    (user({"type": "input_file", "file_id": "f"}), "input[0].content[0].file_data"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [BOOK], "tool_choice": {"type": "function", "name": "fly"}}, "tool_choice"),
    ({"previous_response_id": "resp_1", "conversation": "c"}, "conversation"),
    ({"previous_response_id": "resp_1", "store": False}, "store"),
    ({"store": False, "background": True}, "background"),
    ({"store": False, "truncation": "auto"}, "truncation"),
    ({"truncation": "disabled"}, "truncation"),
    ({"stream_options": {}}, "stream_options"),
    ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
    ({"include": ["file_search_call.results"]}, "include[0]"),
    ({"conversation": "../x"}, "thread"),
    ({"temperature": 3}, "temperature"),
    ({"text": {"format": {"type": "yaml"}}}, "text.format"),
]  # fmt: skip


def test_every_documented_field_is_honoured_or_refused_by_name(serve: Serve) -> None:
    assert HONOURED | set(REFUSED) == set(ResponseCreateParamsBase.__annotations__)
    served = serve([])
    for field, value in REFUSED.items():
        error = post(served, **{field: value}).json()["error"]
        assert (error["param"], error["code"]) == (field, "unknown_field")
        assert not error["message"].endswith(": leave it out")
    for body, param in BAD:
        response = post(served, **body)
        assert response.status_code == 400, body
        assert response.json()["error"]["param"] == param, body


def test_sessions_hold_responses_of_their_own(serve: Serve) -> None:
    served = serve(["One.", "Two."])
    first = post(served, "acme:s", input="I am Ana.").json()["id"]
    assert post(served, "acme:s", input="Who?", previous_response_id=first).status_code == 200
    assert said(served)[-3:] == ["I am Ana.", "One.", "Who?"]
    assert served.http.get(f"/v1/acme:s/responses/{first}").status_code == 200
    assert served.http.get(f"/v1/acme/responses/{first}").status_code == 404
    assert post(served, "acme:s", store=False).json()["error"]["param"] == "store"
