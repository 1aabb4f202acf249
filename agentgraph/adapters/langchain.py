"""Choosing and running tools as middleware of LangChain's own agents.

    agent = create_agent(model, tools=tools, middleware=[ToolSelection(top_k=5), SafeToolExecution()])

Raises `MissingExtraError` on import where `langchain` is not installed.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NotRequired, cast

from langchain_core.embeddings import Embeddings
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from agentgraph._sync import run_sync
from agentgraph.adapters.langgraph import FilterTools
from agentgraph.errors import MissingExtraError
from agentgraph.tools.answers import leave_for
from agentgraph.tools.calls import ServerCall
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.promises import promises_of
from agentgraph.tools.taint import MARK, untrusted_in

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
    )
except ImportError as error:
    raise MissingExtraError("langchain", needed_for="agentgraph.adapters.langchain") from error

__all__ = ["SafeToolExecution", "ToolSelection"]

_Answer = ToolMessage | Command[Any]


class _Offering(AgentState[Any]):
    offered_tools: NotRequired[list[str]]


class ToolSelection(AgentMiddleware[_Offering, Any, Any]):
    """Shows the model the tools a conversation calls for, as the agent's `filter_tools` does.

    What was once offered stays offered; the state keeps it as `offered_tools`. Tools given as schemas, which a vendor
    runs itself, are always shown.

    Args:
        threshold: Up to so many tools, all are shown.
        top_k: How many a turn adds at the most.
        embeddings: Ranks by meaning too; without it, by words.
    """

    state_schema = _Offering

    def __init__(self, *, threshold: int = 8, top_k: int = 5, embeddings: Embeddings | None = None) -> None:
        super().__init__()
        self._options: dict[str, Any] = {"threshold": threshold, "top_k": top_k, "embeddings": embeddings}
        self._filter: tuple[tuple[int, ...], FilterTools] | None = None

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ExtendedModelResponse[Any]:
        """Call the model with fewer tools."""
        offered = await self._offered(request)
        return _noting(await handler(_with_tools(request, offered)), offered)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Call the model with fewer tools."""
        offered = run_sync(self._offered(request))
        return _noting(handler(_with_tools(request, offered)), offered)

    async def _offered(self, request: ModelRequest[Any]) -> list[str]:
        tools = [tool for tool in request.tools if isinstance(tool, BaseTool)]
        state = cast("dict[str, Any]", request.state)
        choose = self._filter_of(tools).chosen
        return await choose(request.messages, state.get("offered_tools", []), tell=lambda _: None)

    def _filter_of(self, tools: Sequence[BaseTool]) -> FilterTools:
        """Return the filter of these very tools, which an agent hands over anew at every call."""
        which = tuple(map(id, tools))
        if self._filter is None or self._filter[0] != which:
            self._filter = (which, FilterTools(tools, **self._options))
        return self._filter[1]


class SafeToolExecution(AgentMiddleware[AgentState[Any], Any, Any]):
    """Runs tools within a time, cuts what they return, words their failures, and asks before what needs leave.

    A tool that promises `needs_approval`, or `consequential` after a tool that promises `untrusted` has spoken, waits
    for a person: the agent needs a checkpointer and a thread, and is resumed with `Command(resume=...)` of a decision.
    Put it first, so that other middleware's retries happen within its time and after the leave.

    Args:
        timeout_s: How long a tool may take.
        max_output_chars: Longer text is cut, with a note.
        consequential_allowlist: `consequential` tools that may run though strangers' text has entered.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 30.0,
        max_output_chars: int = 20_000,
        consequential_allowlist: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._runner = ToolRunner(timeout_s=timeout_s, max_output_chars=max_output_chars)
        self._allowlist = frozenset(consequential_allowlist)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[_Answer]]
    ) -> _Answer:
        """Run one call."""
        if request.tool is None:  # whose agent answers with the names there are
            return await handler(request)
        allowed = self._allowed(request, request.tool)
        if isinstance(allowed, ToolMessage):
            return allowed
        called = replace(allowed, tool=self._runner.not_blocking(request.tool))
        return await self._answered(request, request.tool, lambda: handler(called))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], _Answer]) -> _Answer:
        """Run one call."""
        if (tool := request.tool) is None:
            return handler(request)
        allowed = self._allowed(request, tool)
        if isinstance(allowed, ToolMessage):
            return allowed
        within = partial(contextvars.copy_context().run, handler, allowed)
        return run_sync(self._answered(request, tool, lambda: self._runner.threads.run(within, owner=id(tool))))

    def _allowed(self, request: ToolCallRequest, tool: BaseTool) -> ToolCallRequest | ToolMessage:
        """Return the call as a person wants it, or why it is not made."""
        call = request.tool_call
        messages = request.state.get("messages", []) if isinstance(request.state, dict) else []
        decided = leave_for(
            [ServerCall(position=0, call_id=call["id"] or "", name=call["name"], arguments=call["args"])],
            lambda _: promises_of(tool),
            has_untrusted=bool(untrusted_in(messages)),
            allowlist=self._allowlist,
            can_ask=request.runtime.config.get("configurable", {}).get("thread_id") is not None,
        )[0]
        if decided.refusal is not None:
            return ToolMessage(decided.refusal, tool_call_id=call["id"], name=call["name"], status="error")
        return request.override(tool_call={**call, "args": dict(decided.arguments)})

    async def _answered(
        self, request: ToolCallRequest, tool: BaseTool, run: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        raw: list[_Answer] = []

        async def work() -> _Answer:
            raw.append(await run())
            return raw[0]

        call_id = request.tool_call["id"] or ""
        output = await self._runner.attempt(tool, work(), call_id=call_id)
        answer = raw[0] if raw else ToolMessage("", tool_call_id=call_id, name=tool.name)
        if isinstance(answer, Command):
            return answer
        mark = {MARK: True} if promises_of(tool).untrusted or output.is_untrusted else {}
        changes = {
            "content": output.content,
            "status": output.status,
            "additional_kwargs": {**answer.additional_kwargs, **mark},
        }
        return answer.model_copy(update=changes)


def _with_tools(request: ModelRequest[Any], offered: Sequence[str]) -> ModelRequest[Any]:
    names = set(offered)
    shown = [tool for tool in request.tools if not isinstance(tool, BaseTool) or tool.name in names]
    return request.override(tools=shown)


def _noting(response: ModelResponse[Any], offered: list[str]) -> ExtendedModelResponse[Any]:
    return ExtendedModelResponse(model_response=response, command=Command(update={"offered_tools": offered}))
