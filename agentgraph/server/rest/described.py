"""What OpenAPI says of answers that are no JSON, and of errors that only some routes have."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["LINES", "RUNS", "STREAM"]

RUNS: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "The thread is busy, or the run was cancelled."},
    500: {"description": "The run failed."},
    502: {"description": "The model provider failed."},
    504: {"description": "The model did not answer in time."},
}
"""What a route answers besides that carries a run."""

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    **RUNS,
    200: {
        "description": "Server-sent events: `chat_chunk`, `tool_call_start`, `tool_call_complete`, `tool_call_error`, "
        "and at the end `chat_complete` or `error`.",
        "content": {
            "text/event-stream": {
                "example": 'id: run-4f6c:1\nevent: chat_chunk\ndata: {"event_type":"chat_chunk","content":"Kyo"}\n\n',
            }
        },
    },
}
"""The answers of a route that tells a run as it goes."""

LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A JSON object a line, one for each memory.",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"id":"9d0e","kind":"episode","text":"I fly to Kyoto in April.","speaker":"user"}\n',
            }
        },
    }
}
"""The answers of a route that tells memories one by one."""
