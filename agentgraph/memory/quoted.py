"""Quote what somebody said for a model: on one line, and inside its quotes, whatever it holds."""

from __future__ import annotations

import json
from typing import Final

__all__ = ["quoted"]

# JSON leaves these as they are: ends of lines to many a reader, and marks that turn the text around them.
_UNRULY: Final = {
    ord(character): f"\\u{ord(character):04x}"
    for character in "\x7f\x85\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
}


def quoted(said: object) -> str:
    """Return `said`, a text or anything JSON can hold, as JSON on a single line."""
    return json.dumps(said, ensure_ascii=False).translate(_UNRULY)
