"""When the moon is new or full, to a few minutes: what the lunar feasts of China and India need, and no more."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["moon_lead", "phases_of", "sun_longitude"]

# (coefficient in days, multiples of the sun's anomaly, the moon's anomaly, the moon's argument of latitude).
# Source: J. Meeus, Astronomical Algorithms, 2nd edition, chapter 49, terms above two minutes.
_NEW: Final = (
    (-0.40720, 0, 1, 0),
    (0.17241, 1, 0, 0),
    (0.01608, 0, 2, 0),
    (0.01039, 0, 0, 2),
    (0.00739, -1, 1, 0),
    (-0.00514, 1, 1, 0),
    (0.00208, 2, 0, 0),
)
_FULL: Final = (
    (-0.40614, 0, 1, 0),
    (0.17302, 1, 0, 0),
    (0.01614, 0, 2, 0),
    (0.01043, 0, 0, 2),
    (0.00734, -1, 1, 0),
    (-0.00515, 1, 1, 0),
    (0.00209, 2, 0, 0),
)
_J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_J2000_DAY: Final = 2_451_545.0


@lru_cache(maxsize=64)
def phases_of(year: int, *, full: bool) -> tuple[datetime, ...]:
    """List the new (or full) moons from the last weeks of the year before to the first of the year after, aware UTC."""
    first = math.floor((year - 2000) * 12.3685) - 1
    return tuple(_phase(index + (0.5 if full else 0.0)) for index in range(first, first + 16))


def _phase(k: float) -> datetime:
    century = k / 1236.85
    mean = 2_451_550.09766 + 29.530588861 * k + 0.00015437 * century**2
    sun = math.radians(2.5534 + 29.10535670 * k)
    moon = math.radians(201.5643 + 385.81693528 * k + 0.0107582 * century**2)
    latitude = math.radians(160.7108 + 390.67050284 * k - 0.0016118 * century**2)
    terms = _FULL if k % 1 else _NEW
    correction = sum(size * math.sin(a * sun + b * moon + c * latitude) for size, a, b, c in terms)
    return _J2000 + timedelta(days=mean + correction - _J2000_DAY)


def sun_longitude(moment: datetime) -> float:
    """Return the sun's apparent longitude in degrees, to a hundredth. Source: The Astronomical Almanac, page C5."""
    days = _days(moment)
    anomaly = math.radians(357.528 + 0.9856003 * days)
    return (280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)) % 360


def moon_lead(moment: datetime) -> float:
    """Return by how many degrees the moon is ahead of the sun, 0 to 360, to two tenths."""
    days = _days(moment)
    longitude = 218.316 + 13.176396 * days
    for size, rate, at_epoch in _MOON:
        longitude += size * math.sin(math.radians(at_epoch + rate * days))
    return (longitude - sun_longitude(moment)) % 360


# (size in degrees, degrees a day, degrees at J2000).
# Source: J. Meeus, Astronomical Algorithms, 2nd edition, chapter 47, terms above a twentieth of a degree.
_MOON: Final = (
    (6.289, 13.064993, 134.963),
    (1.274, 11.316494, 100.737),
    (0.658, 24.381498, 235.700),
    (0.214, 26.129986, 269.926),
    (-0.185, 0.985600, 357.528),
    (-0.114, 26.458701, 186.544),
    (0.059, -1.748500, 325.774),
    (0.057, 10.330893, 103.209),
    (0.053, 37.446487, 10.663),
)


def _days(moment: datetime) -> float:
    return (moment - _J2000).total_seconds() / 86400
