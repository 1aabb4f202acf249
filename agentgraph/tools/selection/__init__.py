"""Rank tools by what a conversation is about: by their words, and by meaning where there is an embedder."""

from agentgraph.tools.selection.document import ToolDocument, fingerprint
from agentgraph.tools.selection.index import RankedTool, ToolIndex
from agentgraph.tools.selection.indexes import ToolIndexes
from agentgraph.tools.selection.vectors import VectorCache

__all__ = ["RankedTool", "ToolDocument", "ToolIndex", "ToolIndexes", "VectorCache", "fingerprint"]
