"""What is searched in memory comes from SQLite alone: there is no cache to lose, and damaged vectors lose no memory.

Vectors and counted words are stored with the items and could be made from them again. Every memory must be found while
they are damaged, and ranked as in a store built anew once `reembed` has seen to them.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentgraph.memory.reembedding import Reembedding
from agentgraph.scope import tenant_directory
from agentgraph.stores.faiss import FaissStore
from agentgraph.stores.shard import Shard
from agentgraph.testing import HashEmbeddings
from tests.crash.seeds import scaled, seed

NAMESPACES = [("acme", "memory", user) for user in ("ann", "bob", "one")]


def words_of(n: int) -> str:
    return f"memory{n} speaks of topic{n % 7} and colour{n % 5}"


def layout() -> list[tuple[tuple[str, ...], int]]:
    """Say which memory is where: two namespaces of many, and one of a single memory."""
    many = scaled(60)
    return [(NAMESPACES[n % 2], n) for n in range(many)] + [(NAMESPACES[2], many)]


def open_store(directory: Path) -> FaissStore:
    return FaissStore(directory, embeddings=HashEmbeddings(), sync="normal", clock=lambda: 1_772_000_000.0)


async def fill(directory: Path) -> None:
    async with open_store(directory) as store:
        for namespace, n in layout():
            await store.aput(namespace, str(n), {"text": words_of(n)})


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    await fill(tmp_path / "tenants")
    return tmp_path / "tenants"


async def rankings(store: FaissStore) -> list[Any]:
    """Return what several questions find, with every score."""
    queries = ["memory3 topic3", "what of colour2", "topic6 colour1", words_of(5), words_of(scaled(60))]
    return [
        [
            (hit.item.namespace, hit.item.key, hit.item.value, hit.dense, hit.lexical, hit.context, hit.fused)
            for hit in await store.arank(NAMESPACES, query, limit=100)
        ]
        for query in queries
    ]


def nearly(ranked: list[Any]) -> Any:
    """Return what `ranked` holds, its scores nearly: words of removed rows weigh until a namespace is loaded anew."""
    return [{hit[:2]: pytest.approx([hit[3] or 0, hit[-1]], abs=0.05) for hit in hits} for hits in ranked]


def scores(ranked: list[Any]) -> Any:
    return [{hit[:2]: [hit[3] or 0, hit[-1]] for hit in hits} for hits in ranked]


async def check_nothing_is_lost(store: FaissStore, *, among: int = 5) -> None:
    """Find every memory three ways: by its key, in the list, and by what it says, among so many."""
    for namespace, n in layout():
        item = await store.aget(namespace, str(n))
        assert item is not None
        assert item.value == {"text": words_of(n)}
        assert str(n) in [hit.key for hit in await store.asearch(namespace, query=words_of(n), limit=among)]
    assert len(await store.asearch(("acme",), limit=10_000)) == len(layout())


async def check_repair(damaged: Path, fresh: Path, *, among: int = 5) -> None:
    """See to it that a store on `damaged` loses nothing, and answers like one built anew when it was repaired."""
    async with open_store(damaged) as store:
        await check_nothing_is_lost(store, among=among)
        await rankings(store)
        assert (await store.stats("acme")).stale_vectors > 0
        await store.reembed("acme")
        assert (await store.stats("acme")).stale_vectors == 0
        await check_nothing_is_lost(store)
        repaired = await rankings(store)
    await fill(fresh)
    async with open_store(fresh) as store:
        anew = await rankings(store)
    assert scores(repaired) == nearly(anew)
    async with open_store(damaged) as store:
        assert await rankings(store) == anew


def damage(directory: Path, change: Callable[[random.Random, bytes], Any], *, share: float, column: str) -> None:
    """Replace a share of a column's blobs, the only one of the smallest namespace among them."""
    draw = random.Random(f"{seed()} {column} {share}")
    with closing(sqlite3.connect(tenant_directory(directory, "acme") / "memory.db")) as connection:
        rows = connection.execute(f"SELECT id, {column} FROM entries ORDER BY id").fetchall()
        chosen = {rows[-1], *draw.sample(rows, round(len(rows) * share))}
        for entry, blob in sorted(chosen):
            connection.execute(f"UPDATE entries SET {column} = ? WHERE id = ?", (change(draw, blob), entry))
        connection.commit()


def with_bits_flipped(draw: random.Random, blob: bytes, *, mask: int, places: int = 1) -> bytes:
    """Flip bits in the high bytes of some of a vector's numbers: sign and exponent are there."""
    damaged = bytearray(blob)
    for place in draw.sample(range(1, len(blob), 2), places):
        damaged[place] ^= mask
    return bytes(damaged)


VECTOR_FAULTS: dict[str, Callable[[random.Random, bytes], Any]] = {
    "cut short": lambda draw, blob: blob[: draw.randrange(1, len(blob))],
    "cut by a byte": lambda draw, blob: blob[:-1],
    "cut in half": lambda draw, blob: blob[: len(blob) // 4 * 2],
    "empty": lambda draw, blob: b"",
    "missing": lambda draw, blob: None,
    "text": lambda draw, blob: "x" * len(blob),
    "not a number": lambda draw, blob: b"\xff\x7f" + blob[2:],
    "infinite": lambda draw, blob: blob[:-2] + b"\x00\x7c",
    "exponents flipped": lambda draw, blob: with_bits_flipped(draw, blob, mask=0x40),
    "another size": lambda draw, blob: np.full(len(blob), len(blob) ** -0.5, dtype="<f2").tobytes(),
    "noise": lambda draw, blob: draw.randbytes(len(blob)),
}


async def test_a_tenants_directory_holds_its_database_and_no_cache(directory: Path) -> None:
    async with open_store(directory) as store:
        await rankings(store)
        files = {path.name for path in directory.rglob("*") if path.is_file()}
        assert "memory.db" in files
        assert files <= {"memory.db", "memory.db-wal", "memory.db-shm"}
    assert {path.name for path in directory.rglob("*") if path.is_file()} == {"memory.db"}


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("fault", VECTOR_FAULTS)
async def test_damaged_vectors_lose_no_memory_and_are_made_anew(
    directory: Path, tmp_path: Path, fault: str, share: float
) -> None:
    if fault == "another size" and share == 1.0:
        pytest.skip("where all have another size, it is the size of the store's model that has changed")
    damage(directory, VECTOR_FAULTS[fault], share=share, column="vector")
    await check_repair(directory, tmp_path / "fresh")


@pytest.mark.parametrize("fault", ["cut short", "text"])
async def test_damaged_words_lose_no_memory_and_are_counted_anew(directory: Path, tmp_path: Path, fault: str) -> None:
    changes = {"cut short": lambda draw, blob: blob[:-1], "text": lambda draw, blob: "x" * len(blob)}
    damage(directory, changes[fault], share=0.3, column="terms")
    await check_repair(directory, tmp_path / "fresh", among=100)  # by meaning alone they rank behind those with words


async def test_any_flipped_bits_of_vectors_lose_no_memory(directory: Path) -> None:
    """A flipped sign cannot be told from a vector: it costs rank among memories that share no word, and no memory."""
    for mask in (0x80, 0x40, 0x01, 0xFF):
        damage(
            directory, lambda d, b, mask=mask: with_bits_flipped(d, b, mask=mask, places=3), share=1, column="vector"
        )
        async with open_store(directory) as store:
            await check_nothing_is_lost(store)
            await rankings(store)


async def test_damage_is_found_and_repaired_without_being_asked_for(directory: Path, tmp_path: Path) -> None:
    damage(directory, VECTOR_FAULTS["not a number"], share=0.5, column="vector")
    async with open_store(directory) as store:
        reembedding = Reembedding(store)
        reembedding.look_after(["acme"])
        while reembedding._tasks:
            await next(iter(reembedding._tasks))
        assert (await store.stats("acme")).stale_vectors == 0
    async with open_store(directory) as store:
        repaired = await rankings(store)
    await fill(tmp_path / "fresh")
    async with open_store(tmp_path / "fresh") as store:
        assert repaired == await rankings(store)


async def test_what_is_in_memory_follows_the_file_when_an_older_copy_is_put_back(
    directory: Path, tmp_path: Path
) -> None:
    path = tenant_directory(directory, "acme") / "memory.db"
    shutil.copy(path, tmp_path / "older.db")
    async with open_store(directory) as store:
        await rankings(store)
        await store.aput(NAMESPACES[0], "later", {"text": "zebra"})
        assert [hit.key for hit in await store.asearch(("acme",), query="zebra", limit=1)] == ["later"]
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        (tmp_path / "older.db").replace(path)
        assert await store.aget(NAMESPACES[0], "later") is None
        await check_nothing_is_lost(store)
        await store.aput(NAMESPACES[0], "after", {"text": "zebra"})  # the numbers of the lost rows are given again
        assert [hit.key for hit in await store.asearch(("acme",), query="zebra", limit=1)] == ["after"]
        put_back = await rankings(store)
    async with open_store(directory) as store:
        assert await rankings(store) == put_back


async def test_what_is_in_memory_follows_the_rows_another_process_adds_and_removes(directory: Path) -> None:
    draw = random.Random(seed())
    async with open_store(directory) as stale, open_store(directory) as other:
        await rankings(stale)
        for _ in range(scaled(10)):
            n = draw.randrange(scaled(60))
            await other.adelete(NAMESPACES[n % 2], str(n))
            await rankings(stale)
            await other.aput(NAMESPACES[n % 2], str(n), {"text": words_of(n)})
        await check_nothing_is_lost(stale)
        kept = await rankings(stale)
    async with open_store(directory) as store:
        assert scores(await rankings(store)) == nearly(kept)


async def test_a_load_that_breaks_off_is_begun_anew(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(directory) as store:
        expected = await rankings(store)
        await store.aput(NAMESPACES[0], "new", {"text": "zebra"})
        with monkeypatch.context() as patched:  # memory that runs out while rows are added cannot be had otherwise
            patched.setattr(Shard, "add", lambda self, entries: (_ for _ in ()).throw(MemoryError))
            with pytest.raises(MemoryError):
                await store.asearch(("acme",), query="zebra")
        assert [hit.key for hit in await store.asearch(("acme",), query="zebra", limit=1)] == ["new"]
        await store.adelete(NAMESPACES[0], "new")
        assert scores(await rankings(store)) == nearly(expected)


async def test_a_vector_of_nothing_is_not_damaged(tmp_path: Path) -> None:
    class Nothing(HashEmbeddings):
        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[0.0] * 8 for _ in texts]

    async with FaissStore(tmp_path, embeddings=Nothing(), sync="normal") as store:
        await store.aput(NAMESPACES[0], "k", {"text": "v"})
        assert (await store.stats("acme")).stale_vectors == 0
