"""LlamaIndex's Qdrant store against the node at TIERVEC_URL: nodes in, found by vector and by metadata, deleted."""
import os
import uuid

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (FilterCondition, FilterOperator, MetadataFilter, MetadataFilters,
                                                  VectorStoreQuery, VectorStoreQueryMode)
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient

TEXTS = [("north", [0.0, 1.0, 0.0], {"kind": "wind", "year": 2001}), ("east", [1.0, 0.0, 0.0], {"kind": "wind", "year": 2010}),
         ("up", [0.0, 0.0, 1.0], {"kind": "lift", "year": 2020}), ("northeast", [0.7, 0.7, 0.1], {"kind": "wind", "year": 2021})]


def nodes():
    return [TextNode(id_=str(uuid.uuid5(uuid.NAMESPACE_URL, text)), text=text, embedding=vector, metadata=metadata,
                     relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{text}")})
            for text, vector, metadata in TEXTS]


@pytest.fixture()
def store():
    name = f"llama-{uuid.uuid4().hex[:12]}"
    client = QdrantClient(url=os.environ["TIERVEC_URL"])
    aclient = AsyncQdrantClient(url=os.environ["TIERVEC_URL"])
    yield QdrantVectorStore(collection_name=name, client=client, aclient=aclient)
    client.delete_collection(name)
    client.close()


def ask(store, vector, k=4, **more):
    answer = store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=k, **more))
    return [n.text for n in answer.nodes], answer.similarities


def test_nodes_are_found_by_vector(store):
    store.add(nodes())
    texts, scores = ask(store, [0.0, 1.0, 0.0], k=2)
    assert texts == ["north", "northeast"]
    assert abs(scores[0] - 1) < 1e-5 and scores[0] > scores[1]


def test_metadata_filters(store):
    store.add(nodes())
    wind = MetadataFilter(key="kind", value="wind")
    late = MetadataFilter(key="year", value=2010, operator=FilterOperator.GTE)
    texts, _ = ask(store, [0.0, 0.0, 1.0], filters=MetadataFilters(filters=[wind, late]))
    assert sorted(texts) == ["east", "northeast"]
    texts, _ = ask(store, [0.0, 0.0, 1.0], filters=MetadataFilters(filters=[wind, late], condition=FilterCondition.OR))
    assert sorted(texts) == ["east", "north", "northeast", "up"]
    not_wind = MetadataFilter(key="kind", value="wind", operator=FilterOperator.NE)
    texts, _ = ask(store, [0.0, 1.0, 0.0], filters=MetadataFilters(filters=[not_wind]))
    assert texts == ["up"]
    among = MetadataFilter(key="year", value=[2001, 2020], operator=FilterOperator.IN)
    texts, _ = ask(store, [0.0, 1.0, 0.0], filters=MetadataFilters(filters=[among]))
    assert sorted(texts) == ["north", "up"]


def test_nodes_are_read_and_deleted(store):
    made = nodes()
    store.add(made)
    assert sorted(n.text for n in store.get_nodes(node_ids=[made[0].node_id, made[2].node_id])) == ["north", "up"]
    store.delete("doc-north")
    assert sorted(ask(store, [0.0, 1.0, 0.0])[0]) == ["east", "northeast", "up"]
    store.delete_nodes([made[1].node_id])
    assert sorted(ask(store, [0.0, 1.0, 0.0])[0]) == ["northeast", "up"]
    store.clear()


def test_diverse_answers(store):
    store.add(nodes())
    texts, _ = ask(store, [0.7, 0.7, 0.0], k=3, mode=VectorStoreQueryMode.MMR)
    assert texts[0] == "northeast" and len(texts) == 3


@pytest.mark.asyncio
async def test_the_asynchronous_client(store):
    await store.async_add(nodes())
    answer = await store.aquery(VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0], similarity_top_k=1))
    assert [n.text for n in answer.nodes] == ["east"]
