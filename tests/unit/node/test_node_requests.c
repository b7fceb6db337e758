/* What each operation asks of the bucket, counted to the request and the byte, in a time that only
 * moves when told. docs/requests.md is the table: a row that does not say what was counted fails
 * here, so does one nobody counted. With TV_REQUESTS_WRITE=1 in the environment the rows are
 * printed instead. */
#include "snapshot/restore.h"
#include "tests/unit/node/nrequests.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct nrequests q;

static int begin(void **state)
{
    static unsigned n;
    char name[32];

    (void)state;
    (void)snprintf(name, sizeof name, "requests-%u", n++);
    nreq_init(&q, name);
    return 0;
}

static int end(void **state)
{
    (void)state;
    nreq_fini(&q);
    return 0;
}

/* --- making, writing --- */

static void collections(void **state)
{
    struct err err = {0};

    (void)state;
    nreq_from(&q);
    nreq_open(&q);
    nreq_end(&q, "start on an empty bucket");
    nreq_begin(&q);
    assert_int_equal(nreq_create(&q, "docs", NREQ_NO_GRAPH, NODE_LOCAL), ST_OK);
    nreq_end(&q, "create a collection, the bucket's first");
    nreq_begin(&q);
    assert_int_equal(nreq_create(&q, "more", NREQ_NO_GRAPH, NODE_LOCAL), ST_OK);
    nreq_end(&q, "create a collection");
    nreq_pin(&q);
    nreq_begin(&q);
    assert_int_equal(npatch(&q.w, q.c, "papers", 0, &err), ST_OK);
    nreq_end(&q, "rename");
    nreq_begin(&q);
    assert_int_equal(npatch(&q.w, q.c, NULL, 99, &err), ST_OK);
    nreq_end(&q, "change ef_search");
    nreq_begin(&q);
    assert_int_equal(nalias(&q.w, "latest", q.c, &err), ST_OK);
    nreq_end(&q, "set an alias");
    nreq_begin(&q);
    assert_int_equal(nalias(&q.w, "latest", NULL, &err), ST_OK);
    nreq_end(&q, "remove an alias");
    nreq_begin(&q);
    assert_int_equal(ndrop(&q.w, q.c, &err), ST_OK);
    nreq_end(&q, "drop");
}

static void writes(void **state)
{
    (void)state;
    nreq_docs(&q, 0, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_begin(&q);
    nreq_put(&q, 1, 1, 1);
    nreq_end(&q, "one insert");
    nreq_begin(&q);
    nreq_put(&q, 2, 101, 1);
    nreq_end(&q, "100 inserts within rpo_ms");
    nreq_begin(&q);
    nreq_put(&q, 1, 1, 2);
    nreq_end(&q, "an upsert");
    nreq_begin(&q);
    assert_int_equal(ndel(q.c, 1, NULL), ST_OK);
    nreq_end(&q, "a delete");
    nreq_begin(&q);
    assert_int_equal(ndel(q.c, 1, NULL), ST_OK);
    nreq_end(&q, "a delete of what is not there");
    nreq_begin(&q);
    for (uint64_t second = 0; second < 60; second++) {
        nreq_put(&q, 200 + second, 200 + second, 1);
        nreq_pass(&q, 1000);
    }
    nreq_end(&q, "an insert a second, for a minute");
}

enum { BATCH = 1000, BATCH_DIM = 8 };

static void one_batch(uint64_t first)
{
    static struct write_row rows[BATCH];
    static float vectors[BATCH][BATCH_DIM];

    for (uint64_t i = 0; i < BATCH; i++) {
        nvector(first + i, 1, BATCH_DIM, vectors[i]);
        rows[i] = (struct write_row){.id = docid_u64(first + i), .vector = vectors[i]};
    }
    assert_int_equal(nwrite(q.c, rows, BATCH, NULL, NULL), ST_OK);
}

static void large_writes(void **state)
{
    (void)state;
    q.w.options.group_bytes = 128 * 1024;
    nreq_docs(&q, 0, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_begin(&q);
    one_batch(1);
    nreq_end(&q, "1,000 rows in one request");
    nreq_begin(&q);
    for (uint64_t i = 0; i < 10; i++)
        one_batch(1 + i * BATCH);
    nreq_end(&q, "10 such requests at once, group_bytes = 128 KiB");
}

struct remote_write {
    struct call call;
    struct write_row row;
    float vector[BATCH_DIM];
};

static void submit_remote(struct remote_write *r, uint64_t id)
{
    call_init(&r->call);
    nvector(id, 1, BATCH_DIM, r->vector);
    r->row = (struct write_row){.id = docid_u64(id), .vector = r->vector};
    node_write(q.c, &r->row, 1, call_write_done, &r->call);
}

/* The first waits for a held store, the others for the first: they are one group. */
static void remote_writes(void **state)
{
    const struct objstore_fault hold = {.kind = OBJSTORE_FAULT_DELAY,
                                        .ops = 1u << OBJSTORE_PUT,
                                        .key_part = "/w/",
                                        .delay_ms = OBJSTORE_FAULT_HOLD};
    struct write_result result = {0};
    struct remote_write writes[11];
    const struct docid id = docid_u64(5);
    struct write_row row = {.id = id};
    float vector[BATCH_DIM];

    (void)state;
    nreq_docs(&q, 3, NREQ_NO_GRAPH, NODE_REMOTE);
    nvector(5, 1, BATCH_DIM, vector);
    row.vector = vector;
    nreq_begin(&q);
    assert_int_equal(nwrite(q.c, &row, 1, &result, NULL), ST_OK);
    assert_string_equal(result.durability, "remote");
    nreq_end(&q, "a remote insert");

    assert_int_equal(objstore_faults_add(q.w.bucket, &hold, NULL, NULL), ST_OK);
    nreq_begin(&q);
    submit_remote(&writes[0], 10);
    neventually(objstore_faults_held(q.w.bucket) == 1);
    for (uint64_t i = 1; i <= 10; i++)
        submit_remote(&writes[i], 10 + i);
    neventually(ninfo(q.c).unshipped_records == 11); /* the ship thread knows of all */
    npause_ms(20);
    assert_int_equal(objstore_faults_release(q.w.bucket), 1);
    for (size_t i = 0; i <= 10; i++) {
        call_wait(&writes[i].call);
        assert_int_equal(writes[i].call.st, ST_OK);
        assert_string_equal(writes[i].call.result.durability, "remote");
    }
    nreq_end(&q, "11 remote inserts, ten of them while the first is stored");
}

/* --- nothing to do --- */

static void asks_nothing_of_the_bucket(void)
{
    struct query_options options = {.top_k = 5, .with_payload = true, .with_vector = true};
    struct query_result found;
    struct document *page;
    struct arena arena;
    float query[8];
    uint32_t count;
    bool more;

    arena_init(&arena, 1 << 20);
    nvector(1, 1, 8, query);
    assert_int_equal(node_query(q.c, query, &options, &arena, &found, NULL), ST_OK);
    assert_int_equal(found.count, 5);
    assert_int_equal(node_list(q.c, NULL, 10, true, &arena, &page, &count, &more, NULL), ST_OK);
    assert_int_equal(count, 10);
    assert_int_equal(nversion(q.c, 3), 1);
    arena_free(&arena);
}

static void reads(void **state)
{
    static struct node_health health;
    static struct node_status status_now;
    struct letter letter;
    struct buf text;

    (void)state;
    nreq_docs(&q, 50, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_begin(&q);
    nreq_pass(&q, 60000);
    npause_ms(600); /* the publish thread looks at its collections */
    nreq_pass(&q, 60000);
    nreq_end(&q, "two idle minutes");
    nreq_begin(&q);
    asks_nothing_of_the_bucket();
    nreq_end(&q, "query, get, list");
    nreq_begin(&q);
    node_health(q.w.node, &health);
    node_status(q.w.node, &status_now);
    assert_true(status_now.has_bucket);
    (void)ninfo(q.c);
    buf_init(&text, 1 << 20);
    stats_print(q.w.stats, &text);
    assert_true(text.bytes > 0);
    buf_free(&text);
    nreq_end(&q, "health, status, metrics");
    nreq_begin(&q);
    assert_int_equal(nletter(q.c, 0, &letter), 0);
    nreq_end(&q, "list letters");
    nreq_begin(&q);
    assert_int_equal(ncheckpoint(q.c, NULL), ST_OK);
    nreq_end(&q, "a local checkpoint");
    nreq_begin(&q);
    assert_int_equal(ship_flush(q.c, 1000, NULL), ST_OK);
    nreq_end(&q, "flush with everything shipped");
}

/* --- starts and stops --- */

static void starts(void **state)
{
    const struct objstore_fault away = objstore_fault_outage();

    (void)state;
    nreq_docs(&q, 20, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_begin(&q);
    nreq_close(&q);
    nreq_end(&q, "a graceful stop with everything shipped");
    nreq_begin(&q);
    nreq_open(&q);
    nreq_end(&q, "a start with everything shipped");
    nreq_pin(&q);
    nreq_begin(&q);
    nreq_put(&q, 21, 21, 1);
    nreq_end(&q, "the first insert after a start");
    nreq_begin(&q);
    nreq_put(&q, 22, 22, 1); /* not a second old */
    nreq_close(&q);
    nreq_end(&q, "a graceful stop with a write the bucket lacks");
    nreq_open(&q);
    nreq_pin(&q);
    assert_int_equal(objstore_faults_add(q.w.bucket, &away, NULL, NULL), ST_OK);
    nreq_put(&q, 23, 23, 1);
    nreq_close(&q);
    objstore_faults_clear(q.w.bucket);
    nreq_from(&q);
    nreq_open(&q);
    nreq_pin(&q);
    nreq_until(&q, nshipped(q.c));
    nreq_end(&q, "a start with a write the bucket lacks");
}

/* The others begin where the store is taken at its word. */
static void tried_out(void **state)
{
    (void)state;
    q.w.options.probe_store = true;
    nreq_docs(&q, 20, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_until(&q, !atomic_load(&q.w.node->format_wanted)); /* the publish thread's, by and by */
    nreq_begin(&q);
    nreq_close(&q);
    nreq_from(&q);
    nreq_open(&q);
    nreq_end(&q, "the same, of a store that was tried out");
}

static void restores(void **state)
{
    (void)state;
    nreq_docs(&q, 20, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_put(&q, 21, 30, 1);
    nreq_until(&q, nshipped(q.c));
    nreq_quiet(&q);
    nreq_close(&q);
    nlose_disk(&q.w);
    nreq_from(&q);
    nreq_open(&q);
    nreq_end(&q, "a start on an empty disk, two groups");
    nreq_pin(&q);
    assert_int_equal(ncount(q.c), 30);
    for (uint32_t version = 2; version < 6; version++)
        nreq_put(&q, 1, 30, version);
    assert_int_equal(ncompact(q.c, NULL, NULL), ST_OK);
    assert_true(ninfo(q.c).segments > 0);
    nreq_put(&q, 31, 40, 1);
    nreq_until(&q, nshipped(q.c));
    nreq_quiet(&q);
    nreq_close(&q);
    nlose_disk(&q.w);
    nreq_from(&q);
    nreq_open(&q);
    nreq_end(&q, "the same, a base segment and one group behind it");
    nreq_pin(&q);
    assert_int_equal(ncount(q.c), 40);
}

/* --- owners --- */

static status ntake(struct collection *c)
{
    struct call call;

    call_init(&call);
    node_take_ownership(c, call_admin_done, &call);
    call_wait(&call);
    return call.st;
}

static bool is_phase(const char *phase)
{
    return strcmp(ninfo(q.c).phase, phase) == 0;
}

static void owners(void **state)
{
    (void)state;
    nreq_docs(&q, 20, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_quiet(&q);
    nreq_close(&q);
    nlose_disk(&q.w);
    q.w.options.node_id = "another";
    nreq_from(&q);
    nreq_open(&q);
    nreq_end(&q, "another node's start on an empty disk");
    nreq_pin(&q);
    nreq_begin(&q);
    assert_int_equal(nput(q.c, 500, 1, NULL), ST_DENIED);
    nreq_end(&q, "a write another node owns");
    nreq_begin(&q);
    assert_int_equal(ntake(q.c), ST_OK);
    nreq_until(&q, is_phase("owned"));
    nreq_end(&q, "take ownership");
}

/* The other node is outside the count. */
static void fenced(void **state)
{
    struct nworld other;
    struct collection *c;

    (void)state;
    nreq_docs(&q, 20, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_quiet(&q);
    nworld_init(&other, false, 9);
    nworld_bucket(&other, q.w.bucket_name);
    other.options.node_id = "other";
    other.options.take_ownership = true;
    nworld_open(&other);
    nsettled(&other);
    c = npin(&other, "docs");
    neventually(strcmp(ninfo(c).phase, "owned") == 0);
    nreq_from(&q);
    nreq_put(&q, 21, 21, 1);
    nreq_until(&q, is_phase("fenced") && ninfo(q.c).dlq == 1);
    nreq_end(&q, "an insert of an owner that was replaced");
    node_collection_unpin(c);
    nworld_fini(&other);
}

/* --- snapshots, tiers --- */

static void snapshots(void **state)
{
    struct node_snapshot_result r = {0};

    (void)state;
    nreq_docs(&q, 100, NREQ_NO_GRAPH, NODE_LOCAL);
    nreq_begin(&q);
    assert_int_equal(nsnapshot(q.c, NULL, &r, NULL), ST_OK);
    nreq_end(&q, "a snapshot, without a graph");
    nreq_begin(&q);
    assert_int_equal(nsnapshot(q.c, NULL, &r, NULL), ST_OK);
    nreq_end(&q, "a snapshot with nothing new");
    nreq_begin(&q);
    assert_int_equal(nsnapshot(q.c, "monday", &r, NULL), ST_OK);
    nreq_end(&q, "a named snapshot");
    for (uint32_t version = 2; version < 6; version++)
        nreq_put(&q, 1, 100, version);
    nreq_until(&q, nshipped(q.c));
    nreq_begin(&q);
    assert_int_equal(ncompact(q.c, &r, NULL), ST_OK);
    nreq_end(&q, "compact, four fifths of the log are dead");
}

/* Of all segments and images in the bucket. */
static uint64_t data_bytes(void)
{
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = "c/"};
    uint64_t n = 0;

    assert_int_equal(objstore_wait(q.w.bucket, &list, NULL), ST_OK);
    for (size_t i = 0; i < list.result.entry_count; i++)
        if (objkey_parse(list.result.entries[i].key).kind == OBJKEY_IS_DATA)
            n += list.result.entries[i].bytes;
    objstore_result_fini(&list.result);
    return n;
}

/* The graph's random levels are the collection's, but linking is several threads': its bytes are
 * what the image has. */
static void images(void **state)
{
    struct node_snapshot_result r = {0};

    (void)state;
    nreq_docs(&q, 100, 10, NODE_LOCAL);
    neventually(ninfo(q.c).pending_rows == 0);
    nreq_begin(&q);
    assert_int_equal(nsnapshot(q.c, NULL, &r, NULL), ST_OK);
    nreq_end_but(&q, "a snapshot with a graph of 100 rows", data_bytes(), 0);
    nreq_close(&q);
    nlose_disk(&q.w);
    nreq_from(&q);
    nreq_open(&q);
    nreq_end_but(&q, "a start on an empty disk, with that image", 0, 2 * data_bytes());
}

static void tiers(void **state)
{
    struct err err = {0};

    (void)state;
    nreq_open(&q);
    assert_int_equal(ncreate(&q.w, "docs", 8, VMETRIC_COSINE, NREQ_NO_GRAPH, &err), ST_OK);
    nreq_pin(&q);
    nreq_put(&q, 1, 100, 1);
    nreq_begin(&q);
    nreq_put(&q, 101, 101, 1);
    nreq_end(&q, "an insert under Memory");
    nreq_begin(&q);
    assert_int_equal(npatch_policy(&q.w, q.c, NODE_MEMORY_S3, &err), ST_OK);
    nreq_until(&q, nshipped(q.c));
    nreq_end(&q, "Memory to MemoryS3, 101 rows");
}

/* --- letters --- */

struct dlq_asked {
    _Atomic bool done;
    status st;
    struct node_dlq_result result;
};

static void on_dlq(void *arg, status st, const struct node_dlq_result *result,
                   const struct err *err)
{
    struct dlq_asked *d = arg;

    (void)err;
    d->st = st;
    if (result != NULL)
        d->result = *result;
    atomic_store(&d->done, true);
}

/* Retries take their time, which has to pass. */
static struct node_dlq_result retry_all(void)
{
    struct dlq_asked d = {0};

    node_dlq_retry(q.c, NULL, 0, on_dlq, &d);
    nreq_until(&q, atomic_load(&d.done));
    assert_int_equal(d.st, ST_OK);
    return d.result;
}

static void discard(uint64_t first, uint64_t last)
{
    struct dlq_asked d = {0};

    node_dlq_discard(q.c, NULL, 0, first, last, false, on_dlq, &d);
    nreq_until(&q, atomic_load(&d.done));
    assert_int_equal(d.st, ST_OK);
}

static void letters(void **state)
{
    struct objstore_fault fault = objstore_fault_denied();
    unsigned id = 0;

    (void)state;
    q.w.options.base_backoff_ms = 10; /* all tries within a second */
    q.w.options.max_backoff_ms = 100;
    nreq_docs(&q, 5, NREQ_NO_GRAPH, NODE_LOCAL);
    fault.ops = 1u << OBJSTORE_PUT;
    fault.key_part = "/w/";
    assert_int_equal(objstore_faults_add(q.w.bucket, &fault, &id, NULL), ST_OK);
    nreq_begin(&q);
    nreq_put(&q, 6, 10, 1);
    nreq_until(&q, ninfo(q.c).dlq == 1);
    nreq_end_now(&q, "a refused group, until it is a letter (max_retries = 3)");
    nreq_from(&q);
    nreq_pass(&q, 60000);
    nreq_end_now(&q, "a minute with a letter");
    nreq_from(&q);
    assert_int_equal(retry_all().failed, 1);
    nreq_end_now(&q, "retry that letter, still refused");
    objstore_faults_remove(q.w.bucket, id);
    nreq_from(&q);
    assert_int_equal(retry_all().succeeded, 1);
    nreq_end(&q, "retry that letter, allowed again");
    assert_int_equal(objstore_faults_add(q.w.bucket, &fault, &id, NULL), ST_OK);
    nreq_put(&q, 11, 12, 1);
    nreq_until(&q, ninfo(q.c).dlq == 1);
    objstore_faults_remove(q.w.bucket, id);
    nreq_from(&q);
    discard(11, 12);
    nreq_until(&q, nshipped(q.c));
    nreq_end(&q, "discard a letter of two records");
}

/* --- garbage --- */

static unsigned collected(void)
{
    static const char LINE[] = "\ntiervec_collect_runs_total{outcome=\"ok\"} ";
    struct buf text;
    const char *at;
    unsigned n = 0;

    buf_init(&text, 1 << 20);
    stats_print(q.w.stats, &text);
    buf_put_u8(&text, 0);
    assert_false(text.failed);
    at = strstr((const char *)text.data, LINE);
    if (at != NULL)
        n = (unsigned)strtoul(at + sizeof LINE - 1, NULL, 10);
    buf_free(&text);
    return n;
}

/* Everywhere else nothing is collected: here a run stands alone. It begins when time passes. */
static void garbage(void **state)
{
    (void)state;
    q.w.options.keep_versions = 1;
    q.w.options.grace_ms = 5000;
    nreq_open(&q);
    assert_int_equal(nreq_create(&q, "docs", NREQ_NO_GRAPH, NODE_LOCAL), ST_OK);
    nreq_pin(&q);
    nreq_rest(&q);
    nreq_from(&q);
    nreq_until(&q, collected() == 1);
    nreq_end(&q, "collect garbage, none there");
    for (uint32_t version = 1; version < 6; version++) {
        nreq_put(&q, 1, 20, version);
        nreq_until(&q, nshipped(q.c));
    }
    npause_ms(600); /* the publish thread has seen what time it is, and looks when there is more */
    assert_int_equal(ncompact(q.c, NULL, NULL), ST_OK);
    nreq_rest(&q);
    nreq_from(&q);
    nreq_until(&q, collected() == 2);
    nreq_end(&q, "collect garbage, five groups behind a new base");
}

static bool vacuumed(struct node_vacuum *v)
{
    return node_vacuum_shown(q.w.node, v) && !v->running;
}

static void vacuum(bool dry_run, const char *operation)
{
    static struct node_vacuum v;

    nreq_begin(&q);
    assert_int_equal(node_vacuum(q.w.node, dry_run, NULL), ST_OK);
    neventually(vacuumed(&v));
    assert_int_equal(v.st, ST_OK);
    nreq_end_now(&q, operation);
}

/* The publish thread, which collects, is kept busy. */
static struct {
    struct meta_job job;
    _Atomic bool here, over;
} gate;

static void stand(struct meta_job *job)
{
    (void)job;
    atomic_store(&gate.here, true);
    while (!atomic_load(&gate.over) && !atomic_load(&q.w.node->stopping))
        npause_ms(1);
}

static void stop_collecting(void)
{
    atomic_store(&gate.here, false);
    atomic_store(&gate.over, false);
    gate.job.run = stand;
    assert_true(jobs_push(&q.w.node->publish, &gate.job));
    neventually(atomic_load(&gate.here));
}

static void vacuums(void **state)
{
    (void)state;
    nreq_docs(&q, 5, NREQ_NO_GRAPH, NODE_LOCAL);
    for (uint32_t version = 2; version < 6; version++) {
        nreq_put(&q, 1, 5, version);
        nreq_until(&q, nshipped(q.c));
    }
    assert_int_equal(nreq_create(&q, "more", NREQ_NO_GRAPH, NODE_LOCAL), ST_OK);
    assert_int_equal(ndrop(&q.w, q.c, NULL), ST_OK);
    stop_collecting();
    q.w.node->options.keep_versions = 1; /* from here on something may be deleted */
    vacuum(true, "vacuum, dry run: an empty collection, and one with five groups dropped");
    vacuum(false, "vacuum: an empty collection, and one with five groups dropped");
    vacuum(false, "vacuum once more");
    atomic_store(&gate.over, true);
}

/* --- the bucket read whole --- */

static void verify(void **state)
{
    struct restore_options options = {.clock = &q.w.clock.clock, .rand = &q.w.rand.source};
    struct restore_report report;
    const _Atomic bool stop = false;

    (void)state;
    nreq_docs(&q, 20, NREQ_NO_GRAPH, NODE_LOCAL);
    for (uint32_t version = 2; version < 6; version++)
        nreq_put(&q, 1, 20, version);
    assert_int_equal(ncompact(q.c, NULL, NULL), ST_OK);
    nreq_put(&q, 21, 30, 1);
    nreq_until(&q, nshipped(q.c));
    options.store = &q.base;
    options.stop = &stop;
    memcpy(options.collection, q.c->id, 16);
    nreq_begin(&q);
    assert_int_equal(restore_verify(&options, &report, NULL), ST_OK);
    nreq_end(&q, "verify a collection: a base segment and one group");
}

static void the_page_has_no_row_nobody_counted(void **state)
{
    (void)state;
    assert_true(nreq_rows_checked() >= 30);
    if (getenv("TV_REQUESTS_WRITE") == NULL)
        assert_int_equal(nreq_rows_of_page(), nreq_rows_checked());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(collections, begin, end),
        cmocka_unit_test_setup_teardown(writes, begin, end),
        cmocka_unit_test_setup_teardown(large_writes, begin, end),
        cmocka_unit_test_setup_teardown(remote_writes, begin, end),
        cmocka_unit_test_setup_teardown(reads, begin, end),
        cmocka_unit_test_setup_teardown(starts, begin, end),
        cmocka_unit_test_setup_teardown(tried_out, begin, end),
        cmocka_unit_test_setup_teardown(restores, begin, end),
        cmocka_unit_test_setup_teardown(owners, begin, end),
        cmocka_unit_test_setup_teardown(fenced, begin, end),
        cmocka_unit_test_setup_teardown(snapshots, begin, end),
        cmocka_unit_test_setup_teardown(images, begin, end),
        cmocka_unit_test_setup_teardown(tiers, begin, end),
        cmocka_unit_test_setup_teardown(letters, begin, end),
        cmocka_unit_test_setup_teardown(garbage, begin, end),
        cmocka_unit_test_setup_teardown(vacuums, begin, end),
        cmocka_unit_test_setup_teardown(verify, begin, end),
        cmocka_unit_test(the_page_has_no_row_nobody_counted),
    };

    if (argc > 1) /* one of them, while working on it */
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
