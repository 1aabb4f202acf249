"""What is kept for the prompt, what is not, and why."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgraph.memory.choose import nearest_first, place_in_time, with_notes
from agentgraph.memory.record import recalled_from, time_key

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)


def day(number, month=3):
    return datetime(2026, month, number, tzinfo=UTC)


NEW_YEAR = day(1, 1)


def memory(key, *, text=None, said=NEW_YEAR, event=None, score=0.5, kind="episode"):
    value = {"kind": kind, "text": text or f"said {key}", "recorded_at": time_key(said)}
    if event is not None:
        value |= {"time_start": time_key(event[0]), "time_end": time_key(event[1]), "time_text": f"time of {key}"}
    return recalled_from(value, namespace=("acme", "memory", "shared"), key=key) | {"score": score}


LAST_WEEK = {
    "start": day(2).isoformat(),
    "end": day(9).isoformat(),
    "granularity": "week",
    "mention": "last week",
    "text": "2 to 8 March 2026",
}
INSIDE = memory("inside", event=(day(3), day(4)))
TOLD = memory("told", said=day(5))
UNDATED = memory("undated")
OUTSIDE = memory("outside", event=(day(1, 2), day(2, 2)))
TO_COME = memory("to come", event=(day(1, 4), day(1, 5)), score=0.55)


def chosen(candidates, windows=(LAST_WEEK,), *, top_k=6, **options):
    candidates = sorted(candidates, key=lambda each: -each["score"])
    return place_in_time(candidates, windows, now=NOW, top_k=top_k, **options)


def keys(memories):
    return [each["key"] for each in memories]


def test_every_candidate_is_kept_or_left_out_with_a_place_and_a_reason():
    kept, left_out = chosen([INSIDE, TOLD, UNDATED, OUTSIDE, TO_COME])
    placed = {each["key"]: each["placed"] for each in [*kept, *left_out]}
    assert placed == {key: key for key in ("inside", "told", "undated", "outside")} | {"to come": "outside"}
    assert all(each["why"] for each in [*kept, *left_out])


@pytest.mark.parametrize("found", [UNDATED, OUTSIDE])
def test_what_is_not_of_the_time_must_be_relevant(found):
    assert keys(chosen([INSIDE, found])[0]) == ["inside", found["key"]]
    assert keys(chosen([INSIDE, found | {"score": 0.2}])[0]) == ["inside"]


@pytest.mark.parametrize("found", [INSIDE, TOLD])
def test_what_is_of_the_time_is_kept_whatever_its_relevance(found):
    assert keys(chosen([found | {"score": 0.01}])[0]) == [found["key"]]


def test_an_empty_window_keeps_the_two_nearest_and_marks_them():
    far, near, nearer = (
        memory(f"{number} February", event=(day(number, 2), day(number + 1, 2)), score=0.05) for number in (1, 10, 20)
    )
    kept, left_out = chosen([far, near, nearer])
    assert {each["key"]: each["placed"] for each in kept} == {"20 February": "outside", "10 February": "outside"}
    assert keys(left_out) == ["1 February"]


def test_the_nearest_are_kept_even_where_others_fill_the_room():
    kept, _ = chosen([*(memory(f"u{n}", score=0.6) for n in range(6)), OUTSIDE | {"score": 0.01}], top_k=3)
    assert "outside" in keys(kept)
    assert len(kept) == 3


def test_a_question_about_the_past_is_given_the_past():
    kept, _ = chosen([TO_COME, OUTSIDE])
    assert keys(kept) == ["outside"]
    tomorrow = LAST_WEEK | {"start": day(10).isoformat(), "end": day(11).isoformat(), "text": "10 March"}
    kept, _ = chosen([TO_COME, OUTSIDE], [tomorrow])
    assert keys(kept) == ["to come"]


def test_without_a_window_relevance_decides_and_the_far_off_stay_out():
    kept, left_out = chosen([memory("a", score=0.6), memory("b", score=0.4), memory("c", score=0.1)], ())
    assert keys(kept) == ["a", "b"]
    assert [each["placed"] for each in kept] == ["any", "any"]
    assert "far from the best" in left_out[0]["why"]


def test_what_is_said_twice_is_kept_once_as_last_told():
    first = memory("first", text="I prefer aisle seats.", said=NEW_YEAR, score=0.6)
    again = memory("again", text="i prefer AISLE seats", said=day(1, 2), score=0.5)
    ((kept,), (left_out,)) = chosen([first, again], ())
    assert (kept["key"], kept["same"]) == ("again", ["first"])
    assert (left_out["key"], left_out["why"]) == ("first", "said again later")


def test_the_same_words_about_another_time_are_another_memory():
    one, other = (memory(f"{n}", text="I went running.", event=(day(n), day(n + 1))) for n in (3, 5))
    assert len(chosen([one, other])[0]) == 2


def test_memories_keep_within_the_budget_and_the_best_is_kept_whatever_its_length():
    long = memory("long", text="word " * 400, score=0.6)
    short = memory("short", text="a short one", score=0.5)
    kept, left_out = chosen([long, short], (), max_tokens=100)
    assert keys(kept) == ["long"]
    assert "does not fit" in left_out[0]["why"]
    assert keys(chosen([long, short], (), max_tokens=1_000)[0]) == ["long", "short"]
    chinese = memory("chinese", text="今天天气很好" * 20, score=0.4)  # as many tokens as characters
    assert keys(chosen([short, chinese], (), max_tokens=100)[0]) == ["short"]


def test_notes_fill_what_is_left_of_working_memory():
    notes = [memory(f"n{number}", kind="note") for number in range(5)]
    assert keys(with_notes([notes[1], UNDATED], notes, most=4)) == ["n1", "undated", "n0", "n2"]
    assert keys(with_notes([UNDATED, TOLD], notes, most=1)) == ["undated", "told"]


def test_the_nearest_in_time_come_first():
    assert keys(nearest_first([TO_COME, OUTSIDE, INSIDE], [LAST_WEEK])) == ["inside", "to come", "outside"]


moments = st.integers(0, 60).map(lambda days: datetime.fromtimestamp(1_767_225_600 + days * 86_400, UTC))
events = st.none() | st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1])
memories = st.lists(
    st.builds(
        lambda number, said, event, score: memory(str(number), said=said, event=event, score=score),
        st.integers(0, 10_000),
        moments,
        events,
        st.floats(0, 1),
    ),
    unique_by=lambda each: each["key"],
    max_size=12,
)


@given(memories, st.integers(1, 8), st.sampled_from([(), (LAST_WEEK,)]))
def test_nothing_is_lost_between_kept_and_left_out(found, top_k, windows):
    kept, left_out = chosen(found, windows, top_k=top_k)
    assert len(kept) <= top_k
    assert sorted(keys([*kept, *left_out])) == sorted(keys(found))
    assert not found or not windows or kept or not any(each["placed"] == "inside" for each in left_out)
