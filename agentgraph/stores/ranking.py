"""Score the selected rows of some shards by meaning and by words, and fuse the two into one order.

    fused = 0.4 · max(0, cosine) + 0.6 · words
    words = 1.25 · x / (x + 0.25)
    x = bm25 / Σ idf(term) · (k1 + 1)

`x` is the share of the score no text can exceed, and saturates, because even a good answer to a long question reaches
a quarter of it. Both halves are absolute, so `fused` lies in [0, 1] and compares between queries, which ranks (RRF) and
scores scaled by the best hit do not. With one side missing, the other is all. Measured on LoCoMo, LongMemEval and BEAM
(development halves, MiniLM), recall@10 is .58 .85 .58; by words alone .55 .81 .49, by meaning alone .28 .78 .57,
by RRF .55 .83 .57, scaled by the best hit .58 .85 .59.
Source: convex combination, and scaling by theoretical bounds, from Bruch, Gai & Ingber, "An Analysis of Fusion
Functions for Hybrid Retrieval", ACM TOIS 42(1), 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from agentgraph.errors import InvalidInputError
from agentgraph.stores.lexical import Terms
from agentgraph.stores.postings import Holding, Rows
from agentgraph.stores.shard import Shard
from agentgraph.stores.vectors import Vector, inner_products, taken

Number = TypeVar("Number", bound=np.generic)

__all__ = ["DENSE_WEIGHT", "Hit", "Selection", "rank"]

DENSE_WEIGHT: Final = 0.4
_HALF_WAY: Final = np.float32(0.25)
# The usual values of Okapi BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009).
K1: Final = 1.2
B: Final = 0.75
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
    items = _joined([taken(s.shard.items, s.rows) + (s.home << _HOME_SHIFT) for s in selections])
    cosines = [None if vector is None else _cosines(s, vector) for s in selections]
    lexical, highest = _lexical(selections, terms)
    dense = None
    if any(some is not None for some in cosines):
        unknown = np.float32(np.nan)
        dense = _joined(
            [
                np.full(s.rows.size, unknown) if some is None else some
                for s, some in zip(selections, cosines, strict=True)
            ]
        )
    if dense is None and lexical is None:
        return []
    fused = _fused(dense, lexical, highest)

    several = any(s.shard.has_several_per_item for s in selections)
    hits: dict[int, Hit] = {}
    for at in _best(fused, items, None if several else limit):
        item_id = int(items[at])
        if item_id not in hits:
            cosine = None if dense is None or math.isnan(dense[at]) else float(dense[at])
            bm25 = None if lexical is None or lexical[at] <= 0 else float(lexical[at])
            score = min(1.0, float(fused[at]))
            hits[item_id] = Hit(item_id >> _HOME_SHIFT, item_id & _ITEM_MASK, cosine, bm25, score)
            if len(hits) == limit:
                break
    return list(hits.values())


def _cosines(selection: Selection, vector: Vector) -> npt.NDArray[np.float32] | None:
    """Return the cosine of each selected row, NaN where it has no vector; `None` if none has."""
    shard, rows, _ = selection
    if not shard.matrix.dims:
        return None
    if shard.matrix.dims != len(vector):
        raise InvalidInputError(
            f"the query's vector has {len(vector)} dimensions and the memories' have {shard.matrix.dims}",
            param="query_vector",
        )
    cosines = inner_products(shard.matrix.rows, vector, rows)
    np.clip(cosines, -1.0, 1.0, out=cosines)
    if not shard.matrix.is_full:
        cosines[~taken(shard.matrix.has_vector, rows)] = np.nan
    return cosines


def _lexical(selections: Sequence[Selection], terms: Terms) -> tuple[npt.NDArray[np.float32] | None, float]:
    """Return BM25 of each selected row, 0 where no term occurs, and the score no row can exceed."""
    if not len(terms):
        return None, 0.0
    shards = [s.shard for s in selections]
    total = sum(len(shard.postings.lengths) for shard in shards)
    mean_length = max(1.0, sum(shard.postings.total_length for shard in shards) / total)
    found = [[shard.postings.find(term) for shard in shards] for term in terms]
    weights = [
        math.log(1.0 + (total - holding + 0.5) / (holding + 0.5))
        for holding in (sum(len(each.rows) for each in holdings) for holdings in found)
    ]
    scores = [
        _scores(
            selection,
            [(weight, holdings[at]) for weight, holdings in zip(weights, found, strict=True)],
            mean_length,
        )
        for at, selection in enumerate(selections)
    ]
    return _joined(scores), sum(weights) * (K1 + 1.0)


def _scores(
    selection: Selection, holdings: Sequence[tuple[float, Holding]], mean_length: float
) -> npt.NDArray[np.float32]:
    shard, rows, _ = selection
    first, last = int(rows[0]), int(rows[-1])
    lengths = shard.postings.lengths[first : last + 1]
    saturation = lengths * np.float32(K1 * B / mean_length) + np.float32(K1 * (1.0 - B))
    scores = np.zeros(last - first + 1, dtype=np.float32)
    for weight, holding in holdings:
        # Of the array's own type: anything else makes NumPy copy the whole array to compare.
        start = holding.rows.searchsorted(np.int32(first))
        end = holding.rows.searchsorted(np.int32(last), side="right")
        if start == end:
            continue
        at = holding.rows[start:end] - np.int32(first)
        often = holding.counts[start:end].astype(np.float32)
        scores[at] += np.float32(weight * (K1 + 1.0)) * often / (often + saturation[at])
    return scores if rows.size == scores.size else scores[rows - first]


def _fused(
    dense: npt.NDArray[np.float32] | None, lexical: npt.NDArray[np.float32] | None, highest: float
) -> npt.NDArray[np.float32]:
    """Return the fused score of each row, below 0 where neither ranking knows it."""
    if lexical is None:
        return np.empty(0, dtype=np.float32) if dense is None else np.nan_to_num(dense.clip(min=0.0), nan=-1.0)
    share = lexical / np.float32(highest)
    by_words = (1 + _HALF_WAY) * share / (share + _HALF_WAY)
    if dense is None:
        return np.where(lexical > 0, by_words, np.float32(-1.0))
    fused = dense.clip(min=0.0)
    fused *= np.float32(DENSE_WEIGHT)
    unknown = np.isnan(fused)
    if unknown.any():
        fused[unknown] = np.where(lexical[unknown] > 0, np.float32(0.0), np.float32(-1.0))
    fused += by_words * np.float32(1.0 - DENSE_WEIGHT)
    return fused


def _joined(parts: Sequence[npt.NDArray[Number]]) -> npt.NDArray[Number]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _best(fused: npt.NDArray[np.float32], items: npt.NDArray[np.int64], limit: int | None) -> list[int]:
    """Return positions by falling score, then by falling item id; all if `limit` is `None`."""
    if limit is not None and limit < len(fused):
        threshold = max(0.0, float(np.partition(fused, len(fused) - limit)[len(fused) - limit]))
        known = np.flatnonzero(fused >= np.float32(threshold))  # all that tie with the last: pages never overlap
    else:
        known = np.flatnonzero(fused >= 0)
    order = np.lexsort((-items[known], -fused[known]))
    return [int(at) for at in known[order]]
