"""Ours beside the libraries people use, in one run: recall@10 against queries a second, building, memory. Called by bench/ann_peers.

    PYTHON bench/ann_peers.py FOLDER SET[=BASE.npy,QUERY.npy] [--peers a,b] [--build] [--seconds N] [--queries N] [--m N]
                              [--ef-construction N] [--threads N] [--tiervec PROGRAM] [--json FILE]

Every library is a process of its own (ann_peer.py; ours is `tiervec bench ann`), pinned to one CPU while it answers and to --threads CPUs while
it builds. They answer in turns: one point of ours, one of the next library, and so on, round by round until --seconds are over. A point's speed
is that of its best round. The first round also finds out which knobs are worth asking: those with a recall from 0.8 on, up to the first beyond 0.993.
Peers' indexes are kept in FOLDER/indexes and loaded the next time; ours is built each time. --build makes and keeps those that are missing, no more.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time

import numpy as np

import ann_sets
from ann_peer import HNSW_EF, PEERS

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = "tiervec"
RECALLS = (0.90, 0.95, 0.99)
FLOOR, ENOUGH = 0.80, 0.993
CPUS = sorted(os.sched_getaffinity(0))


class Engine:
    def __init__(self, name, args, data, metric, queries):
        self.name, self.args, self.data, self.metric, self.queries = name, args, data, metric, queries
        self.knobs = list(HNSW_EF if name == OURS else PEERS[name].knobs)
        self.points = {}  # knob -> recall, qps of each round, latencies of the best
        self.index = os.path.join(os.path.abspath(args.folder), "indexes", f"{os.path.basename(data)}-m{args.m}-e{args.ef_construction}"
                                  f"-t{args.threads}", name)

    def kind(self):
        return "ours" if self.name == OURS else PEERS[self.name].kind

    def command(self):
        words = [f"{self.data}/base.npy", self.queries, self.metric, self.args.m, self.args.ef_construction, self.args.threads]
        head = [self.args.tiervec, "bench", "ann"] if self.name == OURS else [sys.executable, f"{HERE}/ann_peer.py", self.name]
        return list(map(str, head + words + ([] if self.name == OURS else [self.index])))

    def start(self):
        """Builds or loads on as many CPUs as threads; answers are given on one."""
        env = {**os.environ, "OMP_NUM_THREADS": str(self.args.threads), "OPENBLAS_NUM_THREADS": str(self.args.threads), "TMPDIR": self.args.scratch}
        many = set(CPUS[:self.args.threads])
        with open(os.path.join(self.args.scratch, f"{self.name}.log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env,
                                            preexec_fn=lambda: os.sched_setaffinity(0, many))
        words = self.process.stdout.readline().split()
        if len(words) < 3 or words[0] != "READY":
            print(f"{self.name} does not start: {log.name}", flush=True)
            self.stop()
            return False
        self.build_s, self.bytes = float(words[1]), int(words[2])
        self.resident = int(words[3]) if len(words) > 3 else self.process_bytes()
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(task), {CPUS[0]})
        return True

    def process_bytes(self):
        """Ours: the whole process but its queries, which are held as they are."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return 1024 * sum(int(line.split()[1]) for line in f if line.startswith("RssAnon")) - os.path.getsize(self.queries)

    def ask(self, knob):
        self.process.stdin.write(f"{knob} 1\n")
        self.process.stdin.flush()
        qps, p50, p95, p99, path = self.process.stdout.readline().rstrip("\n").split(" ", 4)
        ids = np.fromfile(path, "<i4").reshape(-1, ann_sets.K)
        os.unlink(path)
        point = self.points.setdefault(knob, {"qps": [], "us": None})
        if all(float(qps) > old for old in point["qps"]):
            point["us"] = [None if math.isnan(float(x)) else float(x) for x in (p50, p95, p99)]
        point["qps"].append(float(qps))
        return ids

    def stop(self):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()

    def front(self):
        """Points that no other one beats in both, by rising recall."""
        best, out = 0.0, []
        for recall, qps, knob in sorted(((p["recall"], max(p["qps"]), k) for k, p in self.points.items()), reverse=True):
            if qps > best:
                best = qps
                out.append((recall, qps, knob))
        return out[::-1]

    def speed_at(self, recall):
        """Between two points the logarithm of the speed is taken as straight; before the first the first's is."""
        front = self.front()
        for i, (here, qps, _) in enumerate(front):
            if here >= recall:
                if i == 0:
                    return qps
                before, slower, _ = front[i - 1]
                return slower * (qps / slower) ** ((recall - before) / (here - before))
        return None


def first_round(engines, base, queries, far, metric):
    """Recall of each knob, and which are worth asking again."""
    waiting = {e.name: list(e.knobs) for e in engines}
    while any(waiting.values()):
        for e in engines:
            if not waiting[e.name]:
                continue
            knob = waiting[e.name].pop(0)
            got = ann_sets.recall(e.ask(knob), base, queries, far, metric)
            e.points[knob]["recall"] = got
            if e.kind() not in ("partitions", "ivf") and got >= ENOUGH:
                waiting[e.name].clear()
    for e in engines:
        low = [k for k, p in e.points.items() if p["recall"] < FLOOR]
        for k in low[:-1] if len(low) == len(e.points) else low:
            del e.points[k]


def measure(engines, args, base, queries, far, metric):
    ends = time.monotonic() + args.seconds
    first_round(engines, base, queries, far, metric)
    rounds, longest = 1, 0
    while time.monotonic() + longest < ends:
        began = time.monotonic()
        left = {e.name: list(e.points) for e in engines}
        while any(left.values()):
            for e in engines:
                if left[e.name]:
                    e.ask(left[e.name].pop(0))
        longest = max(longest, time.monotonic() - began)
        rounds += 1
    return rounds


def number(x, form="{:,.0f}"):
    return "-" if x is None else form.format(x)


def table(engines, rows, rounds, args):
    speeds = {e.name: [e.speed_at(r) for r in RECALLS] for e in engines}
    ordered = sorted(engines, key=lambda e: -(speeds[e.name][1] or 0))
    print(f"m {args.m}, ef_construction {args.ef_construction}, built by {args.threads} thread(s), asked on one, best of {rounds} rounds in turns\n")
    print("| | build s | files B/vector | resident B/vector | " + " | ".join(f"QPS at {r:.2f}" for r in RECALLS) + " | best recall |")
    print("|---|---|---|---|" + "---|" * (len(RECALLS) + 1))
    for e in ordered:
        calls = "*" if e.name != OURS and PEERS[e.name].calls else ""
        print(f"| {e.name}{calls} | {e.build_s:.1f} | {e.bytes / rows:,.0f} | {e.resident / rows:,.0f} | "
              + " | ".join(map(number, speeds[e.name])) + f" | {max(p['recall'] for p in e.points.values()):.4f} |")
    out = {"speeds": speeds, "ratios": {}}
    if OURS not in speeds:
        return out
    print("\n| ours over | " + " | ".join(f"{r:.2f}" for r in RECALLS) + " | build |\n|---|" + "---|" * (len(RECALLS) + 1))
    ours = next(e for e in engines if e.name == OURS)
    groups = [("the best HNSW", [e for e in engines if e.kind() == "hnsw"]), ("the best of all", [e for e in engines if e is not ours])]
    for title, some in groups + [(e.name, [e]) for e in ordered if e is not ours]:
        some = [e for e in some if e is not ours]
        best = [max((speeds[e.name][i] or 0 for e in some), default=0) for i in range(len(RECALLS))]
        ratios = [mine / theirs if mine and theirs else None for mine, theirs in zip(speeds[OURS], best)]
        built = min((e.build_s for e in some), default=None)
        out["ratios"][title] = ratios
        print(f"| {title} | " + " | ".join(number(r, "{:.2f}") for r in ratios) + f" | {number(built and built / ours.build_s, '{:.2f}')} |")
    return out


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("set")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--threads", type=int, default=min(2, len(CPUS)))
    parser.add_argument("--tiervec", default=os.path.join(os.path.dirname(HERE), "build/release/cli/tiervec"))
    parser.add_argument("--json")
    args = parser.parse_args()
    unknown = [p for p in args.peers.split(",") if p and p not in PEERS]
    if unknown:
        parser.error(f"no peer {unknown[0]}; there are {' '.join(PEERS)}")
    args.scratch = os.path.join(os.path.abspath(args.folder), "scratch")
    os.makedirs(args.scratch, exist_ok=True)
    return args


def main():
    args = parse()
    name, _, paths = args.set.partition("=")
    data = ann_sets.make(args.folder, name, paths.split(",") if paths else None)
    metric = ann_sets.METRICS[name]
    names = [p for p in args.peers.split(",") if p]
    asked = os.path.join(args.scratch, f"{name}-query.npy")
    queries = np.load(f"{data}/query.npy")[:args.queries]
    np.save(asked, queries)
    engines = []
    for n in names if args.build else [OURS] + names:
        e = Engine(n, args, data, metric, asked)
        if e.start():
            print(f"{n}: built in {e.build_s:.1f} s, {e.bytes} bytes, {e.resident} resident", flush=True)
            engines.append(e)
        if args.build:
            e.stop()
    if args.build:
        return
    base = np.load(f"{data}/base.npy", mmap_mode="r")
    rounds = measure(engines, args, base, queries, np.load(f"{data}/distances.npy")[:args.queries], metric)
    for e in engines:
        e.stop()
    print(f"\n{name}: {len(base)} rows of {base.shape[1]}, {metric}, {len(queries)} queries; ", end="")
    told = table(engines, len(base), rounds, args)
    if args.json:
        told.update(set=name, rows=len(base), dim=base.shape[1], metric=metric, rounds=rounds, m=args.m, ef_construction=args.ef_construction,
                    threads=args.threads, engines={e.name: {"build_s": e.build_s, "bytes": e.bytes, "resident": e.resident, "points": e.points}
                                                   for e in engines})
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(told, f, indent=1)


if __name__ == "__main__":
    main()
