"""Times and parts of a day: "3pm", "15:30", "tomorrow morning", "last night", "between 2 and 4pm on Friday"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agentgraph.temporal.grammar import Made, Rule
from agentgraph.temporal.periods import SHORT_UNITS, Clock, Interval, Partial, add
from agentgraph.temporal.reading import as_interval
from agentgraph.temporal.tokens import Token

__all__ = ["TIME_RULES", "TimeOfDay"]

# Hours of each part of the day, on the clock of that day.
_PARTS: Final[dict[str, tuple[float, float]]] = {
    "morning": (6, 12),
    "noon": (12, 13),
    "lunch": (12, 14),
    "afternoon": (12, 18),
    "evening": (18, 24),
    "night": (18, 24),
    "midnight": (0, 1),
    "early_morning": (0, 9),
    "late_morning": (10, 12),
    "early_afternoon": (12, 14),
    "late_afternoon": (14, 17),
    "early_evening": (16, 18),
    "late_evening": (18, 20),
    "early_night": (20, 22),
    "late_night": (21, 24),
    "early_day": (0, 12),
    "late_day": (12, 20),
    "mid_day": (10, 14),
}
_CLOCK: Final = re.compile(r"(\d{1,2})(?:[:h](\d\d))?(?::\d\d(?:\.\d+)?)?\s*([ap])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOfDay:
    """A stretch of a day that no date is known for yet, in minutes from midnight.

    Attributes:
        is_vague: No am or pm was said, so a part of day beside it may move it by twelve hours.
    """

    start: int
    end: int
    grain: str = "hour"
    is_vague: bool = False

    def on(self, day: datetime) -> Interval:
        """Place it on the day that begins at `day`."""
        end = self.end if self.end > self.start else self.end + 24 * 60
        return Interval(
            start=day + timedelta(minutes=self.start),
            end=day + timedelta(minutes=end),
            grain="part_of_day" if self.grain == "part_of_day" else "minute" if self.grain == "minute" else "hour",
            certainty=0.7 if self.is_vague or self.grain == "part_of_day" else 0.9,
        )

    def in_afternoon(self) -> TimeOfDay:
        """Read a vague hour as after noon."""
        if not self.is_vague or self.start >= 12 * 60:
            return replace(self, is_vague=False)
        return replace(self, start=self.start + 720, end=self.end + 720, is_vague=False)


def part_of_day(name: str) -> TimeOfDay:
    """Return the hours a part of day covers."""
    first, last = _PARTS[name]
    grain = "hour" if name in {"noon", "midnight"} else "part_of_day"
    return TimeOfDay(start=int(first * 60), end=int(last * 60), grain=grain)


def _clock(tokens: Sequence[Token], _: Clock) -> Made:
    text = tokens[0].value
    found = _CLOCK.match(text)
    if found is None:
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    return _at(hour, minute, found[3], has_minutes=found[2] is not None, is_24h=len(found[1]) == 2 or "h" in text[1:])


def _at(hour: int, minute: int, half: str | None, *, has_minutes: bool, is_24h: bool = False) -> Made:
    if half is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 24 or (hour == 24 and minute):
        return None
    start = (hour % 24) * 60 + minute
    width = 1 if has_minutes else 60
    vague = half is None and 1 <= hour <= 12 and not (is_24h and hour < 10)
    return "time", TimeOfDay(start=start, end=start + width, grain="minute" if has_minutes else "hour", is_vague=vague)


def _hour_with_half(tokens: Sequence[Token], _: Clock) -> Made:
    hour = tokens[0].value
    half = tokens[-1].value[0] if tokens[-1].kind == "meridiem" else None
    return _at(hour, 0, half, has_minutes=False) if isinstance(hour, int) and 0 <= hour <= 24 else None


def _past_hour(tokens: Sequence[Token], _: Clock) -> Made:
    hour, shift = tokens[1].value, tokens[0].value
    if not isinstance(hour, int) or not 1 <= hour <= 12:
        return None
    start = hour * 60 + shift
    return "time", TimeOfDay(start=start, end=start + 1, grain="minute", is_vague=True)


def _part(tokens: Sequence[Token], _: Clock) -> Made:
    return "time", part_of_day(tokens[0].value)


def _tonight(tokens: Sequence[Token], clock: Clock) -> Made:
    return "when", part_of_day(tokens[0].value).on(clock.today)


def _last_night(tokens: Sequence[Token], clock: Clock) -> Made:
    return "when", part_of_day(tokens[0].value).on(clock.today - timedelta(days=1))


def _tomorrow_part(tokens: Sequence[Token], clock: Clock) -> Made:
    return "when", part_of_day(tokens[0].value).on(clock.today + timedelta(days=1))


def _hour_of_day(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "à 15 heures", "om 3 uur": where the word for o'clock is the word for an hour."""
    ((count, unit), *more) = tokens[1].value
    if more or unit != "hour" or tokens[0].text not in _AT or not isinstance(count, int):
        return None
    return _at(count, 0, None, has_minutes=False)


_AT: Final = frozenset({"à", "om", "às", "a las", "a la", "um"})


def _shifted_part(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "this morning", "last night", "next evening"."""
    found: TimeOfDay = tokens[1].value
    if found.grain != "part_of_day" or tokens[1].text.startswith(("lunch", "noon", "mid")):
        return None
    return "when", found.on(clock.today + timedelta(days=tokens[0].value))


def _vague_with_part(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "7 in the evening", "10 in the morning"."""
    part: TimeOfDay = tokens[-1].value
    first = tokens[0]
    if part.grain != "part_of_day":
        return None
    if first.kind == "number":
        made = (
            _at(first.value, 0, None, has_minutes=False)
            if isinstance(first.value, int) and 0 < first.value < 13
            else None
        )
        if made is None:
            return None
        time: TimeOfDay = made[1]
    else:
        time = first.value
    if not time.is_vague:
        return ("time", time)
    return "time", time.in_afternoon() if part.start >= 12 * 60 else replace(time, is_vague=False)


def _part_with_vague(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read 下午3点: the part of day before the hour."""
    made = _vague_with_part([tokens[1], tokens[0]], clock)
    return made if tokens[1].value.grain != "part_of_day" else None


def _time_range(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "from 2 to 4pm", "8am - 1pm", "between 10:30 and 11:45"; at least one end must be a time."""
    ends = [token for token in tokens if token.kind in {"time", "number"}]
    if all(token.kind == "number" for token in ends):
        return None
    read: list[TimeOfDay] = []
    for token in ends:
        if token.kind == "time":
            read.append(token.value)
            continue
        made = _at(token.value, 0, None, has_minutes=False) if isinstance(token.value, int) else None
        if made is None:
            return None
        read.append(made[1])
    first, last = read
    if "part_of_day" in {first.grain, last.grain}:
        return None
    if first.is_vague and not last.is_vague:
        moved = first.in_afternoon()
        first = moved if moved.start < last.start else replace(first, is_vague=False)
    elif last.is_vague and not first.is_vague:
        moved = last.in_afternoon()
        last = moved if last.start <= first.start else replace(last, is_vague=False)
    elif first.is_vague and last.is_vague and last.start < first.start < last.start + 720:
        # "From 10:30 to 3" ends in the afternoon, not on the next day.
        last = last.in_afternoon()
    if first.start == last.start:
        return None
    return "time", TimeOfDay(start=first.start, end=last.start, grain="hour", is_vague=first.is_vague and last.is_vague)


def _numbers_on(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "Monday from 7 to 8", "from 5 to 6 on 1 January": two hours beside a date."""
    numbers = [token.value for token in tokens if token.kind == "number"]
    if not all(isinstance(n, int) and 0 <= n <= 24 for n in numbers):
        return None
    when = next(token for token in tokens if token.kind in {"when", "weekday"})
    first = _at(numbers[0], 0, None, has_minutes=False)
    last = _at(numbers[1], 0, None, has_minutes=False)
    if first is None or last is None or numbers[0] == numbers[1]:
        return None
    time = TimeOfDay(
        start=first[1].start, end=last[1].start + (720 if numbers[1] < numbers[0] <= 12 else 0), is_vague=True
    )
    return _placed(when, time, clock)


def _join(tokens: Sequence[Token], clock: Clock) -> Made:
    """Put a time on the date beside it."""
    time = next(token.value for token in tokens if token.kind == "time")
    when = next(token for token in tokens if token.kind in {"when", "weekday", "holiday"})
    return _placed(when, time, clock)


def _placed(when: Token, time: TimeOfDay, clock: Clock) -> Made:
    day = as_interval(when, clock)
    if day is None or day.start is None or day.start.tzinfo is not None:
        return None
    if day.grain == "part_of_day":
        late = day.start.hour >= 12
        midnight = day.start - timedelta(hours=day.start.hour)
        return "when", (time.in_afternoon() if late else time).on(midnight)
    if day.grain != "day":
        return None
    return "when", time.on(day.start)


def _time_on_day(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "on the 17 at 3pm", "on the 17 between 2 and 4pm": a definite number beside a time is a day."""
    number, time = tokens[1], tokens[2].value
    if not number.is_definite or tokens[0].text != "on" or number.value not in range(1, 32):
        return None
    day = Partial(day=number.value).fill(clock)
    return ("when", time.on(day.start)) if day is not None and day.start is not None else None


def _time_for(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "14 Feb for 7 hours from 9:30am", "tomorrow at 3pm for 2 hours": a beginning and a length in hours."""
    duration = next(token.value for token in tokens if token.kind == "duration")
    if any(unit not in SHORT_UNITS for _, unit in duration) or tokens[1].text != "for":
        return None
    if tokens[-1].kind == "time":
        made = _placed(tokens[0], tokens[-1].value, clock)
        begin = made[1] if made else None
    else:
        begin = as_interval(tokens[0], clock)
    if begin is None or begin.start is None or begin.grain not in {"hour", "minute"}:
        return None
    end = begin.start
    for count, unit in duration:
        end = add(end, unit, count)
    return "when", replace(begin, end=end)


def _habitual(_: Sequence[Token], __: Clock) -> Made:
    return "habitual", None


def _edge_of_part(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "late this morning"."""
    name = {"start": "early_", "end": "late_"}.get(tokens[0].value, "") + tokens[2].text
    return ("when", part_of_day(name).on(clock.today + timedelta(days=tokens[1].value))) if name in _PARTS else None


def _weekday_time_of_week(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "Wednesday evening next week"."""
    week = as_interval(tokens[-1], clock)
    if week is None or week.grain != "week" or week.start is None:
        return None
    return "when", tokens[1].value.on(week.start + timedelta(days=(tokens[0].value - week.start.weekday()) % 7))


TIME_RULES: Final = (
    Rule.of("clock", _clock),
    Rule.of("number (oclock|meridiem)", _hour_with_half),
    Rule.of("past_hour number", _past_hour),
    Rule.of("part", _part),
    Rule.of("tonight", _tonight),
    Rule.of("last_night", _last_night),
    Rule.of("tomorrow_part", _tomorrow_part),
    Rule.of("in duration", _hour_of_day),
    Rule.of("edge shift time", _edge_of_part),
    Rule.of("shift time", _shifted_part),
    Rule.of("(time|number) in? time", _vague_with_part),
    Rule.of("time time", _part_with_vague),
    Rule.of("(from|between|in)? (time|number) (to|dash|and|until) (time|number)", _time_range),
    Rule.of("(when|weekday) comma? (from|between|in)? number (to|dash|and|until) number", _numbers_on),
    Rule.of("(from|between|in)? number (to|dash|and|until) number in? (when|weekday)", _numbers_on),
    Rule.of("(habitual|weekdays) comma? in? time", _habitual),
    Rule.of("time (in|comma)? (habitual|weekdays)", _habitual),
    Rule.of("weekday time (of|in)? when", _weekday_time_of_week),
    Rule.of("(when|weekday|holiday) comma? (in|of|dash)? time", _join),
    Rule.of("time (in|of|comma|dash)? (when|weekday|holiday)", _join),
    Rule.of("when (in|comma)? time", _join),
    Rule.of("when comma? (from|between|in)? number (to|dash|and|until) number", _numbers_on),
    Rule.of("in number time", _time_on_day),
    Rule.of("(when|weekday) in duration (from|in|since) time", _time_for),
    Rule.of("when in duration", _time_for),
)
