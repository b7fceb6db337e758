"""`hnsw` of a collection is changed while it serves: the graph is made anew in the background, answers are complete all
the time, progress is shown in both dialects, and `kill -9` in the middle costs nothing.

    python3 tests/integration/rebuild.py [--documents N] [--seed S] [--keep] [test ...]
"""
import random
import re
import threading
import time

import support
from support import Folder, Node, check, random_vector
from synthetic import wait_linked

DIM = 48
NAME = "docs"
SLOW = {"m": 40, "ef_construction": 400}  # so that there is a middle


asked = {"graph": 0, "missed": 0}


def load(client, rng, count, path=f"/api/v1/collections/{NAME}/insert"):
    """Documents 1 to count; their vectors by id."""
    vectors = {}
    for at in range(1, count + 1, 500):
        ids = range(at, min(at + 500, count + 1))
        vectors.update({i: random_vector(rng, DIM) for i in ids})
        client.ok("POST", path, {"documents": [{"doc_id": i, "vector": vectors[i]} for i in ids]})
    return vectors


def check_found(client, vectors, ids):
    """Each is there, and the graph finds it but once in a while: whether it always does is not what is tried here."""
    for i in ids:
        asked["graph"] += 1
        matches = client.query(NAME, vectors[i], top_k=10, ef_search=300)["matches"]
        check(len(matches) == 10, f"a part of an answer: {matches}")
        if matches[0]["doc_id"] == i:
            continue
        asked["missed"] += 1
        matches = client.query(NAME, vectors[i], top_k=10, exact=True)["matches"]
        check(matches[0]["doc_id"] == i, f"document {i} is not the nearest to itself: {matches[:2]}")
        check(asked["missed"] <= 10 + asked["graph"] // 50, f"the graph misses what is there: {asked}")


def wait_rebuilt(client, seconds=240):
    deadline = time.monotonic() + seconds
    while True:
        info = client.collection(NAME)
        if info["rebuild"] is None:
            return info
        check(time.monotonic() < deadline, f"not rebuilt after {seconds} s: {info}")
        time.sleep(0.05)


def wait_linking(client):
    """Until some of it is done, or all."""
    deadline = time.monotonic() + 60
    while True:
        rebuild = client.collection(NAME)["rebuild"]
        if rebuild is None or rebuild["linked"] > 0:
            return rebuild
        check(rebuild["state"] in ("queued", "linking"), f"what is shown: {rebuild}")
        check(time.monotonic() < deadline, f"a rebuild does not begin: {rebuild}")
        time.sleep(0.005)


class Crowd:
    """Readers and a writer whose every answer is checked."""

    def __init__(self, node, vectors, rng):
        self.stop = threading.Event()
        self.wrong = []
        self.counts = {"read": 0, "written": 0}
        still = [i for i in vectors if i % 3 != 0]
        written = [i for i in vectors if i % 3 == 0]
        self.threads = [threading.Thread(target=self.run, args=(self.read, node.client(), vectors, still, random.Random(rng.random())))
                        for _ in range(2)]
        self.threads.append(threading.Thread(target=self.run, args=(self.write, node.client(), vectors, written, random.Random(rng.random()))))

    def run(self, act, client, *args):
        try:
            while not self.stop.is_set():
                act(client, *args)
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(repr(e))
        client.close()

    def read(self, client, vectors, ids, rng):
        check_found(client, vectors, [rng.choice(ids)])
        self.counts["read"] += 1

    def write(self, client, vectors, ids, rng):
        i = rng.choice(ids)
        vectors[i] = random_vector(rng, DIM)
        if rng.random() < 0.2:
            client.ok("DELETE", f"/api/v1/collections/{NAME}/docs/{i}")
        client.post(f"/api/v1/collections/{NAME}/insert", {"doc_id": i, "vector": vectors[i]})
        check_found(client, vectors, [i])
        self.counts["written"] += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *args):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        check(not self.wrong, f"while the graph was made anew: {self.wrong[:3]}")
        check(all(self.counts.values()), f"too little happened: {self.counts}")


def metric(client, name):
    return float(re.search(rf"^{name} (\S+)$", client.get("/metrics").decode(), re.M).group(1))


def a_graph_is_made_anew_under_load():
    rng = random.Random(SEED)
    with Folder("rebuild") as folder, Node(folder, args=["--log-level", "info"]) as node:
        node.start()
        client = node.client()
        client.create(NAME, DIM, "l2", m=8, ef_construction=60, threshold=300)
        vectors = load(client, rng, DOCUMENTS)
        wait_linked(client, NAME)
        with Crowd(node, vectors, rng) as crowd:
            started = time.perf_counter()
            patched = client.ok("PATCH", f"/api/v1/collections/{NAME}", {"hnsw": SLOW})["collection"]
            check(patched["hnsw"]["m"] == SLOW["m"] and patched["rebuild"] is not None, f"the answer: {patched}")
            seen = wait_linking(client)
            check(seen is None or (seen["state"] == "linking" and seen["m"] == SLOW["m"] and
                                   seen["linked"] <= seen["rows"] and seen["started_at"]), f"what is shown: {seen}")
            wait_rebuilt(client)
            print(f"made anew under load in {time.perf_counter() - started:.1f} s: {crowd.counts}")
        check(metric(client, "tiervec_rebuild_pending_rows") == 0, "rows are still counted")
        check(metric(client, "tiervec_index_build_duration_seconds_count") == 1, "one graph was made anew")
        check_found(client, vectors, range(1, DOCUMENTS + 1, 5))
        # The same values are nothing to do.
        same = client.ok("PATCH", f"/api/v1/collections/{NAME}", {"hnsw": SLOW})["collection"]
        check(same["rebuild"] is None, f"the same values: {same}")
        texts = [line["message"] for line in node.log_lines()]
        check(texts.count("a graph is made anew beside the one that serves") == 1 and
              texts.count("a graph that was made anew serves") == 1, f"the log: {texts}")
        wait_linked(client, NAME)
        node.stop()
        node.start()
        info = node.client().collection(NAME)
        check(info["rebuild"] is None and info["hnsw"]["m"] == SLOW["m"] and info["pending_rows"] == 0,
              f"the new graph is loaded: {info}")


def a_kill_in_the_middle_costs_nothing():
    rng = random.Random(SEED + 1)
    with Folder("rebuild") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, DIM, "l2", m=8, ef_construction=60, threshold=300)
        vectors = load(client, rng, DOCUMENTS)
        wait_linked(client, NAME)
        client.ok("PATCH", f"/api/v1/collections/{NAME}", {"hnsw": SLOW})
        for _ in range(3):
            wait_linking(client)
            time.sleep(rng.uniform(0, 0.3))
            node.kill9()
            node.start()
            client = node.client()
            info = client.collection(NAME)
            check(info["hnsw"]["m"] == SLOW["m"] and info["document_count"] == DOCUMENTS, f"after a kill: {info}")
            check_found(client, vectors, rng.sample(range(1, DOCUMENTS + 1), 20))
        wait_rebuilt(client)
        check_found(client, vectors, range(1, DOCUMENTS + 1, 7))


def the_compatible_dialect_says_yellow():
    rng = random.Random(SEED + 2)
    with Folder("rebuild") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.ok("PUT", f"/collections/{NAME}", {
            "vectors": {"a": {"size": DIM, "distance": "Euclid"},
                        "b": {"size": 4, "distance": "Dot", "hnsw_config": {"m": 6}}},
            "hnsw_config": {"m": 8, "ef_construct": 60, "full_scan_threshold": 300}})
        count = DOCUMENTS // 2
        for at in range(1, count + 1, 500):
            points = [{"id": i, "vector": {"a": random_vector(rng, DIM), "b": random_vector(rng, 4)}}
                      for i in range(at, min(at + 500, count + 1))]
            client.ok("PUT", f"/collections/{NAME}/points?wait=true", {"points": points})
        wait_linked(client, NAME)
        check(client.get(f"/collections/{NAME}")["result"]["status"] == "green", "before")
        for _ in range(20):  # until it is asked for before the graph is there
            client.ok("PATCH", f"/collections/{NAME}", {"hnsw_config": {"m": 32, "ef_construct": 300}})
            result = client.get(f"/collections/{NAME}")["result"]
            if result["status"] == "yellow":
                break
            client.ok("PATCH", f"/collections/{NAME}", {"hnsw_config": {"m": 8, "ef_construct": 60}})
            wait_rebuilt(client)
        check(result["status"] == "yellow" and result["optimizer_status"] == "ok" and
              result["config"]["hnsw_config"]["m"] == 32, f"while it runs: {result}")
        wait_rebuilt(client)
        wait_linked(client, NAME)
        check(client.get(f"/collections/{NAME}")["result"]["status"] == "green", "after")
        vectors = client.collection(NAME)["vectors"]
        check(vectors["a"]["hnsw"]["m"] == 32 and vectors["a"]["hnsw"]["ef_construction"] == 300, f"{vectors}")
        check(vectors["b"]["hnsw"]["m"] == 6 and vectors["b"]["hnsw"]["ef_construction"] == 300, f"its own stays: {vectors}")
        client.ok("PATCH", f"/collections/{NAME}", {"vectors": {"b": {"hnsw_config": {"m": 12}}}})
        wait_rebuilt(client)
        vectors = client.collection(NAME)["vectors"]
        check(vectors["a"]["hnsw"]["m"] == 32 and vectors["b"]["hnsw"]["m"] == 12, f"{vectors}")
        told = client.get(f"/collections/{NAME}")["result"]["config"]["params"]["vectors"]["b"]
        check(told["hnsw_config"] == {"m": 12}, f"told: {told}")


def kinds_of(client):
    """What a collection can be walked on: those that are not refused."""
    kinds = []
    for kind in ("none", "binary", "scalar"):
        answer = client.request("PATCH", f"/api/v1/collections/{NAME}", {"quantization": kind})
        if answer.status == 200:
            kinds.append(kind)
            wait_rebuilt(client)
        else:
            check(answer.status == 400 and answer.json["code"] == "not_supported_yet", f"{answer}")
    check(kinds[0] == "none" and kinds[-1] == "scalar", f"{kinds}")
    return kinds


def a_quantization_is_changed_under_load_and_survives_kills():
    rng = random.Random(SEED + 4)
    with Folder("rebuild") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, DIM, "l2", m=8, ef_construction=60, threshold=300)
        count = DOCUMENTS // 2
        vectors = load(client, rng, count)
        wait_linked(client, NAME)
        ids = [d["doc_id"] for d in client.documents(NAME, with_vector=False)]
        for kind in kinds_of(client):
            with Crowd(node, vectors, rng):
                told = client.ok("PATCH", f"/api/v1/collections/{NAME}", {"quantization": kind})["collection"]
                check(told["quantization"] == kind, f"the answer: {told}")
                wait_rebuilt(client)
            info = client.collection(NAME)
            sizes = info["index_bytes"]
            check(info["quantization"] == kind and (sizes["codes"] == 0) == (kind == "none"), f"{info}")
            check(sizes["vectors"] >= count * DIM * 4 and sizes["links"] > 0 and sum(sizes.values()) <= info["memory_bytes"], f"{info}")
            check_found(client, vectors, rng.sample(range(1, count + 1), 60))
            client.ok("PATCH", f"/api/v1/collections/{NAME}", {"quantization": "scalar"})
            wait_rebuilt(client)
            client.ok("PATCH", f"/api/v1/collections/{NAME}", {"quantization": kind})
            node.kill9()
            node.start()
            client = node.client()
            check(client.collection(NAME)["quantization"] == kind, "what was answered is lost")
            wait_rebuilt(client)
            check_found(client, vectors, rng.sample(range(1, count + 1), 60))
        check([d["doc_id"] for d in client.documents(NAME, with_vector=False)] == ids, "ids changed")
        # With another graph in one PATCH; and one that is made with it.
        client.ok("PATCH", f"/api/v1/collections/{NAME}", {"quantization": "none", "hnsw": {"m": 12}})
        info = wait_rebuilt(client)
        check(info["quantization"] == "none" and info["hnsw"]["m"] == 12, f"{info}")
        check_found(client, vectors, range(1, count + 1, 20))
        client.ok("POST", "/api/v1/collections", {"name": "made", "quantization": "none", "vectors": {
            "a": {"dimension": 4, "metric": "dot"}, "b": {"dimension": 4, "metric": "l2", "quantization": "scalar"}}})
        node.stop()
        node.start()
        made = node.client().collection("made")["vectors"]
        check((made["a"]["quantization"], made["b"]["quantization"]) == ("none", "scalar"), f"{made}")


def what_does_not_fit_is_a_507():
    rng = random.Random(SEED + 3)
    with Folder("rebuild") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, DIM, "l2", m=8, ef_construction=60, threshold=300)
        vectors = load(client, rng, DOCUMENTS)
        wait_linked(client, NAME)
        memory = client.get("/api/v1/status")["memory"]["bytes"]
        node.stop()
        node.args += ["--set", f"limits.memory_bytes={memory + DOCUMENTS * 400}"]
        node.start()
        client = node.client()
        answer = client.request("PATCH", f"/api/v1/collections/{NAME}", {"hnsw": {"m": 128}})
        check(answer.status == 507 and "m 128" in answer.json["detail"] and "bytes" in answer.json["detail"], f"{answer}")
        answer = client.request("PATCH", f"/collections/{NAME}", {"hnsw_config": {"m": 128}})
        check(answer.status == 507, f"{answer}")
        info = client.collection(NAME)
        check(info["hnsw"]["m"] == 8 and info["rebuild"] is None, f"nothing changed: {info}")
        client.ok("PATCH", f"/api/v1/collections/{NAME}", {"hnsw": {"m": 12}})
        wait_rebuilt(client)
        check_found(client, vectors, range(1, DOCUMENTS + 1, 20))


if __name__ == "__main__":
    DOCUMENTS = support.take_option("--documents", 4000)
    SEED = support.take_seed()
    support.main(a_graph_is_made_anew_under_load, a_kill_in_the_middle_costs_nothing,
                 a_quantization_is_changed_under_load_and_survives_kills, the_compatible_dialect_says_yellow,
                 what_does_not_fit_is_a_507)
