"""The demo's conversation, as data: what the user says, on which day, on which thread.

The dates are chosen so that the same words mean other times on other days: "last week" never means the car's week
again, and "next month" is April throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["ACTS", "Act"]

_BETWEEN_TURNS: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One visit of the user: a day, a thread of its own, and what is said.

    Attributes:
        number: Counts from 1.
        title: Says when it is, for the reader.
        begins: The demo's clock as the act opens, aware.
        says: The user's messages, in order.
    """

    number: int
    title: str
    begins: datetime
    says: tuple[str, ...]

    @property
    def thread(self) -> str:
        """The act's own thread: nothing but memory connects one act with the next."""
        return f"act-{self.number}"

    def now(self, turn: int) -> datetime:
        """Return the clock's moment at turn `turn`, counted from 0."""
        return self.begins + turn * _BETWEEN_TURNS


ACTS: Final = (
    Act(
        number=1,
        title="The user tells three things",
        begins=datetime(2026, 3, 2, 10, 0, tzinfo=UTC),
        says=("I bought a car last week.", "I plan to visit Japan next month.", "I prefer aisle seats."),
    ),
    Act(
        number=2,
        title="A week later",
        begins=datetime(2026, 3, 9, 10, 0, tzinfo=UTC),
        says=(
            "What happened last week?",
            "What are my plans for next month?",
            "Which seat should you book me?",
            "What time is it in Tokyo?",
        ),
    ),
    Act(
        number=3,
        title="Three days later, something new",
        begins=datetime(2026, 3, 12, 18, 30, tzinfo=UTC),
        says=("My sister Ana got married yesterday.",),
    ),
    Act(
        number=4,
        title="Eight days after the first questions",
        begins=datetime(2026, 3, 17, 10, 0, tzinfo=UTC),
        says=("What happened last week?", "What are my plans for next month?", "When did I buy my car?"),
    ),
)
