"""What a memory is, in the store and in the state of a run, and how its two clocks are spelt.

Every memory has the time it was recorded and, where its text speaks of time, the time it is about. Both are stored as
fixed-width decimal strings, because stores compare filters as text, as floats or as either.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, NotRequired, TypedDict

from agentgraph.temporal import Window

__all__ = [
    "NO_TIME",
    "Kind",
    "MemoryValue",
    "Owed",
    "Recalled",
    "WindowSpan",
    "moment",
    "recalled_from",
    "span_of",
    "time_key",
]

Kind = Literal["episode", "fact", "note"]

_YEAR_ONE: Final = datetime(1, 1, 1, tzinfo=UTC)
_KEY_DIGITS: Final = 15  # milliseconds of 9,999 years
_FIRST_KEY: Final = "0" * _KEY_DIGITS
_LAST_KEY: Final = "9" * _KEY_DIGITS
NO_TIME: Final = (_LAST_KEY, _FIRST_KEY)


class MemoryValue(TypedDict):
    """The value of a memory in the store.

    Attributes:
        kind: `episode` what was said, verbatim; `fact` what a model extracted; `note` what a caller wrote.
        text: The memory itself.
        speaker: Who said it: `user`, `assistant`, or a name where memories were imported from a conversation of people.
        recorded_at: Time key of when it was said; of the latest time, where it was said again.
        first_recorded_at: Time key of the first time it was said, where that is another.
        time_start, time_end: Time keys of what it speaks of, half-open; `NO_TIME`, which no window overlaps, where it
            names none. (Always present: LangGraph's `InMemoryStore` cannot compare what is missing.)
        mention, granularity, time_text: The words that named the time, how fine they were, and the time in plain words.
        other_times: Further times it speaks of, each as its two time keys.
        zone: The speaker's zone, in which the words were understood.
        source: Where it came from: `{"thread", "message_id", "run_id", "import"}`, each where there is one.
        topic: For facts, what sort it is: `fact`, `preference` or `plan`.
        valid_until: Time key of when it was superseded; only in the leaf of what was (`scope.history_namespace`).
        superseded_by: Key of the memory that replaced it.
    """

    kind: Kind
    text: str
    speaker: str
    recorded_at: str
    zone: str
    source: Mapping[str, str | None]
    time_start: str
    time_end: str
    first_recorded_at: NotRequired[str]
    topic: NotRequired[Literal["fact", "preference", "plan"]]
    valid_until: NotRequired[str]
    superseded_by: NotRequired[str]
    mention: NotRequired[str]
    granularity: NotRequired[str]
    time_text: NotRequired[str]
    other_times: NotRequired[list[tuple[str, str]]]


class WindowSpan(TypedDict):
    """A resolved time, as state and events carry it: ISO moments in UTC, half-open, `None` for an open side."""

    start: str | None
    end: str | None
    granularity: str
    mention: str
    text: str


class Recalled(TypedDict):
    """A memory that was found, with its receipt.

    Attributes:
        namespace, key: Where it lives in the store.
        source: The message, thread, run or import it came from.
        event: The time it speaks of, or `None`.
        other_times: Start and end of further times it speaks of, ISO moments.
        same: Keys of other memories found that say the same of the same time.
        recorded_at: ISO moment it was said at.
        first_recorded_at: ISO moment it was said at first, where it was said again.
        valid_until: ISO moment it was superseded at; `None` while it holds.
        score: Relevance, 0 to 1, higher is better: the store's score with the `boosts`.
        dense, lexical, context: What went into the store's score: cosine, BM25 (`None`: not found that way), and what
            the memories around it added.
        boosts: What was added to the store's score for who said it and when, by name.
        placed: Where it stands to the question's time: `inside`, `outside`, `told` (it names no time and was said
            then), `undated` (it names no time and was said at another), `any` where the question asks of no time, or
            `pinned` for a note that is there whatever is asked.
        why: The reason it was kept or left out, for people.
    """

    namespace: list[str]
    key: str
    kind: str
    text: str
    speaker: str
    source: dict[str, str | None]
    recorded_at: str
    first_recorded_at: str | None
    valid_until: str | None
    event: WindowSpan | None
    other_times: list[tuple[str | None, str | None]]
    same: list[str]
    score: float
    dense: float | None
    lexical: float | None
    context: float
    boosts: dict[str, float]
    placed: Literal["inside", "told", "undated", "outside", "any", "pinned"]
    why: str


class Owed(TypedDict):
    """One message that memory has still to keep; all `write_memory` needs, so that a crash loses nothing."""

    namespace: list[str]
    message_id: str
    thread: str | None
    run_id: str
    text: str
    speaker: Literal["user", "assistant"]
    said_at: str
    zone: str


def time_key(when: datetime | None, *, open_side: Literal["start", "end"] = "start") -> str:
    """Spell a moment so that text order is time order: milliseconds since year 1, 15 digits.

    `None` is an open side: before, or after, everything.
    """
    if when is None:
        return _FIRST_KEY if open_side == "start" else _LAST_KEY
    return f"{(when - _YEAR_ONE) // timedelta(milliseconds=1):0{_KEY_DIGITS}d}"


def moment(key: str) -> datetime | None:
    """Read a time key back; `None` for an open side."""
    if key in {_FIRST_KEY, _LAST_KEY}:
        return None
    return _YEAR_ONE + timedelta(milliseconds=int(key))


def span_of(window: Window, zone: str) -> WindowSpan:
    """Return `window` as state and events carry it."""
    return {
        "start": None if window.start is None else window.start.astimezone(UTC).isoformat(),
        "end": None if window.end is None else window.end.astimezone(UTC).isoformat(),
        "granularity": window.granularity,
        "mention": window.mention,
        "text": window.describe(zone),
    }


def recalled_from(value: Mapping[str, Any], *, namespace: tuple[str, ...], key: str) -> Recalled:
    """Read a stored memory for a run; scores and placement are filled in by who found it."""
    start, end = value.get("time_start"), value.get("time_end")
    event: WindowSpan | None = None
    if start is not None and end is not None and (start, end) != NO_TIME:
        event = {
            "start": _iso(start),
            "end": _iso(end),
            "granularity": str(value.get("granularity", "range")),
            "mention": str(value.get("mention", "")),
            "text": str(value.get("time_text", "")),
        }
    return {
        "namespace": list(namespace),
        "key": key,
        "kind": str(value.get("kind", "note")),
        "text": str(value.get("text", "")),
        "speaker": str(value.get("speaker", "user")),
        "source": dict(source) if isinstance(source := value.get("source"), Mapping) else {},
        "recorded_at": _iso(value.get("recorded_at")) or "",
        "first_recorded_at": _iso(value.get("first_recorded_at")),
        "valid_until": _iso(value.get("valid_until")),
        "event": event,
        "other_times": _other_times(value.get("other_times")),
        "same": [],
        "score": 0.0,
        "dense": None,
        "lexical": None,
        "context": 0.0,
        "boosts": {},
        "placed": "any",
        "why": "",
    }


def _other_times(value: object) -> list[tuple[str | None, str | None]]:
    pairs = value if isinstance(value, list | tuple) else ()
    return [
        (_iso(str(pair[0])), _iso(str(pair[1]))) for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2
    ]


def _iso(key: object) -> str | None:
    """Read a time key as an ISO moment; what is none, as anybody may have put it into the store, is no moment."""
    return _iso_of(key) if isinstance(key, str) else None


@lru_cache(maxsize=8_192)
def _iso_of(key: str) -> str | None:
    try:
        when = moment(key)
    except (ValueError, OverflowError):
        return None
    return None if when is None else when.isoformat()
