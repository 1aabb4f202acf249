"""The one bridge between synchronous callers, other event loops and the loop that owns the resources.

Async is the implementation everywhere; this file is what the sync faces stand on. One background loop per process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

__all__ = ["call_on", "iterate_on", "iterate_sync", "on_its_loop", "portal_loop", "run_sync"]

P = ParamSpec("P")
T = TypeVar("T")
_DONE: Final = object()
_guard = threading.Lock()
_portal: asyncio.AbstractEventLoop | None = None  # the one process-wide object: a thread that outlives its users


def portal_loop() -> asyncio.AbstractEventLoop:
    """Return the process's background event loop, starting it at the first call."""
    global _portal
    with _guard:
        if _portal is None or _portal.is_closed():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="agentgraph-portal", daemon=True).start()
            _portal = loop
        return _portal


def run_sync(coroutine: Coroutine[Any, Any, T], *, loop: asyncio.AbstractEventLoop | None = None) -> T:
    """Run `coroutine` to its end from synchronous code, also under a running loop such as a notebook's.

    Args:
        coroutine: What to run.
        loop: The loop that owns what the coroutine uses; the portal by default.

    Raises:
        RuntimeError: Called on `loop` itself, where blocking would wait for ever.
    """
    target = loop or portal_loop()
    if _running_loop() is target:
        coroutine.close()
        raise RuntimeError("a synchronous call on the loop that serves it would never return; await the async method")
    future = asyncio.run_coroutine_threadsafe(coroutine, target)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def call_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await `coroutine` on `loop`, whichever loop the caller is on; cancelling the caller cancels it there."""
    if asyncio.get_running_loop() is loop:
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


async def iterate_on(
    loop: asyncio.AbstractEventLoop, make: Callable[[], AsyncGenerator[T, None]]
) -> AsyncGenerator[T, None]:
    """Yield what `make()` yields, running it on `loop`."""
    if asyncio.get_running_loop() is loop:
        async with aclosing(make()) as items:
            async for item in items:
                yield item
        return
    here = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()
    pump = _pump(loop, make, lambda item: here.call_soon_threadsafe(queue.put_nowait, item))
    try:
        while (item := await queue.get()) is not _DONE:
            yield item
        await asyncio.wrap_future(pump)
    finally:
        pump.cancel()


def iterate_sync(
    make: Callable[[], AsyncGenerator[T, None]], *, loop: asyncio.AbstractEventLoop | None = None
) -> Iterator[T]:
    """Yield what `make()` yields from synchronous code."""
    import queue as thread_queue

    items: thread_queue.SimpleQueue[Any] = thread_queue.SimpleQueue()
    pump = _pump(loop or portal_loop(), make, items.put)
    try:
        while (item := items.get()) is not _DONE:
            yield item
        pump.result()
    finally:
        pump.cancel()


def _pump(
    loop: asyncio.AbstractEventLoop, make: Callable[[], AsyncGenerator[T, None]], deliver: Callable[[Any], object]
) -> Future[None]:
    """Drain `make()` on `loop` into `deliver`, ending with `_DONE` whatever happened."""

    async def drain() -> None:
        try:
            async with aclosing(make()) as items:
                async for item in items:
                    deliver(item)
        finally:
            deliver(_DONE)

    return asyncio.run_coroutine_threadsafe(drain(), loop)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Owned(Protocol):
    """Something whose resources belong to one loop."""

    _ready: Callable[[], Awaitable[asyncio.AbstractEventLoop]]


S = TypeVar("S", bound=_Owned)


def on_its_loop(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Run a method on the loop that owns its object's resources, whichever loop or thread it is called on."""

    @wraps(method)
    async def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await call_on(await self._ready(), method(self, *args, **kwargs))

    return called
