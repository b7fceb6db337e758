"""Snapshot files of collections by the compatible dialect, asked of the real program: made, listed, sent and deleted, what
is in them, names that point elsewhere, crashes, restarts and drops.

    python3 tests/integration/qdrant_snapshots.py [name of a test below ...]
"""
import hashlib
import json
import os
import random
import socket
import threading
import time

import support
from support import Folder, Node, check, random_vector


def result(client, method, path, body=None, status=200):
    answer = client.ok(method, path, body, status)
    check(answer["status"] == "ok", f"{method} {path}: {answer}")
    return answer["result"]


def refused(client, method, path, body, status, text):
    answer = client.request(method, path, body)
    check(answer.status == status and answer.json["status"]["error"].startswith(text),
          f"{method} {path}: {answer}, wanted {status} {text}")


def files_of(node):
    found = []
    for folder, _, names in os.walk(os.path.join(node.data_dir, "exports")):
        found += [os.path.join(folder, name) for name in names]
    return sorted(found)


def lines_of(text):
    lines = [json.loads(line) for line in text.splitlines()]
    check(text.endswith(b"\n") and lines[-1] == {"tiervec_snapshot_end": True, "documents": len(lines) - 2}, "the end")
    check(lines[0]["tiervec_snapshot"] == 1, f"the head {lines[0]}")
    return lines[0], lines[1:-1]


def fill(client, name, vectors, points, rng):
    """Points of any shape, a few without a vector, and payloads."""
    made = []
    for i in range(1, points + 1):
        vector = {n: random_vector(rng, d) for n, d in vectors.items() if rng.random() < 0.8} if vectors else {}
        made.append({"id": i, "vector": vector, "payload": {"n": i, "tag": f"t{i % 7}", "deep": {"x": [i, None]}}})
    for at in range(0, points, 500):
        done = result(client, "PUT", f"/collections/{name}/points?wait=true", {"points": made[at:at + 500]})
        check(done["status"] == "completed", f"{done}")


def make(client, name):
    shot = result(client, "POST", f"/collections/{name}/snapshots?wait=true")
    check(set(shot) == {"name", "creation_time", "size", "checksum"} and shot["name"].endswith(".snapshot"), f"{shot}")
    age = time.time() - time.mktime(time.strptime(shot["creation_time"], "%Y-%m-%dT%H:%M:%S")) + time.timezone
    check(-5 < age < 120, f"it is {age} s old: {shot}")
    return shot


def download(client, name, shot):
    answer = client.request("GET", f"/collections/{name}/snapshots/{shot['name']}")
    check(answer.status == 200 and answer.headers["content-type"] == "application/octet-stream", f"{answer}")
    check(len(answer.body) == shot["size"], f"{len(answer.body)} bytes of {shot}")
    check(hashlib.sha256(answer.body).hexdigest() == shot["checksum"], f"the checksum of {shot}")
    return answer.body


def a_file_holds_all_there_is():
    rng = random.Random(7)
    shape = {"vectors": {"text": {"size": 24, "distance": "Cosine", "on_disk": True},
                         "image": {"size": 3, "distance": "Euclid", "hnsw_config": {"m": 24}}},
             "hnsw_config": {"ef_construct": 77}, "metadata": {"ö": [1, None]}}
    with Folder("snapshots") as folder, Node(folder) as node:
        client = node.start().client()
        check(result(client, "PUT", "/collections/named", shape) is True, "made")
        result(client, "PUT", "/collections/named/index?wait=true", {"field_name": "tag", "field_schema": "keyword"})
        words = {"type": "text", "tokenizer": "word", "min_token_len": 2}
        result(client, "PUT", "/collections/named/index?wait=true", {"field_name": "deep.x[]", "field_schema": words})
        fill(client, "named", {"text": 24, "image": 3}, 3000, rng)
        check(result(client, "GET", "/collections/named/snapshots") == [], "there is none yet")
        shot = make(client, "named")
        body = download(client, "named", shot)
        head, documents = lines_of(body)
        info = client.collection("named")
        check(head["collection"] == "named" and head["last_lsn"] == info["last_lsn"] and head["string_ids"] is False,
              f"{head}")
        check(head["config"] == shape, f"{head['config']}")
        check(head["indexes"] == {"tag": "keyword", "deep.x[]": words}, f"{head['indexes']}")
        exported = client.request("GET", "/api/v1/collections/named/export").body
        check(b"\n".join(body.split(b"\n")[1:-2]) + b"\n" == exported and len(documents) == 3000, "the documents")
        check([d["doc_id"] for d in documents] == sorted(d["doc_id"] for d in documents), "in order")

        # Another, and an alias for the same; both are listed; the first goes.
        result(client, "POST", "/collections/aliases",
               {"actions": [{"create_alias": {"collection_name": "named", "alias_name": "other"}}]})
        second = make(client, "other")
        check(second["name"] != shot["name"], "a name came twice")
        listed = result(client, "GET", "/collections/other/snapshots")
        check(sorted(s["name"] for s in listed) == sorted([shot["name"], second["name"]]) and shot in listed, f"{listed}")
        check(len(files_of(node)) == 4, f"{files_of(node)}")
        check(result(client, "DELETE", f"/collections/named/snapshots/{shot['name']}?wait=true") is True, "deleted")
        check(result(client, "GET", "/collections/named/snapshots") == [second], "one is left")
        for method in ("GET", "DELETE"):
            refused(client, method, f"/collections/named/snapshots/{shot['name']}", None, 404,
                    f"Not found: Snapshot {shot['name']} not found")
        # What a crash left goes when the next is made; a file stays over a restart, and goes with its collection.
        kept = os.path.dirname(files_of(node)[0])
        for name in ("named-1-20260101T000000.snapshot.tmp", "gone.snapshot.sha256", "a.snapshot.sha256.tmp"):
            with open(os.path.join(kept, name), "w", encoding="ascii") as f:
                f.write("x")
        check(result(client, "GET", "/collections/named/snapshots") == [second], "leftovers are not listed")
        node.kill9()
        client = node.start().client()
        check(result(client, "GET", "/collections/named/snapshots") == [second], "after a restart")
        third = make(client, "named")
        check(len(files_of(node)) == 4, f"{files_of(node)}")
        check(download(client, "named", second)[-100:] == download(client, "named", third)[-100:], "the same end")
        check(result(client, "DELETE", "/collections/named") is True, "dropped")
        for _ in range(1200):
            if not files_of(node):
                break
            time.sleep(0.05)
        check(files_of(node) == [], f"{files_of(node)}")
        node.stop()


def every_shape_is_told_as_it_is_made():
    with Folder("snapshots") as folder, Node(folder, args=["--set", "compat.qdrant.string_ids=true"]) as node:
        client = node.start().client()
        shapes = {"plain": {"vectors": {"size": 2, "distance": "Dot"}}, "payloads": {},
                  "empty": {"vectors": {"": {"size": 2, "distance": "Manhattan"}}}, "_.-": {"metadata": {"a": 1}}}
        for name, shape in shapes.items():
            result(client, "PUT", f"/collections/{name}", shape)
            head, documents = lines_of(download(client, name, make(client, name)))
            check(head["config"] == shape and head["string_ids"] is True and documents == [], f"{name}: {head}")
            # What it tells makes the same again.
            result(client, "PUT", "/collections/again", head["config"])
            first, again = (result(client, "GET", f"/collections/{n}")["config"] for n in (name, "again"))
            check(first == again, f"{name}: {first} and {again}")
            result(client, "DELETE", "/collections/again")
        result(client, "PUT", "/collections/plain/points?wait=true",
               {"points": [{"id": "any/text ö", "vector": [1, 2], "payload": {}}]})
        head, documents = lines_of(download(client, "plain", make(client, "plain")))
        check(documents == [{"doc_id": "any/text ö", "vector": [1, 2]}], f"{documents}")
        # One of our own dialect, and graphs changed by it.
        client.create("own", 3, "cosine", m=12)
        head, _ = lines_of(download(client, "own", make(client, "own")))
        hnsw = head["config"]["vectors"].pop("hnsw_config")
        check(head["config"] == {"vectors": {"size": 3, "distance": "Cosine"}} and hnsw["m"] == 12, f"{head} {hnsw}")
        client.ok("PATCH", "/api/v1/collections/plain", {"hnsw": {"threshold": 77}})
        head, _ = lines_of(download(client, "plain", make(client, "plain")))
        check(head["config"]["vectors"]["hnsw_config"]["full_scan_threshold"] == 77, f"{head}")
        node.stop()


def names_point_nowhere_else():
    with Folder("snapshots") as folder, Node(folder) as node:
        client = node.start().client()
        for name in ("c", "d"):
            result(client, "PUT", f"/collections/{name}", {"vectors": {"size": 1, "distance": "Dot"}})
        shot, other = make(client, "c"), make(client, "d")
        own, theirs = (client.collection(n)["collection_id"] for n in "cd")
        outside = os.path.join(node.data_dir, "outside.snapshot")
        with open(outside, "wb") as f:
            f.write(b"secret")
        above = os.path.join(os.path.dirname(node.data_dir), "above.snapshot")
        with open(above, "wb") as f:
            f.write(b"secret")
        before = files_of(node)
        bad = ["..%2f" + theirs + "%2f" + other["name"], "%2e%2e%2f%2e%2e%2foutside.snapshot", "..", "%2e%2e", ".", "%2e",
               "..%2f..%2foutside.snapshot", "%252e%252e%252foutside.snapshot", ".snapshot", "%2esnapshot",
               "%2fetc%2fpasswd", "a%2f..%2f" + shot["name"], ".%2f" + shot["name"], "x" * 300 + ".snapshot",
               "x" * 3000 + ".snapshot", shot["name"] + ".sha256", shot["name"] + "%2f", shot["name"] + "%20",
               other["name"], "%ff%fe.snapshot", "..%5coutside.snapshot", "..%2f..%2f..%2fabove.snapshot",
               "%0a.snapshot", "%7f.snapshot", outside.replace("/", "%2f"), shot["name"][:-1], "snapshot", own]
        for name in bad:
            for method in ("GET", "HEAD", "DELETE"):
                answer = client.request(method, f"/collections/c/snapshots/{name}")
                check(answer.status in (400, 404, 422) and b"secret" not in answer.body, f"{method} {name}: {answer}")
        for name in (shot["name"] + "%00", "..%2f..%2foutside.snapshot%00" + shot["name"], "%00"):
            answer = client.request("GET", f"/collections/c/snapshots/{name}")
            check(answer.status in (400, 404, 422), f"{name}: {answer}")
        check(files_of(node) == before and os.path.exists(outside) and os.path.exists(above), "something was deleted")
        refused(client, "GET", "/collections/none/snapshots/" + shot["name"], None, 404, "Not found: Collection")
        refused(client, "POST", "/collections/none/snapshots", None, 404, "Not found: Collection")
        head = client.request("HEAD", "/collections/c/snapshots/" + shot["name"])
        check(head.status == 200 and head.body == b"", f"{head}")
        download(client, "c", shot)
        node.stop()


def many_at_once_make_whole_files():
    """Makers beside each other and beside writers: each answer is a whole file or a 409; a client that goes away leaves
    one."""
    rng = random.Random(11)
    with Folder("snapshots") as folder, Node(folder) as node:
        client = node.start().client()
        result(client, "PUT", "/collections/c", {"vectors": {"a": {"size": 64, "distance": "Dot"}}})
        fill(client, "c", {"a": 64}, 4000, rng)
        answers, stop = [], threading.Event()

        def maker():
            own = node.client()
            for _ in range(4):
                answers.append(own.request("POST", "/collections/c/snapshots"))

        def writer():
            own = node.client()
            mine = random.Random(3)
            while not stop.is_set():
                result(own, "PUT", "/collections/c/points", {"points": [
                    {"id": mine.randint(1, 8000), "vector": {"a": random_vector(mine, 64)}} for _ in range(50)]})

        threads = [threading.Thread(target=maker) for _ in range(3)]
        writing = threading.Thread(target=writer)
        writing.start()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        stop.set()
        writing.join()
        made = [a.json["result"] for a in answers if a.status == 200]
        check(made and all(a.status in (200, 409) for a in answers), f"{answers}")
        check(len({m["name"] for m in made}) == len(made), f"{made}")
        check(sorted(m["name"] for m in result(client, "GET", "/collections/c/snapshots")) ==
              sorted(m["name"] for m in made), "the list")
        for shot in made:
            ids = [d["doc_id"] for d in lines_of(download(client, "c", shot))[1]]
            check(len(set(ids)) == len(ids) and set(range(1, 4001)) <= set(ids), "each point that stays comes once")
            result(client, "DELETE", f"/collections/c/snapshots/{shot['name']}")
        # Nobody waits any more: it is made all the same.
        with socket.create_connection(("127.0.0.1", node.port)) as s:
            s.sendall(b"POST /collections/c/snapshots HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            node.wait_read([s.getsockname()[1]])
        for _ in range(1200):
            left = result(client, "GET", "/collections/c/snapshots")
            if left:
                break
            time.sleep(0.05)
        check(len(left) == 1, f"{left}")
        lines_of(download(client, "c", left[0]))
        # A node that is stopped while one is made stops, and leaves the whole or nothing.
        with socket.create_connection(("127.0.0.1", node.port)) as s:
            s.sendall(b"POST /collections/c/snapshots HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            node.wait_read([s.getsockname()[1]])
            node.stop()
            answer = s.recv(4096)
        check(answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 ")), f"{answer}")
        check(not [f for f in files_of(node) if f.endswith(".tmp")], f"{files_of(node)}")


if __name__ == "__main__":
    support.main(a_file_holds_all_there_is, every_shape_is_told_as_it_is_made, names_point_nowhere_else,
                 many_at_once_make_whole_files)
