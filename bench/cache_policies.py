#!/usr/bin/env python3
"""What a cache of another policy would have hit: traces of bench_cold_trace, replayed.

    python3 bench/cache_policies.py TRACE...

Policies: LRU (what the cache has), 2Q (a quarter of the bytes for what was seen once, and names for half as much again), S3-FIFO (a tenth, names for nine
tenths), SIEVE; `best` evicts what is asked for again last (Belady, by blocks), which nobody can. A block costs its bytes and 160 of bookkeeping. Sizes are shares of the
bytes of all blocks in the trace. The first tenth of the asks fills the cache and is not counted. Printed: the share of blocks hit, and for LRU what its ghost list of
as many bytes again adds.
"""
import collections
import os
import sys

OVERHEAD = 160
SHARES = (0.025, 0.05, 0.1, 0.2, 0.4)


class LRU:
    def __init__(self, room, ghost=0):
        self.room, self.bytes, self.kept = room, 0, collections.OrderedDict()
        self.ghosts, self.ghost_bytes, self.ghost_room, self.ghost_hits = collections.OrderedDict(), 0, ghost, 0

    def ask(self, name, size):
        if name in self.kept:
            self.kept.move_to_end(name)
            return True
        if name in self.ghosts:
            self.ghost_bytes -= self.ghosts.pop(name)
            self.ghost_hits += 1
        self.kept[name] = size
        self.bytes += size
        while self.bytes > self.room:
            old, gone = self.kept.popitem(last=False)
            self.bytes -= gone
            if self.ghost_room:
                self.ghosts[old] = gone
                self.ghost_bytes += gone
                while self.ghost_bytes > self.ghost_room:
                    self.ghost_bytes -= self.ghosts.popitem(last=False)[1]
        return False


class TwoQ:
    def __init__(self, room):
        self.room, self.first_room, self.name_room = room, room // 4, room // 2
        self.first, self.main, self.names = collections.OrderedDict(), collections.OrderedDict(), collections.OrderedDict()
        self.first_bytes = self.main_bytes = self.name_bytes = 0

    def ask(self, name, size):
        if name in self.main:
            self.main.move_to_end(name)
            return True
        if name in self.first:
            return True
        if name in self.names:
            self.name_bytes -= self.names.pop(name)
            self.main[name] = size
            self.main_bytes += size
        else:
            self.first[name] = size
            self.first_bytes += size
        while self.first_bytes + self.main_bytes > self.room:
            if self.first_bytes > self.first_room or not self.main:
                old, gone = self.first.popitem(last=False)
                self.first_bytes -= gone
                self.names[old] = gone
                self.name_bytes += gone
                while self.name_bytes > self.name_room:
                    self.name_bytes -= self.names.popitem(last=False)[1]
            else:
                self.main_bytes -= self.main.popitem(last=False)[1]
        return False


class S3Fifo:
    def __init__(self, room):
        self.room, self.small_room = room, room // 10
        self.small, self.main, self.names = collections.OrderedDict(), collections.OrderedDict(), collections.OrderedDict()
        self.small_bytes = self.main_bytes = self.name_bytes = 0
        self.count = {}

    def ask(self, name, size):
        if name in self.count:
            self.count[name] = min(3, self.count[name] + 1)
            return True
        self.count[name] = 0
        if name in self.names:
            self.name_bytes -= self.names.pop(name)
            self.main[name] = size
            self.main_bytes += size
        else:
            self.small[name] = size
            self.small_bytes += size
        while self.small_bytes + self.main_bytes > self.room:
            if self.small_bytes > self.small_room or not self.main:
                self.end_small()
            else:
                self.end_main()
        return False

    def end_small(self):
        old, gone = self.small.popitem(last=False)
        self.small_bytes -= gone
        if self.count[old] > 0:
            self.count[old] = 0
            self.main[old] = gone
            self.main_bytes += gone
            return
        del self.count[old]
        self.names[old] = gone
        self.name_bytes += gone
        while self.name_bytes > self.room - self.small_room:
            self.name_bytes -= self.names.popitem(last=False)[1]

    def end_main(self):
        while True:
            old, gone = self.main.popitem(last=False)
            if self.count[old] == 0:
                self.main_bytes -= gone
                del self.count[old]
                return
            self.count[old] -= 1
            self.main[old] = gone


class Sieve:
    """A hand that moves from old to new and spares what was asked for since it passed."""

    def __init__(self, room):
        self.room, self.bytes = room, 0
        self.nodes, self.seen = {}, {}
        self.newer, self.older = {}, {}
        self.newest = self.oldest = self.hand = None

    def ask(self, name, size):
        if name in self.nodes:
            self.seen[name] = True
            return True
        self.nodes[name], self.seen[name] = size, False
        self.older[name], self.newer[name] = self.newest, None
        if self.newest is not None:
            self.newer[self.newest] = name
        self.newest = name
        if self.oldest is None:
            self.oldest = name
        self.bytes += size
        while self.bytes > self.room:
            self.evict(name)
        return False

    def evict(self, just):
        at = self.hand if self.hand is not None else self.oldest
        while self.seen[at] or at == just:
            self.seen[at] = False
            at = self.newer[at] if self.newer[at] is not None else self.oldest
        self.hand = self.newer[at]
        old, new = self.older.pop(at), self.newer.pop(at)
        if old is not None:
            self.newer[old] = new
        else:
            self.oldest = new
        if new is not None:
            self.older[new] = old
        else:
            self.newest = old
        self.bytes -= self.nodes.pop(at)
        del self.seen[at]


def best(trace, room, counted):
    """Belady: of what is kept, what is asked for again last goes; what is asked for later than all that is kept is not kept."""
    import heapq  # pylint: disable=import-outside-toplevel
    after, last = [0] * len(trace), {}
    for i in range(len(trace) - 1, -1, -1):
        after[i] = last.get(trace[i][1], len(trace) + 1)
        last[trace[i][1]] = i
    kept, due, heap, used, hits = {}, {}, [], 0, 0
    for i, (_, name, size) in enumerate(trace):
        if name in kept:
            hits += i >= counted
        else:
            kept[name] = size
            used += size
        due[name] = after[i]
        heapq.heappush(heap, (-after[i], name))
        while used > room:
            when, old = heapq.heappop(heap)
            if old in kept and due[old] == -when:
                used -= kept.pop(old)
    return hits


def replay(path):
    trace, sizes = [], {}
    with open(path, encoding="ascii") as f:
        for line in f:
            ask, offset, size = line.split()
            name = int(offset)
            trace.append((int(ask), name, int(size) + OVERHEAD))
            sizes[name] = int(size) + OVERHEAD
    total, asks = sum(sizes.values()), trace[-1][0]
    counted = next(i for i, t in enumerate(trace) if t[0] > asks // 10)
    print(f"\n{os.path.basename(path)}: {asks} asks, {len(trace)} blocks asked for, {len(sizes)} of them different, {total / 1e6:.1f} MB\n")
    print("| cache, of all | LRU | 2Q | S3-FIFO | SIEVE | best | LRU, ghosts add |\n|---|---|---|---|---|---|---|")
    for share in SHARES:
        room, line = int(total * share), []
        ghosts = 0
        for policy in (LRU(room, room), TwoQ(room), S3Fifo(room), Sieve(room)):
            hits = before = 0
            for i, (_, name, size) in enumerate(trace):
                if i == counted and isinstance(policy, LRU):
                    before = policy.ghost_hits
                hits += policy.ask(name, size) and i >= counted
            line.append(hits / (len(trace) - counted))
            if isinstance(policy, LRU):
                ghosts = (policy.ghost_hits - before) / (len(trace) - counted)
        line.append(best(trace, room, counted) / (len(trace) - counted))
        print(f"| {share:.1%} | " + " | ".join(f"{x:.3f}" for x in line) + f" | {ghosts:.3f} |", flush=True)


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    for path in sys.argv[1:]:
        replay(path)


if __name__ == "__main__":
    main()
