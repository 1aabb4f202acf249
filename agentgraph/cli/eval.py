"""`agentgraph eval`: score the product on a file of questions, as a table or as JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from langchain_core.embeddings import Embeddings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agentgraph.cli.invocation import Invocation
from agentgraph.evals import (
    evaluate_memory,
    evaluate_temporal,
    evaluate_tools,
    read_memory_questions,
    read_memory_rows,
    read_temporal_rows,
    read_tool_requests,
    read_tool_rows,
)
from agentgraph.models.embeddings import default_embedding_model, load_embeddings

__all__ = ["progress_bar", "run_memory_eval", "run_temporal_eval", "run_tools_eval", "write_json", "write_table"]

_MEMORY: Final = ("recall@5", "recall@10", "recall@20", "mrr", "ndcg@10")
_TOOLS: Final = ("recall@1", "recall@5", "recall@10", "recall@20", "mrr", "ndcg@10")
_TEMPORAL: Final = ("exact", "usable", "contains", "iou", "answered", "false_pos")


def run_temporal_eval(data: Path, *, as_json: bool = False) -> None:
    """Score time expressions on the rows of `data`.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: The file holds no rows, or a line that is none.
    """
    rows = read_temporal_rows(data)
    with progress_bar() as bar:
        task = bar.add_task("time expressions", total=len(rows))
        report = evaluate_temporal(rows, on_progress=lambda done: bar.update(task, completed=done))
    if as_json:
        write_json(report)
        return
    groups = {"all": report["overall"], "core": report["core"]}
    write_table("time expressions", groups, report["by_source"], report["by_category"], metrics=_TEMPORAL)
    Console().print(f"{report['overall']['ms_p50']:.2f} ms a text (median)", highlight=False)


def run_memory_eval(
    invocation: Invocation, corpus: Path, queries: Path, *, predictions: Path | None = None, as_json: bool = False
) -> None:
    """Score recall: import the memories of `corpus`, ask the questions of `queries`.

    Args:
        invocation: Says which embedding model is meant.
        corpus: Memories, JSON Lines.
        queries: Questions about them, JSON Lines.
        predictions: Where to write what was found, a JSON object `{"id", "ranked"}` a line.
        as_json: One JSON object on stdout instead of tables.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: A file holds no rows, or a line that is none.
    """
    memories = read_memory_rows(corpus)
    questions = read_memory_questions(queries, memories)
    embeddings = _embeddings(invocation)
    with progress_bar() as bar:
        tasks = {
            "memories": bar.add_task("memories", total=len(memories)),
            "questions": bar.add_task("questions", total=len(questions)),
        }
        report = asyncio.run(
            evaluate_memory(
                memories,
                questions,
                embeddings=embeddings,
                on_progress=lambda step, done: bar.update(tasks[step], completed=done),
            )
        )
    _write_predictions(predictions, report.pop("ranked"))
    if as_json:
        write_json(report)
        return
    every = {"all": report["overall"], "core": report["core"]}
    if report["time_expr"]["n"]:
        every["with a time"] = report["time_expr"]
    rivals = {f"{name}, core": rival["core"] for name, rival in report["baselines"].items()}
    write_table("recall", every, rivals, report["by_source"], report["by_category"], metrics=_MEMORY)
    Console().print(f"{report['overall']['ms_p50']:.2f} ms a question (median)", highlight=False)


def run_tools_eval(
    invocation: Invocation, corpus: Path, queries: Path, *, predictions: Path | None = None, as_json: bool = False
) -> None:
    """Score how tools are chosen: rank the tools of `corpus` for each of `queries`.

    Args:
        invocation: Says which embedding model is meant.
        corpus: Tools, JSON Lines.
        queries: Requests to them, JSON Lines.
        predictions: Where to write what was found on each request's own list, an object `{"id", "ranked"}` a line.
        as_json: One JSON object on stdout instead of a table.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: A file holds no rows, or a line that is none.
    """
    tools = read_tool_rows(corpus)
    requests = read_tool_requests(queries, tools)
    embeddings = _embeddings(invocation)
    with progress_bar() as bar:
        tasks = {
            "tools": bar.add_task("tools", total=len(tools), visible=embeddings is not None),
            "requests": bar.add_task("requests", total=len(requests)),
            "pool": bar.add_task("requests to all", total=len(requests)),
        }
        report = asyncio.run(
            evaluate_tools(
                tools,
                requests,
                embeddings=embeddings,
                on_progress=lambda step, done: bar.update(tasks[step], completed=done),
            )
        )
    _write_predictions(predictions, report.pop("ranked"))
    if as_json:
        write_json(report)
        return
    pool = {f"{name}, of all tools": values for name, values in _headed(report["pool"]).items()}
    rivals = {
        f"{rival}, {name}": values
        for rival, each in report["baselines"].items()
        for name, values in _headed(each).items()
    }
    write_table("tools", _headed(report), pool, rivals, report["by_category"], metrics=_TOOLS)
    Console().print(f"{report['overall']['ms_p50']:.2f} ms a request (median)", highlight=False)


def progress_bar() -> Progress:
    """Return a bar on stderr that is taken away at the end; where that is no terminal, there is none."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def write_json(report: Mapping[str, Any]) -> None:
    """Write `report` to stdout as one JSON object on one line."""
    sys.stdout.write(orjson.dumps(report, option=orjson.OPT_APPEND_NEWLINE).decode())


def write_table(name: str, *blocks: Mapping[str, Mapping[str, float]], metrics: Iterable[str]) -> None:
    """Write blocks of named rows, ruled off from one another; a metric a row does not have stays empty."""
    shown = tuple(metrics)
    table = Table(title=None, pad_edge=False, box=None)
    table.add_column(name, style="bold", overflow="fold")
    for heading in ("n", *shown):
        table.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
    for block in blocks:
        for group, values in block.items():
            cells = [f"{values[metric]:.3f}" if metric in values else "" for metric in shown]
            table.add_row(Text(group), f"{values['n'] or values.get('n_none', 0):.0f}", *cells)
        table.add_section()
        table.add_row()
    Console().print(table)


def _headed(report: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Return the means over all requests, over the sources, and each source's."""
    return {"all": report["overall"], "mean of sources": report["macro"], **report["by_source"]}


def _embeddings(invocation: Invocation) -> Embeddings | None:
    settings = invocation.settings()
    spec = settings.embedding_model or default_embedding_model()
    return None if spec is None else load_embeddings(spec, settings=settings)


def _write_predictions(path: Path | None, ranked: Mapping[str, Iterable[str]]) -> None:
    if path is not None:
        rows = [orjson.dumps({"id": name, "ranked": found}) for name, found in ranked.items()]
        path.write_bytes(b"\n".join(rows) + b"\n")
