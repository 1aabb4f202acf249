"""What a function is registered with, and what is registered: its parameters as data, its code as text."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked, readable

__all__ = ["FunctionDefinition", "Parameter", "RegisteredFunction", "TypeName", "ValueSchema"]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LONGEST_CODE: Final = 65_536  # bytes
_LONGEST_DESCRIPTION: Final = 4_096
_MOST_PARAMETERS: Final = 64
_MOST_VALUES: Final = 1_000  # of schemas, names and allowed values, over all parameters
_DEEPEST: Final = 8

TypeName = Literal["string", "integer", "number", "boolean", "array", "object"]
_IN_PYTHON: Final = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
}


def _named(given: Any) -> Any:
    return _IN_PYTHON.get(given, given) if isinstance(given, str) else given


class ValueSchema(BaseModel):
    """What a value looks like, in the words of JSON Schema.

    Attributes:
        type: JSON Schema's name of it; Python's is taken as well.
        description: What a model is told of it.
        enum: The only values there are.
        items: What a list's values look like.
        properties: What an object's values look like, by name; all must be there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Annotated[TypeName, BeforeValidator(_named)]
    description: str = ""
    enum: list[str | int | float | bool] | None = None
    items: ValueSchema | None = None
    properties: dict[str, ValueSchema] | None = None

    def json_schema(self) -> dict[str, Any]:
        """Return it as JSON Schema."""
        schema: dict[str, Any] = {"type": self.type}
        if self.description:
            schema["description"] = self.description
        if self.enum is not None:
            schema["enum"] = self.enum
        if self.items is not None:
            schema["items"] = self.items.json_schema()
        if self.properties is not None:
            schema["properties"] = {name: value.json_schema() for name, value in self.properties.items()}
            schema["required"] = list(self.properties)
        return schema


class Parameter(ValueSchema):
    """One parameter of a function.

    Attributes:
        name: As the code has it.
        required: Whether a call must give it; the code has a default for it otherwise.
    """

    name: str
    required: bool = True


_PARAMETERS: Final = TypeAdapter(list[Parameter])


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDefinition:
    """A function as somebody wants it; what it calls for fits, its code is not looked into yet.

    Attributes:
        name: The tool's name, and the function's in the code.
        description: What a model is told of it.
        parameters: Its parameters, in order.
        code: Python, with a `def` of that name.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    code: str

    @classmethod
    def of(
        cls, name: str, description: str, parameters: Sequence[Mapping[str, Any] | Parameter], code: str
    ) -> FunctionDefinition:
        """Read what a caller gives.

        Raises:
            InvalidInputError: Names what is wrong with it.
        """
        check_name(name)
        if not _is_text(description):
            raise InvalidInputError("describe the function: models choose by it", param="description")
        if len(description) > _LONGEST_DESCRIPTION:
            raise InvalidInputError(
                f"the description is {len(description)} characters long; at most {_LONGEST_DESCRIPTION} fit",
                param="description",
            )
        _check_text(code)
        return cls(name=name, description=readable(description.strip()), parameters=_parameters(parameters), code=code)

    def json_schema(self) -> dict[str, Any]:
        """Return the parameters as the JSON Schema of an object."""
        described = {each.name: each.json_schema() for each in self.parameters}
        required = [each.name for each in self.parameters if each.required]
        return {"type": "object", "properties": described, "required": required, "additionalProperties": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredFunction:
    """One version of a function.

    Attributes:
        tenant: Whose; `None` for every tenant's.
        version: From 1, for each name; no number is given twice, not even after a deletion.
        definition: What was registered.
        registered_at: When, UTC.
        is_latest: Whether it is the version in force.
        is_enabled: Whether models are offered it, and it can be executed; of all versions alike.
    """

    tenant: str | None
    version: int
    definition: FunctionDefinition
    registered_at: datetime
    is_latest: bool
    is_enabled: bool

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name


def _is_text(given: object) -> bool:
    return isinstance(given, str) and bool(given.strip())


def check_name(name: object) -> None:
    """Refuse what cannot be the name of a function and of a tool.

    Raises:
        InvalidInputError: It is none.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or keyword.iskeyword(name):
        shown = readable(name[:80]) if isinstance(name, str) else type(name).__name__
        raise InvalidInputError(
            f"{shown!r} cannot name a function: use a letter, then letters, digits and _, at most 64, and no keyword",
            param="name",
        )


def _check_text(code: Any) -> None:
    if not _is_text(code):
        raise InvalidInputError("the code is empty: give Python with a def", param="code")
    if len(code) > _LONGEST_CODE or len(code.encode(errors="surrogatepass")) > _LONGEST_CODE:
        raise InvalidInputError(
            f"the code is {len(code):,} characters long; at most {_LONGEST_CODE // 1024} KB fit", param="code"
        )
    for number, line in enumerate(code.split("\n"), 1):
        if readable(line) != line:
            raise InvalidInputError(
                f"line {number}: NUL and lone surrogates cannot be kept; write them as escapes", param="code"
            )


def _parameters(given: Any) -> tuple[Parameter, ...]:
    if not isinstance(given, list | tuple):
        raise InvalidInputError(f"parameters must be a list, not {type(given).__name__}", param="parameters")
    if len(given) > _MOST_PARAMETERS:
        raise InvalidInputError(f"{len(given)} parameters; at most {_MOST_PARAMETERS} fit", param="parameters")
    plain = [
        each.model_dump(exclude_unset=True) if isinstance(each, Parameter) else checked(each, param="parameters")
        for each in given
    ]
    depth, size = _extent(plain)
    if depth > 2 * _DEEPEST or size > _MOST_VALUES:
        raise InvalidInputError(
            f"the parameters are too much for a model: at most {_DEEPEST} levels and {_MOST_VALUES} values",
            param="parameters",
        )
    try:
        parameters = tuple(_PARAMETERS.validate_python(plain))
    except ValidationError as error:
        raise InvalidInputError(_fault(error), param="parameters") from error
    names = [each.name for each in parameters]
    for name in names:
        check_parameter_name(name)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInputError(f"two parameters are called {twice!r}", param="parameters")
    return parameters


def check_parameter_name(name: str) -> None:
    """Refuse a name no `def` can have.

    Raises:
        InvalidInputError: It is one.
    """
    try:
        check_name(name)
    except InvalidInputError:
        raise InvalidInputError(
            f"{name[:80]!r} cannot name a parameter: use a letter, then letters, digits and _", param="parameters"
        ) from None


def _extent(value: object) -> tuple[int, int]:
    """Return how deep a plain value is nested, and how many values it holds."""
    deepest, count, left = 0, 0, [(value, 0)]
    while left:
        each, depth = left.pop()
        deepest, count = max(deepest, depth), count + 1
        inner: Iterator[object] = (
            iter(each.values()) if isinstance(each, dict) else iter(each if isinstance(each, list) else ())
        )
        left += [(part, depth + 1) for part in inner]
    return deepest, count


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=True, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    what = fault["input"]
    shown = f" {readable(what[:80])!r}:" if isinstance(what, str) else ""
    return f"parameters.{where}:{shown} {fault['msg']}"
