"""Become the interpreter of a worker, stripped of all it would inherit: a script of the standard library alone.

    python -I -S launch.py DIRECTORY MEMORY_BYTES CPU_S INTERPRETER [ARGUMENT ...]

The interpreter needs none of what is taken away here. These walls are for the day its own have a hole.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

_MOST_FILES = 16


def main() -> None:
    """Drop what was inherited, set the limits of the operating system, and become the interpreter."""
    directory, memory_bytes, cpu_s, interpreter, *arguments = sys.argv[1:]
    os.chdir(directory)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # its last words are not our log's
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    limits = {
        "RLIMIT_AS": int(memory_bytes),
        "RLIMIT_CPU": int(cpu_s),
        "RLIMIT_NOFILE": _MOST_FILES,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
    }
    for name, most in limits.items():
        # A platform that lacks a limit, or already has a lower one, keeps what it has.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))
    os.execve(interpreter, [interpreter, *arguments], {})  # noqa: S606 - no shell is what is wanted


if __name__ == "__main__":
    main()
