"""LangChain's own standard suite, unit and integration, run against `ChatAgentGraph`.

The chat model behind it is scripted to be obedient (it calls what it is told to call, with arguments its schema
allows), so that what is tested is the interface and not a model's wits.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from langgraph.store.memory import InMemoryStore

from agentgraph import AgentGraph, ChatAgentGraph
from agentgraph.server.app import create_app
from agentgraph.testing import ScriptedChatModel
from tests.server.conftest import running

_numbers = itertools.count()
JOKE = {"properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}}}


def value_for(schema: dict[str, Any], root: dict[str, Any], words: str) -> Any:
    """Return a value that `schema` allows; a string is what the user said."""
    if "$ref" in schema:
        return value_for(root["$defs"][schema["$ref"].rpartition("/")[2]], root, words)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return value_for(schema["anyOf"][0], root, words)
    match schema.get("type"):
        case "integer" | "number":
            return 3
        case "boolean":
            return True
        case "array":
            return [value_for(schema.get("items", {"type": "string"}), root, words)]
        case "object":
            return {name: value_for(each, root, words) for name, each in schema.get("properties", {}).items()}
        case _:
            return words


class ObedientModel(ScriptedChatModel):
    """Calls the tool it is given, once, and then says that it is done."""

    def _answer(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        tools, choice = kwargs.get("tools") or [], kwargs.get("tool_choice")
        schema = (kwargs.get("response_format") or {}).get("json_schema", {}).get("schema")
        self.script = lambda heard, names: (
            json.dumps(value_for({"type": "object", **(schema or JOKE)}, schema or JOKE, _last_words(heard)))
            if kwargs.get("response_format")
            else self._obey(heard, tools, choice)
        )
        return super()._answer(messages, stop, kwargs)

    def _obey(self, messages: Sequence[BaseMessage], tools: list[dict[str, Any]], choice: Any) -> Any:
        if not tools or choice == "none" or (isinstance(messages[-1], ToolMessage) and choice is None):
            return "I am done; the sum is 15."
        name = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
        schema = next(tool["function"] for tool in tools if tool["function"]["name"] == name)["parameters"]
        arguments = value_for({"type": "object", **schema}, schema, _last_words(messages))
        return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{next(_numbers)}"}])


def _last_words(messages: Sequence[BaseMessage]) -> str:
    return next(str(message.text) for message in reversed(messages) if isinstance(message, HumanMessage))


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentGraph]:
    model = ObedientModel(script=[])
    app = AgentGraph(chat_model=model, store=InMemoryStore(), storage_dir=tmp_path_factory.mktemp("tenants"))
    yield app
    app.close()


@pytest.fixture(scope="module")
def address(application: AgentGraph) -> Iterator[str]:
    with running(create_app(application)) as url:
        yield url


class Parameters:
    @pytest.fixture(autouse=True)
    def _application(self, application: AgentGraph) -> None:
        type(self).application = application

    @property
    def chat_model_class(self) -> type[ChatAgentGraph]:
        return ChatAgentGraph

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"tenant": "acme", "app": getattr(self, "application", None)}


class TestUnit(Parameters, ChatModelUnitTests):
    """Construction, binding, serialisation."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"tenant": "acme"}


class Abilities:
    """What the obedient model behind the interface can do."""

    has_tool_choice = True
    supports_json_mode = True
    # The suite's image, PDF and audio tests download their samples: they cannot run without a network.
    model_override_value = "scripted/echo"


class TestIntegration(Abilities, Parameters, ChatModelIntegrationTests):
    """Calls, streams, tools, structured output, usage: in this process."""

    supports_anthropic_inputs = True


@pytest.mark.integration
class TestIntegrationOverHttp(Abilities, ChatModelIntegrationTests):
    """The same through a real server and its OpenAI-compatible endpoint."""

    @pytest.fixture(autouse=True)
    def _address(self, address: str) -> None:
        type(self).address = address

    @property
    def chat_model_class(self) -> type[ChatAgentGraph]:
        return ChatAgentGraph

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"tenant": "acme", "base_url": f"{getattr(self, 'address', '')}/v1", "timeout": 20}
