"""Mend a history for sending, by the rules all vendors share, without touching what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

__all__ = ["repaired"]

_UNANSWERED: Final = "The tool was interrupted before it answered; its outcome is unknown."


def repaired(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return `messages` with every tool call answered right after it, once, and no answer without its call.

    A run that was cut off leaves a call without a result, and vendors refuse such a history for ever after.
    """
    results = {message.tool_call_id: message for message in messages if isinstance(message, ToolMessage)}
    mended: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            continue  # placed after its call, below; one without a call is left out
        mended.append(message)
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                call_id = call["id"] or ""
                result = results.get(call_id)
                mended.append(
                    result or ToolMessage(_UNANSWERED, tool_call_id=call_id, name=call["name"], status="error")
                )
    return mended
