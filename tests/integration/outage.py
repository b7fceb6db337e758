"""The bucket is unreachable for minutes under load, and comes back.

    python3 tests/integration/outage.py [--minutes M | --seconds S] [--warm S] [--rate N] [--mode MODE[,MODE]] [--seed S]
                                        [--keep] [name of a test below ...]

A node on a real MinIO behind the relay, inserts at a steady rate (replacing the same documents, so that what is live stays
the same), queries beside them. MODE: refuse (nobody listens), blackhole (nobody answers), 503 (the store is overloaded), denied
(permissions are taken away and given back). Once a second everything is looked at: memory within 5 % of what it was before, the
lag gauge against the ledger's own oldest write that the bucket lacks, /ready, letters. Afterwards the backlog drains at five
times the rate of the inserts or better, and a restore from the bucket alone has every acknowledged write.
"""
import os
import random
import sys
import threading
import time

import support
from bucketed import (LEVELS, Documents, Metrics, World, bucket_of, create, health, letters, wait_degraded, wait_for, wait_healthy, wait_level,
                      wait_shipped, wait_writable)
from support import Folder, check, resident_bytes

NAME = "docs"
DIM = 64
DOCUMENTS = 5000
BATCH = 10
MEASURED_SECONDS = 60  # shorter outages, beside other tests, say nothing of rates and memory
GAUGE_SECONDS = 0.5  # of the clock under load, scraping included
MODES = ("refuse", "blackhole", "503", "denied")


class Load:
    """Paced inserts by one thread, so that lsns come in order; queries by another. What was acknowledged when."""

    def __init__(self, node, documents, rate):
        self.node, self.documents, self.rate = node, documents, rate
        self.lock = threading.Lock()
        self.written = []  # (lsn, sent, answered), guarded by lock
        self.latencies = []  # (when, seconds) of queries, guarded by lock
        self.failure = None
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.guard, args=(f,)) for f in (self.insert, self.query)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.look()

    def look(self):
        if self.failure is not None:
            raise self.failure

    def guard(self, function):
        client = self.node.client()
        try:
            function(client)
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
        finally:
            client.close()

    def insert(self, client):
        began, sent_rows, version = time.monotonic(), 0, 1
        while not self.stopping.is_set():
            first = sent_rows % DOCUMENTS
            version += first == 0
            wait = began + sent_rows / self.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -2:
                began -= wait  # the machine was busy: no burst to catch up
            sent = time.monotonic()
            if sent_rows % 1010 == 1000:  # other ones in each turn, which come again in the next
                self.documents.delete(client, range(first, first + BATCH))
            else:
                self.documents.insert(client, BATCH, BATCH, version, first)
            with self.lock:
                check(not self.written or self.documents.last_lsn > self.written[-1][0], "lsns rise")
                self.written.append((self.documents.last_lsn, sent, time.monotonic()))
            sent_rows += BATCH

    def query(self, client):
        rng = random.Random(1)
        while not self.stopping.is_set():
            sent = time.monotonic()
            client.query(NAME, [rng.uniform(-1, 1) for _ in range(DIM)], top_k=5)
            with self.lock:
                self.latencies.append((sent, time.monotonic() - sent))
            time.sleep(0.03)

    def oldest_behind(self, lsn):
        """(sent, answered) of the first write the ledger knows behind lsn, or None."""
        with self.lock:
            return next(((sent, answered) for l, sent, answered in self.written[self.at(lsn):] if l > lsn), None)

    def at(self, lsn):
        """Where to look: everything in front of it is at or below lsn."""
        low, high = 0, len(self.written)
        while low < high:
            middle = (low + high) // 2
            if self.written[middle][0] <= lsn:
                low = middle + 1
            else:
                high = middle
        return low

    def quantile(self, begin, end, q):
        with self.lock:
            took = sorted(s for at, s in self.latencies if begin <= at < end)
        return took[int(len(took) * q)] * 1000 if took else 0.0


class Sampler:
    """Looks once a second; each look is kept."""

    def __init__(self, node, load):
        self.node, self.load = node, load
        self.client = node.client()
        self.seen = []
        self.worst_lag = 0.0

    def look(self):
        until = time.monotonic() + 60
        while True:
            before = bucket_of(self.client, NAME)["shipped_lsn"]
            time.sleep(0.1)  # the gauge is as of 50 ms ago at the most, on a machine that has nothing else to do
            asked = time.monotonic()
            metrics = Metrics.of(self.client)
            answered = time.monotonic()
            after = bucket_of(self.client, NAME)["shipped_lsn"]
            gauge = metrics.sum("tiervec_oldest_unshipped_write_seconds")
            wrong = self.compare(gauge, before, after, asked, answered)
            if wrong is None:
                break
            check(asked < until, wrong)
        check(self.client.request("GET", "/ready").status == 200, "the node is not ready")
        self.load.look()
        self.seen.append({"at": asked, "rss": resident_bytes(self.node.process.pid), "lag": gauge, "shipped": after,
                          "bytes": metrics.sum("tiervec_unshipped_bytes"), "letters": metrics.sum("storage_dlq_size")})
        return self.seen[-1]

    def compare(self, gauge, before, after, asked, answered):
        """What is wrong, or None: it is between the age of what was missing when it was asked and when it was answered."""
        old, young = self.load.oldest_behind(before), self.load.oldest_behind(after)
        most = answered - old[0] if old else 0.0
        least = asked - young[1] if young else 0.0
        wrong = max(gauge - most, least - gauge, 0.0)
        self.worst_lag = max(self.worst_lag, wrong)
        return None if wrong <= GAUGE_SECONDS else f"the lag gauge says {gauge:.2f} s, the ledger {least:.2f} to {most:.2f} s"

    def run(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            self.look()
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))
        return self.seen


def cut(world, node, mode):
    if mode == "denied":
        world.s3.deny()
    elif mode == "503":
        node.relay.answer(503, "SlowDown")
    else:
        node.relay.cut(mode)


def mend(world, node, mode):
    if mode == "denied":
        world.s3.allow()
    node.relay.mend()


def disk_bytes(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


def one_outage(world, node, load, sampler, mode, seconds):
    client = node.client()
    sampler.seen.clear()
    began = time.monotonic()
    sampler.run(max(5, WARM / 4))
    calm = [s["rss"] for s in sampler.seen]
    log_lines, disk = len(node.log_text().splitlines()), disk_bytes(node.data_dir)
    cut(world, node, mode)
    cut_at, mark = time.monotonic(), node.relay.mark()
    sampler.seen.clear()
    sampler.run(seconds)
    during = list(sampler.seen)
    check(node.relay.count(fate="answered", status=200, op="PUT", since=mark) == 0, "something reached the bucket")
    fine, why = health(client)
    check(not fine, "health has nothing to say of an outage")
    lines = node.log_text().splitlines()[log_lines:]
    requests = len(node.relay.requests(since=mark))
    letters_then = letters(client, NAME)["total"]
    if mode != "denied":
        check(letters_then == 0, f"{mode} made {letters_then} letters: {letters(client, NAME)}")
    behind_lsn, shipped = client.collection(NAME)["last_lsn"], during[-1]["shipped"]
    mended, mark = time.monotonic(), node.relay.mark()
    mend(world, node, mode)
    if mode == "denied" and letters_then:
        said = client.post(f"/admin/collections/{NAME}/dlq/retry", {})
        check(said["failed_count"] == 0, f"with the permissions back: {said}")
    first = wait_for("the first upload", lambda: [s for s in node.relay.requests("PUT", key="/w/", status=200, since=mark)], 120,
                     0.01)[0].at
    wait_for("the backlog to drain", lambda: bucket_of(client, NAME)["shipped_lsn"] >= behind_lsn, 600, 0.02)
    drained = time.monotonic()
    records = (behind_lsn - shipped) * BATCH
    # The first upload was under way before its answer; what is below a tenth of a second is not told apart.
    rate = records / max(drained - first, 0.1)
    sampler.run(3)
    wait_healthy(client)
    check(letters(client, NAME)["total"] == 0, f"letters stay: {letters(client, NAME)}")
    growth = max(s["rss"] for s in during) / max(calm) - 1
    shouts = [line for line in lines if '"level":"warn"' in line or '"level":"error"' in line]
    print(f"{mode}: {seconds:.0f} s; {records} rows waited, drained at {rate:.0f} a second, {rate / load.rate:.1f} times the inserts, "
          f"{first - mended:.1f} s after it was back; memory {max(calm) >> 20} MiB, at most {growth * 100:+.1f} %; lag up to "
          f"{max(s['lag'] for s in during):.1f} s, never wrong by more than {sampler.worst_lag:.2f} s; {requests} requests tried, "
          f"{len(lines)} log lines, {len(shouts)} of them warnings; disk {(disk_bytes(node.data_dir) - disk) >> 10:+d} KiB; queries p99 "
          f"{load.quantile(began, cut_at, 0.99):.1f} ms before, {load.quantile(cut_at, mended, 0.99):.1f} during", flush=True)
    for text in sorted({line[line.index('"target"'):][:400] for line in shouts}):
        print("   ", text, flush=True)
    print(f"    health: {why}", flush=True)
    if seconds >= MEASURED_SECONDS:
        check(rate >= 5 * load.rate, f"the backlog drained at {rate:.0f} rows a second, inserts are {load.rate}")
        check(growth <= 0.05, f"memory grew by {growth * 100:.1f} % in the outage: {[s['rss'] >> 10 for s in during]} KiB")
    check(len(shouts) <= 12 + seconds / 10, f"{len(shouts)} warnings in {seconds:.0f} s")
    client.close()


def the_bucket_is_away_under_load():
    with World("outage") as world:
        node = world.node("a", **({} if SECONDS > 120 else {"storage__retry__max_backoff_secs": 4})).start()
        client = node.client()
        create(client, NAME, DIM)
        documents = Documents(NAME, SEED, DIM)
        documents.insert(client, DOCUMENTS)
        wait_shipped(client, NAME)
        load = Load(node, documents, RATE).start()
        sampler = Sampler(node, load)
        try:
            sampler.run(WARM)
            for mode in MODE:
                one_outage(world, node, load, sampler, mode, SECONDS)
        finally:
            load.stop()
        print(f"{sum(1 for _ in load.written) * BATCH} acknowledged writes checked")
        client = node.client()  # the node has closed the other one, which was idle
        documents.compare(client)
        wait_shipped(client, NAME)
        node.kill9()
        other = world.node("b")
        world.command("restore", "--from", world.url, "--data-dir", other.data_dir)
        documents.compare(other.start().client())


def levels_rise_and_fall_in_order():
    """A budget of 1 MiB: yellow, orange with 429 and Retry-After, red with 507, and back."""
    with World("outage") as world:
        node = world.node("a", storage__unshipped_bytes_max=1 << 20, storage__rpo_ms=200, storage__group_bytes=65536,
                          storage__max_in_flight=1).start()
        client = node.client()
        create(client, NAME, DIM)
        create(client, "memory", 4, policy="Memory")
        documents = Documents(NAME, SEED, DIM)
        documents.insert(client, 200)
        wait_shipped(client, NAME)
        node.relay.cut("blackhole")
        seen, said = ["green"], {}

        def look():
            level = client.get("/api/v1/status")["backpressure_level"]
            if level != seen[-1]:
                seen.append(level)
            return level

        until = time.monotonic() + 120
        while look() != "red" or 507 not in said.get("red", ()):
            check(time.monotonic() < until, f"120 s, and it is {seen}, {said}")
            level = seen[-1]
            if level in ("green", "yellow"):
                wait_level(client, 1 << 20)
                level = look()
            for batch in (1, 1, 1, 1, 8):
                first = documents.next_id
                body = [documents.body(first + i, 0) for i in range(batch)]
                answer = client.request("POST", f"/api/v1/collections/{NAME}/insert",
                                        body[0] if batch == 1 else {"documents": body})
                if answer.status == 200:
                    documents.there.update({first + i: 0 for i in range(batch)})
                    documents.next_id += batch
                    continue
                level = look() if level in ("green", "yellow") else level  # it rose meanwhile
                said.setdefault(level, set()).add(answer.status)
                check(answer.status in (429, 507) and answer.json["retryable"], f"refused: {answer}")
                check(answer.status != 429 or int(answer.headers["Retry-After"]) >= 1, f"when again: {answer.headers}")
                check(answer.json["code"] in ("backpressure", "unshipped_full"), f"refused: {answer}")
        print(f"levels {seen}, refusals {said}: {answer.json['detail']}")
        check(seen == LEVELS, f"the levels came as {seen}")
        check(not said.get("green") and not said.get("yellow"), f"refused below orange: {said}")
        check(429 in said.get("orange", ()), f"orange refused {said}")
        # Deletes, reads and what has no bucket go on.
        documents.delete(client, [0, 1])
        client.ok("POST", "/api/v1/collections/memory/insert", {"doc_id": 1, "vector": [1, 2, 3, 4]})
        documents.compare(client)
        check(client.request("GET", "/ready").status == 200, "pressure made the node unready")
        at = len(seen) - 1
        node.relay.mend()
        wait_for("green", lambda: look() == "green", 60, 0.01)
        back = [LEVELS.index(level) for level in seen[at:]]
        print(f"and back {seen[at:]}")
        check(back == sorted(back, reverse=True), f"it fell as {seen[at:]}")
        documents.insert(client, 20)
        wait_shipped(client, NAME)
        documents.compare(client)
        wait_healthy(client)


def started_without_the_bucket():
    """The bucket is down before the process is there: local data are served, writes taken, and shipped when it is back."""
    for mode in MODE:
        with World("outage") as world:
            node = world.node("a").start()
            client = node.client()
            create(client, NAME, DIM)
            documents = Documents(NAME, SEED, DIM)
            documents.insert(client, 300)
            wait_shipped(client, NAME)
            documents.insert(client, 100)
            node.kill9()
            cut(world, node, mode)
            began = time.monotonic()
            node.start()
            took = time.monotonic() - began
            client = node.client()
            documents.compare(client)
            documents.insert(client, 200, batch=20)
            fine, why = wait_for("health to say so", lambda: not health(client)[0] and health(client), 60)
            print(f"{mode}: ready after {took:.2f} s; health: {why}", flush=True)
            check(took < support.START_SECONDS, f"{took:.1f} s to be ready")
            answer = client.request("POST", "/api/v1/collections", {"name": "new", "dimension": 4, "metric": "l2"})
            check((answer.status, answer.json["code"]) == ((403, "denied") if mode == "denied" else (503, "store_unavailable")),
                  f"a create meanwhile: {answer}")
            documents.delete(client, range(10))
            mend(world, node, mode)
            if letters(client, NAME)["total"]:
                client.post(f"/admin/collections/{NAME}/dlq/retry", {})
            wait_shipped(client, NAME)
            wait_healthy(client)
            check(letters(client, NAME)["total"] == 0, f"{letters(client, NAME)}")
            node.kill9()
            other = world.node("b")
            world.command("restore", "--from", world.url, "--data-dir", other.data_dir)
            documents.compare(other.start().client())


def an_empty_directory_waits_for_the_bucket():
    """The machine was lost and the bucket is away as well: the node says so, and loads when it is back."""
    with World("outage") as world:
        node = world.node("a", server__node_id="one").start()
        client = node.client()
        create(client, NAME, DIM)
        documents = Documents(NAME, SEED, DIM)
        documents.insert(client, 300)
        wait_shipped(client, NAME)
        node.crash_and_lose_everything()
        node.relay.cut("refuse")
        node.launch().wait_listening()
        client = node.client()
        why = wait_degraded(client, "bucket")
        ready = client.request("GET", "/ready")
        print(f"empty, without the bucket: ready {ready.status}; health: {why}")
        check(client.request("GET", f"/api/v1/collections/{NAME}").status in (404, 503), "there is nothing yet")
        check(client.request("POST", "/api/v1/collections", {"name": NAME, "dimension": 3, "metric": "l2"}).status == 503,
              "a collection of that name, which the bucket has, must not be made beside it")
        node.relay.mend()
        wait_for("the collection", lambda: [c for c in client.get("/api/v1/collections")["collections"]
                                            if c["name"] == NAME and c["document_count"] == 300], 120)
        documents.compare(client)
        wait_writable(client, NAME)
        documents.insert(client, 50)
        wait_shipped(client, NAME)
        wait_healthy(client)


if __name__ == "__main__":
    if "--keep" in sys.argv:
        Folder.keep = True
    MINUTES = support.take_option("--minutes", 0, float)
    SECONDS = support.take_option("--seconds", 8, float) if not MINUTES else MINUTES * 60
    WARM = support.take_option("--warm", 10 if not MINUTES else 60, float)
    RATE = support.take_option("--rate", 300)
    MODE = support.take_option("--mode", ",".join(MODES), str).split(",")
    SEED = support.take_seed()
    support.main(the_bucket_is_away_under_load, levels_rise_and_fall_in_order, started_without_the_bucket,
                 an_empty_directory_waits_for_the_bucket)
