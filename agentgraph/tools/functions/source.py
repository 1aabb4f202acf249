"""The functions in force, in memory, as tools for each tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.tools import BaseTool

from agentgraph.stores.database.database import Database
from agentgraph.stores.database.snapshot import Snapshot
from agentgraph.tools.functions import records
from agentgraph.tools.functions.definition import RegisteredFunction
from agentgraph.tools.functions.records import Catalogue
from agentgraph.tools.functions.running import FunctionRunner
from agentgraph.tools.functions.tool import SandboxedFunction

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["FunctionTools"]


@dataclass(frozen=True, slots=True)
class _InForce:
    """What the database holds, and the tools made of it."""

    catalogue: Catalogue
    everyones: tuple[BaseTool, ...]
    tools: Mapping[str, tuple[BaseTool, ...]]  # of tenants with functions of their own, everyone's among them


class FunctionTools:
    """A `ToolSource`: answers from memory, and sees what any process has registered. Belongs to one event loop."""

    def __init__(self, database: Database, runner: FunctionRunner) -> None:
        self._runner = runner
        self._made: dict[tuple[str, str, int], BaseTool] = {}
        self._snapshot = Snapshot(database, records.SUBJECT, self._load)

    async def tools_of(self, tenant: str) -> Sequence[BaseTool]:
        """Return a tenant's enabled functions: the same tuple until one changes.

        Raises:
            StoreError: The database fails, and was never read.
        """
        now = await self._snapshot.get()
        return now.tools.get(tenant, now.everyones)

    async def owned(self, owner: str) -> Mapping[str, RegisteredFunction]:
        """Return an owner's functions by name, disabled ones as well; `EVERYONE`'s are the deployment's."""
        return (await self._snapshot.get()).catalogue.get(owner, {})

    def stale(self) -> None:
        """Read anew at the next question."""
        self._snapshot.stale()

    def _load(self, connection: Connection) -> _InForce:
        catalogue = records.catalogue(connection)
        # What has not changed stays the same object: what others have learned of a tool, they know by it.
        before, self._made = self._made, {}
        of: dict[str, tuple[BaseTool, ...]] = {}
        for owner, owned in catalogue.items():
            enabled = [function for function in owned.values() if function.is_enabled]
            for function in enabled:
                key = (owner, function.name, function.version)
                self._made[key] = before.get(key) or SandboxedFunction(function, self._runner)
            of[owner] = tuple(self._made[owner, function.name, function.version] for function in enabled)
        everyones = of.pop(records.EVERYONE, ())
        return _InForce(catalogue, everyones, {owner: (*everyones, *own) for owner, own in of.items()})
