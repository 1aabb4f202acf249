"""`/functions`: code registered as tools, for administrators; off unless `enable_functions` is set.

With `X-Tenant-Id` a tenant's own, which it alone is offered; without, the deployment's, which every tenant is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError, ToolError
from agentgraph.server.auth import authorize, require_admin
from agentgraph.server.rest.acting import Id
from agentgraph.server.rest.fields import Words
from agentgraph.server.rest.once import IdempotencyKey
from agentgraph.server.rest.pages import After, Limit, Page, page_within, position_after
from agentgraph.tools.functions.definition import RegisteredFunction

__all__ = ["add_function_routes"]

_LIST = "functions"
FunctionName: TypeAlias = Annotated[
    str, Path(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$", description="A function.", examples=["add_tax"])
]


async def _owner(
    request: Request,
    x_tenant_id: Annotated[
        Id | None, Header(description="Whose function; the deployment's without it.", examples=["acme"])
    ] = None,
) -> str | None:
    require_admin(request)
    return None if x_tenant_id is None else (await authorize(request, x_tenant_id)).tenant


Owner: TypeAlias = Annotated[str | None, Depends(_owner)]


class Parameter(BaseModel):
    """One parameter of a function."""

    model_config = ConfigDict(extra="allow")

    name: Words = Field(examples=["price"])
    type: Words = Field(
        description="`string`, `integer`, `number`, `boolean`, `array` or `object`.", examples=["number"]
    )
    description: str = Field(default="", examples=["The price without tax."])
    required: bool = Field(default=True, examples=[True])


class NewFunction(BaseModel):
    """A function to be registered."""

    model_config = ConfigDict(extra="forbid")

    name: Words = Field(description="The tool's name; the code defines a function of it.", examples=["add_tax"])
    description: str = Field(description="What models choose it by.", examples=["Add the sales tax to a price."])
    parameters: list[Parameter] = Field(default=[])
    code: str = Field(
        description="Python for the sandbox.", examples=["def add_tax(price):\n    return round(price * 1.2, 2)"]
    )


class FunctionView(BaseModel):
    """A function."""

    name: str = Field(examples=["add_tax"])
    description: str = Field(examples=["Add the sales tax to a price."])
    parameters: dict[str, Any] = Field(
        description="JSON Schema.", examples=[{"type": "object", "properties": {"price": {"type": "number"}}}]
    )
    code: str = Field(examples=["def add_tax(price):\n    return round(price * 1.2, 2)"])
    tenant: str | None = Field(description="Whose; `null` for every tenant's.", examples=[None])
    version: int = Field(examples=[1])
    is_enabled: bool = Field(examples=[True])
    registered_at: datetime


class Call(BaseModel):
    """What a tool is called with."""

    model_config = ConfigDict(extra="forbid")

    arguments: dict[str, Any] = Field(default={}, description="By name.", examples=[{"price": 10}])


class FunctionOutcome(BaseModel):
    """What a function returned."""

    result: Any = Field(examples=[12.0])
    printed: str = Field(description="What it printed; models are not shown it.", examples=[""])
    version: int = Field(examples=[1])
    duration_ms: float = Field(examples=[0.4])


def add_function_routes(router: APIRouter, app: AgentGraph) -> None:
    """Add the routes of functions."""

    @router.get("/functions", tags=["Functions"])
    async def list_functions(owner: Owner, limit: Limit = 50, after: After = None) -> Page[FunctionView]:
        """List an owner's functions by name, each in its latest version."""
        begins = position_after(after, of=_LIST)
        functions = await app.functions.list(tenant=owner)
        return page_within(functions, _view, of=_LIST, limit=limit, begins_at=begins)

    @router.post("/functions/register", status_code=201, tags=["Functions"])
    async def register_function(
        owner: Owner, body: NewFunction, response: Response, idempotency_key: IdempotencyKey = None
    ) -> FunctionView:
        """Register a function, or a new version of one; what has not changed is no new version."""
        del idempotency_key  # a request sent again is no new version anyway
        function = await app.functions.register(
            body.name,
            body.description,
            [each.model_dump() for each in body.parameters],
            code=body.code,
            tenant=owner,
        )
        response.headers["Location"] = f"/api/v1/functions/{function.name}"
        return _view(function)

    @router.get("/functions/{name}", tags=["Functions"])
    async def read_function(owner: Owner, name: FunctionName) -> FunctionView:
        """Read a function's latest version."""
        return _view(await app.functions.get(name, tenant=owner))

    @router.post("/functions/{name}/execute", tags=["Functions"])
    async def execute_function(owner: Owner, name: FunctionName, body: Call) -> FunctionOutcome:
        """Run a function as a model's call would; what its code gets wrong is a 400 that says where."""
        try:
            outcome = await app.functions.execute(name, body.arguments, tenant=owner)
        except ToolError as error:
            if error.is_retryable:
                raise
            raise InvalidInputError(error.message, code=error.code) from error
        return FunctionOutcome(
            result=outcome.value, printed=outcome.printed, version=outcome.version, duration_ms=outcome.duration_ms
        )

    @router.delete("/functions/{name}", status_code=204, tags=["Functions"])
    async def delete_function(owner: Owner, name: FunctionName) -> None:
        """Delete a function with all its versions, for good."""
        await app.functions.delete(name, tenant=owner)


def _view(function: RegisteredFunction) -> FunctionView:
    definition = function.definition
    return FunctionView(
        name=function.name,
        description=definition.description,
        parameters=definition.json_schema(),
        code=definition.code,
        tenant=function.tenant,
        version=function.version,
        is_enabled=function.is_enabled,
        registered_at=function.registered_at,
    )
