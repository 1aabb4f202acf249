"""Measure searches of `FaissStore` beside LangGraph's `InMemoryStore` and `SqliteStore`, in one run.

    python tests/benchmarks/store_search.py [--sizes 1000 10000 100000] [--rivals-up-to 10000] [--json]

Every store holds the same memories and answers the same questions within the same windows, top 10. Query embeddings
are made beforehand and given to all (`query_vector`, or an embedder that looks them up), so what is measured is the
store. The figure is the best of many, in ms: machines are shared, and the best is what the code costs.
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
        self.known: dict[str, list[float]] = {}
        self.model_id = "drawn"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors = self._generator.standard_normal((len(texts), DIMS), dtype=np.float32)
        return vectors.tolist()

    def embed_query(self, text: str) -> list[float]:
        if text not in self.known:
            self.known[text] = self._generator.standard_normal(DIMS).tolist()
        return self.known[text]


def memory(number: int, generator: random.Random) -> dict[str, Any]:
    text = (
        f"{generator.choice(SUBJECTS)} told me that they {generator.choice(VERBS)} the {generator.choice(THINGS)} and "
        f"the {generator.choice(THINGS)} in {generator.choice(PLACES)} with {generator.choice(SUBJECTS)}, case {number}"
    )
    start = number * 1_000
    return {"text": text, "time_start": f"{start:015}", "time_end": f"{start + 900:015}", "recorded_at": f"{start:015}"}


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


async def measure(size: int, *, rivals: bool, seconds: float, directory: Path) -> dict[str, Any]:
    generator = random.Random(size)
    values = [memory(number, generator) for number in range(size)]
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
        in_memory = InMemoryStore(index={"dims": DIMS, "embed": embeddings, "fields": ["text"]})
        for at in range(0, size, 5_000):
            await in_memory.abatch(puts[at : at + 5_000])
        for label, share in WINDOWS.items():
            condition = window(size, share)
            figures[f"InMemoryStore {label}"] = await best_ms(
                lambda c=condition: in_memory.asearch(NAMESPACE, query=question, filter=c, limit=10), seconds
            )
        figures |= await measure_sqlite(size, puts, question, embeddings, seconds, directory)
    gc.collect()
    return figures


async def measure_sqlite(
    size: int, puts: list[PutOp], question: str, embeddings: Embeddings, seconds: float, directory: Path
) -> dict[str, Any]:
    try:
        from langgraph.store.sqlite import SqliteStore

        connection = sqlite3.connect(directory / "sqlite.db", check_same_thread=False, isolation_level=None)
        store = SqliteStore(connection, index={"dims": DIMS, "embed": embeddings, "fields": ["text"]})
        store.setup()
    except (ImportError, AttributeError, sqlite3.Error) as error:  # Python without loadable extensions
        return {"SqliteStore": f"cannot run here: {error}"}
    figures: dict[str, Any] = {}
    for at in range(0, size, 1_000):
        store.batch(puts[at : at + 1_000])

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


async def run(sizes: list[int], rivals_up_to: int, seconds: float) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        figures["cold tenant of 100"] = await cold_small_tenant(directory / "many", seconds)
        for size in sizes:
            (directory / str(size)).mkdir()
            figures[str(size)] = await measure(
                size, rivals=size <= rivals_up_to, seconds=seconds, directory=directory / str(size)
            )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rivals-up-to", type=int, default=10_000, help="larger sizes measure FaissStore alone")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to repeat each measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(run(options.sizes, options.rivals_up_to, options.seconds))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"cold tenant of 100 memories, open + hybrid search: {figures['cold tenant of 100']:.2f} ms")
    for size in options.sizes:
        print(f"\n{size:,} memories, {DIMS} dims, best in ms")
        found = figures[str(size)]
        for name, figure in found.items():
            if isinstance(figure, str):
                print(f"  {name:40} {figure}")
                continue
            reference = found.get(f"faiss hybrid {name.split()[-1]}")
            ratio = f"  {figure / reference:8.1f} x" if name.startswith(("InMemory", "Sqlite")) and reference else ""
            print(f"  {name:40} {figure:10.3f}{ratio}")


if __name__ == "__main__":
    main()
