"""Dates that name a calendar: "3 March 2015", "2015-03-03", "Fri 11.8", "Q3 2019", "the 90s", "week 31"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from agentgraph.temporal.grammar import Made, Rule
from agentgraph.temporal.periods import Clock, Interval, Partial, add, full_year, season
from agentgraph.temporal.tokens import Token

__all__ = ["DATE_RULES", "is_plain_day_month", "pick_season", "read_decimal", "read_slashed"]

_DIGITS: Final = re.compile(r"\d+")
_DAY_MONTH: Final = re.compile(r"\d\d\.\d\d")
_QUARTER: Final = re.compile(r"(\d{2,4})?([qh])(\d)(?:[/-]?(\d{4}))?")


def _numbers(token: Token) -> list[int]:
    return [int(digits) for digits in _DIGITS.findall(token.value)]


def _is_date(month: int | None, day: int | None) -> bool:
    return (month is None or 1 <= month <= 12) and (day is None or 1 <= day <= 31)


def _partial(year: int | None, month: int | None, day: int | None, weekday: int | None = None) -> Made:
    if not _is_date(month, day):
        return None
    if year is not None and month is not None and day is not None:
        datetime(year, month, day)  # noqa: DTZ001 - raises where there is no such day
    return "when", Partial(year=year, month=month, day=day, weekday=weekday)


def _year_first(tokens: Sequence[Token], _: Clock) -> Made:
    year, month, day = _numbers(tokens[0])[:3]
    # 2024-13-01 can only be 13 January.
    return _partial(year, day, month) if month > 12 else _partial(year, month, day)


def _timestamp(tokens: Sequence[Token], _: Clock) -> Made:
    """Read an ISO 8601 timestamp; with an offset it is absolute, without one the speaker's wall clock."""
    moment = datetime.fromisoformat(tokens[0].value.upper()).replace(second=0, microsecond=0)
    return "when", Interval(start=moment, end=moment + timedelta(minutes=1), grain="minute", certainty=1.0)


def _compact(tokens: Sequence[Token], _: Clock) -> Made:
    digits = tokens[0].value
    return _partial(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def _year_last(tokens: Sequence[Token], clock: Clock) -> Made:
    first, second, year = _numbers(tokens[0])
    if year < 100:
        year = full_year(year, clock)
    day_first = clock.is_day_first or "." in tokens[0].value
    month, day = (second, first) if (day_first and second <= 12) or first > 12 else (first, second)
    return _partial(year, month, day)


def _year_month(tokens: Sequence[Token], _: Clock) -> Made:
    year, month = _numbers(tokens[0])
    return _partial(year, month, None)


def _month_year(tokens: Sequence[Token], _: Clock) -> Made:
    month, year = _numbers(tokens[0])
    return _partial(year, month, None)


def _chinese(tokens: Sequence[Token], _: Clock) -> Made:
    numbers = _numbers(tokens[0])
    if "年" not in tokens[0].value:
        return _partial(None, numbers[0], numbers[1] if len(numbers) > 1 else None)
    year, month, day = [*numbers, None, None][:3]
    return _partial(year, month, day)


def read_slashed(token: Token, clock: Clock) -> Partial | None:
    """Read `5/12` or `16.12.` in the locale's order; `None` if it is no date either way."""
    first, second = _numbers(token)
    day_first = clock.is_day_first or token.kind == "dot_md"
    month, day = (second, first) if (day_first and second <= 12) or first > 12 else (first, second)
    return Partial(month=month, day=day) if _is_date(month, day) and month and day else None


def _written(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read a date with the month in letters, in any order, with or without day, weekday and year."""
    year = month = day = weekday = None
    for token in tokens:
        match token.kind:
            case "month":
                month = token.value
            case "weekday":
                weekday = token.value
            case "year":
                year = token.value
            case "ordinal":
                day = token.value
            case "number" if isinstance(token.value, int):
                if day is None:
                    day = token.value
                elif 0 <= token.value < 100 and len(token.text) == 2:
                    year = full_year(token.value, clock)
                else:
                    return None
            case "glued_number":
                day = int(token.value)
            case "number":
                return None
            case _:
                pass
    words = [token for token in tokens if token.kind == "number" and not token.text[:1].isdigit()]
    if words and year is None and any(token.text in {"may", "march"} for token in tokens) and words[0].value < 20:
        return None
    if month is None or (day is not None and not 1 <= day <= 31):
        return None
    if day is not None and year is None and (month, day) in {(2, 30), (2, 31), (4, 31), (6, 31), (9, 31), (11, 31)}:
        return None
    return _partial(year, month, day, weekday)


def _weekday_of_month(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "Monday 24th", "Thursday the 21st"; a bare number after a weekday is a day only if it looks like one."""
    day = tokens[-1].value
    looks_like_a_day = tokens[-1].kind == "ordinal" or len(tokens[-1].text) == 2
    if not isinstance(day, int) or not 1 <= day <= 31 or not looks_like_a_day:
        return None
    return "when", Partial(day=day, weekday=tokens[0].value)


def _weekday_slashed(tokens: Sequence[Token], clock: Clock) -> Made:
    found = read_slashed(tokens[-1], clock)
    return ("when", found) if found else None


def _weekday_decimal(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read the "11.8" of "Fri 11.8"."""
    return read_decimal(tokens[-1:], clock)


def is_plain_day_month(text: str) -> bool:
    """Say whether `text` is written as `16.12` with two digits each, as days and months are and prices seldom."""
    return _DAY_MONTH.fullmatch(text) is not None


def read_decimal(tokens: Sequence[Token], _: Clock) -> Made:
    """Read `16.12` as 16 December, or as 12 September where only that fits."""
    parts = tokens[0].text.split(".")
    if len(parts) != 2 or not all(part.isdigit() and len(part) <= 2 for part in parts):
        return None
    first, second = int(parts[0]), int(parts[1])
    month, day = (second, first) if second <= 12 else (first, second)
    return _partial(None, month, day) if month and day else None


def _weekday_date(tokens: Sequence[Token], _: Clock) -> Made:
    """Join "Friday" and the date beside it."""
    weekday = next(token.value for token in tokens if token.kind == "weekday")
    date = next(token.value for token in tokens if token.kind == "when")
    if not isinstance(date, Partial) or date.day is None or date.weekday is not None:
        return None
    return "when", Partial(year=date.year, month=date.month, day=date.day, weekday=weekday)


def _decade(tokens: Sequence[Token], clock: Clock) -> Made:
    digits = int(_DIGITS.findall(tokens[0].value)[0])
    if digits < 100:
        if not tokens[0].is_definite and tokens[0].value[0] != "'":
            return None
        digits += clock.wall.year // 100 * 100
        if digits > clock.wall.year:
            digits -= 100
    if digits % 10:
        return None
    start = datetime(digits, 1, 1)  # noqa: DTZ001 - wall clock
    return "when", Interval(start=start, end=add(start, "decade", 1), grain="decade")


@lru_cache(maxsize=256)
def _quarter_of(year: int, kind: str, index: int, certainty: float = 1.0) -> Made:
    length = 3 if kind == "q" else 6
    if not 1 <= index <= 12 // length:
        return None
    start = datetime(year, (index - 1) * length + 1, 1)  # noqa: DTZ001 - wall clock
    end = add(start, "month", length)
    return "when", Interval(start=start, end=end, grain="quarter" if kind == "q" else "half_year", certainty=certainty)


def _quarter(tokens: Sequence[Token], clock: Clock) -> Made:
    token = next(token for token in tokens if token.kind == "quarter")
    found = _QUARTER.fullmatch(token.value)
    if found is None:
        return None
    written = found[1] or found[4]
    year = next((t.value for t in tokens if t.kind == "year"), None)
    if year is None and written:
        year = int(written) if len(written) == 4 else full_year(int(written), clock)
    if year is None and found[2] == "h":
        return None
    return _quarter_of(year or clock.wall.year, found[2], int(found[3]), 1.0 if year else 0.7)


def _ordinal_quarter(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "third quarter (of) 2016", "2016 the third quarter", "the 4th qtr"."""
    unit = next(token.value for token in tokens if token.kind == "unit")
    index = next(token.value for token in tokens if token.kind == "ordinal")
    if unit == "century" and len(tokens) == 2 and 1 < index <= 99:
        start = datetime((index - 1) * 100, 1, 1)  # noqa: DTZ001 - wall clock
        return "when", Interval(start=start, end=add(start, "century", 1), grain="century", certainty=0.9)
    if unit not in {"quarter", "half_year"}:
        return None
    year = clock.wall.year
    certainty = 0.75
    for token in tokens:
        if token.kind == "year":
            year, certainty = token.value, 1.0
        if token.kind == "shift":
            year, certainty = clock.wall.year + token.value, 0.95
    return _quarter_of(year, "q" if unit == "quarter" else "h", index, certainty)


def _season_year(tokens: Sequence[Token], _: Clock) -> Made:
    index = next(token.value for token in tokens if token.kind == "season")
    year = next(token.value for token in tokens if token.kind == "year")
    return "when", season(datetime(year, 1, 1), index=index)  # noqa: DTZ001 - wall clock


def pick_season(index: int, step: int, clock: Clock) -> Made:
    """Choose among the years' seasons: -1 the last one over, 0 the one now or next, 1 the next to begin."""
    years = [clock.wall.year + offset for offset in range(-2, 3)]
    choices = [season(datetime(y, 1, 1), index=index) for y in years if 1 <= y < 9999]  # noqa: DTZ001 - wall clock
    today = clock.today
    if step < 0:
        over = [c for c in choices if c.end is not None and c.end <= today]
        return ("when", over[step]) if len(over) >= -step else None
    if step == 0 and clock.lean < 0:
        begun = [c for c in choices if c.start is not None and c.start <= today]
        return ("when", begun[-1]) if begun else None
    if step == 0:
        open_ = [c for c in choices if c.end is not None and c.end > today]
        return ("when", open_[0]) if open_ else None
    ahead = [c for c in choices if c.start is not None and c.start > today]
    return ("when", ahead[step - 1]) if len(ahead) >= step else None


def _week_number(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "week 31", "week 31 of 2018"; source: ISO 8601."""
    if tokens[0].text not in _WEEK or not isinstance(tokens[1].value, int) or not 1 <= tokens[1].value <= 53:
        return None
    year = next((token.value for token in tokens if token.kind == "year"), clock.wall.year)
    start = datetime.fromisocalendar(year, tokens[1].value, 1)
    return "when", Interval(start=start, end=start + timedelta(days=7), grain="week")


def _later_week_number(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "week 31"; a low number with no preposition counts the weeks of a plan ("Week 1: read the brief")."""
    return _week_number(tokens, clock) if isinstance(tokens[1].value, int) and tokens[1].value > _PLAN_WEEKS else None


_PLAN_WEEKS: Final = 8
_WEEK: Final = frozenset({"week", "wk", "woche", "semaine", "semana"})


def _explicit_year(tokens: Sequence[Token], _: Clock) -> Made:
    if tokens[0].kind == "unit" and (tokens[0].value != "year" or tokens[0].text.endswith("s")):
        return None
    year = next((token.value for token in tokens if token.kind in {"year", "glued_number"}), None)
    return _partial(int(year), None, None) if year else None


def _fiscal(tokens: Sequence[Token], clock: Clock) -> Made:
    digits = str(tokens[1].value)
    year = int(digits) if len(digits) == 4 else full_year(int(digits), clock) if len(digits) == 2 else None
    return _partial(year, None, None) if year else None


def _compared(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "=2019", "> = 2019", "< 2019"."""
    start = datetime(tokens[1].value, 1, 1)  # noqa: DTZ001 - wall clock
    end = add(start, "year", 1)
    sign = tokens[0].value.replace(" ", "")
    match sign:
        case ">=":
            return "when", Interval(start=start, end=None, grain="range")
        case ">":
            return "when", Interval(start=end, end=None, grain="range")
        case "<=":
            return "when", Interval(start=None, end=end, grain="range")
        case "<":
            return "when", Interval(start=None, end=start, grain="range")
        case _:
            return "when", Interval(start=start, end=end, grain="year", certainty=0.6)


_OF: Final = "(of|comma|in|slash|dash)?"
_DAY: Final = "(ordinal|number)"
_MARK: Final = "(dash|slash|comma)?"
DATE_RULES: Final = (
    Rule.of("iso", _timestamp),
    Rule.of("ymd|yspace", _year_first),
    Rule.of("ymd8", _compact),
    Rule.of("dmy|dmy_dots", _year_last),
    Rule.of("ym", _year_month),
    Rule.of("my", _month_year),
    Rule.of("cjk", _chinese),
    # Month in letters.
    Rule.of(
        f"(?<!month) (weekday (comma|dash)?)? {_DAY} (of|dash|slash)? month (comma|of|in|dash|slash){{0,2}} year",
        _written,
    ),
    Rule.of(
        f"(weekday (comma|dash)?)? month {_MARK} ({_DAY}|glued_number) (comma|of|in|dash|slash){{0,2}} year",
        _written,
    ),
    Rule.of("year (dash|slash|comma)? month (dash|slash|comma)? (ordinal|number)", _written),
    Rule.of("year (dash|slash) (ordinal|number) (dash|slash) month", _written),
    Rule.of("(?<!month) (ordinal|number) (of|dash|slash)? month dash? comma? number", _written),
    Rule.of("month (ordinal|number) comma? number", _written),
    Rule.of(f"month {_OF} year", _written),
    Rule.of("year (slash|dash|comma)? month", _written),
    Rule.of("weekday comma? (ordinal|number) (of|dash|slash)? month", _written),
    Rule.of("weekday (comma|dash)? month (dash|comma)? (ordinal|number|glued_number)", _written),
    Rule.of("(?<!month) (ordinal|number) (of|dash|slash)? month (comma? weekday)?", _written),
    Rule.of("month (dash|comma|slash)? (ordinal|number|glued_number) (comma? weekday)?", _written),
    Rule.of("weekday comma? ordinal", _weekday_of_month),
    Rule.of(
        "weekday comma? number (?!(number|unit|short_unit|oclock|meridiem|to|dash|until|and|in|other|month|weekday))",
        _weekday_of_month,
    ),
    Rule.of("weekday comma? slash_md", _weekday_slashed),
    Rule.of("weekday comma? dot_md", _weekday_slashed),
    Rule.of("weekday comma? number", _weekday_decimal),
    Rule.of("weekday comma? when", _weekday_date),
    Rule.of("when comma weekday", _weekday_date),
    # Quarters, decades, seasons, weeks.
    Rule.of("decade", _decade),
    Rule.of("quarter (of|comma|slash|in)? year", _quarter),
    Rule.of("year (dash|slash)? quarter", _quarter),
    Rule.of("quarter", _quarter),
    Rule.of("ordinal unit (of|in)? year", _ordinal_quarter),
    Rule.of("year (comma|dash)? ordinal unit", _ordinal_quarter),
    Rule.of("ordinal unit (?!((of|in)? (shift|coming|when|unit|year)))", _ordinal_quarter),
    Rule.of("season (of|comma|in)? year", _season_year),
    Rule.of("year season", _season_year),
    Rule.of("unit number (of|comma|in) year", _week_number),
    Rule.of("(?<=(in|from|between|to|and|until|since|before|after|dash|comparison)) unit number", _week_number),
    Rule.of("unit number", _later_week_number),
    Rule.of("(year_word|unit) of? year", _explicit_year),
    Rule.of("year_word (number|glued_number)", _fiscal),
    Rule.of("in? year era", _explicit_year),
    Rule.of("comparison year", _compared),
)
