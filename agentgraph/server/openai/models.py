"""Which models this deployment can use now."""

from __future__ import annotations

from importlib.util import find_spec

from agentgraph.app import AgentGraph
from agentgraph.models.catalogue import PROVIDERS, Provider, known_models
from agentgraph.settings import Settings

__all__ = ["usable_models"]


def usable_models(app: AgentGraph) -> list[str]:
    """Return the names of the usable models, the default first. Imports vendors' tables: not on an event loop.

    Raises:
        ConfigurationError: There is no model at all.
    """
    names = [app.default_model]
    for provider in PROVIDERS:
        if _is_usable(provider, app.settings):
            names += sorted(f"{provider.name}/{name}" for name in known_models(provider))
    return list(dict.fromkeys(names))


def _is_usable(provider: Provider, settings: Settings) -> bool:
    if provider.open_endpoint_setting and getattr(settings, provider.open_endpoint_setting):
        return False  # somebody else's server: only it knows its models
    if provider.key_setting is not None:
        return bool(getattr(settings, provider.key_setting))
    return provider.name == "local" and find_spec("xllamacpp") is not None
