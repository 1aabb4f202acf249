"""What a function prints, up to a limit."""

from __future__ import annotations

__all__ = ["Printed"]


class Printed:
    """Collects printed text; raises where there is more of it than allowed, which ends the call.

    Args:
        most_bytes: As UTF-8, of everything printed together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._parts: list[str] = []

    def __call__(self, _stream: str, text: str) -> None:
        """Take what was printed to either stream."""
        self._left -= len(text.encode("utf-8", "replace"))
        if self._left < 0:
            raise OverflowError("too much printed")
        self._parts.append(text)

    @property
    def is_too_much(self) -> bool:
        """Whether more was printed than allowed."""
        return self._left < 0

    @property
    def text(self) -> str:
        """All that was printed, in order."""
        return "".join(self._parts)
