"""Find what is wrong with a function's code before it is kept: each problem with its place, and what to write instead.

The interpreter's own parser and type checker are asked first, in a worker: the code is somebody else's, and this
process' parser is given none of it that could overrun its stack.
"""

from __future__ import annotations

import ast
import json
import keyword
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentgraph.errors import FunctionError

__all__ = ["Problem", "problem_of", "problems_of_signature", "problems_of_types", "typed_call"]

_TYPES: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
}
MODULES: Final = (
    "asyncio, base64, binascii, bisect, collections, copy, csv, dataclasses, datetime, decimal, functools, hashlib, "
    "itertools, json, math, random, re, sys, time, tomllib, typing and unicodedata"
)
_INSTEAD: Final = {
    "yield": "build a list and return it",
    "class inheritance": "write one class without bases, or plain functions",
    "class bodies": "keep to methods and plain class variables",
    "method decorators": "write an undecorated method, or a plain function",
    "async with": "use try and finally",
    "async for": "use a plain for over a list",
    "async comprehensions": "use a plain comprehension over a list",
    "'del' statement": "use .pop(), or build a new container without the element",
    "except*": "use except",
    "type aliases": "write the type where it is used",
    "template strings": "use an f-string",
    "Wildcard imports": "import each name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a function's code, and where; lines and columns are counted from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


def problem_of(error: FunctionError) -> Problem:
    """Return what kept the code from being loaded, with what to write instead where something else would do."""
    message = f"{error.type}: {error.detail}"
    match error.type:
        case "SyntaxError":
            message = f"not valid Python: {error.detail}"
        case "NotImplementedError":
            instead = next((words for what, words in _INSTEAD.items() if what in error.detail), None)
            what = error.detail.removeprefix("The monty syntax parser does not yet support ")
            message = f"not supported in the sandbox: {what}" + (f"; {instead}" if instead else "")
        case "ModuleNotFoundError" | "ImportError":
            message = f"{error.detail}; the sandbox has {MODULES}"
    return Problem(line=error.line or 1, column=error.column or 1, message=message)


def problems_of_signature(code: str, function: str, parameters: Mapping[str, Any]) -> list[Problem]:
    """Return where the code lacks the function, or has one that cannot be called with the parameters.

    Args:
        code: What the interpreter's own parser took already, so that it is not nested deeply.
        function: The name.
        parameters: A JSON Schema of an object: its properties are the parameters.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in somebody's code is nothing to tell our log
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # newer Python than this process'
            return []
    return list(_signature(tree, function, parameters))


def typed_call(function: str, parameters: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return code that calls the function as its schema promises, for a type checker, and the parameter of each line.

    Put after the function's code, so that a wrong annotation is an error in one of these lines.
    """
    properties: Mapping[str, Any] = parameters.get("properties", {})
    names = list(properties)
    lines = [
        "from typing import Any as _agentgraph_any",
        "def _agentgraph_call(",
        *(f"    {name}: {_annotation(properties[name])}," for name in names),
        ") -> object:",
        f"    return {function}(",
        *(f"        {name}={name}," for name in names),
        "    )",
    ]
    of_line = ["", "", *names, "", "", *names, ""]
    return "\n".join(lines), of_line


def problems_of_types(report: str, code: str, function: str, of_line: list[str]) -> list[Problem]:
    """Read the type checker's report on the code with `typed_call` after it.

    Args:
        report: JSON, as ty writes it.
        code: The function's code alone.
        function: Its name.
        of_line: The parameter that each line after the code is about.
    """
    last = _lines(code)
    places = _places(code, function)
    found = []
    for each in json.loads(report):
        line, column, message = each["location"]["row"], each["location"]["column"], str(each["message"])
        if line > last:
            parameter = of_line[min(line - last, len(of_line)) - 1]
            line, column = places.get(parameter) or places.get("") or (1, 1)
            message = f"does not take the parameter {parameter!r} as declared: {message}" if parameter else message
        elif each.get("code") == "unresolved-import":
            message += f"; the sandbox has {MODULES}"
        found.append(Problem(line=line, column=column, message=message))
    return found


def _lines(code: str) -> int:
    return len(code.split("\n"))


def _annotation(schema: object) -> str:
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    known = [_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds or []) if kind in _TYPES]
    return " | ".join(known) or "_agentgraph_any"


def _places(code: str, function: str) -> dict[str, tuple[int, int]]:
    """Return where each parameter stands, and under "" the function itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(code)
    for each in tree.body:
        if isinstance(each, ast.FunctionDef) and each.name == function:
            taken = [*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs]
            return {"": (each.lineno, each.col_offset + 1)} | {
                argument.arg: (argument.lineno, argument.col_offset + 1) for argument in taken
            }
    return {}


def _signature(tree: ast.Module, function: str, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    defined = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = [each for each in defined if each.name == function]
    if not named:
        others = ", ".join(sorted(each.name for each in defined)) or "no function at all"
        yield Problem(line=1, column=1, message=f"the code must define {function!r} at its top level; it has {others}")
        return
    for again in named[1:]:
        yield _at(again, f"{function!r} is defined twice")
    for other in defined:
        if other.name != function and not other.name.startswith("_"):
            yield _at(other, f"only {function!r} may be public: call this one '_{other.name}'")
    if isinstance(named[0], ast.AsyncFunctionDef):
        yield _at(named[0], "an async function cannot be registered; write def")
    yield from _parameters(named[0], parameters)


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    declared = list(parameters.get("properties", {}))
    required = set(parameters.get("required", ()))
    arguments = function.args
    for each in arguments.posonlyargs:
        yield _at(each, f"{each.arg!r} is positional-only, and arguments are given by name; leave the / out")
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield _at(rest, f"{rest.arg!r} takes what is not declared; name each parameter")
    taken = dict(_defaults(arguments))
    for argument, has_default in taken.items():
        if argument.arg in declared:
            if argument.arg not in required and not has_default:
                yield _at(argument, f"{argument.arg!r} is declared optional, and needs a default")
        elif not has_default:
            yield _at(argument, f"{argument.arg!r} is not among the declared parameters")
    for name in declared:
        if not name.isidentifier() or keyword.iskeyword(name):
            yield _at(function, f"{name!r} cannot be the name of a parameter")
        elif name not in {argument.arg for argument in taken} and arguments.kwarg is None:
            yield _at(function, f"the declared parameter {name!r} is missing from {function.name!r}")


def _defaults(arguments: ast.arguments) -> Iterator[tuple[ast.arg, bool]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    for place, each in enumerate(positional):
        yield each, place >= first_default
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield each, default is not None


def _at(node: ast.stmt | ast.arg, message: str) -> Problem:
    return Problem(line=node.lineno, column=node.col_offset + 1, message=message)
