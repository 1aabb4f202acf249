"""Turn what was said into episodes, once: verbatim, dated on both clocks, with provenance.

Times are understood at writing, against the moment and the zone of the speaker, because "last week" means another week
to whoever reads it later. What a model makes of the same words is `extract.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.memory.ledger import Entry, digest_of_telling, entries_of, note
from agentgraph.memory.passages import passages_of
from agentgraph.memory.record import NO_TIME, Kind, MemoryValue, Owed, moment, time_key
from agentgraph.memory.tombstones import digest_of, digest_of_message, forgotten
from agentgraph.temporal import Window

__all__ = ["episodes_of", "key_of", "retold", "value_of", "write_episodes"]

Namespace = tuple[str, ...]


def episodes_of(owed: Owed) -> Iterator[tuple[str, MemoryValue]]:
    """Yield the key and value of every episode in one message.

    An episode is a passage of it (`passages.py`), verbatim, with the one time it speaks of.
    Keys are digests of the words and the time they are about, so writing the same message again changes nothing, on
    another day too unless it then speaks of another time.
    """
    said_at = datetime.fromisoformat(owed["said_at"])
    for passage in passages_of(owed["text"], said_at=said_at, zone=owed["zone"]):
        value = value_of(owed, passage.text, kind="episode", window=passage.window)
        yield key_of(owed["namespace"], value), value


async def write_episodes(store: BaseStore, owed: Iterable[Owed], *, wants_facts: bool = False) -> list[Owed]:
    """Store what `owed` adds, with the ledger's note of each message, in one batch. Writing twice is harmless.

    A message the ledger knows writes nothing. An episode that is there already keeps its place and its first date, and
    takes the new one. What was forgotten stays forgotten.

    Returns:
        The messages whose facts are still to be extracted, where `wants_facts`: of tellings of the same words on the
        same day only the first.
    """
    messages = {digest_of_telling(message): message for message in reversed(list(owed))}
    entries = await entries_of(store, messages)
    fresh = {digest: message for digest, message in reversed(messages.items()) if digest not in entries}
    drafts = {digest: dict(episodes_of(message)) for digest, message in fresh.items()}
    refused = await _refused(store, fresh.values(), drafts.values())
    places = [(tuple(message["namespace"]), key) for digest, message in fresh.items() for key in drafts[digest]]
    found = cast("list[Item | None]", await store.abatch([GetOp(*place, refresh_ttl=False) for place in places]))
    known: dict[tuple[Namespace, str], Any] = {
        place: item.value for place, item in zip(places, found, strict=True) if item is not None
    }
    writes: dict[tuple[Namespace, str], PutOp] = {}
    notes: list[PutOp] = []
    for digest, message in fresh.items():
        leaf = tuple(message["namespace"])
        lives = digest_of_message(message["message_id"], leaf) not in refused
        kept = {k: v for k, v in drafts[digest].items() if lives and digest_of(v["text"], leaf) not in refused}
        for key, value in kept.items():
            told = retold(known[leaf, key], value) if (leaf, key) in known else value
            if told is not None:
                known[leaf, key] = told
                writes[leaf, key] = PutOp(leaf, key, dict(told), index=["text"])
        # A model would be shown the whole message: what was forgotten of it must not come back in other words.
        entry = Entry(facts="owed" if wants_facts and kept and len(kept) == len(drafts[digest]) else "none")
        entries[digest] = entry
        if drafts[digest]:  # a message that holds nothing to remember holds nothing the next time either
            notes.append(note(store, message, entry))
    if notes:
        *earlier, last = _of_distinct_texts(writes.values())
        for batch in earlier:
            await store.abatch(batch)
        await store.abatch([*last, *notes])
    return [
        message for digest, message in reversed(messages.items()) if wants_facts and entries[digest].facts == "owed"
    ]


def value_of(owed: Owed, text: str, *, kind: Kind, window: Window | None) -> MemoryValue:
    """Return a memory of `owed` that says `text` and speaks of `window`."""
    value: MemoryValue = {
        "kind": kind,
        "text": text,
        "speaker": owed["speaker"],
        "recorded_at": time_key(datetime.fromisoformat(owed["said_at"])),
        "zone": owed["zone"],
        "time_start": NO_TIME[0],
        "time_end": NO_TIME[1],
        "source": {"thread": owed["thread"], "message_id": owed["message_id"], "run_id": owed["run_id"]},
    }
    if window is not None:
        value["time_start"] = time_key(window.start, open_side="start")
        value["time_end"] = time_key(window.end, open_side="end")
        value["mention"] = window.mention
        value["granularity"] = window.granularity
        value["time_text"] = window.describe(owed["zone"])
    return value


def key_of(leaf: Sequence[str], value: MemoryValue) -> str:
    """Return the key of a memory: the same words about the same time, from the same speaker, are one."""
    said = " ".join(value["text"].casefold().split())
    origin = (*leaf, value["kind"], value["speaker"], said, value["time_start"], value["time_end"])
    return hashlib.sha256("\x1f".join(origin).encode("utf-8", "replace")).hexdigest()[:32]


def retold(known: MemoryValue, value: MemoryValue) -> MemoryValue | None:
    """Return `known` as it is once `value`, the same memory, was said too; `None` where nothing changes.

    It was recorded first at the earliest telling and last at the latest; a second telling on one day changes nothing.
    """
    said, last = value["recorded_at"], known["recorded_at"]
    first = known.get("first_recorded_at", last)
    if first <= said <= last or _day(said, value["zone"]) in {_day(first, value["zone"]), _day(last, value["zone"])}:
        return None
    return cast("MemoryValue", {**known, "recorded_at": max(said, last), "first_recorded_at": min(said, first)})


def _of_distinct_texts(writes: Iterable[PutOp]) -> list[list[PutOp]]:
    """Part writes so that none says what another of its batch does: LangGraph's `InMemoryStore` refuses those."""
    batches: list[dict[str, PutOp]] = [{}]
    for write in writes:
        text = str((write.value or {}).get("text"))
        batch = next((batch for batch in batches if text not in batch), None)
        if batch is None:
            batches.append(batch := {})
        batch[text] = write
    return [list(batch.values()) for batch in reversed(batches)]


async def _refused(store: BaseStore, messages: Iterable[Owed], drafts: Iterable[dict[str, MemoryValue]]) -> set[str]:
    """Return the digests, of messages and of words, that were forgotten."""
    asked: dict[Namespace, set[str]] = {}
    for message, values in zip(messages, drafts, strict=True):
        leaf = tuple(message["namespace"])
        digests = {digest_of(value["text"], leaf) for value in values.values()}
        asked.setdefault(leaf, set()).update(digests, [digest_of_message(message["message_id"], leaf)])
    refused: set[str] = set()
    for leaf, digests in asked.items():
        refused |= await forgotten(store, leaf, digests)
    return refused


def _day(recorded_at: str, zone: str) -> date | None:
    when = moment(recorded_at)
    return None if when is None else when.astimezone(ZoneInfo(zone)).date()
