"""`Sandbox`: run one function of somebody else's code, and have nothing of it but its result.

The code runs in pydantic-monty, an interpreter without a way out: it has no files, network, processes or environment to
give. Each call has a worker process to itself and an interpreter without any state; past its limits it is killed from
outside. Only text crosses: arguments go in and the result comes out as JSON, so nothing but JSON's values can.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import keyword
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from agentgraph.errors import (
    FunctionError,
    FunctionMemoryError,
    FunctionOutputTooLarge,
    FunctionTimeout,
    InvalidInputError,
    SandboxError,
    SandboxUnavailable,
)
from agentgraph.tools.sandbox.check import Problem, problem_of, problems_of_signature, problems_of_types, typed_call
from agentgraph.tools.sandbox.faults import out_of_time, translated
from agentgraph.tools.sandbox.limits import SandboxLimits
from agentgraph.tools.sandbox.printed import Printed
from agentgraph.tools.sandbox.workers import GRACE_S, Workers, end_worker

if TYPE_CHECKING:
    from pydantic_monty import AsyncMontySession

__all__ = ["Sandbox", "SandboxResult"]

# Given after the function's code, in the same interpreter. What the code did to itself by then is its own loss: only
# text comes back, and it must be JSON.
_CALL: Final = """\
import json as _agentgraph_json
_agentgraph_json.dumps({function}(**_agentgraph_json.loads(_agentgraph_arguments)), allow_nan=False)
"""

# A type checker's tables are ours, not the function's.
_CHECKING: Final = SandboxLimits(memory_bytes=256 * 1024 * 1024, time_s=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """What a call came to.

    Attributes:
        value: Of JSON's types: None, bool, int, float, str, list, dict with str keys.
        printed: Everything the code printed, to either stream.
        duration_ms: From the start of the code to its result, without waiting for a worker.
    """

    value: Any
    printed: str
    duration_ms: float


class Sandbox:
    """Worker processes that run untrusted functions; they start with the first call, and end with `aclose`.

    Args:
        limits: The most any call may use. A call may be given less.
        most_calls: How many run at once; None for one per processor.
        calls_per_worker: A worker is replaced after this many calls, and after every broken limit.
        wait_s: How long a call waits for a worker before it is refused.
    """

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        *,
        most_calls: int | None = None,
        calls_per_worker: int = 200,
        wait_s: float = 30.0,
    ) -> None:
        self._limits = limits or SandboxLimits()
        self._workers = Workers(
            self._limits, most=most_calls or os.cpu_count() or 1, calls_per_worker=calls_per_worker, wait_s=wait_s
        )
        self._opening = asyncio.Lock()
        self._under_way: dict[asyncio.Timeout, asyncio.Event] = {}  # what ends each call, and that it has ended
        self._is_open = False
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every worker. Calls under way fail, and later ones are refused."""
        async with self._opening:
            self._is_closed = True
            for life in self._under_way:
                if not life.expired():
                    life.reschedule(0.0)  # long past: the call ends now
            # A pool that is closed under a worker being started would leave that worker behind.
            await asyncio.gather(*(ended.wait() for ended in self._under_way.values()))
            if self._is_open:
                self._is_open = False
                await self._workers.close()

    async def run(
        self,
        code: str,
        *,
        function: str,
        arguments: Mapping[str, Any],
        limits: SandboxLimits | None = None,
    ) -> SandboxResult:
        """Run `code` in an interpreter of its own and return what its `function` makes of the arguments.

        Cancelling the call kills the worker at it.

        Args:
            code: Python that defines the function at its top level.
            function: Its name.
            arguments: By name, of JSON's types.
            limits: Lower than the sandbox's own where given; higher ones have no effect.

        Raises:
            FunctionError: The code raised or cannot be compiled, or returned what JSON has no form for.
            FunctionTimeout: It took too long.
            FunctionMemoryError: It needed too much memory.
            FunctionOutputTooLarge: It returned or printed too much.
            InvalidInputError: The arguments or the code are not of the form described here.
            SandboxUnavailable: No worker could be had, or the one at it died.
            MissingExtraError: The `sandbox` extra is not installed.
        """
        walls = limits.within(self._limits) if limits else self._limits
        _check_source(code, function, walls)
        given = _as_json(arguments, walls)
        printed = Printed(walls.printed_bytes)
        started = time.perf_counter()

        async def call(session: AsyncMontySession) -> str:
            nonlocal started
            started = time.perf_counter()
            await session.feed_run(code, print_callback=printed)
            text = await session.feed_run(
                _CALL.format(function=function), inputs={"_agentgraph_arguments": given}, print_callback=printed
            )
            return str(text)

        text = await self._in_session(call, walls, printed)
        if len(text.encode("utf-8", "replace")) > walls.value_bytes:
            raise FunctionOutputTooLarge(f"The function returned more than {walls.value_bytes:,} bytes of JSON.")
        return SandboxResult(
            value=_from_json(text), printed=printed.text, duration_ms=(time.perf_counter() - started) * 1e3
        )

    async def check(self, code: str, *, function: str, parameters: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with `code`, by line; nothing if it can be run.

        Its top level is run once, in the sandbox, so that an import that fails is found now.

        Args:
            code: Python that defines the function at its top level, and no other public one.
            function: Its name.
            parameters: JSON Schema of an object whose properties are the parameters.

        Raises:
            SandboxError: The sandbox itself failed.
            MissingExtraError: The `sandbox` extra is not installed.
        """
        walls = self._limits
        printed = Printed(walls.printed_bytes)
        try:
            _check_source(code, function, walls)
        except InvalidInputError as error:
            return [Problem(line=1, column=1, message=error.message)]

        async def load(session: AsyncMontySession) -> str:
            await session.feed_run(code, print_callback=printed)
            return ""

        call, of_line = typed_call(function, parameters)

        async def type_check(session: AsyncMontySession) -> str:
            from pydantic_monty import MontyTypingError

            try:
                await session.feed_run(f"{code}\n{call}", print_callback=printed)
            except MontyTypingError as error:
                return error.display()
            return "[]"

        try:
            await self._in_session(load, walls, printed)
        except FunctionError as error:
            return [problem_of(error)]
        except (FunctionTimeout, FunctionMemoryError, FunctionOutputTooLarge) as error:
            return [Problem(line=1, column=1, message=f"loading the code: {error.message}")]
        problems = problems_of_signature(code, function, parameters)
        if problems:
            return problems
        report = await self._in_session(type_check, _CHECKING, Printed(walls.printed_bytes), type_check=True)
        return problems_of_types(report, code, function, of_line)

    async def _open(self) -> None:
        if self._is_open:
            return
        async with self._opening:
            if self._is_closed:
                raise SandboxUnavailable("The sandbox is closed.", is_retryable=False)
            if not self._is_open:
                await self._workers.open()
                self._is_open = True

    async def _in_session(
        self,
        call: Callable[[AsyncMontySession], Awaitable[str]],
        limits: SandboxLimits,
        printed: Printed,
        *,
        type_check: bool = False,
    ) -> str:
        """Lend `call` an interpreter, and end its worker where a limit was broken."""
        await self._open()
        try:
            async with self._until_closed(), self._workers.lend(limits, type_check=type_check) as session:
                outcome = await self._attempt(call, session, limits, printed)
                if isinstance(outcome, SandboxError) and not isinstance(outcome, FunctionError):
                    end_worker(session)
        except TimeoutError as closed:
            raise SandboxUnavailable("The sandbox was closed during the call.", is_retryable=False) from closed
        if isinstance(outcome, SandboxError):
            raise outcome
        return outcome

    @contextlib.asynccontextmanager
    async def _until_closed(self) -> AsyncIterator[None]:
        """Raise `TimeoutError` where the sandbox is closed inside; closing waits for what is cleaned up here."""
        ended = asyncio.Event()
        async with asyncio.timeout(None) as life:
            self._under_way[life] = ended
            try:
                yield
            finally:
                del self._under_way[life]
                ended.set()

    async def _attempt(
        self,
        call: Callable[[AsyncMontySession], Awaitable[str]],
        session: AsyncMontySession,
        limits: SandboxLimits,
        printed: Printed,
    ) -> str | SandboxError:
        from pydantic_monty import MontyError

        try:
            # The interpreter's own clock does not run while it compiles: this one always does.
            async with asyncio.timeout(limits.time_s + GRACE_S):
                return await call(session)
        except TimeoutError:
            return out_of_time(limits)
        except MontyError as fault:
            if printed.is_too_much:
                return FunctionOutputTooLarge(f"The function printed more than {limits.printed_bytes:,} bytes.")
            return translated(fault, limits)


def _check_source(code: str, function: str, limits: SandboxLimits) -> None:
    if not function.isidentifier() or keyword.iskeyword(function) or function.startswith("_"):
        raise InvalidInputError(f"{function!r} cannot be the name of a function.", param="function")
    try:
        size = len(code.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError("The code holds half a surrogate pair: it is no text.", param="code") from error
    if size > limits.code_bytes:
        raise InvalidInputError(f"The code has {size:,} bytes; {limits.code_bytes:,} are allowed.", param="code")


def _as_json(arguments: Mapping[str, Any], limits: SandboxLimits) -> str:
    try:
        text = json.dumps(dict(arguments), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"The arguments have no form in JSON: {error}", param="arguments") from error
    if len(text) > limits.arguments_bytes:
        raise InvalidInputError(
            f"The arguments have {len(text):,} bytes of JSON; {limits.arguments_bytes:,} are allowed.",
            param="arguments",
        )
    return text


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FunctionError("ValueError", "the returned value is no JSON that could be read") from error
