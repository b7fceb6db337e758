"""scripts/demo --minio: the drill with a bucket, on a real MinIO.

  1. words go into a MemoryS3 collection; kill -9 in the middle of it,
  2. start again, count against the ledger, wait until the bucket has everything,
  3. MinIO is stopped: words go on being taken, the node says since when the bucket lacks what,
  4. MinIO is back: what waited is shipped, and nothing was lost; the rest of the words, and questions,
  5. kill -9, and the data directory is deleted: the machine is lost,
  6. `tiervec verify` and `tiervec restore` from the bucket alone: the same documents, the same answers,
  7. the same by nothing but `tiervec serve` on an empty directory, which then takes the collection over.
"""
import os
import shutil
import subprocess
import sys
import time

from demo_parts import (COLLECTION, ROOT, SHOWN, Client, Failed, ask_everything, check_after_kill, check_all_there,
                        check_meaning, create, insert_rest, insert_until_killed, wait_until_linked)

sys.path.insert(0, str(ROOT / "tests" / "integration"))
# pylint: disable=wrong-import-position
from s3_install import CannotInstall
from s3_server import Minio

PREFIX = "demo"
WAIT_SECONDS = 120
AWAY_SECONDS = 4

__all__ = ["CannotInstall", "drill", "settings", "start"]


def start(folder):
    bucket = Minio(os.path.join(folder, "minio"), bucket="words")
    return bucket.start()


def settings(bucket):
    """What the node is told: arguments, and keys by the environment."""
    keys = {k: v for k, v in bucket.env().items() if k.startswith("AWS_")}
    return ["--set", f"storage.s3_bucket={bucket.url(PREFIX)}", "--set", "storage.retry.max_backoff_secs=2"], keys


def wait_until(what, condition):
    """The seconds until it holds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > WAIT_SECONDS:
            raise Failed(f"{what} did not happen within {WAIT_SECONDS} s")
        time.sleep(0.02)
    return time.monotonic() - began


def of(client):
    return client.json("GET", f"/api/v1/collections/{COLLECTION}")["collection"]


def wait_until_shipped(client):
    lsn = of(client)["last_lsn"]
    seconds = wait_until("shipping", lambda: of(client)["bucket"]["shipped_lsn"] >= lsn)
    nothing = {"oldest_unshipped_write_seconds": 0, "bytes_at_risk": 0, "records_at_risk": 0}
    wait_until("a durability clock of 0, with everything shipped,",
               lambda: client.json("GET", "/api/v1/status")["durability_clock"] == nothing)
    return seconds


def in_bucket(bucket):
    objects = bucket.objects(PREFIX + "/")
    return f"{len(objects)} objects, {sum(objects.values()) / 1e6:.1f} MB"


def command(node, *words):
    """A tiervec command over the bucket; the seconds it took."""
    began = time.monotonic()
    done = subprocess.run([node.binary, *words], env=node.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"tiervec {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - began


def drill(node, bucket, words, short, seed):
    timings = []

    def timed(what, seconds):
        timings.append((what, seconds))
        print(f"  {what}: {seconds:.2f} s", flush=True)

    half = len(words) * 3 // 5
    print(f"\n1. insert words, with a bucket behind them, and kill -9 on the way\n  bucket {bucket.url(PREFIX)}")
    node.start()
    create(node, short, ',"tiering_policy":"MemoryS3"')
    writer = insert_until_killed(node, words[:half], seed)

    print("2. start again and count")
    timed("ready after kill -9", node.start())
    client = Client(node.port)
    there = check_after_kill(client, words, writer, seed)
    insert_rest(node, words[:half], there)
    timed(f"the bucket has all {half:,} words after the last was acknowledged", wait_until_shipped(client))
    print(f"  {in_bucket(bucket)}")

    print("3. the bucket goes away")
    bucket.stop()
    began = time.monotonic()
    away = len(words) * 4 // 5
    insert_rest(node, words[:away], half)
    wait_until("health that says so", lambda: client.json("GET", "/health")["status"] == "degraded")
    if client.ask("GET", "/ready")[0] != 200:
        raise Failed("the bucket is away and the node is not ready")
    time.sleep(max(0, began + AWAY_SECONDS - time.monotonic()))
    clock = client.json("GET", "/api/v1/status")["durability_clock"]
    print(f"  {away - half:,} words were taken all the same, and are found; health: "
          f"{'; '.join(client.json('GET', '/health')['reasons'])}")
    print(f"  at risk: {clock['records_at_risk']:,} records, {clock['bytes_at_risk'] / 1e6:.1f} MB, the oldest is "
          f"{clock['oldest_unshipped_write_seconds']:.1f} s old")
    if clock["records_at_risk"] == 0 or clock["oldest_unshipped_write_seconds"] > time.monotonic() - began + 1:
        raise Failed(f"the durability clock is wrong: {clock}")
    check_all_there(client, words[:away], "without the bucket")

    print("4. the bucket comes back")
    bucket.start()
    back = time.monotonic()
    timed(f"after {back - began:.0f} s away, drained", wait_until_shipped(client))
    wait_until("health", lambda: client.json("GET", "/health")["status"] == "healthy")
    timed(f"{len(words) - away:,} more words durable", insert_rest(node, words, away))
    timed("all in the graph", wait_until_linked(client))
    check_all_there(client, words, "after the last insert")
    table = check_meaning(client, words)
    for word in SHOWN:
        if word in table:
            print(f"  {word:<10} {', '.join(table[word])}")
    exact = ask_everything(client, words, seed)
    began = time.monotonic()
    client.json("POST", f"/admin/collections/{COLLECTION}/snapshot", "{}")
    timed("snapshot into the bucket", time.monotonic() - began)
    print(f"  {in_bucket(bucket)}")

    print("5. kill -9, and the data directory is deleted")
    node.kill()
    shutil.rmtree(node.data)

    def look(what):
        asking = Client(node.port)
        check_all_there(asking, words, what)
        if check_meaning(asking, words) != table:
            raise Failed(f"{what} the neighbours changed")
        if ask_everything(asking, words, seed) != exact:
            raise Failed(f"{what} exact answers changed")
        print("  the same documents, the same answers")

    print("6. restore from the bucket alone")
    timed("verify: every object read and checked", command(node, "verify", "--from", bucket.url(PREFIX)))
    timed("restore", command(node, "restore", "--from", bucket.url(PREFIX), "--data-dir", str(node.data)))
    timed("ready on what was restored", node.start())
    look("restored")
    node.stop()
    shutil.rmtree(node.data)

    print("7. serve on an empty directory")
    seconds = node.start("--take-ownership")  # this machine takes the lost one's place
    client = Client(node.port)

    def served():
        status, text = client.ask("GET", f"/api/v1/collections/{COLLECTION}")
        return status == 200 and f'"document_count":{len(words)}'.encode() in text
    timed("ready and complete", seconds + wait_until("loading from the bucket", served))
    look("on an empty directory")
    # Reads come first; writes are taken once everything is on the new disk as well (503 until then).
    wait_until("the first write", lambda: client.ask(
        "POST", f"/api/v1/collections/{COLLECTION}/insert", insert_again(words))[0] == 200)
    timed("it owns the collection, a new write is in the bucket", wait_until_shipped(client))
    node.stop()

    print("\n  timings")
    for what, seconds in timings:
        print(f"  {seconds:8.2f} s  {what}")


def insert_again(words):
    """The first word once more: nothing changes, and it has to be shipped."""
    return f'{{"doc_id":0,"vector":[{words[0][1]}],"payload":{{"word":"{words[0][0]}"}}}}'
