"""Who reads which memories and who writes where, through whole runs; and the settings that bound what is recalled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from agentgraph import AgentGraph
from agentgraph.errors import ConfigurationError
from agentgraph.testing import HashEmbeddings

OpenApp = Callable[..., Any]

# Where a memory is, and what it says: every one answers the same question.
HOMES: dict[str, dict[str, str]] = {
    "shared": {"tenant": "acme"},
    "ann": {"tenant": "acme", "user": "ann"},
    "bob": {"tenant": "acme", "user": "bob"},
    "session": {"tenant": "acme:s1"},
    "other": {"tenant": "acme:s2"},
    "globex": {"tenant": "globex"},
    "gina": {"tenant": "globex", "user": "ann"},
    "global": {"tenant": "_global"},
    "gustav": {"tenant": "_global", "user": "ann"},
}
READERS = [
    ({"tenant": "acme"}, {"shared"}),
    ({"tenant": "acme", "user": "ann"}, {"shared", "ann"}),
    ({"tenant": "acme", "user": "bob"}, {"shared", "bob"}),
    ({"tenant": "acme", "user": "carol", "thread": "t"}, {"shared"}),
    ({"tenant": "acme:s1"}, {"shared", "session"}),
    ({"tenant": "acme:s1", "user": "ann"}, {"shared", "ann", "session"}),
    ({"tenant": "acme:s3"}, {"shared"}),
    ({"tenant": "globex"}, {"globex"}),
    ({"tenant": "globex", "user": "ann"}, {"globex", "gina"}),
    ({"tenant": "acme_memory"}, set()),
]


@pytest.fixture(params=["faiss", "in memory"])
def open_either(request: pytest.FixtureRequest, open_app: OpenApp) -> OpenApp:
    """Open an application on either store, whose model answers anything."""

    async def opened(**options: Any) -> Any:
        if request.param == "in memory":
            options["store"] = InMemoryStore(index={"dims": 64, "embed": HashEmbeddings()})
        return await open_app(lambda messages, tools: "Very well.", **options)

    return opened


async def furnish(app: AgentGraph) -> None:
    for home, scope in HOMES.items():
        await app.memories.add(f"My favourite tea is the {home} one.", **scope)
        if ":" not in scope["tenant"]:
            await app.memories.put("tea", f"The note on tea is the {home} one.", **scope)


def homes(result: Any, kind: str) -> set[str]:
    """Return whose memories stand in a run's prompt."""
    texts = [memory["text"] for memory in result.memories if memory["kind"] == kind]
    return {text.partition(" is the ")[2].removesuffix(" one.") for text in texts}


# Reading


@pytest.mark.parametrize("is_global", [False, True], ids=["", "with global memory"])
async def test_everybody_reads_their_own_and_what_is_shared(open_either: OpenApp, is_global: bool) -> None:
    app, model = await open_either(enable_global_memory=is_global, mem_top_k=20, mem_working_max=40)
    await furnish(app)
    everyones = {"global"} if is_global else set()
    for scope, readable in READERS:
        result = await app.run("What is my favourite tea?", **scope)
        prompt = str(model.calls[-1]["messages"])
        assert homes(result, "episode") == readable | everyones, scope
        # Notes are a tenant's or a user's; a session reads those of whoever speaks in it.
        assert homes(result, "note") == (readable | everyones) - {"session"}, scope
        assert all(f"the {home} one" not in prompt for home in HOMES.keys() - readable - everyones), scope
        await app.settled()


async def test_global_memory_reads_nobody_elses(open_either: OpenApp) -> None:
    app, _ = await open_either(enable_global_memory=True, mem_top_k=20)
    await furnish(app)
    result = await app.run("What is my favourite tea?", tenant="_global")
    assert homes(result, "episode") == {"global"}


# Writing


@pytest.mark.parametrize(
    ("scope", "leaf"),
    [
        ({"tenant": "acme"}, ("acme", "memory", "shared")),
        ({"tenant": "acme", "thread": "t"}, ("acme", "memory", "shared")),
        ({"tenant": "acme", "user": "ann"}, ("acme", "memory", "user", "ann")),
        ({"tenant": "acme:s1"}, ("acme", "memory", "session", "s1")),
        ({"tenant": "acme:s1", "user": "ann"}, ("acme", "memory", "session", "s1")),
        ({"tenant": "_global"}, ("_global", "memory", "shared")),  # in Python, whoever holds the application may
    ],
)
async def test_a_run_writes_to_the_narrowest_place_and_no_other(
    open_either: OpenApp, scope: dict[str, str], leaf: tuple[str, ...]
) -> None:
    app, _ = await open_either(enable_global_memory=True)
    await app.run("I like green tea.", **scope)
    await app.settled()
    found = [item for tenant in ("acme", "_global") for item in await app.store.asearch((tenant, "memory"))]
    assert [item.namespace for item in found] == [leaf]


async def test_nothing_a_tenant_says_reaches_global_memory(open_either: OpenApp) -> None:
    app, _ = await open_either(enable_global_memory=True)
    for number, (scope, _) in enumerate(READERS):
        await app.run(f"Everybody should know that I like tea number {number}.", **scope)
    await app.settled()
    assert await app.memories.list(tenant="_global") == []


# Sessions


async def test_a_session_is_gone_with_its_memory_and_its_conversation(open_either: OpenApp) -> None:
    app, model = await open_either()
    await app.run("I like green tea.", tenant="acme:s1", user="ann")
    await app.run("I like black coffee.", tenant="acme", user="ann")
    await app.settled()
    receipt = await app.forget(tenant="acme", session="s1")
    assert receipt.count
    result = await app.run("What do I like?", tenant="acme:s1", user="ann")
    assert [memory["text"] for memory in result.memories] == ["I like black coffee."]
    assert "green tea" not in str(model.calls[-1]["messages"])
    assert await app.memories.list(tenant="acme", session="s1") == []


# Without memory


async def test_a_run_without_memories_neither_reads_nor_writes(open_either: OpenApp) -> None:
    app, model = await open_either()
    await app.memories.add("I like green tea.", tenant="acme")
    await app.memories.put("tea", "Green is best.", tenant="acme")
    for thread in (None, "t"):
        result = await app.run("I like coffee. Which tea?", tenant="acme", thread=thread, include_memories=False)
        assert (result.memories, result.left_out) == ((), ())
        assert "green" not in str(model.calls[-1]["messages"]).casefold()
    await app.settled()
    assert len(await app.memories.list(tenant="acme")) == 2


async def test_a_run_without_memories_shows_nothing_that_the_thread_recalled(open_either: OpenApp) -> None:
    app, model = await open_either()
    await app.memories.add("I like green tea.", tenant="acme")
    await app.run("Which tea?", tenant="acme", thread="t")
    await app.run("And now?", tenant="acme", thread="t", include_memories=False)
    assert "green" not in str(model.calls[-1]["messages"])


async def test_memory_switched_off_keeps_nothing_at_all(open_app: OpenApp, tmp_path: Path) -> None:
    app, model = await open_app(lambda messages, tools: "Very well.", enable_memory=False)
    for _ in range(2):
        result = await app.run("I like green tea. Which tea?", tenant="acme", user="ann")
    await app.settled()
    assert result.memories == ()
    assert "quoted notes" not in str(model.calls[-1]["messages"])
    assert app.store is None
    assert list(tmp_path.rglob("memory.db")) == []
    with pytest.raises(ConfigurationError, match="ENABLE_MEMORY"):
        await app.memories.list(tenant="acme")


# How much


async def teas(app: AgentGraph, count: int, **scope: str) -> None:
    colours = ["green", "black", "white", "yellow", "red", "blue", "brown", "grey", "pink", "golden"]
    for colour in colours[:count]:
        await app.memories.add(f"I drink {colour} tea from the {colour} valley.", **({"tenant": "acme"} | scope))


async def test_mem_top_k_bounds_what_is_recalled(open_either: OpenApp) -> None:
    app, model = await open_either(mem_top_k=3)
    await teas(app, 8)
    result = await app.run("Which tea do I drink?", tenant="acme")
    assert len(result.memories) == 3
    assert str(model.calls[-1]["messages"][-1].text).count("valley") == 3
    assert any("beyond the best 3" in memory["why"] for memory in result.left_out)


@pytest.mark.parametrize(("working_max", "notes"), [(10, 5), (5, 2), (3, 0), (1, 0)])
async def test_notes_fill_what_recall_leaves(open_either: OpenApp, working_max: int, notes: int) -> None:
    app, _ = await open_either(mem_top_k=3, mem_working_max=working_max)
    await teas(app, 5)
    for number in range(5):
        await app.memories.put(f"rule-{number}", f"Rule {number} of this house.", tenant="acme")
    result = await app.run("Which tea do I drink?", tenant="acme")
    kinds = [memory["kind"] for memory in result.memories]
    assert (kinds.count("episode"), kinds.count("note")) == (min(3, working_max), notes)


async def test_mem_max_tokens_bounds_how_long_they_are(open_either: OpenApp) -> None:
    app, _ = await open_either(mem_max_tokens=100, mem_top_k=10)
    for number in range(6):
        words = " ".join(f"detail{number}{word}" for word in range(20))
        await app.memories.add(f"I drink tea number {number}: {words}.", tenant="acme")
    result = await app.run("Which tea do I drink?", tenant="acme")
    assert 0 < len(result.memories) < 6
    assert sum(len(memory["text"]) for memory in result.memories) <= 400
    assert any("does not fit" in memory["why"] for memory in result.left_out)
