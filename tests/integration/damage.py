"""A disk that changes bytes under a stopped node, on a real MinIO: it serves what is whole, says so, and heals from the bucket.

    python3 tests/integration/damage.py [--documents N] [--seed S] [name of a test below ...]
"""
import glob
import os
import random

import support
from bucketed import (Documents, World, create, health, letters, wait_degraded, wait_for, wait_healthy, wait_shipped,
                      wait_writable)
from support import check

NAME = "docs"
HEADER = 4096


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ (1 << (at % 8))]))


def in_a_record():
    """Always the same place, in what the bucket has: a document takes more than 100 bytes."""
    return random.Random(SEED).randrange(HEADER + 40 * DOCUMENTS, HEADER + 80 * DOCUMENTS)


def log_of(node, collection_id):
    files = sorted(glob.glob(os.path.join(node.data_dir, "wal", collection_id, "*.wal")))
    check(files, f"no log in {node.data_dir}")
    return files[0]


def answers_of_what_is_whole(client, documents):
    """A read-only collection: a part of what was written, each document as it was sent, and no write is taken."""
    found = list(client.documents(NAME))
    check(0 < len(found) < len(documents.there), f"{len(found)} of {len(documents.there)} documents are served")
    for d in found:
        check(d["payload"] == documents.body(d["doc_id"], 0)["payload"], f"a wrong document: {d}")
    answer = client.request("POST", f"/api/v1/collections/{NAME}/insert", documents.body(10 ** 6, 0))
    check(answer.status == 409 or answer.status == 403 or answer.status == 503, f"a write to a damaged collection: {answer}")
    return len(found)


def damaged(world, away, place):
    """The bucket has all but the newest documents; one byte of the log changes."""
    node = world.node("a", server__node_id="damage").start()
    client = node.client()
    collection_id = create(client, NAME)["collection_id"]
    create(client, "other")
    documents, other = Documents(NAME, SEED), Documents("other", SEED + 1)
    for _ in range(10):
        documents.insert(client, DOCUMENTS // 10)
    other.insert(client, 50)
    wait_shipped(client, NAME)
    wait_shipped(client, "other")
    node.relay.cut("refuse")
    documents.insert(client, 200, batch=10)  # on the disk alone
    node.kill9()
    log = log_of(node, collection_id)
    flip(log, in_a_record() if place is None else place)
    if not away:
        node.relay.mend()
    node.start()
    return node, node.client(), collection_id, documents, other


def is_healed(world, node, client, collection_id, documents, other):
    wait_writable(client, NAME)
    wait_for("the collection to heal", lambda: len(list(client.documents(NAME))) == len(documents.there))
    documents.compare(client)
    other.compare(client)
    why = wait_degraded(client, "healed from the bucket")
    check(os.path.isdir(os.path.join(node.data_dir, "wal", collection_id + ".damaged")), "the damaged log is not kept")
    wait_writable(client, NAME)
    documents.insert(client, 100)
    wait_shipped(client, NAME)
    wait_for("the letters to leave", lambda: letters(client, NAME)["total"] == 0)
    node.stop()
    node.start()
    client = node.client()
    wait_healthy(client)
    documents.compare(client)
    node.crash_and_lose_everything()
    node.start()
    client = node.client()
    wait_for("the collection", lambda: client.request("GET", f"/api/v1/collections/{NAME}").status == 200)
    wait_for("all of it", lambda: client.collection(NAME)["state"] == "serving")
    documents.compare(client)
    node.stop()
    return why


def a_damaged_log_heals_from_the_bucket():
    place = random.Random(SEED).choice((None, 44))  # a record; the salt in the file's header
    with World("damage") as world:
        node, client, collection_id, documents, other = damaged(world, False, place)
        print(f"byte {place}: {is_healed(world, node, client, collection_id, documents, other)}")


def with_the_bucket_away_it_is_read_only_and_waits():
    with World("damage") as world:
        node, client, collection_id, documents, other = damaged(world, True, None)
        check(client.request("GET", "/ready").status == 200, "one damaged collection and the node is not ready")
        why = wait_degraded(client, "healing waits for the bucket")
        check("log file" in why and "read-only up to lsn" in why, f"health does not say where: {why}")
        count = answers_of_what_is_whole(client, documents)
        other.compare(client)
        other.insert(client, 20)
        print(f"{count} of {len(documents.there)} documents were served meanwhile: {why}")
        node.relay.mend()
        is_healed(world, node, client, collection_id, documents, other)


def what_the_bucket_lacks_stays_read_only():
    """Damage in what was never shipped: nothing is thrown away, and the byte put back makes it whole."""
    with World("damage") as world:
        node, client, collection_id, documents, other = damaged(world, True, None)
        node.kill9()
        log = log_of(node, collection_id)
        flip(log, in_a_record())  # put back
        with open(log, "rb") as f:
            used = len(f.read().rstrip(b"\0"))
        flip(log, used - 6000)  # in the last records, which are on this disk alone
        node.relay.mend()
        node.start()
        client = node.client()
        why = wait_degraded(client, "neither here nor in the bucket")
        answers_of_what_is_whole(client, documents)
        node.kill9()
        flip(log, used - 6000)
        node.start()
        client = node.client()
        wait_shipped(client, NAME)
        documents.compare(client)
        check("lsn" in why, why)
        node.stop()


def a_damaged_small_store_is_begun_anew():
    with World("damage") as world:
        node = world.node("a", server__node_id="damage").start()
        client = node.client()
        create(client, NAME)
        documents = Documents(NAME, SEED)
        documents.insert(client, 300)
        wait_shipped(client, NAME)
        node.stop()
        path = os.path.join(node.data_dir, "meta", "data.mdb")
        for page in range(2, 6):
            flip(path, page * 4096 + 12)  # where a page's nodes end
        node.start()
        client = node.client()
        why = wait_degraded(client, "begun anew")
        documents.compare(client)
        documents.insert(client, 50)
        wait_shipped(client, NAME)
        check(letters(client, NAME)["total"] == 0, f"letters: {letters(client, NAME)}")
        node.stop()
        node.start()
        client = node.client()
        wait_healthy(client)
        documents.compare(client)
        print(why)
        node.stop()


if __name__ == "__main__":
    DOCUMENTS = support.take_option("--documents", 1000)
    SEED = support.take_seed()
    support.main(a_damaged_log_heals_from_the_bucket, with_the_bucket_away_it_is_read_only_and_waits,
                 what_the_bucket_lacks_stays_read_only, a_damaged_small_store_is_begun_anew)
