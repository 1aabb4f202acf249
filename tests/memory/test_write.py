"""What was said is kept verbatim, in passages that speak of one time, and once."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from agentgraph.memory.record import NO_TIME, time_key
from agentgraph.memory.tombstones import entomb
from agentgraph.memory.write import episodes_of, sentences_of, write_episodes

SHARED = ("acme", "memory", "shared")
LEDGER = ("acme", "memory_ledger", "shared")


def passages(owed: Any, text: str) -> list[tuple[str, str | None]]:
    return [(value["text"], value.get("mention")) for _, value in episodes_of(owed(text))]


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def kept(store: InMemoryStore, leaf: tuple[str, ...] = SHARED) -> dict[str, dict[str, Any]]:
    return {item.key: item.value for item in store.search(leaf, limit=1_000)}


def test_sentences_about_one_time_are_one_episode(owed) -> None:
    assert passages(owed, "I bought a car last week. It is red. Last week I also met Dr. Smith, who is kind.") == [
        ("I bought a car last week. It is red. Last week I also met Dr. Smith, who is kind.", "last week")
    ]


def test_another_time_begins_another_episode(owed) -> None:
    assert passages(owed, "I like tea. I bought a car last week. It is red. Next month I fly to Japan.") == [
        ("I like tea.", None),
        ("I bought a car last week. It is red.", "last week"),
        ("Next month I fly to Japan.", "Next month"),
    ]


def test_a_passage_has_a_bounded_length(owed) -> None:
    texts = [text for text, _ in passages(owed, " ".join(f"Thing number {n} is as it is." for n in range(100)))]
    assert all(len(text) <= 500 for text in texts)
    assert len(texts) < 10


def test_questions_are_left_out_and_a_message_of_questions_leaves_nothing(owed) -> None:
    assert passages(owed, "I like tea a lot. Do you? It is green.") == [("I like tea a lot. It is green.", None)]
    assert passages(owed, "How are you? What happened last week?") == []


def test_one_word_carries_nothing_and_a_short_sentence_without_spaces_does(owed) -> None:
    assert passages(owed, "Yes.\nOkay!\n42") == []
    assert passages(owed, "我喜欢茶。昨天我去了北京。") == [("我喜欢茶。", None), ("昨天我去了北京。", "昨天")]


def test_lines_stay_lines(owed) -> None:
    assert passages(owed, "To buy:\n- milk and honey\n- two eggs") == [("To buy:\n- milk and honey\n- two eggs", None)]


def test_pasted_code_and_logs_are_one_episode_each_and_have_no_time(owed) -> None:
    log = "\n".join(f"2026-03-01 10:{n:02d}:00 INFO did a thing. Then another. And a third." for n in range(60))
    code = "```python\n" + "".join(f"x = {n}. \n" for n in range(300)) + "```"
    said = passages(owed, f"This is my log:\n{log}\nAnd my code, from yesterday:\n{code}\nIt is slow.")
    assert [(text.partition("\n")[0], mention) for text, mention in said] == [
        ("This is my log:", None),
        ("2026-03-01 10:00:00 INFO did a thing. Then another. And a third.", None),
        ("And my code, from yesterday:", "yesterday"),
        ("```python", None),
        ("It is slow.", None),
    ]
    assert all(len(text) <= 500 for text, _ in said)


def test_a_message_leaves_a_bounded_number_of_episodes_in_linear_time(owed) -> None:
    started = time.perf_counter()
    episodes = list(episodes_of(owed("I went there on 3 May. I went there on 4 May. " * 2_000 + "``` " * 5_000)))
    assert len(episodes) == 64
    assert time.perf_counter() - started < 5


def test_an_abbreviation_ends_no_sentence() -> None:
    assert sentences_of("I met Dr. Smith. We spoke of e.g. Rome.") == ["I met Dr. Smith.", "We spoke of e.g. Rome."]


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
