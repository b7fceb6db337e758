"""What the node says of its bucket, against what a relay in front of a real MinIO counted; and what shipping costs.

    python3 tests/integration/bucket_metrics.py [--seconds N] [--rate N] [--idle N] [--seed S] [name of a test below ...]
"""
import json
import pathlib
import threading
import time

import support
from bucketed import (LEVELS, Documents, Metrics, World, bucket_of, create, letters, wait_agrees, wait_for, wait_healthy,
                      wait_level, wait_shipped)
from support import check
from synthetic import Vectors

NAME = "docs"
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "requests.md"
CLASSES = {200: "ok", 204: "ok", 206: "ok", 304: "not_modified", 403: "permanent", 404: "not_found", 412: "precondition",
           500: "transient", 503: "throttle"}


def settled(node, client, *comparisons):
    """Metrics at a moment when nothing is under way. What the relay has seen, the node counts some moments later."""
    def look():
        node.relay.wait_quiet()
        metrics = Metrics.of(client)
        for compare in comparisons:
            compare(node, metrics)
        return metrics
    return wait_agrees(look)


def compare_requests(node, metrics, since=0):
    """Every request the relay answered or passed stands in the node's counters, with what it came to."""
    counted = {}
    for s in node.relay.requests(since=since):
        if s.fate in ("answered", "answered_here"):
            key = (s.op.lower(), CLASSES[s.status])
        else:
            key = (s.op.lower(), "transient")
        counted[key] = counted.get(key, 0) + 1
    said = {(dict(labels)["op"], dict(labels)["outcome"]): int(v)
            for labels, v in metrics.series("tiervec_s3_requests_total").items() if v}
    check(said == counted, f"the node counted {sorted(said.items())}, the relay {sorted(counted.items())}")
    seen = node.relay.requests(since=since)
    sent, received = sum(s.sent for s in seen), sum(s.received for s in seen if s.fate == "answered")
    check(metrics.sum("tiervec_s3_bytes_total", direction="sent") == sent,
          f"bytes sent: {metrics.sum('tiervec_s3_bytes_total', direction='sent')}, the relay: {sent}")
    got = metrics.sum("tiervec_s3_bytes_total", direction="received")
    here = [s for s in seen if s.fate == "answered_here"]
    check(got == received or here and got >= received, f"bytes received: {got}, the relay passed {received}")
    durations = sum(v for labels, v in metrics.series("tiervec_s3_request_duration_seconds_count").items())
    check(durations == sum(counted.values()), f"durations of {durations} requests, {sum(counted.values())} were made")


def compare_uploads(node, metrics, since=0):
    """Of log groups: each stored once, attempts beyond the first are retries."""
    puts = {}
    for s in node.relay.requests("PUT", key="/w/", since=since):
        puts.setdefault(s.key, []).append(s.status)
    stored = sum(200 in statuses for statuses in puts.values())
    again = sum(len(statuses) - 1 for statuses in puts.values())
    said = metrics.sum("storage_s3_uploads", collection=NAME), metrics.sum("storage_s3_retries", collection=NAME)
    check(said == (stored, again), f"storage_s3_uploads and _retries say {said}, the relay saw {(stored, again)}")


def clock_of(client):
    return client.get("/api/v1/status")["durability_clock"]


def nothing_waits(node, metrics):
    for name in ("tiervec_oldest_unshipped_write_seconds", "tiervec_unshipped_bytes", "tiervec_backpressure_level",
                 "tiervec_breaker_state", "storage_s3_upload_queue_size", "storage_dlq_size"):
        check(metrics.sum(name) == 0, f"{name} is {metrics.sum(name)} with everything in the bucket")
    client = node.client()
    status = client.get("/api/v1/status")
    client.close()
    check(status["durability_clock"] == {"oldest_unshipped_write_seconds": 0, "bytes_at_risk": 0, "records_at_risk": 0},
          f"the durability clock: {status['durability_clock']}")
    check(status["backpressure_level"] == "green" and status["upload_queue"] == 0 and status["dlq_total"] == 0
          and status["bucket"]["breaker"] == "closed" and not status["bucket"]["trouble"], f"status: {status}")


def each_counter_is_what_the_relay_counted():
    with World("metrics") as world:
        node = world.node("a", storage__retry__max_retries=2).start()
        wait_for("a grade", lambda: node.client().get("/api/v1/status")["bucket"]["store_grade"] == "A")
        node.stop()  # what is counted below begins behind the probe of the store
        node.relay.forget()
        node.start()
        client = node.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        for _ in range(4):
            documents.insert(client, 150, batch=50)
            time.sleep(0.3)
        documents.delete(client, range(20))
        wait_shipped(client, NAME)
        metrics = settled(node, client, compare_requests, compare_uploads, nothing_waits)
        check(metrics.sum("storage_inserts", collection=NAME) == 600, "inserts")
        was = metrics.sum("storage_last_snapshot_timestamp", collection=NAME)

        client.post(f"/admin/collections/{NAME}/snapshot", {})
        metrics = settled(node, client, compare_requests)
        check(abs(metrics.sum("storage_last_snapshot_timestamp", collection=NAME) - time.time()) < 60
              and metrics.sum("storage_last_snapshot_timestamp", collection=NAME) > was, "the time of the snapshot")
        client.post(f"/admin/collections/{NAME}/compact?wait=true", {})
        check(settled(node, client).sum("storage_compactions", collection=NAME) == 1,
              f"compactions: {metrics.series('storage_compactions')}")

        # Errors that go away, and one that does not.
        rule = node.relay.answer(503, "SlowDown", op="PUT", key="/w/", times=3)
        documents.insert(client, 50)
        wait_shipped(client, NAME)
        check(rule.hits == 3, "the rule met nothing")
        metrics = settled(node, client, compare_requests, compare_uploads)
        check(metrics.sum("storage_s3_permanent_failures", collection=NAME) == 0, "503 made a permanent failure")
        node.relay.answer(403, "AccessDenied", op="PUT", key="/w/")
        documents.insert(client, 50)
        wait_for("a letter", lambda: letters(client, NAME)["total"])
        metrics = settled(node, client, compare_requests)
        check(metrics.sum("storage_s3_permanent_failures", collection=NAME) == 1
              and metrics.sum("storage_dlq_size", collection=NAME) == 1,
              f"a letter: {metrics.series('storage_s3_permanent_failures')} {metrics.series('storage_dlq_size')}")
        node.relay.mend()
        client.post(f"/admin/collections/{NAME}/dlq/retry", {})
        wait_shipped(client, NAME)
        metrics = settled(node, client, compare_requests, compare_uploads)
        check(metrics.sum("storage_s3_permanent_failures", collection=NAME) == 1, "a counter fell")
        settled(node, client, nothing_waits)


def the_clock_is_that_of_the_oldest_write():
    """Through an outage and a restart in the middle of it."""
    with World("metrics") as world:
        node = world.node("a", storage__rpo_ms=300).start()
        client = node.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 100)
        wait_shipped(client, NAME, which="remote_lsn")  # what a restart knows to be there
        wait_for("a lag of 0", lambda: Metrics.of(client).sum("tiervec_oldest_unshipped_write_seconds") == 0)
        shipped = bucket_of(client, NAME)["shipped_lsn"]
        node.relay.cut("refuse")
        wrote_at = time.time()
        documents.insert(client, 1)

        def look(what):
            """Gauge, status and collection agree with the time since the first write the bucket lacks."""
            before = time.time() - wrote_at
            metrics, clock, bucket = Metrics.of(client), clock_of(client), bucket_of(client, NAME)
            after = time.time() - wrote_at
            for lag in (metrics.sum("tiervec_oldest_unshipped_write_seconds"), clock["oldest_unshipped_write_seconds"],
                        bucket["lag_ms"] / 1000):
                check(before - 0.5 <= lag <= after + 0.5, f"{what}: a lag of {lag}, {before:.2f} to {after:.2f} is right")
            records = client.collection(NAME)["last_lsn"] - shipped
            check(clock["records_at_risk"] == bucket["unshipped_records"] == records,
                  f"{what}: {records} records are at risk, said are {clock}, {bucket['unshipped_records']}")
            check(clock["bytes_at_risk"] == metrics.sum("tiervec_unshipped_bytes") == bucket["unshipped_bytes"] > 0,
                  f"{what}: {clock}, {metrics.sum('tiervec_unshipped_bytes')}, {bucket}")
            return clock["bytes_at_risk"]

        bytes_before = wait_agrees(lambda: look("after the first write"))
        check(bytes_before >= documents.dim * 4, f"{bytes_before} bytes at risk")
        documents.insert(client, 100, batch=10)
        grown = wait_agrees(lambda: look("after more"))
        check(grown >= bytes_before + 100 * documents.dim * 4, f"{bytes_before} and then {grown} bytes at risk")
        wait_for("the breaker", lambda: Metrics.of(client).sum("tiervec_breaker_state") > 0)
        check(client.get("/api/v1/status")["bucket"]["breaker"] != "closed", "status and metric differ about the breaker")
        node.kill9()
        time.sleep(1)
        node.start()
        client = node.client()
        documents.insert(client, 5, batch=1)
        wait_agrees(lambda: look("after a restart without the bucket"))
        check(Metrics.of(client).sum("storage_s3_uploads", collection=NAME) == 0, "uploads without a bucket")
        node.relay.mend()
        wait_shipped(client, NAME)
        wait_healthy(client)
        settled(node, client, compare_uploads_since_restart, nothing_waits)


def compare_uploads_since_restart(node, metrics):
    """What was written in the outage went up once, in few groups."""
    uploads = metrics.sum("storage_s3_uploads", collection=NAME)
    check(1 <= uploads <= 10, f"106 records of one outage took {uploads} uploads")


def pressure_has_levels():
    """Half, three quarters and most of the budget of what may wait: alarm, 429, 507; everything is taken again after."""
    with World("metrics") as world:
        node = world.node("a", storage__unshipped_bytes_max=1 << 20, storage__rpo_ms=200).start()
        client = node.client()
        create(client, NAME, dim=256)
        documents = Documents(NAME, SEED, dim=256)
        documents.insert(client, 10)
        wait_shipped(client, NAME)
        node.relay.cut("refuse")
        seen, refusals = [], set()
        for _ in range(200):
            level = client.get("/api/v1/status")["backpressure_level"]
            metric = Metrics.of(client).sum("tiervec_backpressure_level")
            if client.get("/api/v1/status")["backpressure_level"] == level:  # it did not change in between
                check(metric == LEVELS.index(level), f"{level} is {metric} in the metrics")
            if level not in seen:
                seen.append(level)
            wait_level(client, 1 << 20)
            answer = client.request("POST", f"/api/v1/collections/{NAME}/insert",
                                    {"documents": [documents.body(documents.next_id + i, 0) for i in range(20)]})
            if answer.status == 200:
                documents.there.update({documents.next_id + i: 0 for i in range(20)})
                documents.next_id += 20
                continue
            refusals.add((answer.status, answer.json["code"]))
            check(answer.status in (429, 507) and answer.json["retryable"], f"refused: {answer}")
            if answer.status == 429:
                check(int(answer.headers["Retry-After"]) >= 1, f"when to come again: {answer.headers}")
            if len(refusals) == 2 or answer.status == 429 and seen[-1] == "orange" and len(seen) > 2:
                break
        check(seen[:3] == ["green", "yellow", "orange"], f"the levels were {seen}")
        check((429, "backpressure") in refusals, f"the refusals were {refusals}")
        check(client.request("GET", "/ready").status == 200, "pressure made the node unready")
        documents.compare(client)
        node.relay.mend()
        wait_shipped(client, NAME)
        wait_for("green", lambda: client.get("/api/v1/status")["backpressure_level"] == "green")
        documents.insert(client, 20)
        documents.compare(client)
        wait_healthy(client)


def an_idle_node_sends_nothing():
    with World("metrics") as world:
        node = world.node("a").start()
        client = node.client()
        for name in (NAME, "never written"):
            create(client, name)
        documents = Documents(NAME, SEED)
        documents.insert(client, 200)
        wait_shipped(client, NAME)
        node.relay.wait_quiet(8)  # the last look at the root comes 5 s behind the last group
        mark, connects, metrics = node.relay.mark(), node.relay.connects, Metrics.of(client)
        until = time.monotonic() + IDLE
        while time.monotonic() < until:  # asked, but not written to
            client.query(NAME, [0.1] * 24)
            client.get("/health")
            client.get("/api/v1/status")
            time.sleep(0.2)
        check(node.relay.mark() == mark and node.relay.connects == connects,
              f"idle for {IDLE} s it sent {node.relay.table(mark)} over {node.relay.connects - connects} new connections")
        same = Metrics.of(client)
        check(same.series("tiervec_s3_requests_total") == metrics.series("tiervec_s3_requests_total"), "its own counters")

        # A start reads the catalog and asks for nothing else.
        node.stop()
        mark = node.relay.mark()
        node.start()
        client = node.client()
        time.sleep(2)
        node.relay.wait_quiet()
        strange = [s for s in node.relay.requests(since=mark) if s.op != "GET" or "/meta/" not in s.key]
        check(not strange, f"a start without anything to ship sent {strange}")
        check(len(node.relay.requests(since=mark)) <= 4, f"a start sent {node.relay.table(mark)}")


def paced_inserts(node, dim, rate, seconds, batch=10):
    """The documents inserted and the seconds it took: `batch` of them at a time, on two connections, not faster than rate."""
    vectors, lock, state = Vectors(dim, SEED), threading.Lock(), {"next": 0}
    total = rate * seconds
    began = time.monotonic()
    failures = []

    def run():
        client = node.client()
        try:
            while True:
                with lock:
                    first = state["next"]
                    if first >= total:
                        return
                    state["next"] += batch
                    documents = [{"doc_id": first + i, "vector": vectors.next(), "payload": {"n": first + i}}
                                 for i in range(batch)]
                body = json.dumps({"documents": documents}, separators=(",", ":")).encode()
                wait = began + first / rate - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                client.ok("POST", f"/api/v1/collections/{NAME}/insert", body)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)
        finally:
            client.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"an insert failed: {failures[:1]}")
    return total, time.monotonic() - began


def shipping_costs_what_it_may():
    """At a steady rate: PUTs and bytes are bounded, and nothing is listed or asked for."""
    for dim, most in ((384, 1.4), (768, 1.25)):
        with World("metrics") as world:
            node = world.node("a").start()
            client = node.client()
            client.ok("POST", "/api/v1/collections", {"name": NAME, "dimension": dim, "metric": "cosine"}, 201)
            client.post(f"/api/v1/collections/{NAME}/insert", {"doc_id": 1 << 40, "vector": [1] * dim})
            wait_shipped(client, NAME)  # owned from here on
            node.relay.wait_quiet()
            mark = node.relay.mark()
            count, seconds = paced_inserts(node, dim, RATE, SECONDS)
            waited = wait_shipped(client, NAME)
            node.relay.wait_quiet(2, 60)
            puts, sent = node.relay.count("PUT", since=mark), node.relay.sent_bytes(since=mark)
            ratio = sent / (count * dim * 4)
            print(f"{dim}-d: {count} documents in {seconds:.1f} s ({count / seconds:.0f}/s), all in the bucket {waited:.2f} s "
                  f"later; {puts} PUTs, {puts * 1000 / count:.2f} a 1,000 inserts, {ratio:.3f} bytes sent a byte of vectors; "
                  f"{node.relay.table(mark)}", flush=True)
            for op in ("LIST", "HEAD", "DELETE", "POST"):
                check(node.relay.count(op, since=mark) == 0, f"{op} in steady state: {node.relay.table(mark)}")
            check(not [s for s in node.relay.requests(since=mark) if s.status >= 400], f"{node.relay.table(mark)}")
            # One a second is what the age of a write asks for, whatever the rate. An image is three, at the first and
            # at twice as many rows: a short run has no more to spread it over.
            groups = node.relay.count("PUT", key="/w/", since=mark)
            most_puts = 1.2 * max(count / 1000, seconds) + (0 if SECONDS >= 60 else 8)
            check(puts <= most_puts and groups <= 1.1 * max(count / 1000, seconds) + 4,
                  f"{puts} PUTs, {groups} of them groups, for {count} inserts in {seconds:.1f} s")
            check(ratio <= most, f"{ratio:.3f} bytes sent a byte of vectors at {dim}-d, {most} is the most")
            gets = node.relay.count("GET", since=mark)
            check(gets <= seconds / 2 + 5, f"{gets} GETs in {seconds:.0f} s: a root read every 5 s is enough")


def page_says(operation):
    """PUT, GET, LIST and DELETE of an operation, as docs/requests.md has them."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] == operation:
            return dict(zip(("PUT", "GET", "LIST", "DELETE"), map(int, cells[1:5])))
    check(False, f"docs/requests.md has no row of {operation}")


def the_wire_sees_what_the_page_says():
    """What test_node_requests counts in front of a store in memory, once more where the requests of a real one pass."""
    with World("metrics") as world:
        node = world.node("a").start()
        client = node.client()
        create(client, NAME)
        wait_for("the collector", lambda: Metrics.of(client).sum("tiervec_collect_runs_total", outcome="ok") == 1)
        documents = Documents(NAME, SEED)

        def one(operation, act, quiet=1.5, within=None):
            """within: what is sent within so many seconds goes together; on a machine too busy for it, it is done again."""
            node.relay.wait_quiet()
            mark, began = node.relay.mark(), time.monotonic()
            act()
            took = time.monotonic() - began
            node.relay.wait_quiet(quiet)
            ops = ("PUT", "GET", "LIST", "DELETE", "HEAD", "POST")
            want = {**page_says(operation), "HEAD": 0, "POST": 0}

            def counts():
                return {op: node.relay.count(op, since=mark) for op in ops}
            if within and took > within and counts() != want:
                return False
            wait_for(f"all requests of {operation}, {want},", lambda: all(counts()[op] >= want[op] for op in ops))
            node.relay.wait_quiet(quiet)
            check(counts() == want, f"{operation}: the wire saw {counts()}, the page says {want}: "
                  f"{[(s.op, s.key) for s in node.relay.requests(since=mark)]}")
            return True

        path = f"/api/v1/collections/{NAME}"
        one("one insert", lambda: documents.insert(client, 1), 7)
        wait_for("100 inserts within rpo_ms", lambda: one(
            "100 inserts within rpo_ms", lambda: documents.insert(client, 100, batch=10), 7, 0.5), 120)
        one("a delete", lambda: documents.delete(client, [1]), 7)
        one("query, get, list", lambda: client.query(NAME, [0.1] * 24))
        one("health, status, metrics", lambda: (client.get("/health"), client.get("/api/v1/status"), Metrics.of(client)))
        one("list letters", lambda: letters(client, NAME))
        one("change ef_search", lambda: client.ok("PATCH", path, {"ef_search": 77}))
        one("set an alias", lambda: client.post("/api/v1/aliases", {"alias": "latest", "collection": NAME}))
        one("remove an alias", lambda: client.ok("DELETE", "/api/v1/aliases", {"alias": "latest"}))
        one("a snapshot, without a graph", lambda: client.post(f"/admin/collections/{NAME}/snapshot", {}))
        one("a named snapshot", lambda: client.post(f"/admin/collections/{NAME}/snapshot", {"name": "monday"}))
        one("rename", lambda: client.ok("PATCH", path, {"name": "renamed"}))
        one("drop", lambda: client.ok("DELETE", "/api/v1/collections/renamed"))


if __name__ == "__main__":
    SECONDS = support.take_option("--seconds", 15)
    RATE = support.take_option("--rate", 1000)
    IDLE = support.take_option("--idle", 10)
    SEED = support.take_seed()
    support.main(each_counter_is_what_the_relay_counted, the_clock_is_that_of_the_oldest_write, pressure_has_levels,
                 an_idle_node_sends_nothing, the_wire_sees_what_the_page_says, shipping_costs_what_it_may)
