"""A chat agent with memory, for `langgraph dev`. Settings come from the environment; `context` says who speaks."""

from agentgraph.platform import agent_graph

graph = agent_graph()
