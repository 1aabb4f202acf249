"""A run's tokens and tool calls as LangChain's messages carry them; which messages those are is the caller's to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata

from agentgraph.events import Usage

__all__ = ["readable_calls", "unreadable_calls", "usage_metadata"]


def readable_calls(calls: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """Return the calls whose arguments could be read; LangChain's messages refuse the others."""
    return [
        ToolCall(name=call["name"], args=call["args"], id=call["id"], type="tool_call")
        for call in calls
        if isinstance(call["args"], dict)
    ]


def unreadable_calls(calls: Sequence[Mapping[str, Any]]) -> list[InvalidToolCall]:
    """Return the others, as the model wrote them."""
    return [
        InvalidToolCall(
            name=call["name"],
            args=call["args"],
            id=call["id"],
            error="the arguments are not a JSON object",
            type="invalid_tool_call",
        )
        for call in calls
        if not isinstance(call["args"], dict)
    ]


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Return the tokens a run used."""
    return UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
