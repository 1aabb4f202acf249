"""One meaning of a filter: in Python, and in SQL."""

import json
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from agentgraph.stores.filters import checked_filter, filter_sql, matches, matches_json
from agentgraph.stores.values import TIME_FIELDS, encode_value, normalised

FIELDS = ["a", "b", "time_start", "recorded_at", "a.b", 'qu"ote', "back\\slash", "$", "", "日本"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([2**53 + 1, 2**64, 0.5, -0.0, 1.0, 1e300])
    | st.sampled_from(["", "a", "A", "b", "1", "10", "9", "é", "000000000000005", "[1]", "日本", "\x00"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=4,
)
OPERATORS = st.dictionaries(
    st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), VALUES, min_size=1, max_size=2
)
CONDITIONS = st.dictionaries(st.sampled_from(FIELDS[:-3] + FIELDS[-1:]), VALUES | OPERATORS, max_size=2)


@settings(max_examples=1_000, deadline=None)
@given(value=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3), condition=CONDITIONS)
def test_sql_and_python_agree(value, condition):
    value, condition = normalised(value), checked_filter(condition)
    connection = sqlite3.connect(":memory:")
    try:
        connection.create_function("matches_json", 2, matches_json, deterministic=True)
        connection.execute("CREATE TABLE items (value TEXT, time_start TEXT, time_end TEXT, recorded_at TEXT)")
        times = [value.get(name) if isinstance(value.get(name), str) else None for name in TIME_FIELDS]
        connection.execute("INSERT INTO items VALUES (?, ?, ?, ?)", (encode_value(value), *times))
        expression, parameters = filter_sql(condition)
        ((found,),) = connection.execute(f"SELECT count(*) FROM items i WHERE {expression}", parameters)
    finally:
        connection.close()
    assert bool(found) == matches(value, condition), (json.dumps(condition), expression)


def test_types_are_told_apart():
    assert not matches({"n": True}, {"n": 1})
    assert not matches({"n": "1"}, {"n": 1})
    assert not matches({"n": "5"}, {"n": {"$gt": 4}})
    assert matches({"n": 1.0}, {"n": 1})
    assert matches({}, {"n": None})
    assert matches({}, {"n": {"$ne": 1}})
    assert not matches({}, {"n": {"$lt": 1}})
