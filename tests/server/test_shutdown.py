"""How a server ends: unready first, drained within a bound, runs handed on; real processes and real signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import BaseMessage

from agentgraph import AgentGraph, Settings
from agentgraph.errors import ShuttingDownError
from agentgraph.run import RunRequest
from agentgraph.server import turns
from agentgraph.server.app import create_app
from agentgraph.server.guard import Guard
from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import eventually, running
from tests.server.test_guard import asked

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGTERM")]

SERVER = """
import asyncio, json, sys
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from agentgraph import AgentGraph, Settings
from agentgraph.server.run import serve
from agentgraph.testing import ScriptedChatModel

pause, options = float(sys.argv[1]), json.loads(sys.argv[2])

class Slow(ScriptedChatModel):
    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        for word in ["one ", "two ", "three"]:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
            await asyncio.sleep(pause)

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        await asyncio.sleep(3 * pause)
        return self._generate(messages, stop, **kwargs)

model = Slow(script=lambda *_: "one two three")
app = AgentGraph(Settings.load(port=0, enable_memory=False, **options), chat_model=model)
serve(app=app, on_ready=lambda url: print(url, flush=True))
"""


@contextmanager
def server(storage: Path, *, pause_s: float, **options: Any) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a process of its own, whose model answers three words with a pause after each."""
    given = json.dumps({"storage_dir": str(storage), "shutdown_delay_s": 0, **options})
    command = [sys.executable, "-c", SERVER, str(pause_s), given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip(), process
        finally:
            process.kill()


def asking(url: str, **headers: str) -> Any:
    body = {"messages": [{"role": "user", "content": "Count"}], "stream": True}
    return httpx.stream("POST", f"{url}/v1/acme/chat/completions", json=body, headers=headers, timeout=30)


def said(lines: list[str]) -> str:
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))


async def history(storage: Path) -> list[BaseMessage]:
    settings = Settings.load(storage_dir=storage, enable_memory=False)
    async with AgentGraph(settings, chat_model=ScriptedChatModel(script=[])) as app:
        return await app.history(tenant="acme", thread="t1")


def is_ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/health/ready", timeout=5).status_code == 200
    return False


def test_streams_end_well_and_then_the_process(tmp_path: Path) -> None:
    with server(tmp_path, pause_s=0.4) as (url, process), asking(url) as answer:
        lines = answer.iter_lines()
        told = [next(lines)]
        process.send_signal(signal.SIGTERM)
        told += lines
        assert said(told) == "one two three"
        assert told[-2:] == ["data: [DONE]", ""]
        _, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (0, b"")


def test_langserves_streams_end_well_too(tmp_path: Path) -> None:
    with server(tmp_path, pause_s=0.4) as (url, process):
        body = {"input": "Count"}
        with httpx.stream("POST", f"{url}/agent/chat/stream", json=body, timeout=30) as answer:
            lines = answer.iter_lines()
            told = [next(lines)]
            process.send_signal(signal.SIGTERM)
            told += lines
        assert "".join(json.loads(line[6:]) for line in told if line.startswith('data: "')) == "one two three"
        assert "event: end" in told
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_readiness_turns_first_and_requests_are_still_answered(tmp_path: Path) -> None:
    with server(tmp_path, pause_s=0, shutdown_delay_s=3) as (url, process):
        eventually(lambda: is_ready(url))
        process.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{url}/health/ready").status_code == 503)
        assert httpx.get(f"{url}/health/ready").json()["faults"] == ["the server is ending"]
        assert httpx.get(f"{url}/health/live").status_code == 200
        with asking(url) as answer:
            assert said(list(answer.iter_lines())) == "one two three"
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_an_interrupt_from_the_keyboard_does_not_wait_for_load_balancers(tmp_path: Path) -> None:
    with server(tmp_path, pause_s=0, shutdown_delay_s=60) as (url, process):
        eventually(lambda: is_ready(url))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_runs_that_take_too_long_are_carried_on_by_another_process(tmp_path: Path) -> None:
    key = {"x-thread-id": "t1", "idempotency-key": "mine"}
    with server(tmp_path, pause_s=30, shutdown_grace_s=0.5) as (url, process), asking(url, **key) as answer:
        lines = answer.iter_lines()
        told = [next(lines)]
        process.send_signal(signal.SIGTERM)
        told += lines
        error = json.loads([line for line in told if line.startswith("data: {")][-1][6:])["error"]
        assert error["code"] == "shutting_down"
        assert "data: [DONE]" not in told
        started = time.monotonic()
        process.communicate(timeout=20)
        assert time.monotonic() - started < 10
        assert process.returncode == 0
    with server(tmp_path, pause_s=0) as (url, process), asking(url, **key) as answer:
        assert said(list(answer.iter_lines())) == "one two three"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    messages = asyncio.run(history(tmp_path))
    assert [str(message.text) for message in messages] == ["Count", "one two three"]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with server(tmp_path, pause_s=30) as (url, process), asking(url) as answer:
        next(answer.iter_lines())
        process.send_signal(signal.SIGTERM)
        eventually(lambda: not is_ready(url))
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _, complaints = process.communicate(timeout=20)
        assert time.monotonic() - started < 5
    assert process.returncode == 128 + signal.SIGTERM
    assert b"ending at once" in complaints


def test_no_run_begins_once_the_end_has_begun(tmp_path: Path) -> None:
    settings = Settings.load(storage_dir=tmp_path, enable_memory=False)
    application = create_app(AgentGraph(settings, chat_model=ScriptedChatModel(script=[])))
    with running(application) as url:
        application.state.shutdown.begin()
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        answer = httpx.post(f"{url}/v1/acme/chat/completions", json=body, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
    assert answer.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("streams", [False, True])
async def test_runs_let_go_are_told_so_and_stay_open(tmp_path: Path, streams: bool) -> None:
    begun = asyncio.Event()

    class Hanging(ScriptedChatModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            await self._agenerate()
            yield

    settings = Settings.load(storage_dir=tmp_path, enable_memory=False)
    async with AgentGraph(settings, chat_model=Hanging(script=[])) as app:
        asked = {"tenant": "acme", "thread": "t1", "idempotency_key": "k", "stream": streams}
        waiting = asyncio.ensure_future(app.run("Hello", **asked))
        await begun.wait()
        await app.let_go(timeout_s=0.05)
        with pytest.raises(ShuttingDownError):
            await waiting
    async with AgentGraph(settings, chat_model=ScriptedChatModel(script=["Hi"])) as app:
        assert (await app.run("Hello", **asked)).text == "Hi"
        assert [str(message.text) for message in await app.history(tenant="acme", thread="t1")] == ["Hello", "Hi"]


async def test_whoever_reads_a_run_that_is_cut_off_is_told_so(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def manager(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    settings = Settings.load(storage_dir=tmp_path, enable_memory=False, shutdown_grace_s=0)
    async with AgentGraph(settings, chat_model=ScriptedChatModel(script=[]), manager_fn=manager) as app:
        guard, request = Guard(app), asked()
        await guard.admit(request)
        waiting = asyncio.ensure_future(turns.run(request, RunRequest.of("Hello", tenant="acme")))
        await begun.wait()
        guard.shutdown.begin()
        await guard.aclose()
        with pytest.raises(ShuttingDownError):
            await asyncio.wait_for(waiting, 10)


async def test_an_application_that_ended_may_be_started_again(tmp_path: Path) -> None:
    settings = Settings.load(storage_dir=tmp_path, enable_memory=False)
    async with AgentGraph(
        settings, chat_model=ScriptedChatModel(script=["Hi", "Hi"]), auth_hook=lambda *_: None
    ) as app:
        application = create_app(app)
        body = {"messages": [{"role": "user", "content": "Hello"}]}

        def visit() -> int:
            with running(application) as url:
                return httpx.post(f"{url}/v1/acme/chat/completions", json=body, timeout=20).status_code

        assert [await asyncio.to_thread(visit) for _ in range(2)] == [200, 200]


def test_a_thread_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    hanging = SERVER.replace("import asyncio,", "import asyncio, time,").replace(
        "chat_model=model)", "chat_model=model, usage_hook=lambda *_: time.sleep(60))"
    )
    options = {"storage_dir": str(tmp_path), "shutdown_delay_s": 0, "shutdown_grace_s": 0, "hook_timeout_s": 0.1}
    command = [sys.executable, "-c", hanging, "0", json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            with asking(process.stdout.readline().decode().strip()) as answer:
                assert said(list(answer.iter_lines())) == "one two three"
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()
