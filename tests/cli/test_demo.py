"""The demo, played with a scripted model for exactness and with the real local model for truth."""

import json
import re

import pytest

from agentgraph.cli import main
from agentgraph.cli.script import ACTS

CAR, JAPAN, AISLE, ANA = (
    "I bought a car last week.",
    "I plan to visit Japan next month.",
    "I prefer aisle seats.",
    "My sister Ana got married yesterday.",
)


def played(capsys, *options):
    code = main(["demo", "--yes", "--json", *options])
    output = capsys.readouterr()
    assert code == 0, output.err
    return [json.loads(line) for line in output.out.splitlines()]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY", "AGENTGRAPH_DEFAULT_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def turns(capsys):
    return played(capsys, "--model", "scripted/echo")


def turn_of(turns, act, said):
    return next(turn for turn in turns if turn["act"] == act and turn["user"] == said)


def recalled(turn, placed):
    return {memory["text"] for memory in turn["memories"] if memory["placed"] == placed}


def test_every_turn_is_one_json_line_with_the_same_keys(turns):
    assert [turn["user"] for turn in turns] == [said for act in ACTS for said in act.says]
    keys = {
        *("act", "now", "thread", "user", "answer", "windows", "memories", "left_out", "tools_offered"),
        *("tools_called", "usage", "node_ms", "duration_ms"),
    }
    assert all(set(turn) == keys for turn in turns)


def test_the_same_words_mean_another_week_on_another_day(turns):
    weeks = [turn_of(turns, act, "What happened last week?")["windows"] for act in (2, 4)]
    assert [[window["text"] for window in week] for week in weeks] == [
        ["Mon 2 Mar 2026 to Sun 8 Mar 2026"],
        ["Mon 9 Mar 2026 to Sun 15 Mar 2026"],
    ]


def test_next_month_is_april_whenever_it_is_asked_in_march(turns):
    for act in (2, 4):
        turn = turn_of(turns, act, "What are my plans for next month?")
        assert [window["text"] for window in turn["windows"]] == ["Wed 1 Apr 2026 to Thu 30 Apr 2026"]
        assert recalled(turn, "inside") == {JAPAN}


def test_the_car_is_outside_last_week_and_keeps_its_own_date(turns):
    turn = turn_of(turns, 2, "What happened last week?")
    assert recalled(turn, "inside") == set()
    assert recalled(turn, "outside") == {CAR}
    (car,) = [memory for memory in turn["memories"] if memory["text"] == CAR]
    assert car["event"]["text"] == "Mon 23 Feb 2026 to Sun 1 Mar 2026"
    assert "[between 23 February and 1 March 2026]" in turn["answer"]  # the scripted model repeats its prompt
    assert JAPAN in {memory["text"] for memory in turn["left_out"]}


def test_a_week_later_last_week_holds_what_was_told_since(turns):
    turn = turn_of(turns, 4, "What happened last week?")
    assert recalled(turn, "inside") == {ANA}
    assert CAR in {memory["text"] for memory in turn["left_out"]}


def test_a_preference_is_recalled_without_a_time(turns):
    turn = turn_of(turns, 2, "Which seat should you book me?")
    assert turn["windows"] == []
    assert AISLE in recalled(turn, "any")


def test_tools_are_offered_where_the_question_calls_for_them(turns):
    assert "get_time" in turn_of(turns, 2, "What time is it in Tokyo?")["tools_offered"]
    assert turn_of(turns, 2, "Which seat should you book me?")["tools_offered"] == []


def test_questions_are_not_remembered(turns):
    texts = {memory["text"] for turn in turns for memory in (*turn["memories"], *turn["left_out"])}
    assert texts == {CAR, JAPAN, AISLE, ANA}


def test_a_second_demo_in_the_same_place_begins_anew(capsys, tmp_path):
    options = ("--model", "scripted/echo", "--storage", str(tmp_path / "kept"))
    first = played(capsys, *options)
    second = played(capsys, *options)
    assert [turn["memories"] and turn["memories"][0]["text"] for turn in first] == [
        turn["memories"] and turn["memories"][0]["text"] for turn in second
    ]
    assert second[0]["memories"] == []


def test_the_terminal_output_is_plain_and_fits_80_columns(capsys):
    assert main(["demo", "--yes", "--model", "scripted/echo"]) == 0
    output = capsys.readouterr().out
    assert "\x1b" not in output
    lines = [line for line in output.splitlines() if not line.startswith("storage ")]
    assert max(map(len, lines)) <= 80
    assert "“last week” is Mon 2 Mar 2026 to Sun 8 Mar 2026" in output
    assert "call_model" in output


def test_no_model_is_an_error_that_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setattr("agentgraph.models.load.find_spec", lambda name: None)
    assert main(["demo", "--yes", "--json"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "OPENAI_API_KEY" in output.err
    assert "agentgraph[local]" in output.err
    assert len(output.err.splitlines()) == 1


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_local_model_answers_rightly(capsys, local_model):
    code = main(["demo", "--yes", "--json", "--model", "local/qwen2.5-coder-1.5b-instruct"])
    output = capsys.readouterr()
    assert code == 0, output.err
    turns = [json.loads(line) for line in output.out.splitlines()]

    def answer(act, said):
        return re.sub(r"\W+", " ", turn_of(turns, act, said)["answer"].casefold())

    last_week = answer(2, "What happened last week?")
    assert re.search(r"\b(no|not|nothing)\b", last_week), last_week
    assert "car" in last_week, last_week
    assert "february" in last_week, last_week
    for act in (2, 4):
        plans = answer(act, "What are my plans for next month?")
        assert "japan" in plans, plans
        assert "april" in plans or "next month" in plans, plans
    assert "aisle" in answer(2, "Which seat should you book me?")
    tokyo = turn_of(turns, 2, "What time is it in Tokyo?")
    assert [call["name"] for call in tokyo["tools_called"]][:1] == ["get_time"]
    assert re.search(r"19 03|7 03", answer(2, "What time is it in Tokyo?")), tokyo["answer"]
    later = answer(4, "What happened last week?")
    assert "ana" in later, later
    assert "married" in later or "wedding" in later, later
    assert "car" not in later.split(), later
    assert "february" in answer(4, "When did I buy my car?")
