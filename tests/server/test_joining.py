"""Requests that meet runs: repeated, on a busy thread, left by their client, ended early, or waiting for an answer."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI, Request
from langchain_core.exceptions import ModelAPIError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langserve import RemoteRunnable

from agentgraph import AgentGraph, ChatAgentGraph
from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.promises import promising
from tests.server.conftest import Serve, Served, running

pytestmark = pytest.mark.integration
HI: Any = [{"role": "user", "content": "Hi"}]
RETRY = {"x-stainless-retry-count": "1"}
ON_T1 = {"x-thread-id": "t1"}


class Slow(ScriptedChatModel):
    """Says "First " and waits until it may say "second."."""

    def __init__(self) -> None:
        super().__init__(script=[])
        self._reached, self._go_on, self._cancelled = threading.Event(), threading.Event(), threading.Event()

    async def _wait(self) -> None:
        self._reached.set()
        try:
            while not self._go_on.is_set():  # noqa: ASYNC110  set by another thread
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self._cancelled.set()
            raise

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="First "))
        await self._wait()
        yield ChatGenerationChunk(message=AIMessageChunk(content="second.", chunk_position="last"))

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await self._wait()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("First second."))])


def history(served: Served, thread: str = "t1") -> list[str]:
    return [str(m.text) for m in asyncio.run(served.app.history(tenant="acme", thread=thread))]


def text_of(response: httpx.Response) -> str:
    if response.headers["content-type"] == "application/json":
        return str(response.json()["choices"][0]["message"]["content"])
    frames = [json.loads(line[6:]) for line in response.text.split("\n\n") if line and not line.endswith("[DONE]")]
    return "".join(frame["choices"][0]["delta"].get("content") or "" for frame in frames)


def in_background(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start work in a thread; return what waits for its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def wait() -> Any:
        thread.join(20)
        return results[0]

    return wait


# Repeated


@pytest.mark.parametrize("thread", [ON_T1, {}], ids=["thread", "one-off"])
@pytest.mark.parametrize("name", [{"idempotency-key": "k1"}, RETRY], ids=["key", "count"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_sent_again_is_answered_by_the_run_it_began(
    serve: Serve, thread: dict[str, str], name: dict[str, str], stream: bool
) -> None:
    served = serve(["Hello.", "Another."], enable_memory=False)
    first = served.chat(headers=thread | ({} if name is RETRY else name))
    again = served.chat(headers=thread | name, stream=stream)
    assert text_of(first) == text_of(again) == "Hello."
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    assert len(served.model.calls) == 1
    assert text_of(served.chat(headers=thread, messages=[{"role": "user", "content": "And?"}])) == "Another."


@pytest.mark.parametrize("thread", [ON_T1, {}], ids=["thread", "one-off"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_run_under_way_is_joined(serve: Serve, thread: dict[str, str], stream: bool) -> None:
    served = serve(model := Slow(), enable_memory=False)
    first = in_background(lambda: served.chat(headers=thread))
    assert model._reached.wait(10)
    second = in_background(lambda: served.chat(headers=thread | RETRY, stream=stream))
    time.sleep(0.1)
    model._go_on.set()
    answers = [first(), second()]
    assert [text_of(answer) for answer in answers] == ["First second."] * 2
    assert len({answer.headers["x-run-id"] for answer in answers}) == 1


def test_a_one_off_run_that_failed_is_run_again(serve: Serve) -> None:
    served = serve([ModelAPIError("down"), "Hello."] * 2, model_retries=0)
    for key in ({"idempotency-key": "k1"}, {}):
        failed = served.chat(headers=key)
        assert (failed.status_code, failed.headers["x-should-retry"]) == (502, "true")
        assert text_of(served.chat(headers=key | RETRY)) == "Hello."


def test_a_failed_turn_that_is_sent_again_does_not_act_again(serve: Serve) -> None:
    paid: list[int] = []

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    call = AIMessage("", tool_calls=[{"id": "s1", "name": "pay", "args": {"amount": 5}}])
    served = serve([call, ModelAPIError("down"), "Done."], tools=[pay], model_retries=0, enable_memory=False)
    client = served.openai(max_retries=2, default_headers=ON_T1)
    assert client.chat.completions.create(model="default", messages=HI).choices[0].message.content == "Done."
    assert paid == [5]
    assert history(served) == ["Hi", "", "paid", "Done."]


def test_the_same_words_said_anew_are_another_turn(serve: Serve) -> None:
    served = serve(["One.", "Two.", "Three."], enable_memory=False)
    for key, answer in (("a", "One."), ("b", "Two.")):
        assert text_of(served.chat(headers={**ON_T1, "idempotency-key": key})) == answer
    assert history(served) == ["Hello", "One.", "Hello", "Two."]


def test_a_key_used_for_something_else_is_refused(serve: Serve) -> None:
    served = serve(["One.", "Two."], enable_memory=False)
    for headers in ({**ON_T1, "idempotency-key": "k1"}, {"idempotency-key": "k2"}):
        served.chat(headers=headers)
        other = served.chat(headers=headers, messages=HI)
        assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"x-on-busy": "wait"}, "on_busy"),
        ({"x-on-disconnect": "CANCEL"}, "on_disconnect"),
        ({"idempotency-key": "x" * 256}, "idempotency_key"),
        ({"idempotency-key": ""}, "idempotency_key"),
    ],
)
def test_headers_nobody_can_honour_are_refused(serve: Serve, headers: dict[str, str], param: str) -> None:
    response = serve([]).chat(headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_count_that_is_none_counts_for_nothing(serve: Serve) -> None:
    served = serve(["One.", "Two.", "Three."])
    for count in ("0", "-1", "often"):
        assert served.chat(headers={"x-stainless-retry-count": count}).status_code == 200
    assert len(served.model.calls) == 3


# Busy threads


def test_a_caller_who_would_not_wait_is_not_made_to(serve: Serve) -> None:
    served = serve(model := Slow(), enable_memory=False)
    first = in_background(lambda: served.chat(headers=ON_T1))
    assert model._reached.wait(10)
    client = served.openai(max_retries=2)
    with pytest.raises(openai.ConflictError) as caught:
        client.chat.completions.create(model="default", messages=HI, extra_headers={**ON_T1, "x-on-busy": "reject"})
    assert caught.value.code == "thread_busy"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
    model._go_on.set()
    assert text_of(first()) == "First second."
    assert history(served) == ["Hello", "First second."]


@pytest.mark.parametrize("how", ["interrupt", "rollback"])
def test_a_later_request_ends_the_run_under_way(serve: Serve, how: str) -> None:
    served = serve(model := Slow(), enable_memory=False)
    first = in_background(lambda: served.chat(headers=ON_T1, stream=True))
    assert model._reached.wait(10)
    second = in_background(lambda: served.chat(messages=HI, metadata={"thread_id": "t1", "on_busy": how}))
    assert model._cancelled.wait(10)
    model._go_on.set()
    assert text_of(second()) == "First second."
    told = first().text
    if how == "interrupt":
        assert history(served) == ["Hello", "First ", "Hi", "First second."]
        assert '"agentgraph":{"status":"cancelled"}' in told
    else:
        assert history(served) == ["Hi", "First second."]
        assert '"rolled_back"' in told


# Clients that leave


@pytest.mark.parametrize("thread", [ON_T1, {}], ids=["thread", "one-off"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_run_ends_with_its_client_where_that_is_asked_for(serve: Serve, thread: dict[str, str], stream: bool) -> None:
    served = serve(model := Slow(), enable_memory=False)
    leave_while_it_runs(served, model, thread | {"x-on-disconnect": "cancel"}, stream=stream)
    assert model._cancelled.wait(1)
    model._go_on.set()
    assert text_of(served.chat(messages=[{"role": "user", "content": "Still there?"}], headers=thread))
    if thread:
        partial = ["First "] if stream else []
        assert history(served) == ["Hello", *partial, "Still there?", "First second."]
        messages = asyncio.run(served.app.history(tenant="acme", thread="t1"))
        assert not stream or messages[1].response_metadata["finish_reason"] == "cancelled"


def test_the_deployment_may_say_that_runs_end_with_their_clients(serve: Serve) -> None:
    served = serve(model := Slow(), enable_memory=False, on_disconnect="cancel")
    leave_while_it_runs(served, model, ON_T1, stream=False)
    assert model._cancelled.wait(1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_goes_on_without_its_client_and_can_be_asked_for_again(serve: Serve, stream: bool) -> None:
    served = serve(model := Slow(), enable_memory=False)
    leave_while_it_runs(served, model, ON_T1, stream=stream)
    assert not model._cancelled.wait(0.3)
    model._go_on.set()
    assert text_of(served.chat(headers=ON_T1 | RETRY, stream=stream)) == "First second."
    assert history(served) == ["Hello", "First second."]


@pytest.mark.parametrize("route", ["invoke", "stream"])
@pytest.mark.parametrize("policy", ["cancel", "continue"])
def test_langserves_runs_end_with_their_client_too(serve: Serve, route: str, policy: str) -> None:
    served = serve(model := Slow(), enable_memory=False)
    config = {"configurable": {"tenant": "acme", "thread": "t1", "on_disconnect": policy}}
    with httpx.Client(base_url=served.url, timeout=20) as http:
        leave(http, f"/agent/{route}", {"input": "Hello", "config": config}, {}, model._reached)
    assert model._cancelled.wait(1) is (policy == "cancel")
    model._go_on.set()
    asyncio.run(served.app.settled())
    assert history(served)[0] == "Hello"


@pytest.mark.parametrize("stream", [False, True])
def test_departures_are_noticed_behind_another_applications_middleware(tmp_path: Path, stream: bool) -> None:
    app = AgentGraph(chat_model=(model := Slow()), storage_dir=tmp_path, enable_memory=False)
    foreign = FastAPI()

    @foreign.middleware("http")
    async def passing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    foreign.include_router(app.router, prefix="/v1")
    with running(foreign) as url, httpx.Client(base_url=url) as http:
        headers = ON_T1 | {"x-on-disconnect": "cancel"}
        leave(http, "/v1/acme/chat/completions", {"messages": HI, "stream": stream}, headers, model._reached)
        assert model._cancelled.wait(1)
    app.close()


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_models_run_ends_with_the_call_that_is_cancelled(
    serve: Serve, over_http: bool, stream: bool
) -> None:
    served = serve(model := Slow(), enable_memory=False)
    where: Any = {"base_url": f"{served.url}/v1", "timeout": 20} if over_http else {"app": served.app}
    llm = ChatAgentGraph(tenant="acme", thread="t1", on_disconnect="cancel", **where)

    async def call() -> None:
        if stream:
            _ = [piece async for piece in llm.astream("Hi")]
        else:
            await llm.ainvoke("Hi")

    calling = asyncio.create_task(call())
    assert await asyncio.to_thread(model._reached.wait, 10)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert await asyncio.to_thread(model._cancelled.wait, 1)


def leave_while_it_runs(served: Served, model: Slow, headers: dict[str, str], *, stream: bool) -> None:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        body = {"messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        leave(http, "/v1/acme/chat/completions", body, headers, model._reached)


def leave(http: httpx.Client, path: str, body: Any, headers: dict[str, str], when: threading.Event) -> None:
    """Send a request and close the connection, once it has had its effect."""
    import socket

    host, port = str(http.base_url.host), http.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as connection:
        request = http.build_request("POST", path, json=body, headers=headers)
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode() + request.content)
        assert when.wait(10)


# Unusual ends


@tool
def pay(amount: int) -> str:
    """Pay, which a person has to allow."""
    return f"paid {amount}"


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_waits_says_for_what_and_is_answered(serve: Serve, stream: bool) -> None:
    call = AIMessage("", tool_calls=[{"id": "s1", "name": "pay", "args": {"amount": 5}}])
    served = serve([call, "Done."], tools=[promising(pay, needs_approval=True)], enable_memory=False)
    client = served.openai(default_headers=ON_T1)
    ending: Any
    if stream:
        *_, ending = client.chat.completions.create(model="default", messages=HI, stream=True)
    else:
        ending = client.chat.completions.create(model="default", messages=HI)
    assert ending.choices[0].finish_reason == "stop"
    told = ending.model_extra["agentgraph"]
    assert told["status"] == "requires_action"
    (waiting,) = told["interrupts"]
    assert [asked["arguments"] for asked in waiting["value"]["calls"]] == [{"amount": 5}]
    wrong = served.chat(messages=[], resume="perhaps", headers=ON_T1)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "resume")
    resume = {"resume": {"decision": "approve"}}
    answer = client.chat.completions.create(model="default", messages=[], extra_body=resume)
    assert answer.choices[0].message.content == "Done."
    assert served.model.calls[1]["messages"][-1].text == "paid 5"
    late = served.chat(messages=[], headers=ON_T1, **resume)
    assert (late.status_code, late.json()["error"]["code"]) == (400, "not_waiting")


def test_a_cancelled_answer_does_not_pass_for_a_whole_one(serve: Serve) -> None:
    served = serve(model := Slow(), enable_memory=False)
    first = in_background(
        lambda: served.openai().chat.completions.create(model="default", messages=HI, extra_headers=ON_T1)
    )
    assert model._reached.wait(10)
    second = in_background(lambda: served.chat(headers={**ON_T1, "x-on-busy": "interrupt"}))
    assert model._cancelled.wait(10)
    model._go_on.set()
    second()
    cut_off = first()
    assert cut_off.choices[0].finish_reason == "length"
    assert cut_off.choices[0].message.content == ""
    assert cut_off.model_extra["agentgraph"] == {"status": "cancelled"}


# Other doors


def test_langserve_takes_a_key(serve: Serve) -> None:
    served = serve(["Hello.", "Never asked for."], enable_memory=False)
    agent = RemoteRunnable(f"{served.url}/agent")
    config: Any = {"configurable": {"tenant": "acme", "thread": "t1", "idempotency_key": "k1"}}
    answers = [agent.invoke("Hi", config=config) for _ in range(2)]
    assert [answer.content for answer in answers] == ["Hello."] * 2
    agent.sync_client.close()
    asyncio.run(agent.async_client.aclose())
    bad = {"input": "Hi", "config": {"configurable": {"tenant": "acme", "on_busy": "queue"}}}
    assert served.http.post("/agent/invoke", json=bad).status_code == 400


@pytest.mark.parametrize("thread", ["t1", None])
@pytest.mark.parametrize("over_http", [False, True])
def test_a_chat_model_names_its_calls(serve: Serve, over_http: bool, thread: str | None) -> None:
    served = serve(["One.", "Two."], enable_memory=False)
    where: Any = {"base_url": f"{served.url}/v1", "timeout": 20} if over_http else {"app": served.app}
    llm = ChatAgentGraph(tenant="acme", thread=thread, **where)
    assert [llm.invoke("Hi", idempotency_key=key).text for key in ("a", "a", "b")] == ["One.", "One.", "Two."]
    with pytest.raises(Exception, match="choose one of enqueue, reject"):
        llm.invoke("Hi", on_busy="queue")


def test_a_chat_model_over_http_tries_again(serve: Serve) -> None:
    served = serve([ModelAPIError("down"), "Hello."], model_retries=0, enable_memory=False)
    llm = ChatAgentGraph(tenant="acme", thread="t1", base_url=f"{served.url}/v1", timeout=20)
    assert llm.invoke("Hi").text == "Hello."
    assert history(served) == ["Hi", "Hello."]
