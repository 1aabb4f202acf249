"""A vendor is left alone for as long as it says; what it says at too great a length is the caller's to wait for."""

from __future__ import annotations

import httpx
import pytest
from langchain_core.exceptions import ModelInvalidRequestError, ModelRateLimitError

from agentgraph.graph.patience import patient_retries


class RefusedError(ModelRateLimitError):
    """As a vendor's package raises it: with the answer it came from."""

    def __init__(self, says: str | None) -> None:
        super().__init__("slow down")
        self.response = httpx.Response(429, headers={} if says is None else {"retry-after": says})


def interval(error: Exception) -> float | None:
    """Return the interval of the first policy that fits, as LangGraph takes it."""
    fitting = (each for each in patient_retries(2) if callable(each.retry_on) and each.retry_on(error))
    return next((each.initial_interval for each in fitting), None)


@pytest.mark.parametrize(
    ("says", "waits_s"),
    [
        (None, 0.5),
        ("0", 0.5),
        ("-3", 0.5),
        ("0.6", 1),
        ("1", 1),
        ("1.5", 2),
        ("7", 10),
        ("10", 10),
        ("11", None),
        ("inf", None),
        ("nan", None),
        ("soon", 0.5),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.5),
    ],
)
def test_a_vendor_is_left_alone_for_as_long_as_it_says(says: str | None, waits_s: float | None) -> None:
    assert interval(RefusedError(says)) == waits_s


def test_what_cannot_help_is_not_repeated() -> None:
    assert interval(ModelRateLimitError("slow down")) == 0.5
    assert interval(ModelInvalidRequestError("no")) is None
    assert interval(ValueError("no")) is None


def test_callers_that_fail_together_do_not_come_back_together() -> None:
    assert all(policy.jitter for policy in patient_retries(2))
    assert {policy.max_attempts for policy in patient_retries(2)} == {3}
