"""One index for equal sets of tools, whoever they belong to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from langchain_core.embeddings import Embeddings

from agentgraph.tools.selection.document import ToolDocument, fingerprint
from agentgraph.tools.selection.index import ToolIndex
from agentgraph.tools.selection.vectors import VectorCache

__all__ = ["ToolIndexes"]

_MOST_TOOLS: Final = 100_000


class ToolIndexes:
    """The indexes of one process, by what their tools say. The longest unused is dropped first.

    A dropped index goes on working for who holds it.
    """

    def __init__(
        self,
        *,
        embeddings: Embeddings | None = None,
        cache: VectorCache | None = None,
        max_indexes: int = 256,
        max_tools: int = _MOST_TOOLS,
    ) -> None:
        """Index with `embeddings` and `cache`, as `ToolIndex` does.

        Args:
            embeddings: The embedder; without one, words alone rank.
            cache: Where vectors are kept from one start to the next.
            max_indexes: How many are kept.
            max_tools: How many tools they may hold together; the newest index is kept whatever it holds.
        """
        self._embeddings = embeddings
        self._cache = cache
        self._max_indexes = max_indexes
        self._max_tools = max_tools
        self._indexes: OrderedDict[str, ToolIndex] = OrderedDict()

    def __len__(self) -> int:
        return len(self._indexes)

    def of(self, documents: Sequence[ToolDocument], *, key: str | None = None) -> ToolIndex:
        """Return the index of these tools: the one that is there, if any set was equal.

        Args:
            documents: The tools.
            key: Their `fingerprint`, where it is known: thousands take milliseconds to read.
        """
        key = fingerprint(documents) if key is None else key
        index = self._indexes.get(key)
        if index is None:
            index = ToolIndex(documents, embeddings=self._embeddings, cache=self._cache, key=key)
            self._indexes[key] = index
        self._indexes.move_to_end(key)
        while len(self._indexes) > 1 and self._is_full():
            self._indexes.popitem(last=False)
        return index

    async def aclose(self) -> None:
        """Stop what the indexes do in the background."""
        for index in self._indexes.values():
            await index.aclose()

    def _is_full(self) -> bool:
        return len(self._indexes) > self._max_indexes or sum(map(len, self._indexes.values())) > self._max_tools
