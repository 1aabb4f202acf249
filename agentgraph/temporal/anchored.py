"""Expressions that build on another: "first Monday of June", "end of March", "3 days ago", "2 weeks after Easter"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Final, Literal

from agentgraph.temporal.dates import pick_season
from agentgraph.temporal.grammar import Made, Rule
from agentgraph.temporal.holidays import holiday
from agentgraph.temporal.periods import (
    SHORT_UNITS,
    Clock,
    Interval,
    Partial,
    Unit,
    add,
    ago_window,
    day,
    month,
    period,
    period_around,
    same_unit_parts,
    season,
)
from agentgraph.temporal.reading import (
    CALENDAR_UNITS,
    SHIFT,
    as_interval,
    has_kind,
    named_holiday,
    read_duration,
    token_of,
)
from agentgraph.temporal.relative import shift_month, shift_unit, shift_units, shift_weekday
from agentgraph.temporal.tokens import Token
from agentgraph.temporal.window import Granularity

__all__ = ["ANCHORED_RULES"]


def _ago(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "3 days ago", "3 days later", "hace tres días"."""
    sign = 1 if has_kind(tokens, "later") else -1
    return "when", ago_window(clock, list(token_of(tokens, "duration").value), sign)


def _before_now(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "4 days before" where nothing follows, and "3 days from now"."""
    sign = -1 if tokens[1].kind == "before" else 1
    return "when", ago_window(clock, list(tokens[0].value), sign)


def _in_duration(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "in 3 weeks"; "for 3 weeks" and "over 3 weeks" are lengths, not dates."""
    if tokens[0].kind == "in" and (tokens[0].text not in _IN_FUTURE or clock.lean < 0):
        # "I finished it in 4 hours" tells how long, not when.
        return None
    return "when", ago_window(clock, list(tokens[1].value), 1)


_IN_FUTURE: Final = frozenset({"in", "en", "dans", "em", "dentro de", "daqui a", "d'ici"})


def _within(tokens: Sequence[Token], clock: Clock) -> Made:
    parts = list(token_of(tokens, "duration").value)
    if all(unit in SHORT_UNITS for _, unit in parts):
        end = clock.now
        for count, unit in parts:
            end = add(end, unit, count)
        return "when", Interval(start=clock.now, end=end, grain="range", certainty=0.85)
    moment = clock.wall if any(unit in SHORT_UNITS for _, unit in parts) else clock.today
    for count, unit in parts:
        moment = add(moment, unit, count)
    if any(unit in SHORT_UNITS for _, unit in parts):
        return "when", Interval(start=clock.wall, end=moment, grain="range", certainty=0.85)
    return "when", Interval(
        start=clock.today, end=moment + timedelta(days=1 if len(parts) == 1 else 0), grain="range", certainty=0.85
    )


def _within_from(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "less than 3 days after tomorrow", "more than 2 weeks after today"."""
    anchor = as_interval(tokens[-1], clock)
    if anchor is None or anchor.start is None:
        return None
    moment = anchor.start
    for count, unit in tokens[1].value:
        moment = add(moment, unit, count)
    if tokens[0].kind == "more_than":
        return "when", Interval(start=moment, end=None, grain="range")
    return "when", Interval(start=anchor.start, end=moment, grain="range")


def _counted_from(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "two days after Easter", "a week before yesterday", "3 weeks from 20 May"."""
    anchor = as_interval(tokens[-1], clock)
    if anchor is None or anchor.start is None:
        return None
    sign = -1 if tokens[-2].kind == "before" else 1
    moment = anchor.start
    parts = tokens[-3].value
    for count, unit in parts:
        moment = add(moment, unit, sign * count)
    if any(unit in SHORT_UNITS for _, unit in parts):
        return None
    if tokens[0].text == "for":
        # A length, not a distance: "for 3 days from today".
        return "when", Interval(start=anchor.start, end=moment, grain="range", certainty=0.85)
    return "when", day(datetime.combine(moment.date(), time()), 0.9)


def _next_to(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "the day after Christmas", "the week before Easter"."""
    anchor = as_interval(tokens[-1], clock)
    unit: Unit = tokens[0].value
    if anchor is None or anchor.start is None or not tokens[0].is_definite or unit not in _NEIGHBOURS:
        return None
    return "when", period_around(anchor.start, unit, clock, -1 if tokens[1].kind == "before" else 1)


_NEIGHBOURS: Final = frozenset({"day", "week", "weekend", "month", "year"})


def _date_plus(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "next Tuesday +10 days", "2023-12-29 -10 days"."""
    anchor = as_interval(tokens[0], clock)
    if anchor is None or anchor.start is None or anchor.grain != "day":
        return None
    moment = anchor.start
    for count, unit in tokens[2].value:
        moment = add(moment, unit, -count if tokens[1].kind == "dash" else count)
    return "when", day(moment)


def _date_in_year(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "June next year", "5 June last year", "Christmas of this year"."""
    if tokens[0].kind == "when" and (isinstance(tokens[-1].value, Partial) or tokens[-1].kind in {"month", "season"}):
        # Chinese and Japanese say the year first.
        tokens = [tokens[-1], tokens[0]]
    year, date = as_interval(tokens[-1], clock), tokens[0].value
    if year is None or year.grain != "year" or year.start is None:
        return None
    if tokens[0].kind == "month":
        return "when", month(year.start.year, date)
    if tokens[0].kind == "season":
        return "when", season(year.start, index=date)
    if tokens[0].kind == "holiday":
        found = holiday(date, year.start.year)
        return ("when", found) if found else None
    if isinstance(date, Partial) and date.year is None and date.month is not None:
        return "when", Partial(year=year.start.year, month=date.month, day=date.day)
    return None


def _weekday_of_week(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "Monday of next week", "next week on Friday"."""
    week = as_interval(token_of(tokens, "when"), clock)
    weekday = token_of(tokens, "weekday").value
    if week is None or week.start is None or week.grain != "week":
        return None
    return "when", day(week.start + timedelta(days=(weekday - week.start.weekday()) % 7))


def _day_of_period(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "20th of next month", "the 15th day of March", "the 9th month of next year"."""
    whole = as_interval(tokens[-1], clock)
    number = tokens[0].value
    if whole is None or whole.start is None or not isinstance(number, int):
        return None
    unit: Unit = next((token.value for token in tokens[1:] if token.kind == "unit"), "day")
    return _nth(whole, unit, number, clock)


def _nth(whole: Interval, unit: Unit, number: int, clock: Clock) -> Made:
    parts = same_unit_parts(whole, unit, clock)
    if unit == "day" and whole.grain not in {"month", "year", "week", "quarter", "range", "season"}:
        return None
    if number == 0 or abs(number) > len(parts):
        return None
    return "when", parts[number - 1 if number > 0 else number]


def _nth_of(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "first/last/2nd last week|Friday|weekend of X"."""
    whole = as_interval(tokens[-1], clock)
    if whole is None or whole.start is None or whole.end is None or whole.start.tzinfo is not None:
        return None
    ordinal = next((token.value for token in tokens if token.kind == "ordinal"), None)
    shift = next((token.value for token in tokens if token.kind == "shift"), None)
    if shift is not None and shift != -1:
        return None
    number = -(ordinal or 1) if shift == -1 else ordinal
    if number is None:
        return None
    if has_kind(tokens, "weekday"):
        weekday = token_of(tokens, "weekday").value
        if number > 0:
            moment = whole.start + timedelta(days=(weekday - whole.start.weekday()) % 7 + 7 * (number - 1))
        else:
            last = whole.end - timedelta(days=1)
            moment = last - timedelta(days=(last.weekday() - weekday) % 7 + 7 * (-number - 1))
        return ("when", day(moment)) if whole.start <= moment < whole.end else None
    return _nth(whole, token_of(tokens, "unit").value, number, clock)


def _several_of(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "the first 2 weeks of 2021", "the last four months of 2021"."""
    whole = as_interval(tokens[-1], clock)
    if whole is None:
        return None
    count = token_of(tokens, "number").value
    parts = same_unit_parts(whole, token_of(tokens, "unit").value, clock)
    first = tokens[0].kind == "ordinal" and tokens[0].value == 1
    last = tokens[0].kind == "shift" and tokens[0].value == -1
    if not (first or last) or not isinstance(count, int) or not 0 < count <= len(parts):
        return None
    chosen = parts[:count] if first else parts[-count:]
    return "when", Interval(start=chosen[0].start, end=chosen[-1].end, grain="range", certainty=0.9)


def _nth_from(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "third Tuesday after Christmas"."""
    anchor = as_interval(tokens[-1], clock)
    count, weekday = tokens[0].value, tokens[1].value
    if anchor is None or anchor.start is None or not 1 <= count <= 60:
        return None
    if tokens[2].kind == "after":
        first = anchor.start + timedelta(days=(weekday - anchor.start.weekday() - 1) % 7 + 1)
        return "when", day(first + timedelta(days=7 * (count - 1)))
    first = anchor.start - timedelta(days=(anchor.start.weekday() - weekday - 1) % 7 + 1)
    return "when", day(first - timedelta(days=7 * (count - 1)))


def _half_of(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "the first half of 2020": six months of a year, half the days of anything else."""
    whole = as_interval(tokens[-1], clock)
    if tokens[1].value != 0.5 or tokens[0].value not in {1, 2} or whole is None:
        return None
    if whole.start is None or whole.end is None or whole.start.tzinfo is not None:
        return None
    if whole.grain == "year":
        middle = add(whole.start, "month", 6)
    else:
        middle = whole.start + timedelta(days=(whole.end - whole.start).days // 2)
    bounds = (whole.start, middle) if tokens[0].value == 1 else (middle, whole.end)
    grain: Granularity = "half_year" if whole.grain == "year" else "range"
    return "when", Interval(start=bounds[0], end=bounds[1], grain=grain, certainty=0.9)


def _ordinal_weekday(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "first Sunday" alone: of this month."""
    return _nth_of([*tokens, Token(kind="when", value=period("month", 0, clock), start=0, end=0)], clock)


def _edge(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "end of March", "early next week", "rest of the day", "all week"."""
    name, last = tokens[0].value, tokens[-1]
    has_of = tokens[0].text.split()[-1] in {"of", "in"}
    if last.kind == "unit" and name == "rest" and last.text.endswith("s"):
        # "Rest days".
        return None
    if last.kind == "unit" and not has_of and name not in {"all", "rest"} and last.value not in CALENDAR_UNITS:
        return None
    if last.kind == "year" and not has_of and name not in {"middle", "start", "end"}:
        return None
    whole = as_interval(last, clock)
    if whole is None or whole.start is None or whole.end is None or whole.start.tzinfo is not None:
        return None
    return _edge_of(name, whole, clock)


def _edge_of(name: str, whole: Interval, clock: Clock) -> Made:
    start, end = whole.start, whole.end
    assert start is not None and end is not None  # noqa: S101, PT018 - both callers checked
    wall, today = clock.wall, clock.today
    if name == "all" and whole.grain == "day":
        # "All day yesterday": the other word says which.
        return None
    if name == "all":
        return "when", whole
    if name in {"rest", "later"} and start <= wall < end:
        begin = wall if whole.grain == "day" else today
        return "when", Interval(start=begin, end=end, grain="range", certainty=0.8)
    if name == "earlier" and start <= wall < end:
        if whole.grain == "day" and wall > start:
            return "when", Interval(start=start, end=wall, grain="range", certainty=0.8)
        if today <= start:
            return "when", Interval(start=start, end=today + timedelta(days=1), grain="range", certainty=0.6)
        return "when", Interval(start=start, end=today, grain="range", certainty=0.7)
    name = {"rest": "end", "later": "end", "earlier": "start"}.get(name, name)
    first, second = _thirds(whole)
    edge: Literal["", "start", "end"] = "start" if name == "start" else "end" if name == "end" else ""
    if name == "start" and whole.grain == "year":
        first = add(start, "month", 3)
    bounds = {"start": (start, first), "middle": (first, second), "end": (second, end)}[name]
    return "when", Interval(start=bounds[0], end=bounds[1], grain="range", certainty=0.7, edge=edge)


def _later_in(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "later this week", "earlier in the year": what is left of it, or what is over."""
    whole = as_interval(tokens[-1], clock)
    is_bare_unit = tokens[-1].kind == "unit"
    if whole is None or (is_bare_unit and (tokens[-1].value not in CALENDAR_UNITS or not tokens[-1].is_definite)):
        return None
    if tokens[0].text not in {"later", "earlier"} or whole.start is None or whole.end is None or whole.start.tzinfo:
        return None
    return _edge_of(tokens[0].text, whole, clock)


def _thirds(whole: Interval) -> tuple[datetime, datetime]:
    """Say where the middle of a period begins and ends: days 11 and 21 of a month, April and September of a year."""
    start, end = whole.start, whole.end
    assert start is not None and end is not None  # noqa: S101, PT018 - the caller checked
    match whole.grain:
        case "year":
            return add(start, "month", 4), add(start, "month", 8)
        case "month":
            return start + timedelta(days=10), start + timedelta(days=20)
        case "week":
            return start + timedelta(days=3), start + timedelta(days=4)
        case "day":
            return start + timedelta(hours=10), start + timedelta(hours=14)
        case "quarter":
            return add(start, "month", 1), add(start, "month", 2)
        case "decade":
            return add(start, "year", 3), add(start, "year", 7)
        case _:
            third = (end - start) / 3
            return start + third, end - third


def _abbreviation(tokens: Sequence[Token], clock: Clock) -> Made:
    edge, length = tokens[0].value
    unit: Unit = {365: "year", 30: "month", 7: "week", 1: "day"}[length]  # type: ignore[assignment]
    if unit == "day":
        return "when", Interval(
            start=clock.today + timedelta(hours=16),
            end=clock.today + timedelta(days=1),
            grain="part_of_day",
            certainty=0.7,
            edge="end",
        )
    return _edge_of(edge, period(unit, 0, clock), clock)


def _week_of(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "the week of October 6th", "the week starting on February 4"."""
    unit: Unit = tokens[0].value
    date = as_interval(tokens[-1], clock)
    if date is None or date.start is None or date.grain != "day" or unit not in {"week", "weekend", "month"}:
        return None
    return "when", period_around(date.start, unit, clock)


def _holiday_weekend(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "Labor Day weekend": the weekend with the days off beside it."""
    date = as_interval(tokens[0], clock)
    if tokens[1].value != "weekend" or date is None or date.start is None or date.end is None:
        return None
    weekday = date.start.weekday()
    if weekday == 0:
        return "when", Interval(start=date.start - timedelta(days=2), end=date.end, grain="weekend", certainty=0.8)
    found = period_around(date.start, "weekend", clock)
    assert found.start is not None and found.end is not None  # noqa: S101, PT018 - periods are closed
    return "when", Interval(start=min(found.start, date.start), end=found.end, grain="weekend", certainty=0.7)


def _season_alone(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "in the summer": the one now or next, or the last one in a text about the past."""
    token = tokens[-1]
    if tokens[0].text in _PURPOSE and not token.is_definite:
        return None
    return pick_season(token.value, 0, clock)


# "For the winter" is a time, "for your winter reading" and "at the Summer Market" are none.
_PURPOSE: Final = frozenset({"for", "at", "on"})


def _for_the(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "for the month": the current one. "In the day" and "partner of the year" name none."""
    if tokens[1].value not in CALENDAR_UNITS and tokens[1].value != "weekend":
        return None
    is_definite = (tokens[1].is_definite or tokens[0].text == "am") and not tokens[1].text.endswith("s")
    if not is_definite or (tokens[0].text not in {"for", "over", "during", "throughout", "on", "at", "am"}):
        return None
    made = period(tokens[1].value, 0, clock)
    return "when", Interval(start=made.start, end=made.end, grain=made.grain, certainty=0.6)


_LINK: Final = "(of|in|comma)"


_WHOLE: Final = "(when|month|year|unit)"


ANCHORED_RULES: Final = (
    Rule.of(f"(ordinal|shift) number unit (of|in)? {_WHOLE}", _several_of),
    Rule.of(f"(month|holiday|season|when) {_LINK}? when", _date_in_year),
    Rule.of("when of? (month|season)", _date_in_year),
    Rule.of("when ordinal (unit|weekday)", lambda tokens, clock: _nth_of([*tokens[1:], tokens[0]], clock)),
    Rule.of("(number|ordinal) of when", _day_of_period),
    Rule.of("ordinal unit of? when", _day_of_period),
    Rule.of(f"(ordinal|shift) number unit (of|in)? {_WHOLE}", _several_of),
    Rule.of(f"ordinal number (of|in) {_WHOLE}", _half_of),
    Rule.of(f"ordinal? shift (unit|weekday) (of|in)? {_WHOLE}", _nth_of),
    Rule.of(f"ordinal (unit|weekday) (of|in)? {_WHOLE}", _nth_of),
    Rule.of(f"{SHIFT} number (unit|short_unit)", shift_units),
    Rule.of(f"{SHIFT}{{1,2}} unit", shift_unit),
    Rule.of(f"{SHIFT}{{1,2}} weekday", shift_weekday),
    Rule.of(f"{SHIFT} month", shift_month),
    Rule.of("ordinal weekday (before|after) (when|holiday)", _nth_from),
    Rule.of("ordinal weekday", _ordinal_weekday),
    Rule.of("(?<!(number|article)) unit (since|in|of)? when", _week_of),
    Rule.of("weekday (of|in|comma|dash)? when", _weekday_of_week),
    Rule.of("when (of|in|comma|dash)? weekday", _weekday_of_week),
    Rule.of("(?<!article) abbreviation", _abbreviation),
    Rule.of(f"edge (of|in|dash)? {_WHOLE} (?!part)", _edge),
    Rule.of("(later|ago) in? (when|unit)", _later_in),
    # Durations, last: their words serve everything above.
    Rule.of(
        "(number|article) (unit|short_unit) ((and|comma){0,2} (number|article) (unit|short_unit)){0,4}", read_duration
    ),
    Rule.of("holiday in duration", named_holiday),
    Rule.of("(holiday|when) unit", _holiday_weekend),
    Rule.of("unit of holiday", lambda tokens, clock: _holiday_weekend([tokens[2], tokens[0]], clock)),
    Rule.of("(within|more_than) duration (from|after|since) when", _within_from),
    Rule.of("within shift? duration (from|after) when", _within),
    Rule.of("(in|from)? duration (before|after|from) (when|holiday|weekday)", _counted_from),
    Rule.of("unit (before|after) (when|holiday)", _next_to),
    Rule.of("when (dash|plus) duration", _date_plus),
    Rule.of("within duration", _within),
    Rule.of("(in|within)? ago_before duration", _ago),
    Rule.of("in? duration (ago|later)", _ago),
    Rule.of("(in|ahead) duration later?", _in_duration),
    Rule.of("duration (from|after) now", _before_now),
    Rule.of("duration before dot? (?!.)", _before_now),
    Rule.of("(month|holiday) when", _date_in_year),
    Rule.of("in season (?!(other|part))", _season_alone),
    Rule.of("in season", lambda tokens, clock: None if tokens[0].text in _PURPOSE else _season_alone(tokens, clock)),
    Rule.of("in unit", _for_the),
)
