"""Time expressions in text: `resolve` turns a text, a moment and a zone into windows; it stores and filters nothing."""

from agentgraph.temporal.resolve import resolve
from agentgraph.temporal.window import Direction, Granularity, Window, main_window

__all__ = ["Direction", "Granularity", "Window", "main_window", "resolve"]
