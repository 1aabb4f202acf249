"""The calls of a model's message that are the server's to answer, each known by its place in the message."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage

from agentgraph.tools.schema import KEY_ARGUMENT

__all__ = ["ServerCall", "arguments_digest", "idempotency_key", "server_calls", "spelt_apart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCall:
    """One call.

    Attributes:
        position: Its index among the message's calls, those that could not be read last.
        call_id: As the model's vendor wrote it; empty where it wrote none.
        name: The tool's; empty where the model named none.
        arguments: What to call it with.
        refusal: Why it is not run, in words for the model; `None` where nothing is against it.
        is_edited: Whether the arguments are a person's and not the model's.
    """

    position: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]
    refusal: str | None = None
    is_edited: bool = False


def server_calls(message: AIMessage, client_tools: AbstractSet[str]) -> list[ServerCall]:
    """Return the calls of `message` that the caller does not run itself, those with unreadable arguments too."""
    calls = [
        ServerCall(position=i, call_id=call["id"] or "", name=call["name"], arguments=call["args"])
        for i, call in enumerate(message.tool_calls)
    ]
    calls += [
        ServerCall(
            position=i,
            call_id=call["id"] or "",
            name=call["name"] or "",
            arguments={},
            refusal=f"The arguments of {call['name'] or ''!r} could not be read, and it was not run: "
            f"{call['error'] or 'they are no JSON object'}. Call it again with a JSON object.",
        )
        for i, call in enumerate(message.invalid_tool_calls, start=len(calls))
    ]
    return [call for call in calls if call.name not in client_tools]


def spelt_apart(calls: Sequence[ServerCall]) -> dict[str, ServerCall]:
    """Return calls by an id a person can answer with: the call's own, or its place where that is missing or doubled."""
    count = Counter(call.call_id for call in calls)
    return {call.call_id if call.call_id and count[call.call_id] == 1 else f"#{call.position}": call for call in calls}


def arguments_digest(call: ServerCall) -> str:
    """Return what tells two calls' arguments apart, however they are ordered."""
    return hashlib.sha256(_canonical(call.arguments).encode()).hexdigest()[:32]


def idempotency_key(thread_key: str | None, message_id: str, call: ServerCall) -> str:
    """Return the key of a call: the same at every attempt, another for every other call."""
    parts = [thread_key or "", message_id, call.position, call.name, _canonical(call.arguments)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _canonical(arguments: Mapping[str, Any]) -> str:
    filled_in = {name: value for name, value in arguments.items() if name != KEY_ARGUMENT}
    return json.dumps(filled_in, sort_keys=True, separators=(",", ":"), default=str)
