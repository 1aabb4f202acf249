"""The more tools, the lower the temperature; and none that the model would refuse or somebody chose otherwise."""

from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langchain_openai import ChatOpenAI

from agentgraph.graph.temperature import temperature_for
from agentgraph.testing import ScriptedChatModel


def tools(count: int) -> list[BaseTool]:
    return [
        StructuredTool.from_function(lambda text: text, name=f"tool_{n}", description="Do something.")
        for n in range(count)
    ]


def model_of(profile: dict[str, Any] | None) -> ScriptedChatModel:
    return ScriptedChatModel(script=lambda messages, names: "ok", profile=profile)


@pytest.mark.parametrize(("count", "temperature"), [(1, 0.9), (3, 0.7), (9, 0.1), (40, 0.1), (0, None)])
def test_the_temperature_follows_the_number_of_tools(count: int, temperature: float | None) -> None:
    assert temperature_for(model_of({"temperature": True}), count) == temperature


@pytest.mark.parametrize("name", ["gpt-5", "o3-mini"])
def test_a_reasoning_model_is_sent_none(name: str) -> None:
    assert temperature_for(ChatOpenAI(model=name, api_key="none"), 3) is None


def test_one_that_the_model_was_made_with_stays() -> None:
    assert temperature_for(ChatOpenAI(model="gpt-4o-mini", api_key="none", temperature=0.4), 3) is None
    assert temperature_for(ChatOpenAI(model="gpt-4o-mini", api_key="none"), 3) == 0.7


@pytest.mark.parametrize("profile", [None, {}, {"temperature": False}])
def test_a_model_that_does_not_say_it_takes_one_is_sent_none(profile: dict[str, Any] | None) -> None:
    assert temperature_for(model_of(profile), 3) is None


async def sent(open_app: Any, *, script: Any = ("ok",), server: int = 2, **options: Any) -> list[Any]:
    settings = {name: options.pop(name) for name in ("dynamic_temperature",) if name in options}
    app, model = await open_app(list(script), tools=tools(server), enable_memory=False, **settings)
    model.profile = {"temperature": True}
    await app.run("Hello.", tenant="acme", **options)
    return [call["parameters"].get("temperature") for call in model.calls]


async def test_server_and_client_tools_count(open_app: Any) -> None:
    schema = {"type": "function", "function": {"name": "theirs", "parameters": {"type": "object", "properties": {}}}}
    assert await sent(open_app, tools=[schema]) == [0.7]


async def test_the_callers_own_wins(open_app: Any) -> None:
    assert await sent(open_app, parameters={"temperature": 1.5}) == [1.5]


async def test_it_can_be_switched_off(open_app: Any) -> None:
    assert await sent(open_app, dynamic_temperature=False) == [None]


async def test_without_tools_none_is_sent(open_app: Any) -> None:
    assert await sent(open_app, server=0) == [None]
    assert await sent(open_app, tool_choice="none") == [None]
