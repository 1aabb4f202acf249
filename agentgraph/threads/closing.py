"""Leave no tool call open in what is stored, and take no result without one: vendors refuse either for ever after."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from agentgraph.errors import InvalidInputError

__all__ = ["closing_messages", "unanswerable", "unknown_calls"]


def closing_messages(messages: Sequence[BaseMessage], why: str) -> list[ToolMessage]:
    """Return an answer, saying `why` there is no better one, to each call of the last turn that has none."""
    return [
        # The id that the tool's own answer would have.
        ToolMessage(why, tool_call_id=call["id"] or "", name=call["name"], status="error", id=f"{message.id}-{place}")
        for message, place, call in _open_calls(messages)
    ]


def unanswerable(stored: Sequence[BaseMessage], new: Sequence[BaseMessage]) -> list[str]:
    """Return the ids that `new` gives results for, where that is all it does and nobody made such calls; else none."""
    if not new or not all(isinstance(message, ToolMessage) for message in new):
        return []
    answered = [message.tool_call_id for message in new if isinstance(message, ToolMessage)]
    calls = (
        call["id"]
        for message in stored
        if isinstance(message, AIMessage)
        for call in (*message.tool_calls, *message.invalid_tool_calls)
    )
    return [] if set(calls) & set(answered) else answered


def unknown_calls(ids: Sequence[str]) -> InvalidInputError:
    """Return the error that says so."""
    named = ", ".join(repr(each[:100]) for each in ids[:3])
    return InvalidInputError(
        f"no call {named} waits for a result here: send results to the thread that made the call, or, without a "
        "thread, together with the conversation",
        param="messages",
        code="unknown_tool_call",
    )


def _open_calls(messages: Sequence[BaseMessage]) -> list[tuple[AIMessage, int, ToolCall]]:
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AIMessage):
            calls = enumerate(message.tool_calls)
            return [(message, place, call) for place, call in calls if call["id"] not in answered]
    return []
