"""What the bucket refuses for good, on a real MinIO whose permissions are taken away and given back, whose key is revoked,
and whose bucket is deleted: letters with their cause, health that says so, and nothing that is only in the queue.

    python3 tests/integration/dead_letters.py [--seed S] [name of a test below ...]
"""
import json
import os
import re

import support
from bucketed import (Documents, World, bucket_of, create, export, health, letters, wait_agrees, wait_degraded, wait_for, wait_healthy,
                      wait_shipped)
from support import check

NAME = "docs"
QUICK = {"storage__retry__max_retries": 2, "storage__rpo_ms": 200}


def begin(world, documents=200):
    node = world.node("a", **QUICK).start()
    client = node.client()
    create(client, NAME)
    sent = Documents(NAME, SEED)
    sent.insert(client, documents)
    wait_shipped(client, NAME)
    wait_healthy(client)
    check(letters(client, NAME)["total"] == 0, "letters before anything failed")
    return node, client, sent


def wait_letter(client, **wanted):
    """Until there is a letter whose members are these; the letter."""
    def there():
        return [e for e in letters(client, NAME)["entries"] if all(e[k] == v for k, v in wanted.items())]
    try:
        return wait_for(f"a letter of {wanted}", there)[0]
    except AssertionError as e:
        raise AssertionError(f"{e}: {letters(client, NAME)}") from None


def dlq(world, node, *words, code=0):
    return world.command("dlq", words[0], "--url", f"http://127.0.0.1:{node.port}", *words[1:], code=code)


def restored_elsewhere(world, sent, name="elsewhere"):
    """A restore agrees with what the node has."""
    other = world.node(name)
    world.command("restore", "--from", world.url, "--data-dir", other.data_dir)
    sent.compare(other.start().client())
    other.kill9()


def permissions_taken_away_and_given_back():
    with World("letters") as world:
        node, client, sent = begin(world)
        world.s3.deny()
        sent.insert(client, 150)
        why = wait_degraded(client, "AccessDenied|denied|403")
        letter = wait_letter(client, kind="wal_group")
        check(letter["class"] == "permanent" and letter["http_status"] == 403 and letter["s3_code"] == "AccessDenied",
              f"the letter's cause: {letter}")
        check(letter["attempts"] >= 2 and letter["blocking"] and "/w/" in letter["key"], f"the letter: {letter}")
        check(letter["lsn_first"] <= sent.last_lsn and letter["lsn_last"] >= letter["lsn_first"], f"its range: {letter}")
        check(letter["first_failed_at"] <= letter["last_failed_at"], f"its times: {letter}")
        sent.insert(client, 60, batch=1)  # writes go on
        check(client.request("GET", "/ready").status == 200, "refused by the bucket and not ready")

        # Seen from everywhere.
        one = client.get(f"/admin/collections/{NAME}/dlq/{letter['id']}")["entry"]
        check(one["key"] == letter["key"] and one["bytes"] > 0, f"shown: {one}")
        check(letters(client, NAME, kind="wal_group", **{"class": "permanent"})["total"] >= 1, "filters that fit")
        check(letters(client, NAME, kind="manifest_commit")["total"] == 0, "a filter that does not")
        said, _ = dlq(world, node, "list", NAME)
        check("AccessDenied" in said and "wal_group" in said, f"dlq list: {said}")
        said, _ = dlq(world, node, "show", NAME, str(letter["id"]))
        check("AccessDenied" in said, f"dlq show: {said}")
        lines = export(client, NAME, letter["id"])
        check(lines and all(letter["lsn_first"] <= line["lsn"] <= letter["lsn_last"] for line in lines), "the export")
        wait_agrees(lambda: check(sum(e["blocking"] for e in letters(client, NAME)["entries"]) >= 1
                                  and client.get("/api/v1/status")["dlq_total"] == letters(client, NAME)["total"], "totals"))

        # Tried for real: refused for real.
        mark = node.relay.mark()
        tried = client.post(f"/admin/collections/{NAME}/dlq/retry", {})
        check(tried["retried_count"] >= 1 and tried["success_count"] == 0
              and tried["failed_count"] == tried["retried_count"], f"a retry while it is refused: {tried}")
        check("AccessDenied" in tried["message"] or "denied" in tried["message"].lower(), f"its message: {tried}")
        check(node.relay.count("PUT", status=403, since=mark) >= 1, f"the retry sent {node.relay.table(mark)}")
        check(letters(client, NAME)["total"] >= 1, "a retry that failed emptied the queue")
        dlq(world, node, "retry", NAME, code=1)

        # Nothing is only in the queue: a restart without permissions loses nothing.
        node.kill9()
        node.start()
        client = node.client()
        sent.compare(client)
        sent.insert(client, 30)
        wait_degraded(client, "AccessDenied|denied|403")

        world.s3.allow()
        said = wait_for("a retry that succeeds", lambda: retried(client))
        check(said["failed_count"] == 0, f"a retry with permissions: {said}")
        wait_shipped(client, NAME)
        wait_for("no letters", lambda: letters(client, NAME)["total"] == 0)
        wait_healthy(client)
        sent.compare(client)
        node.kill9()
        restored_elsewhere(world, sent)
        print(f"degraded because: {why}")


def retried(client, *ids):
    """A retry whose letters all went, or None: rights come back some moments after they were given."""
    said = client.post(f"/admin/collections/{NAME}/dlq/retry", {"ids": list(ids)} if ids else {})
    return said if said["failed_count"] == 0 else None


def a_retry_ships_what_was_refused():
    """Without a restart in between: each letter is tried, and leaves once its object is in the bucket."""
    with World("letters") as world:
        node, client, sent = begin(world)
        world.s3.deny_writes()
        sent.insert(client, 80)
        letter = wait_letter(client, kind="wal_group", s3_code="AccessDenied")
        sent.insert(client, 80)
        world.s3.allow()
        check(letter["key"] not in world.keys(), "what was refused is there")
        said = wait_for("a retry that succeeds", lambda: retried(client, letter["id"]))
        check(said["retried_count"] == 1 and said["success_count"] == 1, f"a retry: {said}")
        check(letter["key"] in world.keys(), f"{letter['key']} is not in the bucket after its retry succeeded")
        wait_shipped(client, NAME)
        wait_healthy(client)
        check(letters(client, NAME)["total"] == 0, "letters are left")
        answer = client.request("POST", f"/admin/collections/{NAME}/dlq/retry", {"ids": [letter["id"]]})
        check(answer.status == 404 or answer.json.get("retried_count") == 0, f"a retry of what is gone: {answer}")
        restored_elsewhere(world, sent)


def keys_are_revoked_and_replaced():
    """The shared credentials file is read again by a reload, and what waits for it is tried at once."""
    with World("letters") as world:
        node = world.node("a", **QUICK)
        path = os.path.join(world.folder, "credentials")

        def write_keys(access, secret):
            with open(path, "w", encoding="ascii") as f:
                f.write(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")

        write_keys(world.s3.access, "wrong" * 8)
        node.env = {"AWS_SHARED_CREDENTIALS_FILE": path}
        node.start()  # refused keys keep no node from starting
        client = node.client()
        wait_degraded(client, "SignatureDoesNotMatch|denied|403|credentials")
        answer = client.request("POST", "/api/v1/collections", {"name": NAME, "dimension": 24, "metric": "l2"})
        check(answer.status in (403, 503), f"a create with wrong keys: {answer}")
        write_keys(world.s3.access, world.s3.secret)
        client.post("/admin/reload")
        wait_healthy(client)
        create(client, NAME)
        sent = Documents(NAME, SEED)
        sent.insert(client, 100)
        wait_shipped(client, NAME)
        world.s3.disable_user()
        sent.insert(client, 100)
        letter = wait_letter(client, s3_code="InvalidAccessKeyId")
        check(letter["http_status"] == 403, f"{letter}")
        world.s3.enable_user()
        client.post("/admin/reload")
        wait_shipped(client, NAME)
        wait_for("no letters", lambda: letters(client, NAME)["total"] == 0)
        wait_healthy(client)
        restored_elsewhere(world, sent)


def the_bucket_is_deleted_and_made_anew():
    with World("letters") as world:
        node, client, sent = begin(world)
        client.post("/api/v1/aliases", {"alias": "other name", "collection": NAME})
        world.s3.delete_bucket()
        sent.insert(client, 100)
        why = wait_degraded(client, "NoSuchBucket|bucket")
        letter = wait_letter(client, s3_code="NoSuchBucket")
        check(letter["http_status"] == 404 and letter["class"] == "permanent", f"the letter: {letter}")
        sent.insert(client, 40, batch=1)
        said = client.post(f"/admin/collections/{NAME}/dlq/retry", {})
        check(said["success_count"] == 0 and said["failed_count"] >= 1, f"a retry without a bucket: {said}")

        world.s3.create_bucket()  # empty: what was shipped is gone
        client.request("POST", f"/admin/collections/{NAME}/dlq/retry", {})
        wait_for("root_lost", lambda: bucket_of(client, NAME)["phase"] == "root_lost")
        lost = wait_letter(client, kind="manifest_commit")
        sent.insert(client, 25)  # writes go on
        sent.compare(client)
        wait_degraded(client, "root|lost")
        print(f"the bucket deleted: {why}\nmade anew: {lost['message']}")

        # Not even a restart loses it.
        node.kill9()
        node.start()
        client = node.client()
        sent.compare(client)
        sent.insert(client, 10)
        wait_for("root_lost", lambda: bucket_of(client, NAME)["phase"] == "root_lost")
        wait_letter(client, kind="manifest_commit")

        said = client.post(f"/admin/collections/{NAME}/dlq/retry", {})
        check(said["success_count"] >= 1 and said["failed_count"] == 0, f"publishing the collection whole again: {said}")
        wait_for("owned", lambda: bucket_of(client, NAME)["phase"] == "owned")
        sent.insert(client, 30)
        wait_shipped(client, NAME)
        wait_for("no letters", lambda: letters(client, NAME)["total"] == 0)
        wait_healthy(client)
        world.command("verify", "--from", world.url)
        restored_elsewhere(world, sent)
        node.crash_and_lose_everything()
        node.start()
        client = node.client()
        wait_for("the collection", lambda: [c for c in client.get("/api/v1/collections")["collections"]
                                            if c["document_count"] == len(sent.there)])
        sent.compare(client)


def park(client, relay, sent, count=90):
    """One group is refused and becomes a letter; others can go. The rule and the letter."""
    rule = relay.answer(403, "AccessDenied", op="PUT", key="/w/")
    sent.insert(client, count)
    return rule, wait_letter(client, kind="wal_group")


def discard_path():
    return f"/admin/collections/{NAME}/dlq"


def a_discard_needs_the_exact_range_and_leaves_a_gap():
    with World("letters") as world:
        node, client, sent = begin(world)
        before = dict(sent.there)
        _, letter = park(client, node.relay, sent)
        sent.insert(client, 10, version=3, first=5)  # behind the letter
        total = letters(client, NAME)["total"]

        answer = client.request("DELETE", discard_path(), {})
        check(answer.status == 409 and answer.json["code"] == "confirm_needed", f"a discard without a range: {answer}")
        wanted = answer.json["confirm"]
        answer = client.request("DELETE", discard_path(), {"confirm": {"lsn_first": wanted["lsn_first"],
                                                                       "lsn_last": wanted["lsn_last"] + 1}})
        check(answer.status == 409 and answer.json["confirm"] == wanted, f"a discard of another range: {answer}")
        check(letters(client, NAME)["total"] == total, "a refused discard took a letter")
        said, err = dlq(world, node, "discard", NAME, "--dry-run")
        check(str(wanted["lsn_last"]) in said + err and letters(client, NAME)["total"] == total, f"a dry run: {said}{err}")

        node.relay.mend()
        answer = client.ok("DELETE", discard_path(), {"confirm": wanted})
        gone = answer["discarded"]
        check(gone["lsn_first"] == wanted["lsn_first"] and gone["lsn_last"] == wanted["lsn_last"] and gone["records"] >= 1,
              f"discarded: {answer}")
        with open(os.path.join(node.data_dir, answer["export"]), encoding="utf-8") as f:
            kept = [json.loads(line) for line in f]
        check({line["doc_id"] for line in kept} == set(sent.there) - set(before), f"the export has {len(kept)} lines")
        wait_shipped(client, NAME)
        check(letters(client, NAME)["total"] == 0, "letters are left")
        wait_healthy(client)
        sent.compare(client)  # written anew: nothing of it is lost
        world.command("verify", "--from", world.url)
        check(letter["key"] in world.keys(), f"no gap under {letter['key']}")
        restored_elsewhere(world, sent, "first")
        node.kill9()
        sent.compare(node.start().client())


def a_discard_with_drop_takes_the_documents_away():
    with World("letters") as world:
        node, client, sent = begin(world)
        before = dict(sent.there)
        park(client, node.relay, sent, 60)
        replaced = range(sent.next_id - 10, sent.next_id)
        sent.insert(client, 10, version=2, first=replaced[0])  # newer than the letter: stays
        node.relay.mend()
        said, err = dlq(world, node, "discard", NAME, "--drop", "--yes")
        print((said + err).strip())
        sent.there = {**before, **{i: 2 for i in replaced}}
        wait_shipped(client, NAME)
        check(letters(client, NAME)["total"] == 0, "letters are left")
        sent.compare(client)
        answers = sent.answers(client)
        node.kill9()
        sent.compare(node.start().client())
        check(sent.answers(node.client()) == answers, "the answers changed over a restart")
        restored_elsewhere(world, sent)
        world.command("verify", "--from", world.url)


def letters_leave_by_themselves_once_their_cause_is_gone():
    """A reload of the credentials tries what waits; no operator has to name it."""
    with World("letters") as world:
        node, client, sent = begin(world)
        park(client, node.relay, sent)
        fine, why = health(client)
        check(not fine and re.search("letter|AccessDenied", why), f"health with a letter: {why}")
        node.relay.mend()
        client.post("/admin/reload")
        wait_shipped(client, NAME)
        wait_for("no letters", lambda: letters(client, NAME)["total"] == 0)
        wait_healthy(client)
        restored_elsewhere(world, sent)


if __name__ == "__main__":
    SEED = support.take_seed()
    support.main(permissions_taken_away_and_given_back, a_retry_ships_what_was_refused, keys_are_revoked_and_replaced,
                 the_bucket_is_deleted_and_made_anew, a_discard_needs_the_exact_range_and_leaves_a_gap,
                 a_discard_with_drop_takes_the_documents_away, letters_leave_by_themselves_once_their_cause_is_gone)
