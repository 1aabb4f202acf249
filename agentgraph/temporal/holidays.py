"""Which day a holiday falls on in a year: fixed dates, the n-th weekday of a month, days from Easter, moon years."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Final

from agentgraph.temporal.calendars import (
    hebrew_date,
    hebrew_years,
    islamic_date,
    islamic_years,
    last_hebrew_month,
)
from agentgraph.temporal.indian import INDIAN_FEASTS, indian_feast
from agentgraph.temporal.moon import phases_of
from agentgraph.temporal.periods import Interval

__all__ = ["holiday"]

_FIXED: Final[dict[str, tuple[int, int]]] = {
    "new_year": (1, 1),
    "epiphany": (1, 6),
    "makar_sankranti": (1, 14),
    "bhogi": (1, 13),
    "lohri": (1, 13),
    "maattu_pongal": (1, 15),
    "kaanum_pongal": (1, 16),
    "australia_day": (1, 26),
    "groundhog": (2, 2),
    "valentine": (2, 14),
    "womens_day": (3, 8),
    "pi_day": (3, 14),
    "patrick": (3, 17),
    "april_fools": (4, 1),
    "vaisakhi": (4, 14),
    "earth_day": (4, 22),
    "anzac": (4, 25),
    "labour_day_may": (5, 1),
    "law_day": (5, 1),
    "star_wars": (5, 4),
    "cinco": (5, 5),
    "siblings": (4, 10),
    "lincoln": (2, 12),
    "flag_day": (6, 14),
    "juneteenth": (6, 19),
    "canada_day": (7, 1),
    "independence_us": (7, 4),
    "bastille": (7, 14),
    "indian_independence": (8, 15),
    "patriot": (9, 11),
    "german_unity": (10, 3),
    "teachers_world": (10, 5),
    "boss": (10, 16),
    "halloween": (10, 31),
    "halloween_day": (10, 31),
    "all_saints": (11, 1),
    "vegan": (11, 1),
    "all_souls": (11, 2),
    "guy_fawkes": (11, 5),
    "veterans": (11, 11),
    "martinmas": (11, 11),
    "singles": (11, 11),
    "mens_day": (11, 19),
    "nicholas": (12, 6),
    "human_rights": (12, 10),
    "christmas_eve": (12, 24),
    "christmas": (12, 25),
    "boxing": (12, 26),
    "new_year_eve": (12, 31),
}
# (month, weekday, n): the n-th, or the n-th from the end if negative.
_NTH_WEEKDAY: Final[dict[str, tuple[int, int, int]]] = {
    "mlk": (1, 0, 3),
    "presidents": (2, 0, 3),
    "dst_start": (3, 6, 2),
    "arbor": (4, 4, -1),
    "mother": (5, 6, 2),
    "memorial": (5, 0, -1),
    "father": (6, 6, 3),
    "friendship": (8, 6, 1),
    "labor_us": (9, 0, 1),
    "columbus": (10, 0, 2),
    "thanksgiving_ca": (10, 0, 2),
    "dst_end": (11, 6, 1),
    "thanksgiving": (11, 3, 4),
}
# (Hebrew month, day, days); month 0 is Adar, or Adar II in a leap year. A feast begins on the evening before.
_HEBREW: Final[dict[str, tuple[int, int, int]]] = {
    "rosh_hashanah": (7, 1, 2),
    "yom_kippur": (7, 10, 1),
    "sukkot": (7, 15, 7),
    "shemini_atzeret": (7, 22, 1),
    "simchat_torah": (7, 23, 1),
    "hanukkah": (9, 25, 8),
    "tu_bishvat": (11, 15, 1),
    "purim": (0, 14, 1),
    "shushan_purim": (0, 15, 1),
    "passover": (1, 15, 8),
    "yom_hashoah": (1, 27, 1),
    "yom_haatzmaut": (2, 5, 1),
    "lag_baomer": (2, 18, 1),
    "shavuot": (3, 6, 2),
    "tisha_bav": (5, 9, 1),
}
# Days of the week (0 is Monday) these are moved from, and by how many days, to keep clear of the sabbath.
_HEBREW_MOVED: Final[dict[str, dict[int, int]]] = {
    "tisha_bav": {5: 1},
    "yom_hashoah": {4: -1, 6: 1},
    "yom_haatzmaut": {0: 1, 4: -1, 5: -2},
}
# (Islamic month, day, days); a month's length is the moon's.
_ISLAMIC: Final[dict[str, tuple[int, int, int]]] = {
    "islamic_new_year": (1, 1, 1),
    "tasua": (1, 9, 1),
    "ashura": (1, 10, 1),
    "mawlid": (3, 12, 1),
    "isra_miraj": (7, 27, 1),
    "ramadan": (9, 1, 30),
    "laylat_qadr": (9, 27, 1),
    "eid_fitr": (10, 1, 1),
    "eid_adha": (12, 10, 1),
}
_FROM_THANKSGIVING: Final = {"black_friday": 1, "small_business": 2, "cyber_monday": 4, "giving_tuesday": 5}
# Days from Easter Sunday, and how many days the name covers.
_FROM_EASTER: Final[dict[str, tuple[int, int]]] = {
    "carnival_monday": (-48, 1),
    "shrove_tuesday": (-47, 1),
    "ash_wednesday": (-46, 1),
    "lent": (-46, 46),
    "palm_sunday": (-7, 1),
    "holy_week": (-7, 7),
    "maundy_thursday": (-3, 1),
    "good_friday": (-2, 1),
    "holy_saturday": (-1, 1),
    "easter": (0, 1),
    "easter_monday": (1, 1),
    "ascension": (39, 1),
    "pentecost": (49, 1),
    "whit_monday": (50, 1),
    "trinity_sunday": (56, 1),
    "corpus_christi": (60, 1),
}
_FROM_ORTHODOX_EASTER: Final[dict[str, tuple[int, int]]] = {
    "orthodox_ash": (-48, 1),
    "great_lent": (-48, 40),
    "lazarus": (-8, 1),
    "orthodox_palm_sunday": (-7, 1),
    "orthodox_good_friday": (-2, 1),
    "orthodox_holy_saturday": (-1, 1),
    "orthodox_easter": (0, 1),
    "orthodox_easter_monday": (1, 1),
    "orthodox_ascension": (39, 1),
    "orthodox_pentecost": (49, 1),
    "orthodox_whit_monday": (50, 1),
}


# Pure, and each mention asks for the years around it.
@lru_cache(maxsize=1024)
def holiday(name: str, year: int) -> Interval | None:
    """Return the day or days of holiday `name` that begin in `year`; `None` if it is not held then."""
    try:
        start, days = _begin(name, year)
    except (ValueError, OverflowError, KeyError, StopIteration):
        return None
    return Interval(start=start, end=start + timedelta(days=days), grain="day" if days == 1 else "range", certainty=0.9)


def _begin(name: str, year: int) -> tuple[datetime, int]:
    if name in _FIXED:
        return datetime(year, *_FIXED[name]), 1  # noqa: DTZ001 - wall clock
    if name in _NTH_WEEKDAY:
        return _nth_weekday(year, *_NTH_WEEKDAY[name]), 1
    if name in _FROM_THANKSGIVING:
        return _nth_weekday(year, 11, 3, 4) + timedelta(days=_FROM_THANKSGIVING[name]), 1
    if name in _FROM_EASTER:
        offset, days = _FROM_EASTER[name]
        return _easter(year) + timedelta(days=offset), days
    if name in _FROM_ORTHODOX_EASTER:
        offset, days = _FROM_ORTHODOX_EASTER[name]
        return _orthodox_easter(year) + timedelta(days=offset), days
    if name in _HEBREW:
        return _hebrew(name, year)
    if name in _ISLAMIC:
        return _islamic(name, year)
    if name in _CHINESE:
        return _chinese(name, year)
    if name in _FROM_DIWALI:
        return _diwali(name, year)
    if name in INDIAN_FEASTS:
        first, days = indian_feast(name, year)
        return datetime.combine(first, time()), days
    return _SPECIAL[name](year)


def _hebrew(name: str, year: int) -> tuple[datetime, int]:
    month, first, days = _HEBREW[name]
    dates = [hebrew_date(y, month or last_hebrew_month(y), first) for y in hebrew_years(year)]
    begin = next(found for found in dates if found.year == year)
    begin += timedelta(days=_HEBREW_MOVED.get(name, {}).get(begin.weekday(), 0))
    return datetime.combine(begin, time()) - timedelta(days=1), days + 1


def _islamic(name: str, year: int) -> tuple[datetime, int]:
    month, first, days = _ISLAMIC[name]
    # The Islamic year is eleven days shorter: every year of ours holds the feast, now and then twice.
    dates = [islamic_date(y, month, first) for y in islamic_years(year)]
    index, begin = next((index, found) for index, found in enumerate(dates) if found.year == year)
    if name == "ramadan":
        days = (islamic_date(islamic_years(year)[index], month + 1, 1) - begin).days
    return datetime.combine(begin, time()), days


# A Chinese month holds a fixed point of the sun's year: (month, day of that point, days after the new moon).
_CHINESE: Final[dict[str, tuple[int, int, int]]] = {
    "chinese_new_year": (2, 19, 0),
    "lantern_festival": (2, 19, 14),
    "dragon_boat": (6, 21, 4),
    "mid_autumn": (9, 23, 14),
    "double_ninth": (10, 23, 8),
}
_FROM_DIWALI: Final = {
    "dhanteras": -2,
    "naraka_chaturdashi": -1,
    "diwali": 0,
    "govardhan": 1,
    "bhai_dooj": 2,
    "chhath": 6,
}
_CHINA: Final = timedelta(hours=8)
_INDIA: Final = timedelta(hours=5, minutes=30)


def _chinese(name: str, year: int) -> tuple[datetime, int]:
    month, day, days = _CHINESE[name]
    point = datetime(year, month, day)  # noqa: DTZ001 - wall clock
    moons = [_midnight(moment + _CHINA) for moment in phases_of(year, full=False)]
    return max(moon for moon in moons if moon <= point) + timedelta(days=days), 1


def _diwali(name: str, year: int) -> tuple[datetime, int]:
    """Count from the new moon while the sun stands in the Indian Libra; the night is the one that ends at that moon."""
    first = datetime(year, 10, 17)  # noqa: DTZ001 - wall clock
    moments = [moment.replace(tzinfo=None) + _INDIA for moment in phases_of(year, full=False)]
    moment = next(moment for moment in moments if moment >= first)
    is_after_sunset = moment.hour * 60 + moment.minute > 17 * 60 + 45
    day = _midnight(moment) - timedelta(days=0 if is_after_sunset else 1)
    return day + timedelta(days=_FROM_DIWALI[name]), 1


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time())


def _jumatul_wida(year: int) -> tuple[datetime, int]:
    """Return the last Friday of Ramadan."""
    feast, _ = _islamic("eid_fitr", year)
    return feast - timedelta(days=(feast.weekday() - 5) % 7 + 1), 1


def _tax_day(year: int) -> tuple[datetime, int]:
    """Return 15 April, or the next working day; Washington's Emancipation Day is none."""
    day = datetime(year, 4, 15)  # noqa: DTZ001 - wall clock
    return day + timedelta(days={4: 3, 5: 3, 6: 2}.get(day.weekday(), 0)), 1


def _nth_weekday(year: int, month: int, weekday: int, n: int) -> datetime:
    first = datetime(year, month, 1)  # noqa: DTZ001 - wall clock
    if n > 0:
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
    following = datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - wall clock
    last = following - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7 + 7 * (-n - 1))


def _easter(year: int) -> datetime:
    """Return Easter Sunday of the Western churches. Source: the anonymous Gregorian computus (Meeus, Butcher)."""
    golden, century, in_century = year % 19, year // 100, year % 100
    skipped = century % 4
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - correction + 15) % 30
    weekday = (32 + 2 * skipped + 2 * (in_century // 4) - epact - in_century % 4) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return datetime(year, month, day + 1)  # noqa: DTZ001 - wall clock


def _orthodox_easter(year: int) -> datetime:
    """Return Easter Sunday of the Orthodox churches. Source: Meeus's Julian algorithm, plus the calendars' distance."""
    moon = (19 * (year % 19) + 15) % 30
    weekday = (2 * (year % 4) + 4 * (year % 7) - moon + 34) % 7
    month, day = divmod(moon + weekday + 114, 31)
    distance = year // 100 - year // 400 - 2
    return datetime(year, month, day + 1) + timedelta(days=distance)  # noqa: DTZ001 - wall clock


def _koningsdag(year: int) -> tuple[datetime, int]:
    day = datetime(year, 4, 27)  # noqa: DTZ001 - wall clock
    return (day - timedelta(days=1) if day.weekday() == 6 else day), 1


def _victoria(year: int) -> tuple[datetime, int]:
    day = datetime(year, 5, 24)  # noqa: DTZ001 - wall clock
    return day - timedelta(days=day.weekday()), 1


def _election_day(year: int) -> tuple[datetime, int]:
    return _nth_weekday(year, 11, 0, 1) + timedelta(days=1), 1


def _admin_day(year: int) -> tuple[datetime, int]:
    saturday = _nth_weekday(year, 4, 5, -1)
    return saturday - timedelta(days=3), 1


def _grandparents(year: int) -> tuple[datetime, int]:
    return _nth_weekday(year, 9, 0, 1) + timedelta(days=6), 1


def _advent(year: int) -> tuple[datetime, int]:
    christmas = datetime(year, 12, 25)  # noqa: DTZ001 - wall clock
    return christmas - timedelta(days=(christmas.weekday() + 1) % 7 or 7) - timedelta(days=21), 1


def _kwanzaa(year: int) -> tuple[datetime, int]:
    return datetime(year, 12, 26), 7  # noqa: DTZ001 - wall clock


_SPECIAL: Final = {
    "koningsdag": _koningsdag,
    "victoria": _victoria,
    "election_day": _election_day,
    "admin_day": _admin_day,
    "grandparents": _grandparents,
    "advent": _advent,
    "kwanzaa": _kwanzaa,
    "jumatul_wida": _jumatul_wida,
    "tax_day": _tax_day,
}
