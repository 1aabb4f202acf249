"""OpenAI's routes in somebody else's application."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from agentgraph import AgentGraph
from agentgraph.server.app import create_app
from agentgraph.server.keys import Keys
from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import running

pytestmark = pytest.mark.integration


def test_what_was_used_is_noted_as_the_foreign_application_ends(tmp_path: Path) -> None:
    def opened() -> AgentGraph:
        return AgentGraph(chat_model=ScriptedChatModel(script=["Hello."]), storage_dir=tmp_path, enable_memory=False)

    async def key() -> str:
        sent, _ = await Keys(await app.records()).create(name="k", scope="tenant", tenant="acme")
        return sent

    app, foreign = opened(), FastAPI()
    headers = {"authorization": f"Bearer {asyncio.run(key())}"}
    foreign.include_router(app.router, prefix="/v1")
    with running(foreign) as url:
        body = {"model": "default", "messages": [{"role": "user", "content": "Hi"}]}
        assert httpx.post(f"{url}/v1/acme/chat/completions", json=body, headers=headers).status_code == 200
    app.close()
    with running(create_app(opened())) as url:
        noted = httpx.get(f"{url}/api/v1/usage", headers=headers).json()["data"]
    assert [each["runs"] for each in noted] == [1]
