"""Decide what leaves a thread's live window: whole turns only, by tokens and by messages.

A turn is a user message and everything up to the next one. A tool call and its result never part, and the newest turn
always stays, even where it alone is too long. Nothing here looks into the clock, the model or the store.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately

__all__ = ["Strategy", "leaving", "stretches", "tokens_in", "tokens_of_text"]

Strategy = Literal["summarize", "sliding", "drop_oldest", "drop_middle"]
"""How a window is shortened once it is too long.

`summarize` takes out all but the newest half. `sliding` does the same and counts from the beginning, so that the same
history is cut at the same place however much has followed: what vendors cached of it holds until the next cut.
`drop_oldest` takes out no more than it must. `drop_middle` keeps the thread's first turn and the newest.
"""
_BYTES_PER_TOKEN: Final = 4
_TOKENS_PER_MESSAGE: Final = 3
_ROLES: Final[Mapping[str, int]] = {"human": len("user"), "ai": len("assistant")}


def tokens_of_text(text: str) -> int:
    """Return about how many tokens a text takes: four bytes each, so that Chinese does not count as English would."""
    return math.ceil(_bytes_in(text) / _BYTES_PER_TOKEN)


def tokens_in(messages: Sequence[BaseMessage]) -> int:
    """Return about how many tokens messages take in a prompt."""
    return sum(map(_tokens, messages))


def leaving(
    messages: Sequence[BaseMessage],
    strategy: Strategy,
    *,
    max_tokens: int,
    max_messages: int | None = None,
    gap: int | None = None,
) -> range:
    """Return which of a window's messages leave it: a range of indices, empty while the window is short enough.

    Args:
        messages: The live window, oldest first.
        strategy: See `Strategy`.
        max_tokens: How long the window may be.
        max_messages: How many messages it may hold; `None` for any number.
        gap: Where in the window messages have left it before: 0 for its beginning, `None` for nowhere.
    """
    tokens = [_tokens(message) for message in messages]
    window = _Window([0, *accumulate(tokens)], max_tokens, max_messages)
    end = len(messages)
    if window.fits(0, end):
        return range(0)
    starts = _turn_starts(messages)
    match strategy:
        case "summarize":
            start = window.first_that_fits(starts[1:], end, share=0.5)
        case "sliding":
            start = _slide(window, [*starts, end])
        case "drop_oldest":
            start = window.first_that_fits(starts[1:], end)
        case "drop_middle":
            return _middle(window, starts, end, gap)
    return range(min(start, starts[-1]))


def stretches(messages: Sequence[BaseMessage], *, max_tokens: int) -> list[range]:
    """Return whole turns in groups of no more than `max_tokens`; a turn that is longer is a group of its own."""
    bounds = [*_turn_starts(messages), len(messages)] if messages else []
    groups: list[range] = []
    size = 0
    for start, end in pairwise(bounds):
        more = tokens_in(messages[start:end])
        if groups and size + more <= max_tokens:
            groups[-1], size = range(groups[-1].start, end), size + more
        else:
            size = more
            groups.append(range(start, end))
    return groups


class _Window:
    """Knows of every stretch of a window whether it is short enough."""

    def __init__(self, tokens_before: Sequence[int], max_tokens: int, max_messages: int | None) -> None:
        self._before = tokens_before
        self._max_tokens = max_tokens
        self._max_messages = math.inf if max_messages is None else max_messages

    def fits(self, start: int, end: int, *, head: int = 0, share: float = 1.0) -> bool:
        """Say whether `start:end` fits `share` of what the first `head` messages leave."""
        tokens, count = self._before[end] - self._before[start], end - start
        return (
            tokens <= (self._max_tokens - self._before[head]) * share and count <= (self._max_messages - head) * share
        )

    def first_that_fits(self, starts: Sequence[int], end: int, *, head: int = 0, share: float = 1.0) -> int:
        """Return the first of `starts` from which the rest fits; `end` where none does."""
        at = bisect_left(starts, x=True, key=lambda start: self.fits(start, end, head=head, share=share))
        return starts[at] if at < len(starts) else end


def _slide(window: _Window, bounds: Sequence[int]) -> int:
    """Go through the turns as they came, halving the window whenever it overflowed."""
    first = 0
    for newest in range(len(bounds) - 1):
        end = bounds[newest + 1]
        if not window.fits(bounds[first], end):
            halved = window.first_that_fits(bounds[first + 1 : newest + 1], end, share=0.5)
            first = min(bisect_left(bounds, halved), newest)
    return bounds[first]


def _middle(window: _Window, starts: Sequence[int], end: int, gap: int | None) -> range:
    head = gap if gap is not None else starts[1] if len(starts) > 1 else 0
    # A first turn that takes up half the window, or leaves the newest turn no room, is no use there.
    if not window.fits(0, head, share=0.5) or not window.fits(starts[-1], end, head=head):
        head = 0
    rest = [start for start in starts if start > head]
    stop = min(window.first_that_fits(rest, end, head=head, share=0.5), starts[-1])
    return range(head, max(head, stop))


def _turn_starts(messages: Sequence[BaseMessage]) -> list[int]:
    """Return where turns begin: at user messages, but not between a tool call and a result that comes late."""
    starts = [0]
    called: dict[str | None, int] = {}
    for i, message in enumerate(messages):
        if isinstance(message, HumanMessage):
            if i:
                starts.append(i)
        elif isinstance(message, AIMessage):
            called.update((call["id"], i) for call in message.tool_calls)
        elif isinstance(message, ToolMessage):
            call = called.get(message.tool_call_id, i)
            while starts[-1] > call:
                starts.pop()
    return starts


def _tokens(message: BaseMessage) -> int:
    """Count as LangChain does, without its detours for plain text: a window is counted at every model call."""
    content = message.content
    is_plain = isinstance(message, HumanMessage) or (isinstance(message, AIMessage) and not message.tool_calls)
    if is_plain and isinstance(content, str):
        size = _ROLES[message.type] + len(message.name or "") + _bytes_in(content)
        return -(-size // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE
    text = str(message.text)
    return count_tokens_approximately([message]) + (_bytes_in(text) - len(text)) // _BYTES_PER_TOKEN


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
