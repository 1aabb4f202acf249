"""Words as search sees them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgraph.stores.lexical import count_terms, query_terms, stem, words
from agentgraph.stores.postings import Postings


# From the vocabulary Porter published with his algorithm.
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre"),
        ("plastered", "plaster"), ("bled", "bled"), ("motoring", "motor"), ("sing", "sing"), ("conflated", "conflat"),
        ("hopping", "hop"), ("falling", "fall"), ("hissing", "hiss"), ("failing", "fail"), ("filing", "file"),
        ("happy", "happi"), ("sky", "sky"), ("relational", "relat"), ("conditional", "condit"), ("rational", "ration"),
        ("vietnamization", "vietnam"), ("predication", "predic"), ("operator", "oper"), ("feudalism", "feudal"),
        ("hopefulness", "hope"), ("formality", "formal"), ("sensibility", "sensibl"), ("triplicate", "triplic"),
        ("electrical", "electr"), ("goodness", "good"), ("allowance", "allow"), ("gyroscopic", "gyroscop"),
        ("adjustment", "adjust"), ("adoption", "adopt"), ("effective", "effect"), ("probate", "probat"),
        ("rate", "rate"), ("cease", "ceas"), ("controlling", "control"), ("roll", "roll"), ("generalizations", "gener"),
    ],
)  # fmt: skip
def test_words_are_stemmed_as_porter_does(word, expected):
    assert stem(word) == expected


def test_case_accents_and_punctuation_do_not_matter():
    assert words("The CAFÉ, (naïve) snake_case!") == words("the cafe naive snake case")


@given(st.text())
def test_any_text_has_words(text):
    found = words(text)
    assert len(count_terms(text)) // 5 <= len(found)
    stored = np.frombuffer(count_terms(text)[: len(count_terms(text)) // 5 * 4], "<u4")
    assert set(query_terms(text).tolist()) <= set(stored.tolist())
    assert bool(len(query_terms(text))) == bool(found)


@pytest.mark.parametrize(
    ("question", "telling"),
    [
        ("When did Ana go to the dentist?", "ana go dentist"),
        ("¿Cuándo fue Ana al dentista?", "ana dentista"),
        ("Wann war Ana beim Zahnarzt?", "ana beim zahnarzt"),
        ("die hard", "die hard"),  # German's article is an English verb
        ("Who is it?", "who is it"),
    ],
)
def test_the_words_that_only_make_a_question_do_not_search(question, telling):
    asked = {int(term) for word in telling.split() for term in query_terms(word)}
    assert set(query_terms(question).tolist()) == asked


@given(st.lists(st.lists(st.sampled_from(["a1", "b2", "c3", "d4"]), max_size=6), min_size=1, max_size=40))
def test_postings_equal_a_count_by_hand(texts):
    postings = Postings()
    for start in range(0, len(texts), 7):
        postings.add([count_terms(" ".join(text)) for text in texts[start : start + 7]])
    for word in ("a1", "b2", "zz9"):
        expected = {row: text.count(word) for row, text in enumerate(texts) if word in text}
        rows, counts = postings.find(query_terms(word)[0])
        assert dict(zip(rows.tolist(), counts.tolist(), strict=True)) == expected
    assert postings.lengths.tolist() == [len(text) for text in texts]


def test_postings_stay_right_when_the_tail_is_merged():
    postings = Postings()
    for row in range(3_000):
        postings.add([count_terms(f"every row{row % 10}")])
    rows, counts = postings.find(query_terms("every")[0])
    assert rows.tolist() == list(range(3_000))
    assert set(counts.tolist()) == {1}
    assert postings.find(query_terms("row3")[0]).rows.tolist() == list(range(3, 3_000, 10))
