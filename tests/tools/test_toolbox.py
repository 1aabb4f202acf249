"""Each tenant has its own tools and the deployment's, and never another's."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool

from agentgraph import AgentGraph
from agentgraph.errors import ConfigurationError, InvalidInputError, NotFoundError
from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.schema import tool_schema
from agentgraph.tools.toolbox import Toolbox

OpenApp = Callable[..., Any]


def made(name: str, says: str = "") -> BaseTool:
    def run(text: str = "") -> str:
        return says or f"{name}: {text}"

    return StructuredTool.from_function(run, name=name, description=f"Do {name}.")


def call(name: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": {}, "id": "c1"}])


# Whose


async def test_a_tenants_tool_is_seen_and_called_by_that_tenant_alone(open_app: OpenApp) -> None:
    secret = "the vault's code is 7"
    app, model = await open_app(
        lambda messages, tools: "done" if messages[-1].type == "tool" else call("open_vault"),
        tools=[made("common")],
    )
    app.add_tool(made("open_vault", secret), tenant="acme")
    mine = await app.run("Open it.", tenant="acme")
    assert mine.tools_offered == ("common", "open_vault")
    assert [run.output for run in mine.tool_runs] == [secret]
    model.calls.clear()
    theirs = await app.run("Open it.", tenant="globex")
    assert theirs.tools_offered == ("common",)
    (run,) = theirs.tool_runs
    assert run.status == "error"
    seen = str([(each["messages"], each["tools"]) for each in model.calls])
    assert secret not in seen
    assert "Do open_vault" not in seen


async def test_a_tool_can_be_added_and_removed_between_runs(open_app: OpenApp) -> None:
    app, _ = await open_app(["ok"] * 3)
    assert (await app.run("Hi.", tenant="acme")).tools_offered == ()
    app.add_tool(made("late"))
    assert (await app.run("Hi.", tenant="acme")).tools_offered == ("late",)
    assert [tool.name for tool in app.tools] == ["late"]
    app.remove_tool("late")
    assert (await app.run("Hi.", tenant="acme")).tools_offered == ()


async def test_tenants_without_tools_of_their_own_share_one_set() -> None:
    box = Toolbox([made("common")])
    box.add(made("special"), "acme")
    one, other, special = await box.of("one"), await box.of("other"), await box.of("acme")
    assert one is other
    assert special.names == ("common", "special")
    assert await box.of("acme") is special
    box.add(made("more"))
    assert (await box.of("one")).names == ("common", "more")
    assert (await box.of("acme")).names == ("common", "more", "special")
    assert one.names == ("common",)  # a run under way keeps what it has


# Names


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (None, None, ["the deployment"]),
        (None, "acme", ["the deployment", "'acme'"]),
        ("acme", None, ["the deployment", "'acme'"]),
        ("acme", "acme", ["'acme'"]),
    ],
)
def test_two_tools_of_one_name_are_refused_and_both_owners_named(
    first: str | None, second: str | None, said: list[str]
) -> None:
    app = AgentGraph(chat_model=ScriptedChatModel(script=[]))
    app.add_tool(made("look"), tenant=first)
    with pytest.raises(ConfigurationError, match="'look'") as raised:
        app.add_tool(made("look"), tenant=second)
    assert raised.value.code == "duplicate_tool"
    assert all(each in raised.value.message for each in said)


def test_two_tenants_may_each_have_a_tool_of_one_name() -> None:
    app = AgentGraph(chat_model=ScriptedChatModel(script=[]))
    app.add_tool(made("look"), tenant="acme")
    app.add_tool(made("look"), tenant="globex")


async def test_what_cannot_be_added_or_removed_is_said(open_app: OpenApp) -> None:
    app, _ = await open_app([])
    with pytest.raises(NotFoundError, match="'gone'"):
        app.remove_tool("gone")
    app.add_tool(made("look"), tenant="acme")
    with pytest.raises(NotFoundError, match="globex"):
        app.remove_tool("look", tenant="globex")
    with pytest.raises(InvalidInputError):
        app.add_tool(made("other"), tenant="../acme")
    with pytest.raises(ConfigurationError, match="@tool"):
        app.add_tool(len)


async def test_a_requests_tool_of_a_tenants_name_is_refused_for_that_tenant_alone(open_app: OpenApp) -> None:
    app, _ = await open_app(["ok"])
    app.add_tool(made("look"), tenant="acme")
    schema = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(InvalidInputError, match="look"):
        await app.run("Hi.", tenant="acme", tools=[schema])
    assert (await app.run("Hi.", tenant="globex", tools=[schema])).text == "ok"


# Sources


class Source:
    def __init__(self, *tools: BaseTool) -> None:
        self.tools: tuple[BaseTool, ...] = tools
        self.fails = False

    async def tools_of(self, tenant: str) -> Sequence[BaseTool]:
        if self.fails:
            raise OSError("the server is gone")
        return self.tools if tenant == "acme" else ()


async def test_a_sources_tools_come_and_go() -> None:
    box, source = Toolbox([made("common")]), Source(made("foreign"))
    box.add_source("a server", source)
    first = await box.of("acme")
    assert first.names == ("common", "foreign")
    assert await box.of("acme") is first
    assert (await box.of("globex")).names == ("common",)
    source.tools = (made("other"),)
    assert (await box.of("acme")).names == ("common", "other")


async def test_a_source_that_fails_takes_no_run_down() -> None:
    box, source = Toolbox([made("common")]), Source(made("foreign"))
    box.add_source("a server", source)
    source.fails = True
    assert (await box.of("acme")).names == ("common",)


async def test_a_source_cannot_take_a_name_that_is_there() -> None:
    own = made("look")
    box = Toolbox([own])
    box.add_source("a server", Source(made("look")))
    assert (await box.of("acme")).get("look") is own


async def test_find_tools_is_there_only_where_tools_are_many() -> None:
    few = Toolbox([made(f"tool_{n}") for n in range(8)])
    many = Toolbox([made(f"tool_{n}") for n in range(9)])
    assert "find_tools" not in await few.of("acme")
    assert "find_tools" in await many.of("acme")
    assert "find_tools" not in await Toolbox(many.deployment, find_tools=False).of("acme")
    own = made("find_tools")
    theirs = Toolbox([own, *(made(f"tool_{n}") for n in range(9))])
    assert (await theirs.of("acme")).get("find_tools") is own


async def test_of_two_tenants_with_tools_each_has_its_own() -> None:
    box = Toolbox([made("common")])
    box.add(made("vault"), "acme")
    box.add(made("safe"), "globex")
    assert (await box.of("acme")).names == ("common", "vault")
    assert (await box.of("globex")).names == ("common", "safe")


async def test_tools_that_were_read_beforehand_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Toolbox([made(f"tool_{n}") for n in range(20)])
    await box.warm_up()
    assert len(box.indexes) == 1

    read: list[str] = []

    def reading(tool: BaseTool) -> dict[str, Any]:
        read.append(tool.name)
        return tool_schema(tool)

    monkeypatch.setattr("agentgraph.tools.toolset.tool_schema", reading)
    tools = await box.of("acme")
    assert (await tools.rank(["tool 7"], limit=1))[0].name == "tool_7"
    assert set(read) <= {"find_tools"}
    assert len(box.indexes) == 1
