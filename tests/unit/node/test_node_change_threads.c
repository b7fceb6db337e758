/* Many threads that change the same documents: no change is lost, each gets through however busy a
 * document is, and the order is one that a restart finds again. */
#include "tests/unit/node/nchange.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 4, IDS = 6, THREADS = 3, ROUNDS = 60 };

struct worker {
    struct collection *c;
    struct thread thread;
    struct rand_seeded rand;
    unsigned number;
    unsigned last[IDS + 1]; /* what it merged last into each id */
    unsigned done;          /* increments */
    _Atomic bool *stop;
    struct jdoc *doc;
};

/* {"n": value}, or {"t<number>": value} of a worker's own. */
static void worker_payload(struct worker *me, struct buf *out, bool own, unsigned value)
{
    char text[64];
    struct jval root;

    if (own)
        (void)snprintf(text, sizeof text, "{\"t%u\":%u}", me->number, value);
    else
        (void)snprintf(text, sizeof text, "{\"n\":%u}", value);
    assert_int_equal(jdoc_parse(me->doc, slice_text(text), &root, NULL), ST_OK);
    buf_init(out, 4096);
    jbin_put(out, root);
}

/* The number under the key; 0: not there. */
static uint64_t number_of(struct slice payload, const char *key)
{
    struct jbin_value root = jbin_root(payload);
    struct rd r = rd_make(root.body);
    struct jbin_value v;
    struct slice name;

    while (jbin_member(&r, &name, &v))
        if (slice_equal(name, slice_text(key)))
            return v.u64;
    return 0;
}

static uint64_t read_number(struct collection *c, uint64_t id, const char *key, uint64_t *lsn)
{
    const struct docid k = docid_u64(id);
    struct document d;
    struct arena a;
    uint64_t n;

    arena_init(&a, 1 << 20);
    assert_int_equal(node_get(c, &k, &a, &d, NULL), ST_OK);
    n = number_of(d.payload, key);
    if (lsn != NULL)
        *lsn = d.lsn;
    arena_free(&a);
    return n;
}

static status merge(struct worker *me, const struct docid *ids, size_t count, struct slice payload,
                    const struct write_options *options)
{
    const struct selector which = {.ids = ids, .count = count};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = payload};

    return nchange(me->c, &which, &change, options, NULL, NULL);
}

/* Adds one, as a client does: reads, and writes on the condition of what it read. */
static void increment(struct worker *me, uint64_t id)
{
    const struct docid key = docid_u64(id);
    status st;

    do {
        struct write_options options = {.only_if = true};
        struct buf payload;
        uint64_t n = read_number(me->c, id, "n", &options.if_lsn);

        worker_payload(me, &payload, false, (unsigned)n + 1);
        st = merge(me, &key, 1, buf_slice(&payload), &options);
        buf_free(&payload);
        assert_true(st == ST_OK || st == ST_CONFLICT);
    } while (st == ST_CONFLICT);
    me->done++;
}

/* Puts a number under a key of its own into several documents at once. */
static void note(struct worker *me, unsigned round)
{
    struct docid ids[3];
    struct buf payload;

    worker_payload(me, &payload, true, round);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ids[i] = docid_u64(1 + rand_below(&me->rand.source, IDS));
        me->last[ids[i].u64] = round;
    }
    assert_int_equal(merge(me, ids, COUNT_OF(ids), buf_slice(&payload), NULL), ST_OK);
    buf_free(&payload);
}

static void change_loop(void *arg)
{
    struct worker *me = arg;

    for (unsigned round = 1; round <= ROUNDS; round++) {
        note(me, round);
        increment(me, 1 + rand_below(&me->rand.source, 2));
    }
}

static void put_plain(struct collection *c, uint64_t id)
{
    float vector[DIM];
    struct write_row row = {.id = docid_u64(id), .vector = vector};

    nvector(id, 1, DIM, vector);
    assert_int_equal(nwrite(c, &row, 1, NULL, NULL), ST_OK);
}

static void start(struct worker *me, struct collection *c, unsigned number, _Atomic bool *stop,
                  thread_fn *loop)
{
    *me = (struct worker){.c = c, .number = number, .stop = stop};
    rand_seeded_init(&me->rand, 900 + number);
    assert_int_equal(jdoc_create(&me->doc, NULL), ST_OK);
    assert_int_equal(thread_start(&me->thread, "changer", THREAD_NORMAL, loop, me, NULL), ST_OK);
}

static void end(struct worker *me)
{
    thread_join(&me->thread);
    jdoc_destroy(me->doc);
}

static void no_change_is_lost(void **state)
{
    static struct worker workers[THREADS];
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 701);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 32, NULL), ST_OK);
    c = npin(&w, "docs");
    for (uint64_t id = 1; id <= IDS; id++)
        put_plain(c, id);
    for (unsigned i = 0; i < THREADS; i++)
        start(&workers[i], c, i, NULL, change_loop);
    for (unsigned i = 0; i < THREADS; i++)
        end(&workers[i]);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(read_number(c, 1, "n", NULL) + read_number(c, 2, "n", NULL),
                         THREADS * ROUNDS);
        for (uint64_t id = 1; id <= IDS; id++) {
            for (unsigned i = 0; i < THREADS; i++) {
                char key[16];

                (void)snprintf(key, sizeof key, "t%u", i);
                assert_int_equal(read_number(c, id, key, NULL), workers[i].last[id]);
            }
        }
        assert_int_equal(c->seq.turns.count, 0);
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
    }
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void plain_loop(void *arg)
{
    struct worker *me = arg;

    while (!atomic_load(me->stop)) {
        put_plain(me->c, 1);
        me->done++;
    }
}

/* Two threads do nothing but write one document; changes to it get through between them. */
static void a_busy_document_delays_a_change_and_no_more(void **state)
{
    static struct worker writers[2], changer;
    _Atomic bool stop = false;
    struct nworld w;
    struct collection *c;
    const struct docid id = docid_u64(1);

    (void)state;
    nworld_init(&w, true, 702);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 32, NULL), ST_OK);
    c = npin(&w, "docs");
    put_plain(c, 1);
    for (unsigned i = 0; i < 2; i++)
        start(&writers[i], c, i, &stop, plain_loop);
    changer = (struct worker){.c = c};
    assert_int_equal(jdoc_create(&changer.doc, NULL), ST_OK);
    for (unsigned round = 1; round <= 100; round++) {
        struct buf payload;

        worker_payload(&changer, &payload, false, round);
        assert_int_equal(merge(&changer, &id, 1, buf_slice(&payload), NULL), ST_OK);
        buf_free(&payload);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        end(&writers[i]);
        assert_true(writers[i].done > 0); /* nor does the change keep them out */
    }
    jdoc_destroy(changer.doc);
    assert_int_equal(c->seq.turns.count, 0);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void stopping_loop(void *arg)
{
    struct worker *me = arg;
    status st = ST_OK;

    for (unsigned round = 1; st == ST_OK; round++) {
        const struct docid id = docid_u64(1 + round % IDS);
        struct buf payload;

        worker_payload(me, &payload, true, round);
        st = merge(me, &id, 1, buf_slice(&payload), NULL);
        buf_free(&payload);
        if (st == ST_OK)
            me->last[id.u64] = round;
    }
    assert_int_equal(st, ST_UNAVAILABLE);
}

/* A node that stops answers all who are in line. */
static void a_graceful_stop_ends_every_change(void **state)
{
    static struct worker workers[THREADS];
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 703);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 32, NULL), ST_OK);
    c = npin(&w, "docs");
    for (uint64_t id = 1; id <= IDS; id++)
        put_plain(c, id);
    for (unsigned i = 0; i < THREADS; i++)
        start(&workers[i], c, i, NULL, stopping_loop);
    npause_ms(50);
    atomic_store(&w.node->stopping, true);
    for (unsigned i = 0; i < THREADS; i++)
        end(&workers[i]);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    for (uint64_t id = 1; id <= IDS; id++) {
        for (unsigned i = 0; i < THREADS; i++) {
            char key[16];

            (void)snprintf(key, sizeof key, "t%u", i);
            assert_int_equal(read_number(c, id, key, NULL), workers[i].last[id]);
        }
    }
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_change_is_lost),
        cmocka_unit_test(a_busy_document_delays_a_change_and_no_more),
        cmocka_unit_test(a_graceful_stop_ends_every_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
