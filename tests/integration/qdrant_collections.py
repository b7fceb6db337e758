"""The compatible dialect's side of collections, asked of the real program: shapes, aliases, configuration, restarts, a
restore from a directory as the bucket, the listener of its own.

    python3 tests/integration/qdrant_collections.py [name of a test below ...]
"""
import os
import shutil
import threading
import time

from support import Client, Folder, Node, check

CHANGES = 15
PARAMS = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "on_disk": False}
OPTIMIZER = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
             "max_segment_size": None, "memmap_threshold": None, "indexing_threshold": 10000, "flush_interval_sec": 5,
             "max_optimization_threads": None}
WAL = {"wal_capacity_mb": 32, "wal_segments_ahead": 0}

SHAPES = {
    "one": {"vectors": {"size": 4, "distance": "Dot"}},
    "empty-name": {"vectors": {"": {"size": 4, "distance": "Cosine"}}},
    "named": {"vectors": {"text": {"size": 3, "distance": "Euclid", "on_disk": True},
                          "image": {"size": 2, "distance": "Manhattan", "hnsw_config": {"m": 24}}}},
    "mixed": {"vectors": {"": {"size": 2, "distance": "Dot"}, "b c": {"size": 3, "distance": "Cosine"}}},
    "payloads": {},
    "großes Ü": {"vectors": {"size": 1, "distance": "Dot"}},
    "full": {"vectors": {"size": 65535, "distance": "Dot"}, "shard_number": 3, "on_disk_payload": False,
             "hnsw_config": {"ef_construct": 200}, "optimizers_config": {"indexing_threshold": 0},
             "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
             "metadata": {"n": 2 ** 64 - 1, "f": 1.0, "deep": [{"a": None}], "ö": "é"}},
}


def path_of(name):
    return "/collections/" + "".join(c if c.isascii() and c.isalnum() else "".join(f"%{b:02X}" for b in c.encode())
                                     for c in name)


def result(client, method, path, body=None):
    answer = client.ok(method, path, body, 200)
    check(set(answer) == {"usage", "time", "status", "result"} and answer["status"] == "ok" and
          answer["usage"] is None and isinstance(answer["time"], float), f"{method} {path}: the envelope {answer}")
    return answer["result"]


def refused(client, method, path, body, status, text):
    answer = client.request(method, path, body)
    check(answer.status == status and answer.json["result"] is None and answer.json["time"] == 0.0 and
          answer.json["status"]["error"].startswith(text), f"{method} {path} {body}: {answer}, wanted {status} {text}")


def create_all(client):
    for name, body in SHAPES.items():
        check(result(client, "PUT", path_of(name), body) is True, f"{name} was not made")


def check_all(client, points=0):
    for name, body in SHAPES.items():
        info = result(client, "GET", path_of(name))
        check(set(info) == {"status", "optimizer_status", "indexed_vectors_count", "points_count", "segments_count",
                            "config", "payload_schema"}, f"{name}: the members {info}")
        check(info["status"] == "green" and info["optimizer_status"] == "ok" and info["segments_count"] >= 1 and
              info["payload_schema"] == {}, f"{name}: {info}")
        check(info["points_count"] == (points if name == "one" else 0), f"{name}: {info}")
        config = info["config"]
        vectors = config["params"].pop("vectors")
        check(vectors == body.get("vectors", {}), f"{name}: the shape {vectors}")
        check(config["params"] == {k: body.get(k, v) for k, v in PARAMS.items()}, f"{name}: {config}")
        check(config["hnsw_config"] == {**HNSW, **body.get("hnsw_config", {})}, f"{name}: {config}")
        check(config["optimizer_config"] == {**OPTIMIZER, **body.get("optimizers_config", {})}, f"{name}: {config}")
        check(config["wal_config"] == WAL, f"{name}: {config}")
        check(config["quantization_config"] == body.get("quantization_config"), f"{name}: {config}")
        check(config.get("metadata") == body.get("metadata") and ("metadata" in config) == ("metadata" in body),
              f"{name}: {config}")
    listed = [c["name"] for c in result(client, "GET", "/collections")["collections"]]
    check(sorted(listed) == sorted(SHAPES), f"listed are {listed}")
    raw = client.request("GET", path_of("full")).body
    check(b'"n":18446744073709551615,"f":1.0,' in raw, f"numbers of metadata: {raw}")


def wait(fine, what, seconds=60):
    """What comes from the bucket arrives beside serving."""
    deadline = time.monotonic() + seconds
    while not fine():
        check(time.monotonic() < deadline, what)
        time.sleep(0.02)


def aliases_of(client):
    return [(a["alias_name"], a["collection_name"]) for a in result(client, "GET", "/aliases")["aliases"]]


def change_aliases(client, *actions):
    return client.request("POST", "/collections/aliases", {"actions": list(actions)})


def make(alias, collection):
    return {"create_alias": {"collection_name": collection, "alias_name": alias}}


def collections_keep_their_shape_over_restarts():
    with Folder("qdrant") as folder, Node(folder) as node:
        client = node.start().client()
        create_all(client)
        check_all(client)
        for name in SHAPES:
            refused(client, "PUT", path_of(name), SHAPES[name], 409, f"Wrong input: Collection `{name}` already exists!")
        node.kill9()
        client = node.start().client()
        check_all(client)
        for name in SHAPES:
            check(result(client, "GET", path_of(name) + "/exists") == {"exists": True}, name)
            check(result(client, "DELETE", path_of(name)) is True, name)
            check(result(client, "DELETE", path_of(name)) is False, name)
            check(result(client, "GET", path_of(name) + "/exists") == {"exists": False}, name)
            refused(client, "GET", path_of(name), None, 404, f"Not found: Collection `{name}` doesn't exist!")
        node.stop()


def a_changed_configuration_stays_changed():
    with Folder("qdrant") as folder, Node(folder) as node:
        client = node.start().client()
        create_all(client)
        change = {"metadata": {"n": 5, "new": []}, "hnsw_config": {"m": 32}, "params": {"replication_factor": 2},
                  "optimizers_config": {"indexing_threshold": 20000}, "vectors": {"": {"on_disk": True}}}
        check(result(client, "PATCH", path_of("full"), change) is True, "the change")
        check(result(client, "PATCH", path_of("mixed"), {"vectors": {"b c": {"on_disk": False}}}) is True, "the change")
        refused(client, "PATCH", path_of("mixed"), {"vectors": {"c": {"on_disk": False}}}, 400,
                "Wrong input: Not existing vector name error: c")
        for again in (False, True):
            config = result(client, "GET", path_of("full"))["config"]
            check(config["metadata"] == {**SHAPES["full"]["metadata"], "n": 5, "new": []}, f"{config}")
            check(config["hnsw_config"] == {**HNSW, "m": 32, "ef_construct": 200}, f"{config}")
            check(config["params"] == {**PARAMS, "vectors": {"size": 65535, "distance": "Dot", "on_disk": True},
                                       "shard_number": 3, "on_disk_payload": False, "replication_factor": 2}, f"{config}")
            check(config["optimizer_config"] == {**OPTIMIZER, "indexing_threshold": 20000}, f"{config}")
            vectors = result(client, "GET", path_of("mixed"))["config"]["params"]["vectors"]
            check(vectors == {"": {"size": 2, "distance": "Dot"},
                              "b c": {"size": 3, "distance": "Cosine", "on_disk": False}}, f"{vectors}")
            if not again:
                node.kill9()
                client = node.start().client()
        node.stop()


def changes_at_once_all_count():
    """Each is answered 200, so each is there, and it is there after a restart."""
    def change(client, worker, wrong):
        for i in range(CHANGES):
            answer = client.request("PATCH", path_of("one"), {"metadata": {f"{worker}-{i}": i}})
            if answer.status != 200:
                wrong.append(answer)

    with Folder("qdrant") as folder, Node(folder) as node:
        client = node.start().client()
        result(client, "PUT", path_of("one"), SHAPES["one"])
        wrong = []
        workers = [threading.Thread(target=change, args=(node.client(), w, wrong)) for w in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        check(not wrong, f"{wrong[:1]}")
        node.kill9()
        client = node.start().client()
        told = result(client, "GET", path_of("one"))["config"]["metadata"]
        want = {f"{w}-{i}": i for w in range(4) for i in range(CHANGES)}
        check(told == want, f"{len(told)} of {len(want)} changes that were answered are there")
        node.stop()


def aliases_change_all_or_none():
    with Folder("qdrant") as folder, Node(folder) as node:
        client = node.start().client()
        create_all(client)
        check(change_aliases(client, make("x", "one"), make("y", "named")).json["result"] is True, "made")
        check(aliases_of(client) == [("x", "one"), ("y", "named")], aliases_of(client))
        swap = [{"rename_alias": {"old_alias_name": "x", "new_alias_name": "t"}},
                {"rename_alias": {"old_alias_name": "y", "new_alias_name": "x"}},
                {"rename_alias": {"old_alias_name": "t", "new_alias_name": "y"}}]
        check(change_aliases(client, *swap).json["result"] is True, "swapped")
        swapped = [("x", "named"), ("y", "one")]
        check(aliases_of(client) == swapped, aliases_of(client))
        for bad, status, text in (
                (make("z", "none"), 404, "Not found: Collection `none` doesn't exist!"),
                (make("z", "x"), 404, "Not found: Collection `x` doesn't exist!"),
                (make("full", "one"), 409, "Wrong input: Collection `full` already exists!"),
                (make("a/b", "one"), 422, "Validation error in JSON body: ["),
                ({"rename_alias": {"old_alias_name": "none", "new_alias_name": "z"}}, 404, "Not found: "),
                ({"move_alias": {}}, 400, "Format error in JSON body: ")):
            refused(client, "POST", "/collections/aliases",
                    {"actions": [{"delete_alias": {"alias_name": "x"}}, bad]}, status, text)
            check(aliases_of(client) == swapped, f"{bad}: {aliases_of(client)}")
        refused(client, "PUT", path_of("x"), {}, 409, "Wrong input: Collection `x` already exists!")
        check(result(client, "GET", "/collections/y")["config"]["params"]["vectors"] == SHAPES["one"]["vectors"], "y")
        check(result(client, "GET", "/collections/y/exists") == {"exists": True}, "y")
        check(result(client, "DELETE", "/collections/y") is False, "an alias was followed")
        check(result(client, "GET", "/collections/one/aliases") ==
              {"aliases": [{"alias_name": "y", "collection_name": "one"}]}, "of one collection")
        node.kill9()
        client = node.start().client()
        check(aliases_of(client) == swapped, aliases_of(client))
        check(result(client, "DELETE", path_of("one")) is True and aliases_of(client) == [("x", "named")], "gone with it")
        node.stop()


def payload_indexes_are_told():
    with Folder("qdrant") as folder, Node(folder) as node:
        client = node.start().client()
        create_all(client)
        index = path_of("one") + "/index"
        text = {"type": "text", "tokenizer": "prefix", "lowercase": False, "min_token_len": 2}
        for schema in ("keyword", {"type": "keyword", "is_tenant": True}, "integer", "integer"):
            done = result(client, "PUT", index + "?wait=true", {"field_name": "a.b[]", "field_schema": schema})
            check(done["status"] == "completed" and isinstance(done["operation_id"], int), f"{done}")
        result(client, "PUT", index + "?wait=true", {"field_name": "t", "field_schema": text})
        want = {"a.b[]": {"data_type": "integer", "params": None, "points": 0},
                "t": {"data_type": "text", "params": text, "points": 0}}
        refused(client, "PUT", index, {"field_name": "a", "field_schema": "number"}, 400, "Format error in JSON body: ")
        refused(client, "PUT", index, {"field_name": "a..b", "field_schema": "bool"}, 400, "Format error in JSON body: ")
        refused(client, "PUT", index, {"field_name": "a", "field_schema": {**text, "stemmer": "english"}}, 400,
                "Wrong input: ")
        refused(client, "PUT", "/collections/none/index", {"field_name": "a", "field_schema": "bool"}, 404, "Not found: ")
        check(result(client, "GET", path_of("one"))["payload_schema"] == want, "the schema")
        node.kill9()
        client = node.start().client()
        check(result(client, "GET", path_of("one"))["payload_schema"] == want, "the schema after a restart")
        for _ in range(2):
            check(result(client, "DELETE", index + "/a.b%5B%5D?wait=true")["status"] == "completed", "dropped")
        check(list(result(client, "GET", path_of("one"))["payload_schema"]) == ["t"], "the schema")
        node.stop()


def a_collection_comes_back_from_the_bucket_alone():
    with Folder("qdrant") as folder:
        bucket = os.path.join(folder, "bucket")
        with Node(folder, args=["--storage-s3-bucket", f"file://{bucket}"]) as node:
            client = node.start().client()
            for name, body in SHAPES.items():
                metadata = {**body.get("metadata", {}), "tier": "memory_s3"}
                check(result(client, "PUT", path_of(name), {**body, "metadata": metadata}) is True, name)
            result(client, "PUT", "/collections/lost", {"metadata": {"tier": "memory"}})
            result(client, "PUT", "/collections/cold", {"metadata": {"tier": "s3_only"}})
            check(client.collection("cold")["tiering_policy"] == "S3Only", "a collection under S3Only")
            result(client, "DELETE", "/collections/cold")
            result(client, "PUT", "/collections/moved", {"metadata": {"tier": "memory", "is": "kept"}})
            result(client, "PUT", "/collections/moved/index?wait=true", {"field_name": "k", "field_schema": "keyword"})
            points = [{"id": i, "vector": [i, 0.5, -1, 2], "payload": {"n": i}} for i in range(1, 101)]
            check(result(client, "PUT", path_of("one") + "/points?wait=true", {"points": points})["status"] == "completed",
                  "the points")
            check(result(client, "PATCH", "/collections/moved", {"metadata": {"tier": "memory_s3"}}) is True, "moved")
            check(client.collection("moved")["tiering_policy"] == "MemoryS3", "the tier did not move")
            change_aliases(client, make("x", "one"), make("l", "lost"))
            shot = result(client, "POST", path_of("one") + "/snapshots")
            check(set(shot) == {"name", "creation_time", "size", "checksum"} and shot["size"] > 0, f"{shot}")
            check(result(client, "GET", path_of("one") + "/snapshots") == [shot], "the snapshot is listed")
            refused(client, "GET", path_of("one") + "/snapshots/none", None, 404, "Not found: Snapshot none not found")
            wait(lambda: client.request("POST", "/admin/collections/moved/snapshot").status == 200, "the base of what moved is not there")
            for info in map(client.collection, ("one", "moved")):
                wait(lambda at=info: client.collection(at["name"])["bucket"]["shipped_lsn"] >= at["last_lsn"], f"{info} is not shipped")
            node.stop()
            shutil.rmtree(node.data_dir)
            client = node.start(("--take-ownership",)).client()
            for name in [*SHAPES, "moved"]:
                wait(lambda name=name: result(client, "GET", path_of(name))["status"] == "green", f"{name} is not loaded")
            for name, body in SHAPES.items():
                body.setdefault("metadata", {})["tier"] = "memory_s3"
            try:
                moved = result(client, "GET", "/collections/moved")
                check(moved["config"]["metadata"] == {"tier": "memory_s3", "is": "kept"}, f"{moved}")
                check(moved["payload_schema"] == {"k": {"data_type": "keyword", "params": None, "points": 0}}, f"{moved}")
                # It serves before it may be changed.
                wait(lambda: client.request("DELETE", "/collections/moved").status == 200, "moved is not dropped")
                check_all(client, points=100)
            finally:
                for body in SHAPES.values():
                    del body["metadata"]["tier"]
                    if not body["metadata"]:
                        del body["metadata"]
            wait(lambda: aliases_of(client) == [("x", "one")], "the aliases are not back")
            check(client.get("/api/v1/collections/x/docs/7")["document"]["payload"] == {"n": 7}, "a point")
            node.stop()


def the_fixed_port_has_the_same_rules():
    with Folder("qdrant") as folder, Node(folder, args=["--compat-qdrant-listen", "localhost:0", "--set",
                                                        "compat.qdrant.max_body=4096"]) as node:
        node.start()
        line = next(l for l in node.log_lines() if l["message"] == "listening for the compatible dialect")
        own, first = Client(line["fields"]["port"]), node.client()
        check(result(own, "PUT", path_of("one"), SHAPES["one"]) is True, "made")
        for client in (own, first):
            check(result(client, "GET", "/collections") == {"collections": [{"name": "one"}]}, "listed")
            check(client.get("/")["version"].count(".") == 2, "the version")
            check(client.get("/readyz") == b"all shards are ready", "ready")
            refused(client, "PUT", path_of("big"), {"metadata": {"x": "y" * 5000}}, 413, "Payload too large: ")
            refused(client, "GET", "/collections/none/x/y", None, 404, "Not found: ")
        check(own.get("/api/v1/collections")["collections"][0]["name"] == "one", "our own routes")
        refused(own, "GET", "/nothing", None, 404, "Not found: ")
        check(first.request("GET", "/nothing").json["code"] == "no_such_route", "our own problems")
        node.stop()


def any_text_is_an_id_where_that_was_asked_for():
    with Folder("qdrant") as folder, Node(folder) as node:
        own = node.start().client()
        result(own, "PUT", path_of("strict"), SHAPES["one"])
        node.stop()
        own = node.start(("--set", "compat.qdrant.string_ids=true")).client()
        result(own, "PUT", path_of("one"), SHAPES["one"])
        refused(own, "PUT", path_of("strict") + "/points", {"points": [{"id": "12", "vector": [1, 0, 0, 0]}]}, 400,
                'Format error in JSON body: value "12" is not a valid point ID, valid values are either an unsigned '
                "integer or a UUID")
        points = [{"id": i, "vector": [1, 0, 0, 0]} for i in ("a/b ü", "12", 12)]
        check(result(own, "PUT", path_of("one") + "/points?wait=true", {"points": points})["status"] == "completed", "ids")
        check(result(own, "GET", path_of("one") + "/points/a%2Fb%20%C3%BC")["id"] == "a/b ü", "a text as an id")
        check(result(own, "GET", path_of("one") + "/points/12")["id"] == 12, "digits in a path are the integer")
        check([p["id"] for p in result(own, "POST", path_of("one") + "/points", {"ids": ["12", 12]})] == ["12", 12], "ids")
        node.stop()


if __name__ == "__main__":
    import support
    support.main(collections_keep_their_shape_over_restarts, a_changed_configuration_stays_changed,
                 changes_at_once_all_count, aliases_change_all_or_none, payload_indexes_are_told, a_collection_comes_back_from_the_bucket_alone,
                 the_fixed_port_has_the_same_rules, any_text_is_an_id_where_that_was_asked_for)
