"""Run a registered function: check its arguments, hand them to the sandbox, and say what came back."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentgraph.tools.functions.arguments import ArgumentCheck
from agentgraph.tools.functions.definition import FunctionDefinition, RegisteredFunction
from agentgraph.tools.sandbox import Sandbox

__all__ = ["FunctionResult", "FunctionRunner"]

_MOST_REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionResult:
    """What a function returned.

    Attributes:
        value: Of JSON's types.
        printed: What it printed; a model is not shown it.
        version: Which version ran.
        duration_ms: How long it took, checking its arguments and waiting for a worker included.
    """

    value: Any
    printed: str
    version: int
    duration_ms: float

    @property
    def text(self) -> str:
        """What a model reads: text as it is, anything else as JSON."""
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)


class FunctionRunner:
    """Runs functions in a sandbox, whose limits are theirs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._checks: OrderedDict[int, tuple[FunctionDefinition, ArgumentCheck]] = OrderedDict()

    async def run(self, function: RegisteredFunction, arguments: Mapping[str, Any]) -> FunctionResult:
        """Call a function.

        Raises:
            InvalidInputError: The arguments do not fit.
            FunctionError: The function raised, by its own lines, or returned what JSON has no form for.
            SandboxError: It broke another limit.
        """
        started = time.perf_counter()
        definition = function.definition
        given = self._check(definition)(arguments)
        result = await self._sandbox.run(definition.code, function=definition.name, arguments=given)
        return FunctionResult(
            value=result.value,
            printed=result.printed,
            version=function.version,
            duration_ms=(time.perf_counter() - started) * 1000,
        )

    def _check(self, definition: FunctionDefinition) -> ArgumentCheck:
        """Return what checks arguments of `definition`; making it takes a millisecond, so the last used are kept."""
        known = self._checks.pop(id(definition), None)
        if known is None or known[0] is not definition:
            known = (definition, ArgumentCheck(definition))
        self._checks[id(definition)] = known
        if len(self._checks) > _MOST_REMEMBERED:
            self._checks.popitem(last=False)
        return known[1]
