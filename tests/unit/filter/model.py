#!/usr/bin/env python3
"""Random filters of both dialects on random payloads, against a second reading of docs/filters.md.

Filters are made as trees of Python, written as JSON for the program and asked here directly, so
neither the parsers nor the walk through payloads are shared. Usage: model.py PROGRAM [CASES [SEED]]
"""
import datetime
import json
import math
import random
import re
import subprocess
import sys
from fractions import Fraction

NUMBERS = [0, 1, 2, 3, -1, -2, 1.0, -0.0, 0.5, -1.0, 1.5, 2**53, 2**53 + 1, float(2**53), 2**64 - 1, 2**63, -(2**63),
           float(2**63), -float(2**63), 1e19, float(2**64), 1e300]
TEXTS = ["red", "Red", "blue", "red car", "Car, RED!", "a red-car", "1", "true", "", "--", "née", "NÉE red", "2024-01-01",
         "2024-01-01T00:00:00Z", "2023-12-31T23:30:00-00:30", "2024-01-01 00:00:00.0000001", "2023-12-31", "soon"]
TIMES = TEXTS[12:17]
KEYS = ["a", "b", "c", "d e", "x.y", ""]


class Few:
    """A case draws from a few values, so that filter and payload often meet."""

    def draw(self):
        self.numbers = random.sample(NUMBERS, 4)
        self.texts = random.sample(TEXTS, 3)
        self.times = random.sample(TIMES, 3)
        if random.random() < 0.25:
            self.texts = self.times
        self.kinds = random.sample(range(9), 3)
        self.places = random.random() < 0.6 if 6 in self.kinds else random.random() < 0.05


few = Few()


def quoted(key):
    return '"%s"' % key if not key or re.search(r'[ ."\[\]]', key) or random.random() < 0.1 else key


class Path:
    """Keys are texts, None is [], a number is [n]."""

    def __init__(self):
        self.steps = [random.choice(KEYS[:2] if random.random() < 0.9 else KEYS)]
        while random.random() < 0.3:
            self.steps.append(random.choice([None, None, 0, 1, random.choice(KEYS[:2]), random.choice(KEYS[:2])]))
        self.text = ""
        for step in self.steps:
            if isinstance(step, str):
                self.text += ("." if self.text else "") + quoted(step)
            else:
                self.text += "[]" if step is None else "[%d]" % step

    def reach(self, value, at=0):
        if at == len(self.steps):
            return [value]
        step = self.steps[at]
        if isinstance(step, str):
            return self.reach(value[step], at + 1) if isinstance(value, dict) and step in value else []
        if not isinstance(value, list):
            return []
        if step is None:
            return [found for element in value for found in self.reach(element, at + 1)]
        return self.reach(value[step], at + 1) if step < len(value) else []

    def values(self, root):
        return [v for end in self.reach(root) for v in (end if isinstance(end, list) else [end])]


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def same(a, b):
    return type(a) is type(b) and not isinstance(a, (list, dict)) and a == b


def same_loosely(a, b):
    return same(a, b) or (is_number(a) and is_number(b) and a == b)


def words(text):
    return re.findall(r"[^\W_]+", text.lower())


def ticks(text):
    m = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?)?", text)
    if not m:
        return None
    day = datetime.date.fromisoformat(m[1]).toordinal()
    seconds = Fraction(int(m[2] or 0) * 3600 + int(m[3] or 0) * 60 + int(m[4] or 0)) + Fraction("0" + (m[5] or ".0"))
    offset = 0
    if m[6] and m[6] != "Z":
        offset = (int(m[6][1:3]) * 3600 + int(m[6][4:]) * 60) * (1 if m[6][0] == "+" else -1)
    return math.floor((day * 86400 + seconds - offset) * 10**7)


def bounded(v, bounds, of=lambda b: b):
    compare = {"lt": lambda a, b: a < b, "lte": lambda a, b: a <= b, "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b}
    return all(compare[name](v, of(bound)) for name, bound in bounds.items())


def point_of(v):
    if not isinstance(v, dict) or not is_number(v.get("lat")) or not is_number(v.get("lon")):
        return None
    return v["lat"], v["lon"]


def metres(a, b):
    (la, oa), (lb, ob) = [(math.radians(p[0]), math.radians(p[1])) for p in (a, b)]
    h = math.sin((lb - la) / 2) ** 2 + math.cos(la) * math.cos(lb) * math.sin((ob - oa) / 2) ** 2
    return 2 * 6371008.8 * math.asin(min(1, math.sqrt(h)))


def place(point, ring):
    """1 inside, 0 on the edge, -1 outside; a ray towards rising latitude, in exact numbers."""
    lat, lon = Fraction(point[0]), Fraction(point[1])
    inside = False
    for (alat, alon), (blat, blon) in zip(ring, ring[1:]):
        if (min(alat, blat) <= lat <= max(alat, blat) and min(alon, blon) <= lon <= max(alon, blon)
                and (blat - alat) * (lon - alon) == (blon - alon) * (lat - alat)):
            return 0
        if (alon > lon) != (blon > lon) and lat < alat + Fraction((blat - alat) * (lon - alon)) / (blon - alon):
            inside = not inside
    return 1 if inside else -1


def some_bounds(pool):
    return {name: random.choice(pool) for name in random.sample(["lt", "lte", "gt", "gte"], random.choice([1, 1, 2, 2, 3]))}


def scalar():
    return random.choice([random.choice([n for n in few.numbers if isinstance(n, int)] or [1]), random.choice(few.texts), random.choice(few.texts), True])


def number_test(bounds):
    return lambda v: is_number(v) and bounded(v, bounds)


def time_test(bounds):
    return lambda v: isinstance(v, str) and ticks(v) is not None and bounded(ticks(v), bounds, ticks)


def in_count(v, bounds):
    return bounded(len(v) if isinstance(v, list) else 0 if v is None else 1, bounds)


def some_ring():
    while True:
        ring = [(random.randrange(-3, 7), random.randrange(-3, 7)) for _ in range(random.randrange(3, 7))]
        if len(set(ring)) > 2:
            return ring + ring[:1]


def written_ring(ring):
    return {"points": [{"lat": lat, "lon": lon} for lat, lon in ring]}


def geo_condition():
    lat, lon = random.randrange(-5, 6), random.choice([-170, 0, 1, 175, 3])
    kind = random.randrange(3)
    if kind == 0:
        lat2, lon2 = lat - random.randrange(0, 8), random.choice([-160, 5, 4, 180, -5])
        test = lambda p: lat2 < p[0] < lat and (lon < p[1] < lon2 if lon <= lon2 else p[1] > lon or p[1] < lon2)
        return {"geo_bounding_box": {"top_left": {"lat": lat, "lon": lon}, "bottom_right": {"lat": lat2, "lon": lon2}}}, test
    if kind == 1:
        radius = random.choice([0, 1000.5, 300000, 700000.25, 3e7])
        test = lambda p: metres((lat, lon), p) < radius
        return {"geo_radius": {"center": {"lat": lat, "lon": lon}, "radius": radius}}, test
    outer = some_ring()
    holes = [some_ring() for _ in range(random.choice([0, 0, 1, 2]))]
    written = {"exterior": written_ring(outer)}
    if holes or random.random() < 0.5:
        written["interiors"] = [written_ring(ring) for ring in holes]
    test = lambda p: place(p, outer) == 1 and all(place(p, ring) == -1 for ring in holes)
    return {"geo_polygon": written}, test


def value_condition():
    """What stands beside the key, and the test of one value."""
    kind = random.choice(few.kinds)
    if kind <= 1:
        wanted = scalar()
        return {"match": {"value": wanted}}, lambda v: same(v, wanted)
    if kind in (2, 3):
        wanted = [scalar() for _ in range(random.choice([0, 1, 2, 4, 9]))]
        if kind == 2:
            return {"match": {"any": wanted}}, lambda v: any(same(v, w) for w in wanted)
        return {"match": {"except": wanted}}, lambda v: v is not None and not any(same(v, w) for w in wanted)
    if kind == 4:
        bounds = some_bounds(few.numbers)
        return {"range": bounds}, number_test(bounds)
    if kind == 5:
        bounds = some_bounds(few.times)
        return {"range": bounds}, time_test(bounds)
    if kind == 6:
        condition, inside = geo_condition()
        return condition, lambda v: point_of(v) is not None and inside(point_of(v))
    wanted = random.choice(few.texts + [" ".join(random.choices(few.texts, k=2))])
    name = random.choice(["text", "text_any", "phrase", "prefix"])
    if name == "prefix":
        beginning = wanted[:random.randrange(4)]
        return {"match": {name: beginning}}, lambda v: isinstance(v, str) and v.startswith(beginning)
    asked = words(wanted)

    def test(v):
        if not isinstance(v, str) or not asked:
            return False
        there = words(v)
        if name == "phrase":
            return any(there[i:i + len(asked)] == asked for i in range(len(there)))
        return (all if name == "text" else any)(w in there for w in asked)
    return {"match": {name: wanted}}, test


def is_empty(v):
    return v is None or v == []


def is_null(v):
    return v is None or (isinstance(v, list) and any(e is None for e in v))


def condition(depth):
    """(JSON, function of (root, row)); row is None below nested."""
    kind = random.random()
    if kind < 0.14 and depth > 0:
        return compatible(depth - 1)
    if kind < 0.24 and depth > 0:
        path = Path()
        inner, test = compatible(depth - 1)

        def nested(root, row):
            ends = path.reach(root)
            elements = ends if path.steps[-1] is None else [e for end in ends if isinstance(end, list) for e in end]
            return any(isinstance(e, dict) and test(e, None) for e in elements)
        return {"nested": {"key": path.text, "filter": inner}}, nested
    if kind < 0.28:
        ids = [random.randrange(4) for _ in range(random.randrange(4))]
        return {"has_id": ids}, lambda root, row: row is not None and row[0] in ids
    if kind < 0.31:
        n = random.randrange(4)
        return {"has_vector": "v%d" % n}, lambda root, row: row is not None and row[1] >> n & 1 == 1
    path = Path()
    if kind < 0.45:
        name, test = random.choice([
            ("is_empty", lambda root, row: all(is_empty(v) for v in path.reach(root))),
            ("is_null", lambda root, row: any(is_null(v) for v in path.reach(root)))])
        if random.random() < 0.5:
            return {name: {"key": path.text}}, test
        wanted = random.random() < 0.5
        return {"key": path.text, name: wanted}, lambda root, row: test(root, row) == wanted
    if kind < 0.52:
        bounds = some_bounds([0, 1, 2, 3])
        return {"key": path.text, "values_count": bounds}, lambda root, row: (
            any(in_count(v, bounds) for v in path.reach(root)) if path.reach(root) else bounded(0, bounds))
    written, test = value_condition()
    return {"key": path.text, **written}, lambda root, row: any(test(v) for v in path.values(root))


def compatible(depth):
    written, tests = {}, []

    def some():
        made = [condition(depth) for _ in range(random.choice([0, 1, 1, 1, 1, 2, 3]))]
        listed = [c for c, _ in made]
        return (listed[0] if len(listed) == 1 and random.random() < 0.3 else listed), [t for _, t in made]

    for name in random.sample(["must", "should", "must_not", "min_should"], random.choice([0, 1, 1, 1, 1, 1, 2, 3])):
        listed, all_of = some()
        written[name] = listed
        if name == "must":
            tests.append(lambda root, row, of=all_of: all(t(root, row) for t in of))
        elif name == "should":
            tests.append(lambda root, row, of=all_of: not of or any(t(root, row) for t in of))
        elif name == "must_not":
            tests.append(lambda root, row, of=all_of: not any(t(root, row) for t in of))
        else:
            least = random.choice([1, 1, 2, 3])
            written[name] = {"conditions": listed, "min_count": least}
            tests.append(lambda root, row, of=all_of, n=least: sum(t(root, row) for t in of) >= n)
    return written, lambda root, row: all(t(root, row) for t in tests)


def own_operators(path, depth):
    """{"$lt": ..}, and its test of a root."""
    written, tests = {}, []
    loosely = lambda wanted: (lambda root: any(same_loosely(v, wanted) for v in path.values(root))
                              or (wanted is None and not path.reach(root)))
    for name in random.sample(["eq", "ne", "in", "nin", "exists", "range", "times", "not"], random.choice([1, 1, 1, 2, 3])):
        if name in ("eq", "ne"):
            wanted = random.choice([scalar(), random.choice(few.numbers), None])
            written["$" + name] = wanted
            tests.append(lambda root, w=wanted, yes=name == "eq": loosely(w)(root) == yes)
        elif name in ("in", "nin"):
            wanted = [random.choice([scalar(), random.choice(few.numbers), None]) for _ in range(random.choice([0, 1, 2, 9]))]
            written["$" + name] = wanted
            tests.append(lambda root, ws=wanted, yes=name == "in": any(loosely(w)(root) for w in ws) == yes)
        elif name == "exists":
            wanted = random.random() < 0.5
            written["$exists"] = wanted
            tests.append(lambda root, yes=wanted: bool(path.reach(root)) == yes)
        elif name == "not" and depth > 0:
            inner, test = own_operators(path, depth - 1)
            written["$not"] = inner
            tests.append(lambda root, t=test: not t(root))
        elif "$lt" not in written and "$gt" not in written and "$lte" not in written and "$gte" not in written:
            bounds = some_bounds(few.times if name == "times" else few.numbers)
            written.update({"$" + n: b for n, b in bounds.items()})
            one = time_test(bounds) if name == "times" else number_test(bounds)
            tests.append(lambda root, t=one: any(t(v) for v in path.values(root)))
    return written, lambda root: all(t(root) for t in tests)


def own(depth):
    written, tests = {}, []
    for _ in range(random.choice([0, 1, 1, 1, 2])):
        kind = random.random()
        if depth > 0 and kind < 0.3:
            name = random.choice(["$and", "$or", "$not", "qdrant"])
            if name in written:
                continue
            if name == "qdrant":
                written[name], test = compatible(depth - 1)
                tests.append(test)
            elif name == "$not":
                written[name], test = own(depth - 1)
                tests.append(lambda root, row, t=test: not t(root, row))
            else:
                made = [own(depth - 1) for _ in range(random.choice([1, 2, 3]))]
                written[name] = [w for w, _ in made]
                all_or_any = all if name == "$and" else any
                tests.append(lambda root, row, of=[t for _, t in made], f=all_or_any: f(t(root, row) for t in of))
            continue
        path = Path()
        if path.text in written:
            continue
        operators, test = own_operators(path, depth)
        if list(operators) == ["$eq"] and random.random() < 0.7:
            operators = operators["$eq"]
        elif not operators:
            continue
        written[path.text] = operators
        tests.append(lambda root, row, t=test: t(root))
    return written, lambda root, row: all(t(root, row) for t in tests)


def value(depth):
    kind = random.random()
    if depth > 0 and kind < 0.25:
        make = random.choice([value, payload])
        return [make(depth - 1) for _ in range(random.choice([0, 1, 1, 2, 3]))]
    if depth > 0 and kind < 0.4:
        return payload(depth - 1)
    if few.places and kind < 0.9:
        return {"lat": random.randrange(-6, 7) / random.choice([1, 1, 2]), "lon": random.choice([-180, -165, 0, 1, 2, 3, 4, 177])}
    return random.choice([None, True, random.choice(NUMBERS)] + few.numbers + few.texts + [" ".join(random.choices(few.texts, k=3))])


def payload(depth):
    keys = KEYS[:2] if random.random() < 0.85 else KEYS
    return {key: value(depth) for key in keys if random.random() < 0.8}


def main():
    program = sys.argv[1]
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else 60000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(2**32)
    random.seed(seed)
    lines, expected = [], []
    while len(lines) < cases:
        few.draw()
        dialect = random.choice("qn")
        written, test = (compatible if dialect == "q" else own)(random.choice([0, 0, 1, 1, 2, 3]))
        for _ in range(4):
            root, row = payload(3), (random.randrange(4), random.randrange(8))
            lines.append("\t".join([dialect, json.dumps(written), json.dumps(root), str(row[0]), str(row[1])]))
            expected.append("1" if test(root, row) else "0")
    answers = subprocess.run([program], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    got = answers.stdout.splitlines()
    wrong = [i for i in range(len(lines)) if i >= len(got) or got[i] != expected[i]]
    for i in wrong[:5]:
        print("line %d: %s\nexpected %s, got %s" % (i, lines[i], expected[i], got[i] if i < len(got) else "nothing"))
    yes = expected.count("1")
    print("%d of %d cases wrong, %d match, seed %d" % (len(wrong), len(lines), yes, seed))
    # A model that says the same to everything would agree with much.
    return 1 if wrong or not 0.2 < yes / len(lines) < 0.8 else 0


if __name__ == "__main__":
    sys.exit(main())
