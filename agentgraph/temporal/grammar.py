"""The engine: rules over token kinds, applied stage by stage, each pass linear in the number of tokens.

A rule's pattern is written in kinds (`"shift unit"`, `"month comma? ordinal"`). Every kind is one letter, so a text is
a short string and a rule a compiled regular expression over it. What a rule matches becomes one token of a new kind,
which later rules build on: numbers, then dates, then whole expressions, then ranges. Repeats are bounded, so nothing
backtracks far, and a rule whose obligatory kinds are absent costs one set comparison.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from agentgraph.temporal.periods import Clock
from agentgraph.temporal.tokens import Token

__all__ = ["Build", "Made", "Rule", "apply_rules", "letters"]

Made: TypeAlias = tuple[str, Any] | None
"""The kind and value a rule makes, or `None`: the tokens do not mean what the pattern hoped."""
Build: TypeAlias = Callable[[Sequence[Token], Clock], Made]

_KINDS: Final = (
    "other iso number ordinal year month weekday unit shift shift_after coming relative_day now to_now ago ago_before "
    "later edge abbreviation season part tonight meridiem oclock past_hour hundred article decade_name of in "
    "within more_than from since between to until and before after or_later or_earlier year_word era holiday when "
    "duration time comma dash slash dot close ymd dmy dmy_dots ymd8 yspace ym my cjk slash_md dot_md clock decade "
    "quarter short_year comparison glued_number short_unit plus mark shift_either ahead period last_night "
    "tomorrow_part weekdays habit habitual"
)
_LETTERS: Final = {kind: chr(0x100 + index) for index, kind in enumerate(_KINDS.split())}
_NAME: Final = re.compile(r"[a-z_0-9]*[a-z_]+[0-9]*")


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern and what to make of its match; compiled when a text first holds the kinds it needs."""

    source: str
    needs: frozenset[str]
    build: Build

    @classmethod
    def of(cls, source: str, build: Build) -> Rule:
        """Write a rule: kinds separated by spaces, with `?`, `|`, `(…)`, `{m,n}` as in regular expressions."""
        outside = source
        while "(" in outside:
            outside, before = _GROUP.sub("", outside), outside
            if outside == before:
                break
        needs = frozenset(_LETTERS[name] for name in outside.split() if _NAME.fullmatch(name))
        return cls(source, needs if "|" not in outside else frozenset(), build)

    @property
    def pattern(self) -> re.Pattern[str]:
        """The compiled rule."""
        return _compiled(self.source)


_GROUP: Final = re.compile(r"\([^()]*\)")


@cache
def _compiled(source: str) -> re.Pattern[str]:
    spelt = _NAME.sub(lambda match: _LETTERS[match.group()], source).replace(" ", "")
    return re.compile(spelt.replace("(", "(?:").replace("(?:?", "(?"))


def letters(tokens: Sequence[Token]) -> str:
    """Spell the tokens' kinds, one letter each."""
    return "".join([_LETTERS.get(token.kind, "\u0100") for token in tokens])


def apply_rules(tokens: list[Token], rules: Sequence[Rule], clock: Clock) -> list[Token]:
    """Run each rule once over the tokens, in order, and return what they become."""
    spelt = letters(tokens)
    present = set(spelt)
    for rule in rules:
        if not rule.needs <= present:
            continue
        pattern = rule.pattern
        match = pattern.search(spelt)
        if match is None:
            continue
        made: list[Token] = []
        spelt_made: list[str] = []
        done = 0
        while match is not None:
            start, end = match.span()
            built = _build(rule, tokens[start:end], clock)
            if built is None:
                match = pattern.search(spelt, start + 1)
                continue
            made.extend(tokens[done:start])
            first, last = tokens[start], tokens[end - 1]
            text = " ".join([token.text for token in tokens[start:end]])
            made.append(
                Token(
                    kind=built[0],
                    value=built[1],
                    start=first.start,
                    end=last.end,
                    text=text,
                    is_definite=first.is_definite,
                )
            )
            spelt_made += (spelt[done:start], _LETTERS[built[0]])
            done = end
            match = pattern.search(spelt, end)
        if done:
            made.extend(tokens[done:])
            tokens = made
            spelt = "".join(spelt_made) + spelt[done:]
            present = set(spelt)
    return tokens


def _build(rule: Rule, tokens: Sequence[Token], clock: Clock) -> Made:
    try:
        return rule.build(tokens, clock)
    except (ValueError, OverflowError):
        # No such day, or outside the years 1 to 9999: whatever the words were, they are not a date.
        return None
