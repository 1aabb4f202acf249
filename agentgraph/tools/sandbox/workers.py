"""The worker processes of a sandbox: how they are started behind the operating system's walls, lent and ended.

pydantic-monty keeps the pool: it starts, lends, counts and replaces workers. What is added is the second wall of
`launch.py`, which its own start lacks: a worker would keep inheritable file descriptors and the working directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if sys.platform != "win32":
    import resource

from agentgraph.errors import MissingExtraError, SandboxUnavailable
from agentgraph.tools.sandbox.limits import SandboxLimits

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, AsyncMontySession, ResourceLimits

__all__ = ["GRACE_S", "Workers", "end_worker"]

GRACE_S: Final = 0.5
"""How long past its time a worker may take to say so itself, before it is killed from outside."""
# The interpreter with its type checker, its threads' stacks and arenas: address space that is mostly never touched.
_ADDRESS_SPACE_BYTES: Final = 1024**3
# The pool's thread wakes our loop and is then still inside Python for a moment. Were Python to end in that moment, as
# it does where closing is a program's last act, the thread would abort the process (seen in 2 of 6; CPython 3.11).
_LAST_WORD_S: Final = 0.05
# A worker that is stopped or starved must not hold a call at its door; 25 ms is usual.
_START_S: Final = 5.0
# Where even our event loop hangs, the pool's own thread kills a worker this long after the time of its call.
_LONGEST_TURN_S: Final = 30.0


class Workers:
    """A pool of worker processes, from `open` to `close`.

    Args:
        limits: The most any call will be allowed; the operating system's limits follow from it.
        most: How many calls run at once; each has a worker of its own.
        calls_per_worker: After this many calls a worker is replaced by a new one.
        wait_s: How long a call waits for a worker to come free.
    """

    def __init__(self, limits: SandboxLimits, *, most: int, calls_per_worker: int, wait_s: float) -> None:
        self._limits = limits
        self._most = most
        self._free = asyncio.Semaphore(most)
        self._calls_per_worker = calls_per_worker
        self._wait_s = wait_s
        self._directory: Path | None = None
        self._pool: AsyncMonty | None = None

    async def open(self) -> None:
        """Start the first worker.

        Raises:
            MissingExtraError: pydantic-monty is not installed.
            SandboxUnavailable: No worker could be started.
        """
        try:
            from pydantic_monty import AsyncMonty, MontyError
            from pydantic_monty._binary import find_monty_binary
        except ImportError as error:
            raise MissingExtraError("sandbox", needed_for="Running functions in a sandbox") from error
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="agentgraph-sandbox-"))
            pool = AsyncMonty(
                binary_path=self._launcher(self._directory, find_monty_binary()),
                max_processes=self._most,
                request_timeout=_LONGEST_TURN_S + self._limits.time_s,
                max_checkouts_per_worker=self._calls_per_worker,
                feed_duration_limit_grace=GRACE_S,
            )
            await pool.__aenter__()
        except (MontyError, OSError, RuntimeError) as error:
            self._forget_directory()
            raise SandboxUnavailable(f"No sandbox worker could be started: {error}") from error
        self._pool = pool

    async def close(self) -> None:
        """End every worker, the ones at work as well."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.__aexit__(None, None, None)
            await asyncio.sleep(_LAST_WORD_S)
        self._forget_directory()

    @contextlib.asynccontextmanager
    async def lend(self, limits: SandboxLimits, *, type_check: bool = False) -> AsyncIterator[AsyncMontySession]:
        """Lend a worker with an interpreter without any state in it.

        Raises:
            SandboxUnavailable: None came free in time, or the one that did would not start.
        """
        from pydantic_monty import MontyError

        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError as full:
            raise SandboxUnavailable("Every sandbox worker is busy, and none came free in time.") from full
        try:
            session = self._session(limits, type_check=type_check)
            try:
                try:
                    async with asyncio.timeout(_START_S):
                        await session.__aenter__()
                except (TimeoutError, MontyError, OSError) as error:
                    raise SandboxUnavailable(f"The sandbox's worker did not start: {error}") from error
                _forbid_processes(session)
                yield session
            finally:  # of one that was not fully entered as well: it may hold a worker that had just been started
                await session.__aexit__(None, None, None)
        finally:
            self._free.release()

    def _session(self, limits: SandboxLimits, *, type_check: bool) -> AsyncMontySession:
        if self._pool is None:
            raise SandboxUnavailable("The sandbox is closed.", is_retryable=False)
        return self._pool.checkout(
            limits=_monty_limits(limits),
            type_check=type_check,
            type_check_format="json",
            os_policy={"sleep_system_max": math.inf},
        )

    def _launcher(self, directory: Path, interpreter: str) -> str:
        """Write the executable the pool starts as a worker: it can be given no arguments of ours."""
        if sys.platform == "win32":
            return interpreter
        (directory / "empty").mkdir(mode=0o500)
        memory = self._limits.memory_bytes + _ADDRESS_SPACE_BYTES
        cpu_s = math.ceil((self._limits.time_s + GRACE_S) * self._calls_per_worker) + 60
        command = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("launch.py")),
            str(directory / "empty"),
            str(memory),
            str(cpu_s),
            interpreter,
        ]
        launcher = directory / "worker"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        launcher.chmod(0o500)
        return str(launcher)

    def _forget_directory(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _forbid_processes(session: AsyncMontySession) -> None:
    """Let a worker start no further process or thread, where the platform can be told so of a running one.

    It needs one thread at its start, and the limit counts all processes of the user: it can only be set afterwards.
    The operating system does not hold root to it.
    """
    pid = session.worker_pid
    if pid is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))


def end_worker(session: AsyncMontySession) -> None:
    """Kill the worker of a session: after a broken limit nothing vouches for its heap.

    The pool notices, and starts another for the next call.
    """
    pid = session.worker_pid
    if pid is not None:  # it is this session's, and not reaped before the session ends
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


def _monty_limits(limits: SandboxLimits) -> ResourceLimits:
    """Return the limits as the interpreter's own."""
    return {
        "max_feed_duration_secs": limits.time_s,
        "max_total_sleep_secs": limits.time_s,
        "max_memory": limits.memory_bytes,
        "max_recursion_depth": limits.recursion,
    }
