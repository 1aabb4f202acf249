"""Carry runs through the graph: accepted before they begin, one at a time on a thread, to their end whoever listens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import uuid4

from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import NodeTimeoutError

from agentgraph.errors import (
    AgentGraphError,
    InvalidInputError,
    LeaseLostError,
    NotFoundError,
    RunCancelledError,
    ShuttingDownError,
    StoreError,
    ThreadBusyError,
)
from agentgraph.events import AnswerCompleted, RunEvent, RunFailed
from agentgraph.graph.build import Graph
from agentgraph.graph.context import RunContext
from agentgraph.graph.nodes.retrieve_memory import newest_question, owed_by
from agentgraph.memory.worker import MemoryWorker
from agentgraph.run import RunRequest, RunResult, finished
from agentgraph.runs.aftercare import Aftercare
from agentgraph.runs.briefing import Briefing
from agentgraph.runs.handle import RunHandle
from agentgraph.runs.hidden_steps import HiddenSteps
from agentgraph.runs.observer import Observer
from agentgraph.runs.recent import RecentRuns
from agentgraph.runs.record import error_record, events_of, result_record
from agentgraph.runs.thread_access import FIRST_LOOK_S, LAST_LOOK_S, ThreadAccess
from agentgraph.runs.thread_run import Outcome, ThreadRun
from agentgraph.runs.under_way import UnderWay
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.hybrid import HybridSearch
from agentgraph.stores.threads import outbox
from agentgraph.stores.threads.database import Saver, ThreadDatabase
from agentgraph.stores.threads.lease import Lease
from agentgraph.stores.threads.runs import Row, Stop
from agentgraph.threads.closing import closing_messages, unanswerable, unknown_calls
from agentgraph.threads.journal import Accepted, Begun, RunJournal
from agentgraph.threads.reading import ThreadHistory
from agentgraph.threads.request import with_message_ids
from agentgraph.threads.session_gate import SessionOverError
from agentgraph.tools.ledger import ToolLedger

__all__ = ["Runner"]

logger = logging.getLogger(__name__)
# Somebody who says a thing and asks about it at once, on another thread, waits this long at the most for it to be kept.
_LONGEST_WAIT_FOR_MEMORY_S: Final = 2.0  # an embedder that is being loaded takes about one
_LAST_LOOK_FOR_A_TURN_S: Final = 0.04  # somebody waits for an answer, and a look is but a read
_GIVEN_UP: Final = "The run was cancelled while it waited for a person: this tool was not run to its end."
_STOPS_EVERY_S: Final = 0.25
_RECOVERED_EVERY_S: Final = 30.0
_RECOVERED_AT_ONCE: Final = 32  # tenants


@dataclass(slots=True, kw_only=True)
class Runner:
    """Everything a run needs, opened; used on the loop that opened it.

    Attributes:
        settings: How runs go where a request does not say.
        briefing: What each run is given.
        access: Holds threads and changes them.
        aftercare: Sees to what follows a run.
        under_way: What of it all is under way.
        one_off: The graph without a checkpointer.
        outbox: Where a turn files what memory owes.
        recent: One-off runs that can be joined.
        hidden: What one-off runs did that their callers were not told.
        observers: Watch every run that begins.
    """

    settings: Settings
    briefing: Briefing
    access: ThreadAccess
    aftercare: Aftercare
    under_way: UnderWay
    one_off: Graph
    outbox: TenantCheckpoints
    recent: RecentRuns
    hidden: HiddenSteps = field(default_factory=HiddenSteps)
    observers: Sequence[Observer] = ()
    _handles: dict[str, RunHandle] = field(default_factory=dict)
    _carried: dict[str, tuple[str, Lease | None]] = field(default_factory=dict)  # run → tenant and lease
    _spoken_for: set[str] = field(default_factory=set)  # tenants whose file is just being told

    @property
    def threaded(self) -> Graph:
        """The graph with its checkpointer."""
        return self.access.graph

    @property
    def database(self) -> ThreadDatabase:
        """Where runs are noted and threads are held; with a caller's own checkpointer, too."""
        return self.access.database

    @property
    def journal(self) -> RunJournal:
        """The runs in it."""
        return self.access.journal

    @property
    def worker(self) -> MemoryWorker | None:
        """Writes memory; `None` where the graph does so itself."""
        return self.aftercare.worker

    # Asking

    async def run(self, request: RunRequest) -> RunResult:
        """Run to the end and return what came of it; a caller that is cancelled does not cancel the run by that."""
        handle = await self.start(request)
        try:
            return await handle.result()
        except asyncio.CancelledError:
            self._left(request, handle)
            raise

    async def stream(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events; a listener that leaves does not end the run, unless it was to."""
        handle = await self.start(request)
        try:
            async with aclosing(handle.follow()) as events:  # who left no longer listens
                async for event in events:
                    yield event
        finally:
            self._left(request, handle)

    async def start(self, request: RunRequest) -> RunHandle:
        """Begin a run, or find the one that `request` repeats. A run on a thread is on disk when this returns.

        What is wrong with the request is told as the run's last event, as whatever goes wrong later.
        """
        handle = RunHandle(f"run-{uuid4().hex}", request.scope.tenant)
        if request.scope.thread_key is None:
            try:
                if (known := self.recent.repeated(request)) is not None:
                    return known
            except InvalidInputError as error:
                handle.tell(RunFailed(run_id=handle.run_id, error=error))
                return handle
            self._show(request, handle)
            ended = self.recent.add(request, handle)
            self.under_way.spawn(self._one_off(with_message_ids(request), handle)).add_done_callback(lambda _: ended())
            return handle
        accepting = self.under_way.spawn(self._accept(with_message_ids(request), handle))
        try:
            return await asyncio.shield(accepting)
        except asyncio.CancelledError:
            if accepting.cancelled():  # it was not the caller who was: the application lets go
                handle.tell(RunFailed(run_id=handle.run_id, error=ShuttingDownError()))
                return handle
            accepting.add_done_callback(lambda done: None if done.cancelled() else self._left(request, done.result()))
            raise

    def _show(self, request: RunRequest, handle: RunHandle) -> None:
        if self.observers:
            handle.observers = tuple(observer.begun(request, handle.run_id) for observer in self.observers)

    def _left(self, request: RunRequest, handle: RunHandle) -> None:
        """Do as the request says about a caller who went away, unless somebody else listens."""
        is_alone = handle.ending is None and handle.listeners == 0
        if is_alone and (request.on_disconnect or self.settings.on_disconnect) == "cancel":
            self.under_way.spawn(self.cancel(request.scope.tenant, handle.run_id))

    async def cancel(self, tenant: str, run_id: str, how: Stop = "cancel") -> None:
        """Ask for a run to be ended, in whichever process it is; one that has ended stays as it is.

        Raises:
            NotFoundError: There is no such run.
            ThreadBusyError: It waits for a person, and another process does not let go of its thread.
        """
        handle = self._handles.get(run_id)
        row = await self.journal.stop(tenant, run_id, how)
        if row is None and (handle is None or handle.tenant != tenant):
            raise NotFoundError(f"there is no run {run_id!r}")
        if handle is not None:
            handle.ask_to_stop(how)
        if row is not None and row.status == "waiting":
            await self._give_up(row)

    async def _give_up(self, row: Row) -> None:
        """End a run that waits for a person: whoever answers later is told that nothing waits."""
        thread: RunnableConfig = {"configurable": {"thread_id": row.thread_id}}

        def still_waits(_: object) -> bool:
            current = self.journal.get(_tenant(row), row.run_id)
            return current is not None and current.status == "waiting"

        state = await self.threaded.aget_state(thread)
        if state.interrupts:
            unanswered = closing_messages(state.values.get("messages", ()), _GIVEN_UP)
            await self.access.update(row.thread_id, {"messages": [*unanswered]}, provided=still_waits)
        await self.journal.give_up(row)

    def handle_of(self, run_id: str) -> RunHandle | None:
        """Return a run of this process that has not ended."""
        return self._handles.get(run_id)

    def joined(self, row: Row) -> RunHandle:
        """Return a handle on a run that was accepted before, here or in another process."""
        handle = self._handles.get(row.run_id)
        if handle is None:
            handle = self._handles[row.run_id] = RunHandle(row.run_id, _tenant(row))
            self.under_way.spawn(self._followed(row, handle))
        return handle

    # Waiting

    async def finished_of(self, tenant: str, *, timeout_s: float) -> int:
        """Wait until the runs of `tenant` that are under way now have ended; return how many have not, in time."""
        return await self.under_way.finished_of(tenant, timeout_s=timeout_s)

    def alone_on(self, thread_key: str, *, timeout_s: float) -> AbstractAsyncContextManager[None]:
        """Keep this process's runs off a thread; see `ThreadAccess.alone_on`."""
        return self.access.alone_on(thread_key, timeout_s=timeout_s)

    async def settled(self) -> None:
        """Wait until nothing is under way and memory is written."""
        await self.under_way.finished()
        if self.worker is not None:
            await self.worker.settled()

    async def let_go(self, timeout_s: float) -> None:
        """Wait for what is under way, then stop carrying it: nothing is noted, as if this process had died."""
        if not await self.under_way.finished(timeout_s=timeout_s):
            return
        for handle in tuple(self._handles.values()):
            if handle.ending is None:
                logger.warning("run %s did not end in time and is left to be carried on", handle.run_id)
                handle.tell(RunFailed(run_id=handle.run_id, error=ShuttingDownError()))
        await self.under_way.cancelled()

    # Runs on a thread

    async def _accept(self, request: RunRequest, handle: RunHandle) -> RunHandle:
        """Note the run; what comes after that is nobody's to wait for."""
        try:
            context = await self.briefing.context(
                request, handle.run_id
            )  # what cannot work is refused before it is accepted
            accepted = await self._accepted(request, handle.run_id)
        except Exception as error:  # noqa: BLE001  handed to the caller as the run's last event
            self._show(request, handle)
            handle.tell(RunFailed(run_id=handle.run_id, error=_translated(error)))
            return handle
        row = accepted.row
        for run_id, how in accepted.stopped.items():
            if (other := self._handles.get(run_id)) is not None:
                other.ask_to_stop(how)
        if row.run_id != handle.run_id:
            if accepted.is_joined or row.run_id in self._handles:
                return self.joined(row)
            handle = RunHandle(row.run_id, request.scope.tenant)
            context = replace(context, run_id=row.run_id)
        self._show(request, handle)
        self._handles[row.run_id] = handle
        self.under_way.spawn(self._carry(row, request, context, handle, accepted.begun))
        return handle

    async def _accepted(self, request: RunRequest, run_id: str) -> Accepted:
        """Note the run; a session that is over is ended first, and then another begins under its id."""
        while True:
            try:
                return await self.journal.accept(request, run_id, on_busy=request.on_busy or self.settings.on_busy)
            except SessionOverError:
                if self.aftercare.sessions is None:
                    raise
                await self.aftercare.sessions.over(request.scope.required_thread_key)

    async def _carry(
        self, row: Row, request: RunRequest, context: RunContext, handle: RunHandle, begun: Begun | None
    ) -> None:
        """Carry a run from being accepted to its end; nothing is raised."""
        # The caller may itself be a step of some chain or graph, whose callbacks LangChain would hand down to our
        # model calls: its listeners would hear every token twice.
        var_child_runnable_config.set(None)
        with self.under_way.counted(request.scope.tenant), self._kept_alive(row, begun):
            handle.tell(self.briefing.started(request, row.run_id))
            try:
                self._prepare_recall(request, context)
                async with self.access.turnstile.enter(row.thread_id):
                    held = begun or await self._turn_of(row)
                    if held is not None:
                        self._carried[row.run_id] = (request.scope.tenant, held.lease)
                        await self._hold(row, request, context, handle, held)
            except Exception as error:  # noqa: BLE001  the outermost place of a run
                logger.warning("run %s could not be carried to its end: %s", row.run_id, type(error).__name__)
                handle.tell(RunFailed(run_id=row.run_id, error=_translated(error)))
        if handle.ending is None:
            await self._followed(row, handle)
        self._handles.pop(row.run_id, None)

    async def _hold(self, row: Row, request: RunRequest, context: RunContext, handle: RunHandle, begun: Begun) -> None:
        """Carry a run that holds its thread, note how it ended, and only then say so."""
        started = time.perf_counter()
        self.database.open_lease(begun.lease)
        context = replace(
            context,
            ledger=ToolLedger(
                database=self.database, thread_key=row.thread_id, run_id=row.run_id, fence=begun.lease.fence
            ),
        )
        run = ThreadRun(
            graph=self.threaded,
            journal=self.journal,
            history=ThreadHistory(self.database),
            request=request,
            context=context,
            begun=begun,
            handle=handle,
            recursion_limit=2 * context.max_turns + 10,
            has_effects=len(context.tools) > 0,
            duration_ms=lambda: (time.perf_counter() - started) * 1000,
        )
        try:
            if self.worker is not None and context.include_memories:
                await self.worker.caught_up(self.briefing.readable(request.scope), timeout_s=_LONGEST_WAIT_FOR_MEMORY_S)
            outcome = await run.carry()
            await self._note(row, request, context, begun.lease, outcome)
        except LeaseLostError:
            # Another process has the thread, and with it this run: what it makes of it is what happened.
            for observer in self.observers:
                observer.lease_lost(row.run_id)
            self.database.close_lease(begun.lease)
            return
        except Exception as error:  # noqa: BLE001  noted with the run, and told
            failure = _translated(error)
            await self._note_failure(row, begun.lease, failure, parent=run.parent)
            self.aftercare.notify(request.scope)
            handle.tell(RunFailed(run_id=row.run_id, error=failure))
            return
        if outcome.ending is None:
            undone = RunCancelledError("the run was undone on account of a later one", code="rolled_back")
            handle.tell(RunFailed(run_id=row.run_id, error=undone))
            return
        self.aftercare.follow_up(
            request.scope, context, outcome.history_tokens, outcome.history_messages, position=row.position
        )
        handle.tell(outcome.ending)

    async def _note(self, row: Row, request: RunRequest, context: RunContext, held: Lease, outcome: Outcome) -> None:
        also: Callable[[Saver], object] | None = None
        # A run that was cancelled may never have come to the checkpoint that files what it owes.
        if outcome.status == "cancelled" or (not self.access.files_itself and outcome.status != "undone"):
            newest = next((m for m in reversed(request.messages) if isinstance(m, HumanMessage)), None)
            owed = owed_by(newest, context) if self.worker is not None else []

            def also(saver: Saver) -> None:
                outbox.file(saver.conn, owed)

        await self.journal.end(
            row,
            held,
            outcome.status,
            result=None if outcome.ending is None else result_record(outcome.ending),
            parent=outcome.parent,
            last_message_id=outcome.last_message_id,
            live_messages=outcome.history_messages or None,
            also=also,
        )

    async def _note_failure(self, row: Row, held: Lease, failure: Exception, *, parent: str | None) -> None:
        """Note why a run failed. A store that fails even here leaves the run to be found at the next start."""
        try:
            await self.journal.end(row, held, "failed", error=error_record(failure), parent=parent)
        except (StoreError, ThreadBusyError) as error:
            self.database.discard(held)
            logger.warning("the end of run %s could not be noted: %s", row.run_id, error.message)
            with suppress(StoreError, ThreadBusyError):
                await self.journal.end(row, held, "failed", error=error_record(failure), parent=parent)
            self.database.close_lease(held)

    async def _turn_of(self, row: Row) -> Begun | None:
        """Wait until a run may begin; `None` where another process has taken it over."""
        pause = FIRST_LOOK_S
        while True:
            found = await self.journal.begin(row) if self.journal.may_begin(row) else None
            if isinstance(found, Begun):
                return found
            if isinstance(found, Row):
                await self._adopt(found)
                continue
            current = self.journal.get(_tenant(row), row.run_id)
            if current is None or not current.is_open or current.process != self.database.process.id:
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK_FOR_A_TURN_S)

    async def _adopt(self, row: Row) -> None:
        """Carry on a run whose process is dead, or too late. Its thread's turnstile is held."""
        begun = await self.journal.adopt(row)
        if begun is None:
            await asyncio.sleep(FIRST_LOOK_S)
            return
        handle = self._handles.setdefault(row.run_id, RunHandle(row.run_id, _tenant(row)))
        with self._kept_alive(row, begun):
            request = self.journal.request_of(row)
            try:
                if request is None:
                    raise AgentGraphError("what was asked is no longer known", code="request_lost")
                context = await self.briefing.context(request, row.run_id)
            except Exception as error:  # noqa: BLE001  it can never be carried on: that is noted, and seen
                failure = _translated(error)
                self.database.open_lease(begun.lease)
                await self._note_failure(row, begun.lease, failure, parent=begun.head)
                handle.tell(RunFailed(run_id=row.run_id, error=failure))
            else:
                logger.info("carrying on run %s, which its process left", row.run_id)
                if not handle.observers:
                    self._show(request, handle)
                handle.tell(self.briefing.started(request, row.run_id))
                with self.under_way.counted(request.scope.tenant):
                    await self._hold(row, request, context, handle, begun)
        if handle.ending is None:  # another process has it by now, and somebody may have joined it here
            self.under_way.spawn(self._followed(row, handle))
        else:
            self._handles.pop(row.run_id, None)

    async def recover(self, tenant: str) -> int:
        """Carry on, to its end, every run of a tenant that nobody carries any more; return how many there were."""
        abandoned = self.journal.abandoned(tenant)

        async def in_order(thread_id: str) -> None:
            async with self.access.turnstile.enter(thread_id):
                for row in abandoned:
                    if row.thread_id == thread_id:
                        await self._adopt(row)

        await asyncio.gather(*(in_order(thread_id) for thread_id in {row.thread_id for row in abandoned}))
        return len(abandoned)

    async def recover_all(self) -> None:
        """Carry on what processes left unfinished that are dead by now, or too late."""
        tenants = await asyncio.to_thread(self.journal.tenants_with_open_runs)
        room = asyncio.Semaphore(_RECOVERED_AT_ONCE)

        async def recovered(tenant: str) -> None:
            try:
                async with room:
                    await self.recover(tenant)
            except AgentGraphError as error:  # another tenant's file is no reason to leave the rest
                logger.warning("the runs of %r could not be recovered: %s", tenant, error.message)

        # Side by side: a run that takes long holds up its own tenant's alone.
        await asyncio.gather(*map(recovered, tenants))

    async def _followed(self, row: Row, handle: RunHandle) -> None:
        """Tell of a run that another process carries, or that ended before; nothing is raised."""
        try:
            await self._told_of(row, handle)
        except Exception as error:  # noqa: BLE001  nobody else would tell those who listen
            handle.tell(RunFailed(run_id=row.run_id, error=_translated(error)))
        self._handles.pop(row.run_id, None)

    async def _told_of(self, row: Row, handle: RunHandle) -> None:
        pause = FIRST_LOOK_S
        while handle.ending is None:
            current = self.journal.get(_tenant(row), row.run_id)
            if current is None:
                gone = RunCancelledError("the thread was deleted while the run was under way", code="thread_deleted")
                handle.tell(RunFailed(run_id=row.run_id, error=gone))
                return
            if not current.is_open:
                for event in events_of(current, model=self.briefing.default_model):
                    handle.tell(event)
                return
            if self.journal.is_abandoned(current):
                await self.recover(_tenant(row))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_LOOK_S)

    @contextmanager
    def _kept_alive(self, row: Row, begun: Begun | None) -> Iterator[None]:
        """Have `keep_alive` speak for a run."""
        self._carried[row.run_id] = (_tenant(row), None if begun is None else begun.lease)
        try:
            yield
        finally:
            self._carried.pop(row.run_id, None)

    async def watch(self) -> None:
        """Speak for the runs under way, look for what is asked of them and for runs left behind, until cancelled."""
        spoken = looked = time.monotonic()
        while True:
            await asyncio.sleep(min(_STOPS_EVERY_S, self.database.lease_ttl_s / 4))
            now = time.monotonic()
            if now - looked > _RECOVERED_EVERY_S:
                looked = now
                self.under_way.spawn(self.recover_all())
            tenants: dict[str, list[str]] = {}
            for run_id, (tenant, _) in self._carried.items():
                tenants.setdefault(tenant, []).append(run_id)
            is_time_to_speak = now - spoken > self.database.lease_ttl_s / 3
            for tenant, run_ids in tenants.items():
                try:
                    for run_id, how in self.journal.stops(tenant).items():
                        if (handle := self._handles.get(run_id)) is not None:
                            handle.ask_to_stop(how)
                except (StoreError, OSError) as error:
                    logger.warning("the runs of %r could not be looked after: %s", tenant, error)
                if is_time_to_speak and tenant not in self._spoken_for:
                    self.under_way.spawn(self._speak_for(tenant, run_ids))
            if is_time_to_speak:
                spoken = now

    async def _speak_for(self, tenant: str, run_ids: Sequence[str]) -> None:
        """Say that a tenant's runs are still carried; where its file is held up, other tenants' do not wait for it."""
        leases = [held for _, held in self._carried.values() if held is not None]
        mine = [held for held in leases if held.thread_id.startswith(f"{tenant}/")]
        self._spoken_for.add(tenant)
        try:
            await self.journal.keep_alive(tenant, run_ids, mine)
        except (StoreError, OSError) as error:
            logger.warning("the runs of %r could not be spoken for: %s", tenant, error)
        finally:
            self._spoken_for.discard(tenant)

    # One-off runs

    async def _one_off(self, request: RunRequest, handle: RunHandle) -> None:
        var_child_runnable_config.set(None)
        self._handles[handle.run_id] = handle
        started = time.perf_counter()
        answers: list[AnswerCompleted] = []

        def hear(event: RunEvent) -> None:
            if isinstance(event, AnswerCompleted):
                answers.append(event)
            handle.tell(event)

        with self.under_way.counted(request.scope.tenant):
            try:
                context = await self.briefing.context(request, handle.run_id)
                handle.tell(self.briefing.started(request, handle.run_id))
                self._prepare_recall(request, context)
                readable = self.briefing.readable(request.scope)
                if self.worker is not None and context.include_memories:
                    await self.worker.caught_up(readable, timeout_s=_LONGEST_WAIT_FOR_MEMORY_S)
                newest = next((m for m in reversed(request.messages) if isinstance(m, HumanMessage)), None)
                if self.worker is not None and (owed := owed_by(newest, context)):
                    await self.outbox.owe(request.scope.tenant, owed)
                messages = list(self.hidden.restored(request).messages)
                if nothing_called := unanswerable([], messages):
                    raise unknown_calls(nothing_called)
                work = asyncio.get_running_loop().create_task(
                    self.one_off.ainvoke(
                        {"messages": messages, "turns": 0},
                        {"recursion_limit": 2 * context.max_turns + 10},
                        context=replace(context, listener=hear),
                        output_keys=["messages"],
                    )
                )
                if not await handle.stoppable(work):
                    raise RunCancelledError("the run was cancelled")
                self.hidden.keep(request, work.result()["messages"][len(messages) :], context.client_tool_names)
                if not answers:
                    raise AgentGraphError("the run ended without an answer", code="no_answer")
                ending: RunEvent = finished(
                    handle.run_id,
                    answers,
                    context.client_tool_names,
                    duration_ms=(time.perf_counter() - started) * 1000,
                )
                self.aftercare.follow_up(request.scope, context, 0)
            except Exception as error:  # noqa: BLE001  the outermost place of a run: handed to the caller
                self.aftercare.notify(request.scope)
                ending = RunFailed(run_id=handle.run_id, error=_translated(error))
        handle.tell(ending)
        self._handles.pop(handle.run_id, None)

    # What a run is given

    def _prepare_recall(self, request: RunRequest, context: RunContext) -> None:
        """Begin to embed the question while its turn comes and its thread is read."""
        store: object = self.threaded.store
        if context.include_memories and isinstance(store, HybridSearch):
            _, question = newest_question({"messages": list(request.messages)})
            store.prepare(self.briefing.readable(request.scope), question)


def _config(scope: Scope) -> RunnableConfig:
    return {"configurable": {"thread_id": scope.thread_key}}


def _tenant(row: Row) -> str:
    return row.thread_id.partition("/")[0]


def _translated(error: Exception) -> Exception:
    if isinstance(error, NodeTimeoutError):
        timeout = ModelTimeoutError("the model did not answer in time")
        timeout.__cause__ = error
        return timeout
    return error
