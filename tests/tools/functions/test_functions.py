"""`app.functions`: code becomes a tool, durably and in versions; nothing of a caller's mistake is kept."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

from agentgraph import AgentGraph
from agentgraph.errors import (
    ConfigurationError,
    FunctionError,
    FunctionTimeout,
    InvalidInputError,
    NotFoundError,
    ToolError,
)
from agentgraph.testing import ScriptedChatModel

TIMES = "def add(a: int, b: int = 2) -> int:\n    return a * b\n"


def call(name: str, **arguments) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}", "type": "tool_call"}])


def answers(history) -> list[tuple[str, str]]:
    return [(each.status, each.text) for each in history if isinstance(each, ToolMessage)]


def offered(model: ScriptedChatModel) -> list[list[str]]:
    return [sorted(each["function"]["name"] for each in asked["tools"]) for asked in model.calls]


async def test_a_model_is_offered_a_function_and_calls_it(open_with_functions, adding) -> None:
    app, model = await open_with_functions([call("add", a=40), "It is 42."])
    await app.functions.register(**adding)
    result = await app.run("How much is 40 and 2?", tenant="acme", thread="t1")
    assert result.text == "It is 42."
    assert answers(await app.history(tenant="acme", thread="t1")) == [("success", "42")]
    schema = model.calls[0]["tools"][0]["function"]
    assert schema["description"] == "Add two numbers."
    assert schema["parameters"] == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "description": "The second."},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


async def test_what_goes_wrong_in_a_function_is_told_to_the_model_by_its_own_lines(open_with_functions, adding) -> None:
    app, _ = await open_with_functions([call("share", a=1), call("share", a="x"), call("share", a=1, c=2), "Sorry."])
    code = "def share(a: int, b: int = 0):\n    parts = []\n    return a / b\n"
    await app.functions.register(**adding | {"name": "share", "code": code})
    await app.run("Share it.", tenant="acme", thread="t1")
    (first, by_zero), (second, wrong), (third, unknown) = answers(await app.history(tenant="acme", thread="t1"))
    assert first == second == third == "error"
    assert "ZeroDivisionError" in by_zero
    assert "line 3" in by_zero
    assert "a: Input should be a valid integer" in wrong
    assert "c: no such parameter" in unknown


async def test_a_function_is_there_after_a_restart(open_with_functions, adding) -> None:
    app, _ = await open_with_functions()
    before = await app.functions.register(**adding)
    await app.aclose()
    again, _ = await open_with_functions()
    assert await again.functions.get("add") == before
    assert before.registered_at == datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert (await again.functions.execute("add", {"a": 1})).value == 3


async def test_a_changed_function_is_a_new_version_and_an_unchanged_one_is_not(open_with_functions, adding) -> None:
    app, _ = await open_with_functions()
    first = await app.functions.register(**adding)
    assert await app.functions.register(**adding) == first
    second = await app.functions.register(**adding | {"code": TIMES})
    third = await app.functions.register(**adding)
    described = await app.functions.register(**adding | {"description": "Add up."})
    assert [first.version, second.version, third.version, described.version] == [1, 2, 3, 4]
    assert [(each.version, each.is_latest) for each in await app.functions.versions("add")] == [
        (4, True),
        (3, False),
        (2, False),
        (1, False),
    ]
    assert (await app.functions.get("add", version=2)).definition.code == TIMES
    assert (await app.functions.execute("add", {"a": 3, "b": 4})).value == 7
    assert (await app.functions.execute("add", {"a": 3, "b": 4}, version=2)).value == 12
    with pytest.raises(NotFoundError, match="has no version 9"):
        await app.functions.get("add", version=9)
    with pytest.raises(NotFoundError, match="has no version 9"):
        await app.functions.execute("add", {"a": 3}, version=9)


async def test_the_last_hundred_versions_are_kept(open_with_functions, adding) -> None:
    app, _ = await open_with_functions()
    for number in range(103):
        await app.functions.register(**adding | {"description": f"Add {number}."})
    kept = [each.version for each in await app.functions.versions("add")]
    assert kept == list(range(103, 3, -1))


async def test_a_run_under_way_keeps_its_version_whatever_becomes_of_the_name(open_with_functions, adding) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        asked.set()
        await go_on.wait()
        return "done"

    app, model = await open_with_functions([call("wait"), call("add", a=3, b=4), "Seven."], tools=[wait])
    await app.functions.register(**adding)
    run = asyncio.create_task(app.run("Wait, then add.", tenant="acme", thread="t1"))
    await asyncio.wait_for(asked.wait(), 10)
    await app.functions.register(**adding | {"code": TIMES})
    await app.functions.delete("add")
    go_on.set()
    await run
    assert answers(await app.history(tenant="acme", thread="t1"))[-1] == ("success", "7")
    model.script = ["Nothing there."]
    model._next = 0
    await app.run("And now?", tenant="acme", thread="t2")
    assert offered(model)[-1] == ["wait"]


async def test_a_disabled_function_is_kept_but_neither_offered_nor_run(open_with_functions, adding) -> None:
    app, model = await open_with_functions(["One.", "Two."])
    await app.functions.register(**adding)
    assert (await app.functions.disable("add")).is_enabled is False
    await app.run("Hello?", tenant="acme")
    with pytest.raises(ToolError, match="'add' is disabled") as refused:
        await app.functions.execute("add", {"a": 1})
    assert refused.value.code == "function_disabled"
    assert [each.name for each in await app.functions.list()] == ["add"]
    assert (await app.functions.enable("add")).is_enabled is True
    await app.run("Hello?", tenant="acme")
    assert offered(model) == [[], ["add"]]


async def test_a_deleted_function_is_gone_and_its_numbers_are_not_given_again(open_with_functions, adding) -> None:
    app, _ = await open_with_functions()
    await app.functions.register(**adding)
    await app.functions.disable("add")
    await app.functions.delete("add")
    for missing in (app.functions.get, app.functions.versions, app.functions.delete, app.functions.enable):
        with pytest.raises(NotFoundError, match="the deployment has no function 'add'"):
            await missing("add")
    with pytest.raises(NotFoundError):
        await app.functions.execute("add", {"a": 1})
    assert await app.functions.list() == []
    again = await app.functions.register(**adding)
    assert (again.version, again.is_enabled) == (2, True)
    assert len(await app.functions.versions("add")) == 1


async def test_nothing_of_a_deleted_function_is_left_on_disk(open_with_functions, adding, tmp_path: Path) -> None:
    app, _ = await open_with_functions()
    code = 'def add(a: int, b: int = 2):\n    return "pineapple juice"\n'
    await app.functions.register(**adding | {"code": code})
    await app.functions.delete("add")
    await app.aclose()  # the journal goes with the last connection
    files = [path for path in (tmp_path / "tenants" / ".system").iterdir() if path.is_file()]
    assert files
    assert [path.name for path in files if b"pineapple" in path.read_bytes()] == []


async def test_a_tenants_function_is_its_own(open_with_functions, adding) -> None:
    app, model = await open_with_functions(["One.", "Two."])
    await app.functions.register(**adding, tenant="acme")
    await app.run("Hello?", tenant="acme")
    await app.run("Hello?", tenant="globex")
    assert offered(model) == [["add"], []]
    assert (await app.functions.execute("add", {"a": 1}, tenant="acme")).value == 3
    for foreign in (None, "globex", "acm", "Acme"):
        with pytest.raises(NotFoundError):
            await app.functions.execute("add", {"a": 1}, tenant=foreign)
        with pytest.raises(NotFoundError):
            await app.functions.delete("add", tenant=foreign)
        assert await app.functions.list(tenant=foreign) == []
    await app.functions.register(**adding | {"code": TIMES}, tenant="globex")
    assert (await app.functions.execute("add", {"a": 3, "b": 3}, tenant="globex")).value == 9
    assert (await app.functions.execute("add", {"a": 3, "b": 3}, tenant="acme")).value == 6


async def test_a_name_that_is_taken_is_refused_and_its_owner_named(open_with_functions, adding) -> None:
    @tool
    def wait() -> str:
        """Wait."""
        return "done"

    app, _ = await open_with_functions(tools=[wait])

    async def refused(name: str, tenant: str | None) -> str:
        with pytest.raises(InvalidInputError) as error:
            await app.functions.register(**adding | {"name": name}, tenant=tenant)
        assert error.value.code == "name_taken"
        return error.value.message

    assert "the deployment has a tool 'wait'" in await refused("wait", None)
    assert "the deployment has a tool 'wait'" in await refused("wait", "acme")
    await app.functions.register(**adding)
    assert "the deployment has a function 'add'" in await refused("add", "acme")
    await app.functions.delete("add")
    await app.functions.register(**adding, tenant="acme")
    assert "the tenant 'acme' has a function 'add'" in await refused("add", None)
    await app.functions.delete("add", tenant="acme")
    await app.functions.register(**adding)


@pytest.mark.parametrize(
    ("code", "place", "said"),
    [
        ("def add(a, b=2):\n    return (a +\n", "line ", "not valid Python"),
        ("def add(a, b=2):\n    return missing\n", "line 2, column 12", "missing"),
        ("def add(a: int, b: int = 2) -> int:\n    return 'no'\n", "line 2, column 12", "expected `int`"),
        ("def plus(a, b=2):\n    return a\n", "line 1, column 1", "must define 'add'"),
        ("def add(a):\n    return a\n", "line 1, column 1", "'b' is missing"),
        ("def add(a, b):\n    return a\n", "line 1, column 12", "needs a default"),
        ("def add(a, b=2, c):\n    return a\n", "line 1", "not valid Python"),
        ("def add(a, c, b=2):\n    return a\n", "line 1, column 12", "'c' is not among"),
        ("def add(a: str, b: int = 2):\n    return a\n", "line 1, column 9", "'a' as declared"),
        ("import socket\ndef add(a, b=2):\n    return a\n", "line 1", "socket"),
        ("add = 1\n", "line 1, column 1", "no function at all"),
        ("x = (" * 5_000, "line 1", ""),
    ],
)
async def test_code_that_cannot_work_is_refused_by_line_and_column(
    open_with_functions, adding, code: str, place: str, said: str
) -> None:
    app, _ = await open_with_functions()
    with pytest.raises(InvalidInputError) as refused:
        await app.functions.register(**adding | {"code": code})
    assert refused.value.code == "invalid_function"
    assert refused.value.param == "code"
    assert place in refused.value.message
    assert said in refused.value.message
    assert [str(problem) for problem in await app.functions.check(**adding | {"code": code})] != []
    assert await app.functions.list() == []


async def test_a_function_is_stopped_at_the_limits_that_are_set(open_with_functions, adding) -> None:
    app, _ = await open_with_functions(function_timeout_s=0.3, function_output_kb=1, function_recursion=50)
    loops = "def add(a: int, b: int = 2):\n    while True:\n        pass\n"
    floods = "def add(a: int, b: int = 2):\n    return 'x' * 2000\n"
    deep = "def add(a: int, b: int = 2):\n    return add(a) if a else 0\n"
    await app.functions.register(**adding | {"code": loops})
    with pytest.raises(FunctionTimeout):
        await app.functions.execute("add", {"a": 1})
    await app.functions.register(**adding | {"code": floods})
    with pytest.raises(ToolError, match="1,024"):
        await app.functions.execute("add", {"a": 1})
    await app.functions.register(**adding | {"code": deep})
    with pytest.raises(FunctionError, match="RecursionError"):
        await app.functions.execute("add", {"a": 1})


async def test_the_result_says_what_was_printed_and_by_which_version(open_with_functions, adding) -> None:
    app, _ = await open_with_functions()
    code = "def add(a: int, b: int = 2):\n    print('adding')\n    return {'sum': [a, b, 'é']}\n"
    await app.functions.register(**adding | {"code": code})
    result = await app.functions.execute("add", {"a": 1})
    assert (result.value, result.printed, result.version) == ({"sum": [1, 2, "é"]}, "adding\n", 1)
    assert result.text == '{"sum": [1, 2, "é"]}'


async def test_functions_are_off_unless_enabled(open_app) -> None:
    app, _ = await open_app(["Hello."], enable_memory=False)
    with pytest.raises(ConfigurationError, match="AGENTGRAPH_ENABLE_FUNCTIONS") as refused:
        _ = app.functions
    assert refused.value.code == "functions_off"


def test_functions_open_the_application_from_synchronous_code(tmp_path: Path) -> None:
    code = f"""
from agentgraph import AgentGraph
from agentgraph._sync import run_sync
from agentgraph.testing import ScriptedChatModel
model = ScriptedChatModel(script=["Hello."])
app = AgentGraph(chat_model=model, enable_memory=False, enable_functions=True, storage_dir={str(tmp_path)!r})
run_sync(app.functions.register("two", "Say two.", code="def two():\\n    return 2"))
print(run_sync(app.functions.execute("two")).value)
app.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "2\n"


async def test_another_process_sees_what_is_registered_at_once(open_with_functions, adding, tmp_path: Path) -> None:
    app, model = await open_with_functions(["One.", "Two.", "Three."])
    await app.run("Hello?", tenant="acme")
    other = AgentGraph(
        chat_model=ScriptedChatModel(script=[]),
        enable_memory=False,
        enable_functions=True,
        storage_dir=tmp_path / "tenants",
    )
    async with other:
        await other.functions.register(**adding)
        await app.run("Hello?", tenant="acme")
        await other.functions.delete("add")
        await app.run("Hello?", tenant="acme")
    assert offered(model) == [[], ["add"], []]


async def test_what_did_not_change_stays_the_same_tool(open_with_functions, adding) -> None:
    app, _ = await open_with_functions()
    await app.functions.register(**adding)
    before = await app._toolbox.of("acme")
    assert await app._toolbox.of("acme") is before
    await app.functions.register("two", "Say two.", code="def two():\n    return 2")
    after = await app._toolbox.of("acme")
    assert list(after.names) == ["add", "two"]
    assert after.get("add") is before.get("add")
