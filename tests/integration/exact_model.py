"""What a collection must hold and answer, computed the slow and plain way from docs/filters.md and docs/qdrant.md.

Used by differential.py. Conditions are evaluated on the JSON as Python reads it: bool, int, float, str, None, list, dict.
"""
import copy
import datetime
import math
import re
import uuid

EARTH = 6371008.8
ABSENT = object()


def id_key(point_id):
    return (0, point_id, b"") if isinstance(point_id, int) else (1, 0, uuid.UUID(point_id).bytes)


# --- paths ---

def steps_of(path):
    """a.b[].c[2] as ["a", "b", None, "c", 2]; keys in double quotes are not used here."""
    out = []
    for part in path.split("."):
        key, *brackets = part.replace("]", "").split("[")
        out.append(key)
        out += [int(b) if b else None for b in brackets]
    return out


def reach(value, steps):
    """All values at the end of the path."""
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        return reach(value[step], rest) if isinstance(value, dict) and step in value else []
    if not isinstance(value, list):
        return []
    if step is None:
        return [found for element in value for found in reach(element, rest)]
    return reach(value[step], rest) if step < len(value) else []


def values_at(payload, path):
    """What conditions on values look at: an array at the end is opened one level."""
    out = []
    for v in reach(payload, steps_of(path)):
        out += v if isinstance(v, list) else [v]
    return out


# --- values ---

def kind(v):
    if isinstance(v, bool):
        return "bool"
    if isinstance(v, (int, float)):
        return "number"
    return {str: "text", type(None): "null", list: "list", dict: "object"}[type(v)]


def same(v, wanted):
    """The compatible dialect: 1 is neither true nor 1.0."""
    return type(v) is type(wanted) and not isinstance(v, (float, list, dict)) and v is not None and v == wanted


def equal(v, wanted):
    """Our own dialect: numbers by their values."""
    return kind(v) == kind(wanted) and kind(v) not in ("list", "object") and v == wanted


def words(text):
    return [w.lower() for w in re.findall(r"[^\W_]+", text)]


def moment(text):
    try:
        when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)


def in_range(v, bounds):
    if any(isinstance(b, str) for b in bounds.values()):
        v = moment(v) if isinstance(v, str) else None
        bounds = {op: moment(b) for op, b in bounds.items()}
        if v is None:
            return False
    elif kind(v) != "number":
        return False
    return all({"lt": v < b, "lte": v <= b, "gt": v > b, "gte": v >= b}[op] for op, b in bounds.items())


def place(v):
    if isinstance(v, dict) and kind(v.get("lat")) == "number" and kind(v.get("lon")) == "number":
        return v["lat"], v["lon"]
    return None


def metres(a, b):
    lat1, lon1, lat2, lon2 = (math.radians(x) for x in (*a, *b))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(h))


# --- filters of the compatible dialect ---

class Rules:
    """What conditions mean. The twins of differential.py change one of these."""

    @staticmethod
    def match(values, how):
        (form, wanted), = how.items()
        if form == "value":
            return any(same(v, wanted) for v in values)
        if form == "any":
            return any(same(v, w) for v in values for w in wanted)
        if form == "except":
            return any(v is not None and not any(same(v, w) for w in wanted) for v in values)
        texts = [v for v in values if isinstance(v, str)]
        if form == "prefix":
            return any(v.startswith(wanted) for v in texts)
        asked = words(wanted)
        if form == "text":
            return bool(asked) and any(set(asked) <= set(words(v)) for v in texts)
        if form == "text_any":
            return any(set(asked) & set(words(v)) for v in texts)
        return bool(asked) and any(asked == words(v)[at:at + len(asked)] for v in texts for at in range(len(words(v))))

    @staticmethod
    def count(v):
        return len(v) if isinstance(v, list) else 0 if v is None else 1

    @staticmethod
    def clauses(must, should, must_not, min_should):
        return (all(must) and not any(must_not) and (not should or any(should))
                and (min_should is None or sum(min_should[0]) >= min_should[1]))

    def condition(self, c, payload, doc):
        """doc: (id, vectors), None below nested."""
        if "has_id" in c:
            return doc is not None and doc[0] in c["has_id"]
        if "has_vector" in c:
            return doc is not None and c["has_vector"] in doc[1]
        if "nested" in c:
            path = c["nested"]["key"]
            elements = [e for v in reach(payload, steps_of(path.removesuffix("[]"))) if isinstance(v, list) for e in v]
            return any(isinstance(e, dict) and self.holds(c["nested"]["filter"], e, None) for e in elements)
        if "key" not in c:
            return self.holds(c, payload, doc)
        reached, values = reach(payload, steps_of(c["key"])), values_at(payload, c["key"])
        if "match" in c:
            return self.match(values, c["match"])
        if "range" in c:
            return any(in_range(v, c["range"]) for v in values)
        if "geo_radius" in c:
            at = c["geo_radius"]["center"]
            return any(place(v) and metres(place(v), (at["lat"], at["lon"])) < c["geo_radius"]["radius"] for v in values)
        if "geo_bounding_box" in c:
            a, b = c["geo_bounding_box"]["top_left"], c["geo_bounding_box"]["bottom_right"]
            return any(place(v) and b["lat"] < place(v)[0] < a["lat"] and a["lon"] < place(v)[1] < b["lon"] for v in values)
        if "values_count" in c:
            return any(in_range(n, c["values_count"]) for n in ([self.count(v) for v in reached] or [0]))
        if "is_empty" in c:
            return c["is_empty"] == all(v is None or v == [] for v in reached)
        return c["is_null"] == any(v is None or isinstance(v, list) and None in v for v in reached)

    def holds(self, f, payload, doc):
        said = {k: [self.condition(c, payload, doc) for c in f.get(k, [])] for k in ("must", "should", "must_not")}
        least = f.get("min_should")
        return self.clauses(said["must"], said["should"], said["must_not"],
                            least and ([self.condition(c, payload, doc) for c in least["conditions"]], least["min_count"]))

    @staticmethod
    def vectors(before, sent):
        """What a document has after an upsert."""
        return sent

    # --- filters of our own dialect ---

    def native(self, f, payload, doc):
        return all(self.member(key, value, payload, doc) for key, value in f.items())

    def member(self, key, value, payload, doc):
        if key == "$and":
            return all(self.native(f, payload, doc) for f in value)
        if key == "$or":
            return any(self.native(f, payload, doc) for f in value)
        if key == "$not":
            return not self.native(value, payload, doc)
        if key == "qdrant":
            return self.holds(value, payload, doc)
        return self.operators(key, value if isinstance(value, dict) else {"$eq": value}, payload)

    def operators(self, path, ops, payload):
        reached, values = reach(payload, steps_of(path)), values_at(payload, path)

        def eq(wanted):
            if wanted is None:
                return not reached or None in reached or None in values
            return any(equal(v, wanted) for v in values)
        bounds = {op[1:]: b for op, b in ops.items() if op in ("$lt", "$lte", "$gt", "$gte")}
        if bounds and not any(in_range(v, bounds) for v in values):
            return False
        tests = {"$eq": eq, "$ne": lambda w: not eq(w), "$in": lambda w: any(eq(x) for x in w),
                 "$nin": lambda w: not any(eq(x) for x in w), "$exists": lambda w: w == bool(reached),
                 "$not": lambda w: not self.operators(path, w, payload)}
        return all(tests[op](w) for op, w in ops.items() if op in tests)


# --- payload changes ---

def merged(payload, patch, path):
    payload = copy.deepcopy(payload)
    if path is None:
        payload.update(copy.deepcopy(patch))
    else:
        merge_at(payload, steps_of(path), patch)
    return payload


def merge_at(holder, steps, patch):
    """holder is the object or list that the first step looks into."""
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        places = [step]
    else:
        places = range(len(holder)) if step is None else [step] if step < len(holder) else []
    for at in places:
        value = holder.get(at, ABSENT) if isinstance(holder, dict) else holder[at]
        if not rest:
            holder[at] = {**value, **copy.deepcopy(patch)} if isinstance(value, dict) else copy.deepcopy(patch)
        elif isinstance(rest[0], str):
            if not isinstance(value, dict):
                value = holder[at] = {}
            merge_at(value, rest, patch)
        elif isinstance(value, list):
            merge_at(value, rest, patch)


def without(payload, keys):
    payload = copy.deepcopy(payload)
    for key in keys:  # of the paths used here none changes what another one means
        *front, last = steps_of(key)
        for holder in reach(payload, front):
            if isinstance(holder, dict):
                holder.pop(last, None)
    return payload


# --- the collection ---

class Point:
    def __init__(self, vectors, payload, external=None):
        self.vectors, self.payload, self.external = vectors, payload, external


class Model:
    """points: id -> Point, never changed in place, so that a copy of the dict is a copy of the state."""

    def __init__(self, fields, rules):
        self.fields = fields  # name -> (size, metric)
        self.rules = rules
        self.points = {}

    def as_kept(self, name, v):
        if self.fields[name][1] == "Cosine":
            length = math.sqrt(sum(x * x for x in v))
            return [x / length for x in v] if length > 0 else v
        return v

    def kept(self, vectors):
        return {name: self.as_kept(name, v) for name, v in vectors.items()}

    def matching(self, f):
        """Ids in order; f is None, or a function (Rules, payload, (id, vectors)) -> bool."""
        return [i for i in sorted(self.points, key=id_key)
                if f is None or f(self.rules, self.points[i].payload, (i, self.points[i].vectors))]

    def upsert(self, rows, mode="upsert", f=None):
        """rows: (id, vectors, payload, external)."""
        for i, vectors, payload, external in rows:
            if i in self.points:
                if mode == "insert_only" or f is not None and i not in self.matching(f):
                    continue
            elif mode == "update_only":
                continue
            before = self.points[i].vectors if i in self.points else {}
            self.points[i] = Point(self.rules.vectors(before, self.kept(vectors)), payload, external)

    def delete(self, ids):
        for i in ids:
            self.points.pop(i, None)

    def change(self, ids, new_payload=None, new_vectors=None):
        """The first id that is not there, None if all are."""
        gone = None
        for i in ids:
            p = self.points.get(i)
            if p is None:
                gone = i if gone is None else gone
            else:
                self.points[i] = Point(new_vectors(p.vectors) if new_vectors else p.vectors,
                                       new_payload(p.payload) if new_payload else p.payload, p.external)
        return gone

    # --- reads ---

    def score(self, name, query, i):
        v, metric = self.points[i].vectors[name], self.fields[name][1]
        if metric == "Cosine":
            return sum(x * y for x, y in zip(self.as_kept(name, query), v))
        if metric == "Dot":
            return sum(x * y for x, y in zip(query, v))
        if metric == "Euclid":
            return math.dist(query, v)
        return sum(abs(x - y) for x, y in zip(query, v))

    def ranked(self, name, query, f):
        """[(score, id)], best first."""
        sign = -1 if self.fields[name][1] in ("Cosine", "Dot") else 1
        found = [(self.score(name, query, i), i) for i in self.matching(f) if name in self.points[i].vectors]
        return sorted(found, key=lambda r: (sign * r[0], id_key(r[1])))

    def facet(self, key, types, f):
        """[(value, count)] of the values of these types, count falling, then value rising."""
        counts = {}
        for i in self.matching(f):
            for v in {(type(v), v) for v in values_at(self.points[i].payload, key) if type(v) in types}:
                counts[v] = counts.get(v, 0) + 1
        return [(v, n) for (_, v), n in sorted(counts.items(), key=lambda c: (-c[1], c[0][1]))]

    def by_value(self, key, f):
        """[(value, id)] of numbers, rising."""
        found = [(v, i) for i in self.matching(f) for v in values_at(self.points[i].payload, key) if kind(v) == "number"]
        return sorted(found, key=lambda r: (r[0], id_key(r[1])))
