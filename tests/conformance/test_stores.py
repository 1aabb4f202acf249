"""Every store of memories keeps one contract."""

import pytest
from langgraph.store.memory import InMemoryStore

from agentgraph.stores.faiss import FaissStore
from agentgraph.testing import HashEmbeddings, StoreConformance


class TestInMemoryStore(StoreConformance):
    @pytest.fixture
    async def store(self):
        return InMemoryStore(index={"dims": 256, "embed": HashEmbeddings(256)})


class TestFaissStore(StoreConformance):
    searches_by_words = newest_first = refuses_cross_tenant = keeps_created_at = True

    @pytest.fixture
    async def store(self, tmp_path):
        async with FaissStore(tmp_path, embeddings=HashEmbeddings(256), sync="normal") as store:
            yield store


class TestFaissStoreWithoutEmbeddings(TestFaissStore):
    searches_by_meaning = False

    @pytest.fixture
    async def store(self, tmp_path):
        async with FaissStore(tmp_path, embeddings=None, sync="normal") as store:
            yield store
