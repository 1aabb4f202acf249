"""agentgraph: any chat model as a multi-tenant agent with memory, in one checkpointed LangGraph graph.

The public names are imported when they are first used, so `import agentgraph` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgraph.app import AgentGraph as AgentGraph
    from agentgraph.chat_model import ChatAgentGraph as ChatAgentGraph
    from agentgraph.errors import AgentGraphError as AgentGraphError
    from agentgraph.run import RunRequest as RunRequest
    from agentgraph.run import RunResult as RunResult
    from agentgraph.scope import Scope as Scope
    from agentgraph.settings import Settings as Settings
    from agentgraph.tools.approval import Approval as Approval
    from agentgraph.tools.decorator import sync_tool as sync_tool
    from agentgraph.tools.decorator import tool as tool
    from agentgraph.tools.promises import promising as promising
    from agentgraph.tools.registry import ToolRegistry as ToolRegistry
    from agentgraph.tools.registry import get_registry as get_registry

_HOMES = {
    "AgentGraph": "agentgraph.app",
    "AgentGraphError": "agentgraph.errors",
    "Approval": "agentgraph.tools.approval",
    "ChatAgentGraph": "agentgraph.chat_model",
    "RunRequest": "agentgraph.run",
    "RunResult": "agentgraph.run",
    "Scope": "agentgraph.scope",
    "Settings": "agentgraph.settings",
    "ToolRegistry": "agentgraph.tools.registry",
    "get_registry": "agentgraph.tools.registry",
    "promising": "agentgraph.tools.promises",
    "sync_tool": "agentgraph.tools.decorator",
    "tool": "agentgraph.tools.decorator",
}

__all__ = [
    "AgentGraph",
    "AgentGraphError",
    "Approval",
    "ChatAgentGraph",
    "RunRequest",
    "RunResult",
    "Scope",
    "Settings",
    "ToolRegistry",
    "get_registry",
    "promising",
    "sync_tool",
    "tool",
]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
