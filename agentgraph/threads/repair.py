"""Mend a history for sending, by the rules all vendors share, without touching what is stored.

OpenAI, Anthropic and Gemini refuse a damaged history whole, and refuse it again at every later turn: a run that was cut
off, a client that resends half a conversation or a model that writes nonsense would end a thread for good. What is
mended depends on nothing that comes later but a late tool result, so that the beginning of a history reads alike from
turn to turn and prompt caches hold.

Source: https://platform.openai.com/docs/api-reference/chat/create (tool calls, ids of 40 characters at most, names),
https://docs.anthropic.com/en/api/messages (alternation, the user first, no blank text, `^[a-zA-Z0-9_-]+$`),
https://ai.google.dev/gemini-api/docs/function-calling (as many responses as calls, right after them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

__all__ = ["repaired"]

_Content = str | list[str | dict[str, Any]]
_Message = TypeVar("_Message", bound=BaseMessage)

_UNANSWERED: Final = "The tool was interrupted before it answered; its outcome is unknown."
_EMPTY: Final = "[empty message]"
# What LiteLLM puts before an assistant's greeting (`modify_params`): it says nothing and claims nothing.
_OPENING: Final = "."
_LONGEST_ID: Final = 40
_LONGEST_NAME: Final = 64
_LONGEST_FAULT: Final = 500
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_NOT_IN_SPEAKERS: Final = re.compile(r"[\s<|\\/>]+")
_CALL_BLOCKS: Final = frozenset({"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call"})
_THOUGHT_BLOCKS: Final = frozenset(
    {"thinking", "redacted_thinking", "reasoning", "reasoning_content", "function_call_signature"}
)
_SIGNATURES: Final = "__gemini_function_call_thought_signatures__"  # where langchain-google-genai keeps them, by id


def repaired(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return a history that says the same and that every vendor accepts; what needs no mending is returned as it is.

    Every tool call has a unique id and is answered once, right after its message and in its order; results without a
    call are left out; speakers take turns, the user first; no text is blank. Of two results the first counts, unless it
    was only a word that the tool had been interrupted. System messages come first. Mending twice changes nothing.
    """
    if _is_plain_talk(messages):  # most histories, and on a long thread a look takes a tenth of the time
        return list(messages)
    spoken = [mended for message in messages if (mended := _spoken(message)) is not None]
    system = [m for m in spoken if isinstance(m, SystemMessage) and m.content]
    turns = _in_turns(_answered(m for m in spoken if not isinstance(m, SystemMessage)))
    if turns and isinstance(turns[0], AIMessage):
        turns.insert(0, HumanMessage(_OPENING))
    return [*system, *turns]


def _is_plain_talk(messages: Sequence[BaseMessage]) -> bool:
    """Say whether nothing but text is said, by the user and the model in turns."""
    speaker: type[BaseMessage] = HumanMessage
    for message in messages:
        content = message.content
        if (
            type(message) is not speaker
            or message.name is not None
            or not isinstance(content, str)
            or not content.strip()
        ):
            return False
        if isinstance(message, AIMessage):
            if message.tool_calls or message.invalid_tool_calls or message.additional_kwargs:
                return False
            speaker = HumanMessage
        else:
            speaker = AIMessage
    return True


@dataclass(slots=True, kw_only=True)
class _Call:
    """A call as it is sent, and what answers it.

    Attributes:
        told_id: Its id as stored, by which its result is found.
        silence: What is said where there is no result.
    """

    told_id: str
    sent: ToolCall
    silence: str = _UNANSWERED
    result: ToolMessage | None = None

    @property
    def answer(self) -> ToolMessage:
        call_id, name = self.sent["id"], self.sent["name"]
        if self.result is None:
            return ToolMessage(self.silence, tool_call_id=call_id, name=name, status="error")
        # Gemini's responses are matched by name.
        return _updated(self.result, tool_call_id=call_id, name=self.result.name and name)


def _answered(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Put every result right after its call.

    Models count their calls anew in every answer ("call_1"): a result belongs to the nearest call before it, and ids
    are made unique, for langchain-google-genai looks them up in the whole history.
    """
    taken: dict[str, int] = {}
    nearest: dict[str, list[_Call]] = {}
    placed: list[tuple[BaseMessage, list[_Call]]] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            _place(message, nearest.get(message.tool_call_id, []))
        elif isinstance(message, AIMessage):
            calls = _calls(message, taken)
            nearest |= {told: [call for call in calls if call.told_id == told] for told in {c.told_id for c in calls}}
            placed.append((_with_calls(message, calls), calls))
        else:
            placed.append((message, []))
    return [part for message, calls in placed for part in (message, *(call.answer for call in calls))]


def _place(result: ToolMessage, calls: list[_Call]) -> None:
    for call in calls:
        if call.result is None:
            call.result = result
            return
    for call in calls:
        if call.result is not None and call.result.content == _UNANSWERED:
            call.result = result
            return


def _calls(message: AIMessage, taken: dict[str, int]) -> list[_Call]:
    calls = []
    for call in message.tool_calls:
        told = call["id"] or ""
        calls.append(_Call(told_id=told, sent={**call, "id": _unique(told, taken), "name": _name(call["name"])}))
    for invalid in message.invalid_tool_calls:
        told = invalid["id"] or ""
        sent = ToolCall(name=_name(invalid["name"]), args={}, id=_unique(told, taken), type="tool_call")
        fault = (invalid["error"] or "they are not a JSON object")[:_LONGEST_FAULT]
        silence = f"The tool was not run, for its arguments could not be read: {fault}"
        calls.append(_Call(told_id=told, sent=sent, silence=silence))
    return calls


def _unique(told: str, taken: dict[str, int]) -> str:
    """Return an id that is none of `taken`, which says of each how many were made of it."""
    stem = _NOT_IN_IDS.sub("_", told)[:_LONGEST_ID] or "call"
    unique, count = stem, taken.get(stem, 1)
    while unique in taken:
        count += 1
        unique = f"{stem[: _LONGEST_ID - len(str(count)) - 1]}_{count}"
    taken[stem] = count
    taken.setdefault(unique, 1)
    return unique


def _name(told: str | None) -> str:
    return _NOT_IN_IDS.sub("_", told or "")[:_LONGEST_NAME] or "unknown_tool"


def _with_calls(message: AIMessage, calls: list[_Call]) -> AIMessage:
    """Return `message` with the calls that are sent, in every place where vendors' classes look for them."""
    sent = [call.sent for call in calls]
    kwargs = {k: v for k, v in message.additional_kwargs.items() if k not in {"tool_calls", "function_call"}}
    content = message.content
    if sent != message.tool_calls or not sent:
        # The list of calls is enough for every vendor; repeated in the content they would contradict it.
        content = _without(_CALL_BLOCKS, content)
        if isinstance(signatures := kwargs.get(_SIGNATURES), dict):
            kwargs[_SIGNATURES] = {c.sent["id"]: signatures[c.told_id] for c in calls if c.told_id in signatures}
    return _updated(message, content=content, tool_calls=sent, invalid_tool_calls=[], additional_kwargs=kwargs)


def _in_turns(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Leave out answers that say nothing, and join what one speaker said in a row."""
    turns: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, AIMessage) and not message.tool_calls and not _without(_THOUGHT_BLOCKS, message.content):
            continue
        last = turns[-1] if turns else None
        if isinstance(last, HumanMessage) and isinstance(message, HumanMessage):
            turns[-1] = _updated(last, content=_joined(last.content, message.content))
        elif isinstance(last, AIMessage) and not last.tool_calls and isinstance(message, AIMessage):
            turns[-1] = _updated(
                last,
                content=_joined(last.content, message.content),
                tool_calls=message.tool_calls,
                additional_kwargs=last.additional_kwargs | message.additional_kwargs,
                response_metadata=last.response_metadata | message.response_metadata,
            )
        else:
            turns.append(message)
    return [_updated(m, content=_EMPTY) if isinstance(m, HumanMessage) and not m.content else m for m in turns]


def _spoken(message: BaseMessage) -> BaseMessage | None:
    """Return a message of one of the four roles without blank text, or `None` where it is of no role of today."""
    if isinstance(message, ChatMessage):
        role = {"assistant": AIMessage, "system": SystemMessage, "developer": SystemMessage}.get(message.role)
        message = (role or HumanMessage)(content=message.content, id=message.id, name=message.name)
    if not isinstance(message, HumanMessage | AIMessage | SystemMessage | ToolMessage):
        return None
    name = message.name and (_NOT_IN_SPEAKERS.sub("_", message.name)[:_LONGEST_NAME] or None)
    return _updated(message, content=_without_blanks(message.content), name=name or None)


def _without_blanks(content: _Content) -> _Content:
    if isinstance(content, str):
        return content if content.strip() else ""
    return [
        block for block in _blocks(content) if block.get("type") != "text" or str(block.get("text") or "").strip()
    ] or ""


def _without(kinds: frozenset[str], content: _Content) -> _Content:
    return content if isinstance(content, str) else [b for b in _blocks(content) if b.get("type") not in kinds] or ""


def _joined(first: _Content, second: _Content) -> _Content:
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_blocks(first), *_blocks(second)]


def _blocks(content: _Content) -> list[dict[str, Any]]:
    blocks = [content] if isinstance(content, str) else content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]


def _updated(message: _Message, **changes: Any) -> _Message:
    """Return `message` itself where nothing changes, else a copy."""
    changes = {name: value for name, value in changes.items() if getattr(message, name) != value}
    return message.model_copy(update=changes) if changes else message
