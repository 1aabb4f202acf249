"""Public doubles and conformance suites: what agentgraph is tested with, for testing what is built on it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgraph.testing.clock import FrozenClock as FrozenClock
    from agentgraph.testing.scripted import ScriptedChatModel as ScriptedChatModel
    from agentgraph.testing.store_conformance import StoreConformance as StoreConformance

_EXPORTS = {
    "FrozenClock": "agentgraph.testing.clock",
    "ScriptedChatModel": "agentgraph.testing.scripted",
    "StoreConformance": "agentgraph.testing.store_conformance",
}
__all__ = ["FrozenClock", "ScriptedChatModel", "StoreConformance"]


def __getattr__(name: str) -> Any:
    if (home := _EXPORTS.get(name)) is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)
