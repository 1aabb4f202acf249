"""The composition root: opens models, stores and the graph, and carries runs through them.

Everything reaches the agent through `AgentGraph.stream`, whichever door it came in by.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast
from uuid import uuid4

from langchain_core.embeddings import Embeddings
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, MessageLikeRepresentation
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import NodeTimeoutError
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from agentgraph._sync import call_on, iterate_on, iterate_sync, portal_loop, run_sync
from agentgraph.errors import AgentGraphError, ConfigurationError, InvalidInputError, MissingExtraError
from agentgraph.events import AnswerCompleted, RunEvent, RunFailed, RunFinished, RunStarted
from agentgraph.graph.build import build_graph
from agentgraph.graph.context import RunContext
from agentgraph.graph.guidance import SMALL_MODEL_PROMPT
from agentgraph.graph.nodes.retrieve_memory import owed_by
from agentgraph.graph.nodes.summarize import summarize
from agentgraph.graph.prompt import DEFAULT_SYSTEM_PROMPT
from agentgraph.graph.state import AgentState
from agentgraph.memory.worker import MemoryWorker
from agentgraph.models.embeddings import (
    CachedEmbeddings,
    LocalEmbeddings,
    default_embedding_model,
    load_embeddings,
)
from agentgraph.models.load import ModelPool, Progress, default_model_name
from agentgraph.run import RunRequest, RunResult, finished
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.stores.checkpoints import COMMIT_LATER, TenantCheckpoints
from agentgraph.temporal import resolve
from agentgraph.threads.reconcile import new_messages
from agentgraph.threads.turnstile import Turnstile

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["AgentGraph"]

logger = logging.getLogger(__name__)
Graph = CompiledStateGraph[AgentState, RunContext, AgentState, AgentState]
_STORE_THREADS: Final = 8
# Somebody who says a thing and asks about it at once, on another thread, waits this long at the most for it to be kept.
_LONGEST_WAIT_FOR_MEMORY_S: Final = 0.25


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AgentGraph:
    """A multi-tenant agent with memory: one graph, opened once, shared by all tenants.

    Use it as an async context manager, which closes what it opened. Without, it opens itself at its first run, on a
    background event loop that lives as long as the process, and serves callers on any loop and in any thread.

        async with AgentGraph(default_model="openai/gpt-4o-mini") as app:
            result = await app.run("I bought a car last week.", tenant="acme")

    Args:
        settings: Everything that can be chosen; read from the environment where not given.
        chat_model: A chat model of your own, instead of `default_model`.
        embeddings: An embedder of your own, instead of `embedding_model`; give it a `model_id` that changes with it.
        tools: Server tools, offered to every tenant.
        store: A LangGraph store for memories, instead of the one under `storage_dir`. The caller closes it.
        checkpointer: A LangGraph checkpointer for threads, instead of the one under `storage_dir`.
        clock: Tells the present moment, aware; a demo or a test moves it.
        progress: Told how far a model download has come.
        options: Any field of `Settings`, by name.

    Raises:
        ConfigurationError: Settings that cannot work, or two tools of one name.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        chat_model: BaseChatModel | None = None,
        embeddings: Embeddings | None = None,
        tools: Sequence[BaseTool] = (),
        store: BaseStore | None = None,
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        clock: Callable[[], datetime] = _utc_now,
        progress: Progress | None = None,
        **options: Any,
    ) -> None:
        if settings is not None and options:
            raise ConfigurationError(f"give either settings or options, not both: {', '.join(sorted(options))}")
        self.settings = settings or Settings.load(**options)
        self._chat_model = chat_model
        self._embeddings = embeddings
        self._tools = _distinct(tools)
        self._store = store
        self._checkpointer = checkpointer
        self._clock = clock
        self._progress = progress
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._opening: asyncio.Lock | None = None
        self._resources: AsyncExitStack | None = None
        self._turnstile = Turnstile()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._summarising: set[str] = set()

    # What was configured, readable on the object

    @property
    def default_model(self) -> str:
        """The model used where a request names none."""
        return type(self._chat_model).__name__ if self._chat_model is not None else default_model_name(self.settings)

    @property
    def embedding_model(self) -> str | None:
        """The embedding model's name, as configured."""
        return self.settings.embedding_model

    @property
    def temporal_awareness(self) -> bool:
        """Whether time in questions is understood."""
        return self.settings.temporal_awareness

    @property
    def tools(self) -> tuple[BaseTool, ...]:
        """The server tools."""
        return self._tools

    # Life

    @property
    def is_open(self) -> bool:
        """Whether stores and models are open; the first run opens them where nobody did."""
        return self._resources is not None

    async def __aenter__(self) -> Self:
        await self._open_on(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish the runs under way, write the memory they owe, and close everything that was opened here."""
        if self._loop is not None and not self._loop.is_closed():
            await call_on(self._loop, self._close_here())

    def close(self) -> None:
        """Do what `aclose` does, from synchronous code."""
        run_sync(self.aclose())

    async def settled(self) -> None:
        """Wait until the memory of every finished run is written."""
        await call_on(await self._ready(), self._settled_here())

    # Runs

    async def run(self, messages: str | Sequence[MessageLikeRepresentation] | RunRequest, **options: Any) -> RunResult:
        """Run the agent once and return its answer.

        The run belongs to the application: a caller that goes away does not end it.

        Args:
            messages: Text, messages, or a whole `RunRequest`.
            options: As `RunRequest.of` takes them: `tenant`, `user`, `thread`, `timezone`, `model`, `tools` …

        Raises:
            InvalidInputError: The request is malformed.
            NotFoundError: No such model.
            ConfigurationError: The model cannot be used as things are set up.
            langchain_core.exceptions.ModelError: The model failed; what the user said is kept.
        """
        options.setdefault("stream", False)
        request = RunRequest.of(messages, **options)
        return await call_on(await self._ready(), self._run_here(request))

    async def stream(
        self, messages: str | Sequence[MessageLikeRepresentation] | RunRequest, **options: Any
    ) -> AsyncGenerator[RunEvent, None]:
        """Run the agent and yield its events as they happen; the last is `RunFinished` or `RunFailed`."""
        request = RunRequest.of(messages, **options)
        loop = await self._ready()
        async with aclosing(iterate_on(loop, lambda: self._stream_here(request))) as events:
            async for event in events:
                yield event

    def run_sync(self, messages: str | Sequence[MessageLikeRepresentation] | RunRequest, **options: Any) -> RunResult:
        """Do what `run` does, from synchronous code; a notebook's running loop is no obstacle."""
        return run_sync(self.run(messages, **options))

    def stream_sync(
        self, messages: str | Sequence[MessageLikeRepresentation] | RunRequest, **options: Any
    ) -> Iterator[RunEvent]:
        """Do what `stream` does, from synchronous code."""
        return iterate_sync(lambda: self.stream(messages, **options))

    async def history(self, *, tenant: str, thread: str) -> list[BaseMessage]:
        """Return the live window of a thread, oldest first; empty where there is no such thread."""
        scope = Scope.parse(tenant, thread=thread)
        return await call_on(await self._ready(), self._history_here(scope))

    async def open_model(self, spec: str | None = None) -> BaseChatModel:
        """Open the model a request would use, fetching it if need be, so that the first run need not wait."""
        return await call_on(await self._ready(), self._model(spec))

    @property
    def router(self) -> APIRouter:
        """The OpenAI-compatible routes, for `include_router(app.router, prefix="/v1")` in an application of your own.

        Raises:
            MissingExtraError: The `server` extra is not installed.
        """
        try:
            from agentgraph.server.openai import openai_router
        except ImportError as error:
            raise MissingExtraError("server", needed_for="AgentGraph.router") from error
        return openai_router(self)

    @property
    def graph(self) -> Graph:
        """The compiled, checkpointed graph. Invoke it with `context=` and a thread id from `Scope.thread_key`."""
        if self._loop is None:
            run_sync(self._ready())
        return self._threaded

    @cached_property
    def store(self) -> BaseStore | None:
        """Where memories live; `None` with memory switched off."""
        if self._loop is None:
            run_sync(self._ready())
        return self._memories

    # Below here everything runs on the loop that owns the resources.

    async def _ready(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise ConfigurationError("this AgentGraph is closed; open another", code="closed")
        if self._loop is None or self._loop.is_closed():
            await self._open_on(portal_loop())
        assert self._loop is not None  # noqa: S101
        return self._loop

    async def _open_on(self, loop: asyncio.AbstractEventLoop) -> None:
        await call_on(loop, self._open_here())

    async def _open_here(self) -> None:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._resources is not None:
                return
            settings = self.settings
            resources = AsyncExitStack()
            pool = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="agentgraph-store")
            resources.callback(pool.shutdown)
            try:
                self._models = ModelPool(settings, progress=self._progress)
                resources.push_async_callback(self._models.aclose)
                embeddings = await self._embedder() if settings.enable_memory or self._tools else None
                self._memories = await self._memory_store(embeddings, pool, resources)
                checkpointer = self._checkpointer
                self._outbox: TenantCheckpoints | None = None
                if checkpointer is None:
                    checkpointer = self._outbox = TenantCheckpoints(
                        settings.storage_dir, pool=pool, sync=settings.storage_sync, hot_tenants=settings.hot_tenants
                    )
                    resources.callback(self._outbox.close)
                self._worker: MemoryWorker | None = None
                if self._memories is not None and self._outbox is not None:
                    self._worker = MemoryWorker(self._memories, self._outbox)
                    resources.push_async_callback(self._worker.aclose)
                graph = build_graph(settings, tools=self._tools, embeddings=embeddings)
                self._threaded: Graph = graph.compile(
                    checkpointer=checkpointer, store=self._memories, name="agentgraph"
                )
                self._one_off: Graph = graph.compile(store=self._memories, name="agentgraph")
            except BaseException:
                await resources.aclose()
                raise
            self._resources = resources
            self._loop = asyncio.get_running_loop()
            if self._worker is not None and self._outbox is not None:
                self._spawn(self._collect_debts(self._outbox, self._worker))
            if self._memories is not None:
                self._spawn(asyncio.to_thread(_warm_up, embeddings))

    async def _embedder(self) -> Embeddings | None:
        """Open the embedder; without one named or installed, memories are found by their words alone."""
        spec = self._embeddings or self.settings.embedding_model or default_embedding_model()
        return None if spec is None else await asyncio.to_thread(load_embeddings, spec, settings=self.settings)

    async def _memory_store(
        self, embeddings: Embeddings | None, pool: ThreadPoolExecutor, resources: AsyncExitStack
    ) -> BaseStore | None:
        if not self.settings.enable_memory or self._store is not None:
            return self._store
        from agentgraph.stores.faiss import FaissStore

        return await resources.enter_async_context(
            FaissStore(
                self.settings.storage_dir,
                embeddings=embeddings,
                sync=self.settings.storage_sync,
                hot_tenants=self.settings.hot_tenants,
                pool=pool,
            )
        )

    async def _collect_debts(self, outbox: TenantCheckpoints, worker: MemoryWorker) -> None:
        """Find what an earlier process left owing."""
        for tenant in await asyncio.to_thread(outbox.tenants_in_debt):
            worker.notify(tenant)

    async def _close_here(self) -> None:
        resources, self._resources = self._resources, None
        if resources is None:
            return
        self._closed = True
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await resources.aclose()

    async def _settled_here(self) -> None:
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._worker is not None:
            await self._worker.settled()

    async def _history_here(self, scope: Scope) -> list[BaseMessage]:
        state = await self._threaded.aget_state(_config(scope))
        messages: list[BaseMessage] = state.values.get("messages", [])
        return messages

    async def _model(self, spec: str | None) -> BaseChatModel:
        if spec is None and self._chat_model is not None:
            return self._chat_model
        return await self._models.get(spec or default_model_name(self.settings))

    async def _run_here(self, request: RunRequest) -> RunResult:
        events: list[RunEvent] = []
        await asyncio.shield(self._spawn(self._execute(request, events.append)))
        if isinstance(last := events[-1], RunFailed):
            raise last.error
        return RunResult.from_events(events)

    async def _stream_here(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        queue: asyncio.Queue[RunEvent] = asyncio.Queue()
        self._spawn(self._execute(request, queue.put_nowait))
        while True:
            event = await queue.get()
            yield event
            if isinstance(event, RunFinished | RunFailed):
                return

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _execute(self, request: RunRequest, emit: Callable[[RunEvent], object]) -> None:
        """Carry one run through; the last event says how it ended, and nothing is raised."""
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
                    model=request.model or self.default_model,
                )
            )
            answers: list[AnswerCompleted] = []
            async with self._turnstile.enter(request.scope.thread_key):
                messages = await self._arrivals(request)
                if self._worker is not None and context.include_memories:
                    readable = request.scope.read_namespaces(include_global=self.settings.enable_global_memory)
                    await self._worker.caught_up(readable, timeout_s=_LONGEST_WAIT_FOR_MEMORY_S)
                await self._walk(request.scope, messages, context, emit, answers)
            if not answers:
                raise AgentGraphError("the run ended without an answer", code="no_answer")
            client_tools = frozenset(tool["function"]["name"] for tool in context.client_tools)
            ending: RunEvent = finished(
                run_id, answers, client_tools, duration_ms=(time.perf_counter() - started) * 1000
            )
            self._follow_up(request.scope, context, answers[-1].history_tokens)
        except Exception as error:  # noqa: BLE001  the outermost place of a run: handed to the caller as its last event
            if self._worker is not None:
                self._worker.notify(request.scope.tenant, request.scope.write_namespace)
            ending = RunFailed(run_id=run_id, error=_translated(error))
        emit(ending)

    async def _context(self, request: RunRequest, run_id: str) -> RunContext:
        settings = self.settings
        remembers = settings.enable_memory and request.include_memories and self._memories is not None
        model = await self._model(request.model)
        needs_guidance = self._needs_guidance(request.model)
        default = f"{DEFAULT_SYSTEM_PROMPT} {SMALL_MODEL_PROMPT}" if needs_guidance else DEFAULT_SYSTEM_PROMPT
        own = settings.system_prompt if settings.system_prompt is not None else default if remembers else None
        prompts = [prompt for prompt in (own, request.system_prompt) if prompt]
        taken = {tool.name for tool in self._tools} & {tool["function"]["name"] for tool in request.tools}
        if taken:
            raise InvalidInputError(
                f"the server has tools of these names already: {', '.join(sorted(taken))}", param="tools"
            )
        return RunContext(
            scope=request.scope,
            now=request.now or self._clock(),
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
            inline_writing=self._worker is None and self._memories is not None,
        )

    def _needs_guidance(self, spec: str | None) -> bool:
        if spec is None and self._chat_model is not None:
            return False
        return self._models.provider(spec or default_model_name(self.settings)).needs_guidance

    def _parameters(self, request: RunRequest) -> Mapping[str, Any]:
        if not request.parameters or (request.model is None and self._chat_model is not None):
            return request.parameters
        return self._models.translated(request.model or default_model_name(self.settings), request.parameters)

    async def _arrivals(self, request: RunRequest) -> list[BaseMessage]:
        """Return what the request adds to its thread, each message with an id of ours."""
        messages: Sequence[BaseMessage] = request.messages
        if request.scope.thread_key is not None and (len(messages) > 1 or isinstance(messages[0], AIMessage)):
            messages = new_messages(await self._history_here(request.scope), messages)
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

        graph = self._threaded
        if durability == "exit" and self._outbox is not None:
            config["configurable"][COMMIT_LATER] = True
        if scope.thread_key is None:
            graph = self._one_off
            newest = next((m for m in reversed(messages) if isinstance(m, HumanMessage)), None)
            if self._outbox is not None and self._worker is not None and (owed := owed_by(newest, context)):
                await self._outbox.owe(scope.tenant, owed)
        try:
            await graph.ainvoke(
                {"messages": messages, "turns": 0},
                config,
                context=replace(context, listener=hear),
                output_keys="turns",
                durability=durability,
            )
        finally:
            if self._outbox is not None and scope.thread_key is not None:
                await self._outbox.committed(scope.thread_key)

    def _durability(self, scope: Scope) -> Literal["sync", "exit"] | None:
        """Commit every step where tools have effects in the world; else once, at the end of the turn."""
        if scope.thread_key is None:
            return None
        return "sync" if self._tools else "exit"

    def _follow_up(self, scope: Scope, context: RunContext, history_tokens: int) -> None:
        """Start what is due after the answer."""
        if self._worker is not None and context.include_memories:
            self._worker.notify(scope.tenant, scope.write_namespace)
        key = scope.thread_key
        if key and history_tokens > self.settings.live_window_tokens and key not in self._summarising:
            self._summarising.add(key)
            self._spawn(self._summarise(scope, context)).add_done_callback(lambda _: self._summarising.discard(key))

    async def _summarise(self, scope: Scope, context: RunContext) -> None:
        """Shorten a thread. The model is called outside the turnstile: the next turn does not wait for it."""
        config = _config(scope)
        state = await self._threaded.aget_state(config)
        update = await summarize(
            cast("AgentState", state.values),
            Runtime(context=context),
            live_window_tokens=self.settings.live_window_tokens,
        )
        if update:
            async with self._turnstile.enter(scope.thread_key):
                await self._threaded.aupdate_state(config, update, as_node="summarize")


def _warm_up(embeddings: Embeddings | None) -> None:
    """Load what the first question would wait for: the embedder, and the rules of the time grammar."""
    resolve("last week", now=_utc_now(), zone="UTC")
    if isinstance(embeddings, CachedEmbeddings) and isinstance(embeddings.inner, LocalEmbeddings):
        embeddings.embed_query("last week")


def _config(scope: Scope) -> RunnableConfig:
    return {"configurable": {"thread_id": scope.thread_key}} if scope.thread_key else {}


def _distinct(tools: Sequence[BaseTool]) -> tuple[BaseTool, ...]:
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ConfigurationError(f"two tools are called {tool.name!r}; rename one", code="duplicate_tool")
        seen.add(tool.name)
    return tuple(tools)


def _translated(error: Exception) -> Exception:
    if isinstance(error, NodeTimeoutError):
        timeout = ModelTimeoutError("the model did not answer in time")
        timeout.__cause__ = error
        return timeout
    return error
