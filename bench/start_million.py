#!/usr/bin/env python3
"""From exec to the first right answer of a node that has a large collection already.

    python3 bench/start_million.py DATA_DIR COLLECTION [--rounds N] [--tail N] [--port P]

DATA_DIR is a stopped node's (made by `tiervec serve` and `tiervec import`, all rows linked). TIERVEC_BIN, else build/release. A client asks one query again and
again from the moment the process is started; an answer counts when it is 200 and names the rows that an exact search named before. What came before that is
counted by status. Warm: the page cache as the stop left it. Cold: the files of DATA_DIR are put out of it (posix_fadvise). Then the same after kill -9 with
--tail rows in the log. Beside it the device: how long reading the checkpoint's files takes, cold and warm, by one reader and by two.
"""
import argparse
import collections
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("TIERVEC_BIN", os.path.join(ROOT, "build", "release", "cli", "tiervec"))


def files_below(path):
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


def forget(path):
    for name in files_below(path):
        fd = os.open(name, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def read_all(names, readers):
    def work(part):
        block = bytearray(1 << 20)
        for name in part:
            with open(name, "rb", buffering=0) as f:
                while f.readinto(block):
                    pass
    threads = [threading.Thread(target=work, args=(names[i::readers],)) for i in range(readers)]
    started = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.perf_counter() - started


class Server:
    def __init__(self, args):
        self.args = args
        self.process = None

    def launch(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIERVEC_")}
        environment.update(TIERVEC_DATABASE_DATA_DIR=self.args.data, TIERVEC_SERVER_REST_PORT=str(self.args.port), TIERVEC_SERVER_GRPC_PORT="0")
        with open(os.path.join("/tmp", f"start_million.{os.getpid()}.log"), "ab") as log:
            self.process = subprocess.Popen([BINARY, "serve"], env=environment, stdout=log, stderr=log)

    def ask(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.args.port, timeout=120)
        try:
            c.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = c.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            c.close()

    def query(self, vector, **more):
        return self.ask("POST", f"/api/v1/collections/{self.args.collection}/query", dict(query_vector=vector, top_k=10, **more))

    def until_right(self, vector, right):
        """Seconds to the first thing that listens and to the right answer; the answers before by status."""
        seen, listening = collections.Counter(), None
        started = time.perf_counter()
        self.launch()
        while True:
            try:
                status, answer = self.query(vector)
                listening = listening or time.perf_counter() - started
                found = [m["doc_id"] for m in answer.get("matches", [])]
                if status == 200 and found == right:
                    return listening, time.perf_counter() - started, dict(seen)
                seen[status] += 1
            except (ConnectionError, http.client.HTTPException):
                seen["refused"] += 1
            if time.perf_counter() - started > 120 or self.process.poll() is not None:
                raise SystemExit(f"no right answer in two minutes: {dict(seen)}")
            time.sleep(0.01)

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) >> 10


def wait_ready(server):
    while server.process.poll() is None:
        try:
            if server.ask("GET", "/ready")[0] == 200:
                return
        except (ConnectionError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    raise SystemExit("the node ended; its log is in /tmp")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("collection")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tail", type=int, default=5000)
    parser.add_argument("--port", type=int, default=18999)
    args = parser.parse_args()
    server = Server(args)
    server.launch()
    wait_ready(server)
    info = server.ask("GET", f"/api/v1/collections/{args.collection}")[1]
    info = info.get("collection", info)
    rng = random.Random(1)
    vector = [rng.gauss(0, 1) for _ in range(info["dimension"])]
    right = [m["doc_id"] for m in server.query(vector, exact=True)[1]["matches"]]
    # A query whose graph answer is the exact one: one near a row.
    for doc_id in range(100):
        document = server.ask("GET", f"/api/v1/collections/{args.collection}/docs/{doc_id * 997}")[1].get("document")
        if document is None:
            continue
        vector = document["vector"]
        right = [m["doc_id"] for m in server.query(vector, exact=True)[1]["matches"]]
        if [m["doc_id"] for m in server.query(vector)[1]["matches"]] == right:
            break
    print(f"{info['document_count']} documents, {info['dimension']} dimensions, {info['linked_rows']} linked, {server.resident()} MiB resident, {os.cpu_count()} cores")
    server.end()
    names = sorted(n for n in files_below(os.path.join(args.data, "snapshots")))
    size = sum(os.path.getsize(n) for n in names)
    for readers in (1, 2):
        forget(args.data)
        cold = read_all(names, readers)
        print(f"the checkpoint's files, {size >> 20} MiB, {readers} reader{'s' * (readers > 1)}: cold {cold:.2f} s, warm {read_all(names, readers):.2f} s")
    for what in ["warm", "cold"] * args.rounds:
        if what == "cold":
            forget(args.data)
        listening, right_at, seen = server.until_right(vector, right)
        print(f"graceful stop, {what}: listening {listening * 1000:.0f} ms, right answer {right_at * 1000:.0f} ms, before it {seen}, {server.resident()} MiB", flush=True)
        server.end()
    if args.tail > 0:
        server.launch()
        wait_ready(server)
        base = 10 ** 9
        for at in range(0, args.tail, 500):
            rows = [{"doc_id": base + at + i, "vector": [rng.gauss(0, 1) for _ in range(info["dimension"])]} for i in range(min(500, args.tail - at))]
            status, answer = server.ask("POST", f"/api/v1/collections/{args.collection}/insert", {"documents": rows})
            if status >= 300:
                raise SystemExit(f"insert: {status} {answer}")
        right = [m["doc_id"] for m in server.query(vector, exact=True)[1]["matches"]]
        for what in ["warm", "cold"] * args.rounds:
            server.end(signal.SIGKILL)
            if what == "cold":
                forget(args.data)
            listening, right_at, seen = server.until_right(vector, right)
            print(f"kill -9, {args.tail} rows in the log, {what}: listening {listening * 1000:.0f} ms, right answer {right_at * 1000:.0f} ms, before it {seen}", flush=True)
        server.end(signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
