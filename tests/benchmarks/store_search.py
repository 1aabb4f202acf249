"""Measure searches of `FaissStore` beside chromadb and LangGraph's `InMemoryStore` and `SqliteStore`, in one run.

    python tests/benchmarks/store_search.py [--sizes 1000 10000 100000] [--rivals-up-to 10000] [--json]
    uv run --isolated --with chromadb --python PYTHON python tests/benchmarks/store_search.py

The second line has all of them: chromadb, which the project does not depend on, and a PYTHON whose sqlite3 loads
extensions (Debian's python3 does, pyenv's does not), which `SqliteStore` needs. What cannot run is skipped and says so.

Every store holds the same memories, in conversations of twenty turns, and answers the same question within the same
windows, top 10. Query embeddings are made beforehand and given to all (`query_vector`, or an embedder that looks them
up), so what is measured is the store. The figure is the best of many, in ms: machines are shared, and the best is what
the code costs. The rivals rank by vectors alone, as `faiss dense` does; `faiss hybrid` adds words and the turns around
each memory. chromadb's index is approximate: how many of the ten exact answers it found is printed too. (The vectors
are drawn by chance, which is harder for such an index than embeddings are.)
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from agentgraph.stores.faiss import FaissStore

DIMS = 384
TURNS = 20
RIVALS = ("chromadb", "InMemory", "Sqlite")
NAMESPACE = ("acme", "memory", "shared")
WINDOWS = {"100%": 1.0, "10%": 0.1, "1%": 0.01}
SUBJECTS = [
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Emma",
    "Felix",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Klara",
    "Leo",
    "Mia",
    "Nico",
    "Olga",
    "Paul",
]
VERBS = [
    "bought",
    "visited",
    "lost",
    "found",
    "repaired",
    "painted",
    "sold",
    "cooked",
    "planned",
    "cancelled",
    "praised",
    "forgot",
    "borrowed",
    "moved",
]
THINGS = [
    "car",
    "bicycle",
    "house",
    "garden",
    "recipe",
    "guitar",
    "painting",
    "ticket",
    "passport",
    "laptop",
    "camera",
    "coat",
    "lamp",
    "sofa",
    "kitchen",
    "boat",
    "tent",
    "violin",
    "cake",
    "letter",
    "phone",
    "book",
    "dog",
    "cat",
    "ladder",
    "window",
    "door",
    "clock",
    "chair",
    "table",
    "carpet",
    "mirror",
    "bottle",
    "basket",
]
PLACES = [
    "Tokyo",
    "Paris",
    "Oslo",
    "Lima",
    "Cairo",
    "Rome",
    "Delhi",
    "Quito",
    "Hanoi",
    "Berlin",
    "Prague",
    "Dublin",
    "Lisbon",
    "Vienna",
    "Athens",
    "Seoul",
]


class Drawn(Embeddings):
    """A random vector for each text, drawn once: the cost of a model is not what is measured."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(7)
        self._drawn: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
        self.model_id = "drawn"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        if text not in self._drawn:
            self._drawn[text] = self._generator.standard_normal(DIMS, dtype=np.float32)
        return self._drawn[text].tolist()


def memory(number: int, generator: random.Random, *, has_thread: bool = True) -> dict[str, Any]:
    text = (
        f"{generator.choice(SUBJECTS)} told me that they {generator.choice(VERBS)} the {generator.choice(THINGS)} and "
        f"the {generator.choice(THINGS)} in {generator.choice(PLACES)} with {generator.choice(SUBJECTS)}, case {number}"
    )
    start = number * 1_000
    return {
        "text": text,
        "time_start": f"{start:015}",
        "time_end": f"{start + 900:015}",
        "recorded_at": f"{start:015}",
        "source": {"thread": f"acme/thread/{number // TURNS}"} if has_thread else {},
    }


def window(size: int, share: float) -> dict[str, Any] | None:
    if share == 1.0:
        return None
    start, length = int(size * 0.4) * 1_000, int(size * share) * 1_000
    return {"time_start": {"$lt": f"{start + length:015}"}, "time_end": {"$gt": f"{start:015}"}}


async def best_ms(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    best, until, runs = float("inf"), time.perf_counter() + seconds, 0
    while runs < 5 or time.perf_counter() < until:
        start = time.perf_counter()
        await call()
        best = min(best, time.perf_counter() - start)
        runs += 1
        if runs >= 2 and best > seconds:
            break
    return best * 1_000


async def measure(size: int, *, rivals: bool, has_threads: bool, seconds: float, directory: Path) -> dict[str, Any]:
    generator = random.Random(size)
    values = [memory(number, generator, has_thread=has_threads) for number in range(size)]
    shuffled = list(enumerate(values))
    generator.shuffle(shuffled)  # memories do not arrive in the order of what they speak of
    question = "Who bought the guitar in Tokyo?"
    embeddings = Drawn()
    vector = embeddings.embed_query(question)
    figures: dict[str, Any] = {}

    puts = [PutOp(NAMESPACE, f"k{number}", value, index=["text"]) for number, value in shuffled]
    async with FaissStore(directory / "faiss", embeddings=embeddings) as store:
        start = time.perf_counter()
        for at in range(0, size, 5_000):
            await store.abatch(puts[at : at + 5_000])
        figures["faiss put, bulk, µs each"] = (time.perf_counter() - start) / size * 1e6
        number = iter(range(10**9))
        figures["faiss put, one (fsync)"] = await best_ms(
            lambda: store.aput(("other", "memory", "shared"), f"k{next(number)}", values[0], index=["text"]), seconds
        )
        for label, share in WINDOWS.items():
            condition = window(size, share)
            await store.arank([NAMESPACE], question, filter=condition, limit=10, query_vector=vector)
            figures[f"faiss hybrid {label}"] = await best_ms(
                lambda c=condition: store.arank([NAMESPACE], question, filter=c, limit=10, query_vector=vector), seconds
            )
            figures[f"faiss dense {label}"] = await best_ms(
                lambda c=condition: store.arank([NAMESPACE], "", filter=c, limit=10, query_vector=vector), seconds
            )
        await store.aput(NAMESPACE, "new", {"text": "one more"})
        start = time.perf_counter()
        await store.arank([NAMESPACE], question, limit=10, query_vector=vector)
        figures["faiss first search after a write"] = (time.perf_counter() - start) * 1_000

    async def cold() -> None:
        async with FaissStore(directory / "faiss", embeddings=embeddings) as store:
            await store.arank([NAMESPACE], question, limit=10, query_vector=vector)

    figures["faiss cold open + search"] = await best_ms(cold, seconds)

    if rivals:
        figures |= await measure_chromadb(size, values, vector, embeddings, seconds, directory)
        figures |= await measure_in_memory(size, puts, question, embeddings, seconds)
        figures |= await measure_sqlite(size, puts, question, embeddings, seconds, directory)
    gc.collect()
    return figures


async def measure_chromadb(
    size: int, values: list[dict[str, Any]], vector: list[float], embeddings: Drawn, seconds: float, directory: Path
) -> dict[str, Any]:
    try:
        import chromadb
    except ImportError:
        return {"chromadb": "is not installed: uv run --with chromadb …"}
    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(directory / "chroma"), settings)
    collection = client.create_collection("memories", metadata={"hnsw:space": "cosine"}, embedding_function=None)
    figures: dict[str, Any] = {}
    start = time.perf_counter()
    for at in range(0, size, 5_000):
        some = values[at : at + 5_000]
        texts = [value["text"] for value in some]
        collection.add(
            ids=[str(at + number) for number in range(len(some))],
            documents=texts,
            embeddings=embeddings.embed_documents(texts),
            # It compares numbers only.
            metadatas=[{name: int(value[name]) for name in ("time_start", "time_end")} for value in some],
        )
    figures["chromadb put, bulk, µs each"] = (time.perf_counter() - start) / size * 1e6
    vectors = np.array(embeddings.embed_documents([value["text"] for value in values]), dtype=np.float32)
    cosines = vectors @ np.array(vector, dtype=np.float32) / np.linalg.norm(vectors, axis=1)
    for label, share in WINDOWS.items():
        comparisons = [(name, *pair) for name, some in (window(size, share) or {}).items() for pair in some.items()]
        where: Any = {"$and": [{name: {operator: int(key)}} for name, operator, key in comparisons]}

        async def search(where: Any = where if comparisons else None) -> Any:
            return collection.query(query_embeddings=[vector], n_results=10, where=where)

        found = (await search())["ids"][0]
        figures[f"chromadb {label}"] = await best_ms(search, seconds)
        within = [number for number in range(size) if all(_holds(values[number], *each) for each in comparisons)]
        exact = sorted(within, key=lambda number: -cosines[number])[:10]
        figures[f"chromadb recall {label}"] = f"{len(set(found) & set(map(str, exact)))} of {len(exact)}"
    return figures


def _holds(value: dict[str, Any], name: str, operator: str, key: str) -> bool:
    return bool(value[name] < key if operator == "$lt" else value[name] > key)


async def measure_in_memory(
    size: int, puts: list[PutOp], question: str, embeddings: Embeddings, seconds: float
) -> dict[str, Any]:
    store = InMemoryStore(index={"dims": DIMS, "embed": embeddings, "fields": ["text"]})
    for at in range(0, size, 5_000):
        await store.abatch(puts[at : at + 5_000])
    figures: dict[str, Any] = {}
    for label, share in WINDOWS.items():
        condition = window(size, share)
        figures[f"InMemoryStore {label}"] = await best_ms(
            lambda c=condition: store.asearch(NAMESPACE, query=question, filter=c, limit=10), seconds
        )
    return figures


async def measure_sqlite(
    size: int, puts: list[PutOp], question: str, embeddings: Embeddings, seconds: float, directory: Path
) -> dict[str, Any]:
    from langgraph.store.sqlite import SqliteStore

    connection = sqlite3.connect(directory / "sqlite.db", check_same_thread=False, isolation_level=None)
    try:
        store = SqliteStore(connection, index={"dims": DIMS, "embed": embeddings, "fields": ["text"]})
        store.setup()
    except (AttributeError, sqlite3.Error) as error:
        connection.close()
        return {"SqliteStore": f"cannot run here, this Python's sqlite3 loads no extensions: {error}"}
    figures: dict[str, Any] = {}
    start = time.perf_counter()
    for at in range(0, size, 1_000):
        store.batch(puts[at : at + 1_000])
    figures["SqliteStore put, bulk, µs each"] = (time.perf_counter() - start) / size * 1e6

    async def search(condition: dict[str, Any] | None) -> None:
        store.search(NAMESPACE, query=question, filter=condition, limit=10)

    for label, share in WINDOWS.items():
        condition = window(size, share)
        figures[f"SqliteStore {label}"] = await best_ms(lambda c=condition: search(c), seconds)
    connection.close()
    return figures


async def cold_small_tenant(directory: Path, seconds: float) -> float:
    """Open a tenant of 100 memories and search it, the best of many, in ms."""
    generator = random.Random(1)
    embeddings = Drawn()
    async with FaissStore(directory, embeddings=embeddings) as store:
        await store.abatch(
            [
                PutOp((f"t{tenant}", "memory", "shared"), f"k{n}", memory(n, generator), index=["text"])
                for tenant in range(50)
                for n in range(100)
            ]
        )
    vector = embeddings.embed_query("who?")
    best = float("inf")
    for _ in range(max(2, int(seconds * 4))):
        async with FaissStore(directory, embeddings=embeddings, hot_tenants=1) as store:
            await store.stats("warm")
            for tenant in range(50):
                start = time.perf_counter()
                await store.arank([(f"t{tenant}", "memory", "shared")], "Who bought it?", limit=10, query_vector=vector)
                best = min(best, time.perf_counter() - start)
    return best * 1_000


async def run(sizes: list[int], rivals_up_to: int, seconds: float, *, has_threads: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        figures["cold tenant of 100"] = await cold_small_tenant(directory / "many", seconds)
        for size in sizes:
            (directory / str(size)).mkdir()
            figures[str(size)] = await measure(
                size,
                rivals=size <= rivals_up_to,
                has_threads=has_threads,
                seconds=seconds,
                directory=directory / str(size),
            )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rivals-up-to", type=int, default=10_000, help="larger sizes measure FaissStore alone")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to repeat each measurement")
    parser.add_argument("--without-threads", action="store_true", help="every memory stands alone: no context to rank")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    has_threads = not options.without_threads
    figures = asyncio.run(run(options.sizes, options.rivals_up_to, options.seconds, has_threads=has_threads))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"cold tenant of 100 memories, open + hybrid search: {figures['cold tenant of 100']:.2f} ms")
    for size in options.sizes:
        print(f"\n{size:,} memories, {DIMS} dims {'best in ms':>32}{'of dense':>12}{'of hybrid':>12}")
        found = figures[str(size)]
        for name, figure in found.items():
            if isinstance(figure, str):
                print(f"  {name:40} {figure}")
                continue
            references = [found.get(f"faiss {kind} {name.split()[-1]}") for kind in ("dense", "hybrid")]
            is_rival = name.startswith(RIVALS)
            ratios = "".join(f"{figure / each:10.1f} x" for each in references if is_rival and each is not None)
            print(f"  {name:40} {figure:10.3f}{ratios}")


if __name__ == "__main__":
    main()
