"""The published clients the tests run, pinned, installed without root and kept between runs.

They live in $TIERVEC_TEST_CACHE/clients, without that in .cache/clients of the checkout: a virtual environment of what
tests/clients/requirements.txt lists, and node modules of its package.json. What cannot be installed is an error that says
what to do.
"""
import hashlib
import os
import shutil
import sys

from s3_install import ROOT, CannotInstall, Once, cache_dir, run_tool, say

CLIENTS = os.path.join(ROOT, "tests", "clients")
PIP_SECONDS = 1200


def _folder(kind, wanted):
    """Where what `wanted` asks for lies; another text, another folder."""
    with open(wanted, "rb") as f:
        mark = hashlib.sha256(f.read()).hexdigest()[:12]
    clients = os.path.join(os.path.dirname(cache_dir()), "clients")
    os.makedirs(clients, exist_ok=True)
    return os.path.join(clients, f"{kind}-{mark}")


def _once(folder, what, install):
    """Installs into a fresh folder unless a whole one is there."""
    complete = os.path.join(folder, "complete")
    with Once():
        if not os.path.exists(complete):
            say(f"installing {what}")
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            with open(complete, "w", encoding="ascii") as f:
                f.write("1\n")


def python():
    """The python of an environment that has the clients; its bin has pytest and st too."""
    wanted = os.path.join(CLIENTS, "requirements.txt")
    folder = _folder("python", wanted)

    def install(into):
        run_tool([sys.executable, "-m", "venv", into], "python3 -m venv (on Debian: apt-get install python3-venv)", 300)
        try:
            run_tool([os.path.join(into, "bin", "pip"), "--disable-pip-version-check", "--quiet", "install", "--no-deps",
                      "--only-binary=:all:", "-r", wanted], "pip install of the clients", PIP_SECONDS)
        except CannotInstall as e:
            raise CannotInstall(f"{e}\nIt needs the Python package index, through pip's own configuration.") from e
    _once(folder, "the Python clients", install)
    return os.path.join(folder, "bin", "python")


def javascript():
    """A folder with the JavaScript client in node_modules."""
    wanted = os.path.join(CLIENTS, "package.json")
    folder = _folder("js", wanted)

    def install(into):
        os.makedirs(into)
        shutil.copy(wanted, into)
        try:
            run_tool(["npm", "install", "--prefix", into, "--omit=dev", "--no-audit", "--no-fund", "--silent"],
                     "npm install of the JavaScript client", PIP_SECONDS)
        except CannotInstall as e:
            raise CannotInstall(f"{e}\nIt needs the npm registry, through npm's own configuration.") from e
    _once(folder, "the JavaScript client", install)
    return folder


if __name__ == "__main__":
    try:
        print(python(), javascript(), sep="\n")
    except CannotInstall as e:
        sys.exit(f"error: {e}")
