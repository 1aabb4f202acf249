"""Say days and windows as people write them, the same under every locale; what is meant is `temporal`'s to say."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo
from typing import Final

from agentgraph.memory.record import WindowSpan

__all__ = ["day_in_words", "placed_in_words", "window_in_words"]

# Not strftime: its names follow the process's locale, and prompts must not.
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def day_in_words(moment: datetime) -> str:
    """Return the day of `moment`, on its own clock: "Monday 2 March 2026"."""
    return f"{_WEEKDAYS[moment.weekday()]} {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def window_in_words(window: WindowSpan, zone: tzinfo) -> str:
    """Return `window` as short as it can be said: "April 2026", "2 to 8 March 2026"."""
    if (days := _whole_days(window, zone)) is None:
        return window["text"]
    first, last = days
    if first.date() == last.date():
        return day_in_words(first)
    begins_a_month, ends_a_month = first.day == 1, (last + timedelta(days=1)).day == 1
    if begins_a_month and ends_a_month:
        if (first.month, last.month) == (1, 12):
            return f"{first.year}" if first.year == last.year else f"{first.year} to {last.year}"
        if (first.year, first.month) == (last.year, last.month):
            return f"{_MONTHS[first.month - 1]} {first.year}"
    begin = f"{first.day}"
    if (first.year, first.month) != (last.year, last.month):
        begin += f" {_MONTHS[first.month - 1]}"
    if first.year != last.year:
        begin += f" {first.year}"
    return f"{begin} to {last.day} {_MONTHS[last.month - 1]} {last.year}"


def placed_in_words(window: WindowSpan, zone: tzinfo) -> str:
    """Return `window` with the word that places an event in it: "on Monday 2 March 2026", "in April 2026"."""
    words = window_in_words(window, zone)
    if (days := _whole_days(window, zone)) is None:
        return words
    if days[0].date() == days[1].date():
        return f"on {words}"
    return "between " + words.replace(" to ", " and ") if " to " in words else f"in {words}"


def _whole_days(window: WindowSpan, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Return the first and the last day inside; `None` where a side is open or not at midnight."""
    if window["start"] is None or window["end"] is None:
        return None
    start, end = (datetime.fromisoformat(side).astimezone(zone) for side in (window["start"], window["end"]))
    if start.time() != time() or end.time() != time():
        return None
    return start, end - timedelta(days=1)
