"""`agentgraph serve`: start the server that `agentgraph.server` is."""

from __future__ import annotations

from pathlib import Path

from agentgraph.cli.invocation import Invocation
from agentgraph.errors import MissingExtraError

__all__ = ["run_server"]


def run_server(
    invocation: Invocation,
    *,
    host: str | None = None,
    port: int | None = None,
    model: str | None = None,
    storage: Path | None = None,
    insecure: bool = False,
) -> None:
    """Serve until interrupted.

    Raises:
        MissingExtraError: The `server` extra is not installed.
        AgentGraphError: No model, or an address that cannot or may not be served.
    """
    settings = invocation.settings(host=host, port=port, default_model=model, storage_dir=storage)
    try:
        from agentgraph.server.run import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "agentgraph":
            raise
        raise MissingExtraError("server", needed_for="agentgraph serve") from error
    serve(settings, insecure=insecure)
