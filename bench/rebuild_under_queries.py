#!/usr/bin/env python3
"""A graph made anew with another m while queries run: how long it takes beside a fresh build, what the queries wait, idle,
beside a bulk insert of the same size, and beside the rebuild, and the memory of both graphs.

    python3 bench/rebuild_under_queries.py [--documents N] [--dim N] [--m N] [--to N] [--pace N] [--seed S]

The real program (TIERVEC_BIN, else build/release) on 127.0.0.1; synthetic vectors in clusters. Queries go over one kept
connection, --pace a second. Client and server share the machine's cores.
"""
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "integration"))
# pylint: disable=wrong-import-position
import support
from support import Folder, Node
from synthetic import Vectors, load, recall, wait_linked

NAME, OTHER = "bench", "other"


class Asker(threading.Thread):
    """Seconds of each query, until it is stopped."""

    def __init__(self, node, bodies, pace):
        super().__init__()
        self.client, self.bodies, self.pace = node.client(), bodies, pace
        self.stop, self.times = threading.Event(), []

    def run(self):
        started = time.perf_counter()
        while not self.stop.is_set():
            due = started + len(self.times) / self.pace
            time.sleep(max(0, due - time.perf_counter()))
            sent = time.perf_counter()
            self.client.ok("POST", f"/api/v1/collections/{NAME}/query", self.bodies[len(self.times) % len(self.bodies)])
            self.times.append(time.perf_counter() - sent)


def beside(what, node, bodies, pace, act):
    asker = Asker(node, bodies, pace)
    asker.start()
    started = time.perf_counter()
    act()
    seconds = time.perf_counter() - started
    asker.stop.set()
    asker.join()
    times = sorted(asker.times)
    percentiles = "  ".join(f"P{p} {times[min(len(times) - 1, len(times) * p // 100)] * 1000:7.2f} ms" for p in (50, 95, 99))
    print(f"{what:28} {seconds:6.1f} s  {percentiles}  ({len(times)} queries)", flush=True)


def fresh(client, name, dim, seed, count, m):
    client.create(name, dim, "cosine", m=m, ef_construction=200)
    load(client, name, Vectors(dim, seed), count)
    wait_linked(client, name)


def main():
    documents = support.take_option("--documents", 100000)
    dim = support.take_option("--dim", 128)
    m, to = support.take_option("--m", 16), support.take_option("--to", 32)
    pace = support.take_option("--pace", 100)
    seed = support.take_option("--seed", 1)
    print(f"{documents} x {dim}, m {m} to {to}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, seed {seed}")
    with Folder("bench") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        started = time.perf_counter()
        fresh(client, NAME, dim, seed, documents, m)
        print(f"fresh, m {m}: {time.perf_counter() - started:.1f} s until all is linked")
        vectors = Vectors(dim, seed + 1)
        queries = [vectors.next() for _ in range(200)]
        bodies = [json.dumps({"query_vector": q, "top_k": 10, "with_payload": False}).encode() for q in queries]
        before = recall(client, NAME, queries)[0]
        beside("idle", node, bodies, pace, lambda: time.sleep(8))
        beside("a bulk insert beside", node, bodies, pace, lambda: fresh(client, OTHER, dim, seed + 2, documents, to))
        client.ok("DELETE", f"/api/v1/collections/{OTHER}")
        time.sleep(2)
        memory = [client.collection(NAME)["memory_bytes"]] * 2

        def rebuild():
            client.ok("PATCH", f"/api/v1/collections/{NAME}", {"hnsw": {"m": to}})
            while (info := client.collection(NAME))["rebuild"] is not None:
                memory[1] = max(memory[1], info["memory_bytes"])
                time.sleep(0.1)

        beside(f"a rebuild, m {m} to {to}", node, bodies, pace, rebuild)
        now = client.collection(NAME)["memory_bytes"]
        print(f"memory of the collection: {memory[0] / 1e6:.1f} MB before, {memory[1] / 1e6:.1f} during, {now / 1e6:.1f} after")
        wait_linked(client, NAME)
        print(f"recall@10: {before:.4f} before, {recall(client, NAME, queries)[0]:.4f} after")
        node.stop()


if __name__ == "__main__":
    main()
