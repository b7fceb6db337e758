"""The Python client as published: the same calls on its own mode in memory and on the node at TIERVEC_URL, the same answers.
With TIERVEC_GRPC_PORT by gRPC."""
import hashlib
import json
import os
import random
import urllib.request
import uuid

import pytest
from qdrant_client import QdrantClient, models as m

SEED = int(os.environ.get("TIERVEC_SEED", "7"))
GRPC = int(os.environ.get("TIERVEC_GRPC_PORT", "0"))
# Under S3Only what is not asked exactly is scored by short codes.
EXACT = m.SearchParams(exact=True) if os.environ.get("TIERVEC_EXACT") else None
BY = {"prefer_grpc": True, "grpc_port": GRPC} if GRPC else {}
WORDS = ["red", "green", "blue", "grey", "black"]
CITIES = [(52.52, 13.40), (48.86, 2.35), (40.71, -74.0), (-33.87, 151.2), (35.68, 139.7)]


def vector(rng, n):
    return [rng.uniform(-1, 1) for _ in range(n)]


def payload(rng, n):
    made = {"word": rng.choice(WORDS), "n": n, "x": rng.uniform(-5, 5), "flag": rng.random() < 0.5,
            "tags": rng.sample(WORDS, rng.randint(0, 3)), "when": f"20{rng.randint(10, 25)}-0{rng.randint(1, 9)}-11T05:00:00Z",
            "text": " ".join(rng.choices(WORDS, k=6)), "at": dict(zip(("lat", "lon"), rng.choice(CITIES))),
            "deep": {"list": [{"a": rng.randint(0, 4), "b": rng.choice(WORDS)} for _ in range(rng.randint(0, 3))]}}
    for key in list(made):
        if key != "n" and rng.random() < 0.1:
            made[key] = None if rng.random() < 0.5 else made.pop(key) and None
    return made


def points(rng, count):
    return [m.PointStruct(id=i if i % 4 else str(uuid.UUID(int=i)), payload=payload(rng, i),
                          vector={"a": vector(rng, 6), "b": vector(rng, 4)}) for i in range(1, count + 1)]


VECTORS = {"a": m.VectorParams(size=6, distance=m.Distance.COSINE), "b": m.VectorParams(size=4, distance=m.Distance.EUCLID)}


@pytest.fixture()
def both():
    clients = [QdrantClient(":memory:"), QdrantClient(url=os.environ["TIERVEC_URL"], **BY)]
    name = f"client-{uuid.uuid4().hex[:12]}"
    made = points(random.Random(SEED), 400)
    for client in clients:
        client.create_collection(name, vectors_config=VECTORS)
        for i in range(0, len(made), 100):
            client.upsert(name, made[i:i + 100], wait=True)
    yield name, clients
    clients[1].delete_collection(name)
    for client in clients:
        client.close()


def condition(rng):
    key = m.FieldCondition
    return rng.choice([
        lambda: key(key="word", match=m.MatchValue(value=rng.choice(WORDS))),
        lambda: key(key="tags", match=m.MatchAny(any=rng.sample(WORDS, 2))),
        lambda: key(key="word", match=m.MatchExcept(**{"except": rng.sample(WORDS, 2)})),
        lambda: key(key="flag", match=m.MatchValue(value=True)),
        lambda: key(key="n", range=m.Range(gte=rng.randint(0, 300), lt=rng.randint(100, 400))),
        lambda: key(key="x", range=m.Range(gt=rng.uniform(-5, 5))),
        lambda: key(key="when", range=m.DatetimeRange(gte=f"20{rng.randint(10, 25)}-01-01T00:00:00Z")),
        lambda: key(key="at", geo_radius=m.GeoRadius(center=m.GeoPoint(lat=50.0, lon=8.0), radius=700000.0)),
        lambda: key(key="at", geo_bounding_box=m.GeoBoundingBox(top_left=m.GeoPoint(lat=60, lon=-10),
                                                                bottom_right=m.GeoPoint(lat=40, lon=20))),
        lambda: key(key="tags", values_count=m.ValuesCount(gte=2)),
        lambda: m.IsEmptyCondition(is_empty=m.PayloadField(key="tags")),
        lambda: m.IsNullCondition(is_null=m.PayloadField(key="word")),
        lambda: m.HasIdCondition(has_id=rng.sample(range(1, 400), 60)),
        lambda: key(key="deep.list[].a", match=m.MatchValue(value=rng.randint(0, 4))),
        lambda: m.NestedCondition(nested=m.Nested(key="deep.list", filter=m.Filter(must=[
            key(key="a", range=m.Range(gte=2)), key(key="b", match=m.MatchValue(value=rng.choice(WORDS)))]))),
    ])()


def a_filter(rng, depth=2):
    def some(low, high):
        made = [condition(rng) for _ in range(rng.randint(low, high))]
        if depth > 0 and rng.random() < 0.3:
            made.append(a_filter(rng, depth - 1))
        return made
    kinds = rng.sample(["must", "should", "must_not", "min_should"], rng.randint(1, 2))
    parts = {kind: some(1, 2) for kind in kinds if kind != "min_should"}
    if "min_should" in kinds:
        parts["min_should"] = m.MinShould(conditions=some(2, 3), min_count=rng.randint(1, 2))
    return m.Filter(**parts)


def same_scores(left, right, what):
    assert len(left) == len(right), f"seed {SEED}: {what}: {len(left)} and {len(right)}"
    for a, b in zip(left, right):
        assert abs(a.score - b.score) < 1e-4 * max(1, abs(a.score)), f"seed {SEED}: {what}: {a} and {b}"


def test_filters_choose_the_same_points(both):
    name, clients = both
    rng = random.Random(SEED + 1)
    for _ in range(100 if GRPC else 300):
        chosen = a_filter(rng)
        answers = [sorted(str(r.id) for r in c.scroll(name, scroll_filter=chosen, limit=500)[0]) for c in clients]
        assert answers[0] == answers[1], f"seed {SEED}: {chosen.model_dump_json(exclude_none=True)}"
        assert clients[1].count(name, count_filter=chosen).count == len(answers[0])


def test_queries_score_the_same(both):
    name, clients = both
    rng = random.Random(SEED + 2)
    for _ in range(60):
        using = rng.choice(["a", "b"])
        size = VECTORS[using].size
        chosen = a_filter(rng) if rng.random() < 0.6 else None
        limit = rng.randint(1, 20)
        other = [i for i in range(1, 400) if i % 4]
        forms = [vector(rng, size), rng.choice(other),
                 m.RecommendQuery(recommend=m.RecommendInput(positive=rng.sample(other, 2), negative=rng.sample(other, 1),
                                                             strategy=rng.choice(list(m.RecommendStrategy)))),
                 m.FusionQuery(fusion=m.Fusion.RRF)]
        query = rng.choice(forms)
        more = {}
        if isinstance(query, m.FusionQuery):  # the mode in memory lets through what a filter of a prefetch does not
            chosen = None
            more["prefetch"] = [m.Prefetch(query=vector(rng, VECTORS[u].size), using=u, limit=30, filter=chosen, params=EXACT) for u in VECTORS]
        else:
            more["using"] = using
        answers = [c.query_points(name, query=query, query_filter=chosen, limit=limit, search_params=EXACT, **more).points
                   for c in clients]
        same_scores(*answers, f"{query}")


def test_changes_leave_the_same_points(both):
    name, clients = both
    rng = random.Random(SEED + 3)
    for turn in range(60):
        ids = rng.sample([i for i in range(1, 400) if i % 4], 5)
        what = rng.randint(0, 6)
        keys = rng.sample(["word", "deep.list", "x", "at.lat"], 2)
        new = points(rng, 3)
        vectors = [m.PointVectors(id=i, vector={"b": vector(rng, 4)}) for i in ids]
        for client in clients:
            alive = [r.id for r in client.retrieve(name, ids)]
            if what == 0:
                client.set_payload(name, {"word": "white", "turn": turn}, points=alive, wait=True)
            elif what == 1:
                client.overwrite_payload(name, {"only": turn}, points=alive[:2], wait=True)
            elif what == 2:
                client.delete_payload(name, keys, points=alive, wait=True)
            elif what == 3:
                client.clear_payload(name, points_selector=alive[:1], wait=True)
            elif what == 4:
                client.delete(name, points_selector=ids[:1], wait=True)
            elif what == 5:
                client.upsert(name, new, wait=True)
            elif alive:
                client.update_vectors(name, [v for v in vectors if v.id in alive], wait=True)
    records = [{str(r.id): r for r in c.scroll(name, limit=1000, with_vectors=True)[0]} for c in clients]
    assert records[0].keys() == records[1].keys()
    for key, left in records[0].items():
        right = records[1][key]
        assert left.payload == right.payload, f"seed {SEED}: point {key}"
        assert left.vector.keys() == right.vector.keys()
        for field in left.vector:
            assert all(abs(a - b) < 1e-5 for a, b in zip(left.vector[field], right.vector[field])), f"seed {SEED}: point {key}"


def test_collections_aliases_indexes_groups_and_facets(both):
    name, clients = both
    node = clients[1]
    for field, schema in {"word": m.PayloadSchemaType.KEYWORD, "n": m.PayloadSchemaType.INTEGER,
                          "x": m.PayloadSchemaType.FLOAT, "when": m.PayloadSchemaType.DATETIME}.items():
        node.create_payload_index(name, field, schema, wait=True)
    info = node.get_collection(name)
    assert info.points_count == 400 and info.payload_schema["word"].data_type == m.PayloadSchemaType.KEYWORD
    facets = [{h.value: h.count for h in c.facet(name, "word", exact=True).hits} for c in clients]
    assert facets[0] == facets[1]
    ordered = [[r.payload["n"] for r in c.scroll(name, order_by=m.OrderBy(key="n", direction=m.Direction.DESC),
                                                 limit=7)[0]] for c in clients]
    assert ordered[0] == ordered[1] == list(range(400, 393, -1))
    query = vector(random.Random(SEED), 6)
    groups = [{g.id: [h.id for h in g.hits] for g in c.query_points_groups(name, "word", query=query, using="a", limit=5,
                                                                          group_size=2).groups} for c in clients]
    assert groups[0] == groups[1]
    node.update_collection_aliases([m.CreateAliasOperation(create_alias=m.CreateAlias(
        collection_name=name, alias_name=name + "-alias"))])
    assert node.count(name + "-alias").count == 400
    assert not node.collection_exists(name + "-none")
    with pytest.raises(Exception, match="exist!"):
        node.get_collection(name + "-none")


def test_snapshots_are_files_the_client_can_name(both):
    """Its mode in memory has none; by gRPC there are none."""
    name, url = both[0], os.environ["TIERVEC_URL"]
    node = QdrantClient(url=url)
    made = [node.create_snapshot(name, wait=True) for _ in range(2)]
    assert sorted(s.name for s in node.list_snapshots(name)) == sorted(s.name for s in made)
    with urllib.request.urlopen(f"{url}/collections/{name}/snapshots/{made[0].name}") as answer:
        text = answer.read()
    assert len(text) == made[0].size and hashlib.sha256(text).hexdigest() == made[0].checksum
    assert json.loads(text.splitlines()[-1]) == {"tiervec_snapshot_end": True, "documents": 400}
    assert node.delete_snapshot(name, made[0].name, wait=True)
    assert [s.name for s in node.list_snapshots(name)] == [made[1].name]
    with pytest.raises(Exception, match="not found"):
        node.delete_snapshot(name, made[0].name)
    node.close()
