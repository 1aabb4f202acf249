"""Scores of the product on question sets: `temporal` for time expressions; data, tables and bars are the caller's."""

from agentgraph.evals.metrics import by_group, mean_metrics, ranking_metrics, temporal_metrics
from agentgraph.evals.temporal import TemporalRow, evaluate_temporal, read_temporal_rows

__all__ = [
    "TemporalRow",
    "by_group",
    "evaluate_temporal",
    "mean_metrics",
    "ranking_metrics",
    "read_temporal_rows",
    "temporal_metrics",
]
