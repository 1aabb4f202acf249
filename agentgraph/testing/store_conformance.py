# ruff: noqa: D102, S101  tests, named as sentences
"""What every store of memories must do, as tests: subclass it, give it a store, and inherit them all.

    class TestMine(StoreConformance):
        @pytest.fixture
        async def store(self, tmp_path):
            async with MyStore(tmp_path) as store:
                yield store

The contract is LangGraph's `BaseStore`, as far as its stores agree, and what agentgraph's recall relies on besides.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
)

from agentgraph.stores.hybrid import HybridSearch

__all__ = ["StoreConformance"]

_SHARED: Final = ("acme", "memory", "shared")
_USER: Final = ("acme", "memory", "user", "u1")


class StoreConformance:
    """Subclasses give a fixture `store`, empty for each test, and say below what it can do.

    Attributes:
        searches_by_meaning: It was opened with an embedding model under which texts that share words are near.
        searches_by_words: A query finds a word wherever it occurs, also without an embedding model.
        newest_first: Without a query, the most recently updated come first.
        refuses_cross_tenant: Reads that name no tenant raise.
        keeps_created_at: Overwriting an item keeps the time it was created.
    """

    searches_by_meaning = True
    searches_by_words = False
    newest_first = False
    refuses_cross_tenant = False
    keeps_created_at = False

    @pytest.fixture
    async def store(self) -> BaseStore:
        """Return an empty store; subclasses override this."""
        raise NotImplementedError("a subclass of StoreConformance gives a fixture `store`")

    def _need(self, capability: str) -> None:
        if not getattr(self, capability):
            pytest.skip(f"{type(self).__name__} does not claim {capability}")

    # Items.

    async def test_get_returns_what_was_put(self, store: BaseStore) -> None:
        value = {"text": "aisle seat", "n": 3, "x": 0.5, "ok": True, "none": None, "list": [1, "b"], "deep": {"a": {}}}
        await store.aput(_SHARED, "k", value)
        item = await store.aget(_SHARED, "k")
        assert item is not None
        assert (item.namespace, item.key, item.value) == (_SHARED, "k", value)
        assert item.created_at.tzinfo is not None
        assert item.updated_at >= item.created_at

    async def test_get_of_nothing_is_none(self, store: BaseStore) -> None:
        assert await store.aget(_SHARED, "missing") is None
        await store.aput(_SHARED, "k", {"text": "here"})
        assert await store.aget(_SHARED, "missing") is None
        assert await store.aget(_USER, "k") is None
        assert await store.aget(("acme", "memory"), "k") is None
        assert await store.aget(("unknown", "memory", "shared"), "k") is None

    async def test_put_overwrites(self, store: BaseStore) -> None:
        await store.aput(_SHARED, "k", {"text": "one", "old": 1})
        await store.aput(_SHARED, "k", {"text": "two"})
        item = await store.aget(_SHARED, "k")
        assert item is not None
        assert item.value == {"text": "two"}
        assert len(await store.asearch(_SHARED)) == 1

    async def test_overwriting_keeps_the_time_of_creation(self, store: BaseStore) -> None:
        self._need("keeps_created_at")
        await store.aput(_SHARED, "k", {"text": "one"})
        first = await store.aget(_SHARED, "k")
        await store.aput(_SHARED, "k", {"text": "two"})
        second = await store.aget(_SHARED, "k")
        assert first is not None
        assert second is not None
        assert second.created_at == first.created_at
        assert second.updated_at >= first.updated_at

    async def test_delete_removes_and_may_be_repeated(self, store: BaseStore) -> None:
        await store.aput(_SHARED, "k", {"text": "gone"})
        await store.adelete(_SHARED, "k")
        await store.adelete(_SHARED, "k")
        assert await store.aget(_SHARED, "k") is None
        assert await store.asearch(_SHARED) == []

    async def test_a_deleted_item_can_be_put_again(self, store: BaseStore) -> None:
        await store.aput(_SHARED, "k", {"text": "first life"})
        await store.adelete(_SHARED, "k")
        await store.aput(_SHARED, "k", {"text": "second life"})
        assert _keys(await store.asearch(_SHARED, query="second life")) == ["k"]

    async def test_values_are_not_shared_with_the_caller(self, store: BaseStore) -> None:
        value = {"text": "as it was"}
        await store.aput(_SHARED, "k", value)
        value["text"] = "changed after"
        item = await store.aget(_SHARED, "k")
        assert item is not None
        assert item.value == {"text": "as it was"}

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "žluťoučký kůň",
            "日本に行きたい",
            "مرحبا",
            "👩‍👩‍👧 family",
            "a'b\"c;--\\",
            "line\nbreak\ttab",
            "x" * 100_000,
        ],
        ids=["empty", "accents", "japanese", "arabic", "emoji", "quotes", "whitespace", "long"],
    )
    async def test_any_text_survives(self, store: BaseStore, text: str) -> None:
        await store.aput(_SHARED, "k", {"text": text, text or "field": 1})
        item = await store.aget(_SHARED, "k")
        assert item is not None
        assert item.value == {"text": text, text or "field": 1}

    async def test_keys_are_exact(self, store: BaseStore) -> None:
        keys = ["k", "K", "k ", "k%", "k_", "k*", "k.1", "ключ", "é", "e\u0301"]
        await store.abatch([PutOp(_SHARED, key, {"text": key}) for key in keys])
        for key in keys:
            item = await store.aget(_SHARED, key)
            assert item is not None
            assert item.value == {"text": key}

    # Batches.

    async def test_a_batch_answers_in_order(self, store: BaseStore) -> None:
        await store.abatch([PutOp(_SHARED, "a", {"text": "a"}), PutOp(_USER, "b", {"text": "b"})])
        ops: list[Op] = [
            GetOp(_USER, "b"),
            SearchOp(_SHARED),
            GetOp(_SHARED, "missing"),
            PutOp(_SHARED, "c", {"text": "c"}),
            ListNamespacesOp((MatchCondition("prefix", ("acme",)),)),
            GetOp(_SHARED, "a"),
        ]
        b, found, missing, put, namespaces, a = await store.abatch(ops)
        assert b is not None
        assert a is not None
        assert (b.key, a.key) == ("b", "a")  # type: ignore[union-attr]
        assert isinstance(found, list)
        assert (missing, put) == (None, None)
        assert namespaces == [_SHARED, _USER]
        assert await store.aget(_SHARED, "c") is not None

    async def test_the_last_write_of_a_batch_wins(self, store: BaseStore) -> None:
        await store.abatch(
            [
                PutOp(_SHARED, "a", {"text": "first"}),
                PutOp(_SHARED, "b", {"text": "kept"}),
                PutOp(_SHARED, "a", {"text": "last"}),
                PutOp(_SHARED, "c", {"text": "deleted"}),
                PutOp(_SHARED, "c", None),
            ]
        )
        found = {item.key: item.value["text"] for item in await store.asearch(_SHARED)}
        assert found == {"a": "last", "b": "kept"}

    async def test_an_empty_batch_is_nothing(self, store: BaseStore) -> None:
        assert await store.abatch([]) == []

    async def test_many_writers_at_once_lose_nothing(self, store: BaseStore) -> None:
        await asyncio.gather(
            *(store.aput((*_SHARED[:2], "user", f"u{n % 4}"), f"k{n}", {"text": f"memory {n}"}) for n in range(64))
        )
        assert len(await store.asearch(("acme",), limit=100)) == 64

    async def test_one_key_written_at_once_is_one_item(self, store: BaseStore) -> None:
        await asyncio.gather(*(store.aput(_SHARED, "k", {"text": f"version {n}"}) for n in range(16)))
        assert _keys(await store.asearch(_SHARED)) == ["k"]

    # Namespaces.

    async def test_search_covers_what_is_below_a_prefix_and_no_more(self, store: BaseStore) -> None:
        places = [_SHARED, _USER, ("acme", "memory", "user", "u11"), ("acme", "memory2"), ("acme", "mem")]
        await store.abatch([PutOp(place, "/".join(place), {"text": f"here in {place}"}) for place in places])
        for query in (None, "here"):
            assert sorted(_keys(await store.asearch(("acme",), query=query))) == sorted("/".join(p) for p in places)
            assert _keys(await store.asearch(_USER, query=query)) == ["acme/memory/user/u1"]
            below = await store.asearch(("acme", "memory"), query=query)
            assert sorted(_keys(below)) == ["acme/memory/shared", "acme/memory/user/u1", "acme/memory/user/u11"]

    async def test_tenants_are_apart(self, store: BaseStore) -> None:
        tenants = ["acme", "acme_memory", "Acme", "acme-1", "acm"]
        await store.abatch(
            [PutOp((tenant, "memory", "shared"), tenant, {"text": f"secret of {tenant}"}) for tenant in tenants]
        )
        for tenant in tenants:
            assert _keys(await store.asearch((tenant,))) == [tenant]
            assert _keys(await store.asearch((tenant,), query="secret")) == [tenant]
            assert await store.alist_namespaces(prefix=(tenant,)) == [(tenant, "memory", "shared")]

    async def test_reading_across_tenants_is_refused(self, store: BaseStore) -> None:
        self._need("refuses_cross_tenant")
        from agentgraph.errors import InvalidInputError

        await store.aput(_SHARED, "k", {"text": "secret"})
        with pytest.raises(InvalidInputError):
            await store.asearch(())
        with pytest.raises(InvalidInputError):
            await store.asearch((), query="secret")
        for prefix in (None, ("*",), ("*", "memory")):
            with pytest.raises(InvalidInputError):
                await store.alist_namespaces(prefix=prefix)

    @pytest.mark.parametrize("namespace", [("acme", ""), ("acme", "a.b"), ()])
    async def test_langgraphs_rules_for_namespaces_hold(self, store: BaseStore, namespace: tuple[str, ...]) -> None:
        with pytest.raises(InvalidNamespaceError):
            await store.aput(namespace, "k", {"text": "no"})

    async def test_namespaces_are_listed(self, store: BaseStore) -> None:
        for namespace in (("acme", "a", "x"), ("acme", "a", "y"), ("acme", "b", "x", "deep"), ("acme", "c")):
            await store.abatch([PutOp(namespace, "k", {"text": "t"}), PutOp(namespace, "l", {"text": "u"})])
        every = [("acme", "a", "x"), ("acme", "a", "y"), ("acme", "b", "x", "deep"), ("acme", "c")]
        listed = store.alist_namespaces
        assert await listed(prefix=("acme",)) == every
        assert await listed(prefix=("acme", "a")) == every[:2]
        assert await listed(prefix=("acme", "*", "x")) == [every[0], every[2]]
        assert await listed(prefix=("acme",), suffix=("x",)) == [every[0]]
        assert await listed(prefix=("acme",), suffix=("x", "*")) == [every[2]]
        assert await listed(prefix=("acme",), max_depth=2) == [("acme", "a"), ("acme", "b"), ("acme", "c")]
        assert await listed(prefix=("acme",), max_depth=2, limit=1, offset=1) == [("acme", "b")]
        assert await listed(prefix=("nobody",)) == []

    # Pages.

    async def test_pages_cover_everything_once(self, store: BaseStore) -> None:
        await store.abatch([PutOp(_SHARED, f"k{n:02}", {"text": "same words", "n": n}) for n in range(23)])
        for query in (None, "same words"):
            pages = [await store.asearch(_SHARED, query=query, limit=5, offset=start) for start in range(0, 30, 5)]
            assert [len(page) for page in pages] == [5, 5, 5, 5, 3, 0]
            assert len({item.key for page in pages for item in page}) == 23

    async def test_limit_defaults_to_ten(self, store: BaseStore) -> None:
        await store.abatch([PutOp(_SHARED, f"k{n}", {"text": f"t {n}"}) for n in range(12)])
        assert len(await store.asearch(_SHARED)) == 10
        assert await store.asearch(_SHARED, limit=0) == []

    async def test_without_a_query_the_newest_come_first(self, store: BaseStore) -> None:
        self._need("newest_first")
        for key in ("a", "b", "c"):
            await store.aput(_SHARED, key, {"text": key})
            await asyncio.sleep(0.002)
        await store.aput(_SHARED, "a", {"text": "a again"})
        assert _keys(await store.asearch(_SHARED)) == ["a", "c", "b"]

    # Filters.

    async def test_filters_on_numbers(self, store: BaseStore) -> None:
        await store.abatch([PutOp(_SHARED, str(n), {"text": "t", "n": n}) for n in (-2, 1, 2.5, 9, 10, 100)])
        expected = {
            "$eq": ["2.5"],
            "$ne": ["-2", "1", "10", "100", "9"],
            "$gt": ["10", "100", "9"],
            "$gte": ["10", "100", "2.5", "9"],
            "$lt": ["-2", "1"],
            "$lte": ["-2", "1", "2.5"],
        }
        for operator, keys in expected.items():
            for query in (None, "t"):
                found = await store.asearch(_SHARED, filter={"n": {operator: 2.5}}, query=query)
                assert sorted(_keys(found)) == keys, operator

    async def test_filters_on_padded_times(self, store: BaseStore) -> None:
        times = [0, 999, 1_000, 63_871_234_567_890, 999_999_999_999_999]
        keys = [f"{time:015}" for time in times]
        values = [{"text": "t", "time_start": key, "recorded_at": key, "other": key} for key in keys]
        await store.abatch([PutOp(_SHARED, key, value) for key, value in zip(keys, values, strict=True)])
        expected: dict[str, list[str]] = {
            "$eq": keys[2:3],
            "$ne": keys[:2] + keys[3:],
            "$gt": keys[3:],
            "$gte": keys[2:],
            "$lt": keys[:2],
            "$lte": keys[:3],
        }
        for field in ("time_start", "recorded_at", "other"):
            for operator, wanted in expected.items():
                for query in (None, "t"):
                    found = await store.asearch(_SHARED, filter={field: {operator: keys[2]}}, query=query)
                    assert sorted(_keys(found)) == wanted, (field, operator, query)

    async def test_a_window_finds_what_overlaps_it(self, store: BaseStore) -> None:
        spans = {
            "before": (10, 20),
            "touches": (20, 30),
            "into": (25, 35),
            "in": (31, 32),
            "around": (1, 99),
            "at": (40, 50),
        }
        await store.abatch(
            [
                PutOp(_SHARED, key, {"text": "t", "time_start": f"{start:015}", "time_end": f"{end:015}"})
                for key, (start, end) in spans.items()
            ]
        )
        window = {"time_start": {"$lt": f"{40:015}"}, "time_end": {"$gt": f"{30:015}"}}
        for query in (None, "t"):
            assert sorted(_keys(await store.asearch(_SHARED, filter=window, query=query))) == ["around", "in", "into"]

    async def test_filters_on_equal_values(self, store: BaseStore) -> None:
        values: dict[str, dict[str, Any]] = {
            "text": {"f": "red"},
            "number": {"f": 1},
            "true": {"f": True, "g": "x"},
            "list": {"f": ["red", 1]},
            "nested": {"f": {"color": "red", "size": 2}},
            "absent": {"g": "x"},
        }
        await store.abatch([PutOp(_SHARED, key, {"text": "t", **value}) for key, value in values.items()])
        for condition, keys in (
            ({"f": "red"}, ["text"]),
            ({"f": ["red", 1]}, ["list"]),
            ({"f": {"color": "red"}}, ["nested"]),
            ({"f": {"color": "blue"}}, []),
            ({"f": {"$eq": "red"}}, ["text"]),
            ({"f": {"$ne": "red"}, "g": "x"}, ["absent", "true"]),
            ({"g": "x", "f": None}, ["absent"]),
            ({"f": "RED"}, []),
            ({}, sorted(values)),
        ):
            for query in (None, "t"):
                assert sorted(_keys(await store.asearch(_SHARED, filter=condition, query=query))) == keys, condition

    async def test_filters_nest(self, store: BaseStore) -> None:
        await store.abatch([PutOp(_SHARED, str(n), {"text": "t", "deep": {"n": n, "k": "v"}}) for n in (1, 2, 3)])
        found = await store.asearch(_SHARED, filter={"deep": {"n": {"$gte": 2}, "k": "v"}})
        assert sorted(_keys(found)) == ["2", "3"]

    async def test_conditions_on_one_field_all_hold(self, store: BaseStore) -> None:
        await store.abatch([PutOp(_SHARED, str(n), {"text": "t", "n": n}) for n in range(10)])
        assert sorted(_keys(await store.asearch(_SHARED, filter={"n": {"$gt": 3, "$lt": 6}}))) == ["4", "5"]

    async def test_a_filter_comes_before_the_ranking(self, store: BaseStore) -> None:
        puts = [PutOp(_SHARED, f"near{n}", {"text": f"red car {n}", "kind": "other"}) for n in range(50)]
        await store.abatch([*puts, PutOp(_SHARED, "far", {"text": "a blue car", "kind": "wanted"})])
        found = await store.asearch(_SHARED, query="red car", filter={"kind": "wanted"}, limit=1)
        assert _keys(found) == ["far"]

    # Search by a query.

    async def test_a_query_ranks(self, store: BaseStore) -> None:
        self._need("searches_by_meaning")
        texts = {"car": "I bought a red car", "seat": "I prefer aisle seats", "trip": "we plan a trip to Japan"}
        await store.abatch([PutOp(_SHARED, key, {"text": text}) for key, text in texts.items()])
        for query, best in (("red car", "car"), ("aisle seats", "seat"), ("trip to Japan", "trip")):
            found = await store.asearch(_SHARED, query=query)
            assert found[0].key == best
            scores = [item.score for item in found if item.score is not None]
            assert scores == sorted(scores, reverse=True)
            assert all(-1e-6 <= score <= 1 + 1e-6 for score in scores if score == scores[0])

    async def test_an_overwritten_text_is_found_no_more(self, store: BaseStore) -> None:
        self._need("searches_by_meaning")
        await store.abatch([PutOp(_SHARED, "k", {"text": "zebra"}), PutOp(_SHARED, "other", {"text": "quiet evening"})])
        await store.asearch(_SHARED, query="zebra")
        await store.aput(_SHARED, "k", {"text": "quiet giraffe"})
        assert (await store.asearch(_SHARED, query="giraffe"))[0].key == "k"
        zebra = await store.asearch(_SHARED, query="zebra")
        assert all(item.value["text"] != "zebra" for item in zebra)

    async def test_index_false_keeps_an_item_out_of_the_ranking(self, store: BaseStore) -> None:
        self._need("searches_by_meaning")
        await store.aput(_SHARED, "hidden", {"text": "red car"}, index=False)
        await store.aput(_SHARED, "shown", {"text": "a red bicycle"})
        found = await store.asearch(_SHARED, query="red car")
        assert found[0].key == "shown"
        assert all(item.score is None for item in found if item.key == "hidden")
        assert await store.aget(_SHARED, "hidden") is not None
        assert sorted(_keys(await store.asearch(_SHARED))) == ["hidden", "shown"]

    async def test_index_names_the_fields_to_search(self, store: BaseStore) -> None:
        self._need("searches_by_meaning")
        await store.aput(_SHARED, "a", {"title": "red car", "note": "green boat"}, index=["title"])
        await store.aput(_SHARED, "b", {"title": "yellow plane", "note": "red car"}, index=["title"])
        await store.aput(_SHARED, "c", {"parts": [{"t": "iron gate"}, {"t": "tall tower"}]}, index=["parts[*].t"])
        assert (await store.asearch(_SHARED, query="red car"))[0].key == "a"
        found = await store.asearch(_SHARED, query="tall tower")
        assert found[0].key == "c"
        assert len(found) == len({item.key for item in found})

    @pytest.mark.parametrize("query", ["seats", "SEAT", "aisle seating?", '"aisle" AND (seat* OR NEAR', "prefers"])
    async def test_a_query_finds_words(self, store: BaseStore, query: str) -> None:
        self._need("searches_by_words")
        await store.abatch(
            [PutOp(_SHARED, "seat", {"text": "I prefer aisle seats"}), PutOp(_SHARED, "car", {"text": "a red car"})]
        )
        assert (await store.asearch(_SHARED, query=query))[0].key == "seat"

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "   ",
            '"',
            "*",
            "AND",
            "a OR",
            "text:",
            "(",
            "NEAR(",
            "^",
            "-",
            "'; DROP TABLE items; --",
            "\x00",
            "\ud800",
        ],
    )
    async def test_no_query_is_malformed(self, store: BaseStore, query: str) -> None:
        if query == "\ud800" and not self.searches_by_words:
            pytest.skip("half a character is for the embedding model to refuse")
        await store.aput(_SHARED, "k", {"text": "here"})
        assert len(await store.asearch(_SHARED, query=query)) <= 1

    async def test_the_hybrid_ranking_covers_exact_leaves(self, store: BaseStore) -> None:
        if not isinstance(store, HybridSearch):
            pytest.skip("the store has no arank")
        everyone = ("_global", "memory", "shared")
        places = [_SHARED, _USER, everyone, ("acme", "memory", "user", "u2"), (*_USER, "below")]
        await store.abatch([PutOp(place, "/".join(place), {"text": "red car"}) for place in places])
        ranked = await store.arank([_SHARED, _USER, everyone], "red car")
        assert sorted(hit.item.key for hit in ranked) == [
            "_global/memory/shared",
            "acme/memory/shared",
            "acme/memory/user/u1",
        ]
        for hit in ranked:
            assert hit.item.namespace in places[:3]
            assert hit.lexical is None or hit.lexical > 0
            assert hit.dense is None or -1 <= hit.dense <= 1
            assert 0 <= hit.fused <= 1
        assert await store.arank([_SHARED], "red car", filter={"text": "blue"}) == []
        assert len(await store.arank([_SHARED, _USER], "red car", limit=1)) == 1
        assert await store.arank([], "red car") == []

    # Time to live.

    async def test_an_item_expires(self, store: BaseStore) -> None:
        if not store.supports_ttl:
            pytest.skip("the store has no time to live")
        await store.aput(_SHARED, "short", {"text": "fleeting"}, ttl=0.05 / 60)
        await store.aput(_SHARED, "long", {"text": "lasting"}, ttl=60)
        await asyncio.sleep(0.1)
        assert await store.aget(_SHARED, "short") is None
        assert _keys(await store.asearch(_SHARED)) == ["long"]
        assert _keys(await store.asearch(_SHARED, query="fleeting")) in ([], ["long"])

    # The sync face.

    async def test_the_sync_face_does_the_same(self, store: BaseStore) -> None:
        def use() -> tuple[Any, list[SearchItem], list[tuple[str, ...]]]:
            store.put(_SHARED, "k", {"text": "by thread"})
            store.put(_SHARED, "gone", {"text": "by thread"})
            store.delete(_SHARED, "gone")
            return store.get(_SHARED, "k"), store.search(_SHARED), store.list_namespaces(prefix=("acme",))

        item, found, namespaces = await asyncio.to_thread(use)
        assert item.value == {"text": "by thread"}
        assert _keys(found) == ["k"]
        assert namespaces == [_SHARED]


def _keys(items: list[SearchItem]) -> list[str]:
    return [item.key for item in items]
