"""The application around the routes: health, documentation, index, lifetime."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from agentgraph import AgentGraph, Settings
from agentgraph.server.app import PLACES, create_app
from agentgraph.testing import HashEmbeddings, ScriptedChatModel
from tests.server.conftest import Serve, running

pytestmark = pytest.mark.integration


def test_health_tells_what_runs(serve: Serve) -> None:
    response = serve([]).http.get("/health")
    assert response.status_code == 200
    told = response.json()
    assert (told["status"], told["ready"], told["model"], told["tools"]) == ("ok", True, "ScriptedChatModel", [])
    assert told["storage"] == {"writable": True}


def test_health_needs_no_key(serve: Serve) -> None:
    assert serve([], api_keys=["right"]).http.get("/health").status_code == 200


def test_health_fails_where_storage_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app = AgentGraph(
        Settings.load(storage_dir=tmp_path / "file" / "tenants", enable_memory=False),
        chat_model=ScriptedChatModel(script=[]),
    )
    with running(create_app(app)) as url:
        response = httpx.get(f"{url}/health")
    assert response.status_code == 503
    assert response.json()["storage"] == {"writable": False}


def test_health_fails_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgraph.models.load.find_spec", lambda name: None)
    with running(create_app(settings=Settings.load(storage_dir=tmp_path, enable_memory=False))) as url:
        response = httpx.get(f"{url}/health")
        chat = httpx.post(f"{url}/v1/acme/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]})
    assert response.status_code == 503
    assert "OPENAI_API_KEY" in response.json()["faults"][0]
    assert (chat.status_code, chat.json()["error"]["code"]) == (503, "no_chat_model")


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_needs_no_network(serve: Serve, path: str) -> None:
    served = serve([])
    page = served.http.get(path).text
    assert "http://" not in page
    assert "https://" not in page
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert assets
    for asset in assets:
        assert served.http.get(asset).status_code == 200


def test_openapi_describes_requests_whole(serve: Serve) -> None:
    schema = serve([]).http.get("/openapi.json").json()
    chat = schema["paths"]["/v1/{tenant}/chat/completions"]["post"]
    body = chat["requestBody"]["content"]["application/json"]["schema"]
    assert {"messages", "tools", "stream", "metadata"} <= set(body["properties"])
    assert "$ref" not in str(body)
    assert "x-thread-id" in {parameter["name"] for parameter in chat["parameters"]}


def test_the_index_says_where_things_are(serve: Serve) -> None:
    served = serve([])
    for path in served.http.get("/").json()["places"].values():
        if "{" not in path:
            # 405: there, for another method; 404 for a GET on a WebSocket's place.
            assert served.http.get(path).status_code in {200, 405} or path == "/ws"
    assert served.http.get("/").json()["places"] == PLACES


def test_elsewhere_errors_are_problem_documents(serve: Serve) -> None:
    response = serve([]).http.get("/nowhere", headers={"x-request-id": "mine"})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Route not found",
        "status": 404,
        "detail": "Not Found",
        "code": "route_not_found",
        "param": None,
        "request_id": "mine",
    }


async def test_an_agent_that_was_open_stays_open(tmp_path: Path) -> None:
    app = AgentGraph(chat_model=ScriptedChatModel(script=["Hi."]), embeddings=HashEmbeddings(), storage_dir=tmp_path)
    async with app:

        def visit() -> None:
            with running(create_app(app)) as url:
                assert httpx.get(f"{url}/health").status_code == 200

        await asyncio.to_thread(visit)
        assert app.is_open
        assert (await app.run("Hi")).text == "Hi."
    assert not app.is_open
