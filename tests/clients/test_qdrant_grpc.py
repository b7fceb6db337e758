"""Both doors of one node beside each other: what the Python client is told by REST (TIERVEC_URL) and by gRPC (TIERVEC_GRPC_PORT)
is the same, and what is written by either leaves the same points. Then the bare stubs, for what the client does not call."""
import json
import math
import os
import random
import struct
import uuid

import grpc as google
import pytest
from qdrant_client import QdrantClient, grpc as g, models as m

import test_qdrant_client as t

SEED = t.SEED
PORT = t.GRPC


def f32(v):
    return struct.unpack("f", struct.pack("f", v))[0]


def narrow(v):
    """Numbers as they are stored: REST prints the shortest decimal that reads back to the same one."""
    if isinstance(v, dict):
        return {k: narrow(x) for k, x in v.items()}
    return [narrow(x) for x in v] if isinstance(v, list) else f32(v)


def plain(v):
    """What a model holds."""
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if hasattr(v, "model_dump"):
        return plain(v.model_dump(exclude_none=True))
    if isinstance(v, dict):
        # A map of protobuf is empty or not, never absent; and one default is the client's own, for REST alone.
        return {k: narrow(x) if k in ("vector", "score", "scores") else plain(x) for k, x in v.items()
                if (k, x) != ("payload", {}) and k != "wal_retain_closed"}
    return v


@pytest.fixture(scope="module")
def doors():
    made = [QdrantClient(url=os.environ["TIERVEC_URL"]), QdrantClient(url=os.environ["TIERVEC_URL"], **t.BY)]
    yield made
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def filled(doors):
    name = f"doors-{uuid.uuid4().hex[:12]}"
    doors[1].create_collection(name, vectors_config=t.VECTORS, metadata={"n": 2**53 + 1, "l": [1, None, "x"]})
    for field, schema in {"word": "keyword", "n": "integer", "x": "float", "when": "datetime"}.items():
        doors[1].create_payload_index(name, field, schema, wait=True)
    doors[1].create_payload_index(name, "text", m.TextIndexParams(type="text", tokenizer="word", lowercase=True), wait=True)
    doors[1].upsert(name, t.points(random.Random(SEED), 400), wait=True)
    yield name
    doors[1].delete_collection(name)


def differences(a, b, at=""):
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in {**a, **b} for d in differences(a.get(k), b.get(k), f"{at}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i in range(len(a)) for d in differences(a[i], b[i], f"{at}[{i}]")]
    return [] if a == b and type(a) is type(b) else [f"{at}: REST {a!r:.300}, gRPC {b!r:.300}"]


def same(doors, call):
    by_rest, by_grpc = (plain(call(door)) for door in doors)
    assert not differences(by_rest, by_grpc), f"seed {SEED}: " + "\n".join(differences(by_rest, by_grpc))
    return by_rest


def test_reads_are_the_same(doors, filled):
    rng = random.Random(SEED)
    for _ in range(80):
        chosen = t.a_filter(rng)
        ids = rng.sample(range(1, 500), 5)
        wanted = rng.choice([True, False, ["word", "deep.list[].a"], m.PayloadSelectorExclude(exclude=["text", "at"])])
        vectors = rng.choice([True, False, ["b"]])
        same(doors, lambda c: c.scroll(filled, scroll_filter=chosen, limit=20, with_payload=wanted, with_vectors=vectors))
        same(doors, lambda c: c.count(filled, count_filter=chosen, exact=True))
        same(doors, lambda c: c.retrieve(filled, ids, with_payload=wanted, with_vectors=vectors))
    same(doors, lambda c: c.facet(filled, "word", exact=True))
    chosen = t.a_filter(rng)
    same(doors, lambda c: c.facet(filled, "n", limit=7, facet_filter=chosen))
    for order in (m.OrderBy(key="n", direction="desc", start_from=100), m.OrderBy(key="x", start_from=0.5),
                  m.OrderBy(key="when", start_from="2015-01-01T00:00:00Z"), "n"):
        same(doors, lambda c: c.scroll(filled, order_by=order, limit=9))
    offset = None
    for _ in range(5):
        _, offset = same(doors, lambda c: c.scroll(filled, limit=90, offset=offset, with_payload=False))


def a_query(rng, using):
    size = t.VECTORS[using].size
    other = [i for i in range(1, 400) if i % 4]
    return rng.choice([
        lambda: t.vector(rng, size),
        lambda: rng.choice(other),
        lambda: m.NearestQuery(nearest=t.vector(rng, size), mmr=m.Mmr(diversity=0.25, candidates_limit=30)),
        lambda: m.RecommendQuery(recommend=m.RecommendInput(positive=[*rng.sample(other, 2), t.vector(rng, size)], negative=rng.sample(other, 1),
                                                            strategy=rng.choice(list(m.RecommendStrategy)))),
        lambda: m.OrderByQuery(order_by=m.OrderBy(key="n", direction=rng.choice(["asc", "desc"]))),
    ])()


def test_queries_are_the_same(doors, filled):
    rng = random.Random(SEED + 1)
    for _ in range(80):
        using = rng.choice(["a", "b"])
        more = {"using": using, "limit": rng.randint(1, 20), "offset": rng.choice([None, 3]), "with_payload": rng.choice([True, False, ["n"]]),
                "with_vectors": rng.choice([True, False, ["a"]]), "query": a_query(rng, using),
                "query_filter": t.a_filter(rng) if rng.random() < 0.5 else None,
                "search_params": rng.choice([None, m.SearchParams(exact=True), m.SearchParams(hnsw_ef=200)]),
                "score_threshold": rng.choice([None, 0.5])}
        if rng.random() < 0.3:
            more["prefetch"] = [m.Prefetch(query=t.vector(rng, t.VECTORS[u].size), using=u, limit=40, filter=t.a_filter(rng)) for u in t.VECTORS]
            more["query"] = rng.choice([m.FusionQuery(fusion="rrf"), m.FusionQuery(fusion="dbsf"), m.RrfQuery(rrf=m.Rrf(k=7)),
                                        m.RrfQuery(rrf=m.Rrf(k=60, weights=[1.0, 0.5])), more["query"]])
        same(doors, lambda c: c.query_points(filled, **more))
    queries = [m.QueryRequest(query=t.vector(rng, 6), using="a", limit=3, with_payload=True), m.QueryRequest(query=5, using="b", limit=2)]
    same(doors, lambda c: c.query_batch_points(filled, queries))
    query = t.vector(rng, 6)
    same(doors, lambda c: c.query_points_groups(filled, "word", query=query, using="a", limit=4, group_size=2, with_vectors=["b"]))
    same(doors, lambda c: c.query_points_groups(filled, "n", query=query, using="a", limit=4))
    for call in ("search_matrix_pairs", "search_matrix_offsets"):
        chosen = m.Filter(must=[m.HasIdCondition(has_id=[1, 2, 3, 5])])  # as many as are drawn: always the same ones
        same(doors, lambda c: getattr(c, call)(filled, query_filter=chosen, sample=4, limit=2, using="a"))


def test_collections_are_told_the_same(doors, filled):
    rest, by = doors
    same(doors, lambda c: c.get_collection(filled))
    assert filled in [c["name"] for c in same(doors, lambda c: c.get_collections())["collections"]]
    name = f"doors-{uuid.uuid4().hex[:12]}"
    by.create_collection(name, vectors_config=m.VectorParams(size=4, distance="Manhattan", on_disk=True), shard_number=1, replication_factor=1,
                         hnsw_config=m.HnswConfigDiff(m=24, ef_construct=90), optimizers_config=m.OptimizersConfigDiff(indexing_threshold=500),
                         wal_config=m.WalConfigDiff(wal_capacity_mb=16), on_disk_payload=True,
                         quantization_config=m.ScalarQuantization(scalar=m.ScalarQuantizationConfig(type="int8", quantile=0.5)))
    told = same(doors, lambda c: c.get_collection(name))
    assert told["config"]["hnsw_config"]["m"] == 24 and told["config"]["params"]["vectors"]["size"] == 4
    by.update_collection(name, optimizers_config=m.OptimizersConfigDiff(indexing_threshold=700), quantization_config=m.Disabled.DISABLED,
                         metadata={"a": [1.5, {"b": None}]})
    told = same(doors, lambda c: c.get_collection(name))
    assert told["config"]["optimizer_config"]["indexing_threshold"] == 700 and told["config"]["metadata"] == {"a": [1.5, {"b": None}]}
    by.update_collection_aliases([m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=name, alias_name=name + "-a"))])
    by.update_collection_aliases([m.RenameAliasOperation(rename_alias=m.RenameAlias(old_alias_name=name + "-a", new_alias_name=name + "-b"))])
    assert same(doors, lambda c: c.get_collection_aliases(name))["aliases"] == [{"alias_name": name + "-b", "collection_name": name}]
    same(doors, lambda c: c.get_aliases())
    assert same(doors, lambda c: c.collection_exists(name + "-b")) is True and same(doors, lambda c: c.collection_exists("none")) is False
    by.update_collection_aliases([m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=name + "-b"))])
    by.delete_payload_index(name, "none", wait=True)
    assert by.delete_collection(name) is True and by.delete_collection(name) is False and rest.collection_exists(name) is False


def change(rng, turn):
    """One write, as a function of the client and the collection."""
    ids = rng.sample([i for i in range(1, 400) if i % 4], 5)
    chosen = t.a_filter(rng)
    selector = rng.choice([ids, m.FilterSelector(filter=chosen)])
    odd = {"big": 2**53 + 1, "neg": -2**63, "f": 1.0, "n": None, "u": "\u00e9\x00\n\U0001f600", "e": {}, "l": [[], {"a": [True, 1, 1.5]}]}
    new = t.points(rng, 3)
    vectors = [m.PointVectors(id=i, vector={"b": t.vector(rng, 4)}) for i in ids]
    ops = [m.UpsertOperation(upsert=m.PointsList(points=new)), m.DeleteOperation(delete=m.PointIdsList(points=ids[:1])),
           m.SetPayloadOperation(set_payload=m.SetPayload(payload=odd, filter=chosen)),
           m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(payload={"t": turn}, filter=chosen)),
           m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["x", "deep.list[].a"], filter=chosen)),
           m.ClearPayloadOperation(clear_payload=m.FilterSelector(filter=chosen))]
    return rng.choice([
        lambda c, n: c.upsert(n, new, wait=True),
        lambda c, n: c.upsert(n, new, wait=True, update_filter=chosen),
        lambda c, n: c.upsert(n, m.Batch(ids=[p.id for p in new], vectors={k: [p.vector[k] for p in new] for k in t.VECTORS},
                                         payloads=[p.payload for p in new]), wait=True),
        lambda c, n: c.delete(n, selector, wait=True),
        lambda c, n: c.set_payload(n, odd, m.FilterSelector(filter=chosen), wait=True),
        lambda c, n: c.set_payload(n, {"deep": turn}, m.FilterSelector(filter=chosen), key="o.p", wait=True),
        lambda c, n: c.overwrite_payload(n, {"only": turn}, m.FilterSelector(filter=chosen), wait=True),
        lambda c, n: c.delete_payload(n, ["word", "deep.list[].b"], m.FilterSelector(filter=chosen), wait=True),
        lambda c, n: c.clear_payload(n, m.FilterSelector(filter=chosen), wait=True),
        lambda c, n: c.update_vectors(n, vectors, wait=True),
        lambda c, n: c.delete_vectors(n, ["a"], m.FilterSelector(filter=chosen), wait=True),
        lambda c, n: c.batch_update_points(n, ops, wait=True),
    ])


def told_or_refused(call, *args):
    try:
        told = call(*args)
        return [plain(x)["status"] for x in (told if isinstance(told, list) else [told])]
    except Exception as e:  # the client's own, and gRPC's
        return "error: " + (e.details() if isinstance(e, google.RpcError) else str(e))


def test_writes_leave_the_same_points(doors):
    rng = random.Random(SEED + 2)
    names = [f"doors-{uuid.uuid4().hex[:12]}" for _ in doors]
    made = t.points(rng, 200)
    for door, name in zip(doors, names):
        door.create_collection(name, vectors_config=t.VECTORS)
        door.upsert(name, made, wait=True)
    for turn in range(80):
        call = change(rng, turn)
        said = [told_or_refused(call, door, name) for door, name in zip(doors, names)]
        if isinstance(said[0], str):  # the text is in the body of REST
            assert isinstance(said[1], str) and said[1][7:] in said[0].replace('\\"', '"'), f"seed {SEED} turn {turn}: {said}"
        else:
            assert said[0] == said[1], f"seed {SEED} turn {turn}"
        if turn % 10 == 9:
            left = [plain(doors[0].scroll(name, limit=1000, with_vectors=True)) for name in names]
            assert left[0] == left[1], f"seed {SEED} turn {turn}"
    for door, name in zip(doors, names):
        door.delete_collection(name)


def error_of(e):
    return json.loads(e.content)["status"]["error"] if getattr(e, "content", None) else str(e)


def test_refusals_have_the_texts_and_codes(doors, filled):
    rest, by = doors
    calls = {
        google.StatusCode.NOT_FOUND: [lambda c: c.count("none"), lambda c: c.get_collection("none"), lambda c: c.upsert("none", []),
                                      lambda c: c.query_points(filled, query=99999, using="a"),
                                      lambda c: c.set_payload(filled, {"a": 1}, [99999], wait=True)],
        google.StatusCode.ALREADY_EXISTS: [lambda c: c.create_collection(filled, vectors_config=t.VECTORS)],
        google.StatusCode.INVALID_ARGUMENT: [
            lambda c: c.query_points(filled, query=[1.0, 2.0], using="a"), lambda c: c.query_points(filled, query=[1.0], using="zz"),
            lambda c: c.query_points(filled, query=[1.0] * 6, using="a", limit=0), lambda c: c.scroll(filled, order_by="tags"),
            lambda c: c.upsert(filled, [m.PointStruct(id=1, vector={"a": [1.0]})]), lambda c: c.upsert(filled, [m.PointStruct(id=1, vector=[1.0])]),
            lambda c: c.upsert(filled, [m.PointStruct(id="no uuid", vector={})]),
            lambda c: c.count(filled, count_filter=m.Filter(must=[m.FieldCondition(key="a[", match=m.MatchValue(value=1))])),
            lambda c: c.count(filled, count_filter=m.Filter(min_should=m.MinShould(conditions=[], min_count=0))),
            lambda c: c.create_collection("a/b", vectors_config=t.VECTORS) if c is by else c.create_collection("a|b", vectors_config=t.VECTORS),
            lambda c: c.create_collection("sp", vectors_config={}, sparse_vectors_config={"s": m.SparseVectorParams()}),
            lambda c: c.create_collection("mv", vectors_config=m.VectorParams(size=2, distance="Dot", multivector_config=m.MultiVectorConfig(comparator="max_sim"))),
            lambda c: c.create_collection("u8", vectors_config=m.VectorParams(size=2, distance="Dot", datatype="uint8")),
            lambda c: c.query_points(filled, query=m.SparseVector(indices=[1], values=[1.0]), using="a"),
            lambda c: c.query_points(filled, query=[[1.0] * 6], using="a"),
            lambda c: c.query_points(filled, prefetch=m.Prefetch(query=[1.0] * 6, using="a"), query=m.FormulaQuery(formula=m.SumExpression(sum=["$score", 1.0]))),
            lambda c: c.query_points(filled, query=m.ContextQuery(context=[m.ContextPair(positive=1, negative=2)]), using="a"),
            lambda c: c.upsert(filled, [m.PointStruct(id=1, vector={"a": m.SparseVector(indices=[1], values=[1.0])})]),
            lambda c: c.upsert(filled, [m.PointStruct(id=1, vector={"a": [math.nan] * 6})]) if c is by else c.count(filled, count_filter=m.Filter(min_should=m.MinShould(conditions=[], min_count=0)))],
    }
    texts = []
    for code, wrong in calls.items():
        for at, call in enumerate(wrong):
            with pytest.raises(google.RpcError) as refused:
                call(by)
            assert refused.value.code() == code and refused.value.details(), f"{code} {at}: {refused.value}"
            with pytest.raises(Exception) as by_rest:
                call(rest)
            texts.append((refused.value.details(), error_of(by_rest.value)))
    assert sum(a == b for a, b in texts) >= len(texts) - 4, "\n".join(f"{a} | {b}" for a, b in texts if a != b)


def test_what_the_client_does_not_call(filled):
    with google.insecure_channel(f"127.0.0.1:{PORT}") as channel:
        points, qdrant = g.PointsStub(channel), g.QdrantStub(channel)
        assert qdrant.HealthCheck(g.HealthCheckRequest()).version == "1.19.0"
        found = points.Search(g.SearchPoints(collection_name=filled, vector=[1.0] * 6, vector_name="a", limit=3,
                                             with_payload=g.WithPayloadSelector(enable=True), with_vectors=g.WithVectorsSelector(enable=True)))
        assert len(found.result) == 3 and found.result[0].payload["n"].integer_value and len(found.result[0].vectors.vectors.vectors["b"].dense.data) == 4
        batch = points.SearchBatch(g.SearchBatchPoints(collection_name=filled, search_points=[
            g.SearchPoints(collection_name=filled, vector=[1.0] * 6, vector_name="a", limit=n) for n in (3, 1)]))
        assert [r.id for r in batch.result[0].result] == [r.id for r in found.result] and len(batch.result[1].result) == 1
        old = g.PointStruct(id=g.PointId(num=9001), vectors=g.Vectors(vectors=g.NamedVectors(vectors={"b": g.Vector(data=[3.0, 0.0, 4.0, 0.0])})))
        assert points.Upsert(g.UpsertPoints(collection_name=filled, wait=True, points=[old])).result.status == g.UpdateStatus.Completed
        read = points.Get(g.GetPoints(collection_name=filled, ids=[g.PointId(num=9001)], with_vectors=g.WithVectorsSelector(enable=True)))
        assert list(read.result[0].vectors.vectors.vectors["b"].dense.data) == [3.0, 0.0, 4.0, 0.0]
        points.Delete(g.DeletePoints(collection_name=filled, wait=True, points=g.PointsSelector(points=g.PointsIdsList(ids=[g.PointId(num=9001)]))))
        with pytest.raises(google.RpcError) as refused:
            points.Recommend(g.RecommendPoints(collection_name=filled))
        assert refused.value.code() == google.StatusCode.UNIMPLEMENTED
