"""A restart is a load, not a rebuild: the graph is there as soon as the node is ready.

    python3 tests/integration/restart.py [--documents N] [--dim N] [--seed S]

What is asserted are counts (linked rows, recall, answers); times are printed.
bench/restart.py is the same at full size.
"""
import random
import time

import support
from support import Folder, Node, check
from synthetic import Vectors, load, recall, wait_linked

NAME = "many"
TAIL = 1500


def timed_start(node):
    """Seconds from the start of the process to listening, ready and the first answer; and what that answer was."""
    started = time.perf_counter()
    node.launch().wait_listening()
    listening = time.perf_counter() - started
    node.wait_ready()
    ready = time.perf_counter() - started
    client = node.client()
    info = client.collection(NAME)
    answer = client.query(NAME, [1] * info["dimension"], top_k=10, explain=True)
    answered = time.perf_counter() - started
    client.close()
    return {"listening": listening, "ready": ready, "answered": answered}, info, answer


def check_loaded(info, answer, documents):
    check(info["document_count"] == documents, f"{documents} documents were acknowledged: {info}")
    check(info["linked_rows"] == documents and info["pending_rows"] == 0,
          f"the graph was not loaded with the rows: {info}")
    check(answer["explain"]["plan"] == "index" and len(answer["matches"]) == 10, f"the first answer: {answer}")
    check(answer["explain"]["vectors_scanned"] == 0, f"the first answer scanned rows: {answer}")
    check(answer["explain"]["layers_traversed"] >= 1 and answer["explain"]["nodes_visited"] >= 10, f"the first answer: {answer}")


def a_restart_answers_from_the_loaded_graph():
    with Folder("restart") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create(NAME, DIM, "cosine", m=16)
        vectors = Vectors(DIM, SEED)
        print(f"loaded {DOCUMENTS} x {DIM} in {load(client, NAME, vectors, DOCUMENTS):.1f} s, "
              f"linked {wait_linked(client, NAME):.1f} s later")
        node.stop()

        times, info, answer = timed_start(node)
        print("after a graceful stop:", {k: f"{v * 1000:.0f} ms" for k, v in times.items()})
        check_loaded(info, answer, DOCUMENTS)
        client = node.client()
        queries = [vectors.next() for _ in range(100)]
        found, seconds = recall(client, NAME, queries)
        print(f"recall@10 {found:.4f}, P95 {seconds[94] * 1000:.2f} ms")
        check(found >= 0.95, f"recall@10 of the loaded graph is {found}")

        # Killed with a tail in the log: the tail is there at once, and becomes part of the graph later.
        load(client, NAME, vectors, TAIL, first_id=DOCUMENTS, batch=100)
        client.ok("POST", f"/api/v1/collections/{NAME}/delete", {"ids": list(range(200))})
        node.kill9()
        times, info, answer = timed_start(node)
        print("after kill -9:", {k: f"{v * 1000:.0f} ms" for k, v in times.items()},
              f"{info['pending_rows']} of {info['document_count']} rows still to be linked")
        check(info["document_count"] == DOCUMENTS + TAIL - 200, f"after kill -9: {info}")
        check(info["linked_rows"] >= DOCUMENTS - 200, f"the graph was not loaded: {info}")
        check(answer["explain"]["plan"] == "index", f"the first answer after kill -9: {answer}")
        client = node.client()
        rng = random.Random(SEED)
        missed = 0
        for doc_id in rng.sample(range(DOCUMENTS, DOCUMENTS + TAIL), 50):
            document = client.get(f"/api/v1/collections/{NAME}/docs/{doc_id}")["document"]
            best = client.query(NAME, document["vector"], top_k=1)["matches"][0]
            if best["distance"] >= 1e-5:  # one that is linked already the graph may miss
                missed += 1
                best = client.query(NAME, document["vector"], top_k=1, exact=True)["matches"][0]
            check(best["distance"] < 1e-5, f"document {doc_id} of the tail is not found: {best}")
        check(missed <= 5, f"the graph missed {missed} of 50 documents of the tail")
        for doc_id in rng.sample(range(200), 20):
            answer = client.request("GET", f"/api/v1/collections/{NAME}/docs/{doc_id}")
            check(answer.status == 404, f"document {doc_id} was deleted: {answer}")
        wait_linked(client, NAME)
        found, _ = recall(client, NAME, queries)
        check(found >= 0.95, f"recall@10 after kill -9 is {found}")
        node.stop()


if __name__ == "__main__":
    DOCUMENTS = support.take_option("--documents", 20000)
    DIM = support.take_option("--dim", 128)
    SEED = support.take_seed()
    support.main(a_restart_answers_from_the_loaded_graph)
