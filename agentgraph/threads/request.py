"""A request on disk: what a run needs to be carried through by another process, and how two requests are told apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentgraph.run import RunRequest
from agentgraph.scope import Scope

__all__ = ["digest_of", "dumps", "loads", "with_message_ids"]

_ASKED: Final = (
    "model",
    "timezone",
    "system_prompt",
    "tools",
    "tool_choice",
    "server_tools",
    "max_parallel_tools",
    "tool_timeout_s",
    "include_memories",
    "parameters",
    "resume",
    "checkpoint",
)


def with_message_ids(request: RunRequest) -> RunRequest:
    """Give each message an id of ours: however often the run is carried on, it says each of them once."""
    messages = tuple(message.model_copy(update={"id": f"msg-{uuid4().hex}"}) for message in request.messages)
    return replace(request, messages=messages)


def dumps(request: RunRequest, serde: JsonPlusSerializer) -> bytes:
    """Return a request as bytes; `loads` returns an equal one."""
    scope = request.scope
    values: dict[str, Any] = {name: getattr(request, name) for name in _ASKED}
    values["tools"] = list(request.tools)
    values["parameters"] = dict(request.parameters)
    values["scope"] = {name: getattr(scope, name) for name in ("tenant", "user", "session", "thread", "agent")}
    values["messages"] = list(request.messages)
    values["now"] = None if request.now is None else request.now.isoformat()
    return serde.dumps_typed(values)[1]


def loads(written: bytes, serde: JsonPlusSerializer) -> RunRequest:
    """Return the request that was written."""
    values: dict[str, Any] = serde.loads_typed(("msgpack", written))
    now, server_tools = values["now"], values.get("server_tools")
    return RunRequest(
        messages=tuple(values["messages"]),
        scope=Scope(**values["scope"]),
        now=None if now is None else datetime.fromisoformat(now),
        tools=tuple(values["tools"]),
        server_tools=None if server_tools is None else tuple(server_tools),
        # What an older version wrote lacks names.
        **{name: values[name] for name in _ASKED if name in values and name not in {"tools", "server_tools"}},
    )


def digest_of(request: RunRequest) -> str:
    """Return the SHA-256, in hex, of what is asked: who asks, what, and how it is to be answered.

    Ids of messages, and how the answer is delivered, make no difference: a client's repetition may bring others.
    """
    scope = request.scope
    asked = {
        "scope": [scope.tenant, scope.user, scope.session, scope.thread, scope.agent],
        "messages": [_said(message) for message in request.messages],
        **{name: getattr(request, name) for name in _ASKED},
    }
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _said(message: BaseMessage) -> list[Any]:
    said: list[Any] = [message.type, message.content, message.name]
    if isinstance(message, AIMessage):
        said.append([[call["id"], call["name"], call["args"]] for call in message.tool_calls])
    if isinstance(message, ToolMessage):
        said.append(message.tool_call_id)
    return said
