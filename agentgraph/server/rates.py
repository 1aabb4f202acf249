"""How much came in the last minute, and how much is under way: by key and by tenant, within one process.

A sliding window and no token bucket: a limit then means what it says, so many in any minute, and how long to wait is
known to the second.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Literal, TypeAlias

from agentgraph.errors import RateLimitedError
from agentgraph.settings import Limits

__all__ = ["Account", "Rates", "Window"]

Account: TypeAlias = tuple[str, Limits]
"""Who is counted, `key:…` or `tenant:…`, and how much they may."""

_MINUTE_S: Final = 60.0
_GRAIN_S: Final = 0.1  # what comes closer together is kept as one
_MOST_IDLE: Final = 10_000
_RUN_RETRY_S: Final = 1.0


class Window:
    """What was used in the last minute."""

    def __init__(self) -> None:
        self._entries: deque[list[float]] = deque()  # [when, how much]
        self._sum = 0.0

    def used(self, now: float) -> float:
        """Return how much was used in the minute before `now`."""
        while self._entries and self._entries[0][0] <= now - _MINUTE_S:
            self._sum -= self._entries.popleft()[1]
        return self._sum

    def wait_s(self, amount: float, limit: float, now: float) -> float:
        """Return how long `amount` must wait to fit; 0 where it does. Alone, anything fits."""
        excess = self.used(now) + min(amount, limit) - limit
        for at, used in self._entries:
            if excess <= 0:
                break
            excess -= used
            if excess <= 0:
                return at + _MINUTE_S - now
        return 0.0

    def add(self, amount: float, now: float) -> list[float]:
        """Note a use, and return the entry it is noted in."""
        self._sum += amount
        if self._entries and now - self._entries[-1][0] < _GRAIN_S:
            self._entries[-1][1] += amount
        else:
            self._entries.append([now, amount])
        return self._entries[-1]

    def take_back(self, amount: float, entry: list[float], now: float) -> None:
        """Take back what was noted too much, from where it was noted: what is over a minute old counts no more."""
        if entry[0] > now - _MINUTE_S:
            entry[1] -= amount
            self._sum -= amount


class Rates:
    """The windows of every account, and its runs under way. Belongs to one event loop.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}
        self._under_way: dict[str, int] = {}
        self._tidy_at = 0.0

    def take_request(self, account: Account) -> None:
        """Count a request.

        Raises:
            RateLimitedError: There were too many in the last minute; it is not counted.
        """
        name, limits = account
        if limits.requests_per_min is not None:
            self._take("requests", name, 1, limits.requests_per_min)

    @contextmanager
    def run(self, accounts: Iterable[Account], tokens: int) -> Iterator[Callable[[int], None]]:
        """Count a run from here on; call what is given with the tokens it used, once that is known.

        Args:
            accounts: Whom it counts for.
            tokens: How many it may use, as far as one can tell.

        Raises:
            RateLimitedError: Too many runs are under way, or too many tokens were used in the last minute.
        """
        taken: list[str] = []
        with ExitStack() as under_way:
            for name, limits in accounts:
                if limits.concurrent_runs is not None:
                    under_way.enter_context(self._counted(name, limits.concurrent_runs))
            for name, limits in accounts:
                if limits.tokens_per_min is not None:
                    self._check("tokens", name, tokens, limits.tokens_per_min)
                    taken.append(name)
            now = self._clock()
            noted = [(window := self._window("tokens", name), window.add(tokens, now)) for name in taken]
            is_settled = False

            def settle(used: int) -> None:
                nonlocal is_settled
                is_settled, now = True, self._clock()
                for window, entry in noted:
                    if used > tokens:
                        window.add(used - tokens, now)
                    else:
                        window.take_back(tokens - used, entry, now)

            try:
                yield settle
            finally:
                if not is_settled:  # it never began
                    settle(0)

    @contextmanager
    def _counted(self, name: str, limit: int) -> Iterator[None]:
        count = self._under_way.get(name, 0)
        if count >= limit:
            raise RateLimitedError(
                f"Rate limit reached on concurrent runs: Limit {limit}, Used {count}, Requested 1. "
                "Please try again when one has ended.",
                what="requests",
                retry_after_s=_RUN_RETRY_S,
            )
        self._under_way[name] = count + 1
        try:
            yield
        finally:
            left = self._under_way.pop(name) - 1
            if left:
                self._under_way[name] = left

    def _take(self, what: Literal["requests", "tokens"], name: str, amount: int, limit: int) -> None:
        self._check(what, name, amount, limit)
        self._window(what, name).add(amount, self._clock())

    def _check(self, what: Literal["requests", "tokens"], name: str, amount: int, limit: int) -> None:
        now, window = self._clock(), self._window(what, name)
        if (wait_s := window.wait_s(amount, limit, now)) > 0:
            short = "RPM" if what == "requests" else "TPM"
            raise RateLimitedError(  # in OpenAI's words, which programs look for
                f"Rate limit reached on {what} per min ({short}): Limit {limit}, Used {window.used(now):.0f}, "
                f"Requested {amount}. Please try again in {wait_s:.3g}s.",
                what=what,
                retry_after_s=wait_s,
            )

    def _window(self, what: str, name: str) -> Window:
        if len(self._windows) > _MOST_IDLE and (now := self._clock()) >= self._tidy_at:
            self._windows = {place: window for place, window in self._windows.items() if window.used(now) > 0}
            self._tidy_at = now + _MINUTE_S  # who is not idle now is not for a minute
        return self._windows.setdefault((what, name), Window())
