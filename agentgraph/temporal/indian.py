"""Feasts of India's lunar calendar as days of ours: a month from new moon to new moon, a day by the moon's distance.

A lunar day (tithi) is twelve degrees of the moon's lead over the sun; a feast is held on the day on which its tithi
reigns at the hour the feast is kept. Regions differ by a day now and then; this is the reckoning at Ujjain.

Source: E. M. Reingold and N. Dershowitz, Calendrical Calculations, 4th edition, chapter 10.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

from agentgraph.temporal.moon import moon_lead, phases_of, sun_longitude

__all__ = ["INDIAN_FEASTS", "indian_feast"]

INDIAN_FEASTS: Final[dict[str, tuple[int, int, float, int, int]]] = {
    # month (0 is Chaitra), tithi (1 to 30 from the new moon), hour of India's clock, days after it, days it lasts.
    "ugadi": (0, 1, 6, 0, 1),
    "rama_navami": (0, 9, 12, 0, 1),
    "buddha_purnima": (1, 15, 6, 0, 1),
    "ratha_yatra": (3, 2, 6, 0, 1),
    "raksha_bandhan": (4, 15, 15, 0, 1),
    "janmashtami": (4, 23, 23, 0, 1),
    "ganesh_chaturthi": (5, 4, 12, 0, 1),
    "navaratri": (6, 1, 6, 0, 9),
    "dussehra": (6, 10, 12, 0, 1),
    "valmiki": (6, 15, 6, 0, 1),
    "karva_chauth": (6, 19, 20, 0, 1),
    "guru_nanak": (7, 15, 7, 0, 1),
    "vasant_panchami": (10, 5, 10, 0, 1),
    "guru_ravidas": (10, 15, 6, 0, 1),
    "maha_shivaratri": (10, 29, 24, 0, 1),
    "holika_dahan": (11, 15, 18.5, 0, 1),
    "holi": (11, 15, 18.5, 1, 1),
}
_INDIA: Final = timedelta(hours=5, minutes=30)
_TITHI: Final = 12.0  # degrees
_SIGN: Final = 30.0


def indian_feast(name: str, year: int) -> tuple[date, int]:
    """Return the first day of feast `name` in our `year`, and how many days it lasts.

    Raises:
        OverflowError: Outside the years 1 to 9999.
    """
    month, tithi, hour, later, days = INDIAN_FEASTS[name]
    moons = sorted({moment for y in (year, year + 1) for moment in phases_of(y, full=False)})
    starts = [moon for moon, following in pairwise(moons) if month in _names(_month(moon), _month(following))]
    found = (_day(start, tithi, hour) + timedelta(days=later) for start in starts)
    return next(day for day in found if day.year == year), days


def _names(month: int, following: int) -> set[int]:
    """Return the names of a month by its sign and the next one's: none if it is a leap month, two if one is skipped."""
    if month == following:
        return set()
    return {month, (month + 1) % 12} if (month + 2) % 12 == following else {month}


def _month(new_moon: datetime) -> int:
    # The stars' zodiac has moved on from the seasons' by about a degree in 72 years.
    moved = 23.85 + (new_moon.year - 2000) * 0.01397
    return (int((sun_longitude(new_moon) - moved) % 360 // _SIGN) + 1) % 12


def _day(new_moon: datetime, tithi: int, hour: float) -> date:
    begin = (new_moon + _INDIA).date()
    for offset in range(32):
        day = begin + timedelta(days=offset)
        moment = datetime(day.year, day.month, day.day, tzinfo=new_moon.tzinfo) + timedelta(hours=hour) - _INDIA
        if moment < new_moon:
            continue
        lead = moon_lead(moment) % 360
        if offset < 3 and lead > 180:
            # The moon's place is known to some minutes: the new moon may seem still to come.
            lead = 0.0
        if offset > 25 and lead < 180:
            lead += 360
        if math.floor(lead / _TITHI) + 1 >= tithi:
            return day
    raise ValueError(f"no tithi {tithi} after {new_moon}")
