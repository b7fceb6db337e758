"""The points routes of the compatible dialect against the real process, raw HTTP, by section of the specification:
JSON kinds, ids, upserts, payload changes, batches, scrolls, counts, facets, errors and hostile bodies.

    python3 tests/integration/qdrant_points.py [name of a test below ...] [--seed N]
"""
import json
import math
import random
import struct
import threading
import time

import support
from support import Folder, Node, check, f32, resident_bytes, take_seed

SEED = take_seed()
UUIDS = ["936da01f-9abd-4d9d-80c7-02af85c822a8", "00000000-0000-0000-0000-000000000001",
         "ffffffff-ffff-ffff-ffff-ffffffffffff"]


class Points:
    """A collection on a running node; each call checks the envelope and gives back `result` or the error's text."""

    def __init__(self, node, name, vectors, **more):
        self.client = node.client()
        self.path = f"/collections/{name}"
        self.ask("PUT", "", {"vectors": vectors, **more})

    def raw(self, method, path, body=None):
        text = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        if isinstance(text, str):
            text = text.encode()
        return self.client.request(method, self.path + path, text, {"Content-Type": "application/json"})

    def ask(self, method, path, body=None):
        answer = self.raw(method, path, body)
        check(answer.status == 200, f"{method} {path} {str(body)[:300]}: {answer}")
        said = answer.json
        check(said["status"] == "ok" and isinstance(said["time"], float) and said["usage"] is None, f"envelope: {answer}")
        return said["result"]

    def refused(self, method, path, body, status, text):
        answer = self.raw(method, path, body)
        check(answer.status == status, f"{method} {path} {str(body)[:300]}: {answer}, not {status}")
        said = answer.json
        check(said["result"] is None and said["time"] == 0.0, f"envelope: {answer}")
        error = said["status"]["error"]
        check(text in error, f"{method} {path}: {error!r}, not {text!r}")
        return error

    def upsert(self, points, **more):
        done = self.ask("PUT", "/points?wait=true", {"points": points, **more})
        check(done["status"] == "completed" and isinstance(done["operation_id"], int), f"update result: {done}")
        return done["operation_id"]

    def change(self, method, path, body):
        done = self.ask(method, f"/points{path}?wait=true", body)
        check(done["status"] == "completed", f"update result: {done}")
        return done["operation_id"]

    def get(self, point):
        return self.ask("GET", f"/points/{point}")

    def scroll(self, **body):
        return self.ask("POST", "/points/scroll", body)

    def ids(self, **body):
        return [p["id"] for p in self.scroll(limit=10000, with_payload=False, **body)["points"]]

    def count(self, filter=None, exact=True):
        body = {"exact": exact}
        if filter is not None:
            body["filter"] = filter
        return self.ask("POST", "/points/count", body)["count"]


def running(name, *args):
    folder = Folder(name)

    class Both:
        def __enter__(self):
            self.node = Node(folder.__enter__(), args=args).start()
            return self.node.__enter__()

        def __exit__(self, *how):
            if how[0] is None:
                self.node.stop()
            self.node.__exit__(*how)
            folder.__exit__(*how)
    return Both()


def point(id, vector, **payload):
    return {"id": id, "vector": vector, "payload": payload}


def kinds_of_json_are_kept():
    """Section 1: integers exact up to 2^64-1, 1 is not 1.0, null and NaN in a vector are refused."""
    with running("kinds") as node:
        p = Points(node, "c", {"size": 2, "distance": "Dot"})
        payload = ('{"a":9007199254740993,"b":18446744073709551615,"c":-9223372036854775808,"d":1,"e":1.0,"f":1e300,'
                   '"g":null,"h":true,"i":"\\u0000\\ud83d\\ude00","j":[],"k":{},"l":[[1,[2.5]],{"x":[{}]}],"twice":1,"twice":2}')
        p.ask("PUT", "/points?wait=true", '{"points":[{"id":1,"vector":[1,2],"payload":' + payload + "}]}")
        told = p.raw("GET", "/points/1").body.decode()
        for part in ('"a":9007199254740993', '"b":18446744073709551615', '"c":-9223372036854775808', '"d":1,', '"e":1.0',
                     '"twice":2'):
            check(part in told, f"{part} is not in {told}")
        got, want = p.get(1)["payload"], json.loads(payload)
        check(got == want and type(got["e"]) is float and type(got["d"]) is int, f"{got} is not {want}")
        # Counted by what they are.
        for value, n in (("9007199254740993", 1), ("9007199254740992", 0), ("18446744073709551615", 1)):
            for key in "ab":
                found = p.count({"must": [{"key": key, "match": {"value": int(value)}}]})
                check(found == (n if (key == "a") == value.startswith("9") else 0), f"{key} = {value}: {found}")
        for vector in ("[1,null]", "[1,NaN]", "[1,Infinity]", "[1,1e39]", "[1,-1e400]", '[1,"2"]', "[1,[2]]", "[1,true]"):
            p.refused("PUT", "/points", '{"points":[{"id":2,"vector":' + vector + "}]}", 400, "Format error in JSON body: ")
        check(p.count() == 1, "a refused point is there")
        # Shortest decimals that read back.
        rng = random.Random(SEED)
        for _ in range(50):
            v = [struct.unpack("<f", struct.pack("<I", rng.getrandbits(32) & 0xBFFFFFFF))[0] for _ in range(2)]
            p.upsert([point(3, v)])
            back = p.get(3)["vector"]
            check([f32(x) for x in back] == v, f"{v} came back as {back}")


def ids_have_three_forms_and_one_order():
    """Section 5."""
    with running("ids") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        numbers = [0, 1, 2, 10, 9007199254740993, 2**63, 2**64 - 1]
        p.upsert([point(i, [1]) for i in reversed(numbers)])
        p.upsert([point("936DA01F9ABD4D9D80C702AF85C822A8", [1]), point("urn:uuid:" + UUIDS[1], [1]),
                  point(UUIDS[2].upper(), [1])])
        check(p.ids() == numbers + sorted(UUIDS), f"order of ids: {p.ids()}")
        for i in numbers + UUIDS:
            check(p.get(i)["id"] == i, f"GET of {i}")
        check(p.get(UUIDS[0].replace("-", "").upper())["id"] == UUIDS[0], "a UUID without dashes in a path")
        asked = [10, UUIDS[2], 77, 0, 10, UUIDS[1], 2**64 - 1]
        got = [r["id"] for r in p.ask("POST", "/points", {"ids": asked})]
        check(got == [10, UUIDS[2], 0, UUIDS[1], 2**64 - 1], f"in the order asked, absent left out, doubled once: {got}")
        for bad, shown in (('"12"', '"12"'), ('"x"', '"x"'), ("-1", "-1"), ("1.0", "1.0"), ("true", ""), ("[1]", ""), ('""', '""')):
            text = (f"Format error in JSON body: value {shown} is not a valid point ID, valid values are either an "
                    "unsigned integer or a UUID") if shown else "is not a valid point ID"
            p.refused("PUT", "/points", '{"points":[{"id":' + bad + ',"vector":[1]}]}', 400, text)
            p.refused("POST", "/points", '{"ids":[' + bad + "]}", 400, text)
            p.refused("POST", "/points/delete", '{"points":[' + bad + "]}", 400, text)
            if bad not in ("true", "[1]"):
                p.refused("POST", "/points/scroll", '{"offset":' + bad + "}", 400, text)
        p.refused("PUT", "/points", '{"points":[{"id":18446744073709551616,"vector":[1]}]}', 400, "Format error in JSON body: ")
        p.refused("GET", "/points/99", None, 404, "Not found: No point with id 99 found")
        p.refused("GET", f"/points/{UUIDS[0][:-1]}0", None, 404, f"No point with id {UUIDS[0][:-1]}0 found")
        p.refused("GET", "/points/abc", None, 400, "not a valid point ID")


def texts_are_ids_where_they_are_allowed():
    """The extension of section 5: any other text of 1 to 512 bytes, in order behind the UUIDs."""
    with running("texts", "--set", "compat.qdrant.string_ids=true") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        texts = ["a", "12", "x" * 512, "Aa", "\u00e9", "with blank/and slash", '"']
        p.upsert([point(i, [1], n=str(i)) for i in [7, UUIDS[0].upper(), *texts]])
        order = [7, UUIDS[0], *sorted(texts, key=lambda t: t.encode())]
        check(p.ids() == order, p.ids())
        for at in range(len(order)):
            page = p.scroll(limit=1, offset=order[at])
            check(page["points"][0]["id"] == order[at], page)
            check(page["next_page_offset"] == (order[at + 1] if at + 1 < len(order) else None), page)
        check(p.get("with%20blank%2Fand%20slash")["payload"] == {"n": "with blank/and slash"}, "a text in a path")
        check(p.get(7)["id"] == 7, "digits in a path are the integer")
        for bad in ("", "x" * 513, 1.5):
            p.refused("PUT", "/points", {"points": [point(bad, [1])]}, 400, "is not a valid point ID")
        p.change("POST", "/delete", {"points": ["a", "x" * 512]})
        check(p.ids() == [i for i in order if i not in ("a", "x" * 512)], p.ids())
        text = p.refused("POST", "/points/payload", {"payload": {}, "points": ["gone"]}, 404, "")
        check(text == "Not found: No point with id gone found", text)


def an_upsert_replaces_the_point():
    """Section 5: what is not given is gone; update_mode and update_filter; nothing of a refused request is written."""
    with running("upsert") as node:
        p = Points(node, "c", {"a": {"size": 2, "distance": "Euclid"}, "b": {"size": 3, "distance": "Dot"}})
        last = p.upsert([{"id": 1, "vector": {"a": [1, 2], "b": [3, 4, 5]}, "payload": {"x": 1, "y": 2}}])
        check(p.get(1) == {"id": 1, "payload": {"x": 1, "y": 2}, "vector": {"a": [1, 2], "b": [3, 4, 5]}}, p.get(1))
        for vector, payload, back in (({"b": [1, 1, 1]}, {"z": None}, {"z": None}), ({}, None, {}), ({"a": [0, 0]}, {}, {})):
            body = {"id": 1, "vector": vector}
            if payload is not None:
                body["payload"] = payload
            now = p.upsert([body])
            check(now > last, f"operation_id {now} after {last}")
            last = now
            check(p.get(1) == {"id": 1, "payload": back, "vector": vector}, p.get(1))
        # Modes.
        p.upsert([{"id": 1, "vector": {}, "payload": {"v": 2}}, {"id": 2, "vector": {}, "payload": {"v": 2}}],
                 update_mode="insert_only")
        check(p.get(1)["payload"] == {} and p.get(2)["payload"] == {"v": 2}, "insert_only")
        p.upsert([{"id": 2, "vector": {}, "payload": {"v": 3}}, {"id": 3, "vector": {}, "payload": {"v": 3}}],
                 update_mode="update_only")
        check(p.get(2)["payload"] == {"v": 3} and p.ids() == [1, 2], "update_only")
        p.upsert([{"id": i, "vector": {}, "payload": {"v": 9}} for i in (1, 2, 4)],
                 update_filter={"must": [{"key": "v", "match": {"value": 3}}]})
        check([p.get(i)["payload"] for i in (1, 2, 4)] == [{}, {"v": 9}, {"v": 9}], "update_filter")
        # Refused as a whole.
        count = p.count()
        for bad, text in (({"id": 9, "vector": [1, 2]}, "Wrong input: Not existing vector name error: "),
                          ({"id": 9, "vector": {"c": [1]}}, "Wrong input: Not existing vector name error: c"),
                          ({"id": 9, "vector": {"a": [1]}}, "Wrong input: Vector dimension error: expected dim: 2, got 1"),
                          ({"id": 9, "vector": {"a": [1, 2, 3]}}, "Wrong input: Vector dimension error: expected dim: 2, got 3")):
            error = p.refused("PUT", "/points?wait=true", {"points": [{"id": 8, "vector": {}}, bad]}, 400, text)
            check(error == text, f"{error!r} is not {text!r}")
        check(p.count() == count, "a part of a refused request was written")
        # Columns.
        def batch(**body):
            return p.ask("PUT", "/points?wait=true", {"batch": body})
        batch(ids=[20, 21], vectors={"a": [[1, 2], [3, 4]]}, payloads=[{"n": 1}, None])
        check(p.get(20) == {"id": 20, "payload": {"n": 1}, "vector": {"a": [1, 2]}}, p.get(20))
        check(p.get(21)["payload"] == {}, p.get(21))
        for body in ({"ids": [1, 2], "vectors": {"a": [[1, 2]]}}, {"ids": [1], "vectors": {"a": [[1, 2]], "b": []}},
                     {"ids": [1], "vectors": {"a": [[1, 2]]}, "payloads": []}):
            p.refused("PUT", "/points", {"batch": body}, 400, "must be equal")
        q = Points(node, "plain", {"size": 2, "distance": "Manhattan"})
        q.ask("PUT", "/points?wait=true", {"batch": {"ids": [1, 2], "vectors": [[1, 2], [3, 4]]}})
        check([r["vector"] for r in q.scroll(with_vector=True)["points"]] == [[1, 2], [3, 4]], "unnamed columns")
        empty = Points(node, "empty", {"": {"size": 2, "distance": "Dot"}})
        empty.upsert([point(1, [1, 2]), point(2, {"": [3, 4]})])
        check(empty.get(2)["vector"] in ([3, 4], {"": [3, 4]}), f"the empty name: {empty.get(2)}")


def vectors_come_back_as_the_metric_keeps_them():
    """Section 5: Cosine normalised, a zero vector stays zero; the others as sent. with_vector selects."""
    with running("vectors") as node:
        rng = random.Random(SEED)
        sent = {i: [f32(rng.uniform(-9, 9)) for _ in range(5)] for i in range(1, 30)}
        sent[99] = [0.0] * 5
        for metric in ("Cosine", "Dot", "Euclid", "Manhattan"):
            p = Points(node, metric.lower(), {"size": 5, "distance": metric})
            p.upsert([point(i, v) for i, v in sent.items()])
            for i, v in sent.items():
                back = p.get(i)["vector"]
                length = math.sqrt(sum(x * x for x in v))
                want = [x / length for x in v] if metric == "Cosine" and length > 0 else v
                check(all(abs(x - y) <= 1e-6 for x, y in zip(back, want)), f"{metric}: {v} came back as {back}")
        p = Points(node, "two", {"a": {"size": 1, "distance": "Dot"}, "b": {"size": 1, "distance": "Dot"}})
        p.upsert([point(1, {"a": [1], "b": [2]}, x=1), point(2, {"b": [3]})])
        for with_vector, want in ((None, [None, None]), (False, [None, None]), (True, [{"a": [1], "b": [2]}, {"b": [3]}]),
                                  (["a"], [{"a": [1]}, {}])):
            got = [r["vector"] for r in p.ask("POST", "/points", {"ids": [1, 2], "with_vector": with_vector})]
            check(got == want, f"with_vector {with_vector}: {got}")
        p.refused("POST", "/points", {"ids": [1], "with_vector": ["c"]}, 400, "Not existing vector name error: c")
        p.change("PUT", "/vectors", {"points": [{"id": 1, "vector": {"a": [7]}}]})
        check(p.get(1) == {"id": 1, "payload": {"x": 1}, "vector": {"a": [7], "b": [2]}}, p.get(1))
        p.change("POST", "/vectors/delete", {"points": [1], "vector": ["b"]})
        check(p.get(1)["vector"] == {"a": [7]}, p.get(1))
        p.change("POST", "/vectors/delete", {"filter": {"must": [{"has_vector": "b"}]}, "vector": ["b"]})
        check(p.get(2)["vector"] == {}, p.get(2))
        error = p.refused("PUT", "/points/vectors?wait=true",
                          {"points": [{"id": 50, "vector": {"a": [1]}}, {"id": 2, "vector": {"a": [8]}}]}, 404, "")
        check(error == "Not found: No point with id 50 found" and p.get(2)["vector"] == {"a": [8]}, f"{error} {p.get(2)}")
        p.refused("PUT", "/points/vectors", {"points": [{"id": 1, "vector": {"c": [1]}}]}, 400, "Not existing vector name error: c")


def a_point_may_have_no_vector():
    """Section 5: {} is legal, and stays what it is through a restart."""
    with running("none") as node:
        p = Points(node, "c", {"size": 2, "distance": "Cosine"})
        p.upsert([point(1, {}), point(2, [3, 4])])
        p.ask("PUT", "/points?wait=true", {"batch": {"ids": [5], "vectors": {}, "payloads": [{"n": 1}]}})

        def vectors():
            return [r["vector"] for r in p.scroll(with_vector=True)["points"]]

        def found():
            return [r["id"] for r in p.ask("POST", "/points/query", {"query": [1, 1]})["points"]]

        near = [f32(0.6), f32(0.8)]
        check([[f32(x) for x in v] for v in vectors()] == [[], near, []] and vectors()[0] == {}, vectors())
        check(found() == [2], "a search over points without a vector")
        p.change("POST", "/vectors/delete", {"points": [2], "vector": [""]})
        p.change("PUT", "/vectors", {"points": [{"id": 1, "vector": [9, 0]}]})
        for _ in range(2):
            check(vectors() == [[1, 0], {}, {}] and found() == [1] and p.get(5)["payload"] == {"n": 1}, vectors())
            node.kill9()
            node.start()
            p.client = node.client()
        p.upsert([point(1, [0, 0])])
        check(p.get(1)["vector"] == [0, 0] and found() == [1], "a zero vector")
        before = p.change("POST", "/delete", {"filter": {}})
        check(p.count() == 0 and p.change("POST", "/payload", {"payload": {}, "filter": {}}) == before, "nothing to change")


def payloads_change_by_paths():
    """Section 6."""
    start = {"a": 1, "b": {"c": [{"d": 1}, {"d": 2, "e": 3}], "f": "x"}, "odd.key": {"g": 1}}
    # method, path, body beside the selector, what becomes of `start`
    table = [
        ("POST", "", {"payload": {"a": 2, "n": None}}, {**start, "a": 2, "n": None}),
        ("POST", "", {"payload": {"b": 7}}, {**start, "b": 7}),
        ("POST", "", {"payload": {}}, start),
        ("POST", "", {"payload": {"z": 1}, "key": "b"}, {**start, "b": {**start["b"], "z": 1}}),
        ("POST", "", {"payload": {"z": 1}, "key": "q.r"}, {**start, "q": {"r": {"z": 1}}}),
        ("POST", "", {"payload": {"z": 1}, "key": "a"}, {**start, "a": {"z": 1}}),
        ("POST", "", {"payload": {"z": 1}, "key": "b.c[]"},
         {**start, "b": {"c": [{"d": 1, "z": 1}, {"d": 2, "e": 3, "z": 1}], "f": "x"}}),
        ("POST", "", {"payload": {"z": 1}, "key": "b.c[1]"},
         {**start, "b": {"c": [{"d": 1}, {"d": 2, "e": 3, "z": 1}], "f": "x"}}),
        ("POST", "", {"payload": {"z": 1}, "key": "b.c[9]"}, start),
        ("POST", "", {"payload": {"z": 1}, "key": '"odd.key"'}, {**start, "odd.key": {"g": 1, "z": 1}}),
        ("PUT", "", {"payload": {"only": [1]}}, {"only": [1]}),
        ("PUT", "", {"payload": {}}, {}),
        ("POST", "/delete", {"keys": ["a", "none", "none.at.all"]}, {k: v for k, v in start.items() if k != "a"}),
        ("POST", "/delete", {"keys": ["b.c[].d"]}, {**start, "b": {"c": [{}, {"e": 3}], "f": "x"}}),
        ("POST", "/delete", {"keys": ['"odd.key".g', "b.f"]}, {"a": 1, "b": {"c": start["b"]["c"]}, "odd.key": {}}),
        ("POST", "/delete", {"keys": []}, start),
        ("POST", "/clear", {}, {}),
    ]
    with running("payload") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        for selector in ("points", "filter"):
            for method, path, body, want in table:
                p.upsert([point(1, [1], **start), point(2, [2], keep=1)])
                which = {"points": [1]} if selector == "points" else {"filter": {"must": [{"has_id": [1]}]}}
                p.change(method, "/payload" + path, {**body, **which})
                got = p.get(1)
                check(got == {"id": 1, "payload": want, "vector": [1]}, f"{method} {path} {body}: {got}")
                check(p.get(2)["payload"] == {"keep": 1}, "another point was changed")
                if path != "/clear":
                    p.refused(method, "/points/payload" + path, body, 400, "Wrong input: ")
        # An id that is not there: the others are changed, then 404 names the first.
        for method, path, body, want in ((("POST", "", {"payload": {"n": 1}}, {"keep": 1, "n": 1})),
                                         (("PUT", "", {"payload": {"n": 2}}, {"n": 2})),
                                         (("POST", "/delete", {"keys": ["n"]}, {})),
                                         (("POST", "/clear", {}, {}))):
            text = p.refused(method, "/points/payload" + path + "?wait=true", {**body, "points": [71, 2, 72]}, 404, "")
            check(text == "Not found: No point with id 71 found", text)
            check(p.get(2)["payload"] == want, f"{path}: {p.get(2)}")
        for key in ("", "a[", '"a', "a..b", "a]"):
            p.refused("POST", "/points/payload/delete", {"keys": [key], "points": [1]}, 400, "")
            p.refused("POST", "/points/payload", {"payload": {}, "key": key, "points": [1]}, 400, "")
        p.change("POST", "/delete", {"points": [1, 71]})
        p.change("POST", "/delete", {"filter": {"must": [{"has_id": [2]}]}})
        check(p.ids() == [], p.ids())
        p.refused("POST", "/points/delete", {}, 400, "Wrong input: ")


def a_batch_is_done_in_order():
    """Section 6."""
    with running("batch") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})

        def batch(*operations):
            return p.ask("POST", "/points/batch?wait=true", {"operations": list(operations)})

        got = batch({"upsert": {"points": [point(1, [1], a=1), point(2, [2])]}},
                    {"set_payload": {"payload": {"b": 2}, "filter": {"must": [{"key": "a", "match": {"value": 1}}]}}},
                    {"delete_payload": {"keys": ["a"], "points": [1]}},
                    {"upsert": {"batch": {"ids": [3], "vectors": [[3]], "payloads": [{"c": 3}]}}},
                    {"overwrite_payload": {"payload": {"d": 4}, "points": [3]}},
                    {"update_vectors": {"points": [{"id": 3, "vector": [33]}]}},
                    {"clear_payload": {"points": [2]}}, {"delete": {"points": [2]}})
        check(len(got) == 8 and all(r["status"] == "completed" for r in got), got)
        numbers = [r["operation_id"] for r in got]
        check(numbers == sorted(numbers), f"operation ids: {numbers}")
        check([p.get(i) for i in (1, 3)] == [{"id": 1, "payload": {"b": 2}, "vector": [1]},
                                             {"id": 3, "payload": {"d": 4}, "vector": [33]}], "after the batch")
        check(p.ids() == [1, 3], p.ids())
        text = p.refused("POST", "/points/batch?wait=true", {"operations": [
            {"set_payload": {"payload": {"z": 1}, "points": [1]}}, {"clear_payload": {"points": [44]}},
            {"delete": {"points": [1]}}]}, 404, "Not found: No point with id 44 found")
        check("operation 1" in text, text)
        check(p.get(1)["payload"] == {"b": 2, "z": 1}, "what stood before the error was done, the rest not")
        p.refused("POST", "/points/batch", {"operations": [{"delete": {"points": [1]}}, {"upsert": {"points": [
            point(5, [1, 2])]}}]}, 400, "Wrong input: Vector dimension error: expected dim: 1, got 2")
        check(p.ids() == [1, 3], "a batch that cannot be read does nothing")
        for bad in ([7], [{}], [{"drop": {}}], [{"delete": {"points": [1]}, "upsert": {}}], 7, None):
            p.refused("POST", "/points/batch", {"operations": bad}, 400, "Format error in JSON body: ")
        check(batch() == [], "an empty batch")


def scrolls_turn_pages_while_points_come_and_go():
    """Section 8."""
    with running("scroll") as node:
        rng = random.Random(SEED)
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        check(p.scroll() == {"points": [], "next_page_offset": None}, "an empty collection")
        stay = sorted(rng.sample(range(1, 5000), 700)) + sorted(UUIDS)
        p.upsert([point(i, [1], n=str(i)) for i in stay])
        check(len(p.scroll()["points"]) == 10, "the default limit")
        offset, seen, turns, extra = None, [], 0, set()
        while True:
            page = p.scroll(limit=37, offset=offset)
            seen += [r["id"] for r in page["points"]]
            check(all(r["payload"]["n"] == str(r["id"]) and r["vector"] is None for r in page["points"]), "a record")
            offset = page["next_page_offset"]
            if offset is None:
                break
            turns += 1
            # Others come and go, and the id the next page begins with may be one of them.
            new = [i for i in rng.sample(range(1, 5000), 30) if i not in stay]
            p.upsert([point(i, [1], n=str(i)) for i in new])
            gone = rng.sample(sorted(extra | set(new)), 15)
            p.change("POST", "/delete", {"points": gone})
            extra = (extra | set(new)) - set(gone)
        order = [(isinstance(i, str), i) for i in seen]
        check(order == sorted(set(order)), "pages are in order, nothing comes twice")
        check(set(stay) <= set(seen) and turns > 15, f"{set(stay) - set(seen)} are missing")
        # The offset is the first id to return, or where it would be.
        for at in (stay[5], stay[5] + 1):
            want = [i for i in p.ids() if isinstance(i, str) or i >= at][:3]
            check([r["id"] for r in p.scroll(limit=3, offset=at)["points"]] == want, f"offset {at}")
        check(p.scroll(limit=1, offset=2**64 - 1)["points"][0]["id"] == sorted(UUIDS)[0], "UUIDs follow integers")
        check(p.ids(filter={"must": [{"has_id": stay[3:6]}]}) == stay[3:6], "a filter")
        check(p.scroll(limit=1, with_payload=False, with_vector=True)["points"][0]["vector"] == [1], "with_vector")
        whole = p.scroll(limit=100000)
        check(len(whole["points"]) == p.count() and whole["next_page_offset"] is None, "one page of all")
        # By id, more than are read at a time: in the order asked, each once.
        asked = p.ids() + [i for i in range(5000, 8000)]
        rng.shuffle(asked)
        got = [r["id"] for r in p.ask("POST", "/points", {"ids": asked + asked[::-1], "with_vector": True})]
        there = set(p.ids())
        check(got == [i for i in asked if i in there], "points by id")
        p.refused("POST", "/points/scroll", {"limit": 0}, 422, "Validation error in JSON body: [limit: ")
        for body in ({"limit": -1}, {"limit": "1"}, {"limit": 1.5}, {"with_payload": 7}, {"filter": []}, {"offset": [1]}):
            p.refused("POST", "/points/scroll", body, 400, "")


def scrolls_in_the_order_of_a_value():
    """Section 8, order_by."""
    with running("order") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        values = {1: 5, 2: -3, 3: None, 4: 2**53 + 1, 5: [7, 1], 6: "x", 7: 5}
        p.upsert([point(i, [1], n=v) for i, v in values.items()] + [point(8, [1])])
        p.refused("POST", "/points/scroll", {"order_by": "n"}, 400, "")
        p.ask("PUT", "/index?wait=true", {"field_name": "n", "field_schema": "integer"})

        def ordered(**order):
            page = p.scroll(limit=100, order_by={"key": "n", **order})
            check(page["next_page_offset"] is None, page)
            return [(r["id"], r["order_value"]) for r in page["points"]]

        rising = [(2, -3), (5, 1), (1, 5), (7, 5), (5, 7), (4, 2**53 + 1)]
        check(ordered() == rising, ordered())
        check(ordered(direction="asc", start_from=5) == rising[2:], ordered(start_from=5))
        falling = ordered(direction="desc")
        check([v for _, v in falling] == [v for _, v in reversed(rising)] and set(falling) == set(rising), falling)
        check([v for _, v in ordered(direction="desc", start_from=5)] == [5, 5, 1, -3], ordered(direction="desc", start_from=5))
        check([r["id"] for r in p.scroll(limit=2, order_by="n")["points"]] == [2, 5], "the short form, and a limit")
        times = {1: "1970-01-01T00:00:01.5Z", 2: "1969-12-31T23:59:59.9999999Z", 3: "2024-02-29"}
        p.upsert([point(100 + i, [1], at=v) for i, v in times.items()])
        p.ask("PUT", "/index?wait=true", {"field_name": "at", "field_schema": "datetime"})
        told = [(r["id"], r["order_value"]) for r in p.scroll(limit=9, order_by="at")["points"]]
        check(told == [(102, -1), (101, 1500000), (103, 1709164800000000)], f"microseconds since 1970, as integers: {told}")
        p.refused("POST", "/points/scroll", {"order_by": "n", "offset": 1}, 400, "offset")
        p.refused("POST", "/points/scroll", {"order_by": {"key": "n", "direction": "up"}}, 400, "direction")
        p.refused("POST", "/points/scroll", {"order_by": {"direction": "asc"}}, 400, "key")


def counts_and_facets():
    """Section 3."""
    with running("count") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        p.upsert([point(i, [1], colour=["red", "blue", "green"][i % 3], n=i % 2, both=[["a"], ["a", "b"]][i % 2])
                  for i in range(100)])
        red = {"must": [{"key": "colour", "match": {"value": "red"}}]}
        check(p.count() == 100 and p.count(red) == 34 and p.count({}) == 100, "counts")
        check(p.ask("POST", "/points/count", {})["count"] == 100, "no members")
        check(0 <= p.count(red, exact=False) <= 100, "an estimate")
        p.refused("POST", "/points/count", {"filter": {"must": [{"key": "a"}]}}, 400, "")
        p.ask("PUT", "/index?wait=true", {"field_name": "colour", "field_schema": "keyword"})
        p.ask("PUT", "/index?wait=true", {"field_name": "both", "field_schema": "keyword"})
        p.ask("PUT", "/index?wait=true", {"field_name": "n", "field_schema": "integer"})

        def facet(key, **more):
            return [(h["value"], h["count"]) for h in p.ask("POST", "/facet", {"key": key, "exact": True, **more})["hits"]]

        check(facet("colour") == [("red", 34), ("blue", 33), ("green", 33)], facet("colour"))
        check(facet("colour", limit=1) == [("red", 34)], facet("colour", limit=1))
        check(facet("both") == [("a", 100), ("b", 50)], facet("both"))
        p.upsert([point(i, [1], yes=i < 203) for i in range(200, 210)])
        p.ask("PUT", "/index?wait=true", {"field_name": "yes", "field_schema": "bool"})
        check(facet("yes") == [(False, 7), (True, 3)] and type(facet("yes")[0][0]) is bool, facet("yes"))
        check(facet("n", filter=red) == [(0, 17), (1, 17)], facet("n", filter=red))
        p.refused("POST", "/facet", {"limit": 1}, 400, "key")
        p.refused("POST", "/facet", {"key": "colour", "limit": 0}, 422, "Validation error in JSON body: [limit: ")


def what_was_not_waited_for_is_there_soon():
    """wait=false is acknowledged, rises, and is read; with a restart in between too."""
    with running("wait") as node:
        p = Points(node, "c", {"size": 1, "distance": "Dot"})
        last = 0
        for i in range(50):
            done = p.ask("PUT", "/points" + ("" if i % 2 else "?wait=false"), {"points": [point(i, [i], n=i)]})
            check(done["status"] == "acknowledged" and done["operation_id"] > last, done)
            last = done["operation_id"]
            deadline = time.monotonic() + 60
            while not p.ask("POST", "/points", {"ids": [i]}):
                check(time.monotonic() < deadline, f"point {i} is not there")
        done = p.ask("POST", "/points/payload", {"payload": {"m": 1}, "points": [3]})
        check(done["status"] == "acknowledged", done)
        node.kill9()
        node.start()
        p.client = node.client()
        check(p.count() == 50, f"{p.count()} of 50 acknowledged points after kill -9")
        check(p.get(3)["payload"] == {"n": 3, "m": 1}, p.get(3))


def large_bodies_are_read_and_hostile_ones_refused():
    """1,000 x 1,536 in both forms; what is too large, too deep or no JSON at all, in bounded memory."""
    with running("large") as node:
        rng = random.Random(SEED)
        p = Points(node, "c", {"size": 1536, "distance": "Dot"})
        vectors = [[f32(rng.uniform(-1, 1)) for _ in range(1536)] for _ in range(20)]
        rows = [vectors[i % 20][:-1] + [float(i)] for i in range(1000)]
        p.upsert([point(i, v, n=i) for i, v in enumerate(rows)])
        p.ask("PUT", "/points?wait=true", {"batch": {"ids": list(range(1000, 2000)), "vectors": rows,
                                                     "payloads": [{"n": i} for i in range(1000)]}})
        check(p.count() == 2000, p.count())
        for i in (0, 999, 1000, 1999):
            check([f32(x) for x in p.get(i)["vector"]] == rows[i % 1000] and p.get(i)["payload"] == {"n": i % 1000}, f"point {i}")
        got = p.scroll(limit=1000, with_vector=True)
        check([[f32(x) for x in r["vector"]] for r in got["points"]] == rows and got["next_page_offset"] == 1000, "a page of 1,000 vectors")
        before = resident_bytes(node.process.pid)
        good = json.dumps(point(7, rows[0])).encode()
        deep = b'{"points":[{"id":1,"vector":[1],"payload":{"a":' + b"[" * 200000 + b"]" * 200000 + b"}}]}"
        for body, text in (
                (b'{"points":[' + b",".join([good] * 900) + b',{"id":7,"vector":[1]}]}',
                 "Wrong input: Vector dimension error: expected dim: 1536, got 1"),
                (b'{"points":[' + b",".join([good] * 90), "Format error in JSON body: "),
                (b'{"points":[' + b",".join([good] * 90) + b"]}}", "Format error in JSON body: "),
                (b'{"points":[' + b"[" * 2_000_000, "Format error in JSON body: "),
                (b'{"points":[' + b'{"id":' * 500_000, "Format error in JSON body: "),
                (b'{"points":[' + b"7," * 2_000_000 + b"7]}", "Format error in JSON body: points: "),
                (b'{"points":[{"id":1,"vector":[' + b"0," * 2_000_000 + b"0]}]}", "expected dim: 1536, got 2000001"),
                (b'{"batch":{"ids":[' + b"1," * 2_000_000 + b'1],"vectors":[]}}', "Wrong input: a request has at most 1000000 points"),
                (b'"' * 4_000_001, "Format error in JSON body: "),
                (b" " * 4_000_000, "Format error in JSON body: "),
                (b"\x00" * 4_000_000, "Format error in JSON body: "),
                (deep, "Format error in JSON body: ")):
            answer = p.raw("PUT", "/points?wait=true", body)
            check(answer.status == 400 and text in answer.json["status"]["error"], f"{body[:60]}: {answer}, not {text}")
        huge = b'{"points":[' + b",".join([good] * 1500) + b"]}"
        check(len(huge) > 40 << 20 or len(huge) * 4 > 32 << 20, "the body is not over the limit")
        answer = p.raw("PUT", "/points", huge + b" " * max(0, (33 << 20) - len(huge)))
        check(answer.status == 413 and answer.json["status"]["error"], f"413: {answer}")
        check(p.count() == 2000, "a refused body left something")
        # Several at once.
        def many():
            q = Points.__new__(Points)
            q.client, q.path = node.client(), p.path
            for _ in range(2):
                check(q.raw("PUT", "/points", b'{"points":[' + b"7," * 2_000_000 + b"7]}").status in (400, 503), "many")
        threads = [threading.Thread(target=many) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        node.check_alive("of hostile bodies")
        grown = peak_bytes(node.process.pid) - before
        print(f"resident memory peaked {grown >> 20} MiB above where it was")
        if not support_is_sanitized():
            check(grown < 900 << 20, f"resident memory grew by {grown >> 20} MiB in between")


def peak_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))


def support_is_sanitized():
    with open(support.program(), "rb") as f:
        return b"__asan_init" in f.read()


if __name__ == "__main__":
    support.main(kinds_of_json_are_kept, ids_have_three_forms_and_one_order, texts_are_ids_where_they_are_allowed,
                 an_upsert_replaces_the_point, vectors_come_back_as_the_metric_keeps_them, a_point_may_have_no_vector,
                 payloads_change_by_paths, a_batch_is_done_in_order, scrolls_turn_pages_while_points_come_and_go,
                 scrolls_in_the_order_of_a_value, counts_and_facets, what_was_not_waited_for_is_there_soon,
                 large_bodies_are_read_and_hostile_ones_refused)
