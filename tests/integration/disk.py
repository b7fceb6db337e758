"""A file system of our own on a loop device, whose power can be cut or which can be full. Needs root."""
import fcntl
import os
import socket
import struct
import subprocess
import time

from support import cannot_run

SHUTDOWN = 0x8004587D  # the same for ext4 and xfs
NO_LOG_FLUSH = struct.pack("I", 2)  # what was not synced is gone, as when the plug is pulled


def _run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        raise OSError(f"{command[0]} is not installed") from e
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"], "unjournaled": ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal"],
        "xfs": ["mkfs.xfs", "-q", "-f"]}


class LoopDisk:
    """An ext4 (or xfs, of 300 MiB and more) of its own, mounted at `path` inside the folder."""

    def __init__(self, folder, what, size_bytes, kind="ext4"):
        self.image = os.path.join(folder, "disk.img")
        self.path = os.path.join(folder, "disk")
        self.mounted = False
        os.mkdir(self.path)
        with open(self.image, "wb") as f:
            f.truncate(size_bytes)
        try:
            self.make_device()
            _run(*MAKE[kind], self.device)
            self.mount()
        except OSError as e:
            self.close()
            cannot_run(what, f"no loop-mounted {kind} here: {e}")

    @property
    def device(self):
        return self.image

    def make_device(self):
        pass

    def mount(self):
        _run("mount", "-o", "loop", self.device, self.path)
        self.mounted = True

    def unmount(self):
        """The last file may be closed a moment after its process has ended."""
        for attempt in range(1200):
            try:
                _run("umount", self.path)
                self.mounted = False
                return
            except OSError:
                if attempt == 1199:
                    raise
                time.sleep(0.05)

    def cut_power(self):
        """From here on every call fails with EIO; what was not synced is forgotten."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def free_bytes(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self, name="filler", leave=0):
        """Takes all room but about `leave` bytes."""
        with open(os.path.join(self.path, name), "ab", buffering=0) as f:
            for piece in (1 << 20, 1 << 12, 1 << 10):
                while self.free_bytes() >= leave + piece:
                    try:
                        f.write(b"\0" * piece)
                    except OSError:
                        break
            os.fsync(f.fileno())

    def empty(self, name="filler"):
        os.unlink(os.path.join(self.path, name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.mounted:
            self.unmount()


class FailingDisk(LoopDisk):
    """One whose device can be told to fail every write with EIO (nbdkit behind nbdfuse), and to be well again. An ext4
    without a journal goes on after that; one with a journal is read-only from then on."""

    def __init__(self, folder, what, size_bytes, journal=False):
        self.folder, self.kind = folder, "ext4" if journal else "unjournaled"
        self.processes = []
        super().__init__(folder, what, size_bytes, self.kind)

    @property
    def device(self):
        return os.path.join(self.folder, "device")

    def make_device(self):
        path = os.path.join(self.folder, "device.sock")

        def listens():
            with socket.socket(socket.AF_UNIX) as s:
                return s.connect_ex(path) == 0
        with open(self.device, "wb"):
            pass
        log = open(os.path.join(self.folder, "device.log"), "wb")
        try:
            self.processes.append(subprocess.Popen(
                ["nbdkit", "-f", "-U", path, "--filter=error", "file", self.image, "error=EIO", f"error-file={self.bad}",
                 "error-pwrite-rate=100%"], stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            self._wait(listens, "nbdkit")
            self.processes.append(subprocess.Popen(["nbdfuse", self.device, "--unix", path], stdin=subprocess.DEVNULL,
                                                   stdout=log, stderr=log))
            self._wait(lambda: os.path.getsize(self.device) > 0, "nbdfuse")
        finally:
            log.close()

    def _wait(self, there, what):
        for _ in range(1200):
            if there():
                return
            time.sleep(0.05)
        with open(os.path.join(self.folder, "device.log"), encoding="utf-8", errors="replace") as f:
            raise OSError(f"{what} does not come up: {f.read()[-400:]}")

    @property
    def bad(self):
        return os.path.join(self.folder, "bad")

    def fail(self):
        with open(self.bad, "wb"):
            pass

    def heal(self):
        os.unlink(self.bad)

    def read_only(self):
        with open("/proc/mounts", encoding="utf-8") as f:
            return any(line.split()[1] == self.path and "ro" in line.split()[3].split(",") for line in f)

    def close(self):
        super().close()
        subprocess.run(["umount", self.device], capture_output=True, check=False)
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
