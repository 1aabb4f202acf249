"""Changes that are refused where somebody else has changed the same thing meanwhile.

Source: RFC 9110, sections 8.8.3 and 13.1.1.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Hashable
from typing import Annotated, TypeAlias
from weakref import WeakValueDictionary

from fastapi import Header, HTTPException

__all__ = ["IfMatch", "OneAtATime", "check_match", "etag_of"]

IfMatch: TypeAlias = Annotated[
    str | None,
    Header(
        max_length=1024,
        description="The `ETag` that was read: 412 where it has changed since. Without it the change is made anyway.",
        examples=['"5d41402abc4b2a76b9719d911017c592"'],
    ),
]


def etag_of(*parts: object) -> str:
    """Return a strong entity tag of what makes a representation what it is."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def check_match(if_match: str | None, etag: str) -> None:
    """Refuse a change to what is no longer as it was read.

    Raises:
        HTTPException: 412.
    """
    if if_match is None or if_match.strip() == "*":
        return
    # Weak tags never match: `If-Match` compares strongly.
    if etag not in {tag.strip() for tag in if_match.split(",")}:
        raise HTTPException(412, f"it has changed since: read it again, its ETag is {etag}")


class OneAtATime:
    """Lets one request of this process at a time compare and change a thing whose store cannot do both at once."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def on(self, *thing: Hashable) -> asyncio.Lock:
        """Return the lock of a thing; it is there for as long as somebody holds it."""
        lock = self._locks.get(thing)
        if lock is None:
            lock = self._locks[thing] = asyncio.Lock()
        return lock
