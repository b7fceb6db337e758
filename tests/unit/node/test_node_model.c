/* A collection beside a model of it, under seeded random work: writes of every kind, reads,
 * renames, checkpoints, repair, graceful stops and power cuts. After each start the two are equal:
 * what was acknowledged is there, what was refused is not, what is unknown is one or the other.
 *
 * The clock stands still but for the test, which moves it past a tick of the upkeep thread, so that
 * repair and slot reuse take part. A seed may be given as argument. */
#include "tests/unit/node/nworld.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    IDS = 500,
    DIM = 8,
    THRESHOLD = 40,
    STEPS = 600,
    BATCH_MAX = 60,
    BURST_MAX = 6,
    MAYBE_MAX = BURST_MAX,
    TOP_K = 10,
    SEEDS = 4,
};

struct model {
    uint32_t version[IDS]; /* 0: absent */
    uint32_t maybe[IDS][MAYBE_MAX];
    uint8_t maybe_count[IDS];
    uint32_t live;
};

struct world {
    struct nworld w;
    struct model m;
    struct collection *c;
    char texts[IDS][24];
    enum vmetric metric;
    uint32_t last_version;
    bool renamed;
    uint64_t rows_written;
    uint32_t slots_end_max;
    uint32_t linked_max;
    uint64_t wanted, found; /* by searches in the graph */
};

static uint64_t below(struct world *t, uint64_t bound)
{
    return rand_below(&t->w.rand.source, bound);
}

/* Ids of all three kinds. */
static struct docid id_of(struct world *t, uint32_t i)
{
    struct docid id = docid_u64(i);

    if (i % 3 == 1) {
        id.kind = DOCID_UUID;
        memset(id.uuid, 0, sizeof id.uuid);
        id.uuid[3] = (uint8_t)(i >> 8);
        id.uuid[15] = (uint8_t)i;
    } else if (i % 3 == 2) {
        (void)snprintf(t->texts[i], sizeof t->texts[i], "document-%u", i);
        id.kind = DOCID_BYTES;
        id.bytes = slice_text(t->texts[i]);
    }
    return id;
}

static uint32_t index_of(struct world *t, const struct docid *id)
{
    uint32_t i = UINT32_MAX;
    char text[16] = "";

    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        i = (uint32_t)id->u64;
        break;
    case DOCID_UUID:
        i = (uint32_t)id->uuid[3] << 8 | id->uuid[15];
        break;
    case DOCID_BYTES:
        assert_true(id->bytes.bytes > 9 && id->bytes.bytes < 16);
        memcpy(text, id->bytes.data, id->bytes.bytes);
        i = (uint32_t)strtoul(text + 9, NULL, 10);
        break;
    }
    if (i >= IDS)
        fail_msg("an id nobody wrote, seed=%llu", (unsigned long long)t->w.seed);
    return i;
}

static void vector_of(struct world *t, uint32_t i, uint32_t version, float *out)
{
    nvector(i, version, DIM, out);
    if (t->metric == VMETRIC_COSINE)
        (void)vindex_normalise(out, DIM);
}

static void set_version(struct world *t, uint32_t i, uint32_t version)
{
    t->m.live += version != 0;
    t->m.live -= t->m.version[i] != 0;
    t->m.version[i] = version;
}

/* --- operations under way --- */

struct op {
    struct call call;
    bool erase;
    size_t count;
    uint32_t index[BATCH_MAX];
    uint32_t version[BATCH_MAX];
    struct docid ids[BATCH_MAX];
    struct write_row rows[BATCH_MAX];
    struct buf payloads[BATCH_MAX];
    float vectors[BATCH_MAX][DIM];
};

static void op_start(struct world *t, struct op *op)
{
    op->erase = below(t, 4) == 0;
    op->count = 1 + (below(t, 2) == 0 ? 0 : below(t, op->erase ? 20 : BATCH_MAX));
    for (size_t i = 0; i < op->count; i++) {
        op->index[i] = (uint32_t)below(t, IDS); /* may come twice */
        op->ids[i] = id_of(t, op->index[i]);
        op->version[i] = op->erase ? 0 : ++t->last_version;
        npayload(op->version[i], &op->payloads[i]);
        nvector(op->index[i], op->version[i], DIM, op->vectors[i]);
        op->rows[i] = (struct write_row){.id = op->ids[i],
                                         .external_id = slice_text("outside"),
                                         .payload = buf_slice(&op->payloads[i]),
                                         .vector = op->vectors[i]};
    }
    t->rows_written += op->erase ? 0 : op->count;
    call_init(&op->call);
    if (op->erase)
        node_delete(t->c, op->ids, op->count, call_write_done, &op->call);
    else
        node_write(t->c, op->rows, op->count, call_write_done, &op->call);
}

static void op_maybe(struct world *t, const struct op *op)
{
    for (size_t i = 0; i < op->count; i++) {
        uint32_t at = op->index[i];

        if (t->m.maybe_count[at] < MAYBE_MAX)
            t->m.maybe[at][t->m.maybe_count[at]++] = op->version[i];
    }
}

static uint64_t op_apply(struct world *t, const struct op *op)
{
    uint64_t erased = 0;
    uint64_t distinct = 0;

    for (size_t i = 0; i < op->count; i++) {
        bool again = false;

        for (size_t j = i + 1; j < op->count; j++)
            again = again || op->index[j] == op->index[i];
        distinct += !again;
        erased += t->m.version[op->index[i]] != 0;
        set_version(t, op->index[i], op->version[i]);
    }
    return op->erase ? erased : distinct;
}

static int by_lsn(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;

    return x->call.result.lsn < y->call.result.lsn ? -1 : x->call.result.lsn > y->call.result.lsn;
}

/* Waits for all; those acknowledged take effect in the order of their lsns. */
static void ops_end(struct world *t, struct op *ops, size_t count)
{
    struct op *order[BURST_MAX];

    for (size_t i = 0; i < count; i++) {
        call_wait(&ops[i].call);
        for (size_t j = 0; j < ops[i].count; j++)
            buf_free(&ops[i].payloads[j]);
        order[i] = &ops[i];
    }
    qsort(order, count, sizeof *order, by_lsn);
    for (size_t i = 0; i < count; i++) {
        const struct op *op = order[i];

        if (op->call.st == ST_UNKNOWN)
            op_maybe(t, op);
        if (op->call.st == ST_OK && op->call.result.lsn != 0) {
            uint64_t want = op_apply(t, op);

            if (want != op->call.result.count)
                fail_msg("an answer counts %llu, not %llu, seed=%llu",
                         (unsigned long long)op->call.result.count, (unsigned long long)want,
                         (unsigned long long)t->w.seed);
        }
    }
}

static struct op *ops_make(void)
{
    struct op *ops = calloc(BURST_MAX, sizeof *ops);

    assert_non_null(ops);
    return ops;
}

static void write_some(struct world *t)
{
    struct op *ops = ops_make();
    size_t count = below(t, 3) == 0 ? 1 + below(t, BURST_MAX) : 1;

    for (size_t i = 0; i < count; i++)
        op_start(t, &ops[i]);
    ops_end(t, ops, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ops[i].call.st, ST_OK);
    free(ops);
}

/* --- reads --- */

static void document_must_be(struct world *t, const struct document *doc)
{
    uint32_t i = index_of(t, &doc->id);
    uint32_t version = npayload_version(doc->payload);
    float want[DIM];

    if (t->m.version[i] != version)
        fail_msg("document %u has version %u, not %u, seed=%llu", i, version, t->m.version[i],
                 (unsigned long long)t->w.seed);
    assert_int_equal(doc->external_id.bytes, 7);
    assert_true(doc->lsn > 0);
    vector_of(t, i, version, want);
    for (uint32_t d = 0; d < DIM; d++)
        assert_true(fabsf(want[d] - doc->vector[d]) < 1e-6f);
}

static void get_one(struct world *t, uint32_t i)
{
    struct docid id = id_of(t, i);
    struct document doc;
    struct arena arena;
    status st;

    arena_init(&arena, 1 << 20);
    st = node_get(t->c, &id, &arena, &doc, NULL);
    if (st != (t->m.version[i] != 0 ? ST_OK : ST_NOT_FOUND))
        fail_msg("get of %u says %s, version %u, seed=%llu", i, status_name(st), t->m.version[i],
                 (unsigned long long)t->w.seed);
    if (st == ST_OK)
        document_must_be(t, &doc);
    arena_free(&arena);
}

static void list_all(struct world *t)
{
    uint32_t limit = 1 + (uint32_t)below(t, 200);
    struct docid after = {0};
    uint32_t seen = 0;
    bool more = true;
    struct arena page_of[2];
    int turn = 0;

    arena_init(&page_of[0], 16 << 20);
    arena_init(&page_of[1], 16 << 20);
    while (more) { /* the last id of a page lives until the next one is there */
        struct document *page;
        uint32_t count;

        arena_reset(&page_of[turn]);
        assert_int_equal(node_list(t->c, seen == 0 ? NULL : &after, limit, true, &page_of[turn],
                                   &page, &count, &more, NULL),
                         ST_OK);
        for (uint32_t i = 0; i < count; i++) {
            if (seen > 0)
                assert_true(docid_compare(&after, &page[i].id) < 0);
            document_must_be(t, &page[i]);
            after = page[i].id;
            seen++;
        }
        turn = 1 - turn;
    }
    assert_int_equal(seen, t->m.live);
    arena_free(&page_of[0]);
    arena_free(&page_of[1]);
}

static double distance(enum vmetric metric, const float *a, const float *b)
{
    double dot = 0, l1 = 0, l2 = 0;

    for (uint32_t d = 0; d < DIM; d++) {
        double x = a[d], y = b[d];

        dot += x * y;
        l1 += fabs(x - y);
        l2 += (x - y) * (x - y);
    }
    switch (metric) {
    case VMETRIC_COSINE:
        return 1 - dot;
    case VMETRIC_DOT:
        return -dot;
    case VMETRIC_L2:
        return sqrt(l2);
    case VMETRIC_L1:
        return l1;
    }
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static size_t brute_force(struct world *t, const float *query, double *out)
{
    size_t count = 0;

    for (uint32_t i = 0; i < IDS; i++) {
        float v[DIM];

        if (t->m.version[i] == 0)
            continue;
        vector_of(t, i, t->m.version[i], v);
        out[count++] = distance(t->metric, query, v);
    }
    qsort(out, count, sizeof *out, by_value);
    return count;
}

static void query_once(struct world *t, bool exact)
{
    const struct query_options options = {
        .top_k = TOP_K, .exact = exact, .with_payload = true, .with_vector = true};
    bool seen[IDS] = {false};
    double want[IDS];
    struct query_result r;
    struct arena arena;
    float query[DIM];
    size_t live;
    size_t k;

    nvector(1000000 + below(t, 1000), 1, DIM, query);
    arena_init(&arena, 1 << 20);
    assert_int_equal(node_query(t->c, query, &options, &arena, &r, NULL), ST_OK);
    live = brute_force(t, query, want); /* normalised by node_query() for cosine */
    k = live < TOP_K ? live : TOP_K;
    if (r.count != k)
        fail_msg("%u of %zu matches, exact=%d seed=%llu", r.count, k, exact,
                 (unsigned long long)t->w.seed);
    for (uint32_t i = 0; i < r.count; i++) {
        const struct match *m = &r.matches[i];
        const struct document doc = {.id = m->id,
                                     .external_id = m->external_id,
                                     .payload = m->payload,
                                     .vector = m->vector,
                                     .lsn = m->lsn};
        uint32_t at = index_of(t, &m->id);

        assert_false(seen[at]);
        seen[at] = true;
        document_must_be(t, &doc);
        assert_true(fabs(m->distance - distance(t->metric, query, m->vector)) < 1e-4);
        if (exact)
            assert_true(fabs(m->distance - want[i]) < 1e-4);
        else
            t->found += m->distance <= want[k - 1] + 1e-5;
    }
    t->wanted += exact ? 0 : k;
    arena_free(&arena);
}

/* --- the whole --- */

static void resolve(struct world *t)
{
    for (uint32_t i = 0; i < IDS; i++) {
        struct docid id = id_of(t, i);
        struct document doc;
        struct arena arena;
        uint32_t version = 0;
        bool known;

        if (t->m.maybe_count[i] == 0)
            continue;
        arena_init(&arena, 1 << 20);
        if (node_get(t->c, &id, &arena, &doc, NULL) == ST_OK)
            version = npayload_version(doc.payload);
        known = version == t->m.version[i];
        for (uint8_t j = 0; j < t->m.maybe_count[i]; j++)
            known = known || version == t->m.maybe[i][j];
        if (!known)
            fail_msg("document %u has version %u, seed=%llu", i, version,
                     (unsigned long long)t->w.seed);
        set_version(t, i, version);
        t->m.maybe_count[i] = 0;
        arena_free(&arena);
    }
}

static void all_must_agree(struct world *t)
{
    assert_int_equal(ncount(t->c), t->m.live);
    list_all(t);
    for (uint32_t i = 0; i < IDS; i++)
        get_one(t, i);
    query_once(t, true);
    ninvariants(t->c);
}

static void note_sizes(struct world *t)
{
    uint32_t end = slots_end(t->c->slots);
    uint32_t linked = vindex_linked(t->c->fields[0].vindex);

    t->slots_end_max = end > t->slots_end_max ? end : t->slots_end_max;
    t->linked_max = linked > t->linked_max ? linked : t->linked_max;
}

static void reopened(struct world *t)
{
    nworld_open(&t->w);
    t->c = npin(&t->w, t->renamed ? "second" : "first");
    nstate(t->c, "serving", "");
    assert_false(nhealth_has(&t->w, ""));
    resolve(t);
    all_must_agree(t);
}

static void stop_gracefully(struct world *t)
{
    note_sizes(t);
    node_collection_unpin(t->c);
    nworld_close(&t->w);
    reopened(t);
}

/* The power goes while some writes are under way. */
static void lose_power(struct world *t)
{
    struct op *ops = ops_make();
    size_t count = 1 + below(t, BURST_MAX);

    note_sizes(t);
    fs_sim_stop_after(t->w.sim, below(t, 6));
    for (size_t i = 0; i < count; i++)
        op_start(t, &ops[i]);
    node_collection_unpin(t->c);
    nworld_power_cut(&t->w);
    ops_end(t, ops, count);
    free(ops);
    reopened(t);
}

static void rename_it(struct world *t)
{
    t->renamed = !t->renamed;
    assert_int_equal(npatch(&t->w, t->c, t->renamed ? "second" : "first", 0, NULL), ST_OK);
}

/* The checkpoint wakes the upkeep thread, which then sees that its next tick is due. */
static void checkpoint_and_repair(struct world *t)
{
    const struct timespec pause = {.tv_nsec = 200000};

    struct call call;

    clock_manual_advance(&t->w.clock, UINT64_C(1000000000));
    call_init(&call);
    node_checkpoint(t->c, call_admin_done, &call);
    for (uint64_t i = below(t, 4); i > 0; i--) /* an image of what changes under it */
        write_some(t);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    for (int i = 0; i < 20000 && slots_dead_count(t->c->slots) >= NODE_REPAIR_DEAD_MIN; i++)
        (void)nanosleep(&pause, NULL);
}

static void step(struct world *t)
{
    uint64_t dice = below(t, 100);

    if (dice < 70) {
        write_some(t);
    } else if (dice < 80) {
        query_once(t, below(t, 2) == 0);
    } else if (dice < 84) {
        list_all(t);
    } else if (dice < 88) {
        get_one(t, (uint32_t)below(t, IDS));
    } else if (dice < 90) {
        rename_it(t);
    } else if (dice < 96) {
        checkpoint_and_repair(t);
    } else if (dice < 98) {
        stop_gracefully(t);
    } else {
        lose_power(t);
    }
}

static void run(uint64_t seed)
{
    struct world *t = calloc(1, sizeof *t);

    assert_non_null(t);
    nworld_init(&t->w, true, seed);
    t->w.options.clock = &t->w.clock.clock;
    t->w.options.wal_file_bytes = 32 * 1024; /* so that checkpoints trim */
    t->metric = (enum vmetric)(1 + seed % 4);
    nworld_open(&t->w);
    assert_int_equal(ncreate(&t->w, "first", DIM, t->metric, THRESHOLD, NULL), ST_OK);
    t->c = npin(&t->w, "first");
    for (int i = 0; i < STEPS; i++)
        step(t);
    stop_gracefully(t);
    lose_power(t);
    note_sizes(t);
    if (t->linked_max < THRESHOLD || t->slots_end_max > t->rows_written / 2)
        fail_msg("linked %u, slots %u of %llu rows: graph or slot reuse took no part, seed=%llu",
                 t->linked_max, t->slots_end_max, (unsigned long long)t->rows_written,
                 (unsigned long long)seed);
    if (t->wanted > 0 && (double)t->found < 0.9 * (double)t->wanted)
        fail_msg("recall %llu of %llu, seed=%llu", (unsigned long long)t->found,
                 (unsigned long long)t->wanted, (unsigned long long)seed);
    node_collection_unpin(t->c);
    nworld_fini(&t->w);
    free(t);
}

static uint64_t seed_given;

static void a_collection_is_its_model_through_stops_and_power_cuts(void **state)
{
    (void)state;
    if (seed_given != 0) {
        run(seed_given);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_is_its_model_through_stops_and_power_cuts),
    };

    if (argc > 1)
        seed_given = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
