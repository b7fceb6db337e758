/* A collection under S3Only whose bucket is away, slow or damaged; and readers who go on while
 * documents are written and moved into the cold set. */
#include "tests/unit/node/nchange.h"
#ifdef COLD_OVER_BUCKET
#include "tests/unit/node/nhead.h"
#else
#include "tests/unit/node/ncold.h"
#endif
#include "tests/unit/node/npoints.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct nworld world;
static struct collection *c;
static uint64_t seed = 1;
static unsigned rounds = 12;

#ifdef COLD_OVER_BUCKET
static int begin(void **state)
{
    (void)state;
    nworld_init(&world, true, seed);
    nworld_bucket(&world, "cold-ways");
    world.options.no_background_compaction = true;
    nworld_open(&world);
    nchange_init();
    c = nhead_make(&world, "docs", NODE_LOCAL);
    nhead_open(c);
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_true(nhead_facts(c).rows > 0);
    node_collection_unpin(c);
    nchange_free();
    nworld_fini(&world);
    return 0;
}

static void fold(void)
{
    struct err err = {0};

    if (nhead_fold(c, false, &err) != ST_OK)
        fail_msg("fold: %s", err.text);
}
#else
enum { DIM = 4 };

static struct fake_cold_ways ways;

static void fold(void)
{
    ncold_fold(c, &ways);
}

static int begin(void **state)
{
    (void)state;
    memset(&ways, 0, sizeof ways);
    nworld_init(&world, true, seed);
    nworld_open(&world);
    nchange_init();
    assert_int_equal(ncreate(&world, "docs", DIM, VMETRIC_L2, 100000, NULL), ST_OK);
    c = npin(&world, "docs");
    ncold_begin(c, &ways);
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&ways.inside), 0);
    ncold_end(c);
    node_collection_unpin(c);
    nchange_free();
    nworld_fini(&world);
    return 0;
}

static status get(uint64_t id, struct err *err);

static void fails(status st)
{
    atomic_store(&ways.keep_failing, st != ST_OK);
    atomic_store(&ways.fail, (int)st);
}

/* Ids 1 to 20 are cold, 21 to 25 in the head. */
static void spread(void)
{
    pput(c, 1, 20, 1);
    ncold_fold(c, &ways);
    pput(c, 21, 5, 1);
    assert_int_equal(ncold_rows(c), 20);
}

static status query(uint64_t deadline_ns, const _Atomic bool *stop, struct query_result *r,
                    struct arena *arena, struct err *err)
{
    const struct query_options o = {
        .top_k = 30, .with_payload = true, .deadline_ns = deadline_ns, .stop = stop};
    float vector[DIM] = {0, 0, 0, 1};

    return node_query(c, vector, &o, arena, r, err);
}

static status count(uint64_t *out)
{
    struct arena arena;
    status st;

    arena_init(&arena, SIZE_MAX);
    st = node_count(c, NULL, true, NULL, &arena, out, NULL);
    arena_free(&arena);
    return st;
}

static status scroll(uint32_t limit, const struct read_limits *limits, uint32_t *found)
{
    struct scroll s = {.limit = limit};
    struct scrolled got;
    struct arena arena;
    status st;

    if (limits != NULL)
        s.limits = *limits;
    arena_init(&arena, SIZE_MAX);
    st = node_scroll(c, &s, &arena, &got, NULL);
    *found = got.count;
    arena_free(&arena);
    return st;
}

/* Reads say so; writes that have to read leave everything as it was, turns too. */
static void a_bucket_that_is_away(void **state)
{
    const struct docid ids[] = {docid_u64(3), docid_u64(22)};
    const struct selector which = {.ids = ids, .count = 2};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"x\":1}")};
    const struct write_options none = {0};
    struct write_result result;
    struct query_result r;
    struct err err = {0};
    struct arena arena;
    uint32_t found;
    uint64_t n;

    (void)state;
    spread();
    arena_init(&arena, SIZE_MAX);
    fails(ST_UNAVAILABLE);
    assert_int_equal(query(0, NULL, &r, &arena, &err), ST_UNAVAILABLE);
    assert_int_equal(get(3, &err), ST_UNAVAILABLE);
    assert_int_equal(get(22, &err), ST_OK); /* the head has it */
    assert_int_equal(scroll(5, NULL, &found), ST_UNAVAILABLE);
    assert_int_equal(count(&n), ST_UNAVAILABLE);
    assert_int_equal(nchange(c, &which, &change, NULL, NULL, &err), ST_UNAVAILABLE);
    assert_int_equal(ndelete(c, ids, 2, NULL, &err), ST_UNAVAILABLE);
    assert_int_equal(
        ndelete_with(c, &(struct selector){.filter = nfilter("tags", "t1")}, &none, NULL, &err),
        ST_UNAVAILABLE);
    pput(c, 3, 1, 2); /* a write that reads nothing */
    fails(ST_OK);
    assert_int_equal(count(&n), ST_OK);
    assert_int_equal(n, 25);
    assert_int_equal(nchange(c, &which, &change, NULL, &result, &err), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(ndelete(c, ids, 2, &result, &err), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(get(3, &err), ST_NOT_FOUND);
    arena_free(&arena);
}

static void damage_is_named(void **state)
{
    struct query_result r;
    struct err err = {0};
    struct arena arena;

    (void)state;
    spread();
    arena_init(&arena, SIZE_MAX);
    fails(ST_CORRUPT);
    assert_int_equal(query(0, NULL, &r, &arena, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "segment 0"));
    assert_int_equal(get(3, &err), ST_CORRUPT);
    fails(ST_NOT_FOUND); /* of a segment, not of a document */
    assert_int_equal(get(3, &err), ST_CORRUPT);
    assert_int_equal(query(0, NULL, &r, &arena, &err), ST_CORRUPT);
    fails(ST_DENIED); /* by the store, not by this node */
    assert_int_equal(get(3, &err), ST_UNAVAILABLE);
    assert_int_equal(ndelete(c, &(struct docid){.kind = DOCID_U64, .u64 = 3}, 1, NULL, &err),
                     ST_UNAVAILABLE);
    fails(ST_OK);
    arena_free(&arena);
}

static uint64_t in_ms(uint64_t ms)
{
    return clock_mono_ns(world.options.clock) + ms * 1000000;
}

/* What there is in time is answered, and said to be a part; without that, an error. */
static void a_deadline_is_kept(void **state)
{
    const struct docid ids[] = {docid_u64(3)};
    struct read_want want = {.payload = true};
    struct read_limits limits = {0};
    _Atomic bool stop = true;
    struct document *documents;
    struct query_result r;
    struct err err = {0};
    struct arena arena;
    uint32_t found;

    (void)state;
    spread();
    arena_init(&arena, SIZE_MAX);
    atomic_store(&ways.delay_ms, 60000);
    limits.deadline_ns = in_ms(20);
    assert_int_equal(query(in_ms(20), NULL, &r, &arena, &err), ST_OK);
    assert_true(r.partial);
    assert_int_equal(r.count, 5);
    assert_int_equal(query(0, &stop, &r, &arena, &err), ST_TIMEOUT); /* nobody waits */
    assert_int_equal(scroll(5, &limits, &found), ST_TIMEOUT);
    want.limits.deadline_ns = in_ms(20);
    assert_int_equal(node_retrieve(c, ids, 1, &want, &arena, &documents, &found, &err), ST_TIMEOUT);
    atomic_store(&ways.delay_ms, 0);
    atomic_store(&ways.partial, true);
    assert_int_equal(query(0, NULL, &r, &arena, &err), ST_OK);
    assert_true(r.partial && r.count == 15);
    atomic_store(&ways.partial, false);
    assert_int_equal(query(0, NULL, &r, &arena, &err), ST_OK);
    assert_true(!r.partial && r.count == 25);
    assert_true(r.cold.asked && r.cold.gets >= 2 && r.cold.rows == 20);
    assert_string_equal(r.plan, "cold cells");
    arena_free(&arena);
}

static void a_set_that_is_not_open_yet(void **state)
{
    struct cold_set *set = c->cold->set.now;
    struct err err = {0};
    uint64_t n;

    (void)state;
    c->cold->set.now = NULL;
    assert_int_equal(get(3, &err), ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "was not reached"));
    assert_int_equal(count(&n), ST_UNAVAILABLE);
    c->cold->set.now = set;
    assert_int_equal(get(3, &err), ST_NOT_FOUND);
}

/* --- writes that come from workers --- */

struct from_worker {
    struct task task;
    struct selector which;
    struct change change;
    bool deletes;
    struct call call;
};

static task_state run_from_worker(struct task *task)
{
    struct from_worker *w = (struct from_worker *)(void *)task;
    static const struct write_options none;

    if (w->deletes)
        node_delete_with(c, &w->which, &none, call_write_done, &w->call);
    else
        node_change(c, &w->which, &w->change, &none, call_write_done, &w->call);
    return TASK_DONE;
}

static void from_worker(struct from_worker *w)
{
    w->task = (struct task){.run = run_from_worker};
    call_init(&w->call);
    assert_int_equal(exec_submit(world.exec, &w->task, NULL, NULL), ST_OK);
    call_wait(&w->call);
    if (w->call.st != ST_OK)
        fail_msg("%s", w->call.err.text);
}

static void workers_do_not_wait(void **state)
{
    const struct docid ids[] = {docid_u64(3), docid_u64(22), docid_u64(99)};
    struct from_worker w = {
        .which = {.ids = ids, .count = 2},
        .change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"x\":1}")}};

    (void)state;
    spread();
    from_worker(&w);
    assert_int_equal(w.call.result.count, 2);
    w.which = (struct selector){.filter = nfilter("tags", "t1")};
    from_worker(&w);
    w.deletes = true;
    w.which = (struct selector){.ids = ids, .count = 3};
    from_worker(&w);
    assert_int_equal(w.call.result.count, 2);
    w.which = (struct selector){.filter = nfilter("tags", "t1")};
    from_worker(&w);
    assert_true(w.call.result.count > 0);
    assert_true(atomic_load(&ways.calls) > 4);
    assert_int_equal(atomic_load(&ways.on_workers), 0);
}

#endif

/* --- readers beside writes and folds --- */

static status get(uint64_t id, struct err *err)
{
    const struct docid key = docid_u64(id);
    struct document d;
    struct arena arena;
    status st;

    arena_init(&arena, SIZE_MAX);
    st = node_get(c, &key, &arena, &d, err);
    arena_free(&arena);
    return st;
}

enum { KEPT = 40, COMING = 20, READERS = 2 };

struct reader {
    struct thread thread;
    struct rand_seeded rand;
    _Atomic bool *stop;
    _Atomic unsigned reads;
};

/* Ids 1 to KEPT are always there, once; others up to KEPT + COMING come and go. */
static void note(uint8_t *seen, const struct docid *id)
{
    assert_true(id->u64 >= 1 && id->u64 <= KEPT + COMING);
    if (seen[id->u64]++ > 0)
        fail_msg("%" PRIu64 " is there twice", id->u64);
}

static void check_kept(const uint8_t *seen, const char *what)
{
    for (uint64_t id = 1; id <= KEPT; id++)
        if (seen[id] != 1)
            fail_msg("%s: %" PRIu64 " is missing", what, id);
}

static void read_query(struct arena *arena, bool filtered)
{
    struct point_query points = {.filter = filtered ? pfilter(c,
                                                              "{\"must\":[{\"key\":\"same\","
                                                              "\"match\":{\"value\":true}}]}",
                                                              arena)
                                                    : NULL};
    const struct query_options o = {
        .top_k = KEPT + COMING + 5, .exact = true, .with_payload = true, .points = &points};
    float vector[64] = {0, 1};
    uint8_t seen[KEPT + COMING + 1] = {0};
    struct query_result r;
    struct err err = {0};

    if (node_query(c, vector, &o, arena, &r, &err) != ST_OK)
        fail_msg("query: %s", err.text);
    for (uint32_t i = 0; i < r.count; i++) {
        assert_true(r.matches[i].payload.bytes > 0);
        note(seen, &r.matches[i].id);
    }
    check_kept(seen, filtered ? "filtered query" : "query");
}

static void read_pages(struct arena *arena, bool filtered)
{
    struct scroll s = {.limit = 7, .want = {.payload = true, .vectors = 1}};
    uint8_t seen[KEPT + COMING + 1] = {0};
    struct scrolled got = {.more = true};
    struct docid from;

    if (filtered)
        s.filter = pfilter(c, "{\"must\":[{\"key\":\"same\",\"match\":{\"value\":true}}]}", arena);
    for (; got.more; s.from = &from) {
        struct err err = {0};

        if (node_scroll(c, &s, arena, &got, &err) != ST_OK)
            fail_msg("scroll: %s", err.text);
        for (uint32_t i = 0; i < got.count; i++) {
            assert_non_null(got.documents[i].vectors[0]);
            note(seen, &got.documents[i].id);
        }
        from = got.next;
    }
    check_kept(seen, "pages");
}

static void read_by_id(struct reader *me, struct arena *arena)
{
    struct read_want want = {.payload = true, .vectors = 1};
    struct docid ids[KEPT];
    struct document *documents;
    struct err err = {0};
    uint32_t found = 0;

    for (uint64_t i = 0; i < KEPT; i++)
        ids[i] = docid_u64(1 + i);
    if (node_retrieve(c, ids, KEPT, &want, arena, &documents, &found, &err) != ST_OK)
        fail_msg("retrieve: %s", err.text);
    assert_int_equal(found, KEPT);
    assert_int_equal(get(1 + rand_below(&me->rand.source, KEPT), &err), ST_OK);
}

static void read_counts(struct arena *arena)
{
    struct filter *same =
        pfilter(c, "{\"must\":[{\"key\":\"same\",\"match\":{\"value\":true}}]}", arena);
    uint64_t n = 0;

    assert_int_equal(node_count(c, same, true, NULL, arena, &n, NULL), ST_OK);
    if (n < KEPT || n > KEPT + COMING)
        fail_msg("%" PRIu64 " match", n);
    assert_int_equal(node_count(c, NULL, true, NULL, arena, &n, NULL), ST_OK);
    if (n < KEPT || n > KEPT + COMING)
        fail_msg("%" PRIu64 " in all", n);
}

static void reader_main(void *arg)
{
    struct reader *me = arg;

    while (!atomic_load(me->stop)) {
        struct arena arena;

        arena_init(&arena, SIZE_MAX);
        switch (rand_below(&me->rand.source, 6)) {
        case 0:
        case 1:
            read_query(&arena, me->reads % 2 == 0);
            break;
        case 2:
        case 3:
            read_pages(&arena, me->reads % 2 == 0);
            break;
        case 4:
            read_by_id(me, &arena);
            break;
        default:
            read_counts(&arena);
        }
        arena_free(&arena);
        me->reads++;
    }
}

static void write_beside(struct rand_seeded *rand, unsigned round)
{
    struct docid ids[COMING];
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"x\":1}")};
    struct selector which = {.ids = ids, .count = 5};

    for (uint64_t i = 0; i < COMING; i++)
        ids[i] = docid_u64(KEPT + 1 + i);
    pput(c, 1 + rand_below(&rand->source, KEPT - 8), 8, round);
    if (round % 3 == 1)
        assert_int_equal(ndelete(c, ids, COMING, NULL, NULL), ST_OK);
    else
        pput(c, KEPT + 1, COMING, round);
    for (unsigned i = 0; i < 5; i++)
        ids[i] = docid_u64(1 + rand_below(&rand->source, KEPT));
    assert_int_equal(nchange(c, &which, &change, NULL, NULL, NULL), ST_OK);
}

static void readers_go_on(void **state)
{
    struct reader readers[READERS];
    struct rand_seeded rand;
    _Atomic bool stop = false;

    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    rand_seeded_init(&rand, seed);
    pput(c, 1, KEPT, 1);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.stop = &stop};
        rand_seeded_init(&readers[i].rand, seed + 1 + i);
        assert_int_equal(thread_start(&readers[i].thread, "reader", THREAD_NORMAL, reader_main,
                                      &readers[i], NULL),
                         ST_OK);
    }
    for (unsigned round = 2; round < 2 + rounds; round++) {
        write_beside(&rand, round);
        if (rand_below(&rand.source, 2) == 0)
            fold();
    }
    fold();
    for (unsigned i = 0; i < READERS; i++) {
        neventually(readers[i].reads > 3 || atomic_load(&stop));
        atomic_store(&stop, i == READERS - 1);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++)
        thread_join(&readers[i].thread);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#ifndef COLD_OVER_BUCKET
        cmocka_unit_test_setup_teardown(a_bucket_that_is_away, begin, end),
        cmocka_unit_test_setup_teardown(damage_is_named, begin, end),
        cmocka_unit_test_setup_teardown(a_deadline_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_set_that_is_not_open_yet, begin, end),
        cmocka_unit_test_setup_teardown(workers_do_not_wait, begin, end),
#endif
        cmocka_unit_test_setup_teardown(readers_go_on, begin, end),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
