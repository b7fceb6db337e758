"""LangChain's standard suite for vector stores, on its Qdrant store, against the node at TIERVEC_URL.

The suite uses ids like "1", so the node runs with compat.qdrant.string_ids; and it wants documents back as they were
put in, where that store adds `_id` and `_collection_name` to their metadata, and knows neither documents of which only
some have ids nor that ids it makes come back with dashes: Store below mends that.
"""
import os
import uuid

import pytest
from langchain_core.vectorstores import VectorStore
from langchain_qdrant import QdrantVectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests
from qdrant_client import QdrantClient, models


class Store(QdrantVectorStore):
    def add_texts(self, texts, metadatas=None, ids=None, **more):
        texts = list(texts)
        ids = [one or str(uuid.uuid4()) for one in ids or [None] * len(texts)]
        return super().add_texts(texts, metadatas, ids, **more)

    @classmethod
    def _document_from_point(cls, *args, **more):
        document = super()._document_from_point(*args, **more)
        document.metadata.pop("_collection_name", None)
        document.id = document.metadata.pop("_id", None)
        return document


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture()
    def vectorstore(self) -> VectorStore:
        name = f"langchain-{uuid.uuid4().hex[:12]}"
        client = QdrantClient(url=os.environ["TIERVEC_URL"])
        embeddings = self.get_embeddings()
        client.create_collection(name, vectors_config=models.VectorParams(
            size=len(embeddings.embed_query("how long")), distance=models.Distance.COSINE))
        try:
            yield Store(client=client, collection_name=name, embedding=embeddings)
        finally:
            client.delete_collection(name)
            client.close()


class TestMore:
    """What the standard suite does not ask: filters, scores, diverse answers."""

    vectorstore = TestStandard.vectorstore
    get_embeddings = staticmethod(TestStandard.get_embeddings)

    def test_filters_and_scores(self, vectorstore):
        vectorstore.add_texts(["one", "two", "three", "four"],
                              metadatas=[{"n": n, "odd": n % 2 == 1} for n in (1, 2, 3, 4)])
        odd = models.Filter(must=[models.FieldCondition(key="metadata.odd", match=models.MatchValue(value=True))])
        found = vectorstore.similarity_search_with_score("three", k=4, filter=odd)
        assert sorted(d.metadata["n"] for d, _ in found) == [1, 3]
        assert found[0][0].page_content == "three" and abs(found[0][1] - 1) < 1e-4
        high = models.Filter(must=[models.FieldCondition(key="metadata.n", range=models.Range(gt=2))])
        assert sorted(d.metadata["n"] for d in vectorstore.similarity_search("one", k=4, filter=high)) == [3, 4]

    def test_diverse_answers(self, vectorstore):
        vectorstore.add_texts(["one", "two", "three"])
        found = vectorstore.max_marginal_relevance_search("one", k=2, fetch_k=3)
        assert len(found) == 2 and found[0].page_content == "one"
