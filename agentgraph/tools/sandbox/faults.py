"""What the interpreter raises, as errors of ours: whose fault it was, and where in the function's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentgraph.errors import FunctionError, FunctionMemoryError, FunctionTimeout, SandboxError, SandboxUnavailable
from agentgraph.tools.sandbox.limits import SandboxLimits

if TYPE_CHECKING:
    from pydantic_monty import Frame, MontyError

__all__ = ["out_of_time", "translated"]

_USER_CODE: Final = "<python-input-0>"
"""The interpreter's name for the first text a session is given: the function's code, as it was registered."""
_OUT_OF_TIME: Final = ("TimeoutError: feed time limit exceeded", "TimeoutError: turn time limit exceeded")
_OUT_OF_SLEEP: Final = "sleep"
_OUT_OF_MEMORY: Final = ("MemoryError: memory limit exceeded", "MemoryError: the worker exceeded its memory limit")
_MOST_DETAIL: Final = 2_000
"""Characters of an exception's message that are kept: the function chose them, and a model will read them."""


def translated(fault: MontyError, limits: SandboxLimits) -> SandboxError:
    """Return the error of ours that says what `fault` says."""
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

    match fault:
        case MontyCrashedError(timed_out=True):
            return out_of_time(limits)
        case MontyCrashedError():
            return SandboxUnavailable(
                "The sandbox's worker died during the call; what it was doing is lost. The next call has a new one.",
                code="sandbox_worker_died",
            )
        case MontyRuntimeError() | MontySyntaxError():
            return _from_the_code(fault.display("type-msg"), fault.traceback(), limits)
        case _:
            return SandboxError(f"The sandbox could not run the call: {fault}")


def out_of_time(limits: SandboxLimits) -> FunctionTimeout:
    """Return the error of a call that took too long."""
    return FunctionTimeout(f"The function did not finish within {limits.time_s:g} s, and was stopped.")


def _from_the_code(said: str, frames: list[Frame], limits: SandboxLimits) -> SandboxError:
    type_, _, detail = said.partition(": ")
    if said.startswith(_OUT_OF_TIME) or (type_ == "TimeoutError" and _OUT_OF_SLEEP in detail and "limit" in detail):
        return out_of_time(limits)
    if said.startswith(_OUT_OF_MEMORY):
        return FunctionMemoryError(f"The function needed more memory than its {limits.memory_bytes:,} bytes.")
    own = [frame for frame in frames if frame.filename == _USER_CODE]
    line, column = (own[-1].line, own[-1].column) if own else (None, None)
    return FunctionError(type_.rpartition(".")[2], detail[:_MOST_DETAIL], line=line, column=column)
