"""How well memory is found: the product's own import and recall on conversations and questions about them.

A memory is a JSON object a line: `id`, `conv`, `text`, `ts` (when it was said), `speaker`, `session` and `caption`. A
question is `id`, `conv`, `query`, `now`, `gold` (the ids of the memories that answer it), `source`, `category` and
`time_expr`. Each conversation is a tenant of its own. Naive times are read in UTC; what was said after the day a
question is asked on is not known to it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field

from agentgraph.errors import InvalidInputError
from agentgraph.evals.baselines import Bm25, Cosine
from agentgraph.evals.embeddings import RememberingEmbeddings
from agentgraph.evals.metrics import Metrics, by_group, mean_metrics, ranking_metrics
from agentgraph.evals.rows import aware, read_rows
from agentgraph.memory.recall import recall
from agentgraph.memory.transfer import import_rows
from agentgraph.scope import Scope
from agentgraph.stores.faiss import FaissStore

__all__ = ["MemoryQuestion", "MemoryRow", "Step", "evaluate_memory", "read_memory_questions", "read_memory_rows"]

_CUTOFFS: Final = (5, 10, 20)
_ADVERSARIAL: Final = "adversarial"
"""Questions whose premise is false; what they mean is in the corpus all the same. Kept out of `core`."""

Step = Literal["memories", "questions"]


class MemoryRow(BaseModel):
    """A memory of a conversation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    conv: str = "default"
    text: str
    ts: datetime
    speaker: str = "user"
    session: str | int | None = None
    caption: str | None = None

    @property
    def words(self) -> str:
        """All that it says, a picture's caption included."""
        return f"{self.text}\n[{self.caption}]" if self.caption else self.text


class MemoryQuestion(BaseModel):
    """A question, and which memories answer it: all of `gold`, where each of `gold_any` counts as the first of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    conv: str = "default"
    query: str
    now: datetime
    gold: tuple[str, ...] = Field(min_length=1)
    gold_any: tuple[str, ...] = ()
    source: str = "unknown"
    category: str = "all"
    time_expr: bool = False


def read_memory_rows(path: Path) -> list[MemoryRow]:
    """Read the memories of a JSON Lines file; see `read_rows` for what may be wrong with it."""
    return read_rows(path, MemoryRow, what="memories")


def read_memory_questions(path: Path, corpus: Iterable[MemoryRow]) -> list[MemoryQuestion]:
    """Read questions about `corpus`.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: A line is no question, or none of its answers is in the corpus.
    """
    questions = read_rows(path, MemoryQuestion, what="questions")
    known = {(row.conv, row.id) for row in corpus}
    for question in questions:
        if not any((question.conv, gold) in known for gold in question.gold):
            raise InvalidInputError(
                f"{path}: question {question.id!r}: none of its answers is among the memories of {question.conv!r}",
                code="no_such_answer",
            )
    return questions


async def evaluate_memory(
    corpus: Sequence[MemoryRow],
    questions: Sequence[MemoryQuestion],
    *,
    embeddings: Embeddings | None,
    on_progress: Callable[[Step, int], None] | None = None,
    seconds: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Import `corpus` into a store of its own, ask every question, and score what is recalled.

    Args:
        corpus: Memories, at least one.
        questions: At least one.
        embeddings: The embedder; without one, memories are found by their words alone.
        on_progress: Told how many memories, then how many questions are done.
        seconds: A running clock, by which each question is timed.

    Returns:
        `overall`: means over all questions, their number `n`, and `ms_p50`, the median time of a question, its
        embedding included. `core`: means over those that are not adversarial, and `by_source` of them. `time_expr`:
        over those of core that name a time. `by_source`, `by_category` (`source/category`). `baselines`: `bm25` and
        `dense`, each with `overall`, `core` and `by_source`. `ranked`: for each question's id the ids found.
    """
    told = on_progress or (lambda _step, _done: None)
    embedder = None if embeddings is None else RememberingEmbeddings(embeddings)
    with TemporaryDirectory(prefix="agentgraph-eval-") as directory:
        async with FaissStore(Path(directory), embeddings=embedder, sync="normal") as store:
            tenants = await _import(store, corpus, lambda done: told("memories", done))
            ranked, took = await _ask(store, tenants, questions, lambda done: told("questions", done), seconds)
    report = _report(questions, _scored(questions, ranked))
    report["overall"]["ms_p50"] = 1000 * statistics.median(took)
    report["baselines"] = await asyncio.to_thread(_baselines, corpus, questions, embedder)
    report["ranked"] = {question.id: found for question, found in zip(questions, ranked, strict=True)}
    return report


async def _import(store: FaissStore, corpus: Sequence[MemoryRow], on_progress: Callable[[int], None]) -> dict[str, str]:
    """Import each conversation into a tenant of its own; return their names."""
    conversations: dict[str, list[MemoryRow]] = {}
    for row in corpus:
        conversations.setdefault(row.conv, []).append(row)
    tenants = {name: f"conversation-{number}" for number, name in enumerate(conversations)}
    done = 0
    for name, rows in conversations.items():
        report = await import_rows(
            store,
            [_importable(row) for row in rows],
            scope=Scope(tenant=tenants[name]),
            zone="UTC",
            now=max(aware(row.ts) for row in rows),
            progress=lambda report: on_progress(done + report.rows),  # noqa: B023  called while it is awaited
        )
        if report.faults:
            raise InvalidInputError(f"{name}: memory {report.faults[0].line}: {report.faults[0].message}")
        done += len(rows)
    return tenants


def _importable(row: MemoryRow) -> dict[str, Any]:
    fields = {"id": row.id, "text": row.text, "ts": row.ts.isoformat(), "speaker": row.speaker, "caption": row.caption}
    return fields | {"thread": None if row.session is None else str(row.session)}


async def _ask(
    store: FaissStore,
    tenants: Mapping[str, str],
    questions: Sequence[MemoryQuestion],
    on_progress: Callable[[int], None],
    seconds: Callable[[], float],
) -> tuple[list[list[str]], list[float]]:
    ranked: list[list[str]] = []
    took: list[float] = []
    for done, question in enumerate(questions, start=1):
        now = aware(question.now)
        begun = seconds()
        recalled = await recall(
            store,
            Scope(tenant=tenants[question.conv]).read_namespaces(),
            question.query,
            now=now,
            zone="UTC",
            top_k=max(_CUTOFFS),
            as_of=_end_of_day(now),
        )
        took.append(seconds() - begun)
        # What says the same as a memory that was kept is found with it.
        found = [key for memory in recalled.kept for key in (memory["key"], *memory["same"])]
        ranked.append(found[: max(_CUTOFFS)])
        on_progress(done)
    return ranked, took


def _baselines(
    corpus: Sequence[MemoryRow], questions: Sequence[MemoryQuestion], embedder: RememberingEmbeddings | None
) -> dict[str, Any]:
    conversations: dict[str, dict[str, str]] = {}
    for row in corpus:
        conversations.setdefault(row.conv, {})[row.id] = row.words
    most = max(_CUTOFFS)
    lexical = {name: Bm25(texts) for name, texts in conversations.items()}
    rankings = {"bm25": [lexical[question.conv].ranked(question.query, limit=most) for question in questions]}
    if embedder is not None:
        dense = {
            name: Cosine(list(texts), np.stack([embedder.known(text) for text in texts.values()]))
            for name, texts in conversations.items()
        }
        rankings["dense"] = [
            dense[question.conv].ranked(embedder.known(question.query), limit=most) for question in questions
        ]
    reports = {}
    for name, ranked in rankings.items():
        report = _report(questions, _scored(questions, ranked))
        reports[name] = {part: report[part] for part in ("overall", "core", "time_expr", "by_source")}
    return reports


def _scored(questions: Sequence[MemoryQuestion], ranked: Sequence[Sequence[str]]) -> list[Metrics]:
    scored: list[Metrics] = []
    for question, found in zip(questions, ranked, strict=True):
        answers = [question.gold[0] if key in question.gold_any else key for key in found]
        scored.append(ranking_metrics(answers, question.gold, cutoffs=_CUTOFFS))
    return scored


def _report(questions: Sequence[MemoryQuestion], scored: Sequence[Metrics]) -> dict[str, Any]:
    pairs = list(zip(questions, scored, strict=True))
    core = [(question, metrics) for question, metrics in pairs if question.category != _ADVERSARIAL]
    timed = [metrics for question, metrics in core if question.time_expr]
    return {
        "overall": {"n": len(scored), **mean_metrics(scored)},
        "core": {
            "n": len(core),
            **mean_metrics([metrics for _, metrics in core]),
            "by_source": by_group([metrics for _, metrics in core], [question.source for question, _ in core]),
        },
        "time_expr": {"n": len(timed), **mean_metrics(timed)},
        "by_source": by_group(scored, [question.source for question in questions]),
        "by_category": by_group(scored, [f"{question.source}/{question.category}" for question in questions]),
    }


def _end_of_day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
