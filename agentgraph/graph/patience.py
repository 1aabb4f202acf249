"""When a model that failed is asked again: never sooner than its vendor says, and by the caller where that is long.

LangGraph's policies hold one interval each, so there is one for each wait; the first that fits is taken.

Source: RFC 9110, section 10.2.3, of which vendors of models send the seconds.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from langgraph.types import RetryPolicy

from agentgraph.errors import is_retryable

__all__ = ["patient_retries"]

_SHORTEST_S: Final = 0.5
_WAITS_S: Final = (1.0, 2.0, 5.0, 10.0)


def patient_retries(retries: int) -> tuple[RetryPolicy, ...]:
    """Return the policies of a node that calls a model.

    A vendor that asks for longer than ten seconds is not asked again here: the caller is told how long it takes.

    Args:
        retries: How often a call that failed in a retryable way is repeated.
    """
    attempts = retries + 1
    usual = RetryPolicy(
        retry_on=partial(_may_be_repeated, within_s=_SHORTEST_S), initial_interval=_SHORTEST_S, max_attempts=attempts
    )
    asked_for = (
        RetryPolicy(
            retry_on=partial(_may_be_repeated, within_s=wait_s),
            initial_interval=wait_s,
            backoff_factor=1.0,
            max_attempts=attempts,
        )
        for wait_s in _WAITS_S
    )
    return usual, *asked_for


def _may_be_repeated(error: Exception, *, within_s: float) -> bool:
    return is_retryable(error) and _retry_after_s(error) <= within_s


def _retry_after_s(error: Exception) -> float:
    """Return for how long the vendor wants to be left alone; 0 where it does not say so in seconds."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers.get("retry-after", 0))
    except ValueError:
        return 0.0
