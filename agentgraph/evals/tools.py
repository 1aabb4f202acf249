"""How well tools are chosen: the product's own ranking on requests and the tools that serve them.

A tool is a JSON object a line: `id`, `name`, `description`, `params` (each argument's name and its description),
`source` (whose list it is on) and `group` (tools that do the same; by default its id). A request is `id`, `query`,
`gold` (the groups that serve it), `source` and `category`. Each request is asked of the list of its own source, and of
all tools together, the pool.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field

from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.evals.baselines import Bm25, Cosine
from agentgraph.evals.embeddings import RememberingEmbeddings
from agentgraph.evals.metrics import Metrics, by_group, mean_metrics, ranking_metrics
from agentgraph.evals.rows import read_rows
from agentgraph.tools.selection import ToolDocument, ToolIndex

__all__ = ["ToolRequest", "ToolRow", "ToolStep", "evaluate_tools", "read_tool_requests", "read_tool_rows"]

_CUTOFFS: Final = (1, 3, 5, 10, 20)
_RANKED: Final = 100  # tools looked at: more than the highest cutoff, because several may be of one group
_BATCH: Final = 64

_Ranking: TypeAlias = Callable[[Sequence[Sequence["ToolRow"]], Sequence["ToolRequest"]], list[list[str]]]
ToolStep = Literal["tools", "requests", "pool"]


class ToolRow(BaseModel):
    """A tool, as its list describes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    description: str = ""
    params: dict[str, str] = Field(default_factory=dict)
    source: str = "unknown"
    group: str | None = None

    @property
    def document(self) -> ToolDocument:
        """The tool as it is ranked."""
        return ToolDocument(self.name, self.description, self.params)


class ToolRequest(BaseModel):
    """A request, and the groups of tools that serve it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    query: str
    gold: tuple[str, ...] = Field(min_length=1)
    source: str = "unknown"
    category: str = "all"


def read_tool_rows(path: Path) -> list[ToolRow]:
    """Read the tools of a JSON Lines file; see `read_rows` for what may be wrong with it.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: A line is no tool, or two tools have one id.
    """
    rows = read_rows(path, ToolRow, what="tools")
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise InvalidInputError(f"{path}: two tools have the id {row.id!r}", code="duplicate_id")
        seen.add(row.id)
    return rows


def read_tool_requests(path: Path, corpus: Sequence[ToolRow]) -> list[ToolRequest]:
    """Read requests to the tools of `corpus`.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: A line is no request, or no tool of its source serves it.
    """
    requests = read_rows(path, ToolRequest, what="requests")
    known = {(row.source, row.group or row.id) for row in corpus}
    for request in requests:
        if not any((request.source, group) in known for group in request.gold):
            raise InvalidInputError(
                f"{path}: request {request.id!r}: none of its gold is among the tools of {request.source!r}",
                code="no_such_answer",
            )
    return requests


async def evaluate_tools(
    corpus: Sequence[ToolRow],
    requests: Sequence[ToolRequest],
    *,
    embeddings: Embeddings | None,
    on_progress: Callable[[ToolStep, int], None] | None = None,
    seconds: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Rank the tools of `corpus` for every request, and score the rankings.

    Args:
        corpus: Tools, at least one.
        requests: At least one.
        embeddings: The embedder; without one, tools are ranked by their words alone.
        on_progress: Told how many tools are embedded, and how many requests were asked of their list and of the pool.
        seconds: A running clock, by which each request is timed.

    Returns:
        Against each request's own list: `overall`, means over all requests, their number `n`, and `ms_p50`, the median
        time of a request, its embedding included; `macro`, the mean of the sources' means; `by_source`, `by_category`
        (`source/category`). `pool`: the same against all tools. `baselines`: `bm25` and `dense` over the same texts,
        each with all of that but the times. `ranked`: for each request's id the ids found on its own
        list.

    Raises:
        ConfigurationError: The embedder fails.
    """
    told = on_progress or (lambda _step, _done: None)
    embedder = None if embeddings is None else RememberingEmbeddings(embeddings)
    if embedder is not None:
        await _embed(embedder, [row.document.text for row in corpus], lambda done: told("tools", done))
    lists = {source: [row for row in corpus if row.source == source] for source in {row.source for row in corpus}}
    own = [lists[request.source] for request in requests]
    ranked, took = await _ask(own, requests, embedder, lambda done: told("requests", done), seconds)
    pool = [corpus] * len(requests)
    pooled, pool_took = await _ask(pool, requests, embedder, lambda done: told("pool", done), seconds)
    report = _report(corpus, requests, ranked)
    report["overall"]["ms_p50"] = 1000 * statistics.median(took)
    report["pool"] = _report(corpus, requests, pooled)
    report["pool"]["overall"]["ms_p50"] = 1000 * statistics.median(pool_took)
    report["baselines"] = await asyncio.to_thread(_baselines, corpus, own, requests, embedder)
    report["ranked"] = {request.id: found for request, found in zip(requests, ranked, strict=True)}
    return report


async def _embed(embedder: Embeddings, texts: list[str], on_progress: Callable[[int], None]) -> None:
    for start in range(0, len(texts), _BATCH):
        await embedder.aembed_documents(texts[start : start + _BATCH])
        on_progress(min(len(texts), start + _BATCH))


async def _ask(
    lists: Sequence[Sequence[ToolRow]],
    requests: Sequence[ToolRequest],
    embedder: Embeddings | None,
    on_progress: Callable[[int], None],
    seconds: Callable[[], float],
) -> tuple[list[list[str]], list[float]]:
    """Ask each request of its list; return the ids found, and how long each took."""
    indexes: dict[int, ToolIndex] = {}
    ranked: list[list[str]] = []
    took: list[float] = []
    for done, (rows, request) in enumerate(zip(lists, requests, strict=True), start=1):
        if id(rows) not in indexes:
            indexes[id(rows)] = await _index(rows, embedder)
        begun = seconds()
        found = await indexes[id(rows)].rank([request.query], limit=_RANKED)
        took.append(seconds() - begun)
        ranked.append([rows[tool.position].id for tool in found])
        on_progress(done)
    return ranked, took


async def _index(rows: Sequence[ToolRow], embedder: Embeddings | None) -> ToolIndex:
    index = ToolIndex([row.document for row in rows], embeddings=embedder)
    if not await index.ready() and embedder is not None:
        raise ConfigurationError("the embedder failed, so meaning cannot be measured", code="embedder_failed")
    return index


def _baselines(
    corpus: Sequence[ToolRow],
    own: Sequence[Sequence[ToolRow]],
    requests: Sequence[ToolRequest],
    embedder: RememberingEmbeddings | None,
) -> dict[str, Any]:
    """Score BM25 and plain cosines over the same texts."""
    pool = [corpus] * len(requests)
    rivals: dict[str, _Ranking] = (
        {"bm25": _by_words} if embedder is None else {"bm25": _by_words, "dense": partial(_by_cosine, embedder)}
    )
    return {
        name: _report(corpus, requests, ranked(own, requests))
        | {"pool": _report(corpus, requests, ranked(pool, requests))}
        for name, ranked in rivals.items()
    }


def _by_words(lists: Sequence[Sequence[ToolRow]], requests: Sequence[ToolRequest]) -> list[list[str]]:
    rankings = {
        key: Bm25({row.id: row.document.text for row in rows})
        for key, rows in {id(rows): rows for rows in lists}.items()
    }
    pairs = zip(lists, requests, strict=True)
    return [rankings[id(rows)].ranked(request.query, limit=_RANKED) for rows, request in pairs]


def _by_cosine(
    embedder: RememberingEmbeddings, lists: Sequence[Sequence[ToolRow]], requests: Sequence[ToolRequest]
) -> list[list[str]]:
    rankings = {
        key: Cosine([row.id for row in rows], np.stack([embedder.known(row.document.text) for row in rows]))
        for key, rows in {id(rows): rows for rows in lists}.items()
    }
    pairs = zip(lists, requests, strict=True)
    return [rankings[id(rows)].ranked(embedder.known(request.query), limit=_RANKED) for rows, request in pairs]


def _report(
    corpus: Sequence[ToolRow], requests: Sequence[ToolRequest], ranked: Sequence[Sequence[str]]
) -> dict[str, Any]:
    groups = {row.id: row.group or row.id for row in corpus}
    scored: list[Metrics] = [
        ranking_metrics([groups[found] for found in ids], request.gold, cutoffs=_CUTOFFS)
        for request, ids in zip(requests, ranked, strict=True)
    ]
    by_source = by_group(scored, [request.source for request in requests])
    means = [{name: value for name, value in group.items() if name != "n"} for group in by_source.values()]
    return {
        "overall": {"n": len(scored), **mean_metrics(scored)},
        "macro": {"n": len(scored), **mean_metrics(means)},
        "by_source": by_source,
        "by_category": by_group(scored, [f"{request.source}/{request.category}" for request in requests]),
    }
