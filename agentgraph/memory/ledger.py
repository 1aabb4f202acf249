"""Note which messages memory has learned from, so that a resend, a retry or a crash teaches nothing twice.

A row holds no words: its key is a digest of who said what, where and on which day, and its value says how far the
message has come. It is written in one batch with what was learned, and forgotten in time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast
from zoneinfo import ZoneInfo

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.memory.record import Owed, time_key
from agentgraph.scope import ledger_namespace

__all__ = ["Entry", "digest_of_telling", "entries_of", "note"]

_KEPT_MINUTES: Final = 90 * 24 * 60.0  # a client that resends older history teaches it again, and hash finds it known


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How far one message has come.

    Attributes:
        facts: `owed` while the model has still to read it, then `learned`, or `given up` after too many failures;
            `none` where there is no model, or nothing to extract.
        failures: How often the model failed over it.
        error: The kind of the latest failure; never its text, which may quote the message.
    """

    facts: Literal["none", "owed", "learned", "given up"]
    failures: int = 0
    error: str | None = None


def digest_of_telling(owed: Owed) -> str:
    """Return the SHA-256, in hex, of the words, the speaker, the place and the local day.

    The same words on the same day are one telling. On another day they are news: "yesterday" means another day, and
    what was corrected since may be true again.
    """
    day = datetime.fromisoformat(owed["said_at"]).astimezone(ZoneInfo(owed["zone"])).date().isoformat()
    words = " ".join(owed["text"].casefold().split())
    origin = "\x1f".join((*owed["namespace"], owed["speaker"], day, words))
    return hashlib.sha256(origin.encode("utf-8", "replace")).hexdigest()


async def entries_of(store: BaseStore, messages: Mapping[str, Owed]) -> dict[str, Entry]:
    """Return what is noted of `messages`, given and returned by digest; one that is not noted is missing."""
    reads = [
        GetOp(ledger_namespace(tuple(message["namespace"])), digest, refresh_ttl=False)
        for digest, message in messages.items()
    ]
    items = cast("list[Item | None]", await store.abatch(reads)) if reads else []
    return {
        digest: Entry(facts=item.value["facts"], failures=item.value["failures"], error=item.value["error"])
        for digest, item in zip(messages, items, strict=True)
        if item is not None
    }


def note(store: BaseStore, owed: Owed, entry: Entry) -> PutOp:
    """Return the write that notes `entry` of `owed`, to be made together with what was learned."""
    return PutOp(
        ledger_namespace(tuple(owed["namespace"])),
        digest_of_telling(owed),
        {
            "facts": entry.facts,
            "failures": entry.failures,
            "error": entry.error,
            "said_at": time_key(datetime.fromisoformat(owed["said_at"])),
            "source": {"thread": owed["thread"], "message_id": owed["message_id"], "run_id": owed["run_id"]},
        },
        index=False,
        ttl=_KEPT_MINUTES if store.supports_ttl else None,
    )
