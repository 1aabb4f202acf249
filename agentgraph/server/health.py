"""Whether the server can do its work, asked by load balancers and people."""

from __future__ import annotations

import asyncio
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError

__all__ = ["Readiness", "health_router", "package_version"]

_FRESH_S: Final = 2.0


class Readiness:
    """Whether requests may come: set by the application's lifespan, read by `/health`."""

    def __init__(self) -> None:
        self.is_open = False
        self.warming: str | None = None
        self.failure: str | None = None


def package_version() -> str:
    """Return agentgraph's version."""
    try:
        return version("agentgraph")
    except PackageNotFoundError:
        return "unknown"


def health_router(app: AgentGraph, readiness: Readiness) -> APIRouter:
    """Return the route `/health`."""
    router = APIRouter(tags=["Server"])
    checked_at = -_FRESH_S
    storage_fault: str | None = None

    @router.get("/health", responses={503: {"description": "Not ready."}})
    async def health() -> Response:
        """Say whether the server is ready, and what it runs."""
        nonlocal checked_at, storage_fault
        if time.monotonic() - checked_at >= _FRESH_S:
            storage_fault = await asyncio.to_thread(_storage_fault, app.settings.storage_dir)
            checked_at = time.monotonic()
        faults: list[str] = []
        if not readiness.is_open:
            faults.append("the server is starting or stopping")
        if readiness.warming is not None:
            faults.append(f"the model is being made ready: {readiness.warming}")
        if readiness.failure is not None:
            faults.append(readiness.failure)
        if storage_fault is not None:
            faults.append(storage_fault)
        try:
            model = app.default_model
        except AgentGraphError as error:
            model = None
            faults.append(error.message)
        told: dict[str, Any] = {
            "status": "ok" if not faults else "unavailable",
            "ready": not faults,
            "version": package_version(),
            "model": model,
            "memory": app.settings.enable_memory,
            "tools": [tool.name for tool in app.tools],
            "storage": {"writable": storage_fault is None},
            "faults": faults,
        }
        return Response(orjson.dumps(told), status_code=503 if faults else 200, media_type="application/json")

    return router


def _storage_fault(directory: Path) -> str | None:
    """Try it: permissions alone tell nothing of a full disk or a file system mounted read-only."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"agentgraph")
            file.flush()
    except OSError as error:
        return f"the storage directory cannot be written: {error.strerror or type(error).__name__}"
    return None
