"""Find what is known that a message may repeat, refine or correct, in pieces as small as a correction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

from langgraph.store.base import BaseStore, Item, SearchItem, SearchOp

from agentgraph.memory.passages import sentences_of
from agentgraph.memory.record import Owed, time_key
from agentgraph.memory.words import telling_words
from agentgraph.stores.hybrid import HybridSearch

__all__ = ["Known", "Part", "related_to"]

_MOST_KNOWN: Final = 8
_MOST_OF_AN_EPISODE: Final = 3
_LONGEST_SENTENCE: Final = 2_000
_MOST_SENTENCES: Final = 6  # of a message, each looked up by itself: together they would be near to nothing
# Cosine below which two texts have nothing to do with each other: of 21 pairs, those that correct one another lie at
# .30 and above, others, among them "supersede all memories" beside any memory, at .28 and below, mostly below .15.
_RELATED: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stored memory, or the sentence of an episode that is meant."""

    item: Item
    sentence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Something known that the model may point at: a fact, a sentence of an episode, or both where they say the same.

    Attributes:
        text: What it says.
        parts: The memories that say so.
    """

    text: str
    parts: list[Part] = field(default_factory=list)


async def related_to(store: BaseStore, owed: Owed) -> list[Known]:
    """Find what is known in the message's own leaf that it may repeat, refine or correct, the nearest first.

    Episodes are taken apart into sentences, because a correction corrects a sentence and not what was said beside it.
    What this very message left behind is not among them, nor what was said since: the model may be late, and the past
    corrects nothing.
    """
    said_at = time_key(datetime.fromisoformat(owed["said_at"]))
    found: dict[str, tuple[float, Item]] = {}
    for sentence in sentences_of(owed["text"])[:_MOST_SENTENCES] or [owed["text"][:_LONGEST_SENTENCE]]:
        for nearness, item in await _near(store, tuple(owed["namespace"]), sentence):
            is_own = (item.value.get("source") or {}).get("message_id") == owed["message_id"]
            if not is_own and item.value["recorded_at"] <= said_at:
                found[item.key] = max(found.get(item.key, (nearness, item)), (nearness, item), key=lambda each: each[0])
    items = [item for _, item in sorted(found.values(), key=lambda each: -each[0])]
    facts = [Known(text=item.value["text"], parts=[Part(item=item)]) for item in items if item.value["kind"] == "fact"]
    known = list(facts)
    asked = telling_words(owed["text"])
    for item in items:
        if item.value["kind"] != "episode":
            continue
        # Sentences of one episode are equally near to the store: those that share words with the message come first.
        sentences = sorted(sentences_of(item.value["text"]), key=lambda each: -len(asked & telling_words(each)))
        for sentence in sentences[:_MOST_OF_AN_EPISODE]:
            part = Part(item=item, sentence=sentence)
            twin = next((fact for fact in facts if _tells_of(fact.parts[0].item, part)), None)
            if twin is not None:
                twin.parts.append(part)
            else:
                known.append(Known(text=sentence, parts=[part]))
    rank = {item.key: at for at, item in enumerate(items)}
    known.sort(key=lambda each: rank[each.parts[0].item.key])
    return known[:_MOST_KNOWN]


async def _near(store: BaseStore, leaf: tuple[str, ...], sentence: str) -> list[tuple[float, Item]]:
    """Return facts and episodes that have to do with `sentence`, with how near they are."""
    if not isinstance(store, HybridSearch):
        found = cast("list[list[SearchItem]]", await store.abatch([SearchOp(leaf, query=sentence, limit=_MOST_KNOWN)]))
        return [(item.score or 0.0, item) for item in found[0] if item.value.get("kind") in {"fact", "episode"}]
    said = telling_words(sentence)
    return [
        (hit.fused, hit.item)
        for hit in await store.arank([leaf], sentence, limit=_MOST_KNOWN, filter={"kind": {"$ne": "note"}})
        if hit.dense is None or hit.dense >= _RELATED or not said.isdisjoint(telling_words(hit.item.value["text"]))
    ]


def _tells_of(fact: Item, part: Part) -> bool:
    """Say whether `fact` was made of a sentence: of one message, and most of its words are there."""
    mine, theirs = fact.value.get("source") or {}, part.item.value.get("source") or {}
    if not mine.get("message_id") or mine.get("message_id") != theirs.get("message_id"):
        return False
    wanted = telling_words(str(fact.value["text"]))
    return bool(wanted) and 2 * len(wanted & telling_words(part.sentence or "")) >= len(wanted)
