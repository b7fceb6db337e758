"""Queries of the compatible dialect against an exact model: every form, random and nested, over all four distances.

The model computes what docs/qdrant.md says from the vectors as sent. Where single precision is exact (vectors on a coarse
grid under Dot, Euclid and Manhattan) ids and their order must be the same, ties included; under Cosine neighbours whose
scores differ by less than the tolerance may change places.

    python3 tests/integration/qdrant_query.py [--rounds N] [--seed S] [--points N]
"""
import math
import random
import re
import uuid

import support
from support import Folder, Node, check, f32

FIELDS = {"unnamed": {"": 4}, "named": {"a": 4, "b": 6}}
METRICS = ("Cosine", "Dot", "Euclid", "Manhattan")
COLORS = ("red", "green", "blue")
TOLERANCE = 2e-6
FIRST_OF_SORT = {"Cosine": -1, "Dot": -1, "Euclid": 1, "Manhattan": 1}


# --- the model ---

def id_key(point_id):
    return (0, point_id, b"") if isinstance(point_id, int) else (1, 0, uuid.UUID(point_id).bytes)


def normalised(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v] if length > 0 else list(v)


def score(metric, query, v):
    if metric == "Cosine":
        return sum(x * y for x, y in zip(normalised(query), v))
    if metric == "Dot":
        return sum(x * y for x, y in zip(query, v))
    if metric == "Euclid":
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(query, v)))
    return sum(abs(x - y) for x, y in zip(query, v))


def likeness(metric, query, v):
    """As mmr and recommendations by scores see it: more is better."""
    if metric == "Euclid":
        return -sum((x - y) ** 2 for x, y in zip(query, v))
    if metric == "Manhattan":
        return -score(metric, query, v)
    return score(metric, query, v)


def best_first(items, sign):
    """items: (id, score). Equal scores by rising id; scores are compared as the node keeps them."""
    return sorted(items, key=lambda item: (sign * f32(item[1]), id_key(item[0])))


class Model:
    def __init__(self, metric):
        self.metric = metric
        self.points = {}

    def vector(self, point_id, using):
        v = self.points[point_id]["vector"].get(using)
        return v if v is None or self.metric != "Cosine" else normalised(v)

    def candidates(self, level, within):
        """Ids a level may give back: its filters, its sources."""
        return [i for i, p in self.points.items()
                if (within is None or i in within) and all(test(i, p["payload"]) for test in level["tests"])]

    def sources(self, level):
        return [self.run(source) for source in level["sources"]]

    def examples(self, level, which):
        out = []
        for e in which:
            out.append(e if isinstance(e, list) else self.vector(e, level["using"]))
        return out

    def run(self, level):
        return self.rank(level)[level["offset"]:level["offset"] + level["limit"]]

    def rank(self, level):
        """All that a level finds, in its order."""
        lists = self.sources(level)
        within = {i for one in lists for i, _ in one} if level["sources"] else None
        form = level["form"]
        if form in ("rrf", "dbsf"):
            result = best_first(self.fuse(level, lists), -1)
            if level["threshold"] is not None:
                result = [r for r in result if f32(r[1]) >= f32(level["threshold"])]
        elif form == "ids":
            result = [(i, 0.0) for i in sorted(self.candidates(level, within), key=id_key)]
        elif form == "order":
            result = self.ordered(level, within)
        else:
            result = self.scored(level, within)
        return result

    def ordered(self, level, within):
        pairs = [(self.points[i]["payload"]["n"], i) for i in self.candidates(level, within) if "n" in self.points[i]["payload"]]
        sign = -1 if level["falling"] else 1
        pairs = [p for p in pairs if level["start"] is None or sign * p[0] >= sign * level["start"]]
        return [(i, 1.0) for n, i in sorted(pairs, key=lambda p: (sign * p[0], id_key(p[1])))]

    def scored(self, level, within):
        using, form = level["using"], level["form"]
        positive = self.examples(level, level["positive"])
        negative = self.examples(level, level["negative"])
        named = {e for e in level["positive"] + level["negative"] if not isinstance(e, list)}
        sign = FIRST_OF_SORT[self.metric]
        if form == "best":
            sign, give = -1, lambda v: self.best_score(positive, negative, v)
        elif form == "sum":
            sign = -1

            def give(v):
                return (sum(likeness(self.metric, e, v) for e in positive)
                        - sum(likeness(self.metric, e, v) for e in negative))
        else:
            query = positive[0] if form == "nearest" else self.average(positive, negative)

            def give(v):
                return score(self.metric, query, v)
        items = []
        for i in self.candidates(level, within):
            v = self.vector(i, using)
            if v is None or i in named:
                continue
            s = give(v)
            t = level["threshold"]
            if t is None or (f32(s) >= f32(t) if sign < 0 else f32(s) <= f32(t)):
                items.append((i, s))
        items = best_first(items, sign)
        return self.diverse(level, positive[0], items) if level["mmr"] else items

    @staticmethod
    def average(positive, negative):
        out = []
        for at in range(len(positive[0])):
            mean = sum(v[at] for v in positive) / len(positive)
            if negative:
                mean = 2 * mean - sum(v[at] for v in negative) / len(negative)
            out.append(f32(mean))
        return out

    def best_score(self, positive, negative, v):
        def squeeze(x):
            return 0.5 * (x / (1 + abs(x)) + 1)
        p = max([likeness(self.metric, e, v) for e in positive], default=-math.inf)
        n = max([likeness(self.metric, e, v) for e in negative], default=-math.inf)
        return squeeze(p) if p > n else -squeeze(n)

    def diverse(self, level, query, items):
        mmr = level["mmr"]
        left = items[:mmr.get("candidates_limit", level["limit"])]
        d = mmr.get("diversity", 0.5)
        out = []
        while left:
            def worth(item):
                v = self.vector(item[0], level["using"])
                near = likeness(self.metric, query, v)
                if not out:
                    return near
                return (1 - d) * near - d * max(likeness(self.metric, self.vector(o[0], level["using"]), v) for o in out)
            best = max(left, key=worth)  # the first of equals
            left.remove(best)
            out.append(best)
        return out

    @staticmethod
    def fuse(level, lists):
        sums = {}
        for number, one in enumerate(lists):
            if level["form"] == "rrf":
                w = level["weights"][number] if level["weights"] else 1
                shares = [1 / ((rank + 1) / w + level["k"] - 1) if w > 0 else 0 for rank in range(len(one))]
            else:
                shares = distributed([f32(s) for _, s in one])
            for (i, _), share in zip(one, shares):
                sums[i] = sums.get(i, 0) + share
        return list(sums.items())


def distributed(scores):
    if len(scores) < 2:
        return [0.5] * len(scores)
    mean = sum(scores) / len(scores)
    three = 3 * math.sqrt(sum((s - mean) ** 2 for s in scores) / (len(scores) - 1))
    return [(s - mean + three) / (2 * three) if three > 0 else 0.5 for s in scores]


# --- random data and requests ---

class Maker:
    def __init__(self, rng, model, fields):
        self.rng, self.model, self.fields = rng, model, fields
        self.coarse = model.metric != "Cosine"

    def vector(self, dim):
        if self.coarse:
            return [self.rng.randint(-8, 8) / 4 for _ in range(dim)]
        return support.random_vector(self.rng, dim)

    def points(self, count):
        ids = [self.rng.choice((n * 3, str(uuid.UUID(int=self.rng.getrandbits(128))))) for n in range(count)]
        for i in ids:
            vector = {name: self.vector(dim) for name, dim in self.fields.items() if name != "b" or self.rng.random() < 0.8}
            payload = {"color": self.rng.choice(COLORS)}
            if self.rng.random() < 0.9:
                payload["n"] = self.rng.randint(0, count)
            if self.rng.random() < 0.7:
                payload["tags"] = self.rng.choice(("x", 3, ["x", "y"], [3, 7, 3], ["z", True], [], -2))
            self.model.points[i] = {"vector": vector, "payload": payload}

    def filter(self):
        """A filter and its test."""
        kind = self.rng.randrange(4)
        if kind == 0:
            color = self.rng.choice(COLORS)
            return ({"must": [{"key": "color", "match": {"value": color}}]}, lambda p: p["color"] == color)
        if kind == 1:
            bound = self.rng.randint(0, len(self.model.points))
            return ({"must": {"key": "n", "range": {"gte": bound}}}, lambda p: p.get("n", -1) >= bound)
        if kind == 2:
            color = self.rng.choice(COLORS)
            return ({"must_not": [{"key": "color", "match": {"value": color}}]}, lambda p: p["color"] != color)
        return ({"should": [{"key": "color", "match": {"value": c}} for c in COLORS[:2]]}, lambda p: p["color"] in COLORS[:2])

    def example(self, level):
        if self.rng.random() < 0.5:
            return self.vector(self.fields[level["using"]])
        return self.rng.choice([i for i in self.model.points if self.model.vector(i, level["using"]) is not None])

    def level(self, depth, tests, root=True):
        """A request and what the model needs to know of it."""
        rng = self.rng
        level = {"using": rng.choice(list(self.fields)), "tests": list(tests), "threshold": None, "mmr": None, "sources": [], "weights": None,
                 "k": 2, "positive": [], "negative": [], "offset": 0, "limit": 10, "falling": False, "start": None}
        body = {}
        if rng.random() < 0.4:
            body["filter"], test = self.filter()
            level["tests"].append(lambda i, p: test(p))
        if rng.random() < 0.7:
            level["limit"] = body["limit"] = rng.choice((1, 3, 7, 20, 100, 1000))
        if root and rng.random() < 0.4:
            level["offset"] = body["offset"] = rng.randint(0, 12)
        count = rng.randint(1, 3) if depth > 0 and rng.random() < 0.8 else 0
        self.form(level, body, count)
        # What a level leaves out its sources leave out as well.
        left_out = {e for e in level["positive"] + level["negative"] if not isinstance(e, list)}
        tests = level["tests"] + [lambda i, p: i not in left_out]
        made = [self.level(depth - 1, tests, False) for _ in range(count)]
        if made:
            level["sources"] = [m[1] for m in made]
            body["prefetch"] = [m[0] for m in made] if len(made) > 1 or rng.random() < 0.5 else made[0][0]
        self.threshold(level, body)
        if rng.random() < 0.2:
            body["params"] = {"exact": rng.random() < 0.5, "hnsw_ef": 200, "quantization": {"ignore": True}}
        return body, level

    def form(self, level, body, source_count):
        rng = self.rng
        forms = ["nearest", "nearest", "mmr", "average", "best", "sum", "order"]
        forms += ["rrf", "rrf", "dbsf"] if source_count else ["ids"]
        form = rng.choice(forms)
        level["form"] = "nearest" if form == "mmr" else form
        if form == "ids":
            return
        if form in ("rrf", "dbsf"):
            self.fusion(level, body, source_count)
        elif form == "order":
            self.order(level, body)
        elif form in ("nearest", "mmr"):
            body["using"] = level["using"]
            level["positive"] = [self.example(level)]
            body["query"] = {"nearest": level["positive"][0]} if form == "mmr" or rng.random() < 0.5 else level["positive"][0]
            if form == "mmr":
                level["mmr"] = body["query"]["mmr"] = {"diversity": rng.choice((0, 0.25, 0.5, 1)),
                                                       "candidates_limit": rng.choice((5, 30))}
                if rng.random() < 0.3:
                    level["mmr"].pop("candidates_limit")
        else:
            body["using"] = level["using"]
            level["positive"] = [self.example(level) for _ in range(rng.choice((1, 2, 4)))]
            level["negative"] = [self.example(level) for _ in range(rng.choice((0, 1, 2)))]
            if form != "average" and level["negative"] and rng.random() < 0.2:
                level["positive"] = []
            body["query"] = {"recommend": {"positive": level["positive"], "negative": level["negative"]}}
            strategy = {"average": "average_vector", "best": "best_score", "sum": "sum_scores"}[form]
            if form != "average" or rng.random() < 0.5:
                body["query"]["recommend"]["strategy"] = strategy

    def threshold(self, level, body):
        """One that is met exactly by some point, where that can be told."""
        fused = level["form"] in ("rrf", "dbsf")
        if level["form"] in ("order", "ids") or self.rng.random() < 0.7:
            return
        scores = [s for _, s in self.model.rank({**level, "mmr": None})]
        if scores and (self.coarse or not fused):
            exact = self.coarse and not fused
            level["threshold"] = body["score_threshold"] = f32(self.rng.choice(scores) + (0 if exact else 1e-4))

    def fusion(self, level, body, source_count):
        rng = self.rng
        if level["form"] == "dbsf" or rng.random() < 0.4:
            body["query"] = {"fusion": level["form"]}
            return
        rrf = {}
        if rng.random() < 0.7:
            rrf["k"] = level["k"] = rng.choice((1, 2, 60))
        if rng.random() < 0.3:
            rrf["weights"] = level["weights"] = [rng.choice((0.5, 1.0, 2.0, 0.0)) for _ in range(source_count)]
        body["query"] = {"rrf": rrf}

    def order(self, level, body):
        rng = self.rng
        order = {"key": "n"}
        if rng.random() < 0.6:
            order["direction"] = rng.choice(("asc", "desc"))
            level["falling"] = order["direction"] == "desc"
        if rng.random() < 0.4:
            order["start_from"] = level["start"] = rng.randint(0, len(self.model.points))
        body["query"] = {"order_by": order if len(order) > 1 or rng.random() < 0.5 else "n"}


# --- asking ---

def exactly(body):
    """Every search below as an exact one, where approximate ones answer by short codes: under S3Only."""
    if isinstance(body, list):
        return [exactly(x) for x in body]
    if not isinstance(body, dict):
        return body
    body = {k: exactly(v) if k in ("prefetch", "searches") else v for k, v in body.items()}
    if "searches" not in body:
        body["params"] = {**(body.get("params") or {}), "exact": True}
    return body


def ask(client, path, body, status=200):
    if support.COLD and status == 200 and re.search(r"/(query|search)(/batch|/groups)?$", path):
        body = exactly(body)
    answer = client.request("POST", path, body, {"Content-Type": "application/json"})
    check(answer.status == status, f"{path} {body}: {answer}")
    envelope = answer.json
    if status != 200:
        return envelope["status"]["error"]
    check(envelope["status"] == "ok" and isinstance(envelope["time"], float), f"{path}: {envelope}")
    return envelope["result"]


def put(client, path, body):
    answer = client.request("PUT", path, body, {"Content-Type": "application/json"})
    check(answer.status == 200, f"{path}: {answer}")
    return answer.json["result"]


def same_results(got, wanted, full, strict, what):
    """got: scored points. wanted: (id, score) in order; full: the same without limit, for ties at its end."""
    ids = [p["id"] for p in got]
    near = all(abs(p["score"] - s) <= TOLERANCE + 1e-4 * abs(s) for p, (_, s) in zip(got, wanted))
    fine = len(got) == len(wanted) and near
    if fine and strict:
        fine = ids == [i for i, _ in wanted]
    elif fine:
        scores = dict(full)
        fine = len(set(ids)) == len(ids) and all(
            i in scores and abs(scores[i] - p["score"]) <= TOLERANCE + 1e-5 * abs(p["score"]) for i, p in zip(ids, got))
    check(fine, f"{what}\n got    {[(p['id'], p['score']) for p in got]}\n wanted {wanted}")
    check(all(isinstance(p["version"], int) and p["version"] > 0 for p in got), f"{what}: versions {got}")


def has_fusion(level):
    return level["form"] in ("rrf", "dbsf") or any(has_fusion(s) for s in level["sources"])


def compare(model, maker, body, level, got):
    full = model.rank(level)
    wanted = full[level["offset"]:level["offset"] + level["limit"]]
    strict = maker.coarse and not has_fusion(level)
    same_results(got, wanted, full, strict, f"seed {SEED}: {model.metric}: {body}")
    for p in got:
        if level["form"] == "order":
            check(p["order_value"] == model.points[p["id"]]["payload"]["n"], f"{body}: {p}")
        if body.get("with_payload"):
            check(p["payload"] == model.points[p["id"]]["payload"], f"{body}: {p}")
        else:
            check(p["payload"] is None, f"{body}: {p}")


def load(client, name, model, fields, rng):
    """A collection with the points of a new Maker."""
    vectors = {field: {"size": dim, "distance": model.metric} for field, dim in fields.items()}
    put(client, f"/collections/{name}", {"vectors": vectors if list(fields) != [""] else vectors[""]})
    put(client, f"/collections/{name}/index?wait=true", {"field_name": "n", "field_schema": "integer"})
    maker = Maker(rng, model, fields)
    maker.points(POINTS)
    points = [{"id": i, **p} for i, p in model.points.items()]
    for at in range(0, len(points), 100):
        put(client, f"/collections/{name}/points?wait=true", {"points": points[at:at + 100]})
    return maker


def random_queries(client, rng, metric, shape):
    model = Model(metric)
    name = f"{shape}-{metric}"
    maker = load(client, name, model, FIELDS[shape], rng)
    batch = []
    for _ in range(ROUNDS):
        # What flips under Cosine at one level must not be looked at by another.
        body, level = maker.level(rng.choice((0, 1, 2, 3)) if maker.coarse else 0, [])
        if rng.random() < 0.4:
            body["with_payload"] = True
        got = ask(client, f"/collections/{name}/points/query", body)["points"]
        compare(model, maker, body, level, got)
        batch.append((body, level))
        if len(batch) == 10:
            results = ask(client, f"/collections/{name}/points/query/batch", {"searches": [b for b, _ in batch]})
            check(len(results) == len(batch), f"{len(results)} results")
            for (one, wanted), result in zip(batch, results):
                compare(model, maker, one, wanted, result["points"])
            batch = []
    older_routes(client, name, model, maker, rng)
    groups(client, name, model, maker, rng)
    matrices(client, name, model, maker, rng)
    samples(client, name, model)


def older_routes(client, name, model, maker, rng):
    searches = []
    for _ in range(20):
        body, level = maker.level(0, [])
        level.update(form="nearest", mmr=None, threshold=None, negative=[])
        vector = level["positive"] = [maker.vector(maker.fields[level["using"]])]
        body = {k: v for k, v in body.items() if k in ("filter", "limit", "offset", "params")}
        body["vector"] = {"name": level["using"], "vector": vector[0]} if level["using"] else vector[0]
        body["with_payload"] = True
        compare(model, maker, body, level, ask(client, f"/collections/{name}/points/search", body))
        searches.append((body, level))
    results = ask(client, f"/collections/{name}/points/search/batch", {"searches": [b for b, _ in searches]})
    for (body, level), result in zip(searches, results):
        compare(model, maker, body, level, result)


def group_values(payload, key):
    if key not in payload:
        return []
    values = payload[key] if isinstance(payload[key], list) else [payload[key]]
    if any(isinstance(v, bool) or not isinstance(v, (int, str)) for v in values):
        return []
    return list(dict.fromkeys(values))


def groups(client, name, model, maker, rng):
    for _ in range(20):
        body, level = maker.level(0, [])
        level.update(limit=10 ** 9, offset=0, threshold=None)
        if level["mmr"]:
            level["mmr"] = None
            body["query"].pop("mmr")
        for key in ("limit", "offset", "score_threshold"):
            body.pop(key, None)
        key = rng.choice(("color", "tags", "n", "none"))
        limit, size = rng.choice((1, 2, 10, 50)), rng.choice((1, 3, 1000))
        ranked = model.rank(level)
        wanted = {}
        for i, s in ranked:
            for v in group_values(model.points[i]["payload"], key):
                wanted.setdefault(v, [])
                if len(wanted[v]) < size:
                    wanted[v].append((i, s))
        result = ask(client, f"/collections/{name}/points/query/groups",
                     {**body, "group_by": key, "limit": limit, "group_size": size})["groups"]
        what = f"seed {SEED}: {name} {body} by {key} {limit} {size}"
        if maker.coarse:
            check([g["id"] for g in result] == list(wanted)[:limit], f"{what}: {[g['id'] for g in result]} {list(wanted)}")
        check(len(result) == min(limit, len(wanted)), f"{what}: {len(result)} groups")
        for g in result:
            same_results(g["hits"], wanted[g["id"]], ranked, maker.coarse, what)
            check(all(h["payload"] is None for h in g["hits"]), what)


def matrices(client, name, model, maker, rng):
    using = list(maker.fields)[-1]
    for _ in range(5):
        body = {"sample": rng.choice((2, 10, 30)), "limit": rng.choice((1, 3, 100)), "using": using,
                "filter": {"must": [{"key": "color", "match": {"value": "red"}}]}}
        there = {i for i, p in model.points.items() if p["payload"]["color"] == "red" and using in p["vector"]}
        m = ask(client, f"/collections/{name}/points/search/matrix/offsets", body)
        ids = m["ids"]
        check(len(ids) == min(body["sample"], len(there)) and set(ids) <= there, f"{name}: {m}")
        check(ids == sorted(ids, key=id_key), f"{name}: {ids}")
        check_matrix(model, ids, [(ids[a], ids[b], s) for a, b, s in zip(m["offsets_row"], m["offsets_col"], m["scores"])], body)
        pairs = ask(client, f"/collections/{name}/points/search/matrix/pairs", body)["pairs"]
        ids = sorted({p["a"] for p in pairs}, key=id_key)
        check_matrix(model, ids, [(p["a"], p["b"], p["score"]) for p in pairs], body)
    none = {"filter": {"must": [{"key": "color", "match": {"value": "none"}}]}, "using": using}
    check(ask(client, f"/collections/{name}/points/search/matrix/pairs", none) == {"pairs": []}, "an empty matrix")


def check_matrix(model, ids, cells, body):
    sign = FIRST_OF_SORT[model.metric]
    at = 0
    for a in ids:
        wanted = best_first([(b, score(model.metric, model.vector(a, body["using"]), model.vector(b, body["using"]))) for b in ids if b != a], sign)
        row = wanted[:body["limit"]]
        got = cells[at:at + len(row)]
        at += len(row)
        check(all(x == a for x, _, _ in got), f"rows of {body}: {got}")
        same_results([{"id": b, "score": s, "version": 1} for _, b, s in got], row, wanted, model.metric != "Cosine", f"{a} {body}")
    check(at == len(cells), f"{at} cells, not {len(cells)}")


def samples(client, name, model):
    there = {i for i, p in model.points.items() if p["payload"]["color"] == "blue"}
    body = {"query": {"sample": "random"}, "limit": 7, "filter": {"must": [{"key": "color", "match": {"value": "blue"}}]}}
    seen = set()
    for _ in range(40):
        got = [p["id"] for p in ask(client, f"/collections/{name}/points/query", body)["points"]]
        check(len(set(got)) == min(7, len(there)) and set(got) <= there, f"{name}: a sample {got}")
        seen.update(got)
    check(len(seen) > 7 or len(there) <= 7, f"{name}: forty samples are the same")
    inner = {"prefetch": [{"query": {"sample": "random"}, "limit": 5}, {"limit": 5}], "query": {"fusion": "rrf"}, "limit": 100}
    got = ask(client, f"/collections/{name}/points/query", inner)["points"]
    check(5 <= len(got) <= 10, f"{name}: {got}")


# --- what is not random ---

def unnamed_and_lookups(client):
    put(client, "/collections/u", {"vectors": {"size": 2, "distance": "Dot"}})
    put(client, "/collections/other", {"vectors": {"x": {"size": 2, "distance": "Cosine"}, "y": {"size": 3, "distance": "Dot"},
                                               "w": {"size": 2, "distance": "Dot"}}})
    put(client, "/collections/u/points?wait=true", {"points": [
        {"id": n, "vector": [n, 1], "payload": {"n": n, "deep": {"a": [n], "b": 1}}} for n in range(1, 6)]})
    put(client, "/collections/other/points?wait=true", {"points": [
        {"id": 1, "vector": {"x": [3, 4]}}, {"id": 9, "vector": {"x": [0, 2], "y": [1, 2, 3]}}]})

    def query(**body):
        return ask(client, "/collections/u/points/query", body)["points"]

    def ids(points):
        return [p["id"] for p in points]

    check(ids(query(query=[1, 0])) == [5, 4, 3, 2, 1], "an unnamed vector")
    check(ids(query(query=[1, 0], using="")) == [5, 4, 3, 2, 1], "the empty name")
    check(ids(query(query=2)) == [5, 4, 3, 1], "the point itself is left out")
    check(ids(query()) == [1, 2, 3, 4, 5] and query()[0]["score"] == 0, "without a query")
    check(query(query=[1, 0], limit=1, with_vector=True)[0]["vector"] == [5, 1], "a vector given back")
    check(query(query=[1, 0], limit=1, with_payload=["deep.b"])[0]["payload"] == {"deep": {"b": 1}}, "a part of the payload")
    check(query(query=[1, 0], limit=1, with_payload={"exclude": ["deep"]})[0]["payload"] == {"n": 5}, "without a part")
    check(query(query=[1, 0], limit=1)[0]["payload"] is None and query(query=[1, 0])[0]["vector"] is None, "nothing")
    check(ids(query(query=[1, 0], offset=3)) == [2, 1] and query(query=[1, 0], offset=9) == [], "an offset")
    # The example of another collection is not left out of this one; its vector was normalised there.
    found = query(query=1, lookup_from={"collection": "other", "vector": "x"})
    check(ids(found) == [5, 4, 3, 2, 1] and abs(found[4]["score"] - (0.6 + 0.8)) < 1e-6, f"a lookup: {found}")
    found = query(query={"recommend": {"positive": [1], "negative": [9], "strategy": "sum_scores"}},
                  lookup_from={"collection": "other", "vector": "x"}, limit=1)
    check(abs(found[0]["score"] - (3 + 0.8 - 1)) < 1e-6, f"a lookup of two: {found}")
    check(ids(ask(client, "/collections/u/points/search", {"vector": [1, 0], "limit": 2})) == [5, 4], "an older search")
    # A threshold is met by what it is equal to.
    check(ids(query(query=[1, 0], score_threshold=4)) == [5, 4], "a threshold that is met")
    check(ids(query(query=[1, 0], score_threshold=4.000001)) == [5], "a threshold that is not")


def more_than_a_page(client):
    """What is read page by page: by id, and scores of every row. And what is too much."""
    count = 16500
    put(client, "/collections/many", {"vectors": {"size": 1, "distance": "Dot"}})
    for at in range(0, count, 5500):
        ids = list(range(at, at + 5500))
        put(client, "/collections/many/points?wait=true", {"batch": {
            "ids": ids, "vectors": [[n % 97] for n in ids], "payloads": [{"n": n} for n in ids]}})
    query = "/collections/many/points/query"
    for offset, limit in ((0, 10 ** 9), (0, count), (700, 10), (0, 513), (count - 1, 1), (1490, 2 ** 63), (count, 5),
                          (2 ** 64 - 1, 2 ** 64 - 1)):
        got = ask(client, query, {"offset": offset, "limit": limit, "with_payload": True})["points"]
        ids = list(range(count))[offset:offset + limit]
        check([p["id"] for p in got] == ids and all(p["payload"] == {"n": p["id"]} for p in got), f"{offset} {limit}: {len(got)}")
    even = {"should": [{"key": "n", "match": {"any": list(range(0, 3000, 2))}}]}
    got = ask(client, query, {"offset": 600, "limit": 100, "filter": even})["points"]
    check([p["id"] for p in got] == list(range(1200, 1400, 2)), "every other point, from the middle")
    ranked = best_first([(n, 2 * (n % 97)) for n in range(count)], -1)
    body = {"query": {"recommend": {"positive": [[3]], "negative": [[1]], "strategy": "sum_scores"}}, "limit": 40, "offset": 5}
    same_results(ask(client, query, body)["points"], ranked[5:45], ranked, True, "sums over pages")
    groups_of = ask(client, "/collections/many/points/query/groups", {"query": [1], "group_by": "n", "limit": 200, "group_size": 2})
    check([g["id"] for g in groups_of["groups"]] == [n for n, _ in ranked[:200]], "more groups than the first round finds")
    for most in ({"query": [1]}, {"query": {"recommend": {"positive": [[1]], "strategy": "best_score"}}}):
        check(len(ask(client, query, {**most, "limit": 16384})["points"]) == 16384, "as many as there may be")
        error = ask(client, query, {**most, "limit": 16384, "offset": 1}, 400)
        check("16384" in error, error)
    sources = [{"limit": count}] * 16
    check(len(ask(client, query, {"prefetch": sources[:15], "query": {"fusion": "rrf"}, "limit": count})["points"]) == count,
          "many prefetches")
    error = ask(client, query, {"prefetch": sources, "query": {"fusion": "rrf"}}, 400)
    check(error.startswith("Wrong input: the prefetches gave 264000 points"), error)


def refusals(client):
    query, nested = "/collections/u/points/query", {"query": [1, 0]}
    for _ in range(20):
        nested = {"prefetch": nested, "query": [1, 0]}
    rows = [
        (400, "Format error in JSON body", {"query": {"nonsense": 1}}),
        (400, "Format error in JSON body", {"query": True}),
        (400, "Format error in JSON body", {"query": "12"}),
        (400, "Format error in JSON body", {"query": [1, None]}),
        (400, "Wrong input: lists of vectors (multivectors) are not supported", {"query": [[1, 0], [0, 1]]}),
        (400, "Format error in JSON body", {"query": {"nearest": [1, 0], "fusion": "rrf"}}),
        (400, "Format error in JSON body", {"query": {"fusion": "best"}, "prefetch": {}}),
        (400, "Format error in JSON body", {"query": {"sample": "all"}}),
        (400, "Format error in JSON body", {"query": [1, 0], "prefetch": 7}),
        (400, "Format error in JSON body", {"query": [1, 0], "prefetch": [7]}),
        (400, "Format error in JSON body", {"query": [1, 0], "limit": "10"}),
        (400, "Format error in JSON body", {"query": [1, 0], "limit": -1}),
        (400, "Format error in JSON body", {"query": [1, 0], "score_threshold": "1"}),
        (400, "Format error in JSON body", {"query": [1, 0], "params": []}),
        (400, "Format error in JSON body", {"query": [1, 0], "filter": []}),
        (400, "Format error in JSON body", {"query": {"recommend": {"positive": 1}}}),
        (400, "Format error in JSON body", {"query": {"recommend": {"positive": [1], "strategy": "x"}}}),
        (400, "Format error in JSON body", {"query": {"order_by": {"key": "n", "direction": "up"}}}),
        (400, "Wrong input: Vector dimension error: expected dim: 2, got 3", {"query": [1, 2, 3]}),
        (400, "Wrong input: Vector dimension error: expected dim: 2, got 0", {"query": []}),
        (400, "Wrong input: Not existing vector name error: z", {"query": [1, 2], "using": "z"}),
        (400, "Wrong input: sparse", {"query": {"indices": [1], "values": [1]}}),
        (400, "Wrong input: sparse", {"query": {"nearest": {"indices": [1], "values": [1]}}}),
        (400, "Wrong input: `discover`", {"query": {"discover": {"target": 1, "context": []}}}),
        (400, "Wrong input: `context`", {"query": {"context": []}}),
        (400, "Wrong input: `formula`", {"query": {"formula": {"sum": []}}}),
        (400, "Wrong input: `relevance_feedback`", {"query": {"relevance_feedback": {}}}),
        (400, "Wrong input: objects", {"query": {"text": "a", "model": "m"}}),
        (400, "Wrong input: ", {"query": {"fusion": "rrf"}}),
        (400, "Wrong input: ", {"query": {"rrf": {}}}),
        (400, "Wrong input: there are 1 weights for 2", {"query": {"rrf": {"weights": [1]}}, "prefetch": [{}, {}]}),
        (400, "Wrong input: ", {"query": {"recommend": {"positive": []}}}),
        (400, "Wrong input: ", {"query": {"recommend": {"negative": [1]}}}),
        (400, "Wrong input: ", {"query": {"recommend": {"strategy": "best_score"}}}),
        (400, "Wrong input: A query is needed", {"prefetch": [{"query": [1, 0]}]}),
        (400, "Wrong input: ", {"query": {"order_by": "unindexed"}}),
        (400, "Wrong input: prefetches stand", nested),
        (400, "Wrong input: a query has at most", {"query": {"fusion": "rrf"}, "prefetch": [{}] * 256}),
        (400, "Wrong input: a query has at most", {"query": {"recommend": {"positive": [1] * 1025}}}),
        (404, "Not found: No point with id 77 found", {"query": 77}),
        (404, "Not found: No point with id 77 found", {"query": {"recommend": {"positive": [1, 77]}}}),
        (404, "Not found: No point with id 77 found", {"query": [1, 0], "prefetch": {"query": 77}}),
        (404, "Not found: No point with id 00000000-0000-0000-0000-000000000001 found", {"query": "0" * 31 + "1"}),
        (404, "Not found: Collection `no` doesn't exist!", {"query": 1, "lookup_from": {"collection": "no"}}),
        (404, "Not found: Vector with name w", {"query": 1, "lookup_from": {"collection": "other", "vector": "w"}}),
        (400, "Wrong input: Vector dimension error", {"query": 9, "lookup_from": {"collection": "other", "vector": "y"}}),
        (400, "Wrong input: Not existing vector name error: ", {"query": 1, "lookup_from": {"collection": "other"}}),
        (422, "Validation error in JSON body: [", {"query": [1, 0], "limit": 0}),
        (422, "Validation error in JSON body: [", {"query": {"nearest": [1, 0], "mmr": {"diversity": 1.5}}}),
        (422, "Validation error in JSON body: [", {"query": {"nearest": [1, 0], "mmr": {"candidates_limit": 0}}}),
        (422, "Validation error in JSON body: [", {"query": {"rrf": {"k": 0}}, "prefetch": {}}),
    ]
    for status, text, body in rows:
        error = ask(client, query, body, status)
        check(error.startswith(text), f"{str(body)[:200]}: {error}, not {text}")
    for path, status, body in (("/query/groups", 400, {"query": [1, 0]}), ("/query/groups", 422, {"group_by": "n", "group_size": 0}),
                               ("/query/groups", 400, {"group_by": "n", "with_lookup": "other"}),
                               ("/query/groups", 400, {"group_by": "a[", "query": [1, 0]}),
                               ("/query/groups", 400, {"group_by": "n", "offset": 1}),
                               ("/search", 400, {"limit": 1}), ("/search", 400, {"vector": 1}), ("/search", 400, {"vector": {"name": ""}}),
                               ("/search", 400, {"vector": {"name": "z", "vector": [1, 0]}}),
                               ("/query/batch", 400, {}), ("/query/batch", 400, {"searches": {}}),
                               ("/query/batch", 400, {"searches": [{"query": [1, 0]}, 3]}),
                               ("/search/matrix/pairs", 422, {"sample": 1}), ("/search/matrix/offsets", 422, {"limit": 0}),
                               ("/search/matrix/pairs", 400, {"using": "z"}), ("/recommend", 400, {}), ("/discover", 400, {})):
        ask(client, "/collections/u/points" + path, body, status)
    error = ask(client, "/collections/none/points/query", {"query": [1, 0]}, 404)
    check(error == "Not found: Collection `none` doesn't exist!", error)
    check(ask(client, "/collections/u/points/query/batch", {"searches": []}) == [], "an empty batch")


def random_queries_agree_with_the_model():
    rng = random.Random(SEED)
    with Folder("qdrant-query") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        for shape in FIELDS:
            for metric in METRICS:
                random_queries(client, rng, metric, shape)
                print(f"{shape} {metric}: {ROUNDS} queries and what is beside them agree", flush=True)
        client.close()
        node.stop()


def forms_and_refusals():
    with Folder("qdrant-query") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        unnamed_and_lookups(client)
        more_than_a_page(client)
        refusals(client)
        client.close()
        node.stop()


if __name__ == "__main__":
    ROUNDS = support.take_option("--rounds", 60)
    POINTS = support.take_option("--points", 150)
    SEED = support.take_seed()
    support.main(forms_and_refusals, random_queries_agree_with_the_model)
