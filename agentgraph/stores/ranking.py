"""Score the selected rows of some shards by meaning and by words, and fuse the two into one order.

    fused = 0.5 · max(0, cosine) + 0.5 · bm25 / Σ idf(term) · (k1 + 1)

Both halves are absolute: the second divides by the score no text can exceed, so `fused` lies in [0, 1] and compares
between queries, which ranks (RRF) and scores scaled by the best hit do not. With one side missing, the other is all.
Source: convex combination, and scaling by theoretical bounds, from Bruch, Gai & Ingber, "An Analysis of Fusion
Functions for Hybrid Retrieval", ACM TOIS 42(1), 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agentgraph.stores.lexical import Terms
from agentgraph.stores.postings import K1, B, Rows
from agentgraph.stores.shard import Shard
from agentgraph.stores.vectors import Vector, inner_products

__all__ = ["DENSE_WEIGHT", "Hit", "Selection", "rank"]

DENSE_WEIGHT: Final = 0.5
_HOME_SHIFT: Final = 48
_ITEM_MASK: Final = (1 << _HOME_SHIFT) - 1


class Selection(NamedTuple):
    """The rows of one shard that a search may return; `home` tells apart files whose item ids may be equal."""

    shard: Shard
    rows: Rows
    home: int = 0


class Hit(NamedTuple):
    """An item and its scores; `RankedItem` says what they mean."""

    home: int
    item_id: int
    dense: float | None
    lexical: float | None
    fused: float


def rank(selections: Sequence[Selection], *, terms: Terms, vector: Vector | None, limit: int) -> list[Hit]:
    """Return the best `limit` items of `selections`, the best first, the newer first among equals.

    Words are weighed by how rare they are in the whole of the shards, whatever is selected. Every selected row is
    scored: nothing is lost to a cut-off before the fusion. Items that neither ranking knows are left out.
    """
    selections = [selection for selection in selections if selection.rows.size]
    if not selections or limit <= 0:
        return []
    items = np.concatenate([s.shard.items[s.rows] + (s.home << _HOME_SHIFT) for s in selections])
    dense = None if vector is None else np.concatenate([_dense(s, vector) for s in selections])
    if dense is not None and bool(np.isnan(dense).all()):
        dense = None
    lexical, highest = _lexical(selections, terms)
    fused = _fused(dense, lexical, highest)

    several = any(s.shard.has_several_per_item for s in selections)
    hits: dict[int, Hit] = {}
    for at in _best(fused, items, None if several else limit):
        item_id = int(items[at])
        if item_id not in hits:
            cosine = None if dense is None or math.isnan(dense[at]) else float(dense[at])
            bm25 = float(lexical[at]) if lexical[at] > 0 else None
            hits[item_id] = Hit(item_id >> _HOME_SHIFT, item_id & _ITEM_MASK, cosine, bm25, float(fused[at]))
            if len(hits) == limit:
                break
    return list(hits.values())


def _dense(selection: Selection, vector: Vector) -> npt.NDArray[np.float32]:
    """Return the cosine of each selected row, NaN where it has no vector."""
    shard, rows, _ = selection
    if shard.matrix.dims != len(vector):
        return np.full(len(rows), np.nan, dtype=np.float32)
    cosines = inner_products(shard.matrix.rows, vector, rows)
    present = shard.matrix.has_vector[rows]
    if not present.all():
        cosines[~present] = np.nan
    return np.clip(cosines, -1.0, 1.0, out=cosines)


def _lexical(selections: Sequence[Selection], terms: Terms) -> tuple[npt.NDArray[np.float32], float]:
    """Return BM25 of each selected row, 0 where no term occurs, and the score no row can exceed."""
    shards = [s.shard for s in selections]
    total = sum(len(shard.postings.lengths) for shard in shards)
    mean_length = max(1.0, sum(float(shard.postings.lengths.sum(dtype=np.float64)) for shard in shards) / total)
    found = [[shard.postings.find(int(term)) for shard in shards] for term in terms]
    weights = [
        math.log(1.0 + (total - holding + 0.5) / (holding + 0.5))
        for holding in (sum(len(rows) for rows, _ in postings) for postings in found)
    ]
    scores = [
        _scores(
            selection, [(weight, *postings[at]) for weight, postings in zip(weights, found, strict=True)], mean_length
        )
        for at, selection in enumerate(selections)
    ]
    return np.concatenate(scores), sum(weights) * (K1 + 1.0)


def _scores(
    selection: Selection,
    postings: Sequence[tuple[float, npt.NDArray[np.int32], npt.NDArray[np.uint8]]],
    mean_length: float,
) -> npt.NDArray[np.float32]:
    shard, rows, _ = selection
    if rows.size == 0:
        return np.empty(0, dtype=np.float32)
    first, last = int(rows[0]), int(rows[-1])
    lengths = shard.postings.lengths[first : last + 1]
    saturation = np.float32(K1 * (1.0 - B)) + lengths * np.float32(K1 * B / mean_length)
    scores = np.zeros(last - first + 1, dtype=np.float32)
    for weight, holding, counts in postings:
        start, end = holding.searchsorted(first), holding.searchsorted(last, side="right")
        at = holding[start:end] - first
        often = counts[start:end].astype(np.float32)
        scores[at] += np.float32(weight * (K1 + 1.0)) * often / (often + saturation[at])
    return scores if rows.size == scores.size else scores[rows - first]


def _fused(
    dense: npt.NDArray[np.float32] | None, lexical: npt.NDArray[np.float32], highest: float
) -> npt.NDArray[np.float32]:
    """Return the fused score of each row, below 0 where neither ranking knows it."""
    by_words = lexical / np.float32(highest) if highest > 0 else lexical
    if dense is None:
        return np.where(by_words > 0, by_words, np.float32(-1.0))
    by_meaning = np.nan_to_num(dense, nan=0.0).clip(0.0, 1.0)
    if highest <= 0:
        fused = by_meaning
    else:
        fused = np.float32(DENSE_WEIGHT) * by_meaning + np.float32(1.0 - DENSE_WEIGHT) * by_words
    fused[np.isnan(dense) & (lexical <= 0)] = -1.0
    return fused


def _best(fused: npt.NDArray[np.float32], items: npt.NDArray[np.int64], limit: int | None) -> list[int]:
    """Return positions by falling score, then by falling item id; all if `limit` is `None`."""
    known = np.flatnonzero(fused >= 0)
    if limit is not None and limit < len(known):
        # All that tie with the last place are kept, so that pages never overlap.
        threshold = np.partition(fused[known], len(known) - limit)[len(known) - limit]
        known = known[fused[known] >= threshold]
    order = np.lexsort((-items[known], -fused[known]))
    return [int(at) for at in known[order]]
