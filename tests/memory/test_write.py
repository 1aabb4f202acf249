"""What was said is kept once, with every time it was said."""

from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from agentgraph.memory.record import NO_TIME, time_key
from agentgraph.memory.tombstones import entomb
from agentgraph.memory.write import write_episodes
from agentgraph.testing import HashEmbeddings

SHARED = ("acme", "memory", "shared")
LEDGER = ("acme", "memory_ledger", "shared")


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def kept(store: InMemoryStore, leaf: tuple[str, ...] = SHARED) -> dict[str, dict[str, Any]]:
    return {item.key: item.value for item in store.search(leaf, limit=1_000)}


async def test_replaying_a_message_writes_nothing(owed, store) -> None:
    for _ in range(10):
        await write_episodes(store, [owed("I like tea a lot. I bought a car last week."), owed("I like tea a lot.")])
    assert len(kept(store)) == 2
    assert len(kept(store, LEDGER)) == 2


async def test_saying_it_again_on_another_day_keeps_one_memory_with_both_dates(owed, store) -> None:
    first, second = datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 9, 12, tzinfo=UTC)
    await write_episodes(store, [owed("I like tea a lot.", said_at=first)])
    await write_episodes(store, [owed("I like  TEA a lot.", said_at=second)])
    (value,) = kept(store).values()
    assert (value["text"], value["source"]["message_id"]) == ("I like tea a lot.", "m1")
    assert (value["first_recorded_at"], value["recorded_at"]) == (time_key(first), time_key(second))


async def test_the_same_words_about_another_time_are_another_memory(owed, store) -> None:
    await write_episodes(store, [owed("I was ill last week.")])
    await write_episodes(store, [owed("I was ill last week.", said_at="2026-03-09T12:00:00+00:00")])
    assert len({value["time_start"] for value in kept(store).values()} - {NO_TIME[0]}) == 2


async def test_what_was_forgotten_is_not_learnt_again(owed, store) -> None:
    await entomb(store, SHARED, ["I like tea a lot."], ["m2"])
    await write_episodes(store, [owed("I like tea a lot."), owed("I like jam a lot."), owed("I like rye a lot.")])
    assert [value["text"] for value in kept(store).values()] == ["I like rye a lot."]


async def test_only_messages_that_say_something_are_left_to_the_model(owed, store) -> None:
    messages = [owed("How are you?"), owed("I like tea a lot."), owed("i like tea A LOT."), owed("I like jam a lot.")]
    assert await write_episodes(store, messages, wants_facts=True) == [messages[1], messages[3]]
    assert await write_episodes(store, messages, wants_facts=False) == []


async def test_the_same_words_from_two_scopes_are_written_at_once_to_any_store(owed):
    store = InMemoryStore(index={"embed": HashEmbeddings(), "dims": 1024, "fields": ["text"]})
    both = [owed("I prefer aisle seats.", namespace=["acme", "memory", "user", user]) for user in ("ana", "ben")]
    await write_episodes(store, both)
    for user in ("ana", "ben"):
        (kept,) = await store.asearch(("acme", "memory", "user", user))
        assert kept.value["text"] == "I prefer aisle seats."
