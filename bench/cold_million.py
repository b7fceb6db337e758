#!/usr/bin/env python3
"""The gates of an S3Only collection as large as they are meant for (1,000,000 x 384), on a real MinIO, through the real program.

    PYTHON bench/cold_million.py FOLDER load ROWS.npy [--first N] [--count N] [--metric cosine]   rows of the file into FOLDER, then a fold
    PYTHON bench/cold_million.py FOLDER truth ROWS.npy --query QUERY.npy [--queries N]            the exact answers
    PYTHON bench/cold_million.py FOLDER open                                                      a start: seconds, memory
    PYTHON bench/cold_million.py FOLDER time [--cache-bytes N] [--queries N]                      recall@10; P50, P95, P99, also of one hit and one miss
    PYTHON bench/cold_million.py FOLDER count [--cache-bytes N] [--queries N]                     GETs and bytes of each query, by a relay
    PYTHON bench/cold_million.py FOLDER clients [--clients N] [--seconds N]                       as many at once

FOLDER keeps MinIO's objects, the node's directory, queries and answers, so that each step can be run by itself; remove it by hand (8 GB for a
million rows of 384). Ends with 1 when a gate does not hold: recall@10 of 0.95; 32 GETs and 10 MB a query with footers only, 16 and 1 MB with codes
resident, each query, with hedges; nothing but GETs; 6 MB resident a million rows after a start by the cache's count, a tenth more of the process.
bench/cold_sets.py makes a million rows of fewer.
"""
import argparse
import os
import sys
import threading
import time

import numpy as np

import cold
import cold_sets
from cold_kept import PATH, Kept, Straight, cold_state, load, make
from bucketed import BucketNode, Metrics
from support import resident_bytes

TOP = 10
RECALL_MIN, RESIDENT_PER_ROW = 0.95, 6
QUIET = 0.05  # seconds without a request: what was given up of a query (a hedge's loser) reaches the relay behind the answer, and is that query's still
PAGES = 1.1  # of a process: memory comes in pages, and from a heap
CAPS = {False: ("footers only", 32, 10e6), True: ("codes resident", 16, 1e6)}
failed = []


def gate(holds, text):
    print(f"{'holds ' if holds else 'MISSED'}  {text}", flush=True)
    if not holds:
        failed.append(text)


def do_load(kept, args):
    source = np.load(args.rows, mmap_mode="r")[args.first:args.first + args.count]
    part = os.path.join(kept.folder, "part.npy")
    np.save(part, np.asarray(source, np.float32))
    kept.node.start()
    loaded, folded = load(kept, part, args.first, None if args.first else args.metric)
    os.unlink(part)
    client = kept.node.client()
    print(f"{len(source)} rows in {loaded:.1f} s, folded {folded:.1f} s later; resident {resident_bytes(kept.node.process.pid) / 1e6:.0f} MB; "
          f"{cold_state(client)['cold']}", flush=True)


def do_truth(args):
    queries = cold_sets.load(args.query, "cosine")[:args.queries]
    ids, _ = cold_sets.nearest(np.load(args.rows, mmap_mode="r"), queries, TOP)
    np.save(os.path.join(args.folder, "query.npy"), queries)
    np.save(os.path.join(args.folder, "truth.npy"), ids)
    print(f"{len(queries)} queries answered")


class Elsewhere(Straight):
    """Another prefix of the bucket, where nothing is."""

    def url(self, bucket, prefix):
        return super().url(bucket, prefix + "-nothing")


def start_resident(node):
    began = time.perf_counter()
    node.start()
    ready = time.perf_counter() - began
    client = node.client()
    client.get("/health")
    return ready, resident_bytes(node.process.pid), Metrics.of(client).sum("tiervec_cache_bytes"), client


def do_open(kept, args):
    nothing = BucketNode(kept, "nothing", Elsewhere(kept.s3.port), kept.settings)
    try:
        client = nothing.start().client()
        if client.request("GET", PATH).status == 404:
            make(client, 384, args.metric)
        nothing.stop()
        _, fixed, empty_cache, _ = start_resident(nothing)
        nothing.stop()
    finally:
        nothing.kill9()
    for _ in range(3):
        ready, resident, cached, client = start_resident(kept.node)
        state = cold_state(client)["cold"]
        kept.node.stop()
        per = (cached - empty_cache) / state["rows"], (resident - fixed) / state["rows"]
        print(f"ready after {ready * 1000:.0f} ms; {state['rows']} rows in {state['segments']} segments; resident {resident / 1e6:.1f} MB, "
              f"with an empty collection {fixed / 1e6:.1f}; bytes a row: {per[0]:.2f} by the cache's count, {per[1]:.2f} of the process")
    gate(per[0] <= RESIDENT_PER_ROW, f"{per[0]:.2f} MB a million rows resident after a start, by the cache's count, at most {RESIDENT_PER_ROW}")
    gate(per[1] <= RESIDENT_PER_ROW * PAGES, f"{per[1]:.2f} MB a million rows resident after a start, of the process, at most {RESIDENT_PER_ROW} and a tenth")


class Asked:
    """A started node, asked the kept queries."""

    def __init__(self, kept, count):
        kept.node.start()
        self.queries = np.load(os.path.join(kept.folder, "query.npy"))[:count].tolist()
        self.truth = np.load(os.path.join(kept.folder, "truth.npy"))[:count]
        self.kept, self.client = kept, kept.node.client()

    def one(self, query, client=None):
        began = time.perf_counter()
        answer = (client or self.client).post(PATH + "/query", {"query_vector": query, "top_k": TOP, "with_payload": False})
        return time.perf_counter() - began, [m["doc_id"] for m in answer["matches"]]

    def unload(self):
        self.client.post(PATH + "/unload")

    def settle(self, count):
        """Codes come along with queries, where there is room for them; one query alone, so that rows stay cold."""
        for _ in range(count):
            self.one(self.queries[0])

    def round(self, name, before=lambda: None, judged=True):
        times, found = [], []
        for query in self.queries:
            before()
            took, ids = self.one(query)
            times.append(took)
            found.append(ids)
        right = cold.recall(found, self.truth)
        print(f"{name:30} recall {right:.4f}  {cold.ms(times)}", flush=True)
        if judged:
            gate(right >= RECALL_MIN, f"recall@{TOP} {right:.4f}, at least {RECALL_MIN}")

    def count(self, name, codes, before=lambda: None):
        gets, sent = [], []
        for query in self.queries:
            before()
            self.kept.relay.wait_quiet(QUIET)
            self.kept.relay.forget()
            self.one(query)
            self.kept.relay.wait_quiet(QUIET)
            seen = self.kept.relay.requests()
            others = [r.op for r in seen if r.op != "GET"]
            if others:
                gate(False, f"nothing but GETs: {others}")
            seen = [r for r in seen if not r.key.endswith("/root")]  # the node follows its root beside all queries
            gets.append(len(seen))
            sent.append(sum(r.received for r in seen))
        what, most_gets, most_bytes = CAPS[codes]
        print(f"{name:30} GETs {np.mean(gets):.1f}, P99 {np.percentile(gets, 99):.0f}, at most {max(gets)}; "
              f"{np.mean(sent) / 1e6:.3f} MB, P99 {np.percentile(sent, 99) / 1e6:.3f}, at most {max(sent) / 1e6:.3f}", flush=True)
        gate(max(gets) <= most_gets and max(sent) <= most_bytes, f"{what}: {most_gets} GETs and {most_bytes / 1e6:.0f} MB, each query, hedges too")


def do_time(kept, args):
    asked = Asked(kept, args.queries)
    first, _ = asked.one(asked.queries[0])
    print(f"first query {first * 1000:.1f} ms, resident {resident_bytes(kept.node.process.pid) / 1e6:.0f} MB")
    asked.round("cold", asked.unload)
    asked.settle(args.settle)
    asked.round("as they come")
    print(cold_state(asked.client)["cold"])
    asked.round("the same again", judged=False)
    print(f"resident {resident_bytes(kept.node.process.pid) / 1e6:.0f} MB, cache {Metrics.of(asked.client).sum('tiervec_cache_bytes') / 1e6:.1f} MB")


def do_count(kept, args):
    asked = Asked(kept, args.queries)
    asked.one(asked.queries[0])
    asked.count("cold", False, asked.unload)
    asked.settle(args.settle)
    asked.count("as they come", bool(args.settle))
    state = cold_state(asked.client)
    print({k: state[k] for k in ("cache_hits", "cache_misses", "cold")})


def do_clients(kept, args):
    asked = Asked(kept, args.queries)
    asked.settle(args.settle)
    times, lock, end = [], threading.Lock(), time.perf_counter() + args.seconds

    def one(number):
        client, at = kept.node.client(), number * len(asked.queries) // args.clients
        mine = []
        while time.perf_counter() < end:
            mine.append(asked.one(asked.queries[at % len(asked.queries)], client)[0])
            at += 1
        with lock:
            times.extend(mine)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(args.clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"{args.clients} clients: {len(times) / args.seconds:.0f} a second  {cold.ms(times)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("step", choices=("load", "truth", "open", "time", "count", "clients"))
    parser.add_argument("rows", nargs="?")
    parser.add_argument("--query")
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1 << 40)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--settle", type=int, default=0, help="queries asked before, for codes to come into the cache")
    parser.add_argument("--cache-bytes", type=int, default=256 << 20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=30)
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    if args.step == "truth":
        do_truth(args)
        return 0
    settings = [f"storage.cache_bytes={args.cache_bytes}", "storage.compaction.threshold_ops=1000000000", "storage.compaction.threshold_bytes=1000000000000"]
    with Kept(args.folder, *settings, relayed=args.step == "count") as kept:
        {"load": do_load, "open": do_open, "time": do_time, "count": do_count, "clients": do_clients}[args.step](kept, args)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
