"""Documents in and out by the ways there are: insert and list (`tiervec import`, `export` as they were), the routes of streams.

    python3 bench/bulk_streams.py [--rows N] [--dim N]

Each in one run on the same node, collections without a graph (its threshold is out of reach), so that the door is measured. curl reads and writes files.
"""
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "integration"))
import support  # noqa: E402  pylint: disable=wrong-import-position
from support import Folder, Node, check, program  # noqa: E402  pylint: disable=wrong-import-position


def timed(what, rows, words, env):
    started = time.monotonic()
    done = subprocess.run([str(w) for w in words], env=env, stdout=subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - started
    check(done.returncode == 0, f"{words}: {done.returncode}")
    print(f"| {what} | {seconds:.2f} s | {rows / seconds:,.0f} |", flush=True)


def main():
    rows, dim = support.take_option("--rows", 100000), support.take_option("--dim", 128)
    rng = random.Random(1)
    with Folder("bulk") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        for name in ("insert", "stream", "cli"):
            client.ok("POST", "/api/v1/collections", {"name": name, "dimension": dim, "metric": "l2", "hnsw": {"threshold": 100000000}}, 201)
        with open(f"{folder}/in.ndjson", "w", encoding="utf-8") as f:
            for at in range(rows):
                f.write(json.dumps({"doc_id": at, "vector": [round(rng.uniform(-1, 1), 7) for _ in range(dim)], "payload": {"n": at}}) + "\n")
        base = f"http://127.0.0.1:{node.port}/api/v1/collections"
        env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port}"}
        print(f"{rows} documents of {dim} values, {os.path.getsize(f'{folder}/in.ndjson') >> 20} MiB of lines\n\n| way | took | rows/s |\n|---|---|---|")
        timed("import of lines by insert", rows, (program(), "import", "--collection", "insert", "--batch-rows", 1000, f"{folder}/in.ndjson"), env)
        timed("import of lines, POST .../import", rows, ("curl", "-sf", "-T", f"{folder}/in.ndjson", "-X", "POST", f"{base}/stream/import"), env)
        timed("import of lines, `tiervec import`", rows, (program(), "import", "--collection", "cli", f"{folder}/in.ndjson"), env)
        timed("export of lines, GET .../export", rows, ("curl", "-sf", "-o", f"{folder}/out.ndjson", f"{base}/stream/export"), env)
        timed("export of lines, `tiervec export`", rows, (program(), "export", "--collection", "cli", f"{folder}/out2.ndjson"), env)
        timed("export of rows by pages", rows, (program(), "export", "--collection", "cli", f"{folder}/out.fvecs"), env)
        timed("export of rows, GET .../export", rows, ("curl", "-sf", "-o", f"{folder}/out2.fvecs", f"{base}/stream/export?format=fvecs"), env)
        timed("import of rows by insert", rows, (program(), "import", "--collection", "insert", "--batch-rows", 1000, f"{folder}/out.fvecs"), env)
        timed("import of rows, `tiervec import`", rows, (program(), "import", "--collection", "cli", f"{folder}/out.fvecs"), env)
        node.stop()


if __name__ == "__main__":
    main()
