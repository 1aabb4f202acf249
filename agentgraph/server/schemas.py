"""What `/docs` shows of requests that are read by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from agentgraph.server.openai.request import ChatCompletionRequest
from agentgraph.server.openai.responses_request import ResponsesRequest

__all__ = ["body_docs", "chat_completion_docs", "responses_docs"]

_HEADERS = {
    "x-thread-id": "The conversation to continue; without it the run is one-off.",
    "x-user-id": "A person within the tenant, whose own memories are used too.",
    "x-timezone": "IANA zone of the speaker, 'Europe/Paris' say: decides what 'yesterday' means.",
    "x-include-memories": "`false` neither recalls nor writes memories.",
    "x-receipts": "`true` tells which memories and tools were used, and why, in `agentgraph`.",
    "x-on-busy": "What becomes of a run under way on the thread: `enqueue`, `reject`, `interrupt` or `rollback`.",
    "x-on-disconnect": "What becomes of the run if the client goes away: `continue` or `cancel`.",
    "idempotency-key": "Your name for this request: sent again, it joins the run it began.",
    "x-request-id": "Sent back, and written to the server's log.",
}


def chat_completion_docs() -> dict[str, Any]:
    """Return the body's schema and the headers, for OpenAPI."""
    example = {"messages": [{"role": "user", "content": "What did I tell you about Japan?"}]}
    return body_docs(ChatCompletionRequest, example, headers=_HEADERS)


def responses_docs() -> dict[str, Any]:
    """Return the body's schema and the headers, for OpenAPI."""
    return body_docs(ResponsesRequest, {"input": "What did I tell you about Japan?"}, headers=_HEADERS)


def body_docs(kind: type[BaseModel], example: Any, *, headers: Mapping[str, str] = {}) -> dict[str, Any]:
    """Return what OpenAPI tells of a request whose body is read by hand."""
    schema = kind.model_json_schema()
    body = _inlined(schema, schema.pop("$defs", {}))
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        ],
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Replace references: within OpenAPI they would point at the wrong root. The models hold no cycles."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if (reference := schema.get("$ref")) is not None:
        return _inlined(definitions[reference.rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items() if key != "discriminator"}
