"""Tools whose code is registered while the agent runs, kept in the records database, and run in a sandbox."""

from agentgraph.tools.functions.functions import Functions
from agentgraph.tools.functions.running import FunctionResult, FunctionRunner
from agentgraph.tools.functions.source import FunctionTools

__all__ = ["FunctionResult", "FunctionRunner", "FunctionTools", "Functions"]
