#!/usr/bin/env python3
"""Query latency while a bulk insert runs, beside the same queries on an idle node.

    python3 bench/query_under_bulk.py [--documents N] [--dim N] [--bulk N] [--batch N] [--queries N] [--pace N] [--seed S]

The real program (TIERVEC_BIN, else build/release) on 127.0.0.1; synthetic vectors in clusters (tests/integration/synthetic.py).
Queries go over one kept connection, as fast as they are answered and then --pace a second; the bulk insert comes from a
process of its own, whose requests are made before the clock starts. Client and server share the machine's cores.
"""
import json
import multiprocessing
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "integration"))
# pylint: disable=wrong-import-position
import support
from support import Client, Folder, Node
from synthetic import Vectors, load, wait_linked

NAME = "bench"


def bodies_of(vectors, count, first_id, batch):
    for at in range(first_id, first_id + count, batch):
        documents = [{"doc_id": i, "vector": vectors.next()} for i in range(at, min(at + batch, first_id + count))]
        yield json.dumps({"documents": documents}, separators=(",", ":")).encode()


def bulk(port, dim, seed, count, first_id, batch, ready, go, took):
    """In a process of its own."""
    bodies = list(bodies_of(Vectors(dim, seed), count, first_id, batch))
    client = Client(port)
    ready.set()
    go.wait()
    started = time.perf_counter()
    for body in bodies:
        client.ok("POST", f"/api/v1/collections/{NAME}/insert", body)
    took.put(time.perf_counter() - started)


def ask(client, bodies, until, pace):
    """Seconds of each query, until the function says so. Paced: from when it was due."""
    times, started = [], time.perf_counter()
    while not until(len(times)):
        due = started + len(times) / pace if pace else time.perf_counter()
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        client.ok("POST", f"/api/v1/collections/{NAME}/query", bodies[len(times) % len(bodies)])
        times.append(time.perf_counter() - due)
    return sorted(times)


def shown(times):
    return "  ".join(f"P{p} {times[min(len(times) - 1, len(times) * p // 100)] * 1000:7.3f} ms" for p in (50, 95, 99)) + f"  ({len(times)} queries)"


def main():
    documents = support.take_option("--documents", 100000)
    dim = support.take_option("--dim", 384)
    rows = support.take_option("--bulk", 20000)
    batch = support.take_option("--batch", 500)
    queries = support.take_option("--queries", 4000)
    pace = support.take_option("--pace", 200)
    seed = support.take_option("--seed", 1)
    print(f"{documents} x {dim}, m 16, bulk of {rows} in batches of {batch}, {os.cpu_count()} cores, seed {seed}")
    with Folder("bench") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, dim, "cosine", m=16)
        vectors = Vectors(dim, seed)
        load(client, NAME, vectors, documents)
        wait_linked(client, NAME)
        asked = [json.dumps({"query_vector": vectors.next(), "top_k": 10, "with_payload": False}).encode() for _ in range(500)]
        ask(client, asked, lambda n: n >= 500, 0)
        first_id = documents
        for what, rate in (("closed loop", 0), (f"{pace} a second", pace)):
            idle = ask(client, asked, lambda n, most=queries if not rate else rate * 10: n >= most, rate)
            ready, go, took = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
            process = multiprocessing.Process(target=bulk, args=(node.port, dim, seed, rows, first_id, batch, ready, go, took))
            process.start()
            ready.wait()
            go.set()
            busy = ask(client, asked, lambda n: not took.empty(), rate)
            seconds = took.get()
            process.join()
            pending = client.collection(NAME)["pending_rows"]
            first_id += rows
            wait_linked(client, NAME)
            ratio = busy[len(busy) * 99 // 100] / idle[len(idle) * 99 // 100]
            print(f"{what}\n  idle        {shown(idle)}\n  under bulk  {shown(busy)}\n"
                  f"  P99 ratio {ratio:.2f}; bulk {rows / seconds:,.0f} rows/s, {pending} rows not yet linked at its end", flush=True)
        node.stop()


if __name__ == "__main__":
    main()
