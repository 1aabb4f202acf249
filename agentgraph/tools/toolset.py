"""The server tools of one run: what may be called, what each promises, what a model is shown of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from langchain_core.tools import BaseTool

from agentgraph.errors import ConfigurationError
from agentgraph.tools.promises import Promises, promises_of
from agentgraph.tools.schema import tool_schema
from agentgraph.tools.selection import RankedTool, ToolDocument, ToolIndexes, fingerprint

__all__ = ["ToolSet"]

_READ_AT_ONCE: Final = 100  # tools; the schemas of more are read in a thread


class ToolSet:
    """Tools in their order, no two of one name. Immutable: runs share it, and a change of tools makes another.

    What is costly to learn of a tool is learned once, when it is first asked for, and shared with the sets made of it.
    """

    def __init__(
        self, tools: Sequence[BaseTool] = (), *, known: ToolSet | None = None, indexes: ToolIndexes | None = None
    ) -> None:
        """Take `tools`.

        Args:
            tools: The tools, in the order a model is shown them.
            known: An earlier set: what was learned of the tools it shares with this one is not learned again.
            indexes: Where the index of an equal set may be found, and where this one's is left.

        Raises:
            ConfigurationError: Two tools have one name, or a promise means nothing.
        """
        before = known._entries if known is not None else {}  # noqa: SLF001  its own kind
        self._entries: dict[str, _Entry] = {}
        for tool in tools:
            if tool.name in self._entries:
                raise ConfigurationError(f"two tools are called {tool.name!r}; rename one", code="duplicate_tool")
            entry = before.get(tool.name)
            self._entries[tool.name] = entry if entry is not None and entry.tool is tool else _Entry(tool)
        self._indexes = ToolIndexes() if indexes is None else indexes  # one that is empty is false

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[BaseTool]:
        return (entry.tool for entry in self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def only(self, names: Collection[str]) -> ToolSet:
        """Return the set of those with one of `names`."""
        return ToolSet([tool for tool in self if tool.name in names], known=self, indexes=self._indexes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every tool's name, in their order."""
        return tuple(self._entries)

    @cached_property
    def pinned(self) -> tuple[str, ...]:
        """The names of those that promise to be `pinned`."""
        return tuple(name for name, entry in self._entries.items() if entry.promises.pinned)

    def get(self, name: str) -> BaseTool | None:
        """Return the tool called `name`."""
        entry = self._entries.get(name)
        return None if entry is None else entry.tool

    def promises(self, name: str) -> Promises:
        """Return what the tool called `name` promises; a tool that is not there promises nothing."""
        entry = self._entries.get(name)
        return Promises() if entry is None else entry.promises

    def schema(self, name: str) -> dict[str, Any]:
        """Return what a model is shown of the tool called `name`, as OpenAI spells it; the caller changes nothing.

        Raises:
            KeyError: There is no such tool.
        """
        return self._entries[name].schema

    @cached_property
    def documents(self) -> tuple[ToolDocument, ...]:
        """What ranking reads of the tools, in their order."""
        return tuple(entry.document for entry in self._entries.values())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the tools say of themselves."""
        return fingerprint(self.documents)

    async def rank(self, turns: Sequence[str], *, limit: int) -> list[RankedTool]:
        """Return the tools that have to do with the recent turns, the best first; see `ToolIndex.rank`.

        The first ranking of a large set takes the time to read it, off the event loop.
        """
        if not self._entries:
            return []
        if "fingerprint" not in self.__dict__ and len(self) > _READ_AT_ONCE:
            await asyncio.to_thread(lambda: self.fingerprint)
        return await self._indexes.of(self.documents, key=self.fingerprint).rank(turns, limit=limit)


class _Entry:
    """A tool, and what was read of it."""

    def __init__(self, tool: BaseTool) -> None:
        self.tool = tool
        self.promises = promises_of(tool)

    @cached_property
    def schema(self) -> dict[str, Any]:
        return tool_schema(self.tool)

    @cached_property
    def document(self) -> ToolDocument:
        return ToolDocument.of(self.schema)
