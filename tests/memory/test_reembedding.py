"""Another embedding model: nothing is lost, nothing waits, and meaning comes back behind the runs."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from agentgraph import AgentGraph
from agentgraph.stores.faiss import FaissStore
from agentgraph.testing import HashEmbeddings

OpenApp = Callable[..., Any]


class Gated(HashEmbeddings):
    """Embeds documents only when it is let."""

    def __init__(self, dims: int) -> None:
        super().__init__(dims, model_id=f"hash-{dims}")
        self.gate = asyncio.Event()
        self.waits = asyncio.Event()

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.waits.set()
        await self.gate.wait()
        return self.embed_documents(texts)


def small(dims: int = 32) -> HashEmbeddings:
    return HashEmbeddings(dims, model_id=f"hash-{dims}")


async def remembered(open_app: OpenApp, *texts: str, tenants: tuple[str, ...] = ("acme",), **options: Any) -> None:
    """Leave memories behind that one model embedded."""
    app, _ = await open_app([], **({"embeddings": small()} | options))
    for tenant in tenants:
        for text in texts:
            await app.memories.add(text, tenant=tenant)
    await app.aclose()


async def stale(app: AgentGraph, tenant: str = "acme") -> int:
    return (await app.store.stats(tenant)).stale_vectors


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def all_embedded(app: AgentGraph, tenant: str = "acme") -> None:
    for _ in range(1_000):
        if not await stale(app, tenant):
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_words_find_it_meanwhile_and_meaning_afterwards(open_app: OpenApp, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "agentgraph.memory.reembedding")
    await remembered(open_app, "I like green tea.", "I was born in Rome.")
    embeddings = Gated(96)
    app, _ = await open_app(["Tea.", "Tea."], embeddings=embeddings)
    assert await stale(app) == 2

    result = await app.run("Which tea?", tenant="acme")
    (memory,) = [each for each in result.memories if "tea" in each["text"]]
    assert (memory["dense"], memory["lexical"] is not None) == (None, True)
    await embeddings.waits.wait()

    embeddings.gate.set()
    await app.settled()
    await all_embedded(app)
    found = await app.memories.search("green tea", tenant="acme")
    assert found.kept[0]["text"] == "I like green tea."
    assert found.kept[0]["dense"] > 0.5
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "tenant 'acme' has 2 texts of another embedding model: they are embedded anew",
        "2 memories of tenant 'acme' were embedded anew",
    ]


async def test_a_tenant_is_seen_to_once(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    await remembered(open_app, "I like tea.", tenants=("acme", "globex", "_global"))
    app, _ = await open_app(lambda messages, tools: "Yes.", embeddings=small(48), enable_global_memory=True)
    asked: list[str] = []
    stats = app.store.stats
    monkeypatch.setattr(app.store, "stats", lambda tenant: asked.append(tenant) or stats(tenant))
    for _ in range(3):
        await app.run("Hello.", tenant="acme", user="ann")
    await until(lambda: len(asked) == 2)
    assert sorted(asked) == ["_global", "acme"]
    monkeypatch.undo()
    await all_embedded(app)
    await all_embedded(app, "_global")
    assert await stale(app, "globex") == 1


async def test_no_run_waits_for_it(open_app: OpenApp) -> None:
    await remembered(open_app, "I like tea.")
    embeddings = Gated(48)
    app, _ = await open_app(["One.", "Two."], embeddings=embeddings)
    async with asyncio.timeout(5):
        await app.run("Tea?", tenant="acme")
        await embeddings.waits.wait()
        assert (await app.run("Which tea?", tenant="acme")).text == "Two."
    embeddings.gate.set()
    await app.settled()


async def test_closing_ends_it_and_the_next_start_goes_on(open_app: OpenApp) -> None:
    await remembered(open_app, "I like tea.", "I like bread.")
    embeddings = Gated(48)
    app, _ = await open_app(["Yes."], embeddings=embeddings)
    # Without a message worth keeping, nothing but the re-embedding waits for the embedder.
    await app.run("?", tenant="acme")
    await embeddings.waits.wait()
    async with asyncio.timeout(5):
        await app.aclose()

    again, _ = await open_app(["Yes."], embeddings=small(48))
    assert await stale(again) == 2
    await again.run("?", tenant="acme")
    await all_embedded(again)
    assert (await again.store.stats("acme")).vectors == 2


async def test_what_was_kept_without_a_model_gets_vectors_too(open_app: OpenApp, tmp_path: Path) -> None:
    async with FaissStore(tmp_path / "tenants", embeddings=None) as store:
        await remembered(open_app, "I like tea.", store=store)
    app, _ = await open_app(["Yes."], embeddings=small())
    await app.run("?", tenant="acme")
    await all_embedded(app)


async def test_a_run_without_memory_starts_nothing(open_app: OpenApp) -> None:
    await remembered(open_app, "I like tea.")
    app, _ = await open_app(["Yes."], embeddings=small(48))
    await app.run("?", tenant="acme", include_memories=False)
    await asyncio.sleep(0.05)
    assert await stale(app) == 1


async def test_an_embedder_that_fails_is_a_line_in_the_log(open_app: OpenApp, caplog: Any) -> None:
    class Failing(HashEmbeddings):
        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            raise RuntimeError("cannot embed 'I like tea.'")

    await remembered(open_app, "I like tea.")
    app, _ = await open_app(["Yes."], embeddings=Failing(48, model_id="failing"))
    result = await app.run("?", tenant="acme")
    assert result.text == "Yes."
    await until(lambda: "were not embedded anew" in caplog.text)
    assert "RuntimeError" in caplog.text
    assert "I like tea." not in caplog.text


async def test_a_store_of_the_callers_is_left_alone(open_app: OpenApp) -> None:
    app, _ = await open_app(["Yes."], store=InMemoryStore())
    assert (await app.run("Tea?", tenant="acme")).text == "Yes."
