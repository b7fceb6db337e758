"""akidb.collection.v1, our own API by gRPC, beside its REST routes: Google's client with the messages of api/proto as protoc reads them.

    python3 tests/integration/grpc_native.py [name of a test below ...] [--seed S]
"""
import os
import random
import subprocess
import sys

import clients_install

try:
    import grpc
except ImportError:  # the python of the clients has it; it runs this again
    os.execv(clients_install.python(), [clients_install.python(), *sys.argv])  # by its path: a venv is known by it

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402

import support  # noqa: E402
from support import Folder, Node, check, f32, refusing_port  # noqa: E402

SEED = support.take_seed()
PACKAGE = "akidb.collection.v1"
DATA, MANAGE = f"/{PACKAGE}.CollectionService/", f"/{PACKAGE}.CollectionManagementService/"


class Messages:
    """The classes of the messages, by name."""

    def __init__(self, folder):
        proto = os.path.join(support.ROOT, "api", "proto")
        path = os.path.join(folder, "set")
        subprocess.run(["protoc", f"--proto_path={proto}", "--include_imports", f"--descriptor_set_out={path}",
                        os.path.join(proto, "akidb_collection.proto")], check=True, timeout=60)
        with open(path, "rb") as f:
            files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)

    def __getattr__(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def refused(code, call):
    try:
        told = call()
    except grpc.RpcError as e:
        check(e.code() == code and e.details(), f"{e.code()} instead of {code}: {e.details()}")
        return e.details()
    raise AssertionError(f"was not refused: {told}")


def value(m, v):
    kind = m.pool.FindMessageTypeByName("qdrant.Value")
    made = message_factory.GetMessageClass(kind)
    if isinstance(v, dict):
        out = made()
        out.struct_value.SetInParent()
        for k, x in v.items():
            out.struct_value.fields[k].CopyFrom(value(m, x))
        return out
    return made(**{{bool: "bool_value", int: "integer_value", float: "double_value", str: "string_value"}[type(v)]: v})


def same_as_rest(node, m, call, rng):
    """One collection filled by gRPC and looked at by both doors."""
    rest = node.client()

    def ask(method, path, body=None):
        answer = rest.request(method, f"/api/v1/collections{path}", body)
        check(answer.status in (200, 201), f"{method} {path}: {answer.status} {answer.json}")
        return answer.json

    made = call(MANAGE + "CreateCollection", m.CreateCollectionRequest(name="c", dimension=4, metric="l2", hnsw=m.HnswParams(m=8)),
                m.CreateCollectionResponse)
    check(made.name == "c" and made.dimension == 4 and made.collection_id and made.tiering_policy == "Memory", made)
    refused(grpc.StatusCode.ALREADY_EXISTS, lambda: call(MANAGE + "CreateCollection", m.CreateCollectionRequest(name="c", dimension=4, metric="l2"),
                                                          m.CreateCollectionResponse))
    rows = {str(i): [f32(rng.uniform(-1, 1)) for _ in range(4)] for i in range(1, 60)}
    documents = []
    for key, v in rows.items():
        d = m.InsertDocument(doc_id=m.DocId(text=key), vector=v)
        d.payload["n"].CopyFrom(value(m, int(key)))
        d.payload["o"].CopyFrom(value(m, {"half": int(key) / 2, "even": int(key) % 2 == 0}))
        documents.append(d)
    told = call(DATA + "Insert", m.InsertRequest(collection_id="c", documents=documents), m.InsertResponse)
    check(told.inserted == len(rows) and told.lsn > 0 and told.durability == "local" and not told.doc_ids, told)
    told = call(DATA + "Insert", m.InsertRequest(collection_id="c", documents=[m.InsertDocument(vector=[9, 9, 9, 9], external_id="far")]), m.InsertResponse)
    check(len(told.doc_ids) == 1 and len(told.doc_ids[0].text) == 36, f"an id is made: {told}")
    far = told.doc_ids[0].text

    got = call(DATA + "Get", m.GetRequest(collection_id="c", doc_id="7"), m.GetResponse).document
    by_rest = ask("GET", "/c/docs/7")["document"]
    check(list(got.vector) == rows["7"] and got.payload["o"].struct_value.fields["half"].double_value == 3.5, got)
    check(got.doc_id.text == str(by_rest["doc_id"]) and got.lsn == by_rest["lsn"] and got.inserted_at == by_rest["inserted_at"], by_rest)
    check(call(DATA + "Get", m.GetRequest(collection_id="c", doc_id=far), m.GetResponse).document.external_id == "far", "external_id")

    for _ in range(30):
        q, top = [f32(rng.uniform(-1, 1)) for _ in range(4)], rng.randint(1, 20)
        body, asked = {"query_vector": q, "top_k": top, "with_vector": True}, m.QueryRequest(collection_id="c", query_vector=q, top_k=top, with_vector=True)
        if rng.random() < 0.6:
            body["filter"] = {"n": {"$lt": 30}, "o.even": True}
            asked.filter["n"].CopyFrom(value(m, {"$lt": 30}))
            asked.filter["o.even"].CopyFrom(value(m, True))
        found = call(DATA + "Query", asked, m.QueryResponse).matches
        due = ask("POST", "/c/query", body)["matches"]
        check([(x.doc_id.text, x.distance, x.score, list(x.vector), x.payload["n"].integer_value if "n" in x.payload else None) for x in found] ==
              [(str(x["doc_id"]), f32(x["distance"]), f32(x["score"]), [f32(v) for v in x["vector"]], x["payload"].get("n")) for x in due],
              f"{body}:\n{found}\n{due}")

    info = call(DATA + "Describe", m.GetCollectionRequest(collection_id="c"), m.GetCollectionResponse).collection
    by_rest = ask("GET", "/c")["collection"]
    for name in ("collection_id", "name", "dimension", "metric", "document_count", "tiering_policy", "created_at", "state", "last_lsn", "durability"):
        check(getattr(info, name) == by_rest[name], f"{name}: {getattr(info, name)} and {by_rest[name]}")
    check(info.hnsw.m == 8 and info.document_count == 60, info)
    listed = call(MANAGE + "ListCollections", m.ListCollectionsRequest(), m.ListCollectionsResponse).collections
    check([c.name for c in listed] == ["c"] and listed[0].document_count == 60, listed)

    gone = call(DATA + "Delete", m.DeleteRequest(collection_id="c", ids=[m.DocId(text="1"), m.DocId(text="777"), m.DocId(text=far)]), m.DeleteResponse)
    check(gone.deleted == 2, gone)
    wanted = m.DeleteRequest(collection_id="c")
    wanted.filter["n"].CopyFrom(value(m, {"$gte": 50}))
    check(call(DATA + "Delete", wanted, m.DeleteResponse).deleted == 10, "by a filter")
    check(ask("GET", "/c")["collection"]["document_count"] == 48, "what is left")
    text = refused(grpc.StatusCode.NOT_FOUND, lambda: call(DATA + "Get", m.GetRequest(collection_id="c", doc_id="1"), m.GetResponse))
    check(text == "there is no document 1", text)
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(DATA + "Query", m.QueryRequest(collection_id="c", query_vector=[1, 2]), m.QueryResponse))
    check("has 2 values, the collection's dimension is 4" in text, text)
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(DATA + "Insert", m.InsertRequest(collection_id="c", documents=[
        m.InsertDocument(vector=[1, 2, 3, float("nan")])]), m.InsertResponse))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(DATA + "Insert", m.InsertRequest(collection_id="c"), m.InsertResponse))
    rest.close()


def many_at_once(m, call, rng):
    """A message that is read in slices, and one of them that is wrong far behind."""
    call(MANAGE + "CreateCollection", m.CreateCollectionRequest(name="w", dimension=96, metric="dot"), m.CreateCollectionResponse)
    rows = [[f32(rng.uniform(-1, 1)) for _ in range(96)] for _ in range(1500)]
    asked = m.InsertRequest(collection_id="w", documents=[m.InsertDocument(doc_id=m.DocId(text=str(i)), vector=v) for i, v in enumerate(rows)])
    check(call(DATA + "Insert", asked, m.InsertResponse).inserted == 1500, "all of them")
    for i in (0, 777, 1499):
        check(list(call(DATA + "Get", m.GetRequest(collection_id="w", doc_id=str(i)), m.GetResponse).document.vector) == rows[i], f"document {i}")
    asked.documents[1400].vector[95] = float("inf")
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(DATA + "Insert", asked, m.InsertResponse))
    check("documents[1400]" in text and "element 95 is not finite" in text, text)


def named_vectors(m, call):
    asked = m.CreateCollectionRequest(name="n")
    asked.vectors["title"].CopyFrom(m.VectorSpec(dimension=2, metric="dot"))
    asked.vectors["body"].CopyFrom(m.VectorSpec(dimension=3, metric="l2"))
    call(MANAGE + "CreateCollection", asked, m.CreateCollectionResponse)
    d = m.InsertDocument(doc_id=m.DocId(text="1"))
    d.vectors.by_name["title"].values.extend([1, 2])
    d.vectors.by_name["body"].values.extend([3, 4, 5])
    call(DATA + "Insert", m.InsertRequest(collection_id="n", documents=[d]), m.InsertResponse)
    found = call(DATA + "Query", m.QueryRequest(collection_id="n", query_vector=[2, 1], using="title", with_vector=True), m.QueryResponse).matches
    check(len(found) == 1 and found[0].score == 4 and list(found[0].vectors.by_name["body"].values) == [3, 4, 5], found)
    info = call(MANAGE + "GetCollection", m.GetCollectionRequest(collection_id="n"), m.GetCollectionResponse).collection
    check(info.vectors["body"].dimension == 3 and info.vectors["title"].metric == "dot", info)
    check(call(MANAGE + "DeleteCollection", m.DeleteCollectionRequest(collection_id="n"), m.DeleteCollectionResponse).collection_id == info.collection_id, "dropped")
    refused(grpc.StatusCode.NOT_FOUND, lambda: call(MANAGE + "DeleteCollection", m.DeleteCollectionRequest(collection_id="n"), m.DeleteCollectionResponse))


def our_own_api_by_grpc():
    rng = random.Random(SEED)
    with Folder("grpc-native") as folder:
        node = Node(folder)
        node.grpc_port = refusing_port()
        with node.start():
            channel = grpc.insecure_channel(f"127.0.0.1:{node.grpc_port}")

            def call(path, message, answer):
                return channel.unary_unary(path, request_serializer=type(message).SerializeToString, response_deserializer=answer.FromString)(message, timeout=30)

            m = Messages(str(folder))
            same_as_rest(node, m, call, rng)
            many_at_once(m, call, rng)
            named_vectors(m, call)
            channel.close()


if __name__ == "__main__":
    support.main(our_own_api_by_grpc)
