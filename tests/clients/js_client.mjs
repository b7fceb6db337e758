// The JavaScript client as published, against the node at TIERVEC_URL: a round through what programs do with it.
import assert from "node:assert/strict";
import { QdrantClient } from "@qdrant/js-client-rest";

const client = new QdrantClient({ url: process.env.TIERVEC_URL });
const name = `js-${process.pid}-${Date.now()}`;
const big = "18446744073709551615";

await client.createCollection(name, { vectors: { size: 3, distance: "Dot" } });
try {
    assert.equal((await client.collectionExists(name)).exists, true);
    const done = await client.upsert(name, {
        wait: true,
        points: [
            { id: 1, vector: [1, 0, 0], payload: { word: "east", n: 1, tags: ["a", "b"] } },
            { id: 2, vector: [0, 1, 0], payload: { word: "north", n: 2 } },
            { id: "00000000-0000-0000-0000-000000000003", vector: [0, 0, 1], payload: { word: "up", n: 3 } },
        ],
    });
    assert.equal(done.status, "completed");
    const near = await client.query(name, { query: [0.9, 0.1, 0], limit: 2, with_payload: true });
    assert.deepEqual(near.points.map((p) => p.payload.word), ["east", "north"]);
    const whole = await client.query(name, { query: [0, 0, 1], limit: 1, with_vector: true });
    assert.deepEqual(whole.points[0].vector, [0, 0, 1]);
    const chosen = await client.query(name, {
        query: [0.9, 0.1, 0], limit: 5, filter: { must: [{ key: "n", range: { gte: 2 } }], must_not: [{ key: "word", match: { value: "up" } }] },
    });
    assert.deepEqual(chosen.points.map((p) => p.id), [2]);
    await client.createPayloadIndex(name, { field_name: "word", field_schema: "keyword", wait: true });
    assert.equal((await client.getCollection(name)).payload_schema.word.data_type, "keyword");
    await client.setPayload(name, { wait: true, payload: { seen: true }, points: [1, 2] });
    assert.equal((await client.count(name, { filter: { must: [{ key: "seen", match: { value: true } }] } })).count, 2);
    const page = await client.scroll(name, { limit: 2 });
    assert.equal(page.points.length, 2);
    assert.equal(page.next_page_offset, "00000000-0000-0000-0000-000000000003");
    const rest = await client.scroll(name, { limit: 2, offset: page.next_page_offset });
    assert.equal(rest.next_page_offset, null);
    await client.delete(name, { wait: true, points: [1] });
    assert.deepEqual((await client.retrieve(name, { ids: [1, 2] })).map((p) => p.id), [2]);
    const batch = await client.queryBatch(name, { searches: [{ query: [0, 1, 0], limit: 1 }, { query: [0, 0, 1], limit: 1 }] });
    assert.deepEqual(batch.map((b) => b.points[0].id), [2, "00000000-0000-0000-0000-000000000003"]);
    await assert.rejects(client.getCollection(`${name}-none`), (e) => e.status === 404);
    await client.updateCollectionAliases({ actions: [{ create_alias: { collection_name: name, alias_name: `${name}-alias` } }] });
    assert.equal((await client.count(`${name}-alias`)).count, 2);
    const answer = await fetch(`${process.env.TIERVEC_URL}/collections/${name}/points`, {
        method: "PUT", headers: { "Content-Type": "application/json" }, body: `{"points":[{"id":${big},"vector":[1,1,1]}]}`,
    });
    assert.equal(answer.status, 200);
    assert.equal((await client.count(name)).count, 3);
} finally {
    await client.deleteCollection(name);
}
console.log("ok");
