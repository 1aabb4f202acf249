"""Everything of a tenant as resources, below `/api/v1`."""

from agentgraph.server.rest.router import rest_router

__all__ = ["rest_router"]
