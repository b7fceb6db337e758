"""Plans for cold_layout.py: which byte ranges a query asks for, and what they cost. Needs numpy.

A *unit* is the least that is fetched: a fine cell, or a row. Ranges are [first, end) of units.
"""
import numpy as np


class Places:
    """Where units lie, in bytes. Between objects lies more than any gap that is read over."""

    def __init__(self, sizes, parts=None):
        self.end = np.cumsum(np.asarray(sizes, np.int64))
        self.begin = self.end - sizes
        if parts is not None:
            self.begin, self.end = self.begin + (parts.astype(np.int64) << 44), self.end + (parts.astype(np.int64) << 44)

    def size(self, ranges):
        return self.end[ranges[:, 1] - 1] - self.begin[ranges[:, 0]]


def spans(units, at, gap):
    """Ranges [first, end) of sorted units; two are one GET where not more than `gap` bytes lie between them."""
    if not len(units):
        return np.zeros((0, 2), np.int64)
    cut = np.flatnonzero(at.begin[units[1:]] - at.end[units[:-1]] > gap)
    return np.stack([units[np.concatenate([[0], cut + 1])], units[np.concatenate([cut, [len(units) - 1]])] + 1], 1)


def merged(units, at, gap, cap):
    """All units wanted: the smallest gaps are read over until at most `cap` GETs are left."""
    units = np.sort(units)
    between = at.begin[units[1:]] - at.end[units[:-1]]
    if cap <= len(between):
        gap = max(gap, np.partition(between, len(between) - cap)[len(between) - cap])
    return spans(units, at, gap)


def best(units, weight, at, gap, cap, budget):
    """What is worth most: units no further apart than `gap` are a clump, the `cap` clumps of the largest weight are read, as far as the budget
    goes; a clump that breaks it is left out."""
    order = np.argsort(units)
    units, weight = units[order], weight[order]
    s = spans(units, at, gap)
    if len(s) <= cap and at.size(s).sum() <= budget:
        return s
    worth = np.add.reduceat(weight, np.searchsorted(units, s[:, 0]))
    size = at.size(s)
    keep, used = [], 0
    for i in np.argsort(-worth):
        if used + size[i] <= budget:
            keep.append(i)
            used += size[i]
            if len(keep) == cap:
                break
    return s[np.sort(np.array(keep, np.int64))]


def cost(ranges, at):
    return len(ranges), int(at.size(ranges).sum())


def inside(ranges, units):
    """Which of the units are read."""
    if not len(ranges):
        return np.zeros(len(units), bool)
    at = np.maximum(np.searchsorted(ranges[:, 0], units, "right") - 1, 0)
    return (units >= ranges[at, 0]) & (units < ranges[at, 1])


class Store:
    """First bytes of GETs by the latency profiles of the design study 2.1, hedged: a second request after the p95, the sooner answer counts."""

    def __init__(self, name, seed=1):
        self.name, self.rng = name, np.random.default_rng(seed)
        self.bytes_per_ms = {"s3": 82, "lan": 400}[name] * 2 ** 20 / 1000
        self.p95 = float(np.quantile(self.draw((200_000,)), 0.95))

    def draw(self, shape):
        if self.name == "lan":  # p50 1.5, p99 10 ms
            return 1.5 * np.exp(0.816 * self.rng.standard_normal(shape))
        fast = 26 * np.exp(0.336 * self.rng.standard_normal(shape))  # p50 26, p90 40 ms
        slow = 150 * np.exp(0.35 * self.rng.standard_normal(shape))  # 1.2 % of all
        return np.where(self.rng.random(shape) < 0.012, slow, fast)

    def wave(self, gets, size, trials, hedge, line_bytes_per_ms):
        """Milliseconds of `trials` waves of `gets` equal ranges, `size` bytes in all."""
        if gets == 0:
            return np.zeros(trials)
        first = self.draw((trials, gets))
        if hedge:
            second = self.p95 + self.draw((trials, gets))
            first = np.where(first > self.p95, np.minimum(first, second), first)
        return np.maximum(first.max(1) + size / gets / self.bytes_per_ms, np.median(first, 1) + size / line_bytes_per_ms)

    def waves(self, parts, hedge=True, trials=20_000, line=1.25e6):
        """P50 and P99 of waves one after the other: (GETs, bytes) each. `line`: 10 Gb/s in bytes a millisecond."""
        total = sum(self.wave(max(int(round(g)), 0), b, trials, hedge, line) for g, b in parts)
        return float(np.quantile(total, 0.5)), float(np.quantile(total, 0.99))
