"""Find what a request adds to a thread, whether its client resends everything or only what is new."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

__all__ = ["new_messages"]


def new_messages(stored: Sequence[BaseMessage], sent: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages of `sent` that `stored` does not hold yet.

    The longest run of `sent` that equals the end of `stored` is what the client repeats; the rest is new. Where they
    share nothing, what follows the client's last assistant message is new: the thread's own history is the truth.
    """
    said = [_fingerprint(message) for message in stored]
    resent = [_fingerprint(message) for message in sent]
    # A question may be asked twice: only a repetition that reaches an answer can be told from a new message.
    for length in range(min(len(said), len(resent)), 0, -1):
        for start in range(len(resent) - length + 1):
            if resent[start : start + length] == said[-length:] and _ends_a_turn(sent[start + length - 1]):
                return list(sent[start + length :])
    last_answer = max((i for i, message in enumerate(sent) if isinstance(message, AIMessage)), default=-1)
    return list(sent[last_answer + 1 :])


def _ends_a_turn(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage | ToolMessage)


def _fingerprint(message: BaseMessage) -> tuple[object, ...]:
    text = " ".join(str(message.text).split())
    if isinstance(message, AIMessage):
        return ("assistant", text, tuple(call["id"] for call in message.tool_calls))
    if isinstance(message, ToolMessage):
        return ("tool", message.tool_call_id)
    return ("user" if isinstance(message, HumanMessage) else message.type, text)
