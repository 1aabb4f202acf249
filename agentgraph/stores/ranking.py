"""Score the selected rows of some shards by meaning, by words and by what stands around them, and fuse it all.

    fused = Σ weight · part / Σ weight          each part 0 to 1

    dense        cosine to the question                        1.0
    alone        BM25 of the row                               0.7
    together     BM25 of the row with its two neighbours       0.75
    conversation best words in the row's conversation          0.75     mean of its three best rows
    near_dense   the better cosine of its two neighbours       0.6      less, the longer the row
    near_words   the better words of the rows two away         0.3      less, the longer the row
    length       how much the row says                         0.5

A long text needs no context and a short one is nothing without: hence "less". Everything is absolute, so `fused`
compares between questions, which ranks (RRF) and scores scaled by the best hit do not. The weights are rounded from a
fit on LoCoMo, LongMemEval and BEAM together (development halves, MiniLM) and lie on a plateau: any one changed by a
third moves recall@10 by .01 at the most on the first two, by .03 on BEAM, whose noise is as large. `docs/memory.md`
says what each part brings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from agentgraph.errors import InvalidInputError
from agentgraph.stores.bm25 import Lexical, lexical_scores
from agentgraph.stores.lexical import Terms
from agentgraph.stores.postings import Rows
from agentgraph.stores.shard import Shard
from agentgraph.stores.vectors import Vector, inner_products, taken

Number = TypeVar("Number", bound=np.generic)
Scores = npt.NDArray[np.float32]

__all__ = ["Hit", "Selection", "rank"]

_DENSE: Final = np.float32(1.0)
_ALONE: Final = np.float32(0.7)
_TOGETHER: Final = np.float32(0.75)
_CONVERSATION: Final = np.float32(0.75)
_NEAR_DENSE: Final = np.float32(0.6)
_NEAR_WORDS: Final = np.float32(0.3)
_LENGTH: Final = np.float32(0.5)

_SHORT: Final = np.float32(36.0)  # words; longer rows need less context
_LONG: Final = math.log(400.0)  # words; longer rows say no more
_BEST_OF_CONVERSATION: Final = 3
_TELLING: Final = 1_024  # rows looked at for the best of each conversation
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
    context: float
    fused: float


class _Scored(NamedTuple):
    """The selected rows of one shard, scored; `dense` and `lexical` are `None` where nothing could be compared."""

    dense: Scores | None
    lexical: Scores | None
    context: Scores
    fused: Scores


def rank(selections: Sequence[Selection], *, terms: Terms, vector: Vector | None, limit: int) -> list[Hit]:
    """Return the best `limit` items of `selections`, the best first, the newer first among equals.

    Words are weighed by how rare they are in the whole of the shards, whatever is selected. Every selected row is
    scored: nothing is lost to a cut-off before the fusion. Items that neither ranking knows are left out.
    """
    selections = [selection for selection in selections if selection.rows.size]
    if not selections or limit <= 0:
        return []
    spans = [(s.shard, int(s.rows[0]), int(s.rows[-1])) for s in selections]
    lexical = lexical_scores(spans, terms)
    cosines = [None if vector is None else _cosines(s, vector) for s in selections]
    if lexical is None and all(some is None for some in cosines):
        return []
    items = _joined([taken(s.shard.items, s.rows) + (s.home << _HOME_SHIFT) for s in selections])
    has_dense = any(some is not None for some in cosines)
    scored = [
        _scored(s, some, None if lexical is None else lexical[at], has_dense=has_dense)
        for at, (s, some) in enumerate(zip(selections, cosines, strict=True))
    ]
    fused = _joined([some.fused for some in scored])

    several = any(s.shard.has_several_per_item for s in selections)
    order = _best(fused, items, None if several else limit)
    if several:
        _, firsts = np.unique(items[order], return_index=True)
        order = order[np.sort(firsts)]
    order = order[:limit]
    has_lexical = lexical is not None
    columns = zip(
        items[order].tolist(),
        _joined([_or_unknown(some.dense, some.fused) for some in scored])[order].tolist(),
        _joined([_or_unknown(some.lexical, some.fused) for some in scored])[order].tolist(),
        _joined([some.context for some in scored])[order].tolist(),
        fused[order].tolist(),
        strict=True,
    )
    return [
        Hit(
            item >> _HOME_SHIFT,
            item & _ITEM_MASK,
            None if math.isnan(dense) else dense,
            bm25 if has_lexical and bm25 > 0 else None,
            context,
            min(1.0, score),
        )
        for item, dense, bm25, context, score in columns
    ]


def _or_unknown(scores: Scores | None, like: Scores) -> Scores:
    return np.full(like.size, np.nan, dtype=np.float32) if scores is None else scores


def _scored(selection: Selection, cosines: Scores | None, lexical: Lexical | None, *, has_dense: bool) -> _Scored:
    """Fuse what is known of the selected rows of one shard; rows that neither ranking knows get less than 0."""
    shard, rows, _ = selection
    first, last = int(rows[0]), int(rows[-1])
    lengths = taken(shard.postings.lengths, rows)
    in_short = np.minimum(np.float32(1.0), _SHORT / np.maximum(lengths, np.float32(1.0)))
    own = np.log1p(lengths) * np.float32(_LENGTH / _LONG)
    np.minimum(own, _LENGTH, out=own)
    context = np.zeros(rows.size, dtype=np.float32)
    weight = _LENGTH
    known = np.zeros(rows.size, dtype=np.bool_)
    at = slice(None) if rows.size == last - first + 1 else rows - first
    before, after = taken(shard.sequences.before, rows), taken(shard.sequences.after, rows)
    has_links = shard.sequences.sizes.size > 0
    if has_dense:
        weight += _DENSE + _NEAR_DENSE
        if cosines is not None:
            is_known = ~np.isnan(cosines)
            known |= is_known
            dense = np.where(is_known, cosines, np.float32(0.0)).clip(min=0.0)
            own += _DENSE * dense
            if has_links:
                over_span = _over_span(dense, rows, first, last)
                context += _NEAR_DENSE * in_short * _better(over_span, before - first, after - first)
    if lexical is not None:
        weight += _ALONE + _TOGETHER + _CONVERSATION + _NEAR_WORDS
        known |= lexical.bm25[at] > 0
        own += _ALONE * lexical.alone[at]
        context += _TOGETHER * lexical.together[at]
        if has_links:
            number = shard.sequences.number[first : last + 1]
            conversation = _best_of_conversation(lexical.alone, number, shard.sequences.sizes)
            context += _CONVERSATION * conversation[at]
            two_before, two_after = _next(shard.sequences.before, before), _next(shard.sequences.after, after)
            context += _NEAR_WORDS * in_short * _better(lexical.alone, two_before - first, two_after - first)
        else:
            context += _CONVERSATION * lexical.alone[at]
    fused = (own + context) / weight
    fused[~known] = -1.0
    return _Scored(cosines, None if lexical is None else lexical.bm25[at], context / weight, fused)


def _better(scores: Scores, one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> Scores:
    """Return the better score of two places of a span, row by row; a place outside of it has 0."""
    return np.maximum(_at(scores, one), _at(scores, other))


def _at(scores: Scores, places: npt.NDArray[np.int32]) -> Scores:
    inside = (places >= 0) & (places < len(scores))
    return np.where(inside, scores[np.where(inside, places, 0)], np.float32(0.0))


def _next(link: npt.NDArray[np.int32], rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Follow `link` from `rows`; none stays none."""
    return np.where(rows >= 0, link[rows], np.int32(-1))


def _over_span(scores: Scores, rows: Rows, first: int, last: int) -> Scores:
    if rows.size == last - first + 1:
        return scores
    spread = np.zeros(last - first + 1, dtype=np.float32)
    spread[rows - first] = scores
    return spread


def _best_of_conversation(alone: Scores, number: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64]) -> Scores:
    """Return, for each row of a span, the mean score of the three best rows of its conversation.

    A row outside of any conversation is one of its own.
    """
    rows = np.flatnonzero(alone)
    if rows.size > _TELLING:
        rows = rows[np.argpartition(alone[rows], -_TELLING)[-_TELLING:]]
    rows = rows[number[rows] >= 0]
    rows = rows[np.lexsort((-alone[rows], number[rows]))]
    numbers = number[rows]
    starts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])) if rows.size else rows
    place = np.arange(rows.size) - np.repeat(starts, np.diff(np.append(starts, rows.size)))
    best = place < _BEST_OF_CONVERSATION
    sums = np.bincount(numbers[best], weights=alone[rows[best]], minlength=sizes.size)
    means = (sums / np.minimum(_BEST_OF_CONVERSATION, np.maximum(sizes, 1))).astype(np.float32)
    return np.where(number >= 0, means[number], alone)


def _cosines(selection: Selection, vector: Vector) -> Scores | None:
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


def _joined(parts: Sequence[npt.NDArray[Number]]) -> npt.NDArray[Number]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _best(fused: npt.NDArray[np.float32], items: npt.NDArray[np.int64], limit: int | None) -> npt.NDArray[np.intp]:
    """Return positions by falling score, then by falling item id; all if `limit` is `None`."""
    if limit is not None and limit < len(fused):
        threshold = max(0.0, float(np.partition(fused, len(fused) - limit)[len(fused) - limit]))
        known = np.flatnonzero(fused >= np.float32(threshold))  # all that tie with the last: pages never overlap
    else:
        known = np.flatnonzero(fused >= 0)
    best: npt.NDArray[np.intp] = known[np.lexsort((-items[known], -fused[known]))]
    return best
