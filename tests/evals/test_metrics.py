"""Scores worked out by hand: rankings, windows, means."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgraph.errors import InvalidInputError
from agentgraph.evals.metrics import (
    by_group,
    false_positive_metrics,
    mean_metrics,
    ranking_metrics,
    temporal_metrics,
)

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def day(number: int, hour: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, number, hour, 0, second, tzinfo=UTC)


def test_a_ranking_is_scored_at_every_cutoff() -> None:
    metrics = ranking_metrics(["a", "b", "c", "d"], {"b", "d"}, cutoffs=(1, 3, 5))
    assert metrics == {
        "recall@1": 0.0,
        "hit@1": 0.0,
        "full@1": 0.0,
        "recall@3": 0.5,
        "hit@3": 1.0,
        "full@3": 0.0,
        "recall@5": 1.0,
        "hit@5": 1.0,
        "full@5": 1.0,
        "mrr": 0.5,
        "ndcg@10": pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))),
    }


def test_an_answer_found_twice_counts_once() -> None:
    assert ranking_metrics(["a", "a", "b"], ["b"], cutoffs=(2,))["recall@2"] == 1.0


def test_nothing_found_scores_zero() -> None:
    assert set(ranking_metrics([], ["a"], cutoffs=(1, 10)).values()) == {0.0}


def test_a_ranking_without_right_answers_cannot_be_scored() -> None:
    with pytest.raises(InvalidInputError, match="gold"):
        ranking_metrics(["a"], [], cutoffs=(1,))


@given(ranked=st.lists(st.sampled_from("abcdefghijkl")), gold=st.sets(st.sampled_from("abcdefghijkl"), min_size=1))
def test_ranking_metrics_are_shares(ranked: list[str], gold: set[str]) -> None:
    metrics = ranking_metrics(ranked, gold, cutoffs=(1, 5, 20))
    assert all(0 <= value <= 1 for value in metrics.values())
    assert metrics["recall@1"] <= metrics["recall@5"] <= metrics["recall@20"]
    best = ranking_metrics(sorted(gold), gold, cutoffs=(20,))
    assert set(best.values()) == {1.0}


def test_the_accepted_window_is_exact_to_the_minute() -> None:
    metrics = temporal_metrics((day(3, second=20), day(4)), [(day(9), day(10)), (day(3), day(4))], now=NOW)
    assert (metrics["exact"], metrics["usable"], metrics["answered"]) == (1.0, 1.0, 1.0)


def test_half_the_window_is_not_usable() -> None:
    metrics = temporal_metrics((day(1), day(3)), [(day(2), day(3))], now=NOW)
    assert metrics == {"answered": 1.0, "exact": 0.0, "usable": 0.0, "contains": 1.0, "iou": 0.5}


def test_a_window_inside_the_accepted_one_does_not_contain_it() -> None:
    metrics = temporal_metrics((day(2), day(5)), [(day(1), day(5))], now=NOW)
    assert metrics == {"answered": 1.0, "exact": 0.0, "usable": 1.0, "contains": 0.0, "iou": 0.75}


def test_open_sides_contain_and_overlap() -> None:
    since = temporal_metrics((day(2), None), [(day(1), None)], now=NOW)
    assert (since["exact"], since["usable"], since["contains"]) == (0.0, 1.0, 0.0)
    assert temporal_metrics((None, day(5)), [(day(1), day(4))], now=NOW)["contains"] == 1.0
    assert temporal_metrics((day(1), day(5)), [(None, day(4))], now=NOW)["contains"] == 0.0


def test_no_answer_and_an_empty_window_score_nothing() -> None:
    assert set(temporal_metrics(None, [(day(1), day(2))], now=NOW).values()) == {0.0}
    assert set(temporal_metrics((None, None), [(day(1), day(2))], now=NOW).values()) == {0.0}
    empty = temporal_metrics((day(2), day(2)), [(day(1), day(3))], now=NOW)
    assert (empty.pop("answered"), set(empty.values())) == (1.0, {0.0})


def test_the_ends_of_the_calendar_have_no_overlap() -> None:
    last = datetime(9999, 12, 30, tzinfo=UTC)
    assert temporal_metrics((last, None), [(NOW, None)], now=NOW)["iou"] == 0.0


def test_an_answer_to_nothing_is_a_false_positive() -> None:
    assert false_positive_metrics((day(1), None)) == {"false_pos": 1.0}
    assert false_positive_metrics(None) == {"false_pos": 0.0}


def test_means_are_taken_over_rows_and_groups() -> None:
    rows = [{"mrr": 1.0}, {"mrr": 0.0}, {"mrr": 0.5}]
    assert mean_metrics(rows) == {"mrr": 0.5}
    assert mean_metrics([]) == {}
    assert by_group(rows, ["b", "a", "b"]) == {"a": {"n": 1, "mrr": 0.0}, "b": {"n": 2, "mrr": 0.75}}
