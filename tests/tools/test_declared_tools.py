"""What a tenant declares once is part of each of its requests, of nobody else's, and stays declared."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool

from agentgraph.errors import InvalidInputError, NotFoundError

OpenApp = Callable[..., Any]


def schema(name: str, *properties: str) -> dict[str, Any]:
    shown = {each: {"type": "string"} for each in properties}
    parameters = {"type": "object", "properties": shown, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "description": f"Do {name}.", "parameters": parameters}}


def calling(name: str, /, **arguments: Any) -> Callable[..., Any]:
    """Script a model that calls a tool, and then says what came of it."""

    def answer(messages: Any, tools: Any) -> Any:
        if messages[-1].type == "tool":
            return f"it said {messages[-1].text}"
        return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "c1"}])

    return answer


async def test_they_are_the_callers_to_run(open_app: OpenApp) -> None:
    app, model = await open_app(calling("ring", bell="door"))
    assert await app.declared_tools.declare([schema("ring", "bell")], tenant="acme") == 1
    result = await app.run("Ring.", tenant="acme")
    assert result.status == "requires_action"
    assert [(each["name"], each["args"]) for each in result.tool_calls] == [("ring", {"bell": "door"})]
    model.calls.clear()
    theirs = await app.run("Ring.", tenant="globex")
    assert theirs.tool_calls == ()
    assert all(each["tools"] == [] for each in model.calls)


async def test_they_outlive_the_application(open_app: OpenApp) -> None:
    app, _ = await open_app([])
    await app.declared_tools.declare([schema("ring"), schema("knock")], tenant="acme")
    await app.aclose()
    again, _ = await open_app([])
    assert [each["function"]["name"] for each in await again.declared_tools.list(tenant="acme")] == ["ring", "knock"]
    assert await again.declared_tools.list(tenant="globex") == ()


async def test_declared_again_they_take_the_place_of_the_former(open_app: OpenApp) -> None:
    app, _ = await open_app([])
    await app.declared_tools.declare([schema("ring", "bell"), schema("knock")], tenant="acme")
    await app.declared_tools.declare([schema("ring", "tower")], tenant="acme")
    ring, knock = await app.declared_tools.list(tenant="acme")
    assert list(ring["function"]["parameters"]["properties"]) == ["tower"]
    await app.declared_tools.remove("ring", tenant="acme")
    assert await app.declared_tools.list(tenant="acme") == (knock,)
    with pytest.raises(NotFoundError, match="'ring'"):
        await app.declared_tools.remove("ring", tenant="acme")


async def test_a_request_may_declare_its_own_of_the_name(open_app: OpenApp) -> None:
    app, model = await open_app(["ok"])
    await app.declared_tools.declare([schema("ring", "bell")], tenant="acme")
    await app.run("Ring.", tenant="acme", tools=[schema("ring", "tower")])
    (shown,) = model.calls[0]["tools"]
    assert list(shown["function"]["parameters"]["properties"]) == ["tower"]


async def test_names_that_clash_are_refused(open_app: OpenApp) -> None:
    ring = StructuredTool.from_function(lambda: "rung", name="ring", description="Ring.")
    app, _ = await open_app([], tools=[ring])
    with pytest.raises(InvalidInputError, match="ring") as raised:
        await app.declared_tools.declare([schema("knock"), schema("ring")], tenant="acme")
    assert raised.value.code == "duplicate_tool"
    with pytest.raises(InvalidInputError, match="knock"):
        await app.declared_tools.declare([schema("knock"), schema("knock")], tenant="acme")
    assert await app.declared_tools.list(tenant="acme") == ()


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_handler_runs_them_on_the_server(open_app: OpenApp, is_async: bool) -> None:
    heard: list[Any] = []

    def handle(tenant: str, name: str, arguments: dict[str, Any]) -> str:
        heard.append((tenant, name, arguments))
        return "ding"

    async def handle_async(tenant: str, name: str, arguments: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return handle(tenant, name, arguments)

    # Arguments that LangChain's own parameters are called, and one that claims to be another tenant.
    script = calling("ring", tenant="globex", config="x", name="y")
    app, _ = await open_app(script, local_tools_handler=handle_async if is_async else handle)
    await app.declared_tools.declare([schema("ring", "tenant", "config", "name")], tenant="acme")
    result = await app.run("Ring.", tenant="acme")
    assert result.text == "it said ding"
    assert result.tool_calls == ()
    assert heard == [("acme", "ring", {"tenant": "globex", "config": "x", "name": "y"})]
    assert "no tool" in (await app.run("Ring.", tenant="globex")).text
    assert len(heard) == 1


async def test_what_a_handler_raises_is_told_to_the_model(open_app: OpenApp) -> None:
    def handle(tenant: str, name: str, arguments: dict[str, Any]) -> str:
        raise RuntimeError("the bell is broken")

    app, _ = await open_app(calling("ring"), local_tools_handler=handle)
    await app.declared_tools.declare([schema("ring")], tenant="acme")
    result = await app.run("Ring.", tenant="acme")
    assert "the bell is broken" in result.text
    await app.declared_tools.declare([schema("ring", "loudly")], tenant="acme")  # its own name is not another's
