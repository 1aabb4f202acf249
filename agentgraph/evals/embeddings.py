"""An embedder that remembers, so that a baseline over the same texts asks for no vector twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

__all__ = ["RememberingEmbeddings"]


class RememberingEmbeddings(Embeddings):
    """Any embedder, with every vector it has made."""

    def __init__(self, inner: Embeddings) -> None:
        self._inner = inner
        self._known: dict[str, npt.NDArray[np.float32]] = {}
        self.model_id = getattr(inner, "model_id", type(inner).__name__)

    def known(self, text: str) -> npt.NDArray[np.float32]:
        """Return the unit vector of a text, embedding it only if need be."""
        if text not in self._known:
            self.embed_documents([text])
        vector = self._known[text]
        length = float(np.linalg.norm(vector))
        return vector / np.float32(length or 1.0)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts that are not known."""
        if missing := self._missing(texts):
            self._remember(missing, self._inner.embed_documents(missing))
        return self._recall(texts)

    def embed_query(self, text: str) -> list[float]:
        """Embed a question."""
        if text not in self._known:
            self._remember([text], [self._inner.embed_query(text)])
        return self._recall([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts that are not known."""
        if missing := self._missing(texts):
            self._remember(missing, await self._inner.aembed_documents(missing))
        return self._recall(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a question."""
        if text not in self._known:
            self._remember([text], [await self._inner.aembed_query(text)])
        return self._recall([text])[0]

    def _missing(self, texts: Sequence[str]) -> list[str]:
        return [text for text in dict.fromkeys(texts) if text not in self._known]

    def _remember(self, texts: Sequence[str], vectors: list[list[float]]) -> None:
        pairs = zip(texts, vectors, strict=True)
        self._known.update((text, np.asarray(vector, dtype=np.float32)) for text, vector in pairs)

    def _recall(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._known[text].tolist() for text in texts]
