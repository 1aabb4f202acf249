"""A run as a request asks for it: within its limits, its hooks told, paid for at its end whoever still listens.

Every wire format carries its runs through `stream` or `run` here; none calls the agent itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Final

from langchain_core.runnables import Runnable
from starlette.requests import HTTPConnection

from agentgraph.errors import ShuttingDownError
from agentgraph.events import AnswerCompleted, RunEvent, RunFailed, RunFinished, RunStarted, TextDelta, Usage
from agentgraph.run import RunRequest, RunResult
from agentgraph.server.auth import Caller, authorize, caller_of
from agentgraph.server.guard import Guard
from agentgraph.server.handover import answers_of, managed
from agentgraph.server.hooks import Thinking

__all__ = ["run", "stream"]

_CHARS_A_TOKEN: Final = 3.5
_MEDIA_TOKENS: Final = 1_000


async def stream(request: HTTPConnection, asked: RunRequest) -> AsyncGenerator[RunEvent, None]:
    """Carry a run and yield its events; the last is `RunFinished` or `RunFailed`.

    Args:
        request: Whose caller and hooks count.
        asked: What it asks for; its scope is checked here.

    Raises:
        NotFoundError: The tenant or the user is not the caller's.
        RateLimitedError: Too much came in too short a time.
        BudgetExceededError: A budget is used up.
    """
    scope = asked.scope
    tenant = scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"
    scope = await authorize(request, tenant, user=scope.user, thread=scope.thread, agent=scope.agent)
    guard, caller = Guard.of(request), caller_of(request)
    is_bound = (caller.user or await guard.enter(request, scope.tenant)) is not None
    key = asked.idempotency_key
    if is_bound and key is not None:  # of two users of a tenant neither learns which keys the other has used
        key = hashlib.sha256(repr((scope.user, key)).encode()).hexdigest()
    turn = _Turn(guard, caller, request, replace(asked, scope=scope, is_bound=is_bound, idempotency_key=key))
    async with aclosing(turn.events()) as events:
        async for event in events:
            yield event


async def run(request: HTTPConnection, asked: RunRequest) -> RunResult:
    """Carry a run and return what came of it; as `stream` otherwise.

    Raises:
        Exception: What the run failed with.
    """
    told: list[RunEvent] = []
    async with aclosing(stream(request, asked.streaming(wanted=False))) as events:
        async for event in events:
            if isinstance(event, RunFailed):
                raise event.error
            told.append(event)
    return RunResult.from_events(told)


class _Turn:
    """One run: carried by a task of its own, so that it is paid for when its client has left long ago."""

    def __init__(self, guard: Guard, caller: Caller, request: HTTPConnection, asked: RunRequest) -> None:
        self._guard = guard
        self._caller = caller
        self._request = request
        self._asked = asked
        self._told: deque[RunEvent | Exception] = deque()
        self._news = asyncio.Event()
        self._run_id = ""
        self._model = asked.model or ""
        self._usage = Usage()
        self._said = 0
        self._is_over = False

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        scope = self._asked.scope
        tenant = scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"
        thinking = Thinking(self._guard.hooks, tenant)
        carrying = self._guard.spawn(self._carry(thinking))
        try:
            while True:
                while self._told:
                    event = self._told.popleft()
                    if isinstance(event, Exception):
                        await thinking.ready()
                        raise event
                    if isinstance(event, TextDelta | RunFinished | RunFailed):
                        await thinking.ready()
                    yield event
                    if isinstance(event, RunFinished | RunFailed):
                        return
                self._news.clear()
                await self._news.wait()
        finally:
            ends_with_client = self._asked.on_disconnect or self._guard.app.settings.on_disconnect
            if not self._is_over and ends_with_client == "cancel":
                carrying.cancel()

    async def _carry(self, thinking: Thinking) -> None:
        started = time.perf_counter()
        try:
            async with AsyncExitStack() as held:
                settle = await self._guard.hold(held, self._caller, self._asked, estimate=_estimate(self._asked))
                try:
                    await self._follow(thinking)
                finally:
                    await settle(self._run_id, self._model, self._used(), time.perf_counter() - started)
        except asyncio.CancelledError:
            self._tell(ShuttingDownError())  # where its reader cancelled it, nobody is there to be told
            raise
        except Exception as error:  # noqa: BLE001  handed to whoever reads
            self._tell(error)

    async def _follow(self, thinking: Thinking) -> None:
        guard, asked = self._guard, self._asked
        instead = await managed(guard.hooks, self._request, asked, timeout_s=guard.app.settings.model_timeout_s)
        if isinstance(instead, Runnable):
            name = asked.model or guard.app.default_model
            events: AsyncGenerator[RunEvent, None] = answers_of(instead, asked, name)
        else:
            if guard.app.settings.enable_memory and instead.include_memories:
                await thinking.begin()
            events = guard.app.stream(instead)
        async with aclosing(events):
            async for event in events:
                self._note(event)
                self._tell(event)

    def _note(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._run_id, self._model = event.run_id, event.model
            case TextDelta():
                self._said += len(event.text)
            case AnswerCompleted():
                self._usage += event.usage
                self._said = max(self._said, len(event.text))
            case RunFinished():
                self._usage = event.usage
            case _:
                pass

    def _tell(self, event: RunEvent | Exception) -> None:
        self._is_over = self._is_over or isinstance(event, RunFinished | RunFailed | Exception)
        self._told.append(event)
        self._news.set()

    def _used(self) -> Usage:
        """Return what the vendor counted, or about what it would have where it told nothing."""
        if self._usage.total_tokens or not self._said:
            return self._usage
        return Usage(input_tokens=_input_tokens(self._asked), output_tokens=round(self._said / _CHARS_A_TOKEN) or 1)


def _estimate(asked: RunRequest) -> Usage:
    """Return about what a run will use at the least, before it begins."""
    limit = asked.parameters.get("max_completion_tokens") or asked.parameters.get("max_tokens")
    return Usage(input_tokens=_input_tokens(asked), output_tokens=limit if isinstance(limit, int) else 0)


def _input_tokens(asked: RunRequest) -> int:
    chars = len(asked.system_prompt or "")
    media = 0
    for message in asked.messages:
        if isinstance(message.content, str):
            chars += len(message.content)
            continue
        for block in message.content:
            text = block if isinstance(block, str) else block.get("text")
            chars += len(text) if isinstance(text, str) else 0
            media += not isinstance(text, str)
    return round(chars / _CHARS_A_TOKEN) + media * _MEDIA_TOKENS + 1
