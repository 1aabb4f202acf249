"""`find_tools`: the model's way to tools it was not shown, so that a wrong choice of ours costs a call and no answer.

What it finds may be called at the next model call, and stays offered on the thread.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, Protocol

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.prebuilt import ToolRuntime

from agentgraph.memory.quoted import quoted
from agentgraph.tools.promises import promising
from agentgraph.tools.toolset import ToolSet

__all__ = ["FIND_TOOLS", "FindTools", "find_tools_tool", "found_in"]

FIND_TOOLS: Final = "find_tools"
_MOST: Final = 5
_LONGEST_QUERY: Final = 1_000
_LONGEST_DESCRIPTION: Final = 300


class HasTools(Protocol):
    """What it needs to know of a run: its `RunContext` says so."""

    @property
    def tools(self) -> ToolSet:
        """The tools the run may call."""

    @property
    def hidden_tools(self) -> Collection[str]:
        """Those of them the model is not to be shown."""


class FindTools(StructuredTool):
    """Our own, whatever other tools are called."""


def find_tools_tool() -> FindTools:
    """Return the tool; it searches the tools of whichever run calls it."""

    async def find_tools(query: str, runtime: ToolRuntime[Any, Any]) -> str:  # noqa: D417
        """Find more tools. Use it when none of the tools you have fits the task; what it finds you can call next.

        Args:
            query: What a tool is needed for, in a few words, such as 'convert currencies'.
        """
        context: HasTools = runtime.context
        own = {*context.hidden_tools, *(tool.name for tool in context.tools if isinstance(tool, FindTools))}
        found = await context.tools.rank([query[:_LONGEST_QUERY]], limit=_MOST + len(own))
        lines = [_line(context.tools, ranked.name) for ranked in found if ranked.name not in own][:_MOST]
        if not lines:
            return "No tool has to do with that. Try other words, or answer without one."
        return "\n".join(["You can call these tools now:", *lines])

    made = FindTools.from_function(coroutine=find_tools, parse_docstring=True)
    promised = promising(made, idempotent=True)
    assert isinstance(promised, FindTools)  # noqa: S101
    return promised


def found_in(answers: Sequence[BaseMessage], tools: ToolSet) -> Iterator[str]:
    """Yield the names of the tools that `find_tools` found, as its answers tell them."""
    if not isinstance(tools.get(FIND_TOOLS), FindTools):
        return
    for answer in answers:
        if isinstance(answer, ToolMessage) and answer.name == FIND_TOOLS and answer.status == "success":
            for line in str(answer.text).splitlines():
                name = _name_in(line)
                if name in tools:
                    yield name


def _line(tools: ToolSet, name: str) -> str:
    tool = tools.get(name)
    description = " ".join((tool.description if tool is not None else "").split())
    return quoted({"name": name, "description": description[:_LONGEST_DESCRIPTION]})


def _name_in(line: str) -> str:
    try:
        told = json.loads(line)
    except ValueError:  # the first line, or one that was cut
        return ""
    return str(told.get("name", "")) if isinstance(told, dict) else ""
