"""Check a call's arguments against what a function is registered with."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired, Required

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked, readable
from agentgraph.tools.functions.definition import FunctionDefinition, TypeName, ValueSchema

__all__ = ["ArgumentCheck"]

_PLAIN: Final[dict[TypeName, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list[Any],
    "object": dict[str, Any],
}
_MOST_SHOWN: Final = 10


class ArgumentCheck:
    """Knows what a function takes. Text that spells a number is taken for one, as models and forms write them so."""

    def __init__(self, definition: FunctionDefinition) -> None:
        self._name = definition.name
        self._known = [each.name for each in definition.parameters]
        self._adapter = TypeAdapter(
            _record({each.name: (_type(each), each.required) for each in definition.parameters}),
        )

    def __call__(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments in the types they are declared with.

        Raises:
            InvalidInputError: One is missing, unknown, of another type or no JSON; all that are wrong are named.
        """
        if not isinstance(arguments, Mapping):
            raise InvalidInputError(f"arguments must be an object, not {type(arguments).__name__}", param="arguments")
        try:
            found: dict[str, Any] = self._adapter.validate_python(checked(arguments, param="arguments"))
        except ValidationError as error:
            raise InvalidInputError(self._told(error), param="arguments") from error
        return found

    def _told(self, error: ValidationError) -> str:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = []
        for fault in faults[:_MOST_SHOWN]:
            where = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                near = difflib.get_close_matches(where, self._known, n=1)
                told.append(f"{readable(where)[:80]}: no such parameter{f'; is {near[0]!r} meant?' if near else ''}")
            else:
                told.append(f"{readable(where)[:80]}: {fault['msg']}")
        more = f"; and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        return f"the arguments of {self._name!r} are not valid: {'; '.join(told)}{more}"


def _type(schema: ValueSchema) -> Any:
    if schema.enum is not None:
        return Literal[tuple(schema.enum)]
    if schema.type == "array" and schema.items is not None:
        return list[_type(schema.items)]  # type: ignore[misc]
    if schema.type == "object" and schema.properties is not None:
        return _record({name: (_type(value), True) for name, value in schema.properties.items()})
    return _PLAIN[schema.type]


def _record(fields: Mapping[str, tuple[Any, bool]]) -> Any:
    # A TypedDict and not a model: a model has attributes of its own, which a parameter's name might be.
    hints = {name: Required[kind] if required else NotRequired[kind] for name, (kind, required) in fields.items()}
    return with_config(ConfigDict(extra="forbid"))(TypedDict("arguments", hints))  # type: ignore[operator]
