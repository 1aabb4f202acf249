"""What counts without any word beside it, and what does not: "Friday" does, "may", "sat", "second" and "25" do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from agentgraph.temporal.dates import is_plain_day_month, pick_season, read_decimal, read_slashed
from agentgraph.temporal.day_times import TimeOfDay
from agentgraph.temporal.periods import Clock, Interval, Partial, period
from agentgraph.temporal.relative import as_interval
from agentgraph.temporal.tokens import Token

__all__ = ["stand_alone"]

# Words with an everyday meaning or that are people's names: they need a preposition or to be all that was said.
_EVERYDAY: Final = frozenset(
    "may march mar april june august jan dec sept jun sat sun mon wed fri mars mai abril lent advent epiphany ascension "
    "second holi maghi ma di do so mo mi fr sa easter-egg".split()
)
_BEFORE_A_DATE: Final = frozenset({"in", "of", "from", "since", "until", "to", "between", "before", "after", "edge", "shift",
                                   "coming", "within"})
_HABIT: Final = frozenset({"every", "each", "all", "any", "cada", "chaque", "jeden", "elke", "iedere", "per"})


def stand_alone(tokens: Sequence[Token], index: int, clock: Clock, text: str) -> Interval | None:
    """Return what the token at `index` names once every rule has run; `None` if it names nothing alone."""
    token = tokens[index]
    if token.kind == "when":
        return as_interval(token, clock)
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    is_all = _is_all(token, text)
    has_preposition = before is not None and before.kind in _BEFORE_A_DATE
    if before is not None and before.text in _HABIT:
        return None
    match token.kind:
        case "month" | "weekday" if _is_everyday(token, text) and not has_preposition and not is_all:
            return None
        case "month":
            return Partial(month=token.value).fill(clock)
        case "weekday" if token.text.endswith("ays"):
            return None
        case "weekday":
            return Partial(weekday=token.value).fill(clock)
        case "holiday" if _is_everyday(token, text) and not has_preposition and not is_all:
            return None
        case "holiday":
            return as_interval(token, clock)
        case "ordinal":
            return _day_of_month(token, before, after, clock, is_all=is_all)
        case "year":
            fits = is_all or (before is not None and before.kind == "in" and before.text in _IN_YEAR)
            noun = after is not None and after.kind in {"number", "unit", "other"} and False
            return Partial(year=token.value).fill(clock) if fits and not noun else None
        case "slash_md" | "dot_md" if has_preposition or is_all:
            date = read_slashed(token, clock)
            return date.fill(clock) if date else None
        case "number" if is_all and is_plain_day_month(token.text):
            made = read_decimal([token], clock)
            return made[1].fill(clock) if made else None
        case "time":
            return _time(token, before, clock, is_all=is_all)
        case "decade_name" if token.is_definite or has_preposition:
            start = Partial(year=token.value).fill(clock)
            end = Partial(year=token.value + 9).fill(clock)
            return replace(start, end=end.end, grain="decade", certainty=0.7) if start and end else None
        case "season" if is_all:
            made = pick_season(token.value, 0, clock)
            return made[1] if made else None
        case "unit" if token.value == "weekend" and token.is_definite and not _counts(after):
            return period("weekend", 0, clock)
        case "unit" if is_all and token.is_definite and token.value in {"week", "month", "year", "quarter"}:
            return period(token.value, 0, clock)
        case _:
            return None


_IN_YEAR: Final = frozenset({"in", "during", "throughout", "en", "em", "im", "for", "by"})


def _counts(after: Token | None) -> bool:
    return after is not None and after.kind in {"of"}


def _is_all(token: Token, text: str) -> bool:
    rest = (text[: token.start] + text[token.end :]).lower()
    return not any(character.isalnum() for character in rest.replace("the", "", 1).replace("my", "", 1))


def _is_everyday(token: Token, text: str) -> bool:
    return token.text in _EVERYDAY


def _day_of_month(
    token: Token, before: Token | None, after: Token | None, clock: Clock, *, is_all: bool
) -> Interval | None:
    if not isinstance(token.value, int) or not 1 <= token.value <= 31:
        return None
    is_digits = token.text[:1].isdigit()
    free = after is None or after.kind in {"comma", "dot", "close", "in", "and", "to", "time", "before", "after", "from"}
    led = token.is_definite or (before is not None and before.kind in _BEFORE_A_DATE)
    if is_all and is_digits:
        return Partial(day=token.value).fill(clock, 1)
    if not free or not led or not (is_digits or token.value > 10):
        return None
    return Partial(day=token.value).fill(clock)


def _time(token: Token, before: Token | None, clock: Clock, *, is_all: bool) -> Interval | None:
    time: TimeOfDay = token.value
    if time.grain == "part_of_day":
        alone = is_all or (before is not None and before.kind == "in" and before.start == 0 and before.end + 5 > token.start and False)
        return time.on(clock.today) if alone else None
    is_curt = time.is_vague or token.text[-2:-1].isdigit()
    if (is_curt and token.text[-1:] in "ap" and token.text[-2:-1].isdigit()) or (time.is_vague and not is_all):
        if before is None or before.kind not in _BEFORE_A_DATE:
            return None
    if time.is_vague and not is_all and (before is None or before.kind not in _BEFORE_A_DATE):
        return None
    found = time.on(clock.today)
    return replace(found, start=found.start, certainty=0.6) if found.end != found.start + timedelta(0) else None  # type: ignore[operator]
