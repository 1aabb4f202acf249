"""Recall on real stores: what is found, as of when, and that nothing in the time asked about is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from agentgraph.memory.question import understood
from agentgraph.memory.recall import find, pinned_notes, recall
from agentgraph.memory.record import NO_TIME, time_key
from agentgraph.memory.stored import new_value
from agentgraph.scope import history_namespace
from agentgraph.stores.faiss import FaissStore
from agentgraph.testing import HashEmbeddings

LEAF = ("acme", "memory", "shared")
NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.fixture(params=["faiss", "memory"])
async def store(request, tmp_path):
    if request.param == "memory":
        yield InMemoryStore(index={"embed": HashEmbeddings(), "dims": 1024, "fields": ["text"]})
        return
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), sync="normal") as faiss:
        yield faiss


def told(text, said_at, *, leaf=LEAF, key=None, **other):
    value = new_value(text, kind="episode", speaker="user", said_at=said_at, zone="UTC", source={"thread": "t"})
    return PutOp(leaf, key or text, {**value, **other}, index=["text"])


async def answer(store, question, **options):
    options = {"now": NOW, "zone": "UTC", "top_k": 6} | options
    return await recall(store, [LEAF], question, **options)


def texts(memories):
    return [memory["text"] for memory in memories]


async def test_a_memory_is_found_by_the_time_it_speaks_of_not_by_when_it_was_told(store):
    await store.abatch(
        [
            told("I bought a car last week.", datetime(2026, 3, 2, tzinfo=UTC)),
            told("Pizza is best with olives.", datetime(2026, 2, 12, tzinfo=UTC)),
        ]
    )
    found = await answer(store, "What happened in the last week of February?")
    assert texts(found.kept)[0] == "I bought a car last week."
    assert found.kept[0]["placed"] == "inside"


async def test_what_lies_in_the_window_is_found_among_many_that_are_nearer_in_words(store):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    crowd = [
        told(f"What happened at the office in room {n}: a meeting", start + timedelta(hours=n), key=f"crowd {n}")
        for n in range(400)
    ]
    await store.abatch([*crowd, told("I broke my arm on 4 March 2026.", datetime(2026, 3, 20, tzinfo=UTC))])
    found = await answer(store, "What happened on 4 March 2026?", now=datetime(2026, 4, 1, tzinfo=UTC))
    assert "I broke my arm on 4 March 2026." in texts(found.kept)


async def test_a_superseded_memory_is_read_as_of_a_time_when_it_held(store):
    corrected = datetime(2026, 2, 1, tzinfo=UTC)
    old = told(
        "My dog is called Rex.",
        datetime(2026, 1, 5, tzinfo=UTC),
        leaf=history_namespace(LEAF),
        valid_until=time_key(corrected),
        superseded_by="new",
    )
    await store.abatch([old, told("My dog is called Max.", corrected, key="new")])
    question = "What is my dog called?"
    assert texts((await answer(store, question)).kept) == ["My dog is called Max."]
    assert texts((await answer(store, question, as_of=datetime(2026, 1, 20, tzinfo=UTC))).kept) == [
        "My dog is called Rex."
    ]
    assert texts((await answer(store, question, as_of=corrected)).kept) == ["My dog is called Max."]
    assert (await answer(store, question, as_of=datetime(2025, 12, 31, tzinfo=UTC))).kept == []


async def test_a_memory_told_again_later_was_known_from_its_first_telling(store):
    first = datetime(2026, 1, 5, tzinfo=UTC)
    await store.abatch([told("I like tea.", datetime(2026, 3, 1, tzinfo=UTC), first_recorded_at=time_key(first))])
    assert texts((await answer(store, "What do I like?", as_of=datetime(2026, 2, 1, tzinfo=UTC))).kept) == [
        "I like tea."
    ]


async def test_what_is_known_later_does_not_crowd_out_what_was_known_then(tmp_path):
    async with FaissStore(tmp_path, embeddings=None, sync="normal") as store:
        late = datetime(2026, 3, 1, tzinfo=UTC)
        crowd = [told(f"My dog is called Rex {n}.", late, key=f"late {n}") for n in range(300)]
        await store.abatch([*crowd, told("My dog is old.", datetime(2026, 1, 1, tzinfo=UTC))])
        found = await answer(store, "What is my dog called?", as_of=datetime(2026, 2, 1, tzinfo=UTC))
    assert texts(found.kept) == ["My dog is old."]


async def test_a_receipt_says_where_a_memory_came_from_and_what_made_its_score(tmp_path):
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), sync="normal") as store:
        await store.abatch([told("I bought a car two weeks ago.", datetime(2026, 3, 7, tzinfo=UTC), key="car")])
        (receipt,) = (await answer(store, "Which car did I buy in February 2026?")).kept
    assert receipt["source"]["thread"] == "t"
    assert (receipt["key"], receipt["namespace"]) == ("car", list(LEAF))
    assert receipt["dense"] is not None
    assert receipt["lexical"] is not None
    assert set(receipt["boosts"]) == {"about_then"}
    assert receipt["why"].startswith("is about")


async def test_notes_are_there_whatever_is_asked_the_latest_first(store):
    leaf = ("acme", "notes", "shared")
    for key in ("a", "b", "c"):
        value = {"kind": "note", "text": key, "recorded_at": time_key(NOW)}
        await store.aput(leaf, key, value | dict(zip(("time_start", "time_end"), NO_TIME, strict=True)), index=False)
    notes = await pinned_notes(store, [leaf, ("acme", "notes", "user", "ana")], limit=3)
    assert [note["key"] for note in notes] == ["c", "b", "a"]
    assert {note["placed"] for note in notes} == {"pinned"}


async def test_only_the_leaves_named_are_read(store):
    await store.abatch(
        [
            told("My dog is called Rex.", NOW, leaf=("acme", "memory", "user", "ana")),
            told("My dog is called Max.", NOW, leaf=("acme_memory", "memory", "shared")),
        ]
    )
    question = understood("What is my dog called?", now=NOW, zone="UTC", as_of=NOW)
    assert await find(store, [LEAF], question, top_k=6) == []


GARBAGE = [
    None,
    "garbage",
    "999999999999999",
    7,
    -1.5,
    True,
    [],
    ["x"],
    [["a"]],
    [["a", "b"]],
    {},
    {"start": 3},
    "12\u0000",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
async def test_whatever_somebody_put_into_the_store_breaks_no_recall(tmp_path, garbage):
    fields = ("kind", "speaker", "recorded_at", "first_recorded_at", "valid_until", "time_start", "time_end", "source")
    fields += ("other_times", "mention", "granularity", "time_text", "zone", "topic")
    async with FaissStore(tmp_path, embeddings=None, sync="normal") as store:
        puts = [PutOp(LEAF, field, {"text": f"a dog {field}", field: garbage}, index=["text"]) for field in fields]
        await store.abatch(
            [*puts, PutOp(LEAF, "all", {"text": "a dog", **dict.fromkeys(fields, garbage)}, index=["text"])]
        )
        for question in ("Which dog?", "Which dog did I see last week?"):
            for as_of in (None, NOW):
                found = await answer(store, question, as_of=as_of, top_k=20)
                assert len(found.kept) + len(found.left_out) <= len(fields) + 1
                assert found.kept or found.left_out
