"""Forget: remove memories and every trace of them, so that neither a search nor a look at the raw files finds them.

What is forgotten goes from the leaves of memories, of notes and of what was superseded, with its vectors and words;
from what is owed to memory; from what checkpoints recalled; from caches and ledgers. Deleted pages are overwritten and
journals emptied. Digests without words stay behind (`tombstones.py`) and keep it from being learnt again.

A conversation is another thing than a memory: what was said stays in its thread unless threads are forgotten too, and
the receipt names those that still hold it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from agentgraph.errors import NotFoundError, StoreUnavailableError
from agentgraph.memory.forget_receipt import ForgetReceipt, Toll
from agentgraph.memory.forget_target import ForgetTarget
from agentgraph.memory.kept import own_leaves, places_of, superseded_by, tombstone_leaves, walk_memories
from agentgraph.memory.stored import Memory, Namespace, memory_from
from agentgraph.memory.tombstones import entomb, is_tombstone
from agentgraph.models.embeddings import CachedEmbeddings
from agentgraph.scope import GLOBAL_TENANT, ledger_namespace
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.walk import WalkableStore

__all__ = ["Forgetter", "Runs", "Writes"]

_BATCH: Final = 1_000
_MOST_ROUNDS: Final = 5
_HOLDS_MEMORIES: Final = {"recalled", "candidates"}  # channels of the graph's state
_SHORTEST_TEXT: Final = 12  # characters; anything shorter is found in conversations that have nothing to do with it
_MOST_TEXTS: Final = 200
_SCRUB_PAUSES_S: Final = (0.05, 0.2, 1.0)


class Runs(Protocol):
    """The runs under way, which may bring back what they had read before it was forgotten."""

    async def finished_of(self, tenant: str, *, timeout_s: float) -> int:
        """Wait until the runs of `tenant` that are under way now have ended; return how many have not, in time."""
        ...

    async def cancel(self, tenant: str, run_id: str) -> None:
        """Ask for a run to be ended, in whichever process it is."""
        ...

    def alone_on(self, thread_key: str, *, timeout_s: float) -> AbstractAsyncContextManager[None]:
        """Hold a thread, so that no run is on it."""
        ...


class Writes(Protocol):
    """Memory being written in the background."""

    async def caught_up(self, namespaces: Sequence[Namespace], *, timeout_s: float) -> bool:
        """Wait until what was said before is in `namespaces`."""
        ...


class Records(Protocol):
    """What the deployment's database holds of tenants."""

    async def of_tenant(self, tenant: str, *, is_dry_run: bool) -> Mapping[str, int]:
        """Remove a tenant's records, or only count them; return how many there were of each kind."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetter:
    """Everything that holds memories or traces of them, opened; used on the loop that owns it.

    Attributes:
        store: Where memories live; only a `WalkableStore` can be scrubbed.
        checkpointer: Where threads live; only `TenantCheckpoints` can be searched.
        runs: The runs under way.
        worker: What writes memory in the background; `None` where runs do so themselves.
        queries: The cache of what was asked, if there is one.
        records: The deployment's database, if there is one.
    """

    store: BaseStore
    checkpointer: BaseCheckpointSaver[Any]
    runs: Runs
    worker: Writes | None
    queries: CachedEmbeddings | None
    records: Records | None = None

    async def forget(
        self, target: ForgetTarget, *, include_threads: bool = False, is_dry_run: bool = False, timeout_s: float = 30.0
    ) -> ForgetReceipt:
        """Forget `target`; see `AgentGraph.forget`."""
        work = _Forgetting(self, target, include_threads=include_threads, is_dry_run=is_dry_run, timeout_s=timeout_s)
        return await work.done()

    async def remove(self, target: ForgetTarget) -> None:
        """Remove `target` from recall at once, as a run under way may ask; `forget` sees to its traces."""
        work = _Forgetting(self, target, include_threads=False, is_dry_run=False, timeout_s=0)
        await work.until_gone()

    @property
    def threads(self) -> TenantCheckpoints | None:
        """The checkpointer, if it can be searched."""
        return self.checkpointer if isinstance(self.checkpointer, TenantCheckpoints) else None


@dataclass(slots=True)
class _Forgetting:
    """One forgetting under way, and what is known of its target by now: places, words, messages, conversations."""

    parts: Forgetter
    target: ForgetTarget
    include_threads: bool
    is_dry_run: bool
    timeout_s: float
    toll: Toll = field(default_factory=Toll)
    places: set[tuple[Namespace, str]] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    message_ids: set[str] = field(default_factory=set)
    owed_ids: dict[Namespace, set[str]] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    tombstones: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)

    async def done(self) -> ForgetReceipt:
        unfinished, tenant = 0, self.target.scope.tenant
        # A tenant's files go as a whole: until then its memories are only counted.
        counted_only = self.is_dry_run or self.target.is_whole_tenant
        await self._remove_memories(counted_only=counted_only)
        if not self.is_dry_run:
            await self._stop_runs()
            # Runs and writes that had read what is gone may bring it back until they end; later ones cannot.
            unfinished = await self.parts.runs.finished_of(tenant, timeout_s=self.timeout_s)
            if self.parts.worker is not None:
                leaves = {*own_leaves(self.target.scope), *(leaf for leaf, _ in self.places)}
                await self.parts.worker.caught_up(sorted(leaves), timeout_s=self.timeout_s)
        if not counted_only:
            await self.until_gone()
        kept = await (self._remove_tenant() if self.target.is_whole_tenant else self._remove_from_threads())
        if not self.is_dry_run:
            await self.until_gone()
            await self._scrub()
        return ForgetReceipt(
            target=self.target.as_record(),
            is_dry_run=self.is_dry_run,
            at=datetime.now(UTC).isoformat(),
            removed=self.toll.removed(),
            tombstones=len(self.tombstones),
            kept_threads=tuple(sorted(kept)),
            unfinished_runs=unfinished,
            remarks=tuple(self.remarks),
        )

    # Memories, and what is to become one

    async def until_gone(self) -> None:
        for _ in range(_MOST_ROUNDS):
            if not await self._remove_memories():
                return

    async def _remove_memories(self, *, counted_only: bool = False) -> bool:
        """Remove what there is of the target in the store and the outbox; say whether there was anything."""
        gone = await self._found()
        self._note(gone)
        owed = await self._owed(is_dry_run=True)
        if not counted_only:
            # First the tombstones: whoever writes memory meanwhile meets them.
            await self._entomb(gone, owed)
            await self._delete(gone)
        if not self.is_dry_run:
            owed = await self._owed(is_dry_run=False)
        for memory in gone:
            self.toll.add("/".join(memory.namespace[1:]), memory.kind, [memory.key])
        self.toll.add("outbox", "message", [item["message_id"] for item in owed])
        tellings = await self._clear_ledgers(counted_only=counted_only) if self.target.is_whole_leaf else 0
        return bool(gone or owed or tellings)

    async def _delete(self, memories: Sequence[Memory]) -> None:
        for at in range(0, len(memories), _BATCH):
            some = memories[at : at + _BATCH]
            await self.parts.store.abatch([PutOp(memory.namespace, memory.key, None) for memory in some])

    async def _found(self) -> list[Memory]:
        store, target = self.parts.store, self.target
        if target.key is not None:
            gets = [GetOp(leaf, target.key, refresh_ttl=False) for leaf in sorted(target.leaves)]
            items = cast("list[Item | None]", await store.abatch(gets))
            found = [memory_from(item) for item in items if item is not None]
        else:
            places = places_of(target.scope, include_superseded=True)
            walked = walk_memories(store, places)
            found = [m async for m in walked if target.takes(m.namespace, m.key, m.source)]
        if target.is_whole_leaf:
            return found
        by_place = {(memory.namespace, memory.key): memory for memory in [*found, *await superseded_by(store, found)]}
        return list(by_place.values())

    def _note(self, gone: Iterable[Memory]) -> None:
        for memory in gone:
            self.places.add((memory.namespace, memory.key))
            self.texts.add(memory.text)
            if (message_id := memory.source.get("message_id")) is not None:
                self.message_ids.add(message_id)
            if (thread := memory.source.get("thread")) is not None:
                self.linked.add(thread)

    async def _owed(self, *, is_dry_run: bool) -> list[dict[str, Any]]:
        threads = self.parts.threads
        if threads is None:
            return []
        owed = await threads.drop_owed(self.target.scope.tenant, self._is_owed, is_dry_run=is_dry_run)
        for item in owed:
            self.owed_ids.setdefault(tuple(item["namespace"]), set()).add(item["message_id"])
            if item.get("thread") is not None:
                self.linked.add(item["thread"])
        return owed

    def _is_owed(self, item: Mapping[str, Any]) -> bool:
        leaf = tuple(item["namespace"])
        is_of_a_memory = item["message_id"] in self.message_ids and leaf in {leaf for leaf, _ in self.places}
        return is_of_a_memory or self.target.takes(leaf, "", item)

    async def _entomb(self, gone: Sequence[Memory], owed: Sequence[Mapping[str, Any]]) -> None:
        texts: dict[Namespace, set[str]] = {}
        messages = {leaf: set(ids) for leaf, ids in self.owed_ids.items()}
        for memory in gone:
            for leaf in tombstone_leaves(memory.namespace):
                texts.setdefault(leaf, set()).add(memory.text)
                if (message_id := memory.source.get("message_id")) is not None:
                    messages.setdefault(leaf, set()).add(message_id)
        for item in owed:
            texts.setdefault(tuple(item["namespace"]), set()).add(item["text"])
        for leaf in texts.keys() | messages.keys():
            self.tombstones |= await entomb(self.parts.store, leaf, texts.get(leaf, ()), messages.get(leaf, ()))

    async def _clear_ledgers(self, *, counted_only: bool) -> int:
        """Remove the ledgers' notes of what was told, not the tombstones, and say how many there were."""
        cleared = 0
        for place in sorted({ledger_namespace(place) for place in places_of(self.target.scope)}):
            walked = walk_memories(self.parts.store, [place])
            notes = [memory async for memory in walked if not is_tombstone(memory.key)]
            self.toll.add("/".join(place[1:]), "telling", [memory.key for memory in notes])
            cleared += len(notes)
            if not counted_only:
                await self._delete(notes)
        return cleared

    # Conversations

    async def _remove_from_threads(self) -> set[str]:
        """Delete the conversations that go, clear the others of copies, and return those that still hold the words."""
        threads = self.parts.threads
        if threads is None:
            for thread in self.target.thread_keys:
                await self._delete_thread(thread)
            self.remarks.append(
                "this checkpointer cannot be searched: threads that recalled a memory may hold it still"
            )
            return self.linked - self.target.thread_keys
        tenant = self.target.scope.tenant
        existing = set(await threads.threads(tenant))
        gone = self.target.thread_keys & existing
        holding = ((self.linked | await self._threads_of_user()) & existing) - gone
        if self._looked_for:
            for thread in sorted(existing - gone - holding):
                if await threads.repeats(thread, self._looked_for, self._without):
                    holding.add(thread)
        if self.include_threads:
            gone, holding = gone | holding, set()
        for thread in sorted(gone):
            await self._delete_thread(thread)
        tenants = [tenant]
        if tenant == GLOBAL_TENANT:  # whose memories every tenant's threads may have recalled
            tenants = await asyncio.to_thread(threads.tenants_on_disk)
        for each in tenants:
            await self._clear_recalled(threads, each, without=gone)
        self._remark()
        return holding

    async def _clear_recalled(self, threads: TenantCheckpoints, tenant: str, *, without: set[str]) -> None:
        for thread in sorted(set(await threads.threads(tenant)) - without):
            rows = await threads.edit_thread(thread, self._without, is_dry_run=self.is_dry_run)
            if rows:
                self.toll.add("threads", "recalled", [thread], count=rows)
        if tenant != self.target.scope.tenant and not self.is_dry_run:
            await _patiently(lambda: threads.scrub(tenant))

    async def _threads_of_user(self) -> set[str]:
        """Return the conversations a person began who is forgotten as a whole."""
        threads, scope = self.parts.threads, self.target.scope
        if threads is None or scope.user is None or not self.target.is_whole_leaf or scope.session is not None:
            return set()
        return set(await threads.threads(scope.tenant, user=scope.user))

    async def _stop_runs(self) -> None:
        """Have the runs ended on conversations that are sure to go."""
        threads, tenant = self.parts.threads, self.target.scope.tenant
        if threads is None:
            return
        doomed = self.target.thread_keys
        if self.target.is_whole_tenant:
            doomed = doomed | set(await threads.threads(tenant))
        elif self.include_threads:
            doomed = doomed | await self._threads_of_user()
        for thread in doomed:
            for run_id in await threads.open_runs(thread):
                with suppress(NotFoundError):  # it has ended meanwhile
                    await self.parts.runs.cancel(tenant, run_id)

    async def _delete_thread(self, thread: str) -> None:
        self.toll.add("threads", "thread", [thread])
        if self.is_dry_run:
            return
        if self.parts.threads is not None:
            # A run that does not end can write nothing more: its thread is gone, and says so to each of its writes.
            await self.parts.checkpointer.adelete_thread(thread)
            return
        async with self.parts.runs.alone_on(thread, timeout_s=self.timeout_s):
            await self.parts.checkpointer.adelete_thread(thread)

    def _without(self, channel: str, value: Any) -> Any:
        """Return what is left of a channel's value; the value itself where nothing of the target is in it."""
        if channel in _HOLDS_MEMORIES and isinstance(value, list):
            left = [memory for memory in value if not self._is_copy(memory)]
        elif channel == "owed" and isinstance(value, list):
            left = [item for item in value if not self._is_owed(item)]
        else:
            return value
        return value if len(left) == len(value) else left

    def _is_copy(self, memory: Mapping[str, Any]) -> bool:
        place = (tuple(memory["namespace"]), memory["key"])
        if place in self.places or self.target.takes(*place, memory["source"]):
            return True
        if not self._looked_for:
            return False
        said = json.dumps(memory, ensure_ascii=False)  # a receipt may quote its neighbours
        return any(json.dumps(text, ensure_ascii=False)[1:-1] in said for text in self._looked_for)

    @property
    def _looked_for(self) -> list[str]:
        texts = [text for text in self.texts if len(text) >= _SHORTEST_TEXT]
        return texts if len(texts) <= _MOST_TEXTS else []

    def _remark(self) -> None:
        if len(self.texts) > _MOST_TEXTS:
            self.remarks.append("too many memories to look for word for word: threads that repeat them are not named")

    # The tenant, and the files

    async def _remove_tenant(self) -> set[str]:
        threads, store, tenant = self.parts.threads, self.parts.store, self.target.scope.tenant
        if threads is None:
            self.remarks.append("this checkpointer cannot be searched: delete the tenant's threads there")
        else:
            self.toll.add("threads", "thread", await threads.threads(tenant))
        if self.parts.records is not None:
            for kind, count in (await self.parts.records.of_tenant(tenant, is_dry_run=self.is_dry_run)).items():
                self.toll.add("records", kind, [], count=count)
        if self.is_dry_run:
            return set()
        if threads is not None:
            await threads.delete_tenant(tenant)
        if isinstance(store, WalkableStore):
            await store.delete_tenant(tenant)
        else:
            ledger = ledger_namespace((tenant, "memory"))
            await self._delete([memory async for memory in walk_memories(store, [ledger])])
        # A model that reads one of these messages just now is not to begin the tenant anew with it.
        await self._entomb([], [])
        return set()

    async def _scrub(self) -> None:
        store, threads, tenant = self.parts.store, self.parts.threads, self.target.scope.tenant
        if self.parts.queries is not None:
            self.parts.queries.forget_queries()
        if isinstance(store, WalkableStore):
            store.forget_queries()
            await store.sweep(tenant)
            await _patiently(lambda: store.scrub(tenant))
        else:
            self.remarks.append(f"a {type(store).__name__} cannot be scrubbed: what it keeps on disk is its own affair")
        if threads is not None:
            await _patiently(lambda: threads.scrub(tenant))


async def _patiently(scrub: Callable[[], Any]) -> None:
    """Empty a journal that somebody may be reading from just now."""
    for pause_s in _SCRUB_PAUSES_S:
        try:
            await scrub()
        except StoreUnavailableError:
            await asyncio.sleep(pause_s)
        else:
            return
    await scrub()
