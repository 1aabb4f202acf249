"""What one call in the sandbox may use."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from agentgraph.errors import ConfigurationError

__all__ = ["SandboxLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one call may use; past any of these it is ended with an error that names the limit.

    Attributes:
        time_s: For running the code, its sleeps included. Waiting for a worker does not count.
        memory_bytes: Of the interpreter's heap.
        recursion: Calls within calls.
        code_bytes: Of source, as UTF-8.
        arguments_bytes: Of all arguments as JSON.
        value_bytes: Of the returned value as JSON.
        printed_bytes: Of everything printed, as UTF-8.
    """

    time_s: float = 5.0
    memory_bytes: int = 64 * 1024 * 1024
    recursion: int = 200
    code_bytes: int = 64 * 1024
    arguments_bytes: int = 1024 * 1024
    value_bytes: int = 256 * 1024
    printed_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"The sandbox's limit {field.name} must be above 0 and finite, not {value!r}.")

    def within(self, walls: SandboxLimits) -> SandboxLimits:
        """Return the smaller of each limit: a call may ask for less than the sandbox allows, never for more."""
        return SandboxLimits(
            **{each.name: min(getattr(self, each.name), getattr(walls, each.name)) for each in dataclasses.fields(self)}
        )
