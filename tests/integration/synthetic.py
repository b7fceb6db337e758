"""Seeded vectors that lie in clusters of clusters, as embeddings do, made of whole numbers so that they are quick to
make, to send and to repeat exactly; and the loading of them."""
import json
import operator
import random
import time

POOLS = ((100, 64), (300, 32), (1000, 16))  # how many directions there are, how far each goes
NOISE = 4


class Vectors:
    def __init__(self, dim, seed):
        rng = random.Random(seed)
        self.dim = dim
        self.rng = rng
        self.pools = [[[rng.randrange(-reach, reach + 1) for _ in range(dim)] for _ in range(count)]
                      for count, reach in POOLS]
        self.noise = bytes(n % (2 * NOISE + 1) for n in range(256))

    def next(self):
        a, b, c = (self.rng.choice(pool) for pool in self.pools)
        noise = self.rng.randbytes(self.dim).translate(self.noise)
        return list(map(operator.add, map(operator.add, a, b), map(operator.add, c, noise)))


def load(client, name, vectors, count, first_id=0, batch=500, told=None):
    """Inserts `count` documents with ids from first_id on; returns the seconds the requests took."""
    spent = 0.0
    for at in range(0, count, batch):
        documents = [{"doc_id": first_id + i, "vector": vectors.next(), "payload": {"n": first_id + i}}
                     for i in range(at, min(at + batch, count))]
        body = json.dumps({"documents": documents}, separators=(",", ":")).encode()
        started = time.perf_counter()
        client.ok("POST", f"/api/v1/collections/{name}/insert", body)
        spent += time.perf_counter() - started
        if told is not None:
            told(at + len(documents))
    return spent


def wait_linked(client, name, seconds=600):
    """Until nothing is pending; the seconds it took."""
    started = time.perf_counter()
    while client.collection(name)["pending_rows"] > 0:
        if time.perf_counter() - started > seconds:
            raise AssertionError(f"rows are still not linked after {seconds} s: {client.collection(name)}")
        time.sleep(0.05)
    return time.perf_counter() - started


def recall(client, name, queries, top_k=10, **more):
    """The share of the exact best that the index finds, and the times of its answers in seconds, sorted."""
    hits, times = 0, []
    for query in queries:
        exact = client.query(name, query, top_k=top_k, exact=True, with_payload=False)["matches"]
        started = time.perf_counter()
        found = client.query(name, query, top_k=top_k, with_payload=False, **more)["matches"]
        times.append(time.perf_counter() - started)
        # Equal distances may stand in either order.
        limit = exact[-1]["distance"] * (1 + 1e-6) + 1e-7
        hits += sum(m["distance"] <= limit for m in found)
    return hits / (top_k * len(queries)), sorted(times)
