"""Whatever the conversation and the strategy, what leaves a window leaves in whole turns, and the rest fits."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately

from agentgraph.threads.history import archive_gap, departure, whole_history
from agentgraph.threads.truncate import Strategy, leaving, stretches, tokens_in

STRATEGIES: tuple[Strategy, ...] = ("summarize", "sliding", "drop_oldest", "drop_middle")
SIZES = st.integers(0, 400)


def turn(name: str, question: int, answers: Sequence[int], *, late: int = 0) -> list[BaseMessage]:
    """A question, tools called in a row, and an answer; `late` of the results come after a further question."""
    ids = [f"{name}-c{i}" for i in range(len(answers))]
    calls: list[Any] = [{"id": call, "name": "look", "args": {"at": call}} for call in ids]
    results = [ToolMessage("r" * size, tool_call_id=call) for call, size in zip(ids, answers, strict=True)]
    early, tardy = results[: len(results) - late], results[len(results) - late :]
    messages: list[BaseMessage] = [HumanMessage("q" * question)]
    if calls:
        messages += [AIMessage("", tool_calls=calls), *early]
    if tardy:
        messages += [HumanMessage("well?"), *tardy]
    messages.append(AIMessage("a" * question))
    return [message.model_copy(update={"id": f"{name}-{i}"}) for i, message in enumerate(messages)]


@st.composite
def conversations(draw: st.DrawFn) -> list[list[BaseMessage]]:
    """Turns, each with what belongs to it."""
    turns = []
    for n in range(draw(st.integers(1, 12))):
        answers = draw(st.lists(SIZES, max_size=3))
        turns.append(turn(f"t{n}", draw(SIZES), answers, late=draw(st.integers(0, len(answers)))))
    return turns


def plain(number: int, size: int = 100) -> list[BaseMessage]:
    return [message for n in range(number) for message in turn(f"t{n}", size, [])]


def kept(messages: Sequence[BaseMessage], gone: range) -> list[BaseMessage]:
    return [*messages[: gone.start], *messages[gone.stop :]]


def fits(messages: Sequence[BaseMessage], max_tokens: int, max_messages: int | None) -> bool:
    return tokens_in(messages) <= max_tokens and len(messages) <= (max_messages or len(messages))


@given(turns=conversations(), max_tokens=st.integers(0, 1_500), max_messages=st.none() | st.integers(1, 40))
@settings(max_examples=400, deadline=None)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_rest_fits_in_order_with_pairs_and_the_newest_turn(
    strategy: Strategy, turns: list[list[BaseMessage]], max_tokens: int, max_messages: int | None
) -> None:
    messages = [message for turn in turns for message in turn]
    gone = leaving(messages, strategy, max_tokens=max_tokens, max_messages=max_messages)
    rest = kept(messages, gone)
    assert set(gone) <= set(range(len(messages)))  # a stretch: what is kept stays in order, and nothing is lost
    assert rest[-len(turns[-1]) :] == turns[-1]
    assert fits(rest, max_tokens, max_messages) or rest == turns[-1]
    assert not (gone and fits(messages, max_tokens, max_messages))
    called = {call["id"] for m in rest if isinstance(m, AIMessage) for call in m.tool_calls}
    assert called == {m.tool_call_id for m in rest if isinstance(m, ToolMessage)}


@given(
    steps=st.lists(
        st.tuples(SIZES, st.lists(SIZES, max_size=2), st.sampled_from(STRATEGIES), st.integers(50, 800)),
        min_size=1,
        max_size=25,
    )
)
@settings(max_examples=300, deadline=None)
def test_the_whole_history_is_what_was_said_whatever_the_strategies_in_turn(
    steps: list[tuple[int, list[int], Strategy, int]],
) -> None:
    said: list[BaseMessage] = []
    live: list[BaseMessage] = []
    rows: dict[str | None, tuple[str | None, BaseMessage]] = {}
    tail = after = None
    for n, (question, answers, strategy, limit) in enumerate(steps):
        new = turn(f"t{n}", question, answers)
        said, live = [*said, *new], [*live, *new]
        gone = leaving(live, strategy, max_tokens=limit, gap=archive_gap(live, tail, after))
        if gone:
            left = departure(live, gone, tail=tail, after=after)
            rows |= {row["message"].id: (row["previous"], row["message"]) for row in left.archived}
            live, tail, after = kept(live, gone), left.tail, left.after
        archive: list[BaseMessage] = []
        previous, live_ids = tail, {message.id for message in live}
        while previous is not None and previous not in live_ids:
            previous, message = rows[previous]
            archive.insert(0, message)
        assert previous == after
        assert whole_history(live, archive, after) == said


def test_sliding_cuts_in_big_steps_so_that_prefixes_last() -> None:
    limit = 20 * tokens_in(plain(1))
    starts = [len(leaving(plain(n), "sliding", max_tokens=limit)) for n in range(1, 200)]
    assert starts == sorted(starts)
    assert len(set(starts)) < 200 // 8  # one cut in ten turns or so


def test_drop_oldest_drops_no_more_than_it_must() -> None:
    messages = plain(10)
    gone = leaving(messages, "drop_oldest", max_tokens=tokens_in(messages) - 1)
    assert gone == range(2)


def test_drop_middle_keeps_the_first_turn_and_the_newest() -> None:
    messages = plain(10)
    gone = leaving(messages, "drop_middle", max_tokens=tokens_in(messages) - 1)
    assert gone.start == 2
    assert 2 < gone.stop < 20


def test_a_first_turn_that_has_left_is_not_looked_for() -> None:
    messages = plain(10)
    assert leaving(messages, "drop_middle", max_tokens=tokens_in(messages) - 1, gap=0).start == 0


def test_a_newest_turn_that_is_too_long_stays() -> None:
    for strategy in STRATEGIES:
        assert leaving(plain(1, 10_000), strategy, max_tokens=10) == range(0)
        assert len(leaving(plain(3, 10_000), strategy, max_tokens=10)) == 4


def test_messages_are_counted_too() -> None:
    messages = plain(10)
    assert leaving(messages, "drop_oldest", max_tokens=10_000, max_messages=20) == range(0)
    assert leaving(messages, "drop_oldest", max_tokens=10_000, max_messages=15) == range(6)
    assert leaving(messages, "sliding", max_tokens=10_000, max_messages=19) == range(12)


def test_an_empty_window_loses_nothing() -> None:
    for strategy in STRATEGIES:
        assert leaving([], strategy, max_tokens=0) == range(0)


@given(turns=conversations(), max_tokens=st.integers(1, 800))
@settings(max_examples=200, deadline=None)
def test_stretches_are_whole_turns_that_fit(turns: list[list[BaseMessage]], max_tokens: int) -> None:
    messages = [message for turn in turns for message in turn]
    groups = stretches(messages, max_tokens=max_tokens)
    assert [i for group in groups for i in group] == list(range(len(messages)))
    for group in groups:
        piece = messages[group.start : group.stop]
        assert tokens_in(piece) <= max_tokens or len(stretches(piece, max_tokens=0)) == 1


def test_tokens_are_counted_as_langchain_does_but_for_scripts_it_takes_for_english() -> None:
    for message in [
        *turn("t", 99, [5, 0]),
        HumanMessage("x", name="ann"),
        HumanMessage([{"type": "text", "text": "x"}]),
    ]:
        assert tokens_in([message]) == count_tokens_approximately([message])
    assert tokens_in([HumanMessage("河" * 400)]) > 2 * count_tokens_approximately([HumanMessage("河" * 400)])
    assert tokens_in([ToolMessage("河" * 400, tool_call_id="c")]) > 250
    assert tokens_in([HumanMessage("\ud800")]) > 0
