"""kill9.py with a bucket behind it, on a real MinIO, in all durabilities at once: kill -9 at random moments and at chosen
requests, the bucket away for some of them, the data directory deleted, and a ledger that says what may be missing then.

    python3 tests/integration/kill9_minio.py [--rounds N] [--seed S] [--binary PATH] [--expect-loss] [--keep]

Three collections: one of Memory, one of MemoryS3 that acknowledges when its log has a write, one that waits for the bucket
with each. Of a lost machine a restore brings back the log up to some lsn: that is at least the last one acknowledged as
`remote` and the last the node said was shipped; up to it everything is there, behind it nothing. At the end everything is
flushed, and all of it has to come back. The restore itself is killed now and then, and gone on with or begun anew.
--expect-loss: the store loses the newest groups of both whenever the machine is lost, and that must be noticed.
"""
import os
import random
import subprocess
import sys
import threading
import time

import support
from bucketed import credentials
from kill9 import World, quietly
from ledger import Book, verify
from s3_relay import Relay
from s3_server import Minio
from support import Folder, Gone, NotSent, check

PREFIX = "kill9"
SETTINGS = {"storage.tiering_policy": "MemoryS3", "storage.rpo_ms": 100, "storage.retry.max_backoff_secs": 1,
            "storage.group_bytes": 65536,
            # Garbage is collected as soon as it is one: what a restore needs must never be among it.
            "storage.retention.keep_versions": 1, "storage.retention.keep_days": 0, "storage.retention.grace_secs": 0,
            # The same node on whatever directory: a machine that takes the place of the lost one.
            "server.node_id": "kill9"}
LOAD_SECONDS = 120
MEMORY = "memory"  # the collection no bucket has
# What a process may be killed at: requests it sends while it ships, publishes and changes the catalog.
MOMENTS = [("PUT", "/root$"), ("PUT", "/w/"), ("PUT", "/m/"), ("PUT", "/g/"), ("PUT", "meta/catalog$"), ("GET", "/root$"),
           ("DELETE", "/w/"), ("DELETE", "/g/"), ("DELETE", "/m/")]


class Poll(threading.Thread):
    """What the node says is shipped, as of some milliseconds ago."""

    def __init__(self, node, books):
        super().__init__(daemon=True)
        self.client, self.books = node.client(), books
        self.shipped = {book.name: 0 for book in books}
        self.stop_flag = threading.Event()

    def run(self):
        try:
            while not self.stop_flag.is_set():
                for book in self.books:
                    bucket = self.client.collection(book.name)["bucket"]
                    self.shipped[book.name] = max(self.shipped[book.name], bucket["shipped_lsn"])
                time.sleep(0.01)
        except (Gone, NotSent):
            pass
        except AssertionError as e:
            if "shutting_down" not in str(e):
                raise
        finally:
            self.client.close()


class BucketWorld(World):
    writers = 2

    def __init__(self, folder, rng, s3, relay, binary, data_dir=None):
        more = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        super().__init__(folder, rng, binary, data_dir, ["--set", f"storage.s3_bucket={relay.url(s3.bucket, PREFIX)}", *more],
                         credentials(s3))
        self.s3, self.relay = s3, relay
        self.shared = list(self.books)  # with the bucket: the first as local, the second as remote
        self.books.append(Book(MEMORY, 8, "l2"))
        self.ids[MEMORY] = self.ids[self.books[0].name]
        self.shipped = {book.name: 0 for book in self.shared}
        self.poll = None
        self.lost, self.restores_killed, self.hits, self.seen = 0, 0, {}, {key: 0 for key in self.books[0].count}
        self.sabotage, self.places = False, []
        self.catalog.late = True

    def create(self):
        client = self.node.client()
        for book, durability in zip(self.shared, ("local", "remote")):
            client.ok("POST", "/api/v1/collections",
                      {"name": book.name, "dimension": book.dim, "metric": book.metric, "durability": durability,
                       "hnsw": {"m": 8, "ef_construction": 64, "threshold": 300}}, 201)
            self.catalog.names[book.name] = 0
            self.places.append(f"/{client.collection(book.name)['collection_id']}/w/")
        client.close()
        self.create_memory()

    def create_memory(self):
        client, book = self.node.client(), self.books[-1]
        client.ok("POST", "/api/v1/collections", {"name": MEMORY, "dimension": book.dim, "metric": book.metric,
                                                  "tiering_policy": "Memory", "hnsw": {"m": 8, "threshold": 300}}, 201)
        self.catalog.names[MEMORY] = 0
        client.close()

    def totals(self):
        return {key: n + self.seen[key] for key, n in super().totals().items()}

    def start_threads(self):
        self.poll = Poll(self.node, self.shared)
        self.poll.start()
        super().start_threads()

    def stop_threads(self):
        super().stop_threads()
        self.poll.stop_flag.set()
        self.poll.join()
        for name, lsn in self.poll.shipped.items():
            self.shipped[name] = max(self.shipped[name], lsn)

    def end_without_the_bucket(self):
        """It goes away for a while, comes back or does not, and the node is killed at any moment of it."""
        time.sleep(self.rng.uniform(0.1, 0.5))
        self.relay.cut(self.rng.choice(["refuse", "hang_up"]))
        time.sleep(self.rng.uniform(0.1, 0.8))
        if self.rng.random() < 0.5:
            self.relay.mend()
            time.sleep(self.rng.uniform(0, 0.5))
        self.node.kill9()

    def end_with_lost_answers(self):
        self.relay.lose_answers(times=self.rng.randrange(1, 6), op=self.rng.choice(["PUT", "PUT", None]))
        self.end_at_random()

    def end_at_a_request(self):
        self.at_a_request(self.node.kill9)
        self.node.kill9()

    def at_a_request(self, end):
        """It ends the moment it sends one of a kind: before the store sees it, or once the store has done it."""
        op, key = self.rng.choice(MOMENTS)
        when = self.rng.choice(["before", "after"])
        time.sleep(self.rng.uniform(0, 0.3))
        rule = self.relay.call(end, when, op=op, key=key, times=1, skip=self.rng.randrange(3))
        client = self.node.client()
        if key in ("/m/", "/g/"):
            for book in self.shared:
                quietly(client, f"/admin/collections/{book.name}/snapshot")
        if op == "DELETE":  # a new base makes garbage of the one before and of the log behind it
            for book in self.shared:
                quietly(client, f"/admin/collections/{book.name}/compact?wait=true")
        self.wait_for_end(2.5 if op == "DELETE" else 1.0)
        if rule.hits:
            what = f"{when} {op} {key}"
            self.hits[what] = self.hits.get(what, 0) + 1
        self.relay.mend()

    def wait_for_end(self, seconds):
        """Whether the process has ended by then."""
        deadline = time.monotonic() + seconds
        while self.node.running() and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self.node.running()

    def end_by_losing_the_machine(self):
        time.sleep(self.rng.uniform(0.3, 1.5))
        self.node.kill9()
        self.lose_the_machine()

    def lose_the_machine(self):
        self.lost += 1
        subprocess.run(["find", self.node.data_dir, "-mindepth", "1", "-delete"], check=True)

    def ends(self):
        return [*super().ends(), self.end_without_the_bucket, self.end_with_lost_answers, self.end_by_losing_the_machine,
                self.end_by_losing_the_machine, self.end_at_a_request, self.end_at_a_request]

    def round(self, number):
        ends = self.ends()
        end = self.rng.choice(ends) if number > len(ends) else ends[number - 1]
        self.start_threads()
        end()
        self.stop_threads()
        problems = [f"{type(t.failure).__name__}: {t.failure}" for t in self.threads if t.failure is not None]
        if end == self.end_by_losing_the_machine:
            problems += self.come_back(number % 2 == 0)
            if problems and self.sabotage:
                return end.__name__, problems
        else:
            # Half of the time it starts before the bucket is back.
            late = self.rng.random() < 0.5
            if not late:
                self.relay.mend()
            self.node.start()
            self.relay.mend()
        problems += self.look()
        if end == self.end_at_answer:
            cleaner = self.writer(self.books[0])
            cleaner.delete_large()
            cleaner.client.close()
        return end.__name__, problems

    def come_back(self, by_command):
        """The bucket is all there is. What may be missing is cut out of the ledger; what may not is a problem."""
        self.relay.mend()
        if self.sabotage:
            self.lose_a_group()
        else:
            by_command = self.kill_restores(by_command)
        if by_command:
            done = subprocess.run(self.restore_command(), env=self.node.environment(), stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False)
            if self.sabotage and done.returncode == 6:
                return [f"LOST: {done.stderr}"]  # an epoch that was closed lacks groups
            check(done.returncode == 0, f"restore ended with {done.returncode}: {done.stdout}{done.stderr}")
        self.catalog.names.pop(MEMORY, None)
        for names in self.catalog.maybe:
            names.pop(MEMORY, None)
        self.node.start()
        self.wait_loaded()
        client, problems = self.node.client(), []
        for book in self.shared:
            reached = client.collection(book.name)["last_lsn"]
            least = max(book.remote_lsn, self.shipped[book.name])
            if reached < least:
                problems.append(f"{book.name}: LOST: restored up to lsn {reached}, shipped or remote was {least}")
            book.cut(reached)
            self.shipped[book.name] = min(self.shipped[book.name], reached)
        # How many documents a churned collection had in the bucket is not in its ledger.
        there = {c["name"]: c["document_count"] for c in client.get("/api/v1/collections")["collections"]}
        for names in [self.catalog.names, *self.catalog.maybe]:
            for name in names:
                if name in there and there[name] <= names[name]:
                    names[name] = there[name]
        client.close()
        problems += self.memory_is_gone(there)
        return problems

    def memory_is_gone(self, there):
        """Of a collection without a bucket nothing comes back; it is made anew, with a ledger of its own."""
        for key, n in self.books[-1].count.items():
            self.seen[key] += n
        self.books[-1] = Book(MEMORY, self.books[-1].dim, "l2")
        if MEMORY in there:
            return [f"{MEMORY} came back from a bucket it was never in"]
        options = self.catalog.maybe or [self.catalog.names]
        self.create_memory()
        for names in options:
            names[MEMORY] = 0
        return []

    def restore_command(self):
        return [self.node.binary, "restore", "--from", self.relay.url(self.s3.bucket, PREFIX), "--data-dir",
                self.node.data_dir]

    def kill_restores(self, by_command):
        """Kills what loads from the bucket at some request; what it left is gone on with, or deleted. False: there is
        something in the directory, on which only serve goes on."""
        for _ in range(self.rng.choice([0, 0, 1, 1, 2])):
            self.relay.call(self.node.kill9, self.rng.choice(["before", "after"]), times=1, skip=self.rng.randrange(24))
            if by_command:
                self.node.launch(command=self.restore_command())
            else:
                self.node.launch()
            if self.wait_for_end(self.rng.uniform(0.2, 1.0)):
                self.restores_killed += 1
            self.node.kill9()
            self.relay.mend()
            if self.rng.random() < 0.5:
                self.lose_the_machine()
            else:
                by_command = False
        return by_command

    def lose_a_group(self):
        groups = {}
        for key in self.s3.objects(PREFIX + "/c/"):
            for place in self.places:
                if place in key:
                    groups.setdefault(place, []).append(key)
        for keys in groups.values():
            for key in sorted(keys)[-3:]:  # the last may be one that nobody was told of
                self.s3.delete(key)

    def wait_loaded(self):
        client = self.node.client()
        deadline = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < deadline:
            there = {c["name"]: c for c in client.get("/api/v1/collections")["collections"]}
            if set(there) in map(set, self.catalog.options(there)) and all(
                    client.collection(c["collection_id"])["state"] == "serving" for c in there.values()):
                break
            time.sleep(0.02)
        client.close()

    def look(self):
        """Health may be degraded for as long as something waits for the bucket."""
        self.catalog_counts()
        client = self.node.client()
        problems = verify(client, self.books, self.catalog, self.rng)
        letters = client.get("/api/v1/status")["dlq_total"]
        self.forget()
        if letters:
            problems.append(f"{letters} letters, and nothing was refused: {client.get('/health')}")
        client.close()
        return problems

    def forget(self):
        for book in self.shared:
            book.forget(max(book.remote_lsn, self.shipped[book.name]))
        self.books[-1].forget(max(self.books[-1].lsns, default=0))

    def flush(self):
        """Everything into the bucket; how long it took."""
        client = self.node.client()
        began = time.monotonic()
        for listed in client.get("/api/v1/collections")["collections"]:
            path = f"/admin/collections/{listed['collection_id']}/snapshot"
            answer = client.request("POST", path, {})
            while answer.status == 503 and time.monotonic() < began + LOAD_SECONDS:  # the bucket may have come back just now
                time.sleep(0.1)
                answer = client.request("POST", path, {})
            # A drop that nobody answered may take effect now, when the bucket's catalog is read.
            gone = answer.status == 404 and listed["name"] not in [book.name for book in self.shared]
            check(gone or answer.status == 200, f"a snapshot of {listed['name']}: {answer}")
        for book in self.shared:
            info = client.collection(book.name)
            check(info["bucket"]["remote_lsn"] >= info["last_lsn"], f"after a snapshot: {info}")
            self.shipped[book.name] = info["last_lsn"]
        while client.get("/health")["status"] != "healthy":
            check(time.monotonic() < began + 120, f"not healthy with everything in the bucket: {client.get('/health')}")
            time.sleep(0.1)
        client.close()
        return time.monotonic() - began


def run(rounds, seed, binary=None, expect_loss=False):
    everything = []
    with Folder("kill9") as folder, Minio(os.path.join(folder, "s3")) as s3, Relay(s3.port) as relay:
        world = BucketWorld(folder, random.Random(seed), s3, relay, binary)
        world.sabotage = expect_loss
        with world.node as node:
            node.start()
            world.create()
            for number in range(1, rounds + 1):
                started = time.monotonic()
                end, problems = world.round(number)
                print(f"round {number}/{rounds} {end}: {world.totals()}, remote up to {world.shared[1].remote_lsn}, "
                      f"{len(problems)} problems, {time.monotonic() - started:.1f} s", flush=True)
                for text in problems[:8]:
                    print("   ", text, flush=True)
                everything += problems
                if problems and expect_loss:
                    return everything
                if problems and Folder.keep:
                    raise AssertionError("problems were found")
            for by_command in (True, False):
                seconds = world.flush()
                node.kill9()
                world.lose_the_machine()
                last = world.come_back(by_command) + world.look()
                print(f"flushed in {seconds:.1f} s, lost, and {'restored' if by_command else 'served'} from the bucket: "
                      f"{len(last)} problems {last[:8]}", flush=True)
                everything += last
            done = subprocess.run([node.binary, "verify", "--from", s3.url(PREFIX)], env=node.environment(),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                everything.append(f"verify ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr}")
            node.stop()
            print(f"the machine was lost {world.lost} times, {world.restores_killed} restores were killed; killed at "
                  f"{dict(sorted(world.hits.items()))}; requests: {relay.table()}")
        if everything and not expect_loss:
            node.tell_last_words()
        if everything and Folder.keep:
            raise AssertionError("problems were found")
    return everything


def main():
    if "--keep" in sys.argv:
        sys.argv.remove("--keep")
        Folder.keep = True
    expect_loss = "--expect-loss" in sys.argv
    if expect_loss:
        sys.argv.remove("--expect-loss")
    rounds = support.take_option("--rounds", 12)
    binary = support.take_option("--binary", None, os.path.abspath)
    seed = support.take_seed()
    if len(sys.argv) > 1:
        raise SystemExit(f"error: {sys.argv[1]} is no option; see the top of this file")
    support.limit_time()
    problems = run(rounds, seed, binary, expect_loss)
    if expect_loss:
        lost = [p for p in problems if "LOST" in p]
        print(f"the lost group was noticed: {lost[:1]}" if lost else f"NOT noticed in {rounds} rounds")
        sys.exit(0 if lost else 1)
    print(f"{len(problems)} problems in {rounds} rounds, seed {seed}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
