"""Vectors on disk: kept, shared, bounded, and never in the way."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentgraph.stores.vectors import pack
from agentgraph.tools.selection.vectors import VectorCache, text_key

VECTOR = pack([[0.6, 0.8]])[0]


def kept(*texts: str) -> dict[bytes, bytes]:
    return {text_key(text): VECTOR for text in texts}


def test_vectors_are_kept_by_model_and_text(tmp_path: Path) -> None:
    VectorCache(tmp_path).write("m", kept("one", "two"))
    assert VectorCache(tmp_path).read("m", [text_key("one"), text_key("three")]) == kept("one")
    assert VectorCache(tmp_path).read("other", [text_key("one")]) == {}
    assert VectorCache(tmp_path / "none").read("m", [text_key("one")]) == {}
    assert not (tmp_path / "none").exists()


def test_no_text_is_on_disk(tmp_path: Path) -> None:
    VectorCache(tmp_path).write("m", kept("confidential"))
    assert not any(b"confidential" in path.read_bytes() for path in tmp_path.iterdir())


def test_more_than_one_statement_takes_are_read(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1_201)]
    cache = VectorCache(tmp_path)
    cache.write("m", kept(*texts))
    assert len(cache.read("m", [text_key(text) for text in texts])) == 1_201


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, max_vectors=2)
    cache.write("m", kept("one", "two"))
    database = sqlite3.connect(tmp_path / "tool_vectors.sqlite")
    with database:
        database.execute("UPDATE vectors SET used = 5")
    database.close()
    assert cache.read("m", [text_key("one")]) == kept("one")
    cache.write("m", kept("three"))
    assert cache.read("m", [text_key(text) for text in ("one", "two", "three")]) == kept("one", "three")


@pytest.mark.parametrize("damage", [b"no database at all, whatever its name", b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tool_vectors.sqlite").write_bytes(damage)
    cache = VectorCache(tmp_path)
    assert cache.read("m", [text_key("one")]) == {}
    cache.write("m", kept("one"))
    assert cache.read("m", [text_key("one")]) == kept("one")
    assert "begun anew" in caplog.text


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = VectorCache(tmp_path / "file")
    cache.write("m", kept("one"))
    cache.write("m", kept("one"))
    assert cache.read("m", [text_key("one")]) == {}
    assert len(caplog.records) == 1


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        VectorCache(tmp_path).write("m", kept(f"text {number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert len(VectorCache(tmp_path).read("m", [text_key(f"text {number}") for number in range(40)])) == 40
