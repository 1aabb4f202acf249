"""What managing memories asks of a store beyond LangGraph's `BaseStore`: to read through it, and to leave no trace.

LangGraph's search pages by offset, in an order of its own: going through a million items that way takes hours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from langgraph.store.base import Item

__all__ = ["WalkableStore"]


@runtime_checkable
class WalkableStore(Protocol):
    """A store that keeps its tenants apart on disk and can be read through."""

    async def awalk(
        self, prefix: tuple[str, ...], *, after: int = 0, limit: int = 1_000
    ) -> tuple[list[Item], int | None]:
        """Return a page of the items below `prefix`, in the order they were first written.

        Args:
            prefix: Begins with a tenant.
            after: Where the page before ended; 0 begins.
            limit: How many items.

        Returns:
            The items, and where the page ended: the next page's `after`, or `None` after the last.
        """
        ...

    async def aline_up(
        self, namespaces: Sequence[tuple[str, ...]], *, start: str | None, end: str | None, limit: int
    ) -> list[Item]:
        """Return the items below `namespaces`, of one tenant, by when what they speak of began: the earliest first.

        An item whose `time_start` and `time_end` span no time stands at its `recorded_at`.

        Args:
            namespaces: Prefixes, all of one tenant.
            start: Time key; leaves out what was over by then. `None` for no bound.
            end: Time key; leaves out what began then or later. `None` for no bound.
            limit: How many items.
        """
        ...

    async def tenants(self) -> list[str]:
        """Return every tenant that has anything in the store."""
        ...

    async def reembed(self, tenant: str, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Embed anew whatever has no vector of the store's model; return how many items that were."""
        ...

    async def sweep(self, tenant: str | None = None) -> int:
        """Delete the expired items of `tenant`, or of every one, and return how many there were."""
        ...

    async def scrub(self, tenant: str) -> None:
        """Leave nothing on disk of what was deleted or overwritten in `tenant`'s memory."""
        ...

    async def delete_tenant(self, tenant: str) -> None:
        """Remove everything of `tenant`."""
        ...

    def forget_queries(self) -> None:
        """Drop the texts and vectors of the queries asked so far, which may quote what was forgotten."""
        ...
