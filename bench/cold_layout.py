#!/usr/bin/env python3
"""What a cold query reads: recall@10 against GETs and bytes, for layouts of cells, code widths and plans. No node, no bucket: the layout is built here and
ranges are counted, with all that would travel in them. docs/decisions/cold-layout.md has the results.

    PYTHON bench/cold_layout.py BASE.npy QUERY.npy cosine|l2 [--rows N] [--queries N] [--work DIR] [--seed S] [tables...]

PYTHON has numpy. Tables: routing, codes, footers, resident, segments, scanned, copies, filters, sizes; without a name all (minutes at
71,000 rows, an hour at 1,000,000: name some, and --bits). With --rows the base is grown
to so many rows by the recipe in cold_sets.py. --work keeps exact answers, layouts and code rankings between runs (default: a folder for this run).
Memory stays under 4 GB at 1,000,000 x 384; one thread with OMP_NUM_THREADS=1. Every query is asked of every plan; recall is the mean over queries.
"""
import argparse
import hashlib
import os
import pickle
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cold_sets as sets  # pylint: disable=wrong-import-position
from cold_cells import Layout, Many, ranked, rotation, to_fine  # pylint: disable=wrong-import-position
from cold_plans import Places, Store, best, cost, inside, planned, spans  # pylint: disable=wrong-import-position

TOP = 10
FACTORS = 8      # two numbers a code
ROW_TAIL = 16    # id and lsn of a row
ROW_CRC = 4      # a row that is fetched alone has a checksum of its own
CELL_HEAD = 16   # header of a fine cell's block where rows have no checksum of their own
KEEP = 1000      # nearest by code that are remembered


def code_bytes(dim, bits):
    return (dim * bits + 7) // 8 + FACTORS


class Set:
    def __init__(self, args):
        self.args, self.metric = args, args.metric
        self.x = sets.load(args.base, args.metric)
        self.q = sets.load(args.query, args.metric)[:args.queries]
        self.q = np.asarray(self.q, np.float32)
        name = os.path.basename(args.base).split(".")[0]
        if args.rows > len(self.x):
            path = os.path.join(args.work, f"{name}-{args.rows}-{args.seed}.npy")
            if not os.path.exists(path):
                sets.write_grown(path, self.x, args.rows, args.seed, args.metric)
            self.x = np.load(path, mmap_mode="r")
        self.key = f"{name}-{len(self.x)}-{args.queries}-{args.seed}"
        self.turn = rotation(self.x.shape[1], args.seed)
        self.truth, self.truth_dist = self.kept("truth", lambda: sets.nearest(self.x, self.q, 100))
        self.n, self.dim = self.x.shape
        args.centroid_bits = args.centroid_bits or (4 if self.dim <= 128 else 2 if self.dim <= 256 else 1)

    def kept(self, what, make):
        path = os.path.join(self.args.work, hashlib.sha1(f"{self.key}/{what}".encode()).hexdigest()[:16] + ".pickle")
        if os.path.exists(path):
            with open(path, "rb") as f:
                return pickle.load(f)
        value = make()
        with open(path + ".tmp", "wb") as f:
            pickle.dump(value, f)
        os.rename(path + ".tmp", path)
        return value

    def layout(self, coarse, fine, order="all", parts=(1.0,)):
        def make():
            which = np.searchsorted(np.cumsum(parts)[:-1], np.random.default_rng(self.args.seed).random(self.n)) if len(parts) > 1 else None
            some = [np.flatnonzero(which == k) for k in range(len(parts))] if len(parts) > 1 else [None]
            return Many([(rows, Layout(self.x if rows is None else self.x[rows], max(1, int(coarse * share)), fine, self.args.seed, order))
                         for rows, share in zip(some, parts)])
        lay = self.kept(f"cells {coarse} {fine} {order} {parts}", make)
        lay.name = f"{coarse} x {fine}" + (f" in {len(parts)} segments" if len(parts) > 1 else "")
        lay.shape = f"{coarse} {fine} {order} {parts}"
        lay.to_cells = to_fine(lay, self.turn, self.args.centroid_bits, self.q)
        lay.score = cell_score(lay, lay.to_cells)
        lay.near = np.argsort(lay.score, 1)[:, :4000].astype(np.int32)
        lay.truth = lay.position[self.truth[:, :TOP]]
        return lay

    def ranks(self, lay, bits):
        """The best by code among all rows as positions of `lay`. Codes are made once, around the coarse centroids of one shape, for all layouts."""
        def make():
            base = self.layout(*main_shape(self))
            pos, est = ranked(self.x, base, self.turn, bits, self.q, KEEP)
            return base.row[pos], est
        rows, est = self.kept(f"coarse ranks {bits}", make)
        return lay.position[rows], est


def cell_score(lay, d):
    """Ranks cells by how likely a row of theirs is near: rows lie around the centroid at mean squared distance `spread`, in all directions, so that the
    squared distance of one to the query is about d + spread, give or take a multiple of sqrt(d spread)."""
    spread = np.maximum(lay.spread, 1e-3 * np.median(lay.spread))[None]
    aim = 0.8 * (d + spread).min(1)[:, None]
    return (d + spread - aim) / np.sqrt(np.maximum(d, 1e-9) * spread)


def table(title, columns, rows):
    print(f"\n### {title}\n\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(v) if not isinstance(v, float) else f"{v:.3f}" if v < 2 else f"{v:,.1f}" if v < 100 else f"{v:,.0f}" for v in row) + " |")
    sys.stdout.flush()


def hits(found, truth):
    return np.isin(truth, found).sum() / TOP


def cells_at(lay, row_bytes, head=0):
    return Places(lay.count * row_bytes + head, lay.cell_part)


def cell_weight(s, lay, which=slice(None), holds=None, skip=None):
    """How likely a cell holds one of the nearest rows, by its rank: counted over some of the queries, smoothed. `holds`: the cells of each true row."""
    cells = lay.cell[s.truth[:, :TOP]] if holds is None else holds
    got = np.zeros(len(lay.centres))
    for i in range(len(s.q))[which]:
        near = np.argsort(lay.score[i])
        near = near if skip is None else near[~skip[near]]
        rank = np.full(len(lay.centres), -1)
        rank[near] = np.arange(len(near))
        found = rank[cells[i]]
        np.add.at(got, found[found >= 0], 1)
    wide = np.maximum(1, np.arange(len(got)) // 8)
    total = np.concatenate([[0], np.cumsum(got)])
    low, high = np.maximum(np.arange(len(got)) - wide, 0), np.minimum(np.arange(len(got)) + wide + 1, len(got))
    return (total[high] - total[low]) / (high - low) / len(range(len(s.q))[which])


def shapes(n):
    """Coarse x fine: about 1,000 rows a coarse cell, and variants that scale with the square root."""
    a, r = max(1, n // 1000), int(round(np.sqrt(n)))
    return [(4 * a, 1), (a, 16), (a, 32), (a, 64), (r, 16)] if n < 400_000 else [(a, 32), (a, 64)]


def main_shape(s):
    if s.args.shape:
        return tuple(int(v) for v in s.args.shape.split("x"))
    return max(1, s.n // 1000), 64


def widths(s, usual):
    return [int(b) for b in s.args.bits.split(",")] if s.args.bits else usual


def routing(s):
    """No codes: a true neighbour counts if its cell was read. Cells in order of their centroid's distance, and by cell_score."""
    out = []
    for coarse, fine in shapes(s.n):
        lay = s.layout(coarse, fine)
        held = lay.cell[s.truth[:, :TOP]]
        upto, near = [], []
        for score in (lay.to_cells, lay.score):
            order = np.argsort(score, 1)
            rows = np.cumsum(lay.count[order], 1)
            rank = np.argsort(order, 1)
            upto.append(np.take_along_axis(rows, np.take_along_axis(rank, held, 1), 1))
            near.append((order, rows))
        at = cells_at(lay, 1)
        for share in (0.005, 0.01, 0.02, 0.04, 0.08, 0.16):
            m = [(near[1][1][i] <= share * s.n).sum() for i in range(len(s.q))]
            gets = np.mean([len(spans(np.sort(near[1][0][i, :k]), at, 0)) for i, k in enumerate(m)])
            out.append((lay.name, len(lay.centres), f"{share:.1%}", int(share * s.n), *[(u <= share * s.n).mean() for u in upto], float(np.mean(m)), gets))
    table(f"Routing: {s.key}", ["coarse x fine", "cells", "share of rows read", "rows", "recall, by distance", "recall, by score", "cells read", "GETs, adjoining cells as one"], out)


def codes(s):
    lay = s.layout(*main_shape(s))
    out = []
    exact = s.truth_dist
    for bits in widths(s, (1, 2, 3, 4, 5, 6, 8)):
        pos, est = s.ranks(lay, bits)
        share = [np.mean([hits(pos[i, :r], lay.truth[i]) for i in range(len(s.q))]) for r in (10, 20, 50, 100, 200, 500)]
        where = [np.flatnonzero(pos[i] == lay.truth[i, 0]) for i in range(len(s.q))]
        wrong = [abs(est[i, w[0]] - exact[i, 0]) for i, w in enumerate(where) if len(w)]
        out.append((bits, code_bytes(s.dim, bits), *share, f"{np.sqrt(np.mean(np.square(wrong))):.5f}"))
    table(f"Codes alone, all rows: share of the true 10 among the best R by code: {s.key}, {lay.name}",
          ["bits", "bytes a row", "R 10", "20", "50", "100", "200", "500", "error of a squared distance, rms"], out)


def footers_plan(s, lay, weight, i, at, cap, budget, skip=None):
    """The best of a few ways to clump: `weight` is by rank of the cell, so their sum says what recall to expect."""
    near = lay.near[i] if skip is None else lay.near[i][~skip[lay.near[i]]]
    by_cell = np.zeros(len(lay.centres) + 1)
    by_cell[near] = weight[:len(near)]
    total = np.concatenate([[0], np.cumsum(by_cell[:-1])])
    plan, worth = None, -1.0
    for m in (32, 64, 128, 256, 512, 1024, 2048, 4000):
        for gap in (16384, 131072):
            r = best(near[:m].astype(np.int64), weight[:len(near[:m])], at, gap, cap, budget)
            w = (total[r[:, 1]] - total[r[:, 0]]).sum()
            if w > worth:
                plan, worth = r, w
        if m >= len(near):
            break
    return plan


def footers_plans(s, lay, at, cap, budget, most=2500):
    """A plan for each query, each half of the queries by the other's weights: by clumps, or by prices, where what a cell of some rank is worth goes by its
    rows too."""
    if not s.args.prices:
        weight = [cell_weight(s, lay, slice(k, None, 2)) for k in (1, 0)]
        return [footers_plan(s, lay, weight[i % 2], i, at, cap, budget) for i in range(len(s.q))]
    near = lay.near[:, :most].astype(np.int64)
    usual = np.maximum(1, np.convolve(lay.count[near].mean(0), np.full(9, 1 / 9), "same"))
    by_rank = [cell_weight(s, lay, slice(k, None, 2))[:near.shape[1]] / usual for k in (1, 0)]
    worth = np.stack([by_rank[i % 2] * lay.count[near[i]] for i in range(len(near))])
    return planned(near, worth, at, cap, budget)


def second_wave(s, row_at, rows, cap, gap, budget):
    rows = rows.astype(np.int64)
    return best(rows, 1 / (20 + np.arange(len(rows))), row_at, gap, cap, budget)


def row8(s):
    return code_bytes(s.dim, 8) + ROW_TAIL + ROW_CRC


BUDGETS = ((16, 5), (24, 7.5), (32, 10), (32, 20), (64, 40))


def footers(s):
    """Only footers resident, what budgets buy. One wave of cells with b-bit codes; or 1-bit cells, then the best 100 rows in 8 bits."""
    lay = s.layout(*main_shape(s))
    row_at = Places(np.full(s.n, row8(s)))
    cell_of = lay.cell[lay.row]
    eight = s.ranks(lay, 8)[0]
    lan, s3 = Store("lan"), Store("s3")
    out = []
    for bits in widths(s, (1, 4, 6, 8)):
        second = int(bits == 1)
        pos = s.ranks(lay, bits)[0]
        at = cells_at(lay, code_bytes(s.dim, 1), CELL_HEAD) if second else cells_at(lay, code_bytes(s.dim, bits) + ROW_TAIL + ROW_CRC)
        for gets_max, budget in BUDGETS:
            first_cap = gets_max // 2 if second else gets_max
            sums = np.zeros(5)
            plans = footers_plans(s, lay, at, first_cap, (budget - second) * 10 ** 6)
            for i, r in enumerate(plans):
                found = pos[i][inside(r, cell_of[pos[i]])]
                more = (0, 0)
                if second:
                    r2 = second_wave(s, row_at, found[:100], gets_max - first_cap, 16384, 10 ** 6)
                    found = eight[i][inside(r2, eight[i])]
                    more = cost(r2, row_at)
                sums += (hits(found[:TOP], lay.truth[i]), *cost(r, at), *more)
            recall, gets, size, gets2, size2 = sums / len(s.q)
            waves = [(gets, size)] + ([(gets2, size2)] if second else [])
            out.append(("1-bit cells, then rows" if second else f"{bits}-bit cells", gets_max, budget, recall, gets + gets2, (size + size2) / 1e6,
                        "%.1f / %.0f" % lan.waves(waves), "%.0f / %.0f" % s3.waves(waves)))
    table(f"Footers only: {s.key}, {lay.name}", ["plan", "GETs at most", "MB at most", "recall@10", "GETs", "MB", "lan P50 / P99 ms", "s3 P50 / P99 ms"], out)


def resident(s):
    """Codes resident; one wave for rows of 8-bit codes, ids and lsns."""
    row_at = Places(np.full(s.n, row8(s)))
    lan, s3 = Store("lan"), Store("s3")
    out = []
    plans = [("none", 1, 100, 0, 16), ("none", 1, 50, 16, 16), ("none", 1, 100, 16, 64)] if s.n < 400_000 else []
    for bits in widths(s, (1, 2, 4)):
        plans += [("all", bits, 100, 0, g) for g in (0, 4, 16, 64)]
        plans += [("all", bits, r, 16, g) for r in (20, 30, 50, 75, 100, 200) for g in (16, 64)]
        plans += [("all", bits, 100, cap, 16) for cap in (8, 24, 32)] + [("all", bits, 200, 64, 16)]
    for order, bits, r, cap, gap in plans:
        lay = s.layout(*main_shape(s), order)
        pos, full = s.ranks(lay, bits)[0], s.ranks(lay, 8)[0]
        sums = np.zeros(3)
        for i in range(len(s.q)):
            got = second_wave(s, row_at, pos[i, :r], cap or s.n, gap * 1024, 10 ** 6 if 0 < cap <= 32 else 10 ** 8)
            sums += (hits(full[i][inside(got, full[i])][:TOP], lay.truth[i]), *cost(got, row_at))
        recall, gets, size = sums / len(s.q)
        out.append((order, bits, r, cap or "-", gap, recall, gets, size / 1e6, "%.1f / %.0f" % lan.waves([(gets, size)]), "%.0f / %.0f" % s3.waves([(gets, size)])))
    table(f"Codes resident: {s.key}, {lay.name}", ["order", "bits", "best R", "GETs at most", "gap KiB", "recall@10", "GETs", "MB", "lan P50 / P99 ms", "s3 P50 / P99 ms"], out)


def segments(s):
    """The same rows in several segments, each with cells of its own: GETs do not merge across them."""
    out = []
    for parts in ((1.0,), (0.9, 0.1), (0.7, 0.2, 0.07, 0.03), (0.25,) * 4, (0.125,) * 8) if s.n < 400_000 else ((1.0,), (0.7, 0.2, 0.07, 0.03)):
        lay = s.layout(*main_shape(s), parts=parts)
        one, eight = s.ranks(lay, 1)[0], s.ranks(lay, 8)[0]
        row_at = Places(np.full(s.n, row8(s)), lay.cell_part[lay.cell[lay.row]])
        at = cells_at(lay, row8(s))
        cell_of = lay.cell[lay.row]
        for cap, budget in ((16, 1), (32, 1), (0, 100)):
            sums = np.zeros(3)
            for i in range(len(s.q)):
                got = second_wave(s, row_at, one[i, :50], cap or s.n, 16384, budget * 10 ** 6)
                sums += (hits(eight[i][inside(got, eight[i])][:TOP], lay.truth[i]), *cost(got, row_at))
            out.append((" ".join(f"{p:.0%}" for p in parts), "codes resident, best 50", cap or "-", budget, *(sums[:2] / len(s.q)), sums[2] / len(s.q) / 1e6))
        for cap, budget in ((16, 5), (32, 10)):
            sums = np.zeros(3)
            for i, r in enumerate(footers_plans(s, lay, at, cap, budget * 10 ** 6)):
                sums += (hits(eight[i][inside(r, cell_of[eight[i]])][:TOP], lay.truth[i]), *cost(r, at))
            out.append((" ".join(f"{p:.0%}" for p in parts), "footers only, 8-bit cells", cap, budget, *(sums[:2] / len(s.q)), sums[2] / len(s.q) / 1e6))
    table(f"Segments: {s.key}", ["shares", "plan", "GETs at most", "MB at most", "recall@10", "GETs", "MB"], out)


def scanned(s):
    """Codes resident, but only the nearest cells scanned; and centroids in fewer bits: what each loses."""
    lay = s.layout(*main_shape(s))
    pos, full = s.ranks(lay, 1)[0], s.ranks(lay, 8)[0]
    cell_of, out = lay.cell[lay.row], []
    for share in (0.02, 0.05, 0.1, 0.2, 0.4, 1.0):
        m = max(1, int(share * len(lay.centres)))
        got, rows = 0, 0
        for i in range(len(s.q)):
            mask = np.zeros(len(lay.centres), bool)
            mask[np.argpartition(lay.score[i], m - 1)[:m]] = True
            rows += lay.count[mask].sum()
            found = pos[i][mask[cell_of[pos[i]]]][:100]
            got += hits(full[i][np.isin(full[i], found)][:TOP], lay.truth[i])
        out.append((f"{share:.0%}", m, int(rows / len(s.q)), got / len(s.q)))
    table(f"Scanning resident codes of the nearest cells only, best 100 by code ranked in 8 bits: {s.key}, {lay.name}", ["cells", "of them", "rows", "recall@10"], out)
    out = []
    held = lay.cell[s.truth[:, :TOP]]
    for bits in (32, 8, 4, 2, 1):
        d = to_fine(lay, s.turn, bits, s.q)
        rank = np.argsort(np.argsort(cell_score(lay, d), 1), 1)
        out.append((bits, code_bytes(s.dim, bits) if bits < 32 else 4 * s.dim, *[(np.take_along_axis(rank, held, 1) < m).mean() for m in (16, 64, 256, 512, 1024)]))
    table(f"Centroids in fewer bits: recall when the best so many cells are read: {s.key}, {lay.name}", ["bits", "bytes", "16", "64", "256", "512", "1024"], out)


def copies(s):
    """Border rows also in up to two more cells of other coarse cells, 8-bit cells in one wave."""
    lay = s.layout(*main_shape(s))
    near, far = s.kept(f"near {lay.shape}", lambda: lay.others(s.x))
    out = []
    cell_of = lay.cell[lay.row]
    eight = s.ranks(lay, 8)[0]
    for ratio in (1.0, 1.05, 1.1, 1.2):
        extra = far[:, 1:] <= ratio ** 2 * far[:, :1]
        holds = np.concatenate([lay.cell[:, None], np.where(extra, near[:, 1:], lay.cell[:, None])], 1)
        count = lay.count + np.bincount(near[:, 1:][extra], minlength=len(lay.centres))
        at = Places(count * row8(s))
        truth_cells = holds[s.truth[:, :TOP]].reshape(len(s.q), -1)
        weight = [cell_weight(s, lay, slice(k, None, 2), truth_cells) for k in (1, 0)]
        for gets_max, budget in ((8, 5), (16, 5), (16, 10), (32, 10)):
            sums = np.zeros(3)
            for i in range(len(s.q)):
                r = footers_plan(s, lay, weight[i % 2], i, at, gets_max, budget * 10 ** 6)
                sums += (hits(eight[i][inside(r, holds[lay.row[eight[i]]].ravel()).reshape(len(eight[i]), -1).any(1)][:TOP], lay.truth[i]), *cost(r, at))
            recall, gets, size = sums / len(s.q)
            out.append((ratio, count.sum() / s.n, gets_max, budget, recall, gets, size / 1e6))
    table(f"Border copies, 8-bit cells in one wave: {s.key}, {lay.name}", ["within", "rows stored, times", "GETs at most", "MB at most", "recall@10", "GETs", "MB"], out)


def filters(s):
    """A filter that lets some rows through, by chance or by subject (the rows nearest to one direction); its bitmap by row is fetched first."""
    lay = s.layout(*main_shape(s))
    rng = np.random.default_rng(s.args.seed)
    row_at = Places(np.full(s.n, row8(s)))
    cell_of, out = lay.cell[lay.row], []
    way = s.q[:50].mean(0) + s.q[7]
    score = np.concatenate([part @ way for _, part in sets.blocks(s.x)])
    for kind, share in (("chance", 0.1), ("chance", 0.01), ("chance", 0.001), ("subject", 0.01)):
        rows = np.sort(rng.choice(s.n, int(share * s.n), False) if kind == "chance" else np.argpartition(-score, int(share * s.n))[:int(share * s.n)])
        truth = s.kept(f"filtered {kind} {share}", lambda: sets.nearest(s.x, s.q, TOP, rows)[0])
        positions = np.sort(lay.position[rows])
        keep = min(KEEP, len(rows))
        one = s.kept(f"coarse filtered 1 {kind} {share} {lay.shape}", lambda: ranked(s.x, lay, s.turn, 1, s.q, keep, positions))[0]
        full = s.kept(f"coarse filtered 8 {kind} {share} {lay.shape}", lambda: ranked(s.x, lay, s.turn, 8, s.q, keep, positions))[0]
        right = lay.position[truth]
        for r, cap, gap, budget in ((50, 16, 16, 1), (50, 32, 64, 4), (100, 64, 64, 10), (50, 0, 16, 100), (100, 0, 16, 100)):
            sums = np.zeros(3)
            for i in range(len(s.q)):
                got = second_wave(s, row_at, one[i, :r], cap or s.n, gap * 1024, budget * 10 ** 6)
                sums += (hits(full[i][inside(got, full[i])][:TOP], right[i]), *cost(got, row_at))
            recall, gets, size = sums / len(s.q)
            out.append((kind, f"{share:.1%}", f"codes resident, best {r}", cap or "-", budget if cap else "-", recall, gets, size / 1e6, size / row8(s) / r))
        skip = np.bincount(cell_of[positions], minlength=len(lay.centres)) == 0
        cells = cell_of[right]
        weight = [cell_weight(s, lay, slice(k, None, 2), cells, skip) for k in (1, 0)]
        for bits, cap, budget in ((8, 32, 10), (8, 64, 40), (1, 32, 10), (1, 64, 40)):
            at = cells_at(lay, row8(s)) if bits == 8 else cells_at(lay, code_bytes(s.dim, 1), CELL_HEAD)
            sums, wanted = np.zeros(5), 0
            match = np.zeros(s.n + 1, np.int64)
            match[positions + 1] = 1
            upto = np.cumsum(match)
            for i in range(len(s.q)):
                r = footers_plan(s, lay, weight[i % 2], i, at, cap, budget * 10 ** 6, skip)
                wanted += (upto[lay.start[r[:, 1]]] - upto[lay.start[r[:, 0]]]).sum()
                more, source = (0, 0), full[i] if bits == 8 else one[i]
                found = source[inside(r, cell_of[source])]
                if bits == 1:
                    r2 = second_wave(s, row_at, found[:50], 32, 16384, 4 * 10 ** 6)
                    found, more = full[i][inside(r2, full[i])], cost(r2, row_at)
                    found = found[inside(r, cell_of[found])]
                sums += (hits(found[:TOP], right[i]), *cost(r, at), *more)
            recall, gets, size, gets2, size2 = sums / len(s.q)
            over = size / (s.dim * bits / 8 + FACTORS) / max(1, wanted / len(s.q))
            out.append((kind, f"{share:.1%}", "8-bit cells" if bits == 8 else "1-bit cells, then rows", cap + (32 if bits == 1 else 0), budget, recall, gets + gets2, (size + size2) / 1e6, over))
    table(f"Filters: {s.key}, {lay.name}", ["by", "lets through", "plan", "GETs at most", "MB at most", "recall@10", "GETs", "MB", "rows read for one wanted"], out)


def sizes(s):
    """Bytes a million rows of this width."""
    d, million = s.dim, 10 ** 6
    fence = 4096 // 12
    parts = [("1-bit codes, 56 bytes a row at 384", code_bytes(d, 1) * million), ("8-bit rows with id, lsn, checksum", row8(s) * million), ("full vectors, f32 and checksum", (4 * d + 4) * million),
             ("id index: id and row", 12 * million)]
    table("Stored, bytes", ["part", "MB a million rows"], [(n, b / 1e6) for n, b in parts])
    for bits, cells in ((4, 16_000), (2, 32_000), (1, 48_000), (1, 64_000)):
        ram = [(f"{cells:,} fine centroids in {bits} bits", code_bytes(d, bits) * cells), ("1,000 coarse centroids in 8 bits", code_bytes(d, 8) * 1000),
               ("cell table: rows, spread; first cell and row of coarse cells", 4 * cells + 8 * 1000), ("payload frames", 75_000),
               ("id filter, 10 bits a row", million * 10 // 8), ("id fences, 16 bytes a 4 KiB block", million // fence * 16), ("dead rows, 1 bit", million // 8)]
        ram.append(("sum", sum(b for _, b in ram)))
        table(f"Resident after open, {cells:,} fine cells", ["part", "MB a million rows"], [(n, b / 1e6) for n, b in ram])


TABLES = {"routing": routing, "codes": codes, "footers": footers, "resident": resident, "segments": segments, "scanned": scanned, "copies": copies, "filters": filters,
          "sizes": sizes}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("query")
    parser.add_argument("metric", choices=["cosine", "l2"])
    parser.add_argument("tables", nargs="*", default=[])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--shape", default="", help="coarse x fine of all tables but routing, as 71x32")
    parser.add_argument("--prices", action="store_true", help="plan footers and segments by prices instead of clumps: slower, up to half a point more")
    parser.add_argument("--bits", default="", help="code widths of footers, resident and codes, as 1,8")
    parser.add_argument("--centroid-bits", type=int, default=0, help="of fine centroids, around their coarse one: 32 for exact, 0 for 4, 2 or 1 by the dimension")
    parser.add_argument("--work", default="")
    args = parser.parse_intermixed_args()
    args.work = args.work or tempfile.mkdtemp(prefix="cold-layout-")
    s = Set(args)
    print(f"command: cold_layout.py {' '.join(sys.argv[1:])}\n{s.n} x {s.dim}, {len(s.q)} queries; local intrinsic dimension at them {np.median(sets.dimension(s.truth_dist)):.1f}")
    for name in args.tables or TABLES:
        begin = time.monotonic()
        TABLES[name](s)
        print(f"({name}: {time.monotonic() - begin:.0f} s)")


if __name__ == "__main__":
    main()
