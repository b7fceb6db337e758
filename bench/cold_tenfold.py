#!/usr/bin/env python3
"""A collection ten times the cache and more, served for 100,000 random queries on a real MinIO: memory stays within cache_bytes and a fixed part.

    PYTHON bench/cold_tenfold.py FOLDER load ROWS.npy [--count N]                                   rows into FOLDER, then a fold
    PYTHON bench/cold_tenfold.py FOLDER serve ROWS.npy [--queries N] [--clients N] [--cache-bytes N] [--zipf S] [--directory]

A query is a row drawn at random (by a Zipf law over rows in random order with --zipf) and noise of a tenth of its length; each tenth asks for payload, each
hundredth for vectors, each thousandth is exact or a page of the list. What is resident is looked at ten times a second. Ends with 1 when it was ever more than
cache_bytes and --fixed-part bytes beside it; a collection that is less than ten times the cache is refused.
"""
import argparse
import os
import random
import sys
import threading
import time

import numpy as np

import cold
from cold_kept import PATH, Kept, cold_state, load
from bucketed import Metrics
from support import Gone, resident_bytes

TOP = 10
PROCESS, WAVE = 24 * 10 ** 6, 10 * 10 ** 6  # docs/s3only.md, "Memory"


class Watch:
    """The most that was resident."""

    def __init__(self, pid):
        self.pid, self.most, self.samples, self.ends = pid, 0, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ends:
            try:
                self.most = max(self.most, resident_bytes(self.pid))
            except (OSError, AttributeError):
                return
            self.samples += 1
            time.sleep(0.1)

    def end(self):
        self.ends = True
        self.thread.join()
        return self.most


class Drawn:
    def __init__(self, path, zipf, seed):
        self.rows = np.load(path, mmap_mode="r")
        self.rng = np.random.default_rng(seed)
        self.weights = None
        if zipf:
            weights = 1 / np.arange(1, self.count + 1) ** zipf
            self.weights = np.cumsum(weights / weights.sum())
            self.order = np.random.default_rng(1).permutation(self.count)

    count = 0

    def one(self):
        row = int(self.order[np.searchsorted(self.weights, self.rng.random())]) if self.weights is not None else int(self.rng.integers(self.count))
        vector = np.asarray(self.rows[row], np.float32)
        vector = vector + self.rng.standard_normal(len(vector)).astype(np.float32) * (0.1 * np.linalg.norm(vector) / np.sqrt(len(vector)))
        return vector.tolist()


def body(number, drawn):
    """One request: method, path, body."""
    if number % 2000 == 999:
        return "GET", PATH + f"/docs?limit=100&with_vector={'true' if number % 4000 == 999 else 'false'}", None
    asked = {"query_vector": drawn.one(), "top_k": TOP, "with_payload": number % 10 == 0}
    if number % 100 == 50:
        asked["with_vector"] = True
    if number % 2000 == 1999:
        asked["exact"] = True
    return "POST", PATH + "/query", asked


def serve(kept, args):
    kept.node.start()
    stored = kept.stored()
    print(f"{stored / 1e6:.0f} MB of segments, cache of {args.cache_bytes / 1e6:.1f} MB: {stored / args.cache_bytes:.1f} times", flush=True)
    if stored < 10 * args.cache_bytes:
        raise SystemExit("less than ten times the cache")
    before, watch = resident_bytes(kept.node.process.pid), Watch(kept.node.process.pid)
    Drawn.count = cold_state(kept.node.client())["cold"]["rows"]
    times, failed, lock = [], [], threading.Lock()
    began = time.perf_counter()

    def one(client_number):
        client, drawn, mine = kept.node.client(), Drawn(args.rows, args.zipf, args.seed + client_number), []
        try:
            for number in range(client_number, args.queries, args.clients):
                method, path, asked = body(number, drawn)
                at = time.perf_counter()
                try:
                    client.ok(method, path, asked)
                except Gone:  # the node closes what was idle for long
                    client.ok(method, path, asked)
                mine.append(time.perf_counter() - at)
                if client_number == 0 and len(mine) % 2000 == 0:
                    print(f"{len(mine) * args.clients} requests, {time.perf_counter() - began:.0f} s, at most {watch.most / 1e6:.1f} MB", flush=True)
        except BaseException as e:  # pylint: disable=broad-except
            failed.append(e)
        with lock:
            times.extend(mine)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(args.clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    most, client = watch.end(), kept.node.client()
    metrics = Metrics.of(client)
    print(f"{len(times)} requests of {args.clients} clients in {time.perf_counter() - began:.0f} s  {cold.ms(times)}")
    print(f"hits {metrics.sum('storage_cache_hits'):.0f}, misses {metrics.sum('storage_cache_misses'):.0f}, ghost hits {cold_state(client)['cold']['cache_ghost_hits']}, "
          f"cache {metrics.sum('tiervec_cache_bytes') / 1e6:.1f} MB")
    print(f"resident: {before / 1e6:.1f} MB after the start, {most / 1e6:.1f} at most ({watch.samples} looks), {(most - args.cache_bytes) / 1e6:.1f} beside the cache")
    if failed:
        raise failed[0]
    holds = most <= args.cache_bytes + args.fixed_part
    print(f"{'holds ' if holds else 'MISSED'}  resident at most cache_bytes and {args.fixed_part / 1e6:.0f} MB")
    return 0 if holds else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("step", choices=("load", "serve"))
    parser.add_argument("rows")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--queries", type=int, default=100000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--zipf", type=float, default=0)
    parser.add_argument("--directory", action="store_true", help="a directory as the bucket")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--cache-bytes", type=int, default=16 << 20)
    parser.add_argument("--fixed-part", type=int, help="bytes; else 24 MB and 10 MB a client")
    args = parser.parse_args()
    args.fixed_part = args.fixed_part or PROCESS + WAVE * args.clients
    print(f"seed {args.seed}")
    os.makedirs(args.folder, exist_ok=True)
    settings = [f"storage.cache_bytes={args.cache_bytes}"]
    if args.step == "load":  # one fold
        settings += ["storage.compaction.threshold_ops=1000000000", "storage.compaction.threshold_bytes=1000000000000"]
    with Kept(args.folder, *settings, directory=args.directory) as kept:
        if args.step == "serve":
            return serve(kept, args)
        part = os.path.join(kept.folder, "part.npy")
        np.save(part, np.asarray(np.load(args.rows, mmap_mode="r")[:args.count], np.float32))
        kept.node.start()
        loaded, folded = load(kept, part, 0, "cosine")
        os.unlink(part)
        print(f"{args.count} rows in {loaded:.1f} s, folded {folded:.1f} s later: {cold_state(kept.node.client())['cold']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
