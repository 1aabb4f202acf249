"""A memory as people and programs are shown it, and the value a new one is stored as.

`record.py` says how a memory lies in the store; here is the way in and the way out for whoever manages memories by
hand: times as `datetime`s, namespaces as tenant, user and session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from langgraph.store.base import Item

from agentgraph.errors import InvalidInputError
from agentgraph.memory.record import Kind, MemoryValue, Owed, WindowSpan, moment, recalled_from, time_key
from agentgraph.memory.write import value_of
from agentgraph.scope import Scope, history_namespace
from agentgraph.temporal import main_window, resolve

__all__ = ["Memory", "Namespace", "leaf_namespace", "memory_from", "new_value"]

Namespace = tuple[str, ...]
_SUPERSEDED: Final = "memory_history"
_MOST_OTHER_TIMES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One memory, on both clocks.

    Attributes:
        key: Its name within its leaf.
        namespace: The leaf it lives in, tenant first.
        kind: `episode` what was said, `fact` what a model extracted, `note` what a caller wrote.
        speaker: Who said it.
        recorded_at: When it was said; of the latest time, where it was said again.
        event: The time it speaks of, or `None`.
        zone: The speaker's zone, in which its words were understood.
        source: The message, thread, run or import it came from.
        valid_until: When it was superseded; `None` while it holds.
        superseded_by: Key of the memory that replaced it.
        expires_at: When it will be gone; `None` for never.
        updated_at: When the store last wrote it.
        value: The whole stored value, for what has no attribute of its own.
    """

    key: str
    namespace: Namespace
    kind: str
    text: str
    speaker: str
    recorded_at: datetime | None
    event: WindowSpan | None
    zone: str
    source: Mapping[str, str | None]
    valid_until: datetime | None
    superseded_by: str | None
    expires_at: datetime | None
    updated_at: datetime
    value: Mapping[str, Any] = field(repr=False)

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.namespace[0]

    @property
    def user(self) -> str | None:
        """The person within the tenant it belongs to, or `None`."""
        return self._owner("user")

    @property
    def session(self) -> str | None:
        """The session it will be gone with, or `None`."""
        return self._owner("session")

    @property
    def is_superseded(self) -> bool:
        """Whether another memory has replaced it."""
        return self.namespace[1] == _SUPERSEDED

    def has_ended(self, now: datetime) -> bool:
        """Whether it has outlived its time; a store may keep it a little longer."""
        return self.expires_at is not None and self.expires_at <= now

    def as_record(self) -> dict[str, Any]:
        """Return it as a JSON object; `memory import` reads it back, in this tenant or in another."""
        named = {
            "id": self.key,
            "leaf": list(self.namespace[1:]),
            "user": self.user,
            "kind": self.kind,
            "text": self.text,
            "speaker": self.speaker,
            "recorded_at": _iso(self.recorded_at),
            "timezone": self.zone,
            "event": None if self.event is None else dict(self.event),
            "source": {name: part for name, part in self.source.items() if part is not None},
            "valid_until": _iso(self.valid_until),
            "superseded_by": self.superseded_by,
            "expires_at": _iso(self.expires_at),
        }
        more = {name: part for name, part in self.value.items() if name not in _NAMED}
        return {
            name: part for name, part in (named | {"more": more}).items() if name == "event" or part not in (None, {})
        }

    def _owner(self, of: str) -> str | None:
        return self.namespace[3] if len(self.namespace) == 4 and self.namespace[2] == of else None


# The fields of a value that a record spells by a name of its own; all others ride along under `more`.
_NAMED: Final = {
    *("kind", "text", "speaker", "recorded_at", "zone", "source", "valid_until", "superseded_by", "expires_at"),
    *("time_start", "time_end", "mention", "granularity", "time_text"),
}


def memory_from(item: Item) -> Memory:
    """Read a stored memory."""
    value = item.value
    read = recalled_from(value, namespace=item.namespace, key=item.key)
    return Memory(
        key=item.key,
        namespace=tuple(item.namespace),
        kind=read["kind"],
        text=read["text"],
        speaker=read["speaker"],
        recorded_at=_moment_in(value, "recorded_at"),
        event=read["event"],
        zone=str(value.get("zone", "UTC")),
        source=read["source"],
        valid_until=_moment_in(value, "valid_until"),
        superseded_by=value.get("superseded_by"),
        expires_at=_moment_in(value, "expires_at"),
        updated_at=item.updated_at,
        value=value,
    )


def new_value(
    text: str,
    *,
    kind: Kind,
    speaker: str,
    said_at: datetime,
    zone: str,
    source: Mapping[str, str | None],
) -> MemoryValue:
    """Return the value of a new memory: what it speaks of in time is understood as said at `said_at` in `zone`.

    Raises:
        InvalidInputError: The text is blank, the moment has no time zone, or the zone is none.
    """
    if not text.strip():
        raise InvalidInputError("a memory needs a text", param="text")
    if said_at.tzinfo is None:
        raise InvalidInputError(f"said_at {said_at.isoformat()} has no time zone", param="said_at")
    owed: Owed = {
        "namespace": [],
        "message_id": "",
        "thread": None,
        "run_id": "",
        "text": text,
        "speaker": "user",
        "said_at": said_at.isoformat(),
        "zone": zone,
    }
    windows = resolve(text, now=said_at, zone=zone)
    main = main_window(windows)
    value = value_of(owed, text, kind=kind, window=main)
    if others := [window for window in windows if window is not main]:
        value["other_times"] = [
            (time_key(window.start, open_side="start"), time_key(window.end, open_side="end"))
            for window in others[:_MOST_OTHER_TIMES]
        ]
    value["speaker"], value["source"] = speaker, dict(source)
    return value


def leaf_namespace(tenant: str, leaf: Sequence[str]) -> Namespace:
    """Return the namespace that `Memory.as_record` spelt as `leaf`, of `tenant`.

    Raises:
        InvalidInputError: It is no leaf of memories.
    """
    match list(leaf):
        case ["memory" | "memory_history" | "notes", "shared"]:
            scope = Scope(tenant=tenant)
        case ["memory" | "memory_history" | "notes", "user", user]:
            scope = Scope(tenant=tenant, user=user)
        case ["memory" | "memory_history", "session", session]:
            scope = Scope(tenant=tenant, session=session)
        case _:
            raise InvalidInputError(f"leaf {list(leaf)!r} names no place of memories", param="leaf")
    if leaf[0] == "notes":
        return scope.notes_namespace
    return history_namespace(scope.write_namespace) if leaf[0] == _SUPERSEDED else scope.write_namespace


def _moment_in(value: Mapping[str, Any], name: str) -> datetime | None:
    key = value.get(name)
    return moment(key) if isinstance(key, str) else None


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat()
