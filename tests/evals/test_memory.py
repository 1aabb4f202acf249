"""Recall scored: rows read, the product's pipeline asked, and beside it the baselines."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agentgraph.errors import InvalidInputError
from agentgraph.evals.baselines import Bm25
from agentgraph.evals.memory import (
    MemoryQuestion,
    MemoryRow,
    evaluate_memory,
    read_memory_questions,
    read_memory_rows,
)
from agentgraph.testing import HashEmbeddings

CORPUS = [
    MemoryRow(id="1", conv="a", session=1, ts=datetime(2026, 1, 5, 9), speaker="Ana", text="Did you go to Oslo?"),
    MemoryRow(id="2", conv="a", session=1, ts=datetime(2026, 1, 5, 9), speaker="Ben", text="Yes, and it was cold."),
    MemoryRow(
        id="3", conv="a", session=2, ts=datetime(2026, 2, 9, 9), speaker="Ben", text="I bought a kayak yesterday."
    ),
    MemoryRow(id="4", conv="b", session=1, ts=datetime(2026, 1, 5, 9), text="I bought a kayak.", caption="a red boat"),
]


def question(**changes: Any) -> MemoryQuestion:
    fields = {"id": "q1", "conv": "a", "query": "Who bought a kayak?", "now": datetime(2026, 3, 1), "gold": ("3",)}
    return MemoryQuestion.model_validate(fields | {"source": "ours", "category": "plain"} | changes)


async def test_the_report_groups_questions_and_stands_beside_baselines() -> None:
    questions = [
        question(),
        question(id="q2", query="What did I buy on 8 February 2026?", time_expr=True, category="time"),
        question(id="q3", query="Was it cold in Oslo?", gold=("1", "2"), category="adversarial"),
        question(id="q4", conv="b", query="Which boat is red?", gold=("4",), source="theirs"),
    ]
    told: list[tuple[str, int]] = []
    report = await evaluate_memory(
        CORPUS, questions, embeddings=HashEmbeddings(), on_progress=lambda step, done: told.append((step, done))
    )
    assert report["overall"]["n"] == 4
    assert report["overall"]["recall@10"] == 1.0
    assert report["overall"]["ms_p50"] > 0
    assert (report["core"]["n"], report["time_expr"]["n"]) == (3, 1)
    assert set(report["by_source"]) == {"ours", "theirs"}
    assert set(report["by_category"]) == {"ours/plain", "ours/time", "ours/adversarial", "theirs/plain"}
    assert set(report["baselines"]) == {"bm25", "dense"}
    assert report["baselines"]["bm25"]["overall"]["n"] == 4
    assert report["ranked"]["q2"][0] == "3"
    assert set(report["ranked"]["q3"]) <= {"1", "2", "3"}  # of its own conversation only
    assert ("memories", 4) in told
    assert told[-1] == ("questions", 4)


async def test_without_an_embedder_words_alone_are_measured() -> None:
    report = await evaluate_memory(CORPUS, [question()], embeddings=None)
    assert set(report["baselines"]) == {"bm25"}


async def test_what_was_said_after_the_day_of_the_question_is_not_known_to_it() -> None:
    report = await evaluate_memory(CORPUS, [question(now=datetime(2026, 2, 8, 23))], embeddings=None)
    assert "3" not in report["ranked"]["q1"]
    same_day = await evaluate_memory(CORPUS, [question(now=datetime(2026, 2, 9, 1))], embeddings=None)
    assert "3" in same_day["ranked"]["q1"]


async def test_any_of_several_answers_may_stand_for_the_first() -> None:
    asked = question(gold=("2",), gold_any=("3",))
    assert (await evaluate_memory(CORPUS, [asked], embeddings=None))["overall"]["hit@5"] == 1.0


def test_a_question_without_an_answer_in_the_corpus_is_refused(tmp_path: Path) -> None:
    memories, asked = tmp_path / "c.jsonl", tmp_path / "q.jsonl"
    memories.write_text("".join(row.model_dump_json() + "\n" for row in CORPUS))
    rows = read_memory_rows(memories)
    assert rows == CORPUS
    asked.write_text(question(gold=("9",)).model_dump_json() + "\n")
    with pytest.raises(InvalidInputError, match="'q1': none of its answers"):
        read_memory_questions(asked, rows)
    asked.write_text(json.dumps({"id": "q1"}) + "\n")
    with pytest.raises(InvalidInputError, match=r"q\.jsonl:1: no row of questions: query"):
        read_memory_questions(asked, rows)


def test_bm25_ranks_by_rare_words() -> None:
    baseline = Bm25({"a": "the cat sat", "b": "the dog sat on the mat", "c": "nothing"})
    assert baseline.ranked("the dog", limit=5) == ["b", "a"]
    assert baseline.ranked("unheard", limit=5) == []
