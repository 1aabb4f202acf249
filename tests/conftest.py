"""What every test shares: a clean environment, models real and scripted, and an application on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentgraph import AgentGraph, AgentGraphError
from agentgraph.models.local_files import DEFAULT_LOCAL_MODEL, fetch_model_file
from agentgraph.testing import FrozenClock, HashEmbeddings, ScriptedChatModel


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not depend on the keys and settings of whoever runs them."""
    import os

    for name in list(os.environ):
        if name.startswith(("AGENTGRAPH_", "OPENAI_", "GOOGLE_", "GEMINI_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def local_model() -> Path:
    """The default local model's weights, fetched if need be; a test that cannot have them says so and is skipped."""
    pytest.importorskip("xllamacpp", reason="the local extra is not installed")
    try:
        return asyncio.run(fetch_model_file(DEFAULT_LOCAL_MODEL))
    except AgentGraphError as error:
        pytest.skip(f"the local model's weights cannot be had here: {error}")


@pytest.fixture
def clock() -> FrozenClock:
    """Monday 2 March 2026, noon UTC."""
    return FrozenClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture
async def open_app(tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Callable[..., Any]]:
    """Open an application on this test's directory: `app, model = await open_app(["an answer"], tools=[...])`."""
    async with AsyncExitStack() as stack:

        async def open_one(script: Any, **options: Any) -> tuple[AgentGraph, ScriptedChatModel]:
            model = ScriptedChatModel(script=script)
            options = {"embeddings": HashEmbeddings(), "storage_dir": tmp_path / "tenants", "clock": clock} | options
            app = await stack.enter_async_context(AgentGraph(chat_model=model, **options))
            return app, model

        yield open_one
