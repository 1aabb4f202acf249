"""`resolve`: a text, the moment and zone it was said in, and every window it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentgraph.errors import InvalidInputError
from agentgraph.temporal.anchored import ANCHORED_RULES
from agentgraph.temporal.dates import DATE_RULES
from agentgraph.temporal.day_times import TIME_RULES
from agentgraph.temporal.grammar import apply_rules
from agentgraph.temporal.lexicon import vocabulary
from agentgraph.temporal.numbers import NUMBER_RULES
from agentgraph.temporal.periods import Clock, Interval, Lean, absolute
from agentgraph.temporal.ranges import RANGE_RULES
from agentgraph.temporal.relative import UNIT_RULES
from agentgraph.temporal.standalone import stand_alone
from agentgraph.temporal.tokens import Token, tokenize
from agentgraph.temporal.window import Window, direction_of

__all__ = ["resolve"]

# Where the week begins on Sunday, and where 3/4 is 4 March. Source: Unicode CLDR 48, weekData and dateFormats.
_SUNDAY: Final = (
    "AG AS BD BR BS BT BW BZ CA CO DM DO ET GT GU HK HN ID IL IN JM JP KE KH KR LA MH MM MO MT MX MZ NI NP PA PE PH PK "
    "PR PT PY SA SG SV TH TT TW UM US VE VI WS YE ZA ZW"
)
_SUNDAY_REGIONS: Final = frozenset(_SUNDAY.split())
_MONTH_FIRST_REGIONS: Final = frozenset({"US", "PH", "CA", "PR", "GU", "UM", "VI", "AS", "MH"})
_MONTH_FIRST_LANGUAGES: Final = frozenset({"en", "zh", "ja", "ko"})
_DAY_FIRST_LANGUAGES: Final = frozenset({"es", "fr", "pt", "nl", "de"})
_MONTH_FIRST_IN_SPANISH: Final = frozenset({"PA", "PR"})
# In this order: each stage builds on what the ones before it made.
_RULES: Final = (*NUMBER_RULES, *DATE_RULES, *UNIT_RULES, *ANCHORED_RULES, *TIME_RULES, *RANGE_RULES)
_QUIET: Final = frozenset(
    {"other", "mark", "comma", "dash", "slash", "dot", "close", "and", "number", "article", "in", "of"}
)


def resolve(text: str, *, now: datetime, zone: str | tzinfo = "UTC", locale: str = "en") -> list[Window]:
    """Find every time expression in `text` and return the windows they name, in the order of the text.

    Nothing is guessed: a text without a time expression gives an empty list.

    Args:
        text: What was said, in any of the known languages.
        now: When it was said; a naive value is read on the wall clock of `zone`.
        zone: The speaker's, an IANA name or a `tzinfo`.
        locale: BCP 47, such as `en-GB`: decides the order of `3/4` and the first day of the week, and breaks ties
            between languages. A language without a region begins its weeks on Monday (ISO 8601).

    Raises:
        InvalidInputError: `zone` is not a known IANA name.
    """
    clock = _clock(now, zone, locale)
    reading = tokenize(text, locale.replace("_", "-").partition("-")[0].lower() or "en")
    tokens = reading.tokens
    if all(token.kind in _QUIET for token in tokens) and not any(token.kind == "number" for token in tokens):
        return []
    clock = replace(clock, lean=_lean(reading.words))
    tokens = apply_rules(tokens, _RULES, clock)
    found = [(token, _window(interval, token, text, clock)) for token, interval in stand_alone(tokens, clock)]
    return [window for _, window in found if window is not None]


def _clock(now: datetime, zone: str | tzinfo, locale: str) -> Clock:
    if isinstance(zone, str):
        try:
            place: tzinfo = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidInputError(
                f"zone {zone!r} is not an IANA time zone such as 'Europe/Berlin'", param="zone"
            ) from error
    else:
        place = zone
    language, _, region = locale.replace("_", "-").partition("-")
    region = region.rpartition("-")[2].upper()
    moment = now if now.tzinfo is not None else now.replace(tzinfo=place)
    return Clock(
        now=moment.astimezone(UTC),
        zone=place,
        first_weekday=6 if region in _SUNDAY_REGIONS else 0,
        is_day_first=not _is_month_first(language.lower(), region),
    )


def _is_month_first(language: str, region: str) -> bool:
    if language in _DAY_FIRST_LANGUAGES:
        return region in _MONTH_FIRST_IN_SPANISH and language == "es"
    if language in {"zh", "ja", "ko"}:
        return True
    return region in _MONTH_FIRST_REGIONS if region else language in _MONTH_FIRST_LANGUAGES


def _lean(words: frozenset[str]) -> Lean:
    known = vocabulary()
    is_future = not words.isdisjoint(known.future)
    is_past = not words.isdisjoint(known.past) or any(
        word.endswith("ed") and len(word) > 4 and word not in known.not_past for word in words
    )
    if is_past and (not is_future or "?" in words):
        return -1
    return 1 if is_future else 0


def _window(interval: Interval, token: Token, text: str, clock: Clock) -> Window | None:
    try:
        start = absolute(interval.start, clock.zone) if interval.start is not None else None
        end = absolute(interval.end, clock.zone) if interval.end is not None else None
    except (OverflowError, ValueError):
        return None
    if (start is None and end is None) or (start is not None and end is not None and start >= end):
        return None
    return Window(
        start=start,
        end=end,
        granularity=interval.grain,
        direction=direction_of(start, end, clock.now),
        certainty=interval.certainty,
        mention=text[token.start : token.end],
        span=(token.start, token.end),
    )
