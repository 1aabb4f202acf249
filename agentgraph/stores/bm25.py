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
    lengths_together = _lengths_together(lengths, before, after)
    # A run of three is three times as long; where all stand alone, the two scores are one.
    mean_together = max(1.0, mean_length * float(lengths_together.sum()) / max(1.0, float(lengths.sum())))
    alone, together = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    counts_together = np.zeros(size, dtype=np.float32)
    for weight, holding in holdings:
        # Of the array's own type: anything else makes NumPy copy the whole array to compare.
        start = holding.rows.searchsorted(np.int32(first))
        end = holding.rows.searchsorted(np.int32(last), side="right")
        if start == end:
            continue
        rows = holding.rows[start:end] - np.int32(first)
        counts = holding.counts[start:end].astype(np.float32)
        living = shard.alive[first : last + 1][rows]
        if not living.all():
            rows, counts = rows[living], counts[living]
        full = np.float32(weight * (_K1 + 1.0))
        alone[rows] += full * _saturated(counts, lengths[rows], mean_length)
        touched = [rows]
        counts_together[rows] += counts
        for neighbours in (before[rows], after[rows]):
            inside = (neighbours >= 0) & (neighbours < size)
            counts_together[neighbours[inside]] += counts[inside]
            touched.append(neighbours[inside])
        at = np.concatenate(touched)
        # A row that is touched twice is written twice with one and the same value.
        together[at] += full * _saturated(counts_together[at], lengths_together[at], mean_together)
        counts_together[at] = 0.0
    return Lexical(alone, _share(alone, highest), _share(together, highest))


def _saturated(counts: Scores, lengths: Scores, mean_length: float) -> Scores:
    saturation = lengths * np.float32(_K1 * _B / mean_length) + np.float32(_K1 * (1.0 - _B))
    return cast("Scores", counts / (counts + saturation))


def _share(scores: Scores, highest: np.float32) -> Scores:
    share = scores / highest if highest > 0 else scores
    return cast("Scores", (1 + _HALF_WAY) * share / (share + _HALF_WAY))


def _lengths_together(lengths: Scores, before: npt.NDArray[np.int32], after: npt.NDArray[np.int32]) -> Scores:
    summed = lengths.copy()
    for neighbours in (before, after):
        inside = np.flatnonzero((neighbours >= 0) & (neighbours < len(lengths)))
        summed[inside] += lengths[neighbours[inside]]
    return summed
