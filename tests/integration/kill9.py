"""kill -9 at a random moment, restart, and look for everything that was acknowledged.

    python3 tests/integration/kill9.py [--rounds N] [--seed S] [--binary PATH] [--sync none] [--expect-loss] [--keep]

Rounds over one data directory: writers insert, replace and delete in two collections, another thread makes, renames
and drops collections, checkpoints run every second and whenever the log passes 1 MiB; then the process is killed: at any
moment, in the middle of a checkpoint, the moment an answer has come, while it stops, or while it starts. After each restart the ledger (ledger.py) is
compared with the list, GET, counts and queries. --sync none: the log is not synced, and the end of the process loses nothing all the same. --expect-loss turns the result
round: the checker must find losses.
"""
import itertools
import os
import random
import re
import signal
import sys
import threading
import time

import support
from ledger import Book, Catalog, Churner, Writer, make_ids, verify
from support import Folder, Gone, Node, NotSent

WRITERS = 3  # for each collection
SETTINGS = ["--set", "wal.max_bytes=1048576", "--set", "wal.checkpoint_interval_secs=1", "--log-level", "info"]
INTEGERS, UUIDS = 1200, 200


class World:
    writers = WRITERS
    healthy = True

    def __init__(self, folder, rng, binary=None, data_dir=None, more=(), env=None):
        self.rng = rng
        self.node = Node(folder, data_dir, binary, [*SETTINGS, *more], env)
        self.books = [Book("plain", 16, "l2"), Book("unit", 8, "cosine")]
        self.catalog = Catalog()
        self.stop = None
        self.threads = []
        self.power_cut = threading.Event()
        self.numbers = itertools.count(1)
        self.ids = {book.name: make_ids(rng, INTEGERS, UUIDS) for book in self.books}

    def create(self):
        client = self.node.client()
        for book in self.books:
            client.create(book.name, book.dim, book.metric, m=8, ef_construction=64, threshold=300)
            self.catalog.names[book.name] = 0
        client.close()

    def writer(self, book):
        writer = Writer(self.node.client(), book, self.numbers, random.Random(self.rng.random()), self.stop,
                        self.ids[book.name])
        writer.power_cut = self.power_cut
        return writer

    def start_threads(self):
        self.stop = threading.Event()
        self.power_cut.clear()
        self.threads = [self.writer(book) for book in self.books for _ in range(self.writers)]
        self.threads += self.churners()
        for thread in self.threads:
            thread.start()

    def churners(self):
        return [Churner(self.node.client(), self.catalog, random.Random(self.rng.random()), self.stop, self.power_cut)]

    def stop_threads(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def end_at_random(self):
        time.sleep(self.rng.uniform(0.02, 1.2))
        self.node.kill9()

    def end_in_checkpoint(self):
        time.sleep(self.rng.uniform(0.2, 0.8))
        client = self.node.client()
        name = self.rng.choice(self.books).name
        asked = threading.Thread(target=quietly, args=(client, f"/admin/collections/{name}/snapshot"))
        asked.start()
        time.sleep(self.rng.uniform(0, 0.04))
        self.node.kill9()
        asked.join()

    def end_at_answer(self):
        """Nothing else is under way, so that the signal follows the answer within a fraction of a millisecond."""
        time.sleep(self.rng.uniform(0.1, 0.4))
        self.stop_threads()
        writer = self.writer(self.books[0])
        writer.insert_large(self.node.kill9)
        writer.client.close()

    def end_while_stopping(self):
        time.sleep(self.rng.uniform(0.1, 0.6))
        self.node.signal(signal.SIGTERM)
        time.sleep(self.rng.uniform(0, 0.08))
        self.node.kill9()

    def end_while_starting(self):
        self.end_at_random()
        for _ in range(3):
            self.node.launch()
            time.sleep(self.rng.uniform(0, 0.12))
            self.node.kill9()

    def ends(self):
        return [self.end_at_random, self.end_in_checkpoint, self.end_at_answer, self.end_while_stopping,
                self.end_while_starting]

    def round(self, number):
        """One life and death; what is wrong afterwards."""
        ends = self.ends()
        end = self.rng.choice(ends) if number > len(ends) else ends[number - 1]
        self.start_threads()
        end()
        self.stop_threads()
        problems = [f"{type(t.failure).__name__}: {t.failure}" for t in self.threads if t.failure is not None]
        self.node.start()
        problems += self.look()
        if end == self.end_at_answer:
            cleaner = self.writer(self.books[0])
            cleaner.delete_large()
            cleaner.client.close()
        return end.__name__, problems

    def look(self):
        """Compares everything with the ledger."""
        self.catalog_counts()
        client = self.node.client()
        problems = verify(client, self.books, self.catalog, self.rng)
        self.forget()
        health = client.get("/health")
        if health["status"] != "healthy" and self.healthy:
            problems.append(f"health: {health}")
        client.close()
        return problems

    def forget(self):
        """Nothing here goes back behind what was just compared."""
        for book in self.books:
            book.forget(max(book.lsns, default=0))

    def catalog_counts(self):
        """The catalog's ledger does not count what the writers' ledgers do."""
        client = self.node.client()
        counts = {c["name"]: c["document_count"] for c in client.get("/api/v1/collections")["collections"]}
        client.close()
        for book in self.books:
            for names in [self.catalog.names, *self.catalog.maybe]:
                if book.name in names:
                    names[book.name] = counts.get(book.name, 0)

    def idle_parts(self, rounds):
        """A run in which no checkpoint was written or loaded, or no graph was walked, would prove less than it says."""
        with open(self.node.log_path, encoding="utf-8", errors="replace") as f:
            log = f.read()
        written, torn = log.count('"checkpoint written"'), log.count('"torn":"true"')
        loaded = len(re.findall(r'"checkpoint_lsn":[1-9]', log))
        print(f"checkpoints: {written} written, {loaded} loaded; logs with a torn tail: {torn}", flush=True)
        return ["no checkpoint was written and loaded"] if rounds >= 10 and not (written and loaded) else []

    def totals(self):
        return {key: sum(book.count[key] for book in self.books) for key in self.books[0].count}


def quietly(client, path):
    try:
        client.request("POST", path, b"")
    except (Gone, NotSent):
        pass
    client.close()


def run(rounds, seed, binary=None, stop_at_loss=False, sync="fsync"):
    """All problems of all rounds."""
    everything = []
    with Folder("kill9") as folder:
        world = World(folder, random.Random(seed), binary, more=["--set", f"wal.sync={sync}"])
        world.healthy = sync == "fsync"  # the other one is a reason of its own
        with world.node as node:
            node.start()
            world.create()
            for number in range(1, rounds + 1):
                started = time.monotonic()
                end, problems = world.round(number)
                print(f"round {number}/{rounds} {end}: {world.totals()}, {len(problems)} problems, "
                      f"{time.monotonic() - started:.1f} s", flush=True)
                for text in problems[:8]:
                    print("   ", text, flush=True)
                everything += problems
                if problems and stop_at_loss:
                    return everything
            node.stop()
            node.start()
            last = world.look()
            print(f"after a graceful restart: {last[:8]}", flush=True)
            everything += last
            node.stop()
            everything += world.idle_parts(rounds)
        if everything and not stop_at_loss:
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
    sync = support.take_option("--sync", "fsync", str)
    seed = support.take_seed()
    if len(sys.argv) > 1:
        raise SystemExit(f"error: {sys.argv[1]} is no option; see the top of this file")
    support.limit_time()
    problems = run(rounds, seed, binary, stop_at_loss=expect_loss, sync=sync)
    lost = [p for p in problems if "LOST" in p]
    if expect_loss:
        print(f"the twin was caught: {len(lost)} losses seen" if lost else f"NOT caught in {rounds} rounds")
        sys.exit(0 if lost else 1)
    print(f"{len(problems)} problems in {rounds} rounds, seed {seed}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
