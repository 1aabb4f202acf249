"""Whatever a model writes can be kept, and the conversation goes on."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.memory import InMemoryStore

from agentgraph.events import TextDelta
from agentgraph.graph.storable import storable, storable_text
from agentgraph.plain import DEEPEST, ReadablePieces, readable
from agentgraph.threads.repair import repaired


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": 1}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


KEPT: dict[str, Any] = {
    "the greatest integer": 2**64 - 1,
    "the smallest integer": -(2**63),
    "a megabyte": "x" * 1_000_000,
    "what is as deep as may be": nested(DEEPEST - 1),
}
MENDED: dict[str, tuple[Any, Any]] = {
    "NUL": ("a\0b", "a\ufffdb"),
    "half a character": ("a\ud800b", "a\ufffdb"),
    "a character in halves": ("\ud83d\ude00", "😀"),
    "a key with NUL": ({"\0": 1}, {"\ufffd": 1}),
}
REFUSED: dict[str, Any] = {
    "an integer beyond 64 bits": 2**70,
    "a negative one": -(2**63) - 1,
    "one of ten thousand digits": 10**10_000,
    "not a number": math.nan,
    "infinity": -math.inf,
    "what is too deep": nested(DEEPEST),
    "what is far too deep": nested(5_000),
    "keys that become one": dict.fromkeys(["\ud800", "\ud801"]),
    "a key that is no text": {1: 2},
    "an object": object(),
}


def calling(value: object) -> AIMessage:
    call = {"id": "c1", "name": "note", "args": {"value": value}, "type": "tool_call"}
    return AIMessage("I will.", id="m").model_copy(update={"tool_calls": [call]})


def round_tripped(message: BaseMessage) -> Any:
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return serde.loads_typed(serde.dumps_typed(message))


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_what_can_be_kept_is_kept_as_it_is(value: object) -> None:
    answer = calling(value)
    assert storable(answer) == answer
    assert round_tripped(answer) == answer


@pytest.mark.parametrize(("written", "kept"), MENDED.values(), ids=MENDED)
def test_unreadable_text_is_mended(written: object, kept: object) -> None:
    answer = storable(calling(written))
    assert answer.tool_calls[0]["args"] == {"value": kept}
    assert round_tripped(answer) == answer


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_a_call_that_cannot_be_kept_becomes_an_invalid_one(value: object) -> None:
    answer = storable(calling(value))
    assert answer.text == "I will."
    assert answer.tool_calls == []
    (broken,) = answer.invalid_tool_calls
    assert (broken["id"], broken["name"]) == ("c1", "note")
    assert str(broken["error"]).startswith("the arguments cannot be kept: ")
    assert round_tripped(answer) == answer
    assert storable(answer) == answer
    told = repaired([HumanMessage("go"), answer])[-1]
    assert "the arguments cannot be kept" in told.text


def test_a_number_too_great_is_kept_as_text() -> None:
    (broken,) = storable(calling(2**70)).invalid_tool_calls
    assert broken["args"] == f'{{"value": {2**70}}}'


def test_the_other_calls_of_a_message_are_kept() -> None:
    good = {"id": "c0", "name": "note", "args": {"value": 1}, "type": "tool_call"}
    both = calling(2**70).model_copy(update={"tool_calls": [good, *calling(2**70).tool_calls]})
    answer = storable(both)
    assert [call["id"] for call in answer.tool_calls] == ["c0"]
    assert [call["id"] for call in answer.invalid_tool_calls] == ["c1"]


def test_what_else_cannot_be_kept_gives_way_to_a_word_on_it() -> None:
    answer = storable(
        AIMessage(
            ["a\0", {"type": "tool_use", "id": "c", "name": "x", "input": {"n": 2**70, "m": 1}}],
            response_metadata={"made_by": object(), "score": math.nan, "raw": b"\0"},
        )
    )
    assert answer.content == [
        "a\ufffd",
        {"type": "tool_use", "id": "c", "name": "x", "input": {"n": "[an integer beyond 64 bits]", "m": 1}},
    ]
    assert answer.response_metadata["raw"] == b"\0"
    assert round_tripped(answer) == answer


def test_a_sound_answer_is_the_same_object() -> None:
    answer = AIMessage("ok", usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2})
    assert storable(answer) == answer


def test_a_tools_output_is_mended_too() -> None:
    assert storable_text("a\0\ud83d\ude00\ud83d") == "a\ufffd😀\ufffd"


@given(st.lists(st.text(st.sampled_from("a😀\0\ud83d\ude00é"), max_size=3)))
def test_pieces_of_a_text_are_as_readable_as_the_whole(pieces: list[str]) -> None:
    reading = ReadablePieces()
    told = [*(reading.add(piece) for piece in pieces), reading.rest()]
    assert "".join(told) == readable("".join(pieces))
    for piece in told:
        piece.encode()


async def test_what_a_model_streams_can_be_told_whatever_it_writes(open_app: Callable[..., Any]) -> None:
    app, _ = await open_app(["One \ud800 two \ud83d"])
    told = [event async for event in app.stream("Hi.")]
    text = "".join(event.text for event in told if isinstance(event, TextDelta))
    assert text == told[-1].text == "One \ufffd two \ufffd"


_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=3), st.integers(min_value=2**63),
    st.text(st.characters(exclude_categories=()), max_size=5), st.sampled_from(["\ud800", "\ude00", "\0"]),
)  # fmt: skip
_keys = st.text(st.characters(exclude_categories=()), max_size=2) | st.sampled_from(["\ud800", "\ud801"])
_trees = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3), max_leaves=8
)


@settings(max_examples=400, deadline=None)
@given(_trees, _trees, _leaves)
def test_anything_can_be_kept(arguments: object, told: object, text: object) -> None:
    answer = storable(calling(arguments).model_copy(update={"content": str(text), "response_metadata": {"told": told}}))
    assert round_tripped(answer) == answer
    assert storable(answer) == answer
    assert len(answer.tool_calls) + len(answer.invalid_tool_calls) == 1


@tool
def note(value: Any) -> str:
    """Note a value."""
    return f"noted\0 {len(str(value))}"


HOSTILE = {
    "huge": 2**70,
    "nan": math.nan,
    "NUL": "\0",
    "surrogate": "\ud800",
    "deep": nested(500),
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_no_turn_is_lost_whatever_the_store(open_app: Callable[..., Any], stream: bool) -> None:
    # Not for a streaming double: it cannot write the one, and LangChain reads halves of the other in quadratic time.
    values = HOSTILE if stream else HOSTILE | {"abyss": nested(5_000), "megabyte": "x" * 1_000_000}

    def script(messages: Sequence[BaseMessage], tools: Sequence[str]) -> AIMessage:
        if messages[-1].text.endswith("Note it."):
            calls = [{"id": f"c-{name}", "name": "note", "args": {"value": v}} for name, v in values.items()]
            return AIMessage("I will.", tool_calls=calls)
        return AIMessage("Done.")

    outcomes = []
    for places in ({}, {"store": InMemoryStore(), "checkpointer": InMemorySaver()}):
        app, _ = await open_app(script, tools=[note], enable_memory=False, live_window_tokens=10_000_000, **places)
        for _ in range(2):
            await app.run("Note it.", tenant="acme", thread="t", stream=stream)
        assert (await app.run("And now?", tenant="acme", thread="t", stream=stream)).text == "Done."
        history = await app.history(tenant="acme", thread="t")
        assert [m.text for m in history if isinstance(m, HumanMessage)] == ["Note it.", "Note it.", "And now?"]
        written = [m for m in history if m.text == "I will."]
        assert [len(m.tool_calls) + len(m.invalid_tool_calls) for m in written] == [len(values)] * 2
        outcomes.append([m.model_dump(exclude={"id", "usage_metadata"}) for m in history if m.type != "tool"])
    assert outcomes[0] == outcomes[1]
