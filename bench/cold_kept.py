"""A MinIO and a node whose folder outlives the script: what took long to load is asked again and again, and in steps.

    with Kept(folder, "storage.cache_bytes=134217728") as kept:
        client = kept.node.start().client()
"""
import json
import os
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
# pylint: disable=wrong-import-position
import support
from bucketed import BucketNode, wait_for
from s3_relay import Relay
from s3_server import Minio

NAME = "cold"
PATH = f"/api/v1/collections/{NAME}"
KEYS = ("root_access", "root_secret", "access", "secret", "made")


class Straight:
    """In place of a relay: straight to the store, so that times are the store's and the node's alone."""

    def __init__(self, port):
        self.port = port

    def url(self, bucket, prefix):
        return f"http://127.0.0.1:{self.port}/{bucket}/{prefix}"

    def table(self):
        return "straight"

    def close(self):
        pass


class Directory(Straight):
    """A directory as the bucket: requests cost a read, no server."""

    def __init__(self, folder):
        super().__init__(0)
        self.path = os.path.join(folder, "bucket")
        os.makedirs(self.path, exist_ok=True)

    def url(self, bucket, prefix):
        return f"file://{self.path}"


class Kept:
    """relayed: the node's requests are counted, at the price of a Python process between it and the store; directory: no MinIO, but a directory."""

    def __init__(self, folder, *settings, relayed=False, directory=False):
        self.folder = os.path.abspath(folder)
        self.directory = directory
        self.s3 = Minio(os.path.join(self.folder, "s3"))
        self.settings = dict(s.split("=", 1) for s in settings)
        self.relayed, self.relay, self.node = relayed, None, None

    def __enter__(self):
        if self.directory:
            self.relay = Directory(self.folder)
            self.node = BucketNode(self, "one", self.relay, self.settings)
            return self
        keys = os.path.join(self.folder, "keys.json")
        if os.path.exists(keys):
            with open(keys, encoding="ascii") as f:
                for name, value in json.load(f).items():
                    setattr(self.s3, name, value)
        self.s3.start()
        with open(keys, "w", encoding="ascii") as f:
            json.dump({name: getattr(self.s3, name) for name in KEYS}, f)
        self.relay = Relay(self.s3.port) if self.relayed else Straight(self.s3.port)
        self.node = BucketNode(self, "one", self.relay, self.settings)
        return self

    def __exit__(self, kind, value, trace):
        if self.node.running():
            try:
                self.node.stop()
            finally:
                self.node.__exit__(kind, value, trace)
        self.relay.close()
        if not self.directory:
            self.s3.stop()

    def stored(self):
        """Bytes of what the collections have in the bucket but their log: segments, old ones too."""
        if not self.directory:
            return sum(v for k, v in self.s3.objects("node/data/").items() if "/g/" in k)
        sizes = [os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(self.relay.path) if "/g" in at for name in names]
        return sum(sizes)


def cold_state(client):
    return client.get(PATH + "/tier")["tier"]


def make(client, dim, metric):
    """Without a graph over its head: what is loaded is folded at once (15,000 rows/s of 384 go in, with one 4,900)."""
    client.ok("POST", "/api/v1/collections",
              {"name": NAME, "dimension": dim, "metric": metric, "tiering_policy": "S3Only", "hnsw": {"threshold": 1000000000}}, 201)


def load(kept, path, first, metric=None):
    """The float32 rows of a .npy file under ids from `first` on, then a fold; metric: of a collection that is made first. Seconds of both."""
    client = kept.node.client(timeout=600)
    rows, dim = np.load(path, mmap_mode="r").shape
    if metric:
        make(client, dim, metric)
    began = time.perf_counter()
    subprocess.run([support.program(), "import", "--url", f"http://127.0.0.1:{kept.node.port}", "--collection", NAME, "--first-id", str(first), path],
                   check=True, stdout=subprocess.DEVNULL)
    loaded = time.perf_counter() - began
    client.close()
    client.post(f"/admin/collections/{NAME}/compact")
    wait_for("the fold", lambda: cold_state(client)["cold"]["rows"] >= first + rows, 3600, 0.5)
    return loaded, time.perf_counter() - began - loaded
