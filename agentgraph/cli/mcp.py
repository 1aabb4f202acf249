"""`agentgraph mcp`: the agent as an MCP server over standard streams, for one tenant."""

from __future__ import annotations

from pathlib import Path

from agentgraph.cli.invocation import Invocation
from agentgraph.errors import MissingExtraError

__all__ = ["run_mcp"]


def run_mcp(invocation: Invocation, *, tenant: str, user: str | None, model: str | None, storage: Path | None) -> None:
    """Serve until standard input ends.

    Raises:
        MissingExtraError: The `mcp` extra is not installed.
        AgentGraphError: A tenant or user that is none, or settings that cannot work.
    """
    from agentgraph._sync import run_sync
    from agentgraph.app import AgentGraph
    from agentgraph.scope import Scope

    settings = invocation.settings(default_model=model, storage_dir=storage)
    scope = Scope.parse(tenant, user=user)
    try:
        from agentgraph.server.mcp import serve_stdio
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "agentgraph":
            raise
        raise MissingExtraError("mcp", needed_for="agentgraph mcp") from error

    async def serve() -> None:
        async with AgentGraph(settings) as app:
            await serve_stdio(app, scope)

    run_sync(serve())
