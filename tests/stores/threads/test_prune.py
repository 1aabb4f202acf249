"""Old turns go, and what stays is read, continued, branched off and edited as before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool

from agentgraph import AgentGraph
from agentgraph.errors import InvalidInputError, ThreadBusyError
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.threads import lease, runs
from agentgraph.testing import HashEmbeddings, ScriptedChatModel
from agentgraph.tools.promises import promising

THREAD = "acme/thread/t1"
OpenApp = Callable[..., Any]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def answer(messages: list[BaseMessage], tools: Any) -> AIMessage:
    """Call the tool at every third question; answer with how much was heard."""
    said = [message for message in messages if message.type == "human"]
    if tools and messages[-1].type == "human" and len(said) % 3 == 0:
        return AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": len(said)}, "id": f"c{len(said)}"}])
    return AIMessage(f"Heard {len(said)}.")


@pytest.fixture(params=["sync", "exit"])
async def app(request: Any, tmp_path: Path) -> AsyncIterator[AgentGraph]:
    async with AgentGraph(
        chat_model=ScriptedChatModel(script=answer),
        embeddings=HashEmbeddings(),
        storage_dir=tmp_path,
        tools=[add] if request.param == "sync" else [],
        checkpoint_retention=0,
        live_window_tokens=100_000,
    ) as opened:
        yield opened


@pytest.fixture
def threads(app: AgentGraph) -> TenantCheckpoints:
    return app._runner.outbox


async def say(app: AgentGraph, *texts: str, **options: Any) -> None:
    for text in texts:
        await app.run(text, tenant="acme", user="ann", thread="t1", **options)
    await app.settled()


async def history(app: AgentGraph, thread: str = "t1") -> list[tuple[str, ...]]:
    messages = await app.history(tenant="acme", thread=thread)
    return [(str(m.id), m.type, str(m.content), str(getattr(m, "tool_calls", ""))) for m in messages]


async def kept(threads: TenantCheckpoints, thread: str = THREAD) -> list[Any]:
    return [found async for found in threads.alist({"configurable": {"thread_id": thread}})]


async def window(app: AgentGraph, checkpoint_id: str) -> list[str]:
    where: Any = {"configurable": {"thread_id": THREAD, "checkpoint_id": checkpoint_id}}
    state = await app._runner.threaded.aget_state(where)
    return [f"{message.id} {message.content}" for message in state.values.get("messages", ())]


def rows_of(app: AgentGraph) -> list[runs.Row]:
    return app._runner.journal.of_thread(THREAD, limit=1_000)


async def test_what_is_kept_is_byte_for_byte_what_it_was(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, *(f"Question {number}." for number in range(13)))
    said, ends = await history(app), [str(row.checkpoint_id) for row in rows_of(app)]
    windows = [await window(app, end) for end in ends[:5]]
    count = len(await kept(threads))

    assert await threads.prune_thread(THREAD, 5) > 0

    assert await history(app) == said
    assert [await window(app, end) for end in ends[:5]] == windows
    left = await kept(threads)
    assert len(left) < count
    assert left[-1].config["configurable"]["checkpoint_id"] == ends[4]
    assert left[-1].parent_config is None
    assert [row.checkpoint_id for row in rows_of(app)] == [*ends[:5], *[None] * 8]
    assert await threads.prune_thread(THREAD, 5) == 0


@pytest.mark.parametrize("prune", ["old", "latest"])
async def test_a_pruned_thread_goes_on(app: AgentGraph, threads: TenantCheckpoints, prune: str) -> None:
    await say(app, *(f"Question {number}." for number in range(11)))
    said = await history(app)
    if prune == "old":
        await threads.prune_thread(THREAD, 2)
    else:
        await threads.aprune([THREAD])
        assert len(await kept(threads)) == 1
    assert await history(app) == said
    for number in range(14):  # past the next snapshots
        await say(app, f"Later question {number}.")
    now = await history(app)
    assert now[: len(said)] == said
    assert [text for _, kind, text, _ in now if kind == "human"][11:] == [f"Later question {n}." for n in range(14)]


async def test_a_pruned_thread_can_be_edited_and_branched_off(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, *(f"Question {number}." for number in range(9)))
    messages = await app.history(tenant="acme", thread="t1")
    await threads.prune_thread(THREAD, 3)
    questions = [at for at, message in enumerate(messages) if message.type == "human"]
    for turn in (8, 7, 2):  # the last, one that is kept, one that is gone
        before = messages[: questions[turn]]
        await app.run([*before, HumanMessage(f"Instead of {turn}.")], tenant="acme", user="ann", thread="t1")
        now = await app.history(tenant="acme", thread="t1")
        assert [m.id for m in now[: len(before)]] == [m.id for m in before]
        assert str(now[len(before)].content) == f"Instead of {turn}."
        await threads.prune_thread(THREAD, 3)
        assert [m.id for m in await app.history(tenant="acme", thread="t1")] == [m.id for m in now]


async def test_branches_on_which_a_late_run_ended_are_kept(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, *(f"Question {number}." for number in range(6)))
    early = next(row for row in rows_of(app) if row.position == 2)
    await say(app, "Another third question.", checkpoint=str(early.checkpoint_id))
    ends = {row.position: str(row.checkpoint_id) for row in rows_of(app)}
    windows = {position: await window(app, ends[position]) for position in (5, 6, 7)}
    said = await history(app)
    await threads.prune_thread(THREAD, 3)
    assert await history(app) == said
    assert {position: await window(app, ends[position]) for position in (5, 6, 7)} == windows
    assert await window(app, ends[3]) == []
    assert len(said) < len(windows[6])


async def test_many_repetitions_of_one_turn_do_not_stay_for_ever(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, "Question 0.", "Question 1.")
    first = next(row for row in rows_of(app) if row.position == 1)
    for number in range(12):
        await say(app, f"Again {number}.", checkpoint=str(first.checkpoint_id))
    said = await history(app)
    await threads.prune_thread(THREAD, 4)
    assert await history(app) == said
    assert len([row for row in rows_of(app) if row.checkpoint_id]) == 5  # and the turn they all came from


async def test_nothing_is_pruned_while_a_run_is_under_way(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, "Question 0.", "Question 1.", "Question 2.")
    async with app._runner.access.held(THREAD) as held:
        for refused in (
            threads.prune_thread(THREAD, 1),
            threads.aprune([THREAD]),
            threads.acopy_thread(THREAD, "acme/thread/t2"),
            threads.adelete_for_runs([rows_of(app)[0].run_id]),
        ):
            with pytest.raises(ThreadBusyError):
                await refused
        assert await threads.prune_thread(THREAD, 1, fence=held.fence) > 0
    assert len(await history(app)) >= 6


async def test_a_copy_goes_its_own_way_and_is_the_same_persons(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, *(f"Question {number}." for number in range(8)))
    await threads.acopy_thread(THREAD, "acme/thread/t2")
    assert await history(app, "t2") == await history(app)
    await app.run("Only here.", tenant="acme", user="ann", thread="t2")
    assert len(await history(app, "t2")) > len(await history(app))
    owners = await threads.database.read(
        "acme", lambda saver: saver.conn.execute("SELECT DISTINCT user_id FROM threads").fetchall()
    )
    assert owners == [("ann",)]
    with pytest.raises(InvalidInputError, match="in use"):
        await threads.acopy_thread(THREAD, "acme/thread/t2")
    with pytest.raises(InvalidInputError, match="within its tenant"):
        await threads.acopy_thread(THREAD, "globex/thread/t2")


async def test_a_deleted_id_can_be_copied_to(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, "Question 0.")
    await threads.acopy_thread(THREAD, "acme/thread/t2")
    await threads.adelete_thread("acme/thread/t2")
    await threads.acopy_thread(THREAD, "acme/thread/t2")
    assert await history(app, "t2") == await history(app)


async def test_without_its_last_run_a_thread_stands_where_it_stood(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, "Question 0.", "Question 1.")
    said = await history(app)
    await say(app, "Question 2.")
    await threads.adelete_for_runs([rows_of(app)[0].run_id])
    assert await history(app) == said
    await say(app, "Question 3.")
    now = await history(app)
    assert now[: len(said)] == said
    assert "Question 2." not in str(now)
    assert "Question 3." in str(now)


async def test_without_a_run_in_the_middle_the_rest_stays_readable(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, *(f"Question {number}." for number in range(5)))
    said = await history(app)
    await threads.adelete_for_runs([row.run_id for row in rows_of(app) if row.position in {2, 3}])
    assert await history(app) == said
    await say(app, "And on.")
    assert (await history(app))[: len(said)] == said


async def test_an_unknown_strategy_is_refused(threads: TenantCheckpoints) -> None:
    with pytest.raises(InvalidInputError, match="keep_latest or delete"):
        await threads.aprune([THREAD], strategy="some")


async def test_pruning_leaves_no_stranger_behind(app: AgentGraph, threads: TenantCheckpoints) -> None:
    await say(app, *(f"Question {number}." for number in range(6)))
    await threads.prune_thread(THREAD, 2)

    def strangers(saver: Any) -> tuple[int, int, str | None]:
        (writes,) = saver.conn.execute(
            "SELECT COUNT(*) FROM writes WHERE checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints)"
        ).fetchone()
        (parents,) = saver.conn.execute(
            "SELECT COUNT(*) FROM checkpoints WHERE parent_checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints)"
        ).fetchone()
        return writes, parents, lease.is_free(saver.conn, THREAD, now=0, ttl_s=1, is_alive=lambda _: True)

    assert await threads.database.read("acme", strangers) == (0, 0, True)


async def test_a_run_that_waits_is_answered_after_pruning(tmp_path: Path) -> None:
    model = ScriptedChatModel(script=answer)
    tools = [promising(add, needs_approval=True)]
    async with AgentGraph(chat_model=model, storage_dir=tmp_path, tools=tools, checkpoint_retention=0) as app:
        await say(app, *(f"Question {number}." for number in range(3)))
        waiting = rows_of(app)[0]
        assert waiting.status == "waiting"
        await app._runner.outbox.prune_thread(THREAD, 1)
        await app.resume({"decision": "approve"}, tenant="acme", user="ann", thread="t1")
        assert [kind for _, kind, _, _ in await history(app)][-4:] == ["human", "ai", "tool", "ai"]
        await say(app, "And on.")
        await app._runner.outbox.prune_thread(THREAD, 3)
        state = await app._runner.threaded.aget_state(
            {"configurable": {"thread_id": THREAD, "checkpoint_id": waiting.checkpoint_id}}
        )
        assert state.interrupts  # one can go back to where it was asked


async def test_an_application_prunes_as_it_goes(tmp_path: Path) -> None:
    model = ScriptedChatModel(script=answer)
    async with AgentGraph(chat_model=model, storage_dir=tmp_path, checkpoint_retention=3) as app:
        await say(app, *(f"Question {number}." for number in range(20)))
        assert [row.checkpoint_id is not None for row in rows_of(app)] == [True] * 3 + [False] * 17
        assert len(await history(app)) == 40
        await say(app, "And on.")
        assert len(await history(app)) == 42
