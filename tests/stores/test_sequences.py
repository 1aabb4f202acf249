"""The order of a conversation, however its rows arrive."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentgraph.stores.sequences import NO_SEQUENCE, Sequences

rows = st.tuples(st.integers(NO_SEQUENCE, 3), st.integers(0, 5))


@given(st.lists(st.lists(rows, max_size=6), max_size=8))
def test_rows_are_linked_by_when_they_were_recorded_however_they_are_added(batches):
    sequences = Sequences()
    told = []
    for batch in batches:
        first = len(told)
        told += [(number, recorded, first + at) for at, (number, recorded) in enumerate(batch)]
        columns = np.array(told[first:], dtype=np.int64).reshape(-1, 3).T
        sequences.add(columns[0], columns[1], columns[2])

    before, after = [-1] * len(told), [-1] * len(told)
    for number in range(4):
        line = [row for _, row in sorted((recorded, row) for each, recorded, row in told if each == number)]
        for earlier, later in pairwise(line):
            before[later], after[earlier] = earlier, later
    assert sequences.before.tolist() == before
    assert sequences.after.tolist() == after


def test_many_rows_at_once_are_linked_like_few():
    at_once, one_by_one = Sequences(), Sequences()
    rng = np.random.default_rng(7)
    columns = np.stack([rng.integers(-1, 40, 2_000), rng.integers(0, 500, 2_000), np.arange(2_000)])
    at_once.add(*columns)
    for at in range(0, 2_000, 50):
        one_by_one.add(*columns[:, at : at + 50])
    assert at_once.before.tolist() == one_by_one.before.tolist()
    assert at_once.after.tolist() == one_by_one.after.tolist()
    assert at_once.sizes.sum() == (columns[0] >= 0).sum()
