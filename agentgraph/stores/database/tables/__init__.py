"""The tables, one file a subject; importing this package makes `metadata` whole."""

from agentgraph.stores.database.tables.agents import agents
from agentgraph.stores.database.tables.api_keys import api_keys
from agentgraph.stores.database.tables.creations import creations
from agentgraph.stores.database.tables.functions import function_versions, functions
from agentgraph.stores.database.tables.generations import generations
from agentgraph.stores.database.tables.mcp_servers import mcp_accepted, mcp_servers
from agentgraph.stores.database.tables.tool_schemas import tool_schemas
from agentgraph.stores.database.tables.usage import reservations, spending, usage
from agentgraph.stores.database.tables.users import chats, users

__all__ = [
    "agents",
    "api_keys",
    "chats",
    "creations",
    "function_versions",
    "functions",
    "generations",
    "mcp_accepted",
    "mcp_servers",
    "reservations",
    "spending",
    "tool_schemas",
    "usage",
    "users",
]
