"""Dates of the Hebrew and the Islamic calendar as days of ours.

An Islamic month begins here on the day after the new moon if that comes before sunset in Mecca, else a day later, much
as in Saudi Arabia's Umm al-Qura calendar. Where the moon is sighted, a feast may fall a day later.

Source: E. M. Reingold and N. Dershowitz, Calendrical Calculations, 4th edition, chapters 7, 8 and 18.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from agentgraph.temporal.moon import phases_of

__all__ = ["hebrew_date", "hebrew_years", "islamic_date", "islamic_years", "last_hebrew_month"]

# Day numbers are `date.toordinal()`: 1 is 1 January of year 1.
_HEBREW_EPOCH: Final = -1_373_427
_ISLAMIC_EPOCH: Final = 227_015
_MECCA_SUNSET: Final = 15 * 60 + 30  # UTC, in minutes, the year's mean


def hebrew_years(year: int) -> tuple[int, ...]:
    """Return the Hebrew years that share days with our `year`."""
    return (year + 3760, year + 3761)


def hebrew_date(year: int, month: int, day: int) -> date:
    """Return our date of a Hebrew one; months count from Nisan (1), so Tishri is 7 and Adar (or Adar II) the last.

    Raises:
        ValueError: Outside the years 1 to 9999.
    """
    # The year begins with Tishri; Nisan to Elul stand at its end.
    earlier = range(7, month) if month >= 7 else (*range(7, last_hebrew_month(year) + 1), *range(1, month))
    days = sum(_hebrew_month_length(year, number) for number in earlier)
    return date.fromordinal(_hebrew_new_year(year) + days + day - 1)


def last_hebrew_month(year: int) -> int:
    """Return the number of Adar, of Adar II in a leap year."""
    return 13 if _is_hebrew_leap(year) else 12


def islamic_years(year: int) -> tuple[int, ...]:
    """Return the Islamic years that may share days with our `year`."""
    first = (year - 622) * 33 // 32 - 1
    return (first, first + 1, first + 2)


def islamic_date(year: int, month: int, day: int) -> date:
    """Return our date of a day of an Islamic month.

    Raises:
        ValueError: Outside the years 1 to 9999.
        OverflowError: So far outside that no moon is known.
    """
    return _islamic_month(year, month) + timedelta(days=day - 1)


# Each feast asks for the months of the years around it.
@lru_cache(maxsize=512)
def _islamic_month(year: int, month: int) -> date:
    """The tabular calendar tells which new moon begins the month, the moon on which day."""
    leap_days = (3 + 11 * year) // 30
    about = date.fromordinal(_ISLAMIC_EPOCH + (year - 1) * 354 + leap_days + 29 * (month - 1) + month // 2)
    # The table's first day is a day or two after the new moon.
    moment = min(phases_of(about.year, full=False), key=lambda moon: abs((moon.date() - about).days + 1.5))
    is_before_sunset = moment.hour * 60 + moment.minute < _MECCA_SUNSET
    return moment.date() + timedelta(days=1 if is_before_sunset else 2)


def _is_hebrew_leap(year: int) -> bool:
    return (7 * year + 1) % 19 < 7


def _elapsed_days(year: int) -> int:
    """Count the days from the epoch to the mean new moon of Tishri, moved off the days it may not fall on."""
    months = (235 * year - 234) // 19
    parts = 12_084 + 13_753 * months
    days = 29 * months + parts // 25_920
    return days + 1 if (3 * (days + 1)) % 7 < 3 else days


def _hebrew_new_year(year: int) -> int:
    before, this, after = (_elapsed_days(y) for y in (year - 1, year, year + 1))
    correction = 2 if after - this == 356 else 1 if this - before == 382 else 0
    return _HEBREW_EPOCH + this + correction


def _hebrew_month_length(year: int, month: int) -> int:
    length = _hebrew_new_year(year + 1) - _hebrew_new_year(year)
    is_long_heshvan = length in {355, 385}
    is_short_kislev = length in {353, 383}
    if month in {2, 4, 6, 10, 13}:
        return 29
    if month == 12 and not _is_hebrew_leap(year):
        return 29
    if (month == 8 and not is_long_heshvan) or (month == 9 and is_short_kislev):
        return 29
    return 30
