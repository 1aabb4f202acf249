"""`agentgraph graph`: draw the compiled graph, as Mermaid text or as a picture made on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from agentgraph.cli.invocation import Invocation
from agentgraph.errors import InvalidInputError, MissingExtraError
from agentgraph.graph.build import build_graph

__all__ = ["draw_graph"]


def draw_graph(invocation: Invocation, *, png: Path | None = None) -> None:
    """Write the graph as Mermaid to stdout, or as a PNG picture to `png`.

    Raises:
        InvalidInputError: The file cannot be written.
        MissingExtraError: A picture is wanted and Pillow is not installed.
    """
    graph = build_graph(invocation.settings()).compile(name="agentgraph").get_graph()
    if png is None:
        sys.stdout.write(graph.draw_mermaid())
        return
    try:
        from agentgraph.cli.drawing import draw_png
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "PIL":
            raise
        raise MissingExtraError("draw", needed_for="agentgraph graph --png") from error
    edges = [(edge.source, edge.target, edge.conditional) for edge in graph.edges]
    picture = draw_png(list(graph.nodes), edges)
    try:
        png.write_bytes(picture)
    except OSError as error:
        raise InvalidInputError(f"cannot write {str(png)!r}: {error.strerror}", param="png") from error
    sys.stderr.write(f"drew {png}\n")
