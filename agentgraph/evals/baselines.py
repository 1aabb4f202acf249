"""What the product must beat: the two rankings everybody has, over the same texts and in the same run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from agentgraph.stores.lexical import words

__all__ = ["Bm25", "Cosine"]

_K1, _B = 1.2, 0.75


class Bm25:
    """Okapi BM25 over stemmed words, each text by itself."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._lengths: dict[str, int] = {}
        self._postings: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for key, text in texts.items():
            counts = Counter(words(text))
            self._lengths[key] = counts.total()
            for word, count in counts.items():
                self._postings[word].append((key, count))
        self._mean = max(1.0, sum(self._lengths.values()) / max(1, len(self._lengths)))

    def ranked(self, question: str, *, limit: int) -> list[str]:
        """Return the keys of the best texts, the best first."""
        scores: defaultdict[str, float] = defaultdict(float)
        for word in set(words(question)):
            holding = self._postings.get(word, [])
            weight = math.log(1 + (len(self._lengths) - len(holding) + 0.5) / (len(holding) + 0.5))
            for key, count in holding:
                norm = _K1 * (1 - _B + _B * self._lengths[key] / self._mean)
                scores[key] += weight * count * (_K1 + 1) / (count + norm)
        return sorted(scores, key=lambda key: -scores[key])[:limit]


class Cosine:
    """Exact cosine similarity of embeddings."""

    def __init__(self, keys: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Rank `keys` by their unit `vectors` `(n, dims)`."""
        self._keys = list(keys)
        self._vectors = vectors

    def ranked(self, vector: npt.NDArray[np.float32], *, limit: int) -> list[str]:
        """Return the keys nearest to a unit vector, the nearest first."""
        return [self._keys[at] for at in np.argsort(-(self._vectors @ vector), kind="stable")[:limit]]
