"""`app.functions`: register code as a tool while the application runs; see, try, switch off and delete it.

Whoever registers code decides what models are told and do: these are an administrator's doings, and a route that leads
here asks for an administrator's key.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from agentgraph._sync import on_its_loop
from agentgraph.errors import InvalidInputError, NotFoundError, ToolError
from agentgraph.scope import Scope
from agentgraph.stores.database.database import Database, Job
from agentgraph.tools.functions import records
from agentgraph.tools.functions.definition import FunctionDefinition, Parameter, RegisteredFunction
from agentgraph.tools.functions.records import EVERYONE
from agentgraph.tools.functions.running import FunctionResult, FunctionRunner
from agentgraph.tools.functions.source import FunctionTools
from agentgraph.tools.functions.tool import SandboxedFunction
from agentgraph.tools.sandbox import Problem, Sandbox
from agentgraph.tools.toolbox import Toolbox

__all__ = ["Functions"]

T = TypeVar("T")
_MOST_SHOWN: Final = 10


class Functions:
    """The functions of a deployment and of its tenants; see `AgentGraph.functions`.

    `tenant=None` means the deployment's own, which every tenant is offered; a tenant's own are offered to it alone. No
    two that one run would be offered may have one name, nor that of another tool.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]],
        *,
        database: Database,
        tools: FunctionTools,
        runner: FunctionRunner,
        sandbox: Sandbox,
        toolbox: Toolbox,
        clock: Callable[[], datetime],
    ) -> None:
        self._ready = ready
        self._database = database
        self._tools = tools
        self._runner = runner
        self._sandbox = sandbox
        self._toolbox = toolbox
        self._clock = clock

    @on_its_loop
    async def register(
        self,
        name: str,
        description: str,
        parameters: Sequence[Mapping[str, Any] | Parameter] = (),
        *,
        code: str,
        tenant: str | None = None,
    ) -> RegisteredFunction:
        """Register a function, or a new version of it; what has not changed is no new version.

        Runs under way keep the version they began with. The function is offered to models from the next run on.

        Args:
            name: The tool's name; the code defines a function of this name.
            description: What models choose it by.
            parameters: Each `{"name", "type", "description", "required"}`, `type` one of JSON Schema's; `enum`, and
                `items` and `properties` of what is inside, are taken too.
            code: Python for the sandbox: a `def`, with whatever else it needs around it.
            tenant: Whose; `None` for every tenant's.

        Raises:
            InvalidInputError: Names what is wrong; of code (`code="invalid_function"`) each place by line and column.
            StoreError: It could not be kept.
        """
        owner = _owner(tenant)
        definition = FunctionDefinition.of(name, description, parameters, code)
        await self._refuse_taken(definition.name, tenant)
        _refuse(await self._problems(definition))
        return await self._change(partial(records.add, tenant=owner, definition=definition, now=self._clock()))

    @on_its_loop
    async def check(
        self,
        name: str,
        description: str,
        parameters: Sequence[Mapping[str, Any] | Parameter] = (),
        *,
        code: str,
    ) -> builtins.list[Problem]:
        """Return what `register` would find wrong with the code, and register nothing.

        Raises:
            InvalidInputError: Something else is wrong.
        """
        return await self._problems(FunctionDefinition.of(name, description, parameters, code))

    @on_its_loop
    async def list(self, *, tenant: str | None = None) -> builtins.list[RegisteredFunction]:
        """Return the latest versions of an owner's functions by name, disabled ones as well."""
        return [*(await self._tools.owned(_owner(tenant))).values()]

    @on_its_loop
    async def get(self, name: str, *, tenant: str | None = None, version: int | None = None) -> RegisteredFunction:
        """Return a function: its latest version, or the one asked for.

        Raises:
            NotFoundError: The owner has none of this name, or no such version is kept.
        """
        if version is None:
            return _found(await self._tools.owned(_owner(tenant)), name, tenant)
        kept = {each.version: each for each in await self._versions(name, tenant)}
        if version not in kept:
            raise NotFoundError(
                f"the function {name!r} has no version {version}; there are {', '.join(map(str, kept))}"
            )
        return kept[version]

    @on_its_loop
    async def versions(self, name: str, *, tenant: str | None = None) -> Sequence[RegisteredFunction]:
        """Return a function's versions, the newest first; the last hundred are kept.

        Raises:
            NotFoundError: The owner has none of this name.
        """
        return await self._versions(name, tenant)

    @on_its_loop
    async def execute(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        tenant: str | None = None,
        version: int | None = None,
    ) -> FunctionResult:
        """Run a function as a model's call would.

        Args:
            name: Of a function the tenant is offered: its own or the deployment's.
            arguments: By name.
            tenant: Whose; `None` for the deployment's own.
            version: Another than the latest.

        Raises:
            NotFoundError: There is none of this name, or no such version is kept.
            InvalidInputError: The arguments do not fit.
            ToolError: The function raised, by its own lines; it is disabled; or its result cannot be written down.
            SandboxError: It broke a limit.
        """
        owned = await self._tools.owned(_owner(tenant))
        owner = tenant if name in owned else None
        function = _found(await self._tools.owned(_owner(owner)), name, tenant)
        if not function.is_enabled:
            raise ToolError(f"the function {name!r} is disabled", code="function_disabled")
        if version is not None and version != function.version:
            kept = {each.version: each for each in await self._versions(name, owner)}
            if version not in kept:
                raise NotFoundError(f"the function {name!r} has no version {version}")
            function = kept[version]
        return await self._runner.run(function, {} if arguments is None else arguments)

    @on_its_loop
    async def delete(self, name: str, *, tenant: str | None = None) -> None:
        """Delete a function with all its versions, for good; runs under way keep it to their end.

        Raises:
            NotFoundError: The owner has none of this name.
        """
        await self._change(partial(records.remove, tenant=_owner(tenant), name=name))

    @on_its_loop
    async def enable(self, name: str, *, tenant: str | None = None) -> RegisteredFunction:
        """Offer a function again that was disabled.

        Raises:
            NotFoundError: The owner has none of this name.
        """
        return await self._change(partial(records.set_enabled, tenant=_owner(tenant), name=name, is_enabled=True))

    @on_its_loop
    async def disable(self, name: str, *, tenant: str | None = None) -> RegisteredFunction:
        """Offer a function no more, and keep it.

        Raises:
            NotFoundError: The owner has none of this name.
        """
        return await self._change(partial(records.set_enabled, tenant=_owner(tenant), name=name, is_enabled=False))

    async def _problems(self, definition: FunctionDefinition) -> builtins.list[Problem]:
        return await self._sandbox.check(definition.code, function=definition.name, parameters=definition.json_schema())

    async def _change(self, job: Job[T]) -> T:
        try:
            return await self._database.write(job)
        finally:
            self._tools.stale()  # even so: of a write that timed out nobody knows

    async def _versions(self, name: str, tenant: str | None) -> Sequence[RegisteredFunction]:
        found = await self._database.read(partial(records.versions, tenant=_owner(tenant), name=name))
        if not found:
            raise _missing(name, tenant)
        return found

    async def _refuse_taken(self, name: str, tenant: str | None) -> None:
        """Refuse the name of a tool that is no function; of functions the records know."""
        if any(tool.name == name for tool in self._toolbox.deployment):
            owner = "the deployment"
        elif tenant is not None and any(tool.name == name for tool in self._toolbox.of_tenant(tenant)):
            owner = f"the tenant {tenant!r}"
        elif tenant is not None and not isinstance(
            (await self._toolbox.of(tenant)).get(name), SandboxedFunction | None
        ):
            owner = f"a source of the tenant {tenant!r}"
        else:
            return
        raise InvalidInputError(
            f"{owner} has a tool {name!r} already; give the function another name", param="name", code="name_taken"
        )


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        told = [str(problem) for problem in sorted(problems, key=lambda each: (each.line, each.column))]
        more = [f"and {len(told) - _MOST_SHOWN} more"] if len(told) > _MOST_SHOWN else []
        raise InvalidInputError("\n".join([*told[:_MOST_SHOWN], *more]), param="code", code="invalid_function")


def _owner(tenant: str | None) -> str:
    return EVERYONE if tenant is None else Scope(tenant=tenant).tenant


def _found(owned: Mapping[str, RegisteredFunction], name: str, tenant: str | None) -> RegisteredFunction:
    function = owned.get(name)
    if function is None:
        raise _missing(name, tenant)
    return function


def _missing(name: str, tenant: str | None) -> NotFoundError:
    owner = "the deployment" if tenant is None else f"the tenant {tenant!r}"
    return NotFoundError(f"{owner} has no function {name!r}", code="function_not_found")
