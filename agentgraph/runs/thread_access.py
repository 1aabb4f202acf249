"""Have a thread to oneself: in this process by waiting in line, in all of them by its lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig

from agentgraph.errors import StoreError, StoreUnavailableError, ThreadBusyError
from agentgraph.graph.build import Graph
from agentgraph.graph.state import AgentState
from agentgraph.stores.checkpoints import FENCE
from agentgraph.stores.threads import archive
from agentgraph.stores.threads.database import Saver, ThreadDatabase
from agentgraph.stores.threads.lease import Lease
from agentgraph.threads.journal import RunJournal
from agentgraph.threads.turnstile import Turnstile

__all__ = ["FIRST_LOOK_S", "LAST_LOOK_S", "ThreadAccess"]

FIRST_LOOK_S: Final = 0.01  # at a thread another process holds; then ever more slowly, up to
LAST_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadAccess:
    """The threads, as those see them who change them.

    Attributes:
        graph: With its checkpointer.
        database: Where threads are held.
        journal: Where runs are noted.
        files_itself: Whether the checkpointer files what is archived; a caller's own does not.
        turnstile: Lets one at a time through, in this process.
    """

    graph: Graph
    database: ThreadDatabase
    journal: RunJournal
    files_itself: bool
    turnstile: Turnstile = field(default_factory=Turnstile)

    @asynccontextmanager
    async def alone_on(self, thread_key: str, *, timeout_s: float) -> AsyncIterator[None]:
        """Keep this process's runs off a thread.

        Raises:
            StoreUnavailableError: A run does not leave it in time.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout_s):
                    await stack.enter_async_context(self.turnstile.enter(thread_key))
            except TimeoutError as error:
                raise StoreUnavailableError(f"the thread {thread_key!r} is busy; try again", code="busy") from error
            yield

    @asynccontextmanager
    async def held(self, thread_id: str) -> AsyncIterator[Lease]:
        """Hold a thread in every process without a run, for a moment.

        Raises:
            ThreadBusyError: Another process does not let go of it.
        """
        pause = FIRST_LOOK_S
        deadline = time.monotonic() + 2 * self.database.lease_ttl_s
        while True:
            # Let go of between two looks: a run that was accepted with its lease has yet to come through here.
            async with self.turnstile.enter(thread_id):
                if (held := await self._taken(thread_id)) is not None:
                    self.database.open_lease(held)
                    try:
                        yield held
                    finally:
                        self.database.close_lease(held)
                        await self.journal.let_go(held)
                    return
            if time.monotonic() > deadline:
                raise ThreadBusyError(f"a run is under way on the thread {thread_id!r}; try again later")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_LOOK_S)

    async def _taken(self, thread_id: str) -> Lease | None:
        """Take a thread; cancelled meanwhile, let go of it: nobody else could before its lease runs out."""
        taking = asyncio.get_running_loop().create_task(self.journal.hold(thread_id))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(StoreError):
                if (held := await taking) is not None:
                    await self.journal.let_go(held)
            raise

    async def update(
        self,
        thread_id: str,
        values: AgentState,
        *,
        checkpoint: str | None = None,
        provided: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    ) -> None:
        """Change a thread's state while no run is on it.

        Args:
            thread_id: Which thread.
            values: As a node returns them.
            checkpoint: Change it as it was there: the thread then stands on a branch.
            provided: Looks at the state once the thread is held, and says whether the change still makes sense.

        Raises:
            ThreadBusyError: Another process does not let go of it.
        """
        async with self.held(thread_id) as held:
            config: RunnableConfig = {"configurable": {"thread_id": thread_id, FENCE: held.fence}}
            if checkpoint is not None:
                config["configurable"]["checkpoint_id"] = checkpoint
            if not provided((await self.graph.aget_state(config)).values):
                return
            await self.graph.aupdate_state(config, cast("dict[str, Any]", values), as_node="summarize")
            archived = [] if self.files_itself else list(values.get("archived", ()))

            def file(saver: Saver) -> None:
                archive.file_archived(saver.conn, thread_id, archived, saver.serde)

            await self.database.commit(thread_id, held.fence, file)
