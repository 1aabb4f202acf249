"""Whether the server can do its work, asked by load balancers and people.

`/health/live` says that the process answers at all: whoever gets no answer restarts it. `/health/ready` says whether
requests may come, and turns first when the server ends. `/health` says the same with what runs here.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.errors import AgentGraphError
from agentgraph.server.shutdown import Shutdown

__all__ = ["Readiness", "health_router", "package_version"]

logger = logging.getLogger(__name__)
_FRESH_S: Final = 2.0
_CHECK_TIMEOUT_S: Final = 2.0


class Readiness:
    """Whether requests may come: set by the application's lifespan, read by `/health`.

    Args:
        shutdown: Knows whether the server is about to end.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self.is_open = False
        self.warming: str | None = None
        self.failure: str | None = None

    def faults(self) -> list[str]:
        """Return why requests may not come, as far as it is known without looking."""
        faults: list[str] = []
        if self._shutdown.is_announced:
            faults.append("the server is ending")
        elif not self.is_open:
            faults.append("the server is starting or stopping")
        if self.warming is not None:
            faults.append(f"the model is being made ready: {self.warming}")
        if self.failure is not None:
            faults.append(self.failure)
        return faults


def package_version() -> str:
    """Return agentgraph's version."""
    try:
        return version("agentgraph")
    except PackageNotFoundError:
        return "unknown"


def health_router(app: AgentGraph, readiness: Readiness) -> APIRouter:
    """Return the routes `/health`, `/health/live` and `/health/ready`."""
    router = APIRouter(tags=["Server"])
    storage = _Check(lambda: asyncio.to_thread(_storage_fault, app.settings.storage_dir), of="the storage directory")
    database = _Check(lambda: _database_fault(app), of="the records database")

    async def looked() -> tuple[list[str], str | None, str | None, str | None]:
        storage_fault, database_fault = await asyncio.gather(storage.fault(), database.fault())
        faults = readiness.faults() + [fault for fault in (storage_fault, database_fault) if fault is not None]
        try:
            model: str | None = app.default_model
        except AgentGraphError as error:
            model = None
            faults.append(error.message)
        return faults, model, storage_fault, database_fault

    @router.get("/health", responses={503: {"description": "Not ready."}})
    async def health() -> Response:
        """Say whether the server is ready, and what it runs."""
        faults, model, storage_fault, database_fault = await looked()
        told: dict[str, Any] = {
            **_told(faults),
            "version": package_version(),
            "model": model,
            "memory": app.settings.enable_memory,
            "tools": [tool.name for tool in app.tools],
            "storage": {"writable": storage_fault is None},
            "database": {"reachable": database_fault is None},
        }
        return _answer(told)

    @router.get("/health/live")
    async def live() -> Response:
        """Say that the process answers; it is worth a restart only if it does not."""
        return _answer(_told([]))

    @router.get("/health/ready", responses={503: {"description": "Not ready."}})
    async def ready() -> Response:
        """Say whether requests may come."""
        faults, *_ = await looked()
        return _answer(_told(faults))

    for path, probe in (("/health", health), ("/health/live", live), ("/health/ready", ready)):
        router.add_api_route(path, probe, methods=["HEAD"], include_in_schema=False)  # as many monitors ask
    return router


class _Check:
    """One look at something that may hang, shared by all who ask meanwhile; none of them waits for long.

    Args:
        look: Returns what is wrong, if anything is.
        of: At what.
    """

    def __init__(self, look: Callable[[], Awaitable[str | None]], *, of: str) -> None:
        self._look = look
        self._of = of
        self._looking: asyncio.Future[str | None] | None = None
        self._found: tuple[float, str | None] | None = None

    async def fault(self) -> str | None:
        """Return what is wrong; a look at a disk or a database that hangs is not begun a second time."""
        if self._found is not None and time.monotonic() - self._found[0] < _FRESH_S:
            return self._found[1]
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
            self._looking.add_done_callback(self._note)
        done, _ = await asyncio.wait({self._looking}, timeout=_CHECK_TIMEOUT_S)
        if not done:
            return f"{self._of} does not answer within {_CHECK_TIMEOUT_S:g} s"
        return None if self._found is None else self._found[1]

    def _note(self, looked: asyncio.Future[str | None]) -> None:
        self._looking = None
        if not looked.cancelled():
            error = looked.exception()
            found = f"{self._of} cannot be checked ({type(error).__name__})" if error else looked.result()
            self._found = time.monotonic(), found


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


async def _database_fault(app: AgentGraph) -> str | None:
    """Ask it for nothing; a deployment without records has none to ask."""
    if not app.is_open:
        return None  # the reason why is a fault of its own
    try:
        records = await app.records()
        if records.exists:
            await records.open()
    except AgentGraphError as error:  # which host, and whom it refused, is not for everybody
        logger.warning("the records database cannot be used: %s", error.message)
        return "the records database cannot be used; the server's log says why"
    return None


def _told(faults: list[str]) -> dict[str, Any]:
    return {"status": "unavailable" if faults else "ok", "ready": not faults, "faults": faults}


def _answer(told: dict[str, Any]) -> Response:
    status = 200 if told["ready"] else 503
    return Response(orjson.dumps(told), status_code=status, media_type="application/json")
