#!/usr/bin/env python3
"""The same calls by gRPC and by REST in one run, by the same client (h2load of Debian's nghttp2-client): calls a second, latency, and
the server's CPU a call.

    bench/grpc_calls.py [--dim N] [--points N] [--seconds S] [--connections N] [--streams N] [health] [query] [upsert]

h2load speaks HTTP/1.1 too (one request at a time on a connection); by gRPC it has --streams calls under way on each. So there are two
lines of gRPC: one call at a time as REST has it, and many. Client and server share the machine.
"""
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from support import Folder, Node, refusing_port, take_option  # noqa: E402

DIM = take_option("--dim", 768)
POINTS = take_option("--points", 20000)
SECONDS = take_option("--seconds", 5)
CONNECTIONS = take_option("--connections", 8)
STREAMS = take_option("--streams", 16)
BATCH = 100


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(at, value):
    return varint(at << 3) + varint(value)


def packed(vector):
    return struct.pack(f"<{len(vector)}f", *vector)


def vectors(rng, count):
    return [[round(rng.gauss(0, 1), 6) for _ in range(DIM)] for _ in range(count)]


def upsert_message(ids, rows):
    points = b"".join(field(3, field(1, number(1, i)) + field(4, field(1, field(1, packed(v))))) for i, v in zip(ids, rows))
    return field(1, b"bench") + number(2, 1) + points


def upsert_json(ids, rows):
    return json.dumps({"points": [{"id": i, "vector": v} for i, v in zip(ids, rows)]}).encode()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        parts = f.read().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def measure(name, node, url, body, *more):
    """One line; everything is answered well, or it says so."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(body)
        f.flush()
        before = cpu_seconds(node.process.pid)
        said = subprocess.run(["h2load", "-D", str(SECONDS), "--warm-up-time", "1", "-c", str(CONNECTIONS),
                               *(["-d", f.name] if body else []), *more, url],
                              capture_output=True, text=True, timeout=SECONDS * 10 + 60, check=True).stdout
        cpu = cpu_seconds(node.process.pid) - before
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", said).group(1))
    good = re.search(r"requests: (\d+) total.*?(\d+) succeeded, (\d+) failed", said)
    took = re.search(r"time for request: +(\S+) +(\S+) +(\S+)", said)
    calls = int(good.group(2))
    # The second of warming up is in the CPU and not in the calls.
    print(f"  {name:<34} {rate:>9.0f} a second   mean {took.group(3):>8}  max {took.group(2):>8}   server CPU "
          f"{cpu * SECONDS / (SECONDS + 1) / max(calls, 1) * 1e6:>7.1f} us a call   {good.group(3)} failed", flush=True)


def doors(what, node, method, message, path, body, verb="POST"):
    grpc = (f"http://127.0.0.1:{node.grpc_port}{method}", b"\0" + struct.pack(">I", len(message)) + message,
            "-H", "content-type: application/grpc", "-H", "te: trailers")
    print(what)
    rest = ["--h1", "-H", "content-type: application/json"] + (["-H", f":method: {verb}"] if verb == "PUT" else [])
    measure("REST, one a connection", node, f"http://127.0.0.1:{node.port}{path}", body, *rest)
    measure("gRPC, one a connection", node, *grpc, "-m", "1")
    measure(f"gRPC, {STREAMS} a connection", node, *grpc, "-m", str(STREAMS))


def main():
    wanted = sys.argv[1:] or ["health", "query", "upsert"]
    rng = random.Random(7)
    with Folder("bench-grpc") as folder:
        node = Node(folder)
        node.grpc_port = refusing_port()
        with node.start():
            client = node.client()
            client.ok("PUT", "/collections/bench", {"vectors": {"size": DIM, "distance": "Cosine"}})
            rows = vectors(rng, 1000)
            for first in range(0, POINTS, 1000):
                some = [[x + rng.gauss(0, 0.1) for x in v] for v in rows]
                client.ok("PUT", "/collections/bench/points?wait=true", json.loads(upsert_json(range(first, first + 1000), some)))
            print(f"{POINTS} points x {DIM}, {CONNECTIONS} connections, {SECONDS} s each, {os.cpu_count()} cores shared with the client")
            if "health" in wanted:
                doors("health: Check beside GET /livez", node, "/grpc.health.v1.Health/Check", b"", "/livez", b"", "GET")
            if "query" in wanted:
                vector = rows[3]
                doors("query, limit 10: Query beside POST /collections/bench/points/query", node, "/qdrant.Points/Query",
                      field(1, b"bench") + field(3, field(1, field(2, field(1, packed(vector))))) + number(8, 10),
                      "/collections/bench/points/query", json.dumps({"query": vector, "limit": 10}).encode())
            if "upsert" in wanted:
                ids, some = range(BATCH), rows[:BATCH]
                doors(f"upsert of {BATCH}, wait: Upsert beside PUT /collections/bench/points", node, "/qdrant.Points/Upsert",
                      upsert_message(ids, some), "/collections/bench/points?wait=true", upsert_json(ids, some), "PUT")
            node.stop()


if __name__ == "__main__":
    main()
