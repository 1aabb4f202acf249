"""Leave no tool call open in what is stored: vendors refuse a history with one for ever after."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

__all__ = ["closing_messages"]


def closing_messages(messages: Sequence[BaseMessage], why: str) -> list[ToolMessage]:
    """Return an answer, saying `why` there is no better one, to each call of the last turn that has none."""
    return [
        # The id that the tool's own answer would have.
        ToolMessage(why, tool_call_id=call["id"] or "", name=call["name"], status="error", id=f"{message.id}-{place}")
        for message, place, call in _open_calls(messages)
    ]


def _open_calls(messages: Sequence[BaseMessage]) -> list[tuple[AIMessage, int, ToolCall]]:
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AIMessage):
            calls = enumerate(message.tool_calls)
            return [(message, place, call) for place, call in calls if call["id"] not in answered]
    return []
