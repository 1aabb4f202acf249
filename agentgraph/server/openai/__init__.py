"""OpenAI's API on the agent: each route in the file that has its name."""

from agentgraph.server.openai.router import openai_router

__all__ = ["openai_router"]
