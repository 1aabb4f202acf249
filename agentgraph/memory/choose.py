"""Choose what enters the prompt: by its place in time, without saying a thing twice, within a budget; and say why.

A window the question states and the times the memories speak of settle the matter: what speaks of another time stays
out. Where only the day of recording is known, nothing is settled, and relevance decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from agentgraph.memory.record import Recalled, WindowSpan
from agentgraph.memory.relevance import SLACK, Span, distance, moment_of, spans_of
from agentgraph.stores.lexical import words

__all__ = ["nearest_first", "place_in_time", "with_notes"]

_NEAREST_OUTSIDE: Final = 2
# Of another time, or of none and another day, a memory must have to do with the question. Anywhere from .2 to .35 this
# moved recall@10 by less than .005.
_RELEVANT: Final = 0.3
_OUTSIDE: Final = -0.08
_OTHER_SIDE: Final = -0.3  # asked about the past, what is still to come
_SHARE_OF_BEST: Final = 0.3
_SAME_WORDS: Final = 0.85
_CHARS_PER_TOKEN: Final = 4
_UNSPACED: Final = re.compile("[\u2e80-\uffff]")


def place_in_time(
    candidates: Sequence[Recalled],
    windows: Sequence[WindowSpan],
    *,
    now: datetime,
    top_k: int,
    max_tokens: int | None = None,
) -> tuple[list[Recalled], list[Recalled]]:
    """Split candidates, the best first, into what is kept and what is left out, each with its place and a reason.

    With no window, relevance decides. With one:
    - `inside`, what speaks of the time asked about, and `told`, what names no time and was said then, are kept as far
      as there is room;
    - `undated`, what names no time and was said at another, must be relevant;
    - `outside`, what speaks of another time, must be more relevant still. Where nothing is inside, the two nearest are
      kept in any case. They are marked: an empty window is said to be empty, never quietly filled. A question about the
      past is given the past as nearest, one about the future the future.

    Args:
        candidates: What `find` found.
        windows: The times the question speaks of.
        now: The moment the question is asked at.
        top_k: How many are kept at the most.
        max_tokens: How long they may be together; the best is kept whatever its length.
    """
    placed = _placed(candidates, windows, now) if windows else [_any(memory) for memory in candidates]
    nearest = _nearest_outside(placed, windows)
    best = max((memory["score"] for memory in placed), default=0.0)
    kept: list[Recalled] = []
    left_out: list[Recalled] = []
    budget = float("inf") if max_tokens is None else max_tokens
    reserved = len(nearest)
    for memory in placed:
        is_nearest = any(memory is near for near in nearest)
        reserved -= is_nearest
        if not is_nearest and (reason := _objection(memory, best)):
            left_out.append(memory | {"why": reason})
        elif len(kept) + reserved >= top_k:
            left_out.append(memory | {"why": f"beyond the best {top_k}; {memory['why']}"})
        elif (twin := _twin(memory, kept)) is not None:
            older, newer = sorted((memory, kept[twin]), key=lambda each: each["recorded_at"])
            kept[twin] = newer | {"same": [*memory["same"], *kept[twin]["same"], older["key"]]}
            is_later = older["recorded_at"] < newer["recorded_at"]
            left_out.append(older | {"why": "said again later" if is_later else f"says the same as {newer['key']}"})
        elif (tokens := _tokens(memory["text"])) > budget and kept:
            left_out.append(memory | {"why": f"does not fit: {tokens} tokens, {max(0, int(budget))} left"})
        else:
            kept.append(memory)
            budget -= tokens
    return kept, left_out


def _any(memory: Recalled) -> Recalled:
    return memory | {"placed": "any", "why": f"relevance {memory['score']:.2f}"}


def with_notes(kept: Sequence[Recalled], notes: Sequence[Recalled], *, most: int) -> list[Recalled]:
    """Return `kept` and, as far as `most` memories go, the notes that are not among them."""
    known = {(*memory["namespace"], memory["key"]) for memory in kept}
    others = [note for note in notes if (*note["namespace"], note["key"]) not in known]
    return [*kept, *others[: max(0, most - len(kept))]]


def _placed(memories: Sequence[Recalled], windows: Sequence[WindowSpan], now: datetime) -> list[Recalled]:
    """Say of each memory where it stands to the time asked about; what is outside falls back in the order."""
    spans = _spans(windows)
    asked = " or ".join(window["text"] for window in windows)
    placed: list[Recalled] = []
    for memory in memories:
        events, said = spans_of(memory), moment_of(memory["recorded_at"] or None)
        was_told_then = said is not None and min(distance((said, said), span) for span in spans) <= SLACK
        about = "" if memory["event"] is None else memory["event"]["text"]
        if any(distance(event, span) == timedelta(0) for event in events for span in spans):
            placed.append(memory | {"placed": "inside", "why": f"is about {about}, within {asked}"})
        elif events:
            why = f"is about {about}, not {asked}"
            if not _same_side(memory, spans, now):
                memory = _lowered(memory, "other_side", _OTHER_SIDE)
            elif not was_told_then:  # said then, it may be what is meant all the same
                memory = _lowered(memory, "outside", _OUTSIDE)
            placed.append(memory | {"placed": "outside", "why": why})
        elif was_told_then:
            placed.append(memory | {"placed": "told", "why": f"names no time and was said within a day of {asked}"})
        else:
            placed.append(memory | {"placed": "undated", "why": f"names no time and was not said within {asked}"})
    return sorted(placed, key=lambda memory: -memory["score"])


def _lowered(memory: Recalled, why: str, by: float) -> Recalled:
    return memory | {"boosts": memory["boosts"] | {why: by}, "score": max(0.0, memory["score"] + by)}


def _nearest_outside(placed: Sequence[Recalled], windows: Sequence[WindowSpan]) -> list[Recalled]:
    """Return what lies nearest to the time asked about, where nothing lies within it."""
    if any(memory["placed"] == "inside" for memory in placed):
        return []
    outside = [memory for memory in placed if memory["placed"] == "outside" and "other_side" not in memory["boosts"]]
    return nearest_first(outside, windows)[:_NEAREST_OUTSIDE]


def nearest_first(dated: Sequence[Recalled], windows: Sequence[WindowSpan]) -> list[Recalled]:
    """Sort memories that speak of a time by how far it lies from the time asked about."""
    spans = _spans(windows)
    return sorted(dated, key=lambda memory: min(distance(event, span) for event in spans_of(memory) for span in spans))


def _spans(windows: Sequence[WindowSpan]) -> list[Span]:
    return [(moment_of(window["start"]), moment_of(window["end"])) for window in windows]


def _objection(memory: Recalled, best: float) -> str | None:
    """Say why a memory stays out however much room there is, `None` where nothing speaks against it."""
    if memory["placed"] in {"inside", "told"}:
        return None
    if memory["placed"] in {"undated", "outside"} and memory["score"] < _RELEVANT:
        return f"{memory['why']}; relevance {memory['score']:.2f}"
    if memory["score"] < _SHARE_OF_BEST * best:
        return f"relevance {memory['score']:.2f}, far from the best with {best:.2f}"
    return None


def _twin(memory: Recalled, kept: Sequence[Recalled]) -> int | None:
    """Return the place of the memory in `kept` that says the same of the same time."""
    said, about = frozenset(words(memory["text"])), memory["event"] and memory["event"]["start"]
    for at, other in enumerate(kept):
        if about == (other["event"] and other["event"]["start"]) and _alike(said, frozenset(words(other["text"]))):
            return at
    return None


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= _SAME_WORDS * len(one | other)


def _same_side(memory: Recalled, spans: Sequence[Span], now: datetime) -> bool:
    start, end = spans_of(memory)[0]
    if all(span[1] is not None and span[1] <= now for span in spans):
        return start is None or start <= now
    if all(span[0] is not None and span[0] >= now for span in spans):
        return end is None or end > now
    return True


def _tokens(text: str) -> int:
    """Estimate the tokens of `text`: a quarter of its characters, one for each where scripts need no spaces."""
    unspaced = 0 if text.isascii() else len(_UNSPACED.findall(text))
    return 1 + unspaced + (len(text) - unspaced) // _CHARS_PER_TOKEN
