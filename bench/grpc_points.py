#!/usr/bin/env python3
"""The same points by REST and by gRPC in one run on the real server over loopback: upserts of 1,000 x 1,536 floats with wait=true,
reading them back with their vectors, and searches, in turns.

    bench/grpc_points.py [--rounds N] [--folder DIR]

Bodies and messages are made before the clock starts, answers are not looked into. Needs grpcio; TIERVEC_BIN names another program
than build/release's.
"""
import argparse
import json
import random
import statistics
import struct
import sys
import tempfile
import time

import grpc

from qdrant_points import Wire, cpu_s, fdatasync_s  # puts tests/integration onto the path
import support
from s3_server import free_ports

ROWS, DIM, SEARCHES = 1000, 1536, 200


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    """A field of protobuf: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def vector_of(packed):
    return field(101, field(1, packed))


def upsert_message(ids, packed):
    points = b"".join(field(3, field(1, field(1, i)) + field(3, field(1, b"n") + field(2, field(3, i))) + field(4, field(1, vector_of(packed[i % ROWS]))))
                      for i in ids)
    return field(1, b"u") + field(2, 1) + points


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--folder", help="where the data goes, on the disk to be measured")
    a = p.parse_args()
    print("$ " + " ".join(["bench/grpc_points.py", *sys.argv[1:]]))
    rng = random.Random(1)
    packed = [struct.pack(f"<{DIM}f", *(rng.gauss(0, 0.03) for _ in range(DIM))) for _ in range(ROWS)]
    texts = ["[" + ",".join(f"{v:.9g}" for v in struct.unpack(f"<{DIM}f", one)) + "]" for one in packed]
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        node = support.Node(folder, args=["--set", "server.max_body_bytes=67108864"])
        node.grpc_port = free_ports(1)[0]
        with node.start():
            wire = Wire(node.port)
            channel = grpc.insecure_channel(f"127.0.0.1:{node.grpc_port}", options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
            calls = {name: channel.unary_unary(f"/qdrant.Points/{name}") for name in ("Upsert", "Get", "Query")}

            def cleared():
                wire.ask("DELETE", "/collections/u")
                wire.ask("PUT", "/collections/u", json.dumps({"vectors": {"size": DIM, "distance": "Cosine"}, "hnsw_config": {"m": 4, "ef_construct": 8}}).encode())

            def report(what, rest, by_grpc, cpus):
                print(f"  {what}: REST median {statistics.median(rest) * 1e3:8.2f} ms, CPU {cpus[0] / len(rest) * 1e3:7.2f} ms; gRPC median "
                      f"{statistics.median(by_grpc) * 1e3:8.2f} ms, CPU {cpus[1] / len(by_grpc) * 1e3:7.2f} ms; REST / gRPC {statistics.median(rest) / statistics.median(by_grpc):5.2f}")

            def beside(what, rest_call, grpc_call, rounds):
                took, cpus = ([], []), [0.0, 0.0]
                for turn in range(rounds):
                    for which, call in enumerate((rest_call, grpc_call)):
                        sent = [turn] if what != "search" else range(SEARCHES)
                        before, began = cpu_s(node.process.pid), time.perf_counter()
                        for one in sent:
                            call(one)
                        took[which].append((time.perf_counter() - began) / len(sent))
                        cpus[which] += (cpu_s(node.process.pid) - before) / len(sent)
                report(what, took[0], took[1], cpus)

            bodies = [('{"points":[' + ",".join(f'{{"id":{i},"vector":{texts[i]},"payload":{{"n":{i}}}}}' for i in range(ROWS)) + "]}").encode()]
            messages = [upsert_message(range(ROWS), packed)]
            print(f"{ROWS:,} x {DIM:,} floats, {a.rounds} rounds, in turns; {len(bodies[0]) / 1e6:.1f} MB of JSON, {len(messages[0]) / 1e6:.1f} MB of message; "
                  "a graph is linked behind each upsert meanwhile")
            cleared()
            calls["Upsert"](messages[0])
            beside("upsert, wait=true  ", lambda _: wire.ask("PUT", "/collections/u/points?wait=true", bodies[0]), lambda _: calls["Upsert"](messages[0]), a.rounds)
            bare = fdatasync_s(folder, ROWS * DIM * 4, a.rounds)
            print(f"  bare write + fdatasync of {ROWS * DIM * 4 / 1e6:.1f} MB: median {statistics.median(bare) * 1e3:.2f} ms")
            get = json.dumps({"ids": list(range(ROWS)), "with_vector": True}).encode()
            get_message = field(1, b"u") + b"".join(field(2, field(1, i)) for i in range(ROWS)) + field(5, field(1, 1))
            beside("1,000 with vectors ", lambda _: wire.ask("POST", "/collections/u/points", get), lambda _: calls["Get"](get_message), a.rounds)
            queries = [json.dumps({"query": {"nearest": "@"}, "limit": 10, "with_payload": True}).replace('"@"', texts[i]).encode() for i in range(SEARCHES)]
            asked = [field(1, b"u") + field(3, field(1, field(2, field(1, packed[i])))) + field(8, 10) + field(11, field(1, 1)) for i in range(SEARCHES)]
            beside("search", lambda i: wire.ask("POST", "/collections/u/points/query", queries[i]), lambda i: calls["Query"](asked[i]), a.rounds)
            channel.close()
            node.stop()


if __name__ == "__main__":
    main()
