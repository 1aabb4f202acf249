"""`FaissStore`: LangGraph's `BaseStore` on one SQLite file per tenant, searched by meaning and words in memory.

Nothing it keeps in memory matters: vectors and words are rebuilt from SQLite, and nothing is pickled. What a tenant's
file holds is `tenant_items.py`'s business, how hits are ranked is `ranking.py`'s.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from agentgraph._sync import run_sync
from agentgraph.errors import InvalidInputError, StoreError
from agentgraph.scope import tenant_directory
from agentgraph.stores.filters import checked_filter
from agentgraph.stores.hybrid import RankedItem
from agentgraph.stores.lexical import count_terms, query_terms
from agentgraph.stores.open_tenants import OpenTenants
from agentgraph.stores.ranking import Hit
from agentgraph.stores.sqlite import Sync
from agentgraph.stores.tenant_items import ItemRow, NewEntry, NewItem, StoreStats, TenantItems, Where, search
from agentgraph.stores.tenant_walk import line_up, walk
from agentgraph.stores.values import TIME_FIELDS, check_label, encode_value, normalised, readable, sequence_of, texts_of
from agentgraph.stores.vectors import Vector, pack, unit

__all__ = ["FaissStore", "StoreStats"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUERIES_REMEMBERED: Final = 512
_QUERY_BUDGET_S: Final = 10.0  # a question waits no longer for the embedder than this
_TEXTS_PER_CALL: Final = 256
_ITEMS_PER_REEMBED: Final = 256
_END: Final = "expires_at"


class FaissStore(BaseStore):
    """Memories on disk, per tenant, found by meaning and by words.

    The first label of every namespace is the tenant; its file is `<storage_dir>/<tenant>/memory.db`. There is no
    search and no listing across tenants: an empty prefix raises `InvalidInputError`, because whoever could ask it
    would read everybody's memories (DESIGN D1).

    Search with a query ranks everything selected exactly, by cosine and BM25 (`ranking.py`); without one it returns
    the most recently updated first. Filters are applied before ranking and mean what `filters.py` says. Items put with
    `index=False` are found without a query only. In one batch, reads see the state before its writes, and of several
    writes to one key the last wins; the writes of a batch to one tenant are one transaction.

    Time to live is in minutes and begins anew on reads, unless told otherwise or the value has an `expires_at` of its
    own; expired items are never returned, and are deleted by later writes and by `sweep`.

    Args:
        storage_dir: Where the tenants' directories are.
        embeddings: What turns texts into vectors; `None` ranks by words only.
        embedding_id: Names the model in the file: vectors of another are kept but not searched (see `reembed`).
            By default the embeddings' own `model_id`, or else their class and `model`.
        sync: `full` survives a power cut, `normal` may lose the last commits then.
        hot_tenants: How many tenants stay open; the least recently used is closed.
        pool: Where files are read and written; owned by the caller. By default a small one of the store's own.
        fields: Which parts of a value are indexed where `put` does not say; `$` is all of it.
        ttl: LangGraph's time-to-live settings.
        clock: Seconds since 1970; a test holds it still.
    """

    supports_ttl = True

    def __init__(
        self,
        storage_dir: Path,
        *,
        embeddings: Embeddings | None,
        embedding_id: str | None = None,
        sync: Sync = "full",
        hot_tenants: int = 64,
        pool: ThreadPoolExecutor | None = None,
        fields: Sequence[str] = ("$",),
        ttl: TTLConfig | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.embeddings = embeddings
        self.embedding_id = embedding_id or (None if embeddings is None else _name_of(embeddings))
        self.ttl_config = ttl
        self._storage_dir = Path(storage_dir)
        self._owns_pool = pool is None
        self._pool = pool or ThreadPoolExecutor(max_workers=4, thread_name_prefix="agentgraph-store")
        self._fields = tuple(fields)
        self._clock = clock
        self._tenants = OpenTenants(
            self._storage_dir,
            hot=max(1, hot_tenants),
            pool=self._pool,
            make=lambda path, tenant: TenantItems(
                path, tenant=tenant, embedding_id=self.embedding_id, pool=self._pool, sync=sync, clock=clock
            ),
        )
        self._guard = threading.Lock()
        self._queries: OrderedDict[str, Vector] = OrderedDict()
        self._preparing: set[asyncio.Task[Vector]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish what is queued and close every file. Closing twice is harmless."""
        for task in self._preparing:
            task.cancel()
        await self._tenants.close()
        if self._owns_pool:
            await asyncio.to_thread(self._pool.shutdown)

    # LangGraph's interface.

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what `abatch` does, blocking; on an event loop prefer `abatch`."""
        return run_sync(self.abatch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run `ops` and return their results in order.

        Raises:
            InvalidInputError: An op names no valid tenant, or holds what cannot be stored. Nothing was written.
            StoreError: The file refused.
        """
        listed = list(ops)
        puts = await self._prepared([op for op in listed if isinstance(op, PutOp)])
        results: list[Result] = [None] * len(listed)
        gets: dict[str, list[int]] = {}
        for at, op in enumerate(listed):
            if isinstance(op, GetOp):
                gets.setdefault(_checked_tenant(op.namespace), []).append(at)
            elif isinstance(op, SearchOp):
                results[at] = await self._searched(op)
            elif isinstance(op, ListNamespacesOp):
                results[at] = await self._listed(op)
            elif not isinstance(op, PutOp):
                raise InvalidInputError(f"a store cannot run a {type(op).__name__}", param="ops")
        for tenant, places in gets.items():
            wanted: list[GetOp] = [listed[at] for at in places]  # type: ignore[misc]
            for at, item in zip(places, await self._got(tenant, wanted), strict=True):
                results[at] = item
        for tenant, items in puts.items():
            await self._write(tenant, items)
        return results

    # Beyond LangGraph's interface.

    async def arank(
        self,
        namespaces: Sequence[tuple[str, ...]],
        query: str,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  the name `BaseStore.asearch` uses
        limit: int = 50,
        query_vector: Sequence[float] | None = None,
    ) -> list[RankedItem]:
        """Rank the items of exactly `namespaces`, of one tenant or several; see `HybridSearch.arank`.

        Raises:
            InvalidInputError: A namespace names no valid tenant, or the filter or vector is malformed.
        """
        (found,) = await self.arank_each(namespaces, query, [(filter, limit)], query_vector=query_vector)
        return found

    async def arank_each(
        self,
        namespaces: Sequence[tuple[str, ...]],
        query: str,
        searches: Sequence[tuple[Mapping[str, Any] | None, int]],
        *,
        query_vector: Sequence[float] | None = None,
    ) -> list[list[RankedItem]]:
        """Rank once for each filter and limit, on one state of the files; see `HybridSearch.arank_each`.

        Raises:
            InvalidInputError: A namespace names no valid tenant, or a filter or the vector is malformed.
        """
        for _, limit in searches:
            _check_range(limit, 0)
        checked = [(checked_filter(condition), limit) for condition, limit in searches]
        rankings = await self._ranked(_leaves(namespaces), query, checked, query_vector=query_vector)
        return [
            [
                RankedItem(
                    item=_as_item(row), dense=hit.dense, lexical=hit.lexical, context=hit.context, fused=hit.fused
                )
                for row, hit in found
            ]
            for found in rankings
        ]

    def prepare(self, namespaces: Sequence[tuple[str, ...]], query: str) -> None:
        """Begin to embed `query`, if anything in `namespaces` is known that it will be compared with."""
        text = readable(query)
        if self.embeddings is None or not text.strip() or text in self._queries:
            return
        if any(self._tenants.has_vectors(tenant) for tenant in _leaves(namespaces)):
            task = asyncio.get_running_loop().create_task(self._embedded_query(text))
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)
            # Whoever searches asks again, and is told what went wrong.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def tenants(self) -> list[str]:
        """Return every tenant that has memories on disk."""
        return await self._tenants.on_disk()

    async def sweep(self, tenant: str | None = None) -> int:
        """Delete the expired items of `tenant`, or of every one, and return how many there were."""
        swept = 0
        for each in await self._tenants.on_disk() if tenant is None else [tenant]:
            async with self._tenants.using(each) as items:
                if items is not None:
                    swept += await self._tenants.write(items, items.sweep)
        return swept

    async def stats(self, tenant: str) -> StoreStats:
        """Count what `tenant` has; zeros for one that has nothing."""
        async with self._tenants.using(tenant) as items:
            if items is None:
                return StoreStats(
                    items=0, namespaces=0, entries=0, vectors=0, stale_vectors=0, expiring=0, size_bytes=0
                )
            return await self._tenants.read([items], items.stats)

    async def reembed(self, tenant: str, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Embed anew whatever `tenant` has no sound vector of this store's model for; return how many items that were.

        May be interrupted and repeated; searches meanwhile find what is done by meaning and the rest by words.

        Args:
            tenant: Whose memory.
            progress: Called with the number of items looked at and, roughly, of all there are to do.
        """
        if self.embeddings is None:
            raise InvalidInputError("the store has no embedding model to embed with", param="embeddings")
        done, last = 0, 0
        async with self._tenants.using(tenant) as items:
            if items is None:
                return 0
            total = (await self._tenants.read([items], items.stats)).stale_vectors
            while batch := await self._tenants.read([items], lambda: items.stale(after=last, limit=_ITEMS_PER_REEMBED)):  # noqa: B023
                last = batch[-1][0].item_id
                texts = [
                    texts_of(row.value, self._fields if paths is None else json.loads(paths)) for row, paths in batch
                ]
                vectors = await self._embedded(text for some in texts for text in some)
                entries = [[NewEntry(vectors[text], count_terms(text)) for text in some] for some in texts]
                changed = [(row, some) for (row, _), some in zip(batch, entries, strict=True)]
                await self._tenants.write(items, lambda connection: items.replace_entries(connection, changed))  # noqa: B023
                done += len(batch)
                if progress is not None:
                    progress(done, max(total, done))
        return done

    async def scrub(self, tenant: str) -> None:
        """Leave nothing on disk of what was deleted or overwritten in `tenant`'s memory.

        Deleted rows are overwritten at once; this empties the journal, which still holds earlier pages.

        Raises:
            StoreUnavailableError: Somebody reads an old state just now; try again.
        """
        async with self._tenants.using(tenant) as items:
            if items is not None:
                await self._tenants.read([items], items.empty_journal)

    async def awalk(
        self, prefix: tuple[str, ...], *, after: int = 0, limit: int = 1_000
    ) -> tuple[list[Item], int | None]:
        """Return a page of the items below `prefix`; see `WalkableStore.awalk`."""
        async with self._tenants.using(_checked_tenant(prefix)) as items:
            if items is None:
                return [], None
            rows = await self._tenants.read(
                [items], lambda: walk(items, prefix, now=self._now(), after=after, limit=limit)
            )
        return [_as_item(row) for row in rows], rows[-1].item_id if len(rows) == limit else None

    async def aline_up(
        self, namespaces: Sequence[tuple[str, ...]], *, start: str | None, end: str | None, limit: int
    ) -> list[Item]:
        """Return items by the time they speak of; see `WalkableStore.aline_up`."""
        (tenant,) = {_checked_tenant(namespace) for namespace in namespaces}
        async with self._tenants.using(tenant) as items:
            if items is None:
                return []
            rows = await self._tenants.read(
                [items], lambda: line_up(items, namespaces, now=self._now(), start=start, end=end, limit=limit)
            )
        return [_as_item(row) for row in rows]

    def forget_queries(self) -> None:
        """Drop the queries remembered; see `WalkableStore.forget_queries`."""
        with self._guard:
            self._queries.clear()

    async def delete_tenant(self, tenant: str) -> None:
        """Close `tenant`'s file and remove the tenant's whole directory, with whatever else lies in it."""
        directory = tenant_directory(self._storage_dir, tenant)
        await self._tenants.close_one(tenant)
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)

    # Operations.

    async def _got(self, tenant: str, ops: Sequence[GetOp]) -> list[Item | None]:
        wanted = [(op.namespace, op.key) for op in ops]
        async with self._tenants.using(tenant) as items:
            if items is None:
                return [None] * len(ops)
            rows = await self._tenants.read([items], lambda: items.get(wanted))
            await self._refresh(items, [row for row, op in zip(rows, ops, strict=True) if op.refresh_ttl])
        return [None if row is None else _as_item(row) for row in rows]

    async def _searched(self, op: SearchOp) -> list[SearchItem]:
        _check_range(op.limit, op.offset)
        tenant = _checked_tenant(op.namespace_prefix)
        condition = checked_filter(op.filter)
        where = Where([tuple(op.namespace_prefix)], is_prefix=True)
        if op.query and op.query.strip():
            (found,) = await self._ranked(
                {tenant: where}, op.query, [(condition, op.limit)], offset=op.offset, refresh_ttl=op.refresh_ttl
            )
            return [_as_search_item(row, hit.fused) for row, hit in found]
        async with self._tenants.using(tenant) as items:
            if items is None:
                return []
            rows = await self._tenants.read(
                [items], lambda: items.newest(where, condition, limit=op.limit, offset=op.offset)
            )
            await self._refresh(items, rows if op.refresh_ttl else [])
        return [_as_search_item(row, None) for row in rows]

    async def _ranked(
        self,
        wheres: Mapping[str, Where],
        query: str,
        searches: Sequence[tuple[Mapping[str, Any], int]],
        *,
        offset: int = 0,
        query_vector: Sequence[float] | None = None,
        refresh_ttl: bool = True,
    ) -> list[list[tuple[ItemRow, Hit]]]:
        text = readable(query)
        async with AsyncExitStack() as stack:
            opened = [
                (await stack.enter_async_context(self._tenants.using(tenant)), where)
                for tenant, where in wheres.items()
            ]
            tenants = [(items, where) for items, where in opened if items is not None]
            if not tenants:
                return [[] for _ in searches]
            vector = await self._query_vector(text, [items for items, _ in tenants], query_vector)
            rankings = await self._tenants.read(
                [items for items, _ in tenants],
                lambda: search(tenants, searches, terms=query_terms(text), vector=vector, offset=offset),
            )
            if refresh_ttl:
                for home, (items, _) in enumerate(tenants):
                    await self._refresh(items, [row for found in rankings for row, hit in found if hit.home == home])
            return rankings

    async def _listed(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        _check_range(op.limit, op.offset)
        conditions = op.match_conditions or ()
        prefixes = [c.path for c in conditions if c.match_type == "prefix" and c.path and c.path[0] != "*"]
        if not prefixes:
            raise InvalidInputError(
                "list_namespaces needs a prefix that begins with a tenant: there is no listing across tenants",
                param="prefix",
            )
        async with self._tenants.using(_checked_tenant(prefixes[0])) as items:
            known = [] if items is None else await self._tenants.read([items], items.namespaces)
        matching = [namespace for namespace in known if all(_matches(condition, namespace) for condition in conditions)]
        cut = dict.fromkeys(namespace[: op.max_depth] for namespace in matching)
        return list(cut)[op.offset : op.offset + op.limit]

    def _now(self) -> int:
        return round(self._clock() * 1_000_000)

    async def _refresh(self, items: TenantItems, rows: Iterable[ItemRow | None]) -> None:
        # A value that names its own end is not to outlive it for being read.
        refreshed = [row.item_id for row in rows if row is not None and row.ttl is not None and _END not in row.value]
        if refreshed:
            await self._tenants.write(items, lambda connection: items.refresh(connection, refreshed))

    async def _write(self, tenant: str, new: Sequence[NewItem]) -> None:
        only_deletes = all(item.value is None for item in new)
        async with self._tenants.using(tenant, create=not only_deletes) as items:
            if items is not None:
                await self._tenants.write(items, lambda connection: items.write(connection, new))

    # Preparing what is written.

    async def _prepared(self, ops: Sequence[PutOp]) -> dict[str, list[NewItem]]:
        """Return the items of `ops`, checked, encoded and embedded, by tenant; the last write to a key wins."""
        if not ops:
            return {}
        last = {(tuple(op.namespace), op.key): op for op in ops}
        drafts = await self._tenants.in_pool(lambda: [self._draft(op) for op in last.values()])
        vectors = await self._embedded(text for _, texts in drafts for text in texts)
        return await self._tenants.in_pool(lambda: _with_entries(drafts, vectors))

    def _draft(self, op: PutOp) -> tuple[NewItem, list[str]]:
        """Check and encode one write; return it with the texts to index."""
        _checked_tenant(op.namespace)
        key = check_label(op.key, param="key")
        if op.value is None:
            return NewItem(namespace=tuple(op.namespace), key=key, value=None), []
        if not isinstance(op.value, Mapping):
            raise InvalidInputError(f"a stored value is a mapping, not {type(op.value).__name__}", param="value")
        value: dict[str, Any] = normalised(op.value)
        paths = () if op.index is False else self._fields if op.index is None else tuple(op.index)
        item = NewItem(
            namespace=tuple(op.namespace),
            key=key,
            value=encode_value(value),
            times=tuple(field if isinstance(field := value.get(name), str) else None for name in TIME_FIELDS),
            ttl=_checked_ttl(op.ttl),
            paths=None if op.index is None else json.dumps(list(paths)),
            sequence=sequence_of(value),
        )
        return item, texts_of(value, paths)

    async def _embedded(self, texts: Iterable[str]) -> dict[str, bytes | None]:
        """Return the stored form of each distinct text's vector, `None` without a model."""
        distinct = list(dict.fromkeys(texts))
        if self.embeddings is None:
            return dict.fromkeys(distinct)
        vectors: dict[str, bytes | None] = {}
        for start in range(0, len(distinct), _TEXTS_PER_CALL):
            some = distinct[start : start + _TEXTS_PER_CALL]
            made = await self.embeddings.aembed_documents(some)
            if len(made) != len(some):
                raise StoreError(f"the embedding model returned {len(made)} vectors for {len(some)} texts")
            vectors.update(zip(some, pack(made), strict=True))
        return vectors

    async def _query_vector(
        self, query: str, tenants: Sequence[TenantItems], given: Sequence[float] | None
    ) -> Vector | None:
        """Return the query's unit vector; `None` where there is nothing it could be compared with."""
        if given is not None:
            return unit(given)
        if self.embeddings is None or not query.strip():
            return None
        with self._guard:
            known = self._queries.get(query)
            if known is not None:
                self._queries.move_to_end(query)
                return known
        if not any(items.had_vectors for items in tenants) and not await self._tenants.read(
            tenants, lambda: any(items.has_vectors() for items in tenants)
        ):
            return None
        try:
            return await self._embedded_query(query)
        except Exception as error:  # noqa: BLE001  an embedder may raise anything, and words are left
            logger.warning("items are ranked by their words alone, the embedder failed: %s", type(error).__name__)
            return None

    async def _embedded_query(self, query: str) -> Vector:
        assert self.embeddings is not None  # noqa: S101
        async with asyncio.timeout(_QUERY_BUDGET_S):
            vector = unit(await self.embeddings.aembed_query(query))
        with self._guard:
            self._queries[query] = vector
            if len(self._queries) > _QUERIES_REMEMBERED:
                self._queries.popitem(last=False)
        return vector


def _name_of(embeddings: Embeddings) -> str:
    name = getattr(embeddings, "model_id", None)
    if isinstance(name, str) and name:
        return name
    model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", "")
    return f"{type(embeddings).__module__}.{type(embeddings).__qualname__}:{model}"


def _with_entries(
    drafts: Sequence[tuple[NewItem, list[str]]], vectors: Mapping[str, bytes | None]
) -> dict[str, list[NewItem]]:
    by_tenant: dict[str, list[NewItem]] = {}
    for item, texts in drafts:
        indexed = NewItem(
            namespace=item.namespace,
            key=item.key,
            value=item.value,
            times=item.times,
            ttl=item.ttl,
            paths=item.paths,
            sequence=item.sequence,
            entries=[NewEntry(vectors[text], count_terms(text)) for text in texts],
        )
        by_tenant.setdefault(item.namespace[0], []).append(indexed)
    return by_tenant


def _leaves(namespaces: Iterable[Sequence[str]]) -> dict[str, Where]:
    """Return what to search in each tenant's file, the tenants in one order everywhere."""
    by_tenant: dict[str, list[tuple[str, ...]]] = {}
    for namespace in namespaces:
        by_tenant.setdefault(_checked_tenant(namespace), []).append(tuple(namespace))
    return {tenant: Where(leaves, is_prefix=False) for tenant, leaves in sorted(by_tenant.items())}


def _checked_tenant(namespace: Sequence[str]) -> str:
    if not namespace:
        raise InvalidInputError(
            "a namespace begins with a tenant; there is no search across tenants", param="namespace"
        )
    for label in namespace:
        check_label(label, param="namespace")
    tenant_directory(Path(), namespace[0])  # refuses what is no tenant
    return namespace[0]


def _checked_ttl(ttl: float | None) -> float | None:
    if ttl is not None and not 0 <= ttl < 10**9:
        raise InvalidInputError(f"a time to live is a number of minutes, not {ttl!r}", param="ttl")
    return ttl


def _check_range(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise InvalidInputError(f"limit {limit} and offset {offset} must not be negative", param="limit")


def _matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in {"*", label} for wanted, label in zip(path, part, strict=True))


def _as_item(row: ItemRow) -> Item:
    return Item(
        value=row.value,
        key=row.key,
        namespace=row.namespace,
        created_at=_moment(row.created_at),
        updated_at=_moment(row.updated_at),
    )


def _as_search_item(row: ItemRow, score: float | None) -> SearchItem:
    return SearchItem(row.namespace, row.key, row.value, _moment(row.created_at), _moment(row.updated_at), score)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
