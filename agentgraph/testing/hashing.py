"""A deterministic embedder without a model: texts that share words get near vectors."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Final

from langchain_core.embeddings import Embeddings

__all__ = ["HashEmbeddings"]

_WORD: Final = re.compile(r"\w+")


class HashEmbeddings(Embeddings):
    """Hashes each word to a signed dimension and adds them up (the hashing trick).

    Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.

    Attributes:
        calls: The texts of every call, in order, so a test can say what was embedded.
    """

    def __init__(self, dims: int = 64, *, model_id: str | None = None) -> None:
        self.dims = dims
        self.model_id = model_id or f"hash-{dims}"
        self.calls: list[list[str]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one unit vector for each text."""
        self.calls.append(list(texts))
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the unit vector of `text`."""
        self.calls.append([text])
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dims
        for word in _WORD.findall(text.casefold()) or [text]:
            digest = int.from_bytes(
                hashlib.blake2b(f"{self.model_id} {word}".encode(errors="surrogatepass"), digest_size=8).digest(), "big"
            )
            vector[(digest >> 1) % self.dims] += 1.0 if digest & 1 else -1.0
        length = math.sqrt(sum(part * part for part in vector)) or 1.0
        return [part / length for part in vector]
