"""Weather in front of a store: what goes wrong on a relay (s3_relay.py), drawn from a seed, one kind after the other.

    with Weather(relay, seed) as weather:   # it is bad from now on
        ...
        weather.calm()                      # until begin() everything passes
        weather.told                        # how often each kind was there

What a store may not do is not here: it gives no older version of a key, for S3 is consistent. `flipped`, `short`, `shifted` and
`whole` are answers that a broken proxy gives; each unit's checksum and length have to find them out.
"""
import collections
import random
import re
import threading
import time


APART_SECONDS = 3


def _with_length(head, length):
    return re.sub(rb"(?im)^content-length:.*\r\n", b"Content-Length: %d\r\n" % length, head, count=1)


def _range_of(head):
    return re.search(rb"(?im)^content-range: bytes (\d+)-(\d+)/(\d+)\r\n", head)


def _short(head, body):
    """A range that ends too early, and says so."""
    at = _range_of(head)
    if not at or len(body) < 2:
        return None
    kept = len(body) // 2
    told = b"Content-Range: bytes %d-%d/%d\r\n" % (int(at.group(1)), int(at.group(1)) + kept - 1, int(at.group(3)))
    return _with_length(head.replace(at.group(0), told), kept), body[:kept]


def _shifted(head, body):
    """Another range than the one that was asked for."""
    at = _range_of(head)
    if not at:
        return None
    told = b"Content-Range: bytes %d-%d/%d\r\n" % (int(at.group(1)) + 1, int(at.group(2)) + 1, int(at.group(3)) + 1)
    return head.replace(at.group(0), told), body


def _whole(head, body):
    """200, as if no range had been asked for, with the bytes of one."""
    at = _range_of(head)
    return at and (head.replace(at.group(0), b"").replace(b" 206 ", b" 200 ", 1), body)


class Weather:
    def __init__(self, relay, seed, longest=2.0):
        self.relay, self.longest = relay, longest
        self.rng = random.Random(seed)
        self.told = collections.Counter()
        self.distorted = 0.0
        self.lock = threading.Lock()
        self.wake, self.bad, self.ended = threading.Event(), threading.Event(), False
        self.idle = threading.Event()
        self.idle.set()
        self.thread = threading.Thread(target=self._go, daemon=True)
        self.thread.start()

    def begin(self):
        self.wake.clear()
        self.idle.clear()
        self.bad.set()

    def calm(self):
        """Returns when everything passes."""
        self.bad.clear()
        self.wake.set()
        self.idle.wait()

    # Kinds: each gives the rules of a while, or cuts.

    def _chance(self, p):
        def happens():
            with self.lock:
                return self.rng.random() < p
        return happens

    def _now_and_then(self):
        """What fails its check is read a second time, and then it is an error: not two within seconds."""
        now = time.monotonic()
        with self.lock:
            if now - self.distorted < APART_SECONDS or self.rng.random() < 0.5:
                return False
            self.distorted = now
        return True

    def _flipped(self, head, body):
        if not body:
            return None
        with self.lock:
            at, bit = self.rng.randrange(len(body)), 1 << self.rng.randrange(8)
        return head, body[:at] + bytes([body[at] ^ bit]) + body[at + 1:]

    def _slow(self):
        with self.lock:
            return self.rng.choice([0.02, 0.1, 0.3, 1.0])

    def _kinds(self):
        relay, chance = self.relay, self._chance
        some = self.rng.choice([0.1, 0.5, 0.9])
        op = self.rng.choice([None, None, "GET", "PUT"])
        root = self.rng.choice([r"/root$", r"/root$|^meta/|/m/", None])
        return {
            "fine": lambda: [],
            "busy": lambda: [relay.answer(503, "SlowDown", op=op, chance=chance(some))],
            "broken": lambda: [relay.answer(500, "InternalError", op=op, chance=chance(some))],
            "reset": lambda: [relay.reset(op=op, chance=chance(some))],
            "slow": lambda: [relay.delay(self._slow, op=op, chance=chance(some))],
            "lost": lambda: [relay.lose_answers(op=op, key=root, chance=chance(some))],
            "lost roots": lambda: [relay.lose_answers(op="PUT", key=r"/root$", chance=chance(0.7))],
            "truncated": lambda: [relay.truncate(op="GET", chance=chance(some))],
            "flipped": lambda: [relay.distort(self._flipped, op="GET", chance=self._now_and_then)],
            "short": lambda: [relay.distort(_short, op="GET", chance=self._now_and_then)],
            "shifted": lambda: [relay.distort(_shifted, op="GET", chance=self._now_and_then)],
            "whole": lambda: [relay.distort(_whole, op="GET", chance=self._now_and_then)],
            "mixed": lambda: [relay.answer(503, "SlowDown", chance=chance(0.1)), relay.reset(chance=chance(0.1)),
                              relay.lose_answers(chance=chance(0.1)), relay.delay(self._slow, chance=chance(0.1))],
            **{f"away: {how}": lambda how=how: relay.cut(how) for how in ("refuse", "hang_up", "blackhole")},
        }

    def _go(self):
        while True:
            while not self.bad.wait(0.05):
                self.idle.set()
                if self.ended:
                    return
            with self.lock:
                kinds = self._kinds()
                kind = self.rng.choice(list(kinds))
                seconds = self.rng.uniform(self.longest / 10, self.longest)
            self.told[kind] += 1
            rules = kinds[kind]()
            self.wake.wait(seconds)
            if rules is None:
                self.relay.mend()
            for rule in rules or []:
                self.relay.withdraw(rule)

    def __enter__(self):
        self.begin()
        return self

    def __exit__(self, *_):
        self.calm()
        self.ended = True
        self.thread.join()


def _each_kind_passes_by():
    from s3_relay import Relay  # pylint: disable=import-outside-toplevel
    with Relay(1) as relay, Weather(relay, 5, longest=0.02) as weather:
        deadline = time.monotonic() + 60
        while len(weather.told) < 16 and time.monotonic() < deadline:
            time.sleep(0.01)
        weather.calm()
        check(len(weather.told) == 16 and not relay.rules and relay.mode == "pass", f"{weather.told} {relay.rules} {relay.mode}")


def _what_is_changed_is_still_an_answer():
    head, body = b"HTTP/1.1 206 X\r\nContent-Length: 4\r\nContent-Range: bytes 10-13/90\r\n\r\n", b"abcd"
    check(_short(head, body) == (b"HTTP/1.1 206 X\r\nContent-Length: 2\r\nContent-Range: bytes 10-11/90\r\n\r\n", b"ab"), "short")
    check(_shifted(head, body) == (head.replace(b"10-13/90", b"11-14/91"), body), "shifted")
    check(_whole(head, body) == (b"HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n", body), "whole")
    check(_short(b"HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n", body) is None, "no range")


if __name__ == "__main__":
    from support import check, main
    main(_each_kind_passes_by, _what_is_changed_is_still_an_answer)
