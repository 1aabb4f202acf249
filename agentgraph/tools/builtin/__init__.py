"""Tools every agent can have, each offered only where it is named: the time, arithmetic, and look-ups on the web."""

from agentgraph.tools.builtin.calculator import calculate
from agentgraph.tools.builtin.offered import OFFLINE, builtin_tools
from agentgraph.tools.builtin.web import WebServices

__all__ = ["OFFLINE", "WebServices", "builtin_tools", "calculate"]
