"""Bodies of requests, read strictly: what is unknown is named, and what is wrong is told where it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agentgraph.errors import InvalidInputError

__all__ = ["Wire", "field_names", "read"]

_Read = TypeVar("_Read", bound="Wire")


class Wire(BaseModel):
    """A part of a request's body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read(body: bytes, kind: type[_Read], *, fields: Collection[str], hints: Mapping[str, str]) -> _Read:
    """Read a body as JSON.

    Args:
        body: As it came.
        kind: What it is to be.
        fields: Names that are fields' wherever they stand; others in a location are names of alternatives.
        hints: What to say of fields that are known and refused.

    Raises:
        InvalidInputError: It is not JSON or not of that kind; names the field at fault and never quotes the input.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _readable(error, fields, hints) from None


def field_names(*kinds: type[Wire]) -> frozenset[str]:
    """Return the names of the fields of parts, as the wire spells them."""
    return frozenset(field.alias or name for kind in kinds for name, field in kind.model_fields.items())


def _readable(error: ValidationError, fields: Collection[str], hints: Mapping[str, str]) -> InvalidInputError:
    # Where a value may be of several kinds, the fault that lies deepest is of the kind that was meant.
    fault = max(error.errors(include_url=False, include_input=False), key=lambda each: len(each["loc"]))
    if fault["type"] == "json_invalid":
        reason = fault["msg"].removeprefix("Invalid JSON: ")
        return InvalidInputError(f"the body is not valid JSON: {reason}", code="invalid_json")
    if not fault["loc"]:
        return InvalidInputError("the body must be a JSON object")
    param = _path(fault["loc"], fields, keep_last=fault["type"] in {"extra_forbidden", "missing"})
    if fault["type"] == "extra_forbidden":
        hint = hints.get(str(fault["loc"][-1]), "leave it out")
        return InvalidInputError(f"unknown or unsupported field {param!r}: {hint}", param=param, code="unknown_field")
    return InvalidInputError(f"{param}: {fault['msg']}", param=param, code="invalid_value")


def _path(location: Sequence[int | str], fields: Collection[str], *, keep_last: bool) -> str:
    """Spell a location as a person would, without the names of the alternatives pydantic tried."""
    path = ""
    for i, step in enumerate(location):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not path:
            path = step
        elif (keep_last and i == len(location) - 1) or not _is_alternative(location, i, fields):
            path += f".{step}"
    return path


def _is_alternative(location: Sequence[Any], i: int, fields: Collection[str]) -> bool:
    if str(location[i]) not in fields:
        return True
    before = location[i - 1]
    # A part's `type` follows its index or the union it was found in.
    is_part = isinstance(before, int) and len(location) > 2 and ("content" in location[:i] or location[0] == "input")
    return is_part or before in {"response_format", "format"}
