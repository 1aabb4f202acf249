"""Agents that are created while the server runs: what they bring, whose they are, and that they stay."""

import asyncio
import json
from typing import Any

import pytest
from langserve import RemoteRunnable

from agentgraph import AgentGraph, Settings
from agentgraph.server.app import create_app
from agentgraph.testing import HashEmbeddings, ScriptedChatModel
from tests.server.conftest import Serve, Served, running
from tests.server.test_chat import add, calls, events_of, said
from tests.server.test_guard import make_key
from tests.server.test_websocket import ended, opened, say, until

pytestmark = pytest.mark.integration


def create(served: Served, name: str = "ann", headers: dict[str, str] | None = None, **spec: Any) -> Any:
    return served.http.post(f"/agents/{name}", json={"instructions": "Speak as a pirate.", **spec}, headers=headers)


def test_an_agent_is_created_listed_changed_and_deleted(serve: Serve) -> None:
    served = serve([], tools=[add])
    made = create(served, tools=["add"], max_parallel_tools=2, tool_call_timeout=1.5)
    assert made.status_code == 201
    assert made.headers["location"] == "/agents/ann"
    told = made.json()
    assert told == {**told, "name": "ann", "tools": ["add"], "max_parallel_tools": 2, "tool_call_timeout": 1.5}
    assert served.http.post("/agents", json={"name": "ben"}).status_code == 201
    assert (again := create(served)).status_code == 400
    assert again.json()["code"] == "agent_exists"
    first = served.http.get("/agents", params={"limit": 1}).json()
    assert ([agent["name"] for agent in first["data"]], first["has_more"], first["next"]) == (["ann"], True, "ann")
    second = served.http.get("/agents", params={"limit": 1, "after": first["next"]}).json()
    assert ([agent["name"] for agent in second["data"]], second["has_more"], second["next"]) == (["ben"], False, None)
    etag = served.http.get("/agents/ann").headers["etag"]
    changed = served.http.put("/agents/ann", json={"instructions": "Be brief."}, headers={"if-match": etag})
    assert (changed.status_code, changed.json()["tools"]) == (200, None)
    assert changed.json()["created_at"] == told["created_at"]
    for stale in (
        served.http.put("/agents/ann", json={}, headers={"if-match": etag}),
        served.http.delete("/agents/ann", headers={"if-match": etag}),
    ):
        assert stale.status_code == 412
    assert served.http.get("/agents/ann").json()["instructions"] == "Be brief."
    assert served.http.delete("/agents/ann").status_code == 204
    for gone in (
        served.http.get("/agents/ann"),
        served.http.delete("/agents/ann"),
        served.http.put("/agents/ann", json={}),
    ):
        assert (gone.status_code, gone.json()["code"]) == (404, "agent_not_found")


def test_an_agent_brings_instructions_tools_and_limits(serve: Serve) -> None:
    served = serve(
        [calls({"a": 1, "b": 2}, name="add"), "Three.", "Aye.", "Plain."],
        tools=[add],
        enable_memory=False,
        temporal_awareness=False,
    )
    create(served, tools=["add"])
    create(served, "talker", tools=[])
    told = served.http.post("/agents/ann/chat", json={"message": "1 + 2?"}).json()
    assert (told["response"], [ran["result"] for ran in told["tool_runs"]]) == ("Three.", ["3"])
    assert "Speak as a pirate." in served.model.calls[0]["messages"][0].text
    events = events_of(served.http.post("/agents/talker/chat/stream", json={"message": "Hi"}))
    assert events[-1]["final_response"] == "Aye."
    assert not served.model.calls[-1]["tools"]
    # Each agent has a conversation of its own with a client, and so has the deployment's.
    served.http.post("/chat", json={"message": "Hi"})
    assert said(served) == ["Hi"]
    assert "pirate" not in repr(served.model.calls[-1]["messages"])


def test_an_agent_talks_over_a_websocket(serve: Serve) -> None:
    served = serve("echo", enable_memory=False)
    create(served)
    with opened(served, "/agents/ann/ws") as socket:
        say(socket, "Hi", "m1")
        assert until(socket, ended("m1"))[-1]["type"] == "chat_complete"
        assert "Speak as a pirate." in served.model.calls[-1]["messages"][0].text
    with opened(served, "/agents/nobody/ws") as socket:
        say(socket, "Hi", "m1")
        (told,) = until(socket, ended("m1"))
        assert told["data"]["code"] == "agent_not_found"


def test_an_agent_has_langserves_routes(serve: Serve) -> None:
    served = serve("echo", enable_memory=False, temporal_awareness=False)
    create(served, "ann")
    remote = RemoteRunnable(f"{served.url}/agents/ann")
    config: Any = {"configurable": {"thread": "t1"}}
    assert remote.invoke({"messages": [("human", "Hi")]}, config=config).content == "You said: Hi"
    assert "".join(piece.content for piece in remote.stream("Again", config=config)) == "You said: Again"
    assert len(said(served)) == 3
    assert all("pirate" in call["messages"][0].text for call in served.model.calls)
    assert [each.content for each in remote.batch(["a", "b"])] == ["You said: a", "You said: b"]
    remote.sync_client.close()
    asyncio.run(remote.async_client.aclose())
    page = served.http.get("/agents/ann/playground/")
    assert page.status_code == 200
    assets = [
        part for part in page.text.split('"') if part.startswith("/agents/ann") and part.endswith((".js", ".css"))
    ]
    assert assets
    assert all(served.http.get(asset).status_code == 200 for asset in assets)
    for below in ("invoke", "stream", "batch", "stream_events"):
        body = {"inputs": ["Hi"]} if below == "batch" else {"input": "Hi"}
        missing = served.http.post(f"/agents/nobody/{below}", json=body)
        assert (missing.status_code, missing.json()["code"]) == (404, "agent_not_found"), below


def test_agents_outlive_the_server(serve: Serve) -> None:
    served = serve([])
    create(served, model=None)
    app = AgentGraph(
        Settings.load(storage_dir=served.storage_dir, storage_sync="normal", enable_memory=False),
        chat_model=(model := ScriptedChatModel(script=["Aye."])),
        embeddings=HashEmbeddings(),
    )
    with running(create_app(app)) as url:
        told = served.http.post(f"{url}/agents/ann/chat", json={"message": "Hi"})
    assert told.json()["response"] == "Aye."
    assert "Speak as a pirate." in model.calls[0]["messages"][0].text


def test_agents_are_a_tenants_own(serve: Serve) -> None:
    served = serve("echo")
    acme, globex = (make_key(served, scope="tenant", tenant=tenant) for tenant in ("acme", "globex"))
    ana = make_key(served, scope="user", tenant="acme", user="ana")
    assert create(served, headers=acme).status_code == 201
    assert served.http.get("/agents", headers=globex).json()["data"] == []
    missing = served.http.get("/agents/nobody", headers=globex).json()["detail"]
    for method, path, body in (
        ("GET", "/agents/ann", None),
        ("PUT", "/agents/ann", {}),
        ("DELETE", "/agents/ann", None),
        ("POST", "/agents/ann/chat", {"message": "Hi"}),
        ("POST", "/agents/ann/chat/stream", {"message": "Hi"}),
        ("POST", "/agents/ann/invoke", {"input": "Hi"}),
    ):
        foreign = served.http.request(method, path, json=body, headers=globex)
        assert (foreign.status_code, foreign.json()["detail"]) == (404, missing.replace("nobody", "ann")), path
        assert served.http.request(method, f"{path}?tenant=acme", json=body, headers=globex).status_code == 404
    # One person may talk to it, and change nothing.
    assert served.http.post("/agents/ann/chat", json={"message": "Hi"}, headers=ana).status_code == 200
    for method, path in (("PUT", "/agents/ann"), ("POST", "/agents/eve"), ("DELETE", "/agents/ann")):
        assert served.http.request(method, path, json={}, headers=ana).status_code == 403
    assert served.http.get("/agents/ann", headers=acme).status_code == 200


BAD: list[tuple[str, dict[str, Any], int]] = [
    ("ann", {"nonsense": 1}, 422),
    ("ann", {"name": "ben"}, 400),
    ("ann", {"max_parallel_tools": 0}, 422),
    ("ann", {"tool_call_timeout": 0}, 422),
    ("ann", {"tool_call_timeout": float("inf")}, 422),
    ("ann", {"tools": ["nothing"]}, 400),
    ("ann", {"tools": "add"}, 422),
    ("ann", {"model": "openai/nonsense"}, 404),
    ("default", {}, 400),
    ("a b", {}, 400),
    ("..%2f..", {}, 404),
    ("x" * 129, {}, 422),
]


def test_agents_that_could_not_work_are_refused(serve: Serve) -> None:
    served = serve([], tools=[add])
    for name, spec, status in BAD:
        answer = served.http.post(
            f"/agents/{name}", content=json.dumps(spec), headers={"content-type": "application/json"}
        )
        assert answer.status_code == status, (name, spec, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert served.http.post("/agents", json={}).status_code == 400
    assert served.http.get("/agents").json()["data"] == []


def test_no_database_is_asked_for_what_it_cannot_hold(serve: Serve) -> None:
    served = serve([])
    assert create(served, instructions="Be\0brief.").json()["instructions"] == "Be\ufffdbrief."
    for asked in ("/agents/a%00b", "/agents?after=%00"):
        assert served.http.get(asked).status_code == 422


def test_whom_the_auth_hook_binds_to_a_user_changes_no_agent(serve: Serve) -> None:
    def auth_hook(request: Any, _: str) -> None:
        request.state.user_id = request.headers.get("x-person")

    served = serve("echo", auth_hook=auth_hook)
    assert create(served).status_code == 201
    ana = {"x-person": "ana"}
    for method, path in (("PUT", "/agents/ann"), ("POST", "/agents/eve"), ("DELETE", "/agents/ann")):
        assert served.http.request(method, path, json={}, headers=ana).status_code == 403
    assert served.http.post("/agents/ann/chat", json={"message": "Hi"}, headers=ana).status_code == 200
