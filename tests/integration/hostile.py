"""What nobody should send: every answer is a 4xx that says what is wrong, never a 5xx, and the node goes on working.

    python3 tests/integration/hostile.py [--seconds N] [--seed S] [name of a test below ...]
"""
import json
import random
import socket
import threading
import time

import support
from support import Folder, Node, check

NAME = "target"
DIM = 3
UUID = "0a1b2c3d-0000-4000-8000-000000000001"

# Texts that stand in for a value. Not all are wrong everywhere: `fine` of a member names those that are not.
FRAGMENTS = {
    "true": b"true", "minus": b"-1", "zero": b"0", "half": b"1.5", "infinite": b"1e999", "minus_infinite": b"-1e999",
    "beyond_float": b"1e39", "text": b'"x"', "empty_text": b'""', "list": b"[]", "object": b"{}",
    "list_of_lists": b"[[1,2,3]]", "list_of_texts": b'["a","b","c"]', "list_of_nulls": b"[null,null,null]",
    "past_u64": b"18446744073709551616", "many_digits": b"1" * 400, "minus_past_i64": b"-9223372036854775809",
    "long_text": b'"' + b"a" * 2000 + b'"', "nul_text": b'"a\\u0000b"',
}
# No JSON at all.
BROKEN = {
    "nan": b"NaN", "infinity": b"Infinity", "minus_infinity": b"-Infinity", "nan_text": b"nan", "python": b"None", "undefined": b"undefined",
    "single_quotes": b"'x'", "hex": b"0x10", "leading_zero": b"01", "plus": b"+1", "bare_dot": b"1.", "no_digits": b"-", "exponent": b"1e",
    "comma": b"1,", "two": b"1 2", "nothing": b"", "bad_utf8": b'"\xff\xfe"', "cut_utf8": b'"\xe2\x82"', "overlong": b'"\xc0\xaf"',
    "surrogate_bytes": b'"\xed\xa0\x80"', "half_pair": b'"\\ud800"', "control": b'"a\x01b"', "bad_escape": b'"\\x41"', "open_text": b'"abc',
    "deep": b"[" * 5000 + b"]" * 5000, "deep_objects": b'{"a":' * 5000 + b"1" + b"}" * 5000, "open_list": b"[" * 100000, "comment": b"/* */ 1",
}

INTEGERS = ("zero",)
MEMBERS = {
    # route: (method, path, a good body, {member: fragments that are fine})
    "create": ("POST", "/api/v1/collections", {"name": "c", "dimension": 3, "metric": "l2"}, {
        "name": ("text",), "dimension": (), "metric": (), "hnsw": ("object",), "tiering_policy": (), "durability": (), "string_ids": ("true",),
        "hnsw.m": (), "hnsw.ef_construction": (), "hnsw.ef_search": (), "hnsw.threshold": ("zero",), "quantization": (), "unheard_of": ()}),
    "patch": ("PATCH", f"/api/v1/collections/{NAME}", {"ef_search": 50}, {
        "name": ("text", "nothing"), "ef_search": (), "unheard_of": (), "hnsw": ("object",), "tiering_policy": (), "durability": (),
        "hnsw.m": (), "hnsw.ef_construction": (), "hnsw.threshold": ("zero",)}),
    "tier": ("POST", f"/api/v1/collections/{NAME}/tier", {"tiering_policy": "Memory"}, {"tiering_policy": (), "unheard_of": ()}),
    "alias": ("POST", "/api/v1/aliases", {"alias": "other", "collection": NAME}, {"alias": ("text",), "collection": (), "unheard_of": ()}),
    "retry": ("POST", f"/admin/collections/{NAME}/dlq/retry", {"ids": ["1"]}, {"ids": (), "unheard_of": (), "confirm": ()}),
    "discard": ("DELETE", f"/admin/collections/{NAME}/dlq", {"ids": [1]}, {
        "ids": (), "confirm": (), "confirm.lsn_first": (), "confirm.unheard_of": (), "drop": ("true",), "unheard_of": ()}),
    "insert": ("POST", f"/api/v1/collections/{NAME}/insert", {"doc_id": 7, "vector": [1, 2, 3]}, {
        "doc_id": INTEGERS, "vector": (), "external_id": ("text",), "payload": ("object",), "documents": (), "unheard_of": (), "vectors": ("object",)}),
    "insert_many": ("POST", f"/api/v1/collections/{NAME}/insert", {"documents": [{"doc_id": 7, "vector": [1, 2, 3]}]}, {
        "doc_id": (), "vector": (), "documents.doc_id": INTEGERS, "documents.vector": (), "documents.external_id": ("text",),
        "documents.payload": ("object",), "documents.unheard_of": ()}),
    "delete": ("POST", f"/api/v1/collections/{NAME}/delete", {"ids": [1]}, {"ids": (), "filter": (), "unheard_of": ()}),
    "query": ("POST", f"/api/v1/collections/{NAME}/query", {"query_vector": [1, 2, 3]}, {
        "query_vector": (), "top_k": (), "ef_search": (), "exact": ("true",), "with_payload": ("true",), "with_vector": ("true", "list"),
        "explain": ("true",), "timeout_ms": (), "filter": ("object",), "as_of": (), "queries": (), "unheard_of": ()}),
    "query_many": ("POST", f"/api/v1/collections/{NAME}/query", {"queries": [{"query_vector": [1, 2, 3]}]}, {
        "queries.query_vector": (), "queries.top_k": (), "queries.exact": ("true",), "queries.unheard_of": (), "query_vector": (), "top_k": ()}),
}
IN_VECTORS = ("minus", "zero", "half", "past_u64", "minus_past_i64")  # numbers that a vector may hold


def with_member(body, member, fragment):
    """The body as bytes, with the fragment as the value of the member (`a.b`: of b in a, or in a's first element)."""
    body = json.loads(json.dumps(body))
    *above, last = member.split(".")
    place = body
    for name in above:
        place = place.setdefault(name, {})
        place = place[0] if isinstance(place, list) else place
    place[last] = "@here@"
    return json.dumps(body).encode().replace(b'"@here@"', fragment)


class Target:
    """A node with one collection, and the check every answer has to pass."""

    def __init__(self):
        self.folder = Folder("hostile")
        self.node = None
        self.count = 0

    def __enter__(self):
        self.node = Node(self.folder.path).start()
        self.client = self.node.client()
        self.client.create(NAME, DIM, "l2")
        self.client.post(f"/api/v1/collections/{NAME}/insert", {"doc_id": 1, "vector": [1, 2, 3], "payload": {"a": 1}})
        return self

    def __exit__(self, kind, value, trace):
        self.node.__exit__(kind, value, trace)
        self.folder.__exit__(kind, value, trace)

    def refused(self, method, path, body=None, names=None, statuses=range(400, 500), headers=None):
        """The request gets a problem that names what is wrong."""
        self.count += 1
        answer = self.client.request(method, path, body, headers)
        what = f"{method} {path} {body if body is None or len(body) < 200 else body[:200]!r}"
        self.check_problem(answer.status, answer.headers["Content-Type"], answer.body, what, statuses)
        problem = answer.json
        if names is not None and problem["code"] != "malformed_json":
            check(names in problem["detail"], f"{what}: the detail does not name {names}: {problem['detail']}")
        return problem

    def check_problem(self, status, content_type, body, what, statuses=range(400, 500)):
        check(status in statuses, f"{what}: answered {status} {body[:300]!r}")
        check(content_type == "application/problem+json", f"{what}: {status} as {content_type}")
        problem = json.loads(body)
        for member in ("type", "title", "status", "detail", "code", "request_id", "retryable", "hint"):
            check(member in problem, f"{what}: no {member} in {problem}")
        check(problem["status"] == status and len(problem["detail"]) >= 8, f"{what}: {problem}")

    def works(self):
        """Still a node that stores and finds."""
        self.node.check_alive("after hostile input")
        client = self.node.client()
        client.post(f"/api/v1/collections/{NAME}/insert", {"doc_id": 2, "vector": [4, 5, 6]})
        best = client.query(NAME, [4, 5, 6], top_k=1)["matches"][0]
        check(best["doc_id"] == 2 and best["distance"] == 0, f"the node no longer finds: {best}")
        check(client.get("/health")["status"] == "healthy", f"health: {client.get('/health')}")
        client.close()


def members_of_wrong_type():
    with Target() as t:
        for method, path, body, members in MEMBERS.values():
            for member, fine in members.items():
                for name, fragment in FRAGMENTS.items():
                    if name not in fine:
                        t.refused(method, path, with_member(body, member, fragment), member.split(".")[-1])
                for fragment in BROKEN.values():
                    t.refused(method, path, with_member(body, member, fragment))
            for name, fragment in {**FRAGMENTS, **BROKEN}.items():
                if name != "object" or method == "PATCH":
                    t.refused(method, path, fragment)
        for route, member in (("insert", "vector"), ("query", "query_vector")):
            method, path, body, _ = MEMBERS[route]
            for name, fragment in {**FRAGMENTS, **BROKEN, "null": b"null"}.items():
                if name not in IN_VECTORS:
                    t.refused(method, path, with_member(body, member, b"[1,2," + fragment + b"]"), member)
            for count in (0, 1, 2, 4, 65536, 100000):
                t.refused(method, path, with_member(body, member, b"[" + b",".join([b"1"] * count) + b"]"), member)
        for name, fragment in {**FRAGMENTS, **BROKEN, "null": b"null"}.items():
            if name != "zero":
                t.refused("POST", f"/api/v1/collections/{NAME}/delete", with_member({}, "ids", b"[1," + fragment + b"]"), "ids")
        # A member that must be there, a member twice, too many of something.
        for method, path, body, _ in MEMBERS.values():
            for member in body:
                if member not in ("doc_id", "ef_search"):
                    t.refused(method, path, {k: v for k, v in body.items() if k != member})
        insert, query = (f"/api/v1/collections/{NAME}/{what}" for what in ("insert", "query"))
        t.refused("POST", insert, {"documents": [{"vector": [1, 2, 3]}] * 10001}, "10001", [413])
        t.refused("POST", query, {"queries": [{"query_vector": [1, 2, 3]}] * 10001}, "10001", [413])
        t.refused("POST", f"/api/v1/collections/{NAME}/delete", {"ids": [1] * 10001}, "10001", [413])
        t.refused("POST", query, {"query_vector": [1, 2, 3], "top_k": 16385}, "top_k")
        t.refused("POST", query, {"query_vector": [1, 2, 3], "ef_search": 32769}, "ef_search")
        t.refused("POST", "/api/v1/collections", {"name": "c", "dimension": 65536, "metric": "l2"}, "dimension")
        t.refused("POST", "/api/v1/collections", {"name": NAME, "dimension": 3, "metric": "l2"}, NAME, [409])
        for name in ("a/b", "a\\b", "a\nb", "a?b", "\x7f", "x" * 256, "é" * 200):
            t.refused("POST", "/api/v1/collections", {"name": name, "dimension": 3, "metric": "l2"})
        t.client.create("unit", 3, "cosine")
        t.refused("POST", "/api/v1/collections/unit/insert", {"vector": [0, 0, 0]}, "vector", [422])
        t.refused("POST", "/api/v1/collections/unit/query", {"query_vector": [0, 0, 0]}, "query_vector", [422])
        print(f"{t.count} requests refused")
        t.works()


def cut_bodies():
    with Target() as t:
        for method, path, body, _ in MEMBERS.values():
            text = json.dumps(body).encode()
            for at in range(len(text)):
                t.refused(method, path, text[:at])
            for tail in (b"{}", b"x", b",", b"\x00", b"[", text):
                t.refused(method, path, text + tail)
        print(f"{t.count} requests refused")
        t.works()


def paths_and_parameters():
    base = f"/api/v1/collections/{NAME}"
    with Target() as t:
        for bad in ("%", "%2", "%zz", "%00", "a%00b", "%ff", "%c0%af", "..%2f..%2fetc", "%2e%2e", "no-such", UUID, "x" * 3000, "%20", "a%2fb", "+"):
            for method, rest, body in (("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"ef_search": 9}), ("GET", "/docs", None),
                                       ("POST", "/insert", {"vector": [1, 2, 3]}), ("POST", "/query", {"query_vector": [1, 2, 3]}),
                                       ("POST", "/delete", {"ids": [1]}), ("GET", "/docs/1", None), ("DELETE", "/docs/1", None)):
                t.refused(method, f"/api/v1/collections/{bad}{rest}", body)
        for bad in ("abc", "-1", "1.5", "18446744073709551616", "9" * 100, "0x1", "%20", "1%202", "%31%", "0a1b2c3d-0000-4000-8000", UUID + "0",
                    UUID, "%7b", "1e3", "'1'", "%221%22", "+1", "x" * 2000):
            for method in ("GET", "DELETE"):
                t.refused(method, f"{base}/docs/{bad}")
        for bad in ("limit=0", "limit=-1", "limit=1001", "limit=abc", "limit=", "limit=1e2", "limit=99999999999999999999", "limit=%31%",
                    "cursor=abc", "cursor=%ff", "cursor=", "cursor=" + "A" * 5000, "cursor=AQ", "with_vector=2", "with_vector=", "with_vector=TRUE",
                    "unheard_of=1", "filter=x", "limit=1&limit=2", "&&&=", "=1", "%=1", "%zz=1", "limit=1;limit=2"):
            t.refused("GET", f"{base}/docs?{bad}")
            t.refused("GET", f"/admin/collections/{NAME}/dlq?{bad}")
        for bad in ("x", "-1", "1.5", "18446744073709551616", "9" * 100, "0x1", "%20", "%00", "7", "+1"):
            for rest in ("", "/export"):
                t.refused("GET", f"/admin/collections/{NAME}/dlq/{bad}{rest}")
        for path in ("/nothing", "/api", "/api/v2/collections", "/api/v1", f"{base}/nothing", f"{base}/docs/1/2", "/admin", "/admin/nothing", "//",
                     "/api//v1/collections", f"{base}/docs/", f"{base}/warm", f"{base}/branch", "/api/v1/tenants", "/dlq"):
            for method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
                t.count += 1
                answer = t.client.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None)
                check(400 <= answer.status < 500 or (method == "GET" and answer.status == 200), f"{method} {path}: {answer}")
        for path, allowed in (("/api/v1/collections", "GET POST"), (base, "GET PATCH DELETE"), (f"{base}/insert", "POST"), (f"{base}/query", "POST"),
                              (f"{base}/delete", "POST"), (f"{base}/docs", "GET"), (f"{base}/docs/1", "GET DELETE"), ("/health", "GET"),
                              ("/ready", "GET"), ("/metrics", "GET"), ("/api/v1/status", "GET"), ("/admin/readonly", "POST")):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get"):
                if method not in allowed.split():
                    problem = t.refused(method, path)
                    check(problem["status"] in (400, 405), f"{method} {path}: {problem}")
        for headers in ({"Content-Encoding": "gzip"}, {"X-Tiervec-Database": "x"}, {"Expect": "200-ok"}):
            t.refused("POST", f"{base}/query", {"query_vector": [1, 2, 3]}, headers=headers)
        print(f"{t.count} requests refused")
        t.works()


def exchange(port, data, timeout=60, end=True):
    """Sends bytes as they are; all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        got = b""
        try:
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
            while piece := s.recv(65536):
                got += piece
        except TimeoutError:
            raise AssertionError(f"no end of the answer to {data[:200]!r}, so far {got[:300]!r}") from None
        except OSError:
            pass  # closed on us while we still sent: what came before counts
        return got


def answers_of(data):
    """Status, content type and body of each answer in a row."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        check(lines[0].startswith("HTTP/1."), f"no HTTP: {data[:200]!r}")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split()[1])
        length = int(fields.get("content-length", 0))
        if status != 100:
            found.append((status, fields.get("content-type"), rest[:length]))
        data = rest[length:]
    return found


def smuggling(path, body, smuggled):
    """Requests whose end two readers would see in two places, and others that are no HTTP; and what makes one."""
    def post(*headers, content=body, line=b"POST " + path + b" HTTP/1.1"):
        return line + b"\r\n" + b"".join(h + b"\r\n" for h in (b"Host: x",) + headers) + b"\r\n" + content

    length = b"Content-Length: %d" % len(body)
    chunked = b"Transfer-Encoding: chunked"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    bad = {
        "length and chunks": post(length, chunked, content=b"0\r\n\r\n" + smuggled),
        "chunks and length": post(chunked, b"Content-Length: 4", content=chunks + smuggled),
        "two lengths": post(length, b"Content-Length: 3", content=body + smuggled),
        "length list": post(b"Content-Length: %d, 3" % len(body)),
        "length with plus": post(b"Content-Length: +%d" % len(body)),
        "negative length": post(b"Content-Length: -1"),
        "length in hex": post(b"Content-Length: 0x18"),
        "length past 64 bits": post(b"Content-Length: 18446744073709551640"),
        "length with space": post(b"Content-Length: 2 4"),
        "length over the limit": post(b"Content-Length: 33554433"),
        "unknown coding": post(b"Transfer-Encoding: gzip, chunked", content=chunks),
        "chunked twice": post(b"Transfer-Encoding: chunked, chunked", content=chunks),
        "two codings": post(chunked, b"Transfer-Encoding: identity", content=chunks),
        "odd coding": post(b"Transfer-Encoding: xchunked", content=chunks),
        "coding with tab": post(b"Transfer-Encoding:\x0bchunked", content=chunks + smuggled),
        "space before colon": post(b"Content-Length : %d" % len(body), content=body + smuggled),
        "folded header": post(length, b"X-A: 1\r\n 2"),
        "header without colon": post(length, b"nothing"),
        "header without name": post(length, b": x"),
        "name with space": post(length, b"X A: 1"),
        "NUL in a header": post(length, b"X-A: a\x00b"),
        "bare CR": post(length, b"X-A: a\rb"),
        "chunk size negative": post(chunked, content=b"-5\r\nhello\r\n0\r\n\r\n"),
        "chunk size empty": post(chunked, content=b"\r\nhello\r\n0\r\n\r\n"),
        "chunk size huge": post(chunked, content=b"fffffffffffffffff\r\nx\r\n"),
        "chunk size 2^64 - 1": post(chunked, content=b"ffffffffffffffff\r\nx\r\n"),
        "chunk without end": post(chunked, content=b"5\r\nhelloXX0\r\n\r\n"),
        "chunk over the limit": post(chunked, content=b"2000001\r\n" + b"x" * 100),
        "no version": post(length, line=b"POST " + path),
        "version 2": post(length, line=b"POST " + path + b" HTTP/2.0"),
        "version 1.9x": post(length, line=b"POST " + path + b" HTTP/1.9x"),
        "lower case http": post(length, line=b"POST " + path + b" http/1.1"),
        "two spaces": post(length, line=b"POST  " + path + b" HTTP/1.1"),
        "no path": post(length, line=b"POST HTTP/1.1"),
        "path without slash": post(length, line=b"POST x HTTP/1.1"),
        "NUL in the path": post(length, line=b"POST /\x00 HTTP/1.1"),
        "bytes in the path": post(length, line=b"POST /\xff\xfe HTTP/1.1"),
        "long path": post(length, line=b"POST /" + b"a" * 20000 + b" HTTP/1.1"),
        "long method": post(length, line=b"P" * 20000 + b" / HTTP/1.1"),
        "many headers": post(length, *[b"X-%d: 1" % i for i in range(500)]),
        "long header": post(length, b"X-A: " + b"a" * 20000),
        "endless header": b"GET /health HTTP/1.1\r\nX: " + b"a" * 100000,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "zeros": bytes(5000),
        "a line": b"hello\r\n\r\n",
    }
    return bad, post


def malformed_http():
    body = b'{"query_vector":[1,2,3]}'
    bad, post = smuggling(f"/api/v1/collections/{NAME}/query".encode(), body,
                          f"DELETE /api/v1/collections/{NAME} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    with Target() as t:
        for what, data in bad.items():
            answers = answers_of(exchange(t.node.port, data))
            check(len(answers) == 1, f"{what}: {len(answers)} answers: {answers}")
            t.check_problem(*answers[0], what)
            t.count += 1
        # The connection after a refused body: the next request is read where it begins.
        answers = answers_of(exchange(t.node.port, post(b"Content-Length: %d" % len(body), line=b"POST /nothing HTTP/1.1") + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"))
        check([a[0] for a in answers] == [404, 200], f"after a refusal: {answers}")
        # A client that sends all of a body that is too large before it reads still gets its answer.
        big = b'{"documents":[' + b'{"vector":[1,2,3],"payload":{"t":"' + b"x" * (33 << 20) + b'"}}]}'
        t.client.timeout = 120
        t.refused("POST", f"/api/v1/collections/{NAME}/insert", big, statuses=[413])
        print(f"{t.count} requests refused")
        t.works()


def random_bytes():
    """Good requests with bytes changed, cut, doubled and mixed."""
    good = []
    for method, path, body, _ in MEMBERS.values():
        text = json.dumps(body)
        good.append(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        good.append(f"{method} {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{len(text):x}\r\n{text}\r\n0\r\n\r\n".encode())
    good.append(f"GET /api/v1/collections/{NAME}/docs?limit=5&cursor=AQ HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n\r\n".encode())
    good.append(f"GET /api/v1/collections/{NAME}/docs/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())

    def spoil(rng, data):
        data = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at = rng.randrange(len(data) + 1)
            what = rng.randrange(6)
            if what == 0 and at < len(data):
                data[at] = rng.randrange(256)
            elif what == 1:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 50)))
            elif what == 2:
                del data[at:at + rng.choice((1, 3, 30))]
            elif what == 3:
                data[at:at] = data[at:at + rng.randrange(1, 60)]
            elif what == 4:
                other = rng.choice(good)
                data[at:] = other[rng.randrange(len(other)):]
            else:
                data[at:at] = rng.choice((b"\r\n", b"\r\n\r\n", b"\x00", b"[", b'"', b"\\u", b"1e999", b"-", b"%", b"{", b":", b","))
        return bytes(data)

    seen, failures = {}, []
    lock = threading.Lock()

    def run(port, seed, until):
        rng = random.Random(seed)
        while (time.monotonic() < until or sum(seen.values()) < 60 and time.monotonic() < until + 60) and not failures:
            data = b"".join(spoil(rng, rng.choice(good)) for _ in range(rng.choice((1, 1, 3))))
            try:
                answers = answers_of(exchange(port, data))
            except Exception as e:  # pylint: disable=broad-except
                failures.append(f"{data!r}: {e}")
                return
            with lock:
                for status, _, text in answers:
                    seen[status] = seen.get(status, 0) + 1
                    if status >= 500:
                        failures.append(f"{data!r}: {status} {text[:300]!r}")

    with Target() as t:
        until = time.monotonic() + SECONDS
        threads = [threading.Thread(target=run, args=(t.node.port, SEED + i, until)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        t.node.check_alive("under random bytes")
        check(not failures, failures[0] if failures else "")
        check(sum(seen.values()) > 50 and 400 in seen, f"too little was answered: {seen}")
        print(f"answers: {dict(sorted(seen.items()))}")
        t.works()


if __name__ == "__main__":
    SECONDS = support.take_option("--seconds", 8)
    SEED = support.take_seed()
    support.main(members_of_wrong_type, cut_bodies, paths_and_parameters, malformed_http, random_bytes)
