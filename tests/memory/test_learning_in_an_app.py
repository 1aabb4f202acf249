"""The whole way from a turn to its facts: off the answer's path, once, and never from what was recalled."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from agentgraph import AgentGraph
from agentgraph.errors import NotFoundError
from agentgraph.memory import worker as worker_module
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

LEAVES = ("memory", "memory_history", "memory_ledger")


def in_memory() -> InMemoryStore:
    return InMemoryStore(index={"embed": HashEmbeddings(), "dims": 64, "fields": ["text"]})


@pytest.fixture
def reader(answer, change) -> ScriptedChatModel:
    """Return a memory model that takes every sentence of a message for a fact of its own."""

    def read(messages: Any, tools: Any) -> Any:
        said = json.loads(re.search(r'Message of the user: (".*")$', messages[-1].text, re.MULTILINE)[1])
        return answer(*(change(f"{sentence} indeed.") for sentence in said.split(". ")))

    return ScriptedChatModel(script=read)


async def everything(app: AgentGraph, tenant: str = "acme") -> list[tuple[Any, ...]]:
    store = app.store
    assert store is not None
    found = [item for leaf in LEAVES for item in await store.asearch((tenant, leaf), limit=10_000)]
    return sorted((item.namespace, item.key, json.dumps(item.value, sort_keys=True)) for item in found)


@pytest.mark.parametrize("store", [None, in_memory], ids=["faiss", "in memory"])
async def test_replaying_a_long_chat_grows_nothing_and_costs_no_model_call(
    open_app: Callable[..., Any], reader: ScriptedChatModel, store: Any
) -> None:
    options = {} if store is None else {"store": store()}
    app, _ = await open_app(lambda messages, tools: "Noted.", memory_model=reader, **options)
    chat = [f"I saw film number {n} last week. It was good." for n in range(25)]
    chat += [f"What about film number {n}?" for n in range(25)]
    for said in chat:
        await app.run(said, tenant="acme", user="ann", thread="chat")
    await app.settled()
    before, calls = await everything(app), len(reader.calls)
    # Episodes, facts (one is told 25 times), and a ledger row for each message that is no question.
    assert (len(before), calls) == (25 + 26 + 25, 25)
    sizes = None if store else await app.store.stats("acme")
    for replay in range(10):
        for said in chat:
            await app.run(said, tenant="acme", user="ann", thread=f"replay-{replay}")
    await app.settled()
    assert await everything(app) == before
    assert len(reader.calls) == calls
    if sizes is not None:
        after = await app.store.stats("acme")
        assert (after.items, after.vectors, after.entries) == (sizes.items, sizes.vectors, sizes.entries)


async def test_a_replay_on_another_day_grows_no_memories(open_app, reader, clock) -> None:
    app, _ = await open_app(lambda messages, tools: "Noted.", memory_model=reader)
    for _ in range(3):
        await app.run("I like green tea.", tenant="acme")
        await app.settled()
        clock.move_to(clock() + timedelta(days=1))
    memories = await app.store.asearch(("acme", "memory"), limit=100)
    assert len(memories) == 2
    assert all(item.value["first_recorded_at"] < item.value["recorded_at"] for item in memories)


async def test_an_answer_does_not_wait_for_the_memory_model(open_app, answer) -> None:
    class Slow(ScriptedChatModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.5)
            return await super()._agenerate(*args, **kwargs)

    model = Slow(script=[answer()])
    app, _ = await open_app(["Noted.", "Tea."], memory_model=model)
    async with asyncio.timeout(0.5):
        await app.run("I like green tea.", tenant="acme")
        result = await app.run("What do I like?", tenant="acme")
    assert [memory["text"] for memory in result.memories] == ["I like green tea."]
    await app.settled()
    assert model.unused == 0


async def test_what_was_recalled_and_repeated_is_not_learnt_again(open_app, reader) -> None:
    app, model = await open_app(["Noted.", "You like green tea.", "Bye."], memory_model=reader)
    await app.run("I like green tea.", tenant="acme", thread="a")
    await app.settled()
    before = await everything(app)
    await app.run("What do I like?", tenant="acme", thread="b")
    await app.settled()
    assert "I like green tea." in str(model.calls[1]["messages"][-1].text)
    after = await everything(app)
    assert [row for row in after if row not in before and row[0][1] != "memory_ledger"] == []
    assert len(reader.calls) == 1
    await app.run("That is right, thank you.", tenant="acme", thread="b")
    await app.settled()
    assert "You like green tea" not in reader.calls[1]["messages"][-1].text.partition("Message of")[2]


async def test_what_was_owed_when_the_process_ended_is_learnt_at_the_next_start(open_app, reader, monkeypatch) -> None:
    class Hanging(ScriptedChatModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(60)

    monkeypatch.setattr(worker_module, "_CLOSING_TIMEOUT_S", 0.1)
    app, _ = await open_app(["Noted."], memory_model=Hanging(script=[]))
    await app.run("I like green tea.", tenant="acme")
    await app.aclose()

    again, _ = await open_app([], memory_model=reader)
    await again.settled()
    assert len(reader.calls) == 1
    memories = await again.store.asearch(("acme", "memory"))
    assert sorted(item.value["kind"] for item in memories) == ["episode", "fact"]


async def test_without_a_memory_model_there_are_episodes_only(open_app) -> None:
    app, _ = await open_app(["Noted."])
    assert app.memory_model is None
    await app.run("I like green tea.", tenant="acme")
    await app.settled()
    assert [item.value["kind"] for item in await app.store.asearch(("acme", "memory"))] == ["episode"]


async def test_a_misspelt_memory_model_is_an_error_at_once(open_app) -> None:
    with pytest.raises(NotFoundError, match="memry"):
        await open_app([], memory_model="memry/model")


async def test_a_checkpointer_of_the_callers_makes_no_difference(open_app, reader) -> None:
    app, _ = await open_app(["Noted."], memory_model=reader, checkpointer=InMemorySaver())
    await app.run("I like green tea from Ann.", tenant="acme", thread="t")
    await app.settled()
    kinds = {item.value["kind"] for item in await app.store.asearch(("acme", "memory"))}
    assert kinds == {"episode", "fact"}


async def test_users_and_tenants_never_meet_in_the_models_prompt(open_app, reader) -> None:
    app, _ = await open_app(lambda messages, tools: "Noted.", memory_model=reader)
    await app.run("I like green tea from Ann.", tenant="acme", user="ann")
    await app.run("I like green tea from Globex.", tenant="globex", user="ann")
    await app.settled()
    await app.run("I like green tea from Bob.", tenant="acme", user="bob")
    await app.settled()
    asked = str(reader.calls[-1]["messages"])
    assert "Bob" in asked
    assert "Ann" not in asked
    assert "Globex" not in asked


@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_the_local_model_finds_a_fact(tmp_path, clock, local_model) -> None:
    name = "local/qwen2.5-coder-1.5b-instruct"
    async with AgentGraph(
        chat_model=ScriptedChatModel(script=lambda messages, tools: "Noted."),
        memory_model=name,
        storage_dir=tmp_path / "tenants",
        clock=clock,
    ) as app:
        assert app.memory_model == name
        await app.run("I live in Paris and I bought a car last week.", tenant="acme")
        await app.settled()
        facts = await app.store.asearch(("acme", "memory"), filter={"kind": "fact"})
        said = " ".join(item.value["text"] for item in facts).casefold()
        assert "paris" in said or "car" in said, said
        assert all(item.value["source"]["message_id"] for item in facts)
        rows = await app.store.asearch(("acme", "memory_ledger"))
        assert [row.value["facts"] for row in rows] == ["learned"]


async def test_a_session_that_ends_while_it_is_being_read_learns_nothing(open_app, reader) -> None:
    app, _ = await open_app(lambda messages, tools: "Noted.", memory_model=reader)
    worker, reading, go = app._runner.worker, asyncio.Event(), asyncio.Event()
    open_model = worker._open_model

    async def slow() -> Any:
        reading.set()
        await go.wait()
        return await open_model()

    worker._open_model = slow
    for said in ("My parrot is called Archimedes.", "My cat is called Ada."):
        await app.run(said, tenant="acme:one")
    await asyncio.wait_for(reading.wait(), 5)
    await asyncio.wait_for(app.sessions.end("acme:one"), 5)
    go.set()
    await app.settled()
    assert await everything(app) == []
    await app.run("My parrot is called Archimedes.", tenant="acme:one")
    await app.settled()
    assert len(await app.memories.list(tenant="acme:one")) == 2  # the words and the fact
