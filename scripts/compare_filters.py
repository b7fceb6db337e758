#!/usr/bin/env python3
"""Random filters of the compatible dialect, asked of our matcher and of the engine it is compatible with.

Needs a Python with qdrant-edge-py (0.9.0; `pip install qdrant-edge-py` in a virtual environment) and the test program
answer_filters of a build. Filters and payloads are those of tests/unit/filter/model.py. Prints every answer that differs, exit 1
if one does.

Left out, because its Python cannot say it: booleans in match (it makes integers of them), lists of mixed types, integers beyond
2^53 (its ranges are floats). And because we differ (docs/filters.md, "Beside the engine"): times finer than a microsecond or with
blanks around them, `should: []` below nested, min_should of fewer conditions than it asks for, rings that cross themselves,
is_empty and is_null through `[]`.

Usage: scripts/compare_filters.py build/release/tests/unit/filter/answer_filters [ROUNDS [SEED]]
"""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import qdrant_edge as engine

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/unit/filter"))
import model  # noqa: E402

POINTS, FILTERS, VECTORS = 40, 15, 4


def prepare_model():
    model.NUMBERS[:] = [n for n in model.NUMBERS if not isinstance(n, int) or abs(n) <= 2**53 - 1]
    model.TEXTS[:] = [t for t in model.TEXTS if t and not t.endswith(".0000001")]
    model.TIMES[:] = [t for t in model.TEXTS if model.ticks(t) is not None]


def listed(c):
    return c if isinstance(c, list) else [c]


def uncrossed(ring):
    """The same points, each seen from their middle in turn."""
    points = ring[:-1]
    lat, lon = [sum(p[axis] for p in points) / len(points) for axis in ("lat", "lon")]
    points.sort(key=lambda p: (math.atan2(p["lat"] - lat, p["lon"] - lon), p["lat"], p["lon"]))
    return points + points[:1]


def sayable(v, nested=False):
    """The same filter without what the engine's Python cannot say."""
    if isinstance(v, list):
        return [sayable(e, nested) for e in v]
    if not isinstance(v, dict):
        return v
    made = {}
    for key, value in v.items():
        if key == "match":
            name, wanted = next(iter(value.items()))
            if isinstance(wanted, bool):
                wanted = 1
            if isinstance(wanted, list):
                wanted = [w for w in wanted if not isinstance(w, bool)]
                wanted = [w for w in wanted if type(w) is type(wanted[0])]
            made[key] = {name: wanted}
        elif (key == "should" and value == [] and nested) or (
                key == "min_should" and len(listed(value["conditions"])) < value["min_count"]):
            continue
        elif key == "points":
            made[key] = uncrossed(value)
        elif key in ("is_empty", "is_null") and isinstance(value, dict):
            made[key] = {"key": value["key"].replace("[]", "")}
        elif key in ("is_empty", "is_null"):
            made.update({"key": v["key"].replace("[]", ""), key: value})
        else:
            made[key] = sayable(value, nested or key == "nested")
    return made


def point(p):
    return engine.GeoPoint(p["lon"], p["lat"])


def on_key(c):
    """The named argument of a FieldCondition."""
    if "match" in c:
        name, wanted = next(iter(c["match"].items()))
        kinds = {"value": engine.MatchValue, "any": engine.MatchAny, "except": engine.MatchExcept, "text": engine.MatchText,
                 "text_any": engine.MatchTextAny, "phrase": engine.MatchPhrase, "prefix": engine.MatchPrefix}
        return {"match": kinds[name](wanted)}
    if "range" in c:
        if any(isinstance(bound, str) for bound in c["range"].values()):
            return {"range": engine.RangeDateTime(**c["range"])}
        return {"range": engine.RangeFloat(**{name: float(bound) for name, bound in c["range"].items()})}
    if "values_count" in c:
        return {"values_count": engine.ValuesCount(**c["values_count"])}
    if "geo_radius" in c:
        return {"geo_radius": engine.GeoRadius(point(c["geo_radius"]["center"]), c["geo_radius"]["radius"])}
    if "geo_bounding_box" in c:
        box = c["geo_bounding_box"]
        return {"geo_bounding_box": engine.GeoBoundingBox(point(box["top_left"]), point(box["bottom_right"]))}
    if "geo_polygon" in c:
        rings = [c["geo_polygon"]["exterior"]] + c["geo_polygon"].get("interiors", [])
        rings = [[point(p) for p in ring["points"]] for ring in rings]
        return {"geo_polygon": engine.GeoPolygon(rings[0], rings[1:])}
    return {name: c[name] for name in ("is_empty", "is_null") if name in c}


def condition(c):
    if "key" in c:
        return engine.FieldCondition(c["key"], **on_key(c))
    if "nested" in c:
        return engine.NestedCondition(c["nested"]["key"], whole(c["nested"]["filter"]))
    if "has_id" in c:
        return engine.HasIdCondition(set(c["has_id"]))
    if "has_vector" in c:
        return engine.HasVectorCondition(c["has_vector"])
    if "is_empty" in c:
        return engine.IsEmptyCondition(c["is_empty"]["key"])
    if "is_null" in c:
        return engine.IsNullCondition(c["is_null"]["key"])
    return whole(c)


def conditions(c):
    return [condition(one) for one in listed(c)]


def whole(f):
    made = {name: conditions(f[name]) for name in ("must", "should", "must_not") if name in f}
    if "min_should" in f:
        made["min_should"] = engine.MinShould(conditions(f["min_should"]["conditions"]), f["min_should"]["min_count"])
    return engine.Filter(**made)


def one_round(shard, program):
    """How many answers, and the lines that differ."""
    model.few.draw()
    rows = [(model.payload(3), random.randrange(2**VECTORS)) for _ in range(POINTS)]
    shard.update(engine.UpdateOperation.upsert_points(
        [engine.Point(i, {"v%d" % n: [1.0] for n in range(VECTORS) if vectors >> n & 1}, payload)
         for i, (payload, vectors) in enumerate(rows)]))
    lines, theirs = [], []
    for _ in range(FILTERS):
        written = sayable(model.compatible(random.choice([0, 0, 1, 2]))[0])
        records, _ = shard.scroll(engine.ScrollRequest(limit=POINTS, filter=whole(written)))
        found = {record.id for record in records}
        for i, (payload, vectors) in enumerate(rows):
            lines.append("\t".join(["q", json.dumps(written), json.dumps(payload), str(i), str(vectors)]))
            theirs.append("1" if i in found else "0")
    said = subprocess.run([program], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    ours = said.stdout.splitlines()
    assert len(ours) == len(lines)
    return len(lines), ["ours %s theirs %s: %s" % (o, t, line) for o, t, line in zip(ours, theirs, lines) if o != t]


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(2**32)
    random.seed(seed)
    prepare_model()
    fields = {"v%d" % n: engine.EdgeVectorParams(size=1, distance=engine.Distance.Dot) for n in range(VECTORS)}
    answers, differ = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        shard = engine.EdgeShard.create(folder, engine.EdgeConfig(vectors=fields))
        for _ in range(rounds):
            count, lines = one_round(shard, program)
            answers += count
            differ += len(lines)
            for line in lines[:3]:
                print(line)
        shard.close()
    print("%d of %d answers differ, seed %d" % (differ, answers, seed))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
