"""Read what a server says of its tools, believing none of it.

What a model is shown of a tool is a stranger's text in a trusted place: it is bounded, cleaned of what people cannot
see, and named after the server. A tool that cannot be shown safely is refused by itself; the others stay.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mcp.types import Tool

from agentgraph.tools.mcp.definition import SEPARATOR, McpTool

__all__ = ["LONGEST_NAME", "listed_tools", "visible"]

LONGEST_NAME: Final = 64
"""Characters of a tool's name that vendors take. Source: OpenAI, Anthropic and Google API references."""

_LONGEST_DESCRIPTION: Final = 2_000
_LONGEST_PART: Final = 500
_LARGEST_SCHEMA: Final = 64_000  # characters of JSON
_DEEPEST_SCHEMA: Final = 12
_MOST_PARTS: Final = 2_000
_DIGEST: Final = 8
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_\-]")
_JOINERS: Final = "\u200c\u200d"  # scripts and emoji need them
# A regular expression of a stranger's may take for ever to match, and a model reads little in it.
_LEFT_OUT: Final = frozenset({"pattern", "patternProperties", "$schema", "$id", "$defs", "definitions", "$anchor"})
_REFERENCES: Final = re.compile(r"#/(?:\$defs|definitions)/[^/]+")


class _RefusedError(Exception):
    """A tool's schema breaks a rule, which the message names."""


def listed_tools(server: str, tools: Sequence[Tool]) -> tuple[McpTool, ...]:
    """Return a server's tools as they may be shown, in the server's order; those that may not be offered say why."""
    read = [_read(server, tool) for tool in tools]
    named = Counter(tool.name for tool in read)
    return tuple(
        replace(tool, state="refused", reason="the server lists several tools of this name")
        if named[tool.name] > 1
        else tool
        for tool in read
    )


def visible(text: str) -> str:
    """Return `text` without what a person who reads it cannot see: controls, directions, tags, private characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each in "\n\t" or each in _JOINERS or unicodedata.category(each)[0] != "C" else "" for each in text
    )


def _read(server: str, tool: Tool) -> McpTool:
    hints = tool.annotations
    read = McpTool(
        name=_name(server, tool.name),
        server=server,
        remote_name=tool.name,
        description=_cut(visible(tool.description or tool.title or "").strip(), _LONGEST_DESCRIPTION),
        parameters={"type": "object", "properties": {}},
        fingerprint="",
        idempotent=hints is not None and bool(hints.readOnlyHint or hints.idempotentHint),
        destructive=hints is not None and bool(hints.destructiveHint),
    )
    try:
        said = _canonical(tool)
        return replace(read, parameters=_parameters(tool.inputSchema), fingerprint=hashlib.sha256(said).hexdigest())
    except _RefusedError as refusal:
        return replace(read, state="refused", reason=str(refusal))


def _name(server: str, remote: str) -> str:
    name = f"{server}{SEPARATOR}{_NOT_IN_NAMES.sub('_', remote)}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - _DIGEST - 1]}_{hashlib.sha256(remote.encode()).hexdigest()[:_DIGEST]}"


def _canonical(tool: Tool) -> bytes:
    """Return everything that what is accepted depends on, in one spelling."""
    said = tool.model_dump(mode="json", include={"name", "title", "description", "inputSchema", "annotations"})
    try:
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        raise _RefusedError("its schema is no JSON") from error
    if len(text) > _LARGEST_SCHEMA:
        raise _RefusedError(f"its schema is larger than {_LARGEST_SCHEMA:,} characters")
    return text.encode()


def _parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    shown = _Schema(schema).shown()
    if shown.get("type", "object") != "object" or not isinstance(shown.get("properties", {}), dict):
        raise _RefusedError("its schema does not describe an object")
    return {**shown, "type": "object", "properties": shown.get("properties", {})}


class _Schema:
    """Rewrites a schema: references resolved within it, what is unsafe left out, bounded in depth and parts.

    A few references to references double with every level, so parts are counted as they are written out.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._left = _MOST_PARTS

    def shown(self) -> dict[str, Any]:
        shown = self._part(self._schema, 0, ())
        assert isinstance(shown, dict)  # noqa: S101
        return shown

    def _part(self, value: Any, depth: int, within: tuple[str, ...], *, names: bool = False) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _RefusedError(f"its schema has more than {_MOST_PARTS:,} parts")
        if depth > 2 * _DEEPEST_SCHEMA:  # `properties` and what stands in it are two levels of JSON
            raise _RefusedError(f"its schema is nested more than {_DEEPEST_SCHEMA} levels deep")
        if isinstance(value, str):
            return _cut(visible(value), _LONGEST_PART)
        if isinstance(value, list):
            return [self._part(each, depth + 1, within) for each in value]
        if not isinstance(value, Mapping):
            return value
        if not names and "$ref" in value:
            return self._referred(value, depth, within)
        kept = value.items() if names else ((key, each) for key, each in value.items() if key not in _LEFT_OUT)
        return {
            visible(key): self._part(each, depth + 1, within, names=not names and key == "properties")
            for key, each in kept
        }

    def _referred(self, value: Mapping[str, Any], depth: int, within: tuple[str, ...]) -> Any:
        reference = value["$ref"]
        if not isinstance(reference, str) or (reference != "#" and _REFERENCES.fullmatch(reference) is None):
            raise _RefusedError("its schema refers to something outside of it")
        if reference == "#" or reference in within:
            return {"type": "object"}  # a tree is shown one level deep
        _, place, name = reference.split("/")
        definitions = self._schema.get(place)
        if not isinstance(definitions, Mapping) or not isinstance(definitions.get(name), Mapping):
            raise _RefusedError("its schema refers to what it does not define")
        beside = {key: each for key, each in value.items() if key != "$ref"}
        return self._part({**definitions[name], **beside}, depth + 1, (*within, reference))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 2]} …"
