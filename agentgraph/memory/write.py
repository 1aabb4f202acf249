"""Turn what was said into episodes, once: verbatim, dated on both clocks, with provenance.

Times are understood at writing, against the moment and the zone of the speaker, because "last week" means another week
to whoever reads it later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from langgraph.store.base import BaseStore, PutOp

from agentgraph.memory.record import NO_TIME, MemoryValue, Owed, time_key
from agentgraph.temporal import Window, resolve

__all__ = ["episodes_of", "write_episodes"]

# A sentence ends at its mark or at a line's end; an abbreviation's full stop is followed by a small letter.
_SENTENCE: Final = re.compile(
    r"[^\n.!?。！？]*(?:[.!?](?!\s+[A-Z\"'(]|\s*$|\n)[^\n.!?。！？]*)*[.!?。！？]*", re.UNICODE
)
_LONGEST: Final = 2_000
_ASKS: Final = re.compile(r"[?？]\s*[\"')\]]*\s*$")


def episodes_of(owed: Owed) -> Iterator[tuple[str, MemoryValue]]:
    """Yield the key and value of every episode in one message.

    An episode is a sentence: several times in one message each keep their own. Questions hold nothing to remember, and
    keeping them would answer later questions with earlier ones. Keys are digests of the words and the day, so
    writing the same message again changes nothing.
    """
    said_at = datetime.fromisoformat(owed["said_at"])
    for sentence in _sentences(owed["text"]):
        if _ASKS.search(sentence):
            continue
        value: MemoryValue = {
            "kind": "episode",
            "text": sentence,
            "speaker": owed["speaker"],
            "recorded_at": time_key(said_at),
            "zone": owed["zone"],
            "time_start": NO_TIME[0],
            "time_end": NO_TIME[1],
            "source": {"thread": owed["thread"], "message_id": owed["message_id"], "run_id": owed["run_id"]},
        }
        window = _main_window(resolve(sentence, now=said_at, zone=owed["zone"]))
        if window is not None:
            value["time_start"] = time_key(window.start, open_side="start")
            value["time_end"] = time_key(window.end, open_side="end")
            value["mention"] = window.mention
            value["granularity"] = window.granularity
            value["time_text"] = window.describe(owed["zone"])
        yield _key(owed, sentence, said_at), value


async def write_episodes(store: BaseStore, owed: Iterable[Owed]) -> int:
    """Store the episodes of `owed`, in one batch, and return how many there were. Writing twice is harmless."""
    operations = [
        PutOp(namespace=tuple(message["namespace"]), key=key, value=dict(value), index=["text"])
        for message in owed
        for key, value in episodes_of(message)
    ]
    if operations:
        await store.abatch(operations)
    return len(operations)


def _sentences(text: str) -> Iterator[str]:
    for match in _SENTENCE.finditer(text):
        sentence = match.group().strip()
        # One word or a bare number carries nothing without the question before it.
        if len(sentence.split()) > 1 or len(sentence) > 12:
            yield sentence[:_LONGEST]


def _main_window(windows: list[Window]) -> Window | None:
    """Pick the time a sentence is about: the one it spends the most words on, and of equals the first."""
    return max(windows, key=lambda window: (len(window.mention), -window.span[0]), default=None)


def _key(owed: Owed, sentence: str, said_at: datetime) -> str:
    """The same words on the same day are one memory: a client's retry, or a resent message, adds nothing."""
    day = said_at.astimezone(ZoneInfo(owed["zone"])).date().isoformat()
    words = " ".join(sentence.casefold().split())
    origin = "\x1f".join((*owed["namespace"], owed["speaker"], day, words))
    return hashlib.sha256(origin.encode()).hexdigest()[:32]
