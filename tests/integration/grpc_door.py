"""The gRPC door from outside: Google's client (grpcio) on it, and frames of HTTP/2 that nobody should send.

    python3 tests/integration/grpc_door.py [--seed S] [--seconds N] [name of a test below ...]
"""
import os
import signal
import socket
import struct
import sys
import threading
import time

import clients_install

try:
    import grpc
except ImportError:  # the python of the clients has it; it runs this again
    os.execv(clients_install.python(), [clients_install.python(), *sys.argv])  # by its path: a venv is known by it

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402
from qdrant_client import grpc as q  # noqa: E402

import support  # noqa: E402
from support import Folder, Node, check, refusing_port, resident_bytes  # noqa: E402

SEED = support.take_seed()
SECONDS = support.take_option("--seconds", 3)
HEALTH = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
Code = grpc.StatusCode


class Door:
    """A node with a gRPC port, and a channel to it."""

    def __init__(self, *args, binary=None):
        self.folder = Folder("grpc")
        self.node = Node(str(self.folder.path), args=args, binary=binary)
        self.node.grpc_port = refusing_port()

    def __enter__(self):
        self.folder.__enter__()
        self.node.start()
        self.channel = self.open()
        return self

    def open(self, *options):
        return grpc.insecure_channel(f"127.0.0.1:{self.node.grpc_port}",
                                     options=[("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1), *options])

    def call(self, path, message=b"", **more):
        return self.channel.unary_unary(path)(message, **{"timeout": 120, **more})

    def __exit__(self, kind, value, trace):
        self.channel.close()
        self.node.__exit__(kind, value, trace)
        self.folder.__exit__(kind, value, trace)


def refused(code, part, what, *args, **more):
    try:
        what(*args, **more)
    except grpc.RpcError as e:
        check(e.code() == code and part in e.details(), f"{e.code()} {e.details()!r}, not {code} {part!r}")
        return e
    raise AssertionError(f"not refused with {code}")


def points(ids, dim=8):
    return [q.PointStruct(id=q.PointId(num=i), vectors=q.Vectors(vector=q.Vector(data=[float((i * 7 + d) % 13) for d in range(dim)])))
            for i in ids]


def make(door, dim=8):
    q.CollectionsStub(door.channel).Create(q.CreateCollection(
        collection_name="c", vectors_config=q.VectorsConfig(params=q.VectorParams(size=dim, distance=q.Distance.Euclid))), timeout=120)
    return q.PointsStub(door.channel)


def health_is_what_ready_is_and_a_watch_hears_the_end():
    with Door() as door:
        check(door.call(HEALTH) == SERVING, "Check")
        check(door.call(HEALTH, b"\x0a\x0dqdrant.Points") == SERVING, "Check of a service")
        refused(Code.NOT_FOUND, "service", door.call, HEALTH, b"\x0a\x01x")
        heard = door.channel.unary_stream(WATCH)(b"")
        check(next(heard) == SERVING, "Watch")
        door.node.signal(signal.SIGTERM)
        check(next(heard) == NOT_SERVING, "Watch at the end")
        refused(Code.UNAVAILABLE, "shutting down", next, heard)
        check(door.node.wait_exit() == 0, "the end of the node")


def what_is_no_call_is_refused_and_the_channel_goes_on():
    with Door() as door:
        refused(Code.UNIMPLEMENTED, "/a.B/C", door.call, "/a.B/C", b"x")
        long = refused(Code.RESOURCE_EXHAUSTED, "the limit is 33554432", door.call, "/qdrant.Points/Upsert", bytes(33554433))
        check(any(k == "x-request-id" for k, _ in long.trailing_metadata()), "no x-request-id")
        refused(Code.UNIMPLEMENTED, "identity", door.call, HEALTH, b"", compression=grpc.Compression.Gzip)
        refused(Code.INVALID_ARGUMENT, "", door.call, "/qdrant.Points/Upsert", b"\xff\xff\xff")
        for _ in range(3):
            check(door.call(HEALTH) == SERVING, "after refusals")


def thousands_of_calls_on_one_connection():
    with Door() as door:
        stub = make(door)
        began = time.monotonic()
        calls = [stub.Upsert.future(q.UpsertPoints(collection_name="c", wait=i % 2 == 0, points=points([i])), timeout=240) for i in range(3000)]
        for c in calls:
            c.result()
        got = stub.Count(q.CountPoints(collection_name="c", exact=True), timeout=120).result.count
        check(got == 3000, f"{got} points of 3000")
        check(door.node.client().collection("c")["document_count"] == 3000, "REST sees something else")
        found = stub.Query(q.QueryPoints(collection_name="c", query=q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * 8))), limit=5),
                           timeout=120).result
        check(len(found) == 5, f"{len(found)} found")
        print(f"      3000 upserts at once in {time.monotonic() - began:.2f} s")


def who_cancels_or_does_not_wait_breaks_nothing():
    with Door() as door:
        stub = make(door)
        kept = []
        for i in range(600):
            call = stub.Upsert.future(q.UpsertPoints(collection_name="c", wait=True, points=points([i])), timeout=120)
            if i % 3:
                call.cancel()
            else:
                kept.append(call)
        for call in kept:
            call.result()
        for _ in range(50):
            try:
                stub.Count(q.CountPoints(collection_name="c", exact=True), timeout=0.0005)
            except grpc.RpcError as e:
                check(e.code() == Code.DEADLINE_EXCEEDED, f"{e.code()} {e.details()}")
        got = stub.Count(q.CountPoints(collection_name="c", exact=True), timeout=120).result.count
        check(200 <= got <= 600, f"{got} points")


def a_drain_under_load_loses_nothing():
    with Door() as door:
        stub = make(door)
        acknowledged, strange, stop = [], [], threading.Event()

        def write(first):
            at = first
            while not stop.is_set():
                try:
                    stub.Upsert(q.UpsertPoints(collection_name="c", wait=True, points=points([at])), timeout=120)
                    acknowledged.append(at)
                except grpc.RpcError as e:
                    if e.code() != Code.UNAVAILABLE:
                        strange.append(f"{e.code()} {e.details()}")
                    return
                at += 4

        writers = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for w in writers:
            w.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) <= 100 and time.monotonic() < deadline and not strange:
            time.sleep(0.01)
        door.node.signal(signal.SIGTERM)
        check(door.node.wait_exit() == 0, "the end of the node")
        stop.set()
        for w in writers:
            w.join()
        check(not strange, f"neither done nor UNAVAILABLE: {strange[:3]}")
        door.node.start()
        count = door.node.client().collection("c")["document_count"]
        check(count >= len(acknowledged) > 10, f"{count} of {len(acknowledged)} acknowledged points")


def a_port_in_use_is_named_and_the_default_is_a_wish():
    with Folder("grpc") as folder, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node = Node(folder)
        node.grpc_port = taken.getsockname()[1]
        node.launch()
        check(node.wait_exit() == 1, "a node on a port in use")
        check("grpc_port = 0 for no gRPC" in node.log_text(), node.log_text())
        default = socket.socket()
        default.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:  # somebody else may have it: that is as good
            default.bind(("127.0.0.1", 9090))
            default.listen()
        except OSError:
            pass
        with default, Node(folder) as node:
            node.start(command_without_port(node))
            check("starts without gRPC" in node.log_text(), node.log_text())
            node.stop()


def command_without_port(node):
    """`serve` as nobody configured it: the flag of support.py is taken out again."""
    whole = node.command

    def command(more=()):
        said = whole(more)
        at = said.index("--grpc-port")
        return said[:at] + said[at + 2:]
    node.command = command
    return ()


def wire(number, data):
    """A field of bytes in protobuf's wire format."""
    return bytes([number << 3 | 2, len(data)]) + data


def a_client_without_our_files_learns_them():
    """By reflection: every service resolves, with all that its messages name, and can then be called."""
    for version in ("v1", "v1alpha"):
        with Door() as door:
            asked = []
            info = door.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")

            def ask(number, name, info=info, asked=asked):
                asked.append(name)
                said = dict(fields(next(info(iter([wire(number, name.encode())])))))
                check(said[2] == wire(number, name.encode()), f"original_request of {name}")
                return said
            names = [f[1] for f in fields_of(ask(7, "")[6], 1)]
            check({b"qdrant.Points", b"qdrant.Collections", b"grpc.health.v1.Health", b"akidb.collection.v1.CollectionService"} <= set(names), f"{names}")
            pool = descriptor_pool.DescriptorPool()

            def learn(text, pool=pool, ask=ask):
                file = descriptor_pb2.FileDescriptorProto.FromString(dict(fields(text))[1])
                for needed in file.dependency:
                    if needed not in asked:
                        learn(ask(3, needed)[4])
                pool.Add(file)
                return file
            for name in names:
                if learned(pool, name.decode()):
                    continue
                learn(ask(4, name.decode())[4])
            for name in names:
                check(learned(pool, name.decode()).methods, f"{name} has no methods")
            for symbol in ("qdrant.PointStruct", ".qdrant.Points.Upsert", "qdrant.Distance.Cosine", "qdrant.PointStruct.id",
                           "grpc.health.v1.HealthCheckResponse.ServingStatus"):
                check(4 in ask(4, symbol), f"{symbol} is not found")
            for number, name in ((4, "qdrant.Nope"), (4, "qdrant"), (4, "qdrant."), (4, ""), (4, "."), (4, "qdrant.PointStruct.id.x"), (3, "x.proto"),
                                 (5, ""), (6, "x")):
                check(7 in ask(number, name), f"{name!r} was found")
            # What was learned is enough for a call.
            answer = message_factory.GetMessageClass(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse"))
            check(answer.FromString(door.call(HEALTH)).status == 1, "a call by what was learned")
            refused(Code.INVALID_ARGUMENT, "ServerReflectionRequest", next, info(iter([b"\xff"])))


def learned(pool, name):
    try:
        return pool.FindServiceByName(name)
    except KeyError:
        return None


def fields(data):
    """(number, bytes) of each field that holds bytes; the numbers among them are left out."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            yield tag >> 3, data[at:at + value]
            at += value


def fields_of(data, number):
    return [dict(fields(v)) for n, v in fields(data) if n == number]


# --- frames by hand ---

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
CALM = 11


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(path, *more):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), (b"te", b"trailers"),
              (b"content-type", b"application/grpc"), *more]
    return b"".join(literal(n, v) for n, v in fields)


class Raw:
    def __init__(self, door, settings=b"", preface=PREFACE, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", door.node.grpc_port), timeout)
        self.socket.sendall(preface + (frame(SETTINGS, 0, 0, settings) if preface == PREFACE else b""))
        self.got = b""

    def send(self, data):
        """False when the other side has closed."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def frames(self):
        """Every frame until the end of the connection."""
        while True:
            while len(self.got) < 9 or len(self.got) < 9 + int.from_bytes(self.got[:3], "big"):
                try:
                    more = self.socket.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    return
                self.got += more
            size = int.from_bytes(self.got[:3], "big")
            yield self.got[3], self.got[4], int.from_bytes(self.got[5:9], "big"), self.got[9:9 + size]
            self.got = self.got[9 + size:]

    def goaway(self):
        """The code of the GOAWAY before the end; None: there was none."""
        code = None
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
        return code

    def close(self):
        self.socket.close()


def flooded(door, what, one, many, begin=b""):
    """Sends one(i) until the node has enough; it has to say so, and to serve others meanwhile."""
    raw = Raw(door)
    raw.send(begin)
    told = []
    reader = threading.Thread(target=lambda: told.append(raw.goaway()))
    reader.start()
    for i in range(0, many, 50):
        if not raw.send(b"".join(one(k) for k in range(i, i + 50))):
            break
        check(door.call(HEALTH) == SERVING, f"{what}: others are not served") if i % 1000 == 0 else None
    reader.join(60)
    check(not reader.is_alive(), f"{what}: the connection goes on")
    raw.close()
    # A reset may overtake the GOAWAY: then the end alone is seen.
    check(told and told[0] in (CALM, None), f"{what}: GOAWAY {told}")
    door.node.check_alive(what)
    return told[0]


def floods_end_their_connection_and_no_other():
    with Door() as door:
        get = head(HEALTH.encode())
        calmed = [
            flooded(door, "rapid reset", lambda i: frame(HEADERS, 4, 2 * i + 1, get) + frame(RST, 0, 2 * i + 1, b"\0\0\0\x08"), 100000),
            flooded(door, "bad heads", lambda i: frame(HEADERS, 5, 2 * i + 1, literal(b"x", b"y")), 100000),
            flooded(door, "pings", lambda i: frame(PING, 0, 0, b"12345678"), 100000),
            flooded(door, "settings", lambda i: frame(SETTINGS, 0, 0, b""), 100000),
            flooded(door, "window updates", lambda i: frame(WINDOW, 0, 0, b"\0\0\0\1"), 100000),
            flooded(door, "empty data", lambda i: frame(DATA, 0, 1), 100000, frame(HEADERS, 4, 1, get)),
        ]
        check(calmed.count(CALM) >= 4, f"few were told why: {calmed}")
        raw = Raw(door)
        raw.send(frame(HEADERS, 1, 1, get))
        while raw.send(frame(CONTINUATION, 0, 1, literal(b"a", b"b")) * 100):
            pass
        raw.close()
        text = door.node.client().get("/metrics").decode()
        check("tiervec_grpc_requests_total" in text, "no meters")
        check(door.call(HEALTH) == SERVING, "after floods")


def who_says_nothing_or_half_is_let_go():
    with Door("--set", "server.timeout_seconds=2") as door:
        get = head(HEALTH.encode())
        silent = {
            "nothing at all": Raw(door, preface=b""),
            "half a preface": Raw(door, preface=PREFACE[:10]),
            "a preface without settings": Raw(door, preface=PREFACE + b"\0\0"),
            "half a head": Raw(door),
        }
        silent["half a head"].send(frame(HEADERS, 5, 1, get)[:-3])
        began = time.monotonic()
        for what in ("nothing at all", "half a preface", "a preface without settings"):
            silent[what].goaway()
            check(time.monotonic() - began < 55, f"{what}: still open")
        half = Raw(door)
        half.send(frame(HEADERS, 4, 1, head(b"/qdrant.Points/Upsert")) + frame(DATA, 0, 1, b"\0\0\0\x10\0" + bytes(100)))
        for kind, flags, stream, _ in half.frames():
            if stream == 1 and kind == HEADERS and flags & 1:
                break
        check(time.monotonic() - began < 110, "half a message is waited for")
        for raw in (*silent.values(), half):
            raw.close()
        wrong = Raw(door, preface=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b""
        while more := wrong.socket.recv(1000):
            text += more
        wrong.close()
        check(b"rest_port" in text, f"HTTP/1.1 on the port: {text!r}")
        check(door.call(HEALTH) == SERVING, "afterwards")


def windows_that_never_open_hold_little():
    """720 MB of answers to clients that take nothing: bounded by time and by bytes, which are 256 MiB and what is made of them meanwhile. A
    sanitizer keeps what was freed for a while."""
    with open(support.program(), "rb") as f:
        bound = (1300 if b"__asan_init" in f.read() else 600) << 20
    with Door("--set", "server.timeout_seconds=3") as door:
        stub = make(door, 1536)
        stub.Upsert(q.UpsertPoints(collection_name="c", wait=True, points=points(range(200), 1536)), timeout=120)
        message = q.ScrollPoints(collection_name="c", limit=200, with_vectors=q.WithVectorsSelector(enable=True)).SerializeToString()
        ask = b"\0" + struct.pack(">I", len(message)) + message
        before = resident_bytes(door.node.process.pid)
        deaf = []
        for _ in range(20):
            raw = Raw(door, settings=struct.pack(">HI", 4, 0))  # INITIAL_WINDOW_SIZE 0
            for i in range(30):
                raw.send(frame(HEADERS, 4, 2 * i + 1, head(b"/qdrant.Points/Scroll")) + frame(DATA, 1, 2 * i + 1, ask))
            deaf.append(raw)
        worst, until = 0, time.monotonic() + 5
        while time.monotonic() < until:
            worst = max(worst, resident_bytes(door.node.process.pid) - before)
            check(door.call(HEALTH) == SERVING, "others are not served")
            time.sleep(0.1)
        check(worst < bound, f"{worst >> 20} MiB for answers nobody takes")
        for raw in deaf:
            raw.close()
        check(len(stub.Scroll(q.ScrollPoints(collection_name="c", limit=200), timeout=120).result) == 200, "afterwards")
        print(f"      600 answers nobody takes: {worst >> 20} MiB at most")


def random_frames_break_nothing():
    rng = support.random.Random(SEED)
    with Door() as door:
        until, count = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            raw = Raw(door, timeout=5)
            for _ in range(rng.randrange(1, 30)):
                kind = rng.choice([DATA, HEADERS, HEADERS, 2, RST, SETTINGS, 5, PING, GOAWAY, WINDOW, CONTINUATION, rng.randrange(256)])
                payload = rng.choice([head(HEALTH.encode()), rng.randbytes(rng.randrange(40)), b"\0\0\0\0\0", bytes(rng.choice([4, 5, 8]))])
                data = frame(kind, rng.choice([0, 1, 4, 5, rng.randrange(256)]), rng.choice([0, 1, 1, 3, 5, rng.getrandbits(32)]), payload)
                if rng.random() < 0.1:
                    data = data[:rng.randrange(len(data))]
                count += 1
                if not raw.send(data):
                    break
            raw.close()
        door.node.check_alive(f"after {count} random frames")
        check(door.call(HEALTH) == SERVING, "after random frames")
        print(f"      {count} random frames")


if __name__ == "__main__":
    support.main(health_is_what_ready_is_and_a_watch_hears_the_end, what_is_no_call_is_refused_and_the_channel_goes_on,
                 thousands_of_calls_on_one_connection, who_cancels_or_does_not_wait_breaks_nothing, a_drain_under_load_loses_nothing,
                 a_port_in_use_is_named_and_the_default_is_a_wish, a_client_without_our_files_learns_them, floods_end_their_connection_and_no_other,
                 who_says_nothing_or_half_is_let_go, windows_that_never_open_hold_little, random_frames_break_nothing)
