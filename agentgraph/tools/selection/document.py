"""What there is to read of a tool: its name, its description, and its arguments with theirs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.tools import BaseTool

from agentgraph.plain import readable
from agentgraph.tools.schema import tool_schema

__all__ = ["ToolDocument", "fingerprint", "spaced"]

_LONGEST: Final = 4_000  # characters of a description that are read; an embedder reads a quarter of it
_LONGEST_ARGUMENT: Final = 400
_MOST_ARGUMENTS: Final = 64
_DEEPEST: Final = 3
_MOST_CHOICES: Final = 16
_BETWEEN_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")


@dataclass(frozen=True, slots=True)
class ToolDocument:
    """One tool as ranking reads it; long texts are cut where it reads them, never here.

    Attributes:
        name: As a model calls it.
        description: What it does.
        arguments: Each argument's name and its description, empty where there is none; those of nested objects are
            spelt `outer.inner`.
    """

    name: str
    description: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tool: BaseTool | Mapping[str, Any]) -> ToolDocument:
        """Read a LangChain tool, or a function as OpenAI spells it, in the `tools` form or the older `functions`."""
        schema = tool_schema(tool) if isinstance(tool, BaseTool) else tool
        inner = schema.get("function")
        function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else schema
        return cls(
            name=str(function.get("name") or ""),
            description=str(function.get("description") or ""),
            arguments=dict(_arguments(function.get("parameters"))),
        )

    @property
    def readable_name(self) -> str:
        """The name as words: `getWeather`, `get_weather` and `get.weather` are all "get weather"."""
        return spaced(readable(self.name[:_LONGEST]))

    @property
    def readable_description(self) -> str:
        """The description, as far as it is read."""
        return readable(self.description[:_LONGEST])

    @property
    def readable_arguments(self) -> list[tuple[str, str]]:
        """The arguments' names as words, and their descriptions, as far as they are read."""
        read = list(self.arguments.items())[:_MOST_ARGUMENTS]
        return [(spaced(readable(name[:_LONGEST_ARGUMENT])), readable(text[:_LONGEST_ARGUMENT])) for name, text in read]

    @property
    def text(self) -> str:
        """Everything that is read, as one text; this is what is embedded.

        Further vectors, without the arguments, of the name and of the description alone, were measured beside this one
        and moved recall within its noise, for a multiple of the memory.
        """
        arguments = (f"{name}: {text}." if text else f"{name}." for name, text in self.readable_arguments)
        return " ".join([f"{self.readable_name}: {self.readable_description}", *arguments])


def spaced(identifier: str) -> str:
    """Return the words of an identifier: camelCase, snake_case, dots and dashes become spaces."""
    return " ".join(part for part in _BETWEEN_WORDS.split(identifier) if part)


def fingerprint(documents: Iterable[ToolDocument]) -> str:
    """Return the SHA-256, in hex, of what the documents say and of their order."""
    digest = hashlib.sha256()
    for document in documents:
        parts = [document.name, document.description, *(part for pair in document.arguments.items() for part in pair)]
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        # Lengths first, so that no two different documents are one run of bytes.
        digest.update(",".join(map(str, [len(encoded), *map(len, encoded)])).encode())
        digest.update(b";")
        digest.update(b"".join(encoded))
    return digest.hexdigest()


def _arguments(parameters: object, *, prefix: str = "", depth: int = 1) -> Iterable[tuple[str, str]]:
    """Read the properties of a JSON schema; what is no schema has none."""
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if not isinstance(properties, Mapping) or depth > _DEEPEST:
        return
    for name, schema in properties.items():
        spelt = f"{prefix}{name}"
        if not isinstance(schema, Mapping):
            yield spelt, ""
            continue
        items = schema.get("items")
        yield spelt, _said(schema, items)
        yield from _arguments(schema, prefix=f"{spelt}.", depth=depth + 1)
        yield from _arguments(items, prefix=f"{spelt}.", depth=depth + 1)


def _said(*schemas: object) -> str:
    """Join what the schemas of one argument say of it: descriptions, and the values it may take."""
    said: list[str] = []
    for schema in schemas:
        if not isinstance(schema, Mapping):
            continue
        if isinstance(schema.get("description"), str):
            said.append(schema["description"])
        choices = schema.get("enum")
        if isinstance(choices, Sequence) and not isinstance(choices, str):
            said.append(", ".join(str(choice) for choice in choices[:_MOST_CHOICES] if isinstance(choice, str)))
    return " ".join(part for part in said if part)
