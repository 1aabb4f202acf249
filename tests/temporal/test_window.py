"""`Window` by itself: overlap, containment and words for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agentgraph.temporal import Window, main_window


def window(start: datetime | None, end: datetime | None) -> Window:
    return Window(
        start=start, end=end, granularity="range", direction="past", certainty=1.0, mention="then", span=(0, 4)
    )


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def test_windows_that_only_touch_do_not_overlap() -> None:
    week = window(at(2), at(9))
    assert week.overlaps(at(8), at(10))
    assert not week.overlaps(at(9), at(10))
    assert not week.overlaps(at(1), at(2))


def test_open_sides_overlap_everything_on_their_side() -> None:
    assert window(at(2), None).overlaps(at(20), None)
    assert not window(at(2), None).overlaps(None, at(2))
    assert window(None, at(2)).overlaps(None, None)


def test_the_start_is_inside_and_the_end_is_not() -> None:
    day = window(at(2), at(3))
    assert day.contains(at(2))
    assert not day.contains(at(3))
    assert window(None, at(3)).contains(at(1))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (at(5), at(6), "Thu 5 Mar 2026"),
        (at(2), at(9), "Mon 2 Mar 2026 to Sun 8 Mar 2026"),
        (at(5, 9), at(5, 10), "Thu 5 Mar 2026 09:00 to 10:00"),
        (at(5, 20), at(6), "Thu 5 Mar 2026 20:00 to 24:00"),
        (at(5, 20), at(6, 2), "Thu 5 Mar 2026 20:00 to Fri 6 Mar 2026 02:00"),
        (at(5), None, "from Thu 5 Mar 2026"),
        (None, at(5), "until Wed 4 Mar 2026"),
        (None, at(5, 17), "until Thu 5 Mar 2026 17:00"),
        (at(5, 17), None, "from Thu 5 Mar 2026 17:00"),
    ],
)
def test_a_window_reads_as_people_say_it(start: datetime | None, end: datetime | None, expected: str) -> None:
    assert window(start, end).describe() == expected


def test_description_follows_the_readers_zone() -> None:
    assert window(at(5, 23), at(6, 23)).describe("Europe/Berlin") == "Fri 6 Mar 2026"


def test_a_midnight_the_clock_passes_twice_is_a_midnight() -> None:
    # In Havana the clock went from 01:00 back to 00:00 that night.
    begin = datetime(2000, 10, 29, 4, tzinfo=UTC)
    assert window(begin, datetime(2000, 10, 30, 5, tzinfo=UTC)).describe("America/Havana") == "Sun 29 Oct 2000"


def test_the_main_window_is_the_longest_mention_and_of_equals_the_first() -> None:
    short, first, second = (
        replace(window(at(1), at(2)), mention=mention, span=(place, place + len(mention)))
        for mention, place in (("today", 0), ("on Friday", 10), ("on Monday", 30))
    )
    assert main_window([short, first, second]) is first
    assert main_window([]) is None
