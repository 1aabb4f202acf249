"""Carry runs through the graph: one at a time on a thread, to their end whoever listens, and what follows them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, cast
from uuid import uuid4

from langchain_core.exceptions import ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import NodeTimeoutError
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agentgraph.errors import AgentGraphError, InvalidInputError, StoreUnavailableError
from agentgraph.events import AnswerCompleted, RunEvent, RunFailed, RunFinished, RunStarted
from agentgraph.graph.context import RunContext
from agentgraph.graph.guidance import SMALL_MODEL_PROMPT
from agentgraph.graph.nodes.retrieve_memory import newest_question, owed_by
from agentgraph.graph.nodes.summarize import summarize
from agentgraph.graph.prompt import DEFAULT_SYSTEM_PROMPT
from agentgraph.graph.state import AgentState
from agentgraph.memory.reembedding import Reembedding
from agentgraph.memory.worker import MemoryWorker
from agentgraph.models.load import ModelPool
from agentgraph.run import RunRequest, RunResult, finished
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.stores.checkpoints import COMMIT_LATER, TenantCheckpoints
from agentgraph.stores.hybrid import HybridSearch
from agentgraph.threads.reconcile import new_messages
from agentgraph.threads.turnstile import Turnstile

__all__ = ["Graph", "Runner"]

Graph = CompiledStateGraph[AgentState, RunContext, AgentState, AgentState]
# Somebody who says a thing and asks about it at once, on another thread, waits this long at the most for it to be kept.
_LONGEST_WAIT_FOR_MEMORY_S: Final = 0.25


@dataclass(slots=True, kw_only=True)
class Runner:
    """Everything a run needs, opened; used on the loop that opened it.

    Attributes:
        settings: How runs go where a request does not say.
        clock: Tells the present moment.
        models: Chat models by name.
        chat_model: The caller's own, used where a request names none.
        tool_names: The server tools.
        threaded: The graph with its checkpointer, for runs on a thread.
        one_off: The graph without one.
        remembers: Whether there is a store of memories.
        outbox: Where a turn files what memory owes; `None` with a checkpointer of the caller's.
        worker: Writes what is owed; `None` where the graph does so itself.
        reembedding: Sees to vectors of another embedding model; `None` where there is no store of memories.
    """

    settings: Settings
    clock: Callable[[], datetime]
    models: ModelPool
    chat_model: BaseChatModel | None
    tool_names: frozenset[str]
    threaded: Graph
    one_off: Graph
    remembers: bool
    outbox: TenantCheckpoints | None
    worker: MemoryWorker | None
    reembedding: Reembedding | None
    _turnstile: Turnstile = field(default_factory=Turnstile)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _summarising: set[str] = field(default_factory=set)
    _under_way: dict[str, set[asyncio.Event]] = field(default_factory=dict)

    async def run(self, request: RunRequest) -> RunResult:
        """Run to the end and return what came of it; a caller that is cancelled does not cancel the run."""
        events: list[RunEvent] = []
        await asyncio.shield(self.spawn(self._execute(request, events.append)))
        if isinstance(last := events[-1], RunFailed):
            raise last.error
        return RunResult.from_events(events)

    async def stream(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events; a listener that leaves does not end the run."""
        queue: asyncio.Queue[RunEvent] = asyncio.Queue()
        self.spawn(self._execute(request, queue.put_nowait))
        while True:
            event = await queue.get()
            yield event
            if isinstance(event, RunFinished | RunFailed):
                return

    async def history(self, scope: Scope) -> list[BaseMessage]:
        """Return the live window of a thread."""
        state = await self.threaded.aget_state(_config(scope))
        messages: list[BaseMessage] = state.values.get("messages", [])
        return messages

    async def model(self, spec: str | None) -> BaseChatModel:
        """Return the model a request would use."""
        if spec is None and self.chat_model is not None:
            return self.chat_model
        return await self.models.get(spec or self.models.default_name)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start work that `finished` waits for."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finished(self) -> None:
        """Wait until no run and nothing spawned is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finished_of(self, tenant: str, *, timeout_s: float) -> int:
        """Wait until the runs of `tenant` that are under way now have ended; return how many have not, in time."""
        waiting = [asyncio.ensure_future(ended.wait()) for ended in self._under_way.get(tenant, ())]
        if not waiting:
            return 0
        _, unfinished = await asyncio.wait(waiting, timeout=timeout_s)
        for task in unfinished:
            task.cancel()
        return len(unfinished)

    @asynccontextmanager
    async def alone_on(self, thread_key: str, *, timeout_s: float) -> AsyncIterator[None]:
        """Hold a thread, so that no run is on it.

        Raises:
            StoreUnavailableError: A run does not leave it in time.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout_s):
                    await stack.enter_async_context(self._turnstile.enter(thread_key))
            except TimeoutError as error:
                raise StoreUnavailableError(f"the thread {thread_key!r} is busy; try again", code="busy") from error
            yield

    async def settled(self) -> None:
        """Wait until, besides, memory is written."""
        await self.finished()
        if self.worker is not None:
            await self.worker.settled()

    @contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        """Be one of the runs that `finished_of` waits for."""
        ended = asyncio.Event()
        under_way = self._under_way.setdefault(tenant, set())
        under_way.add(ended)
        try:
            yield
        finally:
            ended.set()
            under_way.discard(ended)
            if not under_way:
                self._under_way.pop(tenant, None)

    async def _execute(self, request: RunRequest, emit: Callable[[RunEvent], object]) -> None:
        """Carry one run through; the last event says how it ended, and nothing is raised."""
        with self._counted(request.scope.tenant):
            ending = await self._carried_through(request, emit)
        emit(ending)

    async def _carried_through(self, request: RunRequest, emit: Callable[[RunEvent], object]) -> RunEvent:
        # The caller may itself be a step of some chain or graph, whose callbacks LangChain would hand down to our
        # model calls: its listeners would hear every token twice.
        var_child_runnable_config.set(None)
        started = time.perf_counter()
        run_id = f"run-{uuid4().hex}"
        try:
            context = await self._context(request, run_id)
            emit(
                RunStarted(
                    run_id=run_id,
                    tenant=request.scope.tenant,
                    thread=request.scope.session or request.scope.thread,
                    model=request.model or self._default_model(),
                )
            )
            self._prepare_recall(request, context)
            answers: list[AnswerCompleted] = []
            async with self._turnstile.enter(request.scope.thread_key):
                messages = await self._arrivals(request)
                if self.worker is not None and context.include_memories:
                    readable = self._readable(request.scope)
                    await self.worker.caught_up(readable, timeout_s=_LONGEST_WAIT_FOR_MEMORY_S)
                await self._walk(request.scope, messages, context, emit, answers)
            if not answers:
                raise AgentGraphError("the run ended without an answer", code="no_answer")
            ending: RunEvent = finished(
                run_id, answers, context.client_tool_names, duration_ms=(time.perf_counter() - started) * 1000
            )
            self._follow_up(request.scope, context, answers[-1].history_tokens)
        except Exception as error:  # noqa: BLE001  the outermost place of a run: handed to the caller as its last event
            if self.worker is not None:
                self.worker.notify(request.scope.tenant, request.scope.write_namespace)
            ending = RunFailed(run_id=run_id, error=_translated(error))
        return ending

    def _readable(self, scope: Scope) -> list[tuple[str, ...]]:
        return scope.read_namespaces(include_global=self.settings.enable_global_memory)

    def _prepare_recall(self, request: RunRequest, context: RunContext) -> None:
        """Begin to embed the question while its turn comes and its thread is read."""
        store: object = self.threaded.store
        if context.include_memories and isinstance(store, HybridSearch):
            _, question = newest_question({"messages": list(request.messages)})
            store.prepare(self._readable(request.scope), question)

    async def _context(self, request: RunRequest, run_id: str) -> RunContext:
        settings = self.settings
        remembers = settings.enable_memory and request.include_memories and self.remembers
        model = await self.model(request.model)
        needs_guidance = self._needs_guidance(request.model)
        default = f"{DEFAULT_SYSTEM_PROMPT} {SMALL_MODEL_PROMPT}" if needs_guidance else DEFAULT_SYSTEM_PROMPT
        own = settings.system_prompt if settings.system_prompt is not None else default if remembers else None
        prompts = [prompt for prompt in (own, request.system_prompt) if prompt]
        taken = self.tool_names & {tool["function"]["name"] for tool in request.tools}
        if taken:
            raise InvalidInputError(
                f"the server has tools of these names already: {', '.join(sorted(taken))}", param="tools"
            )
        return RunContext(
            scope=request.scope,
            now=request.now or self.clock(),
            as_of=request.now,  # asked from the past, memory knows no more than it did then
            zone=request.timezone or settings.timezone,
            model=model,
            run_id=run_id,
            model_parameters=self._parameters(request),
            system_prompt="\n\n".join(prompts) or None,
            client_tools=request.tools,
            tool_choice=request.tool_choice,
            include_memories=remembers,
            stream=request.stream,
            max_turns=settings.max_turns,
            needs_guidance=remembers and needs_guidance,
            inline_writing=self.worker is None and self.remembers,
        )

    def _default_model(self) -> str:
        return type(self.chat_model).__name__ if self.chat_model is not None else self.models.default_name

    def _needs_guidance(self, spec: str | None) -> bool:
        if spec is None and self.chat_model is not None:
            return False
        return self.models.provider(spec or self.models.default_name).needs_guidance

    def _parameters(self, request: RunRequest) -> Mapping[str, Any]:
        if not request.parameters or (request.model is None and self.chat_model is not None):
            return request.parameters
        return self.models.translated(request.model or self.models.default_name, request.parameters)

    async def _arrivals(self, request: RunRequest) -> list[BaseMessage]:
        """Return what the request adds to its thread, each message with an id of ours."""
        messages: Sequence[BaseMessage] = request.messages
        if request.scope.thread_key is not None and (len(messages) > 1 or isinstance(messages[0], AIMessage)):
            messages = new_messages(await self.history(request.scope), messages)
            if not messages:
                raise InvalidInputError("the thread already holds all of these messages", param="messages")
        return [message.model_copy(update={"id": f"msg-{uuid4().hex}"}) for message in messages]

    async def _walk(
        self,
        scope: Scope,
        messages: list[BaseMessage],
        context: RunContext,
        emit: Callable[[RunEvent], object],
        answers: list[AnswerCompleted],
    ) -> None:
        """Run the graph, handing on its events; return once everything the turn owes is committed."""
        config = _config(scope)
        config["recursion_limit"] = 2 * context.max_turns + 10
        durability = self._durability(scope)

        def hear(event: RunEvent) -> None:
            if isinstance(event, AnswerCompleted):
                answers.append(event)
            emit(event)

        graph = self.threaded
        if durability == "exit" and self.outbox is not None:
            config["configurable"][COMMIT_LATER] = True
        if scope.thread_key is None:
            graph = self.one_off
            newest = next((m for m in reversed(messages) if isinstance(m, HumanMessage)), None)
            if self.outbox is not None and self.worker is not None and (owed := owed_by(newest, context)):
                await self.outbox.owe(scope.tenant, owed)
        try:
            await graph.ainvoke(
                {"messages": messages, "turns": 0},
                config,
                context=replace(context, listener=hear),
                output_keys="turns",
                durability=durability,
            )
        finally:
            if self.outbox is not None and scope.thread_key is not None:
                await self.outbox.committed(scope.thread_key)

    def _durability(self, scope: Scope) -> Literal["sync", "exit"] | None:
        """Commit every step where tools have effects in the world; else once, at the end of the turn."""
        if scope.thread_key is None:
            return None
        return "sync" if self.tool_names else "exit"

    def _follow_up(self, scope: Scope, context: RunContext, history_tokens: int) -> None:
        """Start what is due after the answer."""
        if self.worker is not None and context.include_memories:
            self.worker.notify(scope.tenant, scope.write_namespace)
        if self.reembedding is not None and context.include_memories:
            readable = self._readable(scope)
            self.reembedding.look_after(leaf[0] for leaf in readable)
        key = scope.thread_key
        if key and history_tokens > self.settings.live_window_tokens and key not in self._summarising:
            self._summarising.add(key)
            self.spawn(self._summarise(scope, context)).add_done_callback(lambda _: self._summarising.discard(key))

    async def _summarise(self, scope: Scope, context: RunContext) -> None:
        """Shorten a thread. The model is called outside the turnstile: the next turn does not wait for it."""
        config = _config(scope)
        with self._counted(scope.tenant):
            state = await self.threaded.aget_state(config)
            update = await summarize(
                cast("AgentState", state.values),
                Runtime(context=context),
                live_window_tokens=self.settings.live_window_tokens,
            )
            if update:
                async with self._turnstile.enter(scope.thread_key):
                    await self.threaded.aupdate_state(config, update, as_node="summarize")


def _config(scope: Scope) -> RunnableConfig:
    return {"configurable": {"thread_id": scope.thread_key}} if scope.thread_key else {}


def _translated(error: Exception) -> Exception:
    if isinstance(error, NodeTimeoutError):
        timeout = ModelTimeoutError("the model did not answer in time")
        timeout.__cause__ = error
        return timeout
    return error
