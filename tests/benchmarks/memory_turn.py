"""What memory adds to a request, end to end: runs on a thread with `include_memories` on and off, by turns.

    python tests/benchmarks/memory_turn.py [--sizes 100 10000 100000] [--count 200] [--json]
    python tests/benchmarks/memory_turn.py --sizes 10000 --profile turn.prof

The chat model answers at once, threads are ten turns long and on disk (`fsync`), and what memory owes after an answer
is written before the next run starts, so it is counted in neither. Three kinds of question, because they differ in what
is asked of the embedder (the local one) and of the store:

    distinct    no question twice: each is embedded
    repeated    few questions over and over: their vectors are remembered
    of a time   distinct, "... last week?": the store is searched by window as well

`added` is the difference of the medians (p50), of the 95th percentiles (p95) and of the quickest runs (min) in ms: on a
machine that others use, the last says best what the code costs. `recall` is the time the nodes `retrieve_memory` and
`filter_by_time` took. The tenants' vectors are drawn, the questions' are not. Cold: the first run
of each of many tenants, 100 memories large, in an application opened anew; its two arms are other tenants.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from memory_import import NAMES, PLACES, THINGS, write_rows

from agentgraph import AgentGraph
from agentgraph.models.embeddings import LocalEmbeddings
from agentgraph.testing import ScriptedChatModel

NOW = datetime(2025, 6, 4, 12, tzinfo=UTC)
TURNS = 10
WARM_UP = 20
COLD_MEMORIES = 100
RECALL = ("retrieve_memory", "filter_by_time")


class DrawnVectors(LocalEmbeddings):
    """The local embedder for questions; what is stored gets vectors drawn by chance, which are searched as fast."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = np.random.default_rng(7)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        drawn: list[list[float]] = self._generator.standard_normal((len(texts), self.dimensions)).tolist()
        return drawn

    async def aembed_query(self, text: str) -> list[float]:
        return (await super().aembed_documents([text]))[0]


@dataclass
class Arm:
    """The runs with memory, or those without."""

    milliseconds: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)

    def at(self, percent: int) -> float:
        return statistics.quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]


def distinct(number: int) -> str:
    return f"What did {NAMES[number % 12]} do with the {THINGS[number % 11]} number {number} in {PLACES[number % 7]}?"


KINDS: dict[str, Callable[[int], str]] = {
    "distinct": distinct,
    "repeated": lambda number: distinct(number % 8),
    "of a time": lambda number: f"{distinct(number + 500_000)[:-1]} last week?",
}


@contextmanager
def profiled(path: Path | None) -> Iterator[cProfile.Profile | None]:
    """Profile this thread; `cProfile` sees no other, so what the store's threads do shows as waiting."""
    if path is None:
        yield None
        return
    profile = cProfile.Profile()
    yield profile
    profile.dump_stats(path)


async def one_run(app: AgentGraph, arm: Arm, question: str, *, tenant: str, thread: str, with_memory: bool) -> None:
    started = time.perf_counter()
    result = await app.run(question, tenant=tenant, thread=thread, include_memories=with_memory)
    arm.milliseconds.append((time.perf_counter() - started) * 1000)
    arm.recall.append(sum(result.node_ms.get(node, 0.0) for node in RECALL))
    assert bool(result.memories) == with_memory, "memory found nothing, or was not left out"
    await app.settled()


async def by_turns(app: AgentGraph, tenant: str, kind: str, count: int, profile: cProfile.Profile | None) -> list[Arm]:
    """Run `count` questions in each arm, one with and one without memory, who goes first changing."""
    arms = [Arm(), Arm()]
    for number in range(-WARM_UP, count):
        if number == 0:
            arms = [Arm(), Arm()]
            gc.collect()
        for with_memory in (number % 2 == 0, number % 2 == 1):
            thread = f"{kind.replace(' ', '-')}-{with_memory}-{number // TURNS}"
            is_profiled = profile is not None and with_memory and number >= 0
            if is_profiled:
                profile.enable()
            await one_run(
                app,
                arms[with_memory],
                KINDS[kind](number % 1_000_000),
                tenant=tenant,
                thread=thread,
                with_memory=with_memory,
            )
            if is_profiled:
                profile.disable()
    return arms


async def cold(storage: Path, tenants: int) -> list[Arm]:
    """Ask one question of each of many tenants that nobody has asked since the application was opened."""
    arms = [Arm(), Arm()]
    async with opened(storage) as app:
        await one_run(app, Arm(), "Who?", tenant="cold-warm-up", thread="t", with_memory=True)
        for number in range(tenants):
            await one_run(
                app,
                arms[number % 2],
                distinct(number),
                tenant=f"cold-{number}",
                thread="t",
                with_memory=bool(number % 2),
            )
    return arms


def opened(storage: Path) -> AgentGraph:
    return AgentGraph(
        chat_model=ScriptedChatModel(script=lambda messages, tools: "Noted."),
        embeddings=DrawnVectors(),
        storage_dir=storage,
        clock=lambda: NOW,
        hot_tenants=64,
    )


async def filled(storage: Path, tenant: str, size: int) -> None:
    rows = storage.parent / f"{size}.jsonl"
    if not rows.exists():
        write_rows(rows, size)
    async with opened(storage) as app:
        with rows.open("rb") as lines:
            await app.memories.import_rows(lines, tenant=tenant)


async def measure(sizes: list[int], count: int, tenants: int, profile_to: Path | None) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        storage = Path(place) / "tenants"
        for tenant in ("cold-warm-up", *(f"cold-{number}" for number in range(tenants))):
            await filled(storage, tenant, COLD_MEMORIES)
        if tenants:
            figures["cold tenant of 100"] = {"distinct": compared(await cold(storage, tenants))}
        for size in sizes:
            await filled(storage, f"acme-{size}", size)
            kinds = figures[f"{size:,} memories"] = {}
            async with opened(storage) as app:
                with profiled(profile_to) as profile:
                    for kind in KINDS:
                        kinds[kind] = compared(await by_turns(app, f"acme-{size}", kind, count, profile))
    return figures


def compared(arms: list[Arm]) -> dict[str, float]:
    without, with_memory = arms
    figures = {}
    for percent in (50, 95):
        figures[f"off p{percent}"] = without.at(percent)
        figures[f"on p{percent}"] = with_memory.at(percent)
        figures[f"added p{percent}"] = with_memory.at(percent) - without.at(percent)
    figures["added min"] = min(with_memory.milliseconds) - min(without.milliseconds)
    figures["recall p50"] = statistics.median(with_memory.recall)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--count", type=int, default=200, help="runs of each kind in each arm")
    parser.add_argument("--cold-tenants", type=int, default=60, help="half of them with memory; 0 for none")
    parser.add_argument("--profile", type=Path, help="write a cProfile of the runs with memory here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.sizes, options.count, options.cold_tenants, options.profile))
    if options.json:
        print(json.dumps(figures))
        return
    columns = ("off p50", "on p50", "added p50", "off p95", "on p95", "added p95", "added min", "recall p50")
    print(f"{'ms':34}" + "".join(f"{column:>12}" for column in columns))
    for tenant, kinds in figures.items():
        for kind, found in kinds.items():
            print(f"{tenant:20}  {kind:12}" + "".join(f"{found[column]:12.2f}" for column in columns))


if __name__ == "__main__":
    main()
