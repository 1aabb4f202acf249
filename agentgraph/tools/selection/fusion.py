"""One score from words and meaning, and one from a request and its sentences.

    score(text) = wl · share of its words + wd · cosine        wl + wd = 1, wl : wd = .3/σ(words) : .7/σ(meaning)
    score(turn) = .75 · score(whole) + .25 · best score(sentence)
    score       = the best of the turns', each worth .6 of the one after it

σ is how much a side tells the tools apart for this very text: a side that holds all tools alike sets no order, one that
picks out a few does. Fixed weights lose to the better side where the other is weak, and so do ranks (RRF). The result
is a mean of two shares, so it compares between requests. The weights were chosen by leaving each of five public sets
out in turn and lie on a plateau.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["best_of_turns", "fused", "with_sentences"]

Scores = npt.NDArray[np.float32]

_WORDS: Final = 0.3
_SENTENCES: Final = np.float32(0.25)
_OLDER: Final = 0.6
# What the spread is like in sets of any size; it stands in where there are too few tools to measure it.
_USUAL_TOOLS: Final = 50
_USUAL_WORDS, _USUAL_MEANING = 0.02, 0.08


def fused(words: Scores, meaning: Scores | None) -> Scores:
    """Return one score for each tool, 0 to 1; without `meaning`, that of the words."""
    if meaning is None:
        return words
    meaning = np.maximum(meaning, np.float32(0))
    of_words = _WORDS / _spread(words, _USUAL_WORDS)
    of_meaning = (1 - _WORDS) / _spread(meaning, _USUAL_MEANING)
    share = np.float32(of_words / (of_words + of_meaning))
    return share * words + (1 - share) * meaning


def with_sentences(whole: Scores, parts: list[Scores]) -> Scores:
    """Return the scores of a text whose sentences were scored one by one."""
    return (1 - _SENTENCES) * whole + _SENTENCES * np.maximum.reduce(parts) if parts else whole


def best_of_turns(turns: list[Scores]) -> Scores:
    """Return the scores of several turns, the newest first."""
    aged: Scores = np.maximum.reduce([np.float32(_OLDER**age) * scores for age, scores in enumerate(turns)])
    return aged


def _spread(scores: Scores, usual: float) -> float:
    count = scores.size
    variance = count * float(scores.var()) + _USUAL_TOOLS * usual**2
    return float(np.sqrt(variance / (count + _USUAL_TOOLS)))
