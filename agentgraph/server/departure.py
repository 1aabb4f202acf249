"""Notice that a client went away, where its run is to end with it; servers say so only to those who ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Receive

__all__ = ["ClientLeftError", "unless_left", "until_left"]

T = TypeVar("T")


class ClientLeftError(Exception):
    """Nobody is there any more to be answered."""


async def until_left(events: AsyncGenerator[T, None], receive: Receive) -> AsyncGenerator[T, None]:
    """Yield `events` for as long as the client is there, and close them when it is not.

    Args:
        events: A run's; the first tells that it was accepted, and is waited for: before it there is nothing to end.
        receive: The request's, whose body has been read.

    Raises:
        ClientLeftError: The client went away.
    """
    leaving = asyncio.ensure_future(_departure(receive))
    coming: asyncio.Future[T] | None = None
    try:
        is_accepted = False
        while True:
            coming = asyncio.ensure_future(anext(events))
            await asyncio.wait({coming, leaving} if is_accepted else {coming}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise ClientLeftError
            try:
                event = coming.result()
            except StopAsyncIteration:
                return
            is_accepted = True
            yield event
    finally:
        await _cancelled(leaving)
        if coming is not None:
            await _cancelled(coming)
        await events.aclose()


async def unless_left(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Return what `work` does, and cancel it when the client goes away.

    Raises:
        ClientLeftError: The client went away.
    """
    leaving, working = asyncio.ensure_future(_departure(receive)), asyncio.ensure_future(work)
    try:
        await asyncio.wait({leaving, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        await _cancelled(leaving)
        await _cancelled(working)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a task and see it end; what it ends with is nobody's concern any more."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    with suppress(asyncio.CancelledError):
        task.exception()
