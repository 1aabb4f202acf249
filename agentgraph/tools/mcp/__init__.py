"""MCP servers as sources of tools: connected to, held to limits, and never trusted further than their tools were."""
