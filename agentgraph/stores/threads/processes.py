"""Which processes are alive: each holds a lock on a file of its own, which the system lets go of however it ends.

So what a killed process was carrying is found at once, and not when a lease runs out; one that merely stands still
keeps its lock, and loses its leases by time.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: leases run out by time alone
    fcntl = None

__all__ = ["Process", "uptime"]

_DIRECTORY: Final = ".processes"  # no tenant's directory begins with a dot
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)


def uptime() -> float:
    """Return seconds on a clock that all processes of this machine share and that nobody sets."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class Process:
    """This process's mark in a storage directory, and its eyes for the others'."""

    def __init__(self, storage_dir: Path) -> None:
        self.id = f"{os.getpid()}-{uuid4().hex[:12]}"
        self._directory = storage_dir / _DIRECTORY
        self._mark: IO[Any] | None = None

    def open(self) -> None:
        """Make the mark."""
        if fcntl is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        self._mark = (self._directory / self.id).open("w")
        fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Take the mark away."""
        if self._mark is not None:
            with suppress(OSError):
                (self._directory / self.id).unlink()
            self._mark.close()
            self._mark = None

    def is_alive(self, process: str) -> bool:
        """Say whether a process still runs; where that cannot be known, say so as well."""
        if process == self.id or fcntl is None:
            return True
        try:
            with (self._directory / process).open("r+") as mark:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Nobody holds it: its process is dead. Held while it is unlinked, so nobody else takes it for alive.
                (self._directory / process).unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except OSError:  # held, or not ours to look at
            return True
        return False
