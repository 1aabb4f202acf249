"""What `FaissStore` promises beyond the contract: crashes, processes, tenants, models and time."""

import asyncio
import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp, SearchOp

from agentgraph.errors import InvalidInputError, StoreError
from agentgraph.scope import tenant_directory
from agentgraph.stores import faiss
from agentgraph.stores.faiss import FaissStore
from agentgraph.stores.hybrid import HybridSearch
from agentgraph.testing import HashEmbeddings

SHARED = ("acme", "memory", "shared")
GLOBAL = ("_global", "memory", "shared")


class Clock:
    def __init__(self):
        self.now = datetime(2026, 3, 2, tzinfo=UTC).timestamp()

    def __call__(self):
        return self.now


@pytest.fixture
async def store(tmp_path):
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), sync="normal") as store:
        yield store


def keys(found):
    return [item.key for item in found]


def span(start, end):
    return {"time_start": f"{start:015}", "time_end": f"{end:015}"}


def overlapping(start, end):
    return {"time_start": {"$lt": f"{end:015}"}, "time_end": {"$gt": f"{start:015}"}}


# Tenants.


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "../acme", "a b", "a:b", "ä", "a\x00", "x" * 200, "~"])
async def test_an_invalid_tenant_is_refused_and_leaves_no_trace(store, tmp_path, tenant):
    for call in (
        store.abatch([PutOp((tenant, "memory"), "k", {})]),
        store.abatch([SearchOp((tenant,))]),
        store.arank([(tenant, "memory")], "q"),
    ):
        with pytest.raises(InvalidInputError):
            await call
    assert list(tmp_path.iterdir()) == []


async def test_each_tenant_has_a_directory_of_its_own(store, tmp_path):
    for tenant in ("acme", "Acme", "acme_memory"):
        await store.aput((tenant, "memory", "shared"), "k", {"text": tenant})
        assert (tenant_directory(tmp_path, tenant) / "memory.db").exists()
    assert len({path.name.casefold() for path in tmp_path.iterdir()}) == 3


async def test_reading_creates_nothing(store, tmp_path):
    assert await store.aget(SHARED, "k") is None
    assert await store.asearch(SHARED, query="q") == []
    assert await store.arank([SHARED, GLOBAL], "q") == []
    assert await store.alist_namespaces(prefix=("acme",)) == []
    assert (await store.stats("acme")).items == 0
    await store.adelete(SHARED, "k")
    assert list(tmp_path.iterdir()) == []


async def test_a_write_after_a_read_of_nothing_is_seen(store):
    results = await asyncio.gather(
        *(store.aget(SHARED, "k") for _ in range(8)), store.aput(SHARED, "k", {"text": "x"}), store.aget(SHARED, "k")
    )
    assert all(item is None or item.key == "k" for item in results)
    assert (await store.aget(SHARED, "k")).value == {"text": "x"}


async def test_deleting_a_tenant_removes_its_directory_and_nothing_else(store, tmp_path):
    for tenant in ("acme", "acme_memory"):
        await store.aput((tenant, "memory", "shared"), "k", {"text": "secret"})
    await store.delete_tenant("acme")
    assert [path.name for path in tmp_path.iterdir()] == ["acme_memory"]
    assert await store.aget(SHARED, "k") is None
    assert await store.asearch(SHARED, query="secret") == []
    await store.aput(SHARED, "again", {"text": "a new life"})
    assert keys(await store.asearch(SHARED, query="secret life")) == ["again"]
    await store.delete_tenant("nobody")


async def test_a_tenant_deleted_by_another_process_is_gone(store, tmp_path):
    await store.aput(SHARED, "k", {"text": "secret"})
    await store.asearch(SHARED, query="secret")
    async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as other:
        await other.delete_tenant("acme")
    assert await store.asearch(SHARED, query="secret") == []
    await store.aput(SHARED, "new", {"text": "fresh"})
    assert keys(await store.asearch(SHARED)) == ["new"]


async def test_only_hot_tenants_stay_open(tmp_path):
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), sync="normal", hot_tenants=2) as store:
        await asyncio.gather(*(store.aput((f"t{n}", "m"), "k", {"text": f"word {n}"}) for n in range(12)))
        for n in range(12):
            assert keys(await store.asearch((f"t{n}",), query=f"word {n}")) == ["k"]
        assert len(store._tenants) <= 2


async def test_one_ranking_covers_several_tenants_with_equal_item_numbers(store):
    await store.aput(SHARED, "ours", {"text": "red car"})
    await store.aput(GLOBAL, "theirs", {"text": "red car of everybody"})
    ranked = await store.arank([GLOBAL, SHARED], "red car")
    assert [hit.item.key for hit in ranked] == ["ours", "theirs"]
    assert ranked[0].item.namespace == SHARED
    crossing = [store.arank([GLOBAL, SHARED] if n % 2 else [SHARED, GLOBAL], "red car") for n in range(32)]
    async with asyncio.timeout(20):
        assert all(len(found) == 2 for found in await asyncio.gather(*crossing))


def test_it_is_a_hybrid_search(tmp_path):
    assert issubclass(FaissStore, HybridSearch)


async def test_a_pool_of_one_thread_is_enough(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        async with FaissStore(tmp_path, embeddings=HashEmbeddings(), pool=pool, hot_tenants=1) as store:
            async with asyncio.timeout(20):
                await asyncio.gather(*(store.aput((f"t{n}", "m"), "k", {"text": "red car"}) for n in range(6)))
                namespaces = [(f"t{n}", "m") for n in range(6)]
                found = await asyncio.gather(*(store.arank(namespaces, "red car") for _ in range(6)))
                assert all(len(ranked) == 6 for ranked in found)
                await store.delete_tenant("t1")
        assert pool.submit(lambda: 1).result() == 1


async def test_a_cancelled_search_holds_up_nobody(store):
    await store.aput(SHARED, "k", {"text": "red car"})
    for delay in (0, 0.0001, 0.001):
        searches = [asyncio.ensure_future(store.arank([SHARED], f"red car {n}")) for n in range(20)]
        await asyncio.sleep(delay)
        for search in searches[::2]:
            search.cancel()
        done = await asyncio.gather(*searches, return_exceptions=True)
        assert all(len(found) == 1 for found in done[1::2])


async def test_a_closed_store_says_so(tmp_path):
    store = FaissStore(tmp_path, embeddings=None)
    await store.aput(SHARED, "k", {"text": "x"})
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await store.aget(SHARED, "k")


# What may be stored.


async def test_what_cannot_be_stored_everywhere_is_replaced(store):
    await store.aput(SHARED, "k", {"te\x00xt": "a\x00b\ud800c"})
    assert (await store.aget(SHARED, "k")).value == {"te\ufffdxt": "a\ufffdb\ufffdc"}
    assert keys(await store.asearch(SHARED, filter={"te\x00xt": "a\x00b\ud800c"})) == ["k"]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), 2**64, -(2**70), 10**300, 0.1, 1e308, -0.0])
async def test_any_number_survives(store, number):
    await store.aput(SHARED, "k", {"n": number, "l": [number], "s": "1234567890123456789012"})
    value = (await store.aget(SHARED, "k")).value
    assert value == {"n": number, "l": [number], "s": "1234567890123456789012"}
    assert type(value["n"]) is type(number)
    assert keys(await store.asearch(SHARED, filter={"n": number})) == ["k"]
    assert keys(await store.asearch(SHARED, filter={"n": {"$gte": number}})) == ["k"]


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"n": math.nan},
        {"n": [math.inf]},
        {"n": b"bytes"},
        {"n": {1}},
        {"n": datetime.now(UTC)},
        {1: "x"},
        deep(200),
        ["x"],
    ],
    ids=["nan", "inf", "bytes", "set", "datetime", "int key", "deep", "list"],
)
async def test_what_is_not_json_is_refused(store, value):
    with pytest.raises(InvalidInputError):
        await store.aput(SHARED, "k", value)
    assert await store.aget(SHARED, "k") is None


@pytest.mark.parametrize("key", ["", "a\x00b", "a\x1fb", "\ud800", "x" * 2_000])
async def test_keys_that_could_become_another_are_refused(store, key):
    with pytest.raises(InvalidInputError):
        await store.aput(SHARED, key, {"text": "x"})
    with pytest.raises(InvalidInputError):
        await store.abatch([PutOp(("acme", key), "k", {"text": "x"})])


async def test_a_batch_with_one_bad_write_writes_nothing(store):
    with pytest.raises(InvalidInputError):
        await store.abatch([PutOp(SHARED, "good", {"text": "x"}), PutOp(SHARED, "bad", {"n": math.nan})])
    assert await store.asearch(SHARED) == []


@pytest.mark.parametrize(
    "condition", [{"a": {"$regex": "x"}}, {"a": {"$gt": math.nan}}, ["a"], {"a": {"b": {"$in": [1]}}}]
)
async def test_a_malformed_filter_is_refused(store, condition):
    with pytest.raises(InvalidInputError):
        await store.asearch(SHARED, filter=condition)


async def test_negative_limits_are_refused(store):
    with pytest.raises(InvalidInputError):
        await store.asearch(SHARED, limit=-1)
    with pytest.raises(InvalidInputError):
        await store.asearch(SHARED, offset=-1)


# Words and meaning.


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("来月、日本へ旅行に行きます", "日本"),
        ("我上周买了一辆新车", "新车"),
        ("車を買った", "車"),
        ("제주도로 여행을 갑니다", "여행"),
        ("ฉันชอบกาแฟ", "กาแฟ"),
        ("Ich fahre morgen über die Straße", "strasse"),
        ("Voy a la reunión mañana", "reunion manana"),
        ("मुझे चाय पसंद है", "चाय"),
        ("She visited the factories", "visiting a factory"),
        ("order no. 4711-B", "4711"),
    ],
)
async def test_words_are_found_in_many_scripts(tmp_path, text, query):
    async with FaissStore(tmp_path, embeddings=None, sync="normal") as store:
        await store.aput(SHARED, "k", {"text": text}, index=["text"])
        await store.aput(SHARED, "other", {"text": "wholly unrelated words"}, index=["text"])
        assert keys(await store.asearch(SHARED, query=query)) == ["k"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=60) | st.text(alphabet='"*()^:-+ANDORNEAT \x00\ud800é日', max_size=30))
async def test_no_query_raises(store, query):
    await store.aput(SHARED, "k", {"text": "here"})
    await store.asearch(SHARED, query=query)
    for hit in await store.arank([SHARED], query):
        assert 0 <= hit.fused <= 1


async def test_the_ranking_shows_both_scores(store):
    await store.aput(SHARED, "both", {"text": "red car"}, index=["text"])
    await store.aput(SHARED, "neither", {"text": "quiet evening"}, index=["text"])
    await store.aput(SHARED, "hidden", {"text": "red car"}, index=False)
    both, neither = await store.arank([SHARED], "red car")
    assert both.item.key == "both"
    assert both.dense == pytest.approx(1, abs=1e-3)
    assert both.lexical > 0
    assert 0.5 < both.fused <= 1
    assert neither.lexical is None
    assert -1 <= neither.dense <= 1
    assert neither.fused < both.fused


async def test_a_given_query_vector_is_used_as_it_is(store):
    embeddings = store.embeddings
    await store.aput(SHARED, "a", {"text": "red car"}, index=["text"])
    await store.aput(SHARED, "b", {"text": "blue boat"}, index=["text"])
    vector = embeddings.embed_query("blue boat")
    embeddings.calls.clear()
    ranked = await store.arank([SHARED], "", query_vector=vector)
    assert ranked[0].item.key == "b"
    assert embeddings.calls == []
    for bad in ([1.0, 2.0], [math.nan] * 64, [], [[1.0]]):
        with pytest.raises(InvalidInputError):
            await store.arank([SHARED], "", query_vector=bad)


async def test_texts_are_embedded_once_and_queries_only_where_there_are_vectors(store):
    embeddings = store.embeddings
    await store.abatch([PutOp(SHARED, f"k{n}", {"text": f"text {n % 2}"}, index=["text"]) for n in range(10)])
    assert embeddings.calls == [["text 0", "text 1"]]
    embeddings.calls.clear()
    await store.arank([SHARED], "question")
    await store.arank([SHARED], "question")
    assert embeddings.calls == [["question"]]
    await store.aput(("quiet", "notes"), "k", {"text": "x"}, index=False)
    embeddings.calls.clear()
    assert await store.arank([("quiet", "notes")], "other") == []
    assert embeddings.calls == []


async def test_an_item_with_several_texts_is_found_once_by_its_best(store):
    value = {"parts": ["red car", "blue boat", "green tree"]}
    await store.aput(SHARED, "many", value, index=["parts[*]"])
    await store.aput(SHARED, "one", {"parts": ["blue sky"]}, index=["parts[*]"])
    for query in ("red car", "blue boat", "green tree"):
        ranked = await store.arank([SHARED], query)
        assert [hit.item.key for hit in ranked] == ["many", "one"]
        assert ranked[0].dense == pytest.approx(1, abs=1e-3)
    assert (await store.stats("acme")).entries == 4


class Failing(HashEmbeddings):
    def embed_documents(self, texts):
        raise ConnectionError("no model today")


async def test_an_embedding_model_that_fails_writes_nothing(tmp_path):
    async with FaissStore(tmp_path, embeddings=Failing()) as store:
        with pytest.raises(ConnectionError):
            await store.aput(SHARED, "k", {"text": "x"})
        await store.aput(SHARED, "note", {"text": "x"}, index=False)
        assert keys(await store.asearch(SHARED)) == ["note"]


class Moody(HashEmbeddings):
    mood = "well"

    async def aembed_query(self, text):
        if self.mood == "failing":
            raise ConnectionError("no model today")
        if self.mood == "hanging":
            await asyncio.Event().wait()
        return await super().aembed_query(text)


@pytest.mark.parametrize("mood", ["failing", "hanging"])
async def test_an_embedding_model_that_is_away_leaves_words_to_search_by(tmp_path, monkeypatch, caplog, mood):
    monkeypatch.setattr(faiss, "_QUERY_BUDGET_S", 0.05)
    embeddings = Moody()
    async with FaissStore(tmp_path, embeddings=embeddings) as store:
        await store.aput(SHARED, "dog", {"text": "a dog called Rex"})
        await store.aput(SHARED, "boat", {"text": "a blue boat"})
        embeddings.mood = mood
        async with asyncio.timeout(5):
            store.prepare([SHARED], "Rex")
            (hit, *_) = await store.arank([SHARED], "Rex")
        assert (hit.item.key, hit.dense) == ("dog", None)
        assert "by their words alone" in caplog.text
        embeddings.mood = "well"
        (hit, *_) = await store.arank([SHARED], "Rex")
        assert hit.dense is not None


class Broken(HashEmbeddings):
    made = ()

    def embed_documents(self, texts):
        return self.made


@pytest.mark.parametrize("made", [[], [[]], [[math.nan] * 4], [[1.0], [1.0]], [["x"]]])
async def test_vectors_that_are_none_are_refused(tmp_path, made):
    embeddings = Broken()
    embeddings.made = made
    async with FaissStore(tmp_path, embeddings=embeddings) as store:
        with pytest.raises(StoreError):
            await store.aput(SHARED, "k", {"text": "x"})


# Models.


async def test_vectors_of_another_model_are_kept_and_not_searched(tmp_path):
    old, new = HashEmbeddings(64, model_id="old"), HashEmbeddings(32, model_id="new")
    async with FaissStore(tmp_path, embeddings=old) as store:
        await store.abatch([PutOp(SHARED, f"k{n}", {"text": f"memory {n}"}, index=["text"]) for n in range(600)])
        await store.aput(SHARED, "hidden", {"text": "memory"}, index=False)
    async with FaissStore(tmp_path, embeddings=new) as store:
        before = await store.stats("acme")
        assert (before.vectors, before.stale_vectors) == (0, 600)
        (hit,) = await store.arank([SHARED], "memory 7", limit=1)
        assert (hit.item.key, hit.dense) == ("k7", None)
        steps = []
        assert await store.reembed("acme", progress=lambda done, total: steps.append((done, total))) == 600
        assert steps[-1] == (600, 600)
        after = await store.stats("acme")
        assert (after.vectors, after.stale_vectors) == (600, 0)
        (hit,) = await store.arank([SHARED], "memory 7", limit=1)
        assert hit.item.key == "k7"
        assert hit.dense == pytest.approx(1, abs=1e-3)
        assert await store.reembed("acme") == 0
        assert await store.reembed("nobody") == 0
        first = await store.aget(SHARED, "k7")
    async with FaissStore(tmp_path, embeddings=new) as store:
        assert await store.aget(SHARED, "k7") == first


async def test_what_was_written_without_a_model_can_be_embedded_later(tmp_path):
    async with FaissStore(tmp_path, embeddings=None) as store:
        await store.aput(SHARED, "k", {"text": "red car"})
        with pytest.raises(InvalidInputError):
            await store.reembed("acme")
    async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as store:
        assert await store.reembed("acme") == 1
        (hit,) = await store.arank([SHARED], "red car")
        assert hit.dense is not None


async def test_two_stores_with_two_models_share_one_file(tmp_path):
    one = FaissStore(tmp_path, embeddings=HashEmbeddings(64, model_id="one"))
    two = FaissStore(tmp_path, embeddings=HashEmbeddings(32, model_id="two"))
    async with one, two:
        await one.aput(SHARED, "k", {"text": "red car"}, index=["text"])
        await two.aput(SHARED, "l", {"text": "red car"}, index=["text"])
        for store, mine in ((one, "k"), (two, "l")):
            ranked = await store.arank([SHARED], "red car")
            assert {hit.item.key: hit.dense is not None for hit in ranked} == {"k": mine == "k", "l": mine == "l"}


# Crashes and processes.

WRITER = """
import asyncio, sys
from pathlib import Path
from agentgraph.stores.faiss import FaissStore
from agentgraph.testing import HashEmbeddings

async def main():
    async with FaissStore(Path(sys.argv[1]), embeddings=HashEmbeddings()) as store:
        for n in range(int(sys.argv[2])):
            await store.aput(("acme", "memory", "shared"), f"p{n}", {"text": f"written number{n}"}, index=["text"])
            print(n, flush=True)

asyncio.run(main())
"""


def writer(directory, count):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(directory), str(count)], stdout=subprocess.PIPE, text=True
    )


async def test_kill_9_loses_nothing_acknowledged(tmp_path):
    with writer(tmp_path, 100_000) as process:
        acknowledged = -1
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= 40:
                os.kill(process.pid, signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])
    assert process.returncode == -signal.SIGKILL
    async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as store:
        stats = await store.stats("acme")
        assert stats.items in {acknowledged + 1, acknowledged + 2}
        assert stats.vectors == stats.items
        for n in (0, acknowledged // 2, acknowledged):
            assert keys(await store.asearch(SHARED, query=f"number{n}", limit=1)) == [f"p{n}"]


async def test_another_process_s_writes_are_seen_at_once(store, tmp_path):
    await store.aput(SHARED, "mine", {"text": "written here"}, index=["text"])
    assert keys(await store.asearch(SHARED, query="written")) == ["mine"]
    with writer(tmp_path, 5) as process:
        for line in process.stdout:
            n = int(line)
            assert f"p{n}" in keys(await store.asearch(SHARED, query=f"number{n}", limit=3))
            await store.aput(SHARED, f"m{n}", {"text": "between"}, index=["text"])
    assert process.returncode == 0
    assert len(await store.asearch(SHARED, query="written", limit=100)) == 11


async def test_a_warm_index_equals_a_cold_one(tmp_path):
    generator = np.random.default_rng(3)
    words = [f"w{n}" for n in range(40)]
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), sync="normal") as warm:
        for step in range(40):
            ops = []
            for _ in range(40):
                key = f"k{generator.integers(400)}"
                start = int(generator.integers(1_000))
                text = " ".join(generator.choice(words, 6))
                value = {"text": text, **(span(start, start + 9) if generator.random() < 0.7 else {})}
                ops.append(PutOp(SHARED, key, None if generator.random() < 0.2 else value, index=["text"]))
            await warm.abatch(ops)
            if step % 13 == 12:
                async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as cold:
                    for condition in (None, overlapping(300, 400)):
                        one = await warm.arank([SHARED], "w1 w2 w3", filter=condition, limit=1_000)
                        other = await cold.arank([SHARED], "w1 w2 w3", filter=condition, limit=1_000)
                        assert {hit.item.key for hit in one} == {hit.item.key for hit in other}
                        dense = {hit.item.key: hit.dense for hit in other}
                        assert all(hit.dense == pytest.approx(dense[hit.item.key], abs=1e-5) for hit in one)


async def test_a_file_that_is_no_database_is_an_error_and_others_go_on(store, tmp_path):
    directory = tenant_directory(tmp_path, "acme")
    directory.mkdir()
    (directory / "memory.db").write_bytes(b"not a database" * 1_000)
    for _ in range(2):
        with pytest.raises(StoreError):
            await store.aget(SHARED, "k")
        with pytest.raises(StoreError):
            await store.aput(SHARED, "k", {"text": "x"})
    await store.aput(GLOBAL, "k", {"text": "x"})
    assert await store.sweep() == 0
    await store.delete_tenant("acme")
    await store.aput(SHARED, "k", {"text": "x"})


async def test_a_lost_index_is_rebuilt_and_lost_vectors_can_be(tmp_path):
    async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as store:
        await store.aput(SHARED, "k", {"text": "red car"}, index=["text"])
        await store.asearch(SHARED, query="red")
        connection = sqlite3.connect(tenant_directory(tmp_path, "acme") / "memory.db")
        connection.execute("UPDATE entries SET vector = NULL, model = NULL")
        connection.commit()
        connection.close()
    async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as store:
        assert (await store.arank([SHARED], "red"))[0].dense is None
        assert await store.reembed("acme") == 1
        assert (await store.arank([SHARED], "red"))[0].dense > 0


async def test_nothing_of_a_deleted_item_stays_on_disk(tmp_path):
    async with FaissStore(tmp_path, embeddings=HashEmbeddings()) as store:
        await store.aput(SHARED, "k", {"text": "the password is Xylophone77"})
        await store.aput(SHARED, "other", {"text": "something else"})
        await store.adelete(SHARED, "k")
        await store.scrub("acme")
        await store.scrub("nobody")
        for file in tenant_directory(tmp_path, "acme").iterdir():
            assert b"Xylophone77" not in file.read_bytes()
        assert keys(await store.asearch(SHARED, query="something")) == ["other"]


# Time.


async def test_expired_items_are_gone_at_once_and_swept_later(tmp_path):
    clock = Clock()
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), clock=clock) as store:
        await store.aput(SHARED, "short", {"text": "red car"}, ttl=10)
        await store.aput(SHARED, "long", {"text": "red car"})
        await store.aput(("Beta", "m"), "short", {"text": "x"}, ttl=10)
        clock.now += 9 * 60
        assert sorted(keys(await store.asearch(SHARED, query="red", refresh_ttl=False))) == ["long", "short"]
        clock.now += 2 * 60
        assert await store.aget(SHARED, "short") is None
        assert keys(await store.asearch(SHARED)) == ["long"]
        assert keys(await store.asearch(SHARED, query="red car")) == ["long"]
        assert [hit.item.key for hit in await store.arank([SHARED], "red car")] == ["long"]
        assert await store.alist_namespaces(prefix=("Beta",)) == []
        assert await store.sweep() == 2
        assert await store.sweep() == 0


async def test_reading_lets_a_time_to_live_begin_anew(tmp_path):
    clock = Clock()
    async with FaissStore(tmp_path, embeddings=HashEmbeddings(), clock=clock) as store:
        await store.aput(SHARED, "k", {"text": "red car"}, ttl=10)
        for read in (
            lambda: store.aget(SHARED, "k"),
            lambda: store.asearch(SHARED),
            lambda: store.asearch(SHARED, query="red"),
        ):
            clock.now += 9 * 60
            assert await read()
        clock.now += 9 * 60
        assert await store.aget(SHARED, "k", refresh_ttl=False) is not None
        clock.now += 2 * 60
        assert await store.aget(SHARED, "k") is None


async def test_a_default_time_to_live_applies(tmp_path):
    clock = Clock()
    ttl = {"default_ttl": 5, "refresh_on_read": False}
    async with FaissStore(tmp_path, embeddings=None, clock=clock, ttl=ttl) as store:
        await store.aput(SHARED, "k", {"text": "x"})
        await store.aput(SHARED, "kept", {"text": "x"}, ttl=None)
        clock.now += 299
        assert await store.aget(SHARED, "k") is not None
        clock.now += 2
        assert await store.aget(SHARED, "k") is None
        assert await store.aget(SHARED, "kept") is not None


SPANS = st.lists(
    st.none() | st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=SPANS,
    after=SPANS,
    window=st.tuples(st.integers(0, 70), st.integers(0, 70)),
    operators=st.sampled_from([("$lt", "$gt"), ("$lte", "$gte"), ("$gt", "$lt"), ("$eq", "$ne"), ("$gte", "$lte")]),
)
async def test_a_window_is_exact(tmp_path_factory, before, after, window, operators):
    """What a search finds in a window is what comparing every memory by hand finds, by SQL and by index alike."""
    compare = {
        "$lt": lambda a, b: a is not None and a < b,
        "$lte": lambda a, b: a is not None and a <= b,
        "$gt": lambda a, b: a is not None and a > b,
        "$gte": lambda a, b: a is not None and a >= b,
        "$eq": lambda a, b: a == b,
        "$ne": lambda a, b: a != b,
    }
    spans = {f"k{n}": found for n, found in enumerate([*before, *after])}

    def put(key):
        return PutOp(SHARED, key, {"text": "same", **(span(*spans[key]) if spans[key] else {})}, index=["text"])

    expected = sorted(
        key
        for key, found in spans.items()
        if compare[operators[0]](found and found[0], window[0]) and compare[operators[1]](found and found[1], window[1])
    )
    condition = {
        "time_start": {operators[0]: f"{window[0]:015}"},
        "time_end": {operators[1]: f"{window[1]:015}"},
    }
    async with FaissStore(tmp_path_factory.mktemp("s"), embeddings=HashEmbeddings(), sync="normal") as store:
        await store.abatch([put(f"k{n}") for n in range(len(before))])
        await store.arank([SHARED], "same")  # the rest follows into a warm index
        await store.abatch([put(f"k{n}") for n in range(len(before), len(spans))])
        ranked = await store.arank([SHARED], "same", filter=condition, limit=100)
        assert sorted(hit.item.key for hit in ranked) == expected
        assert sorted(keys(await store.asearch(SHARED, filter=condition, limit=100))) == expected


async def test_a_filter_asked_again_sees_what_changed(store):
    condition = {"kind": "fact", "deep": {"n": {"$gte": 1}}, "time_start": {"$lt": f"{50:015}"}}

    async def found():
        return sorted(hit.item.key for hit in await store.arank([SHARED], "same", filter=condition))

    def value(kind, n=1, start=0):
        return {"text": "same", "kind": kind, "deep": {"n": n}, **span(start, start + 1)}

    await store.abatch([PutOp(SHARED, f"k{n}", value("fact" if n % 2 else "note"), index=["text"]) for n in range(6)])
    assert await found() == ["k1", "k3", "k5"]
    await store.aput(SHARED, "k0", value("fact"), index=["text"])
    await store.aput(SHARED, "k1", value("note"), index=["text"])
    await store.aput(SHARED, "k3", value("fact", n=0), index=["text"])
    await store.aput(SHARED, "k6", value("fact", start=60), index=["text"])
    assert await found() == ["k0", "k5"]
    await store.adelete(SHARED, "k5")
    await store.aput(SHARED, "k5", value("fact"), index=["text"])
    assert await found() == ["k0", "k5"]


async def test_times_spelt_otherwise_still_compare_as_text(store):
    await store.aput(SHARED, "odd", {"text": "t", "time_start": "2026-03-02"})
    await store.aput(SHARED, "key", {"text": "t", "time_start": f"{5:015}"})
    await store.aput(SHARED, "number", {"text": "t", "time_start": 5})
    for query in (None, "t"):
        found = await store.asearch(SHARED, filter={"time_start": {"$gt": f"{1:015}"}}, query=query)
        assert sorted(keys(found)) == ["key", "odd"]
        assert keys(await store.asearch(SHARED, filter={"time_start": 5}, query=query)) == ["number"]


async def test_ten_thousand_puts_go_in_at_once(store):
    ops = [
        PutOp(SHARED, f"k{n}", {"text": f"memory number {n}", **span(n, n + 1)}, index=["text"]) for n in range(10_000)
    ]
    async with asyncio.timeout(60):
        await store.abatch(ops)
    found = await store.arank([SHARED], "memory number 4242", filter=overlapping(4_200, 4_300), limit=1)
    assert found[0].item.key == "k4242"


async def test_what_is_said_around_a_text_helps_to_find_it(tmp_path):
    def said(at, text, thread):
        return PutOp(
            ("acme", "memory"),
            f"{thread}-{at}",
            {"text": text, "recorded_at": f"{at:015d}", "source": {"thread": thread}},
            index=["text"],
        )

    async with FaissStore(tmp_path, embeddings=None) as store:
        await store.abatch(
            [
                said(1, "Did you ever go diving in Zanzibar?", "a"),
                said(2, "Yes, twice, and it was wonderful.", "a"),
                said(1, "Did you like the film?", "b"),
                said(2, "Yes, twice, and it was wonderful.", "b"),
            ]
        )
        found = await store.arank([("acme", "memory")], "diving in Zanzibar, twice")
    assert [hit.item.key for hit in found][:2] == ["a-1", "a-2"]
    by_key = {hit.item.key: hit for hit in found}
    assert by_key["a-2"].context > by_key["b-2"].context


async def test_a_deleted_neighbour_says_nothing_more(tmp_path):
    async with FaissStore(tmp_path, embeddings=None) as store:
        for at, text in ((1, "Did you ever go diving in Zanzibar?"), (2, "Yes, twice.")):
            value = {"text": text, "recorded_at": f"{at:015d}", "source": {"thread": "a"}}
            await store.aput(("acme", "memory"), str(at), value, index=["text"])
        before = {hit.item.key: hit for hit in await store.arank([("acme", "memory")], "Zanzibar twice")}
        await store.adelete(("acme", "memory"), "1")
        (after,) = await store.arank([("acme", "memory")], "Zanzibar twice")
    assert after.item.key == "2"
    assert after.context < before["2"].context


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path):
    async with FaissStore(tmp_path, embeddings=None) as store:
        value = {"text": "Yes, twice.", "recorded_at": "000000000000001", "source": {"thread": "a"}}
        await store.aput(("acme", "memory"), "1", value, index=["text"])
    with closing(sqlite3.connect(tmp_path / "acme" / "memory.db", isolation_level=None)) as connection:
        connection.execute("ALTER TABLE items DROP COLUMN sequence")
        connection.execute("PRAGMA user_version=1")
    async with FaissStore(tmp_path, embeddings=None) as store:
        (found,) = await store.arank([("acme", "memory")], "twice")
        assert found.item.value["text"] == "Yes, twice."
    with closing(sqlite3.connect(tmp_path / "acme" / "memory.db")) as connection:
        assert connection.execute("SELECT sequence >= 0 FROM items").fetchall() == [(1,)]
