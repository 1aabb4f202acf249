"""`@tool`: make a LangChain tool of a function, with its promises, and find what is wrong with it at once.

What came out is a `BaseTool` like any other, and can still be called as the function it was.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, cast, overload

from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, ToolException
from langchain_core.tools.base import ArgsSchema

from agentgraph._sync import run_sync
from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.tool_formats import checked_name
from agentgraph.tools.promises import promising
from agentgraph.tools.registry import get_registry
from agentgraph.tools.signature import arguments_model, described

__all__ = ["FunctionTool", "sync_tool", "tool"]

OnUnknown = Literal["tell", "ask"]


class FunctionTool(StructuredTool):
    """A tool made of a function: called, it is the function; invoked, it is a LangChain tool, awaited or not.

    A `ToolException` its function raises is told to the model, in whichever graph it runs.
    """

    handle_tool_error: bool | str | Callable[[ToolException], Any] | None = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, unchecked, as in a test of it; an async one gives what is to be awaited."""
        function = self.coroutine or self.func
        assert function is not None  # noqa: S101  it was made of one
        return function(*args, **kwargs)

    def _run(
        self, *args: Any, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None, **kwargs: Any
    ) -> Any:
        if self.func is None:  # LangChain would refuse: an async tool can be invoked from synchronous code, too
            return run_sync(self._arun(*args, config=config, **kwargs))
        return super()._run(*args, config=config, run_manager=run_manager, **kwargs)


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def tool(
    function: Callable[..., Any],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    args_schema: ArgsSchema | None = None,
    return_direct: bool = False,
    response_format: Literal["content", "content_and_artifact"] = "content",
    extras: Mapping[str, Any] | None = None,
    register: bool = False,
    idempotent: bool = False,
    needs_approval: bool = False,
    on_unknown: OnUnknown = "tell",
    pinned: bool = False,
    consequential: bool = False,
    untrusted: bool = False,
) -> FunctionTool: ...
@overload
def tool(
    name: str | None = None,
    /,
    *,
    description: str | None = None,
    args_schema: ArgsSchema | None = None,
    return_direct: bool = False,
    response_format: Literal["content", "content_and_artifact"] = "content",
    extras: Mapping[str, Any] | None = None,
    register: bool = False,
    idempotent: bool = False,
    needs_approval: bool = False,
    on_unknown: OnUnknown = "tell",
    pinned: bool = False,
    consequential: bool = False,
    untrusted: bool = False,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def tool(first: Callable[..., Any] | str | None = None, /, **options: Any) -> Any:
    """Make a tool of a function, `async` or not: `@tool`, `@tool("name")`, `@tool(description="…", idempotent=True)`.

        @tool(needs_approval=True)
        async def refund(order: str, amount: Decimal, reason: Literal["late", "broken"] = "late") -> str:
            \"\"\"Pay an order back.\"\"\"

    The model sees the name, the docstring without its sections, and a schema of the parameters: their hints (standard
    types, `Literal`, `Enum`, unions, containers, dataclasses, `TypedDict`s, Pydantic models, `Annotated` with `Field`),
    defaults, and what the docstring's `Args:` say of each (NumPy's and Sphinx's styles are read as well). Arguments
    arrive validated, as the types hinted at; one the function does not have is an error the model is told. A function
    that is not `async` runs in a thread, so it may block.

    Args:
        first: The function, or the tool's name where that is not the function's.
        options: `name`; `description`, in place of the docstring's; `args_schema`, `return_direct`, `response_format`
            and `extras` as LangChain takes them; `register=True` enters the tool into `get_registry()`; and promises:
            `idempotent`, `needs_approval`, `on_unknown`, `pinned`, `consequential`, `untrusted` (see `Promises`).

    Raises:
        ConfigurationError: No description, a name no vendor takes, `*args`, a parameter without a hint or of a type
            that JSON cannot hold, a second tool of one name in the registry. Says which tool and which parameter.
    """
    # Hints that are text find classes of the function around by its local names.
    return _decorator(first, {**options, "local_names": sys._getframe(1).f_locals})  # noqa: SLF001


def sync_tool(first: Callable[..., Any] | str | None = None, /, **options: Any) -> Any:
    """Do what `tool` does, for a function that blocks: it runs in a thread. An `async` function is refused."""
    options |= {"local_names": sys._getframe(1).f_locals, "must_block": True}  # noqa: SLF001
    return _decorator(first, options)


def _decorator(first: Callable[..., Any] | str | None, options: Mapping[str, Any]) -> Any:
    if first is None:
        return partial(_made, **options)
    if isinstance(first, str):
        return partial(_made, name=first, **options)
    return _made(first, **options)


def _made(
    function: Callable[..., Any],
    *,
    local_names: Mapping[str, Any],
    must_block: bool = False,
    name: str | None = None,
    description: str | None = None,
    args_schema: ArgsSchema | None = None,
    return_direct: bool = False,
    response_format: Literal["content", "content_and_artifact"] = "content",
    extras: Mapping[str, Any] | None = None,
    register: bool = False,
    **promises: Any,
) -> FunctionTool:
    name = _name(function, name)
    told = described(function)
    text = (description or told.text).strip()
    if not text:
        raise ConfigurationError(
            f"the tool {name!r} has no description: a model chooses by it; write a docstring, or description='…'",
            code="bad_tool",
        )
    is_async = inspect.iscoroutinefunction(function)
    if is_async and must_block:
        raise ConfigurationError(f"the tool {name!r} is async; use @tool, not @sync_tool", code="bad_tool")
    made = FunctionTool(
        name=name,
        description=text,
        func=None if is_async else function,
        coroutine=function if is_async else None,
        args_schema=args_schema
        or arguments_model(function, name=name, descriptions=told.arguments, local_names=local_names),
        return_direct=return_direct,
        response_format=response_format,
        extras=dict(extras) if extras is not None else None,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        made.tool_call_schema  # noqa: B018  LangChain builds it once, and would warn of a parameter called 'copy' then
    promised = cast("FunctionTool", promising(made, **promises))
    if register:
        get_registry().register(promised)
    return promised


def _name(function: Callable[..., Any], given: str | None) -> str:
    name = given or getattr(function, "__name__", None)
    if not (inspect.isfunction(function) or inspect.ismethod(function)) or name is None:
        raise ConfigurationError(
            f"@tool takes a function or a bound method, not {type(function).__name__}; a LangChain runnable becomes a "
            "tool by its own as_tool()",
            code="bad_tool",
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"the tool {name!r} yields; a tool returns its result at once", code="bad_tool")
    try:
        return checked_name(name, where=f"the tool {name!r}")
    except InvalidInputError as error:
        raise ConfigurationError(f"{error.message}; give another: @tool('name')", code="bad_tool") from None
