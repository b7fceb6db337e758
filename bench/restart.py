#!/usr/bin/env python3
"""How long a restart takes, and what the node answers right after it.

    python3 bench/restart.py [--documents N] [--dim N] [--tail N] [--rounds N] [--seed S]

The real program (TIERVEC_BIN, else build/release) on 127.0.0.1; synthetic vectors in clusters (tests/integration/synthetic.py).
Times are from the start of the process, by a client that asks again and again. The page cache is as the stop left it.
"""
import os
import sys
import time
from datetime import datetime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "integration"))
# pylint: disable=wrong-import-position
import restart
import support
from support import Folder, Node, resident_bytes
from synthetic import Vectors, load, recall, wait_linked

NAME = restart.NAME


def bytes_below(path):
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def log_times(node):
    """Milliseconds from the first line of the log to the others that tell of the start."""
    found = [(line["message"], datetime.fromisoformat(line["timestamp"][:26] + "+00:00")) for line in node.log_lines()]
    return {text: (at - found[0][1]).total_seconds() * 1000 for text, at in found if text in ("listening", "collection loaded")}


def report(what, node, queries):
    times, info, answer = restart.timed_start(node)
    client = node.client()
    found, seconds = recall(client, NAME, queries)
    print(f"{what}\n  listening {times['listening'] * 1000:.0f} ms, ready {times['ready'] * 1000:.0f} ms, "
          f"first answer {times['answered'] * 1000:.0f} ms (plan {answer['explain']['plan']})\n"
          f"  by the log, after its first line: {', '.join(f'{k} {v:.0f} ms' for k, v in log_times(node).items())}\n"
          f"  {info['linked_rows']} of {info['document_count']} rows linked, recall@10 {found:.4f} and "
          f"P95 {seconds[len(seconds) * 95 // 100] * 1000:.2f} ms right then, {resident_bytes(node.process.pid) >> 20} MiB resident", flush=True)
    client.close()


def main():
    documents = support.take_option("--documents", 100000)
    dim = support.take_option("--dim", 384)
    tail = support.take_option("--tail", 5000)
    rounds = support.take_option("--rounds", 3)
    seed = support.take_option("--seed", 1)
    print(f"{documents} x {dim}, m 16, {os.cpu_count()} cores, seed {seed}")
    with Folder("bench") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, dim, "cosine", m=16)
        vectors = Vectors(dim, seed)
        spent = load(client, NAME, vectors, documents)
        print(f"loaded in {spent:.1f} s of requests, linked {wait_linked(client, NAME):.1f} s later", flush=True)
        queries = [vectors.next() for _ in range(200)]
        for number in range(1, rounds + 1):
            started = time.perf_counter()
            node.stop()
            print(f"stopped in {time.perf_counter() - started:.2f} s, {bytes_below(node.data_dir) >> 20} MiB on disk")
            report(f"start {number} after a graceful stop", node, queries)
        client = node.client()
        load(client, NAME, vectors, tail, first_id=documents)
        node.kill9()
        report(f"start after kill -9 with {tail} rows in the log", node, queries)
        node.stop()


if __name__ == "__main__":
    main()
