"""How near tools are in meaning: cosines to their vectors, which are made in the background and kept on disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from agentgraph.errors import AgentGraphError
from agentgraph.models.embeddings import load_embeddings
from agentgraph.stores.vectors import inner_products, is_sound, pack, unit, unpack
from agentgraph.tools.selection.document import ToolDocument
from agentgraph.tools.selection.vectors import VectorCache, text_key

__all__ = ["DenseIndex"]

Scores = npt.NDArray[np.float32]

_log: Final = logging.getLogger(__name__)
_BATCH: Final = 64
_QUERY_BUDGET_S: Final = 2.0  # a request waits no longer for the embedder than this
_PAUSE_S: Final = 60.0  # after a failure words alone rank for so long


class DenseIndex:
    """The vectors of tools. Until they are all there, and while the embedder fails, nothing is known of meaning."""

    def __init__(
        self,
        documents: Sequence[ToolDocument],
        embeddings: Embeddings,
        cache: VectorCache | None,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._embeddings = load_embeddings(embeddings)
        self._cache = cache
        self._seconds = seconds
        self._vectors: npt.NDArray[np.float32] | None = None
        self._making: asyncio.Task[None] | None = None
        self._paused_until = -float("inf")
        self._has_complained = False

    @property
    def is_ready(self) -> bool:
        """Whether the tools' vectors are there."""
        return self._vectors is not None

    @property
    def size_bytes(self) -> int:
        """Memory the vectors take."""
        return 0 if self._vectors is None else self._vectors.nbytes

    def start(self) -> None:
        """Begin to make the vectors, unless they are there, under way, or failed a moment ago."""
        if self.is_ready or self._seconds() < self._paused_until:
            return
        loop = asyncio.get_running_loop()
        # One left behind by a loop that was closed will never end.
        if self._making is None or self._making.done() or self._making.get_loop() is not loop:
            self._making = loop.create_task(self._make())

    async def ready(self) -> bool:
        """Wait for the vectors; `False` if they cannot be made now."""
        self.start()
        if not self.is_ready and self._making is not None:
            await asyncio.shield(self._making)
        return self.is_ready

    async def aclose(self) -> None:
        """Stop making vectors."""
        making, self._making = self._making, None
        if making is not None and not making.done() and making.get_loop() is asyncio.get_running_loop():
            making.cancel()
            await asyncio.wait([making])

    async def scores(self, texts: Sequence[str]) -> Scores | None:
        """Return the cosine of each text to each tool, `(texts, tools)`; `None` where nothing is known of meaning."""
        self.start()
        vectors = self._vectors
        if vectors is None or self._seconds() < self._paused_until:
            return None
        try:
            async with asyncio.timeout(_QUERY_BUDGET_S):
                asked = await asyncio.gather(*map(self._embeddings.aembed_query, texts))
            # One by one: a product of few rows by many takes BLAS several times as long.
            rows = np.arange(len(vectors))
            return np.stack([inner_products(vectors, _fitting(vector, vectors.shape[1]), rows) for vector in asked])
        except Exception as error:  # noqa: BLE001  an embedder may raise anything, and words are left
            self._pause(error)
            return None

    async def _make(self) -> None:
        try:
            texts = [document.text for document in self._documents]
            blobs = await self._known(texts)
            missing = [text for text in dict.fromkeys(texts) if text_key(text) not in blobs]
            for start in range(0, len(missing), _BATCH):
                blobs |= await self._embedded(missing[start : start + _BATCH])
            self._vectors = await asyncio.to_thread(lambda: unpack([blobs[text_key(text)] for text in texts]))
        except Exception as error:  # noqa: BLE001  an embedder may raise anything, and words are left
            self._pause(error)

    async def _known(self, texts: Sequence[str]) -> dict[bytes, bytes]:
        """Return what the cache knows of these texts and is undamaged, by key."""
        if self._cache is None:
            return {}
        cache, model_id = self._cache, self._embeddings.model_id
        found = await asyncio.to_thread(lambda: cache.read(model_id, [text_key(text) for text in texts]))
        sizes = [len(blob) for blob in found.values()]
        usual = max(sizes, key=sizes.count) if sizes else None
        return {key: blob for key, blob in found.items() if is_sound(blob, usual)}

    async def _embedded(self, texts: list[str]) -> dict[bytes, bytes]:
        vectors = await self._embeddings.aembed_documents(texts)
        made = dict(zip(map(text_key, texts), pack(vectors), strict=True))
        if self._cache is not None:
            cache = self._cache
            await asyncio.to_thread(lambda: cache.write(self._embeddings.model_id, made))
        return made

    def _pause(self, error: BaseException) -> None:
        self._paused_until = self._seconds() + _PAUSE_S
        if not self._has_complained:
            self._has_complained = True
            said = error.message if isinstance(error, AgentGraphError) else f"{type(error).__name__}: {error}"
            _log.warning("tools are ranked by their words alone, the embedder failed: %s", said)


def _fitting(vector: Sequence[float], dims: int) -> npt.NDArray[np.float32]:
    """Return the unit vector of a request; FAISS reads past the end of one that is too short."""
    fitting = unit(vector)
    if fitting.size != dims:
        raise ValueError(f"the tools' vectors have {dims} numbers, the request's has {fitting.size}")
    return fitting
