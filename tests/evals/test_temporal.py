"""Time expressions scored: rows read from a file, and the report on them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.evals.temporal import evaluate_temporal, read_temporal_rows


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "text": "I bought a kayak yesterday",
        "now": "2026-03-04T10:30:00",
        "category": "relative_day",
        "source": "ours",
        "core": True,
        "accept": [["2026-03-03T00:00:00", "2026-03-04T00:00:00"]],
        **changes,
    }


def written(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data.jsonl"


def test_the_report_groups_rows_and_keeps_texts_without_time_apart(data: Path) -> None:
    rows = read_temporal_rows(
        written(
            data,
            row(),
            row(category="weekday", core=False, text="She will call", accept=[["2026-03-09T00:00:00", None]]),
            "",
            row(category="none", source="theirs", text="I may go", accept=[]),
            row(category="none", source="theirs", text="we met yesterday", accept=[]),
        )
    )
    ticks = itertools.count()
    seen: list[int] = []
    report = evaluate_temporal(rows, on_progress=seen.append, seconds=lambda: next(ticks) / 1000)
    half = {"answered": 0.5, "exact": 0.5, "usable": 0.5, "contains": 0.5, "iou": 0.5}
    full, zero = dict.fromkeys(half, 1.0), dict.fromkeys(half, 0.0)
    assert report == {
        "overall": {"n": 2, **half, "n_none": 2, "false_pos": 0.5, "ms_p50": 1.0},
        "core": {"n": 1, **full},
        "by_source": {"ours": {"n": 2, **half}, "theirs": {"n": 0, "n_none": 2, "false_pos": 0.5}},
        "by_category": {
            "none": {"n": 2, "false_pos": 0.5},
            "relative_day": {"n": 1, **full},
            "weekday": {"n": 1, **zero},
        },
        "baselines": {},
    }
    assert seen == [1, 2, 3, 4]


def test_the_longest_mention_is_the_answer(data: Path) -> None:
    text = "today I remembered the week after next"
    accept = [["2026-03-16T00:00:00", "2026-03-23T00:00:00"]]
    rows = read_temporal_rows(written(data, row(text=text, accept=accept)))
    assert evaluate_temporal(rows)["overall"]["exact"] == 1.0


def test_rows_with_an_offset_are_moments(data: Path) -> None:
    accept = [["2026-03-03T01:00:00+01:00", "2026-03-04T00:00:00Z"]]
    rows = read_temporal_rows(written(data, row(now="2026-03-04T11:30:00+01:00", accept=accept)))
    assert evaluate_temporal(rows)["overall"]["exact"] == 1.0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "Invalid JSON"),
        ("[1]", "object"),
        (row(text=7), "text: "),
        (row(now="soon"), "now: "),
        (row(accept=[["2026-03-03T00:00:00"]]), "accept.0.1: "),
        (row(accept=[]), "accept names no interval"),
        (row(accept=[[None, None]]), "accept names no interval"),
        ({key: value for key, value in row().items() if key != "category"}, "category: "),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(data: Path, line: object, what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_temporal_rows(written(data, row(), "", line))
    assert f"{data}:3: " in caught.value.message
    assert what in caught.value.message


def test_a_line_separator_within_a_text_ends_no_row(data: Path) -> None:
    data.write_text(json.dumps(row(text="yesterday\u2028indeed"), ensure_ascii=False) + "\n", encoding="utf-8")
    (only,) = read_temporal_rows(data)
    assert only.text == "yesterday\u2028indeed"


def test_an_empty_file_and_a_missing_one_are_told_apart(data: Path) -> None:
    with pytest.raises(NotFoundError, match=r"data\.jsonl"):
        read_temporal_rows(data)
    data.write_text("\n \n")
    with pytest.raises(InvalidInputError, match="holds no rows"):
        read_temporal_rows(data)
    data.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_temporal_rows(data)
