"""The official client, and bare HTTP, against OpenAI's routes."""

import asyncio
import json
import socket
import threading
import warnings
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from pydantic import BaseModel

from agentgraph import AgentGraph
from agentgraph.server.openai import openai_router
from agentgraph.testing import HashEmbeddings, ScriptedChatModel
from tests.server.conftest import Serve, running

pytestmark = pytest.mark.integration

BOOK = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book a seat.",
        "parameters": {"type": "object", "properties": {"seat": {"type": "string"}, "row": {"type": "integer"}}},
    },
}
BIG = 2**70
KEY = "sk-proj-verysecret"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calls(*named: tuple[str, str, dict[str, Any]], text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=[{"id": i, "name": name, "args": args} for i, name, args in named])


def frames(response: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_of(stream: list[Any]) -> str:
    deltas = [c["choices"][0]["delta"] for c in stream if isinstance(c, dict) and c.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


# Answers


def test_an_answer_is_openais(serve: Serve) -> None:
    served = serve(["Hello Ana."])
    answer = served.openai().chat.completions.create(
        model="agentgraph", messages=[{"role": "user", "content": "I am Ana."}]
    )
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    choice = answer.choices[0]
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert choice.message.content == "Hello Ana."
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 2


def test_a_stream_says_what_the_whole_answer_says(serve: Serve) -> None:
    served = serve(["One two three.", "One two three."])
    whole = served.chat().json()
    stream = frames(served.chat(stream=True, stream_options={"include_usage": True}))
    assert stream[-1] == "[DONE]"
    chunks, usage = stream[:-2], stream[-2]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert text_of(chunks) == whole["choices"][0]["message"]["content"] == "One two three."
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]


def test_usage_is_told_only_where_asked_for(serve: Serve) -> None:
    stream = frames(serve(["Hi."]).chat(stream=True))
    assert stream[-2]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in chunk for chunk in stream[:-1])


async def test_the_async_client_streams_too(serve: Serve) -> None:
    served = serve(["One two three."])
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1/acme", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "Count"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == "One two three."
    assert len(pieces) > 3


def test_ids_come_back_as_headers(serve: Serve) -> None:
    served = serve(["Hi.", "Hi."])
    response = served.chat(headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    assert response.headers["x-run-id"].removeprefix("run-") in response.json()["id"]
    streamed = served.chat(stream=True, headers={"x-request-id": "not a sane id"})
    assert streamed.headers["x-request-id"].startswith("req-")
    assert streamed.headers["x-run-id"].removeprefix("run-") in frames(streamed)[0]["id"]


def test_parameters_reach_the_model_only_where_set(serve: Serve) -> None:
    served = serve(["{}", "Hi."])
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}}
    served.chat(temperature=0, max_tokens=5, stop="END", seed=7, logit_bias={"50": -100}, response_format=shape)
    served.chat(top_p=None)
    assert served.model.calls[0]["parameters"] == {
        "temperature": 0,
        "max_tokens": 5,
        "stop": ["END"],
        "seed": 7,
        "logit_bias": {"50": -100},
        "response_format": shape,
    }
    assert served.model.calls[1]["parameters"] == {}


def test_images_reach_the_model(serve: Serve) -> None:
    served = serve(["A cat."])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    served.chat(messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])
    assert image in served.model.calls[0]["messages"][-1].content


def test_the_caller_speaks_after_the_system_messages(serve: Serve) -> None:
    served = serve(["Oui."])
    messages = [
        {"role": "system", "content": "Speak French."},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Yes?", "name": "ana"},
    ]
    served.chat(messages=messages)
    system = served.model.calls[0]["messages"][0]
    assert system.type == "system"
    assert system.text.endswith("Speak French.\n\nBe brief.")


# Tools


def test_client_tool_calls_go_out_and_results_come_back_one_off(serve: Serve) -> None:
    served = serve([calls(("c1", "book", {"seat": "aisle", "row": 12})), "Booked."])
    client = served.openai()
    messages: list[Any] = [{"role": "user", "content": "Book me."}]
    tools: Any = [BOOK]
    first = client.chat.completions.create(model="default", messages=messages, tools=tools).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    assert first.message.tool_calls is not None
    call: Any = first.message.tool_calls[0]
    assert (call.id, call.type, call.function.name) == ("c1", "function", "book")
    assert json.loads(call.function.arguments) == {"seat": "aisle", "row": 12}
    assert list(json.loads(call.function.arguments)) == ["seat", "row"]
    messages += [first.message, {"role": "tool", "tool_call_id": "c1", "content": "12C"}]
    second = client.chat.completions.create(model="default", messages=messages, tools=tools).choices[0]
    assert second.message.content == "Booked."
    asked = served.model.calls[1]["messages"]
    assert asked[-2].tool_calls[0]["args"] == {"seat": "aisle", "row": 12}
    assert asked[-1].tool_call_id == "c1"


def test_numbers_of_any_size_go_out(serve: Serve) -> None:
    answer = serve([calls(("c1", "book", {"row": BIG}))]).chat(tools=[BOOK]).json()["choices"][0]["message"]
    assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == {"row": BIG}


def test_what_the_official_client_parsed_may_be_sent_back(serve: Serve) -> None:
    class Book(BaseModel):
        seat: str

    served = serve(['{"seat": "1A"}', calls(("c1", "Book", {"seat": "1A"})), "Booked."])
    asked: list[Any] = [{"role": "user", "content": "Which seat?"}]
    parse = served.openai().chat.completions.parse
    with warnings.catch_warnings(action="ignore"):  # pydantic's, of the client's own classes
        told = parse(model="default", messages=asked, response_format=Book).choices[0].message
        assert told.parsed == Book(seat="1A")
        asked += [told, {"role": "user", "content": "Book it."}]
        called = parse(model="default", messages=asked, tools=[openai.pydantic_function_tool(Book)]).choices[0].message
        assert called.tool_calls is not None
        assert called.tool_calls[0].function.parsed_arguments == Book(seat="1A")
        asked += [called, {"role": "tool", "tool_call_id": "c1", "content": "done"}]
        last = served.openai().chat.completions.create(model="default", messages=asked)
    assert last.choices[0].message.content == "Booked."


@pytest.mark.parametrize("resend_everything", [True, False])
def test_client_tool_results_find_their_thread(serve: Serve, resend_everything: bool) -> None:
    served = serve([calls(("c1", "book", {"seat": "aisle"})), "Booked."])
    messages: list[Any] = [{"role": "user", "content": "Book me."}]
    headers = {"x-thread-id": "t1"}
    first = served.chat(messages=messages, tools=[BOOK], headers=headers).json()["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "c1", "content": "12C"}
    follow_up = [*messages, first, result] if resend_everything else [result]
    answer = served.chat(messages=follow_up, tools=[BOOK], headers=headers)
    assert answer.json()["choices"][0]["message"]["content"] == "Booked."
    kinds = [m.type for m in served.model.calls[1]["messages"] if m.type != "system"]
    assert kinds[:3] == ["human", "ai", "tool"]


def test_streamed_calls_are_numbered_and_whole(serve: Serve) -> None:
    both = calls(
        ("c1", "book", {"seat": "aisle", "row": 1}), ("c2", "book", {"seat": "window", "row": 2}), text="Sure."
    )
    stream = frames(serve([both]).chat(stream=True, tools=[BOOK]))
    assert text_of(stream) == "Sure."
    arguments: dict[int, str] = {}
    heads: list[tuple[int, str, str]] = []
    for chunk in stream[:-1]:
        for piece in chunk["choices"][0]["delta"].get("tool_calls", []):
            index = piece["index"]
            if "id" in piece:
                heads.append((index, piece["id"], piece["function"]["name"]))
            arguments[index] = arguments.get(index, "") + piece["function"]["arguments"]
    assert heads == [(0, "c1", "book"), (1, "c2", "book")]
    assert [list(json.loads(text).items()) for text in arguments.values()] == [
        [("seat", "aisle"), ("row", 1)],
        [("seat", "window"), ("row", 2)],
    ]
    assert stream[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_server_tools_never_show(serve: Serve) -> None:
    script = [calls(("s1", "add", {"a": 2, "b": 3}), text="Let me see."), "It is 5."]
    served = serve([*script, *script], tools=[add])
    whole = served.chat().json()["choices"][0]
    assert (whole["finish_reason"], whole["message"]["content"]) == ("stop", "It is 5.")
    assert "tool_calls" not in whole["message"]
    stream = frames(served.chat(stream=True))
    assert text_of(stream) == "Let me see.\n\nIt is 5."
    assert not any("tool_calls" in c["choices"][0]["delta"] for c in stream[:-1])
    assert stream[-2]["choices"][0]["finish_reason"] == "stop"


def test_of_mixed_calls_only_the_clients_go_out(serve: Serve) -> None:
    mixed = calls(("s1", "add", {"a": 2, "b": 3}), ("c1", "book", {"seat": "aisle"}))
    served = serve([mixed, mixed], tools=[add])
    whole = served.chat(tools=[BOOK]).json()["choices"][0]
    assert [call["id"] for call in whole["message"]["tool_calls"]] == ["c1"]
    stream = frames(served.chat(tools=[BOOK], stream=True))
    pieces = [p for c in stream[:-1] for p in c["choices"][0]["delta"].get("tool_calls", [])]
    assert {piece["index"] for piece in pieces} == {0}
    assert [piece["id"] for piece in pieces if "id" in piece] == ["c1"]


def test_the_old_function_role_is_understood(serve: Serve) -> None:
    served = serve(["It is 12C."])
    messages = [
        {"role": "user", "content": "Book."},
        {"role": "assistant", "content": None, "function_call": {"name": "book", "arguments": "{}"}},
        {"role": "function", "name": "book", "content": "12C"},
    ]
    assert served.chat(messages=messages).status_code == 200
    call, result = served.model.calls[0]["messages"][-2:]
    assert call.tool_calls[0]["id"] == result.tool_call_id


def test_who_asks_with_functions_is_answered_with_a_function_call(serve: Serve) -> None:
    both = calls(("c1", "book", {"row": 1}), ("c2", "book", {"row": 2}), text="Booking.")
    served = serve([both, both, "Booked."])
    asked: Any = {"functions": [BOOK["function"]], "function_call": {"name": "book"}}
    messages: Any = [{"role": "user", "content": "Book."}]
    client = served.openai()
    whole = client.chat.completions.create(model="default", messages=messages, **asked).choices[0]
    assert whole.finish_reason == "function_call"
    assert whole.message.tool_calls is None
    assert whole.message.function_call is not None
    assert whole.message.function_call.name == "book"
    assert json.loads(whole.message.function_call.arguments) == {"row": 1}
    pieces = list(client.chat.completions.create(model="default", messages=messages, stream=True, **asked))
    told = [piece.choices[0].delta.function_call for piece in pieces if piece.choices[0].delta.function_call]
    assert [call.name for call in told if call.name] == ["book"]
    assert json.loads("".join(call.arguments or "" for call in told)) == {"row": 1}
    assert pieces[-1].choices[0].finish_reason == "function_call"
    assert all(piece.choices[0].delta.tool_calls is None for piece in pieces)
    assert [call["tool_choice"] for call in served.model.calls] == [
        {"type": "function", "function": {"name": "book"}}
    ] * 2
    said = whole.message.model_dump(exclude_none=True, include={"role", "content", "function_call"})
    messages += [said, {"role": "function", "name": "book", "content": "12C"}]
    last = client.chat.completions.create(model="default", messages=messages, functions=asked["functions"]).choices[0]
    assert (last.finish_reason, last.message.content) == ("stop", "Booked.")


@pytest.mark.parametrize("resends", [True, False])
def test_a_function_without_an_id_finds_its_call_on_the_thread(serve: Serve, resends: bool) -> None:
    served = serve([calls(("c1", "book", {"seat": "aisle"})), "Booked 12C."], enable_memory=False)
    options: Any = {"functions": [BOOK["function"]], "headers": {"x-thread-id": "t1"}}
    asked = {"role": "user", "content": "Book."}
    message = served.chat(messages=[asked], **options).json()["choices"][0]["message"]
    assert "tool_calls" not in message
    result = {"role": "function", "name": "book", "content": "12C"}
    answer = served.chat(messages=[asked, message, result] if resends else [result], **options)
    assert answer.json()["choices"][0]["message"]["content"] == "Booked 12C."
    history = asyncio.run(served.app.history(tenant="acme", thread="t1"))
    assert [m.type for m in history] == ["human", "ai", "tool", "ai"]
    assert history[2].tool_call_id == "c1"  # type: ignore[attr-defined]


# Tenants, threads, memory


def test_a_thread_goes_on_and_a_one_off_run_does_not(serve: Serve) -> None:
    served = serve(["Hello Ana.", "Ana.", "I do not know."], enable_memory=False)
    served.chat(messages=[{"role": "user", "content": "I am Ana."}], headers={"x-thread-id": "t1"})
    served.chat(messages=[{"role": "user", "content": "Who?"}], metadata={"thread_id": "t1"})
    served.chat(messages=[{"role": "user", "content": "Who?"}])
    said = [[str(m.text) for m in call["messages"] if m.type != "system"] for call in served.model.calls]
    assert said[1][:2] == ["I am Ana.", "Hello Ana."]
    assert "Ana" not in "".join(said[2])


def test_a_header_wins_over_metadata(serve: Serve) -> None:
    served = serve(["A.", "B."], enable_memory=False)
    served.chat(headers={"x-thread-id": "one"}, metadata={"thread_id": "two"})
    history = asyncio.run(served.app.history(tenant="acme", thread="one"))
    assert len(history) == 2


def test_a_session_in_the_url_is_a_thread(serve: Serve) -> None:
    served = serve(["A.", "B."], enable_memory=False)
    served.chat("acme:s1", messages=[{"role": "user", "content": "I am Ana."}])
    served.chat("acme:s1", messages=[{"role": "user", "content": "Who?"}])
    assert "I am Ana." in [str(m.text) for m in served.model.calls[1]["messages"]]


def test_what_every_tenant_reads_cannot_be_written_over_http(serve: Serve) -> None:
    served = serve([], enable_global_memory=True)
    for tenant in ("_global", "_global:s1"):
        assert served.chat(tenant).status_code == 403
        config = {"configurable": {"tenant": tenant}}
        assert served.http.post("/agent/invoke", json={"input": "Hi", "config": config}).status_code == 403


def test_tenants_never_see_each_others_memories(serve: Serve) -> None:
    served = serve()
    secret = "The vault opens with 4711."
    served.chat("acme", messages=[{"role": "user", "content": secret}])
    asyncio.run(served.app.settled())
    question = [{"role": "user", "content": "What opens the vault?"}]
    theirs = served.chat("globex", messages=question, headers={"x-thread-id": "t1", "x-user-id": "acme"}).text
    assert "4711" not in theirs
    assert "4711" in served.chat("acme", messages=question).text
    assert "4711" not in served.chat("acme", messages=question, headers={"x-include-memories": "false"}).text


# Errors


def test_failures_within_a_stream_are_told_without_a_fake_end(serve: Serve) -> None:
    class BreaksOff(ScriptedChatModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            yield ChatGenerationChunk(message=AIMessageChunk(content="Half an"))
            raise ModelAPIError(f"vendor said {KEY}")

    served = serve(BreaksOff(script=[]))
    response = served.chat(stream=True)
    stream = frames(response)
    assert text_of(stream) == "Half an"
    assert stream[-1]["error"]["code"] == "provider_error"
    assert "[DONE]" not in stream
    assert KEY not in response.text
    assert all(c["choices"][0]["finish_reason"] is None for c in stream[:-1])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ModelRateLimitError(KEY), 429, "rate_limit_exceeded"),
        (ModelTimeoutError(KEY), 504, "provider_timeout"),
        (ModelAPIError(KEY), 502, "provider_error"),
        (ModelConnectionError(KEY), 502, "provider_unreachable"),
        (ModelAuthenticationError(KEY), 502, "provider_authentication"),
        (ModelInvalidRequestError(KEY), 400, "provider_rejected_request"),
        (ContextOverflowError(KEY), 400, "context_length_exceeded"),
        (httpx.ReadError(KEY), 502, "provider_unreachable"),
        (ZeroDivisionError(KEY), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_model_is_told_as_what_it_is(
    serve: Serve, error: Exception, status: int, code: str, stream: bool
) -> None:
    response = serve(lambda messages, tools: error, model_retries=0).chat(stream=stream)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    told = response.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["code"] == code
    assert KEY not in response.text
    assert "Traceback" not in response.text
    retryable = code in {"rate_limit_exceeded", "provider_timeout", "provider_error", "provider_unreachable"}
    assert response.headers["x-should-retry"] == str(retryable).lower()


@pytest.mark.parametrize("stream", [False, True])
def test_after_a_failure_the_thread_goes_on_with_what_was_said(serve: Serve, stream: bool) -> None:
    script = [ModelTimeoutError("slow"), "Ana."]
    served = serve(script, model_retries=0, enable_memory=False)
    headers = {"x-thread-id": "t1"}
    failed = served.chat(messages=[{"role": "user", "content": "I am Ana."}], headers=headers, stream=stream)
    assert failed.status_code == 504
    assert failed.headers["x-should-retry"] == "true"
    served.chat(messages=[{"role": "user", "content": "Who am I?"}], headers=headers, stream=stream)
    assert served.model.calls[-1]["messages"][-1].text.endswith("I am Ana.\n\nWho am I?")


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_hangs_is_given_up_and_the_thread_goes_on(serve: Serve, stream: bool) -> None:
    class Hangs(ScriptedChatModel):
        async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if messages[-1].text.endswith("Hang"):
                await asyncio.sleep(30)
            return await super()._agenerate(messages, *args, **kwargs)

        async def _astream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if messages[-1].text.endswith("Hang"):
                await asyncio.sleep(30)
            async for piece in super()._astream(messages, *args, **kwargs):
                yield piece

    served = serve(Hangs(script=["Still here."]), model_timeout_s=0.3, model_retries=0, enable_memory=False)
    headers = {"x-thread-id": "t1"}
    failed = served.chat(messages=[{"role": "user", "content": "Hang"}], headers=headers, stream=stream)
    assert (failed.status_code, failed.json()["error"]["code"]) == (504, "provider_timeout")
    assert served.chat(headers=headers).json()["choices"][0]["message"]["content"] == "Still here."


def test_a_turn_the_official_client_tries_again_is_said_once(serve: Serve) -> None:
    served = serve([ModelAPIError("down"), "Hello."], model_retries=0, enable_memory=False)
    client = served.openai(max_retries=2, default_headers={"x-thread-id": "t1"})
    answer = client.chat.completions.create(model="default", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == "Hello."
    assert len(served.model.calls) == 2
    assert [str(m.text) for m in asyncio.run(served.app.history(tenant="acme", thread="t1"))] == ["Hi", "Hello."]


def test_a_one_off_run_that_acted_is_not_tried_again_by_the_client(serve: Serve) -> None:
    acted = [calls(("s1", "add", {"a": 2, "b": 3})), ModelAPIError("down")]
    served = serve([*acted, *acted, "Five."], tools=[add], model_retries=0)
    for stream in (False, True):
        failed = served.chat(stream=stream)
        assert (failed.status_code, failed.headers["x-should-retry"]) == (502, "false")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}]},
        "messages[0].content[0].image_url.url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_path": "/etc/passwd"}}]}]},
        "messages[0].content[0].file.file_path",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"stream": "yes"}, "stream"),
    ({"stop": 5}, "stop"),
    ({"n": 0}, "n"),
    ({"n": 9}, "n"),
    ({"n": 2, "metadata": {"thread_id": "t"}}, "n"),
    ({"store": True}, "store"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"logprobs": True, "stream": True}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"functions": [{"name": "a b"}]}, "functions[0].name"),
    ({"functions": [BOOK["function"], BOOK["function"]]}, "tools"),
    ({"functions": [BOOK["function"]], "tools": [BOOK]}, "tools"),
    ({"functions": [BOOK["function"]], "function_call": "required"}, "function_call"),
    ({"functions": [BOOK["function"]], "function_call": {"name": "fly"}}, "function_call"),
    ({"functions": [BOOK["function"]], "function_call": "auto", "tool_choice": "auto"}, "function_call"),
    ({"function_call": {"name": "fly"}}, "function_call"),
    ({"temprature": 1}, "temprature"),
    ({"modalities": ["audio"]}, "modalities[0]"),
    ({"response_format": {"type": "yaml"}}, "response_format"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": 1}}}, "response_format.json_schema.name"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
    ({"tools": [BOOK, BOOK]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [BOOK], "tool_choice": {"type": "function", "function": {"name": "fly"}}}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "add"}}]}, "tools"),
    ({"metadata": {"timezone": "Mars/Olympus"}}, "timezone"),
    ({"metadata": {"thread_id": "../x"}}, "thread"),
    ({"metadata": {"include_memories": "perhaps"}}, "include_memories"),
    ({"metadata": {"n": 1}}, "metadata"),
    ({"metadata": {"on_busy": "queue"}}, "on_busy"),
    ({"metadata": {"on_disconnect": "maybe"}}, "on_disconnect"),
    ({"resume": True}, "resume"),
    ({"messages": [], "resume": True}, "resume"),
    ({"idempotency_key": "k"}, "idempotency_key"),
]


def test_bad_input_names_the_field_at_fault(serve: Serve) -> None:
    served = serve([], tools=[add])
    for body, param in BAD:
        response = served.chat(**body)
        assert response.status_code == 400, (body, response.text)
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert response.json()["error"]["param"] == param, body
        assert response.headers["x-should-retry"] == "false"
    assert served.model.calls == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"messages": ' + b"9" * 5000]
)
def test_what_is_no_json_object_is_refused(serve: Serve, body: bytes) -> None:
    response = serve([]).http.post("/v1/acme/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "tenant",
    [
        "..",
        "a/b",
        "a b",
        "",
        "é",
        "a\0b",
        "x" * 129,
        "acme:",
        ":s",
        "acme:s:t",
        "..:s",
        "a%2e%2e/b",
        "a\\b",
        "a\nb",
        "\n",
    ],
)
def test_ids_that_are_none_are_refused(serve: Serve, tenant: str) -> None:
    served = serve([])
    quoted = "".join(f"%{byte:02x}" for byte in tenant.encode())
    for answer in (
        served.http.post(f"/v1/{quoted}/chat/completions", json={"messages": [{"role": "user", "content": "x"}]}),
        served.http.get(f"/v1/{quoted}/models"),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] in {"tenant", "session"}
    assert not [path for path in served.storage_dir.iterdir() if not path.name.startswith(".")]


def test_a_session_and_a_thread_do_not_go_together(serve: Serve) -> None:
    response = serve([]).chat("acme:s1", headers={"x-thread-id": "t1"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "thread_id"


def test_an_unknown_model_is_named_with_the_nearest(serve: Serve) -> None:
    served = serve([])
    with pytest.raises(openai.NotFoundError) as caught:
        served.openai().chat.completions.create(
            model="openai/gpt-4o-mino", messages=[{"role": "user", "content": "Hi"}]
        )
    assert caught.value.code == "model_not_found"
    assert "openai/gpt-4o-mini" in caught.value.message


def test_a_model_without_its_key_is_told(serve: Serve) -> None:
    response = serve([]).chat(model="openai/gpt-4o-mini")
    assert response.status_code == 503
    assert "OPENAI_API_KEY" in response.json()["error"]["message"]


def test_unknown_routes_and_methods_are_told_in_openais_shape(serve: Serve) -> None:
    served = serve([])
    missing = served.http.post("/v1/acme/completions", json={})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "route_not_found")
    assert "/docs" in missing.json()["error"]["message"]
    wrong = served.http.get("/v1/acme/chat/completions")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


# Clients that leave


def test_a_run_goes_on_when_its_client_leaves(serve: Serve) -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Slow(ScriptedChatModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            yield ChatGenerationChunk(message=AIMessageChunk(content="First "))
            reached.set()
            await asyncio.to_thread(go_on.wait, 10)
            yield ChatGenerationChunk(message=AIMessageChunk(content="second.", chunk_position="last"))

    served = serve(Slow(script=[]), enable_memory=False)
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with served.http.stream("POST", "/v1/acme/chat/completions", json=body, headers={"x-thread-id": "t1"}) as response:
        next(response.iter_bytes())
        assert reached.wait(10)
    go_on.set()
    asyncio.run(served.app.settled())
    history = asyncio.run(served.app.history(tenant="acme", thread="t1"))
    assert [str(m.text) for m in history] == ["Hi", "First second."]


# Models


def test_models_are_listed_with_the_default_first(serve: Serve) -> None:
    served = serve([], openai_api_key="sk-x")
    listed = served.openai().models.list().data
    assert listed[0].id == "ScriptedChatModel"
    assert "openai/gpt-4o-mini" in {model.id for model in listed}
    assert not any(model.id.startswith("google/") for model in listed)
    assert served.openai().models.retrieve("openai/gpt-4o-mini").owned_by == "openai"
    assert served.openai().models.retrieve("default").id == "ScriptedChatModel"
    with pytest.raises(openai.NotFoundError):
        served.openai().models.retrieve("google/gemini-2.5-flash")
    with pytest.raises(openai.NotFoundError):
        served.openai().models.retrieve("nonsense")


# Keys, limits


def test_a_key_is_asked_for_where_there_are_keys(serve: Serve) -> None:
    served = serve(["Hi."], api_keys=["right", "another"])
    messages: Any = [{"role": "user", "content": "Hi"}]
    for key in ("wrong", "righ", "Bearer"):
        with pytest.raises(openai.AuthenticationError) as caught:
            served.openai(api_key=key).chat.completions.create(model="default", messages=messages)
        assert caught.value.code == "invalid_api_key"
    bare = served.chat()
    assert (bare.status_code, bare.json()["error"]["code"]) == (401, "missing_api_key")
    assert bare.headers["www-authenticate"] == "Bearer"
    assert served.chat(headers={"authorization": "Basic right"}).status_code == 401
    answer = served.openai(api_key="another").chat.completions.create(model="default", messages=messages)
    assert answer.choices[0].message.content == "Hi."


def test_pages_of_other_sites_may_not_call_an_open_server(serve: Serve) -> None:
    served = serve(["Hi."])
    assert served.chat(headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert served.chat(headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_an_oversized_body_is_refused_announced_or_not(serve: Serve) -> None:
    served = serve([], max_body_mb=0.1)
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 200_000}]}).encode()

    def in_pieces() -> Any:
        for start in range(0, len(body), 8192):
            yield body[start : start + 8192]

    for content in (body, in_pieces()):
        response = served.http.post("/v1/acme/chat/completions", content=content)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"


def test_a_length_that_lies_does_not_help(serve: Serve) -> None:
    served = serve([], max_body_mb=0.001)
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/acme/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{"
        )
        assert b" 413 " in connection.recv(4096)


# Within another application


def test_the_routes_behave_within_a_foreign_application(tmp_path: Any) -> None:
    app = AgentGraph(
        chat_model=ScriptedChatModel(script=["Hi."]),
        embeddings=HashEmbeddings(),
        storage_dir=tmp_path,
        max_body_mb=0.001,
        api_keys=["right"],
    )
    foreign = FastAPI()
    foreign.include_router(openai_router(app), prefix="/api/v1")
    with running(foreign) as url, httpx.Client(base_url=url, headers={"authorization": "Bearer right"}) as http:
        path = "/api/v1/acme/chat/completions"
        good = http.post(path, json={"messages": [{"role": "user", "content": "Hi"}]})
        assert good.json()["choices"][0]["message"]["content"] == "Hi."
        assert good.headers["x-request-id"].startswith("req-")
        bad = http.post(path, json={"messages": 5})
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, "messages")
        assert http.post(path, content=iter([b"x" * 600] * 2)).status_code == 413
        assert http.post(path, headers={"authorization": "x"}).status_code == 401
    app.close()


# Receipts


def test_receipts_are_told_where_asked_for(serve: Serve) -> None:
    served = serve(["Noted.", "Rex.", "Rex.", "Rex."], tools=[add])
    served.chat(messages=[{"role": "user", "content": "My dog is called Rex."}])
    asyncio.run(served.app.settled())
    question = [{"role": "user", "content": "What is my dog called?"}]
    assert "agentgraph" not in served.chat(messages=question).json()
    told = served.chat(messages=question, headers={"x-receipts": "true"}).json()["agentgraph"]
    assert told["memories"][0]["text"] == "My dog is called Rex."
    assert told["tools"] == [{"name": "add", "offered": True, "reason": "few", "score": None}]
    streamed = frames(served.chat(messages=question, stream=True, metadata={"receipts": "true"}))
    assert streamed[-2]["choices"][0]["finish_reason"] == "stop"
    assert streamed[-2]["agentgraph"]["memories"][0]["text"] == "My dog is called Rex."


def test_receipts_tell_which_tools_ran(serve: Serve) -> None:
    served = serve([calls(("s1", "add", {"a": 1, "b": 2})), "3."], tools=[add])
    told = served.chat(headers={"x-receipts": "true"}).json()["agentgraph"]
    assert [(run["name"], run["status"]) for run in told["tool_runs"]] == [("add", "success")]
