"""Random operations and reads in both dialects against an exact model (exact_model.py), through restarts.

    python3 tests/integration/differential.py [name of a test below ...] [--steps N] [--lives N] [--seed S] [--trace] [--keep]

Three collections: one with a single unnamed vector, one with named vectors, and one with a vector without a name beside a named
one; both dialects make, write and read them. Each life of the node does --steps operations with random reads between them, then the node is stopped, or killed while an upsert is under
way; after the start everything that was answered must be there, and what was under way as a whole or not at all. Payload
indexes come and go meanwhile and an alias changes sides. The same with a directory as the bucket, where the data
directory is lost. `wrong_models_are_noticed` gives the model a wrong rule: the comparison must find a difference.
"""
import json
import random
import re
import shutil
import sys
import threading
import urllib.parse
import uuid

import support
from exact_model import Model, Rules, id_key, merged, without
from support import Folder, Gone, Node, NotSent, check, f32

STEPS = support.take_option("--steps", 40)
LIVES = support.take_option("--lives", 3)
TRACE = "--trace" in sys.argv
sys.argv = [a for a in sys.argv if a != "--trace"]
SEED = support.take_seed()
METRICS = {"Cosine": "cosine", "Dot": "dot", "Euclid": "l2", "Manhattan": "l1"}
IDS = [*range(28), 2**53 + 1, 2**64 - 1, *(str(uuid.UUID(int=(i * 0x9E3779B97F4A7C15F39CC0605CEDC834) % 2**128)) for i in range(1, 11))]
TAGS = ["red", "green", "blue", "Red", "r\u00e9d", ""]
TEXTS = ["Good coffee here", "coffee, good and hot", "tea", "HOT tea; good", "x1 y2"]
TIMES = ["2024-02-29", "2024-02-29T12:30", "2024-03-01T00:00:05Z", "2024-02-29T23:00:00-02:00", "no time"]
INDEXES = [("tag", "keyword"), ("n", "integer"), ("f", "float"), ("flag", "bool"), ("at", "datetime"), ("loc", "geo"),
           ("text", "text"), ("m", "integer"), ("m", "keyword"), ("o.a", "integer"), ("items[].x", "integer"),
           ("tag", "text"), ("f", "integer"), ("o.s", "keyword")]
FACETS = {"tag": (str,), "n": (int,), "flag": (bool,), "o.a": (int,), "items[].x": (int,)}


class Differs(AssertionError):
    """The node says something else than the model."""


def agree(got, want, what):
    if got != want:
        raise Differs(f"{what}:\n  node  {str(got)[:1500]}\n  model {str(want)[:1500]}")


class Random:
    """Payloads, vectors, filters."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def one(self, of):
        return self.rng.choice(of)

    def maybe(self, p=0.5):
        return self.rng.random() < p

    def some(self, of, most):
        return self.rng.sample(of, self.rng.randint(1, min(most, len(of))))

    def vector(self, size, zero=True):
        if zero and self.maybe(0.03):
            return [0.0] * size
        return [f32(self.rng.uniform(-2, 2)) for _ in range(size)]

    def scalar(self):
        return self.one([True, False, 1, 0, 1.0, 2.5, "1", "red", None, 2**53 + 1, -7])

    def values(self, key):
        make = {"tag": lambda: self.one(TAGS), "n": lambda: self.rng.randint(-3, 6), "f": lambda: self.rng.randint(-8, 8) / 4 + 0.125,
                "flag": self.maybe, "at": lambda: self.one(TIMES), "text": lambda: self.one(TEXTS), "m": self.scalar,
                "loc": lambda: {"lat": self.rng.randint(-8, 8) * 10, "lon": self.rng.randint(-17, 17) * 10}}[key]
        if self.maybe(0.7):
            return make()
        if self.maybe(0.3):
            return self.one([None, []])
        several = [make() for _ in range(self.rng.randint(1, 3))]
        if key in ("m", "loc"):
            return several
        return [v for at, v in enumerate(several) if v not in several[:at]]

    def payload(self, most=7):
        p = {key: self.values(key) for key in self.some(["tag", "n", "f", "flag", "at", "text", "m", "loc"], most)}
        if self.maybe(0.4):
            p["o"] = {k: v for k, v in (("a", self.rng.randint(0, 3)), ("s", self.one(TAGS)), ("p", {"q": 1})) if self.maybe(0.7)}
        if self.maybe(0.4):
            p["items"] = [{"x": self.rng.randint(0, 3), "y": self.one(TAGS)} for _ in range(self.rng.randint(0, 3))]
        return p

    # A filter is (text for the node, function for the model).

    def condition(self, depth, ids, nested=False):
        rng = self.rng
        if depth > 0 and self.maybe(0.2):
            return self.clauses(depth - 1, ids, nested)
        if nested:
            return self.one([{"key": "x", "match": {"value": rng.randint(0, 3)}}, {"key": "x", "range": {"gte": rng.randint(0, 3)}},
                             {"key": "y", "match": {"any": self.some(TAGS, 3)}}, {"has_id": [1]}])
        lo = rng.randint(-4, 6)
        tag = self.one(["tag", "tag[]", "o.s", "m"])
        return self.one([
            lambda: {"key": tag, "match": {"value": self.one(TAGS)}},
            lambda: {"key": tag, "match": {"any": self.some(TAGS, 3)}},
            lambda: {"key": tag, "match": {"except": self.some(TAGS, 3)}},
            lambda: {"key": "tag", "match": {"prefix": self.one(["r", "R", "gre", ""])}},
            lambda: {"key": "m", "match": {"value": self.one([True, False, 1, 0, "1", 2**53 + 1, -7])}},
            lambda: {"key": "flag", "match": {"value": self.maybe()}},
            lambda: {"key": self.one(["n", "n[]", "o.a", "items[].x"]), "match": {"value": lo}},
            lambda: {"key": self.one(["n", "m", "o.a"]), "match": {"any": [lo, lo + 1, lo + 3]}},
            lambda: {"key": "n", "match": {"except": [lo, lo + 1]}},
            lambda: {"key": self.one(["n", "f", "m", "items[].x"]), "range": {self.one(["gt", "gte"]): lo, self.one(["lt", "lte"]): lo + rng.randint(1, 4)}},
            lambda: {"key": "f", "range": {self.one(["gt", "gte", "lt", "lte"]): lo / 4 + 0.125}},
            lambda: {"key": "at", "range": {self.one(["gt", "gte", "lt", "lte"]): self.one(TIMES[:4])}},
            lambda: {"key": "text", "match": {self.one(["text", "text_any", "phrase"]): self.one(["good", "Coffee", "good coffee", "tea good", "x1"])}},
            lambda: {"key": "loc", "geo_radius": {"center": {"lat": lo * 7.5, "lon": lo * 20.5}, "radius": rng.uniform(1e6, 9e6)}},
            lambda: {"key": "loc", "geo_bounding_box": {"top_left": {"lat": 45.5, "lon": lo * 20 - 55.5},
                                                        "bottom_right": {"lat": -25.5, "lon": lo * 20 + 55.5}}},
            lambda: {"key": self.one(["tag", "n", "m", "items", "text"]), "values_count": {self.one(["gt", "gte", "lt", "lte"]): rng.randint(0, 3)}},
            lambda: {"key": self.one(["tag", "n", "items", "o.s", "items[].x"]), "is_empty": self.maybe(0.7)},
            lambda: {"key": self.one(["tag", "n", "m", "o"]), "is_null": self.maybe(0.7)},
            lambda: {"has_id": self.some(ids, 6)},
            lambda: {"has_vector": self.one(["", "a", "b", "n"])},
            lambda: {"nested": {"key": self.one(["items", "items[]"]), "filter": self.clauses(1, ids, True)}},
        ])()

    def clauses(self, depth, ids, nested=False):
        def conditions(most):
            return [self.condition(depth, ids, nested) for _ in range(self.rng.randint(1, most))]
        out = {}
        if self.maybe(0.6):
            out["must"] = conditions(2)
        if self.maybe(0.4):
            out["should"] = conditions(3)
        if self.maybe(0.3):
            out["must_not"] = conditions(2)
        if self.maybe(0.15):
            out["min_should"] = {"conditions": conditions(4), "min_count": self.rng.randint(1, 3)}
        return out or {"must": conditions(1)}

    def native_filter(self, depth, ids):
        if depth > 0 and self.maybe(0.3):
            inner = [self.native_filter(depth - 1, ids) for _ in range(self.rng.randint(1, 3))]
            return self.one([{"$and": inner}, {"$or": inner}, {"$not": inner[0]}, {"qdrant": self.clauses(1, ids)}])
        lo = self.rng.randint(-4, 6)
        return self.one([
            {"tag": self.one([*TAGS, None])}, {"tag": {"$in": self.some(TAGS, 3)}}, {"tag": {"$nin": self.some(TAGS, 3)}},
            {"m": self.one([True, 1, 1.0, 0, "1", None, 2.5])}, {"m": {"$ne": self.one([True, 1, None])}}, {"n": {"$ne": lo}},
            {"n": {"$gte": lo, "$lt": lo + 3}}, {"f": {self.one(["$gt", "$lte"]): lo / 4 + 0.125}}, {"at": {"$gte": self.one(TIMES[:4])}},
            {self.one(["tag", "o", "o.a", "items[].x"]): {"$exists": self.maybe()}}, {"n": {"$not": {"$gt": lo}}}, {"o.a": {"$in": [0, 2.0]}},
            {"tag": self.one(TAGS), "n": {"$lt": lo}}])


def compatible(f):
    return None if f is None else lambda rules, payload, doc: rules.holds(f, payload, doc)


def native(f):
    return None if f is None else lambda rules, payload, doc: rules.native(f, payload, doc)


class Table:
    """One collection, its model, and what is done to both."""

    def __init__(self, session, name, fields, metrics, tier=None):
        self.session, self.name = session, name
        self.random = session.random
        self.model = Model({n: (size, metrics[n]) for n, size in fields.items()}, session.rules)
        self.indexed = {}
        self.plain = list(fields) == [""]
        self.tier = tier
        if tier or self.random.maybe():
            shape = {n: {"dimension": size, "metric": METRICS[metrics[n]]} for n, size in fields.items()}
            body = {"name": name, **(shape[""] if self.plain else {"vectors": shape, "hnsw": {"threshold": 10}})}
            self.ask("POST", "/api/v1/collections", {**body, "tiering_policy": tier, **session.more} if tier else body, 201)
            return
        shape = {n: {"size": size, "distance": metrics[n]} for n, size in fields.items()}
        body = {"vectors": shape[""] if self.plain else shape}
        # Named graphs begin early, unnamed ones never: both ways of searching are asked.
        if not self.plain:
            body["hnsw_config"] = {"full_scan_threshold": 10}
        self.ask("PUT", f"/collections/{name}", body)

    @property
    def scanned(self):
        """In RAM: exact whether asked so or not."""
        return self.plain and self.tier != "S3Only"

    # --- asking ---

    def ask(self, method, path, body=None, status=200):
        answer = self.session.client.request(method, path, None if body is None else json.dumps(body).encode())
        if TRACE:
            print(answer.status, method, path, json.dumps(body), flush=True)
        if answer.status != status:
            raise Differs(f"{method} {path} {json.dumps(body)[:1500]}: {answer}, not {status}")
        said = answer.json
        return said["result"] if "result" in said else said

    def path(self, rest):
        names = [self.name] + (["alias"] if self.session.alias is self else [])
        return f"/collections/{self.random.one(names)}{rest}"

    def own(self, rest):
        return "/api/v1" + self.path(rest)

    def filter(self):
        """(what to send, what the model asks)."""
        f = self.random.clauses(2, IDS)
        return f, compatible(f)

    def own_filter(self):
        f = self.random.native_filter(2, IDS)
        return f, native(f)

    # --- rows ---

    def vectors(self, every=False, zero=True):
        names = list(self.model.fields)
        if not every and self.random.maybe(0.25):
            names = [n for n in names if self.random.maybe()]
        return {n: self.random.vector(self.model.fields[n][0], zero) for n in names}

    def rows(self, most=8, **how):
        out = []
        for i in self.random.some(IDS, most):
            out.append((i, self.vectors(**how), self.random.payload() if self.random.maybe(0.9) else {}, None))
        return out

    def sent(self, vectors):
        return vectors[""] if list(vectors) == [""] and self.plain and self.random.maybe(0.8) else vectors

    def upsert_body(self, rows):
        if self.random.maybe(0.3):
            names = [n for n in self.model.fields if all(n in r[1] for r in rows)]
            if names and all(set(r[1]) == set(names) for r in rows):
                columns = {n: [r[1][n] for r in rows] for n in names}
                return {"batch": {"ids": [r[0] for r in rows], "vectors": columns[""] if self.plain else columns,
                                  "payloads": [r[2] or None for r in rows]}}
        return {"points": [{"id": r[0], "vector": self.sent(r[1]), "payload": r[2]} for r in rows]}

    def selection(self):
        """({"points"} or {"filter"}, ids for the model as a function of it: a filter is asked when its turn comes)"""
        if self.random.maybe(0.6):
            there = [i for i in IDS if i in self.model.points]
            ids = self.random.some(IDS if self.random.maybe(0.3) or not there else there, 5)
            return {"points": ids}, lambda: ids
        f, test = self.filter()
        return {"filter": f}, lambda: self.model.matching(test)

    # --- operations: (method, path, name in a batch, body, what the model does -> the first id that is not there) ---

    def an_upsert(self):
        rows = self.rows()
        body, mode, test = self.upsert_body(rows), "upsert", None
        if self.random.maybe(0.2):
            mode = body["update_mode"] = self.random.one(["insert_only", "update_only", "upsert"])
        if self.random.maybe(0.2):
            body["update_filter"], test = self.filter()
        return "PUT", "/points", "upsert", body, lambda: self.model.upsert(rows, mode, test)

    def a_delete(self):
        body, ids = self.selection()
        if len(ids()) > 8 and self.random.maybe(0.8):  # else there would soon be little to look at
            return self.an_upsert()
        return "POST", "/points/delete", "delete", body, lambda: self.model.delete(ids())

    def a_merge(self):
        body, ids = self.selection()
        patch, path = self.random.payload(3), None
        if self.random.maybe(0.4):
            path = body["key"] = self.random.one(["o", "o.p", "o.new.deep", "items[]", "items[0]"])
            patch = {self.random.one(["x", "y", "z", "a"]): self.random.one([1, 2, "red"])}
            if path == "o" or path.startswith("items"):
                patch = {k: 2 if k in ("x", "a") else "red" for k in patch}
        body["payload"] = patch
        return "POST", "/points/payload", "set_payload", body, lambda: self.model.change(ids(), lambda p: merged(p, patch, path))

    def a_replacement(self):
        body, ids = self.selection()
        payload = body["payload"] = self.random.payload()
        return "PUT", "/points/payload", "overwrite_payload", body, lambda: self.model.change(ids(), lambda p: payload)

    def a_removal_of_keys(self):
        body, ids = self.selection()
        keys = body["keys"] = self.random.some(["tag", "n", "o.a", "o", "items[].x", "items[1].y", "m", "none", "f.x"], 3)
        return "POST", "/points/payload/delete", "delete_payload", body, lambda: self.model.change(ids(), lambda p: without(p, keys))

    def a_clearing(self):
        body, ids = self.selection()
        return "POST", "/points/payload/clear", "clear_payload", body, lambda: self.model.change(ids(), lambda p: {})

    def new_vectors(self):
        there = sorted(self.model.points, key=id_key) or IDS
        rows = [(i, self.vectors(every=True)) for i in self.random.some(there, 4)]
        body = {"points": [{"id": i, "vector": self.sent(v)} for i, v in rows]}

        def apply():
            gone = [self.model.change([i], None, lambda old, v=v: {**old, **self.model.kept(v)}) for i, v in rows]
            return next((i for i in gone if i is not None), None)
        return "PUT", "/points/vectors", "update_vectors", body, apply

    def no_vectors(self):
        body, ids = self.selection()
        names = body["vector"] = [self.random.one(list(self.model.fields))]
        return ("POST", "/points/vectors/delete", "delete_vectors", body,
                lambda: self.model.change(ids(), None, lambda v: {n: x for n, x in v.items() if n not in names}))

    def operation(self):
        return self.random.rng.choices([self.an_upsert, self.a_delete, self.a_merge, self.a_replacement, self.a_removal_of_keys,
                                        self.a_clearing, self.new_vectors, self.no_vectors], [8, 2, 3, 1, 2, 1, 2, 1])[0]()

    def changes(self, apply):
        """Each change of the model comes by here, before the node is asked for it."""
        return apply()

    def act(self):
        do = self.random.rng.choices([self.act_alone, self.act_batch, self.act_own, self.act_index, self.act_refused],
                                     [8, 2, 5, 2, 1])[0]
        do()

    def act_alone(self):
        method, path, _, body, apply = self.operation()
        gone = self.changes(apply)
        answer = self.ask(method, self.path(path) + "?wait=true", body, 200 if gone is None else 404)
        if gone is None:
            agree(answer["status"], "completed", path)

    def act_batch(self):
        operations, expected = [], 200
        # Each is made when those before it are done to the model: the first that finds an id missing ends the batch.
        for _ in range(self.random.rng.randint(1, 5)):
            _, _, name, body, apply = self.operation()
            operations.append({name: body})
            if expected == 200 and self.changes(apply) is not None:
                expected = 404
        self.ask("POST", self.path("/points/batch") + "?wait=true", {"operations": operations}, expected)

    def document(self, row):
        """As our own dialect takes it."""
        i, vectors, payload, external = row
        out = {"doc_id": i, "payload": payload, "external_id": external}
        if "" in vectors and self.random.maybe(0.8):
            out["vector"] = vectors[""]
        named = {n: v for n, v in vectors.items() if n or "vector" not in out}
        if named or "vector" not in out or self.random.maybe(0.2):
            out["vectors"] = named
        return out

    def act_own(self):
        if self.random.maybe(0.6):
            rows = [(i, v, p, self.random.one([None, f"x-{i}"])) for i, v, p, _ in self.rows(zero=False)]
            documents = [self.document(row) for row in rows]
            self.changes(lambda: self.model.upsert(rows))
            self.ask("POST", self.own("/insert"), documents[0] if len(rows) == 1 else {"documents": documents})
            return
        if self.random.maybe():
            ids = self.random.some(IDS, 4)
            body = {"ids": ids}
        else:
            f, test = self.own_filter()
            ids, body = self.model.matching(test), {"filter": f}
            if len(ids) > 8 and self.random.maybe(0.8):
                return
        there = len([i for i in ids if i in self.model.points])
        self.changes(lambda: self.model.delete(ids))
        agree(self.ask("POST", self.own("/delete"), body)["deleted"], there, f"deleted by {body}")

    def act_index(self):
        field, schema = self.random.one(INDEXES)
        if self.random.maybe(0.3):
            self.ask("DELETE", self.path(f"/index/{urllib.parse.quote(field)}") + "?wait=true")
            self.indexed.pop(field, None)
        else:
            self.ask("PUT", self.path("/index") + f"?wait={self.random.one(['true', 'false'])}", {"field_name": field, "field_schema": schema})
            self.indexed[field] = schema

    def act_refused(self):
        """The whole of it is checked before anything is written."""
        body = self.upsert_body(self.rows())
        bad = {"id": 5, "vector": self.random.one([{"no such": [1.0]}, [1.0] * 9, {"a": [1.0] * 9}, {"": [1.0] * 9}])}
        self.ask("PUT", self.path("/points") + "?wait=true", {"points": body.get("points", []) + [bad]}, 400)

    # --- reads ---

    def look(self):
        reads = [self.read_points, self.read_pages, self.read_count, self.read_query, self.read_query, self.read_facet, self.read_order,
                 self.read_own_document, self.read_own_pages, self.read_own_query, self.read_own_query]
        self.random.one(reads)()

    def same_vectors(self, got, want, what):
        got = {"": got} if isinstance(got, list) else got or {}
        agree(sorted(got), sorted(want), f"vectors of {what}")
        for name, v in want.items():
            near = 1e-6 if self.model.fields[name][1] == "Cosine" else 0
            if any(abs(f32(x) - y) > near for x, y in zip(got[name], v)) or len(got[name]) != len(v):
                agree(got[name], v, f"vector {name} of {what}")

    def same_record(self, record):
        p = self.model.points.get(record["id"])
        if p is None:
            raise Differs(f"{record} is not there in the model")
        agree(json.dumps(record["payload"], sort_keys=True), json.dumps(p.payload, sort_keys=True), f"payload of {record['id']}")
        self.same_vectors(record["vector"], p.vectors, record["id"])

    def some_vectors(self):
        """(what to ask for, the names of what comes then)."""
        names = list(self.model.fields)
        some = [n for n in names if self.random.maybe()]
        return (True, names) if self.random.maybe(0.6) else (some, some)

    def same_document(self, d, names=None):
        p = self.model.points.get(d["doc_id"])
        if p is None:
            raise Differs(f"{d} is not there in the model")
        agree(json.dumps(d["payload"], sort_keys=True), json.dumps(p.payload, sort_keys=True), f"payload of {d['doc_id']}")
        agree(d["external_id"], p.external, f"external id of {d['doc_id']}")
        names = list(self.model.fields) if names is None else names
        agree("vector" in d, "" in names, f"an unnamed vector in {d}")
        got = dict(d.get("vectors", {}))
        if d.get("vector") is not None:
            got[""] = d["vector"]
        self.same_vectors(got, {n: v for n, v in p.vectors.items() if n in names}, d)

    def pages(self, body, limit):
        offset, out = None, []
        while True:
            page = self.ask("POST", self.path("/points/scroll"), {**body, "limit": limit, "offset": offset})
            out += page["points"]
            offset = page["next_page_offset"]
            if offset is None:
                return out

    def read_all(self):
        """Everything, in both dialects: what counts after a start."""
        found = self.pages({"with_vector": True}, 1000)
        agree([r["id"] for r in found], self.model.matching(None), f"ids of {self.name}")
        for record in found:
            self.same_record(record)
        if self.tier != "S3Only":  # told about: what the head overrides in the bucket is counted by who asks for it
            agree(self.ask("GET", f"/collections/{self.name}")["points_count"], len(self.model.points), "points_count")
        self.own_pages(None, None, 1000)
        schema = self.ask("GET", f"/collections/{self.name}")["payload_schema"]
        agree({f: s["data_type"] for f, s in schema.items()}, self.indexed, "payload indexes")

    def read_points(self):
        ids = [self.random.one(IDS) for _ in range(6)]
        found = self.ask("POST", self.path("/points"), {"ids": ids, "with_vector": True})
        agree([r["id"] for r in found], [i for i in dict.fromkeys(ids) if i in self.model.points], f"points {ids}")
        for record in found:
            self.same_record(record)
        if ids[0] in self.model.points:
            self.same_record(self.ask("GET", self.path(f"/points/{ids[0]}")))
        else:
            self.ask("GET", self.path(f"/points/{ids[0]}"), None, 404)

    def read_pages(self):
        f, test = self.filter()
        found = self.pages({"filter": f, "with_vector": True}, self.random.one([1, 3, 10, 100]))
        agree([r["id"] for r in found], self.model.matching(test), f"scroll of {self.name} with {json.dumps(f)}")
        for record in found:
            self.same_record(record)

    def read_count(self):
        f, test = self.filter()
        got = self.ask("POST", self.path("/points/count"), {"filter": f, "exact": True})["count"]
        agree(got, len(self.model.matching(test)), f"count of {self.name} with {json.dumps(f)}")

    def same_ranking(self, got, want, name, query, what, distances=None):
        """got: [(score, id)]; want: the model's, as many. Neighbours closer than the tolerance may change places. distances: by which
        they are in order, to the last bit, where it is not the scores."""
        close = lambda a, b: abs(a - b) <= 1e-4 * max(1, abs(b))
        agree(len(got), len(want), f"answers to {what}")
        for at, ((s, i), (t, _)) in enumerate(zip(got, want)):
            if i not in self.model.points or name not in self.model.points[i].vectors:
                raise Differs(f"{what}: {i} is not there in the model")
            if not close(s, t) or not close(s, self.model.score(name, query, i)):
                agree(got, want, f"{what}, place {at}")
            if at and (distances or [s for s, _ in got])[at - 1] == (distances[at] if distances else s) and id_key(got[at - 1][1]) >= id_key(i):
                agree(got, want, f"{what}: equal ones by rising id")
            if at and distances and distances[at - 1] > distances[at]:
                agree(got, want, f"{what}: the distances rise")
        agree(len({i for _, i in got}), len(got), f"{what}: an id twice")

    def read_query(self):
        name = self.random.one(list(self.model.fields))
        query = self.random.vector(self.model.fields[name][0], False)
        f, test = self.filter() if self.random.maybe(0.8) else (None, None)
        body = {"query": query, "using": name, "filter": f, "limit": self.random.rng.randint(1, 20), "with_vector": True, "with_payload": True}
        ranked = self.model.ranked(name, query, test)
        exact = self.scanned or self.random.maybe(0.6)
        if exact:
            body["params"] = {"exact": True}
            body["offset"] = self.random.one([None, 0, 2, 7])
            gaps = [at for at in range(1, len(ranked)) if abs(ranked[at][0] - ranked[at - 1][0]) > 1e-3]
            if gaps and self.random.maybe(0.4):
                cut = self.random.one(gaps)
                body["score_threshold"] = (ranked[cut - 1][0] + ranked[cut][0]) / 2
                ranked = ranked[:cut]
        want = ranked[(body.get("offset") or 0):][:body["limit"]]
        found = self.ask("POST", self.path("/points/query"), body)["points"]
        got = [(p["score"], p["id"]) for p in found]
        what = f"query of {self.name} {json.dumps(body)}"
        if exact:
            self.same_ranking(got, want, name, query, what)
        else:  # a graph: complete, and what is there fits the filter
            agree(len(got), len(want), what)
            fits = {i for _, i in ranked}
            agree([i for _, i in got if i not in fits], [], what)
        for record in found:
            self.same_record(record)

    def read_facet(self):
        key = self.random.one(list(FACETS))
        f, test = self.filter() if self.random.maybe() else (None, None)
        if self.indexed.get(key, "") == "text":
            return
        hits = self.ask("POST", self.path("/facet"), {"key": key, "filter": f, "exact": True, "limit": 4})["hits"]
        agree([(h["value"], h["count"]) for h in hits], self.model.facet(key, FACETS[key], test)[:4], f"facet {key} with {json.dumps(f)}")

    def read_order(self):
        able = [k for k, t in (("n", "integer"), ("f", "float"), ("o.a", "integer")) if self.indexed.get(k) == t]
        if not able:
            self.ask("POST", self.path("/points/scroll"), {"order_by": "none"}, 400)
            return
        key, falling = self.random.one(able), self.random.maybe()
        f, test = self.filter() if self.random.maybe() else (None, None)
        start, limit = self.random.one([None, 0, 2]), self.random.one([3, 100])
        values = self.model.by_value(key, test)
        if start is not None:
            values = [r for r in values if (r[0] <= start if falling else r[0] >= start)]
        values.sort(key=lambda r: -r[0] if falling else r[0])
        body = {"order_by": {"key": key, "direction": "desc" if falling else "asc", "start_from": start}, "filter": f, "limit": limit,
                "with_vector": True}
        found = self.ask("POST", self.path("/points/scroll"), body)["points"]
        got = [(r["order_value"], r["id"]) for r in found]
        agree([v for v, _ in got], [v for v, _ in values[:limit]], f"scroll by {key}: {json.dumps(body)}")
        if len(set(got)) != len(got) or not set(got) <= set(values) or (not falling and got != values[:limit]):
            agree(got, values[:limit], f"scroll by {key}: {json.dumps(body)}")
        for record in found:
            self.same_record(record)

    def read_own_document(self):
        i = self.random.one(IDS)
        path = self.own(f"/docs/{i}")
        if i in self.model.points:
            self.same_document(self.ask("GET", path)["document"])
        else:
            self.ask("GET", path, None, 404)

    def own_pages(self, f, test, limit):
        cursor, found = "", []
        asked = "" if f is None else "&filter=" + urllib.parse.quote(json.dumps(f))
        want, names = self.some_vectors()
        asked += "&with_vector=" + urllib.parse.quote(json.dumps(want))
        while cursor is not None:
            page = self.ask("GET", self.own(f"/docs?limit={limit}{asked}{cursor}"))
            found += page["documents"]
            cursor = None if page["next_cursor"] is None else "&cursor=" + page["next_cursor"]
        agree([d["doc_id"] for d in found], self.model.matching(test), f"list of {self.name} with {json.dumps(f)}")
        for d in found:
            self.same_document(d, names)

    def read_own_pages(self):
        f, test = self.own_filter()
        self.own_pages(f, test, self.random.one([2, 7, 1000]))

    def read_own_query(self):
        name = self.random.one(list(self.model.fields))
        size, metric = self.model.fields[name]
        query = self.random.vector(size, False)
        f, test = self.own_filter() if self.random.maybe(0.8) else (None, None)
        k = self.random.rng.randint(1, 20)
        want, names = self.some_vectors()
        body = {"query_vector": query, "top_k": k, "filter": f, "exact": self.random.maybe(), "with_vector": want}
        if name or self.random.maybe():  # else the unnamed one is meant
            body["using"] = name
        found = self.ask("POST", self.own("/query"), body)["matches"]
        what = f"own query of {self.name} {json.dumps(body)}"
        ranked = self.model.ranked(name, query, test)
        if self.scanned or body["exact"]:
            self.same_ranking([(m["score"], m["doc_id"]) for m in found], ranked[:k], name, query, what, [m["distance"] for m in found])
        else:
            agree(len(found), len(ranked[:k]), what)
            agree({m["doc_id"] for m in found} - {i for _, i in ranked}, set(), what)
        for m in found:
            distance = {"Cosine": 1 - m["score"], "Dot": -m["score"]}.get(metric, m["score"])
            check(abs(m["distance"] - distance) <= 1e-5 * max(1, abs(distance)), f"{what}: distance of {m}")
            self.same_document(m, names)


class Session:
    """A node, its collections, and the alias."""

    def __init__(self, node, seed, rules=None, tiers=(None,), kind=Table, more=None):
        self.node, self.random, self.rules = node, Random(seed), rules or Rules()
        self.client = node.client()
        self.alias = None
        self.tables = []
        self.more = more or {}  # of each collection with a tier, when it is made
        self.suffix = f"{seed & 0xFFFF:x}"
        for tier in tiers:
            one = self.random.one(list(METRICS))
            shapes = {"plain": ({"": 6}, {"": one}), "named": ({"a": 4, "b": 3}, {"a": "Cosine", "b": self.random.one(["Euclid", "Dot", "Manhattan"])}),
                      "mixed": ({"n": 2, "": 3}, {"n": self.random.one(list(METRICS)), "": self.random.one(list(METRICS))})}
            for name, (fields, metrics) in shapes.items():
                self.tables.append(kind(self, f"{name}-{tier}" if tier else name, fields, metrics, tier))

    def switch(self):
        self.alias = self.random.one(self.tables)
        self.alias.ask("POST", "/collections/aliases", {"actions": [{"create_alias": {"collection_name": self.alias.name, "alias_name": "alias"}}]})

    def fold(self, table):
        self.client.post(f"/admin/collections/{table.name}/compact?wait=true")

    def live(self, steps):
        for _ in range(steps):
            if TRACE:
                print([len(t.model.points) for t in self.tables])
            if self.random.maybe(0.08):
                self.switch()
            table = self.random.one(self.tables)
            table.act()
            if table.tier == "S3Only" and self.random.maybe(0.1):
                self.fold(table)
            for _ in range(self.random.rng.randint(0, 4)):
                self.random.one(self.tables).look()
        for table in self.tables:
            table.read_all()

    def look_at_all(self):
        for table in self.tables:
            table.read_all()
            for _ in range(6):
                table.look()

    def start(self):
        self.node.start()
        self.client = self.node.client()

    def end_graceful(self):
        self.client.close()
        self.node.stop()
        self.start()
        self.look_at_all()

    def end_hard(self):
        """The process is killed while an upsert of either dialect is under way: it is there as a whole or not at all."""
        table = self.random.one(self.tables)
        rows = table.rows(20, every=True, zero=False)
        method, path, body = "PUT", f"/collections/{table.name}/points?wait=true", {
            "points": [{"id": r[0], "vector": r[1], "payload": r[2]} for r in rows]}
        if self.random.maybe():
            method, path, body = "POST", f"/api/v1/collections/{table.name}/insert", {"documents": [table.document(r) for r in rows]}
        body = json.dumps(body).encode()
        other, answered = self.node.client(), []

        def send():
            try:
                answered.append(other.request(method, path, body).status)
            except (Gone, NotSent):
                pass
        thread = threading.Thread(target=send)
        thread.start()
        thread.join(self.random.rng.uniform(0, 0.002))
        self.node.kill9()
        thread.join()
        self.client.close()
        before = dict(table.model.points)
        table.model.upsert(rows)
        self.start()
        fate = "answered" if answered else "not answered, and there"
        try:
            table.read_all()
        except Differs:
            if answered:
                raise
            table.model.points = before
            fate = "not answered, and not there"
        print(f"killed with an upsert under way: {fate}", flush=True)
        self.look_at_all()


def the_node_and_the_model_agree_through_restarts():
    with Folder("differential") as folder, Node(folder, args=["--set", "wal.max_bytes=1048576", "--set", "wal.checkpoint_interval_secs=1"]) as node:
        node.start()
        session = Session(node, SEED)
        for life in range(LIVES):
            session.live(STEPS)
            (session.end_graceful if life % 3 == 1 else session.end_hard)()
        session.live(STEPS)
        node.stop()
        with open(node.log_path, encoding="utf-8") as f:
            loaded = len(re.findall(r'"checkpoint_lsn":[1-9]', f.read()))
        print(f"checkpoints loaded at the starts: {loaded}", flush=True)
        check(loaded or LIVES < 2, "no checkpoint was loaded")


def the_node_and_the_model_agree_when_the_machine_is_lost(tiers=(None,)):
    with Folder("differential-bucket") as folder:
        url = f"file://{folder}/bucket"
        args = ["--set", f"storage.s3_bucket={url}", "--set", "storage.tiering_policy=MemoryS3", "--set", "server.node_id=one",
                "--set", "storage.compaction.threshold_ops=40"]
        with Node(folder, args=args) as node:
            node.start()
            session = Session(node, SEED + 1, tiers=tiers)
            for life in range(max(1, LIVES - 1)):
                session.live(STEPS)
                for table in session.tables:
                    info = session.client.collection(table.name)
                    wait(lambda name=table.name, lsn=info["last_lsn"]: session.client.collection(name)["bucket"]["shipped_lsn"] >= lsn)
                    if life % 2 == 1:
                        session.client.post(f"/admin/collections/{table.name}/snapshot")
                session.client.close()
                node.kill9()
                shutil.rmtree(node.data_dir)
                session.start()
                # Aliases from the bucket appear a moment after the node is ready (docs/STATUS.md).
                wait(lambda: session.alias is None or session.client.get("/aliases")["result"]["aliases"])
                session.look_at_all()
                for table in session.tables:
                    wait(lambda name=table.name: settled(session.client.collection(name)))
            session.live(STEPS // 2)
            node.stop()


def all_tiers_agree_with_the_model():
    """Through restarts and kills; folds in between move documents of S3Only out of RAM."""
    with Folder("differential-tiers") as folder:
        args = ["--set", f"storage.s3_bucket=file://{folder}/bucket", "--set", "server.node_id=one", "--set", "storage.compaction.threshold_ops=40",
                "--set", "wal.checkpoint_interval_secs=1"]
        with Node(folder, args=args) as node:
            node.start()
            session = Session(node, SEED + 3, tiers=("Memory", "MemoryS3", "S3Only"))
            for life in range(LIVES):
                session.live(STEPS)
                (session.end_graceful if life % 3 == 1 else session.end_hard)()
            session.live(STEPS)
            cold = [0]

            # A table that was written little, or emptied, has none; and the last fold may be under way.
            def folded():
                cold[:] = [session.client.get(f"/api/v1/collections/{t.name}/tier")["tier"]["cold"]["rows"]
                           for t in session.tables if t.tier == "S3Only"]
                return any(cold)
            wait(folded)
            print(f"cold rows at the end: {cold}", flush=True)
            node.stop()


def settled(collection):
    """It takes writes: what came from the bucket is on the local disk, and owned."""
    return collection["bucket"]["phase"] not in ("", "arriving", "taking", "creating") and collection["state"] == "serving"


def wait(condition):
    from bucketed import wait_for
    wait_for("the bucket", condition)


def s3only_agrees_when_the_machine_is_lost():
    the_node_and_the_model_agree_when_the_machine_is_lost(("S3Only",))


# --- models that are wrong ---

class ExceptMatchesMissing(Rules):
    @staticmethod
    def match(values, how):
        return "except" in how and not values or Rules.match(values, how)


class NullCounts(Rules):
    @staticmethod
    def count(v):
        return 1 if v is None else Rules.count(v)


class NeedsAnyShould(Rules):
    @staticmethod
    def clauses(must, should, must_not, min_should):
        return Rules.clauses(must, should if not must else [], must_not, min_should)


class VectorsStay(Rules):
    @staticmethod
    def vectors(before, sent):
        return {**before, **sent}


class NullIsNotMissing(Rules):
    def operators(self, path, ops, payload):
        return False if ops == {"$eq": None} and path not in payload else super().operators(path, ops, payload)


def forget_a_write(session):
    """As if the node had one point that it should not, and lost another."""
    points = session.tables[0].model.points
    if points:
        points[next(i for i in IDS if i not in points)] = points.pop(next(iter(points)))
        session.look_at_all()


def wrong_models_are_noticed():
    for rules in (ExceptMatchesMissing, NullCounts, NeedsAnyShould, NullIsNotMissing, VectorsStay, None):
        with Folder("differential-twin") as folder, Node(folder) as node:
            session = Session(node.start(), SEED + 2, rules and rules())
            try:
                for _ in range(200):
                    session.live(10)
                    if rules is None:
                        forget_a_write(session)
            except Differs:
                continue
            raise AssertionError(f"{rules.__name__ if rules else 'a lost point'} was not noticed")


if __name__ == "__main__":
    support.main(the_node_and_the_model_agree_through_restarts, the_node_and_the_model_agree_when_the_machine_is_lost,
                 all_tiers_agree_with_the_model, s3only_agrees_when_the_machine_is_lost, wrong_models_are_noticed)
