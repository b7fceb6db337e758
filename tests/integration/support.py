"""What the integration tests share: the real program as a child process, a client, a runner.

The program is the one TIERVEC_BIN names, else that of build/release, else of build/dev. Servers listen on
127.0.0.1 at a port the system chose, are stopped by their pid, and live in a folder that goes away with the test.
"""
import http.client
import json
import os
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import ports

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP_CODE = 77  # ctest's SKIP_RETURN_CODE
START_SECONDS = 120
STOP_SECONDS = 120


class Skip(Exception):
    """The machine does not let this test run."""


class Gone(Exception):
    """The connection ended before a whole answer came: what was asked may or may not have happened."""


class NotSent(Exception):
    """No connection could be made: nothing was asked."""


class OutOfTime(BaseException):
    """ctest is about to end this test by force: it tells where it stands while it can."""


def limit_time():
    """Raises OutOfTime in the main thread shortly before TIERVEC_TEST_SECONDS are over, if they are said."""
    seconds = int(os.environ.get("TIERVEC_TEST_SECONDS", "0"))

    def end(_number, _frame):
        raise OutOfTime(f"the test is not done within {seconds} s")

    if seconds:
        signal.signal(signal.SIGALRM, end)
        signal.alarm(max(seconds - 15, seconds * 3 // 4))


def program(name="tiervec"):
    """The path of a built program; the broken twins lie where TIERVEC_TWINS says, or beside the build."""
    if name == "tiervec" and os.environ.get("TIERVEC_BIN"):
        return os.environ["TIERVEC_BIN"]
    if name != "tiervec" and os.environ.get("TIERVEC_TWINS"):
        return os.path.join(os.environ["TIERVEC_TWINS"], name)
    folder = "cli" if name == "tiervec" else "tests/integration"
    for preset in ("release", "dev"):
        path = os.path.join(ROOT, "build", preset, folder, name)
        if os.path.exists(path):
            return path
    raise SystemExit(f"error: {name} is not built: cmake --preset release && cmake --build --preset release")


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def cannot_run(what, reason):
    """This machine does not let the test run, for want of root, of a loop device, of a server. That is a failure, so that
    a test cannot vanish unseen, unless TIERVEC_ALLOW_SKIP (names with commas between them) accepts it."""
    if what in os.environ.get("TIERVEC_ALLOW_SKIP", "").split(","):
        raise Skip(f"{what}: {reason}")
    raise AssertionError(f"{what} cannot run here: {reason}; TIERVEC_ALLOW_SKIP={what} accepts that")


def f32(x):
    """The nearest single-precision number: what the node stores and gives back."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def random_vector(rng, dim):
    return [f32(rng.uniform(-1, 1)) for _ in range(dim)]


class Folder:
    """A folder that is removed at the end; kept, and named, when the test failed and --keep was given."""

    keep = False

    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix=f"tiervec-{name}-")

    def __enter__(self):
        return self.path

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for node in Node.launched:
                if node.log_path.startswith(self.path + "/"):
                    node.tell_last_words()
                    node.kill9()
        if kind is not None and Folder.keep:
            print(f"kept: {self.path}", flush=True)
            return
        shutil.rmtree(self.path, ignore_errors=True)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


def has_ended(sock):
    """Whether something came on a connection from which nothing is expected: its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Client:
    """One kept connection; opened again for the next request after it was closed."""

    def __init__(self, port, timeout=120):
        self.port = port
        self.timeout = timeout
        self.conn = None

    def _connect(self):
        self.conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            self.conn.connect()
        except OSError as e:
            self.close()
            raise NotSent(str(e)) from e

    def request(self, method, path, body=None, headers=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        if self.conn is not None and has_ended(self.conn.sock):
            self.close()  # the node has closed it: it was idle for longer than [server] timeout_seconds
        if self.conn is None:
            self._connect()
        try:
            self.conn.request(method, path, body=body, headers=headers or {})
            reply = self.conn.getresponse()
            data = reply.read()
        except (OSError, http.client.HTTPException) as e:
            self.close()
            raise Gone(f"{type(e).__name__}: {e}") from e
        if reply.will_close:
            self.close()
        return Answer(reply.status, reply.headers, data)

    def ok(self, method, path, body=None, status=None):
        answer = self.request(method, path, body)
        fine = answer.status == status if status else 200 <= answer.status < 300
        check(fine, f"{method} {path}: {answer}")
        return answer.json if answer.body[:1] in (b"{", b"[") else answer.body

    def get(self, path):
        return self.ok("GET", path)

    def post(self, path, body=None):
        return self.ok("POST", path, body if body is not None else b"")

    def create(self, name, dim, metric="l2", **hnsw):
        body = {"name": name, "dimension": dim, "metric": metric}
        if hnsw:
            body["hnsw"] = hnsw
        return self.ok("POST", "/api/v1/collections", body, 201)

    def collection(self, name):
        return self.get(f"/api/v1/collections/{name}")["collection"]

    def documents(self, name, with_vector=True, page=1000):
        """Every document, through all pages of the list."""
        cursor = ""
        while True:
            answer = self.get(f"/api/v1/collections/{name}/docs?limit={page}"
                              f"&with_vector={'true' if with_vector else 'false'}{cursor}")
            yield from answer["documents"]
            if answer["next_cursor"] is None:
                return
            cursor = "&cursor=" + answer["next_cursor"]

    def query(self, name, vector, **more):
        return self.post(f"/api/v1/collections/{name}/query", {"query_vector": vector, **more})

    def close(self):
        if self.conn is not None:
            self.conn.close()
        self.conn = None


COLD = os.environ.get("TIERVEC_TEST_COLD") == "1"


class Folding:
    """Folds whatever collections a node has, over and over, so that what a client wrote is soon read from the bucket."""

    def __init__(self, node):
        self.process, self.client, self.folds, self.done = node.process, node.client(), 0, threading.Event()
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def go(self):
        try:
            while not self.done.wait(0.02) and self.process.poll() is None:
                for c in self.client.get("/api/v1/collections")["collections"]:
                    self.folds += self.client.request("POST", f"/admin/collections/{c['name']}/compact?wait=true").status == 200
        except (Gone, NotSent, AssertionError):
            pass

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.done.set()
        self.thread.join()
        if kind is None:
            check(self.folds > 0, "nothing was folded")


class Node:
    """`tiervec serve` over one data directory, which outlives the process."""

    launched = []  # of this test

    def __init__(self, folder, data_dir=None, binary=None, args=(), env=None):
        self.folder = folder
        self.data_dir = data_dir or os.path.join(folder, "data")
        self.binary = binary or program()
        self.args = list(args)
        self.env = env or {}
        self.log_path = os.path.join(folder, "node.log")
        self.out_path = os.path.join(folder, "node.out")
        self.process = None
        self.port = None
        self.grpc_port = 0  # none; a test that asks gRPC sets a free one
        self.log_at = 0
        self.told = False

    def command(self, more=()):
        return [self.binary, "serve", "--data-dir", self.data_dir, "--rest-port", "0", "--grpc-port", str(self.grpc_port),
                "--log-format", "json", *(self.cold() if COLD else []), *self.args, *more]

    def cold(self):
        return ["--set", f"storage.s3_bucket=file://{self.folder}/bucket", "--set", "storage.tiering_policy=S3Only",
                "--set", "server.node_id=one"]

    def environment(self):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("TIERVEC_", "AKIDB_")) and k != "RUST_LOG"}
        # Keys come from the test or from nowhere: the machine's own metadata service is not asked.
        return {**clean, "AWS_EC2_METADATA_DISABLED": "true", **self.env}

    def launch(self, more=(), preexec=None, command=None):
        """Starts the process and waits for nothing."""
        log = open(self.log_path, "ab")
        out = open(self.out_path, "wb")
        self.log_at = log.tell()
        self.port = None
        self.told = False
        if self not in Node.launched:
            Node.launched.append(self)
        self.process = subprocess.Popen(command or self.command(more), stdout=out, stderr=log, cwd=self.folder,
                                        env=self.environment(), preexec_fn=preexec, start_new_session=True)
        log.close()
        out.close()
        return self

    def wait_listening(self, seconds=START_SECONDS):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log_lines():
                if line.get("message") == "listening":
                    self.port = line["fields"]["port"]
                    return self
            code = self.process.poll()
            check(code is None, f"the node ended with code {code} instead of listening:\n{self.log_text()}")
            time.sleep(0.005)
        raise AssertionError(f"the node does not listen after {seconds} s:\n{self.log_text()}")

    def wait_ready(self, seconds=START_SECONDS):
        deadline = time.monotonic() + seconds
        client = self.client()
        answer = None
        while time.monotonic() < deadline:
            try:
                answer = client.request("GET", "/ready")
                if answer.status == 200:
                    client.close()
                    return self
            except (Gone, NotSent) as e:
                code = self.process.poll()
                check(code is None, f"the node ended with code {code} before it was ready ({e}):\n{self.log_text()}")
            time.sleep(0.005)
        raise AssertionError(f"the node is not ready after {seconds} s: {answer}\n{self.log_text()}")

    def start(self, more=(), preexec=None):
        self.launch(more, preexec).wait_listening().wait_ready()
        if COLD:
            Folding(self)
        return self

    def wait_read(self, peers, seconds=60):
        """Until the node has read all that came on connections from these ports, by what the system still holds of it."""
        deadline = time.monotonic() + seconds
        while True:
            held = 0
            with open("/proc/net/tcp", encoding="ascii") as f:
                for fields in map(str.split, f.readlines()[1:]):
                    local, remote = (int(fields[i].split(":")[1], 16) for i in (1, 2))
                    sending, received = (int(x, 16) for x in fields[4].split(":"))
                    held += received if local == self.port and remote in peers else 0
                    held += sending if remote == self.port and local in peers else 0
            if held == 0:
                return
            check(time.monotonic() < deadline, f"{held} bytes are not read after {seconds} s")
            time.sleep(0.002)

    def client(self, timeout=120):
        return Client(self.port, timeout)

    def log_text(self):
        """What this run of the process logged."""
        try:
            with open(self.log_path, "rb") as f:
                f.seek(self.log_at)
                return f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def log_lines(self):
        lines = []
        for text in self.log_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                pass
        return lines

    def out_text(self):
        with open(self.out_path, encoding="utf-8") as f:
            return f.read()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill9(self):
        """The hard end; returns when the process is gone."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def wait_exit(self, seconds=STOP_SECONDS):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node has not ended after {seconds} s:\n{self.log_text()[-4000:]}") from None

    def stop(self, code=0):
        """The graceful end, which must succeed."""
        self.signal(signal.SIGTERM)
        got = self.wait_exit()
        check(got == code, f"the node ended with code {got}, not {code}:\n{self.log_text()[-4000:]}")

    def check_alive(self, what):
        code = self.process.poll()
        check(code is None, f"the node died ({code}) {what}:\n{self.log_text()[-4000:]}")

    def __enter__(self):
        return self

    def tell_last_words(self):
        """Once a run: what a sanitizer or an assertion found, if anything, and the end of the log."""
        if self.told or self.process is None:
            return
        self.told = True
        text = self.log_text()
        found = re.search(r"^.*(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion).*$", text, re.M)
        if found and found.start() < len(text) - 3000:
            print(f"the node's log has:\n{text[found.start():found.start() + 3000]}", flush=True)
        code = self.process.poll()
        state = "it runs" if code is None else f"it ended with {code}"
        print(f"the node's last words ({state}):\n{text[-3000:]}", flush=True)

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.tell_last_words()
        self.kill9()


def calls_of(pid):
    """How often a process has called the system to read or write, so far."""
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        told = dict(line.split(": ") for line in f)
    return int(told["syscr"]) + int(told["syscw"])


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024


def refusing_port():
    """A port nobody listens on, and nobody will unless this test does."""
    return ports.take()


def take_option(name, default, kind=int):
    """--name VALUE from the command line, so that every test is runnable by hand."""
    if name in sys.argv:
        at = sys.argv.index(name)
        value = kind(sys.argv[at + 1])
        del sys.argv[at:at + 2]
        return value
    return default


def take_seed():
    seed = take_option("--seed", None)
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed} (--seed {seed} runs the same plan again)", flush=True)
    return seed


def main(*tests):
    """Runs the functions, or those named on the command line; exit code 0, 1, or 77 when all were skipped."""
    if "--keep" in sys.argv:
        sys.argv.remove("--keep")
        Folder.keep = True
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if name not in [t.__name__ for t in tests]]
    if unknown:
        raise SystemExit(f"error: no test {unknown[0]}; there are: {' '.join(t.__name__ for t in tests)}")
    failed, skipped, ran = [], [], 0
    limit_time()
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        started = time.monotonic()
        Node.launched.clear()
        try:
            test()
            ran += 1
            print(f"ok    {test.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
        except Skip as e:
            skipped.append(test.__name__)
            print(f"SKIP  {test.__name__}: {e}", flush=True)
        except (Exception, OutOfTime) as e:  # pylint: disable=broad-except
            failed.append(test.__name__)
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL  {test.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
            if isinstance(e, OutOfTime):
                break
    if failed:
        for node in Node.launched:
            node.kill9()
        print(f"{len(failed)} failed: {' '.join(failed)}", flush=True)
        os._exit(1)  # threads of a test that failed may wait for ever
    sys.exit(SKIP_CODE if skipped and ran == 0 else 0)
