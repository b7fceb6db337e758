"""`tiervec import` and `tiervec export`: round trips of each format, a run that is killed and goes on, another node's points,
refusals and exit codes.

    python3 tests/integration/bulk.py [--seed N] [name of a test below ...]
"""
import http.server
import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import support
from support import Client, Folder, Node, check, f32, program, random_vector

SEED = support.take_seed()
TRIES = 20  # to do something while a command is at work, which may be over before this process has its turn
OK, FAILED, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE = range(6)


def run(node, *words, code=OK, stdin=b"", url=None):
    """A command of the program; what it printed."""
    env = {**os.environ, "TIERVEC_URL": url or f"http://127.0.0.1:{node.port}"}
    done = subprocess.run([program(), *map(str, words)], input=stdin, capture_output=True, env=env, timeout=120, check=False,
                          cwd=node.folder)
    check(done.returncode == code, f"{words} ended with {done.returncode}, not {code}: {done.stdout} {done.stderr}")
    if code not in (OK, USAGE):
        check(done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1, f"{words} said {done.stderr}")
    return (done.stdout if code == OK else done.stderr).decode()


def make_documents(rng, count, dim):
    """Integers, then UUIDs; external ids and payloads of every kind for some."""
    documents = []
    for at in range(count):
        d = {"doc_id": at * 3 if at < count * 2 // 3 else f"00000000-0000-4000-8000-{at:012x}",
             "vector": random_vector(rng, dim)}
        if at % 3 == 0:
            d["external_id"] = f"row/{at} \u00e9\u4e2d"
        if at % 2 == 0:
            d["payload"] = {"n": at, "big": 2 ** 63 + at, "minus": -at, "x": at + 0.5, "one": 1.0, "text": "a\"b\\c\u00e9\n",
                            "list": [1, [2.25, None], {}], "yes": True, "group": at % 7}
        documents.append(d)
    return documents


def write_lines(path, documents):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(d) + "\n" for d in documents)


def held(client, name):
    """What a collection holds, by id, without what the node adds."""
    return {d["doc_id"]: ([f32(x) for x in d["vector"]], d.get("payload"), d.get("external_id"))
            for d in client.documents(name)}


def wanted(documents):
    return {d["doc_id"]: (d["vector"], d.get("payload"), d.get("external_id")) for d in documents}


def same(got, documents, what):
    want = wanted(documents)
    check(len(got) == len(want), f"{what}: {len(got)} documents, not {len(want)}")
    for key, value in want.items():
        mine = got.get(key)
        check(mine is not None and mine[0] == value[0] and (mine[1] or None) == value[1] and mine[2] == value[2],
              f"{what}: document {key} is {mine}, not {value}")


def npy_bytes(rows, descr="<f4", order="False", shape=None):
    head = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape or (len(rows), len(rows[0]))}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + b"".join(
        struct.pack(f"<{len(r)}f", *r) for r in rows)


def fvecs_bytes(rows):
    return b"".join(struct.pack(f"<i{len(r)}f", len(r), *r) for r in rows)


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def lines_come_back_as_they_went():
    rng = random.Random(SEED)
    documents = make_documents(rng, 2500, 7)
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        write_lines(f"{folder}/in.ndjson", documents)
        text = run(node, "import", "--collection", "a", "--create", "--metric", "l2", "in.ndjson")
        check("2500 documents" in text, text)
        same(held(client, "a"), documents, "imported")
        run(node, "export", "--collection", "a", "out.ndjson")
        check(not os.path.exists(f"{folder}/out.ndjson.part"), "the unfinished file is still there")
        said = json.loads(run(node, "import", "--collection", "b", "--create", "--metric", "l2", "--json", "-",
                              stdin=read(f"{folder}/out.ndjson")))
        check(said["documents"] == 2500 and said["batches"] == 3 and not said["dry_run"], f"{said}")
        same(held(client, "b"), documents, "imported from what was exported")
        check(run(node, "export", "--collection", "b", "-").encode() == read(f"{folder}/out.ndjson"), "- differs from the file")
        some = run(node, "export", "--collection", "a", "--filter", '{"group":{"$in":[2,4]}}', "-").splitlines()
        check({json.loads(l)["doc_id"] for l in some} ==
              {d["doc_id"] for d in documents if d.get("payload", {}).get("group") in (2, 4)}, "the filter")
        # The compatible form, blank lines, and what a page of documents holds beside.
        extra = b'\n{"id":900001,"vector":[1,2,3,4,5,6,7],"payload":null}\r\n\n' + \
                b'{"doc_id":900002,"lsn":5,"inserted_at":"x","vector":[1,2,3,4,5,6,7]}'
        check(run(node, "import", "--collection", "b", "--quiet", "-", stdin=extra) == "", "--quiet")
        check(client.collection("b")["document_count"] == 2502, "the last line has no end")
        node.stop()


NAMED = {"title": {"dimension": 5, "metric": "cosine"}, "body \u00e9": {"dimension": 9, "metric": "l2"},
         "": {"dimension": 3, "metric": "dot"}}


def named_documents(rng, count):
    """Documents that lack some of their vectors, some of them all."""
    documents = make_documents(rng, count, 3)
    for at, d in enumerate(documents):
        d["vectors"] = {n: random_vector(rng, f["dimension"]) for n, f in NAMED.items() if n and rng.random() < 0.7}
        if at % 5 == 0:
            d.pop("vector")
    return documents


def named_vectors_come_back_bit_by_bit():
    rng = random.Random(SEED + 6)
    documents = named_documents(rng, 2300)
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        write_lines(f"{folder}/in.ndjson", documents)
        for name in "ab":
            run(node, "collections", "create", name, "--vectors", json.dumps(NAMED))
        run(node, "import", "--collection", "a", "in.ndjson")
        got = {d["doc_id"]: d for d in client.documents("a")}
        check(len(got) == len(documents), f"{len(got)} documents")
        for d in documents:
            mine = got[d["doc_id"]]
            for back, sent in ((mine["vector"], d.get("vector")), (mine["vectors"].get("body \u00e9"), d["vectors"].get("body \u00e9"))):
                check((back and [f32(x) for x in back]) == sent, f"{mine}, not {d}")
            check(set(mine["vectors"]) == set(d["vectors"]), f"{mine}, not {d}")
        run(node, "export", "--collection", "a", "a.ndjson")
        run(node, "import", "--collection", "b", "a.ndjson")
        run(node, "export", "--collection", "b", "b.ndjson")
        check(read(f"{folder}/a.ndjson") == read(f"{folder}/b.ndjson"), "an import of an export is another export")
        # A new collection has the vectors of the first batch.
        run(node, "import", "--collection", "c", "--create", "--metric", "l2", "a.ndjson")
        made = client.collection("c")["vectors"]
        check({n: (v["dimension"], v["metric"]) for n, v in made.items()} == {n: (f["dimension"], "l2") for n, f in NAMED.items()}, f"{made}")
        # Arrays hold one of them, of those documents that have it.
        text = run(node, "export", "--collection", "a", "--vector", "title", "t.npy", code=FAILED)
        check("has_vector" in text and "document" in text, text)
        for name, word in (("title", "title"), ("body \u00e9", "body"), ("", "unnamed")):
            only = json.dumps({"qdrant": {"must": [{"has_vector": name}]}})
            rows = [[f32(x) for x in (d["vector"] if name == "" else d["vectors"][name])] for d in client.documents("a")
                    if (d["vector"] if name == "" else d["vectors"].get(name)) is not None]
            words = ("--vector", name) if name else ()
            run(node, "export", "--collection", "a", *words, "--filter", only, f"{word}.fvecs")
            check(read(f"{folder}/{word}.fvecs") == fvecs_bytes(rows), f"{word}.fvecs")
            run(node, "export", "--collection", "a", *words, "--filter", only, f"{word}.npy")
            check(read(f"{folder}/{word}.npy")[128:] == b"".join(struct.pack(f"<{len(r)}f", *r) for r in rows), f"{word}.npy")
            run(node, "import", "--collection", f"of-{word}", "--create", "--metric", "cosine" if word == "title" else "l2", *words, f"{word}.npy")
            run(node, "import", "--collection", "b", *words, "--first-id", "5000000", f"{word}.fvecs")
            run(node, "export", "--collection", f"of-{word}", f"{word}2.fvecs")
            check(read(f"{folder}/{word}2.fvecs") == fvecs_bytes(rows), f"{word}2.fvecs")
        check(set(client.get("/api/v1/collections/b/docs/5000000")["document"]["vectors"]) == set(), "the last import was of the unnamed one")
        two = {"x": {"dimension": 2, "metric": "l2"}, "y": {"dimension": 2, "metric": "l2"}}
        run(node, "collections", "create", "two", "--vectors", json.dumps(two))
        check("`x`, `y`" in run(node, "export", "--collection", "two", "two.npy", code=FAILED), "the names are to be said")
        check("`x`, `y`" in run(node, "export", "--collection", "two", "--vector", "z", "two.npy", code=FAILED), "the names are to be said")
        run(node, "export", "--collection", "two", "--vector", "x", "two.ndjson", code=USAGE)
        run(node, "import", "--collection", "two", "--vector", "x", "in.ndjson", code=USAGE)
        text = run(node, "import", "--collection", "two", "-", code=FAILED, stdin=b'{"doc_id":9,"vector":[1,2]}')
        check("line 1" in text and "`x`, `y`" in text, text)
        # Payloads alone.
        for name in ("p", "q"):
            run(node, "collections", "create", name, "--vectors", "{}")
        run(node, "import", "--collection", "p", "-", stdin=b'{"doc_id":9,"payload":{"a":1}}\n{"doc_id":10}\n')
        run(node, "import", "--collection", "q", "-", stdin=run(node, "export", "--collection", "p", "-").encode())
        check(run(node, "export", "--collection", "p", "-") == run(node, "export", "--collection", "q", "-"), "payloads alone")
        check(client.collection("q")["document_count"] == 2, "payloads alone")
        node.stop()


def rows_without_an_id_are_the_same_ones_when_sent_again():
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        lines = b'{"vector":[1,2]}\n{"vector":[1,2]}\n{"vector":[3,4]}\n'
        for _ in range(2):
            run(node, "import", "--collection", "a", "--create", "--metric", "l2", "-", stdin=lines)
        check(client.collection("a")["document_count"] == 3, "equal lines are documents of their own, and sent twice the same")
        node.stop()


def arrays_come_back_bit_by_bit():
    rng = random.Random(SEED + 1)
    rows = [random_vector(rng, 33) for _ in range(1500)]
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        for name, data in (("a.npy", npy_bytes(rows)), ("a.fvecs", fvecs_bytes(rows))):
            kind = name[2:]
            put(f"{folder}/{name}", data)
            run(node, "import", "--collection", kind, "--create", "--metric", "l2", "--first-id", "1000", name)
            got = held(node.client(), kind)
            check(sorted(got) == list(range(1000, 2500)), f"{name}: the ids")
            run(node, "export", "--collection", kind, f"out.{kind}")
            back = read(f"{folder}/out.{kind}")
            if kind == "fvecs":
                check(back == data, "the .fvecs differs")
            else:
                check(back[128:] == data[-len(rows) * 33 * 4:] and b"(1500, 33)" in back[:128], "the .npy differs")
            run(node, "import", "--collection", f"{kind}2", "--create", "--metric", "l2", f"out.{kind}")
            check([v[0] for _, v in sorted(held(node.client(), f"{kind}2").items())] == rows, f"{name}: once more")
        node.stop()


def killed_while(node, words, until):
    """Starts a command, kills it hard as soon as until() says so; False when it ended before."""
    env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port}"}
    child = subprocess.Popen([program(), *map(str, words)], env=env, cwd=node.folder, stdout=subprocess.DEVNULL)
    while child.poll() is None and not until():
        time.sleep(0.002)
    early = child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    return early


def position(path):
    try:
        return json.loads(read(path))["rows"]
    except FileNotFoundError:
        return 0


def a_killed_import_goes_on_without_a_gap():
    rng = random.Random(SEED + 2)
    documents = make_documents(rng, 2400, 16)
    rows = [random_vector(rng, 16) for _ in range(2400)]
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        write_lines(f"{folder}/in.ndjson", documents)
        put(f"{folder}/in.npy", npy_bytes(rows))
        put(f"{folder}/in.fvecs", fvecs_bytes(rows))
        for kind in ("ndjson", "npy", "fvecs"):
            state = f"{folder}/{kind}.state"
            words = ("import", "--collection", kind, "--batch-rows", 50, "--resume", state, f"in.{kind}")
            kills = 0
            for again in range(TRIES):
                if again:
                    client.ok("DELETE", f"/api/v1/collections/{kind}")
                    os.remove(state)
                client.create(kind, 16)
                for at in (200, 800, 1400):
                    goal = at + rng.randrange(300)
                    kills += killed_while(node, words, lambda g=goal, s=state: position(s) >= g)
                if kills:
                    break
            check(kills >= 1, f"{kind}: the import was too quick to be killed, {TRIES} times")
            before = position(state)
            said = json.loads(run(node, *words, "--json"))
            check(said["documents"] == 2400 and said["resumed_at"] == before, f"{kind}: {said}, {before} before")
            got = held(client, kind)
            if kind == "ndjson":
                same(got, documents, "after three kills")
            else:
                check([v[0] for _, v in sorted(got.items())] == rows, f"{kind}: after three kills")
            check("2400 documents" in run(node, *words), "a finished one has nothing to do")
        node.stop()


def a_killed_export_goes_on():
    rng = random.Random(SEED + 3)
    documents = make_documents(rng, 9000, 24)
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        write_lines(f"{folder}/in.ndjson", documents)
        run(node, "import", "--collection", "a", "--create", "--metric", "l2", "in.ndjson")
        for kind in ("ndjson", "npy", "fvecs"):
            run(node, "export", "--collection", "a", f"whole.{kind}")
            words = ("export", "--collection", "a", "--resume", f"{kind}.state", f"out.{kind}")
            for _ in range(TRIES):  # until the kill came in time
                if killed_while(node, words, lambda k=kind: position(f"{folder}/{k}.state") >= 2000) and \
                        position(f"{folder}/{kind}.state") < 9000:
                    break
                os.remove(f"{folder}/{kind}.state")
                if os.path.exists(f"{folder}/out.{kind}"):
                    os.remove(f"{folder}/out.{kind}")
            check(not os.path.exists(f"{folder}/out.{kind}"), f"{kind}: it has its name already, or was too quick each time")
            with open(f"{folder}/out.{kind}.part", "ab") as f:
                f.write(b"half a page")  # what a kill within a write leaves behind
            said = json.loads(run(node, *words, "--json"))
            check(said["documents"] == 9000 and 2000 <= said["resumed_at"] <= 9000, f"{said}")
            check(read(f"{folder}/out.{kind}") == read(f"{folder}/whole.{kind}"), f"{kind}: differs from one in one go")
        node.stop()


def streamed(client, name, rows, pid=""):
    """Whether the node has acknowledged so many lines of a stream that goes on, of this process."""
    return any(i["state"] == "running" and i["acknowledged_lines"] >= rows and i["request_id"].startswith(f"tiervec-import-{pid}") for i in client.get(f"/api/v1/collections/{name}/import")["imports"])


def a_stream_that_ends_early_goes_on():
    """The rest of a file goes in one stream, behind a batch by insert; what ends it early is seen to by inserts."""
    rng = random.Random(SEED + 9)
    rows = [[f32(at), f32(at % 7), *random_vector(rng, 6)] for at in range(16000)]
    documents = [{"doc_id": at, "vector": v} for at, v in enumerate(rows)]
    port = support.refusing_port()
    with Folder("bulk") as folder, Node(folder, args=("--rest-port", str(port))) as node:
        node.start()
        put(f"{folder}/in.npy", npy_bytes(rows))
        put(f"{folder}/in.fvecs", fvecs_bytes(rows))
        write_lines(f"{folder}/in.ndjson", documents)
        kills = 0
        for turn, kind in enumerate(("ndjson", "npy", "fvecs") * TRIES):
            if turn >= 3:
                if kills >= 2:
                    break
                os.remove(f"{folder}/{kind}.state")
                node.client().ok("DELETE", f"/api/v1/collections/{kind}")
            client = node.client()
            client.ok("POST", "/api/v1/collections", {"name": kind, "dimension": 8, "metric": "l2", "hnsw": {"threshold": 1000000}}, 201)
            words = ("import", "--collection", kind, "--resume", f"{kind}.state", f"in.{kind}")
            kills += killed_while(node, words, lambda k=kind, c=client: streamed(c, k, 1))
            check(position(f"{folder}/{kind}.state") >= 1000, "the first batch is in the state")
            env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port}"}
            child = subprocess.Popen([program(), *words, "--json"], env=env, cwd=folder, stdout=subprocess.PIPE)
            while child.poll() is None and not streamed(client, kind, 1, child.pid):
                time.sleep(0.001)
            if child.poll() is None:
                kills += 1
                node.kill9()
                node.start()
            out, _ = child.communicate(timeout=120)
            check(child.returncode == OK and json.loads(out)["documents"] == 16000, f"{kind}: {child.returncode} {out}")
            got = {d["doc_id"]: [f32(x) for x in d["vector"]] for d in node.client().documents(kind)}
            check(got == dict(enumerate(rows)), f"{kind}: not what was sent")
        check(kills >= 2, f"all but {kills} of {6 * TRIES} were too quick to be killed")
        # What a line has that the stream does not take, inserts do; what is wrong with it they say.
        for name in ("alias", "bad"):
            node.client().ok("POST", "/api/v1/collections", {"name": name, "dimension": 8, "metric": "l2", "hnsw": {"threshold": 1000000}}, 201)
        lines = read(f"{folder}/in.ndjson").splitlines(keepends=True)
        lines[7000] = b'{"id":99999999,"lsn":7,"vector":[1,2,3,4,5,6,7,8]}\n'
        put(f"{folder}/alias.ndjson", b"".join(lines))
        said = json.loads(run(node, "import", "--collection", "alias", "--json", "alias.ndjson"))
        check(said["documents"] == 16000 and node.client().collection("alias")["document_count"] == 16000, f"{said}")
        lines[9000] = b'{"doc_id":1,"vector":[1]}\n'
        put(f"{folder}/bad.ndjson", b"".join(lines))
        text = run(node, "import", "--collection", "bad", "--resume", "bad.state", "bad.ndjson", code=FAILED)
        check("line 9001; `vector` has 1 values" in text and position(f"{folder}/bad.state") >= 8000, text)
        node.stop()


def a_node_that_starts_anew_is_waited_for():
    rng = random.Random(SEED + 4)
    documents = make_documents(rng, 2000, 16)
    with Folder("bulk") as folder:
        port = support.refusing_port()
        with Node(folder, args=["--rest-port", str(port)]) as node:
            node.start()
            write_lines(f"{folder}/in.ndjson", documents)
            env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{port}"}
            for again in range(TRIES):
                node.client().create("a", 16)
                child = subprocess.Popen([program(), "import", "--collection", "a", "--batch-rows", "40", "--resume", "s", "--json",
                                          "in.ndjson"], env=env, cwd=folder, stdout=subprocess.PIPE)
                while position(f"{folder}/s") < 400 and child.poll() is None:
                    time.sleep(0.002)
                node.kill9()
                node.start()
                out, _ = child.communicate(timeout=120)
                check(child.returncode == OK, f"{child.returncode}: {out}")
                if json.loads(out)["retries"] > 0:
                    break
                check(again + 1 < TRIES, f"the import was too quick: {out}")
                node.client().ok("DELETE", "/api/v1/collections/a")
                os.remove(f"{folder}/s")
            same(held(node.client(), "a"), documents, "after the node's restart")
            node.stop()


def another_nodes_points():
    rng = random.Random(SEED + 5)
    documents = make_documents(rng, 2300, 12)
    with Folder("bulk-a") as fa, Folder("bulk-b") as fb, Node(fa) as a, Node(fb) as b:
        a.start()
        b.start()
        for d in documents:
            d.pop("external_id", None)  # of the native API alone
        write_lines(f"{fa}/in.ndjson", documents)
        run(a, "import", "--collection", "old", "--create", "--metric", "dot", "in.ndjson")
        words = ("import", "qdrant", f"http://127.0.0.1:{a.port}", "--from", "old", "--collection", "new")
        run(b, *words, code=NOT_FOUND)
        check("would import: 2300" in run(b, *words, "--create", "--dry-run"), "--dry-run")
        check("2300 documents" in run(b, *words, "--create"), "the points")
        check(b.client().collection("new")["metric"] == "dot", "the other one's metric")
        same(held(b.client(), "new"), documents, "by scroll")
        words = (*words[:-1], "half", "--batch-rows", 50, "--resume", "half.state")
        for again in range(TRIES):
            if again:
                b.client().ok("DELETE", "/api/v1/collections/half")
                os.remove(f"{fb}/half.state")
            b.client().create("half", 12)
            if killed_while(b, words, lambda: position(f"{fb}/half.state") >= 400):
                break
            check(again + 1 < TRIES, "the import was too quick to be killed")
        said = json.loads(run(b, *words, "--json"))
        check(said["documents"] == 2300 and said["resumed_at"] >= 400, f"{said}")
        same(held(b.client(), "half"), documents, "by scroll, after a kill")
        # Named vectors: all are taken, or one, by name.
        client = a.client()
        client.ok("PUT", "/collections/two", {"vectors": {"x": {"size": 3, "distance": "Euclid"},
                                                          "y": {"size": 2, "distance": "Dot"}}})
        client.ok("PUT", "/collections/two/points?wait=true", {"points": [
            {"id": 1, "vector": {"x": [1, 2, 3], "y": [4, 5]}, "payload": {"p": 1}}, {"id": 2, "vector": {"x": [3, 2, 1], "y": [6, 7]}}]})
        words = ("import", "qdrant", f"http://127.0.0.1:{a.port}", "--from", "two", "--collection", "both", "--create")
        run(b, *words)
        made = b.client().collection("both")["vectors"]
        check({n: (v["dimension"], v["metric"]) for n, v in made.items()} == {"x": (3, "l2"), "y": (2, "dot")}, f"{made}")
        check([(d["doc_id"], d["vectors"], d["payload"]) for d in b.client().documents("both")]
              == [(1, {"x": [1, 2, 3], "y": [4, 5]}, {"p": 1}), (2, {"x": [3, 2, 1], "y": [6, 7]}, {})], "all vectors")
        check("`x` is none" in run(b, *words[:-2], "new", code=FAILED), "the one that is not here is to be said")
        words = ("import", "qdrant", f"http://127.0.0.1:{a.port}", "--from", "two", "--collection", "y", "--create")
        check("x y" in run(b, *words, "--vector", "z", code=FAILED), "the names are to be said")
        run(b, *words, "--vector", "y")
        check(held(b.client(), "y") == {1: ([4, 5], {"p": 1}, None), 2: ([6, 7], held(b.client(), "y")[2][1], None)},
              f"{held(b.client(), 'y')}")
        client.ok("PUT", "/collections/two/points?wait=true", {"points": [{"id": 3, "vector": {"x": [1, 1, 1]}}]})
        text = run(b, *words, "--vector", "y", code=FAILED)
        check("point 3" in text and "no vector `y`" in text, text)
        run(b, *words[:-3], "--collection", "both")  # points that lack some
        check(b.client().get("/api/v1/collections/both/docs/3")["document"]["vectors"] == {"x": [1, 1, 1]}, "the point that lacks one")
        run(a, "export", "--collection", "two", "two.ndjson")
        run(b, "export", "--collection", "both", "both.ndjson")
        check(read(f"{fa}/two.ndjson") == read(f"{fb}/both.ndjson"), "what came over differs")
        # Ids of any text, payloads alone, vectors beside an unnamed one.
        client.ok("POST", "/api/v1/collections", {"name": "text", "vectors": {"": {"dimension": 1, "metric": "l2"}, "b": {
            "dimension": 2, "metric": "cosine"}}, "string_ids": True}, 201)
        client.ok("POST", "/api/v1/collections/text/insert", {"documents": [
            {"doc_id": i, "vector": [i], "vectors": {"b": [i, 1]}} for i in range(1, 1200)] + [{"doc_id": "a/\u00e9", "vectors": {}}]})
        run(b, *words[:4], "text", "--collection", "text", "--create")
        run(a, "export", "--collection", "text", "text.ndjson")
        run(b, "export", "--collection", "text", "text.ndjson")
        check(read(f"{fa}/text.ndjson") == read(f"{fb}/text.ndjson"), "ids of text differ")
        client.ok("PUT", "/collections/none", {})
        client.ok("PUT", "/collections/none/points?wait=true", {"points": [{"id": 4, "vector": {}, "payload": {"a": 1}}]})
        run(b, *words[:4], "none", "--collection", "none", "--create")
        check([(d["doc_id"], d["payload"]) for d in b.client().documents("none")] == [(4, {"a": 1})], "payloads alone")
        run(b, *words[:2], "http://127.0.0.1:1", *words[3:], code=UNREACHABLE)
        run(b, *words[:4], "nothing", *words[5:], code=NOT_FOUND)
        a.stop()
        b.stop()


class Foreign(threading.Thread):
    """A server of the compatible dialect that is no tiervec: unknown routes are 404 without a body."""

    def __init__(self, params, points):
        super().__init__(daemon=True)
        answers = {"/collections/c": {"config": {"params": params}}, "/collections/c/points/scroll": {"points": points, "next_page_offset": None}}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.dumps({"result": answers[self.path]}).encode() if self.path in answers else b""
                self.send_response(200 if body else 404)
                if body:
                    self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            do_POST = do_GET

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.start()

    def run(self):
        self.server.serve_forever()

    def words(self, collection):
        return "import", "qdrant", f"http://127.0.0.1:{self.server.server_port}", "--from", "c", "--collection", collection, "--create"


def what_no_collection_takes_is_refused_whole():
    dense = {"x": {"size": 2, "distance": "Cosine"}, "y": {"size": 1, "distance": "Euclid"}}
    points = [{"id": 1, "vector": {"x": [1, 0], "y": [2]}, "payload": None}, {"id": "00000000-0000-4000-8000-000000000001", "vector": {}},
              {"id": "00000000-0000-4000-8000-000000000002"}]
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        fine = Foreign({"vectors": dense}, points)
        run(node, *fine.words("fine"))
        check([d["vectors"] for d in client.documents("fine")] == [{"x": [1, 0], "y": [2]}, {}, {}], "the points")
        check(not client.collection("fine")["string_ids"], "ids of text were not there")
        sparse = Foreign({"vectors": dense, "sparse_vectors": {"words": {}}}, points)
        text = run(node, *sparse.words("sparse"), code=FAILED)
        check("sparse vectors" in text and "words" in text and "--vector" in text, text)
        check("no vector `y`" in run(node, *sparse.words("sparse"), "--vector", "y", code=FAILED), "a point that lacks the one that is taken")
        many = Foreign({"vectors": {**dense, "many": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}}}, points)
        check("`many` holds many" in run(node, *many.words("many"), code=FAILED), "many vectors of a name")
        odd = Foreign({"vectors": {"size": 2, "distance": "Hamming"}}, [])
        check("distance" in run(node, *odd.words("odd"), code=FAILED), "another distance")
        half = Foreign({"vectors": dense}, [{"id": 1, "vector": {"x": {"indices": [1], "values": [1.0]}}}])
        check("`vectors.x` is sparse" in run(node, *half.words("half"), code=FAILED), "a sparse one among the points")
        check({c["name"] for c in client.get("/api/v1/collections")["collections"]} == {"fine"}, "made before it was refused")
        for foreign in (fine, sparse, many, odd, half):
            foreign.server.shutdown()
        node.stop()


def any_text_is_an_id_where_the_collection_says_so():
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        for name in ("a", "b"):
            node.client().ok("POST", "/api/v1/collections", {"name": name, "dimension": 2, "metric": "l2", "string_ids": True}, 201)
        documents = [{"doc_id": key, "vector": [1.0, at]} for at, key in enumerate(("e", "\u00e9/\"", "x" * 500, "12"))]
        write_lines(f"{folder}/in.ndjson", documents)
        run(node, "import", "--collection", "a", "in.ndjson")
        run(node, "export", "--collection", "a", "out.ndjson")
        run(node, "import", "--collection", "b", "out.ndjson")
        same(held(node.client(), "b"), documents, "ids of text")
        node.stop()


def memory_stays_what_a_batch_takes():
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        row = [0.5] * 256
        with open(f"{folder}/in.fvecs", "wb") as f:  # 12 MiB of floats, several times that as text
            for at in range(12000):
                row[at % 256] = at % 97
                f.write(struct.pack("<i256f", 256, *row))
        for words in (("import", "--collection", "a", "--create", "--metric", "l2", "in.fvecs"), ("export", "--collection", "a", "out.ndjson")):
            env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port}"}
            child = subprocess.Popen([program(), *words], env=env, cwd=folder, stdout=subprocess.DEVNULL)
            most = 0
            while child.poll() is None:
                try:
                    most = max(most, support.resident_bytes(child.pid))
                except (OSError, AttributeError):
                    pass
                time.sleep(0.01)
            check(child.returncode == OK, f"{words}")
            print(f"{words[0]}: {most >> 20} MiB", flush=True)
            check(0 < most < 100 << 20, f"{words[0]} had {most >> 20} MiB")
        node.stop()


def what_is_wrong_is_named():
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("c", 2, "cosine")
        good = b'{"doc_id":1,"vector":[1,2]}\n'
        for line, words in ((b'{"doc_id":2,"vector":[1,2,3]}', "3 values"), (b'{"doc_id":2,"vector":[1,', "line 3"),
                            (b'{"doc_id":2}', "missing"), (b'{"doc_id":2,"vector":{"a":[1,2]}}', "no vector `a`"),
                            (b'{"doc_id":2,"vectors":{"a":[1,2]}}', "no vector `a`"), (b'{"doc_id":-2,"vector":[1,2]}', "neither"),
                            (b'{"doc_id":2,"id":2,"vector":[1,2]}', "both"), (b'{"doc_id":2,"vector":[1,2],"payload":[]}', "payload"),
                            (b'{"doc_id":2,"vector":[1,2],"colour":1}', "colour"), (b'[]', "array"),
                            (b'{"doc_id":2,"vector":[1,"2"]}', "vector"), (b'{"doc_id":2,"vector":[0,0]}', "zero"),
                            (b'{"doc_id":2,"vector":[1,1],"external_id":""}', "external_id")):
            text = run(node, "import", "--collection", "c", "-", code=FAILED, stdin=good + b"\n" + line + b"\n" + good)
            check("line 3" in text and words in text, f"{line}: {text}")
        for name, data, words in (("a.npy", npy_bytes([[1.0, 2.0]], descr="<f8"), "<f4"), ("b.npy", b"\x93NUMPY", "no .npy"),
                                  ("c.npy", npy_bytes([[1.0, 2.0]], order="True"), "Fortran"),
                                  ("d.npy", npy_bytes([[1.0, 2.0]])[:-1], "within row 0"),
                                  ("e.npy", npy_bytes([[1.0, 2.0]]) + b"x", "goes on"),
                                  ("f.npy", npy_bytes([[1.0, 2.0, 3.0]]), "3 values"),
                                  ("g.npy", npy_bytes([[1.0, 2.0], [1.0, float("nan")]]), "row 1"),
                                  ("a.fvecs", fvecs_bytes([[1.0, 2.0], [1.0]]), "row 1"),
                                  ("b.fvecs", fvecs_bytes([[1.0, 2.0]])[:-1], "within row 0")):
            put(f"{folder}/{name}", data)
            text = run(node, "import", "--collection", "c", name, code=FAILED)
            check(words in text, f"{name}: {text}")
        put(f"{folder}/ok.ndjson", good)
        run(node, "import", "--collection", "nothing", "ok.ndjson", code=NOT_FOUND)
        run(node, "export", "--collection", "nothing", "-", code=NOT_FOUND)
        run(node, "import", "--collection", "c", "absent.ndjson", code=FAILED)
        run(node, "import", "--collection", "c", ".", code=FAILED)
        run(node, "import", "ok.ndjson", code=USAGE)
        run(node, "import", "--collection", "c", code=USAGE)
        run(node, "import", "--collection", "c", "--create", "ok.ndjson", code=USAGE)
        run(node, "import", "--collection", "c", "--resume", "s", "-", code=USAGE, stdin=good)
        run(node, "import", "--collection", "c", "--batch-rows", "0", "ok.ndjson", code=USAGE)
        run(node, "import", "--collection", "c", "--format", "csv", "ok.ndjson", code=USAGE)
        run(node, "export", "--collection", "c", "--format", "npy", "-", code=USAGE)
        run(node, "export", "--collection", "c", "--filter", "{", "-", code=FAILED)
        run(node, "export", "--collection", "c", "/nowhere/at/all", code=FAILED)
        run(node, "import", "--collection", "c", "--create", "--metric", "l1", "ok.ndjson", code=CONFLICT)
        run(node, "import", "--collection", "c", "--create", "--metric", "cosine", "--dimension", "3", "ok.ndjson", code=CONFLICT)
        run(node, "import", "--collection", "c", "ok.ndjson", code=UNREACHABLE, url=f"http://127.0.0.1:{support.refusing_port()}")
        check("would import: 1 documents" in run(node, "import", "--collection", "new", "--create", "--metric", "l2", "--dry-run",
                                                 "ok.ndjson"), "--dry-run")
        run(node, "export", "--collection", "new", "-", code=NOT_FOUND)
        run(node, "import", "--collection", "c", "--resume", "s", "ok.ndjson")
        put(f"{folder}/ok.ndjson", good + good)
        text = run(node, "import", "--collection", "c", "--resume", "s", "ok.ndjson", code=CONFLICT)
        check("another job" in text, text)
        put(f"{folder}/ok.ndjson", good)
        client.ok("DELETE", "/api/v1/collections/c")
        client.create("c", 2, "cosine")
        text = run(node, "import", "--collection", "c", "--resume", "s", "ok.ndjson", code=CONFLICT)
        check("collection" in text, text)
        put(f"{folder}/s", b'{"version":2}')
        run(node, "import", "--collection", "c", "--resume", "s", "ok.ndjson", code=6)
        node.stop()


class Relay(threading.Thread):
    """A relay before a node that answers every so-manieth request 429 by itself, and keeps one back for good."""

    def __init__(self, port, refused_every=0, held=0):
        super().__init__(daemon=True)
        self.port = port
        self.refused_every = refused_every
        self.held = held
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.count = 0
        self.connections = 0

    def run(self):
        while True:
            try:
                there, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with there, there.makefile("rb") as f:
                self.serve(there, f)

    def serve(self, there, f):
        client = Client(self.port)
        while True:
            line = f.readline().split()
            if len(line) < 2:
                client.close()
                return
            length = 0
            while (head := f.readline().strip()) != b"":
                if head.lower().startswith(b"content-length:"):
                    length = int(head.split(b":")[1])
            body = f.read(length)
            self.count += 1
            if self.count == self.held:
                f.read(1)  # until the other side is gone
                return
            if self.refused_every and self.count % self.refused_every == 0:
                data, status, more = b'{"code":"backpressure","detail":"wait"}', 429, b"Retry-After: 1\r\n"
            else:
                answer = client.request(line[0].decode(), line[1].decode(), body)
                data, status, more = answer.body, answer.status, b""
            there.sendall(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n" %
                          (status, more, len(data)) + data)


def a_batch_that_was_not_acknowledged_is_sent_again():
    """The eighth batch is on its way, and never comes to the node, when the importer is killed."""
    documents = make_documents(random.Random(SEED), 500, 2)
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        node.client().create("c", 2)
        write_lines(f"{folder}/in.ndjson", documents)
        relay = Relay(node.port, held=9)  # the first looks at the collection
        relay.start()
        words = ("import", "--collection", "c", "--batch-rows", 20, "--resume", "s", "in.ndjson")
        child = subprocess.Popen([program(), *map(str, words)], cwd=folder,
                                 env={**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{relay.listener.getsockname()[1]}"})
        deadline = time.monotonic() + 60
        while relay.count < relay.held and time.monotonic() < deadline:
            time.sleep(0.002)
        child.kill()
        child.wait()
        check(position(f"{folder}/s") == 140 == node.client().collection("c")["document_count"], f"{position(f'{folder}/s')}")
        said = json.loads(run(node, *words, "--json"))
        check(said["resumed_at"] == 140 and said["documents"] == 500, f"{said}")
        same(held(node.client(), "c"), documents, "after the kill")
        relay.listener.close()
        node.stop()


def patience_is_asked_for_and_given():
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        relay = Relay(node.port, refused_every=3)
        relay.start()
        node.client().create("c", 2)
        lines = b"".join(b'{"doc_id":%d,"vector":[%d,2]}\n' % (i, i) for i in range(50))
        said = json.loads(run(node, "import", "--collection", "c", "--batch-rows", "10", "--json", "-", stdin=lines,
                              url=f"http://127.0.0.1:{relay.listener.getsockname()[1]}"))
        check(said["documents"] == 50 and said["batches"] == 5 and said["retries"] >= 2, f"{said}")
        check(relay.connections == 1, f"{relay.connections} connections for one import")
        check(node.client().collection("c")["document_count"] == 50, "the documents")
        relay.listener.close()
        node.stop()


if __name__ == "__main__":
    support.main(lines_come_back_as_they_went, named_vectors_come_back_bit_by_bit, rows_without_an_id_are_the_same_ones_when_sent_again, arrays_come_back_bit_by_bit,
                 a_killed_import_goes_on_without_a_gap, a_killed_export_goes_on, a_stream_that_ends_early_goes_on, a_node_that_starts_anew_is_waited_for,
                 another_nodes_points, what_no_collection_takes_is_refused_whole, any_text_is_an_id_where_the_collection_says_so,
                 memory_stays_what_a_batch_takes, what_is_wrong_is_named, a_batch_that_was_not_acknowledged_is_sent_again,
                 patience_is_asked_for_and_given)
