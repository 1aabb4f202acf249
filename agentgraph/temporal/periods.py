"""Calendar arithmetic on a speaker's wall clock: intervals, half-known dates, and how a date gets its missing year.

Everything here is naive local time, save intervals counted from `now` in hours or less, which are aware: a wall clock
jumps, elapsed time does not. `resolve.py` turns both into UTC.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal

from agentgraph.temporal.window import Granularity

__all__ = [
    "SHORT_UNITS",
    "Clock",
    "Interval",
    "Lean",
    "Partial",
    "Unit",
    "absolute",
    "add",
    "ago_window",
    "day",
    "full_year",
    "month",
    "period",
    "period_around",
    "same_unit_parts",
    "season",
    "year",
]

Unit = Literal[
    "second",
    "minute",
    "hour",
    "day",
    "workday",
    "weekend",
    "workweek",
    "week",
    "fortnight",
    "month",
    "quarter",
    "half_year",
    "season",
    "year",
    "decade",
    "century",
]
Lean = Literal[-1, 0, 1]
"""Whether a text speaks of the past (-1), of the future (1), or does not say (0)."""

SHORT_UNITS: Final = frozenset({"second", "minute", "hour"})
_SECONDS: Final[dict[Unit, int]] = {"second": 1, "minute": 60, "hour": 3600}
_DAYS: Final[dict[Unit, int]] = {"day": 1, "week": 7, "workweek": 7, "weekend": 7, "fortnight": 14}
_MONTHS: Final[dict[Unit, int]] = {
    "month": 1,
    "quarter": 3,
    "season": 3,
    "half_year": 6,
    "year": 12,
    "decade": 120,
    "century": 1200,
}
_GRANULARITY: Final[dict[Unit, Granularity]] = {
    "second": "second",
    "minute": "minute",
    "hour": "hour",
    "day": "day",
    "workday": "day",
    "weekend": "weekend",
    "workweek": "week",
    "week": "week",
    "fortnight": "range",
    "month": "month",
    "quarter": "quarter",
    "half_year": "half_year",
    "season": "season",
    "year": "year",
    "decade": "decade",
    "century": "century",
}
# Astronomical, northern: the first days of spring, summer, autumn and winter.
_SEASON_STARTS: Final = ((3, 20), (6, 21), (9, 23), (12, 21))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When and where a text was said.

    Attributes:
        now: Aware UTC.
        zone: The speaker's.
        first_weekday: 0 is Monday, 6 Sunday.
        is_day_first: Whether `3/4` is 3 April.
        lean: What the text's verbs say about past and future.
    """

    now: datetime
    zone: tzinfo
    first_weekday: int = 0
    is_day_first: bool = False
    lean: Lean = 0

    @property
    def wall(self) -> datetime:
        """`now` on the speaker's clock, naive."""
        return _wall(self.now, self.zone)

    @property
    def today(self) -> datetime:
        """The speaker's midnight, naive."""
        return datetime.combine(self.wall.date(), time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A known half-open interval; naive ends are the speaker's wall clock, aware ones are absolute.

    Attributes:
        edge: `start` or `end` where only that side of a longer period was meant ("the end of March").
    """

    start: datetime | None
    end: datetime | None
    grain: Granularity
    certainty: float = 0.95
    edge: Literal["", "start", "end"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """A date with fields missing; the text's lean and its neighbours in a range supply them."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None

    def fill(self, clock: Clock, lean: Lean | None = None) -> Interval | None:
        """Choose the date meant: the nearest one on the side the text leans to; `None` if there is no such date."""
        return _fill(self, clock, clock.lean if lean is None else lean)

    def _fill(self, clock: Clock, direction: Lean) -> Interval | None:
        if self.year is not None:
            return _dated(self.year, self.month, self.day, 1.0)
        found = [interval for interval in self._candidates(clock) if interval is not None]
        today = clock.today
        later = [i for i in found if i.end is not None and i.end > today]
        earlier = [
            i for i in found if i.start is not None and i.start < (today if self.day or self.weekday else clock.wall)
        ]
        if self.weekday is not None and not self.day:
            earlier = [i for i in found if i.end is not None and i.end <= today]
        if direction < 0 and earlier:
            return earlier[-1]
        return later[0] if later else (earlier[-1] if earlier else None)

    def _candidates(self, clock: Clock) -> list[Interval | None]:
        today = clock.today
        if self.month is not None:
            reach = 8 if (self.month, self.day) == (2, 29) else 1
            years = range(today.year - reach, today.year + reach + 1)
            dates = [_dated(y, self.month, self.day, 0.8) for y in years]
            if self.weekday is not None:
                fitting = [d for d in dates if d and d.start is not None and d.start.weekday() == self.weekday]
                return list(fitting) or dates
            return dates
        if self.day is not None:
            months = [_month_at(today, offset) for offset in range(-14, 15)]
            dates = [_dated(first.year, first.month, self.day, 0.7) for first in months]
            if self.weekday is None:
                return dates
            return [d for d in dates if d and d.start is not None and d.start.weekday() == self.weekday]
        if self.weekday is not None:
            first = today + timedelta(days=(self.weekday - today.weekday()) % 7 - 7)
            return [day(first + timedelta(days=7 * n), 0.75) for n in range(3)]
        return []


# Both are pure, and a text asks for the same moment and the same dates again and again.
@lru_cache(maxsize=64)
def _wall(now: datetime, zone: tzinfo) -> datetime:
    return now.astimezone(zone).replace(tzinfo=None)


@lru_cache(maxsize=512)
def _fill(date: Partial, clock: Clock, direction: Lean) -> Interval | None:
    return date._fill(clock, direction)  # noqa: SLF001 - the cache of that method


def day(moment: datetime, certainty: float = 0.95) -> Interval:
    """Return the day `moment` (midnight) begins."""
    return Interval(start=moment, end=moment + timedelta(days=1), grain="day", certainty=certainty)


def month(year_: int, month_: int, certainty: float = 1.0) -> Interval:
    """Return a calendar month."""
    start = datetime(year_, month_, 1)  # noqa: DTZ001 - wall clock
    return Interval(start=start, end=_add_months(start, 1), grain="month", certainty=certainty)


def year(year_: int, certainty: float = 1.0) -> Interval:
    """Return a calendar year."""
    start = datetime(year_, 1, 1)  # noqa: DTZ001 - wall clock
    return Interval(start=start, end=_add_months(start, 12), grain="year", certainty=certainty)


def full_year(two_digits: int, clock: Clock) -> int:
    """Read a two-digit year: up to 30 years ahead it is this century's, else the last one's."""
    century = clock.wall.year // 100 * 100
    return century + two_digits if two_digits <= clock.wall.year % 100 + 30 else century - 100 + two_digits


def add(moment: datetime, unit: Unit, count: float) -> datetime:
    """Move `moment` by `count` units; month ends are clipped (31 January + 1 month = end of February).

    Raises:
        OverflowError: The result is outside the years 1 to 9999.
    """
    if unit in _SECONDS:
        return moment + timedelta(seconds=_SECONDS[unit] * count)
    if unit in _DAYS:
        return moment + timedelta(days=_whole(_DAYS[unit] * count))
    if unit == "workday":
        return _add_workdays(moment, _whole(count))
    return _add_months(moment, _whole(_MONTHS[unit] * count))


def period(unit: Unit, offset: int, clock: Clock) -> Interval:
    """Return the calendar period `offset` units from the one that holds now."""
    return period_around(clock.today if unit not in SHORT_UNITS else clock.wall, unit, clock, offset)


def period_around(moment: datetime, unit: Unit, clock: Clock, offset: int = 0) -> Interval:
    """Return the calendar period that holds `moment`, moved by `offset` units.

    Raises:
        OverflowError: The result is outside the years 1 to 9999.
    """
    if unit == "season":
        return season(moment, offset)
    if unit == "workday":
        return day(_add_workdays(moment, offset))
    midnight = datetime.combine(moment.date(), time())
    monday = midnight - timedelta(days=midnight.weekday())
    match unit:
        case "second" | "minute" | "hour":
            keep = {"second": "seconds", "minute": "minutes", "hour": "hours"}[unit]
            base = datetime.combine(moment.date(), time.fromisoformat(moment.time().isoformat(timespec=keep)))
        case "day":
            base = midnight
        case "week" | "fortnight":
            base = midnight - timedelta(days=(midnight.weekday() - clock.first_weekday) % 7)
        case "workweek":
            start = monday + timedelta(days=7 * offset)
            return Interval(start=start, end=start + timedelta(days=5), grain="week")
        case "weekend":
            start = monday + timedelta(days=5 + 7 * offset)
            return Interval(start=start, end=start + timedelta(days=2), grain="weekend")
        case "month" | "quarter" | "half_year" | "year":
            length = _MONTHS[unit]
            base = midnight.replace(day=1, month=(midnight.month - 1) // length * length + 1)
        case _:
            years = _MONTHS[unit] // 12
            base = midnight.replace(day=1, month=1, year=max(1, midnight.year // years * years))
    start = add(base, unit, offset)
    return Interval(start=start, end=add(start, unit, 1), grain=_GRANULARITY[unit])


def season(moment: datetime, offset: int = 0, index: int | None = None) -> Interval:
    """Return the season that holds `moment`, moved by `offset`; or season `index` (0 spring) of its year."""
    if index is None:
        starts = sum((moment.month, moment.day) >= start for start in _SEASON_STARTS)
        position = moment.year * 4 + starts - 1 + offset
    else:
        position = moment.year * 4 + index
    bounds = []
    for place in (position, position + 1):
        first_month, first_day = _SEASON_STARTS[place % 4]
        bounds.append(_checked(place // 4, first_month, first_day))
    return Interval(start=bounds[0], end=bounds[1], grain="season", certainty=0.8)


def same_unit_parts(interval: Interval, unit: Unit, clock: Clock) -> list[Interval]:
    """List the calendar periods of `unit` that belong to `interval`, in order; a week belongs where its Thursday is.

    Source: ISO 8601 for weeks of a year; the same majority rule serves months.
    """
    if interval.start is None or interval.end is None or interval.start.tzinfo is not None:
        return []
    found: list[Interval] = []
    moment = interval.start
    for _ in range(400):
        part = period_around(moment, unit, clock)
        if part.start is None or part.end is None or part.start >= interval.end:
            break
        middle = part.start + (part.end - part.start) / 2
        if interval.start <= middle < interval.end:
            found.append(part)
        moment = part.start + timedelta(days=7) if unit == "weekend" else part.end
        if unit == "weekend":
            moment -= timedelta(days=5)
    return found


def ago_window(clock: Clock, parts: list[tuple[float, Unit]], sign: int) -> Interval:
    """Return the period "N units ago" means: one unit, as wide as the unit it was counted in.

    Two units ("1 month 21 days ago") or a fraction are counted out to the day. Hours and less are elapsed time.
    """
    if all(unit in SHORT_UNITS for _, unit in parts):
        seconds = sum(_SECONDS[unit] * count for count, unit in parts)
        shortest: Literal["minute", "hour"] = (
            "hour" if all(unit == "hour" and count == int(count) for count, unit in parts) else "minute"
        )
        middle = clock.now + timedelta(seconds=sign * seconds)
        middle = middle.replace(second=0, microsecond=0)
        # An hour count is rounder than a minute count: half an hour to either side.
        slack = timedelta(minutes=30) if shortest == "hour" else timedelta(0)
        width = timedelta(hours=1) if shortest == "hour" else timedelta(minutes=1)
        return Interval(start=middle - slack, end=middle - slack + width, grain=shortest, certainty=0.8)
    moment = clock.today
    if any(unit in SHORT_UNITS for _, unit in parts):
        moment = clock.wall
    for count, unit in parts:
        moment = add(moment, unit, sign * count)
    finest: Unit = parts[-1][1]
    if len(parts) > 1 or parts[0][0] != int(parts[0][0]) or finest in {"day", "workday"}:
        return day(datetime.combine(moment.date(), time()), 0.9)
    if finest in {"fortnight", "weekend", "workweek"}:
        finest = "weekend" if finest == "weekend" else "week"
    if finest in {"decade", "century"}:
        finest = "year"
    found = period_around(moment, finest, clock)
    return Interval(start=found.start, end=found.end, grain=found.grain, certainty=0.8)


def _dated(year_: int, month_: int | None, day_: int | None, certainty: float) -> Interval | None:
    try:
        if month_ is None:
            return year(year_, certainty)
        if day_ is None:
            return month(year_, month_, certainty)
        return day(_checked(year_, month_, day_), certainty)
    except (ValueError, OverflowError):
        return None


def _checked(year_: int, month_: int, day_: int) -> datetime:
    return datetime.combine(date(year_, month_, day_), time())


def _month_at(moment: datetime, offset: int) -> datetime:
    return _add_months(moment.replace(day=1), offset)


def _add_months(moment: datetime, count: int) -> datetime:
    position = moment.year * 12 + moment.month - 1 + count
    year_, month_ = divmod(position, 12)
    if not 1 <= year_ <= 9999:
        raise OverflowError("outside the calendar")
    return moment.replace(year=year_, month=month_ + 1, day=min(moment.day, calendar.monthrange(year_, month_ + 1)[1]))


def _add_workdays(moment: datetime, count: int) -> datetime:
    if abs(count) > 10_000:
        raise OverflowError("outside the calendar")
    step = timedelta(days=1 if count > 0 else -1)
    left = abs(count)
    while left:
        moment += step
        left -= moment.weekday() < 5
    return moment


def _whole(count: float) -> int:
    if abs(count) > 4_000_000:
        raise OverflowError("outside the calendar")
    return int(count)


def absolute(moment: datetime, zone: tzinfo) -> datetime:
    """Place a wall-clock moment on the UTC line; a moment the clock skipped becomes the one it jumped to."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)
