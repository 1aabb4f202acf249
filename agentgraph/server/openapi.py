"""The server's description of itself, made whole: the errors of every route in the shape they are told, and examples.

Routes say what they answer when all goes well; what can go wrong is the same for most, and is said here once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI

from agentgraph.server.auth import is_public

__all__ = ["describe"]

_METHODS: Final = ("get", "put", "post", "delete", "patch")
_DEEPEST: Final = 12

# By status: what it means, and the code and the sentence that an example has.
_ERRORS: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("A value that cannot be honoured.", "invalid_input", "user is empty"),
    401: ("No key, or none that is good.", "missing_api_key", "no API key: send 'Authorization: Bearer <key>'"),
    403: ("The key may not do this.", "permission_denied", "this takes a key with the scope 'admin'"),
    404: ("There is no such thing, or it is another's: both are told alike.", "not_found", "there is no such thread"),
    409: ("It is there already, or something else is under way on it.", "conflict", "there is a user 'ann' already"),
    412: ("It has changed since it was read.", "precondition_failed", "it has changed since: read it again"),
    413: ("The body is too large.", "body_too_large", "the body is larger than 20 MB"),
    422: ("The request is not as it is described here.", "invalid_input", "body.name: Field required"),
    429: ("Too much in too short a time, or a budget is used up.", "rate_limit_exceeded", "too many requests"),
    500: ("Something went wrong on the server.", "internal_error", "something went wrong on the server"),
    502: ("The model provider failed.", "provider_error", "the model provider failed"),
    503: ("The server cannot do this just now, or is not set up for it.", "store_unavailable", "try again"),
    504: ("There was no answer in time.", "provider_timeout", "the model did not answer in time"),
}
_ANYWHERE: Final = (400, 401, 403, 404, 422, 429, 500, 503)
_RUNS: Final = (409, 502, 504)
_CARRY_RUNS: Final = ("/v1/", "/agent", "/chat", "/page/turns")  # below them every POST does; others say so themselves
_LANGSERVE_STREAMS: Final = re.compile(r"/agent(/chat|s/[^/]+)?/stream(_log|_events)?")  # it calls them JSON
_EVENTS: Final = {"text/event-stream": {"example": 'event: data\ndata: "Hello"\n\nevent: end\n\n'}}
_BY_HEADER: Final[Mapping[str, int]] = {"if-match": 412, "idempotency-key": 409}

_PROBLEM: Final = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "param", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, for people."},
        "code": {"type": "string", "description": "The same for programs; it never changes."},
        "param": {"type": ["string", "null"], "description": "The field at fault."},
        "request_id": {"type": "string", "description": "What the server's log calls the request."},
    },
}
_OPENAI_ERROR: Final = {
    "type": "object",
    "description": "An error as OpenAI spells it.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_KEYS: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key made with `agentgraph keys create`."},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def describe(server: FastAPI) -> None:
    """Have an application's OpenAPI name the errors of every route and show an example of everything."""
    bare = server.openapi

    def openapi() -> dict[str, Any]:
        if server.openapi_schema is None:
            _complete(bare())
        assert server.openapi_schema is not None  # noqa: S101  what it returned is what it keeps
        return server.openapi_schema

    server.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    components = schema.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    schemas |= {"Problem": _PROBLEM, "OpenAIError": _OPENAI_ERROR}
    components.setdefault("securitySchemes", {}).update(_KEYS)
    for path, method, operation in _operations(schema):
        if not is_public(path):
            operation["security"] = [{name: []} for name in _KEYS]
            for status in _statuses(operation, carries_runs=method == "post" and path.startswith(_CARRY_RUNS)):
                _tell_error(operation.setdefault("responses", {}), status, is_openai=path.startswith("/v1/"))
        if method == "post" and _LANGSERVE_STREAMS.fullmatch(path):
            operation.setdefault("responses", {}).setdefault(
                "200", {"description": "LangServe's events: `metadata`, `data`, `error`, `end`."}
            )
            operation["responses"]["200"]["content"] = _EVENTS
        for media in _media(operation):
            if "schema" in media and "example" not in media and "examples" not in media:
                media["example"] = _example(media["schema"], schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema.get("paths", {}).items():
        yield from ((path, method, methods[method]) for method in _METHODS if method in methods)


def _statuses(operation: Mapping[str, Any], *, carries_runs: bool) -> list[int]:
    """Return which errors a route has: the usual ones, those of its headers, and those it names itself."""
    headers = {each.get("name", "").lower() for each in operation.get("parameters", ()) if each.get("in") == "header"}
    found = {*_ANYWHERE, *(status for name, status in _BY_HEADER.items() if name in headers)}
    if "requestBody" in operation:
        found.add(413)
    if carries_runs:
        found.update(_RUNS)
    named = (int(status) for status in operation.get("responses", {}) if status.isdecimal())
    return sorted(found | {status for status in named if status in _ERRORS})


def _tell_error(responses: dict[str, Any], status: int, *, is_openai: bool) -> None:
    description, code, sentence = _ERRORS[status]
    response = responses.setdefault(str(status), {})
    response["description"] = response.get("description") or description
    if response["description"] == "Validation Error":  # FastAPI's own words, for a shape that is not ours
        response["description"] = description
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": sentence,
        "code": code,
        "param": None,
        "request_id": "req-5b1e",
    }
    media, name = "application/problem+json", "Problem"
    if is_openai:
        kind = "invalid_request_error" if status < 500 else "server_error"
        media, name = "application/json", "OpenAIError"
        example = {"error": {"message": sentence, "type": kind, "param": None, "code": code}}
    response["content"] = {media: {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}}


def _media(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for response in operation.get("responses", {}).values():
        yield from response.get("content", {}).values()


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """Return an example of a schema, put together from those of its parts."""
    if depth > _DEEPEST:
        return None
    if schema.get("examples"):
        return schema["examples"][0]
    for name in ("example", "const", "default"):
        if name in schema:
            return schema[name]
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name) and "properties" not in schema:
            return _example(schema[name][0], schemas, depth + 1)
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {
                name: _example(part, schemas, depth + 1)
                for name, part in schema.get("properties", {}).items()
                if name in schema.get("required", ()) or "examples" in part
            }
        case "array":
            return [_example(schema["items"], schemas, depth + 1)] if "items" in schema else []
        case kind:
            return _simple(kind, schema)


def _simple(kind: Any, schema: Mapping[str, Any]) -> Any:
    match kind, schema.get("format"):
        case "string", "date-time":
            return "2026-03-14T09:00:00Z"
        case "string", "date":
            return "2026-03-14"
        case "string", _:
            return "text"
        case (("integer" | "number"), _):
            return schema.get("minimum", 1)
        case "boolean", _:
            return True
        case _:
            return None
