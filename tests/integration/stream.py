"""POST .../import and GET .../export: round trips, bodies cut at every byte, stalled, too large for any memory, killed nodes,
readers that read nothing. What is acknowledged is there, whatever happens.

    python3 tests/integration/stream.py [--seed N] [--mib N] [name of a test below ...]
"""
import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import threading
import time
from urllib.parse import quote

import support
from support import Folder, Node, check, f32, random_vector, resident_bytes

# What the address sanitizer holds back of freed memory is not the node's.
os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4")

BASE = "/api/v1/collections"
NDJSON = {"Content-Type": "application/x-ndjson"}


def make_documents(rng, count, dim, texts=False):
    documents = []
    for at in range(count):
        d = {"doc_id": at * 3 if at % 3 else f"00000000-0000-4000-8000-{at:012x}"}
        if texts:
            d["doc_id"] = f"id {at} é/\"{at % 7}"
        if at % 4 == 0:
            d["external_id"] = f"row/{at} é中"
        d["vector"] = random_vector(rng, dim)
        if at % 2 == 0:
            d["payload"] = {"n": at, "big": 2 ** 63 + at, "x": at + 0.5, "one": 1.0, "text": "a\"b\\cé\n", "list": [1, [2.25, None], {}]}
        documents.append(d)
    return documents


def as_f32(line):
    d = json.loads(line)
    return {**d, "vector": [f32(x) for x in d["vector"]]}


def lines_of(documents):
    return b"".join(json.dumps(d).encode() + b"\n" for d in documents)


def in_chunks(rng, body):
    at = 0
    while at < len(body):
        size = rng.choice((1, 7, 100, 5000, 60000))
        yield body[at:at + size]
        at += size


def put(client, name, body, query="", headers=None, status=200):
    answer = client.request("POST", f"{BASE}/{name}/import{query}", body, headers or NDJSON)
    check(answer.status == status, f"import{query}: {answer}")
    return answer.json


def export(client, name, query=""):
    answer = client.request("GET", f"{BASE}/{name}/export{query}")
    check(answer.status == 200, f"export{query}: {answer}")
    return answer.body


def imports(client, name):
    return client.get(f"{BASE}/{name}/import")["imports"]


def newest(client, name):
    return (imports(client, name) or [{"request_id": None, "acknowledged_lines": -1}])[0]


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError("what was waited for did not come")


class Sender:
    """A connection that sends a body bit by bit."""

    def __init__(self, node, path, length=None, request_id="sender"):
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=60)
        framing = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
        self.chunked = length is None
        self.raw(f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\n{framing}\r\n\r\n".encode())

    def raw(self, data):
        self.socket.sendall(data)
        return self

    def send(self, data):
        return self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def end(self):
        return self.raw(b"0\r\n\r\n") if self.chunked else self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self):
        reply = http.client.HTTPResponse(self.socket)
        reply.begin()
        body = reply.read()
        self.socket.close()
        return reply.status, json.loads(body)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def a_round_trip_is_exact():
    rng = random.Random(SEED)
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        for metric, more in (("l2", {}), ("cosine", {}), ("dot", {"string_ids": True})):
            for name in ("a", "b"):
                client.ok("POST", BASE, {"name": name, "dimension": 17, "metric": metric, **more}, 201)
            documents = make_documents(rng, 3000, 17, bool(more))
            said = put(client, "a", in_chunks(rng, lines_of(documents)))
            check((said["imported"], said["lines"], said["durability"]) == (3000, 3000, "local") and said["lsn"] > 0, f"{said}")
            body = export(client, "a")
            got = {d["doc_id"]: d for d in map(as_f32, body.splitlines())}
            check(len(got) == 3000, f"{len(got)} documents")
            for d in documents:
                mine = got[d["doc_id"]]
                check(metric == "cosine" or mine == d, f"{mine} is not {d}")
                check({k: v for k, v in mine.items() if k != "vector"} == {k: v for k, v in d.items() if k != "vector"}, f"{mine}")
            put(client, "b", body)
            check(export(client, "b") == body, f"{metric}: what was exported from what was exported differs")
            # Behind any document, and by a filter.
            rows = body.splitlines(keepends=True)
            for at in (0, 1, 1500, 2998, 2999):
                after = quote(str(json.loads(rows[at])["doc_id"]), safe="")
                check(export(client, "a", f"?after={after}") == b"".join(rows[at + 1:]), f"after document {at}")
            some = export(client, "a", "?filter=" + quote('{"n":{"$lt":500}}'))
            check(some == b"".join(r for r in rows if json.loads(r).get("payload", {}).get("n", 500) < 500), "the filter")
            head = client.request("HEAD", f"{BASE}/a/export")
            check(head.status == 200 and head.body == b"" and head.headers["Content-Type"] == "application/x-ndjson", f"{head}")
            for name in ("a", "b"):
                client.ok("DELETE", f"{BASE}/{name}")
        # Named vectors, some of them missing.
        client.ok("PUT", "/collections/two", {"vectors": {"x": {"size": 3, "distance": "Cosine"}, "y": {"size": 2, "distance": "Dot"}}})
        client.ok("PUT", "/collections/three", {"vectors": {"x": {"size": 3, "distance": "Cosine"}, "y": {"size": 2, "distance": "Dot"}}})
        put(client, "two", b'{"doc_id":1,"vectors":{"x":[1,2,3],"y":[1,2]}}\n{"doc_id":2,"vectors":{"y":[3,4]}}\n{"doc_id":3,"vectors":{},"payload":{"a":1}}')
        body = export(client, "two")
        put(client, "three", body)
        check(len(body.splitlines()) == 3 and export(client, "three") == body, f"named vectors: {body}")
        for method, path, words in (("GET", "export?format=fvecs", "`vector` is missing: rows are one of `x`, `y`"),
                                    ("POST", "import?format=fvecs", "`vector` is missing: rows are one of `x`, `y`"),
                                    ("GET", "export?format=fvecs&vector=z", "it has `x`, `y`"), ("GET", "export?vector=x", "lines name their own"),
                                    ("POST", "import?format=npy&vector=", "it has `x`, `y`")):
            refused = client.request(method, f"{BASE}/two/{path}", b"" if method == "POST" else None)
            check(refused.status == 400 and words in refused.json["detail"], f"{path}: {refused}")
        rows = struct.pack("<i2f", 2, 1, 2) + struct.pack("<i2f", 2, 3, 4)
        check(export(client, "two", "?format=fvecs&vector=y") == rows, "rows of y")
        put(client, "three", rows, "?format=fvecs&vector=y&first_id=10")
        check(export(client, "three", "?after=9") == b'{"doc_id":10,"vectors":{"y":[1,2]}}\n{"doc_id":11,"vectors":{"y":[3,4]}}\n', "rows into y")
        put(client, "three", struct.pack("<i3f", 3, 0, 0, 0), "?format=fvecs&vector=x", status=422)
        client.ok("POST", BASE, {"name": "mixed", "vectors": {"n": {"dimension": 2, "metric": "l2"}, "": {"dimension": 1, "metric": "l2"}}}, 201)
        put(client, "mixed", struct.pack("<if", 1, 7), "?format=fvecs")
        check(export(client, "mixed") == b'{"doc_id":0,"vector":[7],"vectors":{}}\n', "rows into the unnamed one")
        check(export(client, "mixed", "?format=fvecs") == struct.pack("<if", 1, 7), "rows of the unnamed one")
        # Arrays.
        rows = [random_vector(rng, 5) for _ in range(2500)]
        fvecs = b"".join(struct.pack("<i5f", 5, *r) for r in rows)
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2500, 5), }"
        npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.ljust(117).encode() + b"\n" + b"".join(struct.pack("<5f", *r) for r in rows)
        for kind, data in (("fvecs", fvecs), ("npy", npy)):
            client.create(kind, 5)
            put(client, kind, in_chunks(rng, data), headers={"Content-Type": f"application/x-{kind}"})
            put(client, kind, data, f"?format={kind}&first_id=7000")
            check(export(client, kind, "?format=fvecs") == fvecs + fvecs, f"{kind} is not what it was")
            ids = [json.loads(line)["doc_id"] for line in export(client, kind).splitlines()]
            check(ids == [*range(2500), *range(7000, 9500)], "ids of rows")
            problem = put(client, kind, data[:-3], f"?format={kind}&first_id=20000", status=400)
            check(problem["line"] == 2500 and problem["acknowledged_lines"] == 2499, f"{problem}")
            said = put(client, kind, data, f"?format={kind}&first_id=20000&skip=2499")
            check(said["imported"] == 1 and client.collection(kind)["document_count"] == 7500, f"{said}")
        node.stop()


def lines_without_an_id_are_the_same_when_sent_again():
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("a", 2)
        lines = [b'{"vector":[1,2]}\n', b"\n", b'{"vector":[1,2]}\r\n', b'{"vector":[3,4]}']
        body = b"".join(lines)
        for query, part in (("", body), ("", body), ("?skip=2", body), ("?lines_before=2", b"".join(lines[2:]))):
            said = put(client, "a", part, query)
            check(said["lines"] == part.count(b"\n") + 1, f"{said}")
        check(client.collection("a")["document_count"] == 3, "each line is one document, however often it is sent")
        # Of an id that comes twice the later line stays, over batches too.
        many = b"".join(b'{"doc_id":%d,"vector":[%d,0]}\n' % (at % 300, at) for at in range(30000))
        put(client, "a", many)
        got = {d["doc_id"]: d["vector"][0] for d in client.documents("a")}
        check(all(got[i] == 29700 + i for i in range(300)), "an earlier line won")
        node.stop()


def a_body_cut_at_every_byte_is_acknowledged_by_lines():
    documents = [{"doc_id": at, "vector": [at, 1.5], "payload": {"n": at}} for at in range(3)]
    body = b"\n" + lines_of(documents)
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        for cut in range(len(body)):
            client.create("a", 2)
            whole = body[:cut].count(b"\n")
            for length in (len(body), None):
                status, said = Sender(node, f"{BASE}/a/import", length).send(body[:cut]).half_close().answer() if cut or length else (400, None)
                if said is None:
                    continue
                check(status == 400 and said["acknowledged_lines"] == whole and said["imported"] == max(0, whole - 1), f"cut at {cut}: {said}")
                check(client.collection("a")["document_count"] == max(0, whole - 1), f"cut at {cut}")
            if cut % 6 != 5:
                client.ok("DELETE", f"{BASE}/a")
                continue
            # What is not read by anyone is told behind.
            sender = Sender(node, f"{BASE}/a/import", len(body), f"reset{cut}").send(body[:cut])
            until(lambda: newest(client, "a")["request_id"] == f"reset{cut}")
            sender.reset()
            note = until(lambda: [n for n in imports(client, "a") if n["request_id"] == f"reset{cut}" and n["state"] != "running"])[0]
            # A reset may overtake bytes that were not read yet.
            check(note["acknowledged_lines"] <= whole and note["state"] == "malformed_http", f"cut at {cut}: {note}")
            said = put(client, "a", body, f"?skip={note['acknowledged_lines']}")
            check(said["lines"] == 4 and client.collection("a")["document_count"] == 3, f"gone on from {cut}: {said}")
            client.ok("DELETE", f"{BASE}/a")
        node.stop()


def what_is_wrong_is_named_and_what_came_before_is_in():
    good = [b'{"doc_id":%d,"vector":[%d,1]}\n' % (at, at) for at in range(4000)]
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("a", 2, "cosine")
        for bad, status, words in ((b'{"doc_id":1,"vector":[1,2,3]}', 400, "3 values"), (b'{"doc_id":1,"vector":[1,', 400, ""), (b"x", 400, ""),
                                   (b'{"doc_id":1,"vector":[0,0]}', 422, "vector"), (b'{"doc_id":-1,"vector":[1,2]}', 400, "doc_id"),
                                   (b'{"cursor":"x"}', 400, "cursor"), (b'[1,2]', 400, "object"), (b'\xff\xfe', 400, ""), (b'{"doc_id":1}', 400, "vector")):
            for at in (0, 1, 2500):
                lines = list(good[:2600])
                lines[at] = bad + b"\n"
                said = put(client, "a", b"".join(lines), status=status)
                check(said["line"] == at + 1 and f"line {at + 1}: " in said["detail"] and words in said["detail"], f"{said}")
                check(said["acknowledged_lines"] == at == said["imported"] and (said["lsn"] > 0) == (at > 0), f"{said}")
                check(client.collection("a")["document_count"] == at, "what came before is in")
                lines[at] = good[at]
                put(client, "a", b"".join(lines), f"?skip={at}")
                check(client.collection("a")["document_count"] == 2600, "gone on behind it")
                client.post(f"{BASE}/a/delete", {"filter": {}})
        # Told to a client that sends all before it reads: far more than fits into the sockets.
        said = put(client, "a", b"x\n" + b"".join(good) * 200, status=400)
        check(said["line"] == 1 and said["acknowledged_lines"] == 0, f"{said}")
        for query in ("?skip=-1", "?skip=x", "?first_id=1e3", "?format=csv", "?durability=far", "?unheard_of=1", "?if_lsn=1"):
            put(client, "a", b"", query, status=400)
        put(client, "nothing", b"", status=404)
        for query in ("?format=npy", "?format=x", "?after=x", "?after=", "?filter=x", "?filter=1", "?cursor=x"):
            check(client.request("GET", f"{BASE}/a/export{query}").status == 400, query)
        check(client.request("GET", f"{BASE}/nothing/export").status == 404, "of nothing")
        with socket.create_connection(("127.0.0.1", node.port), timeout=30) as s:
            s.sendall(f"GET {BASE}/a/export HTTP/1.0\r\n\r\n".encode())
            check(s.recv(100).startswith(b"HTTP/1.1 400"), "HTTP/1.0 has no chunks")
        check(put(client, "a", b"")["lines"] == 0 and export(client, "a", "?after=99999999") == b"", "nothing")
        check(client.get("/health")["status"] == "healthy", "health")
        node.stop()


def a_client_may_be_slow_but_not_silent():
    with Folder("stream") as folder, Node(folder, env={"TIERVEC_SERVER_TIMEOUT_SECONDS": "6"}) as node:
        node.start()
        client = node.client()
        client.create("a", 2)
        sender = Sender(node, f"{BASE}/a/import")
        for at in range(6):  # more than the limit in all
            sender.send(b'{"doc_id":%d,"vector":[1,' % at)
            time.sleep(1.2)
            sender.send(b'2]}\n')
        until(lambda: newest(client, "a")["acknowledged_lines"] == 6)  # long before the end
        check(newest(client, "a")["state"] == "running", "it goes on")
        started = time.monotonic()
        status, said = sender.send(b'{"doc_id":7,').answer()
        check(status == 408 and said["acknowledged_lines"] == 6 and said["imported"] == 6, f"{said}")
        check(time.monotonic() - started > 5, "the limit is that between two bytes")
        check(client.collection("a")["document_count"] == 6, "six lines")
        # Chunks that are none: what came whole is told.
        for chunk in (b"zz\r\n", b"-1\r\n", b"5\r\nhelloXX\r\n", b"fffffffffffffffff\r\n"):
            status, said = Sender(node, f"{BASE}/a/import").send(b'{"doc_id":1,"vector":[1,2]}\n{').raw(chunk).answer()
            check(status == 400 and said["code"] == "malformed_http" and said["acknowledged_lines"] == 1, f"{chunk}: {said}")
        # Sixteen at once, and no more. They may take their time.
        node.stop()
        node.env = {}
        node.start()
        client = node.client()
        senders = [Sender(node, f"{BASE}/a/import", request_id=f"s{at}") for at in range(16)]
        until(lambda: sum(n["state"] == "running" for n in imports(client, "a")) == 16)
        check(put(client, "a", b"", status=429)["retryable"], "one too many")
        for sender in senders:
            check(sender.end().answer()[0] == 200, "an import of nothing")
        check(put(client, "a", b"")["lines"] == 0, "there is room again")
        node.stop()


def a_node_that_refuses_ends_it_with_what_was_acknowledged():
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("a", 2)
        for how in ("readonly", "drain"):
            client = node.client()
            sender = Sender(node, f"{BASE}/a/import", request_id=how)
            sender.send(b"".join(b'{"doc_id":%d,"vector":[1,2]}\n' % at for at in range(5)))
            until(lambda: newest(client, "a")["request_id"] == how and newest(client, "a")["acknowledged_lines"] == 5)
            if how == "readonly":
                client.post("/admin/readonly")
                sender.send(b'{"doc_id":99,"vector":[1,2]}\n').end()
            else:
                node.signal(signal.SIGTERM)
            status, said = sender.answer()
            check(status == (403 if how == "readonly" else 503) and said["acknowledged_lines"] == 5 and said["imported"] == 5, f"{how}: {said}")
            if how == "readonly":
                client.post("/admin/readwrite")
                check(client.collection("a")["document_count"] == 5, "five lines")
        node.wait_exit()


def a_killed_node_has_what_it_acknowledged():
    rng = random.Random(SEED + 1)
    lines = [json.dumps({"doc_id": at, "vector": random_vector(rng, 8)}).encode() + b"\n" for at in range(60000)]
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        node.client().ok("POST", BASE, {"name": "a", "dimension": 8, "metric": "l2", "hnsw": {"threshold": 1000000}}, 201)
        done = 0
        for number in range(3):
            sender = Sender(node, f"{BASE}/a/import?skip={done}", request_id=f"k{number}")
            stop = threading.Event()

            def send(to=sender):
                try:
                    for at in range(0, len(lines), 200):
                        if stop.is_set():
                            return
                        to.send(b"".join(lines[at:at + 200]))
                        time.sleep(0.002)
                except OSError:
                    pass  # it was killed

            thread = threading.Thread(target=send)
            thread.start()
            client = node.client()
            told = until(lambda: next((n["acknowledged_lines"] for n in imports(client, "a") if n["request_id"] == f"k{number}"
                                       and n["acknowledged_lines"] > done + 3000), 0))
            node.kill9()
            stop.set()
            thread.join()
            sender.socket.close()
            node.start()
            count = node.client().collection("a")["document_count"]
            check(count >= told, f"{told} lines were acknowledged, {count} are there")
            got = {d["doc_id"] for d in node.client().documents("a", with_vector=False)}
            check(got >= set(range(told)), "an acknowledged line is not there")
            print(f"killed at {told} acknowledged, {count} there", flush=True)
            done = told
        client = node.client()
        said = put(client, "a", b"".join(lines), f"?skip={done}")
        check(said["lines"] == 60000 and said["imported"] == 60000 - done, f"{said}")
        check([as_f32(x) for x in export(client, "a").splitlines()] == [as_f32(x) for x in lines], "not what was sent")
        node.stop()


def memory_does_not_grow_with_the_body():
    """Lines that are blanks for the most part, so that what is kept of them is small."""
    line = b'{"doc_id":%d,' + b" " * (1 << 20) + b'"vector":[1,2,3]}\n'
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.create("a", 3)
        put(client, "a", b"".join(line % at for at in range(8)))
        before, most, watching = resident_bytes(node.process.pid), 0, True

        def watch():
            nonlocal most
            while watching:
                most = max(most, resident_bytes(node.process.pid))
                time.sleep(0.01)

        thread = threading.Thread(target=watch)
        thread.start()
        said = put(client, "a", (line % at for at in range(MIB)))
        watching = False
        thread.join()
        check(said["imported"] == MIB, f"{said}")
        print(f"{MIB} MiB of body: {before >> 20} MiB before, {most >> 20} MiB at most", flush=True)
        check(most - before < 64 << 20, f"{(most - before) >> 20} MiB more for a body of {MIB} MiB")
        node.stop()


def readers_that_read_nothing_hold_a_page_each():
    with Folder("stream") as folder, Node(folder, env={"TIERVEC_SERVER_TIMEOUT_SECONDS": "10"}) as node:
        node.start()
        client = node.client()
        client.ok("POST", BASE, {"name": "a", "dimension": 256, "metric": "l2", "hnsw": {"threshold": 1000000}}, 201)
        row = [0.0] * 256
        data = bytearray()
        for at in range(20000):  # 20 MiB of floats
            row[at % 256] = at % 97 + 0.123456
            data += struct.pack("<i256f", 256, *row)
        put(client, "a", bytes(data), "?format=fvecs")
        before, sockets = resident_bytes(node.process.pid), []
        for _ in range(100):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", node.port))
            s.sendall(f"GET {BASE}/a/export HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sockets.append(s)
        most = 0
        for _ in range(10):
            most = max(most, resident_bytes(node.process.pid))
            time.sleep(0.1)
        print(f"100 readers that read nothing: {(most - before) >> 20} MiB", flush=True)
        check(most - before < 128 << 20, f"{(most - before) >> 20} MiB for 100 readers")
        # One that reads slowly, but does, gets all of it; the others are let go.
        slow = client.request("GET", f"{BASE}/a/export?format=fvecs&after=19000")
        check(len(slow.body) == 999 * 1028, "another client meanwhile")
        reader = sockets.pop()
        got = 0
        reader.settimeout(60)
        for _ in range(9):
            got += len(reader.recv(20000))
            time.sleep(0.5)
        while not (piece := reader.recv(1 << 20)).endswith(b"0\r\n\r\n"):
            got += len(piece)
            check(piece, f"let go after {got} bytes, though it read")
        until(lambda: int(re.search(rb"^tiervec_active_connections (\d+)", client.get("/metrics"), re.M).group(1)) <= 3)
        for s in sockets[:50]:
            s.settimeout(60)
            try:
                while piece := s.recv(1 << 20):
                    check(not piece.endswith(b"\r\n0\r\n\r\n"), "it was to be let go")
            except OSError:
                pass
        for s in sockets:
            s.close()
        check(client.get("/health")["status"] == "healthy", "health")
        node.stop()


def what_is_there_all_the_time_comes_once():
    rng = random.Random(SEED + 2)
    with Folder("stream") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        client.ok("POST", BASE, {"name": "a", "dimension": 4, "metric": "l2", "hnsw": {"threshold": 1000000}}, 201)
        put(client, "a", b"".join(b'{"doc_id":%d,"vector":[%d,0,0,0],"payload":{"n":%d}}\n' % (at * 2, at, at) for at in range(20000)))
        stop = threading.Event()

        def write():
            mine, odd = node.client(), random.Random(SEED + 3)
            while not stop.is_set():
                ids = [odd.randrange(20000) * 2 + 1 for _ in range(50)]
                if odd.random() < 0.5:
                    mine.post(f"{BASE}/a/insert", {"documents": [{"doc_id": i, "vector": [1, 2, 3, 4]} for i in ids]})
                else:
                    mine.post(f"{BASE}/a/delete", {"ids": ids})
                same = odd.randrange(20000)  # written again as it was
                mine.post(f"{BASE}/a/insert", {"doc_id": same * 2, "vector": [same, 0, 0, 0], "payload": {"n": same}})

        threads = [threading.Thread(target=write) for _ in range(2)]
        for t in threads:
            t.start()
        for round_ in range(6):
            query = rng.choice(("", "?filter=%7B%22n%22%3A%7B%22%24gte%22%3A0%7D%7D"))
            ids = [json.loads(line)["doc_id"] for line in export(client, "a", query).splitlines()]
            check(ids == sorted(set(ids)), "in id order, each once")
            check([i for i in ids if i % 2 == 0] == list(range(0, 40000, 2)), f"round {round_}: a document is missing")
            # A client that goes away in the middle.
            s = socket.create_connection(("127.0.0.1", node.port))
            s.sendall(f"GET {BASE}/a/export{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            s.recv(rng.randrange(1, 200000))
            s.close()
        stop.set()
        for t in threads:
            t.join()
        check(client.get("/health")["status"] == "healthy", "health")
        node.stop()


if __name__ == "__main__":
    MIB = support.take_option("--mib", 300)
    SEED = support.take_seed()
    support.main(a_round_trip_is_exact, lines_without_an_id_are_the_same_when_sent_again, a_body_cut_at_every_byte_is_acknowledged_by_lines,
                 what_is_wrong_is_named_and_what_came_before_is_in, a_client_may_be_slow_but_not_silent,
                 a_node_that_refuses_ends_it_with_what_was_acknowledged, a_killed_node_has_what_it_acknowledged,
                 memory_does_not_grow_with_the_body, readers_that_read_nothing_hold_a_page_each, what_is_there_all_the_time_comes_once)
