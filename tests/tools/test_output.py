"""Whatever a tool returns is told to the model in words that fit, and is kept as it was told."""

import dataclasses
import enum
from datetime import date
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from pydantic import BaseModel

from agentgraph.tools.output import Output, as_text, in_words, kept, restored


class Point(BaseModel):
    x: int


@dataclasses.dataclass
class Row:
    name: str
    when: date


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("text", "text"),
        ("", "[no output]"),
        (" \n", "[no output]"),
        (None, "[no output]"),
        (3, "3"),
        (True, "true"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe\x00", "[3 bytes that are no text]"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        ({"é": "\x00\ud800"}, '{"é": "\\u0000\ufffd"}'),
        ([], "[]"),
        (
            {
                3,
            },
            "[3]",
        ),
        ((1, "x"), '[1, "x"]'),
        (Point(x=1), '{"x": 1}'),
        ([Point(x=1), Colour.RED], '[{"x": 1}, "red"]'),
        (Row("a", date(2026, 3, 2)), '{"name": "a", "when": "2026-03-02"}'),
        (date(2026, 3, 2), "2026-03-02"),
        ({"data": b"\xff\xff"}, '{"data": "[2 bytes that are no text]"}'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        ("a\x00b\ud800", "a\ufffdb\ufffd"),
        (["a", "b"], "a\nb"),
        ([{"type": "text", "text": "a"}, "b"], "a\nb"),
        ({"type": "text", "text": "a"}, "a"),
        ([{"type": "text", "text": 3}], '[{"type": "text", "text": 3}]'),
        (ToolMessage("a", tool_call_id="c"), "a"),
    ],
)
def test_a_result_is_put_into_words(result: Any, words: str) -> None:
    assert in_words(result, 100) == words


def test_what_is_too_long_is_cut_with_a_note() -> None:
    assert in_words("x" * 150, 100) == "x" * 100 + "\n[cut: 50 more characters; ask for less]"
    assert in_words("x" * 100, 100) == "x" * 100
    assert in_words(b"\xc3\xa9" * 150, 101) == "é" * 101 + "\n[cut: 49 more characters; ask for less]"


def test_of_a_huge_result_no_more_is_read_than_fits() -> None:
    read = 0

    class Rows(list[int]):
        def __iter__(self) -> Any:
            nonlocal read
            for n in range(10**9):
                read += 1
                yield n

    words = in_words(Rows([1]), 100)
    assert isinstance(words, str)
    assert words.startswith("[0, 1, 2, ")
    assert words.endswith("\n[cut here: there is more; ask for less]")
    assert read < 100


def test_a_circle_is_told_in_its_own_words() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    assert in_words(circle, 100) == "[1, [...]]"


IMAGE = {"type": "image", "base64": "AAAA" * 10, "mime_type": "image/png"}


def test_a_picture_is_kept_for_a_model_that_reads_it_there() -> None:
    blocks = [{"type": "text", "text": "Here:"}, IMAGE]
    assert in_words(blocks, 100, media={"image"}) == blocks
    assert in_words(blocks, 100) == "Here:\n[image image/png, 1 kB, which cannot be shown here]"


@pytest.mark.parametrize(
    "broken", [{**IMAGE, "base64": "A" * 5_000_000}, {**IMAGE, "at": object()}, {**IMAGE, "x": b""}]
)
def test_a_picture_nobody_can_keep_gives_way_to_a_note(broken: dict[str, Any]) -> None:
    words = in_words([broken], 100, media={"image"})
    assert isinstance(words, str)
    assert words.startswith("[image image/png, ")


def test_texts_between_pictures_are_cut_together() -> None:
    blocks = [{"type": "text", "text": "x" * 60}, IMAGE, {"type": "text", "text": "y" * 60}, "z" * 5]
    told = in_words(blocks, 100, media={"image"})
    assert told == [
        {"type": "text", "text": "x" * 60},
        IMAGE,
        {"type": "text", "text": "y" * 40},
        {"type": "text", "text": "[cut: 25 more characters; ask for less]"},
    ]


def test_content_is_told_to_people_as_text() -> None:
    assert as_text("a") == "a"
    assert as_text([{"type": "text", "text": "a"}, IMAGE]) == "a\n[image image/png, 1 kB]"


@pytest.mark.parametrize(
    "output",
    [
        Output(content="text"),
        Output(content="text", is_untrusted=True),
        Output(content="agentgraph:output:[1, true]"),
        Output(content=[{"type": "text", "text": "é"}, IMAGE], status="error"),
    ],
)
def test_what_is_kept_is_given_back_as_it_was(output: Output) -> None:
    assert restored(kept(output), output.status) == output


def test_plain_text_is_kept_as_it_is() -> None:
    assert kept(Output(content="text")) == "text"
