"""`tiervec tune`: settings measured on a collection's own vectors, set on the node that serves it. What is set finds what
the profile asks for, documents keep their ids, and queries are answered all the time.

    python3 tests/integration/tune.py [--documents N] [--seed S] [test ...]
"""
import json
import os
import random
import subprocess
import threading

import support
from support import Folder, Node, check, random_vector
from synthetic import wait_linked

DIM = 24
NAME = "docs"
READ_WHOLE = 3 * (400 + 60)
FLOORS = {"high-recall": 0.99, "low-latency": 0.9}


def tune(node, *args, code=0):
    """Exit code checked; the JSON it prints where there is some, and standard error."""
    words = [support.program(), "tune", "--sample", "400", "--queries", "60", "--threads", "1", *args]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False,
                         env={**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port}"})
    check(ran.returncode == code, f"tune {args}: {ran}")
    return json.loads(ran.stdout) if ran.stdout.startswith("{") else ran.stdout, ran.stderr


def found_by(told):
    return [(p["hnsw"], p["quantization"], p["recall"]) for p in told["measured"]]


def clustered(rng, count):
    middles = [random_vector(rng, DIM) for _ in range(20)]
    return {i: [f + rng.gauss(0, 0.4) for f in rng.choice(middles)] for i in range(1, count + 1)}


def load(client, vectors, field=None):
    ids = list(vectors)
    for at in range(0, len(ids), 500):
        client.ok("POST", f"/api/v1/collections/{NAME}/insert", {"documents": [
            {"doc_id": i, "payload": {"n": i}, **({"vectors": {field: vectors[i]}} if field else {"vector": vectors[i]})}
            for i in ids[at:at + 500]]})


def recall(client, rng, vectors, **more):
    found = 0
    asked = rng.sample(list(vectors), 60)
    for i in asked:
        exact = client.query(NAME, vectors[i], top_k=10, exact=True, **more)["matches"]
        matches = client.query(NAME, vectors[i], top_k=10, **more)["matches"]
        found += sum(m["distance"] <= exact[-1]["distance"] for m in matches)
    return found / (10 * len(asked))


def ids_of(client):
    return sorted(d["doc_id"] for d in client.documents(NAME, with_vector=False))


class Readers:
    """Asks as long as it stands; each answer is whole."""

    def __init__(self, node, vectors):
        self.client, self.vectors, self.stop, self.wrong, self.count = node.client(), vectors, threading.Event(), [], 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        rng = random.Random(1)
        try:
            while not self.stop.is_set():
                matches = self.client.query(NAME, self.vectors[rng.choice(list(self.vectors))], top_k=10)["matches"]
                check(len(matches) == 10, f"a part of an answer: {matches}")
                self.count += 1
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(repr(e))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.stop.set()
        self.thread.join()
        self.client.close()
        check(not self.wrong and self.count > 0, f"{self.count} queries, {self.wrong}")


def what_is_set_finds_what_the_profile_asks_for():
    rng = random.Random(SEED)
    with Folder("tune") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, DIM, "cosine", m=4, ef_construction=60, threshold=300, ef_search=11)
        vectors = clustered(rng, DOCUMENTS)
        load(client, vectors)
        wait_linked(client, NAME)
        ids = ids_of(client)
        told, _ = tune(node, "--profile", "high-recall", "--json", NAME)
        before_all = client.collection(NAME)["hnsw"]
        check(told["applied"] is None and before_all["m"] == 4, f"nothing was to be set: {told}")
        with Readers(node, vectors):
            for profile, floor in FLOORS.items():
                before, first = told, client.collection(NAME)["hnsw"] == before_all
                told, _ = tune(node, "--profile", profile, "--apply", "--json", NAME)
                info = client.collection(NAME)
                check(info["hnsw"]["m"] == told["proposal"]["hnsw"]["m"] and info["rebuild"] is None and
                      info["hnsw"]["ef_search"] == told["applied"]["ef_search"], f"{told['proposal']}: {info}")
                check(told["applied"]["recall"] >= floor, f"{told['applied']}")
                if first and DOCUMENTS <= READ_WHOLE:  # of more the node draws the sample
                    check(found_by(before) == found_by(told), "the same seed, another sample")
        check(ids_of(client) == ids, "ids changed")
        got = recall(client, rng, vectors)
        check(got >= 0.85, f"recall {got}")
        memory = min(p["memory_bytes"] for p in told["measured"])
        _, err = tune(node, "--profile", "balanced", "--memory-budget", "10KB", NAME, code=1)
        check("error: tune --memory-budget; the smallest of all takes" in err, err)
        told, _ = tune(node, "--profile", "balanced", "--memory-budget", str(memory), "--json", NAME)
        check(told["proposal"]["memory_bytes"] <= memory, f"{told['proposal']}")
        before = client.collection(NAME)["hnsw"]
        node.stop()
        node.start()
        check(node.client().collection(NAME)["hnsw"] == before, "after a restart")


def a_named_vector_of_a_larger_collection_is_sampled():
    rng = random.Random(SEED + 1)
    with Folder("tune") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.ok("POST", "/api/v1/collections", {"name": NAME, "vectors": {
            "a": {"dimension": DIM, "metric": "l2", "hnsw": {"m": 6, "ef_construction": 60, "threshold": 200}},
            "b": {"dimension": 3, "metric": "dot"}}})
        vectors = clustered(rng, DOCUMENTS)
        load(client, vectors, "a")
        wait_linked(client, NAME)
        client.ok("POST", f"/api/v1/collections/{NAME}/insert", {"documents": [
            {"doc_id": 10**6 + i, "vectors": {"b": random_vector(rng, 3)}} for i in range(50)]})
        _, err = tune(node, "--profile", "balanced", NAME, code=1)
        check("--vector NAME" in err, err)
        _, err = tune(node, "--profile", "balanced", "--vector", "b", NAME, code=1)
        check("too few vectors" in err, err)
        told, _ = tune(node, "--profile", "balanced", "--vector", "a", "--sample", "200", "--apply", "--json", NAME)
        check(told["sample"] == 200 and told["queries"] == 60 and told["rows"] == DOCUMENTS + 50, f"{told}")
        check(told["applied"]["recall"] >= 0.95, f"{told['applied']}")
        got = client.collection(NAME)["vectors"]
        check(got["a"]["hnsw"]["m"] == told["proposal"]["hnsw"]["m"] and got["b"]["hnsw"]["m"] == 32, f"{got}")
        _, err = tune(node, "--profile", "balanced", "nowhere", code=3)
        check("error: tune nowhere;" in err, err)


if __name__ == "__main__":
    DOCUMENTS = support.take_option("--documents", 2500)
    SEED = support.take_seed()
    support.main(what_is_set_finds_what_the_profile_asks_for, a_named_vector_of_a_larger_collection_is_sampled)
