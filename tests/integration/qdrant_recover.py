"""Collections made anew from snapshot files (docs/qdrant.md, "Recovering"), asked of the real program: over an existing
collection and into a new name, from files of the node and from uploads; files that are not whole change nothing, nor does
a process that is killed on the way.

    python3 tests/integration/qdrant_recover.py [--seed N] [--rounds N] [name of a test below ...]
"""
import hashlib
import json
import os
import random
import shutil
import subprocess
import threading
import time
import uuid

from support import Folder, Gone, Node, NotSent, check, resident_bytes, take_option, take_seed

SEED = take_seed()
ROUNDS = take_option("--rounds", 6)
DIM = 4
CONFIG = {"vectors": {"size": DIM, "distance": "Dot"}, "hnsw_config": {"m": 24}}
C = "/collections/c"
LEFT = ".recovering-"


def line(value):
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def snapshot(documents, config=None, indexes=None, string_ids=False, said=None, version=1):
    """A file as GET .../snapshots/{name} gives it."""
    head = {"tiervec_snapshot": version, "collection": "whatever", "created_at": "2026-11-21T20:00:00Z", "last_lsn": 7,
            "string_ids": string_ids, "config": CONFIG if config is None else config, "indexes": indexes or {}}
    end = {"tiervec_snapshot_end": True, "documents": len(documents) if said is None else said}
    return line(head) + b"".join(line(d) for d in documents) + line(end)


def documents(count, mark):
    return [{"doc_id": i, "vector": [i, 1, 2, 3], "payload": {"mark": mark, "n": i}} for i in range(1, count + 1)]


def form(data, boundary="x7e1", before=b""):
    head = (b'--%s\r\nContent-Disposition: form-data; name="snapshot"; filename="c.snapshot"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n") % boundary.encode()
    return before + head + data + b"\r\n--%s--\r\n" % boundary.encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"}


def upload(client, data, name="c", query="", headers=None):
    return client.request("POST", f"/collections/{name}/snapshots/upload{query}", data,
                          headers or {"Content-Type": "application/octet-stream"})


def recovered(answer):
    check(answer.status == 200 and answer.json["result"] is True, f"{answer}")


def refused(answer, status, *texts):
    check(answer.status == status and answer.json["result"] is None, f"{answer}, wanted {status}")
    for text in texts:
        check(text in answer.json["status"]["error"], f"{answer}, wanted: {text}")


def names(client):
    return [c["name"] for c in client.get("/collections")["result"]["collections"]]


def points(client, name="c", limit=100000):
    body = {"limit": limit, "with_vector": True}
    return client.ok("POST", f"/collections/{name}/points/scroll", body)["result"]["points"]


def count(client, name="c"):
    return client.ok("POST", f"/collections/{name}/points/count", {})["result"]["count"]


def make_old(client, size=10, name="c"):
    client.ok("PUT", f"/collections/{name}", CONFIG)
    client.ok("PUT", f"/collections/{name}/points?wait=true", {"points": [
        {"id": i, "vector": [9, 9, 9, i], "payload": {"mark": "old"}} for i in range(1, size + 1)]})


def check_holds(client, mark, size, name="c"):
    got = points(client, name)
    check(len(got) == size and all(p["payload"]["mark"] == mark for p in got),
          f"{name} holds {len(got)} points of {set(p['payload']['mark'] for p in got)}, wanted {size} of {mark}")


def wait_indexed(client, field, size):
    """Indexes take rows in the background; until then queries ask those rows themselves."""
    deadline = time.monotonic() + 60
    while (schema := client.get(C)["result"]["payload_schema"])[field]["points"] != size:
        check(time.monotonic() < deadline, f"{field} of {size} documents is not indexed after 60 s: {schema}")
        time.sleep(0.02)


def check_untouched(client, before):
    check(points(client) == before, "the collection is not as it was")
    check(names(client) == ["c"], f"collections are {names(client)}")


def the_collection_is_replaced():
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        make_old(client)
        client.ok("POST", "/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": "c", "alias_name": "a"}},
            {"create_alias": {"collection_name": "c", "alias_name": "b"}}]})
        indexes = {"mark": "keyword", "n": {"type": "integer", "range": True, "lookup": True}}
        data = snapshot(documents(2500, "new"), indexes=indexes)
        recovered(upload(client, data, query="?priority=snapshot&wait=true&checksum=" + hashlib.sha256(data).hexdigest()))

        def look(c):
            check_holds(c, "new", 2500)
            check_holds(c, "new", 2500, "a")
            check_holds(c, "new", 2500, "b")
            check(names(c) == ["c"], f"collections are {names(c)}")
            info = c.get(C)["result"]
            check(info["config"]["params"]["vectors"] == CONFIG["vectors"], f"{info}")
            check(info["config"]["hnsw_config"]["m"] == 24, f"{info}")
            schema = info["payload_schema"]
            check({k: v["data_type"] for k, v in schema.items()} == {"mark": "keyword", "n": "integer"}, f"{schema}")
            check(schema["n"]["params"] == indexes["n"], f"{schema}")
            wait_indexed(c, "n", 2500)
            best = c.ok("POST", C + "/points/query", {"query": [1, 0, 0, 0], "limit": 1})["result"]["points"][0]
            check(best["id"] == 2500, f"{best}")

        look(client)
        # By an alias the collection behind it is meant.
        recovered(upload(client, snapshot(documents(3, "third")), "b"))
        check_holds(client, "third", 3)
        check_holds(client, "third", 3, "a")
        recovered(upload(client, data))
        look(client)
        client.close()
        node.stop()
        node.start()
        look(node.client())
        node.stop()


def all_kinds_of_collections():
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        named = {"vectors": {"text": {"size": 3, "distance": "Euclid"}, "": {"size": 2, "distance": "Cosine"}}}
        docs = [{"doc_id": 1, "vectors": {"text": [1, 2, 3], "": [0.6, 0.8]}, "payload": {"a": [None, {"b": 2 ** 64 - 1}]}},
                {"doc_id": 2, "vectors": {"text": [4, 5, 6]}},
                {"doc_id": str(uuid.UUID(int=5)), "vectors": {}, "payload": {"é": "ö"}}]
        recovered(upload(client, snapshot(docs, named), "named"))
        got = points(client, "named")
        check([p["id"] for p in got] == [1, 2, str(uuid.UUID(int=5))], f"{got}")
        check(got[0]["vector"]["text"] == [1, 2, 3] and got[0]["payload"] == docs[0]["payload"], f"{got[0]}")
        check(got[1]["vector"] == {"text": [4, 5, 6]} and got[2]["vector"] == {}, f"{got}")
        docs = [{"doc_id": name, "vector": [1, 2, 3, 4], "payload": {"mark": "s"}} for name in ("12", "a b", "ü")]
        recovered(upload(client, snapshot(docs, string_ids=True), "strings"))
        exported = client.request("GET", "/api/v1/collections/strings/export").body.splitlines()
        check([json.loads(e)["doc_id"] for e in exported] == ["12", "a b", "ü"], f"{exported}")
        # And what the node exports is what it takes.
        recovered(upload(client, snapshot([json.loads(e) for e in exported], string_ids=True), "strings"))
        check(client.request("GET", "/api/v1/collections/strings/export").body.splitlines() == exported, "export differs")
        recovered(upload(client, snapshot([{"doc_id": 1, "payload": {"mark": "p"}}], {}), "payloads"))
        recovered(upload(client, snapshot([]), "empty"))
        check(count(client, "empty") == 0, "an empty one")
        check(names(client) == ["empty", "named", "payloads", "strings"], f"{names(client)}")
        node.stop()


def what_is_not_whole_changes_nothing():
    rng = random.Random(SEED)
    data = snapshot(documents(40, "new"), indexes={"n": "integer"})
    other = snapshot(documents(40, "x"))
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        make_old(client)
        before = points(client)
        last = data.rindex(b"\n", 0, -1) + 1
        cuts = [0, 1, data.index(b"\n"), data.index(b"\n") + 1, last - 1, last, last + 30, len(data) - 3]
        for cut in cuts + [rng.randrange(len(data) - 2) for _ in range(25)]:
            refused(upload(client, data[:cut]), 400, "line ")
            check_untouched(client, before)
            body, headers = form(data[:cut])
            refused(upload(client, body, headers=headers), 400, "line ")
        check_untouched(client, before)
        body, headers = form(data)
        for cut in (0, 1, 5, 60, 200, len(body) // 2, len(body) - 20):
            refused(upload(client, body[:cut], headers=headers), 400)
        refused(upload(client, body, headers={"Content-Type": "multipart/form-data"}), 400, "boundary")
        refused(upload(client, snapshot(documents(4, "new"), said=5)), 400, "line 6", "5")
        refused(upload(client, snapshot(documents(4, "new") + documents(1, "new"))), 400, "ids")
        refused(upload(client, snapshot(documents(4, "new"), version=2)), 400, "line 1", "format is 2")
        refused(upload(client, snapshot(documents(4, "n"), {"vectors": {"size": 0, "distance": "Dot"}})), 400, "line 1")
        refused(upload(client, snapshot(documents(4, "n"), indexes={"n": "none"})), 400, "line 1")
        refused(upload(client, snapshot(documents(4, "n") + [{"doc_id": 9, "vector": [1]}])), 400, "line 6")
        refused(upload(client, data + b"{}\n"), 400, "follows")
        refused(upload(client, data + data), 400, "follows")
        refused(upload(client, b"not json\n"), 400, "line 1")
        refused(upload(client, data, query="?checksum=" + "0" * 64), 400, hashlib.sha256(data).hexdigest())
        refused(upload(client, data, query="?checksum=abc"), 400, "SHA-256")
        refused(upload(client, data, query="?wait=maybe"), 400, "wait")
        refused(upload(client, data, "x" * 240), 400, "at most")
        check_untouched(client, before)
        # Cut off on the wire.
        half = node.client()
        half.conn = None
        half._connect()  # pylint: disable=protected-access
        half.conn.sock.sendall(b"POST /collections/c/snapshots/upload HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n"
                               % len(data) + data[:-50])
        deadline = time.monotonic() + 60
        while names(client) == ["c"] and time.monotonic() < deadline:
            time.sleep(0.02)  # what it becomes has a name of its own until then
        refused(upload(client, other), 409, "being recovered")
        half.close()
        deadline = time.monotonic() + 60
        while names(client) != ["c"] and time.monotonic() < deadline:
            time.sleep(0.02)
        check_untouched(client, before)
        deadline = time.monotonic() + 60
        while (answer := upload(client, other)).status == 409 and time.monotonic() < deadline:
            time.sleep(0.02)
        recovered(answer)
        check_holds(client, "x", 40)
        node.stop()


def only_snapshots_of_this_node_are_read():
    data = snapshot(documents(30, "new"))
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        make_old(client)
        before = points(client)
        folder_of = os.path.join(node.data_dir, "exports", client.collection("c")["collection_id"])
        os.makedirs(folder_of)

        def put(name, content=data):
            with open(os.path.join(folder_of, name), "wb") as f:
                f.write(content)

        def recover(location, name="c", **more):
            return client.request("PUT", f"/collections/{name}/snapshots/recover", {"location": location, **more})

        outside = os.path.join(folder, "out.snapshot")
        with open(outside, "wb") as f:
            f.write(data)
        put("one.snapshot")
        put("half.snapshot", data[:-10])
        put("one.txt")
        os.symlink(outside, os.path.join(folder_of, "link.snapshot"))
        os.mkdir(os.path.join(folder_of, "dir.snapshot"))
        for location in ("http://127.0.0.1:1/one.snapshot", "https://x/y", "/etc/passwd", "one.snapshot", ""):
            refused(recover(location), 400, "upload")
        for location in (outside, "/etc/passwd", "../one.snapshot", f"{folder_of}/../one.snapshot", f"{folder_of}/one.txt",
                         f"{folder_of}/../../catalog", f"{node.data_dir}/exports/../x/one.snapshot", "%2e%2e/one.snapshot",
                         f"{folder_of}//one.snapshot", f"{folder_of}/sub/one.snapshot", "", ".snapshot",
                         f"{node.data_dir}/exports/{uuid.UUID(int=0)}/..%2fone.snapshot", "one%00.snapshot"):
            refused(recover("file://" + location), 400)
        refused(recover("file://link.snapshot"), 400, "symbolic link")
        refused(recover("file://dir.snapshot"), 400, "directory")
        refused(recover("file://half.snapshot"), 400, "line ")
        refused(recover("file://none.snapshot"), 404, "no such snapshot")
        refused(recover(f"file://{node.data_dir}/exports/{uuid.UUID(int=0)}/one.snapshot"), 404)
        refused(recover("file://one.snapshot", "other"), 404)
        refused(recover("file://one.snapshot", checksum="0" * 64), 400, hashlib.sha256(data).hexdigest())
        refused(client.request("PUT", C + "/snapshots/recover", {}), 400, "location")
        refused(client.request("PUT", C + "/snapshots/recover", b"{"), 400, "Format error")
        refused(client.request("PUT", C + "/snapshots/recover", b"[" + b" " * 100000), 413)
        check_untouched(client, before)
        recovered(recover(f"file://{folder_of}/one.snapshot", "other"))
        check_holds(client, "new", 30, "other")
        recovered(recover("file://one.snapshot", checksum=hashlib.sha256(data).hexdigest().upper(), priority="snapshot",
                          api_key=None))
        check_holds(client, "new", 30)
        # Its files are those of the collection in its place.
        recovered(recover("file://one.snapshot"))
        check_holds(client, "new", 30)
        node.stop()


def forms_come_from_other_programs():
    data = snapshot(documents(3000, "new"))
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        make_old(client)
        before = b'preamble\r\n--x7e1\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        body, headers = form(data, before=before)
        recovered(upload(client, body, headers=headers))
        check_holds(client, "new", 3000)
        if shutil.which("curl"):
            path = os.path.join(folder, "sent.snapshot")
            with open(path, "wb") as f:
                f.write(snapshot(documents(2000, "curl")))
            out = subprocess.run(["curl", "-s", "-X", "POST", f"http://127.0.0.1:{node.port}{C}/snapshots/upload?wait=true",
                                  "-F", f"snapshot=@{path}"], check=True, capture_output=True, timeout=60).stdout
            check(json.loads(out)["result"] is True, f"curl: {out}")
            check_holds(client, "curl", 2000)
        node.stop()


def what_the_node_makes_is_what_it_takes():
    """A snapshot of the node's own, through a change behind it: by its name, and downloaded and sent."""
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        make_old(client, 500)
        client.ok("PUT", C + "/index?wait=true", {"field_name": "mark", "field_schema": "keyword"})
        before = points(client)
        made = client.ok("POST", C + "/snapshots")["result"]
        client.ok("POST", C + "/points/delete?wait=true", {"points": list(range(1, 400))})
        sent = client.request("GET", f"{C}/snapshots/{made['name']}").body
        location = {"location": "file://" + made["name"], "checksum": made["checksum"]}
        recovered(client.request("PUT", C + "/snapshots/recover", location))
        check(points(client) == before, "what was recovered is not what there was")
        check([s["name"] for s in client.get(C + "/snapshots")["result"]] == [made["name"]], "the snapshot is gone")
        wait_indexed(client, "mark", 500)
        client.ok("DELETE", C)
        recovered(upload(client, sent, query="?checksum=" + made["checksum"]))
        check(points(client) == before, "what was sent is not what there was")
        node.stop()


def memory_is_bounded():
    """100 MB that are mostly blanks: what is held grows with what is stored, not with what comes."""
    with Folder("recover") as folder, Node(folder).start() as node:
        client = node.client()
        recovered(upload(client, snapshot(documents(1000, "new"))))
        blanks = b" " * 100000
        pieces = snapshot(documents(1000, "big")).split(b"\n")[:-1]

        def body():
            for piece in pieces:
                yield piece + blanks + b"\n"

        start = resident_bytes(node.process.pid)
        most = [start]
        done = threading.Event()

        def watch():
            while not done.is_set():
                most[0] = max(most[0], resident_bytes(node.process.pid))
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        recovered(upload(client, body()))
        done.set()
        watcher.join()
        check_holds(client, "big", 1000)
        check(most[0] - start < 64 << 20, f"it held {(most[0] - start) >> 20} MiB more for a file of 100 MB")
        node.stop()


def a_kill_leaves_the_old_or_the_new():
    """The process dies somewhere in a recover; its name leads to one of them, whole."""
    rng = random.Random(SEED)
    with Folder("recover") as folder:
        node = Node(folder).start()
        client = node.client()
        make_old(client)
        client.ok("POST", "/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": "c", "alias_name": "a"}}]})
        holds, size, killed = "old", 10, 0
        data = snapshot(documents(4000, "r"), indexes={"mark": "keyword"})
        began = time.monotonic()
        recovered(upload(client, data, "aside"))
        took = time.monotonic() - began

        def killed_at(share):
            """The file in two pieces, between which the process dies."""
            cut = int(len(data) * share)
            yield data[:cut]
            node.kill9()
            yield data[cut:]

        for turn in range(ROUNDS):
            fresh = f"r{turn}"
            data = snapshot(documents(4000, fresh), indexes={"mark": "keyword"})
            # Much of it is over when the last bytes were sent: most kills come by the clock, around the end of what a whole
            # one takes. The clock may be late: every third kill comes when a share of the bytes was sent.
            by_clock = turn % 3 != 0
            timer = threading.Timer(took * rng.uniform(0.7, 1.1), node.kill9)
            if by_clock:
                timer.start()
            body = data if by_clock else killed_at(rng.uniform(0, 0.999))
            answered, began = False, time.monotonic()
            try:
                recovered(upload(node.client(), body, headers={"Content-Type": "application/octet-stream",
                                                               "Content-Length": str(len(data))}))
                answered, took = True, time.monotonic() - began
            except (Gone, NotSent):
                killed += 1
                took *= 1.1 if by_clock else 1
            if by_clock:
                timer.join()
            check(by_clock or not answered, "half a file was taken")
            node.start()
            client = node.client()
            got = points(client)
            now = got[0]["payload"]["mark"] if got else None
            check(now in (holds, fresh) and (now == fresh or not answered), f"{now}, was {holds}, then {fresh}")
            holds, size = now, 4000 if now == fresh else size
            check_holds(client, holds, size)
            check_holds(client, holds, size, "a")
            left = [n for n in names(client) if LEFT in n]
            check(len(left) <= 1, f"{left}")
            info = client.get(C)["result"]
            check(("mark" in info["payload_schema"]) == (holds != "old"), f"{info}")
        print(f"{killed} kills of {ROUNDS} came before the answer")
        recovered(upload(client, snapshot(documents(5, "end"))))
        check(names(client) == ["aside", "c"], f"{names(client)}")
        check_holds(client, "end", 5, "a")
        check(killed >= (ROUNDS + 2) // 3, f"{killed} kills of {ROUNDS} came in time")
        node.stop()


if __name__ == "__main__":
    from support import main

    main(the_collection_is_replaced, all_kinds_of_collections, what_is_not_whole_changes_nothing,
         only_snapshots_of_this_node_are_read, forms_come_from_other_programs,
         what_the_node_makes_is_what_it_takes, memory_is_bounded,
         a_kill_leaves_the_old_or_the_new)
