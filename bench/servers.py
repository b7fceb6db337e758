#!/usr/bin/env python3
"""Queries per second of eight clients: ours beside Redis vector sets, pgvector, Chroma and Weaviate, on the same rows in one run.

    bench/servers FOLDER load [--rows N] [names]         fills each server and stops it; its data stays in FOLDER
    bench/servers FOLDER measure [--seconds S] [--rounds N] [--json FILE] [names]
                                                       starts them all, asks them in turns, stops them

FOLDER has what bench/servers installed. Rows and queries are those of BASE.npy and QUERY.npy beside it (float16 or float32, made by
whoever has embeddings; `--base`, `--query` on load name others). Every server has m 16 and ef_construction 200 and answers ids alone.

One client asks all of them: bench_replay, in C, with requests that were made beforehand; what it spends is the same for all. Ours,
Chroma and Weaviate (GraphQL) are asked by HTTP/1.1 on kept connections, Redis in RESP with vectors as FP32, PostgreSQL by the extended
protocol with a prepared statement and vectors in binary. Servers and clients share all cores; while one is asked the others idle.

All servers run in a network namespace of their own that has nothing but loopback, and are stopped by their pids.
"""
import argparse
import fcntl
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP, DIM_M, EF_CONSTRUCTION, QUERIES, CLIENTS = 10, 16, 200, 1000, 8
EFS = (32, 64, 128)
NOBODY = 65534


def only_loopback():
    """Into a network namespace with loopback alone, once."""
    if os.environ.get("BENCH_SERVERS_ALONE") != "1":
        os.environ["BENCH_SERVERS_ALONE"] = "1"
        ask = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-root-user"]
        os.execvp(ask[0], ask + [sys.executable] + sys.argv)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # up, running
        fcntl.ioctl(s, 0x8914, name)


def http(port, method, path, body=None, fine=(200, 201, 204)):
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    ask = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(ask, timeout=600) as answer:
            text = answer.read()
    except urllib.error.HTTPError as e:
        raise RuntimeError(f"{method} {path}: {e.code} {e.read()[:500]!r}") from e
    return json.loads(text) if text else None


def numbers(v):
    """Each as short as a float allows, as C programs print them."""
    return "[" + ",".join(str(x) for x in v.astype(np.float32)) + "]"


def post(path, body):
    body = body.encode()
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def settled(ask):
    """Until no rows are pending in what a collection tells of itself."""
    until = time.monotonic() + 300
    while not re.search(r'"pending_rows": 0\b', json.dumps(ask())):
        if time.monotonic() > until:
            raise RuntimeError("rows are pending for five minutes")
        time.sleep(0.1)


class Server:
    """One of them: started in `folder`, with `port` to itself."""
    protocol = "http"
    efs = EFS
    counts_cpu = True

    def __init__(self, folder, installed, port):
        self.folder, self.installed, self.port, self.child = folder, installed, port, None
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.child = subprocess.Popen(self.command(), cwd=self.folder, env=self.environment(), stdout=log, stderr=log)
        until = time.monotonic() + 120
        while True:
            try:
                self.ready()
                return self
            except Exception as e:  # not there yet, in as many ways as there are clients
                if self.child.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise RuntimeError(f"{self.name} does not start: {e}; see {self.folder}/log") from e
                time.sleep(0.1)

    def stop(self):
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(60)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.child = None

    def hello(self, ef):  # what each connection says first, in turns
        return []

    def set_ef(self, ef):
        pass


class Ours(Server):
    name, says = "tiervec", "log synced before an answer"

    def environment(self):
        return {k: v for k, v in os.environ.items() if not k.startswith("TIERVEC_")}

    def command(self):
        return [os.environ.get("TIERVEC_BIN", str(ROOT / "build/release/cli/tiervec")), "serve", "--quiet", "--data-dir", "data", "--rest-port", str(self.port),
                "--grpc-port", "0", "--log-level", "error"]

    def ready(self):
        http(self.port, "GET", "/ready")

    def version(self):
        return http(self.port, "GET", "/api/v1/status").get("version", "")

    def load(self, base):
        http(self.port, "POST", "/api/v1/collections",
             {"name": "b", "dimension": base.shape[1], "metric": "cosine", "hnsw": {"m": DIM_M, "ef_construction": EF_CONSTRUCTION}})
        for at in range(0, len(base), 1000):
            docs = ",".join(f'{{"doc_id":{at + i},"vector":{numbers(v)}}}' for i, v in enumerate(base[at:at + 1000]))
            http(self.port, "POST", "/api/v1/collections/b/insert", f'{{"documents":[{docs}]}}'.encode())
        if len(base) >= 20000:  # fewer may have no graph
            settled(lambda: http(self.port, "GET", "/api/v1/collections/b"))

    def request(self, v, ef):
        return post("/api/v1/collections/b/query", f'{{"query_vector":{numbers(v)},"top_k":{TOP},"ef_search":{ef},"with_payload":false}}')

    def ids(self, answer):
        return [m["doc_id"] for m in json.loads(answer)["matches"]]


class Compatible(Ours):
    """The same server by its other dialect, asked of the same collection."""
    name = "tiervec, compatible dialect"

    def request(self, v, ef):
        return post("/collections/b/points/query", f'{{"query":{numbers(v)},"limit":{TOP},"params":{{"hnsw_ef":{ef}}}}}')

    def ids(self, answer):
        return [p["id"] for p in json.loads(answer)["result"]["points"]]


class Redis(Server):
    name, says, protocol = "redis", "append-only file, synced every second; vectors 8 bit (its default)", "resp"

    def command(self):
        (self.root() / "tmp/redis").mkdir(exist_ok=True)
        return ["chroot", str(self.root()), "/usr/bin/redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", "/tmp/redis", "--save", "",
                "--appendonly", "yes", "--appendfsync", "everysec"]

    def root(self):
        return self.installed / "root"

    def client(self):
        import redis
        return redis.Redis("127.0.0.1", self.port)

    def ready(self):
        self.client().ping()

    def version(self):
        return self.client().info()["redis_version"]

    def load(self, base):
        c = self.client()
        c.flushall()
        for at in range(0, len(base), 500):
            p = c.pipeline(transaction=False)
            for i, v in enumerate(base[at:at + 500]):
                p.execute_command("VADD", "b", "FP32", v.astype("<f4").tobytes(), str(at + i), "EF", EF_CONSTRUCTION, "M", DIM_M)
            p.execute()
        self.rewrite()

    def rewrite(self):
        """So that a start reads a snapshot instead of inserting all again."""
        c = self.client()
        c.bgrewriteaof()
        while c.info()["aof_rewrite_in_progress"] or c.info()["aof_rewrite_scheduled"]:
            time.sleep(0.1)

    def request(self, v, ef):
        parts = [b"VSIM", b"b", b"FP32", v.astype("<f4").tobytes(), b"COUNT", b"%d" % TOP, b"EF", b"%d" % ef]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)

    def ids(self, answer):
        return [int(x) for x in answer.split(b"\r\n")[2::2] if x]


class Pgvector(Server):
    name, says, protocol, counts_cpu = "pgvector", "fsync on, synchronous_commit on", "pg", False
    bin = "/usr/lib/postgresql/17/bin/"

    def root(self):
        return self.installed / "root"

    def inside(self, *command):
        return ["chroot", f"--userspec={NOBODY}:{NOBODY}", str(self.root()), *command]

    def command(self):
        data = self.root() / "tmp/pg"
        if not (data / "PG_VERSION").exists():
            subprocess.run(self.inside(self.bin + "initdb", "-D", "/tmp/pg", "-U", "b", "-A", "trust", "--no-locale", "-E", "UTF8"), check=True, stdout=subprocess.DEVNULL)
        return self.inside(self.bin + "postgres", "-D", "/tmp/pg", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                           "-c", "shared_buffers=1GB", "-c", "maintenance_work_mem=1GB", "-c", "session_preload_libraries=vector",
                           "-c", "dynamic_shared_memory_type=mmap", "-c", "max_parallel_maintenance_workers=0")

    def client(self):
        import psycopg
        return psycopg.connect(host="127.0.0.1", port=self.port, user="b", dbname="postgres", autocommit=True)

    def ready(self):
        self.client().close()

    def version(self):
        with self.client() as c:
            return c.execute("show server_version").fetchone()[0].split()[0] + ", pgvector " + \
                (c.execute("select extversion from pg_extension where extname = 'vector'").fetchone() or ["?"])[0]

    def load(self, base):
        with self.client() as c:
            c.execute("create extension if not exists vector")
            c.execute("drop table if exists b")
            c.execute(f"create table b (id int, v vector({base.shape[1]}))")
            with c.cursor() as cur, cur.copy("copy b from stdin") as copy:
                for i, v in enumerate(base):
                    copy.write(f"{i}\t{numbers(v)}\n")
            c.execute(f"create index on b using hnsw (v vector_cosine_ops) with (m = {DIM_M}, ef_construction = {EF_CONSTRUCTION})")
            c.execute("vacuum analyze b")
            c.execute("checkpoint")

    @staticmethod
    def message(kind, body):
        return kind + struct.pack(">i", len(body) + 4) + body

    def hello(self, ef):
        words = ["user", "b", "database", "postgres", "options", f"-c hnsw.ef_search={ef}"]
        body = struct.pack(">i", 196608) + b"".join(w.encode() + b"\0" for w in words) + b"\0"
        statement = f"select id from b order by v <=> $1::vector limit {TOP}".encode()
        return [struct.pack(">i", len(body) + 4) + body,
                self.message(b"P", b"s\0" + statement + b"\0" + struct.pack(">h", 0)) + self.message(b"S", b"")]

    def request(self, v, ef):
        vector = struct.pack(">hh", len(v), 0) + v.astype(">f4").tobytes()
        bind = b"\0s\0" + struct.pack(">hhhi", 1, 1, 1, len(vector)) + vector + struct.pack(">hh", 1, 1)
        return self.message(b"B", bind) + self.message(b"E", b"\0" + struct.pack(">i", 0)) + self.message(b"S", b"")

    def ids(self, answer):
        at, out = 0, []
        while at < len(answer):
            length = struct.unpack(">i", answer[at + 1:at + 5])[0]
            if answer[at:at + 1] == b"D":
                out.append(struct.unpack(">i", answer[at + 11:at + 15])[0])
            at += 1 + length
        return out


class Chroma(Server):
    name, says, efs = "chroma", "SQLite log, its default", (100,)
    path = "/api/v2/tenants/default_tenant/databases/default_database/collections"

    def command(self):
        return [str(self.installed / "env/bin/chroma"), "run", "--path", "data", "--host", "127.0.0.1", "--port", str(self.port)]

    def environment(self):
        return {**os.environ, "ANONYMIZED_TELEMETRY": "False"}

    def ready(self):
        http(self.port, "GET", "/api/v2/heartbeat")

    def version(self):
        return importlib.metadata.version("chromadb")  # the server tells its API's

    def load(self, base):
        c = http(self.port, "POST", self.path, {"name": "bench", "get_or_create": True, "configuration": {"hnsw": {
            "space": "cosine", "max_neighbors": DIM_M, "ef_construction": EF_CONSTRUCTION, "ef_search": 100}}})
        for at in range(0, len(base), 1000):
            rows = base[at:at + 1000]
            ids = json.dumps([str(at + i) for i in range(len(rows))])
            http(self.port, "POST", f"{self.path}/{c['id']}/add", f'{{"ids":{ids},"embeddings":[{",".join(numbers(v) for v in rows)}]}}'.encode())

    def set_ef(self, ef):
        self.id = http(self.port, "GET", self.path + "/bench")["id"]

    def request(self, v, ef):
        return post(f"{self.path}/{self.id}/query", f'{{"query_embeddings":[{numbers(v)}],"n_results":{TOP},"include":[]}}')

    def ids(self, answer):
        return [int(x) for x in json.loads(answer)["ids"][0]]


class Weaviate(Server):
    name, says = "weaviate", "log without a sync per write; no quantization"

    def command(self):
        return [str(self.installed / "bin/weaviate-server"), "--host", "127.0.0.1", "--port", str(self.port), "--scheme", "http"]

    def environment(self):
        return {**os.environ, "PERSISTENCE_DATA_PATH": str(self.folder / "data"), "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
                "DEFAULT_VECTORIZER_MODULE": "none", "CLUSTER_HOSTNAME": "one", "CLUSTER_ADVERTISE_ADDR": "127.0.0.1", "DISABLE_TELEMETRY": "true",
                "RAFT_BOOTSTRAP_EXPECT": "1", "LOG_LEVEL": "error", "GRPC_PORT": "50551"}

    def ready(self):
        http(self.port, "GET", "/v1/.well-known/ready")

    def version(self):
        return http(self.port, "GET", "/v1/meta")["version"]

    def load(self, base):
        try:
            http(self.port, "DELETE", "/v1/schema/Doc")
        except RuntimeError:
            pass  # it is not there
        http(self.port, "POST", "/v1/schema", {"class": "Doc", "vectorizer": "none", "vectorIndexType": "hnsw", "properties": [], "vectorIndexConfig": {
            "distance": "cosine", "maxConnections": DIM_M, "efConstruction": EF_CONSTRUCTION, "ef": 64, "skipDefaultQuantization": True}})
        for at in range(0, len(base), 500):
            rows = ",".join(f'{{"class":"Doc","id":"{uuid.UUID(int=at + i)}","vector":{numbers(v)}}}' for i, v in enumerate(base[at:at + 500]))
            for told in http(self.port, "POST", "/v1/batch/objects", f'{{"objects":[{rows}]}}'.encode()):
                if told["result"].get("errors"):
                    raise RuntimeError(told["result"]["errors"])

    def set_ef(self, ef):
        told = http(self.port, "GET", "/v1/schema/Doc")
        told["vectorIndexConfig"]["ef"] = ef
        http(self.port, "PUT", "/v1/schema/Doc", told)

    def request(self, v, ef):
        ask = f"{{Get{{Doc(nearVector:{{vector:{numbers(v)}}},limit:{TOP}){{_additional{{id}}}}}}}}"
        return post("/v1/graphql", json.dumps({"query": ask}))

    def ids(self, answer):
        return [uuid.UUID(d["_additional"]["id"]).int for d in json.loads(answer)["data"]["Get"]["Doc"]]


SERVERS = [Ours, Compatible, Redis, Pgvector, Chroma, Weaviate]


def truth(base, queries):
    unit = base / np.linalg.norm(base, axis=1, keepdims=True)
    return [set(row.tolist()) for row in np.argsort(-(queries @ unit.T), axis=1, kind="stable")[:, :TOP]]


def make(folder, wanted):
    return [kind(folder / "data" / ("tiervec" if issubclass(kind, Ours) else kind.name), folder, 18800 + i) for i, kind in enumerate(SERVERS)
            if not wanted or kind.name.split(",")[0] in wanted]


def write_list(path, items):
    with open(path, "wb") as f:
        for item in items:
            f.write(struct.pack("<I", len(item)) + item)


def packed(items):
    return b"".join(struct.pack("<I", len(i)) + i for i in items)


def read_list(path):
    data, at, out = path.read_bytes(), 0, []
    while at < len(data):
        n = struct.unpack("<I", data[at:at + 4])[0]
        out.append(data[at + 4:at + 4 + n])
        at += 4 + n
    return out


class Bench:
    def __init__(self, options):
        self.o = options
        self.folder = pathlib.Path(options.folder).resolve()
        self.queries = np.load(self.folder / "query.npy")[:QUERIES].astype(np.float32)
        self.base = np.load(self.folder / "base.npy").astype(np.float32)
        self.replay = str(ROOT / "build/release/bench/bench_replay")

    def load(self):
        for s in make(self.folder, self.o.names):
            if isinstance(s, Compatible):
                continue
            (self.folder / "recall.json").unlink(missing_ok=True)
            shutil.rmtree(s.folder)
            s.folder.mkdir()
            for left in ("redis", "pg"):
                if s.name.startswith("redis") and left == "redis" or s.name == "pgvector" and left == "pg":
                    shutil.rmtree(self.folder / "root/tmp" / left, ignore_errors=True)
            began = time.monotonic()
            s.start()
            try:
                s.load(self.base)
                print(f"{s.name} {s.version()}: {len(self.base)} rows in {time.monotonic() - began:.0f} s", flush=True)
            finally:
                s.stop()

    def keep_recall(self):
        """What was loaded does not change: a second measure need not ask again."""
        (self.folder / "recall.json").write_text(json.dumps([[name, ef, r] for (name, ef), r in self.recall.items()]))

    def ask(self, s, ef, round_number):
        """One turn: recall once, rates in each."""
        s.set_ef(ef)
        requests = self.folder / f"requests-{s.name.split(',')[-1].strip().replace(' ', '-')}-{ef}"
        if round_number == 0:
            write_list(requests, [packed(s.hello(ef))] + [s.request(q, ef) for q in self.queries])
        if (s.name, ef) not in self.recall:
            answers = self.folder / "answers"
            subprocess.run([self.replay, str(s.port), s.protocol, str(requests), "once", str(answers)], check=True)
            found = read_list(answers)
            self.recall[s.name, ef] = sum(len(set(s.ids(a)) & t) for a, t in zip(found, self.truth)) / (TOP * len(self.truth))
            self.keep_recall()
        pids = [str(s.child.pid)] if s.counts_cpu else []
        told = subprocess.run([self.replay, str(s.port), s.protocol, str(requests), str(CLIENTS), str(self.o.seconds), *pids], check=True, capture_output=True, text=True)
        told = json.loads(told.stdout)
        if told["failures"]:
            raise RuntimeError(f"{s.name}: {told['failures']} answers were errors")
        self.told.setdefault((s.name, ef), []).append(told)

    def measure(self):
        kept = self.folder / "recall.json"
        self.recall = {(name, ef): r for name, ef, r in json.loads(kept.read_text())} if kept.exists() else {}
        self.truth, self.told = truth(self.base, self.queries), {}
        servers, versions = make(self.folder, self.o.names), {}
        try:
            for s in servers:
                if isinstance(s, Compatible):
                    ours = next(x for x in servers if isinstance(x, Ours))
                    s.child, s.port = ours.child, ours.port
                else:
                    s.start()
                versions[s.name] = s.version()
            for r in range(self.o.rounds):
                for s in servers:
                    for ef in s.efs:
                        self.ask(s, ef, r)
        finally:
            for s in servers:
                if not isinstance(s, Compatible):
                    s.stop()
            self.tell(servers, versions)  # what there is, if it was ended early

    def tell(self, servers, versions):
        rows = []
        print(f"{len(self.base)} x {self.base.shape[1]}, {CLIENTS} clients, {os.cpu_count()} CPU, {self.o.rounds} rounds of {self.o.seconds} s; medians")
        print("| server | ef | recall@10 | queries/s | P50 ms | P95 ms | P99 ms | server CPU us a query | durability |\n|---|---|---|---|---|---|---|---|---|")
        for s in servers:
            for ef in (ef for ef in s.efs if (s.name, ef) in self.told):
                mid = {k: statistics.median(t[k] for t in self.told[s.name, ef]) for k in ("rate", "p50_us", "p95_us", "p99_us", "server_cpu_us")}
                rows.append({"server": s.name, "version": versions[s.name], "ef": ef, "recall": self.recall[s.name, ef], **mid})
                cpu = f"{mid['server_cpu_us']:.0f}" if s.counts_cpu else "-"
                print(f"| {s.name} {versions[s.name]} | {ef} | {self.recall[s.name, ef]:.4f} | {mid['rate']:,.0f} | {mid['p50_us'] / 1e3:.2f} | {mid['p95_us'] / 1e3:.2f} "
                      f"| {mid['p99_us'] / 1e3:.2f} | {cpu} | {s.says} |", flush=True)
        if self.o.json:
            pathlib.Path(self.o.json).write_text(json.dumps(rows, indent=1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("step", choices=["load", "measure"])
    p.add_argument("names", nargs="*")
    p.add_argument("--rows", type=int, default=30000)
    p.add_argument("--base")
    p.add_argument("--query")
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json")
    o = p.parse_args()
    only_loopback()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are stopped on the way out
    folder = pathlib.Path(o.folder)
    if o.base:
        np.save(folder / "base.npy", np.load(o.base, mmap_mode="r")[:o.rows])
        np.save(folder / "query.npy", np.load(o.query, mmap_mode="r")[:QUERIES])
    getattr(Bench(o), o.step)()


if __name__ == "__main__":
    main()
