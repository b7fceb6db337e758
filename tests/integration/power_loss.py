"""The power is cut under the running program: its disk forgets what was not synced. Needs root and loop mounts.

    python3 tests/integration/power_loss.py [--seed S] [--rounds N] [--twin-rounds N] [--disk ext4|xfs] [name of a test below ...]

kill -9 leaves the page cache in place and cannot see a missing fdatasync; this can. The process is frozen, the file
system shut down by its ioctl, the process killed: what it had answered by then was answered before the power went. With a
bucket (a MinIO on another disk, which survives) and in all durabilities; now and then the disk is lost as well. The twin
that says durable without fdatasync must be caught losing something. Under `sync = "none"` a cut may take the end of the
log; what comes back is whole up to some lsn.
"""
import os
import random
import signal
import subprocess
import threading
import time

import support
from disk import LoopDisk
from kill9 import World
from kill9_minio import BucketWorld
from ledger import verify
from s3_relay import Relay
from s3_server import Minio
from support import Folder, check

DISK_BYTES = 1 << 30
FREEZE_SECONDS = 60


def freeze(node):
    """Returns when no thread of the process runs: stopped, or in the kernel from where it comes back stopped."""
    node.signal(signal.SIGSTOP)
    folder = f"/proc/{node.process.pid}/task"
    deadline = time.monotonic() + FREEZE_SECONDS
    while time.monotonic() < deadline:
        states = set()
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/stat", encoding="ascii", errors="replace") as f:
                states.add(f.read().rpartition(")")[2].split()[0])
        if not states & {"R", "S"}:
            return
    raise AssertionError(f"the node does not freeze: {states}")


class PowerWorld(World):
    """A world whose rounds end with a power cut."""

    def __init__(self, folder, disk, rng, binary=None, more=()):
        super().__init__(folder, rng, binary, data_dir=os.path.join(disk.path, "data"), more=more)
        self.disk = disk

    def ends(self):
        return [self.end_by_power_cut]

    def end_by_power_cut(self):
        """What is answered after the cut counts as not heard: the kernel, which lives on, may say of a sync that was
        under way that it went well, and forget it all the same."""
        time.sleep(self.rng.uniform(0.1, 0.8))
        self.power_cut.set()
        self.disk.cut_power()
        time.sleep(self.rng.uniform(0, 0.1))
        self.node.kill9()
        self.stop_threads()
        self.disk.unmount()
        self.disk.mount()


class UnsyncedWorld(PowerWorld):
    """Under sync = "none" the end of the log may be gone: up to the lsn that is there everything is."""

    shorter = 0  # how often

    def look(self):
        client, problems = self.node.client(), []
        for book in self.books:
            info = client.collection(book.name)
            if info["state"] != "serving":
                problems.append(f"{book.name}: {info}")
            if info["last_lsn"] < max(book.lsns, default=0):
                self.shorter += 1
            book.cut(info["last_lsn"])
        self.catalog.names = {c["name"]: c["document_count"] for c in client.get("/api/v1/collections")["collections"]}
        self.catalog.maybe = []
        why = [r for r in client.get("/health")["reasons"] if "sync" not in r]
        if why:
            problems.append(f"health: {why}")
        problems += verify(client, self.books, self.catalog, self.rng)
        client.close()
        return problems


class BucketPowerWorld(BucketWorld):
    """With a bucket on another disk; the process sees nothing of a disk without power."""

    def __init__(self, folder, disk, rng, s3, relay):
        super().__init__(folder, rng, s3, relay, None, os.path.join(disk.path, "data"))
        self.disk = disk
        self.cuts = 0
        self.lock = threading.Lock()
        self.dark = False  # guarded by lock

    def cut(self):
        """At any moment, from any thread; the first of two does it."""
        with self.lock:
            if self.dark:
                return
            self.dark = True
            self.cuts += 1
            if self.node.running():
                freeze(self.node)
            self.disk.cut_power()
            self.node.kill9()

    def power_back(self):
        self.dark = False
        self.disk.unmount()
        self.disk.mount()

    def end_by_power_cut(self):
        time.sleep(self.rng.uniform(0.05, 0.9))
        self.cut()

    def end_by_cut_in_checkpoint(self):
        client = self.node.client()
        time.sleep(self.rng.uniform(0.1, 0.5))
        self.ask_to_publish(client)
        time.sleep(self.rng.uniform(0, 0.06))
        self.cut()

    def ask_to_publish(self, client):
        body = b"{}"
        for book in self.books:
            client.conn or client._connect()  # pylint: disable=protected-access
            client.conn.request("POST", f"/admin/collections/{book.name}/snapshot", body)
            client.close()  # nobody waits for the answer

    def end_by_cut_at_a_request(self):
        self.at_a_request(self.cut)
        self.cut()

    def end_by_cut_without_the_bucket(self):
        self.relay.cut(self.rng.choice(["refuse", "hang_up"]))
        time.sleep(self.rng.uniform(0.1, 0.6))
        self.cut()

    def end_by_cut_while_stopping(self):
        time.sleep(self.rng.uniform(0.1, 0.6))
        self.node.signal(signal.SIGTERM)
        time.sleep(self.rng.uniform(0, 0.08))
        self.cut()

    def end_by_cut_while_starting(self):
        self.end_by_power_cut()
        self.stop_threads()
        for _ in range(2):
            self.power_back()
            self.node.launch()
            time.sleep(self.rng.uniform(0, 0.15))
            self.cut()

    def end_by_losing_the_disk(self):
        """The cut, and nothing on the disk any more; what loads it again is cut off, too."""
        self.end_by_power_cut()
        self.stop_threads()
        self.power_back()
        self.lose_the_machine()
        subprocess.run(["sync", "-f", self.node.data_dir], check=True)  # or the next cut brings some of it back
        if self.rng.random() < 0.6:
            self.node.launch()
            time.sleep(self.rng.uniform(0.02, 0.3))
            self.cut()
            self.power_back()

    def ends(self):
        return [self.end_by_power_cut, self.end_by_cut_in_checkpoint, self.end_by_cut_at_a_request, self.end_by_losing_the_disk,
                self.end_by_cut_while_starting, self.end_by_cut_without_the_bucket, self.end_by_cut_while_stopping]

    def round(self, number):
        ends = self.ends()
        end = self.rng.choice(ends) if number > len(ends) else ends[number - 1]
        self.start_threads()
        end()
        self.stop_threads()
        problems = [f"{type(t.failure).__name__}: {t.failure}" for t in self.threads if t.failure is not None]
        if end == self.end_by_losing_the_disk:
            problems += self.come_back(number % 2 == 0 and not os.listdir(self.node.data_dir))
        else:
            self.power_back()
            if self.rng.random() < 0.7:
                self.relay.mend()
            self.node.start()
            self.relay.mend()
        return end.__name__, problems + self.look()

    def kill_restores(self, by_command):
        return by_command  # they are cut off here


def report(number, world, end, found):
    print(f"power cut {number} {end}: {world.totals()}, {len(found)} problems", flush=True)
    for text in found[:4]:
        print("   ", text[:300], flush=True)


def rounds_of(world, rounds, stop_at_loss=False):
    problems = []
    with world.node as node:
        node.start()
        world.create()
        for number in range(1, rounds + 1):
            end, found = world.round(number)
            report(number, world, end, found)
            problems += found
            if found and (stop_at_loss or Folder.keep):
                break
    return problems


def no_acknowledged_write_is_lost():
    with Folder("power") as folder, Minio(os.path.join(folder, "s3")) as s3, Relay(s3.port) as relay, \
            LoopDisk(folder, "power_loss", DISK_BYTES, DISK) as disk:
        world = BucketPowerWorld(folder, disk, random.Random(SEED), s3, relay)
        problems = rounds_of(world, ROUNDS)
        print(f"{world.cuts} cuts on {DISK}, {world.lost} disks lost, {world.totals()['acknowledged']} acknowledged writes checked")
        check(not problems, "something acknowledged was lost, or the node did not come back whole")


def the_twin_is_caught():
    with Folder("power") as folder, LoopDisk(folder, "power_loss", DISK_BYTES, DISK) as disk:
        world = PowerWorld(folder, disk, random.Random(SEED), support.program("tiervec_twin_skip"))
        problems = rounds_of(world, TWIN_ROUNDS, True)
        check(any("LOST" in p for p in problems), f"a log without fdatasync went through {TWIN_ROUNDS} power cuts unnoticed")


def without_sync_the_end_is_gone_and_the_rest_is_whole():
    with Folder("power") as folder, LoopDisk(folder, "power_loss", DISK_BYTES, DISK) as disk:
        world = UnsyncedWorld(folder, disk, random.Random(SEED), more=["--set", "wal.sync=none"])
        problems = rounds_of(world, TWIN_ROUNDS)
        check(not problems, "what came back of a log that was not synced is not whole")
        check(world.shorter > 0, f"{TWIN_ROUNDS} power cuts took nothing from a log that is not synced")


if __name__ == "__main__":
    ROUNDS = support.take_option("--rounds", 7)
    TWIN_ROUNDS = support.take_option("--twin-rounds", 5)
    DISK = support.take_option("--disk", "ext4", str)
    SEED = support.take_seed()
    support.main(no_acknowledged_write_is_lost, the_twin_is_caught, without_sync_the_end_is_gone_and_the_rest_is_whole)
