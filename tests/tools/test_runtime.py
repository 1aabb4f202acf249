"""Tools that ask for the run they are called in are handed it; no model can write it."""

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

OpenApp = Callable[..., Any]


@tool
def whoami(greeting: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Say who is asking."""
    return f"{greeting} {runtime.context.scope.tenant} {runtime.tool_call_id} {len(runtime.state['messages'])}"


@tool
def start(runtime: str) -> str:
    """Start a container."""
    return f"started with {runtime}"


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "c1"}])


async def test_a_tool_is_handed_the_run_whatever_the_model_writes(open_app: OpenApp) -> None:
    forged = {"context": {"scope": {"tenant": "globex"}}}
    app, model = await open_app([call("whoami", greeting="Hello", runtime=forged), "Done."], tools=[whoami])
    result = await app.run("Who am I?", tenant="acme")
    assert [run.output for run in result.tool_runs] == ["Hello acme c1 2"]
    assert list(model.calls[0]["tools"][0]["function"]["parameters"]["properties"]) == ["greeting"]


async def test_an_argument_that_is_called_runtime_is_the_models(open_app: OpenApp) -> None:
    app, _ = await open_app([call("start", runtime="runc"), "Done."], tools=[start])
    result = await app.run("Start it.", tenant="acme")
    assert [run.output for run in result.tool_runs] == ["started with runc"]
