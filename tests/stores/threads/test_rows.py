"""What a thread's checkpoints hold is found and rewritten, and nothing else of them changes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentgraph import AgentGraph
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

THREAD = "acme/thread/t1"


@pytest.fixture
async def threads(tmp_path: Path) -> AsyncIterator[TenantCheckpoints]:
    """The threads of an application in which two turns were taken; the second recalled what the first taught."""
    model = ScriptedChatModel(script=lambda messages, tools: "Very well.")
    async with AgentGraph(chat_model=model, embeddings=HashEmbeddings(), storage_dir=tmp_path) as app:
        await app.run("My cat is called Plato.", tenant="acme", thread="t0")
        await app.settled()
        await app.run("What is my cat called?", tenant="acme", thread="t1")
        await app.settled()
        yield app._runner.outbox


def rows(tmp_path: Path) -> list[Any]:
    with sqlite3.connect(tmp_path / "acme" / "threads.db") as connection:
        return connection.execute(
            "SELECT type, checkpoint FROM checkpoints UNION ALL SELECT type, value FROM writes"
        ).fetchall()


def forgets(channel: str, value: Any) -> Any:
    return [] if channel == "recalled" and value else value


async def test_threads_are_listed_by_tenant(threads: TenantCheckpoints) -> None:
    assert await threads.threads("acme") == ["acme/thread/t0", THREAD]
    assert await threads.threads("globex") == []
    assert threads.tenants_on_disk() == ["acme"]


async def test_an_edit_that_changes_nothing_writes_nothing(threads: TenantCheckpoints, tmp_path: Path) -> None:
    before = rows(tmp_path)
    assert await threads.edit_thread(THREAD, lambda channel, value: value) == 0
    assert await threads.edit_thread(THREAD, forgets, is_dry_run=True) > 0
    assert rows(tmp_path) == before


async def test_an_edit_changes_what_it_is_asked_to_and_no_more(threads: TenantCheckpoints) -> None:
    config: Any = {"configurable": {"thread_id": THREAD}}
    before = await threads.aget_tuple(config)
    assert before is not None
    assert before.checkpoint["channel_values"]["recalled"]
    assert await threads.edit_thread(THREAD, forgets) > 0
    after = await threads.aget_tuple(config)
    assert after is not None
    expected = {**before.checkpoint["channel_values"], "recalled": []}
    assert repr(after.checkpoint["channel_values"]) == repr(expected)
    assert await threads.edit_thread(THREAD, forgets) == 0


async def test_a_thread_repeats_what_it_still_holds_after_an_edit(threads: TenantCheckpoints) -> None:
    said = ["My cat is called Plato."]
    assert await threads.repeats("acme/thread/t0", said, forgets)
    assert await threads.repeats(THREAD, said, lambda channel, value: value)
    assert not await threads.repeats(THREAD, said, forgets)


async def test_a_deleted_thread_is_overwritten(threads: TenantCheckpoints, tmp_path: Path) -> None:
    for thread in await threads.threads("acme"):
        await threads.adelete_thread(thread)
    await threads.scrub("acme")
    files = list((tmp_path / "acme").glob("threads.db*"))
    assert not any(b"Plato" in file.read_bytes() for file in files)


async def test_a_tenant_deleted_is_gone_and_can_begin_anew(threads: TenantCheckpoints, tmp_path: Path) -> None:
    await threads.delete_tenant("acme")
    assert not (tmp_path / "acme").exists()
    assert await threads.threads("acme") == []
    await threads.scrub("acme")
    assert not (tmp_path / "acme").exists()
