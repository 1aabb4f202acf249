"""Every error agentgraph raises, on one page.

    AgentGraphError
    ├── ConfigurationError        settings that cannot work
    │   └── MissingExtraError     an optional package is not installed; the message holds the pip line
    ├── AccessError
    │   ├── NotAuthenticatedError
    │   ├── PermissionDeniedError
    │   ├── BudgetExceededError
    │   └── RateLimitedError      too much in too short a time (retryable)
    ├── NotFoundError             thread, tenant, model, tool or file
    ├── InvalidInputError         the caller's data
    │   └── UnsupportedMediaError
    ├── ThreadBusyError           a run is under way on the thread, and the caller would not wait (retryable)
    ├── RunCancelledError         the run was undone, or ended before it began
    ├── ShuttingDownError         the process is ending; another one, or its next start, goes on (retryable)
    ├── StoreError
    │   ├── StoreUnavailableError (retryable)
    │   └── LeaseLostError        another process has the thread by now; what was written late was refused
    └── ToolError
        ├── ToolTimeoutError      (retryable)
        └── SandboxError          sandboxed code broke a limit, or its worker died
            ├── FunctionError     the code raised; says what and where
            ├── FunctionTimeout
            ├── FunctionMemoryError
            ├── FunctionOutputTooLarge
            └── SandboxUnavailable    no worker could be had (retryable)

A model's own faults keep LangChain's types, `langchain_core.exceptions.ModelError` and below, whoever the vendor is.

`code` is stable and machine-readable; the message is for people: what was wrong, which value, what to do.
Messages never hold secrets, prompts or document text. `server/errors.py` maps this tree to HTTP, nothing else does.
"""

from __future__ import annotations

__all__ = [
    "AccessError",
    "AgentGraphError",
    "BudgetExceededError",
    "ConfigurationError",
    "FunctionError",
    "FunctionMemoryError",
    "FunctionOutputTooLarge",
    "FunctionTimeout",
    "InvalidInputError",
    "LeaseLostError",
    "MissingExtraError",
    "NotAuthenticatedError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RunCancelledError",
    "SandboxError",
    "SandboxUnavailable",
    "ShuttingDownError",
    "StoreError",
    "StoreUnavailableError",
    "ThreadBusyError",
    "ToolError",
    "ToolTimeoutError",
    "UnsupportedMediaError",
    "is_retryable",
]


class AgentGraphError(Exception):
    """The root: catch this to catch everything agentgraph raises.

    Attributes:
        message: For people.
        code: Stable, snake_case, for programs.
        is_retryable: Whether the same call may succeed later, unchanged.
    """

    code = "agentgraph_error"
    is_retryable = False

    def __init__(self, message: str, *, code: str | None = None, is_retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if is_retryable is not None:
            self.is_retryable = is_retryable


class ConfigurationError(AgentGraphError):
    """The settings cannot work as given."""

    code = "configuration_error"


class MissingExtraError(ConfigurationError):
    """An optional package is needed and not installed."""

    code = "missing_extra"

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the optional packages of the {extra!r} extra. "
            f"Install them: pip install 'agentgraph[{extra}]' (in a checkout: uv sync --extra {extra})."
        )
        self.extra = extra


class AccessError(AgentGraphError):
    """The caller may not do this."""

    code = "access_denied"


class NotAuthenticatedError(AccessError):
    """No valid credentials were given."""

    code = "not_authenticated"


class PermissionDeniedError(AccessError):
    """The credentials are valid and do not allow this."""

    code = "permission_denied"


class BudgetExceededError(AccessError):
    """A budget of tokens or money is used up, or what is left of it may be needed by runs under way.

    Attributes:
        retry_after_s: In how many seconds there may be some again.
    """

    code = "budget_exceeded"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        is_retryable: bool | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, is_retryable=is_retryable)
        self.retry_after_s = retry_after_s


class RateLimitedError(AccessError):
    """Too many requests, tokens or runs in too short a time.

    Attributes:
        what: Of which there were too many.
        retry_after_s: In how many seconds there is room again.
    """

    code = "rate_limit_exceeded"
    is_retryable = True

    def __init__(self, message: str, *, what: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.what = what
        self.retry_after_s = retry_after_s


class NotFoundError(AgentGraphError):
    """A thread, tenant, model, tool or file that does not exist (or belongs to somebody else)."""

    code = "not_found"


class InvalidInputError(AgentGraphError):
    """The caller's data is malformed or out of range.

    Attributes:
        param: The field at fault, where one is known.
    """

    code = "invalid_input"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


class UnsupportedMediaError(InvalidInputError):
    """A content type nothing here can read."""

    code = "unsupported_media"


class ThreadBusyError(AgentGraphError):
    """A run is under way on the thread, and the caller asked not to wait for it."""

    code = "thread_busy"
    is_retryable = True


class RunCancelledError(AgentGraphError):
    """The run was cancelled and nothing of it is kept, or its thread was deleted under it."""

    code = "run_cancelled"


class ShuttingDownError(AgentGraphError):
    """The process is ending. What was accepted on a thread is carried on elsewhere: the same request joins it."""

    code = "shutting_down"
    is_retryable = True

    def __init__(self, message: str = "the server is ending; send the same request again") -> None:
        super().__init__(message)


class StoreError(AgentGraphError):
    """A store refused or failed; the driver's error is the `__cause__`."""

    code = "store_error"


class StoreUnavailableError(StoreError):
    """A store cannot be reached just now."""

    code = "store_unavailable"
    is_retryable = True


class LeaseLostError(StoreError):
    """The thread is another's by now: this write came too late and was refused, and nothing of it is kept."""

    code = "lease_lost"


class ToolError(AgentGraphError):
    """A tool could not be run. A tool that ran and failed is a `ToolMessage(status="error")`, not this."""

    code = "tool_error"


class ToolTimeoutError(ToolError):
    """A tool did not finish in time."""

    code = "tool_timeout"
    is_retryable = True


class SandboxError(ToolError):
    """Sandboxed code broke a limit or tried to leave the sandbox."""

    code = "sandbox_error"


class FunctionError(SandboxError):
    """A sandboxed function raised, or cannot be compiled.

    Attributes:
        type: The exception's name: `"ZeroDivisionError"`, `"SyntaxError"`, …
        detail: The exception's own message, as the function's code gave it.
        line: In the function's code, from 1; None where the fault has no place in it.
        column: In that line, from 1.
    """

    code = "function_error"

    def __init__(self, type_: str, detail: str, *, line: int | None = None, column: int | None = None) -> None:
        where = "" if line is None else f" (line {line}, column {column})"
        super().__init__((f"{type_}: {detail}" if detail else type_) + where)
        self.type = type_
        self.detail = detail
        self.line = line
        self.column = column


class FunctionTimeout(SandboxError):  # noqa: N818 - reads as what happened, as asyncio's own names do
    """A sandboxed function did not finish in its time, and was killed."""

    code = "function_timeout"


class FunctionMemoryError(SandboxError):
    """A sandboxed function needed more memory than it may have."""

    code = "function_memory"


class FunctionOutputTooLarge(SandboxError):  # noqa: N818
    """A sandboxed function returned or printed more than it may."""

    code = "function_output_too_large"


class SandboxUnavailable(SandboxError):  # noqa: N818
    """No worker could be started, none came free in time, or the one at work died."""

    code = "sandbox_unavailable"
    is_retryable = True


def is_retryable(error: BaseException) -> bool:
    """Say whether repeating the call that raised `error` can help.

    Reads our errors and LangChain's `ModelError`s alike: both carry `is_retryable`.
    """
    return bool(getattr(error, "is_retryable", False))
