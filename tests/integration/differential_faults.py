"""The differential test while the store is not well: Memory, MemoryS3 and S3Only on a MinIO behind a relay with weather.

    python3 tests/integration/differential_faults.py [--steps N] [--lives N] [--seed S] [--longest SECONDS] [--trace] [--keep]

As differential.py, with one client and s3_weather.py between the node and its store. Then a request may be refused, with a 503 that
says when to come again, and an answer may be partial and say so; what is answered is right. A write that was acknowledged is there;
one that was refused is there or not, a batch up to one of its operations: which of them is found out behind a write that was
acknowledged, and it stays so, through kills, stops and the loss of the machine. Folds, merges and changes of the policy go on meanwhile. Once the weather is calm
nothing may be refused.
"""
import collections
import json
import time

import support
from bucketed import World, wait_for
from differential import LIVES, SEED, STEPS, TRACE, Differs, Session, Table, agree
from s3_weather import Weather
from support import Answer, Gone, NotSent, check

LONGEST = support.take_option("--longest", 0.5, float)
PATIENCE_SECONDS = 120
TIMEOUT_SECONDS = 6 if LONGEST > 2 else 30  # of a request: weather that lasts gets there, a slow machine does not


class Refused(Exception):
    """Not answered for now; a write may have had its effect."""


class Weathered(Table):
    """A collection whose requests may be refused while the weather is bad."""

    insists = local = False
    states = ()
    unsure = ()  # states of acknowledged writes that the bucket may not have yet

    @property
    def tier(self):
        return self.policy

    @tier.setter
    def tier(self, tier):
        self.policy = tier

    def ask(self, method, path, body=None, status=200):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.once(method, path, body, status)
            except Refused as e:
                self.session.refused += 1
                if not self.insists:
                    raise
                if time.monotonic() > deadline:
                    raise Differs(f"{method} {path} is refused after {PATIENCE_SECONDS} s: {e}") from None
                time.sleep(0.05)

    def once(self, method, path, body, status):
        answer = self.session.client.request(method, path, None if body is None else json.dumps(body).encode())
        if TRACE:
            print(answer.status, method, path, json.dumps(body), flush=True)
        self.session.asked += 1
        said = json.loads(answer.body) if answer.body[:1] == b"{" else {}
        if answer.status == 503:
            check(int(answer.headers.get("Retry-After", "0")) >= 1, f"{method} {path}: 503 that does not say when to come again: {answer}")
            if self.session.bad:
                raise Refused(str(answer))
        if answer.status == 403 and self.session.bad and "as its tiering policy was changed" in said.get("detail", ""):
            raise Refused(str(answer))  # begun behind the answer, or before the process was killed
        if answer.status == 202 and status == 200:  # here, and not yet in the bucket
            answer.status, self.local = 200, True
        if answer.status != status:
            raise Differs(f"{method} {path} {json.dumps(body)[:1500]}: {answer}, not {status}")
        result = said["result"] if "result" in said else said
        if isinstance(result, dict) and result.get("partial") or said.get("partial"):
            self.session.partial += 1
            if self.session.bad:
                raise Refused("partial")
            raise Differs(f"{method} {path}: partial in calm weather: {answer}")
        told = result if isinstance(result, list) else [result]
        if any(isinstance(r, dict) and r.get("status") == "wait_timeout" for r in told):
            raise Refused("wait_timeout")
        return result

    # --- writes ---

    def changes(self, apply):
        gone = apply()
        self.states.append(dict(self.model.points))
        return gone

    def act(self):
        self.states, self.local = [dict(self.model.points)], False
        try:
            super().act()
        except Refused as e:
            self.find_out(str(e))
        self.unsure = [*self.unsure, *self.states] if self.local else []

    def act_index(self):
        self.insists = True  # made twice is made
        super().act_index()
        self.insists = False

    def find_out(self, why):
        """Which of the states is the node's? A write that is acknowledged comes behind the one that was not."""
        self.insists, self.local = True, False
        marker = [(26, self.vectors(every=True, zero=False), {"marker": self.session.asked}, None)]
        self.ask("POST", f"/api/v1/collections/{self.name}/insert", self.document(marker[0]))
        found = self.everything()
        last, befores, self.states = None, self.states, list(self.states)
        for at, state in enumerate(befores):
            self.model.points = dict(state)
            self.model.upsert(marker)
            self.states.append(dict(self.model.points))
            last = self.difference(found)
            if last is None:
                self.session.found_out[f"{at} of {len(befores) - 1}"] += 1
                return
        raise Differs(f"{self.name}: neither before nor after a write that was refused ({why}): {last}")

    def everything(self):
        self.insists = True
        found = self.ask("GET", f"/api/v1/collections/{self.name}/docs?limit=1000&with_vector=true")["documents"]
        self.insists = False
        return found

    def difference(self, found):
        """Of all documents and the model; None where there is none."""
        try:
            agree([d["doc_id"] for d in found], self.model.matching(None), f"ids of {self.name}")
            for d in found:
                self.same_document(d)
        except Differs as e:
            return e
        return None

    def find_out_after_a_loss(self):
        found, last = self.everything(), None
        for state in [dict(self.model.points), *reversed(self.unsure)]:
            self.model.points = dict(state)
            last = self.difference(found)
            if last is None:
                self.session.found_out[f"after a loss, {len(self.unsure)} unsure"] += 1
                self.unsure = []
                return
        raise Differs(f"{self.name}: not what was acknowledged, {len(self.unsure)} states may be: {last}")

    # --- reads ---

    def look(self):
        try:
            super().look()
        except Refused:
            pass

    # --- the policy ---

    def change_policy(self):
        if self.policy == "Memory":
            return
        to = "MemoryS3" if self.policy == "S3Only" else "S3Only"
        answer = self.session.client.request("POST", f"/api/v1/collections/{self.name}/tier", {"tiering_policy": to})
        if answer.status == 503 and (self.session.bad or "base" in str(answer)):
            self.settle()
            return
        check(answer.status in (200, 202), f"{self.name} to {to}: {answer}")
        self.settle()

    def settle(self):
        """Takes writes again, and the policy is known."""
        def serves():
            self.policy = "S3Only"  # while nobody knows: what is promised under both
            answer = self.session.client.request("GET", f"/api/v1/collections/{self.name}")
            if answer.status == 503:
                return False
            info = answer.json["collection"]
            if info["state"] != "serving" or info["bucket"]["phase"] in ("", "arriving", "taking", "creating"):
                return False
            self.policy = info["tiering_policy"]
            return True
        wait_for(f"{self.name} to take writes", serves, PATIENCE_SECONDS)


class Revived:
    """The node's client. Where the process was killed it is started again, and the request counts as refused."""

    def __init__(self, session):
        self.session, self.client = session, session.node.client()

    def request(self, *args, **more):
        try:
            return self.client.request(*args, **more)
        except (Gone, NotSent):
            check(self.session.armed is not None and self.session.armed.hits, "the node is gone and nobody killed it")
            self.session.revive()
            return Answer(503, {"Retry-After": "1"}, b'{"error":"killed"}')

    def __getattr__(self, name):
        return getattr(self.client, name)


class WeatherSession(Session):
    armed = None  # the rule that kills the node at a request
    kills = 0

    def __init__(self, node, seed, weather, tiers, more=None):
        self.asked, self.refused, self.partial, self.bad, self.found_out, self.folds, self.policies = (
            0, 0, 0, False, collections.Counter(), 0, 0)
        super().__init__(node, seed, tiers=tiers, kind=Weathered, more=more)
        self.weather = weather
        self.client = Revived(self)

    def fold(self, table):
        answer = self.client.request("POST", f"/admin/collections/{table.name}/compact?wait=true")
        check(answer.status == 200 or self.bad and answer.status in (503, 409, 403), f"fold of {table.name}: {answer}")
        self.folds += answer.status == 200

    def unload(self, table):
        if table.policy == "S3Only":
            answer = self.client.request("POST", f"/api/v1/collections/{table.name}/unload")
            check(answer.status in (200, 202) or self.bad and answer.status == 503, f"unload: {answer}")

    def switch(self):
        tables = self.tables
        for t in tables:
            t.insists = True
        super().switch()
        for t in tables:
            t.insists = False

    def live(self, steps):
        self.bad = True
        self.weather.begin()
        for _ in range(steps):
            if self.random.maybe(0.06):
                self.switch()
            if self.random.maybe(0.05):
                self.arm()
            table = self.random.one([t for t in self.tables if t.policy == "S3Only" or self.random.maybe(0.4)] or self.tables)
            if self.random.maybe(0.02):
                self.policies += 1
                table.change_policy()
            table.act()
            if table.tier == "S3Only" and self.random.maybe(0.15):
                self.fold(table)
            if self.random.maybe(0.4):  # what was cached is asked of the store again
                self.unload(self.random.one(self.tables))
            for _ in range(self.random.rng.randint(0, 4)):
                self.random.one(self.tables).look()

    def calm(self):
        """Nothing is refused any more."""
        self.disarm()
        if not self.node.running():
            self.revive()
        self.weather.calm()
        for table in self.tables:
            if table.policy != "Memory":
                table.settle()
        wait_for("the bucket to have all", self.shipped, PATIENCE_SECONDS)
        wait_for("cold segments to be open", self.opened, PATIENCE_SECONDS)
        self.bad = False
        self.look_at_all()

    def shipped(self):
        infos = [self.client.collection(t.name) for t in self.tables if t.policy != "Memory"]
        return all(i["bucket"]["shipped_lsn"] >= i["last_lsn"] for i in infos)

    def opened(self):
        """A set that could not be opened is tried again a moment later."""
        return all(self.client.request("GET", f"/api/v1/collections/{t.name}/docs?limit=1").status == 200 for t in self.tables)

    def start(self):
        self.node.launch().wait_listening().wait_ready(PATIENCE_SECONDS)
        self.client = Revived(self)

    def arm(self):
        """The process is killed before or after one of its next requests to the store."""
        self.disarm()
        rng = self.random.rng
        self.armed = self.node.relay.call(self.node.kill9, rng.choice(["before", "after"]), op="PUT", times=1, skip=rng.randrange(4),
                                          key=rng.choice([r"/root$", r"/m/", r"/g/", r"/log/", None]))

    def disarm(self):
        if self.armed is not None:
            self.node.relay.withdraw(self.armed)
            wait_for("a kill under way", lambda: self.node.relay.under_way == 0 or self.armed.hits == 0)
        self.armed = None

    def revive(self):
        self.kills += 1
        self.disarm()
        self.client.close()
        self.node.kill9()
        self.start()

    def lose_machine(self):
        """In the middle of the weather: what was acknowledged as `remote` is there."""
        self.disarm()
        self.client.close()
        self.node.crash_and_lose_everything()
        self.start()
        wait_for("the collections", lambda: len(self.client.get("/api/v1/collections")["collections"]) == len(self.tables))
        for table in self.tables:
            table.settle()
            table.find_out_after_a_loss()

    def tell(self):
        print(f"weather {dict(self.weather.told)}\nasked {self.asked}, refused {self.refused}, partial {self.partial}, "
              f"found out {dict(self.found_out)}, folds {self.folds}, policies {self.policies}, kills {self.kills}\n{self.node.relay.table()}", flush=True)
        check(self.refused * 2 < self.asked, "most is refused")


def node_of(world):
    node = world.node("a", server__node_id="one", storage__compaction__threshold_ops=40, wal__checkpoint_interval_secs=1,
                      server__timeout_seconds=TIMEOUT_SECONDS, storage__retry__max_backoff_secs=1).start()
    wait_for("the store to be proven", lambda: node.client().get("/api/v1/status")["bucket"]["store_grade"] == "A", PATIENCE_SECONDS)
    return node


def the_tiers_agree_while_the_store_is_not_well():
    with World("differential-faults") as world:
        node = node_of(world)
        with Weather(node.relay, SEED, LONGEST) as weather:
            weather.calm()
            session = WeatherSession(node, SEED + 4, weather, ("Memory", "MemoryS3", "S3Only"))
            for life in range(LIVES):
                session.live(STEPS)
                if life % 2 == 1:
                    session.disarm()
                    session.client.close()
                    node.kill9()
                    session.start()  # into the same weather
                    for table in session.tables:
                        if table.policy != "Memory":
                            table.settle()
                    session.live(STEPS // 2)
                session.calm()
                (session.end_graceful if life % 3 == 1 else session.end_hard)()
            session.live(STEPS)
            session.calm()
            session.tell()
        node.stop()


def what_was_remote_is_there_when_the_machine_is_lost_in_bad_weather():
    with World("differential-faults-lost") as world:
        node = node_of(world)
        with Weather(node.relay, SEED + 1, LONGEST) as weather:
            weather.calm()
            session = WeatherSession(node, SEED + 5, weather, ("MemoryS3", "S3Only"), {"durability": "remote"})
            for _ in range(LIVES):
                session.live(STEPS)
                session.lose_machine()
                session.live(STEPS // 2)
                session.calm()
            session.tell()
        node.stop()


if __name__ == "__main__":
    support.main(the_tiers_agree_while_the_store_is_not_well, what_was_remote_is_there_when_the_machine_is_lost_in_bad_weather)
