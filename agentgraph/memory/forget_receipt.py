"""What was forgotten, or would be, told in counts and ids and never in its own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["ForgetReceipt", "Removed", "Toll"]

_IDS_SHOWN: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Things of one kind, removed from one place.

    Attributes:
        place: Where they were: a leaf of memories such as `memory/user/ann`, `threads`, `outbox` or `records`.
        kind: `episode`, `fact` or `note`; `thread` for a whole conversation, `recalled` for the copies of memories in
            one that stays; `message` for what was still to become memory; `telling` for the ledger's notes; of records
            the table, such as `functions` or `api_keys`.
        count: How many.
        ids: Keys of memories, ids of threads and messages; of the first thousand.
    """

    place: str
    kind: str
    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReceipt:
    """What was forgotten; with `is_dry_run`, what would be.

    Attributes:
        target: What was asked for.
        is_dry_run: Whether nothing was done.
        at: When; ISO, UTC.
        removed: What went, place by place.
        tombstones: How many digests now keep it from being learnt again.
        kept_threads: Conversations that hold what was forgotten still: it was said there, or is repeated there word
            for word. `include_threads` deletes them.
        unfinished_runs: Runs of the tenant that did not end in time. They may still write what they had read before:
            forget again when they have ended.
        remarks: What could not be known or done.
    """

    target: Mapping[str, str]
    is_dry_run: bool
    at: str
    removed: tuple[Removed, ...]
    tombstones: int
    kept_threads: tuple[str, ...]
    unfinished_runs: int
    remarks: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many things went, of all kinds."""
        return sum(removed.count for removed in self.removed)

    def as_record(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Toll:
    """Counts what goes while it goes."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], list[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, place: str, kind: str, ids: Iterable[str], *, count: int | None = None) -> None:
        """Count things; `count` where one id stands for several."""
        listed = list(ids)
        known = self._ids.setdefault((place, kind), [])
        known.extend(listed[: max(0, _IDS_SHOWN - len(known))])
        self._counts[place, kind] = self._counts.get((place, kind), 0) + (len(listed) if count is None else count)

    def removed(self) -> tuple[Removed, ...]:
        """Return what was counted, by place and kind."""
        return tuple(
            Removed(place=place, kind=kind, count=count, ids=tuple(self._ids[place, kind]))
            for (place, kind), count in sorted(self._counts.items())
            if count
        )
