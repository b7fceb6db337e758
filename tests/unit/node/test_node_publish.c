/* What a node sends to its bucket, counted: bytes and requests against what was written, nothing
 * when idle, and a log that a restore reads which does not grow with what is overwritten. */
#include "objstore/meter.h"
#include "tests/unit/node/nbucket.h"

#include <stdio.h>
#include <stdlib.h>

enum { DIM = 384, BATCH = 100, VECTOR_BYTES = DIM * 4 };

static void begin(struct nworld *w, uint64_t seed)
{
    struct objstore *meter = NULL;
    char name[32];

    nworld_init(w, false, seed);
    (void)snprintf(name, sizeof name, "publish-%llu", (unsigned long long)seed);
    nworld_bucket(w, name);
    assert_int_equal(objstore_meter_open(w->bucket, NULL, clock_real(), &meter, NULL), ST_OK);
    w->bucket = meter;
    w->options.store = meter;
    w->options.rpo_ms = 1000;
    nworld_open(w);
}

static struct collection *make(struct nworld *w)
{
    const struct collection_spec spec = {.name = "docs",
                                         .dimension = DIM,
                                         .metric = VMETRIC_L2,
                                         .threshold = 1000000, /* no graph: it is the log here */
                                         .policy = NODE_MEMORY_S3};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    return npin(w, "docs");
}

static void put_batch(struct collection *c, uint64_t first_id, uint32_t version)
{
    static float vectors[BATCH][DIM];
    struct write_row rows[BATCH];
    struct buf payload;
    struct err err = {0};

    npayload(version, &payload);
    for (size_t i = 0; i < BATCH; i++) {
        nvector(first_id + i, version, DIM, vectors[i]);
        rows[i] = (struct write_row){
            .id = docid_u64(first_id + i), .vector = vectors[i], .payload = buf_slice(&payload)};
    }
    if (nwrite(c, rows, BATCH, NULL, &err) != ST_OK)
        fail_msg("write: %s", err.text);
    buf_free(&payload);
}

static struct objstore_counts counts(struct nworld *w)
{
    struct objstore_counts out;

    objstore_meter_counts(w->bucket, &out);
    return out;
}

static uint64_t since(struct nworld *w, const struct objstore_counts *before, enum objstore_op op)
{
    const struct objstore_counts now = counts(w);

    return objstore_counts_op(&now, op) - objstore_counts_op(before, op);
}

static uint64_t all_since(struct nworld *w, const struct objstore_counts *before)
{
    uint64_t total = 0;

    for (int op = 0; op < OBJSTORE_OPS; op++)
        total += since(w, before, (enum objstore_op)op);
    return total;
}

static void inserts_at_a_thousand_a_second_cost_a_request_each_second(void **state)
{
    enum { SECONDS = 8 };
    struct objstore_counts before;
    struct nworld w;
    struct collection *c;
    uint64_t began_ns, seconds, puts, bytes, id = 1;

    (void)state;
    begin(&w, 1);
    c = make(&w);
    put_batch(c, 1000000, 1);
    neventually(nshipped(c)); /* it is ours from here on */
    before = counts(&w);
    began_ns = clock_mono_ns(clock_real());
    for (int i = 0; i < SECONDS * 1000 / BATCH; i++, id += BATCH) {
        put_batch(c, id, 1);
        while (clock_mono_ns(clock_real()) - began_ns < (uint64_t)(i + 1) * BATCH * 1000000)
            npause_ms(1);
    }
    neventually(nshipped(c));
    seconds = (clock_mono_ns(clock_real()) - began_ns) / 1000000000; /* more on a slow machine */
    puts = since(&w, &before, OBJSTORE_PUT);
    bytes = counts(&w).sent_bytes - before.sent_bytes;
    (void)fprintf(stderr, "%llu PUTs and %llu bytes for %llu rows\n", (unsigned long long)puts,
                  (unsigned long long)bytes, (unsigned long long)id - 1);
    assert_true(puts * 10 <= (seconds + 1) * 12); /* 1.2 for 1,000, and the last one */
    assert_true(bytes * 100 <= (id - 1) * VECTOR_BYTES * 140);
    assert_int_equal(since(&w, &before, OBJSTORE_LIST), 0);
    assert_int_equal(since(&w, &before, OBJSTORE_HEAD), 0);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Nothing for that long. What comes again and again comes within each, too. */
static void falls_silent(struct nworld *w, unsigned ms)
{
    struct objstore_counts before;
    int tries = 0;

    do {
        before = counts(w);
        npause_ms(ms);
    } while (all_since(w, &before) > 0 && tries++ < 8);
    assert_int_equal(all_since(w, &before), 0);
}

/* After what an idle collection is given once: the look at the root, and an image at ten seconds.
 */
static void an_idle_collection_sends_nothing(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    begin(&w, 2);
    c = make(&w);
    put_batch(c, 1, 1);
    neventually(nshipped(c));
    npause_ms(13000);
    falls_silent(&w, 7000); /* a root read would come within five */
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    nsettled(&w);
    falls_silent(&w, 6000);
    nworld_fini(&w);
}

/* How often a base has taken the log's place, as far as it was looked at. One may have no segments:
 * all rows were replaced while it was made, and lie in the log behind it. */
struct bases {
    uint32_t count;
    uint64_t published_lsn;
};

static uint32_t look_for_bases(struct collection *c, struct bases *b)
{
    const struct collection_info info = ninfo(c);

    b->count += info.published_lsn != b->published_lsn;
    b->published_lsn = info.published_lsn;
    return b->count;
}

/* The same rows over and over: base segments take the log's place now and then. */
static void overwrites_are_bounded_in_bytes_and_in_what_a_restore_reads(void **state)
{
    enum { ROWS = 1000, ROUNDS = 170 };
    struct objstore_counts before;
    struct nworld w;
    struct collection *c;
    uint64_t sent, written, read_bytes, gets;
    struct bases bases = {0};

    (void)state;
    begin(&w, 3);
    w.options.group_bytes = 1 << 20;
    nworld_close(&w);
    nworld_open(&w);
    c = make(&w);
    before = counts(&w);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        for (uint64_t id = 1; id <= ROWS; id += BATCH)
            put_batch(c, id, round);
        (void)look_for_bases(c, &bases);
        if (round % 10 == 0)
            neventually(nshipped(c));    /* as a bucket that keeps up */
        if (round == 80 || round == 150) /* about 50 rounds make one due; as a node that keeps up */
            neventually(look_for_bases(c, &bases) >= round / 75);
    }
    neventually(nshipped(c));
    written = (uint64_t)ROUNDS * ROWS * VECTOR_BYTES;
    sent = counts(&w).sent_bytes - before.sent_bytes;
    assert_int_equal(since(&w, &before, OBJSTORE_HEAD), 0);
    assert_true(since(&w, &before, OBJSTORE_LIST) <= 1); /* of taking it, if that */
    assert_true(bases.count >= 2);
    assert_true(sent * 100 <= written * 140);
    node_collection_unpin(c);
    nlose_disk(&w);
    before = counts(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    read_bytes = counts(&w).received_bytes - before.received_bytes;
    gets = since(&w, &before, OBJSTORE_GET);
    (void)fprintf(stderr,
                  "%u bases; %llu bytes sent for %llu; a restore reads %llu bytes in %llu GETs\n",
                  bases.count, (unsigned long long)sent, (unsigned long long)written,
                  (unsigned long long)read_bytes, (unsigned long long)gets);
    assert_int_equal(ncount(c), ROWS);
    for (uint64_t id = 1; id <= ROWS; id += 37)
        assert_int_equal(nversion(c, id), ROUNDS);
    /* 64 MiB, and a few times the live rows: not what was written since the first day. */
    assert_true(read_bytes < UINT64_C(100) << 20);
    assert_true(gets < 150);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inserts_at_a_thousand_a_second_cost_a_request_each_second),
        cmocka_unit_test(an_idle_collection_sends_nothing),
        cmocka_unit_test(overwrites_are_bounded_in_bytes_and_in_what_a_restore_reads),
    };

    nlog();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
