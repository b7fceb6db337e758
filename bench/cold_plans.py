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


def priced(units, worth, at, price_byte, price_get, choose=False):
    """One pass along the units of each query (rows of `units`, sorted): ranges that are worth most at these prices. Returns GETs, bytes and worth, or the
    ranges themselves."""
    size = (at.end[units] - at.begin[units]).astype(np.float64)
    gap = np.concatenate([np.full((len(units), 1), 1e18), at.begin[units[:, 1:]] - at.end[units[:, :-1]]], 1)
    zero = np.zeros(len(units))
    out, inn = zero.copy(), np.full(len(units), -1e30)
    held_out, held_in = np.zeros((3, len(units))), np.zeros((3, len(units)))  # GETs, bytes, worth
    goes_on, stays = [], []
    for j in range(units.shape[1]):
        on, new = inn - price_byte * gap[:, j], out - price_get
        go = on > new
        inn = np.where(go, on, new) + worth[:, j] - price_byte * size[:, j]
        held_in = np.where(go, held_in, held_out)
        held_in[0] += ~go
        held_in[1] += size[:, j] + np.where(go, gap[:, j], 0)
        held_in[2] += worth[:, j]
        end = inn > out
        out, held_out = np.where(end, inn, out), np.where(end, held_in, held_out)
        if choose:
            goes_on.append(go)
            stays.append(end)
    if not choose:
        return held_out
    plans = []
    for i, row in enumerate(units):
        plan, j = [], len(row) - 1
        while j >= 0:
            if not stays[j][i]:
                j -= 1
                continue
            last = row[j]
            while goes_on[j][i]:
                j -= 1
            plan.append((row[j], last + 1))
            j -= 1
        plans.append(np.array(plan[::-1], np.int64).reshape(-1, 2))
    return plans


def planned(units, worth, at, cap, budget, steps=8):
    """The plan of most worth within `cap` GETs and `budget` bytes for each query: a price a byte and a price a GET are sought by halving."""
    order = np.argsort(units, 1)
    units, worth = np.take_along_axis(units, order, 1).astype(np.int64), np.take_along_axis(worth, order, 1)
    n, top = len(units), worth.sum(1)
    best_worth, prices = np.full(n, -1.0), np.zeros((2, n))
    low, high = np.full(n, -16.0), np.full(n, 0.0)  # powers of two of worth a budget
    for _ in range(steps):
        a = (low + high) / 2
        byte = top * 2.0 ** a / budget * 64
        g_low, g_high, fits = np.full(n, -18.0), np.full(n, 0.0), np.zeros(n, bool)
        for _ in range(steps - 2):
            b = (g_low + g_high) / 2
            get = top * 2.0 ** b
            gets, size, got = priced(units, worth, at, byte, get)
            few, small = gets <= cap, size <= budget
            better = few & small & (got > best_worth)
            best_worth[better] = got[better]
            prices[0][better], prices[1][better] = byte[better], get[better]
            fits |= few & small
            g_low, g_high = np.where(few, g_low, b), np.where(few, b, g_high)
        low, high = np.where(fits, low, a), np.where(fits, a, high)
    none = best_worth < 0
    prices[0][none], prices[1][none] = top[none] * 64 / budget, top[none]
    return priced(units, worth, at, prices[0], prices[1], True)


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
