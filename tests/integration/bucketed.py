"""What the tests on a real store share: nodes behind relays on one MinIO, documents made from a seed, and looking.

    with World("drill") as world:
        node = world.node("a")             # its own relay: node.relay; started with node.start()
        create(node.client(), "docs")
"""
import json
import os
import random
import re
import subprocess
import time
import zlib

import support
from s3_relay import Relay
from s3_server import Minio
from support import Folder, Node, check, f32

PREFIX = "node/data"  # of all keys, below the bucket
DIM = 24
WAIT_SECONDS = 120


class BucketNode(Node):
    """A node whose collections are MemoryS3 by default; the bucket is reached through a relay of its own."""

    def __init__(self, world, name, relay, settings):
        folder = os.path.join(world.folder, name)
        os.makedirs(folder, exist_ok=True)
        self.url = relay.url(world.s3.bucket, PREFIX)
        self.relay = relay
        args = ["--set", f"storage.s3_bucket={self.url}", "--set", "storage.tiering_policy=MemoryS3"]
        for key, value in {"storage.retry.max_backoff_secs": 2, **settings}.items():
            args += ["--set", f"{key}={value}"]
        super().__init__(folder, args=args, env={**credentials(world.s3)})

    def crash_and_lose_everything(self):
        self.kill9()
        subprocess.run(["rm", "-rf", self.data_dir], check=True)


def credentials(s3):
    return {k: v for k, v in s3.env().items() if k.startswith("AWS_")}


class World:
    """A MinIO, and nodes that use one bucket of it."""

    def __init__(self, name):
        self.kept = Folder(name)
        self.folder = self.kept.path
        self.s3 = Minio(os.path.join(self.folder, "s3"))
        self.nodes, self.relays = [], []

    def node(self, name, **settings):
        """settings: section_key=value with __ for the dots."""
        relay = Relay(self.s3.port)
        self.relays.append(relay)
        node = BucketNode(self, name, relay, {k.replace("__", "."): v for k, v in settings.items()})
        self.nodes.append(node)
        return node

    def command(self, *words, code=0, url=None, more=None):
        """A tiervec command with the store's keys; answers (standard output, standard error)."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("TIERVEC_", "AKIDB_"))}
        done = subprocess.run([support.program(), *words], cwd=self.folder, stdin=subprocess.DEVNULL, check=False,
                              env={**env, **credentials(self.s3), **(more or {})}, capture_output=True, text=True, timeout=300)
        check(code is None or done.returncode == code,
              f"tiervec {' '.join(words)} ended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    @property
    def url(self):
        """Straight to the store, past every relay."""
        return self.s3.url(PREFIX)

    def keys(self, pattern=""):
        """{key behind the prefix: bytes}"""
        found = self.s3.objects(PREFIX + "/")
        return {k[len(PREFIX) + 1:]: v for k, v in found.items() if re.search(pattern, k)}

    def __enter__(self):
        self.kept.__enter__()
        try:
            self.s3.start()
        except BaseException:
            self.s3.kill()
            raise
        return self

    def __exit__(self, kind, value, trace):
        for node in self.nodes:
            node.__exit__(kind, value, trace)
        if kind is not None:
            for node in self.nodes:
                print(f"the way of {os.path.basename(node.folder)}: {node.relay.table()}", flush=True)
        for relay in self.relays:
            relay.close()
        self.s3.kill()
        self.kept.__exit__(kind, value, trace)


# Documents.


def vector_of(seed, doc_id, dim=DIM):
    rng = random.Random(zlib.crc32(f"{seed}/{doc_id}".encode()))
    return [f32(rng.uniform(-1, 1)) for _ in range(dim)]


class Documents:
    """What one writer sent to one collection and was told: id -> version, all made anew from the seed when asked for."""

    def __init__(self, name, seed, dim=DIM):
        self.name, self.seed, self.dim = name, seed, dim
        self.there = {}  # id -> version
        self.next_id = 0
        self.last_lsn = 0

    def body(self, doc_id, version):
        return {"doc_id": doc_id, "vector": vector_of(f"{self.seed}.{version}", doc_id, self.dim),
                "payload": {"id": doc_id, "version": version}}

    def insert(self, client, count, batch=100, version=0, first=None):
        """New documents, or those from `first` on with another version."""
        at = self.next_id if first is None else first
        end = at + count
        while at < end:
            ids = range(at, min(at + batch, end))
            documents = [self.body(i, version) for i in ids]
            answer = client.post(f"/api/v1/collections/{self.name}/insert",
                                 documents[0] if batch == 1 else {"documents": documents})
            self.last_lsn = answer["lsn"]
            self.there.update({i: version for i in ids})
            at = ids[-1] + 1
            self.next_id = max(self.next_id, at)
        return answer

    def delete(self, client, ids):
        answer = client.post(f"/api/v1/collections/{self.name}/delete", {"ids": list(ids)})
        self.last_lsn = answer["lsn"]
        for doc_id in ids:
            self.there.pop(doc_id, None)

    def compare(self, client, maybe=()):
        """Everything that was told is there as it was sent, and nothing else but what `maybe` holds."""
        found = {d["doc_id"]: d for d in client.documents(self.name)}
        missing = sorted(set(self.there) - set(found))
        check(not missing, f"{len(missing)} of {len(self.there)} documents are missing, the first is {missing[:1]}")
        extra = sorted(set(found) - set(self.there) - set(maybe))
        check(not extra, f"{len(extra)} documents are there that nobody was told of: {extra[:5]}")
        for doc_id, version in self.there.items():
            want = self.body(doc_id, version)
            got = found[doc_id]
            check(got["payload"] == want["payload"] and [f32(x) for x in got["vector"]] == want["vector"],
                  f"document {doc_id} is not as version {version} was sent: {got}")
        info = client.collection(self.name)
        if info["tiering_policy"] == "S3Only":  # tells about how many; who asks for it is told exactly
            info = {"document_count": client.ok("POST", f"/collections/{self.name}/points/count", {"exact": True})["result"]["count"]}
        check(info["document_count"] == len(found), f"document_count {info['document_count']}, listed {len(found)}")
        return found

    def answers(self, client, count=20, **more):
        """What exact queries find: to be compared before and after."""
        rng = random.Random(self.seed)
        return [client.query(self.name, [rng.uniform(-1, 1) for _ in range(self.dim)], top_k=10, exact=True,
                             with_vector=True, **more)["matches"] for _ in range(count)]

    def recall(self, client, count=40):
        rng, hits = random.Random(self.seed), 0
        for _ in range(count):
            vector = [rng.uniform(-1, 1) for _ in range(self.dim)]
            best = {m["doc_id"] for m in client.query(self.name, vector, top_k=10, exact=True)["matches"]}
            hits += len(best & {m["doc_id"] for m in client.query(self.name, vector, top_k=10)["matches"]})
        return hits / (10 * count)


def create(client, name, dim=DIM, metric="l2", policy="MemoryS3", **more):
    return client.ok("POST", "/api/v1/collections",
                     {"name": name, "dimension": dim, "metric": metric, "tiering_policy": policy,
                      "hnsw": {"m": 8, "ef_construction": 64, "threshold": 300}, **more}, 201)


# Looking.


def wait_for(what, condition, seconds=WAIT_SECONDS, every=0.05):
    """Until condition() gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        check(time.monotonic() < deadline, f"{what} has not happened within {seconds} s: {got!r}")
        time.sleep(every)


def wait_agrees(look, seconds=WAIT_SECONDS):
    """look(), whose checks may come a moment too early, until none of them fails."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return look()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def bucket_of(client, name):
    return client.collection(name)["bucket"]


def wait_shipped(client, name, lsn=None, seconds=WAIT_SECONDS, which="shipped_lsn"):
    """Until the bucket has everything up to lsn (what the collection has now); the seconds it took."""
    began = time.monotonic()
    lsn = lsn or client.collection(name)["last_lsn"]
    said = {}

    def there():
        said.update(bucket_of(client, name))
        return said[which] >= lsn
    try:
        wait_for(f"{which} {lsn}", there, seconds)
    except AssertionError as e:
        raise AssertionError(f"{e}: {said}") from None
    return time.monotonic() - began


def wait_writable(client, name):
    """What came from the bucket is on the local disk before writes are taken."""
    wait_for(f"{name} to take writes", lambda: client.collection(name)["state"] == "serving"
             and bucket_of(client, name)["phase"] not in ("", "arriving", "taking", "creating"))


def health(client):
    """(healthy?, all reasons in one text)"""
    said = client.get("/health")
    return said["status"] == "healthy", " | ".join(said.get("reasons", []))


def wait_healthy(client, seconds=WAIT_SECONDS):
    try:
        wait_for("health", lambda: health(client)[0], seconds)
    except AssertionError as e:
        raise AssertionError(f"{e}: {health(client)[1]}") from None


def wait_degraded(client, words, seconds=WAIT_SECONDS):
    """Until health has a reason that holds one of the words; the reason."""
    def bad():
        fine, why = health(client)
        return not fine and re.search(words, why, re.I) and why
    try:
        return wait_for(f"health degraded for {words}", bad, seconds)
    except AssertionError as e:
        raise AssertionError(f"{e}: {client.get('/health')}") from None


class Metrics(dict):
    """{("name", (("label", "value"), ...)): number}"""

    @staticmethod
    def of(client):
        answer = client.request("GET", "/metrics")
        check(answer.status == 200, f"metrics: {answer}")
        found = Metrics()
        for line in answer.body.decode().splitlines():
            match = re.match(r'([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$', line)
            if match and not line.startswith("#"):
                labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match.group(2) or "")
                found[(match.group(1), tuple(sorted(labels)))] = float(match.group(3))
        return found

    def sum(self, name, **labels):
        """Of all series of that name with these labels; None where there is none."""
        values = [v for (n, had), v in self.items() if n == name and set(labels.items()) <= set(had)]
        return sum(values) if values else None

    def series(self, name):
        return {had: v for (n, had), v in self.items() if n == name}


LEVELS = ["green", "yellow", "orange", "red"]


def wait_level(client, budget):
    """The node looks at what waits for the bucket now and then: until its level is one of what waits now, at the least.
    Whoever writes on without that may be a level further before it looked."""
    waiting = client.get("/api/v1/status")["durability_clock"]["bytes_at_risk"]
    least = sum(waiting > share * budget for share in (0.51, 0.76, 0.93))
    wait_for(f"{LEVELS[least]} with {waiting} of {budget} bytes",
             lambda: LEVELS.index(client.get("/api/v1/status")["backpressure_level"]) >= least)


def letters(client, name, **filters):
    query = "&".join(f"{k}={v}" for k, v in {"limit": 100, **filters}.items())
    return client.get(f"/admin/collections/{name}/dlq?{query}")


def export(client, name, letter_id):
    answer = client.request("GET", f"/admin/collections/{name}/dlq/{letter_id}/export")
    check(answer.status == 200, f"export: {answer}")
    return [json.loads(line) for line in answer.body.decode().splitlines()]
