/* Reads that look at many rows end when their time is over, wherever they are: the clock of the
 * node counts how often it is looked at, and is at its end at each of these looks in turn. */
#include "tests/unit/node/npoints.h"

#include <stdatomic.h>
#include <stdio.h>

#include "node/scroll_internal.h"

static status index_on(struct collection *c, const struct path *path, struct pindex_info *out,
                       struct err *err);

/* To be told that an index is being built. */
#define collection_index_on index_on
#include "node/scroll_order.c"
#undef collection_index_on

enum { DIM = 2, ROWS = 4000, LATE_NS = 1000, TRIES = 40 };

static struct nworld world;
static struct collection *docs;

static _Thread_local bool counting;

/* Looked at by this thread while `counting`: its time is LATE_NS from the look number `ends_at` on.
 */
static struct {
    struct clock clock;
    _Atomic uint64_t looks, ends_at;
    _Atomic bool stop; /* set where the time ends, as a client that is gone */
} watch;

static uint64_t watch_mono_ns(struct clock *c)
{
    uint64_t look;

    (void)c;
    if (!counting)
        return clock_mono_ns(clock_real());
    look = atomic_fetch_add(&watch.looks, 1);
    if (look < atomic_load(&watch.ends_at))
        return 1;
    atomic_store(&watch.stop, true);
    return LATE_NS;
}

static uint64_t watch_wall_ns(struct clock *c)
{
    (void)c;
    return clock_wall_ns(clock_real());
}

static bool unbuilt;

static status index_on(struct collection *c, const struct path *path, struct pindex_info *out,
                       struct err *err)
{
    status st = collection_index_on(c, path, out, err);

    if (st == ST_OK && unbuilt)
        out->state = PINDEX_BUILDING;
    return st;
}

enum way {
    COUNT,
    FACET,
    FACET_INDEXED,
    ORDERED,
    ORDERED_UNBUILT,
    SCROLLED,
    SAMPLED,
    QUERIED,
    WAYS
};

static status read_once(enum way way, const struct filter *filter, const struct path *path,
                        const struct read_limits *limits, struct arena *arena, struct err *err)
{
    struct scroll ask = {.limit = 10, .filter = filter, .limits = *limits};
    struct query_options query = {
        .top_k = 10, .deadline_ns = limits->deadline_ns, .stop = limits->stop};
    struct point_query points = {.filter = filter};
    struct query_result found;
    struct facet_hit *hits;
    struct document *out;
    struct scrolled got;
    float vector[DIM] = {0};
    uint32_t count;
    uint64_t n;

    switch (way) {
    case COUNT:
        return node_count(docs, filter, true, limits, arena, &n, err);
    case FACET:
    case FACET_INDEXED:
        return node_facet(docs, path, filter, 10, true, limits, arena, &hits, &count, err);
    case ORDERED:
    case ORDERED_UNBUILT:
        unbuilt = way == ORDERED_UNBUILT;
        ask.order_by = path;
        return node_scroll(docs, &ask, arena, &got, err);
    case SCROLLED:
        return node_scroll(docs, &ask, arena, &got, err);
    case SAMPLED:
        return node_sample(docs, filter, ROWS, &ask.want, limits, arena, &out, &count, err);
    case QUERIED:
        query.points = &points;
        return node_query(docs, vector, &query, arena, &found, err);
    case WAYS:
        break;
    }
    return ST_BUG;
}

/* The number of looks a whole read takes; then its time ends, or its client goes, at some of
 * them. */
static void check(enum way way, const char *text, const char *key, uint64_t looks_min)
{
    const struct path *path = NULL;
    struct filter *filter = NULL;
    struct err err = {0};
    struct arena arena;
    uint64_t looks;

    arena_init(&arena, 64 << 20);
    if (text != NULL)
        filter = pfilter(docs, text, &arena);
    if (key != NULL)
        assert_int_equal(path_parse(slice_text(key), &arena, &path, NULL), ST_OK);
    for (uint64_t at = 0, step = 1; at <= TRIES; at++) {
        struct read_limits limits = {.deadline_ns = LATE_NS - 1};
        struct arena read;
        status st;

        arena_init(&read, 64 << 20);
        atomic_store(&watch.looks, 0);
        atomic_store(&watch.stop, false);
        atomic_store(&watch.ends_at, at == 0 ? UINT64_MAX : (at - 1) * step);
        if (at % 2 == 1)
            limits = (struct read_limits){.deadline_ns = LATE_NS + 1, .stop = &watch.stop};
        counting = true;
        st = read_once(way, filter, path, &limits, &read, &err);
        counting = false;
        if (at == 0) {
            if (st != ST_OK)
                fail_msg("way %d: %s", (int)way, err.text);
            looks = atomic_load(&watch.looks);
            if (looks < looks_min)
                fail_msg("way %d: %u looks at the time for %d rows", (int)way, (unsigned)looks,
                         ROWS);
            step = looks / (TRIES + 1) + 1;
        } else if ((at - 1) * step + 4 < looks) {
            if (st != ST_TIMEOUT)
                fail_msg("way %d, at look %u of %u: %s", (int)way, (unsigned)((at - 1) * step),
                         (unsigned)looks, status_name(st));
            assert_true(atomic_load(&watch.looks) <= (at - 1) * step + 8);
        }
        arena_free(&read);
    }
    arena_free(&arena);
}

#define ALL     "{\"must\":[{\"key\":\"same\",\"match\":{\"value\":true}}]}"
#define INDEXED "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":0}}]}"

/* Each of them may take long of an index of many rows. */
static void a_lookup_of_many_conditions_ends_at_each(void **state)
{
    enum { CONDITIONS = 400 };
    static char text[CONDITIONS * 64];
    char *at = stpcpy(text, "{\"should\":[");

    (void)state;
    for (int i = 0; i < CONDITIONS; i++)
        at += sprintf(at, "%s{\"key\":\"n\",\"range\":{\"gte\":%d}}", i == 0 ? "" : ",", i);
    (void)stpcpy(at, "]}");
    check(COUNT, text, NULL, CONDITIONS);
    check(QUERIED, text, NULL, CONDITIONS);
}

static void reads_end_at_each_look_at_the_time(void **state)
{
    enum { ONCE = ROWS / SELECT_LOOK_ROWS };
    (void)state;
    check(COUNT, ALL, NULL, ONCE);
    check(SAMPLED, ALL, NULL, ONCE);
    check(QUERIED, ALL, NULL, SELECT_SAMPLE_ROWS / SELECT_LOOK_ROWS);
    check(SCROLLED, "{\"must\":[{\"key\":\"v\",\"match\":{\"value\":-1}}]}", NULL, ONCE);
    check(FACET, ALL, "v", 2 * ONCE);
    check(FACET, NULL, "v", ONCE);
    check(FACET_INDEXED, NULL, "n", 1000 / SELECT_LOOK_ROWS); /* values */
    check(ORDERED, ALL, "n", 1);
    check(ORDERED, "{\"must\":[{\"key\":\"same\",\"match\":{\"value\":false}}]}", "n", ONCE);
    check(ORDERED, NULL, "n", 1);
    check(ORDERED_UNBUILT, NULL, "n", ONCE);
    check(ORDERED_UNBUILT, ALL, "n", 2 * ONCE);
}

static int open_world(void **state)
{
    (void)state;
    watch.clock = (struct clock){.mono_ns = watch_mono_ns, .wall_ns = watch_wall_ns};
    nworld_init(&world, true, 99);
    world.options.clock = &watch.clock;
    nworld_open(&world);
    assert_int_equal(ncreate(&world, "docs", DIM, VMETRIC_L2, 100000, NULL), ST_OK);
    docs = npin(&world, "docs");
    pput(docs, 1, ROWS, 1);
    pindexed(&world, docs, "n", PINDEX_INTEGER);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    node_collection_unpin(docs);
    nworld_close(&world);
    nworld_fini(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_end_at_each_look_at_the_time),
        cmocka_unit_test(a_lookup_of_many_conditions_ends_at_each),
    };

    return cmocka_run_group_tests_name("points_limits", tests, open_world, close_world);
}
