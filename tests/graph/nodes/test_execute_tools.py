"""A tool runs once, whenever a process stops; a person is asked before it runs, and what nobody knows is said so."""

import asyncio
import copy
import difflib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime
from langgraph.types import Command

from agentgraph.errors import InvalidInputError, LeaseLostError
from agentgraph.events import ToolFinished
from agentgraph.graph.context import RunContext
from agentgraph.graph.nodes.execute_tools import execute_tools
from agentgraph.graph.routes import after_model, after_tools
from agentgraph.graph.state import AgentState
from agentgraph.scope import Scope
from agentgraph.stores.threads.tool_calls import SCHEMA, open_calls
from agentgraph.testing import ScriptedChatModel
from agentgraph.tools.approval import resume_value
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.ledger import ToolLedger
from agentgraph.tools.promises import promising
from agentgraph.tools.toolset import ToolSet

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SCOPE = Scope(tenant="acme", thread="t1")
THREAD = str(SCOPE.thread_key)


class KilledError(Exception):
    """The process ends here, and nothing after it is written."""


class Database:
    """A file, and a process that may end instead of a transaction."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript(SCHEMA)
        self.transactions = 0
        self.ends_at: int | None = None
        self.error: BaseException = KilledError()

    async def guarded(self, thread_key: str, fence: int | None, job: Callable[[Any], Any]) -> Any:
        assert (thread_key, fence) == (THREAD, 1)
        self.transactions += 1
        if self.ends_at is not None and self.transactions >= self.ends_at:
            raise self.error
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(self.connection)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result


class World:
    """Tools with effects that are counted, on a thread whose process is started again and again."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.effects: list[Any] = []
        self.hung = asyncio.Event()
        self.hangs = True
        self.events: list[Any] = []
        # Strict, as ours is: what an interrupt or a resumption holds must be plain data.
        self.saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))

        @tool
        async def pay(amount: int) -> str:
            """Pay."""
            self.effects.append(("pay", amount))
            return f"paid {amount}"

        @tool
        async def pay_keyed(amount: int, idempotency_key: str) -> str:
            """Pay once."""
            self.effects.append(("pay_keyed", amount, idempotency_key))
            return await self.stalled(f"paid {amount}")

        @tool
        async def look() -> str:
            """Look."""
            self.effects.append(("look",))
            return await self.stalled("seen\x00 \ud800")

        @tool
        async def ship(parcel: str) -> str:
            """Ship."""
            self.effects.append(("ship", parcel))
            return await self.stalled(f"shipped {parcel}")

        @tool
        async def deaf() -> str:
            """Heed no cancellation."""
            try:
                return await self.stalled("heard")
            except asyncio.CancelledError:
                return "done all the same"

        self.tools: list[BaseTool] = [
            pay,
            pay_keyed,
            deaf,
            promising(look, idempotent=True),
            ship,
            promising(ship.model_copy(update={"name": "ship_or_ask"}), on_unknown="ask"),
            promising(pay.model_copy(update={"name": "pay_if_allowed"}), needs_approval=True),
            promising(ship.model_copy(update={"name": "ship_if_allowed"}), needs_approval=True, on_unknown="ask"),
        ]

    async def stalled(self, output: str) -> str:
        if self.hangs:
            self.hung.set()
            await asyncio.Event().wait()
        return output

    def context(self, run_id: str = "r1", **options: Any) -> RunContext:
        ledger = ToolLedger(database=self.database, thread_key=THREAD, run_id=run_id, fence=1)
        values: dict[str, Any] = {
            "scope": SCOPE,
            "now": NOW,
            "zone": "UTC",
            "ledger": ledger,
            "tools": ToolSet(self.tools),
            "listener": self.events.append,
        }
        values["model"] = ScriptedChatModel(script=[])
        return RunContext(run_id=run_id, **(values | options))

    async def run(self, given: Any = None, *, checkpointed: bool = True, **options: Any) -> dict[str, Any]:
        """Begin a run, or go on with it as a new process does."""
        node = partial(execute_tools, runner=ToolRunner())
        graph: Any = StateGraph(AgentState, context_schema=RunContext)
        graph.add_node("execute_tools", node)
        graph.add_edge(START, "execute_tools")
        graph.add_edge("execute_tools", END)
        compiled = graph.compile(checkpointer=self.saver if checkpointed else None)
        config = {"configurable": {"thread_id": THREAD}}
        result: dict[str, Any] = await compiled.ainvoke(
            given, config, context=self.context(**options), durability="sync" if checkpointed else None
        )
        return result

    async def cut_off(self, given: Any, **options: Any) -> None:
        """Run until a tool hangs, and end the process there."""
        self.hung.clear()
        task = asyncio.create_task(self.run(given, **options))
        await self.hung.wait()
        await asyncio.sleep(0.02)  # what else runs has ended
        kept = copy.deepcopy((self.saver.storage, self.saver.writes, self.saver.blobs))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        self.saver.storage, self.saver.writes, self.saver.blobs = kept  # a dead process writes no cancellation

    async def answered(self, result: dict[str, Any], value: Any) -> dict[str, Any]:
        (question,) = result["__interrupt__"]
        return await self.run(Command(resume=resume_value(question.value, value)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(tmp_path / "threads.db")
    yield World(database)
    database.connection.close()


def calls(*wanted: tuple[str, dict[str, Any]], broken: Any = ()) -> dict[str, Any]:
    each = [{"name": name, "args": args, "id": f"c{i}"} for i, (name, args) in enumerate(wanted)]
    invalid = [{"name": name, "args": "{", "id": f"x{i}", "error": error} for i, (name, error) in enumerate(broken)]
    message = AIMessage("", tool_calls=each, invalid_tool_calls=invalid, id="m2")
    return {"messages": [HumanMessage("go", id="m1"), message]}


def outputs(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(m.text, m.status) for m in result["messages"] if isinstance(m, ToolMessage)]


# Once


async def test_calls_are_claimed_together_before_any_effect(world: World) -> None:
    world.database.ends_at = 1
    with pytest.raises(KilledError):
        await world.run(calls(("pay", {"amount": 1}), ("pay", {"amount": 2})))
    assert world.effects == []
    world.database.ends_at = None
    assert outputs(await world.run()) == [("paid 1", "success"), ("paid 2", "success")]
    assert world.database.transactions == 1 + 1 + 2


async def test_a_result_that_was_kept_is_not_brought_about_again(world: World) -> None:
    await world.cut_off(calls(("pay", {"amount": 1}), ("look", {})))
    world.events.clear()
    world.hangs = False
    assert outputs(await world.run(run_id="r2")) == [("paid 1", "success"), ("seen\ufffd \ufffd", "success")]
    assert world.effects.count(("pay", 1)) == 1
    assert next(event.output for event in world.events if isinstance(event, ToolFinished)) == "paid 1"


async def test_a_tool_whose_result_could_not_be_kept_is_of_unknown_outcome(world: World) -> None:
    world.database.ends_at = 2
    with pytest.raises(KilledError):
        await world.run(calls(("pay", {"amount": 1})))
    world.database.ends_at = None
    for _ in range(2):
        ((text, status),) = outputs(await world.run())
        assert status == "error"
        assert "outcome is unknown" in text
    assert world.effects == [("pay", 1)]


async def test_a_plain_tool_that_was_cut_off_does_not_run_again(world: World) -> None:
    await world.cut_off(calls(("ship", {"parcel": "a"})))
    assert [call.tool for call in open_calls(world.database.connection, THREAD)] == ["ship"]
    assert "outcome is unknown" in outputs(await world.run())[0][0]
    assert world.effects == [("ship", "a")]


async def test_a_keyed_tool_is_called_again_with_the_same_key(world: World) -> None:
    await world.cut_off(calls(("pay_keyed", {"amount": 1, "idempotency_key": "the model's"})))
    world.hangs = False
    assert outputs(await world.run(run_id="r2")) == [("paid 1", "success")]
    first, second = world.effects
    assert first == second
    assert len(first[2]) == 32


async def test_two_equal_calls_have_two_keys(world: World) -> None:
    world.hangs = False
    await world.run(calls(("pay_keyed", {"amount": 1}), ("pay_keyed", {"amount": 1})))
    first, second = world.effects
    assert first[2] != second[2]


async def test_a_repeatable_tool_costs_no_transaction(world: World) -> None:
    await world.cut_off(calls(("look", {})))
    world.hangs = False
    await world.run()
    assert world.effects == [("look",), ("look",)]
    assert world.database.transactions == 0


async def test_nothing_is_written_once_cancelled_though_a_tool_pays_no_heed(world: World) -> None:
    await world.cut_off(calls(("deaf", {})))
    assert world.database.transactions == 1
    assert [call.tool for call in open_calls(world.database.connection, THREAD)] == ["deaf"]


async def test_calls_of_one_id_or_of_none_are_each_answered(world: World) -> None:
    message = AIMessage(
        "",
        tool_calls=[
            {"name": "pay", "args": {"amount": n}, "id": call_id} for n, call_id in enumerate(["c", "c", None])
        ],
        id="m2",
    )
    result = await world.run({"messages": [message]})
    assert [text for text, _ in outputs(result)] == ["paid 0", "paid 1", "paid 2"]


async def test_a_lost_lease_is_raised_as_it_is(world: World) -> None:
    world.database.ends_at, world.database.error = 2, LeaseLostError("gone")
    with pytest.raises(LeaseLostError):
        await world.run(calls(("pay", {"amount": 1}), ("ship", {"parcel": "a"})))


async def test_without_a_ledger_tools_run_all_the_same(world: World) -> None:
    world.hangs = False
    result = await world.run(calls(("pay_keyed", {"amount": 1})), ledger=None, scope=Scope(tenant="acme"))
    assert outputs(result) == [("paid 1", "success")]
    assert world.database.transactions == 0


# Outcomes nobody here knows


@pytest.mark.parametrize(
    ("answer", "output", "runs"),
    [
        ({"outcome": "done", "output": "Parcel 7"}, ("Parcel 7", "success"), 1),
        ({"outcome": "not_done"}, ("shipped a", "success"), 2),
        ({"outcome": "unknown"}, ("The outcome is unknown", "error"), 1),
    ],
)
async def test_a_person_is_asked_whether_it_happened(
    world: World, answer: Any, output: tuple[str, str], runs: int
) -> None:
    await world.cut_off(calls(("ship_or_ask", {"parcel": "a"}), ("pay", {"amount": 1})))
    world.hangs = False
    asked = await world.run()
    (question,) = asked["__interrupt__"]
    assert question.value["kind"] == "tool_outcome"
    assert [(c["id"], c["arguments"]) for c in question.value["calls"]] == [("c0", {"parcel": "a"})]
    (text, status), paid = outputs(await world.answered(asked, answer))
    assert (text[: len(output[0])], status) == output
    assert paid == ("paid 1", "success")
    assert world.effects.count(("ship", "a")) == runs
    assert world.effects.count(("pay", 1)) == 1


async def test_an_answer_is_acted_upon_once_however_often_the_process_stops(world: World) -> None:
    await world.cut_off(calls(("ship_or_ask", {"parcel": "a"})))
    for attempt in (2, 3):
        asked = await world.run()
        assert "__interrupt__" in asked
        (question,) = asked["__interrupt__"]
        await world.cut_off(Command(resume=resume_value(question.value, {"outcome": "not_done"})))
        assert len(world.effects) == attempt
    world.hangs = False
    last = await world.answered(await world.run(), {"outcome": "done", "output": "Parcel 7"})
    assert outputs(last) == [("Parcel 7", "success")]
    assert len(world.effects) == 3


# Approval


async def test_nothing_of_a_message_runs_before_a_person_allows_it(world: World) -> None:
    asked = await world.run(calls(("pay", {"amount": 1}), ("pay_if_allowed", {"amount": 9})))
    (question,) = asked["__interrupt__"]
    assert question.value == {
        "kind": "tool_approval",
        "calls": ({"id": "c1", "name": "pay_if_allowed", "arguments": {"amount": 9}, "reason": "needs_approval"},),
    }
    assert "anyOf" in question.response_schema
    assert (world.effects, world.database.transactions, world.events) == ([], 0, [])
    result = await world.answered(asked, {"decision": "approve"})
    assert outputs(result) == [("paid 1", "success"), ("paid 9", "success")]


async def test_one_question_asks_for_all_calls(world: World) -> None:
    asked = await world.run(calls(*(("pay_if_allowed", {"amount": n}) for n in range(3))))
    result = await world.answered(
        asked,
        {
            "c0": {"decision": "approve"},
            "c1": {"decision": "reject", "message": "Too much."},
            "c2": {"decision": "edit", "arguments": {"amount": 5}},
        },
    )
    first, second, third = outputs(result)
    assert first == ("paid 0", "success")
    assert second == ("A person did not allow this call, and it was not run. They say: Too much.", "error")
    assert third == ("A person changed the arguments to {'amount': 5}.\npaid 5", "success")
    assert world.effects == [("pay", 0), ("pay", 5)]


async def test_edited_arguments_are_checked_like_any(world: World) -> None:
    asked = await world.run(calls(("pay_if_allowed", {"amount": 1})))
    result = await world.answered(asked, {"decision": "edit", "arguments": {"amount": "lots"}})
    ((text, status),) = outputs(result)
    assert status == "error"
    assert "amount" in text
    assert world.effects == []


async def test_an_answer_that_does_not_fit_runs_nothing_and_can_be_given_again(world: World) -> None:
    asked = await world.run(calls(("pay", {"amount": 1}), ("pay_if_allowed", {"amount": 9})))
    with pytest.raises(InvalidInputError):
        await world.run(Command(resume={"decision": "maybe"}))
    assert world.effects == []
    assert len(outputs(await world.answered(asked, {"decision": "approve"}))) == 2


async def test_leave_that_was_given_outlives_the_process(world: World) -> None:
    asked = await world.run(calls(("ship_if_allowed", {"parcel": "a"})))
    (question,) = asked["__interrupt__"]
    await world.cut_off(Command(resume=resume_value(question.value, {"decision": "approve"})))
    world.hangs = False
    doubtful = await world.run()
    assert doubtful["__interrupt__"][0].value["kind"] == "tool_outcome"
    assert outputs(await world.answered(doubtful, {"outcome": "not_done"})) == [("shipped a", "success")]


async def test_approval_needs_a_thread(world: World) -> None:
    options: dict[str, Any] = {"ledger": None, "scope": Scope(tenant="acme")}
    result = await world.run(calls(("pay_if_allowed", {"amount": 1})), checkpointed=False, **options)
    ((text, status),) = outputs(result)
    assert status == "error"
    assert "needs a thread" in text
    assert world.effects == []


# Calls that cannot be read


async def test_arguments_that_cannot_be_read_are_told_to_the_model(world: World) -> None:
    state = calls(("pay", {"amount": 1}), broken=[("pay", "Expecting value"), ("theirs", "no JSON"), (None, None)])
    theirs = ({"type": "function", "function": {"name": "theirs"}},)
    result = await world.run(state, client_tools=theirs)
    answers = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert [(m.tool_call_id, m.status) for m in answers] == [("c0", "success"), ("x0", "error"), ("x2", "error")]
    assert "Expecting value" in answers[1].text


@pytest.mark.parametrize(
    ("state", "next_node", "then"),
    [
        (calls(("pay", {})), "execute_tools", "call_model"),
        (calls(broken=[("pay", "no JSON")]), "execute_tools", "call_model"),
        (calls(broken=[("nobodys", "no JSON")]), "execute_tools", "call_model"),
        (calls(broken=[("theirs", "no JSON")]), "__end__", "__end__"),
        (calls(("pay", {}), broken=[("theirs", "no JSON")]), "execute_tools", "__end__"),
    ],
)
async def test_unreadable_calls_go_where_readable_ones_do(world: World, state: Any, next_node: str, then: str) -> None:
    theirs = ({"type": "function", "function": {"name": "theirs"}},)
    run = Runtime(context=world.context(client_tools=theirs))
    assert await after_model(state, run) == next_node
    assert await after_tools(state, run) == then


# Whose words they are, and what else than words


async def test_results_of_untrusted_tools_are_marked_also_where_they_failed(world: World) -> None:
    world.tools += [
        promising(world.tools[0].model_copy(update={"name": "fetch"}), untrusted=True),
        promising(world.tools[0].model_copy(update={"name": "ask_fetch"}), untrusted=True, needs_approval=True),
    ]
    wanted = [("fetch", {"amount": 1}), ("fetch", {}), ("pay", {"amount": 1}), ("fetsh", {}), ("ask_fetch", {})]
    asked = await world.run(calls(*wanted))
    result = await world.answered(asked, {"decision": "reject", "message": "No."})
    marks = [message.additional_kwargs for message in result["messages"] if isinstance(message, ToolMessage)]
    assert marks == [{"untrusted": True}, {"untrusted": True}, {}, {}, {}]


async def test_a_replayed_result_is_what_it_was(world: World) -> None:
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}

    @tool
    async def draw(runtime: ToolRuntime[Any, Any]) -> Any:
        """Draw."""
        content: Any = [{"type": "text", "text": "Here:"}, image]
        return ToolMessage(content, tool_call_id=runtime.tool_call_id, additional_kwargs={"untrusted": True})

    model = ScriptedChatModel(script=[], profile={"image_tool_message": True})
    world.tools.append(draw)
    await world.cut_off(calls((draw.name, {}), ("ship", {"parcel": "a"})), model=model)
    world.hangs = False
    replayed, _ = [m for m in (await world.run(model=model))["messages"] if isinstance(m, ToolMessage)]
    assert replayed.content == [{"type": "text", "text": "Here:"}, image]
    assert replayed.additional_kwargs == {"untrusted": True}


# Names


async def test_an_unknown_tool_is_answered_with_the_nearest_of_this_run(world: World) -> None:
    theirs = ({"type": "function", "function": {"name": "pay_theirs"}},)
    result = await world.run(calls(("pai", {}), ("pay_teirs", {}), ("x" * 500, {})), client_tools=theirs)
    first, second, third = (text for text, _ in outputs(result))
    assert first.startswith("There is no tool 'pai'. Nearest: pay")
    assert "pay_theirs" in second
    assert len(third) < 200
    assert world.database.transactions == 0


async def test_of_thousands_of_tools_only_the_likeliest_are_compared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def close_matches(name: str, names: list[str], **options: Any) -> list[str]:
        compared.append(len(names))
        return difflib.get_close_matches(name, names, **options)

    monkeypatch.setattr("agentgraph.tools.answers.get_close_matches", close_matches)
    look = world.tools[0]
    world.tools = [look.model_copy(update={"name": f"service_{n}_lookup"}) for n in range(10_000)]
    world.tools.append(look.model_copy(update={"name": "get_weather"}))
    result = await world.run(calls(("get_wether", {})))
    assert "Nearest: get_weather" in outputs(result)[0][0]
    assert compared == [200]


async def test_without_any_tools_that_is_said(world: World) -> None:
    world.tools = []
    assert outputs(await world.run(calls(("pay", {}))))[0][0] == "There is no tool 'pay', nor any other."
