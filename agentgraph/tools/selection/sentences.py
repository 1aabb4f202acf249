"""Cut a request into its sentences: a request of several wishes is several requests."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["sentences", "shortened"]

_LONGEST: Final = 4_000  # characters of a message that are read
_MOST: Final = 8
_SHORTEST: Final = 12  # characters; "Thanks!" wishes for nothing
_END: Final = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")


def shortened(text: str) -> str:
    """Return the two ends of a long text: what is asked stands before or after what is pasted."""
    text = text.strip()
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}\n{text[-half:]}"


def sentences(text: str) -> list[str]:
    """Return the distinct sentences of a text, of many the first and the last; none where it is but one."""
    parts = (part.strip() for part in _END.split(text))
    found = list(dict.fromkeys(part for part in parts if len(part) >= _SHORTEST))
    if len(found) > _MOST:
        found = found[: _MOST // 2] + found[-_MOST // 2 :]
    return found if len(found) > 1 else []
