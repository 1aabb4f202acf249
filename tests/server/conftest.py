"""A real uvicorn on loopback in front of a scripted model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from openai import OpenAI

from agentgraph import AgentGraph, Settings
from agentgraph.server.app import create_app
from agentgraph.server.run import listen
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

_BOUND_S = 20
_HOOKS = {"auth_hook", "usage_hook", "on_thinking", "manager_fn", "extract_text", "local_tools_handler"}


@dataclass(frozen=True)
class Served:
    """A running server, and the model behind it."""

    url: str
    app: AgentGraph
    model: ScriptedChatModel
    http: httpx.Client
    storage_dir: Path
    cleanup: ExitStack

    def openai(self, tenant: str = "acme", **options: Any) -> OpenAI:
        options = {"api_key": "none", "max_retries": 0, "timeout": _BOUND_S} | options
        return self.cleanup.enter_context(OpenAI(base_url=f"{self.url}/v1/{tenant}", **options))

    def chat(self, tenant: str = "acme", *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        body.setdefault("messages", [{"role": "user", "content": "Hello"}])
        return self.http.post(f"/v1/{tenant}/chat/completions", json=body, headers=headers)


@contextmanager
def running(application: Any, **options: Any) -> Iterator[str]:
    """Serve `application` in a thread, and see it closed; options are uvicorn's."""
    with listen("127.0.0.1", 0) as listener:
        # As our own server: what proxies say is for the application to believe or not.
        options = {"log_level": "warning", "timeout_graceful_shutdown": 5, "proxy_headers": False} | options
        config = uvicorn.Config(application, **options)
        server = uvicorn.Server(config)
        # Signals belong to the main thread.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            eventually(lambda: server.started or not thread.is_alive())
            assert server.started, "the server did not start"
            yield url
        finally:
            server.should_exit = True
            thread.join(_BOUND_S)
            assert not thread.is_alive(), "the server did not end"


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something has come about."""
    pause = threading.Event()
    for _ in range(_BOUND_S * 100):
        if condition():
            return
        pause.wait(0.01)
    raise TimeoutError


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server whose model answers from a script, or is given; options are `AgentGraph`'s and `Settings`'."""
    with ExitStack() as cleanup:

        def start(script: Any = "echo", *, tools: Any = (), **options: Any) -> Served:
            hooks = {name: options.pop(name) for name in _HOOKS & set(options)}
            if isinstance(script, ScriptedChatModel):
                model = script
            else:
                model = ScriptedChatModel(script=_echo if script == "echo" else script)
            settings = Settings.load(storage_dir=tmp_path / "tenants", storage_sync="normal", **options)
            app = AgentGraph(settings, chat_model=model, embeddings=HashEmbeddings(), tools=tools, **hooks)
            url = cleanup.enter_context(running(create_app(app)))
            http = cleanup.enter_context(httpx.Client(base_url=url, timeout=_BOUND_S))
            return Served(url=url, app=app, model=model, http=http, storage_dir=settings.storage_dir, cleanup=cleanup)

        yield start


def _echo(messages: Any, tools: Any) -> str:
    said = [message.text for message in messages if message.type == "human"]
    return f"You said: {said[-1]}" if said else "You said nothing."
