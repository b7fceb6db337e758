"""The power is cut under the running program: its ext4 forgets what was not synced. Needs root and loop mounts.

    python3 tests/integration/power_loss.py [--seed S] [--rounds N] [the_program_loses_nothing | the_twin_is_caught]

kill -9 leaves the page cache in place and cannot see a missing fdatasync; this can. The true program must come back with
everything it acknowledged, and the twin that says durable without fdatasync must be caught losing something.
"""
import os
import random
import time

import support
from disk import LoopDisk
from kill9 import World
from support import Folder, check

DISK_BYTES = 1 << 30


class PowerWorld(World):
    """A world whose rounds end with a power cut."""

    def __init__(self, folder, disk, rng, binary=None):
        super().__init__(folder, rng, binary, data_dir=os.path.join(disk.path, "data"))
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


def rounds_of(binary, seed, rounds, stop_at_loss):
    problems = []
    with Folder("power") as folder, LoopDisk(folder, "power_loss", DISK_BYTES) as disk:
        world = PowerWorld(folder, disk, random.Random(seed), binary)
        with world.node as node:
            node.start()
            world.create()
            for number in range(1, rounds + 1):
                _, found = world.round(number)
                print(f"power cut {number}: {world.totals()}, {len(found)} problems", flush=True)
                for text in found[:4]:
                    print("   ", text[:300], flush=True)
                problems += found
                if found and stop_at_loss:
                    break
    return problems


def the_program_loses_nothing():
    check(not rounds_of(None, SEED, ROUNDS, False), "something acknowledged was lost, or the node did not come back whole")


def the_twin_is_caught():
    problems = rounds_of(support.program("tiervec_twin_skip"), SEED, ROUNDS, True)
    check(any("LOST" in p for p in problems), f"a log without fdatasync went through {ROUNDS} power cuts unnoticed")


if __name__ == "__main__":
    ROUNDS = support.take_option("--rounds", 5)
    SEED = support.take_seed()
    support.main(the_program_loses_nothing, the_twin_is_caught)
