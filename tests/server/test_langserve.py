"""`RemoteRunnable` and bare HTTP against LangServe's routes."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langserve import RemoteRunnable

from agentgraph.tools.promises import promising
from tests.server.conftest import Serve, Served

pytestmark = pytest.mark.integration


@pytest.fixture
async def remote(serve: Serve) -> Any:
    """Start a server and return it with a client of a route."""
    opened: list[RemoteRunnable] = []

    def start(script: Any, *, path: str = "agent", **options: Any) -> tuple[Served, RemoteRunnable]:
        served = serve(script, **options)
        runnable = RemoteRunnable(f"{served.url}/{path}")
        opened.append(runnable)
        return served, runnable

    yield start
    for runnable in opened:
        runnable.sync_client.close()
        await runnable.async_client.aclose()


def on(thread: str | None = None, tenant: str = "acme", **more: str) -> Any:
    return {"configurable": {"tenant": tenant, **({"thread": thread} if thread else {}), **more}}


MESSAGES = {"messages": [HumanMessage("I am Ana.")]}


def test_invoke_answers_with_a_message(remote: Any) -> None:
    served, agent = remote(["Hello Ana.", "Ana."], enable_memory=False)
    answer = agent.invoke(MESSAGES, config=on("t1"))
    assert isinstance(answer, AIMessage)
    assert answer.content == "Hello Ana."
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 2
    agent.invoke({"messages": [("human", "Who am I?")]}, config=on("t1"))
    assert [str(m.text) for m in served.model.calls[1]["messages"]][:2] == ["I am Ana.", "Hello Ana."]


@pytest.mark.parametrize(
    "said",
    ["Hi", {"messages": [{"role": "user", "content": "Hi"}]}, {"messages": [("user", "Hi")]}, [HumanMessage("Hi")]],
)
def test_every_way_to_say_something_is_understood(remote: Any, said: Any) -> None:
    served, agent = remote(["Hello."], enable_memory=False, temporal_awareness=False)
    assert agent.invoke(said).content == "Hello."
    assert [str(m.text) for m in served.model.calls[0]["messages"]] == ["Hi"]


def test_langgraphs_word_for_a_thread_is_understood(remote: Any) -> None:
    served, agent = remote(["A.", "B."], enable_memory=False)
    agent.invoke("I am Ana.", config=on(thread_id="t1"))
    agent.invoke("Who?", config=on("t1"))
    assert "I am Ana." in [str(m.text) for m in served.model.calls[1]["messages"]]


async def test_streams_come_word_by_word(remote: Any) -> None:
    _, agent = remote(["One two three.", "One two three."])
    pieces = [piece async for piece in agent.astream(MESSAGES, config=on())]
    assert all(isinstance(piece, AIMessageChunk) for piece in pieces)
    assert "".join(piece.content for piece in pieces) == "One two three."
    assert len(pieces) > 3
    whole = sum(pieces[1:], pieces[0])
    assert whole.usage_metadata["output_tokens"] == 3
    assert "".join(piece.content for piece in agent.stream(MESSAGES, config=on())) == "One two three."


async def test_streams_carry_every_end_of_a_line(remote: Any) -> None:
    said = "a\rb\nc\r\nd\x85e\u2028f\u2029g"
    _, agent = remote([said])
    assert "".join([piece.content async for piece in agent.astream(MESSAGES)]) == said


async def test_a_batch_answers_each(remote: Any) -> None:
    _, agent = remote(lambda messages, tools: messages[-1].text[-1], enable_memory=False, temporal_awareness=False)
    answers = await agent.abatch(["a", "b", "c"], config=[on("t1"), on("t2"), on(tenant="globex")])
    assert [answer.content for answer in answers] == ["a", "b", "c"]


async def test_events_tell_tokens_and_nothing_of_the_prompt(remote: Any) -> None:
    _, agent = remote(["One two."], system_prompt="TOP SECRET")
    events = [event async for event in agent.astream_events(MESSAGES, config=on(), version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "on_chain_start"
    assert kinds[-1] == "on_chain_end"
    streamed = [event["data"]["chunk"].content for event in events if event["event"] == "on_chain_stream"]
    assert "".join(streamed) == "One two."
    assert "TOP SECRET" not in repr(events)


async def test_it_works_within_a_chain(remote: Any) -> None:
    _, agent = remote(["One two."])
    chain = (
        ChatPromptTemplate.from_messages([("user", "{question}")]) | (lambda p: p.messages) | agent | StrOutputParser()
    )
    assert await chain.ainvoke({"question": "Count"}) == "One two."


def test_the_chat_route_answers_with_text(remote: Any) -> None:
    _, chat = remote(["Hello Ana.", "Hello Ana."], path="agent/chat")
    assert chat.invoke(MESSAGES) == "Hello Ana."
    assert "".join(chat.stream(MESSAGES)) == "Hello Ana."


def test_tenants_are_kept_apart(remote: Any) -> None:
    served, agent = remote("echo")
    agent.invoke("The vault opens with 4711.", config=on())
    asyncio.run(served.app.settled())
    assert "4711" not in agent.invoke("What opens the vault?", config=on(tenant="globex")).content
    assert "4711" in agent.invoke("What opens the vault?", config=on()).content


BAD: list[tuple[dict[str, Any], int]] = [
    ({}, 422),
    ({"input": None}, 422),
    ({"input": {"messages": []}}, 422),
    ({"input": {"messages": 5}}, 422),
    ({"input": {"messages": [{"role": "king", "content": "x"}]}}, 422),
    ({"input": {"messages": [{"role": "user"}]}}, 422),
    ({"input": {"messages": ["Hi"], "more": 1}}, 422),
    ({"input": "Hi", "config": 5}, 422),
    ({"input": "Hi", "config": {"configurable": {"tenant": 5}}}, 422),
    ({"input": "Hi", "config": {"configurable": {"tenant": "../x"}}}, 400),
    ({"input": "Hi", "config": {"configurable": {"thread": "a/b"}}}, 400),
    ({"input": "Hi", "config": {"configurable": {"user": "a b"}}}, 400),
    ({"input": "Hi", "config": {"configurable": {"timezone": "Mars"}}}, 400),
    ({"input": "Hi", "config": {"configurable": {"thraed": "t1"}}}, 400),
    ({"input": "Hi", "config": {"configurable": {"model": "openai/nonsense"}}}, 404),
]


@pytest.mark.parametrize("endpoint", ["invoke", "stream", "stream_events"])
def test_bad_input_has_a_status_of_its_own(serve: Serve, endpoint: str) -> None:
    served = serve([])
    for body, status in BAD:
        response = served.http.post(f"/agent/{endpoint}", json=body)
        assert response.status_code == status, (body, response.text)
        assert response.headers["content-type"] == "application/problem+json"
        assert set(response.json()) == {"type", "title", "status", "detail", "code", "param", "request_id"}
    assert served.model.calls == []


def test_bad_batches_have_a_status_of_their_own(serve: Serve) -> None:
    served = serve([])
    for body in (
        {"inputs": ["Hi", {"messages": 5}]},
        {"inputs": ["Hi"], "config": [{}, {}]},
        {"inputs": "Hi"},
        {"inputs": ["Hi"], "config": {"configurable": {"tenant": "../x"}}},
    ):
        assert served.http.post("/agent/batch", json=body).status_code in {400, 422}, body


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"input": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_refused(serve: Serve, body: bytes) -> None:
    assert serve([]).http.post("/agent/invoke", content=body).status_code == 400


def test_a_failing_model_is_told_with_its_reason(serve: Serve) -> None:
    served = serve(lambda messages, tools: ModelTimeoutError("secret"), model_retries=0)
    whole = served.http.post("/agent/invoke", json={"input": "Hi"})
    assert (whole.status_code, whole.json()["code"]) == (504, "provider_timeout")
    streamed = served.http.post("/agent/stream", json={"input": "Hi"}).text
    assert "provider_timeout" in streamed
    assert "secret" not in streamed


async def test_the_client_raises_what_the_stream_tells(remote: Any) -> None:
    _, agent = remote(lambda messages, tools: ModelTimeoutError("secret"), model_retries=0)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        [piece async for piece in agent.astream("Hi")]
    assert caught.value.response.status_code == 504


def test_a_key_is_asked_for_where_there_are_keys(serve: Serve) -> None:
    served = serve(["Hi."], api_keys=["right"])
    assert served.http.post("/agent/invoke", json={"input": "Hi"}).status_code == 401
    good = served.http.post("/agent/invoke", json={"input": "Hi"}, headers={"authorization": "Bearer right"})
    assert good.json()["output"]["content"] == "Hi."


def test_an_oversized_body_is_refused(serve: Serve) -> None:
    served = serve([], max_body_mb=0.01)
    for content in (b"x" * 20_000, iter([b"x" * 5000] * 4)):
        assert served.http.post("/agent/invoke", content=content).status_code == 413


@pytest.mark.parametrize("path", ["/agent/playground/", "/agent/chat/playground/"])
def test_playgrounds_need_no_network(serve: Serve, path: str) -> None:
    served = serve([])
    page = served.http.get(path)
    assert page.status_code == 200
    assert 'src="http' not in page.text
    assert 'href="http' not in page.text
    assets = [part for part in page.text.split('"') if part.startswith("/agent") and part.endswith((".js", ".css"))]
    assert assets
    for asset in assets:
        assert served.http.get(asset).status_code == 200


def paying(*answers: Any) -> Any:
    @tool
    async def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    call = AIMessage("", tool_calls=[{"id": "s1", "name": "pay", "args": {"amount": 5}}])
    return {"script": [call, *answers], "tools": [promising(pay, needs_approval=True)], "enable_memory": False}


@pytest.mark.parametrize("by", ["input", "config"])
def test_a_question_is_told_as_data_and_answered(remote: Any, by: str) -> None:
    options = paying("Paid.")
    _, agent = remote(options.pop("script"), **options)
    asked = agent.invoke("Pay 5", config=on("t1"))
    assert asked.response_metadata["status"] == "requires_action"
    (waiting,) = asked.response_metadata["interrupts"]
    assert [call["arguments"] for call in waiting["value"]["calls"]] == [{"amount": 5}]
    decision = {"decision": "approve"}
    if by == "input":
        answer = agent.invoke({"resume": decision}, config=on("t1"))
    else:
        empty = {"messages": [("human", "")]}  # as a playground sends its empty box along
        answer = agent.invoke(empty, config=on("t1", resume=json.dumps(decision)))
    assert answer.content == "Paid."
    with pytest.raises(httpx.HTTPStatusError) as late:
        agent.invoke({"resume": decision}, config=on("t1"))
    assert late.value.response.status_code == 400


def test_a_question_is_said_where_there_is_text_alone(remote: Any) -> None:
    options = paying("Paid.")
    _, chat = remote(options.pop("script"), path="agent/chat", **options)
    said = "".join(chat.stream("Pay 5", config=on("t1")))
    assert json.loads(said)["calls"][0]["arguments"] == {"amount": 5}
    assert chat.invoke({"resume": {"decision": "approve"}}, config=on("t1")) == "Paid."


def test_what_is_said_before_a_tool_and_after_it_are_kept_apart(remote: Any) -> None:
    @tool
    async def look() -> str:
        """Look."""
        return "seen"

    call = AIMessage("Let me see.", tool_calls=[{"id": "s1", "name": "look", "args": {}}])
    _, agent = remote([call, "Seen."], tools=[look], enable_memory=False)
    assert "".join(piece.content for piece in agent.stream("Look")) == "Let me see.\n\nSeen."


def test_a_tools_result_is_a_message_like_any_other(serve: Serve) -> None:
    served = serve(["It is paid."])
    call = {"type": "ai", "content": "", "tool_calls": [{"id": "c1", "name": "pay", "args": {}}]}
    conversation = [
        {"type": "human", "content": "Pay."},
        call,
        {"type": "tool", "content": "paid", "tool_call_id": "c1"},
    ]
    answer = served.http.post("/agent/batch", json={"inputs": [{"messages": conversation}]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"][0]["content"] == "It is paid."


@pytest.mark.parametrize("messages", ["?", [{"type": "remove", "id": "x"}], [["tool", "x"]], [7]])
def test_what_is_no_conversation_is_refused(serve: Serve, messages: Any) -> None:
    for path, body in (("invoke", {"input": {"messages": messages}}), ("batch", {"inputs": [{"messages": messages}]})):
        answer = serve([]).http.post(f"/agent/{path}", json=body)
        assert 400 <= answer.status_code < 500
