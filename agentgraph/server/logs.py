"""Logs for people or for machines, with the ids of the request and the run, and never with what was said.

What an exception says may hold a prompt, a vendor's answer or a key, so of an exception only its type, its code and the
places in the code are told, whatever `debug` says. Paths have no query: people put keys there.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgraph.errors import AgentGraphError
from agentgraph.run import RunRequest
from agentgraph.runs.observer import Hear
from agentgraph.server.gate import request_id_of

__all__ = ["AccessLog", "RunIds", "logging_to_stderr"]

access_logger = logging.getLogger("agentgraph.access")

# Logging is the one place that cannot be handed its arguments: a library's record knows of no request.
_request_id: ContextVar[str | None] = ContextVar("agentgraph_request_id", default=None)
_run_id: ContextVar[str | None] = ContextVar("agentgraph_run_id", default=None)
_OURS: Final = ("agentgraph", "uvicorn")


@contextmanager
def logging_to_stderr(*, style: Literal["text", "json"], debug: bool) -> Iterator[None]:
    """Have our loggers and the server's write to stderr while the block runs.

    Args:
        style: A line of text, or one JSON object a line.
        debug: Everything, instead of warnings and, as JSON, requests.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter("%(levelname)s %(name)s: %(message)s"))
    level = logging.DEBUG if debug else logging.WARNING
    before = [(logger, logger.level, logger.propagate) for logger in map(logging.getLogger, _OURS)]
    access_before = access_logger.level
    for logger, _, _ in before:
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    access_logger.setLevel(logging.INFO if debug or style == "json" else logging.WARNING)
    try:
        yield
    finally:
        access_logger.setLevel(access_before)
        for logger, its_level, propagates in before:
            logger.removeHandler(handler)
            logger.setLevel(its_level)
            logger.propagate = propagates


class RunIds:
    """An observer that has the logs of whatever a run does name it."""

    def begun(self, request: RunRequest, run_id: str) -> Hear:  # noqa: ARG002  an observer's face
        """Note the run: its tasks inherit the note from here."""
        _run_id.set(run_id)
        return _nothing

    def lease_lost(self, run_id: str) -> None:
        """Nothing: it is logged where it happens."""


class AccessLog:
    """ASGI middleware: one line a request, and its id in whatever else is logged meanwhile."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request, or the WebSocket, through."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        status, run_id = 0, None

        async def noted(message: Message) -> None:
            nonlocal status, run_id
            if message["type"] == "http.response.start":
                status = message["status"]
                run_id = next((value.decode() for name, value in message["headers"] if name == b"x-run-id"), None)
            await send(message)

        token = _request_id.set(request_id_of(scope))
        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            if access_logger.isEnabledFor(logging.INFO):
                method = scope.get("method", "WEBSOCKET")
                told = {
                    "method": method,
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.perf_counter() - began) * 1000, 2),
                    "run_id": run_id,
                }
                access_logger.info("%s %r %d", method, scope["path"], status, extra={"told": told})
            _request_id.reset(token)


class _TextFormatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        return "\n".join(_told(ei[1]))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": _request_id.get(),
            "run_id": _run_id.get(),
        }
        told |= {name: value for name, value in getattr(record, "told", {}).items() if value is not None}
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = _told(record.exc_info[1])
        return orjson.dumps({k: v for k, v in told.items() if v is not None}, default=str).decode()


def _told(error: BaseException | None) -> list[str]:
    """Return an exception without its words, unless they are ours: types, and where in the code."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines.append(type(error).__qualname__ + (f" ({error.code})" if isinstance(error, AgentGraphError) else ""))
        lines += [f"  {at.filename}:{at.lineno} in {at.name}" for at in traceback.extract_tb(error.__traceback__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def _nothing(_: object) -> None:
    pass
