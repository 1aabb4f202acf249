"""Threads through the public face: order, branches, time travel, approval, cancelling, deleting, two processes."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelAPIError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from agentgraph import Approval, promising, tool
from agentgraph.errors import (
    InvalidInputError,
    NotFoundError,
    RunCancelledError,
    ShuttingDownError,
    StoreError,
    ThreadBusyError,
)
from agentgraph.events import RunFinished, RunStarted, TextDelta
from agentgraph.run import RunRequest
from agentgraph.scope import tenant_directory
from agentgraph.testing import ScriptedChatModel

WHERE: dict[str, Any] = {"tenant": "acme", "thread": "t"}


def echo(messages: Sequence[BaseMessage], tools: Sequence[str]) -> str:
    return "re: " + str(messages[-1].text).rpartition("\n")[2]


def texts(messages: Sequence[BaseMessage]) -> list[str]:
    return [str(message.text) for message in messages]


def call(name: str, call_id: str = "c1", **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


class Slow(ScriptedChatModel):
    """Says one word, and the rest when it is allowed to."""

    def __init__(self, gate: asyncio.Event, **fields: Any) -> None:
        super().__init__(script=lambda messages, tools: "Once upon a time", **fields)
        self._gate = gate

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        first = True
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
            if first:
                first = False
                await self._gate.wait()


# Order


async def test_turns_asked_at_once_are_taken_in_order_each_with_its_answer(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await asyncio.gather(*(app.run(f"q{number}", **WHERE) for number in range(24)))
    said = texts(await app.history(**WHERE))
    assert sorted(said[0::2]) == sorted(f"q{number}" for number in range(24))
    assert [f"re: {question}" for question in said[0::2]] == said[1::2]
    positions = [run.position for run in await app.runs.list(**WHERE)]
    assert positions == list(range(24, 0, -1))


async def test_a_busy_thread_is_refused_to_those_who_would_not_wait(open_app) -> None:
    gate = asyncio.Event()
    app, _ = await open_app(echo, enable_memory=False)
    app._runner.briefing.chat_model = Slow(gate)
    first = asyncio.ensure_future(app.run("one", stream=True, **WHERE))
    await _until(lambda: bool(app._runner._handles))
    with pytest.raises(ThreadBusyError):
        await app.run("two", on_busy="reject", **WHERE)
    gate.set()
    assert (await first).text == "Once upon a time"
    assert texts(await app.history(**WHERE)) == ["one", "Once upon a time"]


async def test_a_run_under_way_is_stopped_and_what_it_said_kept(open_app) -> None:
    gate = asyncio.Event()
    app, _ = await open_app(echo, enable_memory=False)
    app._runner.briefing.chat_model = Slow(gate)
    first = asyncio.ensure_future(app.run("one", stream=True, **WHERE))
    await _until(lambda: _has_said_something(app))
    app._runner.briefing.chat_model = ScriptedChatModel(script=echo)
    second = await app.run("two", on_busy="interrupt", **WHERE)
    stopped = await first
    assert stopped.is_cancelled
    assert stopped.status == "cancelled"
    assert stopped.text.strip() == "Once"
    assert second.text == "re: two"
    assert [text.strip() for text in texts(await app.history(**WHERE))] == ["one", "Once", "two", "re: two"]


async def test_a_run_under_way_is_undone(open_app) -> None:
    gate = asyncio.Event()
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("zero", **WHERE)
    app._runner.briefing.chat_model = Slow(gate)
    first = asyncio.ensure_future(app.run("one", stream=True, **WHERE))
    await _until(lambda: _has_said_something(app))
    app._runner.briefing.chat_model = ScriptedChatModel(script=echo)
    await app.run("two", on_busy="rollback", **WHERE)
    with pytest.raises(RunCancelledError) as caught:
        await first
    assert caught.value.code == "rolled_back"
    assert texts(await app.history(**WHERE)) == ["zero", "re: zero", "two", "re: two"]


async def test_cancelling_takes_less_than_a_second_and_the_thread_goes_on(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    app._runner.briefing.chat_model = Slow(asyncio.Event())
    events = app.stream("one", **WHERE)
    run_id, said = "", ""
    loop = asyncio.get_running_loop()
    began = 0.0
    async for event in events:
        if isinstance(event, RunStarted):
            run_id = event.run_id
        if isinstance(event, TextDelta):
            said += event.text
            began = loop.time()
            await app.cancel(run_id, tenant="acme")
        if isinstance(event, RunFinished):
            assert event.is_cancelled
            assert event.text == said
    assert loop.time() - began < 1.0
    partial = (await app.history(**WHERE))[-1]
    assert partial.response_metadata["finish_reason"] == "cancelled"
    assert (await app.runs.get(run_id, tenant="acme")).status == "cancelled"
    app._runner.briefing.chat_model = ScriptedChatModel(script=echo)
    assert (await app.run("two", **WHERE)).text == "re: two"


async def test_a_tool_that_will_not_stop_does_not_hold_a_cancelled_run(open_app) -> None:
    started = asyncio.Event()

    @tool
    async def dig() -> str:
        """Dig."""
        started.set()
        while True:
            try:
                await asyncio.sleep(5)
                break
            except asyncio.CancelledError:
                continue
        return "deep"

    app, _ = await open_app([call("dig"), "Done."], tools=[dig], enable_memory=False)
    running = asyncio.ensure_future(app.run("Dig.", **WHERE))
    await started.wait()
    (run_id,) = app._runner._handles
    loop = asyncio.get_running_loop()
    began = loop.time()
    await app.cancel(run_id, tenant="acme")
    assert (await running).is_cancelled
    assert loop.time() - began < 1.0
    history = await app.history(**WHERE)
    assert [message.type for message in history] == ["human", "ai", "tool"]
    assert "cancelled" in history[-1].text


# Retries


async def test_a_key_makes_two_requests_one_turn(open_app) -> None:
    app, model = await open_app(echo, enable_memory=False)
    first = await app.run("one", idempotency_key="k1", **WHERE)
    again = await app.run("one", idempotency_key="k1", **WHERE)
    assert (again.run_id, again.text, again.message_id) == (first.run_id, first.text, first.message_id)
    assert len(model.calls) == 1
    with pytest.raises(InvalidInputError, match="another request"):
        await app.run("two", idempotency_key="k1", **WHERE)
    assert texts(await app.history(**WHERE)) == ["one", "re: one"]


async def test_a_repetition_that_says_so_joins_and_one_that_does_not_is_a_turn(open_app) -> None:
    app, model = await open_app(echo, enable_memory=False)
    first, again = await asyncio.gather(
        app.run("one", **WHERE), app.run("one", is_retry=True, **WHERE), return_exceptions=False
    )
    assert first.run_id == again.run_id
    assert (await app.run("one", **WHERE)).run_id != first.run_id
    assert len(model.calls) == 2


async def test_a_failed_turn_is_tried_again_and_said_once(open_app) -> None:
    app, model = await open_app([ValueError("broken"), "Fine."], enable_memory=False, model_retries=0)
    with pytest.raises(Exception, match="could not be read"):
        await app.run("one", idempotency_key="k", **WHERE)
    (failed,) = await app.runs.list(**WHERE)
    assert failed.status == "failed"
    assert failed.error is not None
    assert (await app.run("one", idempotency_key="k", **WHERE)).text == "Fine."
    assert texts(await app.history(**WHERE)) == ["one", "Fine."]
    assert [run.attempts for run in await app.runs.list(**WHERE)] == [2]
    assert [m.text for m in model.calls[-1]["messages"] if isinstance(m, HumanMessage)][-1].endswith("one")


async def test_a_failed_turn_that_is_simply_sent_again_is_said_once(open_app) -> None:
    app, _ = await open_app([ValueError("broken"), "Fine.", "Better."], enable_memory=False, model_retries=0)
    with pytest.raises(Exception, match="could not be read"):
        await app.run("one", **WHERE)
    await app.run("one", **WHERE)
    assert texts(await app.history(**WHERE)) == ["one", "Fine."]


async def test_one_off_runs_are_joined_as_well(open_app) -> None:
    app, model = await open_app(echo, enable_memory=False)
    first, again = await asyncio.gather(
        app.run("one", tenant="acme", idempotency_key="k"), app.run("one", tenant="acme", idempotency_key="k")
    )
    assert first.run_id == again.run_id
    assert len(model.calls) == 1


# Branches and time travel


async def test_an_edit_begins_a_branch_and_the_old_one_stays_reachable(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    for text in ("u1", "u2", "u3"):
        await app.run(text, **WHERE)
    edited = [("user", "u1"), ("assistant", "re: u1"), ("user", "u2, rather")]
    await app.run(edited, **WHERE)
    assert texts(await app.history(**WHERE)) == ["u1", "re: u1", "u2, rather", "re: u2, rather"]
    ends = await app.threads.branches(**WHERE)
    assert [end.is_current for end in ends] == [True, False]
    old = await app.threads.history(checkpoint=ends[1].checkpoint_id, **WHERE)
    assert texts(old) == ["u1", "re: u1", "u2", "re: u2", "u3", "re: u3"]
    await app.threads.switch(ends[1].checkpoint_id, **WHERE)
    assert [end.is_current for end in await app.threads.branches(**WHERE)] == [False, True]
    await app.run("u4", **WHERE)
    assert texts(await app.history(**WHERE)) == ["u1", "re: u1", "u2", "re: u2", "u3", "re: u3", "u4", "re: u4"]


async def test_regenerating_asks_the_model_again(open_app) -> None:
    answers = iter(["first", "second", "third"])
    app, _ = await open_app(lambda messages, tools: next(answers), enable_memory=False)
    await app.run("u1", **WHERE)
    await app.run("u2", **WHERE)
    result = await app.run([("user", "u1"), ("assistant", "first"), ("user", "u2")], **WHERE)
    assert result.text == "third"
    assert texts(await app.history(**WHERE)) == ["u1", "first", "u2", "third"]


async def test_checkpoints_are_listed_read_and_gone_on_from(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    for text in ("u1", "u2", "u3"):
        await app.run(text, **WHERE)
    listed = await app.threads.checkpoints(**WHERE)
    assert [point.is_head for point in listed].count(True) == 1
    assert listed[0].is_head
    second = next(point for point in listed if len(point.messages) == 4)
    assert second.run_id is not None
    assert texts((await app.threads.checkpoint(second.checkpoint_id, **WHERE)).messages) == [
        "u1",
        "re: u1",
        "u2",
        "re: u2",
    ]
    await app.run("u3, rather", checkpoint=second.checkpoint_id, **WHERE)
    assert texts(await app.history(**WHERE))[-2:] == ["u3, rather", "re: u3, rather"]
    assert len(await app.history(**WHERE)) == 6
    with pytest.raises(NotFoundError):
        await app.threads.checkpoint("1ef4f797-8335-6428-8001-8a1503f9b875", **WHERE)
    with pytest.raises(NotFoundError):
        await app.run("x", checkpoint="1ef4f797-8335-6428-8001-8a1503f9b875", **WHERE)


async def test_a_turn_is_replayed_from_the_checkpoint_in_its_middle(open_app) -> None:
    answers = iter(["first", "second"])
    app, _ = await open_app(lambda messages, tools: next(answers), enable_memory=False, tools=[_noop])
    await app.run("u1", **WHERE)
    middle = next(point for point in await app.threads.checkpoints(**WHERE) if point.next == ("call_model",))
    assert (await app.run([], checkpoint=middle.checkpoint_id, **WHERE)).text == "second"
    assert texts(await app.history(**WHERE)) == ["u1", "second"]


@tool
def _noop() -> str:
    """Do nothing."""
    return ""


async def test_a_thread_is_forked_into_another(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False, truncation_strategy="sliding", live_window_tokens=256)
    for number in range(12):
        await app.run(f"u{number} " + "word " * 40, **WHERE)
        await app.settled()
    await app.threads.fork(to="copy", **WHERE)
    original = texts(await app.history(**WHERE))
    assert len(original) == 24
    assert texts(await app.history(tenant="acme", thread="copy")) == original
    await app.run("only here", tenant="acme", thread="copy")
    assert texts(await app.history(**WHERE)) == original
    with pytest.raises(InvalidInputError, match="already"):
        await app.threads.fork(to="copy", **WHERE)
    assert {thread.thread for thread in await app.threads.list(tenant="acme")} == {"t", "copy"}


async def test_a_thread_is_forked_into_one_that_was_deleted(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("one", **WHERE)
    await app.run("gone", tenant="acme", thread="copy", user="bob")
    await app.threads.delete(tenant="acme", thread="copy")
    await app.threads.fork(to="copy", **WHERE)
    assert texts(await app.history(tenant="acme", thread="copy")) == ["one", "re: one"]
    assert (await app.threads.get(tenant="acme", thread="copy")).user is None


async def test_no_thread_is_forked_into_one_that_somebody_just_begins(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("one", user="ann", **WHERE)
    hold, begun = app._runner.journal.hold, []

    async def hold_once_somebody_begins(thread_id: str) -> Any:
        if not begun:
            request = RunRequest.of("mine", tenant="acme", thread="copy", user="bob", include_memories=False)
            begun.append(await app._runner.start(request))
        return await hold(thread_id)

    app._runner.journal.hold = hold_once_somebody_begins
    with pytest.raises(InvalidInputError, match="already"):
        await app.threads.fork(to="copy", **WHERE)
    assert (await begun[0].result()).text.endswith("mine")
    assert [message.type for message in await app.history(tenant="acme", thread="copy")] == ["human", "ai"]
    assert (await app.threads.get(tenant="acme", thread="copy")).user == "bob"


# Approval


@pytest.mark.parametrize("own_saver", [False, True])
async def test_a_person_approves_edits_or_rejects(open_app, own_saver: bool) -> None:
    paid: list[int] = []

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return f"paid {amount}"

    options: dict[str, Any] = {"checkpointer": InMemorySaver()} if own_saver else {}
    script = [
        call("pay", amount=5),
        "Paid.",
        call("pay", "c2", amount=7),
        "Not paid.",
        call("pay", "c3", amount=9),
        "Ok.",
    ]
    app, model = await open_app(
        [*script, "Ok."], tools=[promising(pay, needs_approval=True)], enable_memory=False, **options
    )
    asked = await app.run("Pay 5.", **WHERE)
    assert asked.status == "requires_action"
    (question,) = asked.interrupts
    assert question["value"]["kind"] == "tool_approval"
    assert question["value"]["calls"][0]["arguments"] == {"amount": 5}
    assert paid == []
    with pytest.raises(InvalidInputError):
        await app.resume({"decision": "perhaps"}, **WHERE)
    done = await app.resume({question["id"]: Approval(decision="approve")}, **WHERE)  # or without naming the question
    assert (done.text, paid) == ("Paid.", [5])
    with pytest.raises(InvalidInputError, match="waits"):
        await app.resume(Approval(decision="approve"), **WHERE)
    await app.run("Pay 7.", **WHERE)
    refused = await app.resume({"decision": "reject", "message": "too much"}, **WHERE)
    assert (refused.text, paid) == ("Not paid.", [5])
    assert "too much" in str(model.calls[-1]["messages"])
    await app.run("Pay 9.", **WHERE)
    await app.resume(Approval(decision="edit", arguments={"amount": 8}), **WHERE)
    assert paid == [5, 8]


@pytest.mark.parametrize("own_saver", [False, True])
async def test_a_run_that_waits_for_a_person_is_cancelled(open_app, own_saver: bool) -> None:
    paid: list[int] = []

    @tool(needs_approval=True)
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    options: dict[str, Any] = {"tools": [pay], "enable_memory": False}
    app, _ = await open_app(
        [call("pay", amount=5), "As you like."], **options, **({"checkpointer": InMemorySaver()} if own_saver else {})
    )
    waiting = await app.run("Pay 5.", **WHERE)
    await app.cancel(waiting.run_id, tenant="acme")
    assert (await app.runs.get(waiting.run_id, tenant="acme")).status == "cancelled"
    assert (await app.runs.join(waiting.run_id, tenant="acme")).status == "cancelled"
    for _ in range(2):
        with pytest.raises(InvalidInputError) as caught:
            await app.resume(Approval(decision="approve"), **WHERE)
        assert caught.value.code == "not_waiting"
    await app.runs.delete(waiting.run_id, tenant="acme")
    assert (await app.run("Then not.", **WHERE)).text == "As you like."
    assert [message.type for message in await app.history(**WHERE)] == ["human", "ai", "tool", "human", "ai"]
    assert not paid


async def test_a_new_message_instead_of_an_answer_closes_the_question(open_app) -> None:
    @tool
    def pay(amount: int) -> str:
        """Pay."""
        raise AssertionError("nobody allowed it")

    app, _ = await open_app(
        [call("pay", amount=5), "As you like."], tools=[promising(pay, needs_approval=True)], enable_memory=False
    )
    await app.run("Pay 5.", **WHERE)
    assert (await app.run("Forget it.", **WHERE)).text == "As you like."
    assert [m.type for m in await app.history(**WHERE)] == ["human", "ai", "tool", "human", "ai"]
    assert [run.status for run in await app.runs.list(**WHERE)] == ["finished", "finished"]


# Deleting, and other processes


async def test_deleting_a_thread_under_a_run_brings_nothing_back(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("zero", **WHERE)
    app._runner.briefing.chat_model = Slow(asyncio.Event())
    running = asyncio.ensure_future(app.run("one", stream=True, **WHERE))
    await _until(lambda: _has_said_something(app))
    await app.threads.delete(**WHERE)
    with pytest.raises(RunCancelledError):
        await running
    assert await app.history(**WHERE) == []
    assert await app.threads.list(tenant="acme") == []
    app._runner.briefing.chat_model = ScriptedChatModel(script=echo)
    await app.run("anew", **WHERE)
    assert texts(await app.history(**WHERE)) == ["anew", "re: anew"]


async def test_deleting_what_was_never_there_leaves_nothing(open_app, tmp_path: Path) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.threads.delete(tenant="nobody", thread="t")
    assert not tenant_directory(tmp_path / "tenants", "nobody").exists()


async def test_two_applications_on_one_directory_take_turns(open_app) -> None:
    one, _ = await open_app(echo, enable_memory=False)
    two, _ = await open_app(echo, enable_memory=False)
    await asyncio.gather(*(app.run(f"q{number}", **WHERE) for number in range(8) for app in (one, two)))
    said = texts(await one.history(**WHERE))
    assert len(said) == 32
    assert [f"re: {question}" for question in said[0::2]] == said[1::2]


async def _a_run_that_another_application_joined(open_app) -> tuple[Any, Any, asyncio.Future[Any], asyncio.Future[Any]]:
    """Return the application whose run has begun to answer, the one that joined it, and both results to come."""
    one, _ = await open_app(echo, enable_memory=False)
    two, _ = await open_app(echo, enable_memory=False)
    one._runner.briefing.chat_model = Slow(asyncio.Event())
    running = asyncio.ensure_future(one.run("one", stream=True, **WHERE))
    await _until(lambda: _has_said_something(one))
    (run_id,) = one._runner._handles
    joining = asyncio.ensure_future(two.runs.join(run_id, tenant="acme"))
    await asyncio.sleep(0.05)
    return one, two, running, joining


async def test_a_run_is_joined_and_cancelled_from_another_process(open_app) -> None:
    one, two, running, joining = await _a_run_that_another_application_joined(open_app)
    (run_id,) = one._runner._handles
    loop = asyncio.get_running_loop()
    began = loop.time()
    await two.cancel(run_id, tenant="acme")
    assert (await running).is_cancelled
    assert loop.time() - began < 1.0
    assert (await joining).is_cancelled
    with pytest.raises(NotFoundError):
        await two.runs.get(run_id, tenant="globex")
    with pytest.raises(NotFoundError):
        await two.cancel(run_id, tenant="globex")


async def test_a_step_budget_ends_with_an_answer(open_app) -> None:
    def never_done(messages: Sequence[BaseMessage], tools: Sequence[str]) -> Any:
        return call("_noop", f"c{len(messages)}") if tools else "That is all I know."

    app, _ = await open_app(never_done, tools=[_noop], enable_memory=False, max_turns=3)
    assert (await app.run("Go.", **WHERE)).text == "That is all I know."


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  whatever the condition, nobody tells of it
            await asyncio.sleep(0.005)


def _has_said_something(app: Any, *, runs: int = 1) -> bool:
    handles = app._runner._handles.values()
    return sum(any(isinstance(event, TextDelta) for event in handle.events) for handle in handles) >= runs


async def test_who_waits_for_a_run_whose_process_died_carries_it_on(open_app) -> None:
    one, _ = await open_app(echo, enable_memory=False)
    two, _ = await open_app(echo, enable_memory=False)
    one._runner.briefing.chat_model = Slow(asyncio.Event())
    running = asyncio.ensure_future(one.run("one", stream=True, **WHERE))
    await _until(lambda: _has_said_something(one))
    (run_id,) = one._runner._handles
    one._runner.database.process.close()  # as far as others can see, its process is dead
    assert (await two.runs.join(run_id, tenant="acme")).text == "re: one"
    one._runner.briefing.chat_model._gate.set()
    assert (await running).text == "re: one"  # it came too late, and tells what happened
    assert texts(await two.history(**WHERE)) == ["one", "re: one"]


async def test_a_file_that_is_held_up_costs_other_tenants_no_lease(open_app, tmp_path: Path) -> None:
    app, _ = await open_app(echo, enable_memory=False, lease_ttl_s=1.0)
    app._runner.briefing.chat_model = Slow(asyncio.Event())
    tenants = ("acme", "globex")
    running = [asyncio.ensure_future(app.run("one", stream=True, tenant=each, thread="t")) for each in tenants]
    await _until(lambda: _has_said_something(app, runs=2))
    path = tenant_directory(tmp_path / "tenants", "acme") / "threads.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(1.6)
        (row,) = app._runner.journal.of_thread("globex/thread/t", limit=1)
        is_lost = app._runner.journal.is_abandoned(row)
    app._runner.briefing.chat_model._gate.set()
    assert [result.text for result in await asyncio.gather(*running)] == ["Once upon a time"] * 2
    assert not is_lost


async def test_a_run_that_takes_long_to_carry_on_holds_up_no_other_tenants(open_app) -> None:
    gate = asyncio.Event()
    dead, _ = await open_app(echo, enable_memory=False)
    dead._runner.briefing.chat_model = Slow(gate)
    tenants = ("acme", "globex")
    running = [asyncio.ensure_future(dead.run("one", stream=True, tenant=each, thread="t")) for each in tenants]
    await _until(lambda: _has_said_something(dead, runs=2))
    dead._runner.database.process.close()
    app, _ = await open_app(echo, enable_memory=False)  # the first thing an application does is to carry them on
    app._runner.briefing.chat_model = Slow(gate)
    try:
        await _until(lambda: len(app._runner._handles) == 2)
    finally:
        gate.set()
    await asyncio.gather(*running)


async def test_a_change_that_is_cancelled_leaves_its_thread_free(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("one", **WHERE)
    here = (await app.threads.checkpoint(**WHERE)).checkpoint_id
    hold, holding = app._runner.journal.hold, asyncio.Event()

    async def hold_and_tell(thread_id: str) -> Any:
        holding.set()
        return await hold(thread_id)

    app._runner.journal.hold = hold_and_tell
    changing = asyncio.ensure_future(app.threads.switch(here, **WHERE))
    await holding.wait()
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    async with asyncio.timeout(5):
        await app.run("two", on_busy="enqueue", **WHERE)


@pytest.mark.parametrize("at_checkpoint", [False, True])
async def test_a_run_that_is_carried_on_calls_no_tool_again_and_is_no_branch(open_app, at_checkpoint: bool) -> None:
    paid: list[str] = []
    gate = asyncio.Event()

    @tool
    async def pay() -> str:
        """Pay."""
        paid.append("paid")
        await gate.wait()
        return "paid"

    def pay_once(messages: Sequence[BaseMessage], tools: Sequence[str]) -> Any:
        return "Well." if isinstance(messages[-1], ToolMessage) or "Pay" not in messages[-1].text else call("pay")

    one, _ = await open_app(pay_once, tools=[pay], enable_memory=False)
    two, _ = await open_app(pay_once, tools=[pay], enable_memory=False)
    await one.run("Hello.", **WHERE)
    here = (await one.threads.checkpoint(**WHERE)).checkpoint_id
    options = {"checkpoint": here} if at_checkpoint else {}
    running = asyncio.ensure_future(one.run("Pay.", **options, **WHERE))
    await _until(lambda: bool(paid))
    one._runner.database.process.close()  # as far as others can see, its process is dead
    await two._runner.recover("acme")
    gate.set()
    assert (await running).text == "Well."
    assert paid == ["paid"]
    assert [message.type for message in await two.history(**WHERE)] == ["human", "ai", "human", "ai", "tool", "ai"]
    assert [branch.is_current for branch in await two.threads.branches(**WHERE)] == [True]
    assert (await two.runs.list(**WHERE))[0].parent_checkpoint_id == here


async def test_a_run_that_was_carried_on_is_undone_as_a_whole(open_app) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    @tool
    async def pay() -> str:
        """Pay."""
        started.set()
        await gate.wait()
        return "paid"

    def pay_once(messages: Sequence[BaseMessage], tools: Sequence[str]) -> Any:
        return call("pay") if "Pay" in messages[-1].text else echo(messages, tools)

    one, _ = await open_app(pay_once, tools=[pay], enable_memory=False)
    two, _ = await open_app(echo, tools=[pay], enable_memory=False)
    await one.run("zero", **WHERE)
    running = asyncio.ensure_future(one.run("Pay.", **WHERE))
    await started.wait()
    one._runner.database.process.close()
    two._runner.briefing.chat_model = Slow(asyncio.Event())
    carrying = asyncio.ensure_future(two._runner.recover("acme"))
    await _until(lambda: _has_said_something(two))
    two._runner.briefing.chat_model = ScriptedChatModel(script=echo)
    await two.run("two", on_busy="rollback", **WHERE)
    gate.set()
    await carrying
    with pytest.raises(RunCancelledError):
        await running
    assert texts(await two.history(**WHERE)) == ["zero", "re: zero", "two", "re: two"]


async def test_a_turn_that_failed_is_no_branch(open_app) -> None:
    answers: list[Any] = ["one", ValueError("no answer"), "three"]
    app, _ = await open_app(lambda messages, tools: answers.pop(0), enable_memory=False)
    await app.run("u1", **WHERE)
    with pytest.raises(ModelAPIError):
        await app.run("u2", **WHERE)
    assert [branch.is_current for branch in await app.threads.branches(**WHERE)] == [True]
    with pytest.raises(InvalidInputError):  # before anything is written
        await app.run("u3", resume="yes", **WHERE)
    await app.run("u3", **WHERE)
    assert [branch.is_current for branch in await app.threads.branches(**WHERE)] == [True]


async def test_who_joined_a_run_here_that_was_then_taken_from_here_is_told_its_end(open_app) -> None:
    apps = [(await open_app(echo, enable_memory=False))[0] for _ in range(3)]
    running = []
    for app in apps[:2]:  # begun by the one and carried on by the other; as far as others can see, both then die
        app._runner.briefing.chat_model = Slow(asyncio.Event())
        work = app.run("one", stream=True, **WHERE) if not running else app._runner.recover("acme")
        running.append(asyncio.ensure_future(work))
        await _until(lambda app=app: _has_said_something(app))
        app._runner.database.process.close()
    (run_id,) = apps[0]._runner._handles
    joining = asyncio.ensure_future(apps[1].runs.join(run_id, tenant="acme"))
    await asyncio.sleep(0.05)
    await apps[2]._runner.recover("acme")
    for app in apps[:2]:
        app._runner.briefing.chat_model._gate.set()
    await asyncio.gather(*running)
    await asyncio.wait({joining}, timeout=5)
    assert joining.result().text.endswith("re: one")


async def test_who_waits_for_a_run_that_cannot_be_looked_at_is_told_so(open_app) -> None:
    one, two, running, joining = await _a_run_that_another_application_joined(open_app)
    two._runner.database.file("acme").reading.conn.close()
    await asyncio.wait({joining}, timeout=5)
    one._runner.briefing.chat_model._gate.set()
    assert (await running).text == "Once upon a time"
    with pytest.raises(StoreError):
        joining.result()


async def test_what_was_said_in_a_cancelled_run_is_remembered(open_app) -> None:
    app, _ = await open_app(echo)
    app._runner.briefing.chat_model = Slow(asyncio.Event())
    running = asyncio.ensure_future(app.run("My dog is called Rex.", stream=True, **WHERE))
    await _until(lambda: _has_said_something(app))
    (run_id,) = app._runner._handles
    await app.cancel(run_id, tenant="acme")
    await running
    await app.settled()
    assert [memory.text for memory in await app.memories.list(tenant="acme")] == ["My dog is called Rex."]


async def test_a_question_outlives_the_application_that_asked_it(open_app) -> None:
    paid: list[int] = []

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return f"paid {amount}"

    options: dict[str, Any] = {"tools": [promising(pay, needs_approval=True)], "enable_memory": False}
    one, _ = await open_app([call("pay", amount=5)], **options)
    await one.run("Pay 5.", **WHERE)
    await one.aclose()
    two, _ = await open_app(["Paid."], **options)
    assert (await two.threads.checkpoint(**WHERE)).interrupts
    assert (await two.resume({"decision": "approve"}, **WHERE)).text == "Paid."
    assert paid == [5]


async def test_a_joined_one_off_run_is_told_whole(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("one two three", tenant="acme", idempotency_key="k", stream=True)
    await asyncio.sleep(0)
    events = [event async for event in app.stream("one two three", tenant="acme", idempotency_key="k")]
    assert [type(event).__name__ for event in events] == ["RunStarted", "TextDelta", "RunFinished"]
    assert events[1].text == "re: one two three"


async def test_a_run_somebody_else_listens_to_outlives_the_caller_who_left(open_app) -> None:
    gate = asyncio.Event()
    app, _ = await open_app(echo, enable_memory=False)
    app._runner.briefing.chat_model = Slow(gate)
    options: dict[str, Any] = {"idempotency_key": "k", "on_disconnect": "cancel", "stream": True, **WHERE}
    first = asyncio.ensure_future(app.run("one", **options))
    await _until(lambda: _has_said_something(app))
    second = asyncio.ensure_future(app.run("one", **options))
    await _until(lambda: any(handle.listeners == 2 for handle in app._runner._handles.values()))
    first.cancel()
    await asyncio.sleep(0.05)
    gate.set()
    assert (await second).text == "Once upon a time"


async def test_who_asks_while_the_application_lets_go_is_told_so(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    stuck = asyncio.Event()

    async def accept(*_: Any, **__: Any) -> Any:
        stuck.set()
        await asyncio.Event().wait()

    app._runner.journal.accept = accept
    running = asyncio.ensure_future(app.run("one", **WHERE))
    await stuck.wait()
    await app.let_go()
    with pytest.raises(ShuttingDownError):
        await running


async def test_a_caller_who_leaves_before_the_run_is_accepted_cancels_it_as_well(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    app._runner.briefing.chat_model = Slow(asyncio.Event())
    running = asyncio.ensure_future(app.run("one", stream=True, on_disconnect="cancel", **WHERE))
    await asyncio.sleep(0)
    running.cancel()
    await app.settled()
    assert [run.status for run in await app.runs.list(**WHERE)] == ["cancelled"]


async def test_a_failure_is_told_again_as_what_it_was(open_app) -> None:
    from langchain_core.exceptions import ModelTimeoutError

    app, _ = await open_app([ModelTimeoutError("slow"), "Fine."], enable_memory=False, model_retries=0)
    with pytest.raises(ModelTimeoutError):
        await app.run("one", **WHERE)
    (run,) = await app.runs.list(**WHERE)
    with pytest.raises(ModelTimeoutError):
        await app.runs.join(run.run_id, tenant="acme")


async def test_reading_begins_nothing(open_app, tmp_path) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    where: dict[str, Any] = {"tenant": "nobody", "thread": "t"}
    assert await app.history(**where) == []
    assert await app.threads.list(tenant="nobody") == []
    assert await app.threads.checkpoints(**where) == []
    assert await app.threads.branches(**where) == []
    assert await app.runs.list(**where) == []
    with pytest.raises(NotFoundError, match="no such thread"):
        await app.threads.checkpoint(**where)
    with pytest.raises(NotFoundError):
        await app.runs.get("run-x", tenant="nobody")
    assert not (tmp_path / "tenants" / "nobody").exists()


async def test_one_thread_is_looked_up_by_its_name_alone(open_app) -> None:
    app, _ = await open_app(echo, enable_memory=False)
    await app.run("u1", tenant="acme", thread="t1", user="ann")
    await app.run("u1", tenant="acme", thread="t2")
    found = await app.threads.get(tenant="acme", thread="t1")
    assert (found.thread, found.user, found.turns, found.is_session) == ("t1", "ann", 1, False)
    for tenant, thread in (("acme", "t3"), ("globex", "t1"), ("acme:t1", None)):
        with pytest.raises(NotFoundError):
            await app.threads.get(tenant=tenant, thread=thread)
