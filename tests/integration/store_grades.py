#!/usr/bin/env python3
"""What a node does on stores of each kind: MinIO, SeaweedFS and versitygw get an A and serve; rclone's server, which takes
conditions and looks at none, is refused, or written by the one node that is named, which survives kill -9 there.

    python3 tests/integration/store_grades.py [--rounds N] [--seed S] [test...]
"""
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import support
from bucketed import Documents, create, credentials, health, wait_degraded, wait_for, wait_healthy
from s3_server import KINDS
from support import Folder, Gone, Node, NotSent, check, main, take_option, take_seed

ROUNDS = take_option("--rounds", 4)
SEED = take_seed()
NAME = "docs"
QUIET_SECONDS = 60  # pinned-owner mode waits some seconds at start


def program(s3, *words):
    """(exit code, output) of a tiervec command."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TIERVEC_", "AKIDB_"))}
    done = subprocess.run([support.program(), *words], stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
                          env={**env, **credentials(s3)}, timeout=300)
    return done.returncode, done.stdout + done.stderr


def node_on(s3, folder, name, node_id, **settings):
    place = os.path.join(folder, name)
    os.makedirs(place, exist_ok=True)
    args = ["--set", f"storage.s3_bucket={s3.url('data')}", "--set", "storage.tiering_policy=MemoryS3",
            "--set", "storage.rpo_ms=100", "--set", f"server.node_id={node_id}"]
    for key, value in settings.items():
        args += ["--set", f"{key.replace('__', '.')}={value}"]
    return Node(place, args=args, env=credentials(s3))


def store_of(client):
    bucket = client.get("/api/v1/status")["bucket"]
    return bucket["store_grade"], bucket["store_mode"]


def metric(client, name):
    text = client.ok("GET", "/metrics").decode()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


def vacuums(s3, kind, node, documents):
    """What was dropped leaves a store of this kind, whose listings have a way of their own."""
    client = node.client()
    wait_for("a grade again, on an empty disk", lambda: store_of(client) == ("A", "full"), 180)
    create(client, "gone", durability="remote")
    Documents("gone", SEED).insert(client, 100)
    gone = client.collection("gone")["collection_id"]
    mine = lambda: [k.split(gone)[1] for k in s3.objects("data/") if gone in k]
    s3.put("data/probe/lost/run/0-create", b"x")  # younger than an hour: stays
    url = f"http://127.0.0.1:{node.port}"
    told = lambda *words: json.loads(program(s3, "vacuum", "--json", "--url", url, *words)[1])["vacuum"]
    wait_for("two collections to be served", lambda: told("--dry-run")["served"] == 2)
    client.ok("DELETE", "/api/v1/collections/gone")
    before = mine()
    seen = told("--dry-run")
    check(seen["goes"]["objects"] == len(before) - 1 > 0 and seen["served"] == 1, f"{kind}: {before} and {seen}")
    seen = told("--yes")
    check(seen["deleted"] == len(before) - 1 and mine() == ["/root"], f"{kind}: left is {mine()}, {seen}")
    check(told("--yes")["deleted"] == 0, f"{kind}: a second one finds nothing")
    check(len(s3.objects("data/probe/lost/")) == 1, f"{kind}: a probe may be under way")
    documents.compare(client)


def serves_with_an_a(kind):
    with Folder("grades") as folder, KINDS[kind](os.path.join(folder, "s3")) as s3:
        if kind != "seaweedfs":  # takes half a minute for it, and does it below
            code, said = program(s3, "probe", "--json", s3.url("data"))
            check(code == 0 and json.loads(said)["grade"] == "A", f"{kind}: probe ended with {code}: {said}")
        with node_on(s3, folder, "a", "a", storage__retention__keep_days=0, storage__retention__grace_secs=0) as node:
            node.start()
            client = node.client()
            wait_for("a grade", lambda: store_of(client) == ("A", "full"), 180)
            wait_healthy(client)
            check(metric(client, "tiervec_store_grade") == 1 and metric(client, "tiervec_store_pinned_owner") == 0,
                  f"{kind}: the gauges say otherwise")
            wait_for("nothing of the probe", lambda: not [k for k in s3.objects("data/") if "/probe/" in k])
            create(client, NAME, durability="remote")
            documents = Documents(NAME, SEED)
            documents.insert(client, 300)
            node.kill9()
            shutil.rmtree(node.data_dir)
            node.start()
            client = node.client()
            wait_for("the collection", lambda: [c for c in client.get("/api/v1/collections")["collections"]
                                                if c["document_count"] == 300])
            documents.compare(client)
            vacuums(s3, kind, node, documents)


def minio_gets_an_a_and_serves():
    serves_with_an_a("minio")


def seaweedfs_gets_an_a_and_serves():
    serves_with_an_a("seaweedfs")


def versitygw_gets_an_a_and_serves():
    serves_with_an_a("versitygw")


def a_store_without_conditions_is_refused():
    with Folder("grades") as folder, KINDS["rclone"](os.path.join(folder, "s3")) as s3:
        code, said = program(s3, "probe", s3.url("data"))
        check(code == 4 and "grade C: a PUT with If-None-Match: * overwrote" in said and "pinned_owner" in said,
              f"probe ended with {code}: {said}")
        with node_on(s3, folder, "a", "a") as node:
            node.start()
            client = node.client()
            wait_for("a verdict", lambda: store_of(client) == ("C", "refused"))
            answer = client.request("POST", "/api/v1/collections", {"name": NAME, "dimension": 4, "metric": "l2"})
            check(answer.status == 409 and answer.json["code"] == "store_refused" and "overwrote" in answer.json["detail"], f"a collection on it: {answer}")
            wait_degraded(client, "nothing is written to the bucket: grade C")
            check(client.request("GET", "/ready").status == 200, "it is ready all the same")
            client.ok("POST", "/api/v1/collections", {"name": "ram", "dimension": 4, "metric": "l2", "tiering_policy": "Memory"},
                      201)
            check(metric(client, "tiervec_store_grade") == 3, "the gauge says otherwise")
            check([line for line in node.log_lines() if line["level"] == "error" and "nothing is written" in line["message"]],
                  "the log is silent")
            node.stop()
            # What is remembered is said at once, and a command brings nothing back.
            node.start()
            check(store_of(node.client()) == ("C", "refused"), f"after a restart: {store_of(node.client())}")
            code, said = program(s3, "probe", "--node", "--accept", "--url", f"http://127.0.0.1:{node.port}")
            check(code != 0 and "only a store of grade A" in said, f"accepting it ended with {code}: {said}")
            check(not s3.objects("data/"), f"something was written: {s3.objects('data/')}")


class Writer(threading.Thread):
    """Inserts until the node is gone; what was acknowledged is in `acked`, id -> durability reached."""

    def __init__(self, node, first):
        super().__init__(daemon=True)
        self.client, self.at, self.acked = node.client(), first, {}
        self.enough = threading.Event()

    def run(self):
        try:
            while True:
                rows = [{"doc_id": i, "vector": [float(i), 1.0]} for i in range(self.at, self.at + 7)]
                self.at += 7
                answer = self.client.request("POST", f"/api/v1/collections/{NAME}/insert", {"documents": rows})
                while answer.status == 503 and answer.json["code"] == "unavailable":  # not whole on the disk yet
                    answer = self.client.request("POST", f"/api/v1/collections/{NAME}/insert", {"documents": rows})
                check(answer.status in (200, 202), f"an insert: {answer}")
                self.acked.update({row["doc_id"]: answer.json["durability"] for row in rows})
                if len(self.acked) > 200:
                    self.enough.set()
        except (Gone, NotSent):
            pass
        finally:
            self.enough.set()


def compare(client, acked, what):
    there = {d["doc_id"] for d in client.documents(NAME, with_vector=False)}
    lost = sorted(set(acked) - there)
    check(not lost, f"{what}: {len(lost)} of {len(acked)} acknowledged documents are lost: {lost[:5]}")


def one_named_node_writes_there_and_loses_nothing():
    rng = random.Random(SEED)
    with Folder("grades") as folder, KINDS["rclone"](os.path.join(folder, "s3")) as s3, \
            node_on(s3, folder, "a", "keeper", storage__pinned_owner="keeper") as node:
        node.start()
        client = node.client()
        wait_for("pinned-owner mode", lambda: store_of(client) == ("C", "pinned"))
        wait_degraded(client, "pinned-owner mode: the store protects nothing")
        check(metric(client, "tiervec_store_pinned_owner") == 1, "the gauge says otherwise")
        code, said = program(s3, "status", "--components", "--url", f"http://127.0.0.1:{node.port}")
        check(code == 1 and "grade C, pinned" in said and "its store protects nothing" in said, f"status: {code} {said}")
        check([line for line in node.log_lines() if line["level"] == "warn" and "pinned-owner mode" in line["message"]],
              "the log does not warn")
        wait_for("the collection", lambda: client.request("POST", "/api/v1/collections", {
            "name": NAME, "dimension": 2, "metric": "l2", "durability": "remote"}).status == 201, QUIET_SECONDS)
        check(s3.get("data/meta/pinned") == b"keeper\n", "the bucket does not say whose it is")
        acked, first = {}, 1
        for number in range(ROUNDS):
            writer = Writer(node, first)
            writer.start()
            check(writer.enough.wait(120), "the writer does not come on")
            if number % 2:
                rng.random()
                threading.Event().wait(rng.random())
            node.kill9()
            writer.join()
            acked.update(writer.acked)
            first = writer.at
            if number == ROUNDS - 1:  # what the bucket alone has
                shutil.rmtree(node.data_dir)
                acked = {i: d for i, d in acked.items() if d == "remote"}
            node.start()
            client = node.client()
            wait_for("what was acknowledged", lambda: [c for c in client.get("/api/v1/collections")["collections"]
                                                       if c["document_count"] >= len(acked)], QUIET_SECONDS)
            compare(client, acked, f"round {number + 1}")
            wait_for("pinned-owner mode", lambda: store_of(client) == ("C", "pinned"))
        print(f"{len(acked)} documents acknowledged as remote were there after {ROUNDS} kills and the loss of the disk", flush=True)
        check(len(acked) > 200, f"only {len(acked)} were acknowledged as remote")
        refuses_a_second(s3, folder, node)
        wait_for("writes", lambda: client.request("POST", f"/api/v1/collections/{NAME}/insert", {
            "doc_id": 0, "vector": [0.0, 0.0]}).status == 200, QUIET_SECONDS)
        node.stop()


def refuses_a_second(s3, folder, first):
    def objects():
        return {k: v for k, v in s3.objects("data/").items() if "/probe/" not in k}

    def quiet():
        """What the first does to its bucket by itself is over."""
        was = objects()
        time.sleep(3)
        return was == objects() and was
    before = wait_for("the first to be idle", quiet, 120)
    for settings, says in ((dict(storage__pinned_owner="keeper"), "pinned_owner names keeper"),
                           (dict(storage__pinned_owner="thief"), "meta/pinned names keeper")):
        with node_on(s3, folder, "b", "thief", **settings) as second:
            second.start()
            client = second.client()
            wait_for("a refusal", lambda: store_of(client)[1] == "refused" and says in health(client)[1])
            answer = client.request("POST", "/api/v1/collections", {"name": "more", "dimension": 4, "metric": "l2"})
            check(answer.status == 409 and says in answer.json["detail"], f"a collection by the second: {answer}")
            second.stop()
    second = node_on(s3, folder, "b", "thief", storage__pinned_owner="thief")
    second.launch(["--take-ownership"])
    code = second.wait_exit()
    check(code == 1 and "--take-ownership" in second.log_text(), f"it ended with {code}: {second.log_text()}")
    after = objects()
    check(before == after, f"the second changed the bucket: {set(before.items()) ^ set(after.items())}")
    check(store_of(first.client()) == ("C", "pinned"), "the first noticed")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(minio_gets_an_a_and_serves, versitygw_gets_an_a_and_serves, a_store_without_conditions_is_refused,
         one_named_node_writes_there_and_loses_nothing, seaweedfs_gets_an_a_and_serves)
