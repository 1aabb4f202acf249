"""`POST /embeddings`: the deployment's embedder.

Tokens are estimated: embedders do not tell them.

Source: https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.plain import readable
from agentgraph.server.openai.api import OpenAIApi, json_response, tenant_of
from agentgraph.server.openai.wire import Wire, field_names, read
from agentgraph.server.schemas import body_docs
from agentgraph.threads.truncate import tokens_of_text

__all__ = ["EmbeddingsRequest", "add_embedding_routes"]

_MOST_TEXTS: Final = 2_048
_MOST_TOKENS: Final = 300_000
_MOST_TOKENS_EACH: Final = 8_192
_AT_ONCE: Final = 32
# Vectors of these models may be cut: they were trained so that the beginning of each is one by itself.
_SHORTENABLE: Final = ("text-embedding-3-", "gemini-embedding-")
_DEFAULT_NAMES: Final = frozenset({"agentgraph", "default"})


class EmbeddingsRequest(Wire):
    """The request's body."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=_MOST_TEXTS)]
    model: str | None = Field(default=None, description="The deployment's; absent, `agentgraph` or `default` name it.")
    dimensions: int | None = Field(default=None, ge=1, description="Fewer than the model's where its vectors allow it.")
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = Field(default=None, description="Changes nothing: the answer is the same for everybody.")


def add_embedding_routes(router: APIRouter, api: OpenAIApi) -> None:
    """Add the routes."""
    turn = asyncio.Semaphore(1)  # a long list is embedded in pieces, so that the questions of others come in between
    docs = body_docs(EmbeddingsRequest, {"input": ["I bought a car.", "It is red."], "model": "default"})

    @router.post("/{tenant:path}/embeddings", openapi_extra=docs)
    async def create_embeddings(request: Request, tenant: str) -> Response:
        """Return the vectors of texts."""
        return await embedded(request, tenant)

    @router.post("/embeddings", openapi_extra=docs)
    async def create_embeddings_of_key(request: Request) -> Response:
        """Return the vectors of texts, for the tenant that the key is of."""
        return await embedded(request, None)

    async def embedded(request: Request, tenant: str | None) -> Response:
        await tenant_of(request, tenant)
        asked = await api.body(request, _read)
        name = _checked_model(asked.model, api.app.embedder_name)
        texts, tokens = _checked_texts([asked.input] if isinstance(asked.input, str) else asked.input)
        vectors: list[Any] = []
        for start in range(0, len(texts), _AT_ONCE):
            async with turn:
                vectors += await api.app.embed(texts[start : start + _AT_ONCE])
        array = _shortened(np.asarray(vectors, np.float32), asked.dimensions, name)
        data = [
            {"object": "embedding", "index": i, "embedding": _encoded(vector, asked.encoding_format)}
            for i, vector in enumerate(array)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_response({"object": "list", "data": data, "model": name, "usage": usage})


def _read(body: bytes) -> EmbeddingsRequest:
    try:
        return read(body, EmbeddingsRequest, fields=field_names(EmbeddingsRequest), hints={})
    except InvalidInputError as error:
        if (error.param or "").startswith("input[") and "string" in error.message:
            raise InvalidInputError(
                "input: send text; tokens are of one model's alphabet (LangChain: check_embedding_ctx_length=False)",
                param="input",
                code="invalid_value",
            ) from None
        raise


def _checked_model(asked: str | None, own: str | None) -> str:
    name = own or "default"
    if asked is None or asked in _DEFAULT_NAMES or asked in {name, name.partition("/")[2]}:
        return name
    raise NotFoundError(
        f"the embedding model {asked!r} is not this deployment's, which is {name!r}", code="model_not_found"
    )


def _checked_texts(texts: Sequence[str]) -> tuple[list[str], int]:
    """Return the texts as embedders take them, and about how many tokens they are."""
    tokens = 0
    for i, text in enumerate(texts):
        at = "input" if len(texts) == 1 else f"input[{i}]"
        if not text:
            raise InvalidInputError(f"{at} is empty", param=at)
        if (more := tokens_of_text(text)) > _MOST_TOKENS_EACH:
            raise InvalidInputError(f"{at} has about {more:,} tokens; at most {_MOST_TOKENS_EACH:,} fit", param=at)
        tokens += more
    if tokens > _MOST_TOKENS:
        raise InvalidInputError(f"input has about {tokens:,} tokens; send at most {_MOST_TOKENS:,}", param="input")
    return [readable(text) for text in texts], tokens


def _shortened(vectors: np.ndarray[Any, Any], dimensions: int | None, model: str) -> np.ndarray[Any, Any]:
    length = vectors.shape[1]
    if dimensions is None or dimensions == length:
        return vectors
    if dimensions > length or not model.partition("/")[2].startswith(_SHORTENABLE):
        raise InvalidInputError(f"vectors of {model!r} have {length} dimensions", param="dimensions")
    cut = vectors[:, :dimensions]
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    shortened: np.ndarray[Any, Any] = cut / np.where(norms == 0, 1, norms)
    return shortened


def _encoded(vector: np.ndarray[Any, Any], encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers
