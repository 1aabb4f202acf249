"""What goes over the wire to OpenAI, and to every endpoint that speaks its format."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from agentgraph import Settings
from agentgraph.models.completions import Completions
from agentgraph.models.openai import open_chat_model

pytestmark = pytest.mark.integration

SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
MESSAGES = [
    SystemMessage("Be brief."),
    HumanMessage(
        [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    ),
    AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {"a": 2**70}}]),
    ToolMessage("r", tool_call_id="c"),
]


@pytest.fixture
async def provider() -> AsyncIterator[tuple[str, list[Any]]]:
    """Yield an address that answers `{}`, and the bodies it was sent."""
    bodies: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        whole = {"id": "x", "created": 1, "model": "m"}
        if not bodies[-1].get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}
            return web.json_response({**whole, "object": "chat.completion", "choices": [choice]})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        choice = {"index": 0, "delta": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}
        chunk = {**whole, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())
        return response

    async with served(answer) as url:
        yield url, bodies


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def both(url: str, **options: Any) -> AsyncIterator[tuple[ChatOpenAI, ChatOpenAI]]:
    """Yield our model and LangChain's."""
    opened = await open_chat_model("gpt-4o", Settings.load(openai_base_url=url, openai_api_key="k", **options))
    assert isinstance(opened.model, ChatOpenAI)
    assert isinstance(opened.model.async_client, Completions)
    plain: dict[str, Any] = {"model": "gpt-4o", "api_key": "k", "base_url": url, "max_retries": 0, "stream_usage": True}
    try:
        yield opened.model, ChatOpenAI(**plain)
    finally:
        await opened.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}},
        {"temperature": 0.5, "max_tokens": 5, "stop": ["x"], "extra_body": {"top_k": 1}},
    ],
)
async def test_the_body_is_what_langchain_sends(provider: tuple[str, list[Any]], options: dict[str, Any]) -> None:
    url, bodies = provider
    async with both(url) as models:
        for model in models:
            await model.ainvoke(MESSAGES, **options)
            async for _ in model.astream(MESSAGES, **options):
                pass
    assert bodies[:2] == bodies[2:]
    assert len(bodies[0]["messages"]) == len(MESSAGES)


async def test_answers_are_read_as_the_sdk_reads_them(provider: tuple[str, list[Any]]) -> None:
    url, _ = provider
    async with both(url) as (ours, plain):
        assert _told(await ours.ainvoke(MESSAGES)) == _told(await plain.ainvoke(MESSAGES))
        streamed = [[_told(piece) async for piece in model.astream(MESSAGES)] for model in (ours, plain)]
    assert streamed[0] == streamed[1]


async def test_calls_without_an_index_are_told() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for delta in ({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}, None, {}):
            chunk = {"id": "x", "choices": [{"index": 0, "delta": delta}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async with served(answer) as url, both(url) as (model, _):
        calls = [call async for piece in model.astream("Hi") for call in piece.tool_call_chunks]
    assert [(call["id"], call["name"], call["args"], call["index"]) for call in calls] == [("c", "f", "{}", None)]


@pytest.mark.parametrize("options", [{}, {"response_format": {"type": "json_object"}}])
async def test_a_refusal_is_said(options: dict[str, Any]) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        whole = {"id": "x", "created": 1, "model": "m"}
        said = {"role": "assistant", "content": None, "refusal": "I would rather not."}
        if not (await request.json()).get("stream"):
            choice: Any = {"index": 0, "message": said, "finish_reason": "stop"}
            return web.json_response({**whole, "object": "chat.completion", "choices": [choice]})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for delta in ({**said, "refusal": "I would"}, {"refusal": " rather not."}):
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            chunk = {**whole, "object": "chat.completion.chunk", "choices": [choice]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        last = {**whole, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        return response

    async with served(refuse) as url, both(url) as (model, _):
        assert (await model.ainvoke("Hi", **options)).text == "I would rather not."
        assert "".join([piece.text async for piece in model.astream("Hi", **options)]) == "I would rather not."


async def test_headers_a_query_and_a_timeout_are_no_part_of_the_body(provider: tuple[str, list[Any]]) -> None:
    url, bodies = provider
    async with both(url) as (model, _):
        await model.ainvoke("Hi", extra_headers={"x-a": "b"}, extra_query={"c": "d"}, timeout=5)
    assert set(bodies[-1]) <= {"model", "messages", "stream"}


def _told(message: Any) -> dict[str, Any]:
    told = {**message.model_dump(), "id": None}
    for name in ("additional_kwargs", "response_metadata"):  # the SDK has a `None` where the vendor sent nothing
        told[name] = {key: value for key, value in told[name].items() if value is not None}
    return told
