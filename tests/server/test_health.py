"""Health: what is looked at, and that looking never hangs."""

import asyncio
import threading
import time
from pathlib import Path

import httpx
import pytest

from agentgraph import AgentGraph, Settings
from agentgraph.server import health
from agentgraph.server.app import create_app
from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import Serve, running

pytestmark = pytest.mark.integration


def test_a_server_that_works_is_live_and_ready(serve: Serve) -> None:
    served = serve([])
    for path in ("/health/live", "/health/ready"):
        response = served.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok", "ready": True, "faults": []})


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_monitors_may_ask_for_the_status_alone(serve: Serve, path: str) -> None:
    answer = serve([]).http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_probes_need_no_key(serve: Serve) -> None:
    served = serve([], api_keys=["right"])
    assert [served.http.get(f"/health/{path}").status_code for path in ("live", "ready")] == [200, 200]


def test_a_server_without_storage_is_live_but_not_ready(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app = AgentGraph(
        Settings.load(storage_dir=tmp_path / "file" / "tenants", enable_memory=False),
        chat_model=ScriptedChatModel(script=[]),
    )
    with running(create_app(app)) as url:
        ready, live = httpx.get(f"{url}/health/ready"), httpx.get(f"{url}/health/live")
    assert (live.status_code, ready.status_code) == (200, 503)
    assert "storage directory" in ready.json()["faults"][0]


def test_a_database_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    settings = Settings.load(
        storage_dir=tmp_path, enable_memory=False, database_url="postgresql://nobody:secret@127.0.0.1:1/none"
    )
    with running(create_app(AgentGraph(settings, chat_model=ScriptedChatModel(script=[])))) as url:
        response = httpx.get(f"{url}/health", timeout=30)
    assert response.status_code == 503
    assert response.json()["database"] == {"reachable": False}
    assert not any(told in response.text for told in ("secret", "127.0.0.1", "nobody")), "it is open to everybody"


def test_a_disk_that_hangs_is_looked_at_once_and_waited_for_by_nobody(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, freed = 0, threading.Event()

    def hang(_: Path) -> None:
        nonlocal looks
        looks += 1
        freed.wait(30)

    monkeypatch.setattr(health, "_storage_fault", hang)
    monkeypatch.setattr(health, "_CHECK_TIMEOUT_S", 0.2)
    served = serve([])
    try:
        started = time.monotonic()
        answers = [served.http.get("/health/ready") for _ in range(3)]
        assert time.monotonic() - started < 5
    finally:
        freed.set()
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["faults"] == ["the storage directory does not answer within 0.2 s"]
    assert looks == 1


async def test_a_look_that_fails_is_a_fault_not_an_error() -> None:
    async def fail() -> str | None:
        raise RuntimeError("secret")

    check = health._Check(fail, of="the disk")
    assert await asyncio.wait_for(check.fault(), 5) == "the disk cannot be checked (RuntimeError)"
