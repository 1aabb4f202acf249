"""The deployment's own functions: called at their moments, sync or async, and never in anybody's way."""

import asyncio
import time
from typing import Any

import pytest
from fastapi import HTTPException
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState, StateGraph

from agentgraph.errors import PermissionDeniedError
from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import Serve, eventually

pytestmark = pytest.mark.integration
HELLO = [{"role": "user", "content": "Hello"}]


def either(function: Any, *, is_async: bool) -> Any:
    """Return a hook, or the same as a coroutine function."""
    if not is_async:
        return function

    async def hook(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        return function(*arguments)

    return hook


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_usage_is_told_once_in_tokens_and_seconds(serve: Serve, is_async: bool) -> None:
    told: list[tuple[str, int, float]] = []

    def usage_hook(tenant: str, tokens: int, duration: float) -> None:
        told.append((tenant, tokens, duration))

    served = serve(usage_hook=either(usage_hook, is_async=is_async))
    answer = served.chat(messages=HELLO)
    list(served.openai().chat.completions.create(model="default", messages=HELLO, stream=True))  # type: ignore[call-overload]
    served.http.post("/agent/invoke", json={"input": "Hello", "config": {"configurable": {"tenant": "acme"}}})
    eventually(lambda: len(told) == 3)
    tenants, tokens, durations = zip(*told, strict=True)
    assert set(tenants) == {"acme"}
    assert set(tokens) == {answer.json()["usage"]["total_tokens"]}
    assert all(0 < duration < 10 for duration in durations)


@pytest.mark.parametrize(("memory", "states"), [(True, ["thinking", "ready"]), (False, ["ready"])])
@pytest.mark.parametrize("stream", [False, True])
def test_thinking_is_told_around_each_run(serve: Serve, is_async, memory: bool, states: list[str], stream) -> None:
    told: list[tuple[str, str]] = []
    hook = either(lambda tenant, state: told.append((tenant, state)), is_async=is_async)
    served = serve(on_thinking=hook, enable_memory=memory)
    assert served.chat(messages=HELLO, stream=stream).status_code == 200
    assert told == [("acme", state) for state in states], "told by the time the answer is there"
    served.chat("acme:s1", messages=HELLO)
    assert told[len(states) :] == [("acme:s1", state) for state in states]


def test_a_run_that_fails_is_ready_too(serve: Serve) -> None:
    told: list[str] = []
    served = serve([RuntimeError("broken")], on_thinking=lambda _, state: told.append(state))
    assert served.chat(messages=HELLO).status_code >= 500
    assert told == ["thinking", "ready"]


@pytest.mark.parametrize("name", ["usage_hook", "on_thinking", "manager_fn"])
def test_a_hook_that_fails_breaks_nothing_and_is_logged(serve: Serve, is_async, name: str, caplog) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("hook is broken")

    served = serve(**{name: either(broken, is_async=is_async)})
    assert served.chat(messages=HELLO).status_code == 200
    eventually(lambda: f"{name} failed" in caplog.text)


def test_a_hook_that_hangs_delays_by_no_more_than_its_bound(serve: Serve, is_async: bool) -> None:
    def hang(*_: Any) -> None:
        time.sleep(1.5)

    async def hang_too(*_: Any) -> None:
        await asyncio.sleep(30)

    served = serve(on_thinking=hang_too if is_async else hang, usage_hook=hang, hook_timeout_s=0.2)
    served.chat(messages=HELLO)
    began = time.monotonic()
    assert served.chat(messages=HELLO).status_code == 200
    assert time.monotonic() - began < 1.2


# auth_hook


def test_the_auth_hook_lets_in_and_refuses(serve: Serve, is_async: bool) -> None:
    def auth_hook(request: Any, tenant: str) -> None:
        if request.headers.get("x-token") != f"of-{tenant}":
            raise HTTPException(403, "that is not your tenant")
        if request.headers.get("x-suspended"):
            raise PermissionDeniedError("suspended")

    served = serve(auth_hook=either(auth_hook, is_async=is_async))
    assert served.chat(headers={"x-token": "of-acme"}).status_code == 200
    refused = served.chat(headers={"x-token": "of-globex"})
    assert (refused.status_code, refused.json()["error"]["message"]) == (403, "that is not your tenant")
    suspended = served.chat(headers={"x-token": "of-acme", "x-suspended": "1"})
    assert (suspended.status_code, suspended.json()["error"]["message"]) == (403, "suspended")
    assert served.http.get("/v1/globex/models", headers={"x-token": "of-acme"}).status_code == 403
    body = {"input": "Hi", "config": {"configurable": {"tenant": "globex"}}}
    assert served.http.post("/agent/invoke", json=body, headers={"x-token": "of-acme"}).status_code == 403


def test_the_auth_hook_names_the_user_of_the_run(serve: Serve, is_async: bool) -> None:
    def auth_hook(request: Any, tenant: str) -> None:
        request.state.user_id = "ann"

    served = serve(auth_hook=either(auth_hook, is_async=is_async))
    assert served.chat(headers={"x-thread-id": "t1"}).status_code == 200
    threads = asyncio.run(served.app.threads.list(tenant="acme"))
    assert [(thread.thread, thread.user) for thread in threads] == [("t1", "ann")]
    assert served.chat(headers={"x-user-id": "bob"}).status_code == 404


def test_an_auth_hook_that_breaks_lets_nobody_in(serve: Serve, is_async: bool) -> None:
    def auth_hook(*_: Any) -> None:
        raise KeyError("jwt")

    answer = serve(auth_hook=either(auth_hook, is_async=is_async)).chat()
    assert answer.status_code == 500
    assert "jwt" not in answer.text


def test_beside_keys_the_auth_hook_is_asked_too(serve: Serve) -> None:
    asked: list[str] = []
    served = serve(api_keys=["right"], auth_hook=lambda _, tenant: asked.append(tenant))
    assert served.chat().status_code == 401
    assert asked == []
    assert served.chat(headers={"authorization": "Bearer right"}).status_code == 200
    assert asked == ["acme"]


def test_whom_the_auth_hook_refuses_uses_nothing_up_of_the_tenants(serve: Serve, is_async: bool) -> None:
    def auth_hook(request: Any, _: str) -> None:
        if request.headers.get("x-token") != "right":
            raise PermissionDeniedError("that is not your tenant")

    hook = either(auth_hook, is_async=is_async)
    served = serve(auth_hook=hook, enable_memory=False, tenant_limits={"acme": {"requests_per_min": 1}})
    assert [served.chat().status_code for _ in range(3)] == [403, 403, 403]
    assert [served.chat(headers={"x-token": "right"}).status_code for _ in range(2)] == [200, 429]


# manager_fn


def test_the_manager_sees_the_conversation_and_may_change_it(serve: Serve, is_async: bool) -> None:
    seen: list[Any] = []

    def manager(request: Any, tenant: str, conversation: list[dict[str, Any]]) -> Any:
        seen.append((request.url.path, tenant, conversation))
        if conversation[-1]["content"] == "Hello":
            return None
        return [*conversation[:-1], {"role": "user", "content": "Bonjour"}]

    served = serve(manager_fn=either(manager, is_async=is_async), temporal_awareness=False, enable_memory=False)
    assert served.chat(messages=HELLO).json()["choices"][0]["message"]["content"] == "You said: Hello"
    changed = served.chat(messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])
    assert changed.json()["choices"][0]["message"]["content"] == "You said: Bonjour"
    assert seen[1] == (
        "/v1/acme/chat/completions",
        "acme",
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    )


def _graph() -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [AIMessage(f"Graph: {state['messages'][-1].text}")]})
    graph.set_entry_point("answer")
    return graph.compile()


@pytest.mark.parametrize(
    ("runnable", "told"),
    [
        (RunnableLambda(lambda given: f"Lambda: {given['messages'][-1].text}"), "Lambda: Hello"),
        (_graph(), "Graph: Hello"),
        (ScriptedChatModel(script=["Model.", "Model."]), "Model."),
    ],
    ids=["runnable", "graph", "model"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_manager_may_hand_over(serve: Serve, runnable: Any, told: str, stream: bool) -> None:
    served = serve([], manager_fn=lambda *_: runnable)
    if stream:
        chunks = served.openai().chat.completions.create(model="default", messages=HELLO, stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == told
    else:
        assert served.chat(messages=HELLO).json()["choices"][0]["message"]["content"] == told


def test_an_agent_handed_over_to_that_fails_is_an_error(serve: Serve) -> None:
    def fail(_: Any) -> str:
        raise RuntimeError("secret detail")

    answer = serve([], manager_fn=lambda *_: RunnableLambda(fail)).chat(messages=HELLO)
    assert answer.status_code == 500
    assert "secret detail" not in answer.text


def test_a_manager_that_returns_nonsense_changes_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    served = serve(manager_fn=lambda *_: 42, temporal_awareness=False, enable_memory=False)
    assert served.chat(messages=HELLO).json()["choices"][0]["message"]["content"] == "You said: Hello"
    assert "manager_fn failed" in caplog.text


def test_an_agent_handed_over_to_keeps_one_off_requests_apart(serve: Serve) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [AIMessage(f"I see {len(state['messages'])}.")]})
    graph.set_entry_point("answer")
    remembering = graph.compile(checkpointer=InMemorySaver())

    async def ask(given: Any, config: RunnableConfig) -> str:
        return str((await remembering.ainvoke(given, config))["messages"][-1].text)

    served = serve([], manager_fn=lambda *_: RunnableLambda(ask), enable_memory=False)
    answers = [served.chat(messages=HELLO).json()["choices"][0]["message"]["content"] for _ in range(2)]
    assert answers == ["I see 1.", "I see 1."]
    thread = {"x-thread-id": "t1"}
    kept = [served.chat(headers=thread).json()["choices"][0]["message"]["content"] for _ in range(2)]
    assert kept == ["I see 1.", "I see 3."]
