"""`app.memories`: list, search, write, correct and remove memories by hand.

Two words keep apart what scopes mean. Whoever *lists* narrows: a tenant alone is everything of the tenant, a user or a
session is theirs alone. Whoever *searches* recalls: what a run of that scope would, so a user's search reads the
tenant's shared memories too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final, ParamSpec, TypeVar, cast

from langgraph.store.base import GetOp, Item, PutOp, SearchItem, SearchOp

from agentgraph._sync import iterate_on, on_its_loop
from agentgraph.errors import ConfigurationError, InvalidInputError, NotFoundError
from agentgraph.memory.kept import Kept, own_leaves, places_of, scope_of, superseded_by, tombstone_leaves, walk_memories
from agentgraph.memory.recall import Recall, recall
from agentgraph.memory.record import Kind, time_key
from agentgraph.memory.stored import Memory, Namespace, memory_from, new_value
from agentgraph.memory.timeline import TimelineEntry, line_up
from agentgraph.memory.tombstones import digest_of, lift
from agentgraph.memory.transfer import ImportReport, import_rows
from agentgraph.memory.write import key_of
from agentgraph.scope import Scope, history_namespace
from agentgraph.stores.walk import WalkableStore

__all__ = ["Memories"]

P = ParamSpec("P")
T = TypeVar("T")
_MOST_LISTED: Final = 10_000
_OF_ITS_TIME: Final = {"mention", "granularity", "time_text", "other_times", "first_recorded_at"}
Listed = list[Memory]  # within the class, `list` is a method
Timeline = list[TimelineEntry]


class Memories:
    """The memories of an application, every tenant's; see `AgentGraph.memories`.

    Every call names a tenant (`tenant` or `tenant:session`) and, where they are somebody's, the `user` or `session`.

    Raises:
        InvalidInputError: A scope, text, time or zone that is none.
        NotFoundError: The scope has no memory of that key.
        ConfigurationError: Memory is switched off, or the store cannot do what is asked.
    """

    def __init__(self, ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]], kept: Callable[[], Kept]) -> None:
        self._ready = ready
        self._kept = kept

    # Reading

    @on_its_loop
    async def list(
        self,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        kind: Kind | None = None,
        limit: int = 100,
        offset: int = 0,
        include_superseded: bool = False,
    ) -> Listed:
        """Return the memories of a tenant, a user or a session, the most recently written first.

        Args:
            tenant: Whose; alone, with all users and sessions.
            user: Only this person's.
            session: Only this session's.
            kind: Only `episode`, `fact` or `note`.
            limit: At most so many, up to 10,000; `export` goes through all.
            offset: So many are skipped.
            include_superseded: Whether what was corrected is listed too.
        """
        if not (0 <= limit <= _MOST_LISTED and offset >= 0):
            raise InvalidInputError(f"limit {limit} is 0 to {_MOST_LISTED}, offset {offset} 0 or more", param="limit")
        condition = None if kind is None else {"kind": kind}
        places = places_of(scope_of(tenant, user, session), include_superseded=include_superseded)
        searches = [SearchOp(place, filter=condition, limit=limit + offset, refresh_ttl=False) for place in places]
        found = cast("list[list[SearchItem]]", await self._kept().store.abatch(searches))
        newest = sorted(chain.from_iterable(found), key=lambda item: item.updated_at, reverse=True)
        return self._living(newest)[offset : offset + limit]

    @on_its_loop
    async def search(
        self,
        query: str,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        now: datetime | None = None,
        timezone: str | None = None,
        top_k: int | None = None,
        as_of: datetime | None = None,
    ) -> Recall:
        """Recall what a run of this scope would for `query`, with a receipt for everything found and left out.

        Args:
            query: A question, or anything a user might say.
            tenant: Whose memory.
            user: Reads this person's memories besides the tenant's.
            session: Reads this session's besides.
            now: The moment "last week" is said at; by default the clock's.
            timezone: IANA name of the zone it is said in.
            top_k: How many to keep.
            as_of: Read what was known at that moment: what was corrected since counts, what was learned since does not.
        """
        kept, scope = self._kept(), scope_of(tenant, user, session)
        return await recall(
            kept.store,
            scope.read_namespaces(include_global=kept.include_global)
            + scope.read_notes_namespaces(include_global=kept.include_global),
            query,
            now=now or kept.clock(),
            zone=timezone or kept.zone,
            top_k=kept.top_k if top_k is None else top_k,
            as_of=as_of,
            temporal_awareness=kept.temporal_awareness,
        )

    @on_its_loop
    async def get(self, key: str, *, tenant: str, user: str | None = None, session: str | None = None) -> Memory:
        """Return the memory or note of this key that belongs to exactly this scope."""
        return await self._find(key, scope_of(tenant, user, session))

    @on_its_loop
    async def history(self, key: str, *, tenant: str, user: str | None = None, session: str | None = None) -> Listed:
        """Return what a memory superseded, and what that had superseded, the latest first."""
        return await superseded_by(self._kept().store, [await self._find(key, scope_of(tenant, user, session))])

    @on_its_loop
    async def timeline(
        self,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
    ) -> Timeline:
        """Return memories in the order of what they speak of, the earliest first.

        A memory that speaks of a time stands at its beginning, and counts where that time overlaps `[start, end)`; any
        other stands where it was recorded.
        """
        kept, places = self._kept(), places_of(scope_of(tenant, user, session))
        return await line_up(kept.store, places, start=start, end=end, limit=limit, now=kept.clock())

    # Writing

    @on_its_loop
    async def add(
        self,
        text: str,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        kind: Kind = "episode",
        said_at: datetime | None = None,
        timezone: str | None = None,
        speaker: str = "user",
        ttl_minutes: float | None = None,
        source: Mapping[str, str | None] | None = None,
    ) -> Memory:
        """Add a memory as if it had been said, and return it; adding the same again changes nothing.

        Args:
            text: The memory; the times it speaks of are understood as said at `said_at`.
            tenant: Whose memory; alone, everybody's in the tenant.
            user: The person's own.
            session: The session's own.
            kind: What sort of memory it is.
            said_at: When it was said, aware; by default now.
            timezone: IANA name of the speaker's zone.
            speaker: Who said it.
            ttl_minutes: How long it lives; `None` for ever.
            source: Where it comes from: `{"thread", "message_id", "import"}`, each where there is one.
        """
        kept, leaf = self._kept(), scope_of(tenant, user, session).write_namespace
        value = new_value(
            text,
            kind=kind,
            speaker=speaker,
            said_at=said_at or kept.clock(),
            zone=timezone or kept.zone,
            source=source or {},
        )
        return await self._write(leaf, key_of(leaf, value), value, expires_at=self._in(ttl_minutes))

    @on_its_loop
    async def put(
        self,
        key: str,
        text: str,
        *,
        tenant: str,
        user: str | None = None,
        said_at: datetime | None = None,
        timezone: str | None = None,
        ttl_minutes: float | None = None,
    ) -> Memory:
        """Set the note `key` of a tenant or a user, and return it. What it said before is overwritten.

        Notes need no vectors; with an embedding model they are found by meaning too.

        Args:
            key: The note's name.
            text: What it says; the times it speaks of are understood as said at `said_at`.
            tenant: Whose note; alone, everybody's in the tenant. A session has none.
            user: The person's own.
            said_at: When it was said, aware; by default now.
            timezone: IANA name of the speaker's zone.
            ttl_minutes: How long it lives; `None` for ever.
        """
        kept, scope = self._kept(), scope_of(tenant, user, None)
        if scope.session is not None:
            raise InvalidInputError("notes belong to a tenant or a user; add a memory to a session", param="session")
        value = new_value(
            text,
            kind="note",
            speaker="user",
            said_at=said_at or kept.clock(),
            zone=timezone or kept.zone,
            source={},
        )
        return await self._write(scope.notes_namespace, key, value, expires_at=self._in(ttl_minutes))

    @on_its_loop
    async def update(
        self,
        key: str,
        text: str,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        said_at: datetime | None = None,
        timezone: str | None = None,
    ) -> Memory:
        """Correct a memory: its new text holds from now on, and what it said is kept as superseded.

        Args:
            key: The memory, which keeps its key.
            text: What it says from now on; the times it speaks of are understood as said at `said_at`.
            tenant: Whose it is.
            user: The person whose it is.
            session: The session whose it is.
            said_at: When the correction was said, aware; by default now.
            timezone: IANA name of the speaker's zone; by default the memory's.
        """
        kept = self._kept()
        known = await self._find(key, scope_of(tenant, user, session))
        said_at = said_at or kept.clock()
        new = new_value(
            text,
            kind=cast("Kind", known.kind),
            speaker=known.speaker,
            said_at=said_at,
            zone=timezone or known.zone,
            source=known.source,
        )
        value = {name: part for name, part in known.value.items() if name not in _OF_ITS_TIME} | new
        before = {**known.value, "valid_until": time_key(said_at), "superseded_by": key}
        # Every version needs a key of its own; this memory's latest will be superseded again.
        version = f"{key}~{known.value['recorded_at']}"
        await kept.store.abatch([self._put(history_namespace(known.namespace), version, before, known.expires_at)])
        return await self._write(known.namespace, key, value, expires_at=known.expires_at)

    @on_its_loop
    async def expire(
        self,
        key: str,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        ttl_minutes: float | None = None,
        at: datetime | None = None,
    ) -> Memory:
        """Give a memory an end, in minutes or at a moment; neither of them lets it live for ever."""
        if ttl_minutes is not None and at is not None:
            raise InvalidInputError("give either ttl_minutes or at, not both", param="at")
        known = await self._find(key, scope_of(tenant, user, session))
        ends = self._in(ttl_minutes) if at is None else at
        return await self._write(known.namespace, key, known.value, expires_at=ends)

    @on_its_loop
    async def delete(self, key: str, *, tenant: str, user: str | None = None, session: str | None = None) -> None:
        """Delete a memory and what it superseded. It can be learned again: `AgentGraph.forget` is for good."""
        known = await self._find(key, scope_of(tenant, user, session))
        gone = [known, *await superseded_by(self._kept().store, [known])]
        await self._kept().store.abatch([PutOp(memory.namespace, memory.key, None) for memory in gone])

    # In bulk

    async def export(
        self, *, tenant: str, user: str | None = None, session: str | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield every memory of a tenant, a user or a session as a JSON object, superseded ones too.

        `import_rows` reads them back, in any tenant.
        """
        scope = scope_of(tenant, user, session)
        loop = await self._ready()
        memories = iterate_on(
            loop, lambda: walk_memories(self._kept().store, places_of(scope, include_superseded=True))
        )
        async with aclosing(memories):
            async for memory in memories:
                if not memory.has_ended(self._kept().clock()):
                    yield memory.as_record()

    @on_its_loop
    async def import_rows(
        self,
        rows: Iterable[Mapping[str, Any] | str | bytes],
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        timezone: str | None = None,
        name: str | None = None,
        is_strict: bool = False,
        progress: Callable[[ImportReport], None] | None = None,
    ) -> ImportReport:
        """Add a memory for every row, in batches of bounded size; importing the same rows again adds nothing.

        Args:
            rows: JSON objects, or lines of JSON; see `transfer.py` for what a row may hold. Read in a thread.
            tenant: Whose memories they become.
            user: The person's, where a row does not say.
            session: The session's, where a row does not say.
            timezone: Zone of rows that name none.
            name: Noted as every memory's source, so that `forget(source=…)` finds them.
            is_strict: Stop at the first row that cannot be read; what came before is kept.
            progress: Told how far it has come after every batch.

        Returns:
            What was added and what was not, with the rows that could not be read.
        """
        kept = self._kept()
        return await import_rows(
            kept.store,
            rows,
            scope=scope_of(tenant, user, session),
            zone=timezone or kept.zone,
            now=kept.clock(),
            name=name,
            is_strict=is_strict,
            progress=progress,
        )

    @on_its_loop
    async def reembed(
        self, *, tenant: str | None = None, progress: Callable[[str, int, int], None] | None = None
    ) -> dict[str, int]:
        """Embed anew what another embedding model embedded, or none; say for each tenant how many memories that were.

        May be interrupted and repeated. Searches find what is not done yet by its words.

        Args:
            tenant: Whose memories; `None` for every tenant's.
            progress: Told the tenant, how many are done, and of how many.
        """
        store = self._kept().store
        if not isinstance(store, WalkableStore):
            raise ConfigurationError(f"a {type(store).__name__} embeds as it will; use the store of storage_dir")
        done: dict[str, int] = {}
        for each in [Scope(tenant=tenant).tenant] if tenant is not None else await store.tenants():
            told = None if progress is None else partial(progress, each)
            done[each] = await store.reembed(each, progress=told)
        return done

    # Below here everything runs on the loop that owns the store.

    async def _find(self, key: str, scope: Scope) -> Memory:
        leaves = own_leaves(scope)
        gets = [GetOp(leaf, key, refresh_ttl=False) for leaf in leaves]
        items = cast("list[Item | None]", await self._kept().store.abatch(gets))
        found = self._living(item for item in items if item is not None)
        if not found:
            whose = "/".join(part for part in (scope.tenant, scope.user, scope.session) if part is not None)
            raise NotFoundError(f"{whose} has no memory {key!r}", code="memory_not_found")
        return found[0]

    async def _write(
        self, leaf: Namespace, key: str, value: Mapping[str, Any], *, expires_at: datetime | None
    ) -> Memory:
        store = self._kept().store
        for place in tombstone_leaves(leaf):
            await lift(store, place, [digest_of(str(value["text"]), place)])
        await store.abatch([self._put(leaf, key, value, expires_at)])
        (item,) = cast("list[Item | None]", await store.abatch([GetOp(leaf, key, refresh_ttl=False)]))
        if item is None:
            raise NotFoundError(f"the memory {key!r} is gone already", code="memory_not_found")
        return memory_from(item)

    def _put(self, leaf: Namespace, key: str, value: Mapping[str, Any], expires_at: datetime | None) -> PutOp:
        store = self._kept().store
        stored = {name: part for name, part in value.items() if name != "expires_at"}
        if expires_at is None:
            return PutOp(leaf, key, stored, index=["text"])
        if not store.supports_ttl:
            raise ConfigurationError(f"a {type(store).__name__} keeps no time to live; use the store of storage_dir")
        minutes = (expires_at - self._kept().clock()).total_seconds() / 60
        stored["expires_at"] = time_key(expires_at)
        return PutOp(leaf, key, stored, index=["text"], ttl=max(0.0, minutes))

    def _in(self, minutes: float | None) -> datetime | None:
        if minutes is None:
            return None
        if not 0 < minutes < 10**9:
            raise InvalidInputError(f"ttl_minutes {minutes!r} is no number of minutes", param="ttl_minutes")
        return self._kept().clock() + timedelta(minutes=minutes)

    def _living(self, items: Iterable[Item]) -> Listed:
        now = self._kept().clock()
        return [memory for memory in map(memory_from, items) if not memory.has_ended(now)]
