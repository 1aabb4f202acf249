"""Embedders, the local one with its real weights."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from agentgraph.errors import ConfigurationError, MissingExtraError, NotFoundError
from agentgraph.models import embeddings as module
from agentgraph.models.embeddings import (
    EMBEDDING_MODELS,
    CachedEmbeddings,
    HashEmbeddings,
    LocalEmbeddings,
    default_embedding_model,
    load_embeddings,
)
from agentgraph.settings import Settings

KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "GOOGLE_API_KEY", "GEMINI_API_KEY")


@pytest.fixture(scope="module")
def local() -> LocalEmbeddings:
    if default_embedding_model() is None:
        pytest.skip("the local extra is not installed: no real embedder")
    return LocalEmbeddings()


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


class Counting(Embeddings):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += texts
        return [[float(len(text)), 1.0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_meaning_is_near_and_other_matters_are_far(local: LocalEmbeddings) -> None:
    car, automobile, rain = local.embed_array(
        ["I bought a car last week.", "Last week I purchased an automobile.", "It rains a lot in November."]
    )
    assert car @ automobile > 0.7
    assert car @ rain < 0.3


def test_known_vectors_have_not_moved(local: LocalEmbeddings) -> None:
    # From this very file of weights; stored indexes depend on it.
    assert local.model_id == "local/all-minilm-l6-v2@8199be6f699a"
    near = local.embed_array(["That is a happy person", "That is a happy dog", "That is a very happy person"])
    # The model card's own example: 0.695 and 0.943 with full weights.
    assert near[0] @ near[1] == pytest.approx(0.695, abs=0.02)
    assert near[0] @ near[2] == pytest.approx(0.943, abs=0.02)


def test_vectors_are_unit_float32_of_the_said_length(local: LocalEmbeddings) -> None:
    vectors = local.embed_array(
        ["one", "", "   ", "a " * 5000, "\ud800 lone surrogate", "日本語 🚗", "x" * 300_000, "\x00"]
    )
    assert vectors.shape == (8, local.dimensions) == (8, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_text_gives_no_vector(local: LocalEmbeddings) -> None:
    assert local.embed_documents([]) == []
    assert local.embed_array([]).shape == (0, 384)


def test_company_in_a_batch_changes_nothing(local: LocalEmbeddings) -> None:
    texts = [f"sentence number {n} " * (n % 7 + 1) for n in range(70)]
    together = local.embed_array(texts)
    for n in (0, 33, 69):
        assert np.allclose(together[n], local.embed_array([texts[n]])[0], atol=1e-3)
    assert np.array_equal(together, local.embed_array(texts))


def test_what_lies_past_the_limit_does_not_count(local: LocalEmbeddings) -> None:
    start = "word " * 300
    a, b = local.embed_array([start + "alpha", start + "omega and much more"])
    assert np.allclose(a, b, atol=1e-3)


async def test_inference_leaves_the_loop_free(local: LocalEmbeddings, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()
    plain = local.embed_array

    def noting(texts: list[str]) -> object:
        threads.add(threading.current_thread().name)
        return plain(texts)

    monkeypatch.setattr(local, "embed_array", noting)
    await asyncio.gather(local.aembed_query("one"), local.aembed_documents(["two"]))
    assert threads
    assert all(name.startswith("agentgraph-embed") for name in threads)


def test_threads_may_share_it(local: LocalEmbeddings) -> None:
    results: dict[int, list[float]] = {}
    workers = [threading.Thread(target=lambda n=n: results.update({n: local.embed_query("same")})) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({tuple(vector) for vector in results.values()}) == 1


def test_the_vocabulary_is_the_published_one() -> None:
    path = Path(module.__file__).parent / "data" / "bert-base-uncased-vocab.txt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


def test_the_default_is_the_local_model(local: LocalEmbeddings) -> None:
    opened = load_embeddings()
    assert opened.model_id == local.model_id
    assert opened.dimensions == 384
    assert load_embeddings(opened) is opened


@pytest.mark.parametrize("spec", ["local/all-minilm-l6-v2", "local:all-minilm-l6-v2", "all-minilm-l6-v2"])
def test_names_are_spelt_three_ways(local: LocalEmbeddings, spec: str) -> None:
    assert load_embeddings(spec).model_id == local.model_id


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("openai/text-embedding-3-smal", "openai/text-embedding-3-small"),
        ("minilm", "local/all-minilm-l6-v2"),
        ("hash/many", "hash/1024"),
        ("hash/0", "hash/1024"),
        ("nobody/knows", "Known are"),
        ("local/", "local/all-minilm-l6-v2"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(spec: str, near: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_embeddings(spec)
    assert near in str(caught.value)
    assert repr(spec) in str(caught.value)
    assert caught.value.code == "model_not_found"


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert default_embedding_model() is None
    with pytest.raises(MissingExtraError, match=r"agentgraph\[local\]"):
        load_embeddings()
    with pytest.raises(MissingExtraError, match=r"agentgraph\[local\]"):
        LocalEmbeddings()
    with pytest.raises(MissingExtraError, match=r"agentgraph\[google\]"):
        load_embeddings("google/gemini-embedding-001")


def test_openai_needs_a_key_and_says_so() -> None:
    for settings in (None, Settings()):
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as caught:
            load_embeddings("openai/text-embedding-3-small", settings=settings)
        assert caught.value.code == "missing_api_key"


def test_google_needs_a_key_and_says_so() -> None:
    pytest.importorskip("langchain_google_genai")
    with pytest.raises(ConfigurationError, match="GOOGLE_API_KEY"):
        load_embeddings("google/gemini-embedding-001", settings=Settings())


def test_an_endpoint_of_ones_own_may_have_any_model() -> None:
    settings = Settings(openai_base_url="http://127.0.0.1:9/v1")
    opened = load_embeddings("openai/whatever-they-call-it", settings=settings)
    assert opened.model_id == "openai/whatever-they-call-it"
    assert load_embeddings("openai/text-embedding-3-large", settings=settings).dimensions == 3072


def test_hashing_is_lexical_and_the_same_in_every_process() -> None:
    hashed = load_embeddings("hash/256")
    assert isinstance(hashed.inner, HashEmbeddings)
    assert hashed.dimensions == 256
    car, cars, sea = (np.array(hashed.embed_query(text)) for text in ("the red car", "red cars", "deep blue sea"))
    assert car @ cars > 0.3 > car @ sea
    assert np.linalg.norm(car) == pytest.approx(1, abs=1e-5)
    assert not any(hashed.embed_query("  "))
    # Python's own hash() differs from process to process; this must not, for vectors are stored.
    digest = hashlib.sha256(np.round(car, 4).astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == "9ae6cbe03ca45d23"


def test_repeated_queries_are_asked_once() -> None:
    inner = Counting()
    cached = CachedEmbeddings(inner)
    assert cached.embed_query("same") == cached.embed_query("same") == [4.0, 1.0]
    assert inner.asked == ["same"]


async def test_the_cache_serves_sync_and_async_alike() -> None:
    inner = Counting()
    cached = CachedEmbeddings(inner)
    await cached.aembed_query("same")
    cached.embed_query("same")
    await cached.aembed_query("same")
    assert inner.asked == ["same"]


def test_a_caller_cannot_spoil_what_is_remembered() -> None:
    cached = CachedEmbeddings(Counting())
    cached.embed_query("same").clear()
    cached.embed_query("same").clear()
    assert cached.embed_query("same") == [4.0, 1.0]


def test_the_cache_is_bounded_and_drops_the_longest_unused() -> None:
    inner = Counting()
    cached = CachedEmbeddings(inner, max_queries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        cached.embed_query(text)
    assert inner.asked == ["a", "b", "c", "b"]


def test_any_embedder_can_be_used_and_its_length_is_learnt() -> None:
    opened = load_embeddings(DeterministicFakeEmbedding(size=7))
    assert opened.dimensions == 7
    assert "DeterministicFakeEmbedding" in opened.model_id


@pytest.mark.parametrize("name", EMBEDDING_MODELS)
def test_every_row_of_the_catalogue_can_be_opened(name: str) -> None:
    model = EMBEDDING_MODELS[name]
    for package in model.packages:
        pytest.importorskip(package)
    opened = load_embeddings(name, settings=Settings(openai_api_key="k", google_api_key="k"))
    assert opened.dimensions == model.dimensions
    assert opened.model_id.startswith(name)


async def test_a_text_asked_by_several_at_once_is_embedded_once():
    class Slow(HashEmbeddings):
        asked = 0

        async def aembed_query(self, text: str) -> list[float]:
            Slow.asked += 1
            await asyncio.sleep(0.01)
            if text == "bad":
                raise ValueError(text)
            return self.embed_query(text)

    embeddings = CachedEmbeddings(Slow())
    first, second = await asyncio.gather(embeddings.aembed_query("tea"), embeddings.aembed_query("tea"))
    assert first == second
    assert first is not second
    assert Slow.asked == 1
    failed = await asyncio.gather(*(embeddings.aembed_query("bad") for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in failed] == [ValueError, ValueError]
    with pytest.raises(ValueError, match="bad"):  # a failure is not remembered
        await embeddings.aembed_query("bad")
    assert Slow.asked == 3
    # Who goes away does not take the others' answer along.
    left = asyncio.create_task(embeddings.aembed_query("coffee"))
    stays = asyncio.create_task(embeddings.aembed_query("coffee"))
    await asyncio.sleep(0)
    left.cancel()
    assert await stays == HashEmbeddings().embed_query("coffee")
