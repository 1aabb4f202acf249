"""What a score is: one prediction against what is accepted, and means over rows and groups of rows.

A row's metrics are a mapping from a metric's name to a number from 0 to 1, so that every kind of row is averaged,
grouped and printed alike. What was predicted, and from which data, is the evaluations' own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from agentgraph.errors import InvalidInputError

__all__ = [
    "Bounds",
    "Metrics",
    "by_group",
    "false_positive_metrics",
    "mean_metrics",
    "ranking_metrics",
    "temporal_metrics",
]

Metrics: TypeAlias = Mapping[str, float]
"""Metric's name -> value."""
Bounds: TypeAlias = tuple[datetime | None, datetime | None]
"""A half-open interval `[start, end)` of aware datetimes; `None` is an open side."""

_DISCOUNTED: Final = 10  # ranks nDCG looks at
# An open side reaches five years past the outermost known bound, or no overlap with it could be measured.
_OPEN_REACH: Final = timedelta(days=1826)
_USABLE: Final = 0.5


def ranking_metrics(ranked: Sequence[str], gold: Collection[str], *, cutoffs: Sequence[int]) -> dict[str, float]:
    """Score a ranking against the answers that are right.

    Args:
        ranked: What was found, best first; of an answer found twice the better rank counts.
        gold: The right answers, at least one.
        cutoffs: For each `k`: `recall@k`, the share of `gold` in the first `k`; `hit@k`, whether any is there;
            `full@k`, whether all are.

    Returns:
        Also `mrr`, one over the rank of the first right answer, and `ndcg@10` with every right answer worth the same.

    Raises:
        InvalidInputError: `gold` is empty: nothing could be found.
    """
    wanted = frozenset(gold)
    if not wanted:
        raise InvalidInputError("a ranking is scored against at least one right answer; gold is empty", param="gold")
    ranks = [rank for rank, answer in enumerate(dict.fromkeys(ranked), start=1) if answer in wanted]
    metrics: dict[str, float] = {}
    for k in cutoffs:
        found = sum(rank <= k for rank in ranks)
        metrics[f"recall@{k}"] = found / len(wanted)
        metrics[f"hit@{k}"] = float(found > 0)
        metrics[f"full@{k}"] = float(found == len(wanted))
    metrics["mrr"] = 1 / ranks[0] if ranks else 0.0
    gain = sum(_discount(rank) for rank in ranks if rank <= _DISCOUNTED)
    best = sum(_discount(rank) for rank in range(1, min(_DISCOUNTED, len(wanted)) + 1))
    metrics[f"ndcg@{_DISCOUNTED}"] = gain / best
    return metrics


def temporal_metrics(predicted: Bounds | None, accepted: Iterable[Bounds], *, now: datetime) -> dict[str, float]:
    """Score a window against every reading a person would accept; the best one counts, metric by metric.

    `answered`: there is a window. `exact`: it is an accepted one, to the minute. `usable`: exact, or sharing more than
    half with one. `contains`: none of an accepted one lies outside it. `iou`: shared time over the time either takes.

    Args:
        predicted: The window, or `None` (or both sides open) for no answer.
        accepted: Every admissible reading.
        now: Aware; when the text was said. Open sides are measured from the outermost of it and the known bounds.
    """
    if predicted is None or predicted == (None, None):
        return dict.fromkeys(("answered", "exact", "usable", "contains", "iou"), 0.0)
    start, end = predicted
    if start is not None and end is not None and end <= start:
        return {"answered": 1.0, "exact": 0.0, "usable": 0.0, "contains": 0.0, "iou": 0.0}
    readings = list(accepted)
    exact = any(_to_the_minute(predicted) == _to_the_minute(reading) for reading in readings)
    overlap = max((_overlap(predicted, reading, now) for reading in readings), default=0.0)
    return {
        "answered": 1.0,
        "exact": float(exact),
        "usable": float(exact or overlap > _USABLE),
        "contains": float(any(_holds(predicted, reading) for reading in readings)),
        "iou": overlap,
    }


def false_positive_metrics(predicted: Bounds | None) -> dict[str, float]:
    """Score a text without a time expression: `false_pos` is 1 if a window was found all the same."""
    return {"false_pos": float(predicted is not None and predicted != (None, None))}


def mean_metrics(rows: Sequence[Metrics]) -> dict[str, float]:
    """Average rows that have the same metrics; no rows have none."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


def by_group(rows: Iterable[Metrics], groups: Iterable[str]) -> dict[str, dict[str, float]]:
    """Average the rows of each group, in the groups' alphabetical order; `n` counts a group's rows."""
    members: dict[str, list[Metrics]] = {}
    for row, group in zip(rows, groups, strict=True):
        members.setdefault(group, []).append(row)
    return {group: {"n": len(members[group]), **mean_metrics(members[group])} for group in sorted(members)}


def _discount(rank: int) -> float:
    """Source: Järvelin and Kekäläinen 2002, with logarithm base 2."""
    return 1 / math.log2(rank + 1)


def _to_the_minute(bounds: Bounds) -> Bounds:
    start, end = (bound.replace(second=0, microsecond=0) if bound is not None else None for bound in bounds)
    return start, end


def _holds(outer: Bounds, inner: Bounds) -> bool:
    begins = outer[0] is None or (inner[0] is not None and outer[0] <= inner[0])
    ends = outer[1] is None or (inner[1] is not None and outer[1] >= inner[1])
    return begins and ends


def _overlap(one: Bounds, other: Bounds, now: datetime) -> float:
    known = [bound for bound in (*one, *other, now) if bound is not None]
    try:
        first, last = min(known) - _OPEN_REACH, max(known) + _OPEN_REACH
    except OverflowError:
        # At the ends of the calendar nothing open can be measured.
        return 0.0
    starts = [bounds[0] or first for bounds in (one, other)]
    ends = [bounds[1] or last for bounds in (one, other)]
    shared = (min(ends) - max(starts)).total_seconds()
    taken = (max(ends) - min(starts)).total_seconds()
    return max(0.0, shared) / taken if taken > 0 else 0.0
