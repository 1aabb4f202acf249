"""`app.memories`: the life of a memory, through the public face."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from agentgraph import AgentGraph
from agentgraph.errors import ConfigurationError, InvalidInputError, NotFoundError
from agentgraph.testing import FrozenClock, HashEmbeddings

OpenApp = Callable[..., Any]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def app(open_app: OpenApp) -> AgentGraph:
    opened, _ = await open_app([])
    return opened


@pytest.fixture(params=["faiss", "in memory"])
async def any_app(request: pytest.FixtureRequest, open_app: OpenApp) -> AgentGraph:
    store = {} if request.param == "faiss" else {"store": InMemoryStore(index={"dims": 64, "embed": HashEmbeddings()})}
    opened, _ = await open_app([], **store)
    return opened


# Writing and reading


async def test_what_is_added_is_dated_on_both_clocks_and_found(any_app: AgentGraph) -> None:
    memories = any_app.memories
    added = await memories.add("I bought a car last week.", tenant="acme", user="ann")
    assert added.recorded_at == NOON
    assert added.event is not None
    assert added.event["start"] == "2026-02-23T00:00:00+00:00"
    assert (added.tenant, added.user, added.session, added.kind) == ("acme", "ann", None, "episode")

    found = await memories.search("What did I buy last week?", tenant="acme", user="ann")
    assert [memory["text"] for memory in found.kept] == ["I bought a car last week."]
    assert found.windows[0]["mention"] == "last week"


async def test_adding_twice_changes_nothing(any_app: AgentGraph) -> None:
    first = await any_app.memories.add("I like tea.", tenant="acme")
    second = await any_app.memories.add("I like tea.", tenant="acme")
    assert first.key == second.key
    assert len(await any_app.memories.list(tenant="acme")) == 1


async def test_a_note_is_set_read_and_set_again(any_app: AgentGraph) -> None:
    memories = any_app.memories
    await memories.put("colour", "Her favourite colour is green.", tenant="acme", user="ann")
    await memories.put("colour", "Her favourite colour is blue.", tenant="acme", user="ann")
    note = await memories.get("colour", tenant="acme", user="ann")
    assert (note.kind, note.text) == ("note", "Her favourite colour is blue.")
    with pytest.raises(NotFoundError, match="acme/bob has no memory 'colour'"):
        await memories.get("colour", tenant="acme", user="bob")
    with pytest.raises(InvalidInputError, match="notes belong"):
        await memories.put("colour", "green", tenant="acme:s1")


async def test_notes_need_no_vectors(open_app: OpenApp) -> None:
    app, _ = await open_app([], embedding_model=None, embeddings=None)
    await app.memories.put("colour", "Her favourite colour is green.", tenant="acme")
    found = await app.memories.search("favourite colour", tenant="acme")
    assert [memory["key"] for memory in found.kept] == ["colour"]


async def test_a_tenant_lists_everybodys_and_a_user_their_own(any_app: AgentGraph) -> None:
    memories = any_app.memories
    await memories.add("We close at six.", tenant="acme")
    await memories.add("I like tea.", tenant="acme", user="ann")
    await memories.add("I like rye.", tenant="acme", user="bob")
    await memories.add("The code is 17.", tenant="acme:visit")
    await memories.put("door", "It sticks.", tenant="acme", user="ann")
    await memories.add("Elsewhere.", tenant="globex")

    async def texts(**scope: Any) -> set[str]:
        return {memory.text for memory in await memories.list(**scope)}

    everything = {"We close at six.", "I like tea.", "I like rye.", "The code is 17.", "It sticks."}
    assert await texts(tenant="acme") == everything
    assert await texts(tenant="acme", user="ann") == {"I like tea.", "It sticks."}
    assert await texts(tenant="acme", session="visit") == await texts(tenant="acme:visit") == {"The code is 17."}
    assert await texts(tenant="acme", user="ann", kind="note") == {"It sticks."}
    assert await texts(tenant="nobody") == set()


async def test_pages_cover_a_list_without_overlap(app: AgentGraph) -> None:
    for number in range(7):
        await app.memories.add(f"Fact number {number}.", tenant="acme")
    pages = [await app.memories.list(tenant="acme", limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [memory.text for page in pages for memory in page] == [f"Fact number {n}." for n in range(6, -1, -1)]


@pytest.mark.parametrize(
    "call",
    [
        lambda memories: memories.add("  ", tenant="acme"),
        lambda memories: memories.add("x", tenant="no/good"),
        lambda memories: memories.add("x", tenant="acme", timezone="Mars/Base"),
        lambda memories: memories.add("x", tenant="acme", said_at=datetime(2026, 1, 1)),
        lambda memories: memories.add("x", tenant="acme", ttl_minutes=-1),
        lambda memories: memories.list(tenant="acme", limit=-1),
        lambda memories: memories.list(tenant="acme:a", session="b"),
    ],
)
async def test_what_cannot_be_is_refused(app: AgentGraph, call: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidInputError):
        await call(app.memories)


async def test_memory_switched_off_says_so(open_app: OpenApp) -> None:
    app, _ = await open_app([], enable_memory=False)
    with pytest.raises(ConfigurationError, match="switched off"):
        await app.memories.list(tenant="acme")


# Correcting and ending


async def test_an_update_supersedes_and_keeps_what_was(any_app: AgentGraph, clock: FrozenClock) -> None:
    memories = any_app.memories
    key = (await memories.add("I live in Ghent.", tenant="acme", user="ann")).key
    for days, town in ((1, "Bruges"), (2, "Paris")):
        clock.move_to(NOON + timedelta(days=days))
        await memories.update(key, f"I live in {town}.", tenant="acme", user="ann")

    assert (await memories.get(key, tenant="acme", user="ann")).text == "I live in Paris."
    assert [memory.text for memory in await memories.list(tenant="acme", user="ann")] == ["I live in Paris."]
    history = await memories.history(key, tenant="acme", user="ann")
    assert [memory.text for memory in history] == ["I live in Bruges.", "I live in Ghent."]
    assert [memory.valid_until for memory in history] == [NOON + timedelta(days=2), NOON + timedelta(days=1)]
    assert all(memory.is_superseded and memory.superseded_by == key for memory in history)
    assert len(await memories.list(tenant="acme", include_superseded=True)) == 3


async def test_an_update_that_names_no_time_loses_the_old_one(app: AgentGraph) -> None:
    key = (await app.memories.add("I fly to Rome tomorrow.", tenant="acme")).key
    assert (await app.memories.update(key, "I do not fly to Rome.", tenant="acme")).event is None


async def test_deleting_takes_the_history_along(any_app: AgentGraph) -> None:
    memories = any_app.memories
    key = (await memories.add("I live in Ghent.", tenant="acme")).key
    await memories.update(key, "I live in Bruges.", tenant="acme")
    await memories.delete(key, tenant="acme")
    assert await memories.list(tenant="acme", include_superseded=True) == []
    with pytest.raises(NotFoundError):
        await memories.delete(key, tenant="acme")


async def test_a_memory_ends_when_it_was_told_to(app: AgentGraph, clock: FrozenClock) -> None:
    memories = app.memories
    key = (await memories.add("The code is 17.", tenant="acme", ttl_minutes=10)).key
    assert (await memories.get(key, tenant="acme")).expires_at == NOON + timedelta(minutes=10)
    await memories.expire(key, tenant="acme", at=NOON + timedelta(days=1))
    clock.move_to(NOON + timedelta(hours=23))
    assert await memories.list(tenant="acme")
    await memories.expire(key, tenant="acme")
    clock.move_to(NOON + timedelta(days=9))
    assert (await memories.get(key, tenant="acme")).expires_at is None
    await memories.expire(key, tenant="acme", ttl_minutes=5)
    clock.move_to(NOON + timedelta(days=10))
    assert await memories.list(tenant="acme") == []
    with pytest.raises(NotFoundError):
        await memories.get(key, tenant="acme")


async def test_an_end_needs_a_store_that_keeps_it(open_app: OpenApp) -> None:
    app, _ = await open_app([], store=InMemoryStore())
    with pytest.raises(ConfigurationError, match="InMemoryStore keeps no time to live"):
        await app.memories.add("The code is 17.", tenant="acme", ttl_minutes=10)


# Time


async def test_a_timeline_goes_by_what_memories_are_about(any_app: AgentGraph) -> None:
    memories = any_app.memories
    await memories.add("I like tea.", tenant="acme")
    await memories.add("I flew to Rome on 5 January 2026.", tenant="acme", user="ann")
    await memories.add("I move house next month.", tenant="acme", user="bob")

    line = await memories.timeline(tenant="acme")
    assert [(entry.memory.text[:6], entry.clock) for entry in line] == [
        ("I flew", "event"),
        ("I like", "recorded"),
        ("I move", "event"),
    ]
    assert [entry.at for entry in line] == sorted(entry.at for entry in line)
    march = await memories.timeline(tenant="acme", start=datetime(2026, 3, 1, tzinfo=UTC), limit=1)
    assert [entry.memory.text for entry in march] == ["I like tea."]
    assert len(await memories.timeline(tenant="acme", end=datetime(2026, 1, 6, tzinfo=UTC))) == 1


# In bulk


async def exported(app: AgentGraph, **scope: Any) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(row)) async for row in app.memories.export(**scope)]


async def test_an_export_is_imported_as_it_was(any_app: AgentGraph, clock: FrozenClock) -> None:
    memories = any_app.memories
    key = (await memories.add("I move next week.", tenant="acme", user="ann", source={"thread": "t1"})).key
    clock.move_to(NOON + timedelta(days=40))
    await memories.update(key, "I stay for good.", tenant="acme", user="ann", timezone="Europe/Paris")
    await memories.put("door", "It sticks.", tenant="acme")
    await memories.add("The code is 17 until tomorrow.", tenant="acme:visit", speaker="Bob", kind="fact")
    rows = await exported(any_app, tenant="acme")
    assert len(rows) == 4

    clock.move_to(NOON + timedelta(days=400))
    report = await memories.import_rows(rows, tenant="globex")
    assert (report.rows, report.added, report.failed) == (4, 4, 0)
    assert await exported(any_app, tenant="globex") == rows
    again = await memories.import_rows([json.dumps(row) for row in rows], tenant="globex")
    assert (again.added, again.unchanged) == (0, 4)
    assert [memory.text for memory in await memories.history(key, tenant="globex", user="ann")] == ["I move next week."]


async def test_ends_survive_an_export(app: AgentGraph) -> None:
    await app.memories.add("The code is 17.", tenant="acme", ttl_minutes=10)
    await app.memories.import_rows(await exported(app, tenant="acme"), tenant="globex")
    (memory,) = await app.memories.list(tenant="globex")
    assert memory.expires_at == NOON + timedelta(minutes=10)
    assert (await app.store.stats("globex")).expiring == 1


async def test_rows_of_other_programs_are_understood(any_app: AgentGraph) -> None:
    rows = [
        {"text": "I went to the museum yesterday.", "id": "D1:3", "ts": "2023-05-08T13:56:00", "speaker": "Caroline",
         "session": 1, "caption": "a painting"},
        {"text": "I like tea.", "ts": 1_700_000_000, "user": "ann"},
        {"text": "It sticks.", "kind": "note", "id": "door"},
    ]  # fmt: skip
    report = await any_app.memories.import_rows(rows, tenant="acme", timezone="America/New_York", name="museum.jsonl")
    assert (report.added, report.faults) == (3, ())
    museum = await any_app.memories.get("D1:3", tenant="acme")
    assert museum.text == "I went to the museum yesterday.\n[a painting]"
    assert museum.recorded_at == datetime(2023, 5, 8, 17, 56, tzinfo=UTC)
    assert museum.event is not None
    assert museum.event["start"] == "2023-05-07T04:00:00+00:00"
    assert (museum.speaker, museum.source["thread"], museum.source["import"]) == ("Caroline", "1", "museum.jsonl")
    assert (await any_app.memories.list(tenant="acme", user="ann"))[0].text == "I like tea."
    assert (await any_app.memories.get("door", tenant="acme")).kind == "note"


async def test_a_second_import_on_another_day_adds_nothing(app: AgentGraph, clock: FrozenClock) -> None:
    rows = [{"text": "I bought it yesterday."}, {"text": "I like tea."}, {"text": "I like tea."}]
    first = await app.memories.import_rows(rows, tenant="acme")
    clock.move_to(NOON + timedelta(days=3))
    second = await app.memories.import_rows(rows, tenant="acme")
    assert (first.added, second.added, second.replaced, second.unchanged) == (2, 0, 0, 3)


async def test_a_row_that_changed_replaces(app: AgentGraph) -> None:
    await app.memories.import_rows([{"id": "a", "text": "I like tea."}], tenant="acme")
    report = await app.memories.import_rows([{"id": "a", "text": "I like rye."}], tenant="acme")
    assert (report.added, report.replaced) == (0, 1)


BAD = ["no json", "[]", '{"id": "x"}', '{"text": 5, "ts": "soon"}', '{"text": "x", "kind": "wish"}',
       '{"text": "x", "timezone": "Mars/Base"}', '{"text": "x", "leaf": ["memory_ledger", "shared"]}',
       '{"text": "x", "leaf": ["memory", "user", "a/b"]}', '{"text": "x", "id": "a\\u0000b"}',
       '{"text": "x", "user": "../bob"}', '{"text": ["x"]}', '{"text": "x", "event": 3}']  # fmt: skip


async def test_bad_lines_are_named_and_good_ones_kept(app: AgentGraph) -> None:
    lines = ['{"text": "first"}', "", *BAD, '{"text": "last"}']
    report = await app.memories.import_rows(lines, tenant="acme")
    assert (report.added, report.failed, report.rows) == (2, len(BAD), len(BAD) + 2)
    assert [fault.line for fault in report.faults] == list(range(3, 3 + len(BAD)))
    assert "not JSON" in report.faults[0].message


async def test_a_strict_import_stops_at_the_first_bad_line(app: AgentGraph) -> None:
    lines = [*(json.dumps({"text": f"number {n}"}) for n in range(2_000)), "no json", '{"text": "never read"}']
    with pytest.raises(InvalidInputError, match="line 2001"):
        await app.memories.import_rows(iter(lines), tenant="acme", is_strict=True)
    assert (await app.store.stats("acme")).items == 2_000


async def test_of_two_rows_of_one_key_the_later_wins(app: AgentGraph) -> None:
    rows = [{"id": f"k{n % 1500}", "text": f"version {n}"} for n in range(4_500)]
    await app.memories.import_rows(iter(rows), tenant="acme")
    assert (await app.memories.get("k7", tenant="acme")).text == "version 3007"
    assert (await app.store.stats("acme")).items == 1_500


# From anywhere


def test_memories_serve_any_loop_and_thread(tmp_path: Any) -> None:
    app = AgentGraph(default_model="scripted/echo", embeddings=HashEmbeddings(), storage_dir=tmp_path)
    texts: list[str] = []

    async def one(number: int) -> None:
        await app.memories.add(f"Number {number}.", tenant="acme")
        texts.extend([row["text"] async for row in app.memories.export(tenant="acme")])

    threads = [threading.Thread(target=asyncio.run, args=(one(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.close()
    assert set(texts) == {"Number 0.", "Number 1.", "Number 2."}
