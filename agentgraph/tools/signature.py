"""What a function's signature and docstring tell a model: a Pydantic model of its arguments, each with its description.

Whatever a model could not be told, or could not fill in, is an error here, when the tool is defined, and names the
parameter; not later, in a conversation.
"""

from __future__ import annotations

import difflib
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, Union, get_args, get_origin

import docstring_parser
import typing_extensions
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from langgraph.prebuilt import ToolRuntime
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo

from agentgraph.errors import ConfigurationError

__all__ = ["Described", "arguments_model", "described"]

_NOT_ARGUMENTS: Final = frozenset({"args", "param", "parameter", "arg", "argument", "key", "keyword"})
_PRESENCE: Final[tuple[Any, ...]] = (typing.Required, typing.NotRequired)
_TAKEN: Final = frozenset({"run_manager", "callbacks"})
_UNTOLD: Final = {
    inspect.Parameter.VAR_POSITIONAL: "a model cannot fill in '*{name}'; take a list",
    inspect.Parameter.VAR_KEYWORD: "a model cannot fill in '**{name}'; take a dict, or name each parameter",
    inspect.Parameter.POSITIONAL_ONLY: "tools are called by name; take the '/' after it out",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What a docstring says: of the whole, and of each argument by name."""

    text: str
    arguments: Mapping[str, str]


def described(function: Callable[..., Any]) -> Described:
    """Read a function's docstring, in Google's, NumPy's or Sphinx's style, or in none."""
    docstring = inspect.getdoc(function) or ""
    try:
        parsed = docstring_parser.parse(docstring)
    except docstring_parser.ParseError:
        return Described(docstring, {})
    arguments = {
        param.arg_name.lstrip("*"): " ".join((param.description or "").split())
        for param in parsed.params
        if param.args[0] in _NOT_ARGUMENTS
    }
    return Described(parsed.description or "", arguments)


def arguments_model(
    function: Callable[..., Any], *, name: str, descriptions: Mapping[str, str], local_names: Mapping[str, Any]
) -> type[BaseModel]:
    """Return the model of a function's arguments; those the run fills in (`runtime`, injected ones) are among them.

    Args:
        function: A function or a bound method.
        name: The tool's name, for the model and for errors.
        descriptions: What the docstring says of each argument; what `Annotated` or `Field` says wins.
        local_names: The names known where the function was defined, for hints that are text.

    Raises:
        ConfigurationError: A parameter that a model cannot be told of or cannot fill in, or a description of none.
    """
    parameters = inspect.signature(function).parameters
    if strange := [each for each in descriptions if each not in parameters]:
        near = difflib.get_close_matches(strange[0], parameters, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"the tool {name!r}: its docstring describes {strange[0]!r}, which is no parameter{hint}", code="bad_tool"
        )
    fields: dict[str, Any] = {}
    for parameter in parameters.values():
        hint = _hint(function, name, parameter, local_names)
        if hint is RunnableConfig:
            continue  # LangChain hands it over by itself
        default = ... if parameter.default is parameter.empty else parameter.default
        if not _is_injected(hint):
            hint = _told(hint, default, descriptions.get(parameter.name, ""))
            _check_json(name, parameter.name, hint)
        fields[parameter.name] = (hint, default)
    return _model(name, fields)


def _hint(function: Callable[..., Any], tool: str, parameter: inspect.Parameter, local_names: Mapping[str, Any]) -> Any:
    """Return a parameter's hint as a type, read where the function was written."""
    if parameter.kind in _UNTOLD:
        _refuse(tool, parameter.name, _UNTOLD[parameter.kind].format(name=parameter.name))
    if parameter.annotation is parameter.empty:
        if parameter.name in {"self", "cls"}:
            _refuse(tool, parameter.name, "a method is no tool yet; make one of the bound method: tool(thing.method)")
        _refuse(tool, parameter.name, "it has no type hint; write one, such as 'str'")
    if parameter.name in _TAKEN or parameter.name.startswith(("_", "model_")):
        _refuse(tool, parameter.name, "LangChain or Pydantic keeps names like this for itself; choose another")
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    known = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        hint = typing.get_type_hints(holder, known, dict(local_names), include_extras=True)[parameter.name]
    except NameError as error:
        _refuse(
            tool, parameter.name, f"its hint {parameter.annotation!r} names {error.name!r}, which is not known there"
        )
    except (TypeError, SyntaxError) as error:
        _refuse(tool, parameter.name, f"its hint {parameter.annotation!r} is no type: {error}")
    if parameter.name == "config" and hint is not RunnableConfig:
        _refuse(tool, parameter.name, "LangChain keeps 'config' for a RunnableConfig; choose another name")
    return hint


def _told(hint: Any, default: Any, description: str) -> Any:
    """Return the hint with a description, and with `None` allowed where that is the default."""
    told = _portable(hint)
    if default is None and type(None) not in get_args(told) and told is not Any:
        told = _or_none(told)
    own = _own_description(hint, default) or description
    return Annotated[told, Field(description=own)] if own else told


def _or_none(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return hint if type(None) in get_args(inner) else Annotated[(inner | None, *extras)]
    return hint | None


def _own_description(hint: Any, default: Any) -> str:
    """Return what `Annotated[..., "text"]`, `Field(description=...)` in it or as the default says."""
    extras = [default, *(get_args(hint)[1:] if get_origin(hint) is Annotated else ())]
    for extra in extras:
        if isinstance(extra, FieldInfo) and extra.description:
            return extra.description
    return next((extra for extra in extras[1:] if isinstance(extra, str)), "")


def _portable(hint: Any) -> Any:
    """Return the hint with each `typing.TypedDict` made anew: before Python 3.12 Pydantic cannot read them."""
    if sys.version_info >= (3, 12):
        return hint
    if isinstance(hint, type) and typing.is_typeddict(hint):
        return _typed_dict(hint)
    inner = get_args(hint)
    origin = get_origin(hint)
    if not inner or origin in {typing.Literal, typing_extensions.Literal}:
        return hint
    if origin is Annotated:
        return Annotated[(_portable(inner[0]), *inner[1:])]
    changed = tuple(each if isinstance(each, list) else _portable(each) for each in inner)
    if changed == inner or origin is None:
        return hint
    return Union[changed] if origin in {Union, types.UnionType} else origin[changed]  # noqa: UP007  made at run time


def _typed_dict(given: Any) -> Any:
    hints = typing_extensions.get_type_hints(given, include_extras=True)
    fields = {}
    for name, hint in hints.items():
        # Where annotations are text, the class itself did not see what is `NotRequired`.
        marked: Any = get_origin(hint) if get_origin(hint) in _PRESENCE else None
        bare = get_args(hint)[0] if marked else hint
        is_required = name in given.__required_keys__ if marked is None else marked is _PRESENCE[0]
        fields[name] = _PRESENCE[0 if is_required else 1][_portable(bare)]
    make: Any = typing_extensions.TypedDict
    made = make(given.__name__, fields)
    made.__doc__ = given.__doc__
    return made


def _is_injected(hint: Any) -> bool:
    """Say whether the run fills a parameter in, and the model neither sees nor touches it."""
    if (get_origin(hint) or hint) is ToolRuntime:
        return True
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return any(
        isinstance(extra, InjectedToolArg) or (isinstance(extra, type) and issubclass(extra, InjectedToolArg))
        for extra in extras
    )


def _check_json(tool: str, parameter: str, hint: Any) -> None:
    """Refuse a type that JSON cannot say."""
    try:
        TypeAdapter(hint).json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        _refuse(
            tool, parameter, f"JSON cannot hold its type ({reason}); use plain types, a dataclass or a Pydantic model"
        )


def _model(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    with warnings.catch_warnings():
        # An argument may well be called 'copy' or 'schema': instances hold the value all the same.
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        model: type[BaseModel] = create_model(
            name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields
        )
        return model


def _refuse(tool: str, parameter: str, reason: str) -> NoReturn:
    raise ConfigurationError(f"the tool {tool!r}: parameter {parameter!r}: {reason}", code="bad_tool")
