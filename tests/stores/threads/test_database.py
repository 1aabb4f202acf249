"""A tenant that one process deletes is gone for the others, and can begin anew in each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from agentgraph.errors import LeaseLostError, StoreError
from agentgraph.stores.checkpoints import FENCE, TenantCheckpoints
from agentgraph.stores.threads import lease
from agentgraph.stores.threads.database import ThreadDatabase

THREAD = "acme/thread/t1"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[TenantCheckpoints, TenantCheckpoints]]:
    """The threads of one directory as two processes see them."""
    with (
        ThreadPoolExecutor(4) as pool,
        closing(ThreadDatabase(tmp_path, pool=pool)) as one,
        closing(ThreadDatabase(tmp_path, pool=pool)) as other,
    ):
        yield TenantCheckpoints(one), TenantCheckpoints(other)


def config(**more: Any) -> Any:
    return {"configurable": {"thread_id": THREAD, "checkpoint_ns": "", **more}}


async def put(threads: TenantCheckpoints, word: str, **more: Any) -> None:
    values: Any = {**empty_checkpoint(), "channel_values": {"word": word}}
    await threads.aput(config(**more), values, {}, {})


async def word_of(threads: TenantCheckpoints) -> str | None:
    found = await threads.aget_tuple(config())
    return None if found is None else found.checkpoint["channel_values"]["word"]


async def test_a_tenant_deleted_by_another_process_is_gone(
    two: tuple[TenantCheckpoints, TenantCheckpoints], tmp_path: Path
) -> None:
    one, other = two
    await put(one, "before")
    assert await word_of(other) == "before"
    await other.delete_tenant("acme")
    assert not one.database.has("acme")
    assert await one.threads("acme") == []
    assert not (tmp_path / "acme").exists()
    assert await word_of(one) is None
    await put(one, "after")
    assert await word_of(other) == "after"
    assert await one.threads("acme") == [THREAD]


async def test_a_run_under_way_in_another_process_brings_nothing_back(
    two: tuple[TenantCheckpoints, TenantCheckpoints], tmp_path: Path
) -> None:
    one, other = two
    held = await one.database.write(
        "acme",
        lambda saver: lease.acquire(saver.conn, THREAD, holder="p1", now=1.0, ttl_s=9.0, is_alive=lambda _: True),
    )
    assert held is not None
    one.database.open_lease(held)
    await put(one, "unwritten", **{FENCE: held.fence})
    await other.delete_tenant("acme")
    with pytest.raises(LeaseLostError):
        await one.database.flush(THREAD, held.fence)
    assert await word_of(other) is None
    assert not any(b"unwritten" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_what_cannot_be_read_is_an_error_of_ours(two: tuple[TenantCheckpoints, TenantCheckpoints]) -> None:
    one, _ = two
    await put(one, "before")
    one.database.file("acme").reading.conn.close()
    with pytest.raises(StoreError, match=r"threads\.db"):
        one.database.glance("acme", lambda saver: lease.user_of(saver.conn, THREAD))
    with pytest.raises(StoreError, match=r"threads\.db"):
        one.database.replay("acme", lambda saver: lease.user_of(saver.conn, THREAD))
