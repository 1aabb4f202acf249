"""Rank the tools of a set against the recent turns, by words and by meaning.

No model is asked but the embedder. Words are compared at once; meaning joins as soon as the tools have been embedded,
which happens in the background.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from agentgraph.tools.selection.dense import DenseIndex
from agentgraph.tools.selection.document import ToolDocument, fingerprint
from agentgraph.tools.selection.fusion import best_of_turns, fused, with_sentences
from agentgraph.tools.selection.lexical import LexicalIndex
from agentgraph.tools.selection.sentences import sentences, shortened
from agentgraph.tools.selection.vectors import VectorCache

__all__ = ["RankedTool", "ToolIndex"]

Scores = npt.NDArray[np.float32]

_MOST_TURNS: Final = 3
_IN_THREAD: Final = 200  # documents; more are read in a thread


@dataclass(frozen=True, slots=True)
class RankedTool:
    """A tool and how much it has to do with the recent turns.

    Attributes:
        name: The tool's name.
        score: 0 to 1; comparable between requests.
        lexical: The share of the newest turn's words the tool holds, 0 to 1.
        dense: The cosine of its meaning to the newest turn's, 0 to 1; `None` where words alone ranked.
        position: Which of the documents it is, from 0.
    """

    name: str
    score: float
    lexical: float
    dense: float | None
    position: int


class ToolIndex:
    """A set of tools, ready to be ranked. Immutable; requests may share it. `ToolIndexes` shares those of equal sets.

    Attributes:
        documents: The tools, in the order given.
        fingerprint: SHA-256 of them.
    """

    def __init__(
        self,
        documents: Sequence[ToolDocument],
        *,
        embeddings: Embeddings | None = None,
        cache: VectorCache | None = None,
        key: str | None = None,
    ) -> None:
        """Take `documents`; they are read at the first ranking.

        Args:
            documents: The tools.
            embeddings: The embedder; without one, words alone rank.
            cache: Where the tools' vectors are kept from one start to the next.
            key: Their `fingerprint`, where it is known: thousands take a while to read.
        """
        self.documents = tuple(documents)
        self.fingerprint = fingerprint(self.documents) if key is None else key
        self._lexical: LexicalIndex | None = None
        self._dense = None if embeddings is None else DenseIndex(self.documents, embeddings, cache)

    def __len__(self) -> int:
        return len(self.documents)

    async def rank(self, turns: Sequence[str], *, limit: int) -> list[RankedTool]:
        """Return the tools that have to do with the recent turns, the best first; equals in the documents' order.

        Args:
            turns: The newest user messages, oldest first. The last weighs most, and only the last three count.
            limit: At most so many.
        """
        recent = [shortened(turn) for turn in turns if turn.strip()][: -_MOST_TURNS - 1 : -1]
        if not recent or not self.documents or limit < 1:
            return []
        wishes = sentences(recent[0])
        texts = [*recent, *wishes]
        words = await self._words()
        meaning = None if self._dense is None else await self._dense.scores(texts)
        lexical = [words.scores(text) for text in texts]
        each = [fused(scores, None if meaning is None else meaning[row]) for row, scores in enumerate(lexical)]
        turn_scores, wish_scores = each[: len(recent)], each[len(recent) :]
        best = best_of_turns([with_sentences(turn_scores[0], wish_scores), *turn_scores[1:]])
        return [
            RankedTool(
                name=self.documents[row].name,
                score=min(1.0, float(best[row])),
                lexical=min(1.0, float(lexical[0][row])),
                dense=None if meaning is None else min(1.0, max(0.0, float(meaning[0, row]))),
                position=int(row),
            )
            for row in _highest(best, limit)
        ]

    async def ready(self) -> bool:
        """Wait until meaning counts; `False` where there is no embedder or it fails."""
        await self._words()
        return self._dense is not None and await self._dense.ready()

    async def aclose(self) -> None:
        """Stop what is under way in the background."""
        if self._dense is not None:
            await self._dense.aclose()

    async def _words(self) -> LexicalIndex:
        if self._lexical is None:
            in_thread = len(self) > _IN_THREAD
            self._lexical = (
                await asyncio.to_thread(LexicalIndex, self.documents) if in_thread else LexicalIndex(self.documents)
            )
        return self._lexical


def _highest(scores: Scores, limit: int) -> npt.NDArray[np.intp]:
    """Return the rows of the highest scores above zero, highest first, equals in their order."""
    least = np.float32(0)
    if limit < len(scores):
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
    rows = np.flatnonzero((scores >= least) & (scores > 0))
    return rows[np.argsort(-scores[rows], kind="stable")][:limit]
