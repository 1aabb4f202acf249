"""The words that tell something: a way to compare what two sentences say without a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from agentgraph.stores.lexical import stem, words

__all__ = ["most_alike", "says_the_same", "telling_words"]

# Only words whose presence changes nothing; so no negation, no number, no past tense, and no "from", "for" or "with".
_INERT: Final = frozenset(
    {"i", "m", "me", "my", "mine", "myself", "we", "our", "user", "speaker", "s", "the", "a", "an", "of", "to", "that"}
    | {"am", "is", "are", "do", "does", "have", "has", "ve", "it", "really", "very", "much", "lot"}
)
_INERT_STEMS: Final = frozenset(map(stem, _INERT))
_WORD: Final = re.compile(r"[^\W_]+")


def telling_words(text: str) -> set[str]:
    """Return the stems of the words in `text` that tell something; in scripts without spaces, characters and pairs."""
    return set(words(text)) - _INERT_STEMS


def says_the_same(text: str, other: str) -> bool:
    """Say whether two texts hold the same telling words in the same form, whatever their order, and names in order.

    It errs on the side of no: `like` and `love`, `work` and `worked`, `Ann met Ben` and `Ben met Ann` are not the same.
    """
    mine, theirs = list(_told(text)), list(_told(other))
    if not mine or sorted(map(str.casefold, mine)) != sorted(map(str.casefold, theirs)):
        return False
    # A word with a capital in both is a name; in one alone it begins the sentence.
    names, others = (
        [w for w in mine if w in theirs and not w.islower()],
        [w for w in theirs if w in mine and not w.islower()],
    )
    return names == others


def most_alike(text: str, others: Sequence[str]) -> str:
    """Return the one of `others` that shares the most telling words with `text`, of equals the first."""
    told = telling_words(text)
    return max(others, key=lambda other: len(told & telling_words(other)))


def _told(text: str) -> Iterator[str]:
    return (word for word in _WORD.findall(text) if word.casefold() not in _INERT)
