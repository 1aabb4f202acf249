"""Tools as callers declare them, in whichever format, read into OpenAI's: one reading for every door.

Read are LangChain tools, functions, Pydantic models and `TypedDict`s; OpenAI's `tools` (chat completions and Responses)
and the `functions` before them; and the declarations of Anthropic, Gemini, Bedrock and MCP. What a vendor would refuse
later is refused here, by index and field.

Source: https://platform.openai.com/docs/api-reference/chat/create (names `a-z A-Z 0-9 _ -`, at most 64 characters;
Anthropic and Bedrock want the same, Gemini allows no more),
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use,
https://ai.google.dev/api/caching#FunctionDeclaration
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

import orjson
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from pydantic import BaseModel

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked

__all__ = ["checked_name", "choice_of_function", "openai_tools"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_TOOLS: Final = 512
_LARGEST_BYTES: Final = 64_000
_FUNCTION_FIELDS: Final = frozenset({"name", "description", "parameters", "strict"})
# What vendors have besides and clients send along, which changes nothing of what a model is told.
_WITHOUT_EFFECT: Final = frozenset(
    {"_meta", "annotations", "cache_control", "execution", "icons", "meta", "outputSchema", "response", "title"}
)
_KNOWN_FIELDS: Final = _FUNCTION_FIELDS | _WITHOUT_EFFECT
_SCHEMA_FIELDS: Final = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema")
_DECLARATIONS: Final = ("function_declarations", "functionDeclarations")
_FLAT_TYPES: Final = ("function", "custom", None)
# What LangChain raises of something that is no tool; nested too deep, its JSON ends in a RecursionError.
_UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RecursionError)


def openai_tools(tools: Iterable[Any], *, param: str = "tools", strict: bool | None = None) -> list[dict[str, Any]]:
    """Return tools in OpenAI's format, `{"type": "function", "function": {"name", "description", "parameters"}}`.

    Args:
        tools: In any of the formats, side by side.
        param: What the caller calls them, for errors.
        strict: Whether the model is to be held to the schemas; `None` leaves what they say themselves.

    Raises:
        InvalidInputError: One that cannot be read, a name no vendor takes, a schema that is none or too large. `param`
            names the field, such as `tools[2].function.name`.
    """
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise InvalidInputError(f"{param} must be a list of tools, not {type(tools).__name__}", param=param)
    read: list[dict[str, Any]] = []
    for i, tool in enumerate(tools):
        for where, function in _functions(tool, f"{param}[{i}]"):
            read.append({"type": "function", "function": _checked(function, where, strict=strict)})
            if len(read) > _MOST_TOOLS:
                raise InvalidInputError(f"{param} has more than the {_MOST_TOOLS} tools one can declare", param=param)
    return read


def choice_of_function(function_call: Any, *, param: str = "function_call") -> str | dict[str, Any]:
    """Return the older `function_call` of a request as a `tool_choice`.

    Raises:
        InvalidInputError: It is neither `none`, `auto` nor `{"name": …}`.
    """
    match function_call:
        case "none" | "auto":
            return str(function_call)
        case {"name": str() as name, **rest} if not rest:
            return {"type": "function", "function": {"name": name}}
    raise InvalidInputError(f'{param} must be "none", "auto" or {{"name": …}}', param=param)


def checked_name(name: object, *, where: str) -> str:
    """Return a tool's name if every vendor takes it.

    Raises:
        InvalidInputError: It is not 1 to 64 of `A-Z a-z 0-9 _ -`.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    shown = f"{name[:80]!r} is no name of a tool" if isinstance(name, str) else "a tool needs a name"
    raise InvalidInputError(f"{where}: {shown}: use 1 to 64 letters, digits, '_' and '-'", param=where)


def _functions(tool: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the functions that one entry declares, each with where it stands; Gemini's may declare several."""
    if isinstance(tool, BaseModel) and any(hasattr(tool, name) for name in _DECLARATIONS):
        tool = tool.model_dump(mode="json", exclude_none=True)  # google-genai's `types.Tool`
    if not isinstance(tool, Mapping):
        yield f"{where}.function", _converted(tool, where)
    elif (key := next((name for name in _DECLARATIONS if name in tool), None)) is not None:
        yield from _gemini(tool, key, where)
    elif "toolSpec" in tool:
        yield f"{where}.toolSpec", _bedrock(_mapping(tool["toolSpec"], f"{where}.toolSpec"), f"{where}.toolSpec")
    elif "function" in tool:
        if tool.get("type") != "function":
            _refuse(f"{where}.type", "must be 'function'")
        if extra := next((name for name in tool if name not in {"type", "function"}), None):
            _refuse(f"{where}.{extra}", "is not a field of a tool")
        yield f"{where}.function", _mapping(tool["function"], f"{where}.function")
    else:
        yield where, _flat(tool, where)


def _converted(tool: Any, where: str) -> Mapping[str, Any]:
    try:
        made = convert_to_openai_tool(tool)
    except _UNREADABLE as error:
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InvalidInputError(f"{where} cannot be read as a tool: {said}", param=where) from error
    return _mapping(made.get("function"), where)


def _flat(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Read a function that stands for itself: OpenAI's Responses and `functions`, Anthropic's, MCP's, a JSON schema."""
    if "name" not in tool and "title" in tool:
        schema = {name: value for name, value in tool.items() if name not in {"title", "description"}}
        return {"name": tool["title"], "description": tool.get("description"), "parameters": schema}
    kind = tool.get("type")
    if kind not in _FLAT_TYPES or (kind == "custom" and "name" not in tool):
        _refuse(f"{where}.type", f"is {str(kind)[:80]!r}; only functions can be declared, no tools of a vendor's own")
    key = next((name for name in _SCHEMA_FIELDS if name in tool), "parameters")
    rest = {name: value for name, value in tool.items() if name not in {"type", key}}
    return {**rest, "parameters": tool.get(key)}


def _gemini(tool: Mapping[str, Any], key: str, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if extra := next((name for name in tool if name != key), None):
        _refuse(f"{where}.{extra}", "is a tool of Google's own; only functions can be declared")
    if not isinstance(tool[key], list):
        _refuse(f"{where}.{key}", "must be a list")
    for i, declared in enumerate(tool[key]):
        at = f"{where}.{key}[{i}]"
        function = _flat(_mapping(declared, at), at)
        yield at, {**function, "parameters": _lower_types(checked(function["parameters"], param=at))}


def _bedrock(spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    schema = _mapping(spec.get("inputSchema"), f"{where}.inputSchema")
    return {**{name: value for name, value in spec.items() if name != "inputSchema"}, "parameters": schema.get("json")}


def _lower_types(schema: Any) -> Any:
    """Spell types as JSON Schema does; Gemini writes `STRING`."""
    if isinstance(schema, list):
        return [_lower_types(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _lower_types(value)
        for name, value in schema.items()
    }


def _checked(function: Mapping[str, Any], where: str, *, strict: bool | None) -> dict[str, Any]:
    """Return a plain copy of a function's declaration, every field looked at."""
    name = checked_name(function.get("name"), where=f"{where}.name")
    if extra := next((str(field) for field in function if field not in _KNOWN_FIELDS), None):
        _refuse(
            f"{where}.{extra[:80]}", "is no field of a function; those are name, description, parameters and strict"
        )
    told = {field: value for field, value in function.items() if field in _FUNCTION_FIELDS and value is not None}
    given: dict[str, Any] = checked(told, param=where)
    if not isinstance(given.get("description", ""), str):
        _refuse(f"{where}.description", "must be text")
    if not isinstance(given.get("strict", False), bool):
        _refuse(f"{where}.strict", "must be true or false")
    if "parameters" in given:
        _check_parameters(given["parameters"], f"{where}.parameters")
    if (size := len(orjson.dumps(given))) > _LARGEST_BYTES:
        _refuse(where, f"takes {size} bytes; a tool's declaration may take {_LARGEST_BYTES}")
    read = {**given, "name": name}
    return read if strict is None else convert_to_openai_function(read, strict=strict)


def _check_parameters(parameters: Any, where: str) -> None:
    _mapping(parameters, where)
    if parameters.get("type", "object") != "object":
        _refuse(f"{where}.type", "must be 'object': a function's arguments have names")
    properties = _mapping(parameters.get("properties", {}), f"{where}.properties")
    for name, schema in properties.items():
        if not isinstance(schema, Mapping | bool):
            _refuse(f"{where}.properties.{name[:80]}", "must be a JSON schema, which is an object")
    required = parameters.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        _refuse(f"{where}.required", "must be a list of names")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(where, "must be an object")
    return value


def _refuse(where: str, reason: str) -> NoReturn:
    raise InvalidInputError(f"{where} {reason}", param=where)
