"""BM25 of rows as they stand alone, and of the three rows that stand together in a conversation.

Both are given as a share of the score that no text can exceed, saturating, because even a good answer to a long
question reaches a quarter of it: 0 to 1, comparable between questions.
Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; scaling by theoretical
bounds from Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 42(1), 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from agentgraph.stores.lexical import Terms
from agentgraph.stores.postings import Holding
from agentgraph.stores.shard import Shard

__all__ = ["Lexical", "lexical_scores"]

Scores = npt.NDArray[np.float32]

_K1: Final = 1.2
_B: Final = 0.75
_LEAST_WEIGHT: Final = 1e-3  # a word that nearly every row holds tells nothing
_MANY: Final = 6  # a word in more than one row of six is counted for all rows at once
_HALF_WAY: Final = np.float32(0.25)


class Lexical(NamedTuple):
    """What the words say of each row of a span.

    Attributes:
        bm25: Of the row's own text; unbounded.
        alone: The same as a share, 0 to 1.
        together: Of the row with the one before and the one after it, as a share.
    """

    bm25: Scores
    alone: Scores
    together: Scores


def lexical_scores(spans: Sequence[tuple[Shard, int, int]], terms: Terms) -> list[Lexical] | None:
    """Score the rows `first` to `last` of each shard; `None` where there are no terms.

    Words are weighed by how rare they are in all of the shards. Neighbours outside of a span do not count, nor do rows
    that are no longer alive.
    """
    if not len(terms):
        return None
    shards = [shard for shard, _, _ in spans]
    total = sum(len(shard.postings.lengths) for shard in shards)
    mean_length = max(1.0, sum(shard.postings.total_length for shard in shards) / total)
    found = [[shard.postings.find(term) for shard in shards] for term in terms]
    weights = [
        math.log(1.0 + (total - holding + 0.5) / (holding + 0.5))
        for holding in (sum(len(each.rows) for each in holdings) for holdings in found)
    ]
    highest = np.float32(sum(weights) * (_K1 + 1.0))
    return [
        _scored(span, [(w, holdings[at]) for w, holdings in zip(weights, found, strict=True)], mean_length, highest)
        for at, span in enumerate(spans)
    ]


def _scored(
    span: tuple[Shard, int, int], holdings: Sequence[tuple[float, Holding]], mean_length: float, highest: np.float32
) -> Lexical:
    shard, first, last = span
    size = last - first + 1
    lengths = shard.postings.lengths[first : last + 1]
    before = shard.sequences.before[first : last + 1] - np.int32(first)
    after = shard.sequences.after[first : last + 1] - np.int32(first)
    # Neighbours that are none stand in one place more, which is never read.
    inside_before = np.where((before >= 0) & (before < size), before, np.int32(size))
    inside_after = np.where((after >= 0) & (after < size), after, np.int32(size))
    padded = np.append(lengths, np.float32(0.0))
    lengths_together = lengths + padded[inside_before] + padded[inside_after]
    # A run of three is three times as long; where all stand alone, the two scores are one.
    mean_together = max(1.0, mean_length * float(lengths_together.sum()) / max(1.0, float(lengths.sum())))
    saturation = _saturation(lengths, mean_length)
    saturation_together = _saturation(lengths_together, mean_together)
    alone, together = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    counts_together = np.zeros(size + 1, dtype=np.float32)
    alive = shard.alive[first : last + 1]
    has_dead = not alive.all()
    least = np.float32(_LEAST_WEIGHT) * highest
    for weight, holding in holdings:
        full = np.float32(weight * (_K1 + 1.0))
        # Of the array's own type: anything else makes NumPy copy the whole array to compare.
        start = holding.rows.searchsorted(np.int32(first))
        end = holding.rows.searchsorted(np.int32(last), side="right")
        if start == end or full < least:
            continue
        rows = holding.rows[start:end] - np.int32(first)
        counts = holding.counts[start:end].astype(np.float32)
        if has_dead and not (living := alive[rows]).all():
            rows, counts = rows[living], counts[living]
        alone[rows] += full * counts / (counts + saturation[rows])
        at_before, at_after = inside_before[rows], inside_after[rows]
        counts_together[rows] += counts
        counts_together[at_before] += counts
        counts_together[at_after] += counts
        counts_together[size] = 0.0
        if rows.size * _MANY > size:
            together += full * counts_together[:size] / (counts_together[:size] + saturation_together)
            counts_together[:] = 0.0
        else:
            at = np.concatenate([rows, at_before, at_after])
            at = at[at < size]
            # A row that is touched twice is written twice with one and the same value.
            together[at] += full * counts_together[at] / (counts_together[at] + saturation_together[at])
            counts_together[at] = 0.0
    return Lexical(alone, _share(alone, highest), _share(together, highest))


def _saturation(lengths: Scores, mean_length: float) -> Scores:
    """Return how often a word must occur in each row to reach half of its full score."""
    return lengths * np.float32(_K1 * _B / mean_length) + np.float32(_K1 * (1.0 - _B))


def _share(scores: Scores, highest: np.float32) -> Scores:
    share = scores / highest if highest > 0 else scores
    return cast("Scores", (1 + _HALF_WAY) * share / (share + _HALF_WAY))
