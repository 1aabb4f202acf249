"""A message is cut, verbatim, into passages that speak of one time."""

import time
from datetime import UTC, datetime

import pytest

from agentgraph.memory.passages import passages_of, sentences_of

SAID_AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


def passages(text: str) -> list[tuple[str, str | None]]:
    found = passages_of(text, said_at=SAID_AT, zone="UTC")
    return [(passage.text, None if passage.window is None else passage.window.mention) for passage in found]


def test_sentences_about_one_time_are_one_passage() -> None:
    assert passages("I bought a car last week. It is red. Last week I also met Dr. Smith, who is kind.") == [
        ("I bought a car last week. It is red. Last week I also met Dr. Smith, who is kind.", "last week")
    ]


def test_another_time_begins_another_passage() -> None:
    assert passages("I like tea. I bought a car last week. It is red. Next month I fly to Japan.") == [
        ("I like tea.", None),
        ("I bought a car last week. It is red.", "last week"),
        ("Next month I fly to Japan.", "Next month"),
    ]


def test_a_passage_has_a_bounded_length() -> None:
    texts = [text for text, _ in passages(" ".join(f"Thing number {n} is as it is." for n in range(100)))]
    assert all(len(text) <= 500 for text in texts)
    assert len(texts) < 10


def test_questions_are_left_out_and_a_message_of_questions_leaves_nothing() -> None:
    assert passages("I like tea a lot. Do you? It is green.") == [("I like tea a lot. It is green.", None)]
    assert passages("How are you? What happened last week?") == []


@pytest.mark.parametrize(
    ("question", "stated"),
    [
        ("I'm based in Bath, so can you recommend a school?", "I'm based in Bath"),
        (
            "Hmm, I moved when I was ten, which is long ago - how do I get a passport?",
            "Hmm, I moved when I was ten, which is long ago",
        ),
        ("My flight leaves on 12 May at nine, is there a train?", "My flight leaves on 12 May at nine"),
        ("Vivo en Madrid desde 2019, ¿puedes ayudarme?", "Vivo en Madrid desde 2019"),
        ("I moved to Bath in May, but I'm just wondering if I should stay?", "I moved to Bath in May"),
        ("I was wondering, can you sing?", None),
        ("Hmm, do I need to check my files, and how do I do that?", None),
        ("Can you tell me, what did I buy?", None),
        ("I like tea?", None),
    ],
)
def test_what_is_said_before_it_is_asked_is_kept(question: str, stated: str | None) -> None:
    assert [text for text, _ in passages(question)] == ([] if stated is None else [stated])


def test_one_word_carries_nothing_and_a_short_sentence_without_spaces_does() -> None:
    assert passages("Yes.\nOkay!\n42") == []
    assert passages("我喜欢茶。昨天我去了北京。") == [("我喜欢茶。", None), ("昨天我去了北京。", "昨天")]


def test_lines_stay_lines() -> None:
    assert passages("To buy:\n- milk and honey\n- two eggs") == [("To buy:\n- milk and honey\n- two eggs", None)]


def test_pasted_code_and_logs_are_one_passage_each_and_have_no_time() -> None:
    log = "\n".join(f"2026-03-01 10:{n:02d}:00 INFO did a thing. Then another. And a third." for n in range(60))
    code = "```python\n" + "".join(f"x = {n}. \n" for n in range(300)) + "```"
    said = passages(f"This is my log:\n{log}\nAnd my code, from yesterday:\n{code}\nIt is slow.")
    assert [(text.partition("\n")[0], mention) for text, mention in said] == [
        ("This is my log:", None),
        ("2026-03-01 10:00:00 INFO did a thing. Then another. And a third.", None),
        ("And my code, from yesterday:", "yesterday"),
        ("```python", None),
        ("It is slow.", None),
    ]
    assert all(len(text) <= 500 for text, _ in said)


def test_a_message_leaves_a_bounded_number_of_passages_in_linear_time() -> None:
    started = time.perf_counter()
    assert len(passages("I went there on 3 May. I went there on 4 May. " * 2_000 + "``` " * 5_000)) == 64
    assert time.perf_counter() - started < 5


def test_an_abbreviation_ends_no_sentence() -> None:
    assert sentences_of("I met Dr. Smith. We spoke of e.g. Rome.") == ["I met Dr. Smith.", "We spoke of e.g. Rome."]
