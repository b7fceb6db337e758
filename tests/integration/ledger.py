"""Writers over REST and an independent ledger of what the node said, to be compared with what it has after a crash.

Every write ends in one of three ways: acknowledged (with its lsn), refused (an answer that says it was not done), or
unknown (the connection died before the answer, or the answer says so itself). What may be there after a restart
follows: of each document the state of the acknowledged write of highest lsn, or of an unknown write that came after
it; never a refused one; and of one request all rows or none. Several threads write the same ids, so the lsn of each
answer is what orders them.
"""
import json
import math
import threading
import uuid

from support import Gone, NotSent, f32, random_vector

ABSENT = None
UNKNOWN_CODE = "write_outcome_unknown"
REFUSALS = {"document_not_found", "no_space", "unavailable", "shutting_down", "too_many_requests"}


class Row:
    """One version of one document; `op` and `index` stand in its payload, so a version is never mistaken."""

    def __init__(self, op, index, vector, text):
        self.op = op
        self.index = index
        self.vector = vector
        self.payload = {"op": op, "index": index, "text": text, "deep": {"list": [1, 2.5, None, True, "ü"]}}


class Op:
    def __init__(self, number, kind, rows=None, ids=None):
        self.number = number
        self.kind = kind  # insert, delete
        self.rows = rows or {}  # id (or ("made", index)) -> Row
        self.ids = ids or []
        self.seen = {}  # id -> acknowledged lsn when this was sent
        self.outcome = "sent"

    def value(self, doc_id):
        return self.rows[doc_id] if self.kind == "insert" else ABSENT


class Doc:
    def __init__(self):
        self.lsn = 0
        self.value = ABSENT
        self.unknown = []  # operations


class Book:
    """What is known of one collection."""

    def __init__(self, name, dim, metric):
        self.name = name
        self.dim = dim
        self.metric = metric
        self.docs = {}
        self.ops = {}
        self.lsns = set()
        self.history = {}  # id -> [(lsn, value, the lsn from which on it is certain)]
        self.remote_lsn = 0  # the highest that was acknowledged as remote
        self.lock = threading.Lock()
        self.count = {"acknowledged": 0, "refused": 0, "unknown": 0}
        self.complaints = []

    def __getstate__(self):
        return {**self.__dict__, "lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state, lock=threading.Lock())

    def _doc(self, doc_id):
        return self.docs.setdefault(doc_id, Doc())

    def sent(self, op):
        with self.lock:
            self.ops[op.number] = op
            for doc_id in list(op.rows) + op.ids:
                if not isinstance(doc_id, tuple):
                    op.seen[doc_id] = self._doc(doc_id).lsn

    def acknowledged(self, op, lsn, made_ids=None, remote=False):
        with self.lock:
            if remote:
                self.remote_lsn = max(self.remote_lsn, lsn)
            op.outcome = "acknowledged"
            self.count["acknowledged"] += 1
            if lsn == 0:
                return  # a delete that found nothing wrote nothing
            if lsn in self.lsns:
                self.complaints.append(f"{self.name}: lsn {lsn} was given to two acknowledged writes")
            self.lsns.add(lsn)
            if made_ids is not None:
                op.rows = {made_ids[row.index]: row for row in op.rows.values()}
            for doc_id in list(op.rows) + op.ids:
                doc = self._doc(doc_id)
                self.history.setdefault(doc_id, []).append((lsn, op.value(doc_id), lsn))
                if lsn > doc.lsn:
                    doc.lsn, doc.value = lsn, op.value(doc_id)

    def refused(self, op):
        with self.lock:
            op.outcome = "refused"
            self.count["refused"] += 1

    def unknown(self, op):
        with self.lock:
            op.outcome = "unknown"
            self.count["unknown"] += 1
            for doc_id in list(op.rows) + op.ids:
                if not isinstance(doc_id, tuple):
                    self._doc(doc_id).unknown.append(op)

    def cut(self, lsn):
        """The machine was lost and a restore reaches lsn: what was acknowledged behind it is as if never sent."""
        self.lsns = {n for n in self.lsns if n <= lsn}
        for doc_id, doc in self.docs.items():
            past = [h for h in self.history.get(doc_id, []) if h[0] <= lsn]
            self.history[doc_id] = past
            sure = max((h for h in past if h[2] <= lsn), key=lambda h: (h[0], h[2]), default=(0, ABSENT, 0))
            doc.lsn, doc.value = sure[0], sure[1]
            # A delete nobody answered, that was seen done at an lsn behind the cut: done by then, or not.
            doc.unknown += [Op(0, "delete", ids=[doc_id]) for h in past if h[2] > lsn and h[0] >= sure[0]]
        self.remote_lsn = min(self.remote_lsn, lsn)

    def forget(self, lsn):
        """No restore will reach less than lsn: what was long ago is not needed any more, so that a run of hours fits."""
        for doc_id, past in self.history.items():
            if len(past) > 1:
                kept = max((h for h in past if h[0] <= lsn and h[2] <= lsn), key=lambda h: (h[0], h[2]), default=None)
                self.history[doc_id] = [h for h in past if kept is None or h is kept or h[0] > kept[0] or h[2] > lsn]
        self.lsns = {n for n in self.lsns if n > lsn} or set(sorted(self.lsns)[-1:])
        for number, op in list(self.ops.items()):
            if op.outcome == "refused":
                op.rows, op.ids, op.seen = {}, [], {}
            elif op.outcome in ("acknowledged", "settled"):
                del self.ops[number]

    # --- comparing ---

    def same_vector(self, sent, got):
        if self.metric != "cosine":
            return sent == [f32(x) for x in got]  # got is in the shortest digits that name the float
        norm = math.sqrt(sum(x * x for x in sent))
        return len(sent) == len(got) and all(abs(a / norm - b) < 1e-6 for a, b in zip(sent, got))

    def same(self, row, found):
        return found["payload"] == row.payload and self.same_vector(row.vector, found["vector"])

    def _explain(self, doc_id, doc, found):
        """None if what was found may be there, else what is wrong."""
        if found is None:
            if doc.value is ABSENT or any(op.kind == "delete" for op in doc.unknown):
                return None
            return f"LOST acknowledged: document {doc_id} lsn {doc.lsn} op {doc.value.op} is not there"
        if doc.value is not ABSENT and found["lsn"] == doc.lsn and self.same(doc.value, found):
            return None
        for op in doc.unknown:
            if op.kind == "insert" and found["lsn"] > doc.lsn and self.same(op.rows[doc_id], found):
                return None
        op = self.ops.get((found["payload"] or {}).get("op"))
        if op is not None and op.outcome == "refused":
            return f"CAME BACK refused: document {doc_id} has op {op.number}"
        if doc.value is not ABSENT and found["lsn"] < doc.lsn:
            return (f"LOST acknowledged: document {doc_id} is at lsn {found['lsn']} op "
                    f"{op and op.number}, lsn {doc.lsn} op {doc.value.op} was acknowledged")
        if doc.value is ABSENT and doc.lsn > 0 and found["lsn"] < doc.lsn:
            return f"LOST acknowledged: document {doc_id} is there although lsn {doc.lsn} deleted it"
        return f"WRONG document {doc_id}: {json.dumps(found)[:160]}, acknowledged lsn {doc.lsn}"

    def _made(self, found, problems):
        """A document under an id that only the node knew: of an unknown write without ids."""
        op = self.ops.get((found["payload"] or {}).get("op"))
        index = (found["payload"] or {}).get("index")
        row = op.rows.get(("made", index)) if op is not None else None
        if row is None or op.outcome != "unknown" or not self.same(row, found):
            what = "CAME BACK refused" if op is not None and op.outcome == "refused" else "WRONG unasked"
            problems.append(f"{what}: document {found['doc_id']} {json.dumps(found)[:160]}")
            return
        del op.rows[("made", index)]
        op.rows[found["doc_id"]] = row

    def _whole(self, op, found, problems):
        """Of an unknown request either every row is there, or none."""
        if op.kind == "insert":
            there = [f for f in (found.get(i) for i in op.rows) if f is not None
                     and (f["payload"] or {}).get("op") == op.number]
            if not there:
                return
            lsn = there[0]["lsn"]
            if any(f["lsn"] != lsn for f in there):
                problems.append(f"TORN op {op.number}: its rows have several lsns")
            for doc_id in op.rows:
                f, doc = found.get(doc_id), self.docs.get(doc_id)
                if f is not None and f["lsn"] >= lsn:
                    continue
                if f is None and doc is not None and (doc.lsn > lsn or any(o.kind == "delete" for o in doc.unknown)):
                    continue
                problems.append(f"TORN op {op.number}: row {doc_id} is missing, others are there at lsn {lsn}")
            return
        done = [i for i in op.ids if found.get(i) is None and self.docs[i].value is not ABSENT
                and [o for o in self.docs[i].unknown if o.kind == "delete"] == [op]]
        kept = [i for i in op.ids if found.get(i) is not None and found[i]["lsn"] <= op.seen[i]]
        if done and kept:
            problems.append(f"TORN delete {op.number}: {done[0]} is gone, {kept[0]} is not")

    def compare(self, documents, last_lsn):
        """What is wrong with the documents the node has; afterwards they are what is known."""
        found = {d["doc_id"]: d for d in documents}
        problems, self.complaints = self.complaints, []
        if len(found) != len(documents):
            problems.append(f"{self.name}: a document is listed twice")
        if self.lsns and last_lsn < max(self.lsns):
            problems.append(f"LOST: last_lsn is {last_lsn}, {max(self.lsns)} was acknowledged")
        for doc_id, f in found.items():
            if doc_id not in self.docs:
                self._made(f, problems)
        for doc_id, doc in self.docs.items():
            wrong = self._explain(doc_id, doc, found.get(doc_id))
            if wrong:
                problems.append(wrong)
        for op in self.ops.values():
            if op.outcome == "unknown":
                self._whole(op, found, problems)
        self._settle(found, last_lsn)
        return [p if p.startswith(self.name) else f"{self.name}: {p}" for p in problems]

    def _settle(self, found, last_lsn):
        for doc_id in list(self.docs) + [i for i in found if i not in self.docs]:
            doc, f = self._doc(doc_id), found.get(doc_id)
            doc.unknown = []
            past = self.history.setdefault(doc_id, [])
            if f is None:
                if doc.value is not ABSENT:
                    past.append((doc.lsn, ABSENT, last_lsn))
                doc.value = ABSENT
                continue
            seen = doc.lsn != f["lsn"]
            doc.lsn = f["lsn"]
            doc.value = Row(None, None, [f32(x) for x in f["vector"]], "")
            doc.value.op, doc.value.payload = (f["payload"] or {}).get("op"), f["payload"]
            if seen:
                past.append((doc.lsn, doc.value, doc.lsn))
        for op in self.ops.values():
            if op.outcome == "unknown":
                op.outcome = "settled"


class Catalog:
    """Collections made, renamed and dropped by one thread."""

    def __init__(self):
        self.names = {}  # name -> number of documents acknowledged in it
        self.maybe = []  # sets of names, one of which must be there: the two sides of an unknown change
        self.made = 0
        # With a bucket a change that nobody answered may have its effect later, when the bucket's catalog is read.
        self.late = False
        self.pending = []  # (name that may go or None, name that may come or None)

    def options(self, there):
        """The sides of what is known, with what may have come late taken as it is."""
        options = [dict(names) for names in self.maybe or [self.names]]
        for goes, comes in self.pending:
            for names in options:
                if goes in names and goes not in there:
                    del names[goes]
                if comes in there and comes not in names:
                    names[comes] = there[comes]
        return options

    def compare(self, listed):
        there = {c["name"]: c["document_count"] for c in listed}
        problems = []
        options = self.options(there)
        if self.late and len(self.maybe) == 2:
            before, after = map(set, self.maybe)
            self.pending.append((next(iter(before - after), None), next(iter(after - before), None)))
        self.maybe, self.names = options if self.maybe else [], options[0]
        if self.maybe:
            fits = [names for names in self.maybe if set(names) == set(there)]
            if not fits:
                problems.append(f"catalog: {sorted(there)} are there, expected one of {self.maybe}")
            else:
                self.names = fits[0]
        elif set(self.names) != set(there):
            problems.append(f"catalog: {sorted(there)} are there, acknowledged were {sorted(self.names)}")
        for name, count in self.names.items():
            if name in there and there[name] not in (count, count + (1 if self.maybe else 0)):
                problems.append(f"catalog: {name} has {there[name]} documents, {count} were acknowledged")
        self.names, self.maybe = dict(there), []
        return problems


class Writer(threading.Thread):
    """Writes at random until told to stop or the node is gone."""

    def __init__(self, port_client, book, numbers, rng, stop, ids):
        super().__init__(daemon=True)
        self.client = port_client
        self.book = book
        self.numbers = numbers  # of operations, over all threads
        self.rng = rng
        self.stop_flag = stop
        self.ids = ids
        self.power_cut = threading.Event()
        self.failure = None
        self.pause = 0  # seconds between two writes
        self.refusals = set(REFUSALS)
        self.last = None  # answer

    def run(self):
        try:
            while not self.stop_flag.is_set():
                self.step()
                if self.pause:
                    self.stop_flag.wait(self.pause)
        except (Gone, NotSent):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
        finally:
            self.client.close()

    def step(self):
        self.rng.choices([self.insert_one, self.insert_many, self.insert_made, self.delete_one, self.delete_many,
                          self.refused, self.look],
                         [34, 24, 6, 10, 6, 10, 10])[0]()

    def path(self, rest):
        return f"/api/v1/collections/{self.book.name}/{rest}"

    def row(self, number, index):
        text = "x" * (self.rng.randrange(20_000) if self.rng.random() < 0.01 else self.rng.randrange(200))
        return Row(number, index, random_vector(self.rng, self.book.dim), text)

    def send(self, op, method, path, body, refusable=False, at_answer=None):
        """One write, and its end into the ledger; at_answer runs the moment the answer has come."""
        self.book.sent(op)
        try:
            answer = self.last = self.client.request(method, path, body)
            if at_answer is not None:
                at_answer()
        except NotSent:
            self.book.refused(op)
            raise
        except Gone:
            self.book.unknown(op)
            raise
        if self.power_cut.is_set():
            self.book.unknown(op)  # nobody hears an answer after the lights went out
            return None
        if 200 <= answer.status < 300:
            if refusable:
                raise AssertionError(f"a request that must be refused was taken: {str(body)[:200]}")
            said = answer.json
            made = None
            if any(isinstance(i, tuple) for i in op.rows):
                made = said["doc_ids"] if "doc_ids" in said else [said["doc_id"]]
            self.book.acknowledged(op, said["lsn"], made, said["durability"] == "remote")
            return said
        code = answer.json["code"]
        if code == UNKNOWN_CODE:
            self.book.unknown(op)
        else:
            self.book.refused(op)
            if not refusable and code not in self.refusals:
                raise AssertionError(f"{method} {path}: {answer}")
        return None

    def body(self, rows):
        documents = []
        for doc_id, row in rows.items():
            document = {"vector": row.vector, "payload": row.payload}
            if not isinstance(doc_id, tuple):
                document["doc_id"] = doc_id
            documents.append(document)
        return documents

    def insert_one(self):
        number = next(self.numbers)
        op = Op(number, "insert", {self.rng.choice(self.ids): self.row(number, 0)})
        self.send(op, "POST", self.path("insert"), self.body(op.rows)[0])

    def insert_many(self):
        number = next(self.numbers)
        ids = self.rng.sample(self.ids, self.rng.choice([2, 8, 32, 100]))
        op = Op(number, "insert", {i: self.row(number, at) for at, i in enumerate(ids)})
        self.send(op, "POST", self.path("insert"), {"documents": self.body(op.rows)})

    def insert_large(self, at_answer):
        """A write of megabytes takes the log long enough that an answer before its end can be told from one after."""
        number = next(self.numbers)
        row = Row(number, 0, random_vector(self.rng, self.book.dim), "y" * self.rng.randrange(8_000_000, 15_000_000))
        op = Op(number, "insert", {self.ids[-1]: row})
        self.send(op, "POST", self.path("insert"), self.body(op.rows)[0], at_answer=at_answer)

    def delete_large(self):
        doc_id = self.ids[-1]
        self.send(Op(next(self.numbers), "delete", ids=[doc_id]), "DELETE", self.path(f"docs/{doc_id}"), None)

    def insert_made(self):
        number = next(self.numbers)
        count = self.rng.choice([1, 1, 5])
        op = Op(number, "insert", {("made", at): self.row(number, at) for at in range(count)})
        body = self.body(op.rows)
        self.send(op, "POST", self.path("insert"), body[0] if count == 1 else {"documents": body})

    def delete_one(self):
        doc_id = self.rng.choice(self.ids)
        self.send(Op(next(self.numbers), "delete", ids=[doc_id]), "DELETE", self.path(f"docs/{doc_id}"), None)

    def delete_many(self):
        ids = self.rng.sample(self.ids, self.rng.choice([2, 10, 40]))
        self.send(Op(next(self.numbers), "delete", ids=ids), "POST", self.path("delete"), {"ids": ids})

    def refused(self):
        """A batch of which one document is wrong: none of it may ever be seen."""
        number = next(self.numbers)
        ids = self.rng.sample(self.ids, 5)
        op = Op(number, "insert", {i: self.row(number, at) for at, i in enumerate(ids)})
        body = self.body(op.rows)
        spoil = self.rng.choice(["dimension", "member", "id", "text"])
        if spoil == "dimension":
            body[-1]["vector"] = body[-1]["vector"][1:]
        elif spoil == "member":
            body[-1]["vektor"] = 1
        elif spoil == "id":
            body[-1]["doc_id"] = -1
        else:
            body[-1]["vector"] = ["x"] * self.book.dim
        self.send(op, "POST", self.path("insert"), {"documents": body}, refusable=True)

    def look(self):
        """What was acknowledged is visible at once."""
        doc_id = self.rng.choice(self.ids)
        with self.book.lock:
            before = self.book.docs.get(doc_id)
            lsn = before.lsn if before is not None and before.value is not ABSENT else 0
        answer = self.client.request("GET", self.path(f"docs/{doc_id}"))
        if self.power_cut.is_set():
            return  # deletes whose answers nobody heard may have been applied
        if answer.status == 200:
            if answer.json["document"]["lsn"] < lsn:
                self.book.complaints.append(f"document {doc_id} went back from lsn {lsn}: {answer}")
        elif answer.status == 404:
            with self.book.lock:
                after = self.book.docs[doc_id] if doc_id in self.book.docs else None
                if lsn and after.lsn == lsn and not any(
                        o.kind == "delete" and o.outcome in ("sent", "unknown") and doc_id in o.ids
                        for o in list(self.book.ops.values())[-64:] + after.unknown):
                    self.book.complaints.append(f"document {doc_id} of lsn {lsn} is not visible")


class Churner(threading.Thread):
    """Makes, fills, renames and drops collections."""

    def __init__(self, client, catalog, rng, stop, power_cut):
        super().__init__(daemon=True)
        self.client = client
        self.catalog = catalog
        self.rng = rng
        self.stop_flag = stop
        self.power_cut = power_cut
        self.failure = None

    def run(self):
        try:
            while not self.stop_flag.is_set() and not self.power_cut.is_set():
                self.step()
                self.stop_flag.wait(0.01)
        except (Gone, NotSent):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
        finally:
            self.client.close()

    def change(self, after, method, path, body=None):
        before = dict(self.catalog.names)
        self.catalog.maybe = [before, after]
        answer = self.client.request(method, path, body)
        if self.power_cut.is_set():
            return
        if answer.status >= 300:
            if answer.status != 503 or "unknown" not in answer.json["code"]:
                self.catalog.maybe = []
            return
        self.catalog.names, self.catalog.maybe = after, []

    def step(self):
        unsure = {goes for goes, _ in self.catalog.pending}
        churned = [n for n in self.catalog.names if n.startswith("churn-") and n not in unsure]
        what = self.rng.choice(["make", "fill", "rename", "drop"]) if churned else "make"
        if len(churned) >= 6:
            what = "drop"
        name = self.rng.choice(churned) if churned else ""
        after = dict(self.catalog.names)
        if what == "make":
            self.catalog.made += 1
            name = f"churn-{self.catalog.made}"
            after[name] = 0
            self.change(after, "POST", "/api/v1/collections", {"name": name, "dimension": 3, "metric": "dot"})
        elif what == "fill":
            after[name] += 1
            self.change(after, "POST", f"/api/v1/collections/{name}/insert", {"vector": [1, 2, 3]})
        elif what == "rename":
            self.catalog.made += 1
            after[f"churn-{self.catalog.made}"] = after.pop(name)
            self.change(after, "PATCH", f"/api/v1/collections/{name}", {"name": f"churn-{self.catalog.made}"})
        else:
            del after[name]
            self.change(after, "DELETE", f"/api/v1/collections/{name}")


def make_ids(rng, integers, uuids):
    return list(range(integers)) + [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(uuids)]


def distance(metric, a, b):
    if metric == "l2":
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))
    norm = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return 1 - sum(x * y for x, y in zip(a, b)) / norm


def look_closely(client, book, documents, rng, samples=12):
    """GET, count and query say the same as the list."""
    problems = []
    name = book.name
    info = client.collection(name)
    if info["document_count"] != len(documents):
        problems.append(f"{name}: document_count is {info['document_count']}, {len(documents)} are listed")
    if info["state"] != "serving":
        problems.append(f"{name}: state is {info['state']} ({info.get('reason')})")
    chosen = rng.sample(documents, min(samples, len(documents)))
    for document in chosen:
        got = client.get(f"/api/v1/collections/{name}/docs/{document['doc_id']}")["document"]
        if got != document:
            problems.append(f"{name}: GET and list differ: {got} {document}")
    there = {d["doc_id"] for d in documents}
    known = sorted(i for i in book.docs if isinstance(i, int))
    for doc_id in rng.sample(known, min(samples, len(known))):
        if doc_id not in there:
            answer = client.request("GET", f"/api/v1/collections/{name}/docs/{doc_id}")
            if answer.status != 404:
                problems.append(f"{name}: {doc_id} is not listed, GET says {answer}")
    missed = 0
    for document in chosen:
        vector = document["vector"]
        exact = client.query(name, vector, top_k=5, exact=True)["matches"]
        best = sorted(distance(book.metric, vector, d["vector"]) for d in documents)[:5]
        if exact[0]["doc_id"] != document["doc_id"] or exact[0]["payload"] != document["payload"]:
            problems.append(f"{name}: a query for document {document['doc_id']} finds {exact[0]}")
        if len(exact) != len(best) or any(abs(m["distance"] - b) > 1e-3 for m, b in zip(exact, best)):
            problems.append(f"{name}: exact query: {[m['distance'] for m in exact]}, should be {best}")
        near = client.query(name, vector, top_k=5)["matches"]
        missed += document["doc_id"] not in [m["doc_id"] for m in near]
        gone = [m["doc_id"] for m in near if m["doc_id"] not in there]
        if gone or len(near) != len(best):
            problems.append(f"{name}: a query answers {len(near)} matches, {gone} of them not listed")
    if missed > max(1, len(chosen) // 2):
        problems.append(f"{name}: {missed} of {len(chosen)} documents are not found by their own vector")
    return problems


def verify(client, books, catalog, rng):
    """Everything that is wrong after a restart, as texts."""
    problems = []
    if catalog is not None:
        problems += catalog.compare(client.get("/api/v1/collections")["collections"])
    for book in books:
        documents = list(client.documents(book.name))
        problems += book.compare(documents, client.collection(book.name)["last_lsn"])
        problems += look_closely(client, book, documents, rng)
    return problems
