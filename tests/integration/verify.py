"""`tiervec verify` finds what is whole, and each byte that is not.

    python3 tests/integration/verify.py [--seed N] [name of a test below ...]
"""
import json
import os
import random
import shutil
import subprocess

import support
from support import Folder, Node, check, program, random_vector, take_seed

SEED = None
DIM = 8


def verify(data_dir, *args):
    """The exit code and the findings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TIERVEC_", "AKIDB_"))}
    done = subprocess.run([program(), "verify", "--data-dir", data_dir, "--json", *args], capture_output=True, text=True,
                          env=env, cwd=os.path.dirname(data_dir), timeout=120, check=False)
    check(done.stdout.strip(), f"verify said nothing: {done.returncode} {done.stderr}")
    return done.returncode, json.loads(done.stdout)


def filled(folder, checkpoint=True):
    """A directory with two collections, one of them with more in the log than in its checkpoint."""
    rng = random.Random(SEED)
    with Node(folder) as node:
        node.start()
        client = node.client()
        for name in ("a", "b"):
            client.create(name, DIM)
            for at in range(20):
                client.post(f"/api/v1/collections/{name}/insert", {"documents": [
                    {"doc_id": at * 10 + i, "vector": random_vector(rng, DIM), "payload": {"n": i}} for i in range(10)]})
        if checkpoint:
            client.post("/admin/collections/a/snapshot")
        client.post("/api/v1/collections/a/insert", {"doc_id": 7, "vector": random_vector(rng, DIM)})
        node.kill9()
    return node.data_dir


def files_of(data_dir, part):
    found = []
    for folder, _, names in os.walk(os.path.join(data_dir, part)):
        found += [os.path.join(folder, name) for name in names if not name.endswith(".lock")]
    return sorted(found)


def a_whole_directory_is_whole():
    with Folder("verify") as folder:
        data_dir = filled(folder)
        before = {path: os.stat(path).st_mtime_ns for path in files_of(data_dir, "wal") + files_of(data_dir, "snapshots")}
        code, found = verify(data_dir)
        check(code == 0 and found["damaged"] == 0 and found["failed"] == 0, f"{code}: {found}")
        told = {(f["where"], f["what"]) for f in found["checked"]}
        for what in (("a", "checkpoint"), ("a", "log"), ("b", "log"), (data_dir, "catalog")):
            check(what in told, f"{what} was not checked: {found}")
        log = [f for f in found["checked"] if (f["where"], f["what"]) == ("b", "log")][0]
        check("lsn 20" in log["text"], f"b has 20 records: {log}")
        after = {path: os.stat(path).st_mtime_ns for path in before}
        check(before == after, "verify changed a file")
        with Node(folder, data_dir=data_dir) as node:
            node.start()
            check(node.client().collection("a")["document_count"] == 200, "the directory does not serve after verify")
            node.stop()


def nothing_and_a_running_node_are_told():
    with Folder("verify") as folder:
        code, found = verify(os.path.join(folder, "none"))
        check(code == 3 and found["failed"] == 1, f"no directory: {code} {found}")
        check(not os.path.exists(os.path.join(folder, "none")), "verify made a directory")
        with Node(folder) as node:
            node.start()
            code, found = verify(node.data_dir)
            check(code == 4 and "stop it" in found["checked"][0]["text"], f"a running node: {code} {found}")
            node.stop()


def damage_is_found_and_named():
    """One flipped bit in each file in turn; what a crash may leave (a torn end) is no damage."""
    rng = random.Random(SEED)
    with Folder("verify") as folder:
        data_dir = filled(folder)
        paths = [os.path.join(data_dir, "catalog")] + files_of(data_dir, "snapshots")
        logs = [path for path in files_of(data_dir, "wal") if path.endswith(".wal")]
        check(len(paths) >= 4 and logs, f"files: {paths} {logs}")
        for path in paths + logs:
            copy = os.path.join(folder, "copy")
            shutil.copytree(data_dir, copy)
            target = os.path.join(copy, os.path.relpath(path, data_dir))
            with open(target, "r+b") as f:
                content = f.read()
                # In a log: early enough that later records say what was durable.
                at = rng.randrange(len(content)) if path not in logs else 200
                f.seek(at)
                f.write(bytes([content[at] ^ 1 << rng.randrange(8)]))
            code, found = verify(copy)
            check(code == 6 and found["damaged"] >= 1, f"bit of byte {at} of {path}: {code} {found}")
            shutil.rmtree(copy)


def what_is_gone_is_damage():
    with Folder("verify") as folder:
        data_dir = filled(folder)
        for path in files_of(data_dir, "snapshots"):
            copy = os.path.join(folder, "copy")
            shutil.copytree(data_dir, copy)
            os.unlink(os.path.join(copy, os.path.relpath(path, data_dir)))
            code, found = verify(copy)
            # Without its manifest there is no checkpoint, and the log still reaches back to lsn 1.
            want = 0 if os.path.basename(path) == "manifest" else 6
            check(code == want, f"without {path}: {code} {found}")
            shutil.rmtree(copy)
        copy = os.path.join(folder, "copy")
        shutil.copytree(data_dir, copy)
        shutil.rmtree(os.path.join(copy, "wal"))
        code, found = verify(copy)
        check(code == 6 and found["damaged"] == 2, f"without logs: {code} {found}")


if __name__ == "__main__":
    SEED = take_seed()
    support.main(a_whole_directory_is_whole, nothing_and_a_running_node_are_told, damage_is_found_and_named,
                 what_is_gone_is_damage)
