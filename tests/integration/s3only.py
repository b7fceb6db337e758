"""Collections under S3Only on a real MinIO: larger than the cache, folded while they are written to, killed, lost, with the bucket away.

    python3 tests/integration/s3only.py [--documents N] [--seed S] [name of a test below ...]
"""
import base64
import random

import support
from bucketed import Documents, Metrics, World, create, wait_for, wait_healthy, wait_shipped, wait_writable
from support import check

NAME = "docs"
DIM = 256
PAD_BYTES = 2400
CACHE_BYTES = 16 << 20  # the least there is


def tier(client):
    return client.get(f"/api/v1/collections/{NAME}/tier")["tier"]


def fold(client):
    client.post(f"/admin/collections/{NAME}/compact?wait=true")


def count(client):
    return client.ok("POST", f"/collections/{NAME}/points/count", {"exact": True})["result"]["count"]


class Large(Documents):
    """With payloads that do not compress, so that few rows are more than the cache holds."""

    def body(self, doc_id, version):
        document = super().body(doc_id, version)
        pad = random.Random(f"{self.seed}/{doc_id}/{version}").randbytes(PAD_BYTES)
        document["payload"]["pad"] = base64.b64encode(pad).decode()
        return document


def larger_than_its_cache():
    with World("s3only") as world:
        node = world.node("a", storage__cache_bytes=CACHE_BYTES, storage__compaction__threshold_ops=2000).start()
        client = node.client()
        create(client, NAME, dim=DIM, policy="S3Only")
        check(tier(client)["durability"] == "remote", tier(client))
        documents = Large(NAME, SEED, DIM)
        for _ in range(4):  # folds go on beside it
            documents.insert(client, DOCUMENTS // 4, batch=250)
            documents.delete(client, random.Random(SEED).sample(sorted(documents.there), 20))
            documents.insert(client, 40, version=1, first=min(documents.there))
        fold(client)
        check(tier(client)["cold"]["segments"] >= 1, tier(client))
        documents_there = len(documents.there)
        wait_for("all to be folded", lambda: tier(client)["cold"]["rows"] == documents_there)
        stored = sum(world.keys("/g/").values())
        check(stored > CACHE_BYTES * 5 // 4, f"{stored} bytes of segments are no more than a cache of {CACHE_BYTES}")
        check(count(client) == documents_there, f"{count(client)} counted, {documents_there} are there")
        before = documents.answers(client, 5)
        print(f"recall {documents.recall(client, 20):.3f}, {documents_there} documents, {tier(client)['cold']}")
        check(documents.recall(client, 20) >= 0.9, "the nearest are not found")
        node.kill9()
        client = node.start().client()
        node.relay.forget()
        documents.compare(client)
        check(documents.answers(client, 5) == before, "other answers after the restart")
        documents.recall(client, 20)
        asked = node.relay.table()
        check(all(op.startswith("GET") for op in asked), f"reads ask for more than objects: {asked}")
        metrics = Metrics.of(client)
        cached = metrics.sum("tiervec_cache_bytes")
        check(0 < cached <= CACHE_BYTES, f"{cached} bytes in a cache of {CACHE_BYTES}")
        wait_healthy(client)
        print(f"cached {cached} bytes; asked {asked}")
        node.stop()


def a_lost_machine_and_a_store_that_is_away():
    with World("s3only-lost") as world:
        node = world.node("a", storage__cache_bytes=CACHE_BYTES, server__node_id="one").start()
        client = node.client()
        create(client, NAME, policy="S3Only", durability="local")
        documents = Documents(NAME, SEED)
        documents.insert(client, 3000, batch=500)
        fold(client)
        documents.insert(client, 200)  # the head
        documents.delete(client, range(0, 3000, 97))
        wait_shipped(client, NAME)
        node.crash_and_lose_everything()
        client = node.start().client()
        documents.compare(client)
        wait_writable(client, NAME)
        documents.insert(client, 10)
        # The store goes: what is durable here is still taken, what is not here is refused by name, and nothing is forgotten.
        client.post(f"/api/v1/collections/{NAME}/unload")
        node.relay.cut("refuse")
        documents.insert(client, 10)
        answer = client.request("GET", f"/api/v1/collections/{NAME}/docs/1")
        check(answer.status == 503 and answer.json["code"] == "store_unavailable" and "Retry-After" in answer.headers, answer)
        check(client.get(f"/api/v1/collections/{NAME}/docs/{documents.next_id - 1}")["document"]["doc_id"] == documents.next_id - 1, "the head")
        check(client.request("GET", "/ready").status == 200, "a node is unready without its bucket")
        node.kill9()
        node.launch().wait_listening().wait_ready()
        client = node.client()
        answer = client.request("GET", f"/api/v1/collections/{NAME}/docs/1")
        check(answer.status == 503, answer)
        documents.insert(client, 5)
        node.relay.mend()
        wait_for("the cold set", lambda: client.request("GET", f"/api/v1/collections/{NAME}/docs/1").status == 200)
        documents.compare(client)
        wait_shipped(client, NAME)
        fold(client)
        documents.compare(client)
        node.stop()


def the_policy_changes_while_it_serves():
    with World("s3only-policy") as world:
        node = world.node("a").start()
        client = node.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 2000, batch=500)
        documents.delete(client, range(0, 100))
        for policy in ("S3Only", "MemoryS3", "S3Only"):
            # Not back again before its rows are in the bucket as a base (docs/s3only.md).
            wait_for(f"{policy} to be taken", lambda: client.request(
                "POST", f"/api/v1/collections/{NAME}/tier", {"tiering_policy": policy}).status in (200, 202))
            wait_for("writes", lambda: client.collection(NAME)["state"] == "serving")
            documents.insert(client, 50)
            if policy == "S3Only":
                wait_for("its rows to be folded", lambda: (tier(client)["cold"] or {}).get("rows", 0) >= 1900)
            wait_for("its base", lambda: not tier(client)["switching"])
            documents.compare(client)
            node.kill9()
            client = node.start().client()
            documents.compare(client)
        node.crash_and_lose_everything()
        documents.compare(node.start().client())


if __name__ == "__main__":
    DOCUMENTS = support.take_option("--documents", 6000)
    SEED = support.take_seed()
    support.main(larger_than_its_cache, a_lost_machine_and_a_store_that_is_away, the_policy_changes_while_it_serves)
