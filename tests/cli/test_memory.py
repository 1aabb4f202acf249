"""`agentgraph memory …`, on a directory of its own."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agentgraph.cli import main

WHERE = ("--tenant", "acme", "--storage", "tenants")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTGRAPH_EMBEDDING_MODEL", "hash/64")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; return its exit code, stdout and stderr."""

    def run_one(command: str, *arguments: str, where: tuple[str, ...] = WHERE) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["memory", command, *arguments, *where])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_one


def as_json(run: Any, command: str, *arguments: str, where: tuple[str, ...] = WHERE) -> Any:
    code, out, err = run(command, *arguments, "--json", where=where)
    assert code == 0, err
    return json.loads(out)


def write_rows(path: str, count: int = 3) -> None:
    rows = [{"id": f"m{n}", "text": f"I visited museum {n} yesterday.", "ts": f"2026-03-0{n + 2}T10:00:00",
             "thread": "trip"} for n in range(count)]  # fmt: skip
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_the_life_of_a_note(run: Any) -> None:
    made = as_json(run, "put", "colour", "My favourite colour is green.", "--user", "ann")
    assert (made["id"], made["kind"], made["user"]) == ("colour", "note", "ann")
    as_json(run, "update", "colour", "My favourite colour is blue.", "--user", "ann")
    assert as_json(run, "get", "colour", "--user", "ann")["text"] == "My favourite colour is blue."
    (before,) = as_json(run, "history", "colour", "--user", "ann")["history"]
    assert before["text"] == "My favourite colour is green."
    assert "expires_at" in as_json(run, "expire", "colour", "--user", "ann", "--ttl-minutes", "5")
    assert as_json(run, "delete", "colour", "--user", "ann") == {"deleted": "colour"}
    assert as_json(run, "list")["memories"] == []


def test_memories_are_listed_and_shown_to_people(run: Any) -> None:
    run("add", "I bought a car last week.", "--user", "ann", "--said-at", "2026-03-02")
    _, out, _ = run("list")
    assert "I bought a car last week." in out
    assert "Mon 23 Feb 2026" in out
    (memory,) = as_json(run, "list", "--kind", "episode")["memories"]
    _, out, _ = run("get", memory["id"], "--user", "ann")
    assert "“last week”" in out
    code, _, err = run("get", memory["id"])
    assert code == 1
    assert "acme has no memory" in err


def test_control_characters_reach_no_terminal(run: Any) -> None:
    run("put", "evil", "before \x1b[31m after")
    for command in (("list",), ("get", "evil"), ("timeline",), ("explain", "before after")):
        assert "\x1b" not in run(*command)[1]


def test_explain_prints_windows_scores_sources_and_reasons(run: Any) -> None:
    write_rows("trip.jsonl")
    run("import", "trip.jsonl")
    question = ("What did I visit yesterday?", "--now", "2026-03-03", "--top-k", "1")
    _, out, _ = run("explain", *question)
    assert "“yesterday” is Mon 2 Mar 2026" in out
    for part in ("left out (", "score", "thread trip, import trip.jsonl", "acme/memory/shared m1", "inside: "):
        assert part in out
    receipt = as_json(run, "explain", *question)
    candidates = [*receipt["kept"], *receipt["left_out"]]
    assert candidates[0]["key"] == "m1"
    assert {memory["key"] for memory in candidates} == {"m0", "m1", "m2"}
    assert all(memory["why"] for memory in candidates)
    assert as_json(run, "search", *question)["memories"] == receipt["kept"]


def test_a_timeline_says_which_clock_placed_what(run: Any) -> None:
    write_rows("trip.jsonl")
    run("import", "trip.jsonl")
    run("add", "I like tea a lot.", "--said-at", "2026-03-02T12:00")
    line = as_json(run, "timeline")["timeline"]
    assert [(entry["clock"], entry["memory"]["text"][:9]) for entry in line] == [
        ("event", "I visited"),
        ("event", "I visited"),
        ("recorded", "I like te"),
        ("event", "I visited"),
    ]
    assert len(as_json(run, "timeline", "--start", "2026-03-02", "--end", "2026-03-03")["timeline"]) == 2
    assert len(as_json(run, "timeline", "--when", "2 March 2026")["timeline"]) == 2
    assert run("timeline", "--when", "hierarchy")[0] == 1


def test_an_import_twice_adds_nothing_and_names_bad_lines(run: Any) -> None:
    write_rows("trip.jsonl")
    with Path("trip.jsonl").open("a") as file:
        file.write("\nno json\n")
    code, out, err = run("import", "trip.jsonl")
    assert code == 1
    assert "4 rows: 3 added, 1 not readable" in out
    assert "line 5: not JSON" in err
    code, out, _ = run("import", "trip.jsonl", "--json")
    assert code == 1
    assert json.loads(out) | {"added": 0, "unchanged": 3, "failed": 1} == json.loads(out)
    code, _, err = run("import", "trip.jsonl", "--strict")
    assert (code, "error: line 5" in err) == (1, True)
    code, _, err = run("import", "nowhere.jsonl")
    assert (code, "no file 'nowhere.jsonl'" in err) == (1, True)


def test_an_import_reads_stdin(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "From a pipe."}\n')))
    assert as_json(run, "import", "-")["added"] == 1
    assert as_json(run, "list")["memories"][0]["source"] == {"import": "stdin"}


def test_an_export_is_imported_elsewhere_as_it_was(run: Any) -> None:
    write_rows("trip.jsonl")
    run("import", "trip.jsonl")
    as_json(run, "update", "m1", "I visited no museum.")
    run("put", "door", "It sticks.", "--user", "ann")
    assert as_json(run, "export", "--output", "out.jsonl")["exported"] == 5
    elsewhere = ("--tenant", "globex", "--storage", "tenants")
    assert as_json(run, "import", "out.jsonl", where=elsewhere)["added"] == 5
    _, out, _ = run("export", where=elsewhere)
    assert out == Path("out.jsonl").read_text()


def test_forgetting_shows_its_plan_and_asks(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows("trip.jsonl")
    run("import", "trip.jsonl")
    plan = as_json(run, "forget", "--source", "trip.jsonl", "--dry-run")
    assert plan["removed"][0] | {"count": 3, "kind": "episode"} == plan["removed"][0]
    assert "museum" not in json.dumps(plan)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = run("forget", "--source", "trip.jsonl")
    assert code == 130
    assert "would forget tenant acme, source trip.jsonl" in out
    assert len(as_json(run, "list")["memories"]) == 3
    _, out, _ = run("forget", "m0", "--yes")
    assert "forgot tenant acme, memory m0" in out
    assert as_json(run, "forget", "--source", "trip.jsonl", "--yes")["removed"][0]["count"] == 2
    assert as_json(run, "list")["memories"] == []


def test_forgetting_does_not_ask_in_json_and_guesses_no_tenant(run: Any) -> None:
    assert run("forget", "--json")[0] == 2
    assert run("forget", "--yes", where=("--storage", "tenants"))[0] == 2


def test_reembedding_follows_a_change_of_model(run: Any) -> None:
    write_rows("trip.jsonl")
    run("import", "trip.jsonl")
    storage = ("--storage", "tenants", "--embedding-model", "hash/128")
    assert as_json(run, "reembed", "--all", where=storage) == {"embedded": {"acme": 3}}
    assert as_json(run, "reembed", "--tenant", "acme", where=storage) == {"embedded": {"acme": 0}}
    assert run("reembed", where=storage)[0] == 2
