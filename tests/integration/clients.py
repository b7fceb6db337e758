"""Published clients, unchanged, against the real process: the Python client beside its own mode in memory, by REST and by
gRPC, and both doors beside each other, LangChain's
standard suite on its Qdrant store, LlamaIndex's Qdrant store, the JavaScript client (tests/clients/).

    python3 tests/integration/clients.py [name of a test below ...] [--seed N]
"""
import contextlib
import os
import shutil
import subprocess

import clients_install
import support
from s3_server import free_ports
from support import Folder, Folding, Node, check, take_seed

SEED = take_seed()
SECONDS = 600


def run(command, node, folder, cold=False):
    env = {**os.environ, "TIERVEC_URL": f"http://127.0.0.1:{node.port}", "TIERVEC_SEED": str(SEED),
           "TIERVEC_GRPC_PORT": str(node.grpc_port), **({"TIERVEC_EXACT": "1"} if cold else {}), "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1",
           "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=env, cwd=folder, check=False)
    check(done.returncode == 0, f"{command[-1]}:\n{(done.stdout + done.stderr)[-6000:]}")
    return done.stdout


def node_of(folder, env, by_grpc, cold=False):
    tier = ["--set", f"storage.s3_bucket=file://{folder}/bucket", "--set", "storage.tiering_policy=S3Only", "--set", "server.node_id=one"]
    node = Node(folder, env=env, args=tier if cold else ())
    node.grpc_port = free_ports(1)[0] if by_grpc else 0
    return node.start()


def suite(name, passed_min, env=None, by_grpc=False, cold=False):
    """One pytest file; a suite that ran fewer tests than it has is a failure too. cold: on S3Only, folded all the time."""
    python = clients_install.python()
    with Folder("clients") as folder, node_of(folder, env, by_grpc, cold) as node, (Folding(node) if cold else contextlib.nullcontext()):
        said = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--disable-socket",
                    "--allow-hosts=127.0.0.1", os.path.join(clients_install.CLIENTS, name)], node, str(folder), cold)
    count = int(said.strip().splitlines()[-1].split(" passed")[0].split()[-1])
    check(count >= passed_min, f"{name}: {count} tests passed, there are {passed_min}")
    print(f"      {name}: {count} tests")


def the_python_client_cannot_tell_the_difference():
    suite("test_qdrant_client.py", 5)


def the_python_client_by_grpc():
    suite("test_qdrant_client.py", 5, by_grpc=True)


def both_doors_say_the_same():
    suite("test_qdrant_grpc.py", 6, by_grpc=True)


def langchain_standard_suite():
    suite("test_langchain.py", 27, env={"TIERVEC_COMPAT_QDRANT_STRING_IDS": "true"})


def llamaindex_store():
    suite("test_llamaindex.py", 5)


def the_python_client_on_s3only():
    suite("test_qdrant_client.py", 5, cold=True)


def both_doors_say_the_same_on_s3only():
    suite("test_qdrant_grpc.py", 6, by_grpc=True, cold=True)


def the_stores_on_s3only():
    suite("test_langchain.py", 27, env={"TIERVEC_COMPAT_QDRANT_STRING_IDS": "true"}, cold=True)
    suite("test_llamaindex.py", 5, cold=True)


def the_javascript_client():
    modules = clients_install.javascript()
    with Folder("clients") as folder, Node(folder).start() as node:
        script = os.path.join(modules, "js_client.mjs")
        shutil.copy(os.path.join(clients_install.CLIENTS, "js_client.mjs"), script)
        check("ok" in run(["node", script], node, modules), "js_client.mjs did not come to its end")


if __name__ == "__main__":
    support.main(the_python_client_cannot_tell_the_difference, the_python_client_by_grpc, both_doors_say_the_same,
                 langchain_standard_suite, llamaindex_store, the_javascript_client, the_python_client_on_s3only,
                 both_doors_say_the_same_on_s3only, the_stores_on_s3only)
