"""To the bucket and back, on a real MinIO: kill -9, the bucket away, the machine lost, two owners, damage.

    python3 tests/integration/bucket_drill.py [--documents N] [--seed S] [name of a test below ...]
"""
import os
import random
import re
import shutil
import signal
import threading
import time

import support
from bucketed import (Documents, Metrics, World, bucket_of, create, export, letters, wait_degraded, wait_for,
                      wait_healthy, wait_shipped, wait_writable)
from support import Gone, NotSent, check

NAME = "docs"


def write_until_gone(node, documents, rng, unsure):
    """Batches and singles, replacements and deletes, until the node is gone; `unsure` gets the ids of the last request."""
    client = node.client()
    try:
        while True:
            what = rng.random()
            if what < 0.1 and len(documents.there) > 50:
                ids = rng.sample(sorted(documents.there), 5)
                unsure[:] = [(i, "deleted") for i in ids]
                documents.delete(client, ids)
            else:
                count = 1 if what < 0.5 else rng.randrange(2, 120)
                unsure[:] = [(i, 0) for i in range(documents.next_id, documents.next_id + count)]
                documents.insert(client, count, batch=count)
            unsure[:] = []
            time.sleep(rng.random() * 0.02)
    except (Gone, NotSent):
        pass
    finally:
        client.close()


def settle(client, documents, unsure):
    """The request nobody answered is there whole or not at all."""
    if not unsure:
        return
    there = [client.request("GET", f"/api/v1/collections/{NAME}/docs/{i}").status == 200 for i, _ in unsure]
    check(all(there) or not any(there), f"of the request under way a part is there: {there}")
    for doc_id, what in unsure:
        if what == "deleted" and not there[0]:
            documents.there.pop(doc_id, None)
        elif what != "deleted" and there[0]:
            documents.there[doc_id] = 0
            documents.next_id = max(documents.next_id, doc_id + 1)


def a_killed_node_ships_what_it_acknowledged():
    rng = random.Random(SEED)
    with World("drill") as world:
        node = world.node("a").start()
        create(node.client(), NAME)
        documents, unsure = Documents(NAME, SEED), []
        for _ in range(3):
            writer = threading.Thread(target=write_until_gone, args=(node, documents, rng, unsure))
            writer.start()
            time.sleep(rng.uniform(0.3, 1.5))
            node.kill9()
            writer.join()
            node.start()
            client = node.client()
            settle(client, documents, unsure)
            documents.compare(client)
        waited = wait_shipped(client, NAME)
        print(f"{len(documents.there)} documents, killed three times; in the bucket {waited:.2f} s after the last start")
        wait_healthy(client)
        node.kill9()
        restored = world.node("b")
        world.command("restore", "--from", world.url, "--data-dir", restored.data_dir)
        documents.compare(restored.start().client())


def the_bucket_goes_away_and_comes_back():
    """Also while the node starts: its collections are served from the disk."""
    with World("drill") as world:
        node = world.node("a").start()
        client = node.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 500)
        wait_shipped(client, NAME)
        wait_healthy(client)
        shipped = bucket_of(client, NAME)["shipped_lsn"]

        node.relay.cut("refuse")
        began = time.monotonic()
        documents.insert(client, 1)
        answered = time.monotonic()
        documents.insert(client, 399)
        why = wait_degraded(client, "bucket|store|upload|connect")
        check(client.request("GET", "/ready").status == 200, "the bucket is away and the node is not ready")
        lags = []

        def the_gauge_is_right():
            documents.insert(client, 40, batch=20)
            least = time.monotonic() - answered
            lags.append(Metrics.of(client).sum("tiervec_oldest_unshipped_write_seconds") or 0)
            return least > 4 and least - 1 <= lags[-1] <= time.monotonic() - began + 0.5
        wait_for("a gauge of the oldest write's age", the_gauge_is_right, every=0.2)
        away = time.monotonic() - began
        check(lags == sorted(lags), f"the oldest unshipped write is {away:.1f} s old, the gauge said {lags}")
        check(bucket_of(client, NAME)["shipped_lsn"] == shipped, f"shipped without a bucket: {bucket_of(client, NAME)}")
        answer = client.request("POST", "/api/v1/collections", {"name": "other", "dimension": 3, "metric": "l2"})
        check(answer.status == 503 and answer.json["code"] == "store_unavailable", f"a create without the bucket: {answer}")
        documents.compare(client)

        node.kill9()  # and it starts without a bucket, too
        node.start()
        client = node.client()
        documents.compare(client)
        documents.insert(client, 50)
        why = wait_degraded(client, "bucket|store|upload|connect")
        check(client.request("GET", "/ready").status == 200, "started without a bucket and not ready")

        node.relay.mend()
        waited = wait_shipped(client, NAME)
        wait_for("the gauge at 0", lambda: Metrics.of(client).sum("tiervec_oldest_unshipped_write_seconds") == 0)
        wait_healthy(client)
        print(f"away for {away:.1f} s and a restart; everything shipped {waited:.2f} s after it was back; it said: {why}")
        client.ok("POST", "/api/v1/collections", {"name": "other", "dimension": 3, "metric": "l2"}, 201)
        node.stop()
        check(letters_total(world, node) == 0, "an outage made letters")


def letters_total(world, node):
    node.start()
    total = node.client().get("/api/v1/status")["dlq_total"]
    node.stop()
    return total


def lost_answers_and_refusals_change_nothing():
    """Answers that are lost after their effect, 503s, and a store that accepts and says nothing, one after the other."""
    with World("drill") as world:
        node = world.node("a").start()
        client = node.client()
        documents = Documents(NAME, SEED)
        node.relay.lose_answers(op="PUT", times=3)  # root and catalog, of the creation
        create(client, NAME)
        for breaks in (lambda: node.relay.lose_answers(op="PUT", times=2),
                     lambda: node.relay.answer(503, "SlowDown", times=5),
                     lambda: node.relay.answer(500, "InternalError", op="PUT", times=2),
                     lambda: node.relay.lose_answers(op="GET", times=2)):
            node.relay.mend()
            rule = breaks()
            documents.insert(client, 120)
            wait_shipped(client, NAME)
            wait_for("the rule to meet something", lambda: rule.hits > 0)
        node.relay.mend()
        node.kill9()
        node.relay.lose_answers(op="PUT", condition="if_match", times=2)  # both CAS of taking ownership
        node.start()
        client = node.client()
        documents.insert(client, 10)
        wait_shipped(client, NAME)
        wait_for("both to be lost", lambda: node.relay.count(fate="lost", condition="if_match") == 2)
        wait_healthy(client)
        check(letters(client, NAME)["total"] == 0, "what goes away by itself made letters")
        world.command("verify", "--from", world.url)
        node.kill9()
        other = world.node("b")
        world.command("restore", "--from", world.url, "--data-dir", other.data_dir)
        documents.compare(other.start().client())


def the_machine_is_lost():
    with World("drill") as world:
        node = world.node("a").start()
        client = node.client()
        create(client, NAME)
        create(client, "cosines", metric="cosine")
        documents, cosines = Documents(NAME, SEED), Documents("cosines", SEED + 1)
        documents.insert(client, DOCUMENTS)
        cosines.insert(client, 200)
        client.post("/api/v1/aliases", {"alias": "words", "collection": NAME})
        said = client.post(f"/admin/collections/{NAME}/snapshot", {"name": "before the change"})["snapshot"]["bucket"]
        check(said["lsn"] == documents.last_lsn and said["pin"], f"a named snapshot: {said}")
        documents.insert(client, 300, version=1, first=100)
        documents.delete(client, range(0, 60))
        documents.insert(client, 20, batch=1)
        wait_shipped(client, NAME)
        wait_shipped(client, "cosines")
        client.ok("PATCH", f"/api/v1/collections/{NAME}", {"name": "renamed"})
        documents.name = "renamed"
        documents.compare(client)
        answers, recall = documents.answers(client), documents.recall(client)
        cosine_answers = cosines.answers(client)
        node.stop()
        check(len(world.keys("/pin/")) == 1, f"pins: {world.keys('/pin/')}")
        world.command("verify", "--data-dir", node.data_dir)
        world.command("verify", "--from", world.url)
        shutil.rmtree(node.data_dir)

        def same(client, what):
            documents.compare(client)
            check(documents.answers(client) == answers, f"{what}: exact answers differ")
            check(cosines.answers(client) == cosine_answers, f"{what}: exact answers of cosines differ")
            check(documents.recall(client) >= recall - 0.02, f"{what}: recall {documents.recall(client)}, was {recall}")
            wait_for(f"{what}: the alias", lambda: client.request("GET", "/api/v1/collections/words").status == 200)
            check(client.collection("words")["name"] == "renamed", f"{what}: the alias")

        # By command, as a node of its own: it serves, and does not own.
        restored = world.node("b")
        began = time.monotonic()
        world.command("restore", "--from", world.url, "--data-dir", restored.data_dir)
        print(f"restored by command in {time.monotonic() - began:.2f} s")
        restored.start()
        same(restored.client(), "restored by command")
        restored.stop()

        # By starting the node itself on its empty directory, the same node by its configured id.
        began = time.monotonic()
        node.start()
        print(f"ready on an empty directory in {time.monotonic() - began:.2f} s")
        client = node.client()
        wait_for("the collections", lambda: "renamed" in [c["name"] for c in client.get("/api/v1/collections")["collections"]])
        wait_for("serving", lambda: client.collection("renamed")["document_count"] == len(documents.there))
        same(client, "an empty directory")
        node.kill9()
        node.start()
        same(node.client(), "and restarted")
        node.stop()


def a_second_instance_reads_and_the_first_notices_nothing():
    with World("drill") as world:
        first, second = world.node("a").start(), world.node("b").start()
        client = first.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 600)
        wait_shipped(client, NAME)
        first.relay.wait_quiet(8)  # the last look at the root comes 5 s behind the last group
        second.kill9()  # what it knows of the bucket is what it sees at start
        mark, keys = first.relay.mark(), world.keys()
        second.start()
        other = second.client()
        wait_for("the collection", lambda: [c for c in other.get("/api/v1/collections")["collections"]
                                            if c["name"] == NAME and c["document_count"] == 600])
        documents.compare(other)
        check(documents.answers(other) == documents.answers(client), "the two answer differently")
        owner = client.get("/api/v1/status")["node_id"]

        def refused():
            """It is asked for by a write; before that a restarted node knows only that it was another's."""
            answer = refusal(other)
            check(answer is None or answer.status == 409 and answer.json["code"] == "not_owner", f"a write to the second: {answer}")
            return answer is not None and owner in answer.json["detail"]
        wait_for(f"a refusal that names the owner {owner}", refused)
        check(other.get("/api/v1/status")["node_id"] != owner, "two nodes on one host have one node id")
        wait_degraded(other, re.escape(owner))
        time.sleep(1)
        check(first.relay.mark() == mark, f"the first was idle and sent {first.relay.table(mark)}")
        check(world.keys() == keys, "the second changed the bucket")
        epoch = bucket_of(client, NAME)["epoch"]
        documents.insert(client, 100)
        wait_shipped(client, NAME)
        wait_healthy(client)
        now = bucket_of(client, NAME)
        check(now["epoch"] == epoch and now["phase"] == "owned", f"the first noticed: {now}")
        check(first.relay.count("PUT", status=412) == 0, f"the first: {first.relay.table()}")
        second.stop()
        first.stop()


def final(answer):
    """The answer, unless it says to come again."""
    return None if answer.status == 503 or "in a moment" in answer.json.get("detail", "") else answer


def refusal(client):
    """The answer to a write that must not be taken, once there is one."""
    return final(client.request("POST", f"/api/v1/collections/{NAME}/insert", {"doc_id": 1, "vector": [0.0] * 24}))


def an_owner_that_was_taken_over_keeps_its_tail():
    """The first is cut off and goes on; the second takes over; the first comes back, is fenced, and its tail is a letter."""
    with World("drill") as world:
        first = world.node("a").start()
        client = first.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 300)
        wait_shipped(client, NAME)
        first.relay.cut("refuse")
        tail = Documents(NAME, SEED)
        tail.next_id = 10000
        tail.insert(client, 70, batch=1)
        tail.insert(client, 130, batch=26)
        tail.insert(client, 5, batch=5, version=7, first=10)  # replaced on the first, and not on the second
        tail.delete(client, [20, 21])

        second = world.node("b")
        second.start(["--take-ownership"])
        other = second.client()
        wait_for("the collection", lambda: [c for c in other.get("/api/v1/collections")["collections"]
                                            if c["name"] == NAME and c["document_count"] == 300])
        taken = Documents(NAME, SEED)
        taken.there, taken.next_id = dict(documents.there), 20000
        wait_writable(other, NAME)
        taken.insert(other, 50)
        wait_shipped(other, NAME)
        taken.compare(other)

        first.relay.mend()
        letter = wait_for("the letter", lambda: [e for e in letters(client, NAME)["entries"] if e["kind"] == "divergent_tail"])[0]
        answer = wait_for("the refusal", lambda: refusal(client))
        check(answer.status == 409 and answer.json["code"] == "not_owner", f"a write to the fenced: {answer}")
        why = wait_degraded(client, "own|fenced|taken|letter")
        print(f"the fenced first says: {why}")
        print(f"its letter: {letter['message']}")
        check(letter["lsn_first"] <= documents.last_lsn + 1 and letter["lsn_last"] == tail.last_lsn, f"the letter: {letter}")
        lines = [line for line in export(client, NAME, letter["id"]) if line["lsn"] > documents.last_lsn]
        check({line["doc_id"] for line in lines} == set(tail.there) | {20, 21}, f"the export has {len(lines)} lines")
        for line in lines:
            if line["op"] == "upsert":
                body = tail.body(line["doc_id"], tail.there[line["doc_id"]])
                check([support.f32(x) for x in line["vector"]] == body["vector"] and line["payload"] == body["payload"],
                      f"the export of {line}")
            else:
                check(line["doc_id"] in (20, 21), f"deleted: {line}")

        # A restart forgets nothing of it.
        first.kill9()
        first.start()
        client = first.client()
        again = wait_for("the letter", lambda: [e for e in letters(client, NAME)["entries"] if e["kind"] == "divergent_tail"])
        check(len(again) == 1 and again[0]["lsn_last"] == letter["lsn_last"], f"after a restart: {again}")
        check(len(export(client, NAME, again[0]["id"])) >= len(lines), "the export shrank")
        answer = wait_for("the refusal", lambda: final(client.request(
            "POST", f"/admin/collections/{NAME}/dlq/replay", {"ids": [again[0]["id"]]})))
        check(answer.status in (403, 409), f"a replay on a node that does not own: {answer}")

        # The operator decides: the first owns again, and the tail is written again.
        client.post(f"/admin/collections/{NAME}/take-ownership")
        wait_for("owning again", lambda: bucket_of(client, NAME)["phase"] in ("owned", "idle")
                 and client.collection(NAME)["state"] == "serving")
        taken.compare(client)
        ids = [e["id"] for e in letters(client, NAME)["entries"]]
        print(f"{len(ids)} letters to replay")
        said = client.post(f"/admin/collections/{NAME}/dlq/replay", {"ids": ids})
        check(said["replayed_count"] >= len(lines), f"replayed: {said}")
        taken.there.update(tail.there)
        for doc_id in (20, 21):
            taken.there.pop(doc_id)
        taken.compare(client)
        wait_for("no letters", lambda: letters(client, NAME)["total"] == 0)
        wait_shipped(client, NAME)
        wait_healthy(client)
        answer = wait_for("the second to be fenced", lambda: fenced(other))
        check(answer.status == 409, f"the second: {answer}")
        second.kill9()
        first.crash_and_lose_everything()
        first.start()
        client = first.client()
        wait_for("restored", lambda: [c for c in client.get("/api/v1/collections")["collections"]
                                      if c["document_count"] == len(taken.there)])
        taken.compare(client)


def fenced(client):
    """A write of the second, which finds out by shipping it that it was taken over."""
    answer = client.request("POST", f"/api/v1/collections/{NAME}/insert", {"doc_id": 77777, "vector": [0.5] * 24})
    return answer if answer.status == 409 else None


def a_stopped_owner_continues_and_is_fenced():
    """SIGSTOP for longer than the takeover takes: what it had under way lands where nobody looks."""
    with World("drill") as world:
        first = world.node("a").start()
        client = first.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 200)
        wait_shipped(client, NAME)
        documents.insert(client, 100)
        os.kill(first.process.pid, signal.SIGSTOP)
        second = world.node("b")
        second.start(["--take-ownership"])
        other = second.client()
        wait_for("the collection", lambda: [c for c in other.get("/api/v1/collections")["collections"]
                                            if c["name"] == NAME and c["document_count"] >= 200])
        mine = Documents(NAME, SEED)
        mine.next_id = 30000
        wait_writable(other, NAME)
        mine.insert(other, 40)
        wait_shipped(other, NAME)
        os.kill(first.process.pid, signal.SIGCONT)
        wait_for("the first to be fenced", lambda: bucket_of(client, NAME)["phase"] in ("fenced", "foreign"))
        found = {d["doc_id"] for d in other.documents(NAME)}
        missing = sorted(set(documents.there) - found)
        if missing:  # acknowledged as local and not shipped before the stop
            wait_for("what the bucket lacks to be in a letter", lambda: set(missing) <= {
                line["doc_id"] for e in letters(client, NAME)["entries"] for line in export(client, NAME, e["id"])})
        check(set(mine.there) <= found, "the new owner lost documents")
        print(f"{len(missing)} documents were only on the stopped owner, in a letter now")


def verify_names_what_is_damaged():
    with World("drill") as world:
        node = world.node("a").start()
        client = node.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 800)
        client.post(f"/admin/collections/{NAME}/snapshot", {})
        documents.insert(client, 100)
        wait_shipped(client, NAME)
        node.stop()
        world.command("verify", "--from", world.url)
        world.command("verify", "--data-dir", node.data_dir)
        rng = random.Random(SEED)
        kinds = {}
        for key, size in world.keys(r"/(w|g|m)/|/root$").items():
            kinds.setdefault(key.split("/")[3], []).append((key, size))
        check("w" in kinds, f"nothing to damage: {world.keys()}")
        for kind, objects in sorted(kinds.items()):
            # A group behind the floor may be history that nothing reads any more: the last one never is.
            key, size = max(objects) if kind == "w" else rng.choice(objects)
            full = "node/data/" + key
            before = world.s3.get(full)
            at = rng.randrange(size)
            world.s3.put(full, before[:at] + bytes([before[at] ^ (1 << rng.randrange(8))]) + before[at + 1:])
            out, err = world.command("verify", "--from", world.url, code=6)
            check(key in out + err, f"byte {at} of {key} is damaged, verify says: {out}{err}")
            world.s3.put(full, before)
        world.s3.delete("node/data/" + max(kinds["w"])[0])
        world.s3.put("node/data/" + max(kinds["w"])[0] + "x", b"")  # no name of ours: not looked at
        out, err = world.command("verify", "--from", world.url, code=None)
        print(f"with the newest group gone verify says: {(out + err).strip().splitlines()[-1:]}")


if __name__ == "__main__":
    DOCUMENTS = support.take_option("--documents", 3000)
    SEED = support.take_seed()
    support.main(a_killed_node_ships_what_it_acknowledged, the_bucket_goes_away_and_comes_back,
                 lost_answers_and_refusals_change_nothing, the_machine_is_lost,
                 a_second_instance_reads_and_the_first_notices_nothing, an_owner_that_was_taken_over_keeps_its_tail,
                 a_stopped_owner_continues_and_is_fenced, verify_names_what_is_damaged)
