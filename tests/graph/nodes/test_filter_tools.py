"""Of many tools the right few are shown, each for a reason; a wrong choice can be mended; no model can spoil it."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool, StructuredTool

from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.promises import promising

OpenApp = Callable[..., Any]


def made(name: str, description: str) -> BaseTool:
    return StructuredTool.from_function(lambda text="": f"{name} ran", name=name, description=description)


ABOUT = {
    "get_weather": "Get the weather forecast of a city.",
    "send_email": "Send an email message to a recipient.",
    "convert_currency": "Convert an amount of money between currencies.",
    "search_flights": "Find flights between two airports.",
    "play_music": "Play a song or an album.",
    "translate": "Translate a sentence into another language.",
    "book_table": "Reserve a table in a restaurant.",
    "stock_price": "Look up the price of a share.",
    "set_alarm": "Set an alarm clock.",
    "track_parcel": "Track where a parcel is.",
}
TOOLS = [made(*about) for about in ABOUT.items()]


def calls(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"c-{name}"}])


async def few(open_app: OpenApp, script: Any = None, **options: Any) -> Any:
    settings = {"enable_memory": False, "tools": TOOLS, "tool_top_k": 2, "embeddings": None} | options
    return await open_app(script or (lambda messages, tools: "ok"), **settings)


def reasons(result: Any) -> dict[str, str]:
    return {receipt["name"]: receipt["reason"] for receipt in result.tool_receipts}


async def test_every_tool_has_a_receipt(open_app: OpenApp) -> None:
    app, _ = await few(open_app)
    result = await app.run("Will the weather in Oslo be fine? Email me the forecast.", tenant="acme")
    assert set(result.tools_offered) == {"get_weather", "send_email", "find_tools"}
    assert {receipt["name"] for receipt in result.tool_receipts} == {*ABOUT, "find_tools"}
    by_name = {receipt["name"]: receipt for receipt in result.tool_receipts}
    assert by_name["get_weather"] | {"score": 0} == {
        "name": "get_weather",
        "offered": True,
        "reason": "ranked",
        "score": 0,
        "by": "ranking",
    }
    assert 0 < by_name["get_weather"]["score"] <= 1
    assert by_name["set_alarm"] == {"name": "set_alarm", "offered": False, "reason": "below_floor", "score": 0.0}


async def test_a_handful_is_not_filtered(open_app: OpenApp) -> None:
    app, _ = await few(open_app, tools=TOOLS[:8])
    result = await app.run("Hello.", tenant="acme")
    assert result.tools_offered == tuple(ABOUT)[:8]
    assert set(reasons(result).values()) == {"few"}


async def test_earlier_turns_count_too(open_app: OpenApp) -> None:
    app, _ = await few(open_app)
    messages = [("user", "What is the weather in Oslo?"), ("assistant", "Shall I look?"), ("user", "Yes please.")]
    assert "get_weather" in (await app.run(messages, tenant="acme")).tools_offered


async def test_pinned_tools_and_the_callers_choice_are_always_there(open_app: OpenApp) -> None:
    app, _ = await few(open_app, tools=[promising(TOOLS[0], pinned=True), *TOOLS[1:]])
    choice = {"type": "function", "function": {"name": "set_alarm"}}
    result = await app.run("Hello.", tenant="acme", tool_choice=choice)
    assert reasons(result)["get_weather"] == "pinned"
    assert reasons(result)["set_alarm"] == "tool_choice"


async def test_a_threads_list_only_grows_and_keeps_its_order(open_app: OpenApp) -> None:
    app, model = await few(open_app)
    asked = ["What is the weather in Oslo?", "Play a song.", "Track my parcel.", "And the weather in Rome?"]
    shown: list[tuple[str, ...]] = []
    for question in asked:
        result = await app.run(question, tenant="acme", thread="t")
        shown.append(tuple(tool["function"]["name"] for tool in model.calls[-1]["tools"]))
        assert shown[-1] == result.tools_offered
    for before, after in itertools.pairwise(shown):
        assert after[: len(before)] == before
    assert reasons(result)["play_music"] == "kept"


async def test_what_was_called_stays_after_the_window_has_lost_it(open_app: OpenApp) -> None:
    def script(messages: Sequence[BaseMessage], tools: Sequence[str]) -> Any:
        asks = "Play" in str(messages[-1].text) and messages[-1].type == "human"
        return calls("play_music") if asks else "word " * 300

    app, _ = await few(open_app, script, live_window_tokens=256, truncation_strategy="sliding")
    assert reasons(await app.run("Play a song.", tenant="acme", thread="t"))["play_music"] == "ranked"
    assert reasons(await app.run("Hm.", tenant="acme", thread="t"))["play_music"] == "history"
    for _ in range(4):
        result = await app.run("Hello there.", tenant="acme", thread="t")
    assert reasons(result)["play_music"] == "kept"


async def test_a_tool_that_comes_back_has_its_place_again(open_app: OpenApp) -> None:
    app, _ = await few(open_app)
    await app.run("What is the weather in Oslo?", tenant="acme", thread="t")
    await app.run("Play a song.", tenant="acme", thread="t")
    app.remove_tool("get_weather")
    gone = await app.run("Hello.", tenant="acme", thread="t")
    assert "get_weather" not in gone.tools_offered
    app.add_tool(TOOLS[0])
    back = await app.run("Hello.", tenant="acme", thread="t")
    assert back.tools_offered.index("get_weather") < back.tools_offered.index("play_music")


async def test_receipts_of_a_huge_set_are_capped(open_app: OpenApp) -> None:
    many = [made(f"lookup_{n}", f"Look up entry number {n} in register {n % 7}.") for n in range(300)]
    app, _ = await few(open_app, tools=many)
    events = [event async for event in app.stream("Look up entry 5.", tenant="acme")]
    (told,) = [event for event in events if type(event).__name__ == "ToolsOffered"]
    assert len(told.left_out) == 50
    assert told.left_out_count == 300 - (len(told.offered) - 1)
    assert len(told.receipts) == len(told.offered) + 50


# find_tools


async def test_the_model_finds_and_then_calls_what_it_was_not_shown(open_app: OpenApp) -> None:
    def script(messages: Sequence[BaseMessage], tools: Sequence[str]) -> Any:
        if messages[-1].type == "human":
            return calls("find_tools", query="convert money to another currency")
        if messages[-1].name == "find_tools":
            assert "convert_currency" in tools
            return calls("convert_currency")
        return "done"

    app, model = await few(open_app, script)
    result = await app.run("Hello.", tenant="acme", thread="t")
    assert [run.name for run in result.tool_runs] == ["find_tools", "convert_currency"]
    assert result.tool_runs[1].output == "convert_currency ran"
    assert reasons(result)["convert_currency"] == "asked_for"
    assert "convert_currency" not in str(model.calls[0]["tools"])
    assert "convert_currency" in (await app.run("Bye.", tenant="acme", thread="t")).tools_offered


async def test_find_tools_says_so_where_there_is_nothing(open_app: OpenApp) -> None:
    app, _ = await few(open_app, [calls("find_tools", query="zxqv"), "I cannot."])
    (run,) = (await app.run("Hello.", tenant="acme")).tool_runs
    assert run.output.startswith("No tool has to do with that")


async def test_a_tool_that_was_not_shown_runs_where_the_tenant_has_it(open_app: OpenApp) -> None:
    script = [calls("set_alarm"), "done", "ok"]
    app, model = await few(open_app, script)
    result = await app.run("Hello.", tenant="acme", thread="t")
    assert [(run.status, run.output) for run in result.tool_runs] == [("success", "set_alarm ran")]
    assert "set_alarm" in [tool["function"]["name"] for tool in model.calls[1]["tools"]]
    assert "set_alarm" in (await app.run("Hm.", tenant="acme", thread="t")).tools_offered


# tool_filtering_model


def chooser(answer: Any) -> ScriptedChatModel:
    return ScriptedChatModel(script=lambda messages, tools: answer, word_by_word=False)


async def test_a_model_may_choose_among_the_best_ranked(open_app: OpenApp) -> None:
    fast = chooser('Here you are: ["send_email"]')
    app, _ = await few(open_app, tool_filtering_model=fast)
    result = await app.run("Email me the weather forecast of the city.", tenant="acme")
    assert set(result.tools_offered) == {"send_email", "find_tools"}
    (receipt,) = [each for each in result.tool_receipts if each["name"] == "send_email"]
    assert receipt["by"] == "model"
    prompt = str(fast.calls[0]["messages"][-1].text)
    assert '"Email me the weather forecast of the city."' in prompt
    assert '"get_weather"' in prompt


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I would rather not.", "unreadable"),
        ('["rm_rf", "find_tools"]', "unreadable"),
        ("[" * 5_000 + "]" * 5_000, "unreadable"),
        ('{"a": 1}', "unreadable"),
        (RuntimeError("it is down"), "failed"),
    ],
)
async def test_whatever_it_answers_no_run_is_the_worse(open_app: OpenApp, answer: Any, why: str) -> None:
    app, _ = await few(open_app, tool_filtering_model=chooser(answer))
    events = [event async for event in app.stream("What is the weather in Oslo?", tenant="acme")]
    (told,) = [event for event in events if type(event).__name__ == "ToolsOffered"]
    assert told.reranked == why
    assert "get_weather" in told.offered
    assert events[-1].text == "ok"


async def test_it_holds_no_run_up_past_its_time(open_app: OpenApp) -> None:
    class Deaf(ScriptedChatModel):
        async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(30)
            await asyncio.sleep(0.5)  # it takes no heed

    app, _ = await few(open_app, tool_filtering_model=Deaf(script=[]), tool_filtering_timeout_s=0.05)
    await app.run("Hello.", tenant="warm")
    began = time.perf_counter()
    result = await app.run("What is the weather in Oslo?", tenant="acme")
    assert time.perf_counter() - began < 0.4
    assert "get_weather" in result.tools_offered
