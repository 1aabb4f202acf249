"""What follows a run, off its answer's path: memory is written, and its thread is kept within bounds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from agentgraph.errors import AgentGraphError
from agentgraph.graph.context import RunContext
from agentgraph.graph.nodes.summarize import summarize
from agentgraph.graph.state import AgentState
from agentgraph.memory.reembedding import Reembedding
from agentgraph.memory.worker import MemoryWorker
from agentgraph.runs.thread_access import ThreadAccess
from agentgraph.runs.under_way import UnderWay
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.threads.truncate import Strategy

__all__ = ["Aftercare", "Ends"]

logger = logging.getLogger(__name__)
_PRUNED_EVERY: Final = 10  # turns of a thread: seldom enough to cost little, often enough to be short


class Ends(Protocol):
    """What sees to sessions."""

    async def over(self, thread_id: str) -> None:
        """End a session that is over, or wait until whoever ends it is done."""

    async def trim(self, scope: Scope, context: RunContext) -> None:
        """Bring a session back within what it may keep."""


@dataclass(slots=True, kw_only=True)
class Aftercare:
    """Starts what is due after an answer; what fails is due again after the next.

    Attributes:
        settings: The limits.
        under_way: Where it is spawned.
        threads: Holds and changes threads.
        outbox: Prunes them.
        worker: Writes memory; `None` where the graph does so itself.
        reembedding: Sees to vectors of another embedding model; `None` where there is no store of memories.
        sessions: Ends sessions and keeps them within their limits.
    """

    settings: Settings
    under_way: UnderWay
    threads: ThreadAccess
    outbox: TenantCheckpoints
    worker: MemoryWorker | None
    reembedding: Reembedding | None
    sessions: Ends | None = None
    _busy: set[str] = field(default_factory=set)  # threads that are being looked after
    _overlong: dict[str, bool] = field(default_factory=dict)  # threads to be looked at, and whether they are too long

    def notify(self, scope: Scope) -> None:
        """Have written what a run owes to memory."""
        if self.worker is not None:
            self.worker.notify(scope.tenant, scope.write_namespace)

    def follow_up(
        self,
        scope: Scope,
        context: RunContext,
        history_tokens: int = 0,
        history_messages: int = 0,
        *,
        position: int = 0,
    ) -> None:
        """Start what is due after the answer.

        Args:
            scope: Whose run it was.
            context: As the nodes got it.
            history_tokens: How long the thread's window is.
            history_messages: How many messages it holds.
            position: The run's among its thread's.
        """
        if context.include_memories:
            self.notify(scope)
            if self.reembedding is not None:
                self.reembedding.look_after(
                    leaf[0] for leaf in scope.read_namespaces(include_global=self.settings.enable_global_memory)
                )
        key = scope.thread_key
        if key is None:
            return
        if position % _PRUNED_EVERY == 0 and self.threads.files_itself and self.settings.checkpoint_retention:
            self.under_way.spawn(self._prune(key))
        is_long = history_tokens > self.settings.live_window_tokens
        if scope.session is not None:
            is_long = is_long or history_messages > self._session_window
        if is_long or (scope.session is not None and self.sessions is not None):
            # What grows while it is being shortened is looked at once more.
            self._overlong[key] = self._overlong.get(key, False) or is_long
            if key not in self._busy:
                self._busy.add(key)
                self.under_way.spawn(self._bound(key, scope, context)).add_done_callback(
                    lambda _: self._busy.discard(key)
                )

    @property
    def _session_window(self) -> int:
        return min(self.settings.session_summarize_after, self.settings.session_max_messages)

    async def _bound(self, key: str, scope: Scope, context: RunContext) -> None:
        """Keep a thread within its limits."""
        try:
            while (is_long := self._overlong.pop(key, None)) is not None:
                if is_long:
                    await self.shorten(scope, context)
                if scope.session is not None and self.sessions is not None:
                    await self.sessions.trim(scope, context)
        except AgentGraphError as error:  # the next turn tries again
            logger.warning("a thread of %r could not be shortened: %s", scope.tenant, error.message)

    async def shorten(
        self,
        scope: Scope,
        context: RunContext,
        *,
        strategy: Strategy | None = None,
        live_window_tokens: int | None = None,
        max_messages: int | None = None,
    ) -> None:
        """Move a thread's older part out of its window. The model is called before the thread is held.

        Args:
            scope: Names the thread.
            context: As the nodes get it.
            strategy: How; `None` as is set, and so with the rest.
            live_window_tokens: How long the window may be.
            max_messages: How many messages it may hold.
        """
        if max_messages is None and scope.session is not None:
            max_messages = self._session_window
        thread_id = scope.thread_key
        assert thread_id is not None  # noqa: S101
        with self.under_way.counted(scope.tenant):
            before = (await self.threads.graph.aget_state(_config(thread_id))).values
            update = await summarize(
                cast("AgentState", before),
                Runtime(context=context),
                strategy=strategy or self.settings.truncation_strategy,
                live_window_tokens=live_window_tokens or self.settings.live_window_tokens,
                max_messages=max_messages,
                timeout_s=self.settings.model_timeout_s,
            )

            def still_fits(now: Mapping[str, Any]) -> bool:
                """Say whether the thread was not branched off meanwhile."""
                live = {message.id for message in now.get("messages", ())}
                going = {message.id for message in update["messages"]}
                return now.get("archive_tail") == before.get("archive_tail") and going <= live

            if update:
                await self.threads.update(thread_id, update, provided=still_fits)

    async def _prune(self, thread_id: str) -> None:
        """Drop the checkpoints of turns too old to travel back to; the next time does what this one cannot."""
        try:
            async with self.threads.held(thread_id) as held:
                await self.outbox.prune_thread(thread_id, self.settings.checkpoint_retention, fence=held.fence)
        except AgentGraphError as error:
            logger.warning("the thread %s was not pruned: %s", thread_id, error.message)


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}
