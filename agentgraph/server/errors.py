"""The one table from errors to HTTP, and the two shapes an error is told in.

Below `/v1` it is OpenAI's `{"error": {...}}`, elsewhere a problem document (RFC 9457). What went wrong on this side is
logged here and told as a sentence of ours: no trace, no vendor's text, no key.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from langchain_core import exceptions as model_errors
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agentgraph import errors

__all__ = ["Fault", "fault_of", "openai_error", "openai_error_body", "problem"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error as HTTP tells it.

    Attributes:
        kind: OpenAI's `type`.
        code: Stable, for programs.
        param: The field at fault.
        retry: Whether a client that repeats the request unchanged may succeed.
        retry_after: What the vendor's `Retry-After` said, or when a busy thread may be free.
        headers: To be sent along, `Allow` say.
    """

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"
    param: str | None = None
    retry: bool = False
    retry_after: str | None = None
    headers: Mapping[str, str] | None = None

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers the error is sent with; `x-should-retry` is what OpenAI's clients obey."""
        headers = {"x-should-retry": "true" if self.retry else "false", **(self.headers or {})}
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        return headers


_SERVER: Final = "server_error"
# The first row whose type fits is taken, so the narrower types stand first. `None` as message: the error's own.
_OURS: Final[tuple[tuple[type[errors.AgentGraphError], int, str, str | None], ...]] = (
    (errors.InvalidInputError, 400, "invalid_request_error", None),
    (errors.NotFoundError, 404, "invalid_request_error", None),
    (errors.NotAuthenticatedError, 401, "authentication_error", None),
    (errors.BudgetExceededError, 429, "insufficient_quota", None),
    (errors.RateLimitedError, 429, "rate_limit_error", None),
    (errors.AccessError, 403, "permission_error", None),
    # Says what to install or set; whoever tries the server out is mostly who runs it.
    (errors.ConfigurationError, 503, _SERVER, None),
    (errors.ThreadBusyError, 409, "conflict_error", None),
    (errors.RunCancelledError, 409, "conflict_error", None),
    (errors.ShuttingDownError, 503, _SERVER, None),
    (errors.StoreUnavailableError, 503, _SERVER, "the store cannot be reached just now; try again"),
    (errors.StoreError, 500, _SERVER, "the store failed"),
    (errors.ToolError, 500, _SERVER, "a tool could not be run"),
    (errors.AgentGraphError, 500, _SERVER, "the run failed"),
)
_MODEL: Final[tuple[tuple[type[Exception], int, str, str, str], ...]] = (
    (
        model_errors.ContextOverflowError,
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "the messages are longer than the model's context; shorten them",
    ),
    (
        model_errors.ModelInvalidRequestError,
        400,
        "invalid_request_error",
        "provider_rejected_request",
        "the model provider rejected the request",
    ),
    (
        model_errors.ModelNotFoundError,
        404,
        "invalid_request_error",
        "model_not_found",
        "the model provider does not know this model",
    ),
    (
        model_errors.ModelRateLimitError,
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "the model provider's rate limit is reached",
    ),
    (model_errors.ModelTimeoutError, 504, _SERVER, "provider_timeout", "the model did not answer in time"),
    (
        model_errors.ModelAuthenticationError,
        502,
        _SERVER,
        "provider_authentication",
        "the model provider refused this server's key; whoever runs the server must check it",
    ),
    (
        model_errors.ModelPermissionDeniedError,
        502,
        _SERVER,
        "provider_permission",
        "this server's key may not use the model; whoever runs the server must check it",
    ),
    (model_errors.ModelConnectionError, 502, _SERVER, "provider_unreachable", "the model provider cannot be reached"),
    (model_errors.ModelError, 502, _SERVER, "provider_error", "the model provider failed"),
)
# Faults that no integration has translated, a connection cut within a stream say, by name: naming is not importing.
_FOREIGN: Final[Mapping[str, type[model_errors.ModelError]]] = {
    "openai.APITimeoutError": model_errors.ModelTimeoutError,
    "openai.APIConnectionError": model_errors.ModelConnectionError,
    "openai.APIError": model_errors.ModelAPIError,
    "httpx.TimeoutException": model_errors.ModelTimeoutError,
    "httpx.TransportError": model_errors.ModelConnectionError,
    "aiohttp.client_exceptions.ClientError": model_errors.ModelConnectionError,
}
_HTTP_CODES: Final = {
    404: "route_not_found",
    405: "method_not_allowed",
    409: "conflict",
    412: "precondition_failed",
    413: "body_too_large",
    422: "invalid_input",
}
_SECRET: Final = re.compile(r"(?:sk-|AIza|Bearer )[\w*.\-]{4,}")


def fault_of(error: Exception, *, request_id: str) -> Fault:
    """Return what to tell of `error`, and log it where the fault is on this side."""
    match error:
        case errors.AgentGraphError():
            return _of_ours(error, request_id)
        case HTTPException():
            code = _HTTP_CODES.get(error.status_code, "http_error")
            kind = "invalid_request_error" if error.status_code < 500 else _SERVER
            return Fault(
                status=error.status_code, code=code, message=str(error.detail), kind=kind, headers=error.headers
            )
        case RequestValidationError() | ValidationError():
            param, message = _first_fault(error.errors())
            return Fault(status=422, code="invalid_input", message=message, param=param)
    if (fault := _of_model(error)) is not None:
        logger.warning("request %s: %s (%s)", request_id, fault.code, type(error).__name__)
        return fault
    logger.error("request %s failed unexpectedly", request_id, exc_info=error)
    return Fault(
        status=500,
        code="internal_error",
        message=f"something went wrong on the server; its log has the details under request id {request_id}",
        kind=_SERVER,
    )


def openai_error_body(fault: Fault) -> dict[str, Any]:
    """Return the error as OpenAI spells it, also for the middle of a stream."""
    return {"error": {"message": fault.message, "type": fault.kind, "param": fault.param, "code": fault.code}}


def openai_error(fault: Fault, *, request_id: str) -> Response:
    """Return the response OpenAI's clients understand."""
    return Response(
        orjson.dumps(openai_error_body(fault)),
        status_code=fault.status,
        media_type="application/json",
        headers={**fault.all_headers, "x-request-id": request_id},
    )


def problem(fault: Fault, *, request_id: str) -> Response:
    """Return a problem document.

    Source: RFC 9457.
    """
    document = {
        "type": "about:blank",
        "title": fault.code.replace("_", " ").capitalize(),
        "status": fault.status,
        "detail": fault.message,
        "code": fault.code,
        "param": fault.param,
        "request_id": request_id,
    }
    return Response(
        orjson.dumps(document),
        status_code=fault.status,
        media_type="application/problem+json",
        headers={**fault.all_headers, "x-request-id": request_id},
    )


def _of_ours(error: errors.AgentGraphError, request_id: str) -> Fault:
    status, kind, message = next(row[1:] for row in _OURS if isinstance(error, row[0]))
    if status >= 500:
        logger.error("request %s: %s: %s", request_id, error.code, error.message, exc_info=error.__cause__)
    param = getattr(error, "param", None)
    if param is None and error.code == "model_not_found":
        param = "model"
    return Fault(
        status=status,
        code=error.code,
        message=message or error.message,
        kind=error.what if isinstance(error, errors.RateLimitedError) else kind,  # as OpenAI: "requests", "tokens"
        param=param,
        # Whoever is told that a thread is busy asked not to wait for it: nor shall the client wait by repeating.
        retry=error.is_retryable and status != 409,
        retry_after=_patience(error),
        headers={"WWW-Authenticate": "Bearer"} if status == 401 else None,
    )


def _patience(error: errors.AgentGraphError) -> str | None:
    """Return after how many whole seconds a client may ask again, where that can be told."""
    if isinstance(error, errors.ThreadBusyError):
        return "1"
    seconds: float | None = getattr(error, "retry_after_s", None)
    return None if seconds is None else str(max(1, math.ceil(seconds)))


def _of_model(error: Exception) -> Fault | None:
    kinds = set(type(error).__mro__)
    kinds.update(*(_FOREIGN[name].__mro__ for t in kinds if (name := f"{t.__module__}.{t.__name__}") in _FOREIGN))
    for row, status, kind, code, message in _MODEL:
        if row not in kinds:
            continue
        fault = Fault(status=status, code=code, message=message, kind=kind)
        if row is model_errors.ModelInvalidRequestError:
            return _with_vendors_word(fault, error)
        response = getattr(error, "response", None)
        retry_after = response.headers.get("retry-after") if response is not None else None
        # A type that is retryable is not where the answer had begun already: the error itself knows.
        retryable = getattr(error, "is_retryable", status in {502, 504})
        return replace(fault, retry=retryable, retry_after=retry_after)
    return None


def _with_vendors_word(fault: Fault, error: Exception) -> Fault:
    """Tell why the vendor rejected the request: it speaks of the caller's own data."""
    body = getattr(error, "body", None)
    body = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(word := body.get("message"), str):
        return fault
    param = body.get("param")
    word = _SECRET.sub("[removed]", word)[:500]
    return replace(fault, message=f"{fault.message}: {word}", param=param if isinstance(param, str) else None)


def _first_fault(faults: Any) -> tuple[str | None, str]:
    """Return the field and the sentence of the first fault; never the input, which may be anything."""
    first = next(iter(faults), None)
    if not isinstance(first, dict):
        return None, str(first)
    path = ".".join(str(part) for part in first.get("loc", ()))
    return path or None, f"{path}: {first['msg']}" if path else str(first["msg"])
