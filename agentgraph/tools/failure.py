"""Tell a model why a tool failed, in words it can act on and that give nothing of the machine away.

An exception's text is written for whoever runs the program: it may name files, addresses with passwords, keys, or hold
a whole traceback. What the author of a tool says on purpose, by LangChain's `ToolException`, may name paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from langchain_core.tools import ToolException
from pydantic import ValidationError

from agentgraph.errors import AgentGraphError
from agentgraph.plain import readable

__all__ = ["arguments_at_fault", "failure_in_words", "leaves_of", "without_secrets"]

_LONGEST: Final = 500
_MOST_FAULTS: Final = 10
_HIDDEN: Final = "[hidden]"
_TRACE: Final = re.compile(
    r'Traceback \(most recent call last\).*|^\s*File "[^"]*", line \d+.*$', re.DOTALL | re.MULTILINE
)
# What people call their keys, and what vendors' keys look like.
_SECRETS: Final = (
    (re.compile(r"(?<=://)[^\s/@]+@"), f"{_HIDDEN}@"),
    (re.compile(r"(https?://[^\s?#\"'<>]*)\?[^\s\"'<>]*"), rf"\1?{_HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {_HIDDEN}"),
    (
        re.compile(
            r"(?i)((?:api[_-]?key|[\w-]*token|[\w-]*secret|passw(?:or)?d|pwd|authorization|credentials?)"
            r"[\"']?\s*[:=]\s*[\"']?)(?!\[hidden)[^\s\"'&,;)}\]]+"
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|ghp|gho|ghs|glpat|hf|xox[abprs]|AKIA|ASIA|AIza)[-_]?[\w-]{12,}"), _HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*"), _HIDDEN),
    (re.compile(r"(?<![\w/])(?=[A-Za-z+_-]*\d)(?=[\d+_-]*[A-Za-z])[A-Za-z0-9+_-]{32,}={0,2}(?![\w/])"), _HIDDEN),
)
_PATHS: Final = (
    re.compile(r"(?<![\w:/.])~?(?:/[\w.@+~%-]+)+/?"),
    re.compile(r"(?<!\w)[A-Za-z]:[\\/][^\s\"'<>|]*|\\\\[^\s\"'<>|]+"),
)


def failure_in_words(name: str, error: BaseException) -> str:
    """Return what a model is told of `error`, raised by the tool called `name`.

    Raises:
        Exception: Whatever the error's own `str()` raises.
    """
    cause = next(leaves_of(error))
    said = _TRACE.sub("", str(cause)[: 8 * _LONGEST])
    said = without_secrets(said)
    if not isinstance(cause, ToolException | AgentGraphError):
        for path in _PATHS:
            said = path.sub("[path]", said)
    said = " ".join(said.split())
    said = readable(said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …")
    kind = "" if isinstance(cause, ToolException | AgentGraphError) else type(cause).__name__
    return f"The tool {name!r} failed: {': '.join(filter(None, (kind, said))) or type(cause).__name__}"


def arguments_at_fault(name: str, error: ValidationError) -> str:
    """Return what a model is told of arguments that do not fit a tool's schema; it knows what it wrote."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'all together'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    told = "; ".join(faults[:_MOST_FAULTS])[: 4 * _LONGEST]
    return readable(f"The arguments of {name!r} are not valid, and it was not run: {told}{more}")


def without_secrets(text: str) -> str:
    """Return `text` with what looks like a key, a password or a token hidden."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield what went wrong first: a group of errors says nothing by itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves_of(each)
    else:
        yield error
