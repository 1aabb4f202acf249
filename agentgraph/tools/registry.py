"""A set of tools to look up and to run by hand, from a name and the JSON that a model wrote.

Nothing is registered by being defined: a library that is imported, or a tool made for one tenant, must not turn up in
what a whole deployment offers. `@tool(register=True)` enters a tool into the process's registry, and
`AgentGraph(use_registry_tools=True)` offers what is there when it is made.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from langchain_core.tools import BaseTool

from agentgraph._sync import run_sync
from agentgraph.errors import ConfigurationError
from agentgraph.tools.execution import ToolRunner
from agentgraph.tools.output import Output, as_text
from agentgraph.tools.schema import tool_schema

__all__ = ["ToolOutcome", "ToolRegistry", "get_registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What came of a call.

    Attributes:
        content: What the tool said, or why there is nothing, in words fit for a model.
        is_error: Whether it did not do what it was asked.
    """

    content: str
    is_error: bool = False


class ToolRegistry:
    """Tools by name, in the order they came; no two of one name.

    Args:
        tools: The first of them.
        timeout_s: How long one call may take.

    Raises:
        ConfigurationError: Two tools of one name, or something that is no tool.
    """

    def __init__(self, tools: Iterable[BaseTool] = (), *, timeout_s: float = 30.0) -> None:
        self._tools: dict[str, BaseTool] = {}
        self._runner = ToolRunner(timeout_s=timeout_s)
        for tool in tools:
            self.register(tool)

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[BaseTool]:
        return iter(tuple(self._tools.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> tuple[str, ...]:
        """Every tool's name."""
        return tuple(self._tools)

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What a model is shown of each tool, as OpenAI spells it."""
        return [tool_schema(tool) for tool in self]

    def get(self, name: str) -> BaseTool | None:
        """Return the tool called `name`."""
        return self._tools.get(name)

    def register(self, tool: BaseTool) -> BaseTool:
        """Add a tool and return it. One defined again, as when a notebook's cell runs twice, replaces what it was.

        Raises:
            ConfigurationError: Another tool has its name, or it is no tool.
        """
        if not isinstance(tool, BaseTool):
            raise ConfigurationError(f"{tool!r} is no tool; make one of a function with @tool", code="bad_tool")
        known = self._tools.get(tool.name)
        if known is not None and known is not tool and not _is_defined_again(known, tool):
            raise ConfigurationError(f"two tools are called {tool.name!r}; rename one", code="duplicate_tool")
        self._tools[tool.name] = tool
        return tool

    def remove(self, name: str) -> None:
        """Remove the tool called `name`, if it is there."""
        self._tools.pop(name, None)

    async def execute(self, name: str, arguments: str | Mapping[str, Any] = "{}") -> ToolOutcome:
        """Run a tool and return what came of it; nothing is raised that a model could put right.

        It is you who calls: what a tool promises about approval is asked for in runs, not here.

        Args:
            name: The tool's.
            arguments: A JSON object, as models write it, or the object.
        """
        tool = self._tools.get(name)
        if tool is None:
            return ToolOutcome(content=self._unknown(name), is_error=True)
        try:
            read = _object(arguments)
        except ValueError as error:
            return ToolOutcome(content=f"The arguments of {name!r} are no JSON object: {error}", is_error=True)
        return _outcome(await self._runner.run(tool, read))

    def execute_sync(self, name: str, arguments: str | Mapping[str, Any] = "{}") -> ToolOutcome:
        """Do what `execute` does, from synchronous code; a notebook's running loop is no obstacle."""
        return run_sync(self.execute(name, arguments))

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name[:100], self._tools, n=3, cutoff=0.4) or list(self._tools)[:3]
        return f"There is no tool {name[:100]!r}. " + (
            f"Nearest: {', '.join(near)}." if near else "There is none at all."
        )


@cache
def get_registry() -> ToolRegistry:
    """Return the process's registry, where `@tool(register=True)` enters what it makes."""
    return ToolRegistry()


def _object(arguments: str | Mapping[str, Any]) -> dict[str, Any]:
    try:
        # Not orjson: arguments may hold integers beyond 64 bits.
        read = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except RecursionError:
        raise ValueError("they are nested too deep") from None
    if not isinstance(read, Mapping):
        raise ValueError(f"they are a {type(read).__name__}")  # noqa: TRY004  a model's fault, told like the others
    return dict(read)


def _outcome(output: Output) -> ToolOutcome:
    return ToolOutcome(content=as_text(output.content), is_error=output.status == "error")


def _is_defined_again(known: BaseTool, new: BaseTool) -> bool:
    """Say whether both were made of one place in a module; functions within functions are each another's."""
    before, after = _place(known), _place(new)
    return before is not None and before == after


def _place(tool: BaseTool) -> tuple[str, str] | None:
    function = getattr(tool, "coroutine", None) or getattr(tool, "func", None)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<locals>")
    return None if module is None or "<locals>" in name else (module, name)
