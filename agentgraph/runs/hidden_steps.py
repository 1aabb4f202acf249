"""What one-off runs did that their callers never saw, for when they come back with the results of their own tools.

A caller is told its own calls alone. It sends the conversation again as it knows it: without what tools of ours were
called beside, and before, which the model would then call once more. So it is remembered for a while, by this process.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.tool import ToolCall

from agentgraph.run import RunRequest

__all__ = ["HiddenSteps"]

_MOST: Final = 256
_LONGEST: Final = 200_000  # characters; a run that did more is not remembered


class HiddenSteps:
    """Messages by the calls that were handed out with them, to one tenant's user.

    Args:
        window_s: How long they are remembered.
    """

    def __init__(self, window_s: float = 600.0) -> None:
        self._window_s = window_s
        self._steps: OrderedDict[str, tuple[float, Sequence[BaseMessage]]] = OrderedDict()

    def keep(self, request: RunRequest, said: Sequence[BaseMessage], client_tools: Collection[str]) -> None:
        """Remember what a run said and did, if it ended in calls for its caller and more happened than it was told."""
        last = next((message for message in reversed(said) if isinstance(message, AIMessage)), None)
        calls = [call for call in last.tool_calls if call["name"] in client_tools] if last is not None else []
        if not calls or len(said) < 2 or sum(len(str(message.content)) for message in said) > _LONGEST:
            return
        key = _key(request, request.messages, calls)
        self._steps[key] = (time.monotonic(), tuple(said))
        self._steps.move_to_end(key)
        while self._steps and (len(self._steps) > _MOST or self._is_over(next(iter(self._steps.values()))[0])):
            self._steps.popitem(last=False)

    def restored(self, request: RunRequest) -> RunRequest:
        """Return a request with what its caller never saw, in the place of each of our messages that is remembered."""
        if not self._steps or not any(isinstance(message, AIMessage) for message in request.messages):
            return request
        return replace(request, messages=tuple(self._whole(request)))

    def _whole(self, request: RunRequest) -> Iterator[BaseMessage]:
        for place, message in enumerate(request.messages):
            if isinstance(message, AIMessage) and message.tool_calls:
                found = self._steps.get(_key(request, request.messages[:place], message.tool_calls))
                if found is not None and not self._is_over(found[0]):
                    yield from found[1]
                    continue
            yield message

    def _is_over(self, kept_at: float) -> bool:
        return time.monotonic() - kept_at > self._window_s


def _key(request: RunRequest, before: Sequence[BaseMessage], calls: Sequence[ToolCall]) -> str:
    """Return what names a place in a conversation, for whoever else's model counts its calls alike."""
    asked = next((i for i, message in enumerate(reversed(before)) if isinstance(message, HumanMessage)), len(before))
    question: Any = before[-1 - asked].content if asked < len(before) else None
    scope, made = request.scope, [[call["id"], call["name"], call["args"]] for call in calls]
    told = [scope.tenant, scope.user, scope.agent, question, asked, made]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()
