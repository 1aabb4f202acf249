"""Which server tools a tenant's runs have: the deployment's, the tenant's own, those of sources such as MCP servers.

The one place that decides it, so that a run, its recovery after a crash and a refusal of a request's tools all agree.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from langchain_core.tools import BaseTool

from agentgraph.errors import ConfigurationError, NotFoundError
from agentgraph.scope import Scope
from agentgraph.tools.find_tools import FIND_TOOLS, find_tools_tool
from agentgraph.tools.promises import promises_of
from agentgraph.tools.selection import ToolIndexes
from agentgraph.tools.toolset import ToolSet

__all__ = ["ToolSource", "Toolbox"]

logger = logging.getLogger(__name__)
_MOST_SETS: Final = 1_024
_BUILT_AT_ONCE: Final = 100  # tools; larger sets are built in a thread
_DEPLOYMENT: Final = "the deployment"


class ToolSource(Protocol):
    """Where tools come from that change while the application runs."""

    async def tools_of(self, tenant: str) -> Sequence[BaseTool]:
        """Return a tenant's tools, from memory: every run waits for it.

        The same tuple, while nothing has changed, costs the run nothing more.
        """


@dataclass(frozen=True, slots=True)
class _Made:
    """A tenant's set, and what it was made of."""

    parts: tuple[Sequence[BaseTool], ...]
    tools: ToolSet


class Toolbox:
    """Every tool of an application, by whose it is. Safe to change from any thread; a run keeps the set it began with.

    Raises:
        ConfigurationError: Two of the deployment's tools have one name.
    """

    def __init__(
        self,
        tools: Iterable[BaseTool] = (),
        *,
        memory_tools: Iterable[BaseTool] = (),
        filter_threshold: int = 8,
        find_tools: bool = True,
    ) -> None:
        """Begin with the deployment's tools, which every tenant has.

        Args:
            tools: The tools.
            memory_tools: More of them, which need a run that has memory.
            filter_threshold: Where there are more tools than this, they are filtered.
            find_tools: Whether `find_tools` is then among them.
        """
        memory = tuple(memory_tools)
        self.memory_tools = frozenset(tool.name for tool in memory)
        self.indexes = ToolIndexes()
        self._filter_threshold = filter_threshold
        self._finder = find_tools_tool() if find_tools else None
        self._guard = threading.Lock()
        self._own: dict[str | None, dict[str, BaseTool]] = {None: {}}
        # Tuples of the above: one that is the same object is known to be unchanged.
        self._snapshots: dict[str | None, tuple[BaseTool, ...]] = {}
        self._sources: dict[str, ToolSource] = {}
        self._sets: OrderedDict[str, _Made] = OrderedDict()
        for tool in (*tools, *memory):
            self.add(tool)

    @property
    def deployment(self) -> tuple[BaseTool, ...]:
        """The tools every tenant has, sources' aside."""
        return self._snapshot(None)

    def of_tenant(self, tenant: str) -> tuple[BaseTool, ...]:
        """Return the tools added for one tenant alone."""
        return self._snapshot(tenant)

    def add(self, tool: BaseTool, tenant: str | None = None) -> None:
        """Add a tool for every tenant, or for one.

        Raises:
            ConfigurationError: The name is taken, the message says by whom; or it is no tool.
            InvalidInputError: `tenant` is no tenant's name.
        """
        if not isinstance(tool, BaseTool):
            raise ConfigurationError(f"{tool!r} is no tool; decorate a function with @tool", code="no_tool")
        promises_of(tool)
        tenant = _checked(tenant)
        with self._guard:
            self._refuse_taken(tool.name, tenant)
            self._own.setdefault(tenant, {})[tool.name] = tool
            self._snapshots.pop(tenant, None)

    def remove(self, name: str, tenant: str | None = None) -> None:
        """Remove a tool of every tenant, or of one; runs under way keep it.

        Raises:
            NotFoundError: There is no such tool there.
        """
        tenant = _checked(tenant)
        with self._guard:
            own = self._own.get(tenant, {})
            if own.pop(name, None) is None:
                raise NotFoundError(f"{_owner(tenant)} has no tool {name!r}", code="tool_not_found")
            if tenant is not None and not own:
                del self._own[tenant]
            self._snapshots.pop(tenant, None)

    def add_source(self, name: str, source: ToolSource) -> None:
        """Ask `source` too, whenever a run begins; on a clash of names the tools there before it win."""
        self._sources = {**self._sources, name: source}

    async def of(self, tenant: str) -> ToolSet:
        """Return what a run of the tenant may call: the same set until something of it changes."""
        parts = [self._snapshot(None)]
        if tenant in self._own:
            parts.append(self._snapshot(tenant))
        sources = self._sources
        for name, source in sources.items():
            parts.append(await _asked(name, source, tenant))
        # Tenants with none of their own share one set.
        key = tenant if any(parts[1:]) else ""
        made = self._sets.get(key)
        if made is None or not _same(made.parts, parts):
            owners = (_DEPLOYMENT, *((_owner(tenant),) if tenant in self._own else ()), *sources)
            made = _Made(tuple(parts), await self._built(parts, owners, None if made is None else made.tools))
            self._sets[key] = made
        self._sets.move_to_end(key)
        while len(self._sets) > _MOST_SETS:
            self._sets.popitem(last=False)
        return made.tools

    async def warm_up(self) -> None:
        """Read the deployment's tools, so that the first run need not: thousands take seconds."""
        tools = await self._built([self._snapshot(None)], [_DEPLOYMENT], None)
        self._sets.setdefault("", _Made((), tools))  # what a run makes of it keeps what was read
        if len(tools) - len(tools.pinned) > self._filter_threshold:
            await tools.rank(["tools"], limit=1)

    async def _built(
        self, parts: Sequence[Sequence[BaseTool]], owners: Sequence[str], before: ToolSet | None
    ) -> ToolSet:
        tools: dict[str, BaseTool] = {}
        for owner, part in zip(owners, parts, strict=False):
            for tool in part:
                if tool.name in tools:
                    logger.warning("the tool %r of %s is left out: the name is taken", tool.name, owner)
                else:
                    tools[tool.name] = tool
        known = before or (self._sets[""].tools if "" in self._sets else None)
        chosen = tuple(tools.values())
        if len(chosen) <= _BUILT_AT_ONCE:
            return self._set_of(chosen, known)
        return await asyncio.to_thread(self._set_of, chosen, known)

    def _set_of(self, chosen: tuple[BaseTool, ...], known: ToolSet | None) -> ToolSet:
        made = ToolSet(chosen, known=known, indexes=self.indexes)
        # A tool of that name which somebody else made is theirs.
        is_few = len(made) - len(made.pinned) <= self._filter_threshold
        if self._finder is None or is_few or FIND_TOOLS in made:
            return made
        return ToolSet((*chosen, self._finder), known=made, indexes=self.indexes)

    def _snapshot(self, tenant: str | None) -> tuple[BaseTool, ...]:
        snapshot = self._snapshots.get(tenant)
        if snapshot is None:
            with self._guard:
                snapshot = self._snapshots[tenant] = tuple(self._own.get(tenant, {}).values())
        return snapshot

    def _refuse_taken(self, name: str, tenant: str | None) -> None:
        rivals: Mapping[str | None, Mapping[str, BaseTool]] = self._own
        if tenant is not None:  # another tenant's tools are none of its business
            rivals = {owner: self._own.get(owner, {}) for owner in (None, tenant)}
        for owner, own in rivals.items():
            if name in own:
                raise ConfigurationError(
                    f"two tools are called {name!r}: {_owner(owner)} has one already, and {_owner(tenant)} was to get "
                    "another; rename one",
                    code="duplicate_tool",
                )


def _checked(tenant: str | None) -> str | None:
    return None if tenant is None else Scope(tenant=tenant).tenant


def _owner(tenant: str | None) -> str:
    return _DEPLOYMENT if tenant is None else f"the tenant {tenant!r}"


def _same(parts: Sequence[Sequence[BaseTool]], others: Sequence[Sequence[BaseTool]]) -> bool:
    return len(parts) == len(others) and all(
        part is other or (len(part) == len(other) and all(map(_is, part, other)))
        for part, other in zip(parts, others, strict=True)
    )


def _is(one: BaseTool, other: BaseTool) -> bool:
    return one is other


async def _asked(name: str, source: ToolSource, tenant: str) -> tuple[BaseTool, ...]:
    """Return a source's tools; one that fails has none, and no run fails for it."""
    try:
        return tuple(await source.tools_of(tenant))
    except Exception as error:  # noqa: BLE001  a source is somebody's server, or a plugin
        logger.warning("the tools of %s cannot be had: %s", name, type(error).__name__)
        return ()
