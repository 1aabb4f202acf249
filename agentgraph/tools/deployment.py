"""The tools a deployment has by its settings: built-in ones by name, and what was registered in this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from langchain_core.tools import BaseTool

from agentgraph.errors import ConfigurationError
from agentgraph.settings import Settings
from agentgraph.tools.builtin import WebServices, builtin_tools
from agentgraph.tools.registry import get_registry

__all__ = ["deployment_tools"]


def deployment_tools(settings: Settings, clock: Callable[[], datetime]) -> list[BaseTool]:
    """Return the tools that settings ask for; those registered later are not among them.

    Raises:
        ConfigurationError: A built-in tool there is not, or the registry is to be used and is empty.
    """
    tools = builtin_tools(clock, settings.builtin_tools, services=_services(settings)) if settings.builtin_tools else []
    if settings.use_registry_tools:
        registered = list(get_registry())
        if not registered:
            raise ConfigurationError(
                "use_registry_tools is set and no tool is registered: define them with @tool(register=True), and "
                "import the module that does so before AgentGraph is made",
                code="no_registered_tools",
            )
        tools += registered
    return tools


def _services(settings: Settings) -> WebServices:
    return WebServices(
        weather_base_url=settings.weather_base_url,
        geocoding_base_url=settings.geocoding_base_url,
        search_engine=settings.search_engine,
        search_base_url=settings.search_base_url,
        stock_base_url=settings.stock_base_url,
        user_agent=settings.web_user_agent,
        timeout_s=settings.web_timeout_s,
    )
