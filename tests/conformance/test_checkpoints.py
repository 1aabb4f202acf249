"""Threads keep LangGraph's contract for checkpointers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability

from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.threads.database import ThreadDatabase

_PREFIX = "acme/thread/"


class OfAcme(BaseCheckpointSaver[str]):
    """Our checkpointer for thread ids that name no tenant: all are acme's."""

    def __init__(self, ours: TenantCheckpoints) -> None:
        super().__init__(serde=ours.serde)
        self.ours = ours

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        found = await self.ours.aget_tuple(_ours(config))
        return None if found is None else _theirs(found)

    async def alist(self, config: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        async for found in self.ours.alist(_ours(config), **options):
            yield _theirs(found)

    async def aput(self, config: Any, *values: Any) -> Any:
        return _stripped(await self.ours.aput(_ours(config), *values))

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        await self.ours.aput_writes(_ours(config), writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self.ours.adelete_thread(_PREFIX + thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self.ours.adelete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self.ours.acopy_thread(_PREFIX + source_thread_id, _PREFIX + target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await self.ours.aprune([_PREFIX + thread_id for thread_id in thread_ids], strategy=strategy)

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self.ours.get_next_version(current, channel)


def _with_thread(config: Any, spell: Callable[[str], str]) -> Any:
    if config is None:
        return None
    configurable = config["configurable"]
    return {**config, "configurable": {**configurable, "thread_id": spell(configurable["thread_id"])}}


def _ours(config: Any) -> Any:
    return _with_thread(config, lambda thread: _PREFIX + thread)


def _stripped(config: Any) -> Any:
    return _with_thread(config, lambda thread: thread.removeprefix(_PREFIX))


def _theirs(found: CheckpointTuple) -> CheckpointTuple:
    return found._replace(config=_stripped(found.config), parent_config=_stripped(found.parent_config))


@pytest.mark.parametrize("capability", [capability.value for capability in Capability])
async def test_checkpoints_conform(tmp_path: Path, capability: str) -> None:
    @checkpointer_test(name=f"TenantCheckpoints-{capability}")
    async def ours() -> AsyncIterator[OfAcme]:
        with ThreadPoolExecutor(2) as pool:
            database = ThreadDatabase(tmp_path, pool=pool, sync="normal")
            yield OfAcme(TenantCheckpoints(database))
            database.close()

    report = await validate(ours, capabilities={capability})
    result = report.results[capability]
    assert result.detected
    assert result.failures == []
    assert result.tests_passed > 0
