"""A declared tool that the server runs, through the deployment's hook."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from agentgraph._sync import run_sync

__all__ = ["HandledTool", "LocalToolsHandler"]

LocalToolsHandler: TypeAlias = Callable[[str, str, dict[str, Any]], Any | Awaitable[Any]]
"""Called with the tenant, the tool's name and its arguments; returns what the tool says, or an awaitable of that."""


class HandledTool(BaseTool):
    """One tenant's declared tool. The tenant is the run's and never an argument, whatever a model writes."""

    _tenant: str = PrivateAttr()
    _handler: LocalToolsHandler = PrivateAttr()

    def __init__(self, tenant: str, schema: Mapping[str, Any], handler: LocalToolsHandler) -> None:
        function = schema["function"]
        super().__init__(
            name=function["name"],
            description=function.get("description", ""),
            args_schema={"type": "object", "properties": {}, **(function.get("parameters") or {})},
        )
        self._tenant = tenant
        self._handler = handler

    async def _arun(self, /, **arguments: Any) -> Any:
        call = (self._tenant, self.name, arguments)
        if inspect.iscoroutinefunction(self._handler):
            return await self._handler(*call)
        answer = await asyncio.to_thread(self._handler, *call)
        return await answer if inspect.isawaitable(answer) else answer

    def _run(self, /, **arguments: Any) -> Any:
        return run_sync(self._arun(**arguments))
