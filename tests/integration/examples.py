"""The lines that `serve` prints and the examples of docs/api.md and docs/qdrant.md work as they stand (but for the port).

    python3 tests/integration/examples.py [name of a test below ...]
"""
import json
import os
import re
import shutil
import subprocess

import support
from support import ROOT, Folder, Node, check


def run_shell(text, cwd=None):
    """Runs lines of a shell as a reader would; the JSON values they print."""
    done = subprocess.run(["sh", "-eu", "-c", text], capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    check(done.returncode == 0, f"{text}\nended with {done.returncode}: {done.stderr}")
    decoder, at, values = json.JSONDecoder(), 0, []
    out = done.stdout.strip()
    while at < len(out):
        value, at = decoder.raw_decode(out, at)
        values.append(value)
        at += len(out[at:]) - len(out[at:].lstrip())
    for value in values:
        check("urn:tiervec:problem" not in str(value.get("type")), f"{text}\nanswered {value}")
    return values


def curl_lines(text):
    """Those that print something."""
    return len(re.findall(r"^curl (?!.* -o )", text, re.M))


def the_greeting():
    with Folder("examples") as folder, Node(folder) as node:
        node.start()
        lines = [line for line in node.out_text().splitlines() if line.startswith("curl ")]
        check(len(lines) == 3, f"three lines were to be printed:\n{node.out_text()}")
        values = run_shell("\n".join(lines))
        check(values[1]["inserted"] == 2, f"the second line: {values}")
        check(values[2]["matches"][0]["payload"] == {"word": "east"}, f"the third line: {values}")
        node.stop()
        node.launch(["--quiet"]).wait_listening()
        node.stop()
        check(node.out_text() == "", f"--quiet: {node.out_text()}")


def the_api_page():
    with open(os.path.join(ROOT, "docs", "api.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```", f.read(), re.M | re.S)
    blocks = [b for b in blocks if curl_lines(b)]
    check(len(blocks) >= 4, f"docs/api.md has {len(blocks)} blocks of curl")
    with Folder("examples") as folder, Node(folder) as node:
        node.start()
        client = node.client()
        for at, block in enumerate(blocks):
            text = block.replace("localhost:8080", f"127.0.0.1:{node.port}")
            if at > 0:  # every block may count on the first round, and on nothing else
                client.request("DELETE", "/api/v1/collections/words")
                run_shell(blocks[0].replace("localhost:8080", f"127.0.0.1:{node.port}"))
            values = run_shell(text, folder)
            check(len(values) == curl_lines(text), f"{len(values)} answers to\n{text}")
            if at == 0:
                check(values[2]["matches"][0]["payload"] == {"word": "east"}, f"the first round: {values}")
        print(f"{sum(map(curl_lines, blocks))} examples")
        node.stop()


def the_lines_of_import_and_export():
    with open(os.path.join(ROOT, "docs", "api.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```", f.read(), re.M | re.S)
    first, lines = blocks[0], [b for b in blocks if b.startswith("tiervec ")]
    check(len(lines) == 1, f"docs/api.md has {len(lines)} blocks of import and export")
    with Folder("examples") as folder, Node(folder) as node:
        node.start()
        run_shell(first.replace("localhost:8080", f"127.0.0.1:{node.port}"))
        env = {**os.environ, "PATH": os.path.dirname(support.program()) + ":" + os.environ["PATH"],
               "TIERVEC_URL": f"http://127.0.0.1:{node.port}"}
        done = subprocess.run(["sh", "-eu", "-c", lines[0].replace("localhost:8080", f"127.0.0.1:{node.port}")], cwd=folder,
                              env=env, capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 0, f"ended with {done.returncode}: {done.stderr}")
        check([json.loads(line)["doc_id"] for line in done.stdout.splitlines() if line.startswith("{")] == [1], done.stdout)
        for name, ids in (("copy", [1, 2]), ("rows", [100, 101]), ("moved", [1, 2])):
            check([d["doc_id"] for d in node.client().documents(name)] == ids, name)
        node.stop()


def the_page_of_the_compatible_dialect():
    with open(os.path.join(ROOT, "docs", "qdrant.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```", f.read(), re.M | re.S)
    blocks = [b for b in blocks if curl_lines(b)]
    check(len(blocks) == 1, f"docs/qdrant.md has {len(blocks)} blocks of curl")
    with Folder("examples") as folder, Node(folder) as node:
        node.start()
        values = run_shell(blocks[0].replace("localhost:8080", f"127.0.0.1:{node.port}"))
        check([v["status"] for v in values] == ["ok"] * 3, f"the first round: {values}")
        check(values[1]["result"]["status"] == "completed", f"the write: {values}")
        check([(p["id"], p["payload"]) for p in values[2]["result"]["points"]] == [(1, {"word": "east"})],
              f"the query: {values}")
        node.stop()


if __name__ == "__main__":
    if shutil.which("curl") is None:
        raise SystemExit("error: curl is needed (Debian package curl)")
    support.main(the_greeting, the_api_page, the_lines_of_import_and_export, the_page_of_the_compatible_dialect)
