"""What left the live window stays readable, by branch and by page, and is filed once."""

import sqlite3
from collections.abc import Iterator, Sequence

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentgraph.stores.threads.archive import (
    SCHEMA,
    Archived,
    archived,
    bytes_in,
    copy_archive,
    delete_archive,
    file_archived,
    keep_newest,
)

SERDE = JsonPlusSerializer(allowed_msgpack_modules=None)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def said(*ids: str) -> list[BaseMessage]:
    return [HumanMessage(f"text of {name}", id=name) for name in ids]


def chained(messages: Sequence[BaseMessage], first_previous: str | None = None) -> list[Archived]:
    before = [first_previous, *(message.id for message in messages)]
    return [{"previous": previous, "message": message} for previous, message in zip(before, messages, strict=False)]


def test_messages_come_back_as_they_were_oldest_first(connection: sqlite3.Connection) -> None:
    call = {"id": "c1", "name": "book", "args": {"seats": 2}}
    messages: list[BaseMessage] = [
        HumanMessage([{"type": "text", "text": "Zürich 😀\u2028"}], id="m1", name="ann"),
        AIMessage("", id="m2", tool_calls=[call], response_metadata={"model_name": "x"}),
        ToolMessage("done", id="m3", tool_call_id="c1", status="error"),
    ]
    file_archived(connection, "t", chained(messages), SERDE)
    assert archived(connection, "t", "m3", SERDE) == messages


def test_nothing_archived_is_an_empty_list(connection: sqlite3.Connection) -> None:
    assert archived(connection, "t", None, SERDE) == []
    assert archived(connection, "t", "unknown", SERDE) == []


def test_filing_again_changes_nothing(connection: sqlite3.Connection) -> None:
    rows = chained(said("m1", "m2"))
    file_archived(connection, "t", rows, SERDE)
    file_archived(connection, "t", [*rows, *chained([HumanMessage("other", id="m1")])], SERDE)
    assert archived(connection, "t", "m2", SERDE) == said("m1", "m2")


def test_a_branch_reads_nothing_of_another(connection: sqlite3.Connection) -> None:
    file_archived(connection, "t", chained(said("m1", "m2", "left")), SERDE)
    file_archived(connection, "t", chained(said("right"), "m2"), SERDE)
    assert [m.id for m in archived(connection, "t", "left", SERDE)] == ["m1", "m2", "left"]
    assert [m.id for m in archived(connection, "t", "right", SERDE)] == ["m1", "m2", "right"]


def test_reading_stops_at_a_message_that_is_live(connection: sqlite3.Connection) -> None:
    file_archived(connection, "t", chained(said("m1", "m2", "m3")), SERDE)
    assert [m.id for m in archived(connection, "t", "m3", SERDE, stop_at={"m1"})] == ["m2", "m3"]
    assert archived(connection, "t", "m3", SERDE, stop_at={"m3"}) == []


def test_a_long_archive_is_read_whole_and_by_page(connection: sqlite3.Connection) -> None:
    ids = [f"m{n}" for n in range(1_234)]
    file_archived(connection, "t", chained(said(*ids)), SERDE)
    assert [m.id for m in archived(connection, "t", ids[-1], SERDE)] == ids
    read: list[str | None] = []
    while page := archived(connection, "t", ids[-1], SERDE, limit=100, before=read[0] if read else None):
        assert len(page) <= 100
        read = [*(m.id for m in page), *read]
    assert read == ids
    assert len(archived(connection, "t", ids[-1], SERDE, limit=600)) == 600


def test_a_page_costs_a_page_however_long_the_archive(connection: sqlite3.Connection) -> None:
    file_archived(connection, "t", chained(said(*(f"m{n}" for n in range(20_000)))), SERDE)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 100)
    assert len(archived(connection, "t", "m19999", SERDE, limit=50, before="m15000")) == 50
    assert steps < 100


def test_threads_are_apart_copied_and_deleted(connection: sqlite3.Connection) -> None:
    file_archived(connection, "a", chained(said("m1", "m2")), SERDE)
    assert archived(connection, "b", "m2", SERDE) == []
    copy_archive(connection, "a", "b")
    copy_archive(connection, "a", "b")
    assert delete_archive(connection, "a") == 2
    assert archived(connection, "a", "m2", SERDE) == []
    assert archived(connection, "b", "m2", SERDE) == said("m1", "m2")


def test_the_newest_of_one_branch_are_kept(connection: sqlite3.Connection) -> None:
    file_archived(connection, "t", chained(said("m1", "m2", "m3", "m4")), SERDE)
    file_archived(connection, "t", chained(said("other"), "m2"), SERDE)
    file_archived(connection, "u", chained(said("m1")), SERDE)
    assert keep_newest(connection, "t", "m4", most=3) == 2
    assert archived(connection, "t", "m4", SERDE) == said("m2", "m3", "m4")
    size = bytes_in(connection, "t")
    assert keep_newest(connection, "t", "m4", most=3, max_bytes=size) == 0
    assert keep_newest(connection, "t", "m4", most=3, max_bytes=size - 1) == 1
    assert archived(connection, "t", "m4", SERDE) == said("m3", "m4")
    file_archived(connection, "t", chained(said("m5"), "m4"), SERDE)
    assert archived(connection, "t", "m5", SERDE) == said("m3", "m4", "m5")
    assert keep_newest(connection, "t", "m5", most=0) == 3
    assert bytes_in(connection, "t") == 0
    assert archived(connection, "u", "m1", SERDE) == said("m1")
