/* A graph that came back from the bucket finds what the graph that went there found: thousands of
 * rows, images that are current, behind the rows, and full of rows that are gone. Prints its seed;
 * takes one as its argument. */
#include "base/clock.h"
#include "base/rand.h"
#include "objstore/memory.h"
#include "segment/group.h"
#include "segment/objkey.h"
#include "snapshot/publish_internal.h"
#include "snapshot/restore_rows.h"
#include "tests/support/fs_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROWS = 4000, DIM = 16, M = 16, PER_RECORD = 50, QUERIES = 100, K = 10, CLUSTERS = 40 };
#define DIR "data/checkpoint"

static uint64_t seed = 20261124;
static const uint8_t COLLECTION[16] = {9, 1};

struct index {
    struct epoch *epoch;
    struct mem_budget budget;
    struct slots *slots;
    struct vindex *vindex;
    struct checkpoint_field field;
};

struct trial {
    struct index live;
    struct rand_seeded rand;
    struct fs_sim *sim;
    struct objstore *store;
    char name[32];
    struct root root;
    struct manifest manifest;
    uint64_t lsn, chain, seq;
    float centres[CLUSTERS][DIM];
};

static void must(status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s seed=%llu", err->text, (unsigned long long)seed);
}

static uint64_t budget_max; /* of the next index; 0: none */

static void index_open(struct index *x)
{
    struct vindex_options o = {.dim = DIM,
                               .metric = VMETRIC_L2,
                               .m = M,
                               .ef_construction = 100,
                               .ef_search = 64,
                               .threshold = 100,
                               .seed = seed};
    struct slots_options so;

    *x = (struct index){.epoch = NULL};
    assert_int_equal(epoch_create(&x->epoch, NULL), ST_OK);
    mem_budget_init(&x->budget, NULL, budget_max);
    so = (struct slots_options){.epoch = x->epoch, .budget = &x->budget};
    assert_int_equal(slots_create(&so, &x->slots, NULL), ST_OK);
    o.slots = x->slots;
    o.epoch = x->epoch;
    o.budget = &x->budget;
    assert_int_equal(vindex_create(&o, &x->vindex, NULL), ST_OK);
    x->field = (struct checkpoint_field){.id = 0, .vindex = x->vindex, .dim = DIM};
}

static void index_close(struct index *x)
{
    vindex_destroy(x->vindex);
    slots_destroy(x->slots);
    epoch_destroy(x->epoch);
}

static void put(struct trial *t, const char *key, struct slice body)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = body};

    assert_int_equal(objstore_wait(t->store, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
}

static void put_root(struct trial *t)
{
    char key[OBJKEY_BYTES];
    uint8_t nonce[16];
    struct buf bytes;

    buf_init(&bytes, ROOT_BYTES_MAX);
    uuid_make_v4(&t->rand.source, nonce);
    root_next(&t->root, nonce);
    assert_int_equal(root_encode(&t->root, &bytes, NULL), ST_OK);
    objkey_root(COLLECTION, key);
    put(t, key, buf_slice(&bytes));
    buf_free(&bytes);
}

static void random_vector(struct trial *t, float *v)
{
    const float *centre = t->centres[rand_below(&t->rand.source, CLUSTERS)];

    for (unsigned i = 0; i < DIM; i++)
        v[i] = centre[i] + (float)rand_below(&t->rand.source, 1000) / 500.0f;
}

static void trial_open(struct trial *t)
{
    static unsigned count;

    *t = (struct trial){.seq = 1, .chain = group_chain_start(COLLECTION)};
    rand_seeded_init(&t->rand, seed);
    t->sim = fs_sim_create();
    index_open(&t->live);
    (void)snprintf(t->name, sizeof t->name, "recall-%u", count++);
    assert_int_equal(objstore_memory_open(t->name, NULL, &t->store, NULL), ST_OK);
    t->root = (struct root){.state = ROOT_LIVE, .epoch = 1, .floor = {.chain = t->chain}};
    memcpy(t->root.collection, COLLECTION, 16);
    (void)snprintf(t->root.node_id, sizeof t->root.node_id, "node");
    manifest_init(&t->manifest);
    put_root(t);
    for (unsigned c = 0; c < CLUSTERS; c++)
        for (unsigned i = 0; i < DIM; i++)
            t->centres[c][i] = (float)rand_below(&t->rand.source, 100) / 10.0f;
}

static void trial_close(struct trial *t)
{
    manifest_free(&t->manifest);
    objstore_close(t->store);
    objstore_memory_forget(t->name);
    index_close(&t->live);
    fs_sim_destroy(t->sim);
}

static void apply(struct index *x, uint64_t id, uint64_t lsn, const float *v)
{
    struct docid docid = docid_u64(id);
    uint32_t slot;

    assert_int_equal(slots_reserve(x->slots, 1, &slot, NULL), ST_OK);
    assert_int_equal(vindex_reserve(x->vindex, slots_end(x->slots), NULL), ST_OK);
    assert_int_equal(
        slots_fill(x->slots, slot, &docid, (struct slice){0}, (struct slice){0}, lsn * 10, NULL),
        ST_OK);
    vindex_fill(x->vindex, slot, v);
    vindex_publish(x->vindex, slot);
    (void)slots_publish(x->slots, slot, lsn);
}

/* Rows first, first + step, ...; applied, and in the bucket as one group. */
static void upsert(struct trial *t, uint64_t first, uint64_t end, uint64_t step)
{
    struct group_head head = {
        .epoch = 1, .seq = t->seq++, .first_lsn = t->lsn + 1, .chain_before = t->chain};
    struct group_writer *group;
    char key[OBJKEY_BYTES];
    struct slice bytes;

    memcpy(head.collection, COLLECTION, 16);
    assert_int_equal(group_create(&head, &group, NULL), ST_OK);
    while (first < end) {
        struct record_writer w;
        struct buf record;

        buf_init(&record, 1 << 20);
        record_begin(&w, &record, RECORD_UPSERT, (t->lsn + 1) * 10);
        t->lsn++;
        for (unsigned i = 0; i < PER_RECORD && first < end; i++, first += step) {
            struct docid docid = docid_u64(first);
            float v[DIM];
            const struct record_vector vector = {.field = 0, .dim = DIM, .values = v};

            random_vector(t, v);
            record_put_row(&w, &docid, (struct slice){0}, (struct slice){0}, &vector, 1);
            apply(&t->live, first, t->lsn, v);
        }
        assert_int_equal(record_end(&w, NULL), ST_OK);
        assert_int_equal(group_add(group, t->lsn, buf_slice(&record), NULL), ST_OK);
        buf_free(&record);
    }
    assert_int_equal(group_finish(group, &head, &bytes, NULL), ST_OK);
    objkey_group(COLLECTION, head.epoch, head.seq, key);
    put(t, key, bytes);
    t->chain = head.chain;
    group_writer_destroy(group);
}

static void link_all(struct index *x)
{
    while (vindex_link(x->vindex, 256) > 0)
        ;
}

static void checkpoint(struct trial *t)
{
    struct checkpoint_state state = {.fs = fs_sim_fs(t->sim),
                                     .dir = DIR,
                                     .slots = t->live.slots,
                                     .fields = &t->live.field,
                                     .field_count = 1,
                                     .epoch = t->live.epoch};
    struct checkpoint_info info;
    struct err err = {0};

    memcpy(state.collection_id, COLLECTION, 16);
    must(checkpoint_write(&state, t->lsn, 1, NULL, &info, &err), &err);
}

static status commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t absorbed, bool base_complete,
                     struct err *err)
{
    struct trial *t = arg;

    (void)absorbed;
    (void)base_complete;
    (void)err;
    t->root.has_manifest = true;
    t->root.manifest_revision = revision;
    t->root.manifest = *manifest;
    if (floor->epoch != 0)
        t->root.floor = *floor;
    put_root(t);
    return ST_OK;
}

static void publish(struct trial *t, unsigned what)
{
    static char name[] = "docs", no_name[] = "";
    struct catalog_field field = {.name = no_name,
                                  .dim = DIM,
                                  .metric = VMETRIC_L2,
                                  .m = M,
                                  .ef_construction = 100,
                                  .ef_search = 64,
                                  .threshold = 100,
                                  .quantization = QUANTIZATION_SCALAR};
    struct catalog_collection schema = {.name = name,
                                        .policy = POLICY_MEMORY_S3,
                                        .durability = DURABILITY_LOCAL,
                                        .fields = &field,
                                        .field_count = 1};
    const struct publish_tuning tuning = {.object_bytes = 64 * 1024, .batch_rows = 256};
    struct publish_options o = {
        .store = t->store,
        .clock = clock_real(),
        .rand = &t->rand.source,
        .fs = fs_sim_fs(t->sim),
        .what = what,
        .slots = t->live.slots,
        .fields = &t->live.field,
        .field_count = 1,
        .epoch = t->live.epoch,
        .checkpoint_dir = DIR,
        .schema = &schema,
        .root = &t->root,
        .lsn = t->lsn,
        .shipped = {.lsn = t->lsn, .epoch = 1, .seq = t->seq, .chain = t->chain},
        .commit = commit,
        .commit_arg = t,
    };
    struct publish_report report;
    struct manifest after;
    struct err err = {0};

    memcpy(o.collection, COLLECTION, 16);
    memcpy(schema.id, COLLECTION, 16);
    must(publish_run_tuned(&o, t->root.has_manifest ? &t->manifest : NULL, &tuning, &after, &report,
                           &err),
         &err);
    manifest_free(&t->manifest);
    t->manifest = after;
}

static void restore(struct trial *t, struct index *to, struct restore_into_report *report)
{
    struct restore_options o = {.store = t->store,
                                .clock = clock_real(),
                                .rand = &t->rand.source,
                                .fetch_ahead_bytes = 256 * 1024};
    struct restore_rows rows;
    struct restore_plan plan;
    struct err err = {0};

    memcpy(o.collection, COLLECTION, 16);
    index_open(to);
    rows = (struct restore_rows){
        .slots = to->slots, .fields = &to->field, .field_count = 1, .epoch = to->epoch};
    must(restore_plan_read(&o, &plan, &err), &err);
    must(restore_into(&o, &plan, &rows, report, &err), &err);
    restore_plan_free(&plan);
    assert_int_equal(slots_live_count(to->slots), slots_live_count(t->live.slots));
}

static uint32_t search(const struct index *x, const float *query, bool exact, uint64_t ids[K],
                       bool *used_graph)
{
    struct vsearch s = {.query = query, .k = K, .exact = exact};
    struct vindex_scratch *scratch;
    struct vsearch_stats stats;
    struct epoch_guard guard;
    struct vhit hits[K];
    uint32_t count = 0;

    assert_int_equal(vindex_scratch_create(&scratch, NULL), ST_OK);
    guard = epoch_enter(x->epoch);
    assert_int_equal(vindex_search(x->vindex, scratch, &s, hits, &count, &stats, NULL), ST_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct row row;

        slots_row(x->slots, hits[i].slot, &row);
        ids[i] = row.id.u64;
    }
    epoch_leave(x->epoch, guard);
    vindex_scratch_destroy(scratch);
    *used_graph = stats.used_graph;
    return count;
}

/* Of the K nearest, how many the graph finds. */
static double recall(struct trial *t, const struct index *x, bool has_graph)
{
    unsigned found = 0;

    for (unsigned q = 0; q < QUERIES; q++) {
        uint64_t exact[K], graph[K];
        float query[DIM];
        bool used;

        random_vector(t, query);
        assert_int_equal(search(x, query, true, exact, &used), K);
        assert_int_equal(search(x, query, false, graph, &used), K);
        assert_int_equal(used, has_graph);
        for (unsigned i = 0; i < K; i++)
            for (unsigned k = 0; k < K; k++)
                found += exact[i] == graph[k];
    }
    return (double)found / (QUERIES * K);
}

static void say(const char *what, const struct restore_into_report *r, double before, double after,
                double linked)
{
    print_message("%-40s placed %5llu nodes %5llu pending %5u recall %.3f, restored %.3f, all "
                  "linked %.3f\n",
                  what, (unsigned long long)r->placed, (unsigned long long)r->nodes, r->pending,
                  before, after, linked);
}

static void try_it(struct trial *t, const char *what, struct restore_into_report *report,
                   double worse_max)
{
    struct vindex_check check;
    struct err err = {0};
    struct index to;
    double before = recall(t, &t->live, true), after, linked;

    restore(t, &to, report);
    after = recall(t, &to, report->nodes > 0);
    link_all(&to);
    linked = recall(t, &to, true);
    say(what, report, before, after, linked);
    must(slots_check(to.slots, &err), &err);
    must(vindex_check(to.vindex, &check, &err), &err);
    assert_true(after >= before - worse_max && linked >= before - worse_max);
    index_close(&to);
}

static void a_current_image_spares_all_linking(void **state)
{
    struct restore_into_report report;
    struct trial t;

    (void)state;
    trial_open(&t);
    upsert(&t, 0, ROWS, 1);
    link_all(&t.live);
    checkpoint(&t);
    publish(&t, PUBLISH_BASE | PUBLISH_IMAGE);
    try_it(&t, "image and base of now", &report, 0.005);
    assert_int_equal(report.placed, ROWS);
    assert_int_equal(report.nodes, ROWS);
    assert_int_equal(report.pending, 0);
    assert_int_equal(report.bucket.records, 0);
    trial_close(&t);
}

static void rows_newer_than_the_image_are_pending(void **state)
{
    struct restore_into_report report;
    struct trial t;

    (void)state;
    trial_open(&t);
    upsert(&t, 0, ROWS, 1);
    link_all(&t.live);
    checkpoint(&t);
    publish(&t, PUBLISH_IMAGE);
    upsert(&t, 0, ROWS, 3);
    upsert(&t, ROWS, ROWS + 500, 1);
    link_all(&t.live);
    try_it(&t, "a third replaced since, log only", &report, 0.02);
    assert_int_equal(report.placed, ROWS);
    assert_int_equal(report.nodes, ROWS);
    assert_int_equal(report.pending, ROWS / 3 + 1 + 500);
    trial_close(&t);
}

/* The base has no dead rows, so an older image loses the nodes of what was replaced. */
static void an_image_older_than_the_base_still_leads(void **state)
{
    static const struct {
        const char *what;
        uint64_t step; /* every step-th row is replaced */
        bool others;   /* and the next of each */
    } cases[] = {{"a tenth gone", 10, false},
                 {"a third gone", 3, false},
                 {"half gone", 2, false},
                 {"two thirds gone", 3, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct restore_into_report report;
        struct trial t;

        trial_open(&t);
        upsert(&t, 0, ROWS, 1);
        link_all(&t.live);
        checkpoint(&t);
        publish(&t, PUBLISH_IMAGE);
        upsert(&t, 0, ROWS, cases[i].step);
        if (cases[i].others)
            upsert(&t, 1, ROWS, 3);
        link_all(&t.live);
        publish(&t, PUBLISH_BASE);
        try_it(&t, cases[i].what, &report, 0.03);
        assert_int_equal(report.graph_left_out, cases[i].others);
        trial_close(&t);
    }
}

static void repair(struct index *x)
{
    static uint32_t dead[8 * ROWS];
    uint32_t count = slots_dead_list(x->slots, dead, COUNT_OF(dead));

    assert_int_equal(vindex_repair(x->vindex, dead, count, NULL, NULL), ST_OK);
    for (uint32_t i = 0; i < count; i++)
        slots_retire(x->slots, dead[i]);
    while (epoch_collect(x->epoch) > 0)
        ;
}

/* A log that wrote every row six times, and memory for little more than the rows there are: rows
 * that died are taken out on the way, and an image that is full of them is given up. */
static void a_log_of_many_rewrites_needs_no_more_memory_than_its_rows(void **state)
{
    static const struct {
        bool image, dead;
    } cases[] = {{false, false}, {true, false}, {true, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct restore_into_report report;
        struct trial t;
        struct index to;
        uint64_t once;

        trial_open(&t);
        upsert(&t, 0, ROWS, 1);
        once = mem_budget_bytes(&t.live.budget);
        for (unsigned k = 0; k < 3; k++) {
            upsert(&t, 0, ROWS, 1);
            if (!cases[i].dead)
                repair(&t.live);
        }
        link_all(&t.live);
        checkpoint(&t);
        if (cases[i].image)
            publish(&t, PUBLISH_IMAGE);
        for (unsigned k = 0; k < 2; k++)
            upsert(&t, 0, ROWS, 1);
        budget_max = once * 5 / 2;
        restore(&t, &to, &report);
        budget_max = 0;
        assert_int_equal(slots_live_count(to.slots), ROWS);
        assert_int_equal(report.bucket.used_image, cases[i].image);
        assert_true(report.graph_left_out || !cases[i].dead);
        assert_int_equal(slots_check(to.slots, NULL), ST_OK);
        link_all(&to);
        assert_true(recall(&t, &to, true) > 0.95);
        index_close(&to);
        trial_close(&t);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_current_image_spares_all_linking),
        cmocka_unit_test(rows_newer_than_the_image_are_pending),
        cmocka_unit_test(an_image_older_than_the_base_still_leads),
        cmocka_unit_test(a_log_of_many_rewrites_needs_no_more_memory_than_its_rows),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
