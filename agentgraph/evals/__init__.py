"""Scores of the product on question sets: `memory` for recall, `temporal` for time expressions, `tools` for choosing.

Data, tables and bars are the caller's.
"""

from agentgraph.evals.memory import (
    MemoryQuestion,
    MemoryRow,
    evaluate_memory,
    read_memory_questions,
    read_memory_rows,
)
from agentgraph.evals.metrics import by_group, mean_metrics, ranking_metrics, temporal_metrics
from agentgraph.evals.temporal import TemporalRow, evaluate_temporal, read_temporal_rows
from agentgraph.evals.tools import ToolRequest, ToolRow, evaluate_tools, read_tool_requests, read_tool_rows

__all__ = [
    "MemoryQuestion",
    "MemoryRow",
    "TemporalRow",
    "ToolRequest",
    "ToolRow",
    "by_group",
    "evaluate_memory",
    "evaluate_temporal",
    "evaluate_tools",
    "mean_metrics",
    "ranking_metrics",
    "read_memory_questions",
    "read_memory_rows",
    "read_temporal_rows",
    "read_tool_requests",
    "read_tool_rows",
    "temporal_metrics",
]
