"""`app.declared_tools`: tools a tenant declares once, which are then part of each of its requests.

They are the caller's to run, as those of a request are; with a `local_tools_handler` the server runs them through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from langchain_core.tools import BaseTool

from agentgraph._sync import on_its_loop
from agentgraph.errors import InvalidInputError
from agentgraph.scope import Scope
from agentgraph.stores.database.database import Database
from agentgraph.stores.database.snapshot import Snapshot
from agentgraph.tool_formats import openai_tools
from agentgraph.tools.declared.handled import HandledTool, LocalToolsHandler

__all__ = ["DeclaredTools"]

Schemas = tuple[Mapping[str, Any], ...]


class DeclaredTools:
    """The declared tools of an application, by tenant; see `AgentGraph.declared_tools`.

    Raises:
        InvalidInputError: An id that is none, or tools that cannot be read.
        StoreError: The records database fails.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]],
        *,
        taken: Callable[[str], Awaitable[Iterable[str]]],
        handler: LocalToolsHandler | None = None,
    ) -> None:
        """Hold what tenants declare.

        Args:
            ready: Opens the application.
            taken: Names of the server tools of a tenant.
            handler: Runs the tools on the server.
        """
        self._ready = ready
        self._taken = taken
        self._handler = handler
        self._made: dict[str, tuple[Schemas, tuple[BaseTool, ...]]] = {}
        self._database: Database
        self._snapshot: Snapshot[Mapping[str, Schemas]]

    def open(self, database: Database) -> None:
        """Keep them in `database`, which is opened when the first is declared."""
        self._database = database
        self._snapshot = Snapshot(database, "tool_schemas", _declared)

    @on_its_loop
    async def declare(self, tools: Sequence[Any], *, tenant: str) -> int:
        """Declare tools for all requests of a tenant from now on, each in place of one of its name.

        Args:
            tools: In any format that a request's `tools` may have.
            tenant: Whose.

        Returns:
            How many these are.

        Raises:
            InvalidInputError: Two of one name, or the server has a tool of that name for the tenant.
        """
        tenant, schemas = Scope(tenant=tenant).tenant, openai_tools(tools)
        names = [schema["function"]["name"] for schema in schemas]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidInputError(f"two tools are called {doubled[0]!r}; rename one", param="tools")
        own = {schema["function"]["name"] for schema in await self.of(tenant)} if self._handler else set()
        if clash := sorted(({*names} - own) & {*await self._taken(tenant)}):
            raise InvalidInputError(
                f"the server has tools of these names already: {', '.join(clash)}", param="tools", code="duplicate_tool"
            )
        await self._database.open()
        records = await asyncio.to_thread(import_module, "agentgraph.tools.declared.records")
        await self._database.write(partial(records.declare, tenant=tenant, schemas=schemas))
        self._snapshot.stale()
        return len(schemas)

    @on_its_loop
    async def list(self, *, tenant: str) -> Sequence[Mapping[str, Any]]:
        """Return what a tenant has declared, in OpenAI's format."""
        return await self.of(Scope(tenant=tenant).tenant)

    @on_its_loop
    async def remove(self, name: str, *, tenant: str) -> None:
        """Withdraw a tool.

        Raises:
            NotFoundError: The tenant has declared none of that name.
        """
        tenant = Scope(tenant=tenant).tenant
        await self._database.open()
        records = await asyncio.to_thread(import_module, "agentgraph.tools.declared.records")
        await self._database.write(partial(records.withdraw, tenant=tenant, name=name))
        self._snapshot.stale()

    # On the application's own loop

    async def of(self, tenant: str) -> Schemas:
        """Return a tenant's schemas, from memory.

        Raises:
            StoreError: The database fails, and was never read.
        """
        if not self._database.exists:
            return ()
        return (await self._snapshot.get()).get(tenant, ())

    async def client_tools_of(self, tenant: str) -> Schemas:
        """Return those the caller runs: all of them, or none where the server does."""
        return () if self._handler is not None else await self.of(tenant)

    async def tools_of(self, tenant: str) -> Sequence[BaseTool]:
        """Return those the server runs: the same tuple until one changes."""
        if self._handler is None or not (schemas := await self.of(tenant)):
            return ()
        made = self._made.get(tenant)
        if made is None or made[0] is not schemas:
            tools = tuple(HandledTool(tenant, schema, self._handler) for schema in schemas)
            made = self._made[tenant] = (schemas, tools)
        return made[1]


def _declared(connection: Any) -> Mapping[str, Schemas]:
    from agentgraph.tools.declared.records import declared

    return declared(connection)
