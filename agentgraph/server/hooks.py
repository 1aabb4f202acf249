"""Call the functions a deployment hangs into the server, whatever they do: they tell, and never hold a request up.

`auth_hook` is the one that decides: what it raises refuses the request, and a hook that cannot decide refuses it too.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from starlette.requests import HTTPConnection

from agentgraph.errors import AccessError
from agentgraph.runs.hooks import Hook, Hooks

__all__ = ["HookCalls", "Thinking"]

logger = logging.getLogger(__name__)
_THREADS: Final = 8
_MOST_WAITING: Final = 1_000
_DECIDES_WITHIN_S: Final = 10.0


class HookCalls:
    """Calls one application's hooks. Belongs to the server's event loop.

    Args:
        hooks: The functions; plain ones are called on threads.
        timeout_s: How long a request waits for one that only tells.
    """

    def __init__(self, hooks: Hooks, *, timeout_s: float) -> None:
        self.hooks = hooks
        self._timeout_s = timeout_s
        self._pool: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def ask_leave(self, request: HTTPConnection, tenant: str) -> str | None:
        """Let `auth_hook` decide, and return the user it names as `request.state.user_id`.

        Raises:
            Exception: What it raised.
            AccessError: It did not decide in time.
        """
        if self.hooks.auth_hook is None:
            return None
        try:
            await asyncio.wait_for(self.call(self.hooks.auth_hook, request, tenant), _DECIDES_WITHIN_S)
        except TimeoutError as error:
            raise AccessError(f"auth_hook did not decide within {_DECIDES_WITHIN_S:g} s", code="auth_hook") from error
        user = getattr(request.state, "user_id", None)
        return None if user is None else str(user)

    async def call(self, hook: Hook, *arguments: Any) -> Any:
        """Return what a function returns, or the coroutine it makes."""
        if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004
            return await hook(*arguments)
        self._pool = self._pool or ThreadPoolExecutor(_THREADS, thread_name_prefix="agentgraph-hook")
        returned = await asyncio.get_running_loop().run_in_executor(self._pool, lambda: hook(*arguments))
        return await returned if inspect.isawaitable(returned) else returned

    def tell(self, name: str, *arguments: Any, after: asyncio.Task[None] | None = None) -> asyncio.Task[None] | None:
        """Call a hook beside the request, after another call of it; `None` where there is no such hook."""
        hook: Hook | None = getattr(self.hooks, name)
        if hook is None:
            return None
        if len(self._tasks) >= _MOST_WAITING:
            logger.warning("%s is not called: %d calls of hooks have not returned", name, len(self._tasks))
            return None
        return self._spawn(self._told(name, hook, arguments, after))

    async def wait(self, told: asyncio.Task[None] | None) -> None:
        """Wait for a call, but not for long; it goes on by itself."""
        if told is not None and not told.done():
            await asyncio.wait({told}, timeout=self._timeout_s)

    async def aclose(self) -> None:
        """Wait for the calls under way, but not for long."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._timeout_s)
        for task in self._tasks:
            task.cancel()
        pool, self._pool = self._pool, None  # an application may be started again
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _told(self, name: str, hook: Hook, arguments: tuple[Any, ...], after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait({after})
        try:
            await self.call(hook, *arguments)
        except Exception:  # whatever a caller's function does: the request goes on
            logger.exception("%s failed", name)


class Thinking:
    """Tells `on_thinking` of one run: that it thinks, where it does, and once that it is ready.

    Args:
        calls: Call it.
        tenant: `tenant`, or `tenant:session`.
    """

    def __init__(self, calls: HookCalls, tenant: str) -> None:
        self._calls = calls
        self._tenant = tenant
        self._begun: asyncio.Task[None] | None = None
        self._is_ready = calls.hooks.on_thinking is None

    async def begin(self) -> None:
        """Say that memory will be read."""
        self._begun = self._calls.tell("on_thinking", self._tenant, "thinking")
        await self._calls.wait(self._begun)

    async def ready(self) -> None:
        """Say that the answer comes; only the first time counts."""
        if not self._is_ready:
            self._is_ready = True
            await self._calls.wait(self._calls.tell("on_thinking", self._tenant, "ready", after=self._begun))
