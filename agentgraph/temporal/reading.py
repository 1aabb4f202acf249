"""What the relative and the anchored rules share: a date-like token as an interval, a holiday by name, a duration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentgraph.temporal.grammar import Made
from agentgraph.temporal.holidays import holiday
from agentgraph.temporal.periods import (
    SHORT_UNITS,
    Clock,
    Interval,
    Partial,
    Unit,
    add,
    period,
)
from agentgraph.temporal.tokens import Token

__all__ = [
    "CALENDAR_UNITS",
    "NOT_PART_OF",
    "SHIFT",
    "SHIFT_AFTER",
    "STEPS",
    "as_interval",
    "has_kind",
    "named_holiday",
    "read_duration",
    "token_of",
]

STEPS: Final = frozenset({"shift", "coming", "shift_after", "shift_either"})
"""The kinds of the words for last, this and next."""
CALENDAR_UNITS: Final = frozenset({"week", "month", "quarter", "year", "fortnight"})
"""Units of which "the …" is the current one."""
SHIFT: Final = "(shift|coming|shift_either)"
SHIFT_AFTER: Final = "(shift_after|shift_either)"
NOT_PART_OF: Final = f"(?!(of|in) (when|month|year|unit|{SHIFT}|edge))"
"""Pattern: no "of March" follows, which would make "last week" the last week of March."""


def as_interval(token: Token, clock: Clock) -> Interval | None:
    """Return the interval a date-like token names: a `when`, a bare month or year, or "the month"."""
    if isinstance(token.value, Partial):
        return token.value.fill(clock)
    if isinstance(token.value, Interval):
        return token.value
    if token.kind == "month":
        return Partial(month=token.value).fill(clock)
    if token.kind == "weekday":
        return Partial(weekday=token.value).fill(clock)
    if token.kind == "year":
        return Partial(year=token.value).fill(clock)
    if token.kind == "unit" and token.value not in SHORT_UNITS and token.value != "season":
        return period(token.value, 0, clock)
    if token.kind == "holiday":
        made = named_holiday([token], clock)
        return made[1] if made else None
    return None


def token_of(tokens: Sequence[Token], kind: str) -> Token:
    """Return the first token of a kind the rule demands."""
    return next(token for token in tokens if token.kind == kind)


def has_kind(tokens: Sequence[Token], kind: str) -> bool:
    """Say whether an optional kind is there."""
    return any(token.kind == kind for token in tokens)


def named_holiday(tokens: Sequence[Token], clock: Clock) -> Made:
    """Read a holiday with or without its year, or counted from now ("next Easter")."""
    name = token_of(tokens, "holiday").value
    year = next((token.value for token in tokens if token.kind == "year"), None)
    if year is not None:
        found = holiday(name, year)
        return ("when", found) if found else None
    steps = [t.value for t in tokens if t.kind in STEPS]
    if has_kind(tokens, "unit"):
        if token_of(tokens, "unit").value != "year":
            return None
        found = holiday(name, clock.wall.year + steps[0])
        return ("when", found) if found else None
    if has_kind(tokens, "duration"):
        moment = clock.today
        for count, unit in token_of(tokens, "duration").value:
            moment = add(moment, unit, count)
        found = holiday(name, moment.year)
        return ("when", found) if found else None
    around = [h for y in range(clock.wall.year - 5, clock.wall.year + 6) if (h := holiday(name, y)) is not None]
    around = [h for h in around if h.start is not None and h.end is not None]
    today = clock.today
    step = sum(steps) if steps else (-1 if clock.lean < 0 else 0)
    past = [h for h in around if h.end <= today]  # type: ignore[operator]
    ahead = [h for h in around if h.end > today]  # type: ignore[operator]
    if step < 0 and len(past) >= -step:
        return "when", past[step]
    index = max(step - 1, 0)
    return ("when", ahead[index]) if len(ahead) > index else None


def read_duration(tokens: Sequence[Token], _: Clock) -> Made:
    """Read "2 weeks", "1 year, 2 months and 3 days", "a month"."""
    parts: list[tuple[float, Unit]] = []
    count: float | None = None
    for token in tokens:
        if token.kind in {"number", "article"}:
            count = token.value
        elif token.kind in {"unit", "short_unit"} and count is not None:
            if token.kind == "short_unit" and (not isinstance(count, int) or tokens[0].kind == "article"):
                return None
            parts.append((count, token.value))
            count = None
    return ("duration", tuple(parts)) if parts else None
