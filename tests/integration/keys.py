"""Keys that end, on a real MinIO: a web identity whose token rotates, asked of MinIO's own STS, and a process. Renewals
go unnoticed; where they fail the old keys are used to their end, health says why, and all goes on by itself afterwards.
No secret is in the log, in health, in metrics or in the status.

    python3 tests/integration/keys.py [--seed S] [name of a test below ...]
"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import secrets
import threading
import time

import support
from bucketed import Documents, Metrics, World, create, health, letters, wait_degraded, wait_for, wait_healthy, wait_shipped
from s3_server import Minio
from support import check

NAME = "docs"
LIFE_SECONDS = 12


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Identities:
    """An OpenID provider as far as MinIO looks: a document, no public keys, and tokens signed with a shared secret."""

    client = "tiervec-test"

    def __init__(self):
        self.secret = secrets.token_hex(24)
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = provider.document() if "openid" in self.path else {"keys": []}
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self):
        return {"issuer": self.url, "jwks_uri": self.url + "/keys", "authorization_endpoint": self.url + "/a",
                "token_endpoint": self.url + "/t", "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["HS256"]}

    def token(self, seconds):
        now = int(time.time())
        head = {"alg": "HS256", "typ": "JWT", "kid": self.client}
        body = {"iss": self.url, "aud": self.client, "sub": "node", "policy": "readwrite", "iat": now,
                "exp": now + seconds, "jti": secrets.token_hex(8)}
        text = ".".join(encode(json.dumps(part).encode()) for part in (head, body))
        return text + "." + encode(hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest())


class MinioWithIdentities(Minio):
    """Keys of STS live as long as the token they were given for."""

    def __init__(self, folder, identities):
        super().__init__(folder)
        self.identities = identities

    def command(self):
        command, env = super().command()
        return command, {**env, "MINIO_IDENTITY_OPENID_CONFIG_URL": self.identities.url + "/.well-known/openid-configuration",
                         "MINIO_IDENTITY_OPENID_CLIENT_ID": self.identities.client,
                         "MINIO_IDENTITY_OPENID_CLIENT_SECRET": self.identities.secret,
                         "MINIO_IDENTITY_OPENID_CLAIM_NAME": "policy"}


def write_whole(path, text, mode=0o600):
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


def nowhere(world):
    """Nothing of this machine is looked at."""
    return {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.path.join(world.folder, "none"),
            "AWS_SHARED_CREDENTIALS_FILE": os.path.join(world.folder, "none")}


def insert_for(client, sent, seconds):
    """Remote writes: each is answered once it is in the bucket."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        answer = sent.insert(client, 20)
        check(answer.get("durability") == "remote", f"a write that did not reach the bucket: {answer}")
        count += 20
        fine, why = health(client)
        check(fine or not re.search("keys|credential|renew", why), f"health: {why}")  # a slow store is none of this test's
    return count


def refreshes(client, outcome):
    return Metrics.of(client).sum("tiervec_s3_credentials_refreshes_total", outcome=outcome)


def no_secret_was_said(node, client, hidden):
    with open(node.log_path, encoding="utf-8", errors="replace") as f:
        texts = {"the log": f.read()}
    for path in ("/health", "/metrics", "/api/v1/status", "/admin/health", f"/admin/collections/{NAME}/dlq"):
        texts[path] = client.request("GET", path).body.decode()
    for place, text in texts.items():
        for secret in hidden:
            check(secret not in text, f"{place} holds a secret:\n{text[max(0, text.find(secret) - 300):][:400]}")
    check("requests are signed with new keys" in texts["the log"], "the log does not tell of new keys")


def a_web_identity_whose_token_rotates():
    identities = Identities()
    world = World("keys")
    world.s3 = MinioWithIdentities(os.path.join(world.folder, "s3"), identities)
    with world:
        node = world.node("a", storage__rpo_ms=200, storage__durability="remote", server__timeout_seconds=15)
        path = os.path.join(world.folder, "token")
        tokens = []
        writing = threading.Event()
        writing.set()

        def write_token():
            tokens.append(identities.token(LIFE_SECONDS))
            write_whole(path, tokens[-1] + "\n")

        def rotate():
            while not over.wait(0.5):
                if writing.is_set():
                    write_token()

        over = threading.Event()
        write_token()
        node.env = {**nowhere(world), "AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ENDPOINT_URL_STS": world.s3.endpoint,
                    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/node"}
        rotating = threading.Thread(target=rotate)
        rotating.start()
        try:
            client = node.start().client()
            wait_healthy(client)
            create(client, NAME)
            sent = Documents(NAME, SEED)
            count = insert_for(client, sent, 1.8 * LIFE_SECONDS)
            renewed = refreshes(client, "ok")
            check(renewed >= 2, f"renewed {renewed} times")
            check(refreshes(client, "failed") == 0, "a renewal failed")
            end = Metrics.of(client).sum("tiervec_s3_credentials_expire_timestamp_seconds")
            check(abs(end - time.time()) <= LIFE_SECONDS + 2, f"the end of the keys: {end}")

            # The token is not renewed any more: its keys are used up to their end, and health says so before.
            writing.clear()
            why = wait_degraded(client, "cannot be renewed")
            check("web identity (AWS_WEB_IDENTITY_TOKEN_FILE)" in why, f"who cannot: {why}")
            wait_for("writes that do not reach the bucket", lambda: sent.insert(client, 5)["durability"] != "remote")
            wait_degraded(client, "no new ones are to be had|ended")
            check(refreshes(client, "failed") >= 1, "nothing failed")
            sent.insert(client, 50)

            before = refreshes(client, "ok")
            writing.set()
            wait_for("keys again", lambda: refreshes(client, "ok") > before)
            client.post("/admin/reload")
            wait_shipped(client, NAME)
            wait_for("no letters", lambda: letters(client, NAME)["total"] == 0)
            wait_healthy(client)
            no_secret_was_said(node, client, [identities.secret, world.s3.secret, world.s3.root_secret]
                               + [t.rpartition(".")[2] for t in tokens])
            sent.compare(client)
        finally:
            over.set()
            rotating.join()
        print(f"{count} remote writes under {int(renewed)} renewals, {len(tokens)} tokens")


def a_process_that_talks_too_much():
    with World("keys") as world:
        node = world.node("a", storage__rpo_ms=200, storage__durability="remote", server__timeout_seconds=15)
        config, program = os.path.join(world.folder, "config"), os.path.join(world.folder, "get keys")
        write_whole(config, f"[default]\ncredential_process = '{program}' --for \"a node\"\n")

        def give(code):
            write_whole(program, f"""#!/usr/bin/env python3
import datetime, json, sys
assert sys.argv[1:] == ["--for", "a node"], sys.argv
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=6)
print("debug: secret {world.s3.secret}", file=sys.stderr)
print("debug: {world.s3.secret} is what I gave", file=sys.stderr)
print(json.dumps({{"Version": 1, "AccessKeyId": "{world.s3.access}", "SecretAccessKey": "{world.s3.secret}",
                   "Expiration": end.isoformat()}}))
sys.exit({code})
""", 0o700)

        give(0)
        node.env = {**nowhere(world), "AWS_CONFIG_FILE": config}
        client = node.start().client()
        wait_healthy(client)
        create(client, NAME)
        sent = Documents(NAME, SEED)
        insert_for(client, sent, 7)
        check(refreshes(client, "ok") >= 2, "it was asked once only")
        give(9)
        why = wait_degraded(client, "cannot be renewed")
        check("credential_process of profile default" in why and "exit code 9" in why, f"who cannot, and why: {why}")
        wait_degraded(client, "no new ones are to be had|ended")
        give(0)
        wait_for("remote writes again", lambda: sent.insert(client, 5)["durability"] == "remote")
        wait_shipped(client, NAME)
        no_secret_was_said(node, client, [world.s3.secret, world.s3.root_secret])
        sent.compare(client)


if __name__ == "__main__":
    SEED = support.take_seed()
    support.main(a_web_identity_whose_token_rotates, a_process_that_talks_too_much)
