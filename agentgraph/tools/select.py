"""Rank tools by what a conversation is about, with words and, where there is an embedder, with meaning.

No model is called. Words are weighed by BM25, so a name or argument that few tools share counts for more.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.tools import BaseTool

from agentgraph.tools.promises import Promises, promises_of
from agentgraph.tools.schema import shown_arguments

__all__ = ["ToolIndex"]

_K1: Final = 1.2
_B: Final = 0.75  # BM25's usual constants; Source: Robertson & Zaragoza, The Probabilistic Relevance Framework, 2009
_WORD: Final = re.compile(r"[a-z]+|\d+|[^\W\d_a-zA-Z]+", re.IGNORECASE)
_STOP: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "could",
        "do",
        "does",
        "for",
        "from",
        "get",
        "give",
        "have",
        "how",
        "i",
        "in",
        "is",
        "it",
        "its",
        "me",
        "my",
        "of",
        "on",
        "or",
        "should",
        "tell",
        "that",
        "the",
        "their",
        "them",
        "they",
        "this",
        "to",
        "use",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


class ToolIndex:
    """The server tools of one agent, ready to be ranked. Built once; they are embedded at the first ranking."""

    def __init__(self, tools: Sequence[BaseTool], *, embeddings: Embeddings | None = None) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._promises = {tool.name: promises_of(tool) for tool in tools}
        self._texts = [_describe(tool) for tool in tools]
        self._bags = [Counter(_words(text)) for text in self._texts]
        lengths = [sum(bag.values()) for bag in self._bags]
        self._mean_length = (sum(lengths) / len(lengths)) if lengths else 1.0
        self._lengths = lengths
        appears = Counter(word for bag in self._bags for word in bag)
        count = len(self._bags)
        self._weights = {word: math.log(1 + (count - n + 0.5) / (n + 0.5)) for word, n in appears.items()}
        self._embeddings = embeddings
        self._vectors: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self._tools)

    @property
    def names(self) -> tuple[str, ...]:
        """Every tool's name, in the order they were given."""
        return tuple(self._tools)

    def get(self, name: str) -> BaseTool | None:
        """Return the tool called `name`."""
        return self._tools.get(name)

    def promises(self, name: str) -> Promises:
        """Return what the tool called `name` promises of itself; a tool there is not promises nothing."""
        return self._promises.get(name) or Promises()

    async def rank(self, question: str) -> list[tuple[str, float]]:
        """Return the tools that have to do with `question`, the best first, with scores from 0 to 1."""
        lexical = self._lexical(question)
        dense = await self._dense(question)
        best = max(lexical, default=0.0) or 1.0
        scores = [
            0.5 * words / best + 0.5 * meaning if dense is not None else words / best
            for words, meaning in zip(lexical, dense if dense is not None else lexical, strict=True)
        ]
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        names = self.names
        return [(names[i], scores[i]) for i in order if scores[i] > 0]

    def _lexical(self, question: str) -> list[float]:
        words = set(_words(question))
        return [
            sum(
                self._weights[word]
                * bag[word]
                * (_K1 + 1)
                / (bag[word] + _K1 * (1 - _B + _B * length / self._mean_length))
                for word in words
                if word in bag
            )
            for bag, length in zip(self._bags, self._lengths, strict=True)
        ]

    async def _dense(self, question: str) -> list[float] | None:
        if self._embeddings is None:
            return None
        if self._vectors is None:
            self._vectors = _unit(np.asarray(await self._embeddings.aembed_documents(self._texts), np.float32))
        query = _unit(np.asarray([await self._embeddings.aembed_query(question)], np.float32))[0]
        similarities = (
            await asyncio.to_thread(np.dot, self._vectors, query) if len(self) > 2_000 else self._vectors @ query
        )
        return [max(0.0, float(similarity)) for similarity in similarities]


def _describe(tool: BaseTool) -> str:
    arguments = shown_arguments(tool)
    parts = [tool.name.replace("_", " "), tool.description]
    parts += [f"{name.replace('_', ' ')} {schema.get('description', '')}" for name, schema in arguments.items()]
    return ". ".join(part.strip() for part in parts if part.strip())


def _words(text: str) -> list[str]:
    return [word.rstrip("s") or word for word in (m.group().lower() for m in _WORD.finditer(text)) if word not in _STOP]


def _unit(matrix: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(norms, 1e-12), np.float32)
