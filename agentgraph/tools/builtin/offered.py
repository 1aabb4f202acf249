"""Built-in tools by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from langchain_core.tools import BaseTool

from agentgraph.errors import ConfigurationError
from agentgraph.tools.builtin.calculator import calculator_tools
from agentgraph.tools.builtin.clock import clock_tools
from agentgraph.tools.builtin.web import WebServices, web_tools

__all__ = ["OFFLINE", "builtin_tools"]

OFFLINE: Final = ("get_current_time", "get_time", "calculator")
"""Those that ask nobody."""


def builtin_tools(
    clock: Callable[[], datetime], names: Sequence[str] = OFFLINE, *, services: WebServices | None = None
) -> list[BaseTool]:
    """Return the built-in tools called `names`, in that order.

    Args:
        clock: Tells the present moment, aware; a demo or a test moves it.
        names: Of `get_current_time`, `get_time`, `calculator` (or `calculate`, the same), `get_weather`, `search_web`
            and `get_stock_price`; by default those that ask nobody.
        services: Where the last three ask.

    Raises:
        ConfigurationError: There is no such tool, or one is named twice.
    """
    known = {tool.name: tool for tool in (*clock_tools(clock), *calculator_tools(), *web_tools(services))}
    chosen: list[BaseTool] = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or list(known)
            raise ConfigurationError(
                f"no built-in tool is called {name!r}; there is {', '.join(near)}", code="no_such_tool"
            )
        if known[name] in chosen:
            raise ConfigurationError(f"the built-in tool {name!r} is named twice", code="duplicate_tool")
        chosen.append(known[name])
    return chosen
