"""`agentgraph eval`: a table for people, one JSON object for programs, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentgraph.cli import main

ROWS = (
    {
        "id": "1",
        "text": "we met yesterday",
        "now": "2026-03-04T10:30:00",
        "category": "relative_day",
        "source": "ours",
        "core": True,
        "accept": [["2026-03-03T00:00:00", "2026-03-04T00:00:00"]],
    },
    {"id": "2", "text": "I may go", "now": "2026-03-04T10:30:00", "category": "none", "source": "[red]theirs"},
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return path


def test_json_is_one_object_and_nothing_else(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "temporal", "--data", str(data), "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert list(report) == ["overall", "core", "by_source", "by_category", "baselines"]
    assert (report["overall"]["n"], report["overall"]["exact"], report["overall"]["false_pos"]) == (1, 1.0, 0.0)
    assert output.err == ""


def test_the_table_names_sources_and_categories_as_written(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "temporal", "--data", str(data)]) == 0
    output = capsys.readouterr().out
    assert "[red]theirs" in output
    assert all(word in output for word in ("core", "relative_day", "none", "exact", "false pos", "1.000", "ms a text"))


def test_what_is_wrong_is_one_line_with_its_place(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_text('{"id": "1"}\n')
    assert main(["eval", "temporal", "--data", str(data)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "rows.jsonl:1: " in output.err.replace("\n", "")
    assert main(["eval", "temporal", "--data", str(data.parent / "none.jsonl"), "--json"]) == 1
    assert "none.jsonl" in capsys.readouterr().err.replace("\n", "")


def test_the_data_must_be_named() -> None:
    assert main(["eval", "temporal"]) == 2


def test_recall_is_scored_on_files_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, queries, found = (tmp_path / name for name in ("corpus.jsonl", "queries.jsonl", "found.jsonl"))
    corpus.write_text(
        json.dumps(
            {"id": "m1", "conv": "a", "ts": "2026-01-05T09:00:00", "speaker": "Ana", "text": "I bought a kayak."}
        )
    )
    asked = {
        "id": "q1",
        "conv": "a",
        "query": "What did Ana buy?",
        "now": "2026-03-01",
        "gold": ["m1"],
        "source": "ours",
    }
    queries.write_text(json.dumps(asked))
    given = ["eval", "memory", "--corpus", str(corpus), "--queries", str(queries)]
    assert main([*given, "--json", "--predictions", str(found)]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert {"overall", "by_source", "by_category", "baselines"} <= set(report)
    assert (report["overall"]["n"], report["overall"]["recall@10"], report["overall"]["mrr"]) == (1, 1.0, 1.0)
    assert json.loads(found.read_text()) == {"id": "q1", "ranked": ["m1"]}
    assert main(given) == 0
    assert "recall@10" in capsys.readouterr().out
    assert main(["eval", "memory", "--corpus", str(corpus), "--queries", str(tmp_path / "none")]) == 1
    assert "no file" in capsys.readouterr().err


def test_choosing_tools_is_scored_on_files_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, queries, found = (tmp_path / name for name in ("corpus.jsonl", "queries.jsonl", "found.jsonl"))
    corpus.write_text(json.dumps({"id": "t1", "name": "getWeather", "description": "Forecasts.", "source": "[b]ours"}))
    queries.write_text(json.dumps({"id": "q1", "query": "the weather", "gold": ["t1"], "source": "[b]ours"}))
    given = ["eval", "tools", "--corpus", str(corpus), "--queries", str(queries)]
    assert main([*given, "--json", "--predictions", str(found)]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert {"overall", "macro", "by_source", "by_category", "pool", "baselines"} == set(report)
    assert (report["overall"]["n"], report["overall"]["recall@5"], report["pool"]["overall"]["mrr"]) == (1, 1.0, 1.0)
    assert json.loads(found.read_text()) == {"id": "q1", "ranked": ["t1"]}
    assert main(given) == 0
    output = capsys.readouterr()
    assert all(word in output.out for word in ("[b]ours", "recall@10", "of all tools", "ms a request"))
    assert main([*given[:-1], str(tmp_path / "none")]) == 1
    assert "no file" in capsys.readouterr().err
