"""What counts without any word beside it, and what does not: "Friday" does, "may", "sat", "second" and "25" do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from agentgraph.temporal.dates import is_plain_day_month, pick_season, read_decimal, read_slashed
from agentgraph.temporal.day_times import TimeOfDay
from agentgraph.temporal.lexicon import vocabulary
from agentgraph.temporal.periods import Clock, Interval, Partial, period
from agentgraph.temporal.reading import as_interval
from agentgraph.temporal.tokens import Token

__all__ = ["stand_alone"]

_BEFORE_A_DATE: Final = frozenset(
    {"in", "of", "from", "since", "until", "to", "between", "before", "after", "edge", "shift", "coming", "within"}
)
_AFTER_A_DAY: Final = frozenset(
    {"comma", "dot", "close", "in", "and", "to", "time", "before", "after", "from", "mark", "until"}
)
_PUNCTUATION: Final = frozenset({"mark", "comma", "dot", "close", "dash", "slash", "plus", "comparison"})
_CANDIDATES: Final = frozenset(
    [
        "when",
        "month",
        "weekday",
        "holiday",
        "ordinal",
        "year",
        "slash_md",
        "dot_md",
        "number",
        "time",
        "decade_name",
        "season",
        "unit",
    ]
)
# With an article these are no days and no months: "on the sun", "during the march".
_THINGS: Final = frozenset({"march", "sat", "sun", "wed"})
_LAST_YEAR: Final = 2200
_IN_YEAR: Final = frozenset({"in", "during", "throughout", "en", "em", "im", "for", "by", "no"})


def stand_alone(tokens: Sequence[Token], clock: Clock) -> Iterator[tuple[Token, Interval]]:
    """Yield the tokens that name a time once every rule has run, with what they name."""
    is_all = sum(token.kind not in _PUNCTUATION for token in tokens) == 1
    for index, token in enumerate(tokens):
        if token.kind not in _CANDIDATES:
            continue
        before = tokens[index - 1] if index else None
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        try:
            interval = _read(token, before, after, clock, is_all=is_all)
        except (ValueError, OverflowError):
            # Outside the years 1 to 9999.
            continue
        if interval is not None:
            yield token, interval


def _read(token: Token, before: Token | None, after: Token | None, clock: Clock, *, is_all: bool) -> Interval | None:
    if before is not None and before.kind == "habit":
        return None
    if token.kind == "when":
        return as_interval(token, clock)
    is_led = before is not None and before.kind in _BEFORE_A_DATE
    if token.text in vocabulary().everyday and not is_led and not is_all:
        return None
    if token.text in _THINGS and token.is_definite:
        return None
    match token.kind:
        case "month" | "holiday":
            return as_interval(token, clock)
        case "weekday" if before is None or before.kind != "article":
            return Partial(weekday=token.value).fill(clock)
        case "ordinal":
            return _day_of_month(token, after, clock, is_all=is_all, is_led=is_led)
        case "year" if is_all or (is_led and before is not None and before.text in _IN_YEAR):
            if token.value > _LAST_YEAR and after is not None and after.kind == "other":
                # "In 2500 words".
                return None
            return Partial(year=token.value).fill(clock)
        case "slash_md" if not is_all and (_is_of(before) or _is_of(after)):
            # A fraction: "a score of 3/4", "1/2 of it".
            return None
        case "slash_md" | "dot_md" if is_led or is_all or token.kind == "dot_md":
            date = read_slashed(token, clock)
            return date.fill(clock) if date else None
        case "number" if is_all and is_plain_day_month(token.text):
            made = read_decimal([token], clock)
            return made[1].fill(clock) if made else None
        case "time":
            return _time(token, clock, is_all=is_all, is_led=is_led)
        case "decade_name" if token.is_definite or is_led:
            first, last = Partial(year=token.value).fill(clock), Partial(year=token.value + 9).fill(clock)
            return replace(first, end=last.end, grain="decade", certainty=0.7) if first and last else None
        case "season" if is_all:
            made = pick_season(token.value, 0, clock)
            return made[1] if made else None
        case "unit" if (
            token.value == "weekend"
            and token.is_definite
            and not token.text.endswith("s")
            and (after is None or after.kind != "of")
        ):
            return period("weekend", 0, clock)
        case "unit" if is_all and token.is_definite and token.value in {"week", "month", "year", "quarter"}:
            return period(token.value, 0, clock)
        case _:
            return None


def _is_of(token: Token | None) -> bool:
    return token is not None and token.kind == "of"


def _day_of_month(token: Token, after: Token | None, clock: Clock, *, is_all: bool, is_led: bool) -> Interval | None:
    """Read "the 21st", not "the 21st floor" nor "the first"."""
    is_digits = token.text[:1].isdigit()
    if not isinstance(token.value, int) or not 1 <= token.value <= 31:
        return None
    if is_all and is_digits:
        return Partial(day=token.value).fill(clock)
    is_free = after is None or after.kind in _AFTER_A_DAY
    if not is_free or not (token.is_definite or is_led) or not (is_digits or token.value > 10):
        return None
    return Partial(day=token.value).fill(clock)


def _time(token: Token, clock: Clock, *, is_all: bool, is_led: bool) -> Interval | None:
    """Place a time on today; "morning" alone names none, and "4a", "4h" or "4:20" needs a preposition."""
    time: TimeOfDay = token.value
    if time.grain == "part_of_day":
        return time.on(clock.today) if is_all else None
    is_curt = token.text[-1:] in "aph" and token.text[-2:-1].isdigit()
    is_noun = token.text.isalpha()
    if (is_curt or ((time.is_vague or is_noun) and not is_all)) and not is_led:
        return None
    return replace(time.on(clock.today), certainty=0.6)
