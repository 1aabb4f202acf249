"""Boosts for who said a thing, and when."""

from datetime import UTC, datetime

import pytest

from agentgraph.memory.question import understood
from agentgraph.memory.record import recalled_from, time_key
from agentgraph.memory.relevance import boosted

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)


def day(number, month=3):
    return datetime(2026, month, number, tzinfo=UTC)


NEW_YEAR = day(1, 1)


def memory(*, speaker="user", said=NEW_YEAR, event=None, others=()):
    value = {"text": "x", "speaker": speaker, "recorded_at": time_key(said)}
    if event is not None:
        value |= {"time_start": time_key(event[0]), "time_end": time_key(event[1]), "time_text": "then"}
        value["other_times"] = [(time_key(start), time_key(end)) for start, end in others]
    return recalled_from(value, namespace=("acme", "memory", "shared"), key="k") | {"score": 0.5}


def boosts(found, question):
    return boosted(found, understood(question, now=NOW, zone="UTC"))["boosts"]


@pytest.mark.parametrize(
    ("found", "question", "expected"),
    [
        (memory(), "What about Ana?", set()),
        (memory(speaker="Ana Maria"), "What did Ana's sister say?", {"named"}),
        (memory(speaker="Ana"), "What did Bob say?", set()),
        (memory(speaker="user"), "Which user is it?", set()),  # a role is no name
        (memory(speaker="assistant"), "Where is my car?", {"assistant"}),
        (memory(said=day(4)), "What happened last week?", {"told_then"}),
        (memory(said=day(9)), "What happened last week?", {"told_then"}),  # told on the day after
        (memory(said=day(11)), "What happened last week?", set()),
        (memory(event=(day(3), day(4))), "What happened last week?", {"about_then"}),
        (memory(event=(day(1), day(2)), others=[(day(3), day(4))]), "What happened last week?", {"about_then"}),
        (memory(said=day(3), event=(day(1, 2), day(2, 2))), "What happened last week?", {"told_then"}),
        (memory(said=day(4)), "What happened?", set()),
    ],
)
def test_a_memory_is_boosted_for_who_said_it_and_when(found, question, expected):
    assert set(boosts(found, question)) == expected


def test_the_assistants_words_count_less_unless_they_are_asked_for():
    own = memory(speaker="assistant")
    assert boosts(own, "Where is my car?")["assistant"] < boosts(own, "What did you recommend?")["assistant"] < 0


def test_a_score_stays_between_0_and_1():
    high = memory(speaker="Ana", said=day(4), event=(day(3), day(4))) | {"score": 0.99}
    low = memory(speaker="assistant") | {"score": 0.01}
    question = understood("What did Ana do last week?", now=NOW, zone="UTC")
    assert boosted(high, question)["score"] == 1.0
    assert boosted(low, question)["score"] == 0.0
