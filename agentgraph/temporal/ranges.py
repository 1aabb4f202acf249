"""Two ends joined ("from March to May", "Aug 8 - 12") and one end left open ("since 2014", "before Friday")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from agentgraph.temporal.dates import is_plain_day_month, read_decimal, read_slashed
from agentgraph.temporal.day_times import TimeOfDay
from agentgraph.temporal.grammar import Made, Rule
from agentgraph.temporal.periods import Clock, Interval, Partial, absolute, add
from agentgraph.temporal.reading import as_interval
from agentgraph.temporal.tokens import Token

__all__ = ["RANGE_RULES"]


def _endpoint(token: Token, clock: Clock) -> Partial | Interval | None:
    match token.kind:
        case "when":
            return token.value if isinstance(token.value, Partial | Interval) else None
        case "month":
            return Partial(month=token.value)
        case "year":
            return Partial(year=token.value)
        case "weekday":
            return Partial(weekday=token.value)
        case "ordinal":
            return Partial(day=token.value) if 1 <= token.value <= 31 else None
        case "slash_md" | "dot_md":
            return read_slashed(token, clock)
        case "number" if isinstance(token.value, int):
            return Partial(day=token.value) if 1 <= token.value <= 31 else None
        case "number":
            made = read_decimal([token], clock)
            return made[1] if made else None
        case "now" | "to_now":
            return Interval(start=clock.today, end=clock.today + timedelta(days=1), grain="day")
        case "holiday":
            return as_interval(token, clock)
        case "time":
            time: TimeOfDay = token.value
            return time.on(clock.today)
        case _:
            return None


def _ends(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if token.kind in _END_KINDS]


_END_KINDS: Final = frozenset(
    {"when", "month", "year", "weekday", "ordinal", "slash_md", "dot_md", "number", "now", "to_now", "holiday", "time"}
)


def _range(tokens: Sequence[Token], clock: Clock) -> Made:
    ends = _ends(tokens)
    first, last = _endpoint(ends[0], clock), _endpoint(ends[-1], clock)
    if first is None or last is None or _is_count(ends[-1], first):
        return None
    if ends[0].kind == "number" == ends[-1].kind and not all(is_plain_day_month(token.text) for token in ends):
        return None
    if ends[0].kind == "time" and ends[-1].kind == "now" and isinstance(last, Interval):
        last = Interval(start=clock.wall, end=clock.wall, grain="minute")
    return _joined(first, last, clock)


def _to_the(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "du 3 au 5 mai", "del 3 al 5 de mayo", "du lundi au vendredi"."""
    return _bare_range(tokens, clock) if tokens[-2].text in {"au", "al", "ao"} else None


def _is_count(token: Token, first: Partial | Interval) -> bool:
    """Say whether a bare number counts something: "from 5 to 3", "from October 10 to 5 agents"."""
    if token.kind != "number" or token.is_definite or not token.text.isdigit():
        return False
    return not isinstance(first, Partial) or first.month is None or first.day is None or token.value <= first.day


def _bare_range(tokens: Sequence[Token], clock: Clock) -> Made:
    """Join two ends that only a dash or "to" links: both must look like dates by themselves."""
    ends = _ends(tokens)
    if any(token.kind == "time" for token in ends):
        return None
    return _range(tokens, clock)


def _decimal_range(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "15.10 - 16.10": only two-digit parts, or prices would be dates."""
    return _range(tokens, clock) if all(is_plain_day_month(token.text) for token in _ends(tokens)) else None


def _range_in_year(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "June 11-16, 2026": the year after the second end serves both."""
    first, last = _endpoint(tokens[0], clock), _endpoint(tokens[-3 if tokens[-2].kind == "comma" else -2], clock)
    if not isinstance(first, Partial) or not isinstance(last, Partial) or first.year or first.month is None:
        return None
    return _joined(first, replace(last, month=last.month or first.month, year=tokens[-1].value), clock)


def _days_of(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "between 4 and 22 this month"."""
    whole = as_interval(tokens[-1], clock)
    days = [token.value for token in tokens if token.kind in {"number", "ordinal"}]
    if whole is None or whole.start is None or whole.grain != "month" or not all(isinstance(d, int) for d in days):
        return None
    parts = [Partial(year=whole.start.year, month=whole.start.month, day=d) for d in days]
    return _joined(parts[0], parts[1], clock)


def _within_week(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "next week between Wednesday and Friday"."""
    week = as_interval(tokens[0], clock)
    if week is None or week.start is None or week.grain != "week":
        return None
    first, last = (token.value for token in tokens if token.kind == "weekday")
    start = week.start + timedelta(days=(first - week.start.weekday()) % 7)
    end = start + timedelta(days=(last - first) % 7 + 1)
    return "when", Interval(start=start, end=end, grain="range", certainty=0.9)


def _joined(first: Partial | Interval, last: Partial | Interval, clock: Clock) -> Made:
    """Fill both ends, each lending the other what it lacks, and take everything from the first to the last."""
    if isinstance(first, Partial) and isinstance(last, Partial):
        first, last = _lend(first, last)
    if isinstance(first, Partial) and isinstance(last, Partial):
        if last.year is None and (first.year is not None or clock.lean < 0 or (first.month and not last.month)):
            start = first.fill(clock)
            end = _fill_after(last, start, clock)
        else:
            end = last.fill(clock)
            start = _fill_before(first, end, clock)
    elif isinstance(first, Partial):
        end = last if isinstance(last, Interval) else None
        start = _fill_before(first, end, clock)
    else:
        start = first
        end = last if isinstance(last, Interval) else _fill_after(last, start, clock)
    if start is None or end is None or start.start is None or end.end is None:
        return None
    if end.grain in {"hour", "minute"} and end.start is not None:
        end = replace(end, end=end.start)
    if absolute(start.start, clock.zone) >= absolute(end.end, clock.zone):  # type: ignore[arg-type]
        return None
    certainty = min(start.certainty, end.certainty)
    return "when", Interval(start=start.start, end=end.end, grain="range", certainty=certainty)


def _lend(first: Partial, last: Partial) -> tuple[Partial, Partial]:
    if first.month is None and last.month is not None and first.day is not None and first.year is None:
        if last.day is None:
            return first, last
        if first.day <= last.day:
            first = replace(first, month=last.month, year=last.year)
    elif first.month is not None and last.month is None and last.year is None and _is_later_day(first, last):
        last = replace(last, month=first.month, year=first.year)
    if first.year is None and last.year is not None and first.month is not None and last.month is not None:
        earlier = (first.month, first.day or 0) > (last.month, last.day or 31)
        first = replace(first, year=last.year - 1 if earlier else last.year)
    elif last.year is None and first.year is not None and first.month is not None and last.month is not None:
        later = (last.month, last.day or 31) < (first.month, first.day or 0)
        last = replace(last, year=first.year + 1 if later else first.year)
    return first, last


def _is_later_day(first: Partial, last: Partial) -> bool:
    return first.day is not None and last.day is not None and last.day >= first.day


def _fill_after(part: Partial, start: Interval | None, clock: Clock) -> Interval | None:
    if part.year is not None or start is None or start.start is None:
        return part.fill(clock)
    return part.fill(replace(clock, now=absolute(start.start, clock.zone)), 1)


def _fill_before(part: Partial, end: Interval | None, clock: Clock) -> Interval | None:
    if part.year is not None or end is None or end.start is None:
        return part.fill(clock)
    return part.fill(replace(clock, now=absolute(end.start, clock.zone)), -1)


def _edge_end(tokens: Sequence[Token], clock: Clock) -> Interval | None:
    value = _endpoint(tokens[-1], clock)
    return value.fill(clock) if isinstance(value, Partial) else value


def _since(tokens: Sequence[Token], clock: Clock) -> Made:
    end = _endpoint(tokens[-1], clock)
    found = end.fill(clock, None if tokens[0].text in _FROM_ANY_DAY else -1) if isinstance(end, Partial) else end
    if found is None or found.start is None:
        return None
    return "when", Interval(start=found.start, end=None, grain="range", certainty=min(found.certainty, 0.9))


# The other words for "since" only fit what has begun.
_FROM_ANY_DAY: Final = frozenset(
    {"starting", "starting from", "starting on", "beginning on", "beginning from", "effective", "as early as"}
    | {"a partir de", "a partir del", "à partir de", "à partir du", "dès", "vanaf", "ab", "ab dem"}
)


def _after(tokens: Sequence[Token], clock: Clock) -> Made:
    found = _edge_end(tokens, clock)
    if found is None:
        return None
    start = found.start if found.edge == "start" or found.grain in {"hour", "minute"} else found.end
    return (
        ("when", Interval(start=start, end=None, grain="range", certainty=min(found.certainty, 0.9))) if start else None
    )


def _before(tokens: Sequence[Token], clock: Clock) -> Made:
    found = _edge_end(tokens, clock)
    if found is None:
        return None
    end = found.end if found.edge == "end" else found.start
    return ("when", Interval(start=None, end=end, grain="range", certainty=min(found.certainty, 0.9))) if end else None


def _until(tokens: Sequence[Token], clock: Clock) -> Made:
    found = _edge_end(tokens, clock)
    if found is None or found.end is None:
        return None
    end = found.start if found.grain in {"hour", "minute"} else found.end
    return "when", Interval(start=None, end=end, grain="range", certainty=min(found.certainty, 0.9))


def _or_later(tokens: Sequence[Token], clock: Clock) -> Made:
    return _since([Token(kind="since", value=0, start=0, end=0, text="starting"), tokens[-2]], clock)


def _postposed(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read 周五之前, 金曜日まで, 1月から, クリスマスの後: Chinese and Japanese say "before" behind the date."""
    date, word = next(token for token in tokens if token.kind in _END_KINDS), tokens[-1]
    if word.text.isascii() or (isinstance(date.value, Interval) and date.value.grain == "range"):
        return None
    match word.kind:
        case "to" if word.text == "から":
            return _or_later([date, word], clock)
        case "or_later":
            return _or_later([date, word], clock)
        case "or_earlier":
            return _until([date], clock)
        case "ago":
            return _before([date], clock)
        case "later":
            return _after([date], clock)
        case _:
            return None


def _or_earlier(tokens: Sequence[Token], clock: Clock) -> Made:
    if isinstance(tokens[0].value, Interval) and tokens[0].value.grain == "range":
        # The second half of から…まで.
        return "when", tokens[0].value
    return _until(tokens[:1], clock)


def _time_bound(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "Thursday before 5pm", "next Wednesday later than 10 in the morning"."""
    time: TimeOfDay = next(token.value for token in tokens if token.kind == "time")
    token = next(t for t in tokens if t.kind in {"when", "weekday", "slash_md"})
    value = _endpoint(token, clock)
    date = value.fill(clock) if isinstance(value, Partial) else value
    if date is None or date.start is None or date.grain != "day" or time.grain == "part_of_day":
        return None
    moment = time.on(date.start).start
    if any(t.kind in {"before", "until"} for t in tokens):
        return "when", Interval(start=None, end=moment, grain="range", certainty=0.85)
    return "when", Interval(start=moment, end=None, grain="range", certainty=0.85)


def _length_from(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read "for 3 days from today", "2 weeks starting May 20th", "18 December for 10 days"."""
    duration = next(token.value for token in tokens if token.kind == "duration")
    token = next(t for t in tokens if t.kind != "duration" and t.kind in _END_KINDS)
    value = _endpoint(token, clock)
    date = value.fill(clock) if isinstance(value, Partial) else value
    if date is None or date.start is None:
        return None
    if tokens[0].kind == "in" and tokens[0].text != "for":
        return None
    end = date.start
    for count, unit in duration:
        end = add(end, unit, count)
    return "when", Interval(start=date.start, end=end, grain="range", certainty=0.85)


_END: Final = "(when|month|year|weekday|ordinal|slash_md|dot_md|number|holiday|now|to_now|time)"
_DATED: Final = "(when|month|weekday|slash_md|dot_md)"
_LINK: Final = "(to|dash|until|and to)"
RANGE_RULES: Final = (
    Rule.of("in duration comma? (from|since) when", _length_from),
    Rule.of("in? duration comma? since (when|month|weekday)", _length_from),
    Rule.of("(from|since)? (when|ordinal) in duration", _length_from),
    Rule.of("when comma? (between|from) weekday (and|to|dash|until) weekday", _within_week),
    Rule.of("(from|between|in)? (ordinal|number) (to|dash|and|until) (ordinal|number) of? (when|month)", _days_of),
    Rule.of(
        "(from|between)? when (to|dash|until|and) (ordinal|number) comma? year",
        lambda t, c: _range_in_year(_strip(t), c),
    ),
    Rule.of(f"between {_END} (and|to|dash|until){{1,2}} {_END}", _range),
    Rule.of(f"(from|since) {_END} (to|dash|until)? {_END}", _range),
    Rule.of(f"(from|since) {_END} to_now", _range),
    Rule.of(f"{_DATED} {_LINK} (when|month|weekday|slash_md|dot_md|ordinal|number|year)", _bare_range),
    Rule.of("(ordinal|number) (to|dash|until|slash) (when|dot_md)", _bare_range),
    Rule.of("(from|of)? (number|ordinal|when|weekday|month) in (when|weekday|month)", _to_the),
    Rule.of("number (to|dash|until) number", _decimal_range),
    Rule.of("in year (to|dash|until) (year|when)", _range),
    Rule.of("year (to|until) (year|when)", _range),
    Rule.of("in? (when|weekday|slash_md) (before|until|after|since) (in|to)? time", _time_bound),
    Rule.of("(before|until|after|since) time in? (when|weekday)", _time_bound),
    Rule.of("time or_later in? (when|weekday)", _time_bound),
    Rule.of(f"from? ({_DATED[1:-1]}|year) or_later (?!other)", _or_later),
    Rule.of(f"from? ({_DATED[1:-1]}|year) or_later", _postposed),
    Rule.of(f"({_DATED[1:-1]}|year) or_earlier (?!other)", _or_earlier),
    Rule.of(f"({_DATED[1:-1]}|year|holiday) of? (to|or_earlier|or_later|ago|later)", _postposed),
    Rule.of("(since) (when|month|year|weekday|holiday|slash_md)", _since),
    Rule.of("after (when|month|year|weekday|holiday|slash_md)", _after),
    Rule.of("(before|ago_before) (when|month|year|weekday|holiday|slash_md)", _before),
    Rule.of("until (when|month|year|weekday|holiday|slash_md)", _until),
    Rule.of("to_now", _until),
)


def _strip(tokens: Sequence[Token]) -> Sequence[Token]:
    return tokens[1:] if tokens[0].kind in {"from", "between"} else tokens
