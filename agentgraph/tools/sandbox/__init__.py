"""Run functions somebody else wrote, walled off: `Sandbox` runs one, and checks its code before it is kept."""

from agentgraph.tools.sandbox.check import Problem
from agentgraph.tools.sandbox.limits import SandboxLimits
from agentgraph.tools.sandbox.sandbox import Sandbox, SandboxResult

__all__ = ["Problem", "Sandbox", "SandboxLimits", "SandboxResult"]
