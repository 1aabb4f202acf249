"""Threads for tools that block: one that does not come back is left behind, and takes nobody's place.

Python cannot end a thread. The event loop's own pool, where LangChain would run such tools, is a few threads wide: as
many hanging calls, and nothing that needs a thread goes on, for any tenant; and a process waits for them at its end.
These are daemons, each tool has its share of them, and what is left behind no longer counts.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agentgraph.errors import ToolError

__all__ = ["WorkerThreads"]

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], Any]
    owner: Hashable
    future: Future[Any] = field(default_factory=Future)
    is_running: bool = False
    is_left_behind: bool = False


class WorkerThreads:
    """Runs what blocks, from any event loop.

    Args:
        most: Threads that work at once. Beyond, jobs wait.
        most_each: How many of them one owner may have, and how many it may leave behind before it is refused.
    """

    def __init__(self, *, most: int = 256, most_each: int = 32) -> None:
        self._most = most
        self._most_each = most_each
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._working: Counter[Hashable] = Counter()
        self._left_behind: Counter[Hashable] = Counter()

    async def run(self, work: Callable[[], T], *, owner: Hashable) -> T:
        """Return what `work` returns, or raise what it raises.

        Cancelled before it began, it never begins; cancelled later, its thread is left behind.

        Raises:
            ToolError: So much of this owner's earlier work was left behind and still hangs that it is not tried again;
                or `work` would end the process.
        """
        context = contextvars.copy_context()
        job = _Job(lambda: context.run(work), owner)
        with self._lock:
            if self._left_behind[owner] >= self._most_each:
                raise ToolError(f"{self._most_each} earlier calls still hang; it is not called again until they end")
            self._waiting.append(job)
            self._begin()
        try:
            result: T = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._leave(job)
            raise
        return result

    def _begin(self) -> None:
        """Start what there is room for, oldest first; the lock is held."""
        for job in list(self._waiting):
            if self._working.total() >= self._most:
                return
            if self._working[job.owner] < self._most_each:
                self._waiting.remove(job)
                self._start(job)

    def _start(self, job: _Job) -> None:
        thread = threading.Thread(target=self._work, args=(job,), name="agentgraph-tool", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread to give
            job.future.set_exception(ToolError(f"no thread could be started: {error}"))
            return
        job.is_running = True
        self._working[job.owner] += 1

    def _work(self, job: _Job) -> None:
        if job.future.set_running_or_notify_cancel():
            try:
                job.future.set_result(job.work())
            except StopIteration as error:  # asyncio's futures cannot carry it
                job.future.set_exception(RuntimeError(f"StopIteration: {error}"))
            except (SystemExit, KeyboardInterrupt):  # awaited, they would end the event loop
                job.future.set_exception(ToolError("it tried to end the process"))
            except BaseException as error:  # noqa: BLE001  whatever it is, somebody waits for it
                job.future.set_exception(error)
        with self._lock:
            job.is_running = False
            self._gone(self._left_behind if job.is_left_behind else self._working, job.owner)
            self._begin()

    def _leave(self, job: _Job) -> None:
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            elif job.is_running:
                job.is_left_behind = True
                self._gone(self._working, job.owner)
                self._left_behind[job.owner] += 1
                self._begin()

    @staticmethod
    def _gone(counted: Counter[Hashable], owner: Hashable) -> None:
        counted[owner] -= 1
        if not counted[owner]:
            del counted[owner]
