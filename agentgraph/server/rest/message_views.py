"""Messages and answers as `/api/v1` tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import BaseModel, Field

from agentgraph.events import Usage
from agentgraph.run import RunResult

__all__ = ["AnswerView", "InterruptView", "MessageView", "ToolCallView", "UsageView", "answer_view", "message_view"]

_ROLES: dict[str, Literal["user", "assistant", "tool", "system"]] = {
    "human": "user",
    "ai": "assistant",
    "tool": "tool",
}


class ToolCallView(BaseModel):
    """A tool the model calls."""

    id: str | None = Field(examples=["call_1"])
    name: str = Field(examples=["find_flights"])
    arguments: dict[str, Any] = Field(examples=[{"to": "Kyoto"}])


class InterruptView(BaseModel):
    """A question that a run waits for the answer to."""

    id: str = Field(examples=["8f1e"])
    value: Any = Field(description="What is asked, by whoever asks it.", examples=[{"tool": "send_mail"}])


class UsageView(BaseModel):
    """Tokens as the vendor counted them."""

    input_tokens: int = Field(examples=[61])
    output_tokens: int = Field(examples=[9])
    total_tokens: int = Field(examples=[70])

    @classmethod
    def of(cls, usage: Usage) -> UsageView:
        """Return what a run used."""
        return cls(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens)


class MessageView(BaseModel):
    """A message."""

    id: str | None = Field(examples=["msg-77c1"])
    role: Literal["user", "assistant", "tool", "system"] = Field(examples=["assistant"])
    content: str | list[Any] = Field(
        description="Text; or parts, where there is more than text.", examples=["Cherries blossom in early April."]
    )
    tool_calls: list[ToolCallView] = Field(default=[], examples=[[]])
    tool_call_id: str | None = Field(default=None, description="What call a tool's message answers.", examples=[None])


class AnswerView(BaseModel):
    """What came of a message."""

    run_id: str = Field(examples=["run-4f6c"])
    status: Literal["completed", "requires_action", "cancelled"] = Field(
        description="`requires_action`: send results for `tool_calls`, or answers to `interrupts`.",
        examples=["completed"],
    )
    finish_reason: str = Field(examples=["stop"])
    message: MessageView
    interrupts: list[InterruptView] = Field(default=[], examples=[[]])
    usage: UsageView
    memories: list[dict[str, Any]] = Field(
        default=[],
        description="Receipts of the memories the answer was given with.",
        examples=[[{"key": "9d0e", "text": "Ann flies to Kyoto in April.", "why": "answers the question"}]],
    )


def message_view(message: BaseMessage) -> MessageView:
    """Return a message as it is told."""
    return MessageView(
        id=message.id,
        role=_ROLES.get(message.type, "system"),
        content=message.content,
        tool_calls=_calls(message.tool_calls) if isinstance(message, AIMessage) else [],
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
    )


def answer_view(result: RunResult) -> AnswerView:
    """Return what came of a run."""
    answer = MessageView(
        id=result.message_id, role="assistant", content=result.text, tool_calls=_calls(result.tool_calls)
    )
    return AnswerView(
        run_id=result.run_id,
        status=result.status,
        finish_reason=result.finish_reason,
        message=answer,
        interrupts=[InterruptView(id=str(each["id"]), value=each["value"]) for each in result.interrupts],
        usage=UsageView.of(result.usage),
        memories=[dict(receipt) for receipt in result.memories],
    )


def _calls(calls: Any) -> list[ToolCallView]:
    return [_call(call) for call in calls]


def _call(call: Mapping[str, Any]) -> ToolCallView:
    return ToolCallView(id=call.get("id"), name=call["name"], arguments=dict(call["args"]))
