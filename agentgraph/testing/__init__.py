"""Public doubles and conformance suites, for our tests and for those of whoever builds on agentgraph."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agentgraph.testing.clock import FrozenClock
    from agentgraph.testing.hashing import HashEmbeddings
    from agentgraph.testing.scripted import ScriptedChatModel
    from agentgraph.testing.store_conformance import StoreConformance

__all__ = ["FrozenClock", "HashEmbeddings", "ScriptedChatModel", "StoreConformance"]

# Imported when first asked for (PEP 562): a test that needs a clock should not load pytest and LangGraph.
_EXPORTS: Final = {
    "FrozenClock": "agentgraph.testing.clock",
    "HashEmbeddings": "agentgraph.testing.hashing",
    "ScriptedChatModel": "agentgraph.testing.scripted",
    "StoreConformance": "agentgraph.testing.store_conformance",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
