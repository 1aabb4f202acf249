"""Two texts are held to say the same only where there is no doubt."""

import pytest

from agentgraph.memory.words import most_alike, says_the_same, telling_words


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("My sister Ana got married.", "Ana, my sister, got married."),
        ("I like tea.", "I like tea a lot."),
        ("I'm vegetarian.", "I am a vegetarian."),
        ("I drink coffee every morning.", "Every morning I drink coffee."),
    ],
)
def test_the_same_words_in_another_order_say_the_same(text: str, other: str) -> None:
    assert says_the_same(text, other)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("I like tea.", "I like coffee."),
        ("I like tea.", "I don't like tea."),
        ("I can swim.", "I can't swim."),
        ("I never drink alcohol.", "I drink alcohol."),
        ("I used to smoke.", "I smoke."),
        ("I moved to Rome.", "I moved from Rome."),
        ("Anna lent Ben 50 euros.", "Ben lent Anna 50 euros."),
        ("I start work at 9.", "I start work at 8."),
        ("I work as a nurse.", "I worked as a nurse."),
        ("我喜欢茶。", "我不喜欢茶。"),
        ("?", "!"),
    ],
)
def test_what_differs_in_one_telling_word_does_not(text: str, other: str) -> None:
    assert not says_the_same(text, other)


def test_telling_words_are_stems_without_what_changes_nothing() -> None:
    assert telling_words("I have really been living in Rome") == {"been", "live", "in", "rome"}


def test_the_most_alike_shares_the_most_telling_words() -> None:
    said = ["I like tea.", "I bought a car last week.", "The car is red."]
    assert most_alike("I bought a car.", said) == said[1]
    assert most_alike("Nothing of it.", said) == said[0]
