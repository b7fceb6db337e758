#!/usr/bin/env python3
"""Filtered queries beside qdrant-edge-py, the engine that the compatible API comes from, on the same rows in one run.

    PYTHON bench/filtered_beside_edge.py [--rows N] [--queries N] [--seed S] [--folder DIR] [selectivity] [repeat]

PYTHON has numpy and qdrant-edge-py 0.9.0 (`pip install qdrant-edge-py` in a virtual environment). Rows are random ones near 1,000
centres in 128 dimensions under Cosine; what a payload holds has nothing to do with its vector. Both have m 16, ef_construct 100 and are
asked with hnsw_ef 100. The engine runs inside this process; ours answers over loopback on a kept connection, in JSON, so that
`/livez` is timed beside it, and bench_filtered of the same build asks our node in its own process, of the same rows. Each query is
asked of one and at once of the other. The right answer is computed here.

selectivity   a keyword and an integer range that let 0.1 %, 1 %, 10 %, 50 % through: recall@10, p50, p99, without and with payload
              indexes (a quarter of the queries without: the engine takes tenths of seconds). The engine makes its indexes before
              its graph, so that the graph has links for them.
repeat        one query asked again and again, plain and filtered, beside /livez: what a cache of answers could save.

TIERVEC_BIN names another program than build/release's.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from qdrant_points import Wire  # pylint: disable=wrong-import-position
import support  # pylint: disable=wrong-import-position

DIM, CENTRES, TOP, BATCH = 128, 1000, 10, 1000
SHARES = {"0.1 %": 1000, "1 %": 100, "10 %": 10, "50 %": 2}  # one of how many
COLLECTION = "/collections/rows"


def make_data(rows, queries, seed):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-1, 1, (CENTRES, DIM))
    base = (centres[rng.integers(0, CENTRES, rows)] + 0.7 * rng.uniform(-1, 1, (rows, DIM))).astype(np.float32)
    asked = (base[rng.integers(0, rows, queries)] + 0.1 * rng.uniform(-1, 1, (queries, DIM))).astype(np.float32)
    return base, asked, rng.integers(0, 1000, rows)


def payload(lot):
    return {"lot": int(lot), **{f"one_of_{n}": f"k{lot % n}" for n in SHARES.values()}}


def filters():
    """(name, one of how many, filter of the API, filter of the engine)"""
    for share, n in SHARES.items():
        key = f"one_of_{n}"
        yield f"keyword {share}", n, {"must": [{"key": key, "match": {"value": "k0"}}]}, lambda e, key=key: e.FieldCondition(key, match=e.MatchValue("k0"))
        yield (f"range   {share}", n, {"must": [{"key": "lot", "range": {"lt": 1000 // n}}]},
               lambda e, n=n: e.FieldCondition("lot", range=e.RangeFloat(lt=float(1000 // n))))


def matching(name, n, lots):
    return np.flatnonzero(lots % n == 0 if name.startswith("keyword") else lots < 1000 // n)


def exact(base, asked, ids):
    unit = base[ids] / np.linalg.norm(base[ids], axis=1, keepdims=True)
    scores = asked @ unit.T
    return [set(ids[np.argsort(-row, kind="stable")[:TOP]].tolist()) for row in scores]


class Ours:
    def __init__(self, folder):
        self.node = support.Node(folder).start()
        self.wire = Wire(self.node.port)

    def ask(self, method, path, body=None):
        return json.loads(self.wire.ask(method, path, b"" if body is None else json.dumps(body).encode()))["result"]

    def fill(self, base, lots):
        self.ask("PUT", COLLECTION, {"vectors": {"size": DIM, "distance": "Cosine"}, "hnsw_config": {"m": 16, "ef_construct": 100}})
        began = time.monotonic()
        for at in range(0, len(base), BATCH):
            end = min(at + BATCH, len(base))
            self.ask("PUT", COLLECTION + "/points?wait=true", {"batch": {
                "ids": list(range(at, end)), "vectors": base[at:end].tolist(), "payloads": [payload(x) for x in lots[at:end]]}})
        self.green()
        return time.monotonic() - began

    def green(self):
        while self.ask("GET", COLLECTION)["status"] != "green":
            time.sleep(0.05)

    def index(self):
        began = time.monotonic()
        for field, schema in [("lot", "integer")] + [(f"one_of_{n}", "keyword") for n in SHARES.values()]:
            self.ask("PUT", COLLECTION + "/index?wait=true", {"field_name": field, "field_schema": schema})
        self.green()
        return time.monotonic() - began

    @staticmethod
    def body(vector, f):
        return json.dumps({"query": vector.tolist(), "limit": TOP, "filter": f, "params": {"hnsw_ef": 100}}).encode()

    def timed(self, body):
        began = time.perf_counter()
        answer = self.wire.ask("POST", COLLECTION + "/points/query", body)
        took = time.perf_counter() - began
        return took, {p["id"] for p in json.loads(answer)["result"]["points"]}

    def floor(self, times):
        took = []
        for _ in range(times):
            began = time.perf_counter()
            self.wire.ask("GET", "/livez")
            took.append(time.perf_counter() - began)
        return took


class Edge:
    def __init__(self, engine, folder):
        self.engine = engine
        hnsw = engine.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10000)
        self.shard = engine.EdgeShard.create(folder, engine.EdgeConfig(
            vectors={"": engine.EdgeVectorParams(size=DIM, distance=engine.Distance.Cosine)}, hnsw_config=hnsw,
            optimizers=engine.EdgeOptimizersConfig(default_segment_number=1)))

    def fill(self, base, lots, indexed):
        e, began = self.engine, time.monotonic()
        if indexed:
            for field, schema in [("lot", "Integer")] + [(f"one_of_{n}", "Keyword") for n in SHARES.values()]:
                self.shard.update(e.UpdateOperation.create_field_index(field, getattr(e.PayloadSchemaType, schema)))
        for at in range(0, len(base), BATCH):
            self.shard.update(e.UpdateOperation.upsert_points(
                [e.Point(i, base[i].tolist(), payload(lots[i])) for i in range(at, min(at + BATCH, len(base)))]))
        self.shard.optimize()
        info = self.shard.info()
        return f"{time.monotonic() - began:.1f} s: {info.indexed_vectors_count} in its graph, {info.segments_count} segments"

    def body(self, vector, condition):
        e = self.engine
        return e.SearchRequest(e.Query.Nearest(vector.tolist()), TOP, filter=e.Filter(must=[condition(e)]) if condition else None,
                               params=e.SearchParams(hnsw_ef=100))

    def timed(self, body):
        began = time.perf_counter()
        found = self.shard.search(body)
        return time.perf_counter() - began, {p.id for p in found}


def us(took, part):
    return 1e6 * float(np.quantile(took, part))


def measure(what, ours, edge, base, asked, lots):
    print(f"\n{what}\n{'':15} {'recall@10':>17} {'p50 us':>17} {'p99 us':>17}   ratio of p50", flush=True)
    print(f"{'':15} {'ours':>8} {'edge':>8} {'ours':>8} {'edge':>8} {'ours':>8} {'edge':>8}", flush=True)
    for name, n, f, condition in filters():
        ids = matching(name, n, lots)
        want = exact(base, asked, ids)
        sides = [(ours, [ours.body(v, f) for v in asked]), (edge, [edge.body(v, condition) for v in asked])]
        took, hits = ([], []), [0, 0]
        for at, right in enumerate(want):
            for which, (side, bodies) in enumerate(sides):
                if at < 3:
                    side.timed(bodies[at])
                seconds, found = side.timed(bodies[at])
                took[which].append(seconds)
                hits[which] += len(found & right)
        total = sum(len(right) for right in want)
        p50 = [us(t, 0.5) for t in took]
        print(f"{name:15} {hits[0] / total:8.4f} {hits[1] / total:8.4f} {p50[0]:8.0f} {p50[1]:8.0f} {us(took[0], 0.99):8.0f} "
              f"{us(took[1], 0.99):8.0f}   {p50[0] / p50[1]:.2f}", flush=True)
    floor = ours.floor(500)
    print(f"of ours the door alone, GET /livez on the same connection: p50 {us(floor, 0.5):.0f}, p99 {us(floor, 0.99):.0f} us", flush=True)


def selectivity(ours, folder, base, asked, lots):
    import qdrant_edge  # pylint: disable=import-outside-toplevel
    plain = Edge(qdrant_edge, os.path.join(folder, "plain"))
    print(f"engine without indexes filled and linked in {plain.fill(base, lots, False)}", flush=True)
    measure("without payload indexes", ours, plain, base, asked[:max(10, len(asked) // 4)], lots)
    plain.shard.close()
    print(f"\nour indexes built in {ours.index():.2f} s", flush=True)
    indexed = Edge(qdrant_edge, os.path.join(folder, "indexed"))
    print(f"engine with indexes filled and linked in {indexed.fill(base, lots, True)}", flush=True)
    measure("with payload indexes", ours, indexed, base, asked, lots)
    indexed.shard.close()
    inside(folder, base, len(asked))


def inside(folder, base, queries):
    """Our own figure without the door."""
    program = os.path.join(support.ROOT, "build", "release", "bench", "bench_filtered")
    if not os.path.exists(program):
        print(f"{program} is not built: no figure without the door")
        return
    rows = os.path.join(folder, "base.npy")
    np.save(rows, base)
    print("\nwithout the door: bench_filtered, the same rows, its own lots (ef_construction 200)", flush=True)
    subprocess.run([program, os.path.join(folder, "inside"), str(len(base)), str(queries), rows], check=True)


def repeat(ours, asked):
    """One warm query beside the door, in turns."""
    print("\nthe same query again and again", flush=True)
    for name, f in [("no filter", None)] + [(name, f) for name, _, f, _ in filters()]:
        body, took, floor = ours.body(asked[0], f), [], []
        for _ in range(20):
            ours.timed(body)
        for _ in range(400):
            took.append(ours.timed(body)[0])
            floor += ours.floor(1)
        print(f"{name:15} p50 {us(took, 0.5):6.0f} us, /livez p50 {us(floor, 0.5):6.0f} us: "
              f"{us(took, 0.5) - us(floor, 0.5):6.0f} us to save at most", flush=True)


def noise():
    """How steady the machine is: a fixed piece of work, again and again."""
    took = []
    for _ in range(300):
        began = time.perf_counter()
        sum(range(20000))
        took.append(time.perf_counter() - began)
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, a fixed piece of work p99/p50 {us(took, 0.99) / statistics.median(took) / 1e6:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", default=None)
    parser.add_argument("what", nargs="*", choices=["selectivity", "repeat", []], default=[])
    args = parser.parse_args()
    base, asked, lots = make_data(args.rows, args.queries, args.seed)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        os.makedirs(os.path.join(folder, "ours"))
        ours = Ours(os.path.join(folder, "ours"))
        try:
            print(f"{args.rows} rows of {DIM}, {args.queries} queries, seed {args.seed}; {noise()}", flush=True)
            print(f"ours filled and linked in {ours.fill(base, lots):.1f} s", flush=True)
            if "selectivity" in args.what or not args.what:
                selectivity(ours, folder, base, asked, lots)
            if "repeat" in args.what or not args.what:
                ours.index()
                repeat(ours, asked)
            print(f"\nat the end: {noise()}", flush=True)
        finally:
            ours.node.kill9()


if __name__ == "__main__":
    main()
