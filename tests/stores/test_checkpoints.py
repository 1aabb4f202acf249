"""Threads on disk: a file per tenant, nothing executed on load, owed work filed with the checkpoint."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, StateGraph

from agentgraph.errors import InvalidInputError
from agentgraph.graph.state import AgentState
from agentgraph.scope import Scope
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.threads.database import ThreadDatabase

OWED = {"namespace": ["acme", "memory", "shared"], "run_id": "r1", "message_id": "m1", "text": "hello"}


@pytest.fixture
async def checkpoints(tmp_path: Path) -> AsyncIterator[TenantCheckpoints]:
    with ThreadPoolExecutor(4) as pool:
        database = ThreadDatabase(tmp_path, pool=pool, hot_tenants=2)
        yield TenantCheckpoints(database)
        database.close()


def graph(saver: TenantCheckpoints, owed: list | None = None):
    builder = StateGraph(AgentState)
    count = iter(range(10**6))
    builder.add_node("answer", lambda state: {"messages": [AIMessage("ok", id=f"a{next(count)}")], "owed": owed or []})
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver)


def config(tenant: str = "acme", thread: str = "t1") -> dict:
    return {"configurable": {"thread_id": Scope(tenant=tenant, thread=thread).thread_key}}


async def say(compiled, text: str, where: dict, **options) -> dict:
    return await compiled.ainvoke({"messages": [HumanMessage(text, id=f"q-{text[:8]}")]}, where, **options)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_thread_reads_back_whatever_the_durability(checkpoints: TenantCheckpoints, durability: str) -> None:
    compiled = graph(checkpoints)
    for number in range(120):  # across two snapshots of the delta channel
        await say(compiled, f"q{number}", config(), durability=durability)
    state = await compiled.aget_state(config())
    said = [m.text for m in state.values["messages"]]
    assert said == [text for number in range(120) for text in (f"q{number}", "ok")]


async def test_a_checkpoint_stores_what_changed_and_not_the_whole_history(
    checkpoints: TenantCheckpoints, tmp_path: Path
) -> None:
    compiled = graph(checkpoints)
    for number in range(40):
        await say(compiled, f"{number} " + "x" * 2_000, config(), durability="exit")
    await asyncio.to_thread(checkpoints.database.close)
    size = (tmp_path / "acme" / "threads.db").stat().st_size
    assert size < 40 * 2_000 * 4  # every checkpoint with the whole history would be ten times that


async def test_each_tenant_has_a_file_of_its_own(checkpoints: TenantCheckpoints, tmp_path: Path) -> None:
    compiled = graph(checkpoints)
    for tenant in ("acme", "Acme", "globex", "initech"):  # more than are kept open
        await say(compiled, "hi", config(tenant))
    assert len(list(tmp_path.glob("*/threads.db"))) == 4
    assert len((await compiled.aget_state(config("acme"))).values["messages"]) == 2


@pytest.mark.parametrize("thread_id", ["t1", "", "../x/y", "acme"])
async def test_a_thread_id_without_its_tenant_is_refused(checkpoints: TenantCheckpoints, thread_id: str) -> None:
    with pytest.raises(InvalidInputError):
        await say(graph(checkpoints), "hi", {"configurable": {"thread_id": thread_id}})


async def test_listing_needs_a_thread(checkpoints: TenantCheckpoints) -> None:
    with pytest.raises(InvalidInputError):
        async for _ in checkpoints.alist(None):
            pass


async def test_checkpoints_are_listed_newest_first_and_deleted_with_their_thread(
    checkpoints: TenantCheckpoints,
) -> None:
    compiled = graph(checkpoints)
    await say(compiled, "one", config())
    await say(compiled, "other", config(thread="t2"))
    steps = [step.metadata["step"] async for step in checkpoints.alist(config())]
    assert steps == sorted(steps, reverse=True)
    await checkpoints.adelete_thread(config()["configurable"]["thread_id"])
    assert (await compiled.aget_state(config())).values == {}
    assert (await compiled.aget_state(config(thread="t2"))).values["messages"]


async def test_owed_work_is_filed_with_the_checkpoint_once(checkpoints: TenantCheckpoints) -> None:
    compiled = graph(checkpoints, owed=[OWED])
    for _number in range(3):
        await say(compiled, "hi", config(), durability="sync")
    items = await checkpoints.owed("acme")
    assert [item for _, item in items] == [OWED]
    assert await asyncio.to_thread(checkpoints.tenants_in_debt) == ["acme"]
    await checkpoints.settle("acme", [number for number, _ in items])
    assert await checkpoints.owed("acme") == []
    assert await asyncio.to_thread(checkpoints.tenants_in_debt) == []


async def test_a_checkpoint_that_names_code_runs_none(checkpoints: TenantCheckpoints, tmp_path: Path) -> None:
    import ormsgpack

    compiled = graph(checkpoints)
    await say(compiled, "hi", config())
    canary = tmp_path / "canary"
    payload = ormsgpack.packb(("os", "system", f"touch {canary}"))
    evil = ormsgpack.packb(ormsgpack.Ext(0, payload))

    def plant(saver) -> None:
        saver.conn.execute("UPDATE writes SET type='msgpack', value=? WHERE channel='messages'", (evil,))

    await checkpoints.database.write("acme", plant)
    with suppress(Exception):
        await compiled.aget_state(config())
    assert not canary.exists()


async def test_the_synchronous_face_reads_the_same(checkpoints: TenantCheckpoints) -> None:
    compiled = graph(checkpoints)
    await say(compiled, "hi", config())
    state = await asyncio.to_thread(compiled.get_state, config())
    assert [m.text for m in state.values["messages"]] == ["hi", "ok"]
    history = await asyncio.to_thread(lambda: list(compiled.get_state_history(config())))
    assert len(history) >= 2


async def test_an_unreadable_file_of_one_tenant_harms_no_other(checkpoints: TenantCheckpoints, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "threads.db").write_bytes(b"\0" * 5_000)
    compiled = graph(checkpoints)
    await say(compiled, "hi", config())
    assert await asyncio.to_thread(checkpoints.tenants_in_debt) == []
    with pytest.raises(Exception, match=r"threads\.db"):
        await say(compiled, "hi", config("broken"))
    connection = sqlite3.connect(tmp_path / "acme" / "threads.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
