"""What OpenAI's routes share: the agent, how bodies are read, and how runs are carried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Scope

from agentgraph.app import AgentGraph
from agentgraph.events import RunEvent, ToolStarted
from agentgraph.run import RunRequest
from agentgraph.server import turns
from agentgraph.server.auth import authorize
from agentgraph.server.departure import until_left
from agentgraph.server.guard import Guard
from agentgraph.server.limits import body_too_large
from agentgraph.server.openai.choices import numbered, requests_for
from agentgraph.server.openai.files import FileReader

__all__ = ["HAS_ACTED", "OpenAIApi", "json_response", "tenant_of"]

HAS_ACTED: Final = "agentgraph.has_acted"
"""In a request's scope: a tool of the server's began for it, and nothing is left to carry on from."""

_DEFAULT_NAMES: Final = frozenset({"agentgraph", "default"})
_LONG_BODY: Final = 256_000
_Read = TypeVar("_Read")


class OpenAIApi:
    """One application's OpenAI routes, as far as they are alike. Belongs to one event loop.

    Args:
        app: The agent.
    """

    def __init__(self, app: AgentGraph) -> None:
        self.app = app
        self.started = int(time.time())
        self._files = FileReader(app.settings)
        self._limit_bytes = int(app.settings.max_body_mb * 1_000_000)

    @property
    def default_names(self) -> frozenset[str]:
        """The names that mean the deployment's own model."""
        return _DEFAULT_NAMES | {self.app.default_model}

    async def body(self, request: Request, read: Callable[[bytes], _Read]) -> _Read:
        """Read a request's body, but no more than allowed: the application this is included in may have no limit."""
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self._limit_bytes:
                raise body_too_large(self._limit_bytes)
            parts.append(part)
        body = b"".join(parts)
        return await asyncio.to_thread(read, body) if size > _LONG_BODY else read(body)

    async def events(
        self, request: Request, asked: RunRequest, *, count: int = 1
    ) -> AsyncGenerator[tuple[int, RunEvent], None]:
        """Return the events of the runs a request asks for, each with the number of its run.

        Raises:
            InvalidInputError: A file within the messages cannot be read.
        """
        asked = await self._files.read(asked, Guard.of(request).hooks)
        told = numbered([turns.stream(request, each) for each in requests_for(asked, count)])
        if (asked.on_disconnect or self.app.settings.on_disconnect) == "cancel":
            told = until_left(told, request.receive)
        return told if asked.scope.thread_key is not None else _noting_acts(told, request.scope)


async def tenant_of(request: Request, tenant: str | None) -> str:
    """Return whose request it is, checked: the URL's tenant, with its session if it names one, or the key's."""
    scope = await authorize(request, tenant)
    return tenant if tenant is not None else scope.tenant


def json_response(content: Any, **headers: str) -> Response:
    """Return JSON, with headers whose names have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(orjson.dumps(content, default=str), media_type="application/json", headers=named)


async def _noting_acts(
    told: AsyncGenerator[tuple[int, RunEvent], None], scope: Scope
) -> AsyncGenerator[tuple[int, RunEvent], None]:
    """Pass events on, and note with the request that a tool of the server's began."""
    async with aclosing(told):
        async for i, event in told:
            if isinstance(event, ToolStarted):
                scope[HAS_ACTED] = True
            yield i, event
