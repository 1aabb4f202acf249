"""The deployment's embedder over HTTP, asked with the official clients."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from langchain_core.embeddings import Embeddings
from langchain_openai import OpenAIEmbeddings

from agentgraph.server.openai.embeddings import _shortened
from agentgraph.testing import HashEmbeddings
from tests.server.conftest import Serve, Served

pytestmark = pytest.mark.integration


def post(served: Served, tenant: str = "acme", **body: Any) -> httpx.Response:
    return served.http.post(f"/v1/{tenant}/embeddings", json=body)


def test_vectors_are_the_embedders(serve: Serve) -> None:
    served = serve([])
    expected = HashEmbeddings().embed_documents(["One.", "Two."])
    client = served.openai()
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = client.embeddings.create(model="default", input=["One.", "Two."], **options)  # type: ignore[call-overload]
        assert [each.index for each in answer.data] == [0, 1]
        for each, vector in zip(answer.data, expected, strict=True):
            got = each.embedding
            if isinstance(got, str):  # the client decodes only what it asked for by itself
                got = np.frombuffer(base64.b64decode(got), "<f4").tolist()
            np.testing.assert_allclose(got, vector, rtol=1e-6)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    single = client.embeddings.create(model="default", input="One.", encoding_format="float")
    np.testing.assert_allclose(single.data[0].embedding, expected[0], rtol=1e-6)


def test_langchains_client_embeds_as_it_does_with_openai(serve: Serve) -> None:
    served = serve([])
    client = OpenAIEmbeddings(
        model="default", base_url=f"{served.url}/v1/acme", api_key="none", check_embedding_ctx_length=False
    )
    np.testing.assert_allclose(client.embed_query("One."), HashEmbeddings().embed_query("One."), rtol=1e-6)


def test_long_lists_keep_their_order(serve: Serve) -> None:
    served = serve([])
    texts = [f"text number {i}" for i in range(100)]
    data = post(served, input=texts).json()["data"]
    expected = HashEmbeddings().embed_documents(texts)
    np.testing.assert_allclose([each["embedding"] for each in data], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": ["a", ""]}, 400, "input[1]"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": [[1, 2]]}, 400, "input"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": "x" * 40_000}, 400, "input"),
        ({"input": ["x " * 15_000] * 50}, 400, "input"),
        ({"input": "a", "dimensions": 7}, 400, "dimensions"),
        ({"input": "a", "dimensions": 0}, 400, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": "a", "model": "text-embedding-3-small"}, 404, "model"),
        ({"input": "a", "colour": "blue"}, 400, "colour"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_name(
    serve: Serve, body: dict[str, Any], status: int, param: str
) -> None:
    response = post(serve([]), **body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_every_documented_field_is_known() -> None:
    from openai.types.embedding_create_params import EmbeddingCreateParams

    from agentgraph.server.openai.embeddings import EmbeddingsRequest

    assert set(EmbeddingCreateParams.__annotations__) == set(EmbeddingsRequest.model_fields)


def test_vectors_that_may_be_cut_keep_unit_length() -> None:
    vectors = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    cut = _shortened(vectors, 4, "openai/text-embedding-3-small")
    np.testing.assert_allclose(np.linalg.norm(cut, axis=1), 1, rtol=1e-6)
    assert cut.shape == (3, 4)


def test_without_memory_the_embedder_is_opened_for_whom_it_concerns(serve: Serve) -> None:
    served = serve([], enable_memory=False)
    assert post(served, input="One.").status_code == 200


def test_an_embedder_that_fails_is_told_without_its_words(serve: Serve) -> None:
    class Broken(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise RuntimeError("sk-proj-secret")

        def embed_query(self, text: str) -> list[float]:
            return [0.0]

    served = serve([])
    served.app._queries.inner = Broken()  # type: ignore[union-attr]
    response = post(served, input="One.")
    assert response.status_code >= 500
    assert "sk-proj" not in response.text


def test_keys_count_here_too(serve: Serve) -> None:
    served = serve([], api_keys=["right"])
    with pytest.raises(openai.AuthenticationError):
        served.openai(api_key="wrong").embeddings.create(model="default", input="One.")
    assert served.openai(api_key="right").embeddings.create(model="default", input="One.").data
