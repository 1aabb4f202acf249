"""Where memories are kept: which leaves are a scope's, and how they are gone through in any store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final, cast

from langgraph.store.base import BaseStore, SearchItem, SearchOp

from agentgraph.errors import InvalidInputError
from agentgraph.memory.stored import Memory, Namespace, leaf_namespace, memory_from
from agentgraph.scope import Scope, history_namespace
from agentgraph.stores.walk import WalkableStore

__all__ = ["Kept", "own_leaves", "places_of", "scope_of", "superseded_by", "tombstone_leaves", "walk_memories"]

_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where an application keeps its memories, and how it reads them.

    Attributes:
        store: Any LangGraph store; a `WalkableStore` can do everything.
        zone: The speaker's, where a call names none.
        top_k: How many memories a search keeps, where a call does not say.
        include_global: Whether searches read `_global` too.
        clock: Tells the present moment.
        temporal_awareness: Whether searches understand words of time.
    """

    store: BaseStore
    zone: str
    top_k: int
    include_global: bool
    clock: Callable[[], datetime]
    temporal_awareness: bool = True


def scope_of(tenant: str, user: str | None, session: str | None) -> Scope:
    """Return the scope that `tenant` (or `tenant:session`), `user` and `session` name."""
    scope = Scope.parse(tenant, user=user)
    if session is None:
        return scope
    if scope.session not in {None, session}:
        raise InvalidInputError(f"tenant {tenant!r} names another session than {session!r}", param="session")
    return Scope(tenant=scope.tenant, user=user, session=session)


def own_leaves(scope: Scope) -> list[Namespace]:
    """Return the leaves whose memories are exactly this scope's: no wider one's."""
    return [scope.write_namespace] if scope.session is not None else [scope.write_namespace, scope.notes_namespace]


def places_of(scope: Scope, *, include_superseded: bool = False) -> list[Namespace]:
    """Return the prefixes below which a scope's memories are listed; a tenant alone is all users and sessions."""
    places = own_leaves(scope)
    if scope.user is None and scope.session is None:
        places = [place[:2] for place in places]
    if include_superseded:
        places += [history_namespace(places[0])]
    return places


def tombstone_leaves(namespace: Namespace) -> set[Namespace]:
    """Return the leaves in which a memory of `namespace` must not be learnt again."""
    leaf = leaf_namespace(namespace[0], ("memory", *namespace[2:]))
    return {leaf} if namespace == history_namespace(leaf) else {leaf, namespace}


async def walk_memories(store: BaseStore, places: Sequence[Namespace]) -> AsyncGenerator[Memory, None]:
    """Yield every memory below `places`; a `WalkableStore` does so in bounded memory and in the order they came."""
    for place in places:
        after: int | None = 0
        while after is not None:
            if isinstance(store, WalkableStore):
                items, after = await store.awalk(place, after=after, limit=_PAGE)
            else:
                items = list(await store.asearch(place, limit=_PAGE, offset=after))
                after = after + _PAGE if len(items) == _PAGE else None
            for item in items:
                yield memory_from(item)


async def superseded_by(store: BaseStore, memories: Iterable[Memory]) -> list[Memory]:
    """Return what `memories` superseded, what that had superseded, and so on, the latest first."""
    found: dict[tuple[Namespace, str], Memory] = {}
    wanted = list(memories)
    while wanted:
        searches = [
            SearchOp(
                memory.namespace if memory.is_superseded else history_namespace(memory.namespace),
                filter={"superseded_by": memory.key},
                limit=_PAGE,
                refresh_ttl=False,
            )
            for memory in wanted
        ]
        pages = cast("list[list[SearchItem]]", await store.abatch(searches))
        older = {(item.namespace, item.key): memory_from(item) for item in chain.from_iterable(pages)}
        wanted = [memory for place, memory in older.items() if place not in found]
        found |= older
    return sorted(found.values(), key=lambda memory: str(memory.value.get("valid_until")), reverse=True)
