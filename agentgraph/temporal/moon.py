"""When the moon is new or full, to a few minutes: what the lunar feasts of China and India need, and no more."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["phases_of"]

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
