"""Lists, a page at a time: `?limit=&after=` in, `{"data", "has_more", "next"}` out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, TypeAlias, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from agentgraph.errors import InvalidInputError

__all__ = [
    "GREATEST_NUMBER",
    "After",
    "Limit",
    "Page",
    "name_after",
    "page_after_name",
    "page_of",
    "page_within",
    "position_after",
]

T = TypeVar("T")
S = TypeVar("S")
MOST: Final = 200
GREATEST_NUMBER: Final = 2**63 - 1
"""Where a list is ordered by a number of the database's, nothing is skipped, and the number grows for ever."""
_FARTHEST: Final = 1_000_000  # to skip so many is to read them: whoever wants all takes an export

Limit: TypeAlias = Annotated[int, Query(ge=1, le=MOST, description="At most so many.", examples=[50])]
After: TypeAlias = Annotated[
    str | None, Query(max_length=512, description="`next` of the page before.", examples=["bWVtb3JpZXM6NTA"])
]


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    data: list[T]
    has_more: bool = Field(description="Whether there is another page.", examples=[False])
    next: str | None = Field(description="What to send as `after` for it.", examples=[None])


def position_after(after: str | None, *, of: str, farthest: int = _FARTHEST) -> int:
    """Return the number a cursor of this server's stands for: 0 without one.

    Args:
        after: The cursor.
        of: What is listed: a cursor of another list is none of this.
        farthest: The greatest number there may be.

    Raises:
        InvalidInputError: It is no cursor of this list.
    """
    if after is None:
        return 0
    name = _decoded(after, of=of)
    if not (name.isascii() and name.isdecimal() and len(name) <= len(str(farthest))) or int(name) > farthest:
        raise _no_cursor()
    return int(name)


def page_of(
    items: Sequence[S], show: Callable[[S], T], *, of: str, limit: int, begins_at: int | Callable[[S], int]
) -> Page[T]:
    """Return a page.

    Args:
        items: `limit` of them, and one more where there is another page.
        show: Returns how an item is told.
        of: What is listed.
        limit: How many a page has.
        begins_at: How many items come before; or the number that an item is listed by.
    """
    shown, has_more = items[:limit], len(items) > limit
    following: str | None = None
    if has_more:
        number = begins_at + limit if isinstance(begins_at, int) else begins_at(shown[-1])
        following = _encoded(str(number), of=of)
    return Page(data=[show(item) for item in shown], has_more=has_more, next=following)


def page_within(items: Sequence[S], show: Callable[[S], T], *, of: str, limit: int, begins_at: int) -> Page[T]:
    """Return a page of a list that is here whole; see `page_of`."""
    return page_of(items[begins_at : begins_at + limit + 1], show, of=of, limit=limit, begins_at=begins_at)


def page_after_name(
    items: Sequence[S], show: Callable[[S], T], *, of: str, limit: int, name: Callable[[S], str]
) -> Page[T]:
    """Return a page of a list whose items are told apart by names; see `page_of`, and `name_after`."""
    shown, has_more = items[:limit], len(items) > limit
    following = _encoded(name(shown[-1]), of=of) if has_more else None
    return Page(data=[show(item) for item in shown], has_more=has_more, next=following)


def name_after(after: str | None, *, of: str) -> str | None:
    """Return the name a cursor stands for.

    Raises:
        InvalidInputError: It is no cursor of this list.
    """
    return None if after is None else _decoded(after, of=of)


def _encoded(name: str, *, of: str) -> str:
    return base64.urlsafe_b64encode(f"{of}:{name}".encode()).decode().rstrip("=")


def _decoded(cursor: str, *, of: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise _no_cursor() from None
    kind, colon, name = text.partition(":")
    if kind != of or not colon or not name or not name.isprintable():
        raise _no_cursor()
    return name


def _no_cursor() -> InvalidInputError:
    return InvalidInputError("after is no cursor of this list: send `next` of the page before", param="after")
