"""GET /openapi.json is held against the running node by schemathesis, all its checks on, for a bounded number of examples.

Two runs: one against a collection that is there ({id} is its id), one with ids at random for what makes the collection go
away. What a schema cannot say is accepted as a 400 or 422 of valid data, operation by operation, below.
"""
import json
import os
import subprocess
import sys

import clients_install
from support import Folder, Node, check, main, take_option

EXAMPLES = take_option("--examples", 12)
SEED = take_option("--seed", 1)

# Their bodies are right or wrong by the collection (dimension, ids, tier), by the node (no bucket here), or by what was given out
# before (cursors, keys). That an integer may not be written 3.0 is not said by a schema either.
STATEFUL = ["create_collection", "patch_collection", "insert", "delete_documents", "delete_document",
            "list_documents", "import", "export", "set_tier", "warm", "unload", "take_ownership", "probe_store", "vacuum", "snapshot", "list_letters", "discard_letters",
            "retry_letters", "replay_letters", "split_letters", "get_letter", "export_letter", "set_alias", "remove_alias"]

CONFIG = """
[[operations]]
include-operation-id = {stateful}
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "422"]

# A timeout_ms of 1 passes.
[[operations]]
include-operation-id = "query"
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", "504"]
positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "422", "504"]
"""


def run_st(folder, node, document, name, more):
    schema = os.path.join(folder, f"{name}.json")
    config = os.path.join(folder, "schemathesis.toml")
    with open(schema, "w", encoding="utf-8") as f:
        json.dump(document, f)
    with open(config, "w", encoding="utf-8") as f:
        f.write(CONFIG.format(stateful=json.dumps(STATEFUL)))
    done = subprocess.run([os.path.join(os.path.dirname(clients_install.python()), "st"), "--config-file", config, "run", schema,
                           "--url", f"http://127.0.0.1:{node.port}", "--seed", str(SEED), "--max-examples", str(EXAMPLES),
                           "--request-timeout", "120", "--suppress-health-check", "too_slow",
                           "--phases", "examples,coverage,fuzzing", "--no-shrink", "--warnings", "off", "--checks", "all",
                           "--exclude-checks", "ignored_auth,object_level_authorization", *more],
                          cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False)
    text = "\n".join(line[:300] for line in done.stdout.splitlines())
    print("\n".join(text.splitlines()[-8:]), flush=True)
    check(done.returncode == 0, f"schemathesis ended with {done.returncode}:\n{text[-20000:]}")


def the_node_does_what_its_document_says():
    with Folder("openapi") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        document = client.get("/openapi.json")
        made = client.create("words", 3, "cosine")
        client.post("/api/v1/collections/words/insert",
                    {"documents": [{"doc_id": i, "vector": [1, i, 2], "payload": {"n": i}} for i in range(20)]})
        here = json.loads(json.dumps(document))
        here["components"]["parameters"]["id"]["schema"] = {"enum": [made["collection_id"]]}
        pages = client.ok("POST", "/api/v1/collections", {"name": "pages", "vectors": {
            "title": {"dimension": 2, "metric": "dot"}, "body": {"dimension": 3, "metric": "cosine"}}}, 201)
        client.post("/api/v1/collections/pages/insert",
                    {"documents": [{"doc_id": i, "vectors": {"title": [1, i], "body": [1, i, 2]} if i % 3 else {}} for i in range(20)]})
        run_st(folder, node, here, "here", ["--exclude-operation-id", "drop_collection", "--exclude-operation-id", "readonly"])
        client = node.client()  # the other connection was idle for as long as that took
        # What a collection of named vectors answers fits the document too. Those made by the way are no ids at random any more.
        for c in client.get("/api/v1/collections")["collections"]:
            if c["collection_id"] != pages["collection_id"]:
                client.ok("DELETE", f"/api/v1/collections/{c['collection_id']}")
        here["components"]["parameters"]["id"]["schema"] = {"enum": [pages["collection_id"]]}
        here["components"]["schemas"]["OneQuery"]["properties"]["using"] = {"enum": ["title"]}
        here["components"]["schemas"]["Vector"].update({"minItems": 2, "maxItems": 2})
        run_st(folder, node, here, "named", [x for i in ("get_collection", "insert", "query", "get_document", "list_documents")
                                             for x in ("--include-operation-id", i)])
        node.check_alive("under schemathesis")
        check(node.client().get("/health")["status"] == "healthy", "the node is not healthy any more")
        run_st(folder, node, document, "anywhere",
               [x for i in ("drop_collection", "readonly", "readwrite", "get_collection") for x in ("--include-operation-id", i)])
        node.check_alive("under schemathesis")
        node.stop()


if __name__ == "__main__":
    main(the_node_does_what_its_document_says)
