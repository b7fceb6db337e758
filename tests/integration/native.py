"""What our own writes take beside their body, over the real node: conditions, keys, durability; ids as text; deadlines."""
import json
import os
import socket
import threading
import time

from support import Folder, Node, calls_of, check, main


def ask(client, method, path, body=None, status=200, **headers):
    got = client.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    check(got.status == status, f"{method} {path}: {got}")
    return got


def a_condition_names_the_lsn_that_is_there():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        c.create("w", 2)
        w = "/api/v1/collections/w"
        one = {"doc_id": 1, "vector": [1, 2]}
        first = ask(c, "POST", w + "/insert?if_lsn=0", one).json
        there = ask(c, "POST", w + "/insert?if_lsn=0", one, 409)
        check(there.json["code"] == "conflict" and f"lsn {first['lsn']}" in there.json["detail"], there)
        second = ask(c, "POST", f"{w}/insert?if_lsn={first['lsn']}&durability=local", one).json
        check(second["lsn"] > first["lsn"], second)
        ask(c, "DELETE", f"{w}/docs/1?if_lsn={first['lsn']}", None, 409)
        ask(c, "DELETE", f"{w}/docs/1?if_lsn={second['lsn']}")
        ask(c, "POST", f"{w}/insert?if_lsn={second['lsn']}", one, 409)
        ask(c, "POST", w + "/insert?durability=remote", one, 400)
        node.stop()


def a_write_under_a_key_is_done_once():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        made = ask(c, "POST", "/api/v1/collections", {"name": "w", "dimension": 2, "metric": "l2"}, 201, Idempotency_Key="m")
        again = ask(c, "POST", "/api/v1/collections", {"name": "w", "dimension": 2, "metric": "l2"}, 201, Idempotency_Key="m")
        check(again.body == made.body and again.headers["Idempotent-Replayed"] == "true", again)
        w = "/api/v1/collections/w"
        new = {"documents": [{"vector": [1, 2]}, {"vector": [3, 4]}]}
        first = ask(c, "POST", w + "/insert", new, Idempotency_Key="a")
        check("Idempotent-Replayed" not in first.headers, first)
        check(ask(c, "POST", w + "/insert", new, Idempotency_Key="a").body == first.body, "another answer")
        other = ask(c, "POST", w + "/insert", {"vector": [1, 2]}, 422, Idempotency_Key="a")
        check(other.json["code"] == "idempotency_key_reused", other)
        ask(c, "POST", w + "/insert?durability=local", new, 422, Idempotency_Key="a")
        check(c.collection("w")["document_count"] == 2, "written twice")
        gone = {"ids": first.json["doc_ids"][:1]}
        check(ask(c, "POST", w + "/delete", gone, Idempotency_Key="d").json["deleted"] == 1, "not deleted")
        check(ask(c, "POST", w + "/delete", gone, Idempotency_Key="d").json["deleted"] == 1, "not replayed")
        ask(c, "POST", w + "/insert", {"vector": [1]}, 400, Idempotency_Key="e")
        ask(c, "POST", w + "/insert", {"vector": [1, 1]}, Idempotency_Key="e")  # nothing was done under it
        node.kill9()
        c = node.start().client()  # the key is forgotten, the ids it makes are not
        third = ask(c, "POST", w + "/insert", new, Idempotency_Key="a").json
        check(third["doc_ids"] == first.json["doc_ids"], third)
        node.stop()


def many_at_once_under_one_key_write_once():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        c.create("w", 2)
        answers = []

        def go():
            own = node.client()
            answers.append(own.request("POST", "/api/v1/collections/w/insert", {"vector": [1, 2]}, {"Idempotency-Key": "k"}))
            own.close()
        threads = [threading.Thread(target=go) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for a in answers:
            check(a.status == 200 or (a.status == 409 and a.json["code"] == "idempotency_key_busy"
                                      and int(a.headers["Retry-After"]) >= 1), a)
        check(len({a.body for a in answers if a.status == 200}) == 1, answers)
        check(c.collection("w")["document_count"] == 1, "written more than once")
        node.stop()


def ids_are_text_where_the_collection_says_so():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        ask(c, "POST", "/api/v1/collections", {"name": "s", "dimension": 1, "metric": "l2", "string_ids": True}, 201)
        s = "/api/v1/collections/s"
        ids = ["a/b", "42", "é%", "x" * 512]
        ask(c, "POST", s + "/insert", {"documents": [{"doc_id": i, "vector": [n]} for n, i in enumerate(ids)]})
        for start in range(2):
            check({d["doc_id"] for d in c.documents("s", page=1)} == set(ids), f"other ids, start {start}")
            check(ask(c, "GET", s + "/docs/a%2Fb").json["document"]["doc_id"] == "a/b", "another id")
            node.stop()
            c = node.start().client()
        check(c.query("s", [1], top_k=1)["matches"][0]["doc_id"] == "42", "another match")
        ask(c, "POST", s + "/delete", {"ids": ids[:2]})
        ask(c, "DELETE", s + "/docs/%C3%A9%25")
        check([d["doc_id"] for d in c.documents("s")] == ids[3:], "others stay")
        node.stop()


def both_dialects_see_the_same_vectors():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        ask(c, "POST", "/api/v1/collections", {"name": "own", "hnsw": {"threshold": 10}, "vectors": {
            "a": {"dimension": 2, "metric": "l2"}, "b": {"dimension": 3, "metric": "cosine", "hnsw": {"m": 4}}}}, 201)
        ask(c, "PUT", "/collections/other", {"vectors": {"a": {"size": 2, "distance": "Euclid"},
                                                         "b": {"size": 3, "distance": "Cosine", "hnsw_config": {"m": 4}}}})
        for name in ("own", "other"):
            told = ask(c, "GET", f"/collections/{name}").json["result"]["config"]["params"]["vectors"]
            check({n: (v["size"], v["distance"]) for n, v in told.items()} == {"a": (2, "Euclid"), "b": (3, "Cosine")}, told)
            told = ask(c, "GET", f"/api/v1/collections/{name}").json["collection"]["vectors"]
            check({n: (v["dimension"], v["metric"]) for n, v in told.items()} == {"a": (2, "l2"), "b": (3, "cosine")}, told)
            check(told["b"]["hnsw"]["m"] == 4, told)
        for name in ("own", "other"):
            own = f"/api/v1/collections/{name}"
            ask(c, "POST", own + "/insert", {"documents": [
                {"doc_id": 1, "vectors": {"a": [1, 2], "b": [0, 0, 2]}, "payload": {"p": 1}}, {"doc_id": 2, "vectors": {"b": [3, 4, 0]}},
                {"doc_id": 3, "vectors": {}}]})
            ask(c, "PUT", f"/collections/{name}/points?wait=true", {"points": [
                {"id": 4, "vector": {"a": [4, 6], "b": [0, 1, 0]}}, {"id": 5, "vector": {"a": [0, 0]}}, {"id": 6, "vector": {}}]})
            for start in range(2):
                if start == 1:
                    node.kill9()
                    c = node.start().client()
                want = {1: {"a": [1, 2], "b": [0, 0, 1]}, 2: {"b": [0.6, 0.8, 0]}, 3: {}, 4: {"a": [4, 6], "b": [0, 1, 0]}, 5: {"a": [0, 0]}, 6: {}}
                near = lambda got, start=start: {i: {n: [round(x, 5) for x in v] for n, v in vs.items()} for i, vs in got.items()}
                check(near({d["doc_id"]: d["vectors"] for d in c.documents(name)}) == want, f"{name}, pages, start {start}")
                points = ask(c, "POST", f"/collections/{name}/points/scroll", {"with_vector": True, "limit": 100}).json["result"]["points"]
                check(near({p["id"]: p["vector"] for p in points}) == want, f"{name}, scroll, start {start}: {points}")
                for i, vectors in want.items():
                    d = ask(c, "GET", f"{own}/docs/{i}").json["document"]
                    check(near({i: d["vectors"]}) == {i: vectors} and "vector" not in d, d)
                for using, query in (("a", [4, 6]), ("b", [3, 4, 0])):
                    for exact in (True, False):
                        mine = ask(c, "POST", own + "/query", {"query_vector": query, "using": using, "exact": exact,
                                                               "with_vector": True}).json["matches"]
                        theirs = ask(c, "POST", f"/collections/{name}/points/query", {
                            "query": query, "using": using, "params": {"exact": exact}, "with_vector": True}).json["result"]["points"]
                        check([(m["doc_id"], m["score"], m["vectors"]) for m in mine]
                              == [(m["id"], m["score"], m["vector"]) for m in theirs] and mine, f"{mine} {theirs}")
                        check(all(x["distance"] <= y["distance"] for x, y in zip(mine, mine[1:])), mine)
            ask(c, "PATCH", own, {"vectors": {"b": {"hnsw": {"m": 6, "ef_search": 77}}}})
            told = ask(c, "GET", own).json["collection"]["vectors"]
            check((told["b"]["hnsw"]["m"], told["b"]["hnsw"]["ef_search"]) == (6, 77) and told["a"]["hnsw"]["m"] != 6, told)
            # An insert replaces all vectors, a change of vectors one of them.
            ask(c, "POST", own + "/insert", {"doc_id": 4, "vectors": {"b": [1, 0, 0]}})
            check(ask(c, "GET", f"/collections/{name}/points/4").json["result"]["vector"] == {"b": [1, 0, 0]}, "what was not sent is there")
            ask(c, "PUT", f"/collections/{name}/points/vectors?wait=true", {"points": [{"id": 4, "vector": {"a": [7, 7]}}]})
            check(ask(c, "GET", own + "/docs/4").json["document"]["vectors"] == {"a": [7, 7], "b": [1, 0, 0]}, "the others stay")
            some = ask(c, "GET", own + "/docs?with_vector=%5B%22a%22%5D").json["documents"]
            check({d["doc_id"]: d["vectors"] for d in some} == {1: {"a": [1, 2]}, 2: {}, 3: {}, 4: {"a": [7, 7]}, 5: {"a": [0, 0]}, 6: {}}, some)
        node.stop()


def a_deadline_ends_a_filter_that_scans():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        c.create("w", 2)
        w = "/api/v1/collections/w"
        for at in range(0, 30000, 10000):
            ask(c, "POST", w + "/insert", {"documents": [{"doc_id": at + i, "vector": [i, 1], "payload": {
                "a": [{"b": "x" * 20 + str(i), "c": [i, i + 1]}] * 4}} for i in range(10000)]})
        slow = {"query_vector": [1, 1], "filter": {"$and": [{"a": {"$ne": str(n)}} for n in range(40)]
                                                   + [{"$or": [{f"z{n}": {"$exists": True}} for n in range(40)]}]}}
        took = min(ask(c, "POST", w + "/query", slow).json["latency_ms"] for _ in range(3))
        late = ask(c, "POST", w + "/query", {**slow, "timeout_ms": max(1, int(took / 20))}, 504)
        check(late.json["code"] == "deadline_exceeded" and late.json["retryable"], late)
        # What was stopped does not go on: the workers are free at once.
        for _ in range(20):
            ask(c, "POST", w + "/query", {**slow, "timeout_ms": 1}, 504)
        took = max(took, 200)
        deadline = time.monotonic() + 60
        while c.query("w", [1, 1])["latency_ms"] >= took:
            check(time.monotonic() < deadline, "the workers are still busy")
        print(f"the filter takes {took:.0f} ms", flush=True)
        node.stop()


def what_needs_a_bucket_is_refused_at_once_without_one():
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        c.create("w", 1)
        ask(c, "POST", "/admin/collections/w/take-ownership", None, 400)
        ask(c, "POST", "/admin/collections/w/dlq/retry", {"ids": [1]}, 400)
        ask(c, "GET", "/admin/collections/w/dlq/1/export", None, 404)
        ask(c, "GET", "/admin/collections/w/dlq/retry", None, 405)
        node.stop()


def one_write_waits_for_the_bucket_where_it_asks_to():
    with Folder("native") as folder:
        bucket = os.path.join(folder, "bucket")
        os.makedirs(bucket)
        with Node(folder, args=["--storage-s3-bucket", f"file://{bucket}"], env={"TIERVEC_SERVER_TIMEOUT_SECONDS": "15"}) as node:
            c = node.start().client()
            for name, durability in (("l", "local"), ("r", "remote")):
                ask(c, "POST", "/api/v1/collections", {"name": name, "dimension": 1, "metric": "l2",
                                                       "tiering_policy": "MemoryS3", "durability": durability}, 201)
            one = {"doc_id": 1, "vector": [1]}
            for name in "lr":
                w = f"/api/v1/collections/{name}"
                check(ask(c, "POST", w + "/insert?durability=remote", one).json["durability"] == "remote", "not remote")
                check(ask(c, "POST", w + "/delete?durability=remote", {"ids": [1]}).json["durability"] == "remote", "not remote")
                check(ask(c, "POST", w + "/insert", one).json["durability"] == ("local" if name == "l" else "remote"), name)
            os.rename(bucket, bucket + ".away")
            with open(bucket, "w", encoding="ascii"):
                pass
            check(ask(c, "POST", "/api/v1/collections/r/insert?durability=local", one).json["durability"] == "local", "waited")
            late = ask(c, "POST", "/api/v1/collections/l/insert?durability=remote", one, 202, Idempotency_Key="k").json
            check(late["durability"] == "local" and late["latency_ms"] >= 3000, late)
            ask(c, "POST", "/api/v1/collections/l/insert?durability=remote", one, 202, Idempotency_Key="k")
            os.unlink(bucket)
            os.rename(bucket + ".away", bucket)
            node.stop()


def a_query_costs_few_calls_of_the_system():
    """Read it, wake a worker, be woken by it, send: four reads and writes a query, whatever else the node does beside them."""
    queries = 1000
    with Folder("native") as folder, Node(folder) as node:
        c = node.start().client()
        c.create("q", 4)
        c.ok("POST", "/api/v1/collections/q/insert", {"documents": [{"doc_id": i, "vector": [i, 1, 2, 3]} for i in range(50)]})
        body = json.dumps({"query_vector": [1, 2, 3, 4], "top_k": 1}).encode()
        ask = f"POST /api/v1/collections/q/query HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection(("127.0.0.1", node.port), 60) as s, s.makefile("rb") as answers:
            before = calls_of(node.process.pid)
            for _ in range(queries):
                s.sendall(ask)
                length = 0
                while (line := answers.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                check(b"matches" in answers.read(length), "no answer")
            spent = calls_of(node.process.pid) - before
        check(spent <= 6 * queries, f"{spent} reads and writes for {queries} queries")
        node.stop()


if __name__ == "__main__":
    main(a_condition_names_the_lsn_that_is_there, a_write_under_a_key_is_done_once, many_at_once_under_one_key_write_once,
         ids_are_text_where_the_collection_says_so, both_dialects_see_the_same_vectors,
         what_needs_a_bucket_is_refused_at_once_without_one, one_write_waits_for_the_bucket_where_it_asks_to, a_deadline_ends_a_filter_that_scans,
         a_query_costs_few_calls_of_the_system)
