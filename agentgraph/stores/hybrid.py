"""What recall asks of a store beyond LangGraph's `BaseStore`: one hybrid ranking over several namespaces.

How the two rankings are made and fused is each store's own business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from langgraph.store.base import Item

__all__ = ["HybridSearch", "RankedItem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedItem:
    """An item that was found, with what each ranking said of it.

    Attributes:
        item: The item itself.
        dense: Cosine similarity to the query, -1 to 1; `None` where the item or the query has no vector.
        lexical: BM25 score, above 0 and unbounded; `None` where no word of the query occurs.
        context: What the items around it in its conversation added to `fused`.
        fused: Everything together, 0 to 1, higher is better; comparable between queries.
    """

    item: Item
    dense: float | None
    lexical: float | None
    context: float
    fused: float


@runtime_checkable
class HybridSearch(Protocol):
    """A store that ranks by meaning and by words at once."""

    async def arank(
        self,
        namespaces: Sequence[tuple[str, ...]],
        query: str,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  the name `BaseStore.asearch` uses
        limit: int = 50,
        query_vector: Sequence[float] | None = None,
    ) -> list[RankedItem]:
        """Rank the items of exactly `namespaces` (no sub-namespaces; several tenants if named) for `query`.

        Args:
            namespaces: Leaves to search, all of them together.
            query: Free text; nothing in it is syntax.
            filter: LangGraph's filter: `$eq $ne $gt $gte $lt $lte`. Applied before ranking, so it costs no answer.
            limit: How many to return, the best first.
            query_vector: The query's embedding, where the caller has it; otherwise the store embeds `query`.
        """
        ...

    async def arank_each(
        self,
        namespaces: Sequence[tuple[str, ...]],
        query: str,
        searches: Sequence[tuple[Mapping[str, Any] | None, int]],
        *,
        query_vector: Sequence[float] | None = None,
    ) -> list[list[RankedItem]]:
        """Rank once for each filter and limit of `searches`, at little more than the price of one."""
        ...

    def prepare(self, namespaces: Sequence[tuple[str, ...]], query: str) -> None:
        """Begin what a ranking of `query` will have to wait for; a hint that may do nothing, and never fails."""
