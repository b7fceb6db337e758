"""The operator's side of a bucket, with a directory as the bucket: configuration, REST and commands.

    python3 tests/integration/bucket_doors.py [--seed N] [name of a test below ...]

MinIO and what goes wrong on the way are tried elsewhere; here is what an operator asks and is told.
"""
import json
import os
import random
import shutil
import subprocess
import time

import support
from support import Folder, Node, check, program, random_vector, take_seed

SEED = None
DIM = 16


def environment(**more):
    return {**{k: v for k, v in os.environ.items() if not k.startswith(("TIERVEC_", "AKIDB_"))}, **more}


def run(*args, node=None, code=0, text=None):
    """A command; its standard output. `code` is what it must end with, `text` stands in what it says."""
    env = environment(TIERVEC_URL=f"http://127.0.0.1:{node.port}") if node else environment()
    done = subprocess.run([program(), *args], capture_output=True, text=True, env=env, cwd="/", timeout=120,
                          stdin=subprocess.DEVNULL, check=False)
    check(done.returncode == code, f"tiervec {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}")
    check(text is None or text in done.stdout + done.stderr, f"tiervec {' '.join(args)} does not say {text}:\n{done.stdout}{done.stderr}")
    return done.stdout


def run_json(*args, node=None, code=0):
    return json.loads(run(*args, "--json", node=node, code=code))


class BucketNode(Node):
    """A node whose new collections are in a directory that is the bucket."""

    def __init__(self, folder, name="one", bucket="bucket", args=()):
        home = os.path.join(folder, name)
        os.makedirs(home, exist_ok=True)
        self.bucket = f"file://{os.path.join(folder, bucket)}"
        super().__init__(home, args=["--storage-s3-bucket", self.bucket, "--tiering-policy", "MemoryS3", *args])


def insert(client, name, rng, ids, **more):
    documents = [{"doc_id": i, "vector": random_vector(rng, DIM), "payload": {"n": i}, **more} for i in ids]
    return client.post(f"/api/v1/collections/{name}/insert", {"documents": documents})


def eventually(ask, fine, what, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if fine(answer):
            return answer
        check(time.monotonic() < deadline, f"{what} was waited for, after {seconds} s it is {answer}")
        time.sleep(0.02)


def wait_shipped(client, name):
    return eventually(lambda: client.collection(name), lambda info: info["bucket"]["shipped_lsn"] >= info["last_lsn"],
                      f"{name} in the bucket")


def wait_whole(client, name):
    """Of one that came from the bucket: until it is in the local catalog, so that its aliases can be changed."""
    def whole(info):
        check(info["bucket"]["phase"], f"nothing is told of its phase: {info}")
        return info["state"] == "serving" and info["bucket"]["phase"] in ("idle", "owned")
    return eventually(lambda: client.collection(name), whole, f"{name} whole on the local disk")


def content(client, name):
    return sorted((json.dumps(d, sort_keys=True) for d in client.documents(name)))


def what_a_collection_tells():
    with Folder("doors") as folder, BucketNode(folder) as node:
        node.start()
        client = node.client()
        rng = random.Random(SEED)
        made = client.create("docs", DIM)
        check(made["tiering_policy"] == "MemoryS3", f"the node's policy: {made}")
        insert(client, "docs", rng, range(100))
        info = wait_shipped(client, "docs")
        check(info["bucket"]["phase"] == "owned" and info["bucket"]["owner"], f"owner: {info}")
        check(info["bucket"]["unshipped_records"] == 0 and info["bucket"]["trouble"] is None, f"shipped: {info}")
        status = eventually(lambda: client.get("/api/v1/status"),
                            lambda s: s["durability_clock"]["oldest_unshipped_write_seconds"] == 0, "a clock of 0")
        check(status["tiering_policies"] == ["Memory", "MemoryS3"] and status["dlq_total"] == 0, f"status: {status}")
        check(status["backpressure_level"] == "green" and status["bucket"]["breaker"] == "closed", f"pressure: {status}")
        health = client.get("/admin/health")
        for name in ("bucket", "uploader", "dlq"):
            check(health["components"][name]["status"] == "healthy", f"{name}: {health['components'][name]}")
        tier = client.get("/api/v1/collections/docs/tier")["tier"]
        check(tier["tiering_policy"] == "MemoryS3" and not tier["switching"], f"tier: {tier}")
        run("status", node=node, text="not in bucket  0 records")
        run("tier", "docs", node=node, text="owned")
        check(run_json("collections", "list", node=node)["collections"][0]["name"] == "docs", "collections list")
        run("dlq", "list", node=node, text="no dead letters")
        node.stop()


def durability_remote_is_in_the_bucket():
    with Folder("doors") as folder, BucketNode(folder) as node:
        node.start()
        client = node.client()
        client.ok("POST", "/api/v1/collections", {"name": "sure", "dimension": DIM, "metric": "l2", "durability": "remote"}, 201)
        answer = insert(client, "sure", random.Random(SEED), range(10))
        check(answer["durability"] == "remote", f"{answer}")
        check(client.collection("sure")["bucket"]["remote_lsn"] >= answer["lsn"], "remote_lsn")
        client.ok("PATCH", "/api/v1/collections/sure", {"durability": "local"})
        check(insert(client, "sure", random.Random(SEED), range(10))["durability"] == "local", "local again")
        node.stop()


def aliases_and_names_come_back():
    """create, rename, alias, drop; the disk is lost; serve on an empty directory."""
    with Folder("doors") as folder:
        with BucketNode(folder, args=["--node-id", "n"]) as node:
            node.start()
            client = node.client()
            rng = random.Random(SEED)
            for name in ("a", "b", "c"):
                run("collections", "create", name, "--dimension", str(DIM), "--metric", "l2", node=node)
                insert(client, name, rng, range(50))
            run("collections", "rename", "b", "bee", node=node)
            run("collections", "delete", "c", "--yes", node=node)
            run("alias", "set", "latest", "a", node=node)
            run("alias", "set", "latest", "bee", node=node, text="latest -> bee")
            check(client.collection("latest")["name"] == "bee", "an alias stands for its collection")
            client.post("/api/v1/collections/latest/delete", {"ids": [1, 2]})
            before = {name: content(client, name) for name in ("a", "bee")}
            for name in ("a", "bee"):
                wait_shipped(client, name)
            node.kill9()
        shutil.rmtree(node.data_dir)
        with BucketNode(folder, args=["--node-id", "n"]) as node:
            node.start()
            client = node.client()
            check([c["name"] for c in client.get("/api/v1/collections")["collections"]] == ["a", "bee"], "names")
            check(client.collection("bee")["bucket"]["phase"], f"nothing is told of its phase: {client.collection('bee')}")
            check({name: content(client, name) for name in ("a", "bee")} == before, "content")
            eventually(lambda: client.get("/api/v1/aliases")["aliases"], lambda a: [x["alias"] for x in a] == ["latest"], "the alias")
            wait_whole(client, "bee")
            run("alias", "remove", "latest", node=node)
            run("alias", "remove", "latest", node=node, code=3)
            node.stop()


def restore_into_an_empty_directory():
    with Folder("doors") as folder:
        with BucketNode(folder) as node:
            node.start()
            client = node.client()
            rng = random.Random(SEED)
            client.create("docs", DIM, m=16, threshold=500)
            for at in range(20):
                insert(client, "docs", rng, range(at * 100, at * 100 + 100))
            eventually(lambda: client.collection("docs"), lambda info: info["pending_rows"] == 0, "all rows in the graph")
            run("snapshot", "docs", "--name", "full", node=node, text="pin ")
            client.post("/api/v1/collections/docs/delete", {"ids": list(range(50))})
            insert(client, "docs", rng, range(3000, 3010))
            last = wait_shipped(client, "docs")["last_lsn"]
            before = content(client, "docs")
            query = random_vector(rng, DIM)
            found = client.query("docs", query, top_k=10, exact=True)["matches"]
            node.kill9()
        bucket, target = node.bucket, os.path.join(folder, "restored")
        check(run_json("verify", "--from", bucket)["damaged"] == 0, "the bucket is whole")
        run("restore", "--from", bucket, "--data-dir", node.data_dir, code=4, text="not empty")
        report = run_json("restore", "--from", bucket, "--data-dir", target)["collections"]
        check(len(report) == 1 and report[0]["failed"] is None, f"{report}")
        check(report[0]["documents"] == len(before) and report[0]["last_lsn"] == last, f"{report}: {len(before)} up to {last}")
        check(report[0]["graph"] == "image", f"the graph was not taken from the image: {report}")
        check(run_json("verify", "--data-dir", target)["damaged"] == 0, "the restored directory is whole")
        with Node(folder, data_dir=target, args=["--storage-s3-bucket", bucket]) as node:
            node.start()
            client = node.client()
            check(content(client, "docs") == before, "restored content")
            check(client.query("docs", query, top_k=10, exact=True)["matches"] == found, "the same answer")
            node.stop()


def a_second_node_reads_and_takes():
    with Folder("doors") as folder, BucketNode(folder) as first:
        first.start()
        client = first.client()
        client.create("docs", DIM)
        insert(client, "docs", random.Random(SEED), range(20))
        wait_shipped(client, "docs")
        with BucketNode(folder, name="two") as second:
            second.start()
            other = second.client()
            check(other.collection("docs")["document_count"] == 20, "the second reads")
            eventually(lambda: other.request("POST", "/api/v1/collections/docs/insert", {"doc_id": 1, "vector": [1] * DIM}),
                       lambda a: a.status == 409 and a.json["code"] == "not_owner", "409 not_owner")
            check(client.collection("docs")["bucket"]["phase"] == "owned", "the first never notices")
            insert(client, "docs", random.Random(SEED), range(5))
            wait_shipped(client, "docs")
            first.kill9()
            run("take-ownership", "docs", node=second, code=2, text="--yes")
            run("take-ownership", "docs", "--yes", node=second, text="serving")
            other.post("/api/v1/collections/docs/insert", {"doc_id": 99, "vector": [1] * DIM})
            second.stop()
        # The old owner finds out, and keeps what it had not shipped.
        first.launch().wait_listening()
        client = first.client()
        eventually(lambda: client.request("POST", "/api/v1/collections/docs/insert", {"doc_id": 1, "vector": [1] * DIM}),
                   lambda a: a.status == 409 and a.json["code"] == "not_owner", "409 not_owner of the old owner")
        first.stop()


def a_collection_is_switched_while_it_serves():
    with Folder("doors") as folder, BucketNode(folder) as node:
        node.start()
        client = node.client()
        rng = random.Random(SEED)
        client.ok("POST", "/api/v1/collections", {"name": "here", "dimension": DIM, "metric": "l2", "tiering_policy": "Memory"}, 201)
        insert(client, "here", rng, range(300))
        run("tier", "here", "MemoryS3", node=node)
        insert(client, "here", rng, range(290, 310))
        eventually(lambda: client.get("/api/v1/collections/here/tier")["tier"], lambda t: not t["switching"], "the end of the switch")
        wait_shipped(client, "here")
        before = content(client, "here")
        node.kill9()
        target = os.path.join(folder, "restored")
        report = run_json("restore", "--from", node.bucket, "--data-dir", target)["collections"]
        check([r["documents"] for r in report] == [310], f"{report}")
        with Node(folder, data_dir=target, args=["--storage-s3-bucket", node.bucket]) as restored:
            restored.start()
            check(content(restored.client(), "here") == before, "restored content")
            restored.stop()


def a_damaged_bucket_is_named():
    with Folder("doors") as folder:
        with BucketNode(folder) as node:
            node.start()
            client = node.client()
            for name in ("docs", "others"):
                client.create(name, DIM)
                insert(client, name, random.Random(SEED), range(50))
                wait_shipped(client, name)
            docs = client.collection("docs")["collection_id"]
            node.stop()
        groups = [os.path.join(d, f) for d, _, names in os.walk(os.path.join(folder, "bucket")) for f in names
                  if "/w/" in os.path.join(d, f) and docs in d]
        check(groups, "no log group in the bucket")
        with open(groups[0], "r+b") as f:
            f.seek(os.path.getsize(groups[0]) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        found = run_json("verify", "--from", node.bucket, code=6)
        check([f["where"] for f in found["checked"] if f["status"] == "damaged"] == ["docs"], f"{found}")
        report = run_json("restore", "--from", node.bucket, "--data-dir", os.path.join(folder, "restored"), code=6)
        check({r["collection"]: r["failed"] is None for r in report["collections"]} == {"docs": False, "others": True}, f"{report}")


def what_was_dropped_is_vacuumed():
    retention = ["--storage-retention-keep-days", "0", "--storage-retention-grace-secs", "0"]
    with Folder("doors") as folder, BucketNode(folder, args=retention) as node:
        node.start()
        client = node.client()
        rng = random.Random(SEED)

        def files(name):
            top = os.path.join(folder, "bucket")
            return [os.path.join(d, f) for d, _, names in os.walk(top) for f in names if name in os.path.join(d, f)]

        ids = {}
        for name in ("docs", "gone"):
            ids[name] = client.create(name, DIM)["collection_id"]
            for i in range(2):
                insert(client, name, rng, range(100 * i, 100 * i + 100))
                wait_shipped(client, name)
            run("compact", name, "--anew", "--wait", node=node)
        before = content(client, "docs")
        run("collections", "delete", "gone", "--yes", node=node)
        left = files(ids["gone"])
        size = sum(os.path.getsize(f) for f in left if os.path.basename(f) != "root@")
        told = run_json("vacuum", "--dry-run", node=node)["vacuum"]
        goes = told["goes"]
        check(len(left) > 3 and goes["collections"] == 1 and goes["objects"] == len(left) - 1, f"a dry run with {len(left)} files: {told}")
        check(0 < goes["bytes"] <= size <= goes["bytes"] + 1000 * len(left) and told["served"] == 1 and told["deleted"] == 0,
              f"a dry run with {len(left)} files of {size} bytes: {told}")
        check(files(ids["gone"]) == left, "a dry run deletes nothing")
        run("vacuum", node=node, code=2, text="--dry-run")
        run("vacuum", "--yes", node=node, text=f"{len(left) - 1} objects deleted")
        check([os.path.basename(f) for f in files(ids["gone"])] == ["root@"], f"left is {files(ids['gone'])}")
        check(run_json("vacuum", "--yes", node=node)["vacuum"]["deleted"] == 0, "a second one finds nothing")
        client.post("/admin/readonly", {})
        run("vacuum", "--yes", node=node, code=1, text="read-only")
        run("verify", "--from", node.bucket)
        node.stop()
        with BucketNode(folder, name="two", args=["--server-node-id", "two", *retention]) as second:
            second.start()
            found = eventually(lambda: content(second.client(), "docs"), lambda c: len(c) == len(before), "docs on a second node")
            check(found == before, "docs as they were")
            check("gone" not in [c["name"] for c in second.client().get("/api/v1/collections")["collections"]], "gone is gone")
            told = run_json("vacuum", "--yes", node=second)["vacuum"]
            check(told["deleted"] == 0 and told["served"] == 1, f"nothing of another's collection: {told}")
            second.stop()


def without_a_bucket_everything_is_as_ever():
    with Folder("doors") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        refused = client.request("POST", "/api/v1/collections",
                                 {"name": "x", "dimension": 3, "metric": "l2", "tiering_policy": "MemoryS3"})
        check(refused.status == 400, f"MemoryS3 without a bucket: {refused}")
        client.create("x", 3)
        check(client.collection("x")["bucket"] is None, "bucket: null")
        run("snapshot", "x", node=node, text="checkpoint at lsn 0")
        run("snapshot", "x", "--name", "n", node=node, code=1)
        run("compact", "x", "--wait", node=node)
        run("alias", "set", "y", "x", node=node, text="y -> x")
        check(client.collection("y")["name"] == "x", "an alias of a Memory collection")
        run("dlq", "retry", "x", node=node, code=1)
        run("tier", "x", "MemoryS3", node=node, code=1)
        node.kill9()
        node.start()
        check(node.client().collection("y")["name"] == "x", "the alias after a restart")
        node.stop()


if __name__ == "__main__":
    SEED = take_seed()
    support.main(what_a_collection_tells, durability_remote_is_in_the_bucket, aliases_and_names_come_back,
                 restore_into_an_empty_directory, a_second_node_reads_and_takes, a_collection_is_switched_while_it_serves,
                 a_damaged_bucket_is_named, what_was_dropped_is_vacuumed, without_a_bucket_everything_is_as_ever)
