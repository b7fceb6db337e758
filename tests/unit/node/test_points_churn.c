/* Answers that are complete though their hits are replaced while they are looked for: what is
 * nearest moves away between the search and its catching up.
 *
 * To step in, the search is compiled here once more, with names of ours for what it calls at the
 * beginning of an attempt and when it catches up. */
#include "tests/unit/node/npoints.h"

#include "node/query_internal.h"

#include <stdio.h>

#include "index/vindex_internal.h"

static uint64_t catching_up(const struct slots *s);
static void attempt_begins(const struct code_shape *shape, const float *query,
                           struct code_query *out);

#define slots_replacements catching_up
#define code_query_set     attempt_begins
#include "index/vsearch.c"
#undef slots_replacements
#undef code_query_set

enum { IDS = 600, TOP_K = 3, FAR = 1000 };

static struct nworld world;

static struct {
    struct collection *c; /* NULL: nothing moves */
    uint32_t each, times; /* ids that move in an attempt; attempts in which some do */
    uint32_t moved;       /* the lowest so many have */
    uint32_t attempts;
    bool armed;
} mover;

/* Ids lie on a line, each as far from the origin as its number; FAR more when they have moved. */
static void put(struct collection *c, uint32_t first, uint32_t count, float away)
{
    static float vectors[IDS][2];
    static struct write_row rows[IDS];
    struct buf payload;
    struct jdoc *doc = NULL;

    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    ppayload(doc, "{\"same\":true}", &payload);
    for (uint32_t i = 0; i < count; i++) {
        vectors[i][0] = (float)(first + i) + away;
        rows[i] = (struct write_row){
            .id = docid_u64(first + i), .vector = vectors[i], .payload = buf_slice(&payload)};
    }
    assert_int_equal(nwrite(c, rows, count, NULL, NULL), ST_OK);
    buf_free(&payload);
    jdoc_destroy(doc);
}

static void attempt_begins(const struct code_shape *shape, const float *query,
                           struct code_query *out)
{
    mover.armed = mover.c != NULL && mover.attempts++ < mover.times;
    code_query_set(shape, query, out);
}

static uint64_t catching_up(const struct slots *s)
{
    if (mover.armed && mover.moved + mover.each + TOP_K <= IDS) {
        mover.armed = false;
        put(mover.c, 1 + mover.moved, mover.each, FAR);
        mover.moved += mover.each;
    }
    return slots_replacements(s);
}

static void ask(struct collection *c, const char *filter, bool exact)
{
    struct point_query points = {0};
    struct query_options options = {
        .top_k = TOP_K, .ef_search = 16, .exact = exact, .points = &points};
    struct query_result found;
    struct arena arena;
    float query[2] = {0, 0};
    struct err err = {0};
    float worst;

    arena_init(&arena, 16 << 20);
    if (filter != NULL)
        points.filter = pfilter(c, filter, &arena);
    if (node_query(c, query, &options, &arena, &found, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(found.count, TOP_K);
    worst = found.matches[TOP_K - 1].distance;
    for (uint32_t id = mover.moved + 1; id <= IDS; id++) {
        bool there = (float)id >= worst;

        for (uint32_t i = 0; i < found.count; i++)
            there = there || found.matches[i].id.u64 == id;
        if (!there)
            fail_msg("id %u was not met, but one at %g (%u moved in %u attempts, plan %s)", id,
                     (double)worst, mover.moved, mover.attempts, found.plan);
    }
    arena_free(&arena);
}

/* By how many there are to spare and more, once and again and again; with and without a filter and
 * an index on its key, by codes and exactly. (A graph need not find every row.) */
static void hits_that_move_away_make_room_for_what_stays(void **state)
{
    static const struct {
        uint32_t each, times;
    } moves[] = {{1, 1}, {12, 1}, {60, 1}, {45, 2}, {50, 6}, {190, 9}, {280, 2}};
    static const char *const filters[] = {
        NULL, "{\"must\":[{\"key\":\"same\",\"match\":{\"value\":true}}]}"};
    struct collection *c;

    (void)state;
    for (uint32_t kind = 0; kind < 8; kind++) {
        const char *filter = filters[kind % 2];
        bool indexed = kind / 2 % 2 == 1, exact = kind / 4 == 1;

        for (size_t i = 0; i < COUNT_OF(moves); i++) {
            char name[32];

            (void)snprintf(name, sizeof name, "c-%u-%zu", kind, i);
            assert_int_equal(ncreate(&world, name, 2, VMETRIC_L2, 100000, NULL), ST_OK);
            c = npin(&world, name);
            put(c, 1, IDS, 0);
            if (indexed)
                pindexed(&world, c, "same", PINDEX_BOOL);
            mover.c = c;
            mover.each = moves[i].each;
            mover.times = moves[i].times;
            mover.moved = mover.attempts = 0;
            ask(c, filter, exact);
            mover.c = NULL;
            assert_true(mover.moved > 0 && mover.attempts <= 2 * QUERY_MOVED_MAX);
            if (moves[i].times > QUERY_MOVED_MAX &&
                moves[i].each > 176) /* more than was asked for */
                assert_int_equal(mover.attempts, QUERY_MOVED_MAX);
            node_collection_unpin(c);
        }
    }
}

static int open_world(void **state)
{
    (void)state;
    nworld_init(&world, true, 4711);
    nworld_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    nworld_close(&world);
    nworld_fini(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_that_move_away_make_room_for_what_stays),
    };

    return cmocka_run_group_tests_name("points_churn", tests, open_world, close_world);
}
