"""Hand a tool the run it is called in, where it asks for that: LangChain's `runtime: ToolRuntime` parameter."""

from __future__ import annotations

from langchain_core.tools import BaseTool

__all__ = ["wants_runtime"]


def wants_runtime(tool: BaseTool) -> bool:
    """Say whether `tool` takes a `runtime` that the model neither sees nor fills in."""
    fields = getattr(tool.get_input_schema(), "model_fields", {})
    return "runtime" in fields and "runtime" not in tool.args
