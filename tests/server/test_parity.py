"""One script through every format: the same text, the same calls, the same ending.

A format is a function of `RunEvent`s. A new one adds a row to `FORMATS`: how it is asked, and how it is read.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import openai
import pytest
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langserve import RemoteRunnable

from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.promises import promising
from tests.server.conftest import Serve, Served
from tests.server.test_chat import events_of
from tests.server.test_websocket import ended, opened, say, until

pytestmark = pytest.mark.integration

Ending = Literal["completed", "requires_action", "cancelled", "failed"]
THREAD = "t1"


@dataclass(frozen=True)
class Told:
    """What a client has learned from one run.

    Attributes:
        text: All that was said, or of whole answers the last.
        calls: Client tools to run, `(name, arguments)`.
        waits_for: Arguments of the calls that a person is asked about.
        ending: How it ended.
        code: Of the error it failed with.
    """

    text: str
    calls: tuple[tuple[str, str], ...] = ()
    waits_for: tuple[str, ...] = ()
    ending: Ending = "completed"
    code: str | None = None


def canonical(arguments: Any) -> str:
    return json.dumps(json.loads(arguments) if isinstance(arguments, str) else arguments, sort_keys=True)


def asked_of(interrupts: Any) -> tuple[str, ...]:
    return tuple(canonical(call["arguments"]) for each in interrupts or () for call in each["value"]["calls"])


# OpenAI's chat completions


def openai_whole(served: Served) -> Told:
    return _openai(served, stream=False)


def openai_stream(served: Served) -> Told:
    return _openai(served, stream=True)


def _openai(served: Served, *, stream: bool) -> Told:
    client = served.openai(default_headers={"x-thread-id": THREAD})
    text, calls, last = "", {}, None
    try:
        answer: Any = client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "Go"}], stream=stream
        )
        for piece in answer if stream else [answer]:
            last = piece
            said = piece.choices[0].delta if stream else piece.choices[0].message
            text += said.content or ""
            for n, call in enumerate(said.tool_calls or ()):
                known = calls.setdefault(call.index if stream else n, ["", ""])
                known[0] += call.function.name or ""
                known[1] += call.function.arguments or ""
    except openai.APIError as error:
        return Told(text=text, ending="failed", code=str(error.code))
    assert last is not None
    ours = (last.model_extra or {}).get("agentgraph", {})
    made = tuple((name, canonical(arguments)) for name, arguments in calls.values())
    ending = ours.get("status") or ("requires_action" if made else "completed")
    return Told(text=text, calls=made, waits_for=asked_of(ours.get("interrupts")), ending=ending)


# OpenAI's responses


def responses_whole(served: Served) -> Told:
    try:
        response = served.openai().responses.create(model="default", input="Go", conversation=THREAD)
    except openai.APIStatusError as error:
        return Told(text="", ending="failed", code=str(error.code))
    return _of_response(response, tells_all=False)


def responses_stream(served: Served) -> Told:
    said: list[str] = []
    try:
        stream = served.openai().responses.create(model="default", input="Go", conversation=THREAD, stream=True)
        for event in stream:
            if event.type == "response.output_item.added" and event.item.type == "message":
                said.append("")
            elif event.type == "response.output_text.delta":
                said[-1] += event.delta
    except openai.APIStatusError as error:
        return Told(text="", ending="failed", code=str(error.code))
    response = event.response  # type: ignore[union-attr]
    if response.status == "failed":
        return Told(text="\n\n".join(said), ending="failed", code=response.error.code)
    told = _of_response(response, tells_all=True)
    assert told.text == "\n\n".join(said)
    return told


def _of_response(response: Any, *, tells_all: bool) -> Told:
    texts = [item.content[0].text for item in response.output if item.type == "message"]
    calls = [(item.name, canonical(item.arguments)) for item in response.output if item.type == "function_call"]
    ours = (response.model_extra or {}).get("agentgraph", {})
    ending = ours.get("status") or ("requires_action" if calls else response.status)
    text = "\n\n".join(texts if tells_all else texts[-1:])
    return Told(text=text, calls=tuple(calls), waits_for=asked_of(ours.get("interrupts")), ending=ending)


# LangServe


def langserve_whole(served: Served) -> Told:
    return _langserve(served, lambda remote, config: remote.invoke("Go", config=config))


def langserve_stream(served: Served) -> Told:
    def read(remote: RemoteRunnable, config: Any) -> Any:
        pieces = []
        try:
            for piece in remote.stream("Go", config=config):
                pieces.append(piece)  # noqa: PERF402  what came before an error counts
        except httpx.HTTPStatusError as error:
            error.said = "".join(piece.content for piece in pieces)  # type: ignore[attr-defined]
            raise
        return sum(pieces[1:], pieces[0])

    return _langserve(served, read)


def _langserve(served: Served, read: Callable[[RemoteRunnable, Any], Any]) -> Told:
    remote = RemoteRunnable(f"{served.url}/agent")
    try:
        message = read(remote, {"configurable": {"tenant": "acme", "thread": THREAD}})
    except httpx.HTTPStatusError as error:
        # The client keeps of an error within a stream its status alone.
        streamed = {504: "provider_timeout"}.get(error.response.status_code)
        told = error.response.json()["code"] if not hasattr(error, "said") else streamed
        return Told(text=getattr(error, "said", ""), ending="failed", code=told)
    finally:
        remote.sync_client.close()
        asyncio.run(remote.async_client.aclose())
    calls = tuple((call["name"], canonical(call["args"])) for call in message.tool_calls)
    ours = message.response_metadata
    ending = ours.get("status") or ("requires_action" if calls else "completed")
    return Told(text=message.content, calls=calls, waits_for=asked_of(ours.get("interrupts")), ending=ending)


# Agent events


def chat_whole(served: Served) -> Told:
    answer = served.http.post("/chat", json={"message": "Go", "tenant": "acme", "thread": THREAD})
    told = answer.json()
    if answer.status_code != 200:
        return Told(text="", ending="failed", code=told["code"])
    return _of_events(
        [{"event_type": "chat_chunk", "content": told["response"]}, {"event_type": "chat_complete", **told}]
    )


def chat_stream(served: Served) -> Told:
    answer = served.http.post("/chat/stream", json={"message": "Go", "tenant": "acme", "thread": THREAD})
    if answer.status_code != 200:
        return Told(text="", ending="failed", code=answer.json()["code"])
    return _of_events(events_of(answer))


def websocket(served: Served) -> Told:
    with opened(served) as socket:
        say(socket, "Go", "m1", tenant="acme", thread=THREAD)
        frames = until(socket, ended("m1"))
    return _of_events([{"event_type": frame["event_type"], **frame["data"]} for frame in frames])


def _of_events(events: list[dict[str, Any]]) -> Told:
    text = "".join(event["content"] for event in events if event["event_type"] == "chat_chunk")
    begun = [event["tool_call"]["id"] for event in events if event["event_type"] == "tool_call_start"]
    over = [
        event["tool_call"]["id"] for event in events if event["event_type"] in {"tool_call_complete", "tool_call_error"}
    ]
    assert sorted(begun) == sorted(over)
    last = events[-1]
    if last["event_type"] == "error":
        return Told(text=text, ending="failed", code=last["code"])
    calls = tuple((call["name"], canonical(call["arguments"])) for call in last.get("tool_calls", ()))
    return Told(text=text, calls=calls, waits_for=asked_of(last.get("interrupts")), ending=last["status"])


@dataclass(frozen=True)
class Format:
    """A way to ask, and whether it tells what was said before the last answer."""

    ask: Callable[[Served], Told]
    tells_all: bool


FORMATS = {
    "openai": Format(openai_whole, tells_all=False),
    "openai stream": Format(openai_stream, tells_all=True),
    "responses": Format(responses_whole, tells_all=False),
    "responses stream": Format(responses_stream, tells_all=True),
    "langserve": Format(langserve_whole, tells_all=False),
    "langserve stream": Format(langserve_stream, tells_all=True),
    "chat": Format(chat_whole, tells_all=False),
    "chat stream": Format(chat_stream, tells_all=True),
    "websocket": Format(websocket, tells_all=True),
}


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def calling(*calls: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    return AIMessage(
        text, tool_calls=[{"id": f"c{n}", "name": name, "args": args} for n, (name, args) in enumerate(calls)]
    )


BEFORE, AFTER = "Let me add: 1 + 2, and 3 + 4.", "Grüße 🙂:\n\nit is 3, and 7.  "


def test_text_and_several_calls(serve: Serve, format_: Format) -> None:
    script = [
        calling(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}), ("add", {"a": "x", "b": 0}), text=BEFORE),
        AFTER,
    ]
    served = serve(script, tools=[add], enable_memory=False)
    expected = f"{BEFORE}\n\n{AFTER}" if format_.tells_all else AFTER
    assert format_.ask(served) == Told(text=expected)
    results = [message.text for message in served.model.calls[1]["messages"] if message.type == "tool"]
    assert results[:2] == ["3", "7"]


def test_calls_that_are_the_clients(serve: Serve, format_: Format) -> None:
    served = serve([calling(("get_zip", {"city": "Rome"}), ("get_zip", {"city": "Zürich"}), text="One moment.")])
    schema = {"name": "get_zip", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    asyncio.run(served.app.declared_tools.declare([{"type": "function", "function": schema}], tenant="acme"))
    calls = tuple(("get_zip", canonical({"city": city})) for city in ("Rome", "Zürich"))
    assert format_.ask(served) == Told(text="One moment.", calls=calls, ending="requires_action")


def test_an_early_error(serve: Serve, format_: Format) -> None:
    served = serve([ModelTimeoutError("secret")], model_retries=0)
    assert format_.ask(served) == Told(text="", ending="failed", code="provider_timeout")


def test_a_late_error(serve: Serve, format_: Format) -> None:
    script = [calling(("add", {"a": 1, "b": 2}), text=BEFORE), ModelTimeoutError("secret")]
    served = serve(script, tools=[add], model_retries=0)
    said = BEFORE if format_.tells_all else ""
    assert format_.ask(served) == Told(text=said, ending="failed", code="provider_timeout")


def test_a_question_to_a_person(serve: Serve, format_: Format) -> None:
    served = serve([calling(("pay", {"amount": 5}))], tools=[promising(pay, needs_approval=True)], enable_memory=False)
    assert format_.ask(served) == Told(text="", waits_for=(canonical({"amount": 5}),), ending="requires_action")


class Endless(ScriptedChatModel):
    """Says two words and then waits for ever."""

    _reached: threading.Event

    def __init__(self) -> None:
        super().__init__(script=[])
        self._reached = threading.Event()

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="So far"))
        self._reached.set()
        await asyncio.Event().wait()

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self._reached.set()
        await asyncio.Event().wait()


def test_a_cancelled_run(serve: Serve, format_: Format) -> None:
    model = Endless()
    served = serve(model, enable_memory=False)

    def cancel() -> None:
        assert model._reached.wait(15)
        (run, *_) = asyncio.run(served.app.runs.list(tenant="acme", thread=THREAD))
        asyncio.run(served.app.cancel(run.run_id, tenant="acme"))

    canceller = threading.Thread(target=cancel)
    canceller.start()
    told = format_.ask(served)
    canceller.join(15)
    assert told == Told(text="So far" if format_.tells_all else "", ending="cancelled")
