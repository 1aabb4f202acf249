"""A registered function as a tool that models are offered."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from agentgraph._sync import run_sync
from agentgraph.tools.functions.definition import RegisteredFunction
from agentgraph.tools.functions.running import FunctionRunner

__all__ = ["SandboxedFunction"]


class SandboxedFunction(BaseTool):
    """One version of a function, whatever becomes of the name later.

    It promises to be idempotent: a sandbox lets nothing out, so a call made again does nothing twice.
    """

    _function: RegisteredFunction = PrivateAttr()
    _runner: FunctionRunner = PrivateAttr()

    def __init__(self, function: RegisteredFunction, runner: FunctionRunner) -> None:
        definition = function.definition
        super().__init__(
            name=definition.name,
            description=definition.description,
            args_schema=definition.json_schema(),
            metadata={"idempotent": True},
        )
        self._function = function
        self._runner = runner

    async def _arun(self, /, **arguments: Any) -> str:
        return (await self._runner.run(self._function, arguments)).text

    def _run(self, /, **arguments: Any) -> str:
        return run_sync(self._arun(**arguments))
