from __future__ import annotations

from langgraph.store.memory import InMemoryStore

from agentgraph.memory.tombstones import digest_of, digest_of_message, entomb, forgotten, lift
from agentgraph.scope import Scope, ledger_namespace

LEAF = Scope(tenant="acme", user="ann").write_namespace
OTHER = Scope(tenant="acme", user="bob").write_namespace


async def test_what_was_forgotten_is_known_by_its_words_however_they_are_spaced() -> None:
    store = InMemoryStore()
    await entomb(store, LEAF, ["I live in  Ghent."], ["msg-1"])

    again = digest_of("i LIVE in\nGhent.", LEAF)
    assert await forgotten(store, LEAF, [again, digest_of("I live in Bruges.", LEAF)]) == {again}
    assert await forgotten(store, LEAF, [digest_of_message("msg-1", LEAF)])


async def test_a_tombstone_counts_in_its_own_leaf_only() -> None:
    store = InMemoryStore()
    await entomb(store, LEAF, ["I live in Ghent."])

    assert not await forgotten(store, OTHER, [digest_of("I live in Ghent.", OTHER)])


async def test_a_tombstone_holds_no_words() -> None:
    store = InMemoryStore()
    await entomb(store, LEAF, ["I live in Ghent."], ["msg-1"])

    for item in await store.asearch(ledger_namespace(LEAF)):
        assert "ghent" not in repr(item).casefold()
        assert "msg-1" not in repr(item)


async def test_a_tombstone_can_be_lifted() -> None:
    store = InMemoryStore()
    digest = digest_of("I live in Ghent.", LEAF)
    await entomb(store, LEAF, ["I live in Ghent."])
    await lift(store, LEAF, [digest, digest_of("never heard of", LEAF)])

    assert not await forgotten(store, LEAF, [digest])


async def test_thousands_are_asked_of_at_once() -> None:
    store = InMemoryStore()
    texts = [f"memory number {n}" for n in range(1_200)]
    digests = await entomb(store, LEAF, texts)

    assert await forgotten(store, LEAF, [digest_of(text, LEAF) for text in texts]) == digests
