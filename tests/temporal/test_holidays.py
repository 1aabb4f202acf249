"""Holidays against almanacs: fixed, n-th weekdays, from Easter, Hebrew, Islamic, Chinese and Indian."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agentgraph.temporal import resolve

NOW = datetime(2020, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Christmas 2024", "2024-12-25"),
        ("New Year's Eve 2023", "2023-12-31"),
        ("Thanksgiving 2022", "2022-11-24"),
        ("Black Friday 2022", "2022-11-25"),
        ("Memorial Day 2023", "2023-05-29"),
        ("MLK Day 2024", "2024-01-15"),
        ("Mother's Day 2021", "2021-05-09"),
        ("Labour Day 2021", "2021-09-06"),
        ("Election Day 2024", "2024-11-05"),
        ("Tax Day 2017", "2017-04-18"),
        ("Easter 2024", "2024-03-31"),
        ("Easter 1961", "1961-04-02"),
        ("Good Friday 2025", "2025-04-18"),
        ("Ash Wednesday 2024", "2024-02-14"),
        ("Pentecost 2023", "2023-05-28"),
        ("Orthodox Easter 2024", "2024-05-05"),
        ("Orthodox Easter 2021", "2021-05-02"),
        ("Koningsdag 2014", "2014-04-26"),
        ("Rosh Hashanah 2023", "2023-09-15"),
        ("Yom Kippur 2024", "2024-10-11"),
        ("Passover 2025", "2025-04-12"),
        ("Hanukkah 2024", "2024-12-25"),
        ("Purim 2024", "2024-03-23"),
        ("Ramadan 2018", "2018-05-16"),
        ("Eid al-Fitr 2024", "2024-04-10"),
        ("Eid al-Adha 1966", "1966-04-01"),
        # As kept in Saudi Arabia.
        ("Eid al-Fitr 2023", "2023-04-21"),
        ("Eid al-Fitr 2025", "2025-03-30"),
        ("Eid al-Adha 2018", "2018-08-21"),
        ("Eid al-Adha 2022", "2022-07-09"),
        ("Islamic New Year 2018", "2018-09-11"),
        # The eve of a day that keeps clear of the sabbath.
        ("Tisha B'Av 2018", "2018-07-21"),
        ("Yom HaAtzmaut 2018", "2018-04-18"),
        ("Yom HaAtzmaut 2021", "2021-04-14"),
        ("Yom HaShoah 2021", "2021-04-07"),
        ("Chinese New Year 2024", "2024-02-10"),
        ("Chinese New Year 2023", "2023-01-22"),
        ("Mid-Autumn Festival 2023", "2023-09-29"),
        ("Dragon Boat Festival 2024", "2024-06-10"),
        ("Diwali 2023", "2023-11-12"),
        ("Diwali 2021", "2021-11-04"),
        ("Diwali 2018", "2018-11-07"),
        ("Holi 2024", "2024-03-25"),
        ("Holi 2019", "2019-03-21"),
        ("Rakhi 2021", "2021-08-22"),
        ("Raksha Bandhan 2023", "2023-08-30"),  # 2023 had a leap month just before
        ("Ganesh Chaturthi 2022", "2022-08-31"),
        ("Janmashtami 2020", "2020-08-11"),
        ("Navratri 2024", "2024-10-03"),
        ("Dussehra 2020", "2020-10-25"),  # and so had 2020
        ("Karva Chauth 2020", "2020-11-04"),
        ("Maha Shivaratri 2022", "2022-03-01"),
        ("Maha Shivaratri 1983", "1983-02-11"),  # that month bore two names
        ("Ugadi 2021", "2021-04-13"),
        ("Vesak 2021", "2021-05-26"),
        ("Guru Nanak Jayanti 2023", "2023-11-27"),
    ],
)
def test_a_holiday_begins_on_its_day(text: str, expected: str) -> None:
    (window,) = resolve(text, now=NOW)
    assert window.start is not None
    assert window.start.date().isoformat() == expected


def test_every_chinese_new_year_lies_between_its_bounds() -> None:
    for year in range(1950, 2100):
        (window,) = resolve(f"Chinese New Year {year}", now=NOW)
        assert window.start is not None
        assert (1, 20) <= (window.start.month, window.start.day) <= (2, 21)


@pytest.mark.parametrize("name", ["Ramadan", "Eid al-Fitr", "Eid al-Adha", "Ashura", "Mawlid"])
def test_every_year_holds_every_islamic_feast(name: str) -> None:
    # The Islamic year is shorter than ours, so no year of ours goes without.
    for year in range(1900, 2101):
        (window,) = resolve(f"{name} {year}", now=NOW)
        assert window.start is not None
        assert window.start.year == year


@pytest.mark.parametrize("name", ["Holi", "Dussehra", "Janmashtami", "Maha Shivaratri"])
def test_every_year_holds_every_indian_feast_in_its_season(name: str) -> None:
    months = {"Holi": (2, 4), "Dussehra": (9, 11), "Janmashtami": (8, 9), "Maha Shivaratri": (2, 3)}
    for year in range(1950, 2100):
        (window,) = resolve(f"{name} {year}", now=NOW)
        assert window.start is not None
        assert window.start.year == year
        assert months[name][0] <= window.start.month <= months[name][1]


@pytest.mark.parametrize("year", [1000, 2999])
@pytest.mark.parametrize("name", ["Holi", "Ramadan", "Passover", "Chinese New Year", "Diwali"])
def test_far_years_have_feasts_too(name: str, year: int) -> None:
    (window,) = resolve(f"{name} {year}", now=NOW)
    assert window.start is not None
    assert window.start.year == year


def test_ramadan_ends_where_eid_begins() -> None:
    for year in range(1990, 2060):
        (fast,) = resolve(f"Ramadan {year}", now=NOW)
        assert fast.start is not None
        assert fast.end is not None
        assert fast.end - fast.start in {timedelta(days=29), timedelta(days=30)}
        feasts = [resolve(f"Eid al-Fitr {y}", now=NOW)[0].start for y in (year, year + 1)]
        # 2000 and 2033 begin with one Eid and end with the next.
        assert fast.end in feasts or year in {2000, 2033}


def test_a_feast_of_several_days_is_one_window() -> None:
    (window,) = resolve("we met during Hanukkah 2018", now=NOW)
    assert window.start is not None
    assert window.end is not None
    assert window.end - window.start == timedelta(days=9)
