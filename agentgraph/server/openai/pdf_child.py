"""Read a PDF's text in a process of its own: the file on standard input, UTF-8 on standard output.

    python -I -S pdf_child.py SITE_PACKAGES MEMORY_BYTES CPU_S MOST_CHARS

What a PDF makes its reader do, it does within these limits and without anything to read, write or call. Exit codes: 0
read, 3 encrypted, 4 unreadable.
"""

from __future__ import annotations

import contextlib
import os
import sys

ENCRYPTED = 3
UNREADABLE = 4
_MOST_FILES = 64
_RECURSION = 400


def main() -> int:
    """Set the limits, read, and write."""
    packages, memory_bytes, cpu_s, most_chars = sys.argv[1:]
    _confine(int(memory_bytes), int(cpu_s))
    sys.path.append(packages)
    sys.setrecursionlimit(max(_RECURSION, 1000))
    import io
    import warnings

    from pypdf import PdfReader

    warnings.simplefilter("ignore")
    left = int(most_chars)
    try:
        reader = PdfReader(io.BytesIO(sys.stdin.buffer.read()))
        if reader.is_encrypted and not reader.decrypt(""):
            return ENCRYPTED
        for page in reader.pages:
            text = page.extract_text()[:left]
            sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n\n")
            left -= len(text)
            if left <= 0:
                break
    except BaseException:  # noqa: BLE001  whatever a broken file makes of its reader
        return UNREADABLE
    sys.stdout.buffer.flush()
    return 0


def _confine(memory_bytes: int, cpu_s: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has none of these limits; the parent's time limit holds there too
        return
    limits = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CPU": cpu_s,
        "RLIMIT_NOFILE": _MOST_FILES,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
    }
    for name, most in limits.items():
        # A platform that lacks a limit, or already has a lower one, keeps what it has.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # nothing of what a file left behind is waited for
