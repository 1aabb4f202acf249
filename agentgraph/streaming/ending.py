"""Endings that OpenAI's and LangChain's messages have no word for, as one small object both formats carry along."""

from __future__ import annotations

from typing import Any

from agentgraph.events import RunFinished
from agentgraph.run import RunResult

__all__ = ["unusual_ending"]


def unusual_ending(ending: RunResult | RunFinished) -> dict[str, Any]:
    """Return `status`, and what is waited for, of a run that was cancelled or asks something; else nothing."""
    if ending.is_cancelled:
        return {"status": "cancelled"}
    if ending.interrupts:
        return {"status": "requires_action", "interrupts": [dict(interrupt) for interrupt in ending.interrupts]}
    return {}
