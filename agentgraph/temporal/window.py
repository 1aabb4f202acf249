"""What a time expression means: a half-open interval of aware UTC datetimes, and how to say it to a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

__all__ = ["Direction", "Granularity", "Window", "direction_of", "main_window"]

Granularity = Literal[
    "second",
    "minute",
    "hour",
    "part_of_day",
    "day",
    "weekend",
    "week",
    "month",
    "quarter",
    "half_year",
    "season",
    "year",
    "decade",
    "century",
    "range",
]
Direction = Literal["past", "present", "future"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The interval one time expression names.

    Attributes:
        start: First moment inside, aware UTC; `None` means open (everything before `end`).
        end: First moment outside, aware UTC; `None` means open (everything from `start` on).
        granularity: The unit the speaker thought in; `range` where two ends were named or a side is open.
        direction: Where the interval lies seen from `now`; `present` if it holds `now`.
        certainty: From 0 to 1, how likely a second person would read the same interval.
        mention: The expression as written.
        span: Where it stands: `text[span[0]:span[1]] == mention`.
    """

    start: datetime | None
    end: datetime | None
    granularity: Granularity
    direction: Direction
    certainty: float
    mention: str
    span: tuple[int, int]

    def overlaps(self, start: datetime | None, end: datetime | None) -> bool:
        """Say whether the half-open `[start, end)` shares a moment with this window (`None` = open)."""
        begins_in_time = self.end is None or start is None or start < self.end
        ends_in_time = self.start is None or end is None or self.start < end
        return begins_in_time and ends_in_time

    def contains(self, moment: datetime) -> bool:
        """Say whether `moment` (aware) lies inside."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)

    def describe(self, zone: str | tzinfo = "UTC") -> str:
        """Put the window into words for people in `zone`, with the last day or minute that is still inside."""
        local = ZoneInfo(zone) if isinstance(zone, str) else zone
        start = self.start.astimezone(local) if self.start is not None else None
        last = (self.end - timedelta(seconds=1)).astimezone(local) if self.end is not None else None
        end = self.end.astimezone(local) if self.end is not None else None
        whole_days = _is_midnight(start) and _is_midnight(end)
        if start is None and last is None:
            return "any time"
        if start is None:
            assert last is not None and end is not None  # noqa: S101, PT018 - the case above; mypy cannot see it
            return f"until {_day(last)}" if whole_days else f"until {_day(end)} {end:%H:%M}"
        if last is None:
            return f"from {_day(start)}" if whole_days else f"from {_day(start)} {start:%H:%M}"
        assert end is not None  # noqa: S101 - `last` comes from it
        if whole_days:
            return _day(start) if start.date() == last.date() else f"{_day(start)} to {_day(last)}"
        if start.date() == last.date():
            until = "24:00" if end.date() != start.date() else f"{end:%H:%M}"
            return f"{_day(start)} {start:%H:%M} to {until}"
        return f"{_day(start)} {start:%H:%M} to {_day(end)} {end:%H:%M}"


_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _day(moment: datetime) -> str:
    # Not strftime: its names follow the process's locale, and prompts must not.
    return f"{_WEEKDAYS[moment.weekday()]} {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def _is_midnight(moment: datetime | None) -> bool:
    # Where the clock jumps at midnight, the day begins at one: compare moments, not hours.
    if moment is None:
        return True
    midnight = datetime.combine(moment.date(), time(), moment.tzinfo)
    # In UTC: a moment the clock passes twice equals none in another zone (PEP 495).
    return midnight.astimezone(UTC) == moment.astimezone(UTC)


def main_window(windows: Iterable[Window]) -> Window | None:
    """Pick the time a text is about: the one it spends the most characters on, and of equals the first."""
    return max(windows, key=lambda window: (len(window.mention), -window.span[0]), default=None)


def direction_of(start: datetime | None, end: datetime | None, now: datetime) -> Direction:
    """Say where `[start, end)` lies seen from `now` (all aware)."""
    if end is not None and end <= now:
        return "past"
    if start is not None and start.astimezone(UTC) > now.astimezone(UTC):
        return "future"
    return "present"
