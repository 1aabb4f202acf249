"""The sliding window: so many in any minute, and a wait that is right."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgraph.errors import RateLimitedError
from agentgraph.server.rates import Rates
from agentgraph.settings import Limits


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0.15, 40), max_size=60), st.integers(1, 10))
def test_no_minute_holds_more_than_the_limit(pauses: list[float], limit: int) -> None:
    clock = Clock()
    rates, account, let_in = Rates(clock), ("key:a", Limits(requests_per_min=limit)), []
    for pause in pauses:
        clock.now += pause
        try:
            rates.take_request(account)
        except RateLimitedError as refused:
            clock.now += refused.retry_after_s + 0.001
            rates.take_request(account)  # the wait it told was long enough
        let_in.append(clock.now)
    for first, last in zip(let_in, itertools.islice(let_in, limit, None), strict=False):
        assert last - first >= 60 - 0.2


def test_accounts_do_not_share_windows() -> None:
    rates = Rates(Clock())
    for name in ("key:a", "tenant:a", "tenant:b"):
        rates.take_request((name, Limits(requests_per_min=1)))
        with pytest.raises(RateLimitedError, match=r"Rate limit reached on requests per min \(RPM\): Limit 1, Used 1"):
            rates.take_request((name, Limits(requests_per_min=1)))


def test_tokens_are_counted_as_guessed_and_then_as_used() -> None:
    clock = Clock()
    rates, accounts = Rates(clock), [("tenant:a", Limits(tokens_per_min=100))]
    with rates.run(accounts, 60) as settle:
        with pytest.raises(RateLimitedError) as refused, rates.run(accounts, 60):
            pass
        assert refused.value.what == "tokens"
        settle(10)
    with rates.run(accounts, 60) as settle:
        settle(95)
    with pytest.raises(RateLimitedError), rates.run(accounts, 60):
        pass
    clock.now += 60
    with rates.run(accounts, 1_000) as settle:  # larger than the limit: alone it may
        settle(1_000)


def test_runs_under_way_are_counted_and_given_back_whatever_happens() -> None:
    rates, accounts = Rates(Clock()), [("tenant:a", Limits(concurrent_runs=1)), ("key:a", Limits(concurrent_runs=1))]

    def fail() -> None:
        with rates.run(accounts, 0):
            with pytest.raises(RateLimitedError), rates.run(accounts[1:], 0):
                pass
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            fail()
    blocked = [("tenant:b", Limits(concurrent_runs=1)), accounts[1]]
    with rates.run(accounts, 0), pytest.raises(RateLimitedError), rates.run(blocked, 0):
        pass
    with rates.run(blocked, 0):
        pass


def test_idle_accounts_are_forgotten() -> None:
    clock = Clock()
    rates = Rates(clock)
    for number in range(10_001):
        rates.take_request((f"key:{number}", Limits(requests_per_min=1)))
    clock.now += 61
    rates.take_request(("key:new", Limits(requests_per_min=1)))
    assert len(rates._windows) == 1


def test_a_run_that_never_began_used_nothing() -> None:
    rates, accounts = Rates(Clock()), [("tenant:a", Limits(tokens_per_min=100))]
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no budget"), rates.run(accounts, 100):
            raise RuntimeError("no budget")


def test_what_was_guessed_too_high_is_no_credit_for_later() -> None:
    clock = Clock()
    rates, accounts = Rates(clock), [("tenant:a", Limits(tokens_per_min=100))]
    with rates.run(accounts, 100) as settle:
        clock.now += 50
        settle(10)
    clock.now += 11  # the guess is over a minute old
    with rates.run(accounts, 100) as settle:
        settle(100)
    with pytest.raises(RateLimitedError), rates.run(accounts, 1):
        pass


def test_a_crowd_is_not_looked_through_by_each_of_its_requests() -> None:
    rates = Rates(Clock())
    for number in range(10_101):
        rates.take_request((f"tenant:{number}", Limits(requests_per_min=2)))
    usual = rates._windows
    for number in range(100):
        rates.take_request((f"tenant:{number}", Limits(requests_per_min=2)))
    assert rates._windows is usual
