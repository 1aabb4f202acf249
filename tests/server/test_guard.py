"""Keys over HTTP: a server asks for them, and who brings none of it or one of another tenant learns nothing."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from agentgraph import AgentGraph, Settings
from agentgraph.errors import AgentGraphError, NotAuthenticatedError, PermissionDeniedError
from agentgraph.server.app import create_app
from agentgraph.server.auth import LOCAL
from agentgraph.server.guard import Guard
from agentgraph.server.keys import Keys
from agentgraph.stores.database.database import Database
from agentgraph.testing import HashEmbeddings, ScriptedChatModel
from tests.server.conftest import Serve, Served, running


def make_key(served: Served, **options: Any) -> dict[str, str]:
    """Make a key as `agentgraph keys create` does: in another process's hands, while the server runs."""

    async def make() -> str:
        database = Database(None, served.storage_dir)
        made, _ = await Keys(database).create(**options)
        database.close()
        return made

    return {"authorization": f"Bearer {asyncio.run(make())}"}


@pytest.mark.integration
def test_keys_made_while_the_server_runs_are_asked_for_at_once(serve: Serve) -> None:
    served = serve()
    assert served.chat().status_code == 200
    key = make_key(served, scope="tenant", tenant="acme")
    assert served.chat().status_code == 401
    assert served.chat(headers=key).status_code == 200
    assert served.chat(headers={"x-api-key": key["authorization"].partition(" ")[2]}).status_code == 200


@pytest.mark.integration
def test_a_foreign_tenant_is_answered_as_a_missing_one(serve: Serve) -> None:
    served = serve()
    acme, globex = (make_key(served, scope="tenant", tenant=tenant) for tenant in ("acme", "globex"))
    assert served.chat("globex", headers={**globex, "x-thread-id": "t"}).status_code == 200
    answers = [served.chat(tenant, headers={**acme, "x-thread-id": "t"}) for tenant in ("globex", "nobody")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace("globex", "nobody") == answers[1].text


@pytest.mark.integration
def test_only_an_administrators_key_writes_for_everybody(serve: Serve) -> None:
    served = serve(api_keys=["root"])
    acme = make_key(served, scope="tenant", tenant="acme")
    assert served.chat("_global", headers=acme).status_code == 404
    assert served.chat("_global", headers={"authorization": "Bearer root"}).status_code == 200


@pytest.mark.integration
def test_langserve_takes_the_tenant_from_the_key(serve: Serve) -> None:
    served = serve()
    acme = make_key(served, scope="tenant", tenant="acme")

    def invoke(**configurable: str) -> Any:
        return served.http.post(
            "/agent/invoke", json={"input": "Hello", "config": {"configurable": configurable}}, headers=acme
        )

    assert invoke(thread="t1").status_code == 200
    assert invoke(tenant="acme", thread="t1").status_code == 200
    assert [invoke(tenant=tenant).status_code for tenant in ("globex", "nobody", "_global")] == [404, 404, 404]
    with served.http.stream(
        "POST", "/agent/stream", json={"input": "Hi", "config": {"configurable": {"thread": "t1"}}}, headers=acme
    ) as answer:
        assert answer.status_code == 200
        assert "said" in answer.read().decode()
    told = asyncio.run(served.app.threads.list(tenant="acme"))
    assert [thread.thread for thread in told] == ["t1"]
    assert list(asyncio.run(served.app.threads.list(tenant="default"))) == []


def asked(*, client: str | None = "127.0.0.1", host: str = "localhost", **headers: str) -> HTTPConnection:
    raw = [(b"host", host.encode()), *((name.replace("_", "-").encode(), v.encode()) for name, v in headers.items())]
    peer = None if client is None else (client, 4242)
    return HTTPConnection({"type": "http", "headers": raw, "client": peer, "path": "/", "scheme": "http"})


@pytest.fixture
async def guard(tmp_path):
    async with AgentGraph(
        Settings.load(storage_dir=tmp_path, enable_memory=False),
        chat_model=ScriptedChatModel(script=[]),
        embeddings=HashEmbeddings(),
    ) as app:
        yield Guard(app)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "testclient", None])
async def test_without_keys_this_machine_is_served(guard: Guard, client: str | None) -> None:
    assert await guard.admit(asked(client=client)) is LOCAL


@pytest.mark.parametrize("client", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "0.0.0.0", "::ffff:192.0.2.1"])
async def test_without_keys_no_other_machine_is(guard: Guard, client: str) -> None:
    with pytest.raises(NotAuthenticatedError, match="agentgraph keys create"):
        await guard.admit(asked(client=client))
    guard.app.settings = guard.app.settings.model_copy(update={"insecure": True})
    assert await guard.admit(asked(client=client)) is LOCAL


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip", "via"])
async def test_without_keys_a_proxy_on_this_machine_is_not_this_machine(guard: Guard, header: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        await guard.admit(asked(**{header: "for=192.0.2.1"}))


@pytest.mark.parametrize(
    "request_",
    [
        asked(sec_fetch_site="cross-site"),
        asked(sec_fetch_site="same-site"),
        asked(host="rebound.example:8000"),
        asked(host="localhost.example"),
    ],
)
async def test_without_keys_no_foreign_page_is_served(guard: Guard, request_: HTTPConnection) -> None:
    with pytest.raises(PermissionDeniedError):
        await guard.admit(request_)


async def test_a_caller_the_client_could_have_set_is_not_believed(guard: Guard) -> None:
    request = asked(client="192.0.2.1")
    request.state.caller = LOCAL
    with pytest.raises(AgentGraphError):
        await guard.admit(request)


@pytest.mark.integration
def test_a_users_threads_are_that_users_alone(serve: Serve) -> None:
    served = serve()
    tenant = make_key(served, scope="tenant", tenant="acme")
    ann, bob = (make_key(served, scope="user", tenant="acme", user=user) for user in ("ann", "bob"))
    for place, headers in (("acme", {"x-thread-id": "t1"}), ("acme:s1", {})):
        assert served.chat(place, headers={**ann, **headers}).status_code == 200
        assert served.chat(place, headers={**ann, **headers}).status_code == 200
        assert served.chat(place, headers={**bob, **headers}).status_code == 404
        assert served.chat(place, headers={**tenant, **headers}).status_code == 200
    served.chat(headers={**tenant, "x-thread-id": "t2"})
    assert served.chat(headers={**bob, "x-thread-id": "t2"}).status_code == 404
    assert served.chat(headers={**bob, "x-thread-id": "t3"}).status_code == 200


async def test_without_keys_a_socket_that_a_proxy_forwards_to_is_not_this_machine(guard: Guard) -> None:
    with pytest.raises(NotAuthenticatedError):
        await guard.admit(asked(client=None, x_forwarded_for="192.0.2.1"))


@pytest.mark.integration
def test_keys_that_went_with_their_tenant_let_nobody_in(serve: Serve) -> None:
    served = serve()
    assert served.chat("globex").status_code == 200
    acme = make_key(served, scope="tenant", tenant="acme")
    assert served.http.delete("/api/v1/tenant", headers=acme).status_code == 200
    assert [served.chat("globex", headers=headers).status_code for headers in ({}, acme)] == [401, 401]


@pytest.mark.integration
def test_an_application_below_another_asks_for_its_own_keys(tmp_path: Path) -> None:
    def application(name: str, **options: Any) -> Any:
        settings = Settings.load(storage_dir=tmp_path / name, enable_memory=False, **options)
        return create_app(AgentGraph(settings, chat_model=ScriptedChatModel(script=["Hi."])))

    outer = application("outer")
    outer.mount("/inner", application("inner", api_keys=["right"]))
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    with running(outer) as url, httpx.Client(base_url=f"{url}/inner") as client:
        assert client.post("/v1/acme/chat/completions", json=body).status_code == 401
        key = {"authorization": "Bearer right"}
        assert client.post("/v1/acme/chat/completions", json=body, headers=key).status_code == 200


@pytest.mark.integration
def test_a_thread_that_another_user_begins_at_the_same_time_is_theirs_alone(serve: Serve) -> None:
    async def begin_as_bob(*_: Any) -> None:  # after Ann's request was let in, and before her run is accepted
        await served.app.run("I am Bob.", tenant="acme", user="bob", thread="t1")

    served = serve(manager_fn=begin_as_bob, enable_memory=False, temporal_awareness=False)
    ann = make_key(served, scope="user", tenant="acme", user="ann")
    refused = served.chat(headers={**ann, "x-thread-id": "t1"})
    assert refused.status_code == 404
    assert refused.text == served.chat(headers={**ann, "x-thread-id": "t1"}).text
    told = asyncio.run(served.app.history(tenant="acme", thread="t1"))
    assert [str(message.text) for message in told] == ["I am Bob.", "You said: I am Bob."]


@pytest.mark.integration
@pytest.mark.parametrize("thread", [False, True])
def test_an_idempotency_key_is_its_users_alone(serve: Serve, thread: bool) -> None:
    served = serve(enable_memory=False)
    for user in ("ann", "bob"):
        key = make_key(served, scope="user", tenant="acme", user=user)
        headers = {**key, "idempotency-key": "k1"} | ({"x-thread-id": f"of-{user}"} if thread else {})
        first, again = (served.chat(headers=headers).json() for _ in range(2))
        assert first["id"] == again["id"]
    assert len(served.model.calls) == 2
