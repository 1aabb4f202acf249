"""Expressions counted from now: "last week", "next Friday", "the past 3 months", "this summer"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from agentgraph.temporal.dates import pick_season
from agentgraph.temporal.grammar import Made, Rule
from agentgraph.temporal.periods import (
    SHORT_UNITS,
    Clock,
    Interval,
    Unit,
    add,
    day,
    month,
    period,
)
from agentgraph.temporal.reading import (
    NOT_PART_OF,
    SHIFT,
    SHIFT_AFTER,
    STEPS,
    named_holiday,
    read_duration,
    token_of,
)
from agentgraph.temporal.tokens import Token

__all__ = ["UNIT_RULES", "shift_month", "shift_unit", "shift_units", "shift_weekday"]


def shift_unit(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "last week", "this month", "the week after next"; hours and less are counted back from now."""
    unit: Unit = token_of(tokens, "unit").value
    steps = [token.value for token in tokens if token.kind in STEPS]
    offset = sum(steps) if len(steps) > 1 and 0 not in steps else (steps[0] or steps[-1])
    if unit in SHORT_UNITS:
        if unit == "second" or (tokens[0].is_definite and unit == "minute"):
            return None
        if offset == 0:
            found = period(unit, 0, clock)
            return "when", found
        ends = sorted((clock.now, add(clock.now, unit, offset)))
        return "when", Interval(start=ends[0], end=ends[1], grain=unit, certainty=0.85)  # type: ignore[arg-type]
    if unit == "weekend" and offset == 1 and tokens[0].kind == "coming" and clock.today.weekday() < 5:
        # "Next weekend" is next week's, the coming one is the first to come.
        return "when", period(unit, 0, clock)
    return "when", period(unit, offset, clock)


def _rolling_unit(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "in the past month" as the month up to today; without the article it is a calendar's month."""
    unit: Unit = tokens[2].value
    if not tokens[1].is_definite or tokens[1].value == 0 or unit not in {"week", "month", "quarter", "year", "decade"}:
        return None
    if tokens[0].text not in {"in", "over", "within", "during", "throughout"}:
        return None
    return _rolling([(1, unit)], tokens[1].value, clock)


def shift_units(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "the following/upcoming N units", "last N units", "N last units"."""
    count = token_of(tokens, "number").value
    unit: Unit = next(token.value for token in tokens if token.kind in {"unit", "short_unit"})
    step = next(token.value for token in tokens if token.kind in STEPS)
    is_singular = not tokens[-1].text.endswith("s")
    if tokens[0].kind == "number" and (step == 0 or (is_singular and tokens[1].kind == "shift")):
        # "Only 3 next week" and "I tried one last week" count other things, "3 next weeks" weeks.
        return None
    parts: list[tuple[float, Unit]] = [(count, unit)]
    return _rolling(parts, step, clock)


def _rolling_parts(tokens: Sequence[Token], clock: Clock) -> Made:
    made = read_duration(tokens[1:], clock)
    return _rolling(list(made[1]), tokens[0].value, clock) if made else None


def _rolling(parts: list[tuple[float, Unit]], step: int, clock: Clock) -> Made:
    """Return the stretch that ends today or begins tomorrow: "the last 2 weeks" hold today, "the next" do not."""
    if step == 0:
        # "these 3 days" looks back unless the text looks ahead.
        step = -1 if clock.lean <= 0 else 1
    sign = 1 if step > 0 else -1
    if any(unit in SHORT_UNITS for _, unit in parts):
        moment = clock.now
        for count, unit in parts:
            moment = add(moment, unit, sign * count)
        ends = sorted((clock.now, moment))
        return "when", Interval(start=ends[0], end=ends[1], grain="range", certainty=0.85)
    today = clock.today
    if len(parts) == 1 and parts[0][1] in {"weekend", "workweek", "season"}:
        return _counted_periods(int(parts[0][0]), parts[0][1], sign, clock)
    tomorrow = today + timedelta(days=1)
    start = end = tomorrow if sign > 0 else today
    for count, unit in parts:
        if unit == "workday":
            # Working days are counted, not included: the previous 4 end yesterday.
            end = add(end - timedelta(days=1), unit, count) + timedelta(days=1) if sign > 0 else end
            start = start if sign > 0 else add(start, unit, -count)
        elif sign > 0:
            end = add(end, unit, count)
        else:
            start = add(start, unit, -count)
    if sign < 0 and all(unit != "workday" for _, unit in parts):
        end = tomorrow
    return "when", Interval(start=start, end=end, grain="range", certainty=0.8)


def _counted_periods(count: int, unit: Unit, sign: int, clock: Clock) -> Made:
    first, last = period(unit, sign, clock), period(unit, sign * count, clock)
    if sign < 0:
        first, last = last, first
    return "when", Interval(start=first.start, end=last.end, grain="range", certainty=0.8)


def shift_weekday(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "last Friday" as the latest one over, "this" as the week's, "next" as next week's, "coming" as the first."""
    weekday = token_of(tokens, "weekday").value
    steps = [t for t in tokens if t.kind in STEPS]
    step = sum(t.value for t in steps)
    today = clock.today
    if any(t.kind == "coming" for t in steps):
        ahead = today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
        return "when", day(ahead + timedelta(days=7 * (step - 1)))
    if step < 0:
        back = today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1)
        return "when", day(back + timedelta(days=7 * (step + 1)), 0.85)
    if step == 0:
        this_week = today + timedelta(days=weekday - today.weekday())
        if this_week < today and clock.lean >= 0:
            this_week += timedelta(days=7)
        return "when", day(this_week, 0.9)
    monday = today - timedelta(days=today.weekday())
    return "when", day(monday + timedelta(days=7 * step + weekday), 0.85)


def shift_month(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "last September" as the latest one over, "next June" as the first to begin."""
    number = token_of(tokens, "month").value
    step = sum(token.value for token in tokens if token.kind in STEPS)
    wall = clock.wall
    if step == 0:
        return "when", month(wall.year, number, 0.9)
    if step < 0:
        year = wall.year if number < wall.month else wall.year - 1
        return "when", month(year + step + 1, number, 0.85)
    year = wall.year if number > wall.month else wall.year + 1
    return "when", month(year + step - 1, number, 0.85)


def _relative_day(tokens: Sequence[Token], clock: Clock) -> Made:
    return "when", day(clock.today + timedelta(days=tokens[0].value), 1.0)


def _habitual(_: Sequence[Token], __: Clock) -> Made:
    """Set "every Monday and Friday" aside: it names no one day."""
    return "habitual", None


def _period(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read a language's one word for a period, such as 先週."""
    unit, offset = tokens[0].value
    return "when", period(unit, offset, clock)


def _period_weekday(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read the weekday behind the week's name, as in 上周五."""
    unit, offset = tokens[0].value
    last = tokens[1]
    index = 6 if last.kind == "unit" and last.value == "day" else last.value - 1 if last.kind == "number" else None
    if unit != "week" or last.text.isdecimal() or not isinstance(index, int) or not 0 <= index <= 6:
        return None
    start = period("workweek", offset, clock).start
    return ("when", day(start + timedelta(days=index))) if start is not None else None


def _weekday_count(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "3 Fridays from now", "two Thursdays back"."""
    count, weekday = tokens[0].value, tokens[1].value
    sign = -1 if tokens[2].kind == "ago" else 1
    if not isinstance(count, int) or not 1 <= count <= 500:
        return None
    today = clock.today
    if sign > 0:
        first = today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
        return "when", day(first + timedelta(days=7 * (count - 1)))
    first = today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1)
    return "when", day(first - timedelta(days=7 * (count - 1)))


def _season_step(tokens: Sequence[Token], clock: Clock) -> Made:
    return pick_season(token_of(tokens, "season").value, sum(t.value for t in tokens if t.kind != "season"), clock)


UNIT_RULES: Final = (
    Rule.of("habit weekday ((comma|and){1,2} weekday){0,6}", _habitual),
    Rule.of("habit (unit|part|month)", _habitual),
    Rule.of("relative_day", _relative_day),
    Rule.of("period (number|unit)", _period_weekday),
    Rule.of("period", _period),
    Rule.of(f"number {SHIFT} unit", shift_units),
    Rule.of(f"{SHIFT} number (unit|short_unit) ((and|comma){{0,2}} number (unit|short_unit)){{1,3}}", _rolling_parts),
    Rule.of(f"{SHIFT} number (unit|short_unit) {NOT_PART_OF}", shift_units),
    Rule.of(f"number unit {SHIFT_AFTER}", shift_units),
    Rule.of("number (weekday|weekdays) (later|ago)", _weekday_count),
    Rule.of("number (weekday|weekdays) (from|after) now", _weekday_count),
    Rule.of(f"(in|within) shift unit {NOT_PART_OF}", _rolling_unit),
    Rule.of(f"{SHIFT}{{1,2}} unit {NOT_PART_OF}", shift_unit),
    Rule.of(f"unit {SHIFT_AFTER}", shift_unit),
    Rule.of(f"{SHIFT}{{1,2}} weekday {NOT_PART_OF}", shift_weekday),
    Rule.of(f"weekday {SHIFT_AFTER}", shift_weekday),
    Rule.of(f"{SHIFT} month {NOT_PART_OF}", shift_month),
    Rule.of(f"month {SHIFT_AFTER}", shift_month),
    Rule.of(f"{SHIFT} season", _season_step),
    Rule.of(f"season {SHIFT_AFTER}", _season_step),
    Rule.of("holiday (of|in|comma)? year", named_holiday),
    Rule.of("year holiday", named_holiday),
    Rule.of(f"{SHIFT} holiday", named_holiday),
    Rule.of(f"holiday {SHIFT_AFTER}", named_holiday),
)
