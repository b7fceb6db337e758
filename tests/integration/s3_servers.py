#!/usr/bin/env python3
"""The S3 servers of the tests do what the tests rely on: they start, forget nothing over a restart, take permissions
away and give them back, lose their bucket. By hand: s3_servers.py [test...]"""
import os
import subprocess
import sys

from s3_server import KINDS, Minio, S3Client
from support import ROOT, Folder, check, main


def answer(s3, method, key, body=b"", headers=None):
    status, _, data = s3.user_client().request(method, f"/{s3.bucket}/{key}", body=body, headers=headers)
    code = data.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()
    return status, code


def minio_keeps_objects_over_a_restart():
    with Folder("s3") as folder, Minio(folder) as s3:
        check(answer(s3, "PUT", "a/b", b"one")[0] == 200, "a PUT is taken")
        port = s3.port
        s3.stop()
        try:
            answer(s3, "GET", "a/b")
            raise AssertionError("it answers after it was stopped")
        except OSError:
            pass
        s3.start()
        check(s3.port == port, "the port stays")
        check(s3.get("a/b") == b"one", "the object stays")


def each_checks_conditions_and_signatures():
    for kind in KINDS.values():
        with Folder("s3") as folder, kind(folder) as s3:
            check(s3.objects() == {}, f"{s3.kind}: the bucket is empty")
            check(answer(s3, "PUT", "a/b", b"one")[0] == 200, f"{s3.kind}: a PUT is taken")
            said = answer(s3, "PUT", "a/b", b"two", {"if-none-match": "*"})[0]
            check(said == (200 if s3.kind == "rclone" else 412), f"{s3.kind}: a condition holds, but with rclone: {said}")
            check(s3.objects() == {"a/b": 3}, f"{s3.kind}: listed: {s3.objects()}")
            wrong = S3Client(s3.port, s3.access, "not the secret", ca_file=s3.ca_file).request("GET", f"/{s3.bucket}/a/b")
            check(wrong[0] == 403, f"{s3.kind}: a wrong secret is refused: {wrong[0]}")


def minio_takes_permissions_away_and_gives_them_back():
    with Folder("s3") as folder, Minio(folder) as s3:
        check(answer(s3, "PUT", "k", b"1")[0] == 200, "at first all is allowed")
        s3.deny()
        check(answer(s3, "PUT", "k", b"2") == (403, "AccessDenied"), "a PUT is denied")
        check(answer(s3, "GET", "k") == (403, "AccessDenied"), "a GET is denied")
        s3.deny_writes()
        check(answer(s3, "PUT", "k", b"2") == (403, "AccessDenied"), "a PUT is still denied")
        check(answer(s3, "GET", "k")[0] == 200, "a GET is allowed again")
        s3.allow()
        check(answer(s3, "PUT", "k", b"3")[0] == 200, "all is allowed again")
        s3.disable_user()
        check(answer(s3, "GET", "k") == (403, "InvalidAccessKeyId"), f"the key is revoked: {answer(s3, 'GET', 'k')}")
        s3.enable_user()
        check(s3.get("k") == b"3" and answer(s3, "GET", "k")[0] == 200, "the key is good again")


def minio_loses_its_bucket():
    with Folder("s3") as folder, Minio(folder) as s3:
        check(answer(s3, "PUT", "k", b"1")[0] == 200, "at first there is a bucket")
        s3.delete_bucket()
        check(answer(s3, "PUT", "k", b"1") == (404, "NoSuchBucket"), "there is no bucket")
        s3.create_bucket()
        check(answer(s3, "GET", "k") == (404, "NoSuchKey"), "the bucket is new and empty")
        check(answer(s3, "PUT", "k", b"1")[0] == 200, "and takes objects")


def script_starts_runs_and_stops():
    script = os.path.join(ROOT, "scripts", "s3_servers")
    for kind in ("minio", "seaweedfs"):
        with Folder("s3") as folder:
            place = os.path.join(folder, "server")
            done = subprocess.run([script, "start", kind, place], capture_output=True, text=True, check=True)
            names = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
            try:
                port = int(names["TIERVEC_TEST_S3_ENDPOINT"].rpartition(":")[2])
                client = S3Client(port, names["AWS_ACCESS_KEY_ID"], names["AWS_SECRET_ACCESS_KEY"])
                path = f"/{names['TIERVEC_TEST_S3_BUCKET']}/k"
                check(client.request("PUT", path, body=b"x")[0] == 200, "the keys of the script are good")
            finally:
                subprocess.run([script, "stop", place], check=True)
            try:
                client.request("GET", path)
                raise AssertionError("it answers after it was stopped")
            except OSError:
                pass
        code = subprocess.run([script, "run", kind, "sh", "-c", 'test -n "$TIERVEC_TEST_S3_ENDPOINT" && exit 7'],
                              check=False).returncode
        check(code == 7, f"run gives the command's code: {code}")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(minio_keeps_objects_over_a_restart, each_checks_conditions_and_signatures,
         minio_takes_permissions_away_and_gives_them_back, minio_loses_its_bucket, script_starts_runs_and_stops)
