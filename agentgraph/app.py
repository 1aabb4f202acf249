"""The composition root: opens models, stores and the graph, closes them, and is the face of it all.

Every door leads to `AgentGraph.run` or `stream`; how a run goes is `runs/`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, MessageLikeRepresentation
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from agentgraph._sync import call_on, iterate_on, iterate_sync, portal_loop, run_sync
from agentgraph.errors import AgentGraphError, ConfigurationError, MissingExtraError
from agentgraph.events import RunEvent
from agentgraph.graph.build import Graph, build_graph
from agentgraph.memory.forget import Forgetter
from agentgraph.memory.forget_receipt import ForgetReceipt
from agentgraph.memory.forget_target import ForgetTarget
from agentgraph.memory.kept import Kept, scope_of
from agentgraph.memory.memories import Memories
from agentgraph.memory.reembedding import Reembedding
from agentgraph.memory.worker import MemoryWorker
from agentgraph.models.embeddings import (
    CachedEmbeddings,
    LocalEmbeddings,
    default_embedding_model,
    load_embeddings,
)
from agentgraph.models.load import ModelPool, Progress, default_model_name
from agentgraph.run import RunRequest, RunResult
from agentgraph.runs.aftercare import Aftercare
from agentgraph.runs.briefing import Briefing
from agentgraph.runs.hooks import Hook, Hooks
from agentgraph.runs.observer import Observer
from agentgraph.runs.recent import RecentRuns
from agentgraph.runs.runner import Runner
from agentgraph.runs.runs import Runs
from agentgraph.runs.session_keeper import OnSessionEnd, SessionKeeper
from agentgraph.runs.sessions import Sessions
from agentgraph.runs.thread_access import ThreadAccess
from agentgraph.runs.threads import Threads
from agentgraph.runs.under_way import UnderWay
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.database.database import Database
from agentgraph.stores.threads.database import ThreadDatabase
from agentgraph.stores.threads.steady_clock import GivenClock, SteadyClock
from agentgraph.telemetry import open_traces
from agentgraph.temporal import resolve
from agentgraph.threads.journal import RunJournal
from agentgraph.threads.session_gate import SessionGate
from agentgraph.tools.declared.handled import LocalToolsHandler
from agentgraph.tools.declared.tools import DeclaredTools
from agentgraph.tools.deployment import deployment_tools
from agentgraph.tools.mcp.servers import McpServers
from agentgraph.tools.memory import memory_tools
from agentgraph.tools.model_filter import ModelFilter
from agentgraph.tools.selection import ToolIndexes, VectorCache
from agentgraph.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from fastapi import APIRouter

    from agentgraph.tools.functions.functions import Functions

__all__ = ["AgentGraph"]

logger = logging.getLogger(__name__)
_STORE_THREADS: Final = 8


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
        memory_model: Extracts facts from what was said, after the answer: the name of a model, or one of your own.
        tool_filtering_model: Chooses among many tools which the model is shown, a fast one: as for `memory_model`.
        embeddings: An embedder of your own, instead of `embedding_model`; give it a `model_id` that changes with it.
        tools: Server tools, offered to every tenant.
        store: A LangGraph store for memories, instead of the one under `storage_dir`. The caller closes it.
        checkpointer: A LangGraph checkpointer for threads, instead of the one under `storage_dir`.
        clock: Tells the present moment, aware; a demo or a test moves it.
        progress: Told how far a model download has come.
        on_session_end: Called with a tenant and the data of a session of its that has ended, before the data goes; a
            function or a coroutine function. See docs/sessions.md.
        local_tools_handler: Called with a tenant, a tool's name and its arguments to run what tenants declared
            (`declared_tools`); without one, that is their callers' to run.
        auth_hook: Called by the server with each request and its tenant; see `Hooks` for this one and the next three.
        usage_hook: Called by the server with what each run used.
        on_thinking: Called by the server as a run begins and before it is answered.
        manager_fn: Called by the server before each run; may change its messages or answer instead.
        extract_text: Called by the server with the path and the type of each file within a message; returns its text.
        options: Any field of `Settings`, by name.

    Raises:
        ConfigurationError: Settings that cannot work, or two tools of one name.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        chat_model: BaseChatModel | None = None,
        memory_model: BaseChatModel | str | None = None,
        tool_filtering_model: BaseChatModel | str | None = None,
        embeddings: Embeddings | None = None,
        tools: Sequence[BaseTool] = (),
        store: BaseStore | None = None,
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        clock: Callable[[], datetime] = _utc_now,
        progress: Progress | None = None,
        on_session_end: OnSessionEnd | None = None,
        local_tools_handler: LocalToolsHandler | None = None,
        auth_hook: Hook | None = None,
        usage_hook: Hook | None = None,
        on_thinking: Hook | None = None,
        manager_fn: Hook | None = None,
        extract_text: Hook | None = None,
        **options: Any,
    ) -> None:
        if isinstance(memory_model, str):
            options["memory_model"] = memory_model
        if isinstance(tool_filtering_model, str):
            options["tool_filtering_model"] = tool_filtering_model
        if settings is not None and options:
            raise ConfigurationError(f"give either settings or options, not both: {', '.join(sorted(options))}")
        self.settings = settings or Settings.load(**options)
        self._chat_model = chat_model
        self._memory_model = None if isinstance(memory_model, str) else memory_model
        self._tool_filtering_model = None if isinstance(tool_filtering_model, str) else tool_filtering_model
        self._embeddings = embeddings
        self._toolbox = Toolbox(
            [*tools, *deployment_tools(self.settings, clock)],
            memory_tools=self._made_memory_tools(),
            filter_threshold=self.settings.tool_filter_threshold,
            find_tools=self.settings.find_tools,
        )
        self._declared_tools = DeclaredTools(self._ready, taken=self._tool_names_of, handler=local_tools_handler)
        self._toolbox.add_source("the tenant's declared tools", self._declared_tools)
        self._mcp = McpServers(self.settings, ready=self._ready, clock=clock)
        self._toolbox.add_source("MCP servers", self._mcp)
        self._store = store
        self._checkpointer = checkpointer
        self._clock = clock
        self._progress = progress
        self._on_session_end = on_session_end
        self.hooks = Hooks(
            auth_hook=auth_hook,
            usage_hook=usage_hook,
            on_thinking=on_thinking,
            manager_fn=manager_fn,
            extract_text=extract_text,
        )
        self.traces = open_traces(self.settings)
        self._observers: list[Observer] = [] if self.traces is None else [self.traces]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._opening: asyncio.Lock | None = None
        self._resources: AsyncExitStack | None = None
        self._runner: Runner
        self._functions: Functions
        self._session_keeper: SessionKeeper

    # What was configured, readable on the object

    @property
    def default_model(self) -> str:
        """The model used where a request names none."""
        return type(self._chat_model).__name__ if self._chat_model is not None else default_model_name(self.settings)

    @property
    def memory_model(self) -> str | None:
        """The model that extracts facts, if any."""
        return type(self._memory_model).__name__ if self._memory_model is not None else self.settings.memory_model

    @property
    def embedding_model(self) -> str | None:
        """The embedding model's name, as configured."""
        return self.settings.embedding_model

    @property
    def embedder_name(self) -> str | None:
        """The name of the embedder that is used, configured or not; `None` without one."""
        if self._embeddings is not None:
            return type(self._embeddings).__name__
        return self.settings.embedding_model or default_embedding_model()

    @property
    def temporal_awareness(self) -> bool:
        """Whether time in questions is understood."""
        return self.settings.temporal_awareness

    @property
    def tools(self) -> tuple[BaseTool, ...]:
        """The server tools every tenant has."""
        return self._toolbox.deployment

    async def tools_of(self, tenant: str) -> tuple[BaseTool, ...]:
        """Return every tool that runs of a tenant may call: the deployment's, its own, functions and MCP servers'."""
        loop = await self._ready()
        return tuple(await call_on(loop, self._toolbox.of(Scope.parse(tenant).tenant)))

    def add_tool(self, tool: BaseTool, tenant: str | None = None) -> None:
        """Offer a server tool to every tenant, or to one alone, from the next run on.

        Raises:
            ConfigurationError: A tool of that name is there already; the message says whose.
            InvalidInputError: `tenant` is no tenant's id.
        """
        self._toolbox.add(tool, tenant)

    def remove_tool(self, name: str, tenant: str | None = None) -> None:
        """Take a tool away that `add_tool` or the constructor brought; runs under way keep it.

        Raises:
            NotFoundError: There is none of that name there.
        """
        self._toolbox.remove(name, tenant)

    def observe(self, observer: Observer) -> None:
        """Have every run that begins from now on watched, for telemetry."""
        self._observers.append(observer)

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

    async def let_go(self, *, timeout_s: float = 0.0) -> None:
        """Wait for the runs under way, then leave those alone that have not ended; for a process that must end.

        Whoever listens to them is told `ShuttingDownError`. A run on a thread is on disk: another process that shares
        the storage carries it on, or the next one to open it. A one-off run is lost. Close the application afterwards.

        Args:
            timeout_s: How long to wait.
        """
        if self._loop is not None and not self._loop.is_closed() and self._resources is not None:
            await call_on(self._loop, self._runner.let_go(timeout_s))

    def close(self) -> None:
        """Do what `aclose` does, from synchronous code."""
        run_sync(self.aclose())

    async def settled(self) -> None:
        """Wait until the memory of every finished run is written."""
        loop = await self._ready()
        await call_on(loop, self._runner.settled())

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
        loop = await self._ready()
        return await call_on(loop, self._runner.run(request))

    async def stream(
        self, messages: str | Sequence[MessageLikeRepresentation] | RunRequest, **options: Any
    ) -> AsyncGenerator[RunEvent, None]:
        """Run the agent and yield its events as they happen; the last is `RunFinished` or `RunFailed`."""
        request = RunRequest.of(messages, **options)
        loop = await self._ready()
        async with aclosing(iterate_on(loop, lambda: self._runner.stream(request))) as events:
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

    async def resume(self, answer: Any, *, tenant: str, thread: str | None = None, **options: Any) -> RunResult:
        """Answer what a run waits for, such as leave to call a tool, and carry its thread on.

        Args:
            answer: What is asked for: for tools that need approval an `Approval`, or one for each call by its id.
            tenant: `tenant` or `tenant:session`.
            thread: The thread that waits.
            options: As `run` takes them.

        Raises:
            InvalidInputError: Nothing waits for an answer there, or not for such a one.
        """
        return await self.run([], tenant=tenant, thread=thread, resume=answer, **options)

    async def history(self, *, tenant: str, thread: str | None = None) -> list[BaseMessage]:
        """Return a conversation from its first message on; empty where there is no such thread."""
        return list(await self.threads.history(tenant=tenant, thread=thread))

    async def cancel(self, run_id: str, *, tenant: str) -> None:
        """End a run before its time: what it has said stays, marked; see `Runs.cancel`."""
        await self.runs.cancel(run_id, tenant=tenant)

    async def open_model(self, spec: str | None = None) -> BaseChatModel:
        """Open the model a request would use, fetching it if need be, so that the first run need not wait."""
        loop = await self._ready()
        return await call_on(loop, self._runner.briefing.model(spec))

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of texts, in their order, as the deployment's embedder makes them.

        Raises:
            ConfigurationError: There is no embedder.
        """
        loop = await self._ready()
        return await call_on(loop, self._embedded(list(texts)))

    async def records(self) -> Database:
        """Return the database of the deployment's records, opened with the application, for what the server keeps."""
        await self._ready()
        return self._records

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
        return self._runner.threaded

    @cached_property
    def store(self) -> BaseStore | None:
        """Where memories live; `None` with memory switched off."""
        if self._loop is None:
            run_sync(self._ready())
        return self._memories

    @cached_property
    def threads(self) -> Threads:
        """Every tenant's threads: their history, checkpoints and branches; from any loop or thread."""
        return Threads(self._ready, lambda: self._runner)

    @cached_property
    def runs(self) -> Runs:
        """What became of runs on threads, and a way to end them; from any loop or thread."""
        return Runs(self._ready, lambda: self._runner)

    @cached_property
    def sessions(self) -> Sessions:
        """Every tenant's open sessions: what they keep, and a way to end them; from any loop or thread."""
        return Sessions(self._ready, lambda: self._session_keeper)

    @property
    def declared_tools(self) -> DeclaredTools:
        """Tools that tenants declare once, as if each of their requests did; from any loop or thread."""
        return self._declared_tools

    @property
    def mcp(self) -> McpServers:
        """MCP servers: connected to, listed, their tools accepted and called; from any loop or thread."""
        return self._mcp

    @property
    def functions(self) -> Functions:
        """Code registered as tools while the application runs, for an administrator; from any loop or thread.

        Raises:
            ConfigurationError: Functions are switched off.
        """
        if not self.settings.enable_functions:
            raise ConfigurationError(
                "functions are switched off: set AGENTGRAPH_ENABLE_FUNCTIONS", code="functions_off"
            )
        if self._loop is None:
            run_sync(self._ready())
        return self._functions

    @cached_property
    def memories(self) -> Memories:
        """Every tenant's memories, to list, search, write, correct and remove by hand; from any loop or thread."""
        return Memories(self._ready, self._kept)

    async def forget(
        self,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        thread: str | None = None,
        memory: str | None = None,
        source: str | None = None,
        include_threads: bool = False,
        dry_run: bool = False,
        timeout_s: float = 30.0,
    ) -> ForgetReceipt:
        """Forget for good: a tenant, a user, a session, a thread, one memory, or whatever came from one source.

        The narrowest thing named is the target. Afterwards no file under `storage_dir` holds it, and it is not learned
        again from a message sent anew; a caller who adds it in so many words means it.

        Args:
            tenant: Whose; alone, everything of the tenant.
            user: The person's memories and notes.
            session: The session's memories and its conversation.
            thread: The conversation, and what was learned in it.
            memory: The memory or note of this key, of exactly the tenant, user or session named, with what it had
                superseded.
            source: What came from the message, thread or import of this name.
            include_threads: Delete the conversations it was said in, too, and those that repeat it word for word;
                otherwise the receipt names them.
            dry_run: Change nothing and say what would go.
            timeout_s: How long to wait for runs under way that may bring it back.

        Raises:
            InvalidInputError: More than one of thread, memory and source, or an id that is none.
            StoreUnavailableError: A thread that is to be deleted stays busy, or a file is being read; try again.
        """
        scope = scope_of(tenant, user, session)
        target = ForgetTarget(scope=scope if thread is None else scope.with_thread(thread), key=memory, source=source)
        loop = await self._ready()
        return await call_on(
            loop,
            self._forgetter().forget(target, include_threads=include_threads, is_dry_run=dry_run, timeout_s=timeout_s),
        )

    # Below here everything runs on the loop that owns the resources.

    async def _tool_names_of(self, tenant: str) -> tuple[str, ...]:
        return (await self._toolbox.of(tenant)).names

    def _made_memory_tools(self) -> list[BaseTool]:
        settings = self.settings
        if not (settings.memory_tools and settings.enable_memory):
            return []
        return memory_tools(
            self._forget_within_run,
            include_global=settings.enable_global_memory,
            temporal_awareness=settings.temporal_awareness,
        )

    async def _forget_within_run(self, scope: Scope, key: str) -> None:
        target, forgetter = ForgetTarget(scope=scope, key=key), self._forgetter()
        await forgetter.remove(target)
        # Copies in threads and files go when the runs under way have ended, of which the caller is one.
        self._runner.under_way.spawn(_forget_later(forgetter, target))

    def _forgetter(self) -> Forgetter:
        return Forgetter(
            store=self._kept().store,
            checkpointer=cast("BaseCheckpointSaver[Any]", self._runner.threaded.checkpointer),
            runs=self._runner,
            worker=self._runner.worker,
            queries=self._queries,
            records=self._records,
        )

    def _kept(self) -> Kept:
        if self._memories is None:
            raise ConfigurationError("memory is switched off: set AGENTGRAPH_ENABLE_MEMORY", code="memory_off")
        settings = self.settings
        return Kept(
            store=self._memories,
            zone=settings.timezone,
            top_k=settings.mem_top_k,
            include_global=settings.enable_global_memory,
            temporal_awareness=settings.temporal_awareness,
            clock=self._clock,
        )

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
            resources = AsyncExitStack()
            pool = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="agentgraph-store")
            resources.callback(pool.shutdown)
            try:
                self._runner = await self._open_runner(pool, resources)
            except BaseException:
                await resources.aclose()
                raise
            self._resources = resources
            self._loop = asyncio.get_running_loop()

    async def _open_runner(self, pool: ThreadPoolExecutor, resources: AsyncExitStack) -> Runner:
        """Open models, stores and the graph; what was opened is closed with `resources`, the latest first."""
        settings = self.settings
        if self.traces is not None:
            resources.push_async_callback(asyncio.to_thread, self.traces.close)
        models = ModelPool(settings, progress=self._progress)
        resources.push_async_callback(models.aclose)
        url = settings.database_url
        self._records = Database(
            None if url is None else url.get_secret_value(), settings.storage_dir, sync=settings.storage_sync
        )
        resources.push_async_callback(asyncio.to_thread, self._records.close)
        self._declared_tools.open(self._records)
        self._mcp.open(self._records, has_records=self._records.exists)
        resources.push_async_callback(self._mcp.aclose)
        if settings.enable_functions:
            self._functions = await self._open_functions(resources)
        if settings.memory_model is not None:  # a misspelt name would come to light in the background only
            await asyncio.to_thread(models.provider, settings.memory_model)
        if settings.tool_filtering_model is not None:
            await asyncio.to_thread(models.provider, settings.tool_filtering_model)
        embeddings = self._queries = await self._embedder() if self._needs_embedder else None
        self._memories = await self._memory_store(embeddings, pool, resources)
        indexes = self._toolbox.indexes = ToolIndexes(embeddings=embeddings, cache=VectorCache(settings.storage_dir))
        resources.push_async_callback(indexes.aclose)
        reembedding = None
        if self._memories is not None:
            reembedding = Reembedding(self._memories)
            resources.push_async_callback(reembedding.aclose)
        database = ThreadDatabase(
            settings.storage_dir,
            pool=pool,
            sync=settings.storage_sync,
            hot_tenants=settings.hot_tenants,
            lease_ttl_s=settings.lease_ttl_s,
        )
        database.process.open()
        resources.callback(database.close)
        outbox, worker = TenantCheckpoints(database), None
        checkpointer = outbox if self._checkpointer is None else self._checkpointer
        if self._memories is not None:
            worker = MemoryWorker(
                self._memories,
                outbox,
                open_model=None if self.memory_model is None else partial(self._open_memory_model, models),
                model_timeout_s=settings.model_timeout_s,
            )
            resources.push_async_callback(worker.aclose)
        gate = SessionGate(
            SteadyClock() if self._clock is _utc_now else GivenClock(self._clock),
            clock=self._clock,
            ttl_s=settings.session_ttl_hours * 3600,
            max_mb=settings.session_memory_max_mb,
        )
        graph = build_graph(
            settings,
            model_filter=self._model_filter(models),
        )
        under_way = UnderWay()
        access = ThreadAccess(
            graph=graph.compile(checkpointer=checkpointer, store=self._memories, name="agentgraph"),
            database=database,
            journal=RunJournal(database, retry_window_s=settings.retry_window_s, sessions=gate),
            files_itself=checkpointer is outbox,
        )
        aftercare = Aftercare(
            settings=settings,
            under_way=under_way,
            threads=access,
            outbox=outbox,
            worker=worker,
            reembedding=reembedding,
        )
        runner = Runner(
            settings=settings,
            briefing=Briefing(
                settings=settings,
                clock=self._clock,
                models=models,
                chat_model=self._chat_model,
                toolbox=self._toolbox,
                declared=self._declared_tools,
                remembers=self._memories is not None,
                writes_inline=worker is None,
            ),
            access=access,
            aftercare=aftercare,
            under_way=under_way,
            one_off=graph.compile(store=self._memories, name="agentgraph"),
            outbox=outbox,
            recent=RecentRuns(settings.retry_window_s),
            observers=self._observers,
        )
        if worker is not None:
            under_way.spawn(_collect_debts(outbox, worker))
        watch = asyncio.get_running_loop().create_task(runner.watch())
        resources.push_async_callback(_stop, watch)
        keeper = SessionKeeper(runner, gate, store=self._memories, on_end=self._on_session_end)
        aftercare.sessions = self._session_keeper = keeper
        resources.push_async_callback(keeper.aclose)
        sweep = asyncio.get_running_loop().create_task(keeper.watch())
        resources.push_async_callback(_stop, sweep)
        under_way.spawn(runner.recover_all())
        under_way.spawn(self._toolbox.warm_up())
        if self._memories is not None:
            under_way.spawn(asyncio.to_thread(_warm_up, embeddings))
        return runner

    async def _open_functions(self, resources: AsyncExitStack) -> Functions:
        settings = self.settings
        await self._records.open()  # imports SQLAlchemy on a thread, which takes a third of a second
        from agentgraph.tools.functions import FunctionRunner, Functions, FunctionTools
        from agentgraph.tools.sandbox import Sandbox, SandboxLimits

        limits = SandboxLimits(
            time_s=settings.function_timeout_s,
            memory_bytes=round(settings.function_memory_mb * 1024 * 1024),
            recursion=settings.function_recursion,
            value_bytes=round(settings.function_output_kb * 1024),
        )
        sandbox = await resources.enter_async_context(Sandbox(limits))
        runner = FunctionRunner(sandbox)
        tools = FunctionTools(self._records, runner)
        self._toolbox.add_source("functions", tools)
        return Functions(
            self._ready,
            database=self._records,
            tools=tools,
            runner=runner,
            sandbox=sandbox,
            toolbox=self._toolbox,
            clock=self._clock,
        )

    @property
    def _needs_embedder(self) -> bool:
        return self.settings.enable_memory or self.settings.enable_functions or bool(self.tools)

    async def _embedder(self) -> CachedEmbeddings | None:
        """Open the embedder; without one named or installed, memories are found by their words alone."""
        spec = self._embeddings or self.settings.embedding_model or default_embedding_model()
        return None if spec is None else await asyncio.to_thread(load_embeddings, spec, settings=self.settings)

    async def _embedded(self, texts: list[str]) -> list[list[float]]:
        embeddings = self._queries = self._queries or await self._embedder()
        if embeddings is None:
            raise ConfigurationError(
                "there is no embedder: set AGENTGRAPH_EMBEDDING_MODEL, or pip install 'agentgraph[local]'",
                code="no_embedder",
            )
        return await embeddings.aembed_documents(texts)

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

    def _model_filter(self, models: ModelPool) -> ModelFilter | None:
        given, spec = self._tool_filtering_model, self.settings.tool_filtering_model
        if given is None and spec is None:
            return None

        async def open_model() -> BaseChatModel:
            return given or await models.get(spec or models.default_name)

        return ModelFilter(open_model=open_model, timeout_s=self.settings.tool_filtering_timeout_s)

    async def _open_memory_model(self, models: ModelPool) -> BaseChatModel:
        return self._memory_model or await models.get(self.settings.memory_model or models.default_name)

    async def _close_here(self) -> None:
        resources, self._resources = self._resources, None
        if resources is None:
            return
        self._closed = True
        await self._runner.under_way.finished()
        await resources.aclose()


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _collect_debts(outbox: TenantCheckpoints, worker: MemoryWorker) -> None:
    """Have written what an earlier process left owing."""
    for tenant in await asyncio.to_thread(outbox.tenants_in_debt):
        worker.notify(tenant)


async def _forget_later(forgetter: Forgetter, target: ForgetTarget) -> None:
    """Remove the traces of what a run forgot; the memory itself is gone already."""
    try:
        await forgetter.forget(target)
    except AgentGraphError as error:
        logger.warning("traces of a memory of %r are left: %s", target.scope.tenant, error.message)


def _warm_up(embeddings: Embeddings | None) -> None:
    """Load what the first question would wait for: the embedder, and the rules of the time grammar."""
    resolve("last week", now=_utc_now(), zone="UTC")
    if isinstance(embeddings, CachedEmbeddings) and isinstance(embeddings.inner, LocalEmbeddings):
        embeddings.embed_query("last week")
