"""The configuration of AkiDB starts a node unedited; what means nothing is warned of, what is unknown is refused by name.

    python3 tests/integration/seed_config.py [name of a test below ...]

The files have the keys and values of AkiDB's deployment guide. Only the address and the ports are given from outside, so
that the test listens on 127.0.0.1 at a port of its own.
"""
import os
import subprocess

import support
from support import Folder, Node, check, program, refusing_port

PRODUCTION = """
[server]
host = "0.0.0.0"
rest_port = 8080
grpc_port = 9090
timeout_seconds = 30

[database]
path = "sqlite:///var/lib/akidb/data/metadata.db"
max_connections = 10
connection_timeout_seconds = 5

[features]
metrics_enabled = true
vector_persistence_enabled = true
auto_initialize = true

[hnsw]
m = 32
ef_construction = 200
threshold = 10000

[logging]
level = "info"
format = "json"
"""
REFERENCE = PRODUCTION.replace("sqlite:///var/lib/akidb/data/metadata.db", "sqlite://akidb.db")
MEMORY_TIER = """
[storage]
tiering_policy = "Memory"
wal_path = "{folder}/akidb/wal"
snapshot_dir = "{folder}/akidb/snapshots"
"""
REFUSED = {
    'tiering_policy = "MemoryS3"': "tiering_policy",  # without s3_bucket
    'tiering_policy = "S3Only"': "tiering_policy",
    's3_bucket = "my-bucket"': "s3_bucket",
    's3_bucket = "http://admin:password@localhost:9000/akidb"': "s3_bucket",
}


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TIERVEC_", "AKIDB_")) and k != "RUST_LOG"}
    return {**clean, **more}


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class PlainNode(Node):
    """Started as an operator would: `tiervec serve` and nothing else, in the node's folder."""

    def command(self, more=()):
        return [self.binary, "serve", *more]


def warnings(node):
    return [line["fields"]["text"] for line in node.log_lines() if line.get("message") == "configuration"]


def works(node):
    client = node.client()
    client.create("docs", 3, "cosine")
    client.post("/api/v1/collections/docs/insert", {"doc_id": 1, "vector": [1, 2, 3]})
    check(client.query("docs", [1, 2, 3])["matches"][0]["doc_id"] == 1, "a node with AkiDB's configuration does not find")
    check(client.request("GET", "/metrics").status == 200, "metrics_enabled = true")
    return client


def the_reference_file_starts_as_it_is():
    """./config.toml, data beside it; address and port from AkiDB's variables."""
    with Folder("seed") as folder:
        write(folder, "config.toml", REFERENCE)
        env = {"AKIDB_HOST": "127.0.0.1", "AKIDB_REST_PORT": str(refusing_port()), "AKIDB_GRPC_PORT": str(refusing_port())}
        with PlainNode(folder, env=env) as node:
            node.start()
            told = warnings(node)
            for key in ("max_connections", "connection_timeout_seconds"):
                check(any(key in text for text in told), f"no warning about {key}: {told}")
            listens = [line["fields"]["port"] for line in node.log_lines() if line.get("message") == "listening for gRPC"]
            check(listens == [int(env["AKIDB_GRPC_PORT"])], f"gRPC listens on {listens}")
            client = works(node)
            info = client.collection("docs")
            check(info["hnsw"] == {"m": 32, "ef_construction": 200, "ef_search": 100, "threshold": 10000}, f"hnsw: {info['hnsw']}")
            check(os.path.isdir(os.path.join(folder, "wal")), f"the data is not in the folder of akidb.db: {os.listdir(folder)}")
            check(all(line.startswith("{") for line in node.log_text().splitlines()), "format = json")
            node.stop()


def the_production_file_starts_as_it_is():
    """By AKIDB_CONFIG; its folder /var/lib/akidb/data is moved by AkiDB's own variable for it."""
    with Folder("seed") as folder:
        path = write(folder, "production.toml", PRODUCTION)
        env = {"AKIDB_CONFIG": path, "AKIDB_HOST": "127.0.0.1", "AKIDB_REST_PORT": str(refusing_port()),
               "AKIDB_GRPC_PORT": str(refusing_port()), "RUST_LOG": "info",
               "AKIDB_DB_PATH": f"sqlite://{folder}/data/metadata.db"}
        with PlainNode(folder, env=env) as node:
            node.start()
            works(node)
            check(os.path.isdir(os.path.join(folder, "data", "wal")), f"AKIDB_DB_PATH: {os.listdir(folder)}")
            node.stop()
        # As it stands it listens on all addresses: asked, not done.
        shown = subprocess.run([program(), "config", "show", "--origins"], env=environment(AKIDB_CONFIG=path), cwd=folder,
                               capture_output=True, text=True, check=False)
        check(shown.returncode == 0, shown.stderr)
        for line in ('host = "0.0.0.0"', "rest_port = 8080", 'data_dir = "/var/lib/akidb/data"', "m = 32"):
            check(line in shown.stdout, f"config show does not say {line}:\n{shown.stdout}")


def the_environment_alone_starts_a_node():
    """As in its compose file and its Kubernetes manifests."""
    with Folder("seed") as folder:
        env = {"AKIDB_HOST": "127.0.0.1", "AKIDB_REST_PORT": str(refusing_port()), "AKIDB_GRPC_PORT": str(refusing_port()),
               "AKIDB_DB_PATH": f"sqlite://{folder}/data/akidb/metadata.db", "AKIDB_METRICS_ENABLED": "true",
               "AKIDB_VECTOR_PERSISTENCE_ENABLED": "true", "AKIDB_AUTO_INITIALIZE": "true", "AKIDB_LOG_LEVEL": "debug",
               "AKIDB_LOG_FORMAT": "json", "AKIDB_SOMETHING_ELSE": "1"}
        with PlainNode(folder, env=env) as node:
            node.start()
            works(node)
            check(node.port == int(env["AKIDB_REST_PORT"]), f"AKIDB_REST_PORT: {node.port}")
            check(any("AKIDB_SOMETHING_ELSE" in text for text in warnings(node)), f"warnings: {warnings(node)}")
            check(os.path.isdir(os.path.join(folder, "data", "akidb", "wal")), "AKIDB_DB_PATH")
            node.stop()


def the_memory_tier_of_the_guide():
    with Folder("seed") as folder:
        write(folder, "config.toml", REFERENCE + MEMORY_TIER.format(folder=folder))
        env = {"AKIDB_HOST": "127.0.0.1", "AKIDB_REST_PORT": str(refusing_port()), "AKIDB_GRPC_PORT": str(refusing_port())}
        with PlainNode(folder, env=env) as node:
            node.start()
            client = works(node)
            client.post("/admin/collections/docs/snapshot")
            for place in ("wal", "snapshots"):
                check(os.listdir(os.path.join(folder, "akidb", place)), f"nothing in akidb/{place}")
            node.kill9()
            node.start()
            check(node.client().collection("docs")["document_count"] == 1, "a restart with wal_path and snapshot_dir")
            node.stop()


def refused(folder, text, *words):
    path = write(folder, "config.toml", text)
    for command in (["serve", "--rest-port", "0", "--host", "127.0.0.1"], ["config", "check"]):
        done = subprocess.run([program(), *command], env=environment(), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        check(done.returncode == 1, f"{command} took {text!r}: {done.stdout} {done.stderr}")
        for word in words:
            check(word in done.stderr, f"{command}: {done.stderr!r} does not name {word}")
    os.unlink(path)


def what_no_bucket_can_be_is_refused_by_name():
    with Folder("seed") as folder:
        for line, key in REFUSED.items():
            refused(folder, f"{REFERENCE}\n[storage]\n{line}\n", f"storage.{key}")
        refused(folder, REFERENCE + "\n[storage.retention]\nkeep_versions = 0\n", "storage.retention.keep_versions")


def an_unknown_key_names_the_nearest():
    with Folder("seed") as folder:
        refused(folder, '[server]\nrest_prot = 8080\n', "config.toml:2", "rest_prot", "server.rest_port")
        refused(folder, '[hnsw]\nef_constuction = 200\n', "ef_constuction", "hnsw.ef_construction")
        refused(folder, '[sever]\nhost = "127.0.0.1"\n', "sever", "server")
        refused(folder, '[server]\nrest_port = "many"\n', "config.toml:2", "server.rest_port")
        refused(folder, '[server\n', "config.toml:1")


if __name__ == "__main__":
    support.main(the_reference_file_starts_as_it_is, the_production_file_starts_as_it_is, the_environment_alone_starts_a_node,
                 the_memory_tier_of_the_guide, what_no_bucket_can_be_is_refused_by_name, an_unknown_key_names_the_nearest)
