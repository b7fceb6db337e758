#!/usr/bin/env python3
"""Cold and warm queries of an S3Only collection on a real MinIO, beside LanceDB on the same rows and the same store in one run.

    PYTHON bench/cold.py BASE.npy QUERY.npy cosine|l2 [--rows N] [--queries N] [--cache-bytes N] [--nprobes N] [--refine N] [ours] [peer]

PYTHON has numpy, and lancedb for `peer`. Ours is the real program (TIERVEC_BIN, else build/release), asked over loopback on a kept
connection. Exact answers are computed here. All times include the client.

ours   import, fold; then a restart, and the first query after it; cold queries (the cache is emptied before each), the same as they come
       with a cache that fills, and warm ones: recall@10, P50, P95, P99; then once more through a relay that counts GETs and bytes
peer   a table with an IVF_PQ index in the same bucket: the same queries in a process of its own whose first query is cold, then warm
"""
import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
# pylint: disable=wrong-import-position
import support
from bucketed import BucketNode, Metrics, World, wait_for
from s3_relay import Relay
from support import check, resident_bytes

TOP = 10
NAME = "cold"
PEER = r"""
import json, sys, time
import numpy as np, lancedb
uri, options, query_path, metric, nprobes, refine, what, base_path = json.loads(sys.argv[1])
began = time.perf_counter()
db = lancedb.connect(uri, storage_options=options)
if what == "build":
    import pyarrow as pa
    base = np.load(base_path)
    table = db.create_table("rows", pa.table({"id": pa.array(np.arange(len(base))),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(base.reshape(-1)), base.shape[1])}))
    table.create_index(metric=metric, vector_column_name="vector", index_type="IVF_PQ", num_sub_vectors=base.shape[1] // 4)
    print(json.dumps({"seconds": time.perf_counter() - began}))
    raise SystemExit
queries = np.load(query_path)
table = db.open_table("rows")
times, found = [], []
for _ in range(2):
    for q in queries:
        at = began if not times else time.perf_counter()
        rows = table.search(q).distance_type(metric).nprobes(nprobes).refine_factor(refine).limit(10).select(["id"]).to_list()
        times.append(time.perf_counter() - at)
        found.append([r["id"] for r in rows])
print(json.dumps({"times": times, "found": found}))
"""


def exact(base, queries, metric):
    """The ten nearest of each."""
    out = np.empty((len(queries), TOP), np.int64)
    norms = (base * base).sum(1)
    for at in range(0, len(queries), 64):
        near = queries[at:at + 64] @ base.T
        keys = -near if metric == "cosine" else norms - 2 * near
        out[at:at + 64] = np.argpartition(keys, TOP, 1)[:, :TOP]
    return out


def recall(found, truth):
    return sum(len(set(a) & set(b.tolist())) for a, b in zip(found, truth)) / (TOP * len(found))


def ms(times):
    times = sorted(times)
    return "  ".join(f"{name} {times[min(len(times) - 1, int(len(times) * part))] * 1000:8.2f} ms"
                     for name, part in (("P50", .5), ("P95", .95), ("P99", .99)))


class Straight:
    """In place of a relay: straight to the store, so that times are the store's and the node's alone."""

    def __init__(self, port):
        self.port = port

    def url(self, bucket, prefix):
        return f"http://127.0.0.1:{self.port}/{bucket}/{prefix}"

    def table(self):
        return "straight"

    def close(self):
        pass


class Ours:
    def __init__(self, world, args, metric):
        settings = {"storage.cache_bytes": args.cache_bytes}
        self.timed = BucketNode(world, "one", Straight(world.s3.port), settings)
        self.relay = Relay(world.s3.port)
        self.counted = BucketNode(world, "one", self.relay, settings)  # the same directory, in turns
        world.nodes += [self.timed, self.counted]
        world.relays.append(self.relay)
        self.metric = metric
        self.path = f"/api/v1/collections/{NAME}"

    def ask(self, client, query):
        began = time.perf_counter()
        answer = client.post(self.path + "/query", {"query_vector": query, "top_k": TOP, "with_payload": False})
        return time.perf_counter() - began, [m["doc_id"] for m in answer["matches"]]

    def load(self, path, rows):
        client = self.timed.start().client(timeout=3600)
        dim = np.load(path, mmap_mode="r").shape[1]
        client.ok("POST", "/api/v1/collections", {"name": NAME, "dimension": dim, "metric": self.metric, "tiering_policy": "S3Only",
                                                    "hnsw": {"threshold": 1000000000}}, 201)  # no graph over a head that is folded at once
        began = time.perf_counter()
        subprocess.run([support.program(), "import", "--url", f"http://127.0.0.1:{self.timed.port}", "--collection", NAME, path], check=True, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - began
        began = time.perf_counter()
        client.post(f"/admin/collections/{NAME}/compact?wait=true")
        print(f"ours: {rows} rows in {took:.1f} s, folded {time.perf_counter() - began:.1f} s later")
        wait_for("the head to be given up", lambda: client.get(self.path + "/tier"))

    def round(self, client, name, queries, truth, before=lambda: None):
        times, found = [], []
        for query in queries:
            before()
            took, ids = self.ask(client, query)
            times.append(took)
            found.append(ids)
        print(f"ours, {name:28} recall {recall(found, truth):.4f}  {ms(times)}", flush=True)

    def count(self, client, name, queries, before):
        """What the store was asked for each query."""
        gets, sent = [], []
        for query in queries:
            before()
            self.relay.wait_quiet(0.05)  # hedges that were given up are seen behind the answer
            self.relay.forget()
            self.ask(client, query)
            self.relay.wait_quiet(0.05)
            seen = [r for r in self.relay.requests() if not r.key.endswith("/root")]  # the node follows its root beside all queries
            check(all(r.op == "GET" for r in seen), f"not only GETs: {self.relay.table()}")
            gets.append(len(seen))
            sent.append(sum(r.received for r in seen))
        print(f"ours, {name:28} GETs {np.mean(gets):.1f}, at most {max(gets)}; {np.mean(sent) / 1e6:.2f} MB, at most {max(sent) / 1e6:.2f}", flush=True)

    def run(self, base_path, queries, truth, rows):
        self.load(base_path, rows)
        self.timed.stop()
        began = time.perf_counter()
        self.timed.start()
        ready = time.perf_counter() - began
        client = self.timed.client()
        first, _ = self.ask(client, queries[0])
        print(f"ours: ready after {ready * 1000:.0f} ms, first query {first * 1000:.1f} ms, "
              f"resident {resident_bytes(self.timed.process.pid) / 1e6:.0f} MB")
        self.round(client, "cold", queries, truth, lambda: client.post(self.path + "/unload"))
        self.round(client, "as they come", queries, truth)
        client.post(self.path + "/warm")
        self.round(client, "warm", queries, truth)
        print("ours:", {n[0]: v for n, v in Metrics.of(client).items() if "cache" in n[0]})
        self.timed.stop()
        client = self.counted.start().client()
        self.ask(client, queries[0])
        self.count(client, "cold", queries, lambda: client.post(self.path + "/unload"))
        self.count(client, "as they come", queries, lambda: None)
        self.counted.stop()


def peer(world, args, base_path, query_path, metric, truth):
    keys = world.s3.env()
    options = {"aws_access_key_id": keys["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
               "aws_endpoint": f"http://127.0.0.1:{world.s3.port}", "aws_region": "us-east-1", "allow_http": "true"}

    def run(what):
        ask = [f"s3://{world.s3.bucket}/peer", options, query_path, metric, args.nprobes, args.refine, what, base_path]
        done = subprocess.run([sys.executable, "-c", PEER, json.dumps(ask)], check=False, capture_output=True, text=True)
        check(done.returncode == 0, f"LanceDB, {what}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])
    print(f"LanceDB: written and indexed in {run('build')['seconds']:.1f} s")
    said = run("ask")
    count = len(truth)
    print(f"LanceDB, opened and first query {said['times'][0] * 1000:.1f} ms")
    print(f"LanceDB, the rest of the first round  recall {recall(said['found'][:count], truth):.4f}  {ms(said['times'][1:count])}")
    print(f"LanceDB, the same again               recall {recall(said['found'][count:], truth):.4f}  {ms(said['times'][count:])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("query")
    parser.add_argument("metric", choices=("cosine", "l2"))
    parser.add_argument("what", nargs="*", default=["ours", "peer"])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--cache-bytes", type=int, default=256 << 20)
    parser.add_argument("--nprobes", type=int, default=20)
    parser.add_argument("--refine", type=int, default=10)
    args = parser.parse_args()
    base = np.load(args.base)[:args.rows or None].astype(np.float32)
    queries = np.load(args.query)[:args.queries].astype(np.float32)
    if args.metric == "cosine":
        base /= np.maximum(np.linalg.norm(base, axis=1, keepdims=True), 1e-30)
        queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-30)
    truth = exact(base, queries, args.metric)
    with World("bench-cold") as world:
        base_path, query_path = os.path.join(world.folder, "base.npy"), os.path.join(world.folder, "query.npy")
        np.save(base_path, base)
        np.save(query_path, queries)
        if "ours" in args.what:
            Ours(world, args, args.metric).run(base_path, queries.tolist(), truth, len(base))
        if "peer" in args.what:
            peer(world, args, base_path, query_path, args.metric, truth)


if __name__ == "__main__":
    main()
