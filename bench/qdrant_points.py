#!/usr/bin/env python3
"""The points routes of the compatible dialect on the real server over loopback: upserts of 1,000 x 1,536 floats with
wait=true beside a bare fdatasync of the same bytes, and scrolling through all points.

    bench/qdrant_points.py [--rounds N] [--points N] [--folder DIR] [upsert] [scroll]

The bodies are made before the clock starts; the client is a socket that sends and reads bytes. TIERVEC_BIN names another program than build/release's.
"""
import argparse
import json
import os
import random
import socket
import statistics
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
import support  # pylint: disable=wrong-import-position

ROWS, DIM = 1000, 1536


class Wire:
    """One kept connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method, path, body=b""):
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body if len(body) < 4096 else head.encode())
        if len(body) >= 4096:
            self.socket.sendall(body)
        got = bytearray()
        while b"\r\n\r\n" not in got:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise SystemExit("error: the connection ended")
            got += piece
        at = got.index(b"\r\n\r\n") + 4
        lines = got[:at].decode().lower()
        want = int(lines.split("content-length: ")[1].split("\r\n")[0])
        parts, have = [bytes(got[at:])], len(got) - at
        while have < want:
            piece = self.socket.recv(1 << 20)
            parts.append(piece)
            have += len(piece)
        text = b"".join(parts)
        if " 200 " not in lines.split("\r\n")[0]:
            raise SystemExit(f"error: {method} {path}: {text[:400]!r}")
        return text


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fdatasync_s(folder, size, times):
    """A bare write and fdatasync of as many bytes, at the end of a file."""
    data, took = os.urandom(size), []
    path = os.path.join(folder, "fdatasync")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    for _ in range(times):
        began = time.perf_counter()
        os.write(fd, data)
        os.fdatasync(fd)
        took.append(time.perf_counter() - began)
    os.close(fd)
    os.unlink(path)
    return took


def upserts(node, folder, rounds):
    wire = Wire(node.port)
    wire.ask("PUT", "/collections/u", json.dumps({"vectors": {"size": DIM, "distance": "Cosine"}}).encode())
    rng = random.Random(1)
    print(f"upsert of {ROWS:,} x {DIM:,} floats, wait=true, {rounds} times each:")
    for form in ("points", "columns"):
        for digits in ("float", "double"):
            rows = []
            for _ in range(ROWS):
                values = struct.unpack(f"<{DIM}f", struct.pack(f"<{DIM}f", *(rng.gauss(0, 0.03) for _ in range(DIM))))
                rows.append("[" + ",".join(repr(v) if digits == "double" else f"{v:.9g}" for v in values) + "]")
            took, inside, sync, cpu = [], [], [], cpu_s(node.process.pid)
            for turn in range(rounds):
                ids = range(turn * ROWS, (turn + 1) * ROWS)
                if form == "points":
                    body = ('{"points":[' + ",".join(f'{{"id":{i},"vector":{rows[i % ROWS]},"payload":{{"n":{i}}}}}'
                                                      for i in ids) + "]}").encode()
                else:
                    body = ('{"batch":{"ids":[' + ",".join(map(str, ids)) + '],"vectors":[' + ",".join(rows) +
                            '],"payloads":[' + ",".join(f'{{"n":{i}}}' for i in ids) + "]}}").encode()
                began = time.perf_counter()
                text = wire.ask("PUT", "/collections/u/points?wait=true", body)
                took.append(time.perf_counter() - began)
                assert b'"completed"' in text, text
                inside.append(json.loads(text)["time"])
                sync += fdatasync_s(folder, ROWS * DIM * 4, 1)
            cpu = cpu_s(node.process.pid) - cpu
            middle, bare = statistics.median(took), statistics.median(sync)
            print(f"  {form:8} {digits}s, {len(body) / 1e6:5.1f} MB of JSON: median {middle * 1e3:7.1f} ms, worst "
                  f"{max(took) * 1e3:7.1f} ms, {statistics.median(inside) * 1e3:6.1f} ms of it behind the last byte; bare write+fdatasync of {ROWS * DIM * 4 / 1e6:.1f} MB: median {bare * 1e3:6.1f} "
                  f"ms; ratio {middle / bare:5.2f}; server CPU {cpu / rounds * 1e3:6.1f} ms an upsert (graph included)")
    wire.ask("DELETE", "/collections/u")


def scrolls(node, points):
    wire = Wire(node.port)
    wire.ask("PUT", "/collections/s", json.dumps({"vectors": {"size": 4, "distance": "Dot"},
                                                   "hnsw_config": {"m": 4, "ef_construct": 8}}).encode())
    began = time.perf_counter()
    for first in range(0, points, 20000):
        body = ",".join(f'{{"id":{i},"vector":[{i % 7},{i % 11},{i % 13},1],"payload":{{"n":{i},"name":"number {i}"}}}}'
                        for i in range(first, min(first + 20000, points)))
        wire.ask("PUT", "/collections/s/points?wait=true", ('{"points":[' + body + "]}").encode())
    print(f"scroll through {points:,} points (filled in {time.perf_counter() - began:.0f} s), integer and text in the payload:")
    for limit, with_payload, with_vector in ((100, True, False), (1000, True, False), (10000, True, False),
                                             (10000, False, False), (1000, True, True)):
        ask = {"limit": limit, "with_payload": with_payload, "with_vector": with_vector}
        seen, offset, slowest, size = 0, None, 0.0, 0
        cpu, began = cpu_s(node.process.pid), time.perf_counter()
        while True:
            body = json.dumps({**ask, "offset": offset} if offset is not None else ask).encode()
            sent = time.perf_counter()
            text = wire.ask("POST", "/collections/s/points/scroll", body)
            slowest = max(slowest, time.perf_counter() - sent)
            seen += text.count(b'{"id":')
            size += len(text)
            offset = text[text.rindex(b'"next_page_offset":') + 19:].split(b"}")[0]
            if offset == b"null":
                break
            offset = int(offset)
        took, cpu = time.perf_counter() - began, cpu_s(node.process.pid) - cpu
        assert seen == points, (seen, points)
        print(f"  limit {limit:6,} payload {str(with_payload):5} vector {str(with_vector):5}: {seen / took / 1e3:7.0f} thousand "
              f"points/s, {size / took / 1e6:6.1f} MB/s, slowest page {slowest * 1e3:6.2f} ms, server CPU "
              f"{cpu / seen * 1e6:.2f} us a point")
    wire.ask("DELETE", "/collections/s")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--points", type=int, default=1_000_000)
    p.add_argument("--folder", help="where the data goes, on the disk to be measured")
    p.add_argument("parts", nargs="*", choices=["upsert", "scroll", []])
    a = p.parse_args()
    print("$ " + " ".join(["bench/qdrant_points.py", *sys.argv[1:]]))
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        with support.Node(folder, args=["--set", "server.max_body_bytes=67108864"]) as node:
            node.start()
            if not a.parts or "upsert" in a.parts:
                upserts(node, folder, a.rounds)
            if not a.parts or "scroll" in a.parts:
                scrolls(node, a.points)
            node.stop()


if __name__ == "__main__":
    main()
