"""Choosing and running tools as nodes of a LangGraph graph of your own.

    graph.add_node("filter_tools", FilterTools(tools))
    graph.add_node("execute_tools", ExecuteTools(tools))

The state may have any shape that holds `messages`. What else the nodes read and write they say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.nodes.filter_tools import filter_tools
from agentgraph.scope import Scope
from agentgraph.tools.answers import MessageCalls
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.selection import ToolIndexes
from agentgraph.tools.taint import untrusted_in
from agentgraph.tools.toolset import ToolSet

__all__ = ["ExecuteTools", "FilterTools"]

_NOBODY: Final = Scope(tenant="default")


class FilterTools:
    """A node that chooses which tools the model is shown, as `filter_tools` of the agent does.

    It reads `messages` and writes `offered_tools: list[str]`, which only grows; `offered(state)` are the tools to bind.

    Args:
        tools: All there are, no two of one name.
        threshold: Up to so many, all are offered.
        top_k: How many a turn adds at the most.
        embeddings: Ranks by meaning too; without it, by words.

    Raises:
        ConfigurationError: Two tools of one name.
    """

    __name__ = "filter_tools"

    def __init__(
        self,
        tools: Sequence[BaseTool] | ToolSet,
        *,
        threshold: int = 8,
        top_k: int = 5,
        embeddings: Embeddings | None = None,
    ) -> None:
        self.tools = _set_of(tools, embeddings)
        self._threshold = threshold
        self._top_k = top_k

    async def __call__(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Return what is new to the state."""
        names = await self.chosen(
            _part(state, "messages", []), _part(state, "offered_tools", []), tell=runtime.stream_writer
        )
        return {"offered_tools": names}

    async def chosen(
        self, messages: Sequence[BaseMessage], offered: Sequence[str], *, tell: Callable[[Any], object]
    ) -> list[str]:
        """Return the names to offer: `offered` so far, and what the recent turns call for."""
        context = RunContext(
            scope=_NOBODY,
            now=datetime.now(UTC),
            zone="UTC",
            run_id="",
            model=cast("BaseChatModel", None),  # which is not called to choose
            tools=self.tools,
            listener=tell,
        )
        update = await filter_tools(
            {"messages": list(messages), "offered_tools": list(offered)},
            Runtime(context=context),
            threshold=self._threshold,
            top_k=self._top_k,
        )
        return update.get("offered_tools", list(offered))

    def offered(self, state: Any) -> list[BaseTool]:
        """Return the tools a state offers, to be bound to the model."""
        return [tool for name in _part(state, "offered_tools", []) if (tool := self.tools.get(name)) is not None]


class ExecuteTools:
    """A node that answers the calls of the newest message, as `execute_tools` of the agent does.

    It reads `messages`, `untrusted` where there is such a key, and writes `messages`. A tool that needs leave
    interrupts the graph, which therefore needs a checkpointer and a thread; resume it with `Command(resume=...)` of a
    decision. It keeps no ledger: a process that dies in the middle runs its calls again, with the same
    `idempotency_key`.

    Args:
        tools: All there are, no two of one name.
        timeout_s: How long a tool may take.
        max_parallel: Calls that run at once.
        max_output_chars: Longer text is cut, with a note.
        consequential_allowlist: `consequential` tools that may run though strangers' text has entered.
        client_tools: Names of tools somebody else runs: their calls are passed over.
        has_untrusted: Says of a state that strangers' text stands in it, besides what tools that promise `untrusted`
            returned and files within messages: documents your own nodes retrieved, say.
        media: Which of `image`, `audio`, `video` and `file` your model reads in a tool's result.

    Raises:
        ConfigurationError: Two tools of one name.
    """

    __name__ = "execute_tools"

    def __init__(
        self,
        tools: Sequence[BaseTool] | ToolSet,
        *,
        timeout_s: float = 30.0,
        max_parallel: int = 8,
        max_output_chars: int = 20_000,
        consequential_allowlist: Collection[str] = (),
        client_tools: Collection[str] = (),
        has_untrusted: Callable[[Any], bool] | None = None,
        media: AbstractSet[str] = frozenset(),
    ) -> None:
        self.tools = _set_of(tools)
        self._runner = ToolRunner(timeout_s=timeout_s, max_output_chars=max_output_chars)
        self._max_parallel = max_parallel
        self._allowlist = frozenset(consequential_allowlist)
        self._client_tools = frozenset(client_tools)
        self._has_untrusted = has_untrusted
        self._media = frozenset(media)

    async def __call__(self, state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        """Return the answers.

        Raises:
            InvalidInputError: A person's answer does not fit what was asked; nothing was run.
        """
        messages: Sequence[BaseMessage] = _part(state, "messages", [])
        if not messages or not isinstance(newest := messages[-1], AIMessage):
            return {"messages": []}
        untrusted = untrusted_in(messages, known=_part(state, "untrusted", []))
        calls = MessageCalls(
            message=newest,
            tools=self.tools,
            runner=self._runner,
            runtime=partial(_handed, state, config, runtime),
            tell=runtime.stream_writer,
            client_tools=self._client_tools,
            thread_key=config.get("configurable", {}).get("thread_id"),
            max_parallel=self._max_parallel,
            has_untrusted=bool(untrusted) or (self._has_untrusted is not None and self._has_untrusted(state)),
            allowlist=self._allowlist,
            media=self._media,
        )
        return {"messages": await calls.answered()}


def _set_of(tools: Sequence[BaseTool] | ToolSet, embeddings: Embeddings | None = None) -> ToolSet:
    return tools if isinstance(tools, ToolSet) else ToolSet(tools, indexes=ToolIndexes(embeddings=embeddings))


def _part(state: Any, key: str, default: Any) -> Any:
    """Return a value of a state, which LangGraph keeps as a mapping, a dataclass or a Pydantic model."""
    found = state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)
    return default if found is None else found


def _handed(state: Any, config: RunnableConfig, runtime: Runtime[Any], call_id: str) -> ToolRuntime[Any, Any]:
    return ToolRuntime(
        state=state,
        context=runtime.context,
        config=config,
        stream_writer=runtime.stream_writer,
        tool_call_id=call_id,
        store=runtime.store,
    )
