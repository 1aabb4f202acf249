"""What telemetry is told: each run's events as they happen, and leases that were lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from agentgraph.events import RunEvent
from agentgraph.run import RunRequest

__all__ = ["Hear", "Observer"]

Hear: TypeAlias = Callable[[RunEvent], object]
"""Told one run's events, in order. It must be quick, and what it raises is logged and goes no further."""


class Observer(Protocol):
    """Watches runs; `AgentGraph.observe` takes it."""

    def begun(self, request: RunRequest, run_id: str) -> Hear:
        """Return what hears the events of a run that is about to begin; called where it was asked for."""

    def lease_lost(self, run_id: str) -> object:
        """Hear that another process took a run over."""
