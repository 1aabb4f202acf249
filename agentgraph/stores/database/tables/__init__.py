"""The tables, one file a subject; importing this package makes `metadata` whole."""

from agentgraph.stores.database.tables.functions import function_versions, functions
from agentgraph.stores.database.tables.generations import generations

__all__ = ["function_versions", "functions", "generations"]
