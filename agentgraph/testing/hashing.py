"""The hashing embedder with a notebook: it writes down what it was asked to embed."""

from __future__ import annotations

from agentgraph.models.embeddings import HashEmbeddings as _HashEmbeddings

__all__ = ["HashEmbeddings"]


class HashEmbeddings(_HashEmbeddings):
    """Deterministic vectors without a model: texts that share words are near.

    Args:
        dims: Length of the vectors.
        model_id: Another id, as of another model.

    Attributes:
        calls: The texts of every call, in order.
    """

    def __init__(self, dims: int = 64, *, model_id: str | None = None) -> None:
        super().__init__(dims)
        self.model_id = model_id or self.model_id
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
        # LangGraph's InMemoryStore divides by a vector's length: a text without words must have one too.
        return super().embed_query(text if any(map(str.isalnum, text)) else f"blank{len(text)}")
