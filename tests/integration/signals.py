"""SIGHUP does not kill; SIGTERM answers what is under way, ends with 0 and loses nothing; what cannot start says why.

    python3 tests/integration/signals.py [--seed S] [name of a test below ...]
"""
import http.client
import json
import random
import signal
import threading
import time

import support
from kill9 import World
from support import Answer, Folder, Node, check
from synthetic import Vectors, load


def sighup_goes_on():
    with Folder("signals") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("words", 3)
        for i in range(30):
            node.signal(signal.SIGHUP)
            client.post("/api/v1/collections/words/insert", {"doc_id": i, "vector": [i, 1, 2]})
            if i % 10 == 0:
                client.post("/admin/reload")
        time.sleep(0.2)
        node.check_alive("after SIGHUP")
        check(client.collection("words")["document_count"] == 30, "documents were lost over SIGHUP")
        node.stop()


class StoppedWorld(World):
    """A world whose rounds end with SIGTERM in the middle of the work."""

    def ends(self):
        return [self.end_by_sigterm]

    def end_by_sigterm(self):
        time.sleep(self.rng.uniform(0.05, 0.6))
        self.node.signal(self.rng.choice([signal.SIGTERM, signal.SIGINT]))
        if self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, 0.05))
            if self.node.running():
                self.node.signal(signal.SIGTERM)
        code = self.node.wait_exit()
        check(code == 0, f"the node ended with {code}: {self.node.log_text()[-2000:]}")
        self.stop_threads()


def sigterm_under_load_loses_nothing():
    with Folder("signals") as folder:
        world = StoppedWorld(folder, random.Random(SEED))
        with world.node as node:
            node.start()
            world.create()
            for number in range(1, 6):
                _, problems = world.round(number)
                check(not problems, f"round {number}: {problems[:8]}")
            print(world.totals())


def sigterm_answers_what_is_under_way():
    with Folder("signals") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("many", 128, "l2", threshold=1000000)
        vectors = Vectors(128, SEED)
        load(client, "many", vectors, 20000)
        batch = {"documents": [{"doc_id": 100000 + i, "vector": vectors.next()} for i in range(3000)]}
        queries = {"queries": [{"query_vector": vectors.next(), "exact": True, "top_k": 100} for _ in range(200)]}
        answers = {}

        def ask(what, path, body):
            conn = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
            try:
                conn.connect()
                conn.request("POST", f"/api/v1/collections/many/{path}", body)
                sent.append(conn.sock.getsockname()[1])
                reply = conn.getresponse()
                answers[what] = Answer(reply.status, reply.headers, reply.read())
            except (OSError, http.client.HTTPException) as e:
                answers[what] = e

        sent = []  # ports of those who sent all of it
        threads = [threading.Thread(target=ask, args=("insert", "insert", json.dumps(batch).encode())),
                   threading.Thread(target=ask, args=("queries", "query", json.dumps(queries).encode()))]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(sent) < 2:
            check(time.monotonic() < deadline, f"not sent after 60 s: {sent} {answers}")
            time.sleep(0.002)
        node.wait_read(sent)
        node.signal(signal.SIGTERM)  # 3,000 rows and 200 scans of 20,000 take a while
        for thread in threads:
            thread.join()
        check(node.wait_exit() == 0, f"exit code {node.process.returncode}")
        for what, answer in answers.items():
            check(not isinstance(answer, Exception) and answer.status == 200, f"{what} was under way and got {answer}")
        node.start()
        check(node.client().collection("many")["document_count"] == 23000, "the batch that was answered is not there")
        node.stop()


def sigterm_twice_is_harmless():
    with Folder("signals") as folder, Node(folder) as node:
        for pause in (0, 0.001, 0.01, 0.05):
            node.start()
            client = node.client()
            name = f"c{int(pause * 1000)}"
            client.create(name, 3)
            client.post(f"/api/v1/collections/{name}/insert", {"doc_id": 1, "vector": [1, 2, 3]})
            for _ in range(3):
                if node.running():
                    node.signal(signal.SIGTERM)
                time.sleep(pause)
            check(node.wait_exit() == 0, f"exit code {node.process.returncode} after several SIGTERM")
        node.start()
        counts = [c["document_count"] for c in node.client().get("/api/v1/collections")["collections"]]
        check(counts == [1, 1, 1, 1], f"documents: {counts}")
        node.stop()


def sigterm_while_starting():
    rng = random.Random(SEED)
    with Folder("signals") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("many", 64, m=8, threshold=1000)
        load(client, "many", Vectors(64, SEED), 5000)
        node.kill9()
        for _ in range(12):
            node.launch()
            time.sleep(rng.uniform(0, 0.15))
            node.signal(signal.SIGTERM)
            code = node.wait_exit()
            # Before the program has come to its first lines the signal ends it the plain way.
            check(code in (0, -signal.SIGTERM), f"exit code {code}:\n{node.log_text()[-2000:]}")
        node.start()
        check(node.client().collection("many")["document_count"] == 5000, "documents were lost")
        node.stop()


def refuses_to_start(node, *words, more=()):
    node.launch(more)
    code = node.wait_exit()
    text = node.log_text()
    check(code == 1, f"exit code {code}, 1 was expected:\n{text}")
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    check(len(errors) == 1, f"one line that says why was expected:\n{text}")
    for word in words:
        check(word in errors[0], f"{errors[0]!r} does not name {word}")


def a_data_directory_in_use():
    with Folder("signals") as folder, Folder("signals") as other, Node(folder) as node:
        node.start()
        refuses_to_start(Node(other, node.data_dir), node.data_dir, "another tiervec")
        node.client().create("still", 3)
        node.kill9()
        node.start()  # a lock does not outlive its process
        node.stop()


def a_port_in_use():
    with Folder("signals") as folder, Folder("signals") as other, Node(folder) as node:
        node.start()
        refuses_to_start(Node(other), str(node.port), "in use", more=["--rest-port", str(node.port)])
        check(node.client().get("/health")["status"] == "healthy", "the first node suffered")
        node.stop()


def a_data_directory_that_cannot_be():
    with Folder("signals") as folder:
        refuses_to_start(Node(folder, "/proc/nothing/here"), "/proc/nothing")
        with open(folder + "/file", "w", encoding="ascii") as f:
            f.write("x")
        refuses_to_start(Node(folder, folder + "/file"), folder + "/file")


if __name__ == "__main__":
    SEED = support.take_seed()
    support.main(sighup_goes_on, sigterm_under_load_loses_nothing, sigterm_answers_what_is_under_way, sigterm_twice_is_harmless,
                 sigterm_while_starting, a_data_directory_in_use, a_port_in_use, a_data_directory_that_cannot_be)
