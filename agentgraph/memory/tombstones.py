"""Remember that something was forgotten, without remembering what: digests that stop it from being learnt again.

A client that resends a conversation, or work still owed at a crash, would otherwise bring back what somebody had
removed. Whoever writes memory of their own accord asks `forgotten` first; a caller who writes a memory in so many words
means it, and `lift`s the tombstone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, cast

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.memory.record import time_key
from agentgraph.scope import ledger_namespace

__all__ = ["digest_of", "digest_of_message", "entomb", "forgotten", "is_tombstone", "lift"]

Namespace = tuple[str, ...]
_PREFIX: Final = "forgotten-"  # the ledger leaf also notes what was learned, under keys of its own
_AT_ONCE: Final = 500


def digest_of(text: str, leaf: Sequence[str]) -> str:
    """Return the SHA-256, in hex, of a memory's words in `leaf`; letter case and white space make no difference."""
    return _digest("words", " ".join(text.casefold().split()), leaf)


def digest_of_message(message_id: str, leaf: Sequence[str]) -> str:
    """Return the SHA-256, in hex, that stands for whatever one message taught in `leaf`."""
    return _digest("message", message_id, leaf)


async def entomb(store: BaseStore, leaf: Namespace, texts: Iterable[str], message_ids: Iterable[str] = ()) -> set[str]:
    """Note that `texts`, and whatever was said in `message_ids`, are never to be learnt again in `leaf`.

    Args:
        store: Any LangGraph store.
        leaf: The namespace of memories they were in.
        texts: The memories' own words, as they were stored.
        message_ids: The messages they came from, where the whole message is to be forgotten.

    Returns:
        The digests noted; nothing else of the texts is kept.
    """
    digests = {digest_of(text, leaf) for text in texts}
    digests |= {digest_of_message(message_id, leaf) for message_id in message_ids}
    value = {"forgotten_at": time_key(datetime.now(UTC))}
    ledger = ledger_namespace(leaf)
    for some in _batches(digests):
        await store.abatch([PutOp(ledger, _PREFIX + digest, value, index=False) for digest in some])
    return digests


async def forgotten(store: BaseStore, leaf: Namespace, digests: Iterable[str]) -> set[str]:
    """Return those of `digests` (of words, of messages, or both) that have a tombstone in `leaf`."""
    found: set[str] = set()
    for some in _batches(digests):
        gets = [GetOp(ledger_namespace(leaf), _PREFIX + digest) for digest in some]
        items = cast("list[Item | None]", await store.abatch(gets))
        found.update(digest for digest, item in zip(some, items, strict=True) if item is not None)
    return found


async def lift(store: BaseStore, leaf: Namespace, digests: Iterable[str]) -> None:
    """Take tombstones away: somebody has written the memory anew, and means it."""
    for some in _batches(await forgotten(store, leaf, digests)):
        await store.abatch([PutOp(ledger_namespace(leaf), _PREFIX + digest, None) for digest in some])


def is_tombstone(key: str) -> bool:
    """Say whether `key`, of an item in a ledger's leaf, is a tombstone's."""
    return key.startswith(_PREFIX)


def _digest(kind: str, what: str, leaf: Sequence[str]) -> str:
    return hashlib.sha256("\x1f".join((kind, *leaf, what)).encode("utf-8", "replace")).hexdigest()


def _batches(digests: Iterable[str]) -> Iterable[list[str]]:
    listed = sorted(set(digests))
    return (listed[at : at + _AT_ONCE] for at in range(0, len(listed), _AT_ONCE))
