"""However a vendor cuts its calls into pieces, each keeps its id, its name and its arguments, in their order."""

import itertools
from typing import Any

import pytest
from langchain_core.messages import ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk

from agentgraph.graph.written_calls import WrittenCalls

Piece = tuple[int | None, str | None, str | None, str | None]
TWO = [("c0", "get_time", {"zone": "UTC"}), ("c1", "add", {"a": 2})]


def written(*pieces: Piece) -> tuple[list[tuple[Any, str, Any]], list[int]]:
    calls = WrittenCalls()
    placed = [
        calls.add(tool_call_chunk(index=i, id=call_id, name=name, args=args)) for i, call_id, name, args in pieces
    ]
    message = calls.message()
    assert message.invalid_tool_calls == []
    # What is told piece by piece adds up to the same.
    told: dict[int, list[str]] = {}
    for each in placed:
        parts = told.setdefault(each.index, ["", "", ""])
        for at, part in enumerate((each.call_id, each.name, each.arguments)):
            parts[at] += part or ""
    whole = [(call["id"], call["name"]) for call in message.tool_calls]
    assert [(call_id or None, name) for call_id, name, _ in told.values()] == whole
    return [(call["id"], call["name"], call["args"]) for call in message.tool_calls], [each.index for each in placed]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                (0, "c0", "get_time", ""),
                (0, None, None, '{"zone"'),
                (0, None, None, ': "UTC"}'),
                (1, "c1", "add", ""),
                (1, None, None, '{"a"'),
                (1, None, None, ": 2}"),
            ],
            id="as OpenAI does",
        ),
        pytest.param(
            [
                (0, "c0", "get_time", ""),
                (1, "c1", "add", ""),
                (0, None, None, '{"zone"'),
                (1, None, None, '{"a"'),
                (0, None, None, ': "UTC"}'),
                (1, None, None, ": 2}"),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                (0, "c0", "get_time", '{"zone"'),
                (0, "c0", "get_time", ': "UTC"}'),
                (1, "c1", "add", '{"a"'),
                (1, "c1", "add", ": 2}"),
            ],
            id="id and name repeated",
        ),
        pytest.param(
            [(0, "c0", "get_time", '{"zone"'), (0, "", "", ': "UTC"}'), (1, "c1", "add", '{"a"'), (1, "", "", ": 2}")],
            id="empty id and name",
        ),
        pytest.param(
            [(0, "c0", "get_time", '{"zone": "UTC"}'), (0, "c1", "add", '{"a": 2}')], id="whole, all with the index 0"
        ),
        pytest.param(
            [(None, "c0", "get_time", '{"zone": "UTC"}'), (None, "c1", "add", '{"a": 2}')], id="whole, without index"
        ),
        pytest.param(
            [
                (None, "c0", "get_time", '{"zone"'),
                (None, None, None, ': "UTC"}'),
                (None, "c1", "add", '{"a"'),
                (None, None, None, ": 2}"),
            ],
            id="in pieces, without index",
        ),
        pytest.param(
            [
                (None, "c0", "get_time", '{"zone"'),
                (None, "c1", "add", '{"a"'),
                (None, "c0", None, ': "UTC"}'),
                (None, "c1", None, ": 2}"),
            ],
            id="interleaved, told apart by id alone",
        ),
        pytest.param(
            [(1, "c0", "get_time", '{"zone": "UTC"}'), (2, "c1", "add", '{"a": 2}')], id="after a block of text"
        ),
        pytest.param(
            [
                (0, "c0", "get_", None),
                (0, None, "time", None),
                (0, None, None, '{"zone": "UTC"}'),
                (1, "c1", None, None),
                (1, None, "add", None),
                (1, None, None, '{"a": 2}'),
            ],
            id="names in pieces",
        ),
        pytest.param(
            [
                (None, "c0", None, None),
                (None, None, "get_time", None),
                (None, None, None, '{"zone": "UTC"}'),
                (None, "c1", None, None),
                (None, None, "add", '{"a": 2}'),
            ],
            id="id before name, without index",
        ),
    ],
)
def test_two_calls_stay_two(pieces: list[Piece]) -> None:
    calls, indexes = written(*pieces)
    assert calls == TWO
    assert sorted(set(indexes)) == [0, 1]


def test_calls_without_ids_stay_apart() -> None:
    whole = [(0, None, "add", '{"a": 1}'), (0, None, "add", '{"a": 2}')]
    assert written(*whole)[0] == [(None, "add", {"a": 1}), (None, "add", {"a": 2})]
    whole = [(None, None, "add", '{"a": 1}'), (None, None, "add", '{"a": 2}')]
    assert written(*whole)[0] == [(None, "add", {"a": 1}), (None, "add", {"a": 2})]


def test_every_order_in_which_three_calls_can_be_interleaved_gives_the_same_calls() -> None:
    def pieces(n: int) -> list[Piece]:
        return [(n, f"c{n}", f"tool_{n}", ""), (n, None, None, '{"n":'), (n, None, None, f" {n}}}")]

    for order in set(itertools.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2])):
        left = {n: iter(pieces(n)) for n in range(3)}
        calls, indexes = written(*(next(left[n]) for n in order))
        begun = list(dict.fromkeys(order))
        assert calls == [(f"c{n}", f"tool_{n}", {"n": n}) for n in begun]
        assert indexes == [begun.index(n) for n in order]


def test_arguments_that_are_no_json_are_kept_as_text() -> None:
    calls = WrittenCalls()
    piece: ToolCallChunk = tool_call_chunk(index=0, id="c0", name="add", args="[1]")
    calls.add(piece)
    (invalid,) = calls.message().invalid_tool_calls
    assert (invalid["id"], invalid["name"], invalid["args"]) == ("c0", "add", "[1]")


def test_arguments_can_be_told_whatever_they_hold() -> None:
    (calls, _) = written((0, "c0", "add", '{"a": "\ud800'), (0, None, None, '"}'))
    assert calls == [("c0", "add", {"a": "\ufffd"})]
