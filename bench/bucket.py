#!/usr/bin/env python3
"""What a bucket costs while a node runs, and what it takes to come back from it, on a real MinIO on this machine.

    python3 bench/bucket.py [--rows N] [--dim N] [--seconds N] [--m N] [--seed S] [latency] [lag] [restore]

The real program (TIERVEC_BIN, else build/release) on 127.0.0.1; synthetic vectors in clusters
(tests/integration/synthetic.py); clients are processes of their own, in Python, and their own time is in every figure.
  latency   insert and query of a MemoryS3 collection beside a Memory one, in turns within one run: closed loop, and paced
            with inserts and queries at once; paced times count from the moment a request was due
  lag       age of the oldest write the bucket lacks, at a steady 1,000 inserts a second; requests and bytes for them
  restore   rows loaded and linked; then the data directory is deleted: bare GETs of all objects, `tiervec restore`, and
            `serve` on an empty directory until its first answer
"""
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "integration"))
# pylint: disable=wrong-import-position
import support
from bucketed import Metrics, World, bucket_of, wait_for, wait_shipped
from s3_server import S3Client
from support import Client, check, resident_bytes
from synthetic import Vectors, wait_linked

CONNECTIONS = 4  # of the bare GETs: as many as a node fetches with
TURNS = 3


def quantiles(seconds):
    seconds = sorted(seconds)
    return "  ".join(f"{name} {seconds[min(len(seconds) - 1, len(seconds) * part // 1000)] * 1000:7.2f} ms"
                     for name, part in (("P50", 500), ("P95", 950), ("P99", 990)))


def text_of(vector):
    return "[" + ",".join(map(str, vector)) + "]"


# Clients.


def insert_body(vectors, first, count):
    documents = ",".join(f'{{"doc_id":{i},"vector":{text_of(vectors.next())},"payload":{{"n":{i}}}}}'
                         for i in range(first, first + count))
    return f'{{"documents":[{documents}]}}'.encode()


def _requests(port, name, what, dim, seed, first, rate, seconds, out):
    """One client: so many a second, or one after the other when rate is 0."""
    client, vectors, times = Client(port), Vectors(dim, seed), []
    vectors.rng.seed(seed + first)
    bodies = []
    for i in range(2000):
        vector = text_of(vectors.next())
        bodies.append((f'{{"doc_id":{first + i},"vector":{vector},"payload":{{"n":{i}}}}}' if what == "insert" else
                       f'{{"query_vector":{vector},"top_k":10,"with_payload":false}}').encode())
    path = f"/api/v1/collections/{name}/{what}"
    client.ok("GET", "/health")
    began = time.perf_counter()
    at = 0
    while True:
        due = began + at / rate if rate else time.perf_counter()
        if due - began > seconds:
            break
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        client.ok("POST", path, bodies[at % len(bodies)])
        times.append(time.perf_counter() - due)
        at += 1
    out.put((name, what, times))


def run_clients(node, plan, dim, seconds):
    """plan: (collection, what, rate, first id); answers {(collection, what): times}."""
    out, found = multiprocessing.Queue(), {}
    clients = [multiprocessing.Process(target=_requests, args=(node.port, name, what, dim, SEED, first, rate, seconds, out))
               for name, what, rate, first in plan]
    for client in clients:
        client.start()
    for _ in clients:
        name, what, times = out.get(timeout=seconds + 120)
        found[(name, what)] = times
    for client in clients:
        client.join()
    return found


def _load(port, name, dim, seed, firsts, batch, out):
    client, vectors = Client(port), Vectors(dim, seed)
    for first in firsts:
        vectors.rng.seed(seed * 1000003 + first)
        body = insert_body(vectors, first, batch)
        while True:
            answer = client.request("POST", f"/api/v1/collections/{name}/insert", body)
            if answer.status != 429:
                break
            time.sleep(0.5)
        check(answer.status == 200, f"an insert: {answer}")
        out.put(batch)
    out.put(None)


def load(node, name, rows, dim, batch=500, clients=2):
    """The seconds it took until all were acknowledged."""
    out, began, done, ended = multiprocessing.Queue(), time.perf_counter(), 0, 0
    batches = list(range(0, rows, batch))
    workers = [multiprocessing.Process(target=_load, args=(node.port, name, dim, SEED, batches[i::clients], batch, out))
               for i in range(clients)]
    for worker in workers:
        worker.start()
    told = 0
    while ended < clients:
        got = out.get(timeout=300)
        ended, done = ended + (got is None), done + (got or 0)
        if done * 10 // rows > told:
            told = done * 10 // rows
            print(f"  {done:,} rows, {done / (time.perf_counter() - began):,.0f}/s", flush=True)
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def create(client, name, policy):
    client.ok("POST", "/api/v1/collections", {"name": name, "dimension": DIM, "metric": "cosine", "tiering_policy": policy,
                                              "hnsw": {"m": M}}, 201)


# The parts.


def latency(world):
    node = world.node("latency").start()
    client = node.client()
    rows = min(ROWS, 20000)
    for name, policy in (("ram", "Memory"), ("bucket", "MemoryS3")):
        create(client, name, policy)
        load(node, name, rows, DIM)
        wait_linked(client, name)
    wait_shipped(client, "bucket")
    print(f"\nlatency: {rows:,} x {DIM} in each of both, {TURNS} turns of {SECONDS} s each")
    for title, plan in (("closed loop, one client, inserts", lambda n, at: [(n, "insert", 0, at)]),
                        ("closed loop, one client, queries", lambda n, at: [(n, "query", 0, at)]),
                        ("paced, 200 inserts and 200 queries a second",
                         lambda n, at: [(n, "insert", 200, at), (n, "query", 200, at + 10000)])):
        times = {}
        for turn in range(TURNS):
            for name in ("ram", "bucket"):
                at = (1 << 32) + turn * 100000
                for key, seconds in run_clients(node, plan(name, at), DIM, SECONDS).items():
                    times.setdefault(key, []).extend(seconds)
        for (name, what), seconds in sorted(times.items(), key=lambda t: (t[0][1], t[0][0] == "bucket")):
            print(f"  {title:<44} {'Memory  ' if name == 'ram' else 'MemoryS3'} {what:<6}  {quantiles(seconds)}  "
                  f"({len(seconds):,})", flush=True)
    node.stop()


def lag(world):
    node = world.node("lag").start()
    client = node.client()
    create(client, "bucket", "MemoryS3")
    client.post("/api/v1/collections/bucket/insert", {"doc_id": 1 << 40, "vector": [1] * DIM})
    wait_shipped(client, "bucket")
    node.relay.wait_quiet()
    mark, seen, stop = node.relay.mark(), [], threading.Event()

    def watch():
        mine = node.client()
        while not stop.is_set():
            seen.append(bucket_of(mine, "bucket")["lag_ms"] / 1000)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = max(SECONDS * 4, 20)
    out = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=_paced, args=(node.port, DIM, SEED, i, 500, seconds, out)) for i in range(2)]
    for worker in workers:
        worker.start()
    count = sum(out.get(timeout=seconds + 120) for _ in workers)
    for worker in workers:
        worker.join()
    stop.set()
    watcher.join()
    waited = wait_shipped(client, "bucket")
    node.relay.wait_quiet(2, 60)
    ordered = sorted(seen)
    sent = node.relay.sent_bytes(since=mark)
    print(f"\nlag: {count:,} x {DIM} in {seconds} s, rpo 1 s: the oldest write the bucket lacked was "
          f"P50 {ordered[len(ordered) // 2]:.2f} s, P99 {ordered[len(ordered) * 99 // 100]:.2f} s, at most {ordered[-1]:.2f} s old "
          f"({len(ordered):,} looks); drained {waited:.2f} s after the last")
    print(f"  requests: {node.relay.table(mark)}; {node.relay.count('PUT', since=mark) * 1000 / count:.2f} PUTs and "
          f"{sent / count * 1000 / 1e6:.3f} MB a 1,000 inserts, {sent / (count * DIM * 4):.3f} bytes a byte of vectors", flush=True)
    node.stop()


def _paced(port, dim, seed, which, rate, seconds, out, batch=10):
    client, vectors = Client(port), Vectors(dim, seed)
    began, at = time.perf_counter(), 0
    while at < rate * seconds:
        body = insert_body(vectors, (which << 32) + at, batch)
        wait = began + at / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        client.ok("POST", "/api/v1/collections/bucket/insert", body)
        at += batch
    out.put(at)


def bare_gets(world, keys):
    """All objects, read and thrown away; (bytes, seconds)."""
    work, total, failures = queue.Queue(), [], []
    for key in keys:
        work.put(key)

    def run():
        mine = S3Client(world.s3.port, world.s3.root_access, world.s3.root_secret)
        try:
            while True:
                total.append(len(mine.ok("GET", f"/{world.s3.bucket}/node/data/{work.get_nowait()}")[2]))
        except queue.Empty:
            pass
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    began = time.perf_counter()
    threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"{failures[:1]}")
    return sum(total), time.perf_counter() - began


def first_answer(node, rows):
    """Seconds from the start of the process: ready, first answer, complete."""
    began = time.perf_counter()
    node.launch().wait_listening()
    client = node.client()
    body = {"query_vector": [1] * DIM, "top_k": 10}
    answered = None
    while answered is None:
        answer = client.request("POST", "/api/v1/collections/bucket/query", body)
        if answer.status == 200 and len(answer.json["matches"]) == 10:
            answered = time.perf_counter() - began
        else:
            check(time.perf_counter() - began < 600 and node.running(), f"no answer after total loss: {answer}")
            time.sleep(0.01)
    wait_for("all rows", lambda: client.collection("bucket")["document_count"] == rows, 600)
    info = client.collection("bucket")
    return answered, time.perf_counter() - began, info


def restore(world):
    print(f"\nrestore: {ROWS:,} x {DIM}, m {M}")
    node = world.node("restore", storage__unshipped_bytes_max=1 << 40).start()
    client = node.client()
    create(client, "bucket", "MemoryS3")
    seconds = load(node, "bucket", ROWS, DIM)
    client.close()  # the node has closed a connection that was idle for so long
    linked = wait_linked(client, "bucket", 1800)
    shipped = wait_shipped(client, "bucket", seconds=600)
    print(f"  loaded in {seconds:.1f} s ({ROWS / seconds:,.0f}/s), linked {linked:.1f} s later, shipped {shipped:.1f} s after that")
    began = time.perf_counter()
    said = client.post("/admin/collections/bucket/snapshot", {})["snapshot"]
    print(f"  snapshot in {time.perf_counter() - began:.1f} s: {said['bucket']}; {resident_bytes(node.process.pid) >> 20} MiB resident")
    uploads = Metrics.of(client).sum("tiervec_s3_bytes_total", direction="sent")
    keys = world.keys()
    print(f"  in the bucket: {len(keys)} objects, {sum(keys.values()) / 1e6:,.0f} MB; sent in all {uploads / 1e6:,.0f} MB, "
          f"{uploads / (ROWS * DIM * 4):.3f} bytes a byte of vectors", flush=True)
    vectors = Vectors(DIM, SEED)
    queries = [vectors.next() for _ in range(50)]
    before = [client.query("bucket", q, top_k=10, exact=True, with_payload=False)["matches"] for q in queries]
    client.close()
    node.crash_and_lose_everything()

    for turn in range(2):
        got, taken = bare_gets(world, keys)
        print(f"  bare GETs, {CONNECTIONS} at once, turn {turn + 1}: {got / 1e6:,.0f} MB in {taken:.2f} s, {got / taken / 1e6:,.0f} MB/s")
    rate = got / taken
    node.url = world.url
    began = time.perf_counter()
    world.command("restore", "--from", world.url, "--data-dir", node.data_dir)
    taken = time.perf_counter() - began
    print(f"  tiervec restore: {taken:.2f} s, {got / taken / 1e6:,.0f} MB/s, {got / taken / rate:.2f} of the bare GETs "
          "(it writes a local checkpoint, too)", flush=True)
    began = time.perf_counter()
    node.start()
    print(f"  ready on what was restored: {time.perf_counter() - began:.2f} s")
    node.kill9()
    subprocess.run(["rm", "-rf", node.data_dir], check=True)
    answered, complete, info = first_answer(node, ROWS)
    print(f"  serve on an empty directory: first answer {answered:.2f} s after the start of the process, complete {complete:.2f} s, "
          f"{got / complete / 1e6:,.0f} MB/s, {got / complete / rate:.2f} of the bare GETs; {info['linked_rows']:,} rows linked")
    client = node.client()
    after = [client.query("bucket", q, top_k=10, exact=True, with_payload=False)["matches"] for q in queries]
    check(after == before, "exact answers differ")
    hits = sum(len({m["doc_id"] for m in client.query("bucket", q, top_k=10)["matches"]} & {m["doc_id"] for m in b})
               for q, b in zip(queries, before))
    print(f"  exact answers are the same, recall@10 {hits / (10 * len(queries)):.3f}", flush=True)


def main():
    wanted = sys.argv[1:] or ["latency", "lag", "restore"]
    parts = {"latency": latency, "lag": lag, "restore": restore}
    if set(wanted) - set(parts):
        raise SystemExit(__doc__)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {SEED}")
    for name in wanted:
        with World("bench") as world:
            parts[name](world)


if __name__ == "__main__":
    ROWS = support.take_option("--rows", 100000)
    DIM = support.take_option("--dim", 384)
    SECONDS = support.take_option("--seconds", 5)
    M = support.take_option("--m", 16)
    SEED = support.take_option("--seed", 1)
    main()
