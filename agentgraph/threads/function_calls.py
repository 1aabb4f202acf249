"""Give calls in OpenAI's older format the ids they have on their thread: `function_call` and its result carry none.

The newest call of the name, with those arguments, is meant: a client may resend everything, or the result alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

__all__ = ["WITHOUT_ID", "with_known_ids"]

WITHOUT_ID: Final = "function-"
"""What an id begins with that was made up for a call or a result that came without one."""


def with_known_ids(stored: Sequence[BaseMessage], sent: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return what was sent with the thread's own ids for made-up ones; those the thread has no call for stay."""
    if not any(_made_up(message) for message in sent):
        return list(sent)
    calls = [call for message in stored if isinstance(message, AIMessage) for call in message.tool_calls]
    answered = {message.tool_call_id for message in stored if isinstance(message, ToolMessage)}
    known = {call["id"]: call["id"] for call in calls}
    resent: set[str] = set()
    end = len(calls)
    for message in reversed(sent):
        if isinstance(message, AIMessage) and (made_up := _made_up(message)) and made_up not in known:
            resent.add(made_up)
            told = message.tool_calls[0]
            matches = (at for at in reversed(range(end)) if _same(calls[at], told["name"], told["args"]))
            if (at := next(matches, None)) is not None:
                known[made_up], end = calls[at]["id"], at
    for message in sent:
        if not isinstance(message, ToolMessage) or not (made_up := _made_up(message)):
            continue
        if made_up not in known and made_up not in resent:
            open_calls = (
                call for call in reversed(calls) if call["id"] not in answered and call["name"] == message.name
            )
            if (call := next(open_calls, None)) is not None:
                known[made_up] = call["id"]
    return [_renamed(message, known) for message in sent]


def _made_up(message: BaseMessage) -> str:
    """Return the id of a call or a result that came without one; '' where there is none."""
    if isinstance(message, ToolMessage):
        call_id: str | None = message.tool_call_id
    else:
        call_id = message.tool_calls[0]["id"] if isinstance(message, AIMessage) and message.tool_calls else None
    return call_id if call_id and call_id.startswith(WITHOUT_ID) else ""


def _same(call: Any, name: str, arguments: Any) -> bool:
    return bool(call["name"] == name and call["args"] == arguments)


def _renamed(message: BaseMessage, known: dict[str | None, str | None]) -> BaseMessage:
    call_id = known.get(_made_up(message))
    if isinstance(message, ToolMessage) and call_id:
        return message.model_copy(update={"tool_call_id": call_id})
    if isinstance(message, AIMessage) and call_id:
        return message.model_copy(update={"tool_calls": [{**message.tool_calls[0], "id": call_id}]})
    return message
