"""Measure how tools are chosen beside bm25s, dense MiniLM and the prompt of a filter that asks a model, in one run.

    python tests/benchmarks/tool_selection.py [--corpus FILE --queries FILE] [--most 200] [--sizes 10 100 1000 10000]
    uv run --with bm25s python tests/benchmarks/tool_selection.py …

bm25s is no dependency of the project: where it is missing, it is skipped and says so. The files are those of
`agentgraph eval tools`; without them only time, memory and prompts are measured, over tools made up here. Of every
source the first `--most` requests are asked of its own list. Times are the best and the median of 200 in ms, with the
request's embedding at hand: machines are shared, and the best is what the code costs. "read" is how long the processor
was busy with building the index, the embedding of the tools not included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from rich.console import Console
from rich.table import Table

from agentgraph.evals.tools import ToolRequest, ToolRow, evaluate_tools, read_tool_requests, read_tool_rows
from agentgraph.models.embeddings import CachedEmbeddings, default_embedding_model, load_embeddings
from agentgraph.tools.selection import ToolDocument, ToolIndex

try:
    import bm25s
except ImportError:
    bm25s = None

ROUNDS = 200
REQUEST = "Send the report on last month's sales to the team by email"
VERBS = ("get", "create", "delete", "update", "search", "send", "list", "convert", "check", "book")
THINGS = ("invoice", "email", "flight", "recipe", "ticket", "customer", "report", "camera", "playlist", "contract")
AREAS = ("sales", "travel", "health", "kitchen", "finance", "school", "music", "garden", "law", "weather")


class Drawn(Embeddings):
    """A random vector for each text: the cost of a model is not what is measured."""

    model_id = "drawn"

    def __init__(self) -> None:
        self._generator = np.random.default_rng(7)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._generator.standard_normal((len(texts), 384), np.float32).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def made_up(count: int) -> list[ToolDocument]:
    documents = []
    for number in range(count):
        verb, thing, area = VERBS[number % 10], THINGS[number // 10 % 10], AREAS[number // 100 % 10]
        documents.append(
            ToolDocument(
                f"{verb}_{area}_{thing}_{number // 1000}",
                f"{verb.title()} a {thing} in the {area} system number {number // 1000}, and say what was done.",
                {f"{thing}_id": f"Which {thing} is meant", "note": f"What the {area} team should know"},
            )
        )
    return documents


async def times(sizes: Sequence[int], packages: ModuleType | None) -> Table:
    table = Table(title="time and memory", pad_edge=False, box=None)
    for heading in ("tools", "ranked by", "read s", "MB", "best ms", "p50 ms"):
        table.add_column(heading, justify="left" if heading == "ranked by" else "right")
    for size in sizes:
        documents = made_up(size)
        for name, embeddings in (("words", None), ("words, meaning", CachedEmbeddings(Drawn()))):
            begun, before = time.process_time(), resident_mb()
            index = ToolIndex(documents, embeddings=embeddings)
            await index.ready()
            took, memory = time.process_time() - begun, resident_mb() - before
            best, median = await timed(index)
            table.add_row(str(size), name, f"{took:.2f}", f"{memory:.1f}", f"{best:.3f}", f"{median:.3f}")
        vectors = np.asarray(Drawn().embed_documents([document.text for document in documents]), np.float32)
        table.add_row(str(size), "cosine alone", "", f"{vectors.nbytes / 1e6:.1f}", *shown(lambda v=vectors: v @ v[0]))
        if packages is not None:
            begun = time.perf_counter()
            rival = rival_of([document.text for document in documents], packages)
            took = time.perf_counter() - begun
            table.add_row(str(size), "bm25s", f"{took:.2f}", "", *shown(lambda r=rival, n=size: r(REQUEST, min(10, n))))
    return table


def resident_mb() -> float:
    """Return the memory the process holds; 0 where the system does not say so in Linux's way."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 / 1e6 if status.exists() else 0.0


async def timed(index: ToolIndex) -> tuple[float, float]:
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await index.rank([REQUEST], limit=10)
        took.append(1000 * (time.perf_counter() - begun))
    return min(took), statistics.median(took)


def shown(work: Callable[[], object]) -> tuple[str, str]:
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begun))
    return f"{min(took):.3f}", f"{statistics.median(took):.3f}"


def rival_of(texts: Sequence[str], packages: ModuleType) -> Callable[[str, int], list[int]]:
    """Index `texts` with bm25s as its documentation does, English stop words left out."""
    index = packages.BM25()
    index.index(packages.tokenize(list(texts), stopwords="en", show_progress=False), show_progress=False)

    def ranked(question: str, limit: int) -> list[int]:
        asked = packages.tokenize(question, stopwords="en", show_progress=False)
        found, _ = index.retrieve(asked, k=limit, show_progress=False)
        return [int(row) for row in found[0]]

    return ranked


def prompts(sizes: Sequence[int]) -> Table:
    """Count what a filter that shows a model every tool would send; four characters are a token, as a rule of thumb."""
    table = Table(title="prompt of a filter that asks a model", pad_edge=False, box=None)
    for heading in ("tools", "names and descriptions, tokens", "whole schemas, tokens"):
        table.add_column(heading, justify="right")
    for size in sizes:
        documents = made_up(size)
        brief = sum(len(f"- {document.name}: {document.description}\n") for document in documents)
        whole = sum(len(json.dumps(schema(document))) for document in documents)
        table.add_row(str(size), f"{brief // 4:,}", f"{whole // 4:,}")
    return table


def schema(document: ToolDocument) -> dict[str, Any]:
    arguments = {name: {"type": "string", "description": text} for name, text in document.arguments.items()}
    function = {"name": document.name, "description": document.description}
    return {"type": "function", "function": function | {"parameters": {"type": "object", "properties": arguments}}}


async def quality(tools: list[ToolRow], requests: list[ToolRequest], packages: ModuleType | None) -> Table:
    spec = default_embedding_model()
    report = await evaluate_tools(tools, requests, embeddings=None if spec is None else load_embeddings(spec))
    rows = {"agentgraph": report["by_source"]}
    rows |= {name: baseline["by_source"] for name, baseline in report["baselines"].items()}
    if packages is not None:
        rows["bm25s"] = by_bm25s(tools, requests, packages)
    sources = list(report["by_source"])
    table = Table(title="recall@5 / recall@10 on own lists", pad_edge=False, box=None)
    table.add_column("")
    for source in sources:
        table.add_column(source, justify="right")
    for name, values in rows.items():
        table.add_row(name, *(f"{values[s]['recall@5']:.3f} / {values[s]['recall@10']:.3f}" for s in sources))
    return table


def by_bm25s(tools: list[ToolRow], requests: list[ToolRequest], packages: ModuleType) -> dict[str, dict[str, float]]:
    from agentgraph.evals.metrics import by_group, ranking_metrics

    groups = {row.id: row.group or row.id for row in tools}
    lists = {source: [row for row in tools if row.source == source] for source in {row.source for row in tools}}
    rivals = {source: rival_of([row.document.text for row in rows], packages) for source, rows in lists.items()}
    scored = []
    for request in requests:
        rows = lists[request.source]
        found = rivals[request.source](request.query, min(100, len(rows)))
        scored.append(ranking_metrics([groups[rows[at].id] for at in found], request.gold, cutoffs=(5, 10)))
    return by_group(scored, [request.source for request in requests])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--most", type=int, default=200, help="requests of each source")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    given = parser.parse_args()
    console = Console()
    if bm25s is None:
        console.print("bm25s is not installed: skipped")
    console.print(await times(given.sizes, bm25s))
    console.print(prompts(given.sizes))
    if given.corpus is not None and given.queries is not None:
        tools = read_tool_rows(given.corpus)
        asked: dict[str, list[ToolRequest]] = {}
        for request in read_tool_requests(given.queries, tools):
            asked.setdefault(request.source, []).append(request)
        requests = [request for each in asked.values() for request in each[: given.most]]
        console.print(await quality(tools, requests, bm25s))


if __name__ == "__main__":
    asyncio.run(main())
