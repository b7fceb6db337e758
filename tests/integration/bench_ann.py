"""`tiervec bench ann`, as a suite drives it: an answer a line, each in a file of its own, ids against an exact search.

    python3 tests/integration/bench_ann.py [--seed N] [name of a test below ...]
"""
import math
import os
import random
import stat
import struct
import subprocess

import support
from support import Folder, check, program, random_vector

SEED = support.take_seed()
ROWS, QUERIES, DIM, K = 400, 20, 8, 10


class Bench:
    """The command with its pipes; killed when it is left behind."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.process = subprocess.Popen([program(), "bench", "ann", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd=folder, env={**os.environ, "TMPDIR": folder})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        return self.process.stdout.readline().decode()

    def ask(self, line):
        """The next answer; standard input stays open, so it has to come by itself."""
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        words = self.line().rstrip("\n").split(" ", 4)
        check(len(words) == 5, f"{line!r} was answered with {words}")
        qps, p50, p95, p99 = map(float, words[:4])
        check(qps > 0 and 0 < p50 <= p95 <= p99, f"{line!r}: {words}")
        return words[4]

    def end(self, code):
        out, err = self.process.communicate(timeout=240)
        check(self.process.returncode == code, f"ended with {self.process.returncode}: {err}")
        check(out == b"", f"more than was asked for: {out}")
        return err.decode()


def npy_bytes(rows, descr="<f4", order="False", shape=None):
    head = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape or (len(rows), DIM)}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + b"".join(
        struct.pack(f"<{DIM}f", *r) for r in rows)


def make(folder):
    rng = random.Random(SEED)
    base, query = ([random_vector(rng, DIM) for _ in range(n)] for n in (ROWS, QUERIES))
    for name, rows in (("base.npy", base), ("query.npy", query)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(npy_bytes(rows))
    return base, query


def read_ids(path):
    with open(path, "rb") as f:
        data = f.read()
    check(len(data) == 4 * K * QUERIES, f"{path} has {len(data)} bytes")
    ids = struct.unpack(f"<{K * QUERIES}i", data)
    return [ids[i:i + K] for i in range(0, len(ids), K)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


DISTANCES = {"l2": lambda a, b: math.dist(a, b), "dot": lambda a, b: -dot(a, b),
             "cosine": lambda a, b: -dot(a, b) / math.hypot(*a) / math.hypot(*b)}


def recall(found, base, query, metric):
    right = 0
    for ids, q in zip(found, query):
        best = sorted(range(ROWS), key=lambda i: DISTANCES[metric](q, base[i]))[:K]
        right += len(set(ids) & set(best))
    return right / K / QUERIES


def each_line_is_answered_when_it_comes():
    with Folder("bench") as folder:
        base, query = make(folder)
        for metric in DISTANCES:
            with Bench(folder, "base.npy", "query.npy", metric, "8", "64", "2", "--quantization", "none") as bench:
                ready, seconds, size = bench.line().split()
                check(ready == "READY" and float(seconds) > 0 and int(size) > ROWS * DIM * 4, f"{ready} {seconds} {size}")
                paths = [bench.ask(line) for line in ("100 2\n", "10 1\n", "  64\t3 \r\n", "\n100 1\n")]
                check(len(set(paths)) == len(paths), f"files are used twice: {paths}")
                check(bench.end(0) == "", "something on standard error")
            check(all(os.path.dirname(p) == folder for p in paths), f"not in TMPDIR: {paths}")
            check(all(stat.S_IMODE(os.stat(p).st_mode) == 0o600 for p in paths), "others may read the files")
            found = [read_ids(p) for p in paths]
            check(found[0] == found[3], "the same ef gives other answers")
            got = recall(found[0], base, query, metric)
            check(got >= 0.98, f"{metric}: recall {got} at ef 100")


def a_wrong_line_is_told_and_passed_over():
    wrong = ["x 1", "10", "10 x", "10 1 1", "-1 1", "0 1", "10 0", "32769 1", "4294967297 1", "10 1000001", "9" * 300]
    with Folder("bench") as folder:
        make(folder)
        with Bench(folder, "base.npy", "query.npy", "l2", "8", "64", "1") as bench:
            bench.line()
            bench.ask("\n".join(wrong) + "\n10 1\n")
            bench.process.stdin.write(b"20 1")  # without its end
            told = bench.process.communicate(timeout=240)
            check(bench.process.returncode == 1, f"ended with {bench.process.returncode}")
            check(told[0].count(b"\n") == 1, f"the last line was answered with {told[0]}")
            errors = told[1].decode().splitlines()
            check(len(errors) == len(wrong) and all(e.startswith("error: bench ann; ") for e in errors), f"{errors}")


def what_cannot_be_done_ends_it():
    with Folder("bench") as folder:
        base, _ = make(folder)
        files = {"f8.npy": npy_bytes(base, descr="<f8"), "half.npy": npy_bytes(base, descr="<f2"),
                 "big.npy": npy_bytes(base, descr=">f4"), "fortran.npy": npy_bytes(base, order="True"),
                 "flat.npy": npy_bytes(base, shape=f"({ROWS * DIM},)"), "cut.npy": npy_bytes(base)[:-1],
                 "text.npy": b"not an array", "empty.npy": b""}
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
            for words in ((name, "query.npy"), ("base.npy", name)):
                with Bench(folder, *words, "l2", "8", "64", "1") as bench:
                    told = bench.end(1)
                    check(told.startswith("error: ") and name in told and told.count("\n") == 1, f"{words}: {told!r}")
        with Bench(os.path.join(folder), "base.npy", "query.npy", "l2", "8", "64", "1") as bench:
            bench.line()
            os.rename(folder, folder + ".away")
            try:
                bench.process.stdin.write(b"10 1\n")
                told = bench.end(1)
                check("make a file in " + folder in told, told)
            finally:
                os.rename(folder + ".away", folder)


if __name__ == "__main__":
    support.main(each_line_is_answered_when_it_comes, a_wrong_line_is_told_and_passed_over, what_cannot_be_done_ends_it)
