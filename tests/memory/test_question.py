"""What a question asks besides its words."""

from datetime import UTC, datetime

import pytest

from agentgraph.memory.question import understood

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)


def test_a_question_names_times_as_its_speaker_means_them():
    asked = understood("What did Ana do last week?", now=NOW, zone="UTC")
    (window,) = asked.windows
    assert (window.start, window.end) == (datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC))
    assert "ana" in asked.names


def test_without_temporal_awareness_words_of_time_are_words():
    assert understood("last week?", now=NOW, zone="UTC", temporal_awareness=False).windows == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What restaurant did you recommend?", True),
        ("Can you remind me of our previous conversation about jazz?", True),
        ("What did I tell Ana?", False),
        ("Where do you live?", False),
        ("Who gave Ana the book?", False),
    ],
)
def test_a_question_may_ask_for_what_the_assistant_said(text, expected):
    assert understood(text, now=NOW, zone="UTC").asks_of_assistant is expected
