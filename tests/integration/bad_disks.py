"""A disk that is full or fails under a node with a bucket, in all durabilities, with the ledger of kill9.py.

    python3 tests/integration/bad_disks.py [--turns N] [--seed S] [--keep] [name of a test below ...]

Full while writers run, and at the start: writes are refused, nothing that was refused comes back, reads and shipping go on,
and writes are taken again by themselves when there is room. A disk whose writes fail with EIO: nothing acknowledged is
lost, health names the cause, and once it is well writes are taken again, or the text says what to do. Needs root.
"""
import copy
import os
import random
import time

import support
from bucketed import wait_for
from disk import FailingDisk, LoopDisk
from kill9_minio import BucketWorld
from s3_relay import Relay
from s3_server import Minio
from support import Folder, check

DISK_BYTES = 128 << 20
MORE = {"no_space", "unavailable", "log_stopped", "disk_nearly_full", "store_unavailable"}


class DiskWorld(BucketWorld):
    def __init__(self, folder, disk, s3, relay):
        super().__init__(folder, random.Random(SEED), s3, relay, None, os.path.join(disk.path, "data"))
        self.node.args += ["--set", "server.timeout_seconds=6"]  # two thirds of it a remote write waits for the bucket
        self.disk = disk

    def writer(self, book):
        writer = super().writer(book)
        writer.pause = 0.02
        writer.refusals |= MORE
        return writer

    def churners(self):
        return []  # creating needs room and the bucket; that has its tests

    def writes(self, seconds):
        """For so long; what the writers stumbled over is a failure."""
        self.start_threads()
        time.sleep(seconds)
        self.stop_threads()
        for thread in self.threads:
            check(thread.failure is None, f"{type(thread.failure).__name__}: {thread.failure}")

    def probe(self, book):
        """The answer to one write of the ledger's."""
        writer = self.writer(book)
        writer.insert_one()
        writer.client.close()
        return writer.last

    def all_answer(self, statuses):
        """The answers that are none of these."""
        answers = [self.probe(book) for book in self.books]
        return [a for a in answers if a.status not in statuses]

    def is_full(self):
        """What room a log has of its own is used up by something large."""
        for book in self.books:
            writer = self.writer(book)
            writer.insert_large(lambda: None)
            writer.client.close()
            if writer.last.status != 507 or writer.last.json["code"] != "no_space":
                return False
        return True

    def reads_work(self, stopped=False):
        """stopped: the log takes no writes, and whether those of unknown outcome are there is decided by the next start."""
        books, catalog = self.books, self.catalog
        if stopped:
            self.books, self.catalog = copy.deepcopy(books), copy.deepcopy(catalog)
        client = self.node.client()
        check(client.request("GET", "/ready").status == 200, "the node is not ready")
        check(client.request("GET", "/livez").status == 200, "the node is not alive")
        problems = [p for p in self.look()
                    if not stopped or "state is read_only (no writes until the disk is well" not in p]
        self.books, self.catalog = books, catalog
        check(not problems, f"{len(problems)} problems: {problems[:6]}")
        client.close()

    def health(self):
        client = self.node.client()
        said = client.get("/health")
        client.close()
        return said["status"], " | ".join(said.get("reasons", []))

    def wait_writable(self, seconds=60):
        try:
            wait_for("writes to be taken again", lambda: not self.all_answer((200, 202)), seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.all_answer((200, 202))}, health {self.health()}") from None

    def wait_degraded(self, *words):
        """What health says, once it names all of these."""
        def bad():
            status, why = self.health()
            return status == "degraded" and all(word in why for word in words) and why
        try:
            return wait_for(f"health that names {words}", bad)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.health()}") from None

    def wait_stopped(self):
        """Until no log takes a write: each finds out by one that fails, whose outcome is not known."""
        def stopped():
            answers = [self.probe(book) for book in self.books]
            print(f"{answers}")
            return all(a.status == 503 and a.json["code"] in ("log_stopped", "unavailable") for a in answers)
        wait_for("writes to be refused", stopped)

    def wait_healthy(self, seconds=60):
        try:
            wait_for("health", lambda: self.health()[0] == "healthy", seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.health()}") from None

    def survives_losing_the_machine(self):
        self.flush()
        self.node.kill9()
        self.lose_the_machine()
        problems = self.come_back(False) + self.look()
        check(not problems, f"after losing the machine: {problems[:6]}")

    def log_is_no_storm(self, at_most):
        lines = [line for line in self.node.log_lines() if line["level"] in ("warn", "error")]
        kinds = {}
        for line in lines:
            kinds[line["message"]] = kinds.get(line["message"], 0) + 1
        print(f"warnings and errors in the log: {kinds}")
        check(len(lines) <= at_most, f"{len(lines)} warnings and errors: {kinds}")


class Place:
    """A disk, a MinIO beside it, and a node with its three collections."""

    def __init__(self, what, disk):
        self.what, self.make_disk = what, disk

    def __enter__(self):
        self.kept = Folder("disks")
        folder = self.kept.__enter__()
        self.s3 = Minio(os.path.join(folder, "s3"))
        self.s3.__enter__()
        self.relay = Relay(self.s3.port)
        self.disk = self.make_disk(folder)
        self.world = DiskWorld(folder, self.disk, self.s3, self.relay)
        self.world.node.start()
        self.world.create()
        return self.world, self.disk

    def __exit__(self, kind, value, trace):
        self.world.node.__exit__(kind, value, trace)
        self.disk.close()
        self.relay.close()
        self.s3.__exit__(kind, value, trace)
        self.kept.__exit__(kind, value, trace)


def full(what):
    return Place(what, lambda folder: LoopDisk(folder, what, DISK_BYTES))


def failing(what, journal):
    return Place(what, lambda folder: FailingDisk(folder, what, DISK_BYTES, journal))


def the_disk_is_full_while_writers_run():
    with full("disk_full") as (world, disk):
        world.writes(0.8)
        for turn in range(TURNS):
            world.start_threads()
            time.sleep(0.4)
            disk.fill()
            time.sleep(0.8)
            wait_for("refusals", world.is_full)
            world.wait_degraded("disk")
            world.stop_threads()
            world.reads_work()
            if turn % 2 == 0:
                world.node.kill9()
                world.node.start()
                world.reads_work()
            else:
                world.node.stop()
                world.node.start()
                world.reads_work()
            disk.empty()
            world.wait_writable()
            world.writes(0.4)
            world.wait_healthy()
            world.reads_work()
        world.log_is_no_storm(120)
        print(f"{world.totals()}")
        world.survives_losing_the_machine()


def the_disk_is_full_at_the_start():
    """With the bucket down as well: all there is is the local disk, and it has no byte free."""
    with full("disk_full_at_start") as (world, disk):
        world.writes(0.8)
        for bucket in ("there", "away"):
            world.node.kill9()
            disk.fill()
            check(disk.free_bytes() == 0, f"{disk.free_bytes()} bytes are free")
            if bucket == "away":
                world.relay.cut("refuse")
            began = time.monotonic()
            world.node.start()
            print(f"ready on a full disk with the bucket {bucket} after {time.monotonic() - began:.2f} s")
            world.reads_work()
            world.writes(1)
            wait_for("refusals", world.is_full)
            world.wait_degraded("disk")
            disk.empty()
            if bucket == "away":
                wait_for("local writes", lambda: world.probe(world.shared[0]).status == 200)
                world.relay.mend()
            world.wait_writable()
            world.writes(0.5)
            world.wait_healthy()
            world.reads_work()
        world.survives_losing_the_machine()


def an_empty_directory_on_a_full_disk_says_so():
    with full("disk_full_at_start") as (world, disk):
        world.writes(0.8)
        world.flush()
        world.node.kill9()
        world.lose_the_machine()
        disk.fill(leave=1 << 20)
        world.node.launch()
        code = world.node.wait_exit()
        check(code == 1 and "No space left" in world.node.log_text(), f"it ended with {code}: {world.node.log_text()}")
        disk.empty()
        world.lose_the_machine()
        problems = world.come_back(False) + world.look()
        check(not problems, f"{problems[:6]}")


def a_disk_that_fails_for_a_while():
    with failing("failing_disk", False) as (world, disk):
        world.writes(0.8)
        for _ in range(TURNS):
            world.start_threads()
            time.sleep(0.4)
            disk.fail()
            time.sleep(1.5)
            world.wait_stopped()
            print(f"while it fails: {world.wait_degraded('disk', 'Input/output error')}")
            world.stop_threads()
            world.reads_work(stopped=True)
            disk.heal()
            try:
                world.wait_writable(2)
                print("writes are taken again")
            except AssertionError:
                print(f"after it is well: {world.wait_degraded('restart')}")
                world.node.kill9()
                world.node.start()
                world.wait_writable()
            world.writes(0.4)
            world.wait_healthy()
            world.reads_work()
        world.log_is_no_storm(120)
        world.survives_losing_the_machine()


def a_disk_that_goes_read_only():
    """As a file system with a journal does when its device fails."""
    with failing("failing_disk", True) as (world, disk):
        world.writes(0.8)
        world.start_threads()
        time.sleep(0.4)
        disk.fail()
        time.sleep(2)
        world.wait_stopped()
        print(f"while it fails: {world.wait_degraded('disk')}")
        world.stop_threads()
        world.reads_work(stopped=True)
        world.node.kill9()
        disk.heal()
        disk.unmount()
        disk.mount()
        world.node.start()
        world.reads_work()
        world.wait_writable()
        world.writes(0.5)
        world.wait_healthy()
        world.reads_work()
        world.survives_losing_the_machine()


if __name__ == "__main__":
    TURNS = support.take_option("--turns", 2)
    SEED = support.take_seed()
    support.main(the_disk_is_full_while_writers_run, the_disk_is_full_at_the_start,
                 an_empty_directory_on_a_full_disk_says_so, a_disk_that_fails_for_a_while,
                 a_disk_that_goes_read_only)
