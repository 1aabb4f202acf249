"""One namespace in memory: what its entries are about in time, their vectors and their words, row by row.

A shard is a cache of `tenant_items.py`'s tables and is only read and changed by it, under its lock. An entry is one
indexed text of an item; most items have one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agentgraph.stores.postings import Postings, Rows
from agentgraph.stores.sequences import Sequences
from agentgraph.stores.values import TIME_FIELDS, time_key_of
from agentgraph.stores.vectors import Matrix

__all__ = ["Entry", "Shard", "TimeCondition", "time_conditions"]

_COMPARE: Final = {
    "$eq": np.equal,
    "$ne": np.not_equal,
    "$gt": np.greater,
    "$gte": np.greater_equal,
    "$lt": np.less,
    "$lte": np.less_equal,
}
_CONDITIONS_KNOWN: Final = 16
_MANY_DEAD: Final = 1_024


Mask = npt.NDArray[np.bool_]
Entry = tuple[int, int, int, int, int, int, bytes | None, bytes]
"""One indexed text as the tables hold it: entry id, item id, the three `TIME_FIELDS` as numbers (-1: none, -2: not a
time key), sequence, vector, terms. A plain tuple, because a tenant is loaded by the hundred thousand."""


class TimeCondition(NamedTuple):
    """One comparison of a time field."""

    field: int  # index into TIME_FIELDS
    operator: str
    operand: int


def time_conditions(condition: Mapping[str, Any]) -> tuple[list[TimeCondition], dict[str, Any]]:
    """Split a checked filter into comparisons of time keys and the rest."""
    found: list[TimeCondition] = []
    rest: dict[str, Any] = {}
    for field, expected in condition.items():
        comparisons = expected if isinstance(expected, Mapping) else {"$eq": expected}
        numbers = [(operator, time_key_of(operand)) for operator, operand in comparisons.items()]
        if field in TIME_FIELDS and all(number >= 0 and operator in _COMPARE for operator, number in numbers):
            found.extend(TimeCondition(TIME_FIELDS.index(field), operator, number) for operator, number in numbers)
        else:
            rest[field] = expected
    return found, rest


class Shard:
    """The entries of one namespace. Those it was loaded with lie in the order of `time_start`; later ones follow."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.items = np.empty(0, dtype=np.int64)
        self.matrix = Matrix()
        self.postings = Postings()
        self.sequences = Sequences()
        self.has_several_per_item = False
        self.has_odd_times = False
        self.alive = np.empty(0, dtype=np.bool_)
        self.live = 0
        self._entries = np.empty(0, dtype=np.int64)
        self._times = np.empty((len(TIME_FIELDS), 0), dtype=np.int64)
        self._in_order = 0
        self._matching: OrderedDict[str, Mask] = OrderedDict()
        self._latest_end = np.empty(0, dtype=np.int64)
        if entries:
            keys = np.array([(entry[4], entry[2]) for entry in entries], dtype=np.int64)
            self.add([entries[at] for at in np.lexsort((keys[:, 0], keys[:, 1]))])
        self._in_order = len(entries)
        self._latest_end = np.maximum.accumulate(self._times[1])

    @property
    def is_worn(self) -> bool:
        """Whether so many of its rows are dead that loading it anew is cheaper."""
        return len(self.alive) - self.live > max(_MANY_DEAD, self.live)

    def add(self, entries: Sequence[Entry]) -> None:
        """Append `entries`."""
        if not entries:
            return
        columns = list(zip(*entries, strict=True))
        numbers = np.array(columns[:6], dtype=np.int64)
        times = numbers[2:5]
        self.has_odd_times = self.has_odd_times or bool((times == -2).any())
        self._times = np.concatenate([self._times, times], axis=1)
        self._entries = np.concatenate([self._entries, numbers[0]])
        added = numbers[1]
        self.items = np.concatenate([self.items, added])
        self.has_several_per_item = self.has_several_per_item or len(np.unique(added)) < len(added)
        self.alive = np.concatenate([self.alive, np.ones(len(entries), dtype=np.bool_)])
        self.sequences.add(numbers[5], times[2], numbers[0])
        self.matrix.add(columns[6])
        self.postings.add(columns[7])
        self.live += len(entries)

    def remove(self, entry_ids: npt.NDArray[np.int64]) -> None:
        """Make `entry_ids` unfindable; ids of other shards are passed over."""
        self.alive &= ~np.isin(self._entries, entry_ids)
        self.live = int(self.alive.sum())

    def select(self, conditions: Sequence[TimeCondition], *, without_items: npt.NDArray[np.int64]) -> Rows:
        """Return the rows of living entries that fulfil every condition, ascending."""
        size = len(self.alive)
        low, high = self._narrowed(conditions)
        chosen = [self._fulfilling(conditions, low, high)]
        if self._in_order < size:
            chosen.append(self._fulfilling(conditions, self._in_order, size))
        rows = np.concatenate(chosen)
        return rows[~np.isin(self.items[rows], without_items)] if len(without_items) else rows

    def matching(self, condition: str, ask: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> Mask:
        """Say of each row, dead ones too, whether its item fulfils `condition`.

        What was asked once is remembered: an item's value never changes under a living row.

        Args:
            condition: Names the condition.
            ask: Given item ids, returns those that fulfil it.
        """
        known = self._matching.pop(condition, np.empty(0, dtype=np.bool_))
        if len(known) < len(self.items):
            unknown = self.items[len(known) :]
            known = np.concatenate([known, np.isin(unknown, ask(unknown))])
        self._matching[condition] = known
        if len(self._matching) > _CONDITIONS_KNOWN:
            self._matching.popitem(last=False)
        return known

    def _narrowed(self, conditions: Sequence[TimeCondition]) -> tuple[int, int]:
        """Return the span of the ordered rows outside which no row can fulfil the conditions."""
        low, high = 0, self._in_order
        starts = self._times[0, : self._in_order]
        for field, operator, operand in conditions:
            if field == 0 and operator in {"$lt", "$lte", "$eq"}:
                high = min(high, int(starts.searchsorted(operand, side="left" if operator == "$lt" else "right")))
            if field == 0 and operator in {"$gt", "$gte", "$eq"}:
                low = max(low, int(starts.searchsorted(operand, side="right" if operator == "$gt" else "left")))
            if field == 1 and operator in {"$gt", "$gte", "$eq"}:
                # Before this row everything has ended.
                side = "right" if operator == "$gt" else "left"
                low = max(low, int(self._latest_end.searchsorted(operand, side=side)))  # type: ignore[call-overload]
        return low, max(low, high)

    def _fulfilling(self, conditions: Sequence[TimeCondition], low: int, high: int) -> Rows:
        chosen = self.alive[low:high].copy()
        for field, operator, operand in conditions:
            times = self._times[field, low:high]
            chosen &= _COMPARE[operator](times, operand)
            if operator in {"$lt", "$lte"}:
                chosen &= times >= 0
        return np.flatnonzero(chosen) + low
