"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import datetime, timedelta

from agentgraph.errors import InvalidInputError

__all__ = ["FrozenClock"]


class FrozenClock:
    """Call it for the present moment; it changes only by `move_to` and `advance`.

    Raises:
        InvalidInputError: The moment has no time zone.
    """

    def __init__(self, now: datetime) -> None:
        self.move_to(now)

    def __call__(self) -> datetime:  # noqa: D102  the class says it
        return self._now

    def move_to(self, now: datetime) -> None:
        """Set the clock to `now`, which must be aware."""
        if now.tzinfo is None:
            raise InvalidInputError(f"a clock needs a time zone; {now.isoformat()} has none", param="now")
        self._now = now

    def advance(self, by: timedelta) -> None:
        """Move the clock on."""
        self._now += by
