"""Decide what a message's facts change in the store: what is new, what was known, and what is true no longer.

A memory that is superseded is not lost: it moves to the leaf's history with the moment it ceased to hold, so that the
past can still be read as it was known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.memory.extract import Change
from agentgraph.memory.known import Part
from agentgraph.memory.passages import sentences_of
from agentgraph.memory.record import MemoryValue, Owed, time_key
from agentgraph.memory.tombstones import digest_of, digest_of_message, forgotten
from agentgraph.memory.words import most_alike, says_the_same
from agentgraph.memory.write import key_of, retold, value_of
from agentgraph.scope import history_namespace
from agentgraph.stores.hybrid import HybridSearch
from agentgraph.temporal import Window, main_window, resolve

__all__ = ["merge"]

Namespace = tuple[str, ...]

# One message corrects a thing or two. What asks for more is a mistake of the model's, or an attack on its memory.
_MOST_SUPERSEDED: Final = 3
# Cosine alone cannot tell: of 40 pairs, "moved to" and "moved from" Rome lie at .98, and paraphrases begin at .73. It
# only vouches for texts that `says_the_same` holds to be one.
_NEAR: Final = 0.9


async def merge(store: BaseStore, owed: Owed, changes: Sequence[Change]) -> list[PutOp]:
    """Return the writes that `changes` of the message `owed` come to, for one batch; the store is only read.

    A fact that is there already, word for word or by meaning, and speaks of the same time takes the date of the new
    telling; what was forgotten is not learnt again.
    """
    leaf = tuple(owed["namespace"])
    digests = {digest_of(change.text, leaf) for change in changes} | {digest_of_message(owed["message_id"], leaf)}
    refused = await forgotten(store, leaf, digests)
    if digest_of_message(owed["message_id"], leaf) in refused:
        return []
    batch = _Batch(store, leaf)
    superseded = 0
    for change in changes:
        if digest_of(change.text, leaf) in refused:
            continue
        value = _fact(owed, change)
        key = key_of(leaf, value)
        replaced: list[Part] = []
        if change.target is not None:
            replaced = [part for part in change.target.parts if change.action == "supersede" or part.sentence is None]
            replaced = [part for part in replaced if part.item.key != key]
            if replaced and superseded == _MOST_SUPERSEDED:
                continue
            superseded += bool(replaced)
        key = await batch.keep(key, value, instead_of={part.item.key for part in replaced})
        for part in replaced:
            await batch.retire(part, by=key, when=time_key(datetime.fromisoformat(owed["said_at"])))
    return batch.writes()


class _Batch:
    """Writes under way, and what the leaf holds once they are made."""

    def __init__(self, store: BaseStore, leaf: Namespace) -> None:
        self._store = store
        self._leaf = leaf
        self._writes: dict[tuple[Namespace, str], dict[str, Any] | None] = {}
        self._rests: dict[str, str] = {}  # key of an episode → key of what stays of it

    async def keep(self, key: str, value: MemoryValue, *, instead_of: set[str]) -> str:
        """Put a fact, or note that it was said again; return the key it is found under."""
        twin, known = key, await self._read(self._leaf, key)
        if known is None and (alike := await self._alike(value, instead_of)) is not None:
            twin, known = alike
        told = value if known is None else retold(cast("MemoryValue", known), value)
        if told is not None:
            self._writes[self._leaf, twin] = dict(told)
        return twin

    async def retire(self, part: Part, *, by: str, when: str) -> None:
        """Move a memory to the history; of an episode, what was said beside the sentence that is meant stays."""
        here = self._rests.get(part.item.key, part.item.key)
        value = await self._read(self._leaf, here)
        if value is None or here == by or (part.sentence or "") not in value["text"]:
            return
        history, there = history_namespace(self._leaf), here
        if await self._read(history, there) is not None:  # it ceased to hold before, came back, and ceases again
            there = f"{there}~{when}"
        self._writes[history, there] = value | {"valid_until": when, "superseded_by": by}
        self._writes[self._leaf, here] = None
        if part.sentence is not None:
            rest = " ".join(value["text"].replace(part.sentence, " ", 1).split())
            if sentences_of(rest):
                beside = cast("MemoryValue", value | {"text": rest})
                self._rests[part.item.key] = key = key_of(self._leaf, beside)
                self._writes[self._leaf, key] = dict(beside)

    def writes(self) -> list[PutOp]:
        return [
            PutOp(leaf, key, value, index=["text"]) if value is not None else PutOp(leaf, key, None)
            for (leaf, key), value in self._writes.items()
        ]

    async def _read(self, leaf: Namespace, key: str) -> dict[str, Any] | None:
        if (leaf, key) in self._writes:
            return self._writes[leaf, key]
        (item,) = cast("list[Item | None]", await self._store.abatch([GetOp(leaf, key, refresh_ttl=False)]))
        return None if item is None else item.value

    async def _alike(self, value: MemoryValue, instead_of: set[str]) -> tuple[str, dict[str, Any]] | None:
        """Return a fact of the leaf that says the same of the same time, and its key."""
        if not isinstance(self._store, HybridSearch):
            return None
        hits = await self._store.arank([self._leaf], value["text"], filter={"kind": "fact"}, limit=4)
        same = ("speaker", "time_start", "time_end")
        for hit in hits:
            other = hit.item.value
            if (
                hit.item.key not in instead_of
                and (self._leaf, hit.item.key) not in self._writes
                and (hit.dense is None or hit.dense >= _NEAR)
                and all(other[name] == value[name] for name in same)  # type: ignore[literal-required]
                and says_the_same(other["text"], value["text"])
            ):
                return hit.item.key, other
        return None


def _fact(owed: Owed, change: Change) -> MemoryValue:
    """Return the fact as it is stored, its time resolved from the words of the message, never by the model."""
    window = _window(owed, change)
    value = value_of(owed, change.text, kind="fact", window=window)
    value["topic"] = change.topic
    if window is None and change.action == "update" and change.target is not None:
        known = change.target.parts[0].item.value  # more detail of the same event: it keeps its time
        value |= {name: known[name] for name in _TIMES if name in known}  # type: ignore[typeddict-item]
    return value


_TIMES: Final = ("time_start", "time_end", "mention", "granularity", "time_text")


def _window(owed: Owed, change: Change) -> Window | None:
    """Return the time that the quoted words name in their sentence, else the one of the sentence the fact is from."""
    said_at = datetime.fromisoformat(owed["said_at"])
    sentences = sentences_of(owed["text"]) or [owed["text"]]
    if change.when is not None:
        quote = change.when.casefold()
        for sentence in sentences:
            at = sentence.casefold().find(quote)
            if at < 0:
                continue
            windows = resolve(sentence, now=said_at, zone=owed["zone"])
            touching = [w for w in windows if w.span[0] < at + len(quote) and at < w.span[1]]
            if touching:
                return main_window(touching)
    return main_window(resolve(most_alike(change.text, sentences), now=said_at, zone=owed["zone"]))
