"""Cells and codes for cold_layout.py: rows put in cells, cells in an order, and short codes with what they say of distances. Needs numpy.

A layout gives each row a *position*: rows of one fine cell lie together, fine cells of one coarse cell lie together. Codes are of the residual, row minus
the centroid c of its coarse cell, turned by one random rotation (RaBitQ and its extension to more bits): x is on a grid of 2^bits steps a component, and
|row - q|^2 is estimated as |q - c|^2 + B + A <x, q>, with two numbers A and B a row, without bias. Fine centroids are coded in the same way.
"""
import numpy as np

from cold_sets import BLOCK, blocks

STEPS = {2: 0.996, 3: 0.586, 4: 0.335, 5: 0.188, 6: 0.104, 8: 0.031}  # best uniform step for a Gaussian of deviation 1


def assign(x, centres):
    out = np.empty(len(x), np.int32)
    half = (centres ** 2).sum(1) / 2
    for at, part in blocks(x):
        out[at:at + len(part)] = np.argmax(part @ centres.T - half, 1)
    return out


def kmeans(x, k, rng, rounds=8, sample=128):
    """Centroids of at most `sample` rows a cell; an empty cell moves to a row of the largest."""
    if len(x) > sample * k:
        x = np.asarray(x[np.sort(rng.choice(len(x), sample * k, False))])
    x = np.asarray(x, np.float32)
    if len(x) <= k:
        return x.copy()
    c = x[rng.choice(len(x), k, False)].copy()
    for _ in range(rounds):
        a = assign(x, c)
        order = np.argsort(a, kind="stable")
        count = np.bincount(a, minlength=k)
        there = count > 0
        starts = (np.cumsum(count) - count)[there]
        c[there] = np.add.reduceat(x[order], starts, 0) / count[there][:, None]
        if not there.all():
            big = np.flatnonzero(a == count.argmax())
            c[~there] = x[rng.choice(big, int((~there).sum()))]
    return c


def line_up(points, left=None, right=None):
    """An order in which neighbours adjoin: halved by two means again and again, each half turned towards what lies beside it."""
    if len(points) <= 1:
        return np.arange(len(points))
    a, b = points[0], points[-1]
    far = points - points.mean(0)
    a = points[np.argmax((far ** 2).sum(1))]
    b = points[np.argmax(((points - a) ** 2).sum(1))]
    for _ in range(4):
        side = points @ (b - a)
        low = side <= np.median(side)
        if low.all() or not low.any():
            low = np.arange(len(points)) < len(points) // 2
        a, b = points[low].mean(0), points[~low].mean(0)
    apart = lambda p, q: 0 if p is None else ((p - q) ** 2).sum()
    if apart(left, a) + apart(right, b) > apart(left, b) + apart(right, a):
        low, a, b = ~low, b, a
    one, two = np.flatnonzero(low), np.flatnonzero(~low)
    return np.concatenate([one[line_up(points[one], left, b)], two[line_up(points[two], a, right)]])


class Layout:
    """`order`: all (cells and rows lined up), cells (rows as they come), none (neither)."""

    def __init__(self, x, coarse, fine, seed, order="all", again=True):
        rng = np.random.default_rng(seed)
        top = kmeans(x, coarse, rng)
        top = top[line_up(top) if order != "none" else rng.permutation(len(top))]
        group = assign(x, top)
        centres, parent = [], []
        for g in range(len(top)):
            rows = np.flatnonzero(group == g)
            if not len(rows):
                continue
            share = max(1, int(round(fine * coarse * len(rows) / len(x)))) if fine > 1 else 1
            c = kmeans(x[rows], min(share, len(rows)), rng, 6, 10 ** 9)
            before, behind = top[g - 1] if g else None, top[g + 1] if g + 1 < len(top) else None
            centres.append(c[line_up(c, before, behind) if order != "none" else rng.permutation(len(c))])
            parent += [g] * len(c)
        self.centres, self.parent, self.top = np.concatenate(centres), np.array(parent), top
        self.cell = self.nearest_cells(x, group, 1)[:, 0]
        self.place(x, order)

    def nearest_cells(self, x, group, k, around=8):
        """The k nearest fine cells of each row among those of the coarse cells around its own."""
        out = np.empty((len(x), k), np.int32)
        near = np.argsort(((self.top ** 2).sum(1)[None] - 2 * self.top @ self.top.T), 1)[:, :around]
        for g in range(len(self.top)):
            rows = np.flatnonzero(group == g)
            if not len(rows):
                continue
            cells = np.flatnonzero(np.isin(self.parent, near[g]))
            c = self.centres[cells]
            score = (c ** 2).sum(1) / 2 - np.asarray(x[rows], np.float32) @ c.T
            best = np.argpartition(score, min(k, len(cells)) - 1, 1)[:, :k] if k > 1 else np.argmin(score, 1)[:, None]
            best = np.take_along_axis(best, np.argsort(np.take_along_axis(score, best, 1), 1), 1)
            out[rows] = cells[best]
        return out

    def others(self, x, k=3):
        """The nearest fine cell of each row, then the nearest in each of other coarse cells, and their squared distances: k of them."""
        group = self.parent[self.cell]
        out, dist = np.empty((len(group), k), np.int32), np.empty((len(group), k), np.float32)
        near = np.argsort(((self.top ** 2).sum(1)[None] - 2 * self.top @ self.top.T), 1)[:, :8]
        half = (self.centres ** 2).sum(1)
        for g in range(len(self.top)):
            rows = np.flatnonzero(group == g)
            if not len(rows):
                continue
            part = np.asarray(x[rows], np.float32)
            n2 = (part ** 2).sum(1)
            best, which = [], []
            for other in near[g]:
                cells = np.flatnonzero(self.parent == other)
                if len(cells):
                    d = n2[:, None] + half[cells][None] - 2 * part @ self.centres[cells].T
                    best.append(d.min(1))
                    which.append(cells[d.argmin(1)])
            best, which = np.stack(best, 1), np.stack(which, 1)
            order = np.argsort(best, 1)[:, :k]
            out[rows], dist[rows] = np.take_along_axis(which, order, 1), np.take_along_axis(best, order, 1)
        return out, dist

    def place(self, x, order):
        n = len(self.cell)
        flow, apart = np.arange(n, dtype=np.float32), np.empty(n, np.float32)
        for at, part in blocks(x):
            apart[at:at + len(part)] = ((part - self.centres[self.cell[at:at + len(part)]]) ** 2).sum(1)
        if order == "all":  # within a cell: from what lies before it to what lies behind it
            c = np.pad(self.centres, ((1, 1), (0, 0)), "edge")
            way = c[2:] - c[:-2]
            for at, part in blocks(x):
                flow[at:at + len(part)] = (part * way[self.cell[at:at + len(part)]]).sum(1)
        self.row = np.lexsort((flow, self.cell)).astype(np.int32)
        self.position = np.empty(n, np.int32)
        self.position[self.row] = np.arange(n, dtype=np.int32)
        self.count = np.bincount(self.cell, minlength=len(self.centres))
        self.start = np.concatenate([[0], np.cumsum(self.count)])
        self.spread = np.bincount(self.cell, apart, len(self.centres)) / np.maximum(self.count, 1)  # mean |row - centroid|^2


class Many:
    """Layouts of several segments as one: positions and cells count on from one segment to the next."""

    others = Layout.others

    def __init__(self, some):
        cells, rows, tops = 0, 0, 0
        total = sum(len(lay.row) for _, lay in some)
        self.cell, self.position = np.empty(total, np.int32), np.empty(total, np.int32)
        every = {k: [] for k in ("centres", "parent", "top", "row", "count", "spread", "start", "cell_part")}
        for k, (ids, lay) in enumerate(some):
            ids = np.arange(total) if ids is None else ids
            self.cell[ids], self.position[ids] = lay.cell + cells, lay.position + rows
            every["centres"].append(lay.centres)
            every["top"].append(lay.top)
            every["parent"].append(lay.parent + tops)
            every["row"].append(ids[lay.row])
            every["count"].append(lay.count)
            every["spread"].append(lay.spread)
            every["start"].append(lay.start[:-1] + rows)
            every["cell_part"].append(np.full(len(lay.centres), k))
            cells, rows, tops = cells + len(lay.centres), rows + len(lay.row), tops + len(lay.top)
        every["start"].append([total])
        for name, values in every.items():
            setattr(self, name, np.concatenate(values))


def rotation(dim, seed, rounds=4):
    """A rotation that a node can do in dim log dim steps and that needs no stored matrix: signs, then a Walsh-Hadamard transform, by turns of the first
    and of the last components, as many as the largest power of two; between them halves are mixed."""
    rng = np.random.default_rng(seed)
    y, block = np.eye(dim, dtype=np.float32), 1 << (dim.bit_length() - 1)
    half = dim // 2
    for k in range(rounds):
        y = y * rng.choice(np.array([-1, 1], np.float32), dim)
        part = slice(0, block) if k % 2 == 0 else slice(dim - block, dim)
        z = y[:, part]
        step = 1
        while step < block:
            z = z.reshape(dim, -1, 2, step)
            z = np.stack([z[:, :, 0] + z[:, :, 1], z[:, :, 0] - z[:, :, 1]], 2)
            step *= 2
        y[:, part] = z.reshape(dim, block) / np.float32(np.sqrt(block))
        if block != dim:
            low, high = y[:, :half].copy(), y[:, dim - half:].copy()
            y[:, :half], y[:, dim - half:] = (low + high) / np.float32(np.sqrt(2)), (low - high) / np.float32(np.sqrt(2))
    return y


def encode(r, bits):
    """Grid points x of rotated residuals, and |r|^2 / <x, r>."""
    if bits == 1:
        x = np.where(r >= 0, np.float32(1), np.float32(-1))
        dot = np.abs(r).sum(1)
    else:
        top = 2 ** (bits - 1) - 0.5
        sigma = np.sqrt((r ** 2).mean(1, keepdims=True)) + 1e-20
        best, x, dot = np.full(len(r), -1.0, np.float32), None, None
        for times in (0.85, 1.0, 1.17, 1.37):
            y = np.clip(np.floor(r / (sigma * np.float32(STEPS[bits] * times))) + np.float32(0.5), -top, top)
            d = (y * r).sum(1)
            cos = d / np.sqrt((y ** 2).sum(1))
            if x is None:
                best, x, dot = cos, y, d
                continue
            better = cos > best
            best[better], x[better], dot[better] = cos[better], y[better], d[better]
    n2 = (r ** 2).sum(1)
    return x, n2 / np.maximum(dot, 1e-20), n2


def estimates(x, layout, turn, bits, queries, positions=None):
    """Yields positions and estimated squared distances of all queries to them."""
    turned, centres = queries @ turn, layout.top @ turn
    to_top = (queries ** 2).sum(1)[:, None] + (layout.top ** 2).sum(1)[None] - 2 * queries @ layout.top.T
    every = np.arange(len(layout.row)) if positions is None else positions
    for at in range(0, len(every), BLOCK // 2):
        here = every[at:at + BLOCK // 2]
        rows = layout.row[here]
        cells = layout.parent[layout.cell[rows]]
        near = np.argsort(rows)  # the file is read forwards
        part = np.empty((len(rows), queries.shape[1]), np.float32)
        part[near] = x[rows[near]]
        code, f, n2 = encode(part @ turn - centres[cells], bits)
        f = f.astype(np.float16).astype(np.float32) if bits == 1 else f
        b = n2 + 2 * f * (code * centres[cells]).sum(1)
        yield here, to_top[:, cells] + b[None] - 2 * f[None] * (turned @ code.T)


def to_fine(layout, turn, bits, queries):
    """Squared distances of queries to fine centroids, from codes of these; exact with 32 bits."""
    if bits == 32:
        return np.maximum((queries ** 2).sum(1)[:, None] + (layout.centres ** 2).sum(1)[None] - 2 * queries @ layout.centres.T, 0)
    base = (layout.top @ turn)[layout.parent]
    code, f, n2 = encode(layout.centres @ turn - base, bits)
    d = (queries ** 2).sum(1)[:, None] + (layout.top ** 2).sum(1)[None] - 2 * queries @ layout.top.T
    return np.maximum(d[:, layout.parent] + (n2 + 2 * f * (code * base).sum(1))[None] - 2 * f[None] * ((queries @ turn) @ code.T), 0)


def ranked(x, layout, turn, bits, queries, keep, positions=None):
    """The `keep` nearest positions of each query by their codes, nearest first, and their estimates."""
    dist = np.full((len(queries), keep), np.inf, np.float32)
    where = np.full((len(queries), keep), -1, np.int32)
    for here, d in estimates(x, layout, turn, bits, queries, positions):
        both = np.concatenate([dist, d], 1)
        pos = np.concatenate([where, np.broadcast_to(here.astype(np.int32), d.shape)], 1)
        best = np.argpartition(both, keep - 1, 1)[:, :keep]
        dist, where = np.take_along_axis(both, best, 1), np.take_along_axis(pos, best, 1)
    order = np.argsort(dist, 1)
    return np.take_along_axis(where, order, 1), np.take_along_axis(dist, order, 1)
