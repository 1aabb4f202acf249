"""Turn what was said into episodes, once: verbatim, dated on both clocks, with provenance.

Times are understood at writing, against the moment and the zone of the speaker, because "last week" means another week
to whoever reads it later. What a model makes of the same words is `extract.py`'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.memory.ledger import Entry, digest_of_telling, entries_of, note
from agentgraph.memory.record import NO_TIME, Kind, MemoryValue, Owed, moment, time_key
from agentgraph.memory.tombstones import digest_of, digest_of_message, forgotten
from agentgraph.stores.lexical import words
from agentgraph.temporal import Window, main_window, resolve

__all__ = ["episodes_of", "key_of", "retold", "sentences_of", "value_of", "write_episodes"]

Namespace = tuple[str, ...]

# A sentence ends at its mark or at a line's end; an abbreviation's full stop is followed by a small letter.
_SENTENCE: Final = re.compile(
    r"[^\n.!?。！？]*(?:[.!?](?!\s+[A-Z\"'(]|\s*$|\n)[^\n.!?。！？]*)*[.!?。！？]*", re.UNICODE
)
_ABBREVIATED: Final = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|approx|e\.g|i\.e|[A-Z])\.$")
_ASKS: Final = re.compile(r"[?？]\s*[\"')\]]*\s*$")
_FENCED: Final = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
# Lines a machine wrote: stamped, of a severity, of a traceback, or ending as code does.
_MACHINE_LINE: Final = re.compile(
    r"\s*[\[(]?(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|(?:DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|TRACE)\b)"
    r'|Traceback |\s+File "|\s+at \S+\(|[$>#] \S|.*[{};]\s*$|(?: {4}|\t)\S'
)
_PASTED_LINES: Final = 4  # as many machine lines in a row are something pasted, not something said
_LONGEST_PASSAGE: Final = 500  # characters; an embedder reads about twice as many
_LONGEST_SENTENCE: Final = 2_000
_MOST_PASSAGES: Final = 64
_FEW_CHARACTERS: Final = 4  # with their pairs: three characters make five words


def episodes_of(owed: Owed) -> Iterator[tuple[str, MemoryValue]]:
    """Yield the key and value of every episode in one message.

    An episode is a passage: sentences that follow one another and speak of one time. A sentence without a time joins
    the passage before it, another time begins a new passage, and so does a passage's length. Questions hold nothing to
    remember, and keeping them would answer later questions with earlier ones. What was pasted (code, logs) is one
    episode, cut short and without a time: its stamps are not what the speaker speaks of.

    Keys are digests of the words and the time they are about, so writing the same message again changes nothing, on
    another day too unless it then speaks of another time.
    """
    said_at = datetime.fromisoformat(owed["said_at"])
    passages = (passage for block in _blocks(owed["text"]) for passage in _passages(block, said_at, owed["zone"]))
    for passage, _ in zip(passages, range(_MOST_PASSAGES), strict=False):
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
        entry = Entry(facts="owed" if wants_facts and kept else "none")
        entries[digest] = entry
        notes.append(note(store, message, entry))
    if notes:
        await store.abatch([*writes.values(), *notes])
    return [
        message for digest, message in reversed(messages.items()) if wants_facts and entries[digest].facts == "owed"
    ]


def sentences_of(text: str) -> list[str]:
    """Split `text` into its sentences, questions and all, without those that carry nothing alone."""
    sentences: list[str] = []
    begun = ""
    for match in _SENTENCE.finditer(text):
        sentence = begun + match.group().strip()
        if _ABBREVIATED.search(sentence) and match.end() < len(text) and text[match.end()] != "\n":
            begun = f"{sentence} "
            continue
        begun = ""
        if _says_something(sentence):
            sentences.append(sentence[:_LONGEST_SENTENCE])
    return sentences


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


@dataclass(slots=True)
class _Passage:
    """Sentences under way to becoming an episode."""

    text: str
    window: Window | None = None

    def takes(self, sentence: str, window: Window | None) -> bool:
        if len(self.text) + 1 + len(sentence) > _LONGEST_PASSAGE:
            return False
        return window is None or (
            self.window is not None and (window.start, window.end) == (self.window.start, self.window.end)
        )


@dataclass(frozen=True, slots=True)
class _Block:
    """A stretch of a message: prose, line by line, or something pasted."""

    is_pasted: bool
    lines: list[str] = field(default_factory=list)


def _passages(block: _Block, said_at: datetime, zone: str) -> Iterator[_Passage]:
    if block.is_pasted:
        text = "\n".join(block.lines).strip()
        if len(text) > _LONGEST_PASSAGE:
            text = text[:_LONGEST_PASSAGE].rpartition("\n")[0] or text[:_LONGEST_PASSAGE]
        yield _Passage(text)
        return
    passage: _Passage | None = None
    for line in block.lines:
        separator = "\n"
        for sentence in sentences_of(line):
            if _ASKS.search(sentence):
                continue
            window = main_window(resolve(sentence, now=said_at, zone=zone))
            if passage is not None and passage.takes(sentence, window):
                passage.text += separator + sentence
            else:
                if passage is not None:
                    yield passage
                passage = _Passage(sentence, window)
            separator = " "
    if passage is not None:
        yield passage


def _blocks(text: str) -> Iterator[_Block]:
    """Cut a message into what was said and what was pasted."""
    at = 0
    for fenced in _FENCED.finditer(text):
        yield from _runs(text[at : fenced.start()])
        yield _Block(is_pasted=True, lines=fenced.group().splitlines())
        at = fenced.end()
    yield from _runs(text[at:])


def _runs(text: str) -> Iterator[_Block]:
    prose = _Block(is_pasted=False)
    run: list[str] = []
    for line in [*text.splitlines(), None]:
        if line is not None and _MACHINE_LINE.match(line):
            run.append(line)
            continue
        if len(run) >= _PASTED_LINES:
            yield prose
            yield _Block(is_pasted=True, lines=run)
            prose = _Block(is_pasted=False)
        else:
            prose.lines.extend(run)
        run = []
        if line is not None:
            prose.lines.append(line)
    yield prose


def _says_something(sentence: str) -> bool:
    """Tell a sentence from one word or a bare number, which carries nothing without the question before it."""
    if len(sentence.split()) > 1 or len(sentence) > 12:
        return True
    return not sentence.isascii() and len(words(sentence)) > _FEW_CHARACTERS  # scripts without spaces


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
