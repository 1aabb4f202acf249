"""LangChain's own standard suite through `ChatOpenAI(base_url=…)`: chat completions, and the Responses API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from agentgraph import AgentGraph
from agentgraph.server.app import create_app
from tests.server.conftest import running
from tests.test_chat_model_standard import ObedientModel

pytestmark = [
    pytest.mark.integration,
    # What `ChatOpenAI` warns of by itself, whoever answers it.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = ObedientModel(script=[])
    app = AgentGraph(chat_model=model, enable_memory=False, storage_dir=tmp_path_factory.mktemp("tenants"))
    with running(create_app(app)) as url:
        yield url


class _ThroughOpenAI(ChatModelIntegrationTests):
    has_tool_choice = True
    supports_json_mode = True
    # The suite's image, PDF and audio tests download their samples: they cannot run without a network.
    model_override_value = "scripted/echo"
    clients: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    async def _clients(self, address: str) -> AsyncIterator[None]:
        # The model would leave its own clients open.
        with httpx.Client(timeout=20) as http:
            async with httpx.AsyncClient(timeout=20) as async_http:
                type(self).clients = {"base_url": f"{address}/v1/acme", "http_client": http}
                type(self).clients["http_async_client"] = async_http
                yield

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "default", "api_key": "none", "stream_usage": True, **self.clients}


class TestChatCompletions(_ThroughOpenAI):
    """Calls, streams, tools, structured output, usage, by `/chat/completions`."""


class TestResponses(_ThroughOpenAI):
    """The same by `/responses`."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}
