"""What is full refuses writes with 507 before they are acknowledged, goes on reading, and takes writes again when there
is room: `[limits] memory_bytes`, a memory cgroup, a full disk.

    python3 tests/integration/limits.py [name of a test below ...]

The cgroup and the disks need root.
"""
import contextlib
import os
import resource
import threading
import time

import support
from disk import LoopDisk
from support import Folder, Gone, Node, cannot_run, check

# What the address sanitizer holds back of freed memory is not the node's, and would fill a cgroup by itself.
os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4")

NAME = "full"
DOCUMENTS_MAX = 1_000_000


class Filler:
    """Inserts documents 0, 1, 2 ... in batches until one is refused. All vectors differ in their first values."""

    def __init__(self, node, dim, batch):
        self.node = node
        self.dim = dim
        self.batch = batch
        self.acknowledged = 0
        self.lock = threading.Lock()
        self.next_id = 0
        self.done_ids = []  # first ids of acknowledged batches
        self.rest = ",1" * (dim - 4)

    def body(self, first):
        documents = ",".join(
            f'{{"doc_id":{i},"vector":[{i % 251},{i // 251 % 251},{i // 63001},7{self.rest}],"payload":{{"n":{i}}}}}'
            for i in range(first, first + self.batch))
        return f'{{"documents":[{documents}]}}'.encode()

    def one(self, client):
        with self.lock:
            first = self.next_id
            self.next_id += self.batch
        body = self.body(first)
        answer = client.request("POST", f"/api/v1/collections/{NAME}/insert", body)
        deadline = time.monotonic() + 60
        while answer.status == 503 and answer.json["code"] == "unavailable" and time.monotonic() < deadline:
            time.sleep(0.01)  # the log falls back after a failed write: nothing was done, ask again
            answer = client.request("POST", f"/api/v1/collections/{NAME}/insert", body)
        if answer.status == 200:
            with self.lock:
                self.acknowledged += self.batch
                self.done_ids.append(first)
        return answer

    def until_refused(self):
        """The refusal."""
        client = self.node.client()
        while self.next_id < DOCUMENTS_MAX:
            answer = self.one(client)
            if answer.status != 200:
                client.close()
                check_full(answer)
                return answer
        raise AssertionError(f"{self.next_id} documents were taken and nothing was full")

    def stays_full(self, times):
        """Refused as often as that; what goes on in the background may make room for one in between."""
        for _ in range(times):
            self.until_refused()

    def says_so(self, client):
        """Health names the disk."""
        deadline = time.monotonic() + 60
        status, why = reasons(client)
        while status != "degraded" or not ("disk" in why or "space" in why):
            check(time.monotonic() < deadline, f"health: {status} {why}")
            self.until_refused()
            status, why = reasons(client)

    def delete(self, client, batches):
        """The oldest ones."""
        gone, self.done_ids = self.done_ids[:batches], self.done_ids[batches:]
        ids = [first + i for first in gone for i in range(self.batch)]
        client.ok("POST", f"/api/v1/collections/{NAME}/delete", {"ids": ids})
        self.acknowledged -= len(ids)

    def check_all(self, client):
        """Every acknowledged batch is there whole, and nothing else."""
        info = client.collection(NAME)
        check(info["document_count"] == self.acknowledged,
              f"{self.acknowledged} documents were acknowledged, {info['document_count']} are there")
        wanted = {first + i for first in self.done_ids for i in range(self.batch)}
        there = {d["doc_id"] for d in client.documents(NAME, with_vector=False)}
        check(there == wanted, f"{len(wanted - there)} are missing, {len(there - wanted)} came back")

    def check_reads(self, client):
        first = self.done_ids[-1]
        document = client.get(f"/api/v1/collections/{NAME}/docs/{first}")["document"]
        check(document["payload"] == {"n": first}, f"GET while full: {document['payload']}")
        query = [first % 251, first // 251 % 251, first // 63001, 7] + [1] * (self.dim - 4)
        best = client.query(NAME, query, top_k=1, exact=True)["matches"][0]
        check(best["distance"] == 0 and best["doc_id"] == first, f"query while full: {best}")


def check_full(answer):
    check(answer.status == 507 and answer.json["code"] == "no_space", f"what is full says so with 507: {answer}")
    check(answer.headers["Content-Type"] == "application/problem+json", f"no problem: {answer}")
    check(len(answer.json["detail"]) > 10, f"the refusal does not say what is full: {answer}")


def memory_limit():
    with Folder("memory") as folder, Node(folder, args=["--set", f"limits.memory_bytes={12 << 20}"]) as node:
        node.start()
        client = node.client()
        client.create(NAME, 256, "l2", m=8, ef_construction=32, threshold=1000)
        filler = Filler(node, 256, 50)
        refusal = filler.until_refused()
        check("memory" in refusal.json["detail"], f"the refusal does not name memory: {refusal}")
        check(filler.acknowledged >= 1000, f"only {filler.acknowledged} documents fit into 12 MiB")
        filler.stays_full(20)
        status = client.get("/api/v1/status")["memory"]
        check(status["bytes"] <= status["bytes_max"] == 12 << 20, f"accounted memory: {status}")
        filler.check_reads(client)
        filler.check_all(client)
        print(f"{filler.acknowledged} documents of 256 dimensions in 12 MiB, {status}")

        # It starts again with what it took, kill -9 or not.
        for end in (node.kill9, node.stop):
            end()
            node.start()
            client = node.client()
            filler.check_all(client)
            filler.check_reads(client)

        # Deleting makes room, be it little or much, after the dead rows were taken out.
        for batches in (6, len(filler.done_ids) // 2):
            filler.delete(client, batches)
            deadline = time.monotonic() + 60
            answer = filler.one(client)
            while answer.status != 200:
                check(time.monotonic() < deadline, f"no room after deleting: {answer} {client.collection(NAME)}")
                time.sleep(0.1)
                answer = filler.one(client)
            filler.check_all(client)
        node.stop()


def memory_limit_and_a_long_log():
    """The log replaces the same documents many times over: replaying it may not need more than serving it did."""
    args = ["--set", f"limits.memory_bytes={12 << 20}", "--set", "wal.checkpoint_interval_secs=3600"]
    with Folder("memory") as folder, Node(folder, args=args) as node:
        node.start()
        client = node.client()
        client.create(NAME, 256, "l2", m=8, ef_construction=32, threshold=1000)
        filler = Filler(node, 256, 50)
        while filler.next_id < 4000:
            check(filler.one(client).status == 200, "an insert into half of the memory")
        lsn = 0
        for turn in range(8):
            for first in filler.done_ids:
                deadline = time.monotonic() + 60
                while True:  # a full memory is refused until the dead rows are taken out
                    answer = client.request("POST", f"/api/v1/collections/{NAME}/insert", filler.body(first))
                    if answer.status == 200:
                        lsn = answer.json["lsn"]
                        break
                    check_full(answer)
                    check(time.monotonic() < deadline, f"no room to replace a document in turn {turn}: {answer}")
                    time.sleep(0.02)
        for _ in range(2):
            node.kill9()
            node.start()
            client = node.client()
            info = client.collection(NAME)
            check(info["last_lsn"] == lsn and info["state"] == "serving", f"after replaying the log: {info}")
            filler.check_all(client)
            filler.check_reads(client)
        node.stop()


# --- in a cgroup ---

class Cgroup:
    """A child of our own memory cgroup, of version 2 or 1, with a limit."""

    def __init__(self, limit):
        with open("/proc/self/cgroup", encoding="ascii") as f:
            lines = [line.strip().split(":", 2) for line in f]
        own = {kinds: path for _, kinds, path in lines}
        v1 = next((p for k, p in own.items() if "memory" in k.split(",")), None)
        name = f"tiervec-test-{os.getpid()}"
        if v1 is not None:
            self.path = os.path.join("/sys/fs/cgroup/memory", v1.lstrip("/"), name)
            self.limit_file, self.kills_file = "memory.limit_in_bytes", "memory.oom_control"
        else:
            self.path = os.path.join("/sys/fs/cgroup", own.get("", "/").lstrip("/"), name)
            self.limit_file, self.kills_file = "memory.max", "memory.events"
        try:
            os.mkdir(self.path)
        except OSError as e:
            cannot_run("memory_cgroup", f"no cgroup can be made here: {e}")
        try:
            self.write(self.limit_file, limit)
            for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
                if os.path.exists(os.path.join(self.path, swap)):
                    with contextlib.suppress(OSError):
                        self.write(swap, 0 if swap == "memory.swap.max" else limit)
        except OSError as e:
            os.rmdir(self.path)
            cannot_run("memory_cgroup", f"the memory controller is not ours to set: {e}")

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as f:
            f.write(str(value))

    def enter(self):
        """In the child, before it becomes the program."""
        self.write("cgroup.procs", os.getpid())

    def kills(self):
        with open(os.path.join(self.path, self.kills_file), encoding="ascii") as f:
            words = dict(line.split() for line in f)
        return int(words.get("oom_kill", 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)


def is_sanitized(path):
    with open(path, "rb") as f:
        return b"__asan_init" in f.read()


def memory_cgroup():
    """Without a setting the node keeps within 80 % of its cgroup: it refuses, the kernel never kills it."""
    # The address sanitizer's own memory is no part of what the node counts.
    limit = (400 if is_sanitized(support.program()) else 256) << 20
    with Folder("cgroup") as folder, Cgroup(limit) as cgroup, Node(folder) as node:
        node.start(preexec=cgroup.enter)
        client = node.client()
        bound = client.get("/api/v1/status")["memory"]["bytes_max"]
        check(limit // 2 < bound < limit, f"the node allows itself {bound} bytes in a cgroup of {limit}")
        client.create(NAME, 1024, "l2", m=16, ef_construction=40, threshold=1000)
        filler = Filler(node, 1024, 100)
        refusals = []
        threads = [threading.Thread(target=lambda: refusals.append(filler.until_refused())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        node.check_alive("in its cgroup")
        check(len(refusals) == 4, f"{len(refusals)} of 4 writers were refused, the others failed")
        filler.stays_full(50)
        filler.check_reads(client)
        filler.check_all(client)
        client.request("POST", f"/admin/collections/{NAME}/snapshot", b"")
        node.check_alive("while writing a checkpoint in its cgroup")
        resident = support.resident_bytes(node.process.pid)
        print(f"{filler.acknowledged} documents of 1,024 dimensions, {resident >> 20} MiB resident of {limit >> 20}")
        node.kill9()
        node.start(preexec=cgroup.enter)
        client = node.client()
        filler.check_all(client)
        filler.check_reads(client)
        check_full(filler.until_refused())
        node.stop()
        check(cgroup.kills() == 0, f"the kernel killed in the cgroup: {cgroup.kills()}")


# --- a full disk ---

DISK_BYTES = 96 << 20


def reasons(client):
    health = client.get("/health")
    return health["status"], " ".join(health.get("reasons", []))


def wait_healthy(client, seconds=60):
    deadline = time.monotonic() + seconds
    while reasons(client)[0] != "healthy":
        check(time.monotonic() < deadline, f"still {reasons(client)} after there was room")
        time.sleep(0.1)


def refuses_a_collection(client, disk):
    """A checkpoint may just have made room for one."""
    for _ in range(100):
        answer = client.request("POST", "/api/v1/collections", {"name": "new", "dimension": 3, "metric": "l2"})
        if answer.status != 201:
            break
        client.ok("DELETE", "/api/v1/collections/new")
        disk.fill()
    check(answer.status == 507, f"a new collection on a full disk: {answer}")


def disk_full():
    with Folder("disk") as folder, LoopDisk(folder, "disk_full", DISK_BYTES) as disk:
        with Node(folder, os.path.join(disk.path, "data"), args=["--set", "wal.checkpoint_interval_secs=1"]) as node:
            node.start()
            client = node.client()
            client.create(NAME, 64, "l2", m=8, ef_construction=32, threshold=1000)
            filler = Filler(node, 64, 200)
            for _ in range(10):
                check(filler.one(client).status == 200, "an insert with room on disk")
            for turn in range(3):
                disk.fill()
                filler.until_refused()
                filler.stays_full(10)
                filler.says_so(client)
                refuses_a_collection(client, disk)
                answer = client.request("POST", f"/admin/collections/{NAME}/snapshot", b"")
                check(answer.status in (200, 507), f"a checkpoint on a full disk: {answer}")
                filler.check_reads(client)
                filler.check_all(client)
                check(client.request("GET", "/ready").status == 200, "a full disk keeps the node from being ready")
                disk.empty()
                deadline = time.monotonic() + 60
                while filler.one(client).status != 200:
                    check(time.monotonic() < deadline, "no write was taken after there was room")
                    time.sleep(0.05)
                wait_healthy(client)
                filler.check_all(client)
                if turn == 1:
                    node.kill9()
                    node.start()
                    client = node.client()
                    filler.check_all(client)
            node.stop()
            node.start()
            filler.check_all(node.client())
            node.stop()


def disk_full_at_start():
    with Folder("disk") as folder, LoopDisk(folder, "disk_full_at_start", DISK_BYTES) as disk:
        with Node(folder, os.path.join(disk.path, "data")) as node:
            node.start()
            client = node.client()
            client.create(NAME, 64, "l2", m=8, ef_construction=32, threshold=1000)
            filler = Filler(node, 64, 200)
            for _ in range(10):
                check(filler.one(client).status == 200, "an insert with room on disk")
            for end in (node.kill9, node.stop):
                with contextlib.suppress(Gone):
                    end()
                disk.fill()
                check(disk.free_bytes() == 0, f"{disk.free_bytes()} bytes are free")
                node.start()
                client = node.client()
                filler.check_reads(client)
                filler.check_all(client)
                filler.until_refused()
                filler.says_so(client)
                disk.empty()
                deadline = time.monotonic() + 60
                while filler.one(client).status != 200:
                    check(time.monotonic() < deadline, "no write was taken after there was room")
                    time.sleep(0.05)
                filler.check_all(client)
                wait_healthy(client)
            node.stop()


def file_limit():
    """A soft limit on open files, as systemd sets it, is raised: no connection below max_connections is closed unheard."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Folder("files") as folder, Node(folder) as node:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            node.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        clients = [node.client() for _ in range(100)]
        for client in clients:
            check(client.get("/health")["status"] == "healthy", "a connection was not answered")


if __name__ == "__main__":
    support.main(memory_limit, memory_limit_and_a_long_log, memory_cgroup, disk_full, disk_full_at_start, file_limit)
