"""Sessions through whole runs: they last while they are used, end once, and leave nothing behind."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from agentgraph import AgentGraph
from agentgraph.app import _utc_now
from agentgraph.errors import (
    ConfigurationError,
    InvalidInputError,
    NotFoundError,
    StoreUnavailableError,
    ThreadBusyError,
)
from agentgraph.stores.threads import runs
from agentgraph.stores.threads.database import Saver
from agentgraph.testing import FrozenClock, HashEmbeddings, ScriptedChatModel

OpenApp = Callable[..., Any]
HOUR = timedelta(hours=1)
ALICE = "acme:+15551234567"


def answers(messages: Any, tools: Any) -> str:
    return "Very well."


class Ends:
    """Notes what `on_session_end` is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, tenant_id: str, session_data: dict[str, Any]) -> None:
        self.calls.append((tenant_id, session_data))

    @property
    def sessions(self) -> list[str]:
        return [data["session_id"] for _, data in self.calls]


def calling(name: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"id": "call-1", "name": name, "args": {}}])


async def swept(app: AgentGraph) -> None:
    """Look for sessions that are over, and wait until they are ended."""
    await app._session_keeper.sweep()
    await asyncio.gather(*app._session_keeper._ending.values())


async def remembered(app: AgentGraph, tenant: str) -> list[str]:
    await app.settled()
    return [memory.text for memory in await app.memories.list(tenant=tenant)]


# Lasting


async def test_a_session_lasts_for_its_time_from_each_use(open_app: OpenApp, clock: FrozenClock) -> None:
    ends = Ends()
    app, _ = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    for _ in range(3):
        await app.run("Hello there.", tenant=ALICE)
        clock.advance(23 * HOUR)
        await swept(app)
    assert ends.calls == []
    assert len(await app.history(tenant=ALICE)) == 6
    clock.advance(HOUR)
    await swept(app)
    assert ends.sessions == ["+15551234567"]
    assert await app.history(tenant=ALICE) == []


async def test_a_session_that_is_over_is_ended_before_another_begins(open_app: OpenApp, clock: FrozenClock) -> None:
    ends = Ends()
    app, model = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    await app.run("My order number is 4711-X.", tenant=ALICE)
    await app.settled()
    clock.advance(24 * HOUR)
    result = await app.run("What is my order number?", tenant=ALICE)
    assert [data["message_count"] for _, data in ends.calls] == [2]
    assert result.memories == ()
    assert "4711" not in str(model.calls[-1])
    assert len(await app.history(tenant=ALICE)) == 2


async def test_a_clock_set_back_ends_nothing_and_revives_nothing(open_app: OpenApp, clock: FrozenClock) -> None:
    ends = Ends()
    app, _ = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    await app.run("One.", tenant="acme:one")
    await app.run("Two.", tenant="acme:two")
    clock.advance(-48 * HOUR)
    await swept(app)
    await app.run("Two again.", tenant="acme:two")
    assert ends.calls == []
    clock.advance(72 * HOUR + HOUR)
    await swept(app)
    clock.advance(-72 * HOUR)
    await swept(app)
    assert sorted(ends.sessions) == ["one", "two"]
    assert await app.sessions.list("acme") == []


async def test_a_run_under_way_keeps_its_session_open(open_app: OpenApp, clock: FrozenClock) -> None:
    ends, asked, go = Ends(), asyncio.Event(), asyncio.Event()

    @tool
    async def wait_for_it() -> str:
        """Wait."""
        asked.set()
        await go.wait()
        return "Done."

    app, _ = await open_app(
        [calling("wait_for_it"), "At last."], tools=[wait_for_it], on_session_end=ends, session_ttl_hours=1
    )
    run = asyncio.create_task(app.run("Please wait.", tenant=ALICE))
    await asked.wait()
    clock.advance(5 * HOUR)
    await swept(app)
    assert ends.calls == []
    go.set()
    assert (await run).text == "At last."
    await swept(app)
    assert ends.calls == []  # it lasts from the run's end on
    clock.advance(HOUR)
    await swept(app)
    assert ends.sessions == ["+15551234567"]


async def test_sessions_end_without_traffic(open_app: OpenApp) -> None:
    ended = asyncio.Event()

    async def on_end(tenant_id: str, data: dict[str, Any]) -> None:
        ended.set()

    app, _ = await open_app(answers, on_session_end=on_end, session_ttl_hours=0.3 / 3600, clock=_utc_now)
    await app.run("Hello.", tenant=ALICE)
    await asyncio.wait_for(ended.wait(), 5)


async def test_files_in_which_nothing_can_be_due_are_not_looked_into(
    open_app: OpenApp, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, looked = Ends(), []
    app, _ = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    await app.run("Hello.", tenant="globex:one")
    await app.run("Hello.", tenant="acme", thread="t")
    await swept(app)
    peek = app._runner.database.peek

    def counted(path: Path, look: Any) -> Any:
        looked.append(path.parent.name)
        return peek(path, look)

    monkeypatch.setattr(app._runner.database, "peek", counted)
    await app.run("Hello.", tenant="acme:two")
    clock.advance(23 * HOUR)
    await app.run("Hello.", tenant="acme:two")
    await swept(app)
    assert looked == []
    clock.advance(HOUR)
    await swept(app)
    assert sorted(looked) == ["acme", "globex"]
    clock.advance(22 * HOUR)
    await swept(app)
    assert ends.sessions == ["one"]
    clock.advance(HOUR)
    await swept(app)
    assert ends.sessions == ["one", "two"]


async def test_a_clock_set_back_makes_no_session_last_longer(open_app: OpenApp, clock: FrozenClock) -> None:
    ends = Ends()
    app, _ = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    await app.run("Hello.", tenant="acme", thread="t")
    await swept(app)
    clock.advance(-48 * HOUR)
    await app.run("Hello.", tenant="acme:one")
    clock.advance(24 * HOUR)
    await swept(app)
    assert ends.sessions == ["one"]


async def test_a_session_that_could_not_be_ended_is_ended_later_and_told_of_once(
    open_app: OpenApp, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends()
    app, _ = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    await app.run("Hello.", tenant=ALICE)
    clock.advance(24 * HOUR)

    def fails(*args: Any) -> None:
        raise StoreUnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("agentgraph.runs.session_keeper._remove", fails)
        await app._session_keeper.sweep()
        await asyncio.wait(list(app._session_keeper._ending.values()))
    assert [info.is_ending for info in await app.sessions.list("acme")] == [True]
    await swept(app)
    assert await app.sessions.list("acme") == []
    assert ends.sessions == ["+15551234567"]


async def test_runs_nobody_carries_any_more_do_not_keep_a_session_for_ever(
    open_app: OpenApp, clock: FrozenClock
) -> None:
    ends = Ends()
    app, _ = await open_app(answers, on_session_end=ends, session_ttl_hours=24)
    await app.run("Hello.", tenant=ALICE)

    def leave(saver: Saver) -> None:
        runs.add(
            saver.conn,
            run_id="run-lost",
            thread_id="acme/session/+15551234567",
            process="1-dead",
            alive_until=0.0,
            digest="",
            idempotency_key=None,
            request=b"",
            user=None,
            accepted_at=clock().isoformat(),
        )
        saver.conn.execute("UPDATE runs SET request = NULL WHERE run_id = 'run-lost'")

    await app._runner.database.write("acme", leave)
    clock.advance(24 * HOUR)
    await swept(app)
    clock.advance(24 * HOUR)
    await swept(app)
    assert ends.sessions == ["+15551234567"]


# Ending


async def test_the_callback_is_told_everything(open_app: OpenApp, clock: FrozenClock) -> None:
    ends = Ends()
    app, _ = await open_app(answers, on_session_end=ends, session_summarize_after=4)
    opened_at = clock().isoformat()
    for number in range(6):
        await app.run(f"Number {number}.", tenant=ALICE)
        await app.settled()
    clock.advance(HOUR)
    await app.run("Goodbye.", tenant=ALICE)
    await app.sessions.end(ALICE)
    ((tenant_id, data),) = ends.calls
    assert tenant_id == "acme"
    assert set(data) == {
        "tenant_id",
        "session_id",
        "messages",
        "summaries",
        "created_at",
        "last_accessed",
        "message_count",
        "idempotency_key",
    }
    assert data["tenant_id"] == "acme"
    assert data["session_id"] == "+15551234567"
    assert [message["content"] for message in data["messages"] if message["role"] == "user"] == [
        *(f"Number {number}." for number in range(6)),
        "Goodbye.",
    ]
    assert data["message_count"] == len(data["messages"]) == 14
    assert set(data["summaries"]) == {"recent", "middle", "whole"}
    assert data["summaries"]["recent"] == "Very well."
    assert data["created_at"] == opened_at
    assert data["last_accessed"] == clock().isoformat()
    json.dumps(data)


@pytest.mark.parametrize("kind", ["sync", "async", "object"])
async def test_the_callback_may_be_sync_or_async_and_may_fail(
    open_app: OpenApp, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    calls: list[str] = []

    def sync(tenant_id: str, data: dict[str, Any]) -> None:
        calls.append(data["session_id"])
        raise ValueError("no")

    async def coroutine(tenant_id: str, data: dict[str, Any]) -> None:
        sync(tenant_id, data)

    class Object:
        async def __call__(self, tenant_id: str, data: dict[str, Any]) -> None:
            sync(tenant_id, data)

    chosen: Any = {"sync": sync, "async": coroutine, "object": Object()}[kind]
    app, _ = await open_app(answers, on_session_end=chosen)
    await app.run("My secret is 99.", tenant=ALICE)
    with caplog.at_level(logging.ERROR):
        await app.sessions.end(ALICE)
    assert calls == ["+15551234567"]
    assert "on_session_end failed" in caplog.text
    assert "secret" not in caplog.text
    assert await app.history(tenant=ALICE) == []
    await app.run("Hello again.", tenant=ALICE)


async def test_nothing_of_an_ended_session_is_left_and_it_may_be_learned_again(
    open_app: OpenApp, tmp_path: Path
) -> None:
    app, _ = await open_app(answers)
    await app.run("My parrot is called Archimedes.", tenant=ALICE)
    await app.run("We sell carpets in every colour.", tenant="acme")
    assert len(await remembered(app, ALICE)) == 1
    await app.sessions.end("acme", "+15551234567")
    assert await remembered(app, ALICE) == []
    assert await remembered(app, "acme") == ["We sell carpets in every colour."]
    for leaf in ("memory_history", "memory_ledger"):
        assert await app.store.asearch(("acme", leaf, "session")) == []
    rows = app._runner.database.glance(
        "acme",
        lambda saver: [
            saver.conn.execute(f"SELECT COUNT(*) FROM {table} WHERE thread_id LIKE 'acme/session/%'").fetchone()[0]
            for table in ("checkpoints", "writes", "archive", "runs", "tool_calls", "heads")
        ],
    )
    assert rows == [0] * 6
    await app.run("My parrot is called Archimedes.", tenant=ALICE)
    assert await remembered(app, ALICE) == ["My parrot is called Archimedes."]


async def test_what_a_session_still_owes_to_memory_is_dropped(open_app: OpenApp) -> None:
    reading, go = asyncio.Event(), asyncio.Event()

    app, _ = await open_app(answers, memory_model=ScriptedChatModel(script=answers))
    worker = app._runner.worker
    original = worker._open_model

    async def slow() -> Any:
        reading.set()
        await go.wait()
        return await original()

    worker._open_model = slow
    await app.run("My parrot is called Archimedes.", tenant=ALICE)
    await asyncio.wait_for(reading.wait(), 5)
    await asyncio.wait_for(app.sessions.end(ALICE), 5)
    go.set()
    assert await remembered(app, ALICE) == []
    assert await app._runner.outbox.owed("acme") == []


async def test_ending_by_hand_cancels_the_run_under_way(open_app: OpenApp) -> None:
    asked = asyncio.Event()

    @tool
    async def wait_for_it() -> str:
        """Wait."""
        asked.set()
        await asyncio.Event().wait()
        return "Never."

    ends = Ends()
    app, _ = await open_app([calling("wait_for_it")], tools=[wait_for_it], on_session_end=ends)
    run = asyncio.create_task(app.run("Please wait.", tenant=ALICE))
    await asked.wait()
    await asyncio.wait_for(app.sessions.end(ALICE), 10)
    await asyncio.wait([run], timeout=5)
    assert run.done()
    assert ends.sessions == ["+15551234567"]
    assert await app.history(tenant=ALICE) == []


async def test_a_callback_that_uses_its_own_session_is_told_that_it_is_ending(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgraph.runs.session_keeper._LONGEST_WAIT_S", 0.2)
    errors: list[Exception] = []

    async def on_end(tenant_id: str, data: dict[str, Any]) -> None:
        try:
            await app.run("Are you there?", tenant=ALICE)
        except ThreadBusyError as error:
            errors.append(error)

    app, _ = await open_app(answers, on_session_end=on_end)
    await app.run("Hello.", tenant=ALICE)
    await app.sessions.end(ALICE)
    assert [error.code for error in errors] == ["session_ending"]


# The public face


async def test_open_sessions_are_listed(open_app: OpenApp, clock: FrozenClock) -> None:
    app, _ = await open_app(answers, session_ttl_hours=24)
    await app.run("One.", tenant="acme:one")
    clock.advance(HOUR)
    await app.run("Two.", tenant="acme:two")
    await app.run("Else.", tenant="globex:one")
    await app.settled()
    infos = await app.sessions.list("acme")
    assert [(info.session, info.messages, info.expires_in_s) for info in infos] == [
        ("two", 2, 24 * 3600.0),
        ("one", 2, 23 * 3600.0),
    ]
    info = await app.sessions.get("acme:one")
    assert info == await app.sessions.get("acme", "one")
    assert info.size_bytes > 100
    await app.sessions.end("acme", "one")
    with pytest.raises(NotFoundError):
        await app.sessions.get("acme:one")
    with pytest.raises(NotFoundError):
        await app.sessions.end("acme:one")
    assert [info.session for info in await app.sessions.list("acme")] == ["two"]
    assert await app.sessions.list("nobody") == []
    with pytest.raises(NotFoundError):
        await app.sessions.get("nobody:x")


def test_sessions_can_be_looked_at_from_any_loop(tmp_path: Path) -> None:
    app = AgentGraph(
        chat_model=ScriptedChatModel(script=answers), embeddings=HashEmbeddings(), storage_dir=tmp_path / "tenants"
    )
    app.run_sync("Hello.", tenant=ALICE)
    assert [info.session for info in asyncio.run(app.sessions.list("acme"))] == ["+15551234567"]
    asyncio.run(app.sessions.end(ALICE))
    assert asyncio.run(app.sessions.list("acme")) == []
    app.close()


@pytest.mark.parametrize("session", ["", "a b", "a/b", "..", "x" * 129, "é", "a:b"])
async def test_a_bad_session_id_is_refused(open_app: OpenApp, session: str) -> None:
    app, _ = await open_app(answers)
    with pytest.raises(InvalidInputError):
        await app.run("Hello.", tenant=f"acme:{session}")
    with pytest.raises(InvalidInputError):
        await app.sessions.get("acme", session)
    with pytest.raises(InvalidInputError):
        await app.sessions.end(f"acme:{session}")


async def test_sessions_can_be_switched_off(open_app: OpenApp) -> None:
    app, _ = await open_app(answers, enable_session_memory=False)
    with pytest.raises(ConfigurationError):
        await app.run("Hello.", tenant=ALICE)


# What goes in


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"}},
        {"type": "file", "base64": "aGk=", "mime_type": "text/plain"},
    ],
)
async def test_a_session_takes_no_files(open_app: OpenApp, part: dict[str, Any]) -> None:
    app, model = await open_app(answers)
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}
    with pytest.raises(InvalidInputError) as refused:
        await app.run([message], tenant=ALICE)
    assert refused.value.code == "session_no_upload"
    assert await app.sessions.list("acme") == []
    await app.run([message], tenant="acme", thread="t")  # elsewhere it is the model's business
    assert len(model.calls) == 1


async def test_a_message_that_no_session_can_keep_is_refused(open_app: OpenApp) -> None:
    app, model = await open_app(answers, session_memory_max_mb=0.02)
    with pytest.raises(InvalidInputError) as refused:
        await app.run("x" * 20_001, tenant=ALICE)
    assert refused.value.code == "session_message_too_large"
    assert model.calls == []
    assert await app.sessions.list("acme") == []
    await app.run("x" * 15_000, tenant=ALICE)


# Limits


async def rows_in(app: AgentGraph, table: str) -> int:
    return await app._runner.database.read(
        "acme",
        lambda saver: saver.conn.execute(
            f"SELECT COUNT(*) FROM {table} WHERE thread_id LIKE 'acme/session/%'"
        ).fetchone()[0],
    )


async def talk(app: AgentGraph, turns: int, text: str = "This is turn {}.") -> None:
    for turn in range(turns):
        await app.run(text.format(turn), tenant=ALICE)
        await app.settled()


async def test_a_session_is_summarised_after_so_many_messages(open_app: OpenApp) -> None:
    app, model = await open_app(answers, session_summarize_after=6)
    await talk(app, 3)
    assert len(model.calls) == 3
    await talk(app, 1)
    assert len(model.calls) == 5  # the fourth turn, and a summary
    state = await app.graph.aget_state({"configurable": {"thread_id": "acme/session/+15551234567"}})
    assert len(state.values["messages"]) <= 3
    assert len(await app.history(tenant=ALICE)) == 8


async def test_a_session_keeps_so_many_messages_word_for_word(open_app: OpenApp) -> None:
    app, _ = await open_app(answers, session_summarize_after=4, session_max_messages=8)
    await talk(app, 12)
    said = [message.content for message in await app.history(tenant=ALICE) if message.type == "human"]
    assert said == ["This is turn 8.", "This is turn 9.", "This is turn 10.", "This is turn 11."]
    assert (await app.sessions.get(ALICE)).messages == 8
    state = await app.graph.aget_state({"configurable": {"thread_id": "acme/session/+15551234567"}})
    assert state.values["summaries"]  # what went was summarised before
    await app.run("This is turn 0.", tenant="acme", thread="t")
    assert len(await app.history(tenant="acme", thread="t")) == 2


async def test_messages_are_bounded_even_where_no_summary_can_be_had(open_app: OpenApp) -> None:
    def refuses(messages: Any, tools: Any) -> Any:
        return "Very well." if messages[-1].content.startswith("This is turn") else ""

    app, _ = await open_app(refuses, session_summarize_after=4, session_max_messages=8)
    await talk(app, 12)
    history = await app.history(tenant=ALICE)
    assert len(history) <= 8
    assert history[-2].content == "This is turn 11."


@pytest.mark.parametrize("limit_mb", [0.02, 0.06])
async def test_a_session_keeps_no_more_bytes_than_it_may(open_app: OpenApp, limit_mb: float) -> None:
    app, _ = await open_app(answers, session_memory_max_mb=limit_mb, session_max_messages=1000, mem_max_tokens=100)
    for turn in range(20):
        await app.run(f"Turn {turn} is about subject {turn}: " + f"word{turn} " * 300, tenant=ALICE)
        await app.settled()
        await app._runner.under_way.finished()
    # What memory learned after the last run counts from the next.
    scope_bytes = (await app.sessions.get(ALICE)).size_bytes
    assert scope_bytes <= limit_mb * 1_000_000 + 10_000
    history = await app.history(tenant=ALICE)
    assert history[-2].content.startswith("Turn 19 ")
    assert len(history) < 40
    await app.run("Does it still work?", tenant=ALICE)


async def test_the_newest_turn_stays_however_large(open_app: OpenApp) -> None:
    app, _ = await open_app(lambda messages, tools: "long " * 10_000, session_memory_max_mb=0.02)
    await talk(app, 2)
    history = await app.history(tenant=ALICE)
    assert [message.content[:15] for message in history] == ["This is turn 1.", "long long long "]


async def test_the_oldest_memories_go_last(open_app: OpenApp, clock: FrozenClock) -> None:
    app, _ = await open_app(answers, session_memory_max_mb=0.05)
    for number in range(100):
        await app.memories.add(f"Fact number {number}: " + f"detail{number} " * 40, tenant=ALICE)
        clock.advance(timedelta(seconds=1))
    await talk(app, 1)
    left = await remembered(app, ALICE)
    assert 10 < len(left) < 100
    assert any("Fact number 99:" in text for text in left)
    assert not any("Fact number 0:" in text for text in left)


# Recall


async def test_a_session_recalls_what_was_told_in_it_beside_what_its_tenant_knows(open_app: OpenApp) -> None:
    app, model = await open_app(answers, session_summarize_after=2, mem_top_k=6)
    for number in range(60):
        await app.memories.add(f"Supplier {number} delivers carpets of pattern {number} on Mondays.", tenant="acme")
    for text in ("Orders above a hundred euros are sent for free.", "An order number begins with the year."):
        await app.memories.add(text, tenant="acme")
    await app.memories.add("Returns are free within thirty days.", tenant="acme")
    await app.run("My order number is 4711-X.", tenant=ALICE)
    await talk(app, 4, "Let us talk about the weather, part {}.")
    result = await app.run("What is my order number?", tenant=ALICE)
    assert "My order number is 4711-X." in [memory["text"] for memory in result.memories]
    assert "4711-X" in str(model.calls[-1]["messages"])
    result = await app.run("Within how many days are returns free?", tenant=ALICE)
    assert "Returns are free within thirty days." in [memory["text"] for memory in result.memories]


async def test_sessions_never_see_each_other_and_leave_nothing_in_the_tenant(open_app: OpenApp) -> None:
    app, model = await open_app(answers)
    await app.run("My order number is 4711-X.", tenant=ALICE)
    await app.settled()
    for scope in ({"tenant": "acme:other"}, {"tenant": "acme"}, {"tenant": "acme", "user": "+15551234567"}):
        result = await app.run("What is my order number?", **scope)
        assert result.memories == ()
        assert "4711" not in str(model.calls[-1])
    await app.settled()
    for leaf in (("acme", "memory", "shared"), ("acme", "memory", "user"), ("acme", "memory", "session", "other")):
        assert not any("4711" in str(item.value) for item in await app.store.asearch(leaf, limit=100))
