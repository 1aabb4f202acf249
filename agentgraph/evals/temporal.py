"""How well time expressions are understood: `temporal.resolve` on rows that say which windows a person would accept.

A row is a JSON object a line: `id`, `text`, `now`, `category`, `source`, `core` and `accept`, the half-open
`[start, end)` of every admissible reading, `null` for an open side. Rows of category `none` hold no time expression
and must yield nothing. Naive times are read in UTC, and so is the text.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentgraph.evals.metrics import (
    Bounds,
    Metrics,
    by_group,
    false_positive_metrics,
    mean_metrics,
    temporal_metrics,
)
from agentgraph.evals.rows import aware, read_rows
from agentgraph.temporal import main_window, resolve

__all__ = ["NOTHING", "TemporalRow", "evaluate_temporal", "read_temporal_rows"]

NOTHING: Final = "none"
"""The category of texts without a time expression."""


class TemporalRow(BaseModel):
    """One text, when it was said, and what it may mean."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    text: str
    now: datetime
    category: str
    source: str = "unknown"
    core: bool = False
    accept: tuple[Bounds, ...] = Field(default=())

    @model_validator(mode="after")
    def _says_what_is_accepted(self) -> Self:
        if self.category != NOTHING and not any(reading != (None, None) for reading in self.accept):
            raise ValueError(f"accept names no interval, and category {self.category!r} wants one")
        return self


def read_temporal_rows(path: Path) -> list[TemporalRow]:
    """Read the rows of a JSON Lines file; see `read_rows` for what may be wrong with it."""
    return read_rows(path, TemporalRow, what="time expressions")


def evaluate_temporal(
    rows: Sequence[TemporalRow],
    *,
    on_progress: Callable[[int], None] | None = None,
    seconds: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Resolve every row's text and score its main window.

    Args:
        rows: At least one.
        on_progress: Told how many rows are done after each.
        seconds: A running clock, by which each text is timed.

    Returns:
        `overall`: means over the rows with an expression and their number `n`; where there are rows without one,
        `false_pos` over those and their number `n_none`; `ms_p50`, the median time of any row. `core`: means over the
        rows with an expression that are core. `by_source`: as `overall`, of each source. `by_category`: means of each
        category. `baselines`: empty, no other system is run.
    """
    resolve("today", now=datetime(2000, 1, 1, tzinfo=UTC))  # the first text builds the vocabulary
    scored: list[Metrics] = []
    took: list[float] = []
    for done, row in enumerate(rows, start=1):
        now = aware(row.now)
        begun = seconds()
        window = main_window(resolve(row.text, now=now))
        took.append(seconds() - begun)
        predicted = (window.start, window.end) if window is not None else None
        if row.category == NOTHING:
            scored.append(false_positive_metrics(predicted))
        else:
            accepted = [(_aware_bound(start), _aware_bound(end)) for start, end in row.accept]
            scored.append(temporal_metrics(predicted, accepted, now=now))
        if on_progress is not None:
            on_progress(done)
    core = [index for index, row in enumerate(rows) if row.core and row.category != NOTHING]
    sources = sorted({row.source for row in rows})
    return {
        "overall": {**_means(rows, scored), "ms_p50": 1000 * statistics.median(took)},
        "core": {"n": len(core), **mean_metrics([scored[index] for index in core])},
        "by_source": {source: _means(rows, scored, source) for source in sources},
        "by_category": by_group(scored, [row.category for row in rows]),
        "baselines": {},
    }


def _means(rows: Sequence[TemporalRow], scored: Sequence[Metrics], source: str | None = None) -> dict[str, float]:
    pairs = [(row, metrics) for row, metrics in zip(rows, scored, strict=True) if source in {None, row.source}]
    positive = [metrics for row, metrics in pairs if row.category != NOTHING]
    negative = [metrics for row, metrics in pairs if row.category == NOTHING]
    means = {"n": len(positive), **mean_metrics(positive)}
    return {**means, "n_none": len(negative), **mean_metrics(negative)} if negative else means


def _aware_bound(moment: datetime | None) -> datetime | None:
    return aware(moment) if moment is not None else None
