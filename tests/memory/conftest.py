"""What tests of memory share: messages as turns owe them, and a memory model that says what it is told to."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from agentgraph.memory.record import Owed

SHARED = ("acme", "memory", "shared")


@pytest.fixture
def owed() -> Callable[..., Owed]:
    """Return a message as a turn owes it; every one has an id of its own. Said on Monday 2 March 2026 by default."""
    count = 0

    def make(text: str, *, said_at: datetime | str = "2026-03-02T12:00:00+00:00", **other: Any) -> Owed:
        nonlocal count
        count += 1
        message: dict[str, Any] = {
            "namespace": list(SHARED),
            "message_id": f"m{count}",
            "thread": "acme/thread/t",
            "run_id": f"r{count}",
            "text": text,
            "speaker": "user",
            "said_at": said_at if isinstance(said_at, str) else said_at.isoformat(),
            "zone": "UTC",
        }
        return message | other  # type: ignore[return-value]

    return make


@pytest.fixture
def change() -> Callable[..., dict[str, Any]]:
    """Return one entry of a memory model's answer."""

    def make(text: str, action: str = "add", number: int | None = None, **other: Any) -> dict[str, Any]:
        return {"text": text, "topic": "fact", "when": None, "action": action, "number": number} | other

    return make


@pytest.fixture
def answer() -> Callable[..., AIMessage]:
    """Return a memory model's answer that makes these changes."""

    def make(*changes: dict[str, Any]) -> AIMessage:
        call = {"name": "MemoryChanges", "args": {"changes": list(changes)}, "id": "call-1"}
        return AIMessage("", tool_calls=[call])

    return make
