"""What a model is shown of a tool: all of its arguments but the key that makes a repetition harmless."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

__all__ = ["KEY_ARGUMENT", "shown_arguments", "takes_key", "tool_schema"]

KEY_ARGUMENT: Final = "idempotency_key"
"""A tool with a parameter of this name is handed a key that is the same whenever the same call is made again."""


def tool_schema(tool: BaseTool) -> dict[str, Any]:
    """Return a tool's schema as OpenAI spells it, without what the server fills in."""
    schema = convert_to_openai_tool(tool)
    function = schema.get("function", {})
    parameters = function.get("parameters", {})
    if KEY_ARGUMENT not in parameters.get("properties", {}):
        return schema
    # LangChain may hand out the very schema it keeps: nothing of it is changed.
    shown = {**parameters, "properties": _without_key(parameters["properties"])}
    if "required" in parameters:
        shown["required"] = [name for name in parameters["required"] if name != KEY_ARGUMENT]
    return {**schema, "function": {**function, "parameters": shown}}


def shown_arguments(tool: BaseTool) -> dict[str, Any]:
    """Return the schemas of the arguments a model fills in, by name."""
    return _without_key(tool.args)


def takes_key(tool: BaseTool) -> bool:
    """Say whether `tool` has a parameter for the key, annotated as injected or not."""
    if isinstance(tool.args_schema, dict):
        return KEY_ARGUMENT in tool.args_schema.get("properties", {})
    return KEY_ARGUMENT in getattr(tool.get_input_schema(), "model_fields", {})


def _without_key(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: schema for name, schema in properties.items() if name != KEY_ARGUMENT}
