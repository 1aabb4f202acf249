"""What commands that ask the application one thing share: open it, ask, and give the answer to people or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import orjson
from rich.console import Console, RenderableType

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.settings import Settings

__all__ = ["Asking"]

T = TypeVar("T")


class Asking:
    """One command's place: the settings, and how its answer is given."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json
        self._zone = ZoneInfo(settings.timezone)

    def _ask(self, question: Callable[[AgentGraph], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with AgentGraph(self._settings) as app:
                return await question(app)

        return run_sync(asked())

    def _show(self, record: Mapping[str, Any], view: Callable[[], RenderableType]) -> None:
        if self._as_json:
            sys.stdout.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE).decode())
        else:
            Console().print(view())
