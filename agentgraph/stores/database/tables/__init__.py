"""The tables, one file a subject; importing this package makes `metadata` whole."""

from agentgraph.stores.database.tables.functions import function_versions, functions
from agentgraph.stores.database.tables.generations import generations
from agentgraph.stores.database.tables.mcp_servers import mcp_accepted, mcp_servers

__all__ = ["function_versions", "functions", "generations", "mcp_accepted", "mcp_servers"]
