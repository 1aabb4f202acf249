"""Several runs of one request, told as one stream of numbered events: OpenAI's `n`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from agentgraph.events import RunEvent
from agentgraph.run import RunRequest

__all__ = ["numbered", "requests_for"]

_MOST_WAITING: Final = 64  # events, of all runs together: a slow reader holds them back, and nothing grows


def requests_for(request: RunRequest, count: int) -> list[RunRequest]:
    """Return a request for each of `count` answers: alike, but each a run of its own."""
    if count == 1:
        return [request]
    key, seed = request.idempotency_key, request.parameters.get("seed")
    requests: list[RunRequest] = []
    for i in range(count):
        # One seed for all would make one answer of all.
        parameters: dict[str, Any] = {**request.parameters, **({} if seed is None else {"seed": seed + i})}
        own_key = key if key is None or i == 0 else f"{key}#{i}"
        requests.append(replace(request, parameters=parameters, idempotency_key=own_key, is_retry=False))
    return requests


async def numbered(streams: Sequence[AsyncGenerator[RunEvent, None]]) -> AsyncGenerator[tuple[int, RunEvent], None]:
    """Yield the events of runs as they come, each with the number of its run; what one of them raises ends all."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as events:
            async for event in events:
                yield 0, event
        return
    coming: asyncio.Queue[tuple[int, RunEvent | None]] = asyncio.Queue(_MOST_WAITING)
    tasks = [asyncio.create_task(_pass_on(i, events, coming)) for i, events in enumerate(streams)]
    open_count = len(tasks)
    try:
        while open_count:
            i, told = await coming.get()
            if told is None:
                await tasks[i]  # raises what it ended with
                open_count -= 1
            else:
                yield i, told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(
    i: int, events: AsyncGenerator[RunEvent, None], coming: asyncio.Queue[tuple[int, RunEvent | None]]
) -> None:
    try:
        async with aclosing(events):
            async for event in events:
                await coming.put((i, event))
    except Exception:
        await coming.put((i, None))
        raise
    await coming.put((i, None))
