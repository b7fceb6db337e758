"""Real S3 servers on loopback for tests: MinIO, whose permissions can be taken away and given back, SeaweedFS, versitygw, and
rclone's, which ignores conditions.

    with Minio(folder) as s3:                     # started, with an empty bucket
        Node(folder, args=[...], env=s3.env())    # the node's keys are those of a user, not of root
        s3.deny(); ...; s3.allow()                # 403 AccessDenied, by the store's own rules
        s3.delete_bucket(); s3.create_bucket()
        s3.stop(); s3.start()                     # the same port, the same objects
        s3.objects("prefix/")                     # {key: bytes}, past the node

Each server lies in a folder of its own, listens on 127.0.0.1 alone and is stopped by its pid. Requests are signed
here (SigV4, plain Python): a second opinion on the node's own signatures.
"""
import ctypes
import datetime
import hashlib
import hmac
import http.client
import io
import json
import os
import secrets
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse
import xml.etree.ElementTree
import zipfile

import ports
from s3_install import minio, rclone, seaweedfs, versitygw

START_SECONDS = 120
STOP_SECONDS = 30
REGION = "us-east-1"


def free_ports(count):
    """Ports nobody listens on, and nobody will as long as this process lives unless it does."""
    return [ports.take() for _ in range(count)]


def _quote(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


def _end_with_parent():
    """A test that is killed takes its server with it."""
    if threading.current_thread() is threading.main_thread():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, of the thread that forks


class S3Error(Exception):
    """The store answered, and not with success."""

    def __init__(self, method, path, status, body):
        super().__init__(f"{method} {path}: {status} {body[:400]!r}")
        self.status = status
        self.body = body


class S3Client:
    """Signed requests, one connection each."""

    def __init__(self, port, access, secret, timeout=60, ca_file=None):
        self.port = port
        self.tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self.access = access
        self.secret = secret
        self.timeout = timeout

    def request(self, method, path, query=None, body=b"", headers=None):
        """(status, headers, body); path unescaped, query a dict."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": digest, "x-amz-date": now}
        signed.update({k.lower(): v for k, v in (headers or {}).items()})
        raw_path = _quote(path, "/-_.~")
        raw_query = "&".join(sorted(f"{_quote(k)}={_quote(str(v))}" for k, v in (query or {}).items()))
        names = ";".join(sorted(signed))
        canonical = "\n".join([method, raw_path, raw_query,
                               "".join(f"{k}:{signed[k]}\n" for k in sorted(signed)), names, digest])
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in (now[:8], REGION, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, "
                                   f"Signature={signature}")
        if self.tls:
            conn = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.timeout, context=self.tls)
        else:
            conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            conn.request(method, raw_path + ("?" + raw_query if raw_query else ""), body=body, headers=signed)
            reply = conn.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            conn.close()

    def ok(self, method, path, query=None, body=b"", headers=None, also=()):
        status, fields, data = self.request(method, path, query, body, headers)
        if not 200 <= status < 300 and status not in also:
            raise S3Error(method, path, status, data)
        return status, fields, data


class Server:
    """What both have in common: a process, a port, root's keys, and a view of the bucket past the node."""

    kind = None
    ca_file = None  # of TLS
    outlives = False  # true: it goes on when the process that started it has ended

    def __init__(self, folder, bucket="tiervec-test"):
        self.folder = os.path.abspath(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.bucket = bucket
        self.port = None
        self.process = None
        self.log_path = os.path.join(self.folder, f"{self.kind}.log")
        self.root_access = "root" + secrets.token_hex(8)
        self.root_secret = secrets.token_hex(20)
        self.access = self.root_access
        self.secret = self.root_secret

    # What a node is given.

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def url(self, prefix=""):
        """For [storage] s3_bucket: endpoint, bucket and prefix in one."""
        return f"{self.endpoint}/{self.bucket}" + (f"/{prefix}" if prefix else "")

    def env(self):
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": REGION,
                "TIERVEC_TEST_S3_KIND": self.kind, "TIERVEC_TEST_S3_ENDPOINT": self.endpoint,
                "TIERVEC_TEST_S3_BUCKET": self.bucket, "TIERVEC_TEST_S3_URL": self.url("tests")}

    # The process.

    def command(self):
        raise NotImplementedError

    def start(self):
        """Starts it, on the port and with the objects of the last time, and waits until it takes writes."""
        tries = 1 if self.port else 5  # a free port may be taken by the time it is used
        for left in reversed(range(tries)):
            command, more = self.command()
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder,
                                                env={**self._clean_env(), **more}, start_new_session=True,
                                                preexec_fn=None if self.outlives else _end_with_parent)
            try:
                self._wait_ready()
                return self
            except AssertionError:
                self.kill()
                if left == 0:
                    raise
                self.port = None
        return self

    def _clean_env(self):
        return {k: v for k, v in os.environ.items()
                if not k.startswith(("AWS_", "MINIO_", "WEED_", "S3_")) and "proxy" not in k.lower()}

    def _wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        said = None
        while time.monotonic() < deadline:
            code = self.process.poll()
            assert code is None, f"{self.kind} ended with code {code}:\n{self.log_text()[-2000:]}"
            try:
                self.prepare()
                return
            except (OSError, http.client.HTTPException, S3Error) as e:
                said = e
            time.sleep(0.05)
        raise AssertionError(f"{self.kind} takes no requests after {START_SECONDS} s ({said}):\n"
                             f"{self.log_text()[-2000:]}")

    def prepare(self):
        """Once it listens: makes what tests expect. Repeated until it succeeds."""
        self.create_bucket()
        self.put("ready", b"1")
        self.delete("ready")

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """The graceful end: connections are refused from here on."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()

    def freeze(self):
        """It still accepts connections (the kernel does) and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.kill()

    # The bucket, by root's keys.

    def client(self):
        return S3Client(self.port, self.root_access, self.root_secret, ca_file=self.ca_file)

    def user_client(self):
        """With the rights of the node."""
        return S3Client(self.port, self.access, self.secret, ca_file=self.ca_file)

    def create_bucket(self, bucket=None):
        self.client().ok("PUT", f"/{bucket or self.bucket}", also=(409,))

    def delete_bucket(self, bucket=None):
        """With all that is in it."""
        bucket = bucket or self.bucket
        for key in self.objects(bucket=bucket):
            self.delete(key, bucket)
        self.client().ok("DELETE", f"/{bucket}", also=(404,))

    def put(self, key, body, bucket=None):
        self.client().ok("PUT", f"/{bucket or self.bucket}/{key}", body=body)

    def get(self, key, bucket=None):
        return self.client().ok("GET", f"/{bucket or self.bucket}/{key}")[2]

    def delete(self, key, bucket=None):
        self.client().ok("DELETE", f"/{bucket or self.bucket}/{key}", also=(404,))

    def objects(self, prefix="", bucket=None):
        """{key: bytes} of all keys that begin with prefix."""
        found = {}
        query = {"list-type": 2, "prefix": prefix}
        while True:
            body = self.client().ok("GET", f"/{bucket or self.bucket}", query)[2]
            tree = xml.etree.ElementTree.fromstring(body)
            name = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
            for item in tree.findall(f"{name}Contents"):
                found[item.findtext(f"{name}Key")] = int(item.findtext(f"{name}Size"))
            if tree.findtext(f"{name}IsTruncated") != "true":
                return found
            query["continuation-token"] = tree.findtext(f"{name}NextContinuationToken")


class Minio(Server):
    """The reference. The node gets the keys of a user whose policy can be changed while it runs."""

    kind = "minio"

    def __init__(self, folder, bucket="tiervec-test"):
        super().__init__(folder, bucket)
        self.access = "user" + secrets.token_hex(8)
        self.secret = secrets.token_hex(20)
        self.made = False

    def command(self):
        if self.port is None:
            self.port = free_ports(1)[0]
        # The console's port is the system's to choose: MinIO opens it even where the console is off.
        return ([minio(), "server", "--quiet", "--address", f"127.0.0.1:{self.port}",
                 "--console-address", "127.0.0.1:0", os.path.join(self.folder, "objects")],
                {"MINIO_ROOT_USER": self.root_access, "MINIO_ROOT_PASSWORD": self.root_secret,
                 "MINIO_DOMAIN": "localhost", "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CI_CD": "1",
                 "HOME": self.folder})

    def prepare(self):
        if not self.made:
            super().prepare()
            self._make_user()
            self.made = True
        # The user's keys are taken, whatever its rights are: rights come some moments after the port.
        status, _, body = self.user_client().request("GET", "/")
        if status not in (200, 403) or b"InvalidAccessKeyId" in body:
            raise S3Error("GET", "/", status, body)

    def _make_user(self):
        """Import takes plain JSON; the calls of the admin protocol that make users want sealed bodies."""
        nothing = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]}
        reading = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": ["arn:aws:s3:::*"]}]}
        pack = io.BytesIO()
        with zipfile.ZipFile(pack, "w") as z:
            z.writestr("iam-assets/policies.json", json.dumps({"nothing": nothing, "reading": reading}))
            z.writestr("iam-assets/users.json", json.dumps(
                {self.access: {"secretKey": self.secret, "status": "enabled"}}))
            z.writestr("iam-assets/user_mappings.json", json.dumps(
                {self.access: {"version": 1, "policy": "readwrite"}}))
        self.client().ok("PUT", "/minio/admin/v3/import-iam", body=pack.getvalue())

    def _policy(self, name):
        self.client().ok("PUT", "/minio/admin/v3/set-user-or-group-policy",
                         {"policyName": name, "userOrGroup": self.access, "isGroup": "false"})

    def _wait_rights(self, read, write):
        """Rights come and go some moments after they were changed."""
        deadline = time.monotonic() + START_SECONDS
        path = f"/{self.bucket}/rights"
        said = None
        while said != (read, write):
            assert time.monotonic() < deadline, f"may read, may write: {said}, not {(read, write)}"
            said = tuple(self.user_client().request(method, path)[0] != 403 for method in ("GET", "PUT"))
            self.client().ok("DELETE", path, also=(404,))

    def deny(self):
        """Every request of the user is 403 AccessDenied."""
        self._policy("nothing")
        self._wait_rights(False, False)

    def deny_writes(self):
        """Reads go on, writes and deletes are 403 AccessDenied."""
        self._policy("reading")
        self._wait_rights(True, False)

    def allow(self):
        self._policy("readwrite")
        self._wait_rights(True, True)

    def disable_user(self):
        """As if the key had been revoked: 403 InvalidAccessKeyId."""
        self.client().ok("PUT", "/minio/admin/v3/set-user-status", {"accessKey": self.access, "status": "disabled"})
        self._wait_rights(False, False)

    def enable_user(self):
        self.client().ok("PUT", "/minio/admin/v3/set-user-status", {"accessKey": self.access, "status": "enabled"})
        self._wait_rights(True, True)

    def delete_bucket(self, bucket=None):
        self.client().ok("DELETE", f"/{bucket or self.bucket}", headers={"x-minio-force-delete": "true"}, also=(404,))


class MinioTLS(Minio):
    """MinIO over https, by a certificate of its own, and asked for by name: localhost, and the bucket in front of it.
    (Names below localhost are loopback to curl, and to everyone who keeps to RFC 6761.)"""

    kind = "minio-tls"

    @property
    def endpoint(self):
        return f"https://localhost:{self.port}"

    def command(self):
        certs = os.path.join(self.folder, "certs")
        self.ca_file = os.path.join(certs, "public.crt")
        if not os.path.exists(self.ca_file):
            os.makedirs(certs)
            names = f"DNS:localhost,DNS:{self.bucket}.localhost,IP:127.0.0.1"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}",
                            "-keyout", os.path.join(certs, "private.key"), "-out", self.ca_file],
                           check=True, capture_output=True)
        command, env = super().command()
        return [*command, "--certs-dir", certs], env

    def env(self):
        return {**super().env(), "AWS_CA_BUNDLE": self.ca_file}


class SeaweedFS(Server):
    """The second opinion: another implementation of the same protocol."""

    kind = "seaweedfs"
    ports = ()

    def command(self):
        if self.port is None:
            self.ports = free_ports(8)
            self.port = self.ports[0]
        keys = os.path.join(self.folder, "keys.json")
        with open(keys, "w", encoding="ascii") as f:
            json.dump({"identities": [{"name": "root", "credentials": [
                {"accessKey": self.root_access, "secretKey": self.root_secret}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}, f)
        data = os.path.join(self.folder, "objects")
        os.makedirs(data, exist_ok=True)
        flags = ["ip=127.0.0.1", "ip.bind=127.0.0.1", f"dir={data}", "s3", f"s3.port={self.port}",
                 f"s3.config={keys}", f"s3.port.grpc={self.ports[1]}", f"master.port={self.ports[2]}",
                 f"master.port.grpc={self.ports[3]}", f"volume.port={self.ports[4]}",
                 f"volume.port.grpc={self.ports[5]}", f"filer.port={self.ports[6]}",
                 f"filer.port.grpc={self.ports[7]}", "s3.port.iceberg=0", "s3.port.lance=0",
                 "s3.autoCreateBucket=false", "master.telemetry=false", "master.volumeSizeLimitMB=64", "volume.max=50",
                 f"filer.localSocket={self.folder}/filer.sock", f"s3.localSocket={self.folder}/s3.sock"]
        return [seaweedfs(), "server", *(f"-{flag}" for flag in flags)], {"HOME": self.folder}

    def stop(self):
        """Its graceful end takes half a minute, in which nothing happens."""
        self.kill()

    def kill(self):
        super().kill()
        for port in self.ports:  # what it makes whatever it is told, and leaves behind
            for name in ("master", "volume", "filer", "s3"):
                try:
                    os.unlink(f"/tmp/seaweedfs-{name}-grpc-{port}.sock")
                except OSError:
                    pass


class Versitygw(Server):
    """The strict third, over a folder: SigV4 alone, and the body's hash on every request."""

    kind = "versitygw"

    def command(self):
        if self.port is None:
            self.port = free_ports(1)[0]
        data = os.path.join(self.folder, "objects")
        os.makedirs(data, exist_ok=True)
        return ([versitygw(), "--port", f"127.0.0.1:{self.port}", "--keep-alive", "--quiet", "posix", data],
                {"ROOT_ACCESS_KEY": self.root_access, "ROOT_SECRET_KEY": self.root_secret, "VGW_REGION": REGION,
                 "HOME": self.folder})


class Rclone(Server):
    """The bad one, over a folder: it takes conditions and looks at none."""

    kind = "rclone"

    def command(self):
        if self.port is None:
            self.port = free_ports(1)[0]
        data = os.path.join(self.folder, "objects")
        os.makedirs(data, exist_ok=True)
        return ([rclone(), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--config", "",
                 "--cache-dir", os.path.join(self.folder, "cache"), data],
                {"RCLONE_AUTH_KEY": f'"{self.root_access},{self.root_secret}"', "HOME": self.folder})  # a list, as CSV


KINDS = {"minio": Minio, "minio-tls": MinioTLS, "seaweedfs": SeaweedFS, "versitygw": Versitygw, "rclone": Rclone}
