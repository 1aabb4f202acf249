"""Which rows hold which word, and how often: what BM25 needs, in memory.

SQLite's FTS5 was measured and left: with the common words of a question, `bm25()` takes 100 ms over 100,000 memories
and 8 ms within a 1 % window, and deleted words stay readable in its segments. Here the terms of a text are stored with
its vector in SQLite, and these postings, like the matrix of vectors, are a cache of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Holding", "Postings", "Rows"]

Rows = npt.NDArray[np.intp]

_TAIL_ROWS: Final = 512
# A posting as one number: term, row and count, in this order of weight, so that sorting groups by term.
_ROW_SHIFT: Final = 8
_TERM_SHIFT: Final = 32
_ROW_MASK: Final = (1 << (_TERM_SHIFT - _ROW_SHIFT)) - 1  # 16 million rows to a namespace


class Holding(NamedTuple):
    """The rows that hold a term, ascending, and how often each does."""

    rows: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint8]


class Postings:
    """Terms of rows 0, 1, 2, ... Rows are only ever added at the end; the newest wait, unsorted, in a tail."""

    def __init__(self) -> None:
        self.lengths = np.empty(0, dtype=np.float32)
        self.total_length = 0.0
        self._terms = np.empty(0, dtype=np.uint32)  # sorted; the two arrays below are parallel to it
        self._rows = np.empty(0, dtype=np.int32)
        self._counts = np.empty(0, dtype=np.uint8)
        self._sorted_rows = 0
        self._tail = np.empty(0, dtype=np.uint64)

    def add(self, stored: Sequence[bytes]) -> None:
        """Append one row for each blob that `lexical.count_terms` made."""
        first = len(self.lengths)
        sizes = np.fromiter((len(blob) // 5 for blob in stored), dtype=np.int64, count=len(stored))
        terms = np.frombuffer(b"".join([blob[: len(blob) // 5 * 4] for blob in stored]), dtype="<u4").astype(np.uint64)
        counts = np.frombuffer(b"".join([blob[len(blob) // 5 * 4 :] for blob in stored]), dtype=np.uint8)
        rows = np.repeat(np.arange(first, first + len(stored), dtype=np.uint64), sizes)
        packed = (terms << np.uint64(_TERM_SHIFT)) | (rows << np.uint64(_ROW_SHIFT)) | counts

        running = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        ends = np.cumsum(sizes)
        lengths = (running[ends] - running[ends - sizes]).astype(np.float32)
        self.lengths = np.concatenate([self.lengths, lengths])
        self.total_length += float(lengths.sum(dtype=np.float64))
        self._tail = np.concatenate([self._tail, packed])
        if len(self.lengths) - self._sorted_rows > max(_TAIL_ROWS, self._sorted_rows // 4):
            self._merge()

    def find(self, term: np.uint32) -> Holding:
        """Return the rows that hold `term`."""
        start = self._terms.searchsorted(term, side="left")
        end = self._terms.searchsorted(term, side="right")
        found = Holding(self._rows[start:end], self._counts[start:end])
        if not len(self._tail):
            return found
        here = self._tail[(self._tail >> np.uint64(_TERM_SHIFT)) == term]
        if not len(here):
            return found
        later = _unpacked(here)
        return Holding(np.concatenate([found.rows, later.rows]), np.concatenate([found.counts, later.counts]))

    def _merge(self) -> None:
        packed = np.concatenate([_packed(self._terms, self._rows, self._counts), self._tail])
        packed.sort()
        self._terms = (packed >> np.uint64(_TERM_SHIFT)).astype(np.uint32)
        self._rows, self._counts = _unpacked(packed)
        self._sorted_rows = len(self.lengths)
        self._tail = np.empty(0, dtype=np.uint64)


def _packed(
    terms: npt.NDArray[np.uint32], rows: npt.NDArray[np.int32], counts: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint64]:
    packed = (terms.astype(np.uint64) << np.uint64(_TERM_SHIFT)) | (rows.astype(np.uint64) << np.uint64(_ROW_SHIFT))
    return packed | counts


def _unpacked(packed: npt.NDArray[np.uint64]) -> Holding:
    rows = (packed >> np.uint64(_ROW_SHIFT)) & np.uint64(_ROW_MASK)
    return Holding(rows.astype(np.int32), packed.astype(np.uint8))
