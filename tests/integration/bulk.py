"""`tiervec import` and `tiervec export`: what goes in comes out, from every format, in bounded memory, cut off and resumed."""
import array
import json
import os
import re
import signal
import struct
import subprocess
import time

from support import Folder, Node, check, f32, main, program, random_vector, refusing_port, take_seed
import random

SEED = take_seed()
DIM = 8


def tiervec(node, *words, code=0, wait=True, **more):
    env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port if node else refusing_port()}"}
    run = subprocess.Popen([program(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **more)
    if not wait:
        return run
    out, err = run.communicate(timeout=300)
    check(run.returncode == code, f"tiervec {' '.join(words)}: {run.returncode}, not {code}\n{out[-500:]}{err[-2000:]}")
    check("\r" not in err and "\x1b" not in err, f"progress where there is no terminal: {err!r}")
    return out, err


def documents(rng, count):
    for i in range(count):
        doc = {"doc_id": i if i % 3 else f"00000000-0000-4000-8000-{i:012x}", "vector": random_vector(rng, DIM)}
        if i % 4:
            doc["payload"] = {"n": i, "text": "é\n\"" * (i % 5), "deep": [{"a": None, "b": i / 7}]}
        if i % 5 == 0:
            doc["external_id"] = f"x{i}"
        yield doc


def write_lines(path, docs):
    with open(path, "w", encoding="utf-8") as f:
        for doc in docs:
            f.write(json.dumps(doc, ensure_ascii=bool(len(doc) % 2)) + "\n")


def state_of(client, name):
    return {json.dumps(d["doc_id"]): (d["external_id"], [f32(x) for x in d["vector"]], d["payload"]) for d in client.documents(name)}


def what_is_exported_is_what_was_imported():
    rng = random.Random(SEED)
    with Folder("bulk") as folder, Node(folder) as node:
        client = node.start().client()
        docs = list(documents(rng, 5000))
        path, back = os.path.join(folder, "in.ndjson"), os.path.join(folder, "out.ndjson")
        write_lines(path, docs)
        for name in ("a", "b"):
            client.create(name, DIM)
        out, _ = tiervec(node, "import", path, "--collection", "a", "--json", "--batch", "700")
        check(json.loads(out)["imported"] == 5000, out)
        want = {json.dumps(d["doc_id"]): (d.get("external_id"), d["vector"], d.get("payload", {})) for d in docs}
        check(state_of(client, "a") == want, "another state than was imported")
        out, _ = tiervec(node, "export", "a", back, "--json")
        check(json.loads(out)["exported"] == 5000, out)
        out, _ = tiervec(node, "import", back, "--collection", "b", "--quiet")
        check(out == "", out)
        check(state_of(client, "b") == want, "another state than was exported")
        out, _ = tiervec(node, "export", "b")
        with open(back, encoding="utf-8") as f:
            check(out == f.read(), "standard output has something else than the file")
        node.stop()


def arrays_are_imported_row_by_row():
    rng = random.Random(SEED)
    rows = [random_vector(rng, DIM) for _ in range(2500)]
    flat = array.array("f", [x for row in rows for x in row])
    with Folder("bulk") as folder, Node(folder) as node:
        client = node.start().client()
        head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2500, 8), }"
        head += " " * (117 - len(head)) + "\n"
        fvecs = b"".join(struct.pack("<i", DIM) + struct.pack(f"<{DIM}f", *row) for row in rows)
        files = {"a.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + flat.tobytes(), "a.fvecs": fvecs}
        for at, (name, data) in enumerate(files.items()):
            client.create(f"c{at}", DIM)
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(data)
            tiervec(node, "import", path, "--collection", f"c{at}")
            got = {d["doc_id"]: [f32(x) for x in d["vector"]] for d in client.documents(f"c{at}")}
            check(got == dict(enumerate(rows)), f"{name}: other rows")
            for cut in (3, 9, 40, len(data) - 1):  # a file that is cut off is refused, and nothing of it is written
                with open(path, "wb") as f:
                    f.write(data[:cut])
                tiervec(node, "import", path, "--collection", f"c{at}", code=1)
        wrong = os.path.join(folder, "wrong.fvecs")
        with open(wrong, "wb") as f:
            f.write(struct.pack("<i2f", 2, 1, 2))
        _, err = tiervec(node, "import", wrong, "--collection", "c0", code=1)
        check("dimension is 8" in err, err)
        node.stop()


def a_qdrant_is_imported_by_scroll():
    """The other server is a node of ours: the real one is in the tests with clients."""
    rng = random.Random(SEED)
    with Folder("bulk") as folder, Folder("bulk") as other, Node(folder) as node, Node(other) as there:
        client, source = node.start().client(), there.start().client()
        source.ok("PUT", "/collections/src", {"vectors": {"size": DIM, "distance": "Dot"}})
        points = [{"id": i if i % 2 else f"00000000-0000-4000-8000-{i:012x}", "vector": random_vector(rng, DIM),
                   "payload": {"n": i, "l": [1.5, None, {"x": "y"}]}} for i in range(2503)]
        source.ok("PUT", "/collections/src/points?wait=true", {"points": points})
        url = f"http://127.0.0.1:{there.port}"
        out, _ = tiervec(node, "import", "qdrant", url, "--collection", "src", "--into", "dst", "--json", "--batch", "500")
        check(json.loads(out)["imported"] == 2503, out)
        check(client.collection("dst")["metric"] == "dot", "another metric")
        want = {json.dumps(p["id"]): (None, p["vector"], p["payload"]) for p in points}
        check(state_of(client, "dst") == want, "other points")
        tiervec(node, "import", "qdrant", url, "--collection", "none", code=3)
        tiervec(node, "import", "qdrant", f"http://127.0.0.1:{refusing_port()}", "--collection", "src", code=5)
        node.stop()
        there.stop()


def a_run_that_was_cut_off_goes_on():
    rng = random.Random(SEED)
    with Folder("bulk") as folder, Node(folder) as node:
        client = node.start().client()
        docs = list(documents(rng, 8000))
        path, back = os.path.join(folder, "in.ndjson"), os.path.join(folder, "out.ndjson")
        write_lines(path, docs)
        client.create("a", DIM)
        state = path + ".import-state"
        for kill in (signal.SIGKILL, signal.SIGTERM):
            run = tiervec(node, "import", path, "--collection", "a", "--resume", "--batch", "50", wait=False)
            begun = json.load(open(state, encoding="utf-8"))["count"] if os.path.exists(state) else 0
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and run.poll() is None:
                if os.path.exists(state) and json.load(open(state, encoding="utf-8"))["count"] > begun + 400:
                    break
                time.sleep(0.002)
            run.send_signal(kill)
            run.communicate()
            check(os.path.exists(state), "nothing was kept of where it was")
        at = json.load(open(state, encoding="utf-8"))["count"]
        check(at >= 800, f"only {at} were in")
        before = client.collection("a")["last_lsn"]
        out, _ = tiervec(node, "import", path, "--collection", "a", "--resume", "--batch", "50", "--json")
        check(json.loads(out)["imported"] == 8000 and not os.path.exists(state), out)
        records = client.collection("a")["last_lsn"] - before
        check(records <= (8000 - at) / 50 + 2, f"{records} records for {8000 - at} documents: it began anew")
        check(len(state_of(client, "a")) == 8000, "documents are missing")
        # Of another collection the place is not taken.
        client.create("b", DIM)
        with open(state, "w", encoding="utf-8") as f:
            json.dump({"source": path, "target": client.collection("a")["collection_id"], "at": 100, "count": 1}, f)
        tiervec(node, "import", path, "--collection", "b", "--resume", code=4)
        os.unlink(state)
        run = tiervec(node, "export", "a", back, "--resume", wait=False)
        while run.poll() is None and not (os.path.exists(back + ".export-state")):
            time.sleep(0.001)
        run.kill()
        run.communicate()
        with open(back, "a", encoding="utf-8") as f:
            f.write("{\"half a li")
        tiervec(node, "export", "a", back, "--resume")
        with open(back, encoding="utf-8") as f:
            got = [json.loads(line)["doc_id"] for line in f]
        check(len(got) == 8000 and set(map(str, got)) == {str(d["doc_id"]) for d in docs}, f"{len(got)} lines")
        node.stop()


def failures_say_where_and_by_their_code():
    with Folder("bulk") as folder, Node(folder) as node:
        client = node.start().client()
        client.create("a", DIM)
        path = os.path.join(folder, "in.ndjson")
        good = json.dumps({"doc_id": 1, "vector": [1] * DIM})
        for bad, part in (('{"doc_id":2', "byte"), ("[]", "no JSON object"), (f"{good},{good}", "byte"),
                          ('{"doc_id":2,"vector":[1]}', "documents[1]"), ('{"doc_id":2,"vecctor":[1]}', "vecctor")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"{good}\n\n{bad}\n")
            _, err = tiervec(node, "import", path, "--collection", "a", code=1)
            check(part in err and err.startswith("error: "), f"{bad}: {err}")
        tiervec(node, "import", path, "--collection", "none", code=3)
        tiervec(node, "import", os.path.join(folder, "none"), "--collection", "a", code=3)
        tiervec(node, "import", path, code=2)
        tiervec(node, "import", path, "--collection", "a", "--batch", "0", code=2)
        tiervec(node, "import", path, "--collection", "a", "--format", "csv", code=2)
        tiervec(None, "import", path, "--collection", "a", code=5)
        tiervec(node, "export", "none", code=3)
        tiervec(node, "export", "a", os.path.join(folder, "no", "such"), code=1)
        tiervec(None, "export", "a", code=5)
        node.stop()


def memory_stays_what_a_batch_takes():
    with Folder("bulk") as folder, Node(folder) as node:
        client = node.start().client()
        client.create("a", 256)
        path = os.path.join(folder, "in.fvecs")
        rng = random.Random(SEED)
        row = [f32(rng.uniform(-1, 1)) for _ in range(256)]
        with open(path, "wb") as f:  # 12 MiB of floats, several times that as text
            for i in range(12000):
                row[i % 256] = i % 97
                f.write(struct.pack("<i256f", 256, *row))
        run = tiervec(node, "import", path, "--collection", "a", wait=False)
        most = 0
        while run.poll() is None:
            try:
                with open(f"/proc/{run.pid}/status", encoding="ascii") as f:
                    most = max(most, int((re.search(r"VmRSS:\s+(\d+)", f.read()) or [0, 0])[1]))
            except OSError:
                pass
            time.sleep(0.01)
        out, err = run.communicate()
        check(run.returncode == 0, err)
        print(f"{out.strip()}; the program had {most >> 10} MiB", flush=True)
        check(most < 100 << 10, f"{most >> 10} MiB")
        node.stop()


if __name__ == "__main__":
    main(what_is_exported_is_what_was_imported, arrays_are_imported_row_by_row, a_qdrant_is_imported_by_scroll,
         a_run_that_was_cut_off_goes_on, failures_say_where_and_by_their_code, memory_stays_what_a_batch_takes)
