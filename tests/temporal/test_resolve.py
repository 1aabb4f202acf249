"""`resolve` in sentences of our own: every kind of expression, what must stay quiet, zones, locales, any text."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgraph.errors import InvalidInputError
from agentgraph.temporal import Window, resolve

# A Wednesday.
NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)


def only(text: str, *, now: datetime = NOW, zone: str = "UTC", locale: str = "en") -> Window:
    windows = resolve(text, now=now, zone=zone, locale=locale)
    assert len(windows) == 1, windows
    return windows[0]


def said(text: str, *, now: datetime = NOW, zone: str = "UTC", locale: str = "en") -> str:
    return only(text, now=now, zone=zone, locale=locale).describe(zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Days.
        ("What did we discuss today?", "Wed 4 Mar 2026"),
        ("I bought a kayak yesterday", "Tue 3 Mar 2026"),
        ("the day before yesterday it rained", "Mon 2 Mar 2026"),
        ("Call the plumber tomorrow", "Thu 5 Mar 2026"),
        ("we fly the day after tomorrow", "Fri 6 Mar 2026"),
        # Periods next to now.
        ("We moved house last week", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("the launch is next week", "Mon 9 Mar 2026 to Sun 15 Mar 2026"),
        ("the week after next works", "Mon 16 Mar 2026 to Sun 22 Mar 2026"),
        ("what did I spend this month", "Sun 1 Mar 2026 to Tue 31 Mar 2026"),
        ("She got promoted last month", "Sun 1 Feb 2026 to Sat 28 Feb 2026"),
        ("our plan for next quarter", "Wed 1 Apr 2026 to Tue 30 Jun 2026"),
        ("the budget of last year", "Wed 1 Jan 2025 to Wed 31 Dec 2025"),
        ("this decade belongs to robots", "Wed 1 Jan 2020 to Mon 31 Dec 2029"),
        ("What did Ann do last weekend?", "Sat 28 Feb 2026 to Sun 1 Mar 2026"),
        ("a trip this weekend", "Sat 7 Mar 2026 to Sun 8 Mar 2026"),
        # Rolling stretches hold today when they look back and begin tomorrow when they look ahead.
        ("summarise the last 3 days", "Sun 1 Mar 2026 to Wed 4 Mar 2026"),
        ("the past two months were hard", "Sun 4 Jan 2026 to Wed 4 Mar 2026"),
        ("rain is expected in the next 2 weeks", "Thu 5 Mar 2026 to Wed 18 Mar 2026"),
        ("the next 3 business days", "Thu 5 Mar 2026 to Mon 9 Mar 2026"),
        ("What did I read in the past month?", "Wed 4 Feb 2026 to Wed 4 Mar 2026"),
        ("art of the 19th century", "Wed 1 Jan 1800 to Sun 31 Dec 1899"),
        ("I will be back within 10 days", "Wed 4 Mar 2026 to Sat 14 Mar 2026"),
        # Distances: as wide as their unit.
        ("I adopted a cat 3 days ago", "Sun 1 Mar 2026"),
        ("I met her two weeks ago", "Mon 16 Feb 2026 to Sun 22 Feb 2026"),
        ("we married five years ago", "Fri 1 Jan 2021 to Fri 31 Dec 2021"),
        ("the visa came 1 month and 3 days ago", "Sun 1 Feb 2026"),
        ("the exam is in four days", "Sun 8 Mar 2026"),
        ("two days after Christmas 2025", "Sat 27 Dec 2025"),
        ("a week before yesterday", "Tue 24 Feb 2026"),
        ("2 days before yesterday", "Sun 1 Mar 2026"),
        # Weekdays.
        ("lunch with Bo next Friday", "Fri 13 Mar 2026"),
        ("She called last Monday", "Mon 2 Mar 2026"),
        ("I went to yoga on Tuesday", "Tue 3 Mar 2026"),
        ("We will meet on Tuesday", "Tue 10 Mar 2026"),
        ("Monday of next week", "Mon 9 Mar 2026"),
        ("the first Friday of next month", "Fri 3 Apr 2026"),
        ("last Sunday of May 2026", "Sun 31 May 2026"),
        ("3 fridays from now", "Fri 20 Mar 2026"),
        # Written dates.
        ("it shipped on 2024-02-29", "Thu 29 Feb 2024"),
        ("born on 17 August 1991", "Sat 17 Aug 1991"),
        ("signed on March 3rd, 2015", "Tue 3 Mar 2015"),
        ("the 9th of June, 2020", "Tue 9 Jun 2020"),
        ("due 12/31/2026", "Thu 31 Dec 2026"),
        ("on 31-Oct-74", "Thu 31 Oct 1974"),
        ("September the twenty-first nineteen seventy eight", "Thu 21 Sep 1978"),
        ("Dec. 24, 2025 at home", "Wed 24 Dec 2025"),
        ("I left the firm in June 2019", "Sat 1 Jun 2019 to Sun 30 Jun 2019"),
        ("We met in November", "Sat 1 Nov 2025 to Sun 30 Nov 2025"),
        ("She will start in November", "Sun 1 Nov 2026 to Mon 30 Nov 2026"),
        ("it was founded in 1998", "Thu 1 Jan 1998 to Thu 31 Dec 1998"),
        ("music of the 1980s", "Tue 1 Jan 1980 to Sun 31 Dec 1989"),
        ("Q3 2025 results", "Tue 1 Jul 2025 to Tue 30 Sep 2025"),
        ("the second quarter of 2024", "Mon 1 Apr 2024 to Sun 30 Jun 2024"),
        ("last summer was dry", "Sat 21 Jun 2025 to Mon 22 Sep 2025"),
        # Parts of periods.
        ("at the end of March", "Sat 21 Mar 2026 to Tue 31 Mar 2026"),
        ("early next week", "Mon 9 Mar 2026 to Wed 11 Mar 2026"),
        ("the rest of the week", "Wed 4 Mar 2026 to Sun 8 Mar 2026"),
        ("the first 2 weeks of 2025", "Mon 30 Dec 2024 to Sun 12 Jan 2025"),
        # Ranges.
        ("what happened between March and May 2025", "Sat 1 Mar 2025 to Sat 31 May 2025"),
        ("we stay from 10 to 22 August 2026", "Mon 10 Aug 2026 to Sat 22 Aug 2026"),
        ("June 11-16, 2026", "Thu 11 Jun 2026 to Tue 16 Jun 2026"),
        ("from 2014 through 2018", "Wed 1 Jan 2014 to Mon 31 Dec 2018"),
        ("from 20 December to 3 January 2026", "Sat 20 Dec 2025 to Sat 3 Jan 2026"),
        ("off for 3 days starting from next Monday", "Mon 9 Mar 2026 to Wed 11 Mar 2026"),
        # Open sides.
        ("everything since January", "from Thu 1 Jan 2026"),
        ("papers after 2018", "from Tue 1 Jan 2019"),
        ("bills before Friday", "until Thu 5 Mar 2026"),
        ("done by the end of this month", "until Tue 31 Mar 2026"),
        # Times of day.
        ("I will see you tomorrow at 3pm", "Thu 5 Mar 2026 15:00 to 16:00"),
        ("Standup is at 9:15 am on Friday", "Fri 6 Mar 2026 09:15 to 09:16"),
        ("yesterday morning I ran", "Tue 3 Mar 2026 06:00 to 12:00"),
        ("watch a film tonight", "Wed 4 Mar 2026 18:00 to 24:00"),
        ("between 2 and 4pm tomorrow", "Thu 5 Mar 2026 14:00 to 16:00"),
        ("he called 20 minutes ago", "Wed 4 Mar 2026 10:10 to 10:11"),
        ("the last 2 hours", "Wed 4 Mar 2026 08:30 to 10:30"),
        ("logged 2024-05-01T14:30:00Z by cron", "Wed 1 May 2024 14:30 to 14:31"),
        ("meet at noon on Friday", "Fri 6 Mar 2026 12:00 to 13:00"),
        ("the first half of 2020", "Wed 1 Jan 2020 to Tue 30 Jun 2020"),
        ("2 weeks from Friday", "Fri 20 Mar 2026"),
        ("the coming weekend", "Sat 7 Mar 2026 to Sun 8 Mar 2026"),
        ("the day after Easter", "Mon 6 Apr 2026"),
        ("any plans for the winter?", "Sun 21 Dec 2025 to Thu 19 Mar 2026"),
        ("I tried one last week", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("the 3 last weeks", "Wed 11 Feb 2026 to Wed 4 Mar 2026"),
        ("the report of week 31", "Mon 27 Jul 2026 to Sun 2 Aug 2026"),
        ("in week 3 of 2025", "Mon 13 Jan 2025 to Sun 19 Jan 2025"),
        ("I will be back within 2h", "Wed 4 Mar 2026 10:30 to 12:30"),
        ("the last 24h of traffic", "Tue 3 Mar 2026 10:30 to Wed 4 Mar 2026 10:30"),
        ("we left 2y ago", "Mon 1 Jan 2024 to Tue 31 Dec 2024"),
        ("the room on 14 May for 7 hours from 9:30am", "Thu 14 May 2026 09:30 to 16:30"),
        ("tomorrow at 3pm for 2 hours", "Thu 5 Mar 2026 15:00 to 17:00"),
        ("from 10:30 to 3 on 5 March", "Thu 5 Mar 2026 10:30 to 15:00"),
        ("on the 17 between 2 and 4pm", "Tue 17 Mar 2026 14:00 to 16:00"),
        ("the summer of last year", "Sat 21 Jun 2025 to Mon 22 Sep 2025"),
        ("March two years ago", "Fri 1 Mar 2024 to Sun 31 Mar 2024"),
        ("we moved to May 2025", "Thu 1 May 2025 to Sat 31 May 2025"),
        ("moved from february to march", "Sun 1 Feb 2026 to Tue 31 Mar 2026"),
        ("done by EOY", "until Thu 31 Dec 2026"),
        ("13.6. - 15.6.", "Sat 13 Jun 2026 to Mon 15 Jun 2026"),
        # Holidays.
        ("the weekend of Halloween 2026", "Sat 31 Oct 2026 to Sun 1 Nov 2026"),
        ("a trip on the weekend of Labor Day", "Sat 5 Sep 2026 to Mon 7 Sep 2026"),
        ("Labor Day 2025 weekend", "Sat 30 Aug 2025 to Mon 1 Sep 2025"),
        ("Tax Day two years ago", "Mon 15 Apr 2024"),
        ("gifts for Christmas", "Fri 25 Dec 2026"),
        ("What did I do last Thanksgiving?", "Thu 27 Nov 2025"),
        ("Easter 2027", "Sun 28 Mar 2027"),
        ("Labor Day of next year", "Mon 6 Sep 2027"),
    ],
)
def test_an_english_expression_names_its_window(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the class hierarchy of the parser",
        "I may go",
        "You may not enter",
        "May I ask something?",
        "the 5 apples",
        "2 percent of users",
        "march forward, soldiers",
        "the second attempt",
        "give me a second",
        "the sun sat on the sea",
        "she sat down and wed him",
        "there are 10 students and 2000 toys",
        "call (206) 555-1212 or +1 206-555-1212",
        "version 3.11.2 on 192.168.10.12",
        "a 4:3 screen and a 1:1 meeting",
        "have a nice day",
        "how many days are there",
        "every Monday we meet",
        "team sync every Monday at 10 AM",
        "I swim on Mondays and Fridays",
        "I cut my meetings from 5 to 3",
        "the score rose from 6.5 to 8.2",
        "we finished it in 4 hours",
        "use PostCSS v8.4.21",
        "I use my weekends to read",
        "between 2 and 4 people came",
        "April likes tea and June likes cake",
        "person of the year",
        "the last one and the next one",
        "in the past I liked jazz",
        "I need 3 weeks of holidays",
        "the mar has no more than hier",
        "my favourite season",
        "room 12/14b",
        # Words that are something else beside an article, a verb or another word.
        "This may include changes to the name",
        "Will May be there?",
        "we want to march on Washington",
        "March on, soldiers!",
        "the march of time",
        "your sun sign and a sat nav",
        "she was second to none and had second thoughts",
        "a boy and a girl ate corn on the cob",
        "upload the file of a BOM",
        "an up-to-date list",
        "she changed a lot over the years",
        "it is available in 3D",
        "a week is too short",
        "on a Monday nothing works",
        "near Yishun MRT station",
        "have a good weekend",
        "yoga on Mondays and Wednesdays",
        "I start at 7 AM every day",
        "a book for your winter reading",
        "we sold plants at the Summer Solstice Market",
        "Rest Days are the best",
        "a photo from Rio de Janeiro",
        "### Week 1: read the brief",
        # Numbers that are no dates.
        "see page 12 and chapter 3",
        "the rating was 8.5. Nobody knows why",
        "rates between 1.2 and 1.4.",
        "it costs $12.50, or 9.99 for two",
        "we won 3-2 and lost 2:1",
        "mix it 3:1, with 1/2 cup of sugar",
        "a score of 3/4",
        "24/7 support",
        "order 20231, invoice 2023-0017",
        "a text in 2500 words",
        "ISBN 978-3-16-148410-0",
        "call 030/1234567 or 555-1234",
    ],
)
def test_a_text_without_time_yields_nothing(text: str) -> None:
    assert resolve(text, now=NOW) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Spanish.
        ("¿Qué compré la semana pasada?", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("lo vi hace dos semanas", "Mon 16 Feb 2026 to Sun 22 Feb 2026"),
        ("ayer fui al mercado", "Tue 3 Mar 2026"),
        ("el 5 de mayo de 2024", "Sun 5 May 2024"),
        ("el próximo mes", "Wed 1 Apr 2026 to Thu 30 Apr 2026"),
        # French.
        ("la semaine dernière", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("il y a trois jours", "Sun 1 Mar 2026"),
        ("je pars demain matin", "Thu 5 Mar 2026 06:00 to 12:00"),
        ("l'année dernière", "Wed 1 Jan 2025 to Wed 31 Dec 2025"),
        ("le 14 juillet 2025", "Mon 14 Jul 2025"),
        # Portuguese.
        ("na semana passada", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("há duas semanas", "Mon 16 Feb 2026 to Sun 22 Feb 2026"),
        ("comprei ontem", "Tue 3 Mar 2026"),
        ("nos últimos três meses", "Thu 4 Dec 2025 to Wed 4 Mar 2026"),
        # Dutch.
        ("vorige week", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("twee weken geleden", "Mon 16 Feb 2026 to Sun 22 Feb 2026"),
        ("gisteren heb ik gefietst", "Tue 3 Mar 2026"),
        ("morgen ga ik naar de markt", "Thu 5 Mar 2026"),
        # German.
        ("letzte Woche", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("vor zwei Wochen", "Mon 16 Feb 2026 to Sun 22 Feb 2026"),
        ("ich komme morgen", "Thu 5 Mar 2026"),
        ("am 5. März 2024", "Tue 5 Mar 2024"),
        ("nächstes Jahr", "Fri 1 Jan 2027 to Fri 31 Dec 2027"),
        # Chinese.
        ("我昨天买了车", "Tue 3 Mar 2026"),
        ("上周", "Mon 23 Feb 2026 to Sun 1 Mar 2026"),
        ("三天前", "Sun 1 Mar 2026"),
        ("去年三月", "Sat 1 Mar 2025 to Mon 31 Mar 2025"),
        ("2024年3月5日", "Tue 5 Mar 2024"),
        # Japanese.
        ("昨日", "Tue 3 Mar 2026"),
        ("先週の金曜日に会った", "Fri 27 Feb 2026"),
        ("二週間前", "Mon 16 Feb 2026 to Sun 22 Feb 2026"),
        ("来月", "Wed 1 Apr 2026 to Thu 30 Apr 2026"),
    ],
)
def test_other_languages_are_understood_whatever_the_locale(text: str, expected: str) -> None:
    assert said(text) == expected


def test_two_expressions_give_two_windows_in_order() -> None:
    first, second = resolve("I saw Bo last week and Cy in June 2024", now=NOW)
    assert (first.mention, second.mention) == ("last week", "June 2024")


def test_the_locale_decides_the_order_of_numbers() -> None:
    assert said("on 3/4/2025", locale="en-US") == "Tue 4 Mar 2025"
    assert said("on 3/4/2025", locale="en-GB") == "Thu 3 Apr 2025"
    assert said("am 03.04.2025", locale="de-DE") == "Thu 3 Apr 2025"
    assert said("on 25/12/2025", locale="en-US") == "Thu 25 Dec 2025"


def test_the_locale_decides_the_first_weekday() -> None:
    assert said("last week", locale="en-US") == "Sun 22 Feb 2026 to Sat 28 Feb 2026"
    assert said("last week", locale="en-GB") == "Mon 23 Feb 2026 to Sun 1 Mar 2026"


def test_today_is_the_speakers_day() -> None:
    late = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
    tokyo = only("today", now=late, zone="Asia/Tokyo")
    assert tokyo.start == datetime(2026, 3, 4, 15, tzinfo=UTC)
    assert tokyo.describe("Asia/Tokyo") == "Thu 5 Mar 2026"
    assert only("today", now=late, zone="America/New_York").describe("America/New_York") == "Wed 4 Mar 2026"


def test_a_day_of_clock_change_has_23_or_25_hours() -> None:
    spring = only("today", now=datetime(2026, 3, 29, 12, tzinfo=UTC), zone="Europe/Berlin")
    autumn = only("today", now=datetime(2026, 10, 25, 12, tzinfo=UTC), zone="Europe/Berlin")
    assert _length(spring) == timedelta(hours=23)
    assert _length(autumn) == timedelta(hours=25)


def test_a_day_that_begins_at_one_is_still_a_day() -> None:
    # In São Paulo the clock went from 23:59 to 01:00 that night.
    window = only("today", now=datetime(2018, 11, 4, 12, tzinfo=UTC), zone="America/Sao_Paulo")
    assert _length(window) == timedelta(hours=23)
    assert window.describe("America/Sao_Paulo") == "Sun 4 Nov 2018"


def test_elapsed_hours_ignore_the_clock_change() -> None:
    now = datetime(2026, 3, 29, 2, tzinfo=UTC)
    window = only("in the last 3 hours", now=now, zone="Europe/Berlin")
    assert (window.start, window.end) == (now - timedelta(hours=3), now)


def test_a_naive_now_is_the_speakers_wall_clock() -> None:
    window = resolve("today", now=datetime(2026, 3, 4, 0, 30), zone="Asia/Tokyo")[0]
    assert window.describe("Asia/Tokyo") == "Wed 4 Mar 2026"


def test_leap_days_and_month_ends_are_clipped() -> None:
    assert said("one year ago", now=datetime(2024, 2, 29, tzinfo=UTC)) == "Sun 1 Jan 2023 to Sun 31 Dec 2023"
    assert said("a month after January 31, 2026") == "Sat 28 Feb 2026"
    assert said("we meet on Feb 29") == "Tue 29 Feb 2028"
    assert resolve("on 2026-02-30", now=NOW) == []


def test_granularity_direction_and_certainty_are_told() -> None:
    week = only("last week")
    assert (week.granularity, week.direction) == ("week", "past")
    assert only("this year").direction == "present"
    assert only("tomorrow").direction == "future"
    assert only("2024-05-01").certainty > only("in May").certainty > 0
    assert only("since 2020").granularity == "range"


def test_an_unknown_zone_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidInputError, match="Mars/Base"):
        resolve("today", now=NOW, zone="Mars/Base")


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
]
EXPRESSIONS = (
    "today|yesterday|last week|next month|3 days ago|in 2 weeks|last 5 hours|20 minutes ago|tonight|tomorrow at 2:30|"
    "Feb 29|31 March|last day of February|end of the month|next Sunday|this weekend|between 1am and 3am today|"
    "since Monday|before noon on Friday|last winter|the last 13 months|Easter|hace un mes|vor einem Jahr|先月|Q1|"
    "week 53|the 31st|midnight|1 day 3 hours ago|this Passover"
)
WORDS = (
    "last next this first 3 31 29 1/2 2024 9999 0001 of in the - , and to from since until before after week month "
    "year century Monday March May 12:30 pm ago morning Easter end Q4 1990s half hours hace semana 年 月 先週 days"
)
MOMENTS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2060, 12, 31), timezones=st.just(UTC))


@given(now=MOMENTS, zone=st.sampled_from(ZONES), text=st.sampled_from(EXPRESSIONS.split("|")))
@settings(max_examples=300, deadline=None)
def test_windows_are_well_formed_in_every_zone_and_season(now: datetime, zone: str, text: str) -> None:
    for window in resolve(text, now=now, zone=zone):
        check(window, text)


@given(now=MOMENTS, zone=st.sampled_from(ZONES))
@settings(max_examples=200, deadline=None)
def test_days_tile_the_calendar(now: datetime, zone: str) -> None:
    before, today, after = (only(text, now=now, zone=zone) for text in ("yesterday", "today", "tomorrow"))
    assert before.end == today.start
    assert today.end == after.start
    assert today.contains(now)
    local = now.astimezone(ZoneInfo(zone)).date()
    assert today.start is not None
    assert today.start.astimezone(ZoneInfo(zone)).date() == local


@given(now=MOMENTS, zone=st.sampled_from(ZONES), unit=st.sampled_from(["week", "month", "quarter", "year"]))
@settings(max_examples=200, deadline=None)
def test_periods_tile_the_calendar(now: datetime, zone: str, unit: str) -> None:
    last, this, following = (only(f"{word} {unit}", now=now, zone=zone) for word in ("last", "this", "next"))
    assert (last.end, this.end) == (this.start, following.start)
    assert this.contains(now)


@given(text=st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_raises(text: str) -> None:
    for window in resolve(text, now=NOW):
        check(window, text)


@given(words=st.lists(st.sampled_from(WORDS.split(" ")), max_size=12), now=MOMENTS)
@settings(max_examples=500, deadline=None)
def test_no_pile_of_time_words_raises(words: list[str], now: datetime) -> None:
    text = " ".join(words)
    for window in resolve(text, now=now):
        check(window, text)


@pytest.mark.parametrize("now", [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)])
def test_the_ends_of_the_calendar_do_not_raise(now: datetime) -> None:
    for text in [*EXPRESSIONS.split("|"), "last century", "next century", "in 9999 years", "99999999 months ago"]:
        for window in resolve(text, now=now, zone="Asia/Tokyo"):
            check(window, text)


_PIECES = (
    "a |1 |1/1|12-|2015-|one |twenty |monday |of |3 days and |from 1 to |1:|昨|last |day before |end of |>=|"
    "a.|'|first second third |last year of "
)


@pytest.mark.parametrize(
    "piece",
    _PIECES.split("|"),
)
def test_work_grows_in_step_with_the_text(piece: str) -> None:
    resolve("warm up", now=NOW)
    short, long = (_seconds((piece * 20_000)[:size]) for size in (5_000, 20_000))
    # Four times the text; quadratic work would take sixteen times as long.
    assert long < 10 * short + 0.1


def check(window: Window, text: str) -> None:
    assert window.start is not None or window.end is not None
    if window.start is not None and window.end is not None:
        assert window.start < window.end
    for end in (window.start, window.end):
        assert end is None or end.utcoffset() == timedelta(0)
    assert text[window.span[0] : window.span[1]] == window.mention
    assert window.mention.strip()
    assert 0 < window.certainty <= 1
    assert window.describe()


def _length(window: Window) -> timedelta:
    assert window.start is not None
    assert window.end is not None
    return window.end - window.start


def _seconds(text: str) -> float:
    best = float("inf")
    for _ in range(2):
        begun = time.process_time()
        resolve(text, now=NOW)
        best = min(best, time.process_time() - begun)
    return best
