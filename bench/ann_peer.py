"""One library behind the protocol of `tiervec bench ann` (docs/benchmarks.md): what ann_peers.py drives, a process each.

    PYTHON bench/ann_peer.py NAME BASE.npy QUERY.npy METRIC M EF_CONSTRUCTION THREADS FOLDER

The first run builds and keeps the index in FOLDER, later ones load it. `READY seconds bytes resident` tells what building took then, what
the library's files take and by how much the process grew when it loaded them; each line `knob passes` is answered with `qps p50 p95 p99 FILE`. A knob is ef, or numbers with colons between
them. Libraries that take all queries in one call are asked so, on one thread: no Python runs between two queries, and single latencies are
not known (nan). The others (CALLS) are asked query by query, and a call from Python is in their figures.

Rows of cosine sets are of unit length: every library compares them by the dot product, its cheapest way.
"""
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

K = 10
HNSW_EF = ["10", "12", "16", "20", "24", "32", "40", "48", "64", "80", "100", "128", "160", "200", "256", "320", "400", "512", "640", "800"]


class Peer:
    knobs = HNSW_EF
    calls = False  # True: one call of Python a query
    kind = "hnsw"

    def __init__(self, metric, dim, m, efc, threads, folder):
        self.l2 = metric == "l2"
        self.dim, self.m, self.efc, self.threads, self.folder = dim, m, efc, threads, folder

    def path(self, name="index"):
        return os.path.join(self.folder, name)

    def fit(self, x):
        """Vectors as the library wants them; before the clock runs."""
        return x

    def set(self, knob):
        """What of a knob is the same for all queries of a pass."""

    def search(self, queries):
        """Ids of all queries."""
        raise NotImplementedError


class Hnswlib(Peer):
    module = "hnswlib"
    def empty(self):
        import hnswlib
        return hnswlib.Index(space="l2" if self.l2 else "ip", dim=self.dim)

    def build(self, base):
        self.index = self.empty()
        self.index.init_index(max_elements=len(base), ef_construction=self.efc, M=self.m, random_seed=100)
        self.index.add_items(base, num_threads=self.threads)
        self.index.save_index(self.path())

    def load(self):
        self.index = self.empty()
        self.index.load_index(self.path())
        self.index.set_num_threads(1)

    def set(self, knob):
        self.index.set_ef(int(knob))

    def search(self, queries):
        return self.index.knn_query(queries, k=K, num_threads=1)[0]


class Faiss(Peer):
    module = "faiss"
    def make(self, faiss, metric):
        return faiss.IndexHNSWFlat(self.dim, self.m, metric)

    def hnsw(self):
        return self.index.hnsw

    def build(self, base):
        import faiss
        faiss.omp_set_num_threads(self.threads)
        self.index = self.make(faiss, faiss.METRIC_L2 if self.l2 else faiss.METRIC_INNER_PRODUCT)
        if self.kind == "hnsw":
            self.hnsw().efConstruction = self.efc
        self.index.train(base)
        self.index.add(base)
        faiss.write_index(self.index, self.path())

    def load(self):
        import faiss
        self.faiss = faiss
        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(self.path())

    def set(self, knob):
        self.params = self.faiss.SearchParametersHNSW(efSearch=int(knob))

    def search(self, queries):
        return self.index.search(queries, K, params=self.params)[1]


class FaissSq8(Faiss):
    def make(self, faiss, metric):
        return faiss.IndexHNSWSQ(self.dim, faiss.ScalarQuantizer.QT_8bit, self.m, metric)


class FaissSq8Refined(Faiss):
    """8-bit codes in the graph, twice as many candidates ranked again on float32."""

    def make(self, faiss, metric):
        self.inner = faiss.IndexHNSWSQ(self.dim, faiss.ScalarQuantizer.QT_8bit, self.m, metric)
        return faiss.IndexRefineFlat(self.inner)

    def hnsw(self):
        return self.inner.hnsw

    def set(self, knob):
        self.params = self.faiss.IndexRefineSearchParameters(
            k_factor=2, base_index_params=self.faiss.SearchParametersHNSW(efSearch=max(2 * K, int(knob))))


class FaissIvfPq(Faiss):
    """4-bit product codes in blocks (fast scan), ranked again on float32. A knob is nprobe:k_factor."""
    kind = "ivf"
    knobs = ["2:4", "4:6", "6:8", "8:10", "12:12", "16:16", "24:16", "32:20", "48:24", "64:30", "96:40", "128:60", "192:80"]

    def make(self, faiss, metric):
        return faiss.index_factory(self.dim, f"IVF512,PQ{self.dim // 2}x4fs,RFlat", metric)

    def set(self, knob):
        nprobe, factor = map(int, knob.split(":"))
        self.params = self.faiss.IndexRefineSearchParameters(
            k_factor=factor, base_index_params=self.faiss.SearchParametersIVF(nprobe=nprobe))


class Usearch(Peer):
    module = "usearch.index"
    dtype = "f32"

    def build(self, base):
        from usearch.index import Index
        self.index = Index(ndim=self.dim, metric="l2sq" if self.l2 else "ip", dtype=self.dtype, connectivity=self.m,
                           expansion_add=self.efc, expansion_search=64)
        self.index.add(np.arange(len(base)), self.fit(base), threads=self.threads)
        self.index.save(self.path())

    def load(self):
        from usearch.index import Index
        self.index = Index.restore(self.path())

    def set(self, knob):
        self.index.expansion_search = int(knob)

    def search(self, queries):
        return self.index.search(queries, K, threads=1).keys


class UsearchBf16(Usearch):
    dtype = "bf16"


class UsearchI8(Usearch):
    """One scale for all values, the largest of the base; its own cast is made for unit vectors and drops what lies beyond 1."""
    dtype = "i8"

    def build(self, base):
        np.save(self.path("rows.scale.npy"), np.float32(127) / np.abs(base).max())
        super().build(base)

    def fit(self, x):
        return np.clip(np.rint(x * np.load(self.path("rows.scale.npy"))), -127, 127).astype(np.int8)


class Scann(Peer):
    """A knob is leaves:candidates ranked again."""
    module = "scann"
    kind = "partitions"
    knobs = ["4:30", "8:40", "12:60", "16:80", "24:80", "24:150", "36:120", "36:250", "50:150", "50:300", "75:200", "75:400", "110:300", "110:600",
             "160:400", "160:900", "240:600", "240:1200", "350:1500"]

    def build(self, base):
        import scann
        leaves = max(64, int(2 * len(base) ** 0.5))
        builder = scann.scann_ops_pybind.builder(base, K, "squared_l2" if self.l2 else "dot_product")
        builder = builder.tree(num_leaves=leaves, num_leaves_to_search=leaves // 10, training_sample_size=min(len(base), 250000))
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100)
        builder.set_n_training_threads(self.threads)
        self.index = builder.build()
        self.index.serialize(self.folder)

    def load(self):
        import scann
        self.index = scann.scann_ops_pybind.load_searcher(self.folder)

    def set(self, knob):
        self.leaves, self.again = map(int, knob.split(":"))

    def search(self, queries):
        return self.index.search_batched(queries, final_num_neighbors=K, pre_reorder_num_neighbors=self.again,
                                         leaves_to_search=self.leaves)[0]


class Svs(Peer):
    """Vamana; degree 2 M, as a node has on an HNSW's lowest layer."""
    module = "svs"
    kind = "vamana"
    lvq = False

    def distance(self, svs):
        return svs.DistanceType.L2 if self.l2 else svs.DistanceType.MIP

    def parameters(self, svs):
        return svs.VamanaBuildParameters(alpha=1.2 if self.l2 else 0.95, graph_max_degree=2 * self.m, window_size=self.efc)

    def build(self, base):
        import svs
        self.index = svs.Vamana.build(self.parameters(svs), base, self.distance(svs), num_threads=self.threads)
        self.index.save(self.path("config"), self.path("graph"), self.path("data"))

    def load(self):
        import svs
        self.index = svs.Vamana(self.path("config"), svs.GraphLoader(self.path("graph")), svs.VectorDataLoader(self.path("data"), svs.float32),
                                self.distance(svs), num_threads=1)

    def set(self, knob):
        self.index.search_window_size = int(knob)

    def search(self, queries):
        return self.index.search(queries, K)[0]


class SvsLvq(Svs):
    """4-bit codes in the graph, 8 more bits to rank again."""

    def build(self, base):
        import svs
        raw = svs.VectorDataLoader(self.raw(svs, base), svs.DataType.float32, dims=self.dim)
        self.index = svs.Vamana.build(self.parameters(svs), svs.LVQLoader(raw, primary=4, residual=8), self.distance(svs),
                                      num_threads=self.threads)
        self.index.save(self.path("config"), self.path("graph"), self.path("data"))

    def raw(self, svs, base):
        path = self.path("rows.fvecs")
        svs.write_vecs(base, path)
        out = self.path("rows.svs")
        svs.convert_vecs_to_svs(path, out, dtype=svs.float32)
        return out

    def load(self):
        import svs
        self.index = svs.Vamana(self.path("config"), svs.GraphLoader(self.path("graph")), svs.LVQLoader(self.path("data")),
                                self.distance(svs), num_threads=1)


class Vsag(Peer):
    """HGraph: 8-bit codes in the graph, float32 to rank again; degree 2 M. One call a query."""
    module = "pyvsag"
    calls = True

    def empty(self):
        import pyvsag
        return pyvsag.Index("hgraph", json.dumps({
            "dtype": "float32", "metric_type": "l2" if self.l2 else "ip", "dim": self.dim,
            "index_param": {"base_quantization_type": "sq8", "max_degree": 2 * self.m, "ef_construction": self.efc, "use_reorder": True,
                            "precise_quantization_type": "fp32", "build_thread_count": self.threads}}))

    def build(self, base):
        self.index = self.empty()
        self.index.build(np.ascontiguousarray(base).reshape(-1), np.arange(len(base), dtype=np.int64), len(base), self.dim)
        self.index.save(self.path())

    def load(self):
        self.index = self.empty()
        self.index.load(self.path())

    def set(self, knob):
        self.params = json.dumps({"hgraph": {"ef_search": int(knob)}})

    def search(self, query):
        return self.index.knn_search(query, K, self.params)[0]


class Zvec(Peer):
    """One call a query, through its collection: vectors come back as objects."""
    module = "zvec"
    calls = True

    def schema(self, zvec):
        metric = zvec.MetricType.L2 if self.l2 else zvec.MetricType.IP
        return zvec.CollectionSchema(name="bench", vectors=zvec.VectorSchema(
            "v", zvec.DataType.VECTOR_FP32, self.dim,
            index_param=zvec.HnswIndexParam(metric_type=metric, m=self.m, ef_construction=self.efc)))

    def build(self, base):
        import zvec
        shutil.rmtree(self.path("collection"), ignore_errors=True)
        self.index = zvec.create_and_open(path=self.path("collection"), schema=self.schema(zvec))
        for at in range(0, len(base), 500):
            self.index.insert([zvec.Doc(id=str(i), vectors={"v": base[i].tolist()}) for i in range(at, min(at + 500, len(base)))])
        self.index.optimize(option=zvec.OptimizeOption(concurrency=self.threads))
        self.index.flush()
        del self.index

    def load(self):
        import zvec
        self.zvec = zvec
        self.index = zvec.open(self.path("collection"), zvec.CollectionOption(read_only=True))

    def set(self, knob):
        self.params = self.zvec.HnswQueryParam(ef=int(knob))

    def search(self, query):
        found = self.index.query(self.zvec.Query("v", vector=query, param=self.params), topk=K, output_fields=[])
        return [int(d.id) for d in found]


PEERS = {"hnswlib": Hnswlib, "faiss-hnsw": Faiss, "faiss-hnsw-sq8": FaissSq8, "faiss-hnsw-sq8-refined": FaissSq8Refined,
         "faiss-ivfpq-fs": FaissIvfPq, "usearch-f32": Usearch, "usearch-bf16": UsearchBf16, "usearch-i8": UsearchI8, "scann": Scann,
         "svs": Svs, "svs-lvq4x8": SvsLvq, "vsag-sq8": Vsag, "zvec": Zvec}


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names
               if not name.startswith("rows.") and name != "meta.json")


def resident():
    with open("/proc/self/status", encoding="utf-8") as f:
        return 1024 * sum(int(line.split()[1]) for line in f if line.startswith(("RssAnon", "RssShmem")))


def build(peer, base_path):
    base = np.ascontiguousarray(np.load(base_path))
    os.makedirs(peer.folder, exist_ok=True)
    began, cpu = time.perf_counter(), time.process_time()
    peer.build(base)
    meta = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu, "bytes": folder_bytes(peer.folder)}
    with open(peer.path("meta.json"), "w", encoding="utf-8") as f:
        json.dump(meta, f)


def one_pass(peer, queries):
    if not peer.calls:
        began = time.perf_counter()
        ids = peer.search(queries)
        return np.asarray(ids), time.perf_counter() - began, None
    ids, now = [], [time.perf_counter()]
    for q in queries:
        ids.append(peer.search(q))
        now.append(time.perf_counter())
    return np.asarray(ids), now[-1] - now[0], np.diff(now)


def answer(peer, queries, knob, passes):
    peer.set(knob)
    best = min((one_pass(peer, queries) for _ in range(passes)), key=lambda r: r[1])
    ids, took, each = best
    us = [float("nan")] * 3 if each is None else [1e6 * float(np.percentile(each, p)) for p in (50, 95, 99)]
    fd, path = tempfile.mkstemp(suffix=".i32")
    with os.fdopen(fd, "wb") as f:
        f.write(np.ascontiguousarray(ids, dtype="<i4").tobytes())
    return f"{len(queries) / took:.1f} {us[0]:.2f} {us[1]:.2f} {us[2]:.2f} {path}"


def main():
    name, base_path, query_path, metric, m, efc, threads, folder = sys.argv[1:9]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print do so elsewhere
    queries = np.ascontiguousarray(np.load(query_path))
    peer = PEERS[name](metric, queries.shape[1], int(m), int(efc), int(threads), os.path.abspath(folder))
    if sys.argv[9:] == ["build"]:
        build(peer, base_path)
        return
    if not os.path.exists(peer.path("meta.json")):  # in a process of its own: what building leaves behind is not in memory
        subprocess.run([sys.executable, *sys.argv, "build"], check=True, stdin=subprocess.DEVNULL)
    with open(peer.path("meta.json"), encoding="utf-8") as f:
        meta = json.load(f)
    importlib.import_module(peer.module)
    before = resident()
    peer.load()
    queries = peer.fit(queries)
    print(f"READY {meta['seconds']:.3f} {meta['bytes']} {resident() - before}", file=out, flush=True)
    for line in sys.stdin:
        knob, passes = line.split()
        print(answer(peer, queries, knob, int(passes)), file=out, flush=True)


if __name__ == "__main__":
    main()
