"""Carry memories in, a row each, from another program's export or from our own.

A row is a JSON object. All but `text` may be missing:

    text                         the memory, verbatim
    id                           its key; by default a digest of the row, so that importing twice adds nothing
    recorded_at (or ts)          when it was said: ISO 8601, or seconds since 1970; naive ones are read in the zone
    timezone                     IANA name of the speaker's zone
    speaker                      who said it; `user` by default
    kind                         `episode` (by default), `fact` or `note`
    user                         the person within the tenant it belongs to
    thread (or session)          the conversation it was said in: recall reads a memory with its neighbours
    caption                      what a picture that came with it shows

The times a text speaks of are understood as said at `recorded_at` in its zone. Rows of `Memory.as_record` say more
(`leaf`, `event`, `source`, `valid_until`, `superseded_by`, `expires_at`, `more`) and are taken at their word.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.errors import InvalidInputError
from agentgraph.memory.record import NO_TIME, Kind, time_key
from agentgraph.memory.stored import Namespace, leaf_namespace, new_value
from agentgraph.memory.tombstones import digest_of, forgotten
from agentgraph.scope import Scope
from agentgraph.stores.values import check_label, normalised

__all__ = ["Fault", "ImportReport", "import_rows"]

_ROWS_PER_BATCH: Final = 1_024
# One batch is embedded on each of two threads (an embedder's pool) while the next is read.
_BATCHES_AT_ONCE: Final = 2
_FAULTS_KEPT: Final = 1_000
_KINDS: Final = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row that could not be read: its number, from 1, and why."""

    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the rows.

    Attributes:
        rows: How many there were, blank lines aside.
        added: New memories.
        replaced: Memories whose row says another thing than before.
        unchanged: Rows that were here already.
        forgotten: Rows left out because what they say was forgotten.
        failed: Rows that could not be read.
        faults: Why, of the first thousand.
    """

    rows: int = 0
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    forgotten: int = 0
    failed: int = 0
    faults: tuple[Fault, ...] = field(default=(), repr=False)


async def import_rows(
    store: BaseStore,
    rows: Iterable[Mapping[str, Any] | str | bytes],
    *,
    scope: Scope,
    zone: str,
    now: datetime,
    name: str | None = None,
    is_strict: bool = False,
    progress: Callable[[ImportReport], None] | None = None,
) -> ImportReport:
    """Store a memory for every row; see `Memories.import_rows`.

    Raises:
        InvalidInputError: With `is_strict`, the first row that cannot be read; those before it are kept.
    """
    reader = _Reader(iter(rows), scope=scope, zone=zone, now=now, name=name, is_strict=is_strict)
    report = ImportReport()
    under_way: deque[tuple[set[_Place], asyncio.Task[ImportReport]]] = deque()
    try:
        while (batch := await asyncio.to_thread(reader.next_batch)) is not None:
            report = _sum(report, batch.report)
            # Of two rows of one key the later one wins, so they must not be written side by side.
            while len(under_way) >= _BATCHES_AT_ONCE or any(batch.drafts.keys() & places for places, _ in under_way):
                report = _sum(report, await under_way.popleft()[1])
                if progress is not None:
                    progress(report)
            under_way.append((set(batch.drafts), asyncio.create_task(_keep(store, batch.drafts, now))))
        while under_way:
            report = _sum(report, await under_way.popleft()[1])
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
    if progress is not None:
        progress(report)
    if is_strict and report.faults:
        fault = report.faults[0]
        raise InvalidInputError(f"line {fault.line}: {fault.message}", param="rows", code="malformed_row")
    return report


_Place = tuple[Namespace, str]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row understood. `is_dated` says whether the row told when it was said."""

    value: dict[str, Any]
    expires_at: datetime | None
    is_dated: bool

    def is_what(self, known: Mapping[str, Any]) -> bool:
        """Say whether `known` is this row, imported before; one without a date was then dated otherwise."""
        return known == self.value or (not self.is_dated and known.get("text") == self.value["text"])


@dataclass(frozen=True, slots=True)
class _Batch:
    drafts: dict[_Place, _Draft]
    report: ImportReport


class _Reader:
    """Reads rows and understands them, a batch at a time, on whatever thread asks."""

    def __init__(
        self,
        rows: Iterator[Mapping[str, Any] | str | bytes],
        *,
        scope: Scope,
        zone: str,
        now: datetime,
        name: str | None,
        is_strict: bool,
    ) -> None:
        self._rows = enumerate(rows, 1)
        self._scope = scope
        self._zone = zone
        self._now = now
        self._name = name
        self._is_strict = is_strict
        self._has_stopped = False

    def next_batch(self) -> _Batch | None:
        """Return the next rows, understood; `None` after the last."""
        drafts: dict[_Place, _Draft] = {}
        faults: list[Fault] = []
        read = told = 0
        for line, row in islice(self._rows, 0 if self._has_stopped else _ROWS_PER_BATCH):
            read += 1
            if isinstance(row, str | bytes) and not row.strip():
                continue
            told += 1
            try:
                place, draft = self._understand(row)
            except InvalidInputError as error:
                faults.append(Fault(line=line, message=error.message))
                if self._is_strict:
                    self._has_stopped = True
                    break
            else:
                drafts[place] = draft
        if not read:
            return None
        doubled = told - len(faults) - len(drafts)
        return _Batch(drafts, ImportReport(rows=told, unchanged=doubled, failed=len(faults), faults=tuple(faults)))

    def _understand(self, row: Mapping[str, Any] | str | bytes) -> tuple[_Place, _Draft]:
        if isinstance(row, str | bytes):
            row = _parsed(row)
        if not isinstance(row, Mapping):
            raise InvalidInputError(f"a row is a JSON object, not {type(row).__name__}", param="rows")
        text, kind = _text(row, "text"), _text(row, "kind") or "episode"
        if not text or not text.strip():
            raise InvalidInputError("the row has no text", param="text")
        if kind not in _KINDS:
            raise InvalidInputError(f"kind {kind!r} is none of {', '.join(_KINDS)}", param="kind")
        if caption := _text(row, "caption"):
            text = f"{text}\n[{caption}]"
        zone = _checked_zone(_text(row, "timezone") or self._zone)
        said_at = next((when for name in ("recorded_at", "ts") if (when := _moment(row, name, zone))), None)
        value: dict[str, Any] = dict(_mapping(row, "more"))
        if "event" in row:
            value |= _undated(text, kind=kind, zone=zone, said_at=said_at or self._now) | _event(row, zone)
        else:
            value |= new_value(
                text, kind=cast("Kind", kind), speaker="", said_at=said_at or self._now, zone=zone, source={}
            )
        value["speaker"] = _text(row, "speaker") or "user"
        value["source"] = self._source(row)
        for name in ("valid_until", "expires_at"):
            if (when := _moment(row, name, zone)) is not None:
                value[name] = time_key(when)
        if (successor := _text(row, "superseded_by")) is not None:
            value["superseded_by"] = successor
        namespace = self._namespace(row, kind)
        key = _text(row, "id") or _digest(namespace, kind, value["speaker"], text, _text(row, "ts", "recorded_at"))
        draft = _Draft(normalised(value), _moment(row, "expires_at", zone), is_dated=said_at is not None)
        return (namespace, check_label(key, param="id")), draft

    def _namespace(self, row: Mapping[str, Any], kind: str) -> Namespace:
        scope, user = self._scope, _text(row, "user")
        if (leaf := row.get("leaf")) is not None:
            if not isinstance(leaf, list) or not all(isinstance(part, str) for part in leaf):
                raise InvalidInputError(f"leaf {leaf!r} is no list of names", param="leaf")
            return leaf_namespace(scope.tenant, leaf)
        if user is not None and user != scope.user:
            scope = Scope(tenant=scope.tenant, user=user)
        return scope.notes_namespace if kind == "note" else scope.write_namespace

    def _source(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        nowhere: dict[str, str | None] = {"thread": None, "message_id": None, "run_id": None}
        if "leaf" in row or isinstance(row.get("source"), Mapping):  # exported: it says itself where it came from
            return nowhere | dict(_mapping(row, "source"))
        return nowhere | {"thread": _text(row, "thread", "session"), "import": self._name}


async def _keep(store: BaseStore, drafts: Mapping[_Place, _Draft], now: datetime) -> ImportReport:
    """Write the drafts that are new or changed, and were not forgotten."""
    gets = [GetOp(*place, refresh_ttl=False) for place in drafts]
    known = dict(zip(drafts, cast("list[Item | None]", await store.abatch(gets)), strict=True))
    wanted = {
        place: draft
        for place, draft in drafts.items()
        if (item := known[place]) is None or not draft.is_what(item.value)
    }
    refused = await _refused(store, wanted)
    puts = [
        PutOp(*place, draft.value, index=["text"], ttl=_minutes_left(draft, now) if store.supports_ttl else None)
        for place, draft in wanted.items()
        if place not in refused
    ]
    if puts:
        await store.abatch(puts)
    replaced = sum(known[put.namespace, put.key] is not None for put in puts)
    return ImportReport(
        added=len(puts) - replaced,
        replaced=replaced,
        unchanged=len(drafts) - len(wanted),
        forgotten=len(refused),
    )


async def _refused(store: BaseStore, drafts: Mapping[_Place, _Draft]) -> set[_Place]:
    digests: dict[Namespace, dict[str, list[_Place]]] = {}
    for (leaf, key), draft in drafts.items():
        digests.setdefault(leaf, {}).setdefault(digest_of(draft.value["text"], leaf), []).append((leaf, key))
    found = [(leaf, await forgotten(store, leaf, asked)) for leaf, asked in digests.items()]
    return {place for leaf, those in found for digest in those for place in digests[leaf][digest]}


def _sum(report: ImportReport, more: ImportReport) -> ImportReport:
    return replace(
        report,
        rows=report.rows + more.rows,
        added=report.added + more.added,
        replaced=report.replaced + more.replaced,
        unchanged=report.unchanged + more.unchanged,
        forgotten=report.forgotten + more.forgotten,
        failed=report.failed + more.failed,
        faults=(*report.faults, *more.faults)[:_FAULTS_KEPT],
    )


def _minutes_left(draft: _Draft, now: datetime) -> float | None:
    return None if draft.expires_at is None else max(0.0, (draft.expires_at - now).total_seconds() / 60)


def _parsed(line: str | bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"not JSON: {error.msg} (column {error.colno})", param="rows") from error


def _text(row: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the fields that is there, as text."""
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidInputError(f"{name} must be text, not {type(value).__name__}", param=name)
        return str(value)
    return None


def _mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidInputError(f"{name} must be an object, not {type(value).__name__}", param=name)
    return value or {}


def _moment(row: Mapping[str, Any], name: str, zone: str) -> datetime | None:
    value = row.get(name)
    try:
        if value is None or value == "":
            return None
        if isinstance(value, datetime):
            when = value
        elif isinstance(value, str):
            when = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            when = datetime.fromtimestamp(value, UTC)
        else:
            raise TypeError(type(value).__name__)
        return (when if when.tzinfo is not None else when.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        message = f"{name} {value!r} is no moment: write ISO 8601 or seconds since 1970"
        raise InvalidInputError(message, param=name) from error


def _undated(text: str, *, kind: str, zone: str, said_at: datetime) -> dict[str, Any]:
    never = {"time_start": NO_TIME[0], "time_end": NO_TIME[1]}
    return {"kind": kind, "text": text, "recorded_at": time_key(said_at), "zone": zone, **never}


def _event(row: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """Read the time a row says it speaks of; nothing where it says that it speaks of none."""
    event = _mapping(row, "event")
    if not event:
        return {}
    return {
        "time_start": time_key(_moment(event, "start", zone), open_side="start"),
        "time_end": time_key(_moment(event, "end", zone), open_side="end"),
        "mention": _text(event, "mention") or "",
        "granularity": _text(event, "granularity") or "range",
        "time_text": _text(event, "text") or "",
    }


@lru_cache(maxsize=64)
def _checked_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInputError(
            f"timezone {name!r} is no IANA name such as 'Europe/Paris'", param="timezone"
        ) from error
    return name


def _digest(namespace: Namespace, *parts: str | None) -> str:
    origin = "\x1f".join((*namespace, *(part or "" for part in parts)))
    return hashlib.sha256(origin.encode("utf-8", "replace")).hexdigest()[:32]
