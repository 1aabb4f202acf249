"""Run one call of one tool to an answer a model can read, within a time; nothing of it is ever raised.

For a graph of any shape: `await ToolRunner().run(tool, {"city": "Rome"})`. Who may call what, and how often, is decided
elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, Final, TypeVar

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolRuntime
from langgraph.types import Command
from pydantic import ValidationError

from agentgraph.errors import ToolError, ToolTimeoutError
from agentgraph.tools.failure import arguments_at_fault, failure_in_words
from agentgraph.tools.output import Content, Output, in_words, is_quickly_told
from agentgraph.tools.runtime import FilledIn
from agentgraph.tools.taint import brings_untrusted
from agentgraph.tools.worker_threads import WorkerThreads

__all__ = ["ToolRunner"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_GRACE_S: Final = 0.25  # for what a cancelled tool still has to close
_WORDS_S: Final = 5.0  # to put a result or a failure into words
_MOST_REMEMBERED: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was learned of a tool, and the tool as it is called."""

    tool: BaseTool
    filled_in: FilledIn
    blocks: bool
    called: BaseTool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRunner:
    """Runs calls. Make one and keep it: its threads, and what it knows of tools, serve all calls.

    Attributes:
        timeout_s: How long a tool may take. One that does not stop then is left behind and holds nothing up.
        max_output_chars: Longer text is cut, with a note for the model.
        threads: Where tools run that block.
    """

    timeout_s: float = 30.0
    max_output_chars: int = 20_000
    threads: WorkerThreads = field(default_factory=WorkerThreads)
    _known: dict[int, _Known] = field(default_factory=dict)
    _left_behind: set[asyncio.Future[Any]] = field(default_factory=set)

    def within(self, timeout_s: float) -> ToolRunner:
        """Return a runner with another bound, on the same threads."""
        return replace(self, timeout_s=timeout_s)

    async def run(
        self,
        tool: BaseTool,
        arguments: Mapping[str, Any],
        *,
        call_id: str = "",
        key: str | None = None,
        runtime: Callable[[], ToolRuntime[Any, Any]] | None = None,
        media: AbstractSet[str] = frozenset(),
    ) -> Output:
        """Return what came of a call: what the tool said, or why there is nothing.

        Args:
            tool: The tool.
            arguments: As the model wrote them; checked against the tool's schema.
            call_id: The call's id.
            key: The idempotency key, for a tool that takes one.
            runtime: Makes the run to hand to a tool that asks for it.
            media: Which of `image`, `audio`, `video` and `file` the model reads in a tool's result.
        """
        known = self._of(tool)
        filled_in = known.filled_in
        handed = runtime() if runtime is not None and filled_in.asks_for_the_run else None
        call = {
            "type": "tool_call",
            "name": tool.name,
            "args": filled_in.arguments(arguments, runtime=handed, key=key),
            # With an id LangChain puts the result into words itself, and waits for that however long it takes.
            "id": call_id if filled_in.takes_call_id or _answers_for_itself(tool) else None,
        }
        try:
            return await self.attempt(tool, self._called(known, call), call_id=call_id, media=media)
        except GraphBubbleUp:
            logger.error(  # noqa: TRY400  its traceback says nothing
                "the tool %r interrupted its run, which only our own approval can: promise needs_approval", tool.name
            )
            return _failed(f"The tool {tool.name!r} cannot be used here: it waits for somebody who cannot be asked.")

    async def attempt(
        self,
        tool: BaseTool,
        work: Coroutine[Any, Any, Any],
        *,
        call_id: str = "",
        media: AbstractSet[str] = frozenset(),
    ) -> Output:
        """Return what came of `work`, which calls `tool` in a way of its own.

        Raises:
            GraphBubbleUp: The tool interrupts the graph it runs in.
        """
        try:
            result = await self._within(self.timeout_s, work)
            return await self._told(tool, result, call_id, media)
        except ToolTimeoutError:
            return _failed(f"The tool {tool.name!r} did not answer within {self.timeout_s:g} seconds.")
        except ValidationError as error:
            if error.title == _schema_name(tool):
                return _failed(arguments_at_fault(tool.name, error))
            return await self._failure(tool, error)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001  the outermost place of a tool: its failure is the model's to handle
            return await self._failure(tool, error)

    def not_blocking(self, tool: BaseTool) -> BaseTool:
        """Return `tool` so that, awaited by others, it blocks a thread of ours and not one of the event loop's own."""
        if not isinstance(tool, StructuredTool) or not _blocks(tool) or (function := tool.func) is None:
            return tool

        @wraps(function)
        async def in_a_thread(*args: Any, **kwargs: Any) -> Any:
            return await self.threads.run(partial(function, *args, **kwargs), owner=id(tool))

        return tool.model_copy(update={"coroutine": in_a_thread})

    def _of(self, tool: BaseTool) -> _Known:
        known = self._known.get(id(tool))
        if known is None or known.tool is not tool:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[id(tool)] = _Known(
                tool=tool, filled_in=FilledIn.of(tool), blocks=_blocks(tool), called=_without_exit(tool)
            )
        return known

    async def _called(self, known: _Known, call: dict[str, Any]) -> Any:
        if known.blocks:
            return await self.threads.run(partial(known.tool.invoke, call), owner=id(known.tool))
        return await known.called.ainvoke(call)

    async def _told(self, tool: BaseTool, result: Any, call_id: str, media: AbstractSet[str]) -> Output:
        """Put a result into words, off the event loop where it runs anybody's code."""
        if isinstance(result, Command):
            result = _answer_in(result, call_id)
        is_untrusted = isinstance(result, ToolMessage) and brings_untrusted(result)
        status = result.status if isinstance(result, ToolMessage) else "success"
        words: Content
        if is_quickly_told(result):
            words = in_words(result, self.max_output_chars)
        else:
            put = partial(in_words, result, self.max_output_chars, media=media)
            try:
                words = await self._within(_WORDS_S, self.threads.run(put, owner=("words", id(tool))))
            except Exception as error:  # noqa: BLE001  whatever its methods raise
                return _failed(
                    f"The tool {tool.name!r} ran, but what it returned could not be put into words "
                    f"({type(error).__name__}): {type(result).__name__}"
                )
        return Output(content=words, status=status, is_untrusted=is_untrusted)

    async def _failure(self, tool: BaseTool, error: BaseException) -> Output:
        logger.warning("the tool %r failed: %s", tool.name, type(error).__name__)
        put = partial(failure_in_words, tool.name, error)
        try:
            return _failed(await self._within(_WORDS_S, self.threads.run(put, owner=("words", id(tool)))))
        except Exception:  # noqa: BLE001  an error that cannot say what it is
            return _failed(f"The tool {tool.name!r} failed: {type(error).__name__}")

    async def _within(self, timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` no longer than so, whether or not it heeds being cancelled.

        Raises:
            ToolTimeoutError: It takes longer.
        """
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task}, timeout=timeout_s)
            if not task.done():
                raise ToolTimeoutError(f"no answer within {timeout_s:g} seconds")
        finally:
            if not task.done():
                await self._give_up(task)
        if task.cancelled():
            raise ToolError("it was cancelled from within")
        return task.result()

    async def _give_up(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._left_behind.add(task)  # the loop itself holds tasks by weak references only
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=_GRACE_S)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else will ask


def _failed(message: str) -> Output:
    return Output(content=message, status="error")


def _blocks(tool: BaseTool) -> bool:
    """Say whether LangChain would run `tool` in the event loop's own thread pool."""
    runs_sync = {BaseTool._arun, StructuredTool._arun, Tool._arun}  # noqa: SLF001  what says that there is no other
    return type(tool)._arun in runs_sync and getattr(tool, "coroutine", None) is None  # noqa: SLF001


def _without_exit(tool: BaseTool) -> BaseTool:
    """Return `tool` with its coroutine kept from ending the process.

    LangChain makes a task of it, and of a task asyncio lets a `SystemExit` out through the event loop.
    """
    if not isinstance(tool, StructuredTool) or (coroutine := tool.coroutine) is None:
        return tool

    @wraps(coroutine)
    async def within(*args: Any, **kwargs: Any) -> Any:
        try:
            return await coroutine(*args, **kwargs)
        except SystemExit as error:
            raise ToolError("it tried to end the process") from error

    return tool.model_copy(update={"coroutine": within})


def _answers_for_itself(tool: BaseTool) -> bool:
    """Say whether `tool` handles its own errors: that it did, only the message tells that LangChain makes of it."""
    return bool(tool.handle_tool_error or tool.handle_validation_error)


def _schema_name(tool: BaseTool) -> str | None:
    schema = tool.args_schema
    return None if schema is None or isinstance(schema, dict) else schema.__name__


def _answer_in(command: Command[Any], call_id: str) -> Any:
    """Return the answer within a LangGraph command; where else it wants the graph to go is not for a tool to say."""
    update = command.update
    messages = update.get("messages", ()) if isinstance(update, Mapping) else ()
    answers = [each for each in messages if isinstance(each, ToolMessage)]
    return next((each for each in answers if each.tool_call_id == call_id), answers[0] if answers else None)
