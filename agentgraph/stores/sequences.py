"""Which rows of a shard follow one another in the conversation they come from.

What was said before and after a text says what it is about: "Yes, twice!" is found by the question it answers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["NO_SEQUENCE", "Sequences"]

NO_SEQUENCE: Final = -1
_FEW: Final = 256  # rows that are linked one by one; more are cheaper to link all over again

Numbers = npt.NDArray[np.int64]
Links = npt.NDArray[np.int32]


class Sequences:
    """Rows 0, 1, 2, ..., each in one sequence or in none, linked in the order of when they were recorded.

    Attributes:
        before, after: The row before and after each in its sequence; -1 where there is none.
        number: Which sequence a row is in, counted from 0; -1 for none.
        sizes: How many rows each sequence has.
    """

    def __init__(self) -> None:
        self.before: Links = np.empty(0, dtype=np.int32)
        self.after: Links = np.empty(0, dtype=np.int32)
        self.number: Links = np.empty(0, dtype=np.int32)
        self.sizes: Numbers = np.empty(0, dtype=np.int64)
        self._recorded: Numbers = np.empty(0, dtype=np.int64)
        self._order: Numbers = np.empty(0, dtype=np.int64)
        self._numbers: dict[int, int] = {}
        self._last: dict[int, int] = {}  # sequence number → its latest row

    def add(self, sequences: Numbers, recorded: Numbers, order: Numbers) -> None:
        """Append rows.

        Args:
            sequences: Id of each row's sequence, `NO_SEQUENCE` for none.
            recorded: When each was recorded.
            order: Decides between rows recorded at one moment.
        """
        first, count = len(self.number), len(sequences)
        numbers = np.fromiter(
            (
                -1 if sequence == NO_SEQUENCE else self._numbers.setdefault(sequence, len(self._numbers))
                for sequence in sequences.tolist()
            ),
            dtype=np.int32,
            count=count,
        )
        self.number = np.concatenate([self.number, numbers])
        self._recorded = np.concatenate([self._recorded, recorded])
        self._order = np.concatenate([self._order, order])
        alone = np.full(count, -1, dtype=np.int32)
        self.before = np.concatenate([self.before, alone])
        self.after = np.concatenate([self.after, alone])
        self.sizes = np.bincount(self.number[self.number >= 0], minlength=len(self._numbers))
        if count > _FEW or not all(self._append(row) for row in range(first, first + count)):
            self._link_all()

    def _append(self, row: int) -> bool:
        """Link a row to the end of its sequence; `False` if it belongs further up."""
        number = int(self.number[row])
        if number < 0:
            return True
        last = self._last.get(number)
        if last is not None:
            if (self._recorded[row], self._order[row]) < (self._recorded[last], self._order[last]):
                return False
            self.before[row], self.after[last] = last, row
        self._last[number] = row
        return True

    def _link_all(self) -> None:
        rows = np.lexsort((self._order, self._recorded, self.number)).astype(np.int32)
        rows = rows[int((self.number < 0).sum()) :]
        self.before[:] = self.after[:] = -1
        together = self.number[rows[1:]] == self.number[rows[:-1]]
        self.before[rows[1:][together]] = rows[:-1][together]
        self.after[rows[:-1][together]] = rows[1:][together]
        ends = rows[np.append(~together, True)] if len(rows) else rows
        self._last = dict(zip(self.number[ends].tolist(), ends.tolist(), strict=True))
