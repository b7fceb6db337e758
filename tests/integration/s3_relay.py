"""A relay in front of an S3 server: it counts what a node sends, and breaks the way on command.

    with Minio(folder) as s3, Relay(s3.port) as relay:
        node: s3_bucket = relay.url(s3.bucket, "prefix")       # signatures stay good: Host is the relay's
        mark = relay.mark(); ...; relay.count("PUT", since=mark)
        relay.cut("refuse" | "hang_up" | "blackhole"); ...; relay.mend()
        relay.answer(503, "SlowDown", op="PUT"); relay.lose_answers(op="PUT", times=1)
        relay.call(node.kill9, "before" | "after", key="/root$", op="PUT", times=1)
        relay.delay(2), relay.truncate(), relay.reset(), relay.distort(function), each with chance=lambda: rng.random() < 0.1

The store is whatever listens at its port on loopback when a request comes. Threads of this process; by hand it runs its
own tests.
"""
import collections
import re
import socket
import struct
import threading
import time
import urllib.parse

MODES = ("pass", "refuse", "hang_up", "blackhole")
HEAD_BYTES_MAX = 1 << 16


class Seen(collections.namedtuple("Seen", "at op key query condition status sent received fate")):
    """One request. op: PUT, GET, LIST, HEAD, DELETE, POST. condition: "", if_absent, if_match, if_changed. sent and
    received: bytes of bodies. fate: answered (by the store), distorted, answered_here, lost (done, and nobody was told, or not all of
    it), dropped (never reached the store)."""


class Rule:
    """What happens to requests that match, so many times."""

    def __init__(self, what, op=None, key=None, condition=None, times=None, skip=0, status=0, code="", function=None, seconds=0,
                 chance=None):
        self.what, self.op, self.condition, self.times, self.skip = what, op, condition, times, skip
        self.function, self.seconds = function, seconds
        self.chance = chance  # () -> does it happen to this one?
        self.key = re.compile(key) if key else None
        self.status, self.code = status, code
        self.hits = 0

    def takes(self, op, key, condition):
        if self.times is not None and self.hits >= self.times:
            return False
        if self.op is not None and op != self.op or self.condition is not None and condition != self.condition:
            return False
        if self.key is not None and not self.key.search(key):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.chance is not None and not self.chance():
            return False
        self.hits += 1
        return True


class _Head:
    """A request's or answer's first line and headers, with the bytes they came as."""

    def __init__(self, file):
        self.raw, self.fields, self.first = b"", {}, ""
        while True:
            line = file.readline(HEAD_BYTES_MAX)
            if not line:
                raise EOFError
            self.raw += line
            if len(self.raw) > HEAD_BYTES_MAX:
                raise ValueError("a head of more than 64 KiB")
            text = line.decode("latin-1").rstrip("\r\n")
            if not self.first:
                self.first = text
            elif not text:
                return
            else:
                name, _, value = text.partition(":")
                self.fields[name.lower()] = value.strip()

    def body(self, file):
        """(bytes as they stand on the wire, how many of them are content)"""
        if "chunked" in self.fields.get("transfer-encoding", ""):
            raw, content = b"", 0
            while True:
                line = file.readline(HEAD_BYTES_MAX)
                size = int(line.split(b";")[0], 16)
                data = file.read(size + 2)
                raw, content = raw + line + data, content + size
                if size == 0:
                    return raw, content
        length = int(self.fields.get("content-length", 0))
        data = file.read(length)
        if len(data) != length:
            raise EOFError
        return data, length


def _describe(head):
    """(op, key, query, condition) of a request; the key as it stands behind the bucket."""
    method, target = head.first.split(" ")[:2]
    path, _, query = target.partition("?")
    key = urllib.parse.unquote(path.lstrip("/").partition("/")[2])
    op = "LIST" if method == "GET" and "list-type" in query else method
    if "if-match" in head.fields:
        condition = "if_match"
    elif "if-none-match" in head.fields:
        condition = "if_absent" if head.fields["if-none-match"] == "*" else "if_changed"
    else:
        condition = ""
    return op, key, query, condition


class Relay:
    """The relay; its port stays the same for its whole life."""

    def __init__(self, target):
        self.target = target
        self.mode = "pass"
        self.lock = threading.Lock()
        self.seen = []
        self.connects = 0  # accepted, in whatever mode
        self.under_way = 0
        self.rules = []
        self.clients = set()
        self.closing = False
        # Holds the port while nobody listens: a second socket there, which never does.
        self.holder = self._bind(0)
        self.port = self.holder.getsockname()[1]
        self.listener = None
        self._listen()

    # What a node is given.

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def url(self, bucket, prefix=""):
        return f"{self.endpoint}/{bucket}" + (f"/{prefix}" if prefix else "")

    # Breaking and mending.

    def cut(self, mode="refuse"):
        """From now on nothing passes; what is under way is cut, too."""
        assert mode in MODES[1:], mode
        with self.lock:
            self.mode = mode
            if mode == "refuse":
                self._close_listener()
            clients = list(self.clients) if mode != "blackhole" else []
        for sock in clients:
            _shut(sock)

    def mend(self):
        """Everything passes again, and no rule is left."""
        with self.lock:
            was, self.mode, self.rules = self.mode, "pass", []
            clients = list(self.clients) if was == "blackhole" else []
        for sock in clients:
            _shut(sock)
        if self.listener is None:
            self._listen()

    def answer(self, status, code, **match):
        """Requests that match are answered here with an error and never reach the store."""
        return self._rule(Rule("answer", status=status, code=code, **match))

    def lose_answers(self, **match):
        """The store does what is asked, and the connection ends before the answer."""
        return self._rule(Rule("lose", **match))

    def call(self, function, when="before", **match):
        """function() runs when a request that matches has come, before the store sees it or once the store has done it;
        nobody is told."""
        assert when in ("before", "after"), when
        return self._rule(Rule(when, function=function, **match))

    def delay(self, seconds, **match):
        """The store does it at once; the first byte of the answer comes so much later. seconds: a number or a function."""
        return self._rule(Rule("delay", seconds=seconds, **match))

    def truncate(self, **match):
        """The answer's head, half of its body, and the connection ends."""
        return self._rule(Rule("truncate", **match))

    def reset(self, **match):
        """The connection is reset before the store sees the request."""
        return self._rule(Rule("reset", **match))

    def distort(self, function, **match):
        """function(head, body) of the store's answer gives (head, body) as bytes that are sent instead, or None."""
        return self._rule(Rule("distort", function=function, **match))

    def _rule(self, rule):
        with self.lock:
            self.rules.append(rule)
        return rule

    def withdraw(self, rule):
        with self.lock:
            if rule in self.rules:  # mend() has forgotten it else
                self.rules.remove(rule)

    # Counting.

    def mark(self):
        with self.lock:
            return len(self.seen)

    def forget(self):
        """As if nothing had passed yet."""
        with self.lock:
            self.seen.clear()

    def requests(self, op=None, key=None, condition=None, status=None, fate=None, since=0):
        """What passed, without what a probe of the store tried itself on where no key is asked for."""
        with self.lock:
            seen = self.seen[since:]
        if key is None:
            seen = [s for s in seen if "probe/" not in s.key and "probe%2F" not in s.query]
        return [s for s in seen if (op is None or s.op == op) and (key is None or re.search(key, s.key))
                and (condition is None or s.condition == condition) and (status is None or s.status == status)
                and (fate is None or s.fate == fate)]

    def count(self, *args, **match):
        return len(self.requests(*args, **match))

    def sent_bytes(self, *args, **match):
        return sum(s.sent for s in self.requests(*args, **match))

    def table(self, since=0):
        """{"PUT if_absent 200": 12, ...}"""
        return dict(collections.Counter(" ".join(filter(None, [s.op, s.condition, str(s.status or s.fate)]))
                                        for s in self.requests(since=since)))

    def wait_quiet(self, seconds=0.5, limit=120):
        """Until nothing was under way for so long."""
        deadline = time.monotonic() + limit
        last, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            with self.lock:
                now, busy = len(self.seen), self.under_way
            if now != last or busy:
                last, since = now, time.monotonic()
            elif time.monotonic() - since >= seconds:
                return
            time.sleep(0.02)
        raise AssertionError(f"requests still come after {limit} s: {self.table()}")

    # The work.

    def _bind(self, port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def _listen(self):
        listener = self._bind(self.port)
        listener.listen(128)
        with self.lock:
            self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _close_listener(self):
        if self.listener is not None:
            _shut(self.listener)  # wakes accept(); a bare close would leave it waiting, and listening
            self.listener.close()
            self.listener = None

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connects += 1
                refused = self.mode in ("refuse", "hang_up") or self.closing
                if not refused:
                    self.clients.add(sock)
            if refused:
                sock.close()
            else:
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        store = _Store(self)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with sock.makefile("rb") as file:
                while self._one(sock, file, store):
                    pass
        except (OSError, EOFError, ValueError):
            pass
        finally:
            store.close()
            with self.lock:
                self.clients.discard(sock)
            sock.close()

    def _one(self, sock, file, store):
        """One request; False ends the connection."""
        head = _Head(file)
        with self.lock:
            self.under_way += 1
        try:
            return self._relay(sock, file, store, head)
        finally:
            with self.lock:
                self.under_way -= 1

    def _relay(self, sock, file, store, head):
        if head.fields.get("expect", "").lower() == "100-continue":
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, content = head.body(file)
        op, key, query, condition = _describe(head)

        def note(status, received, fate):
            with self.lock:
                self.seen.append(Seen(time.monotonic(), op, key, query, condition, status, content, received, fate))

        with self.lock:
            mode = self.mode
            rule = next((r for r in self.rules if r.takes(op, key, condition)), None)
        if mode != "pass":
            note(0, 0, "dropped")
            while mode == "blackhole" and self.mode == mode and not self.closing:
                time.sleep(0.02)
            return False
        if rule is not None and rule.what == "answer":
            text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{rule.code}</Code>'
                    f"<Message>as the test wants it</Message></Error>").encode()
            note(rule.status, 0, "answered_here")
            sock.sendall(f"HTTP/1.1 {rule.status} No\r\nContent-Type: application/xml\r\nContent-Length: "
                         f"{0 if op == 'HEAD' else len(text)}\r\n\r\n".encode() + (b"" if op == "HEAD" else text))
            return True
        if rule is not None and rule.what == "before":
            rule.function()
            note(0, 0, "dropped")
            return False
        if rule is not None and rule.what == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            note(0, 0, "dropped")
            return False
        try:
            status, answer, data, received = store.ask(head, body, op)
        except (OSError, EOFError, ValueError):
            note(0, 0, "dropped")
            return False
        if rule is not None and rule.what == "after":
            rule.function()
        if rule is not None and rule.what in ("lose", "after") or self.mode != "pass":
            note(status, received, "lost")
            return False
        if rule is not None and rule.what == "delay":
            time.sleep(rule.seconds() if callable(rule.seconds) else rule.seconds)
        if rule is not None and rule.what == "truncate" and data:
            note(status, received, "lost")
            sock.sendall(answer + data[:len(data) // 2])
            return False
        changed = rule.function(answer, data) if rule is not None and rule.what == "distort" and status in (200, 206) else None
        note(status, received, "distorted" if changed else "answered")
        sock.sendall(b"".join(changed or (answer, data)))
        return True

    def close(self):
        with self.lock:
            self.closing = True
            self._close_listener()
            clients = list(self.clients)
        for sock in clients:
            _shut(sock)
        self.holder.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Store:
    """One kept connection to the store."""

    def __init__(self, relay):
        self.relay, self.sock, self.file = relay, None, None

    def ask(self, head, body, op):
        """(status, the answer's head and body as they came, bytes of the body). A kept connection that has ended is opened anew
        once, which is only done where nothing came back."""
        for attempt in (0, 1):
            fresh = self.sock is None
            if fresh:
                self.sock = socket.create_connection(("127.0.0.1", self.relay.target), timeout=60)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.file = self.sock.makefile("rb")
            try:
                self.sock.sendall(_without_expect(head.raw) + body)
                answer = _Head(self.file)
                break
            except (OSError, EOFError):
                self.close()
                if fresh or attempt == 1:
                    raise
        status = int(answer.first.split(" ")[1])
        data, content = (b"", 0) if op == "HEAD" or status in (204, 304) else answer.body(self.file)
        if answer.fields.get("connection", "").lower() == "close":
            self.close()
        return status, answer.raw, data, content

    def close(self):
        if self.sock is not None:
            self.file.close()
            self.sock.close()
            self.sock = None


def _without_expect(raw):
    return re.sub(rb"(?im)^expect:.*\r\n", b"", raw, count=1)


def _shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


# Its own tests.


def _through(s3, relay):
    from s3_server import S3Client  # pylint: disable=import-outside-toplevel
    return S3Client(relay.port, s3.access, s3.secret, timeout=60)


def it_counts_what_passes():
    with Folder("relay") as folder, Minio(folder) as s3, Relay(s3.port) as relay:
        client, bucket = _through(s3, relay), s3.bucket
        large = bytes(range(256)) * 12288  # 3 MiB
        check(client.request("PUT", f"/{bucket}/a/1", body=large)[0] == 200, "a PUT passes, its signature is good")
        check(client.request("PUT", f"/{bucket}/a/1", body=b"x", headers={"if-none-match": "*"})[0] == 412, "a condition")
        check(client.request("GET", f"/{bucket}/a/1")[2] == large, "a GET gives the same bytes")
        check(client.request("GET", f"/{bucket}", {"list-type": 2, "prefix": "a/"})[0] == 200, "a listing")
        check(client.request("HEAD", f"/{bucket}/a/1")[0] == 200, "a HEAD")
        check(client.request("DELETE", f"/{bucket}/a/1")[0] == 204, "a DELETE")
        want = {"PUT 200": 1, "PUT if_absent 412": 1, "GET 200": 1, "LIST 200": 1, "HEAD 200": 1, "DELETE 204": 1}
        check(relay.table() == want, f"counted {relay.table()}")
        check(relay.sent_bytes("PUT", status=200) == len(large) and relay.requests("GET")[0].received == len(large),
              f"bytes: {relay.requests()}")
        check(relay.count("PUT", key="^a/1$") == 2, "the key stands behind the bucket")


def it_cuts_and_mends():
    with Folder("relay") as folder, Minio(folder) as s3, Relay(s3.port) as relay:
        client, path = _through(s3, relay), f"/{s3.bucket}/k"
        for mode in MODES[1:]:
            relay.cut(mode)
            client.timeout = 1
            try:
                client.request("PUT", path, body=mode.encode())
                raise AssertionError(f"{mode}: there was an answer")
            except (OSError, http.client.HTTPException) as e:
                check(isinstance(e, ConnectionRefusedError) == (mode == "refuse"), f"{mode}: {e!r}")
            relay.mend()
            client.timeout = 60
            check(client.request("PUT", path, body=b"back")[0] == 200, f"{mode}: after mending it passes")
            check(s3.get("k") == b"back", "what was cut has no effect")


def it_answers_and_loses_by_rule():
    with Folder("relay") as folder, Minio(folder) as s3, Relay(s3.port) as relay:
        client, path = _through(s3, relay), f"/{s3.bucket}/k"
        relay.answer(503, "SlowDown", op="PUT", times=2)
        said = [client.request("PUT", path, body=b"1")[0] for _ in range(3)]
        check(said == [503, 503, 200], f"two are refused: {said}")
        relay.lose_answers(op="PUT", key="k$", times=1)
        try:
            client.request("PUT", path, body=b"2")
            raise AssertionError("there was an answer")
        except (OSError, http.client.HTTPException):
            pass
        check(s3.get("k") == b"2", "it had its effect")
        check(relay.count(fate="lost") == 1 and relay.count(fate="answered_here") == 2, f"{relay.table()}")


def it_calls_at_a_request():
    with Folder("relay") as folder, Minio(folder) as s3, Relay(s3.port) as relay:
        client, path, called = _through(s3, relay), f"/{s3.bucket}/k", []
        for when, there in (("before", b"0"), ("after", b"after")):
            s3.put("k", b"0")
            relay.call(lambda: called.append(1), when, op="PUT", times=1, skip=1)
            check(client.request("PUT", path, body=b"0")[0] == 200, "the first is passed over")
            try:
                client.request("PUT", path, body=when.encode())
                raise AssertionError("there was an answer")
            except (OSError, http.client.HTTPException):
                pass
            check(s3.get("k") == there, f"{when} the store has done it")
            relay.mend()
        check(len(called) == 2, f"{len(called)} calls")


if __name__ == "__main__":
    import http.client

    from s3_server import Minio
    from support import Folder, check, main
    main(it_counts_what_passes, it_cuts_and_mends, it_answers_and_loses_by_rule, it_calls_at_a_request)
